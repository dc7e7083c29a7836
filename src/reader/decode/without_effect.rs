//! The settings of a program that have no effect with this engine. They are not accepted silently:
//! the text of the settings lists them under `WithoutEffect`.
//!
//! A setting with its documented default asks for nothing, so it is not listed.

use serde_json::{Map, Value};

use super::profile::Profile;
use super::settings::Settings;
use super::settings_table::{Entry, FORMATS, FORMATS_2, Name, TABLE, word};

/// The key of the list in a text of settings. It is ignored when the text is read.
pub(super) const KEY: &str = "WithoutEffect";

/// Keys of a `RegionDefinition`. All of them have an effect.
pub(super) const REGION_KEYS: [&str; 10] = [
    "Name",
    "Left",
    "Top",
    "Right",
    "Bottom",
    "MeasuredByPercentage",
    "BarcodeFormatIds",
    "BarcodeFormatIds_2",
    "ExpectedBarcodesCount",
    "FormatSpecificationNameArray",
];

/// Keys of a `FormatSpecification` that have an effect.
const SPECIFICATION_KEYS: [&str; 15] = [
    "Name",
    "BarcodeFormatIds",
    "BarcodeFormatIds_2",
    "MinResultConfidence",
    "BarcodeTextLengthRangeArray",
    "BarcodeBytesLengthRangeArray",
    "BarcodeTextRegExPattern",
    "BarcodeBytesRegExPattern",
    "BarcodeAngleRangeArray",
    "BarcodeWidthRangeArray",
    "BarcodeHeightRangeArray",
    "ModuleSizeRangeArray",
    "MinRatioOfBarcodeZoneWidthToHeight",
    "BarcodeZoneMinDistanceToImageBorders",
    "MirrorMode",
];

/// Defaults of the other keys of a `FormatSpecification`, as JSON.
const DEFAULTS: [(&str, &str); 17] = [
    ("AllModuleDeviation", "0"),
    ("AustralianPostEncodingTable", "\"C\""),
    ("Code128Subset", "\"\""),
    ("DeblurLevel", "9"),
    ("EnableDataMatrixECC000-140", "0"),
    ("EnableQRCodeModel1", "0"),
    ("FindUnevenModuleBarcode", "1"),
    ("HeadModuleRatio", "\"\""),
    ("MSICodeCheckDigitCalculation", "\"MSICCDC_MOD_10\""),
    ("MinQuietZoneWidth", "4"),
    ("PartitionModes", "[\"PM_WHOLE_BARCODE\",\"PM_ALIGNMENT_PARTITION\"]"),
    (
        "PatchCodeSearchingMargins",
        "{\"Bottom\":20,\"Left\":20,\"MeasuredByPercentage\":1,\"Right\":20,\"Top\":20}",
    ),
    ("RequireStartStopChars", "1"),
    ("ReturnPartialBarcodeValue", "1"),
    ("StandardFormat", "\"\""),
    ("TailModuleRatio", "\"\""),
    ("VerifyCheckDigit", "0"),
];

/// Formats that the engine does not read.
const UNREAD: u32 = 0x8034_0200;
const UNREAD_2: u32 = 0x01f0_000e;

