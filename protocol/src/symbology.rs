//! Names of the symbologies, keyed by the number that the C API has for each.
//!
//! Counters carry the number; people read the name. A vendor with a decoder of his own may count
//! under any number. A number that is not in the table is shown as `FORMAT_<number>`.

/// Name and number of every single symbology of the C API's first format word; 0 stands for all
/// that have no bit in it.
pub const SYMBOLOGIES: [(&str, u32); 29] = [
    ("NON_STANDARD", 0),
    ("CODE_39", 0x1),
    ("CODE_128", 0x2),
    ("CODE_93", 0x4),
    ("CODABAR", 0x8),
    ("ITF", 0x10),
    ("EAN_13", 0x20),
    ("EAN_8", 0x40),
    ("UPC_A", 0x80),
    ("UPC_E", 0x100),
    ("INDUSTRIAL_25", 0x200),
    ("CODE_39_EXTENDED", 0x400),
    ("GS1_DATABAR_OMNIDIRECTIONAL", 0x800),
    ("GS1_DATABAR_TRUNCATED", 0x1000),
    ("GS1_DATABAR_STACKED", 0x2000),
    ("GS1_DATABAR_STACKED_OMNIDIRECTIONAL", 0x4000),
    ("GS1_DATABAR_EXPANDED", 0x8000),
    ("GS1_DATABAR_EXPANDED_STACKED", 0x1_0000),
    ("GS1_DATABAR_LIMITED", 0x2_0000),
    ("PATCHCODE", 0x4_0000),
    ("MICRO_PDF417", 0x8_0000),
    ("MSI_CODE", 0x10_0000),
    ("PDF417", 0x200_0000),
    ("QR_CODE", 0x400_0000),
    ("DATAMATRIX", 0x800_0000),
    ("AZTEC", 0x1000_0000),
    ("MAXICODE", 0x2000_0000),
    ("MICRO_QR", 0x4000_0000),
    ("GS1_COMPOSITE", 0x8000_0000),
];

/// Return the name of a symbology for people.
#[must_use]
pub fn symbology_name(number: u32) -> String {
    match SYMBOLOGIES.iter().find(|(_, n)| *n == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("FORMAT_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names_and_foreign_numbers_stay_numbers() {
        assert_eq!(symbology_name(0x400_0000), "QR_CODE");
        assert_eq!(symbology_name(3), "FORMAT_3");
    }
}
