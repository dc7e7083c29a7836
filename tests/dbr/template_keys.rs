//! Every documented key of a template, set to a value that must change something. The key has an
//! effect, is listed as without effect, or is refused, as the table in `docs/dbr-compat.md` says.
//! `null` means "not set".

use std::collections::BTreeMap;

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};
use seatmeter::reader::{Conflict, Picture, Profiles, Reader, ZxingEngine, read_page};
use serde_json::{Value, json};
use zxingcpp::BarcodeFormat as F;

use crate::made_pictures;

const IMAGE: &str = r#"{"ImageParameter": {"Name": "P"}}"#;
const REGION: &str = r#"{"ImageParameter": {"Name": "P", "RegionDefinitionNameArray": ["R"]},
                         "RegionDefinition": {"Name": "R", "MeasuredByPercentage": 1}}"#;
const FORMAT: &str = r#"{"ImageParameter": {"Name": "P", "FormatSpecificationNameArray": ["F"]},
                         "FormatSpecification": {"Name": "F"}}"#;

/// The place of a key, and a value that differs from its default.
const KEYS: &[(&str, &str, &str)] = &[
    ("ImageParameter", "BarcodeFormatIds", r#"["BF_QR_CODE"]"#),
    ("ImageParameter", "BarcodeFormatIds_2", r#"["BF2_NONSTANDARD_BARCODE"]"#),
    ("ImageParameter", "ExpectedBarcodesCount", "1"),
    ("ImageParameter", "Timeout", "1"),
    ("ImageParameter", "TerminatePhase", r#""TP_BARCODE_LOCALIZED""#),
    ("ImageParameter", "MaxAlgorithmThreadCount", "1"),
    ("ImageParameter", "PDFRasterDPI", "200"),
    ("ImageParameter", "PDFReadingMode", r#"{"Mode": "PDFRM_RASTER"}"#),
    ("ImageParameter", "Pages", r#""1""#),
    ("ImageParameter", "ScaleDownThreshold", "100"),
    ("ImageParameter", "ScaleUpModes", r#"[{"Mode": "SUM_LINEAR_INTERPOLATION"}]"#),
    ("ImageParameter", "BinarizationModes", r#"[{"Mode": "BM_THRESHOLD"}]"#),
    ("ImageParameter", "LocalizationModes", r#"[{"Mode": "LM_SCAN_DIRECTLY"}]"#),
    ("ImageParameter", "ColorClusteringModes", r#"[{"Mode": "CCM_GENERAL_HSV"}]"#),
    (
        "ImageParameter",
        "ColorConversionModes",
        r#"[{"Mode": "CICM_GENERAL", "BlueChannelWeight": 1000}]"#,
    ),
    ("ImageParameter", "GrayscaleTransformationModes", r#"[{"Mode": "GTM_INVERTED"}]"#),
    ("ImageParameter", "RegionPredetectionModes", r#"[{"Mode": "RPM_GENERAL_RGB_CONTRAST"}]"#),
    ("ImageParameter", "ImagePreprocessingModes", r#"[{"Mode": "IPM_GRAY_EQUALIZE"}]"#),
    ("ImageParameter", "TextureDetectionModes", r#"[{"Mode": "TDM_SKIP"}]"#),
    ("ImageParameter", "TextFilterModes", r#"[{"Mode": "TFM_SKIP"}]"#),
    ("ImageParameter", "TextAssistedCorrectionMode", r#"{"Mode": "TACM_SKIP"}"#),
    ("ImageParameter", "DPMCodeReadingModes", r#"[{"Mode": "DPMCRM_GENERAL"}]"#),
    ("ImageParameter", "DeformationResistingModes", r#"[{"Mode": "DRM_GENERAL"}]"#),
    ("ImageParameter", "BarcodeComplementModes", r#"[{"Mode": "BCM_GENERAL"}]"#),
    ("ImageParameter", "BarcodeColorModes", r#"[{"Mode": "BICM_LIGHT_ON_DARK"}]"#),
    ("ImageParameter", "AccompanyingTextRecognitionModes", r#"[{"Mode": "ATRM_GENERAL"}]"#),
    ("ImageParameter", "DeblurLevel", "0"),
    ("ImageParameter", "DeblurModes", r#"[{"Mode": "DM_DEEP_ANALYSIS"}]"#),
    ("ImageParameter", "IntermediateResultTypes", r#"["IRT_CONTOUR"]"#),
    ("ImageParameter", "IntermediateResultSavingMode", r#"{"Mode": "IRSM_BOTH"}"#),
    ("ImageParameter", "ResultCoordinateType", r#""RCT_PERCENTAGE""#),
    ("ImageParameter", "TextResultOrderModes", r#"[{"Mode": "TROM_FORMAT"}]"#),
    ("ImageParameter", "ReturnBarcodeZoneClarity", "1"),
    ("ImageParameter", "MinBarcodeTextLength", "100"),
    ("ImageParameter", "MinResultConfidence", "100"),
    ("ImageParameter", "BarcodeZoneMinDistanceToImageBorders", "300"),
    ("ImageParameter", "FormatSpecificationNameArray", r#"["F"]"#),
    ("ImageParameter", "RegionDefinitionNameArray", r#"["R"]"#),
    ("ImageParameter", "NoSuchKey", "1"),
    ("RegionDefinition", "BarcodeFormatIds", r#"["BF_QR_CODE"]"#),
    ("RegionDefinition", "BarcodeFormatIds_2", r#"["BF2_NONSTANDARD_BARCODE"]"#),
    ("RegionDefinition", "ExpectedBarcodesCount", "1"),
    ("RegionDefinition", "Left", "50"),
    ("RegionDefinition", "Top", "50"),
    ("RegionDefinition", "Right", "40"),
    ("RegionDefinition", "Bottom", "40"),
    ("RegionDefinition", "MeasuredByPercentage", "0"),
    ("RegionDefinition", "FormatSpecificationNameArray", r#"["F"]"#),
    ("RegionDefinition", "NoSuchKey", "1"),
    ("FormatSpecification", "BarcodeFormatIds", r#"["BF_QR_CODE"]"#),
    ("FormatSpecification", "BarcodeFormatIds_2", r#"["BF2_NONSTANDARD_BARCODE"]"#),
    ("FormatSpecification", "MinResultConfidence", "100"),
    ("FormatSpecification", "BarcodeTextLengthRangeArray", r#"[{"MinValue": 1, "MaxValue": 8}]"#),
    ("FormatSpecification", "BarcodeBytesLengthRangeArray", r#"[{"MinValue": 1, "MaxValue": 8}]"#),
    ("FormatSpecification", "BarcodeTextRegExPattern", r#""^[0-9]+$""#),
    ("FormatSpecification", "BarcodeBytesRegExPattern", r#""^[0-9]+$""#),
    ("FormatSpecification", "BarcodeAngleRangeArray", r#"[{"MinValue": 80, "MaxValue": 100}]"#),
    ("FormatSpecification", "BarcodeWidthRangeArray", r#"[{"MinValue": 1000, "MaxValue": 2000}]"#),
    ("FormatSpecification", "BarcodeHeightRangeArray", r#"[{"MinValue": 1000, "MaxValue": 2000}]"#),
    ("FormatSpecification", "ModuleSizeRangeArray", r#"[{"MinValue": 90, "MaxValue": 100}]"#),
    ("FormatSpecification", "MinRatioOfBarcodeZoneWidthToHeight", "2"),
    ("FormatSpecification", "BarcodeZoneMinDistanceToImageBorders", "300"),
    ("FormatSpecification", "MirrorMode", r#""MM_MIRROR""#),
    ("FormatSpecification", "AllModuleDeviation", "1"),
    ("FormatSpecification", "AustralianPostEncodingTable", r#""N""#),
    ("FormatSpecification", "BarcodeComplementModes", r#"[{"Mode": "BCM_GENERAL"}]"#),
    ("FormatSpecification", "BarcodeZoneBarCountRangeArray", r#"[{"MinValue": 1, "MaxValue": 2}]"#),
    ("FormatSpecification", "Code128Subset", r#""A""#),
    ("FormatSpecification", "DeblurLevel", "0"),
    ("FormatSpecification", "DeformationResistingModes", r#"[{"Mode": "DRM_GENERAL"}]"#),
    ("FormatSpecification", "EnableDataMatrixECC000-140", "1"),
    ("FormatSpecification", "EnableQRCodeModel1", "1"),
    ("FormatSpecification", "FindUnevenModuleBarcode", "0"),
    ("FormatSpecification", "HeadModuleRatio", r#""211412""#),
    ("FormatSpecification", "MSICodeCheckDigitCalculation", r#""MSICCDC_MOD_11_IBM""#),
    ("FormatSpecification", "MinQuietZoneWidth", "10"),
    ("FormatSpecification", "PartitionModes", r#"["PM_WHOLE_BARCODE"]"#),
    ("FormatSpecification", "PatchCodeSearchingMargins", r#"{"Top": 50}"#),
    ("FormatSpecification", "RequireStartStopChars", "0"),
    ("FormatSpecification", "ReturnPartialBarcodeValue", "0"),
    ("FormatSpecification", "StandardFormat", r#""BF_CODE_128""#),
    ("FormatSpecification", "TailModuleRatio", r#""2331112""#),
    ("FormatSpecification", "VerifyCheckDigit", "1"),
    ("FormatSpecification", "NoSuchKey", "1"),
];

/// The other keys that a key needs, so that its value can change something.
fn document(part: &str, key: &str) -> Value {
    let text = match part {
        "ImageParameter" => IMAGE,
        "RegionDefinition" => REGION,
        _ => FORMAT,
    };
    let mut document: Value = serde_json::from_str(text).unwrap();
    match (part, key) {
        // Otherwise the other word would already read everything.
        (_, "BarcodeFormatIds_2") if part != "FormatSpecification" => {
            document["ImageParameter"]["BarcodeFormatIds"] = json!(["BF_NULL"]);
        }
        // Pages are turned only if too few barcodes were found.
        ("ImageParameter", "DeformationResistingModes") => {
            document["ImageParameter"]["ExpectedBarcodesCount"] = json!(20);
        }
        ("RegionDefinition", "MeasuredByPercentage") => {
            document["RegionDefinition"]["Right"] = json!(60);
            document["RegionDefinition"]["Bottom"] = json!(60);
        }
        (_, "FormatSpecificationNameArray") => {
            document["FormatSpecification"] =
                json!({"Name": "F", "BarcodeFormatIds": ["BF_QR_CODE"]});
        }
        (_, "RegionDefinitionNameArray") => {
            document["RegionDefinition"] =
                json!({"Name": "R", "MeasuredByPercentage": 1, "Right": 40});
        }
        _ => {}
    }
    document
}

fn drawn(format: F, text: &str) -> GrayImage {
    let barcode = zxingcpp::create(format).from_str(text).unwrap();
    let image = barcode.to_image_with(&zxingcpp::write().scale(2).add_quiet_zones(true)).unwrap();
    GrayImage::from_raw(image.width().cast_unsigned(), image.height().cast_unsigned(), image.data())
        .unwrap()
}

/// A page with symbols that are upright, turned by 90 and by 30 degrees, in a shadow, and low.
fn page() -> GrayImage {
    let mut page = GrayImage::from_pixel(640, 640, Luma([255]));
    imageops::overlay(&mut page, &drawn(F::QRCode, "QR text"), 30, 30);
    imageops::overlay(&mut page, &drawn(F::EAN13, "4006381333931"), 360, 40);
    imageops::overlay(&mut page, &imageops::rotate90(&drawn(F::Code128, "Code 128")), 40, 330);
    let mut shadow = GrayImage::from_pixel(180, 180, Luma([70]));
    let mut dark = imageops::resize(&drawn(F::QRCode, "shadow"), 120, 120, FilterType::Nearest);
    dark.pixels_mut().for_each(|pixel| pixel.0[0] = if pixel.0[0] < 128 { 20 } else { 70 });
    imageops::overlay(&mut shadow, &dark, 30, 30);
    imageops::overlay(&mut page, &shadow, 440, 430);
    imageops::overlay(&mut page, &turned(&drawn(F::Code39, "TURNED")), 150, 180);
    // The symbol is so low that it is not certainly read.
    let low = drawn(F::Codabar, "A123456B");
    let low = imageops::crop_imm(&low, 0, low.height() / 2, low.width(), 3).to_image();
    imageops::overlay(&mut page, &low, 380, 300);
    page
}

fn turned(symbol: &GrayImage) -> GrayImage {
    let (sin, cos) = 30_f32.to_radians().sin_cos();
    let (width, height) = (symbol.width() as f32, symbol.height() as f32);
    GrayImage::from_fn(280, 240, |x, y| {
        let (x, y) = (x as f32 - 140.0, y as f32 - 120.0);
        let (x, y) = (x * cos - y * sin + width / 2.0, x * sin + y * cos + height / 2.0);
        imageops::interpolate_bilinear(symbol, x, y).unwrap_or(Luma([255]))
    })
}

struct Bench {
    page: GrayImage,
    file: Vec<u8>,
}

/// The result of a template.
#[derive(Debug, PartialEq)]
struct Effect {
    read: String,
    in_file: Vec<u32>,
    wants_steps: bool,
}

impl Bench {
    fn new() -> Self {
        let made = made_pictures::pictures();
        Self { page: page(), file: std::fs::read(made.path().join("pages.gif")).unwrap() }
    }

    fn effect(&self, profiles: &Profiles) -> Effect {
        let page = seatmeter::reader::GrayImage {
            width: self.page.width(),
            height: self.page.height(),
            pixels: self.page.as_raw().into(),
        };
        let profile = profiles.current();
        let is_recognizing = profile.settings().is_recognizing();
        let found = read_page(&mut ZxingEngine, profile, &page);
        let read = found.map(|found| if is_recognizing { found.barcodes } else { Vec::new() });
        // Without a license the barcodes are there, and masked.
        let reader = Reader::vacant();
        reader.with_profiles(|of_reader| of_reader.clone_from(profiles));
        let _ = reader.decode(Picture::Bytes(&self.file), "");
        Effect {
            // The name of the region does not count as an effect.
            read: format!(
                "{:?}",
                read.map(|all| all
                    .into_iter()
                    .map(|one| (one.text, one.corners))
                    .collect::<Vec<_>>())
            ),
            in_file: reader
                .with_outcome(|outcome| outcome.barcodes.iter().map(|one| one.page).collect()),
            wants_steps: profile.settings().wants_intermediate_results(),
        }
    }
}

fn load(document: &Value) -> Result<Profiles, i32> {
    let mut profiles = Profiles::default();
    let loaded = profiles.initialize(&document.to_string(), Conflict::Overwrite);
    loaded.map(|()| profiles).map_err(|e| e.code.0)
}

/// Return the rows of the table: part and key, and the remark.
fn told() -> BTreeMap<(String, String), String> {
    let page = std::fs::read_to_string(seatmeter_e2e::root().join("docs/dbr-compat.md")).unwrap();
    let parts = ["| `ImageParameter` |", "| `RegionDefinition` |", "| `FormatSpecification` |"];
    let rows = page.lines().filter(|line| parts.iter().any(|part| line.starts_with(part)));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        ((cells[1].to_owned(), cells[2].to_owned()), cells[3].to_owned())
    })
    .collect()
}

/// This test returns the message of a failed check. It does not panic, because the library keeps
/// panics of its process quiet.
#[test]
fn each_key_has_an_effect_or_is_listed_as_without_one_or_is_refused() -> Result<(), String> {
    let bench = Bench::new();
    let mut happens = BTreeMap::new();
    for (part, key, value) in KEYS {
        let without = document(part, key);
        let mut with = without.clone();
        with[part][key] = serde_json::from_str(value).unwrap();
        let (without, with) = (load(&without).unwrap(), load(&with));
        let what = match with {
            Err(_) => "refused",
            Ok(with) => {
                let is_listed =
                    |one: &String| one.ends_with(key) || one.contains(&format!(".{key}["));
                let is_changed = bench.effect(&with) != bench.effect(&without);
                match (is_changed, with.current().without_effect().iter().any(is_listed)) {
                    (true, false) => "works",
                    (false, true) => "without effect",
                    (true, true) => {
                        return Err(format!(
                            "{part}.{key} is listed as without effect, and has one"
                        ));
                    }
                    (false, false) => {
                        let effect = bench.effect(&with);
                        return Err(format!(
                            "{part}.{key}: {value} is ignored in silence: {effect:?}"
                        ));
                    }
                }
            }
        };
        if *key != "NoSuchKey" {
            happens.insert(((*part).to_owned(), (*key).to_owned()), what.to_owned());
        } else if what != "without effect" {
            return Err(format!("{part}: a key that is none {what}"));
        }
    }
    let told = told();
    let differs = |(key, what): &(&(String, String), &String)| told.get(*key) != Some(*what);
    let wrong: Vec<_> = happens.iter().filter(differs).collect();
    if wrong.is_empty() && told.len() == happens.len() {
        return Ok(());
    }
    Err(format!(
        "docs/dbr-compat.md has {} keys of {}, and not: {wrong:?}",
        told.len(),
        happens.len()
    ))
}

#[test]
fn null_is_not_set_wherever_it_stands() {
    let mut all_null = document("ImageParameter", "");
    for (part, key, _) in KEYS {
        let mut without = document(part, key);
        without[part].as_object_mut().unwrap().remove(*key);
        let mut with = without.clone();
        with[part][key] = Value::Null;
        assert!(load(&with) == load(&without), "{part}.{key}");
        all_null[part]["Name"] = json!("P");
        all_null[part][key] = Value::Null;
    }
    all_null["Version"] = Value::Null;
    assert!(load(&all_null).is_ok());
    // The same holds inside a value.
    for (part, key, value) in [
        ("ImageParameter", "BarcodeFormatIds", r#"[null, "BF_QR_CODE"]"#),
        (
            "ImageParameter",
            "DeblurModes",
            r#"[null, {"Mode": "DM_SMOOTHING", "LibraryFileName": null}, {"Mode": null}]"#,
        ),
        (
            "FormatSpecification",
            "BarcodeWidthRangeArray",
            r#"[null, {"MinValue": null, "MaxValue": 5}]"#,
        ),
    ] {
        let mut with = document(part, key);
        with[part][key] = serde_json::from_str(value).unwrap();
        let profiles = load(&with).unwrap();
        assert!(!profiles.text("P").contains("null"), "{}", profiles.text("P"));
    }
}

#[test]
fn settings_of_one_part_count_there_and_nowhere_else() {
    let bench = Bench::new();
    let texts = |document: Value| {
        let profiles = load(&document).unwrap();
        bench.effect(&profiles).read
    };
    // On the left only QR codes, on the right everything.
    let read = texts(json!({
        "ImageParameter": {"Name": "P", "RegionDefinitionNameArray": ["Left", "Right"]},
        "RegionDefinitionArray": [
            {"Name": "Left", "MeasuredByPercentage": 1, "Right": 50, "BarcodeFormatIds": ["BF_QR_CODE"]},
            {"Name": "Right", "MeasuredByPercentage": 1, "Left": 50},
        ],
    }));
    assert!(
        read.contains("QR text") && read.contains("4006381333931") && !read.contains("Code 128"),
        "{read}"
    );
    // The template asks of EAN-13 alone for something that this format does not have.
    let read = texts(json!({
        "ImageParameter": {"Name": "P", "BarcodeFormatIds": ["BF_ALL"], "FormatSpecificationNameArray": ["All", "EAN"]},
        "FormatSpecificationArray": [
            {"Name": "All", "BarcodeTextRegExPattern": "."},
            {"Name": "EAN", "BarcodeFormatIds": ["BF_EAN_13"], "BarcodeTextRegExPattern": "^9"},
        ],
    }));
    assert!(read.contains("QR text") && !read.contains("4006381333931"), "{read}");
}

#[test]
fn what_goes_out_leads_to_the_same_when_it_comes_in_again() {
    let bench = Bench::new();
    for (part, key, value) in KEYS {
        let mut with = document(part, key);
        with[part][key] = serde_json::from_str(value).unwrap();
        let Ok(profiles) = load(&with) else { continue };
        let again = load(&serde_json::from_str(&profiles.text("P")).unwrap()).unwrap();
        assert_eq!(again.text("P"), profiles.text("P"), "{part}.{key}");
        if *key != "Timeout" {
            assert_eq!(bench.effect(&again), bench.effect(&profiles), "{part}.{key}");
        }
    }
}
