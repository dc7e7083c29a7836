//! TIFF files, page by page.

use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use super::engine::GrayImage;
use super::image_file::{DECODED_PIXEL_BYTES, MEMORY_BYTES_MAX, PAGES_MAX, SIDE_PIXELS_MAX, require_room};
use super::pixels::luminance;
use super::reading_error::TIFF_READ_FAILED;
use super::tiff_texts::claims_too_long_a_text;
use crate::error::{Error, Result};

/// Calls `found` with each page, until it says `false`.
///
/// # Errors
/// -10013 when a page cannot be read, or what `found` says.
pub(super) fn for_each_page(
    bytes: &[u8],
    found: &mut dyn FnMut(GrayImage<'static>) -> Result<bool>,
) -> Result<()> {
    if claims_too_long_a_text(bytes) {
        return Err(failed("a text or directory in it claims more than it can have"));
    }
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?.with_limits(limits());
    for _ in 0..PAGES_MAX {
        if !found(page(&mut decoder)?)? || !decoder.more_images() {
            return Ok(());
        }
        decoder.next_image().map_err(failed)?;
    }
    Ok(())
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    // The samples, and their shades of grey beside them.
    limits.decoding_buffer_size = usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    limits
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(TIFF_READ_FAILED, format!("the TIFF file cannot be read: {error}"))
}

fn page(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<GrayImage<'static>> {
    let (width, height) = decoder.dimensions().map_err(failed)?;
    if width > SIDE_PIXELS_MAX || height > SIDE_PIXELS_MAX {
        return Err(failed(format!("it is larger than {SIDE_PIXELS_MAX} pixels a side")));
    }
    require_room((width, height), DECODED_PIXEL_BYTES)?;
    let color = decoder.colortype().map_err(failed)?;
    let pixels = match decoder.read_image().map_err(failed)? {
        DecodingResult::U8(samples) => shades(&samples, color, width, height)?,
        // The high bytes are enough to tell black from white.
        DecodingResult::U16(samples) => {
            let samples: Vec<u8> = samples.iter().map(|sample| (sample >> 8) as u8).collect();
            shades(&samples, color, width, height)?
        }
        _ => return Err(failed(format!("samples of {} bits are not read", color.bit_depth()))),
    };
    Ok(GrayImage { width, height, pixels: pixels.into() })
}

fn shades(samples: &[u8], color: ColorType, width: u32, height: u32) -> Result<Vec<u8>> {
    let count = width as usize * height as usize;
    let shades: Vec<u8> = match color {
        ColorType::Gray(bits @ (1 | 2 | 4)) => unpacked(samples, bits, width as usize),
        ColorType::Gray(_) => samples.to_vec(),
        // Of a picture whose planes are apart the first is given; it is as good as any.
        _ if samples.len() < 2 * count => samples.to_vec(),
        ColorType::GrayA(_) => samples.iter().copied().step_by(2).collect(),
        // The first sample is the luminance.
        ColorType::YCbCr(_) | ColorType::Lab(_) => samples.iter().copied().step_by(3).collect(),
        ColorType::RGB(_) => each(samples, |[r, g, b]| luminance(r, g, b)),
        ColorType::RGBA(_) => each(samples, |[r, g, b, _]| luminance(r, g, b)),
        ColorType::CMYK(_) => {
            each(samples, |[c, m, y, k]| luminance(255 - c, 255 - m, 255 - y).saturating_sub(k))
        }
        _ => return Err(failed("its colours are of a kind that is not read")),
    };
    if shades.len() != count {
        return Err(failed("it has another number of samples than it says"));
    }
    Ok(shades)
}

fn each<const SAMPLES: usize>(samples: &[u8], shade: impl Fn([u8; SAMPLES]) -> u8) -> Vec<u8> {
    samples.as_chunks::<SAMPLES>().0.iter().map(|pixel| shade(*pixel)).collect()
}

/// Pixels of a few bits, the highest first; each row begins with a byte.
fn unpacked(samples: &[u8], bits: u8, width: usize) -> Vec<u8> {
    let a_byte = usize::from(8 / bits);
    let max = (1_u32 << bits) - 1;
    let row_bytes = width.div_ceil(a_byte);
    let mut shades = Vec::with_capacity(samples.len() * a_byte);
    for row in samples.chunks_exact(row_bytes.max(1)) {
        for x in 0..width {
            let shift = 8 - usize::from(bits) * (x % a_byte + 1);
            let value = u32::from(row[x / a_byte] >> shift) & max;
            // At most 255.
            shades.push((value * 255 / max) as u8);
        }
    }
    shades
}
