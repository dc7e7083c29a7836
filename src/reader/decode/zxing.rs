//! The built-in engine: zxing-cpp.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::symbology::symbology_name;
use zxingcpp::{
    Barcode, BarcodeFormat, BarcodeReader, Binarizer, ImageFormat, ImageView, TextMode,
};

use super::code_39::Code39;
use super::details::details_of;
use super::engine::{DecodeEngine, Decoded, Effort, GrayImage, Search};
use super::reading_error::{BARCODE_FORMAT_INVALID, explained};
use crate::error::{Error, Result};

/// The bit `BF2_NONSTANDARD_BARCODE`, for symbologies that have no number of their own.
pub(super) const NON_STANDARD: u32 = 1;

pub(super) const CODE_39: u32 = 0x1;
pub(super) const CODE_39_EXTENDED: u32 = 0x400;
pub(super) const CODE_128: u32 = 0x2;
pub(super) const CODABAR: u32 = 0x8;
pub(super) const ITF: u32 = 0x10;
pub(super) const EAN_13: u32 = 0x20;
pub(super) const EAN_8: u32 = 0x40;
pub(super) const UPC_A: u32 = 0x80;
pub(super) const UPC_E: u32 = 0x100;

/// The engine's formats for each symbology that it reads.
const FORMATS: [(u32, &[BarcodeFormat]); 22] = {
    use BarcodeFormat as F;
    [
        // The format covers several symbologies: see `code_39.rs`.
        (CODE_39 | CODE_39_EXTENDED, &[F::Code39]),
        (CODE_128, &[F::Code128]),
        (0x4, &[F::Code93]),
        (CODABAR, &[F::Codabar]),
        (ITF, &[F::ITF]),
        (EAN_13, &[F::EAN13]),
        (EAN_8, &[F::EAN8]),
        (UPC_A, &[F::UPCA]),
        (UPC_E, &[F::UPCE]),
        // The engine does not distinguish omnidirectional from truncated symbols: they differ only
        // in height.
        (0x800 | 0x1000, &[F::DataBarOmni]),
        (0x2000, &[F::DataBarStk]),
        (0x4000, &[F::DataBarStkOmni]),
        (0x8000, &[F::DataBarExp]),
        (0x1_0000, &[F::DataBarExpStk]),
        (0x2_0000, &[F::DataBarLtd]),
        (0x8_0000, &[F::MicroPDF417]),
        (0x200_0000, &[F::PDF417, F::CompactPDF417]),
        (0x400_0000, &[F::QRCodeModel1, F::QRCodeModel2, F::RMQRCode]),
        (0x800_0000, &[F::DataMatrix]),
        (0x1000_0000, &[F::Aztec]),
        (0x2000_0000, &[F::MaxiCode]),
        (0x4000_0000, &[F::MicroQRCode]),
    ]
};

/// The engine's formats that have no number in the C API.
const NON_STANDARD_FORMATS: [BarcodeFormat; 2] =
    [BarcodeFormat::Telepen, BarcodeFormat::DXFilmEdge];

/// The engine zxing-cpp.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZxingEngine;

impl DecodeEngine for ZxingEngine {
    fn decode(&mut self, image: &GrayImage<'_>, search: &Search) -> Result<Vec<Decoded>> {
        let view =
            ImageView::from_slice(&image.pixels, image.width, image.height, ImageFormat::Lum)
                .map_err(failed)?;
        let (view, origin) = match search.part {
            Some(part) => {
                let [left, top, width, height] =
                    [part.left, part.top, part.width, part.height].map(u32::cast_signed);
                (view.cropped(left, top, width, height), (left, top))
            }
            None => (view, (0, 0)),
        };
        let is_full = search.effort == Effort::Full;
        let binarizer =
            if search.one_threshold { Binarizer::GlobalHistogram } else { Binarizer::LocalAverage };
        // Options are a small object, made per call because it may not move between threads.
        let mut reader = BarcodeReader::new().formats(formats_of(search)?);
        reader
            .set_try_harder(is_full)
            .set_try_rotate(is_full)
            .set_try_invert(is_full)
            .set_try_downscale(is_full)
            .set_binarizer(binarizer)
            // Return the characters themselves: no brackets around GS1 identifiers, no names for
            // control characters.
            .set_text_mode(TextMode::Plain)
            // The engine keeps this number in a byte.
            .set_max_number_of_symbols(i32::from(u8::try_from(search.count_max).unwrap_or(0)));
        let barcodes = reader.from(view).map_err(failed)?;
        let valid = barcodes.iter().filter(|barcode| barcode.is_valid());
        Ok(valid.map(|barcode| decoded(barcode, search, origin)).collect())
    }

    fn reads(&self, formats: u32, formats_2: u32) -> bool {
        FORMATS.iter().any(|(bits, _)| formats & bits != 0) || formats_2 & NON_STANDARD != 0
    }
}

fn formats_of(search: &Search) -> Result<Vec<BarcodeFormat>> {
    let asked = FORMATS.iter().filter(|(bits, _)| search.formats & bits != 0);
    let mut formats: Vec<BarcodeFormat> =
        asked.flat_map(|(_, formats)| formats.iter().copied()).collect();
    if search.formats_2 & NON_STANDARD != 0 {
        formats.extend(NON_STANDARD_FORMATS);
    }
    // The engine would read an empty list as every format.
    if formats.is_empty() { Err(explained(BARCODE_FORMAT_INVALID)) } else { Ok(formats) }
}

