//! Modules of a product that a license item can name, with their numbers in the C API.
//!
//! A request can ask for these and for the modules that count pages, and for what the item itself
//! lists. A name has one spelling: a request for `ocr` must not pass as one for nothing.

use crate::page_module::PAGE_MODULES;

/// Name and number of every module.
pub const LICENSE_MODULES: [(&str, i32); 14] = [
    ("ONED", 1),
    ("QR_CODE", 2),
    ("PDF417", 3),
    ("DATAMATRIX", 4),
    ("AZTEC", 5),
    ("MAXICODE", 6),
    ("PATCHCODE", 7),
    ("GS1_DATABAR", 8),
    ("GS1_COMPOSITE", 9),
    ("POSTALCODE", 10),
    ("DOTCODE", 11),
    ("INTERMEDIATE_RESULT", 12),
    ("DPM", 13),
    ("NONSTANDARD_BARCODE", 16),
];

/// Return the name of the module with this number.
#[must_use]
pub fn license_module_name(number: i32) -> Option<&'static str> {
    LICENSE_MODULES.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

/// Return the one spelling of the module that has this name in any letters; `None` if there is no
/// such module.
#[must_use]
pub fn spelling_of(name: &str) -> Option<&'static str> {
    let of_license = LICENSE_MODULES.iter().map(|(known, _)| *known);
    let mut known = of_license.chain(PAGE_MODULES.iter().map(|(known, _)| *known));
    known.find(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        assert_eq!(spelling_of("ocr"), Some("OCR"));
        assert_eq!(spelling_of("Qr_Code"), Some("QR_CODE"));
        assert_eq!((spelling_of("QR CODE"), spelling_of("")), (None, None));
        let all = LICENSE_MODULES.map(|(name, _)| name).into_iter();
        for name in all.chain(PAGE_MODULES.map(|(name, _)| name)) {
            assert_eq!(spelling_of(name), Some(name));
        }
    }

    #[test]
    fn modules_have_names_and_gaps_have_none() {
        assert_eq!(license_module_name(3), Some("PDF417"));
        assert_eq!((license_module_name(0), license_module_name(14)), (None, None));
    }
}
