//! The products of the C API that a license item can cover, one bit each.

/// Name and bit of every product.
pub const PRODUCTS: [(&str, u32); 5] =
    [("DBR", 0x01), ("DLR", 0x02), ("DWT", 0x04), ("DCE", 0x08), ("DPS", 0x10)];

/// All products, those included that are still to come.
pub const PRODUCTS_ALL: u32 = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;

    /// The header whose programs ask for products.
    const HEADER: &str = include_str!("../../include/dbr/DynamsoftCommon.h");

    #[test]
    fn the_bits_are_those_of_the_header() {
        let mut lines = 0;
        for (name, bit) in PRODUCTS {
            assert!(HEADER.contains(&format!("PROD_{name} = {bit:#04x},")), "{name}");
            assert_eq!((bit.count_ones(), bit & !PRODUCTS_ALL), (1, 0), "{name}");
            lines += 1;
        }
        assert!(HEADER.contains(&format!("PROD_ALL = {PRODUCTS_ALL:#06x}")));
        assert_eq!(HEADER.matches(" PROD_").count(), lines + 1);
    }
}
