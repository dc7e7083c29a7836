//! A `FormatSpecification` of a template: the requirements on the barcodes of its formats.
//!
//! A specification belongs to the whole picture or to one region. For each barcode, the last
//! specification that names its format counts; those of the region precede those of the picture.
//! The settings decide what it leaves open. Keys that this engine cannot apply are kept as they
//! were written, and `without_effect.rs` lists them.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::engine::Decoded;
use super::reading_error as code;
use super::settings_table::{FORMATS, FORMATS_2, Name, word};
use super::template_in::{bits, failed, integer, name_of, number_within, object, one_of, text_of};
use crate::error::Result;

/// Every format of the first word: `BF_ALL`.
const ALL_FORMATS: u32 = (-31_457_281_i32).cast_unsigned();

const MIRRORED: &[Name] = &[("MM_NORMAL", 1), ("MM_MIRROR", 2), ("MM_BOTH", 4)];

/// Settings that a program can also set by number, each with the key that means the same here.
pub(super) const ALSO_A_NUMBER: [(usize, &str); 3] = [
    (word::CONFIDENCE_MIN, "MinResultConfidence"),
    (word::TEXT_LENGTH_MIN, "BarcodeTextLengthRangeArray"),
    (word::BORDER_DISTANCE, "BarcodeZoneMinDistanceToImageBorders"),
];

/// The requirements on the barcodes of some formats.
#[derive(Clone, Debug)]
pub(super) struct Specification {
    /// The specification as it was written, without its nulls.
    pub(super) written: Map<String, Value>,
    /// Both format words; `None` for every format.
    formats: Option<(u32, u32)>,
    pub(super) confidence_min: Option<i32>,
    pub(super) text_lengths: Ranges,
    pub(super) border_distance_min: Option<i32>,
    bytes_lengths: Ranges,
    angles: Ranges,
    widths: Ranges,
    heights: Ranges,
    module_sizes: Ranges,
    width_to_height_min: Option<i32>,
    mirror: Option<i32>,
    text_pattern: Option<Regex>,
    bytes_pattern: Option<Regex>,
}

/// The written form determines all other fields.
impl PartialEq for Specification {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Specification {}

/// Ranges, first and last number each; a value must lie in one of them. No range allows any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(pub(super) Vec<(i32, i32)>);

impl Ranges {
    pub(super) fn hold(&self, value: i32) -> bool {
        self.0.is_empty() || self.0.iter().any(|(first, last)| (*first..=*last).contains(&value))
    }
}

impl Specification {
    /// Read a specification that has no nulls.
    ///
    /// # Errors
    /// -10031 or -10033, naming the key.
    pub(super) fn new(written: &Map<String, Value>) -> Result<Self> {
        let from = |key: &'static str| written.get(key).map(|value| (key, value));
        let number = |key, last| {
            from(key).map(|(key, value)| number_within(value, key, 0, last)).transpose()
        };
        let ranges =
            |key| from(key).map_or(Ok(Ranges::default()), |(key, value)| ranges(value, key));
        let pattern = |key| from(key).map_or(Ok(None), |(key, value)| pattern(value, key));
        Ok(Self {
            formats: formats(written)?,
            confidence_min: number("MinResultConfidence", 100)?,
            text_lengths: ranges("BarcodeTextLengthRangeArray")?,
            border_distance_min: number("BarcodeZoneMinDistanceToImageBorders", i32::MAX)?,
            bytes_lengths: ranges("BarcodeBytesLengthRangeArray")?,
            angles: ranges("BarcodeAngleRangeArray")?,
            widths: ranges("BarcodeWidthRangeArray")?,
            heights: ranges("BarcodeHeightRangeArray")?,
            module_sizes: ranges("ModuleSizeRangeArray")?,
            width_to_height_min: number("MinRatioOfBarcodeZoneWidthToHeight", i32::MAX)?,
            mirror: from("MirrorMode")
                .map(|(key, value)| one_of(MIRRORED, value, key))
                .transpose()?,
            text_pattern: pattern("BarcodeTextRegExPattern")?,
            bytes_pattern: pattern("BarcodeBytesRegExPattern")?,
            written: written.clone(),
        })
    }

    /// Return the name by which a template refers to it.
    pub(super) fn name(&self) -> &str {
        name_of(&self.written, "FormatSpecification").unwrap_or_default()
    }

