//! PNG files, row by row.
//!
//! The first picture of an animation is read, as a viewer without animations shows it, followed by
//! an error. A truncated file gives the part of the picture that is there, as browsers show it,
//! followed by the error.

use std::io::Cursor;

use png::{
    BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Limits, Reader, Transformations,
};
use seatmeter_protocol::error_code::ErrorCode;

use super::gray::{Canvas, Ground, MEMORY_BYTES_MAX, luminance, on_paper, require_size};
use super::image_file::ReadPage;
use crate::error::{Error, Result};

/// The seven passes of an interlaced picture: first column, first row, distance of columns,
/// distance of rows.
const PASSES: [(u32, u32, u32, u32); 7] = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
];

/// Read a PNG file.
///
/// # Errors
/// -10012 when it is damaged, cut short or too large, -10001 when there is not enough memory.
pub(super) fn gray_of_file(file: &[u8]) -> Result<ReadPage> {
    let mut ground = Ground::White;
    loop {
        let (canvas, failure, has_alpha) = read(file, ground)?;
        match ground.next() {
            Some(next) if has_alpha && canvas.is_of_one_shade() => ground = next,
            _ => return Ok(ReadPage { picture: canvas.done(), failure }),
        }
    }
}

/// Read a file. Return the error if the file is not whole, and whether the picture has alpha.
fn read(file: &[u8], ground: Ground) -> Result<(Canvas, Option<Error>, bool)> {
    let mut decoder = Decoder::new(Cursor::new(file));
    // The limit covers only the decoder's rows: the picture itself is allocated here.
    decoder.set_limits(Limits { bytes: usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX) });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Get rows as bytes, with colors instead of their indexes, and with alpha if one color is
    // transparent.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    // Check the size before any allocation depends on it.
    let size = decoder.read_header_info().map_err(|e| unreadable(&e))?.size();
    require_size(size)?;
    let mut reader = decoder.read_info().map_err(|e| unreadable(&e))?;
    let mut canvas = Canvas::new(size, 0)?;
    let convert = converter(&reader, ground)?;
    let mut shades = vec![0; size.0 as usize];
    let rows = row_count(&reader);
    let mut row = vec![0; reader.output_line_size(size.0).unwrap_or(0)];
    let mut failure = None;
    for done in 0..rows {
        let place = match reader.read_row(&mut row) {
            Ok(Some(place)) => place,
            Ok(None) | Err(DecodingError::IoError(_)) => {
                failure = Some(cut_short(done, rows));
                break;
            }
            Err(error) => return Err(unreadable(&error)),
        };
        match &place {
            InterlaceInfo::Null(_) => convert(&row, canvas.row(done)),
            InterlaceInfo::Adam7(place) => {
                convert(&row, &mut shades);
                png::expand_interlaced_row(canvas.pixels(), size.0 as usize, &shades, place, 8);
            }
        }
    }
    // Data after the last row does not matter: the picture of a file without its end is complete.
    let failure = failure.or_else(|| further_pictures(&reader));
    let has_alpha =
        matches!(reader.output_color_type().0, ColorType::GrayscaleAlpha | ColorType::Rgba);
    Ok((canvas, failure, has_alpha))
}

fn further_pictures(reader: &Reader<Cursor<&[u8]>>) -> Option<Error> {
    let pictures = reader.info().animation_control?.num_frames;
    // The first picture may be outside of the animation.
    let is_first_apart = reader.info().frame_control.is_none();
    (pictures > 1 || is_first_apart).then(|| {
        let message = format!(
            "the PNG file is an animation of {pictures} pictures; only the first of the file is \
             read"
        );
        Error::new(ErrorCode::IMAGE_READ_FAILED, message)
    })
}

/// Return the number of rows that the decoder gives: those of all passes if it is interlaced.
fn row_count(reader: &Reader<Cursor<&[u8]>>) -> usize {
    let (width, height) = reader.info().size();
    if !reader.info().interlaced {
        return height as usize;
    }
    let of_pass = |(x, y, _, dy): (u32, u32, u32, u32)| {
        if x < width { height.saturating_sub(y).div_ceil(dy) as usize } else { 0 }
    };
    PASSES.into_iter().map(of_pass).sum()
}

/// A function that converts a row to shades.
type Convert = fn(&[u8], &mut [u8]);

fn converter(reader: &Reader<Cursor<&[u8]>>, ground: Ground) -> Result<Convert> {
    Ok(match reader.output_color_type() {
        (ColorType::GrayscaleAlpha, BitDepth::Eight) if ground == Ground::Opaque => {
            |row, shades| each(row, shades, |[shade, _]| shade)
        }
        (ColorType::Rgba, BitDepth::Eight) if ground == Ground::Opaque => {
            |row, shades| each(row, shades, |[r, g, b, _]| luminance(r, g, b))
        }
        (ColorType::GrayscaleAlpha, BitDepth::Eight) if ground == Ground::Black => {
            |row, shades| each(row, shades, |[shade, alpha]| Ground::Black.under(shade, alpha))
        }
        (ColorType::Rgba, BitDepth::Eight) if ground == Ground::Black => |row, shades| {
            each(row, shades, |[r, g, b, alpha]| Ground::Black.under(luminance(r, g, b), alpha))
        },
        (ColorType::Grayscale, BitDepth::Eight) => |row, shades| shades.copy_from_slice(row),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            |row, shades| each(row, shades, |[shade, alpha]| on_paper(shade, alpha))
        }
        (ColorType::Rgb, BitDepth::Eight) => {
            |row, shades| each(row, shades, |[r, g, b]| luminance(r, g, b))
        }
        (ColorType::Rgba, BitDepth::Eight) => {
            |row, shades| each(row, shades, |[r, g, b, alpha]| on_paper(luminance(r, g, b), alpha))
        }
        (color, depth) => {
            let message =
                format!("the PNG file has {color:?} samples of {depth:?} bits, which are not read");
            return Err(Error::new(ErrorCode::IMAGE_READ_FAILED, message));
        }
    })
}

#[inline(always)]
fn each<const SAMPLES: usize>(row: &[u8], shades: &mut [u8], shade: impl Fn([u8; SAMPLES]) -> u8) {
    shades.iter_mut().zip(row.as_chunks::<SAMPLES>().0).for_each(|(to, pixel)| *to = shade(*pixel));
}

fn cut_short(done: usize, rows: usize) -> Error {
    let message = format!("the PNG file is cut short: {done} of {rows} rows are there");
    Error::new(ErrorCode::IMAGE_READ_FAILED, message)
}

fn unreadable(error: &DecodingError) -> Error {
    let message = match error {
        DecodingError::IoError(_) => "the PNG file is cut short before its pixels".into(),
        error => format!("the PNG file is damaged: {error}"),
    };
    Error::new(ErrorCode::IMAGE_READ_FAILED, message)
}
