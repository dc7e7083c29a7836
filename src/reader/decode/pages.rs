//! The selection of a file's pages: `"Pages": "0,2,5-7"` of a template.

use serde_json::Value;

use super::reading_error as code;
use super::template_in::{failed, text_of};
use crate::error::Result;

/// The pages to read, and their written form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) written: String,
    /// First and last number of each range; none for all pages.
    ranges: Vec<(u32, u32)>,
}

impl Pages {
    /// Read a list of page numbers and ranges; an empty list means all pages.
    ///
    /// # Errors
    /// -10031 for a value that is not a text, -10033 for an invalid text.
    pub(super) fn understand(value: &Value) -> Result<Self> {
        let written = text_of(value, "Pages")?.to_owned();
        let not_pages = |part: &str| {
            let message = format!(
                "Pages is {written}, of which {part} is no page: write numbers from 0 on, as \
                 0,2,5-7"
            );
            failed(code::JSON_VALUE_INVALID, message)
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
                _ => Err(not_pages(part)),
            }
        };
        let parts = written.split(',').filter(|_| !written.trim().is_empty());
        let ranges = parts.map(range).collect::<Result<_>>()?;
        Ok(Self { written, ranges })
    }

    /// Return whether this page, counted from 0, is selected.
    pub(super) fn include(&self, page: u32) -> bool {
        self.ranges.is_empty()
            || self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbers_and_ranges_and_nothing_means_all() {
        let pages = |text: &str| Pages::understand(&text.into());
        let some = pages("0, 2,5-7").unwrap();
        let read: Vec<u32> = (0..10).filter(|page| some.include(*page)).collect();
        assert_eq!(read, [0, 2, 5, 6, 7]);
        assert!(pages("").unwrap().include(3) && pages(" ").unwrap().include(3));
        for bad in ["first", "3-1", "1,,2", "-1", "1-"] {
            assert_eq!(pages(bad).unwrap_err().code, code::JSON_VALUE_INVALID, "{bad}");
        }
        assert_eq!(Pages::understand(&3.into()).unwrap_err().code, code::JSON_TYPE_INVALID);
    }
}