    /// Return whether it applies to every format.
    pub(super) fn is_for_all(&self) -> bool {
        self.formats.is_none_or(|(formats, _)| formats & ALL_FORMATS == ALL_FORMATS)
    }

    /// Return both format words.
    pub(super) fn formats(&self) -> Option<(u32, u32)> {
        self.formats
    }

    /// Return whether it applies to the format of this barcode.
    pub(super) fn is_for(&self, barcode: &Decoded) -> bool {
        self.formats.is_none_or(|(formats, formats_2)| {
            (barcode.format & formats) | (barcode.format_2 & formats_2) != 0
        })
    }

    /// Drop a key, so that the number with the same meaning counts: the program has changed it
    /// since.
    pub(super) fn forget(&mut self, key: &str) {
        if self.written.remove(key).is_some() {
            // The specification was valid with this key, and no other key depends on it.
            if let Ok(rest) = Self::new(&self.written) {
                *self = rest;
            }
        }
    }

    /// Return whether a barcode of its formats, with corners in pixels, meets the requirements that
    /// no number can express.
    pub(super) fn is_met_by(&self, barcode: &Decoded) -> bool {
        let (width, height) = size(barcode);
        let is_mirrored = if barcode.is_mirrored { 2 } else { 1 };
        // An unknown size of a module cannot be judged.
        let has_module =
            barcode.module_pixels == 0 || self.module_sizes.hold(barcode.module_pixels);
        self.bytes_lengths.hold(i32::try_from(barcode.bytes.len()).unwrap_or(i32::MAX))
            && self.angles.hold(barcode.angle)
            && self.widths.hold(width)
            && self.heights.hold(height)
            && has_module
            && self
                .width_to_height_min
                .is_none_or(|ratio| i64::from(width) >= i64::from(ratio) * i64::from(height))
            && self.mirror.is_none_or(|mirror| mirror == 4 || mirror == is_mirrored)
            && self.text_pattern.as_ref().is_none_or(|pattern| pattern.is_match(&barcode.text))
            && self
                .bytes_pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&latin_1(&barcode.bytes)))
    }
}

/// Return the formats of a written specification. If only one of the two words is written, the
/// other one is empty.
fn formats(written: &Map<String, Value>) -> Result<Option<(u32, u32)>> {
    let word = |names, key| {
        written.get(key).map(|value| bits(names, value, key).map(i32::cast_unsigned)).transpose()
    };
    let words = (word(FORMATS, "BarcodeFormatIds")?, word(FORMATS_2, "BarcodeFormatIds_2")?);
    Ok(match words {
        (None, None) => None,
        (formats, formats_2) => Some((formats.unwrap_or(0), formats_2.unwrap_or(0))),
    })
}

/// Read ranges, such as `[{"MinValue": 4, "MaxValue": 200}]`.
fn ranges(value: &Value, key: &str) -> Result<Ranges> {
    let not_an_array =
        || failed(code::JSON_TYPE_INVALID, format!("{key} is {value}, and not an array"));
    let ranges = value.as_array().ok_or_else(not_an_array)?.iter();
    let range = |range: &Value| {
        let range = object(range, key)?;
        let side =
            |name, otherwise| range.get(name).map_or(Ok(otherwise), |value| integer(value, name));
        let (first, last) = (side("MinValue", 0)?, side("MaxValue", i32::MAX)?);
        if first <= last {
            return Ok((first, last));
        }
        let message = format!("{key} has a MinValue of {first}, above its MaxValue of {last}");
        Err(failed(code::JSON_VALUE_INVALID, message))
    };
    Ok(Ranges(ranges.map(range).collect::<Result<_>>()?))
}

fn pattern(value: &Value, key: &str) -> Result<Option<Regex>> {
    let text = text_of(value, key)?;
    if text.is_empty() {
        return Ok(None);
    }
    let pattern = Regex::new(text);
    pattern.map(Some).map_err(|e| failed(code::JSON_VALUE_INVALID, format!("{key} is {text}: {e}")))
}

/// Return width and height in the orientation of the symbol itself.
fn size(barcode: &Decoded) -> (i32, i32) {
    let [top_left, top_right, bottom_right, bottom_left] = barcode.corners;
    let length = |a: (i32, i32), b: (i32, i32)| {
        (f64::from(a.0) - f64::from(b.0)).hypot(f64::from(a.1) - f64::from(b.1))
    };
    let mean = |a: f64, b: f64| f64::midpoint(a, b).round() as i32;
    (
        mean(length(top_left, top_right), length(bottom_left, bottom_right)),
        mean(length(top_left, bottom_left), length(top_right, bottom_right)),
    )
}

