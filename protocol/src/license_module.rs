//! Modules of a product that a license item can name, with their numbers in the C API.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_names_and_gaps_have_none() {
        assert_eq!(license_module_name(3), Some("PDF417"));
        assert_eq!((license_module_name(0), license_module_name(14)), (None, None));
    }
}
