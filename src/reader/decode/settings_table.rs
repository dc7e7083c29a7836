//! The table of all settings: name in templates, place among the numbers, allowed values, and
//! default.

/// The places of the settings that have an effect, counted in numbers of four bytes.
pub(super) mod word {
    pub(in crate::reader::decode) const TERMINATE_PHASE: usize = 0;
    pub(in crate::reader::decode) const TIMEOUT: usize = 1;
    pub(in crate::reader::decode) const EXPECTED_COUNT: usize = 3;
    pub(in crate::reader::decode) const FORMATS: usize = 4;
    pub(in crate::reader::decode) const FORMATS_2: usize = 5;
    pub(in crate::reader::decode) const BINARIZATION_MODES: usize = 8;
    pub(in crate::reader::decode) const LOCALIZATION_MODES: usize = 16;
    pub(in crate::reader::decode) const DEFORMATION_MODES: usize = 89;
    pub(in crate::reader::decode) const DEBLUR_LEVEL: usize = 129;
    pub(in crate::reader::decode) const INTERMEDIATE_TYPES: usize = 130;
    pub(in crate::reader::decode) const COORDINATE_TYPE: usize = 132;
    pub(in crate::reader::decode) const ORDER_MODES: usize = 133;
    /// Top, left, right, bottom, and whether they are in percent.
    pub(in crate::reader::decode) const REGION: usize = 142;
    pub(in crate::reader::decode) const TEXT_LENGTH_MIN: usize = 147;
    pub(in crate::reader::decode) const CONFIDENCE_MIN: usize = 148;
    pub(in crate::reader::decode) const BORDER_DISTANCE: usize = 168;
}

