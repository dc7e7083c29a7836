//! The different barcodes in one image.
//!
//! Two barcodes are the same when symbology and content are. They are compared byte for byte,
//! because a billed count must not depend on a hash. The content is compared and then forgotten.

use std::collections::HashSet;

/// A barcode, as the decoder read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barcode<'a> {
    /// The number of the symbology.
    pub format: u32,
    /// The content in bytes.
    pub bytes: &'a [u8],
}

/// The largest number of barcodes that are compared each with each. Images rarely contain more, and
/// up to here this needs no memory and is faster than hashing.
const FEW: usize = 16;

/// Call `found` with each barcode that is the first of its kind in the image.
#[inline]
pub fn for_each_unique<'b>(barcodes: &'b [Barcode<'b>], mut found: impl FnMut(&'b Barcode<'b>)) {
    if barcodes.len() <= FEW {
        for (i, barcode) in barcodes.iter().enumerate() {
            if !barcodes[..i].contains(barcode) {
                found(barcode);
            }
        }
        return;
    }
    let mut seen = HashSet::with_capacity(barcodes.len());
    for barcode in barcodes {
        if seen.insert(barcode) {
            found(barcode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(barcodes: &[Barcode<'_>]) -> usize {
        let mut n = 0;
        for_each_unique(barcodes, |_| n += 1);
        n
    }

    #[test]
    fn the_same_twice_is_one_and_two_different_are_two() {
        let a = Barcode { format: 1, bytes: b"A" };
        let b = Barcode { format: 1, bytes: b"B" };
        let other_symbology = Barcode { format: 2, bytes: b"A" };
        assert_eq!(counted(&[]), 0);
        assert_eq!(counted(&[a, a]), 1);
        assert_eq!(counted(&[a, b]), 2);
        assert_eq!(counted(&[a, other_symbology]), 2);
        assert_eq!(counted(&[a, b, other_symbology, Barcode { format: 2, bytes: b"" }]), 4);
    }

    #[test]
    fn many_barcodes_are_counted_like_few() {
        let texts: Vec<String> = (0..500).map(|n| (n % 100).to_string()).collect();
        for length in [0, 1, FEW, FEW + 1, 99, 100, 101, 500] {
            let barcodes: Vec<Barcode<'_>> = texts[..length]
                .iter()
                .map(|t| Barcode { format: 4, bytes: t.as_bytes() })
                .collect();
            assert_eq!(counted(&barcodes), length.min(100));
        }
    }
}