/// Return bytes as a text for a pattern: each byte becomes the character with its number.
fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification(text: &str) -> Result<Specification> {
        Specification::new(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap())
    }

    fn barcode() -> Decoded {
        Decoded {
            format: 2,
            text: "ABC-12".into(),
            bytes: b"ABC-12".to_vec(),
            corners: [(10, 10), (110, 10), (110, 30), (10, 30)],
            angle: 0,
            confidence: 90,
            module_pixels: 3,
            ..Decoded::default()
        }
    }

    #[test]
    fn each_key_drops_what_does_not_have_it_and_keeps_what_has() {
        for (kept, dropped) in [
            (
                r#"{"BarcodeTextRegExPattern": "^ABC-[0-9]+$"}"#,
                r#"{"BarcodeTextRegExPattern": "^[0-9]+$"}"#,
            ),
            (r#"{"BarcodeBytesRegExPattern": "C-"}"#, r#"{"BarcodeBytesRegExPattern": "D-"}"#),
            (
                r#"{"BarcodeBytesLengthRangeArray": [{"MinValue": 1, "MaxValue": 2}, {"MinValue": 6}]}"#,
                r#"{"BarcodeBytesLengthRangeArray": [{"MinValue": 7}]}"#,
            ),
            (
                r#"{"BarcodeAngleRangeArray": [{"MaxValue": 10}]}"#,
                r#"{"BarcodeAngleRangeArray": [{"MinValue": 10, "MaxValue": 360}]}"#,
            ),
            (
                r#"{"BarcodeWidthRangeArray": [{"MinValue": 100}]}"#,
                r#"{"BarcodeWidthRangeArray": [{"MinValue": 101}]}"#,
            ),
            (
                r#"{"BarcodeHeightRangeArray": [{"MaxValue": 20}]}"#,
                r#"{"BarcodeHeightRangeArray": [{"MaxValue": 19}]}"#,
            ),
            (
                r#"{"ModuleSizeRangeArray": [{"MinValue": 3}]}"#,
                r#"{"ModuleSizeRangeArray": [{"MinValue": 4}]}"#,
            ),
            (
                r#"{"MinRatioOfBarcodeZoneWidthToHeight": 5}"#,
                r#"{"MinRatioOfBarcodeZoneWidthToHeight": 6}"#,
            ),
            (r#"{"MirrorMode": "MM_NORMAL"}"#, r#"{"MirrorMode": "MM_MIRROR"}"#),
        ] {
            assert!(specification(kept).unwrap().is_met_by(&barcode()), "{kept}");
            assert!(!specification(dropped).unwrap().is_met_by(&barcode()), "{dropped}");
        }
    }

    #[test]
    fn it_speaks_of_the_formats_that_it_names_and_without_any_of_all() {
        let for_code_128 = |text: &str| specification(text).unwrap().is_for(&barcode());
        assert!(for_code_128("{}"));
        assert!(for_code_128(r#"{"BarcodeFormatIds": ["BF_ONED"]}"#));
        assert!(!for_code_128(r#"{"BarcodeFormatIds": ["BF_QR_CODE"]}"#));
        assert!(!for_code_128(r#"{"BarcodeFormatIds_2": ["BF2_ALL"]}"#));
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_by_its_key() {
        for (text, refused) in [
            (r#"{"MinResultConfidence": 101}"#, code::JSON_VALUE_INVALID),
            (r#"{"MinResultConfidence": "high"}"#, code::JSON_TYPE_INVALID),
            (r#"{"BarcodeWidthRangeArray": 5}"#, code::JSON_TYPE_INVALID),
            (
                r#"{"BarcodeWidthRangeArray": [{"MinValue": 5, "MaxValue": 4}]}"#,
                code::JSON_VALUE_INVALID,
            ),
            (r#"{"MirrorMode": "MM_NO"}"#, code::JSON_VALUE_INVALID),
            (r#"{"BarcodeTextRegExPattern": "("}"#, code::JSON_VALUE_INVALID),
        ] {
            let error = specification(text).unwrap_err();
            assert_eq!(error.code, refused, "{text}");
            let key = text.split('"').nth(1).unwrap();
            assert!(error.message.contains(key), "{}", error.message);
        }
    }
}
