//! The modules that count pages.

/// Name and number of every module.
pub const PAGE_MODULES: [(&str, u32); 4] = [("CORE", 1), ("WEBCAM", 2), ("PDFR", 3), ("OCR", 4)];

/// The largest number of a module; it includes modules that are still to come.
pub const PAGE_MODULE_MAX: u32 = 63;

/// Return the name of a module for people.
#[must_use]
pub fn page_module_name(number: u32) -> String {
    match PAGE_MODULES.iter().find(|(_, n)| *n == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("MODULE_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_names_and_foreign_numbers_stay_numbers() {
        assert_eq!(
            (page_module_name(4).as_str(), page_module_name(9).as_str()),
            ("OCR", "MODULE_9")
        );
    }
}