/// A name that a template uses for a number.
pub(super) type Name = (&'static str, i32);

/// The allowed values of a setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A number within a range, first and last included.
    Number(i32, i32),
    /// A single value of a list.
    One(&'static [Name]),
    /// A single value of a list, which has arguments in a template.
    OneMode(&'static [Name]),
    /// Several values of a list in an order, with arguments; 0 is none.
    Modes(&'static [Name]),
    /// Any values of a list together, as bits.
    Bits(&'static [Name]),
}

/// A row of the table of settings.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name in templates.
    pub(super) name: &'static str,
    /// The place of its first number.
    pub(super) at: usize,
    /// The count of its numbers.
    pub(super) count: usize,
    pub(super) kind: Kind,
    /// The default; numbers beyond the end are 0.
    pub(super) first: &'static [i32],
}

const fn entry(
    name: &'static str,
    at: usize,
    count: usize,
    kind: Kind,
    first: &'static [i32],
) -> Entry {
    Entry { name, at, count, kind, first }
}

/// All settings but the region, which is a separate part in templates.
pub(super) const TABLE: &[Entry] = &[
    entry("TerminatePhase", word::TERMINATE_PHASE, 1, Kind::One(PHASES), &[32]),
    entry("Timeout", word::TIMEOUT, 1, Kind::Number(0, i32::MAX), &[10_000]),
    entry("MaxAlgorithmThreadCount", 2, 1, Kind::Number(1, 4), &[4]),
    entry("ExpectedBarcodesCount", word::EXPECTED_COUNT, 1, Kind::Number(0, i32::MAX), &[0]),
    entry("BarcodeFormatIds", word::FORMATS, 1, Kind::Bits(FORMATS), &[-31_457_281]),
    entry("BarcodeFormatIds_2", word::FORMATS_2, 1, Kind::Bits(FORMATS_2), &[0]),
    entry("PDFRasterDPI", 6, 1, Kind::Number(100, 600), &[300]),
    entry("ScaleDownThreshold", 7, 1, Kind::Number(8, i32::MAX), &[2300]),
    entry("BinarizationModes", word::BINARIZATION_MODES, 8, Kind::Modes(BINARIZATION), &[2]),
    entry(
        "LocalizationModes",
        word::LOCALIZATION_MODES,
        8,
        Kind::Modes(LOCALIZATION),
        &[2, 16, 4, 8],
    ),
    entry("ColorClusteringModes", 24, 8, Kind::Modes(CLUSTERING), &[0]),
    entry("ColorConversionModes", 32, 8, Kind::Modes(CONVERSION), &[1]),
    entry("GrayscaleTransformationModes", 40, 8, Kind::Modes(TRANSFORMATION), &[2]),
    entry("RegionPredetectionModes", 48, 8, Kind::Modes(PREDETECTION), &[2]),
    entry("ImagePreprocessingModes", 56, 8, Kind::Modes(PREPROCESSING), &[2]),
    entry("TextureDetectionModes", 64, 8, Kind::Modes(TEXTURE), &[2]),
    entry("TextFilterModes", 72, 8, Kind::Modes(TEXT_FILTER), &[2]),
    entry("TextAssistedCorrectionMode", 80, 1, Kind::OneMode(CORRECTION), &[2]),
    entry("DPMCodeReadingModes", 81, 8, Kind::Modes(DPM), &[0]),
    entry("DeformationResistingModes", word::DEFORMATION_MODES, 8, Kind::Modes(DEFORMATION), &[0]),
    entry("BarcodeComplementModes", 97, 8, Kind::Modes(COMPLEMENT), &[0]),
    entry("BarcodeColorModes", 105, 8, Kind::Modes(COLOUR), &[1]),
    entry("AccompanyingTextRecognitionModes", 113, 8, Kind::Modes(ACCOMPANYING), &[0]),
    entry("DeblurLevel", word::DEBLUR_LEVEL, 1, Kind::Number(0, 9), &[9]),
    entry("IntermediateResultTypes", word::INTERMEDIATE_TYPES, 1, Kind::Bits(RESULT_TYPES), &[0]),
    entry("IntermediateResultSavingMode", 131, 1, Kind::OneMode(SAVING), &[1]),
    entry("ResultCoordinateType", word::COORDINATE_TYPE, 1, Kind::One(COORDINATES), &[1]),
    entry("TextResultOrderModes", word::ORDER_MODES, 8, Kind::Modes(ORDER), &[1, 2, 4]),
    entry("ReturnBarcodeZoneClarity", 141, 1, Kind::Number(0, 1), &[0]),
    entry("MinBarcodeTextLength", word::TEXT_LENGTH_MIN, 1, Kind::Number(0, i32::MAX), &[0]),
    entry("MinResultConfidence", word::CONFIDENCE_MIN, 1, Kind::Number(0, 100), &[30]),
    entry("ScaleUpModes", 149, 8, Kind::Modes(SCALE_UP), &[1]),
    entry("PDFReadingMode", 157, 1, Kind::OneMode(PDF), &[1]),
    entry("DeblurModes", 158, 10, Kind::Modes(DEBLUR), &[0]),
    entry(
        "BarcodeZoneMinDistanceToImageBorders",
        word::BORDER_DISTANCE,
        1,
        Kind::Number(0, i32::MAX),
        &[0],
    ),
];

const BINARIZATION: &[Name] =
    &[("BM_AUTO", 1), ("BM_LOCAL_BLOCK", 2), ("BM_THRESHOLD", 4), ("BM_REV", i32::MIN)];
const LOCALIZATION: &[Name] = &[
    ("LM_AUTO", 1),
    ("LM_CONNECTED_BLOCKS", 2),
    ("LM_STATISTICS", 4),
    ("LM_LINES", 8),
    ("LM_SCAN_DIRECTLY", 0x10),
    ("LM_STATISTICS_MARKS", 0x20),
    ("LM_STATISTICS_POSTAL_CODE", 0x40),
    ("LM_CENTRE", 0x80),
    ("LM_ONED_FAST_SCAN", 0x100),
    ("LM_REV", i32::MIN),
];
const CLUSTERING: &[Name] = &[("CCM_AUTO", 1), ("CCM_GENERAL_HSV", 2), ("CCM_REV", i32::MIN)];
const CONVERSION: &[Name] = &[("CICM_GENERAL", 1), ("CICM_REV", i32::MIN)];
const TRANSFORMATION: &[Name] = &[("GTM_INVERTED", 1), ("GTM_ORIGINAL", 2), ("GTM_REV", i32::MIN)];
const PREDETECTION: &[Name] = &[
    ("RPM_AUTO", 1),
    ("RPM_GENERAL", 2),
    ("RPM_GENERAL_RGB_CONTRAST", 4),
    ("RPM_GENERAL_GRAY_CONTRAST", 8),
    ("RPM_GENERAL_HSV_CONTRAST", 0x10),
    ("RPM_REV", i32::MIN),
];
const PREPROCESSING: &[Name] = &[
    ("IPM_AUTO", 1),
    ("IPM_GENERAL", 2),
    ("IPM_GRAY_EQUALIZE", 4),
    ("IPM_GRAY_SMOOTH", 8),
    ("IPM_SHARPEN_SMOOTH", 0x10),
    ("IPM_MORPHOLOGY", 0x20),
    ("IPM_REV", i32::MIN),
];
const TEXTURE: &[Name] =
    &[("TDM_AUTO", 1), ("TDM_GENERAL_WIDTH_CONCENTRATION", 2), ("TDM_REV", i32::MIN)];
const TEXT_FILTER: &[Name] = &[("TFM_AUTO", 1), ("TFM_GENERAL_CONTOUR", 2), ("TFM_REV", i32::MIN)];
const CORRECTION: &[Name] = &[
    ("TACM_SKIP", 0),
    ("TACM_AUTO", 1),
    ("TACM_VERIFYING", 2),
    ("TACM_VERIFYING_PATCHING", 4),
    ("TACM_REV", i32::MIN),
];
const DPM: &[Name] = &[("DPMCRM_AUTO", 1), ("DPMCRM_GENERAL", 2), ("DPMCRM_REV", i32::MIN)];
const DEFORMATION: &[Name] = &[
    ("DRM_AUTO", 1),
    ("DRM_GENERAL", 2),
    ("DRM_BROAD_WARP", 4),
    ("DRM_LOCAL_REFERENCE", 8),
    ("DRM_DEWRINKLE", 0x10),
    ("DRM_REV", i32::MIN),
];
const COMPLEMENT: &[Name] = &[("BCM_AUTO", 1), ("BCM_GENERAL", 2), ("BCM_REV", i32::MIN)];
const COLOUR: &[Name] = &[
    ("BICM_DARK_ON_LIGHT", 1),
    ("BICM_LIGHT_ON_DARK", 2),
    ("BICM_DARK_ON_DARK", 4),
    ("BICM_LIGHT_ON_LIGHT", 8),
    ("BICM_DARK_LIGHT_MIXED", 0x10),
    ("BICM_DARK_ON_LIGHT_DARK_SURROUNDING", 0x20),
    ("BICM_REV", i32::MIN),
];
const ACCOMPANYING: &[Name] = &[("ATRM_GENERAL", 1), ("ATRM_REV", i32::MIN)];
const SAVING: &[Name] =
    &[("IRSM_MEMORY", 1), ("IRSM_FILESYSTEM", 2), ("IRSM_BOTH", 4), ("IRSM_REFERENCE_MEMORY", 8)];
const COORDINATES: &[Name] = &[("RCT_PIXEL", 1), ("RCT_PERCENTAGE", 2)];
const ORDER: &[Name] =
    &[("TROM_CONFIDENCE", 1), ("TROM_POSITION", 2), ("TROM_FORMAT", 4), ("TROM_REV", i32::MIN)];
const SCALE_UP: &[Name] = &[
    ("SUM_AUTO", 1),
    ("SUM_LINEAR_INTERPOLATION", 2),
    ("SUM_NEAREST_NEIGHBOUR_INTERPOLATION", 4),
    ("SUM_REV", i32::MIN),
];
const PDF: &[Name] =
    &[("PDFRM_AUTO", 1), ("PDFRM_VECTOR", 2), ("PDFRM_RASTER", 4), ("PDFRM_REV", i32::MIN)];
const DEBLUR: &[Name] = &[
    ("DM_DIRECT_BINARIZATION", 1),
    ("DM_THRESHOLD_BINARIZATION", 2),
    ("DM_GRAY_EQUALIZATION", 4),
    ("DM_SMOOTHING", 8),
    ("DM_MORPHING", 0x10),
    ("DM_DEEP_ANALYSIS", 0x20),
    ("DM_SHARPENING", 0x40),
    ("DM_BASED_ON_LOC_BIN", 0x80),
    ("DM_SHARPENING_SMOOTHING", 0x100),
    ("DM_REV", i32::MIN),
];
const PHASES: &[Name] = &[
    ("TP_REGION_PREDETECTED", 1),
    ("TP_IMAGE_PREPROCESSED", 2),
    ("TP_IMAGE_BINARIZED", 4),
    ("TP_BARCODE_LOCALIZED", 8),
    ("TP_BARCODE_TYPE_DETERMINED", 0x10),
    ("TP_BARCODE_RECOGNIZED", 0x20),
];
pub(super) const FORMATS: &[Name] = &[
    ("BF_ALL", -31_457_281),
    ("BF_ONED", 0x10_07ff),
    ("BF_GS1_DATABAR", 0x3_f800),
    ("BF_CODE_39", 1),
    ("BF_CODE_128", 2),
    ("BF_CODE_93", 4),
    ("BF_CODABAR", 8),
    ("BF_ITF", 0x10),
    ("BF_EAN_13", 0x20),
    ("BF_EAN_8", 0x40),
    ("BF_UPC_A", 0x80),
    ("BF_UPC_E", 0x100),
    ("BF_INDUSTRIAL_25", 0x200),
    ("BF_CODE_39_EXTENDED", 0x400),
    ("BF_GS1_DATABAR_OMNIDIRECTIONAL", 0x800),
    ("BF_GS1_DATABAR_TRUNCATED", 0x1000),
    ("BF_GS1_DATABAR_STACKED", 0x2000),
    ("BF_GS1_DATABAR_STACKED_OMNIDIRECTIONAL", 0x4000),
    ("BF_GS1_DATABAR_EXPANDED", 0x8000),
    ("BF_GS1_DATABAR_EXPANDED_STACKED", 0x1_0000),
    ("BF_GS1_DATABAR_LIMITED", 0x2_0000),
    ("BF_PATCHCODE", 0x4_0000),
    ("BF_MICRO_PDF417", 0x8_0000),
    ("BF_MSI_CODE", 0x10_0000),
    ("BF_CODE_11", 0x20_0000),
    ("BF_PDF417", 0x200_0000),
    ("BF_QR_CODE", 0x400_0000),
    ("BF_DATAMATRIX", 0x800_0000),
    ("BF_AZTEC", 0x1000_0000),
    ("BF_MAXICODE", 0x2000_0000),
    ("BF_MICRO_QR", 0x4000_0000),
    ("BF_GS1_COMPOSITE", i32::MIN),
    ("BF_NULL", 0),
];
pub(super) const FORMATS_2: &[Name] = &[
    ("BF2_ALL", -1),
    ("BF2_POSTALCODE", 0x1f0_0000),
    ("BF2_PHARMACODE", 0xc),
    ("BF2_NONSTANDARD_BARCODE", 1),
    ("BF2_DOTCODE", 2),
    ("BF2_PHARMACODE_ONE_TRACK", 4),
    ("BF2_PHARMACODE_TWO_TRACK", 8),
    ("BF2_USPSINTELLIGENTMAIL", 0x10_0000),
    ("BF2_POSTNET", 0x20_0000),
    ("BF2_PLANET", 0x40_0000),
    ("BF2_AUSTRALIANPOST", 0x80_0000),
    ("BF2_RM4SCC", 0x100_0000),
    ("BF2_NULL", 0),
];
const RESULT_TYPES: &[Name] = &[
    ("IRT_ORIGINAL_IMAGE", 1),
    ("IRT_COLOUR_CLUSTERED_IMAGE", 2),
    ("IRT_COLOUR_CONVERTED_GRAYSCALE_IMAGE", 4),
    ("IRT_TRANSFORMED_GRAYSCALE_IMAGE", 8),
    ("IRT_PREDETECTED_REGION", 0x10),
    ("IRT_PREPROCESSED_IMAGE", 0x20),
    ("IRT_BINARIZED_IMAGE", 0x40),
    ("IRT_TEXT_ZONE", 0x80),
    ("IRT_CONTOUR", 0x100),
    ("IRT_LINE_SEGMENT", 0x200),
    ("IRT_FORM", 0x400),
    ("IRT_SEGMENTATION_BLOCK", 0x800),
    ("IRT_TYPED_BARCODE_ZONE", 0x1000),
    ("IRT_PREDETECTED_QUADRILATERAL", 0x2000),
    ("IRT_NO_RESULT", 0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::decode::settings::SETTINGS_WORDS;

    #[test]
    fn no_two_settings_share_a_number_and_only_what_is_reserved_is_left() {
        let mut used = [false; SETTINGS_WORDS];
        used[word::REGION..][..5].fill(true);
        for entry in TABLE {
            for place in &mut used[entry.at..][..entry.count] {
                assert!(!std::mem::replace(place, true), "{}", entry.name);
            }
        }
        let free: Vec<usize> = (0..SETTINGS_WORDS).filter(|at| !used[*at]).collect();
        assert_eq!(free, (121..129).chain(169..178).collect::<Vec<_>>());
    }
}
