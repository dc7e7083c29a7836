//! How long reading gray JPEG files takes, beside the decoder that the library uses, alone.
//!
//! `cargo bench -p seatmeter --bench jpeg`. What to look at are the ratios.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use seatmeter::reader::for_each_page;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

const TIMES: usize = 40;

fn shortest(mut run: impl FnMut()) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..TIMES).map(once).min().unwrap()
}

/// Waves and a little noise, as in photographs.
fn picture((width, height): (u32, u32)) -> Vec<u8> {
    let mut state = 1_u32;
    let gray = GrayImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wave = (x as f32 * 0.011).sin() * (y as f32 * 0.013).cos();
        Luma([(128.0 + 90.0 * wave + (state >> 28) as f32) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(gray).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

fn main() {
    for size in [(2400, 1800), (640, 480), (200, 200)] {
        let whole = picture(size);
        let without_end = &whole[..whole.len() - 2];
        let alone = shortest(|| {
            let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
            let mut pixels = vec![0; (size.0 * size.1) as usize];
            JpegDecoder::new_with_options(ZCursor::new(&whole), options)
                .decode_into(&mut pixels)
                .unwrap();
        });
        let library = |bytes| {
            let time = shortest(|| for_each_page(bytes, &mut |_, _| Ok(true)).unwrap());
            time.as_secs_f64() / alone.as_secs_f64()
        };
        println!(
            "{} × {}: decoder alone {alone:.2?}, library {:.2} ×, without the end mark {:.2} ×",
            size.0,
            size.1,
            library(&whole),
            library(without_end)
        );
    }
}
