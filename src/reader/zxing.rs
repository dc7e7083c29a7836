//! The built-in engine: zxing-cpp.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::symbology::symbology_name;
use zxingcpp::{Barcode, BarcodeFormat, BarcodeReader, ImageFormat, ImageView};

use super::engine::{DecodeEngine, Decoded, GrayImage};
use crate::error::{Error, Result};

/// zxing-cpp with the settings under which most is found: all symbologies, rotated, inverted and scaled.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZxingEngine;

impl DecodeEngine for ZxingEngine {
    fn decode(&mut self, image: &GrayImage) -> Result<Vec<Decoded>> {
        let failed =
            |e: zxingcpp::Error| Error::new(ErrorCode::IMAGE_READ_FAILED, format!("decoding failed: {e}"));
        let view = ImageView::from_slice(&image.pixels, image.width, image.height, ImageFormat::Lum)
            .map_err(failed)?;
        // Options are a small object, made per call because it may not move between threads.
        let barcodes = BarcodeReader::new().from(view).map_err(failed)?;
        Ok(barcodes.iter().filter(|barcode| barcode.is_valid()).map(decoded).collect())
    }
}

fn decoded(barcode: &Barcode) -> Decoded {
    let format = format_number(barcode.format()).or_else(|| format_number(barcode.symbology())).unwrap_or(0);
    let corners = barcode.position();
    Decoded {
        format,
        format_name: if format == 0 { barcode.format().to_string() } else { symbology_name(format) },
        text: barcode.text(),
        bytes: barcode.bytes(),
        corners: [corners.top_left, corners.top_right, corners.bottom_right, corners.bottom_left]
            .map(|point| (point.x, point.y)),
        angle: barcode.orientation(),
        is_mirrored: barcode.is_mirrored(),
    }
}

/// The number that the C API has for a symbology of the engine.
fn format_number(format: BarcodeFormat) -> Option<u32> {
    use BarcodeFormat as F;
    Some(match format {
        F::Code39 | F::PZN => 0x1,
        F::Code128 => 0x2,
        F::Code93 => 0x4,
        F::Codabar => 0x8,
        F::ITF => 0x10,
        F::EAN13 | F::ISBN => 0x20,
        F::EAN8 => 0x40,
        F::UPCA => 0x80,
        F::UPCE => 0x100,
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
        F::Aztec | F::AztecCode => 0x1000_0000,
        F::MaxiCode => 0x2000_0000,
        F::MicroQRCode => 0x4000_0000,
        _ => return None,
    })
}
