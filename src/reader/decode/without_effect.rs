//! What a program has set that this engine does nothing with. Such a setting is never accepted in silence: it is
//! listed under `WithoutEffect` where the settings go out as a text.
//!
//! A setting that asks for nothing, because it has its documented default, is not listed.

use serde_json::{Map, Value};

use super::profile::Profile;
use super::settings::Settings;
use super::settings_table::{Entry, TABLE, word};

/// The key of the list in a text of settings. It is not read back.
pub(super) const KEY: &str = "WithoutEffect";

/// Keys of a `RegionDefinition`: all have an effect.
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

impl Profile {
    /// List what is set and has no effect, each with the part to which it belongs.
    pub fn without_effect(&self) -> Vec<String> {
        let mut found: Vec<String> = self.unused.iter().cloned().collect();
        let settings = TABLE.iter().filter(|entry| !asks_nothing(entry, &self.settings));
        let settings = settings.filter(|entry| !has_effect(entry, &self.settings));
        found.extend(settings.map(|entry| format!("ImageParameter.{}", entry.name)));
        for ((modes, index), arguments) in &self.arguments {
            let arguments = arguments.iter().filter(|(_, value)| !value.is_empty());
            found.extend(arguments.map(|(name, _)| format!("ImageParameter.{modes}[{index}].{name}")));
        }
        let others = self.rest.keys().filter(|key| *key != "Description");
        found.extend(others.map(|key| format!("ImageParameter.{key}")));
        for region in &self.regions {
            found.extend(region.rest.keys().map(|key| format!("RegionDefinition {}.{key}", region.name)));
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

/// Whether a setting that is not the default changes what is read or given out.
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

fn specification_keys(written: &Map<String, Value>) -> impl Iterator<Item = &String> {
    written.iter().filter(|(key, _)| !SPECIFICATION_KEYS.contains(&key.as_str())).filter_map(
        |(key, value)| {
            let is_default =
                DEFAULTS.iter().any(|(known, default)| known == key && value.to_string() == *default);
            let skips = value.as_array().is_some_and(|modes| modes.is_empty());
            (!is_default && !skips).then_some(key)
        },
    )
}
