//! The settings that the vendor of a product has built into the library. They are a line of text in
//! the library's file, so that a program can read them without loading the library.
//!
//! ```text
//! SEATMETER-BUILT-IN library=0.1.0 root-key=<64 digits, or nothing> product-version=… product-edition=…\n
//! ```

use crate::signature::{PublicKey, SignatureError};

/// The beginning of the line.
pub const BEGINNING: &str = "SEATMETER-BUILT-IN library=";

/// The words between the parts of the line.
pub const PARTS: [&str; 3] = [" root-key=", " product-version=", " product-edition="];

/// The largest length of a line in bytes.
const LINE_BYTES_MAX: usize = 2048;

/// The settings built into a library. A text is empty where nothing was built in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltIn {
    /// Version of the library.
    pub library: String,
    /// The vendor's root key, or several separated by commas (see [`root_keys`]).
    pub root_key: String,
    /// Version of the product.
    pub product_version: String,
    /// Edition of the product.
    pub product_edition: String,
}

/// Return the root keys in the text that was built in.
///
/// # Errors
/// Fails if a part of the text is not a key.
pub fn root_keys(text: &str) -> Result<Vec<PublicKey>, SignatureError> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::parse).collect()
}

/// Find the line in the bytes of a library; `None` where there is none.
#[must_use]
pub fn find(library: &[u8]) -> Option<BuiltIn> {
    let beginning = BEGINNING.as_bytes();
    let mut starts = (0..library.len().saturating_sub(beginning.len()))
        // A comparison of the first byte rules out most places cheaply.
        .filter(|at| library[*at] == beginning[0] && library[*at..].starts_with(beginning));
    starts.find_map(|at| {
        let rest = &library[at + beginning.len()..];
        let end = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n')?;
        read(str::from_utf8(&rest[..end]).ok()?)
    })
}

fn read(line: &str) -> Option<BuiltIn> {
    let (library, rest) = line.split_once(PARTS[0])?;
    let (root_key, rest) = rest.split_once(PARTS[1])?;
    let (product_version, product_edition) = rest.split_once(PARTS[2])?;
    Some(BuiltIn {
        library: library.to_owned(),
        root_key: root_key.to_owned(),
        product_version: product_version.to_owned(),
        product_edition: product_edition.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_among_other_bytes_and_only_when_it_is_whole() {
        let line = "SEATMETER-BUILT-IN library=0.1.0 root-key=abc product-version=2.1 \
            product-edition=pro\n";
        let library =
            [b"\x7fELF SEATMETER-BUILT-IN library=\0\0".as_slice(), line.as_bytes(), b"more"]
                .concat();
        let found = find(&library).unwrap();
        assert_eq!((found.root_key.as_str(), found.product_edition.as_str()), ("abc", "pro"));
        assert_eq!(find(&library[..library.len() - 10]), None);
        assert_eq!(find(b""), None);
    }
}