fn failed(error: zxingcpp::Error) -> Error {
    Error::new(ErrorCode::IMAGE_READ_FAILED, format!("decoding failed: {error}"))
}

/// Return the text. The binding returns it only up to the first NUL. If there is one, the whole
/// text is taken from the engine's JSON description, whose first part it is.
fn text_of(barcode: &Barcode, bytes: &[u8]) -> String {
    const TEXT: &str = "{\"Text\":";
    if !bytes.contains(&0) {
        return barcode.text();
    }
    let all = barcode.extra_with_key("ALL");
    let literal = all.strip_prefix(TEXT).unwrap_or_default();
    let text =
        serde_json::Deserializer::from_str(literal).into_iter().next().and_then(|text| text.ok());
    text.unwrap_or_else(|| barcode.text())
}

fn decoded(barcode: &Barcode, search: &Search, origin: (i32, i32)) -> Decoded {
    let bytes = barcode.bytes();
    let format = format_number(barcode, search.formats);
    let corners = barcode.position();
    let mut decoded = Decoded {
        format,
        format_2: if format == 0 { NON_STANDARD } else { 0 },
        format_name: if format == 0 {
            barcode.format().to_string()
        } else {
            symbology_name(format)
        },
        text: text_of(barcode, &bytes),
        bytes,
        corners: [corners.top_left, corners.top_right, corners.bottom_right, corners.bottom_left]
            .map(|point| (point.x + origin.0, point.y + origin.1)),
        angle: barcode.orientation().rem_euclid(360),
        is_mirrored: barcode.is_mirrored(),
        confidence: confidence(barcode, format),
        ..Decoded::default()
    };
    as_printed(&mut decoded, barcode);
    details_of(&mut decoded, barcode);
    decoded
}

/// Return the confidence of a result. Symbols with error correction are right or not read at all.
/// The confidence of a linear symbol depends on the number of lines in which it was read, and on
/// whether it has a check digit.
fn confidence(barcode: &Barcode, format: u32) -> i32 {
    const LINEAR: u32 = 0x0013_ffff;
    const WITHOUT_CHECK: u32 = CODE_39 | CODE_39_EXTENDED | CODABAR | ITF;
    if format & LINEAR == 0 && format != 0 {
        return 100;
    }
    let base = if format & WITHOUT_CHECK != 0 || format == 0 { 40 } else { 70 };
    (base + 10 * barcode.line_count().clamp(0, 10)).min(100)
}

/// Return the number that the C API has for the symbology of a barcode.
fn format_number(barcode: &Barcode, asked: u32) -> u32 {
    use BarcodeFormat as F;
    // Never ask for its format: it may have a value that the binding's enum lacks.
    if barcode.symbology() == F::Code39 {
        let is_extended = asked & CODE_39_EXTENDED != 0 && Code39::of(barcode) == Code39::Extended;
        return if is_extended { CODE_39_EXTENDED } else { CODE_39 };
    }
    match barcode.format() {
        // A UPC-A symbol is an EAN-13 symbol whose first digit is 0.
        F::EAN13 | F::ISBN if asked & UPC_A != 0 && barcode.text().starts_with('0') => UPC_A,
        F::EAN13 | F::ISBN => EAN_13,
        F::EAN8 => EAN_8,
        F::UPCA => UPC_A,
        F::UPCE => UPC_E,
        F::Code128 => CODE_128,
        F::Code93 => 0x4,
        F::Codabar => CODABAR,
        F::ITF => ITF,
        F::DataBar | F::DataBarOmni => 0x800,
        F::DataBarStk => 0x2000,
        F::DataBarStkOmni => 0x4000,
        F::DataBarExp => 0x8000,
        F::DataBarExpStk => 0x1_0000,
        F::DataBarLtd => 0x2_0000,
        F::MicroPDF417 => 0x8_0000,
        F::PDF417 | F::CompactPDF417 => 0x200_0000,
        F::QRCode | F::QRCodeModel1 | F::QRCodeModel2 | F::RMQRCode => 0x400_0000,
        F::DataMatrix => 0x800_0000,
        F::Aztec | F::AztecCode | F::AztecRune => 0x1000_0000,
        F::MaxiCode => 0x2000_0000,
        F::MicroQRCode => 0x4000_0000,
        _ => 0,
    }
}

/// Convert a result to what is printed. UPC symbols have fewer digits than the EAN-13 number that
/// they mean, and Code 39 may have been read as more than it is.
fn as_printed(decoded: &mut Decoded, barcode: &Barcode) {
    let printed = match decoded.format {
        UPC_A if decoded.text.len() == 13 => decoded.text[1..].to_owned(),
        UPC_E => barcode.extra_with_key("UPCE"),
        CODE_39 => Code39::of(barcode).printed(&decoded.text).unwrap_or_default(),
        _ => String::new(),
    };
    if !printed.is_empty() {
        decoded.bytes = printed.clone().into_bytes();
        decoded.text = printed;
    }
}
