//! Makes the pictures that the examples and tests decode: `cargo run --example make_images`.
//!
//! They are committed, so that nobody needs to run this; `tests/decode/pictures.rs` reads them
//! back.

use image::{GrayImage, Luma, imageops};
use zxingcpp::BarcodeFormat;

const SCALE: i32 = 4;
const MARGIN: u32 = 40;

fn symbol(format: BarcodeFormat, text: &str) -> GrayImage {
    let barcode = zxingcpp::create(format).from_str(text).expect("the text fits the symbology");
    let drawn = barcode
        .to_image_with(&zxingcpp::write().scale(SCALE).add_quiet_zones(true))
        .expect("a barcode can be drawn");
    let (width, height) = (drawn.width().cast_unsigned(), drawn.height().cast_unsigned());
    GrayImage::from_raw(width, height, drawn.data())
        .expect("a picture has width times height pixels")
}

/// Puts symbols into two columns on white.
fn sheet(symbols: &[GrayImage]) -> GrayImage {
    let column = symbols.iter().map(GrayImage::width).max().unwrap_or(0) + MARGIN;
    let row = symbols.iter().map(GrayImage::height).max().unwrap_or(0) + MARGIN;
    let rows = u32::try_from(symbols.len().div_ceil(2)).expect("few symbols");
    let mut sheet = GrayImage::from_pixel(2 * column + MARGIN, rows * row + MARGIN, Luma([255]));
    for (i, symbol) in symbols.iter().enumerate() {
        let (x, y) = (i % 2, i / 2);
        let place = |n: usize, step: u32| {
            i64::from(MARGIN) + i64::from(step) * i64::try_from(n).expect("few")
        };
        imageops::overlay(&mut sheet, symbol, place(x, column), place(y, row));
    }
    sheet
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("c_examples/images");
    std::fs::create_dir_all(&folder)?;
    let qr = symbol(BarcodeFormat::QRCode, "seatmeter: one QR code");
    let four = [
        symbol(BarcodeFormat::QRCode, "https://example.org/ticket/4711"),
        symbol(BarcodeFormat::EAN13, "4006381333931"),
        symbol(BarcodeFormat::Code128, "SN-2026-000042"),
        symbol(BarcodeFormat::DataMatrix, "LOT 7, BOX 12"),
    ];
    sheet(&four).save(folder.join("four_barcodes.png"))?;
    sheet(std::slice::from_ref(&qr)).save(folder.join("one_qr.png"))?;
    sheet(std::slice::from_ref(&qr)).save(folder.join("one_qr.jpg"))?;
    sheet(&[qr.clone(), qr]).save(folder.join("same_qr_twice.png"))?;
    GrayImage::from_pixel(320, 240, Luma([255])).save(folder.join("no_barcode.png"))?;
    Ok(())
}