/// List the chosen formats of both words that are not read, unless the word is the default.
fn unread(part: &str, words: [Option<u32>; 2]) -> Vec<String> {
    // The defaults are BF_ALL, which has one format more in 9.x, and BF2_NULL.
    let is_default = |word: &u32| [0xfe1f_ffff, 0xfe3f_ffff, 0].contains(word);
    let kinds =
        [("BarcodeFormatIds", FORMATS, UNREAD), ("BarcodeFormatIds_2", FORMATS_2, UNREAD_2)];
    let chosen = kinds.into_iter().zip(words);
    let chosen =
        chosen.filter_map(|(kind, word)| Some((kind, word.filter(|word| !is_default(word))?)));
    let of_word = |((key, names, unread), word): ((&str, &'static [Name], u32), u32)| {
        let is_one = move |name: &&Name| {
            let bits = name.1.cast_unsigned();
            bits.is_power_of_two() && bits & unread & word != 0
        };
        let prefix = format!("{part}.{key}");
        names
            .iter()
            .filter(is_one)
            .map(move |(name, _)| format!("{prefix}.{name}"))
            .collect::<Vec<_>>()
    };
    chosen.flat_map(of_word).collect()
}

impl Profile {
    /// List the settings that have no effect, each with the part to which it belongs.
    pub fn without_effect(&self) -> Vec<String> {
        let mut found: Vec<String> = self.unused.iter().cloned().collect();
        let (formats, formats_2) = self.settings.formats();
        found.extend(unread("ImageParameter", [Some(formats), Some(formats_2)]));
        for region in &self.regions {
            found.extend(unread(&format!("RegionDefinition {}", region.name), region.formats));
        }
        let settings = TABLE.iter().filter(|entry| !asks_nothing(entry, &self.settings));
        let settings = settings.filter(|entry| !has_effect(entry, &self.settings));
        found.extend(settings.map(|entry| format!("ImageParameter.{}", entry.name)));
        for ((modes, index), arguments) in &self.arguments {
            let arguments = arguments.iter().filter(|(_, value)| !value.is_empty());
            found.extend(
                arguments.map(|(name, _)| format!("ImageParameter.{modes}[{index}].{name}")),
            );
        }
        let others = self.rest.keys().filter(|key| *key != "Description");
        found.extend(others.map(|key| format!("ImageParameter.{key}")));
        for region in &self.regions {
            found.extend(
                region.rest.keys().map(|key| format!("RegionDefinition {}.{key}", region.name)),
            );
        }
        let of_regions = self.regions.iter().flat_map(|region| &region.specifications);
        for specification in self.specifications.iter().chain(of_regions) {
            let name = specification.name();
            let keys = specification_keys(&specification.written);
            found.extend(keys.map(|key| format!("FormatSpecification {name}.{key}")));
        }
        found.sort();
        found.dedup();
        found
    }
}

fn asks_nothing(entry: &Entry, settings: &Settings) -> bool {
    let firsts = entry.first.iter().chain(std::iter::repeat(&0));
    settings.values(entry).iter().zip(firsts).all(|(value, first)| value == first)
}

/// Return whether a setting that is not the default changes what is read or returned.
fn has_effect(entry: &Entry, settings: &Settings) -> bool {
    let search = settings.search();
    match entry.at {
        word::BINARIZATION_MODES => search.one_threshold,
        word::LOCALIZATION_MODES => settings.is_fast_localization(),
        word::DEBLUR_LEVEL => settings.values(entry) == [0],
        word::TERMINATE_PHASE
        | word::TIMEOUT
        | word::EXPECTED_COUNT
        | word::FORMATS
        | word::FORMATS_2
        | word::DEFORMATION_MODES
        | word::INTERMEDIATE_TYPES
        | word::COORDINATE_TYPE
        | word::ORDER_MODES
        | word::TEXT_LENGTH_MIN
        | word::CONFIDENCE_MIN
        | word::BORDER_DISTANCE => true,
        _ => false,
    }
}

/// Return whether a value equals this JSON text.
fn has_value(json: &str, value: &Value) -> bool {
    serde_json::from_str::<Value>(json).is_ok_and(|expected| expected == *value)
}

fn specification_keys(written: &Map<String, Value>) -> impl Iterator<Item = &String> {
    written.iter().filter(|(key, _)| !SPECIFICATION_KEYS.contains(&key.as_str())).filter_map(
        |(key, value)| {
            let is_default =
                DEFAULTS.iter().any(|(known, default)| known == key && has_value(default, value));
            let skips = value.as_array().is_some_and(|modes| modes.is_empty());
            (!is_default && !skips).then_some(key)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_chosen_and_not_read_is_listed() {
        let listed = |formats: i32, formats_2: i32| {
            let mut profile = Profile::default();
            let mut words = *profile.settings().words();
            (words[word::FORMATS], words[word::FORMATS_2]) = (formats, formats_2);
            profile.update(words).unwrap();
            profile.without_effect()
        };
        assert!(listed(-31_457_281, 0).is_empty(), "the default");
        assert!(listed(-29_360_129, 0).is_empty(), "that of 9.x");
        assert!(listed(0x400_0000, 1).is_empty(), "what is read");
        assert_eq!(
            listed(0x404_0000, 2),
            [
                "ImageParameter.BarcodeFormatIds.BF_PATCHCODE",
                "ImageParameter.BarcodeFormatIds_2.BF2_DOTCODE"
            ]
        );
        let every = listed(i32::MIN, -1);
        assert_eq!(every.len(), 1 + 8, "{every:?}");
    }

    #[test]
    fn a_setting_whose_value_does_nothing_is_listed_and_one_that_does_is_not() {
        let mut profile = Profile::default();
        let mut words = *profile.settings().words();
        words[word::DEBLUR_LEVEL] = 5;
        words[word::LOCALIZATION_MODES] = 8;
        words[word::TIMEOUT] = 5;
        profile.update(words).unwrap();
        assert_eq!(
            profile.without_effect(),
            ["ImageParameter.DeblurLevel", "ImageParameter.LocalizationModes"]
        );
    }
}
