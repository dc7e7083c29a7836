//! JPEG files.
//!
//! | kind | read by |
//! |---|---|
//! | gray, or brightness and two colors of no finer sampling; baseline and progressive | zune-jpeg |
//! | colors sampled more finely than brightness, or by factors other than 1, 2, 4; red, green, blue; four inks | jpeg-decoder, slower and with more memory |
//! | arithmetic coding, lossless, hierarchical, 12 bits, height stated at the end | none: refused by name |
//!
//! Frames of webcams lack the Huffman tables; those of the standard are used. A truncated file
//! gives the part of the picture that is there, as browsers show it, followed by the error.
//!
//! The orientation that a camera records (EXIF) is not applied. Places are those of the pixels as
//! they are stored, as a program sees them that reads the file and ignores EXIF.

use std::borrow::Cow;
use std::io::Cursor;

use jpeg_decoder::{ColorTransform, PixelFormat};
use seatmeter_protocol::error_code::ErrorCode;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::engine::GrayImage;
use super::gray::{
    Canvas, MEMORY_BYTES_MAX, SIDE_PIXELS_MAX, WHITE, brightness_of_inks, luminance, require_room,
    require_size, reserve,
};
use super::image_file::ReadPage;
use super::jpeg_head::{Colors, Frame, Head, Process};
use super::jpeg_tables::with_standard_tables;
use crate::error::{Error, Result};

/// Memory a pixel of a decoder for coefficients when a picture comes in several scans, in bytes.
const SCANS_PIXEL_BYTES: usize = 6;

/// Memory a pixel of the decoder of all kinds, in bytes: planes, coefficients, and four samples.
const ALL_KINDS_PIXEL_BYTES: usize = 16;

/// Read a JPEG file.
///
/// # Errors
/// -10012 when the file is damaged or of a kind that is not read, -10001 when there is not enough
/// memory.
pub(super) fn gray_of_file(file: &[u8]) -> Result<ReadPage> {
    gray_of_stream(file, None)
}

/// Read a JPEG stream. `told` is the meaning of its colors, if the file around the stream declares
/// it.
///
/// # Errors
/// Fails as [`gray_of_file`] does.
pub(super) fn gray_of_stream(stream: &[u8], told: Option<Colors>) -> Result<ReadPage> {
    let head = Head::of(stream).ok_or_else(|| damaged("it ends before its pixels begin"))?;
    let frame =
        head.frame.clone().ok_or_else(|| damaged("its size is missing before its pixels"))?;
    refuse_by_name(&frame)?;
    let colors = told.unwrap_or_else(|| head.colors(&frame));
    let stream: Cow<'_, [u8]> = match head.has_huffman_tables {
        true => stream.into(),
        false => with_standard_tables(stream, head.scan_at)?.into(),
    };
    if colors == Colors::Brightness && frame.is_brightness_finest() {
        usual(&stream, &head, &frame)
    } else {
        all_kinds(&stream, &frame, colors).map(|picture| ReadPage { picture, failure: None })
    }
}

fn refuse_by_name(frame: &Frame) -> Result<()> {
    let refused = match frame.process {
        Process::Baseline | Process::Progressive => None,
        Process::Lossless => Some("it is compressed without loss"),
        Process::Hierarchical => Some("it is hierarchical"),
        Process::Arithmetic => Some("it is compressed by arithmetic coding"),
    };
    if let Some(what) = refused {
        return Err(unread(format!(
            "{what}, which is not read: save it as an ordinary JPEG or PNG file"
        )));
    }
    if frame.bits != 8 {
        return Err(unread(format!("it has samples of {} bits; only 8 are supported", frame.bits)));
    }
    if frame.height == 0 {
        return Err(unread("its height is stated only at its end, which is not supported".into()));
    }
    if !matches!(frame.components.len(), 1 | 3 | 4) {
        return Err(unread(format!(
            "it has {} components; 1, 3 and 4 are read",
            frame.components.len()
        )));
    }
    Ok(())
}

/// Read a usual kind. The decoded colors take the place of the shades until they are converted.
fn usual(stream: &[u8], head: &Head, frame: &Frame) -> Result<ReadPage> {
    let size = (frame.width, frame.height);
    let is_in_one_scan =
        frame.process == Process::Baseline && head.scan_components == frame.components.len();
    let samples = if frame.components.len() == 1 { 1 } else { 3 };
    require_size(size)?;
    require_room(size, samples + if is_in_one_scan { 0 } else { SCANS_PIXEL_BYTES })?;
    let mut pixels = Vec::new();
    let count = frame.width as usize * frame.height as usize;
    reserve(&mut pixels, samples * count)?;
    pixels.resize(samples * count, WHITE);
    let side = SIDE_PIXELS_MAX as usize;
    let mut decode = |is_strict| {
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(if samples == 1 { ColorSpace::Luma } else { ColorSpace::RGB })
            .set_max_width(side)
            .set_max_height(side)
            .set_strict_mode(is_strict);
        JpegDecoder::new_with_options(ZCursor::new(stream), options).decode_into(&mut pixels)
    };
    // A file with an end marker counts as whole. A file without it may lack nothing else: then the
    // strict pass has read all of it, and a second pass would double the time.
    let has_end = has_end(stream, head.scan_at);
    let is_cut = !has_end && decode(true).is_err();
    if has_end || is_cut {
        decode(false).map_err(damaged)?;
    }
    if samples == 3 {
        // The shades written so far end before the colors of the current pixel.
        for i in 0..count {
            pixels[i] = luminance(pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]);
        }
        pixels.truncate(count);
        pixels.shrink_to_fit();
    }
    let picture = GrayImage { width: frame.width, height: frame.height, pixels: pixels.into() };
    Ok(ReadPage { picture, failure: is_cut.then(|| unread("it is cut short".into())) })
}

fn has_end(stream: &[u8], scan_at: usize) -> bool {
    stream[scan_at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// Read all components, which needs more memory.
fn all_kinds(stream: &[u8], frame: &Frame, colors: Colors) -> Result<GrayImage<'static>> {
    let mut canvas = Canvas::new((frame.width, frame.height), ALL_KINDS_PIXEL_BYTES)?;
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(stream));
    decoder
        .set_max_decoding_buffer_size(usize::try_from(4 * MEMORY_BYTES_MAX).unwrap_or(usize::MAX));
    if frame.components.len() == 3 {
        decoder.set_color_transform(match colors {
            Colors::Brightness => ColorTransform::YCbCr,
            Colors::AsTheyAre => ColorTransform::RGB,
        });
    }
    let samples = decoder.decode().map_err(damaged)?;
    let shades = canvas.pixels().iter_mut();
    match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => shades.zip(&samples).for_each(|(to, shade)| *to = *shade),
        Some(PixelFormat::RGB24) => shades
            .zip(samples.as_chunks::<3>().0)
            .for_each(|(to, [r, g, b])| *to = luminance(*r, *g, *b)),
        Some(PixelFormat::CMYK32) => {
            shades
                .zip(samples.as_chunks::<4>().0)
                .for_each(|(to, inks)| *to = brightness_of_inks(*inks));
        }
        _ => return Err(unread("its samples are of a kind that is not read".into())),
    }
    Ok(canvas.done())
}

fn unread(message: String) -> Error {
    Error::new(ErrorCode::IMAGE_READ_FAILED, format!("the JPEG file cannot be read: {message}"))
}

fn damaged(error: impl std::fmt::Display) -> Error {
    unread(format!("it is damaged: {error}"))
}
