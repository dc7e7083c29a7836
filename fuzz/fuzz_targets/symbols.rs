//! Small pictures, searched for every symbology. The first byte is the width, the rest are shades.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::reader::{GrayImage, Profile, ZxingEngine, read_page};

fuzz_target!(|bytes: &[u8]| {
    let Some((width, shades)) = bytes.split_first() else { return };
    let width = usize::from(*width).max(1);
    let height = shades.len() / width;
    if height == 0 {
        return;
    }
    let image = GrayImage {
        width: width as u32,
        height: height as u32,
        pixels: shades[..width * height].into(),
    };
    if let Ok(found) = read_page(&mut ZxingEngine, &Profile::default(), &image) {
        for barcode in &found.barcodes {
            assert!((0..=100).contains(&barcode.confidence));
        }
    }
});
