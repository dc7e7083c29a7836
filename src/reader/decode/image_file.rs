//! Image files, read with limits: a small file can claim to be a picture of any size.
//!
//! | kind | pages |
//! |---|---|
//! | PNG, JPEG, BMP | one |
//! | GIF | its pictures |
//! | TIFF | its pages (`tiff_file.rs`) |
//! | PDF | refused by a number of its own: no part of this library draws it |

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use super::reading_error::{PDF_DLL_MISSING, explained};
use super::tiff_file;
use crate::error::{Error, Result};
use crate::memory::has_room_for;

/// Longest side of a picture in pixels.
pub(super) const SIDE_PIXELS_MAX: u32 = 32_768;

/// Memory that decoding a picture may take. A fuzzer would spend most of its time on pictures that claim all of it.
pub(super) const MEMORY_BYTES_MAX: u64 = if cfg!(fuzzing) { 4 << 20 } else { 512 << 20 };

/// The largest file that is read: no picture within the limits is larger, not even an uncompressed one of 64 bits.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;

/// Pages of one file that are read. More of them is a sign that somebody wants to keep this machine busy.
pub(super) const PAGES_MAX: u32 = 1000;

/// The samples of a pixel as they are in the file, its shade and transparency, and its shade alone.
pub(super) const DECODED_PIXEL_BYTES: usize = 8;

/// What an engine takes beside what grows with the picture.
const ROOM_BYTES: usize = 4 << 20;

/// Reads a file into memory.
///
/// # Errors
/// -10005 when there is no such file, -10012 when it is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |code, why: String| Error::new(code, format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|e| unreadable(ErrorCode::FILE_NOT_FOUND, e.to_string()))?;
    let metadata = file.metadata().map_err(|e| unreadable(ErrorCode::FILE_NOT_FOUND, e.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable(ErrorCode::FILE_NOT_FOUND, "it is not a file".into()));
    }
    let mut bytes = Vec::new();
    let length = usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or(0);
    bytes.try_reserve_exact(length).map_err(|e| unreadable(ErrorCode::NO_MEMORY, e.to_string()))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(ErrorCode::IMAGE_READ_FAILED, e.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(ErrorCode::IMAGE_READ_FAILED, "it has more than 1 GiB".into()));
    }
    Ok(bytes)
}

/// The only or first page of a file.
///
/// # Errors
/// As [`read_file`] and [`for_each_page`].
pub fn load_gray(path: &Path) -> Result<GrayImage<'static>> {
    let mut first = None;
    for_each_page(&read_file(path)?, &mut |page| {
        first.get_or_insert(page);
        Ok(false)
    })?;
    first.ok_or_else(|| Error::new(ErrorCode::IMAGE_READ_FAILED, "the file has no picture"))
}

/// Calls `found` with each page of an image file, as shades of grey, until it says `false`. What kind of file it is
/// is seen from its content.
///
/// # Errors
/// -10006 when it is of another kind, -10022 of a PDF file, -10012 (-10013 for TIFF) when it is damaged or too large;
/// or what `found` says.
pub fn for_each_page(bytes: &[u8], found: &mut dyn FnMut(GrayImage<'static>) -> Result<bool>) -> Result<()> {
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Bmp)) => {
            let reader = || {
                let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
                reader.limits(limits());
                reader
            };
            require_room(reader().into_dimensions().map_err(damaged)?, DECODED_PIXEL_BYTES)?;
            found(gray(reader().decode().map_err(damaged)?)).map(|_| ())
        }
        Ok(ImageFormat::Gif) => pictures_of_gif(bytes, found),
        Ok(ImageFormat::Tiff) => tiff_file::for_each_page(bytes, found),
        // Some programs write something in front of it.
        _ if bytes[..bytes.len().min(1024)].windows(5).any(|part| part == b"%PDF-") => {
            Err(explained(PDF_DLL_MISSING))
        }
        _ => Err(Error::new(
            ErrorCode::FILETYPE_NOT_SUPPORTED,
            "it is neither a PNG, JPEG, BMP, GIF nor TIFF file by its content",
        )),
    }
}

fn pictures_of_gif(bytes: &[u8], found: &mut dyn FnMut(GrayImage<'static>) -> Result<bool>) -> Result<()> {
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    decoder.set_limits(limits()).map_err(damaged)?;
    require_room(decoder.dimensions(), DECODED_PIXEL_BYTES)?;
    for picture in decoder.into_frames().take(PAGES_MAX as usize) {
        let picture = picture.map_err(damaged)?.into_buffer();
        if !found(gray(DynamicImage::ImageRgba8(picture)))? {
            break;
        }
    }
    Ok(())
}

/// Memory for a picture with so many bytes a pixel, which the code that is about to read it would end the process to get.
///
/// # Errors
/// -10001 when there is not so much left.
pub(super) fn require_room((width, height): (u32, u32), pixel_bytes: usize) -> Result<()> {
    let bytes = (width as usize).saturating_mul(height as usize).saturating_mul(pixel_bytes);
    // What is beyond the limits is refused by those.
    if bytes > 2 * MEMORY_BYTES_MAX as usize || has_room_for(bytes + ROOM_BYTES) {
        return Ok(());
    }
    let message = format!("there is not enough memory for a picture of {width} by {height} pixels");
    Err(Error::new(ErrorCode::NO_MEMORY, message))
}

/// Lets a buffer grow by so many bytes without ending the process.
///
/// # Errors
/// -10001 when there is not so much memory left.
pub(super) fn reserve(buffer: &mut Vec<u8>, bytes: usize) -> Result<()> {
    let no_memory =
        |_| Error::new(ErrorCode::NO_MEMORY, format!("there is not enough memory for {bytes} bytes"));
    buffer.try_reserve_exact(bytes).map_err(no_memory)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(MEMORY_BYTES_MAX);
    limits
}

fn damaged(error: ImageError) -> Error {
    let message = match error {
        ImageError::Limits(e) => {
            format!("it is larger than {SIDE_PIXELS_MAX} pixels a side, or than this library decodes: {e}")
        }
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => "the file is cut short".into(),
        e => format!("it is damaged: {e}"),
    };
    Error::new(ErrorCode::IMAGE_READ_FAILED, message)
}

/// Shades of grey. What is transparent is paper: white.
fn gray(picture: DynamicImage) -> GrayImage<'static> {
    let gray = if picture.color().has_alpha() {
        let mut picture = picture.into_luma_alpha8();
        for pixel in picture.pixels_mut() {
            let [shade, alpha] = pixel.0.map(u32::from);
            // At most 255: a mean of two shades.
            pixel.0[0] = ((shade * alpha + 255 * (255 - alpha)) / 255) as u8;
        }
        DynamicImage::ImageLumaA8(picture).into_luma8()
    } else {
        picture.into_luma8()
    };
    GrayImage { width: gray.width(), height: gray.height(), pixels: gray.into_raw().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> Error {
        for_each_page(bytes, &mut |_| Ok(true)).unwrap_err()
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        assert_eq!(load_gray(Path::new("/no/such/file.png")).unwrap_err().code, ErrorCode::FILE_NOT_FOUND);
        assert_eq!(load_gray(Path::new("/")).unwrap_err().code, ErrorCode::FILE_NOT_FOUND);
        assert_eq!(error_of(b"").code, ErrorCode::FILETYPE_NOT_SUPPORTED);
        assert_eq!(error_of(b"hello").code, ErrorCode::FILETYPE_NOT_SUPPORTED);
        assert_eq!(error_of(b"%PDF-1.7\n").code, PDF_DLL_MISSING);
        assert_eq!(error_of(b"\x89PNG\r\n\x1a\n").code, ErrorCode::IMAGE_READ_FAILED);
        assert_eq!(error_of(b"GIF89a").code, ErrorCode::IMAGE_READ_FAILED);
        assert_eq!(error_of(b"II*\0").code, super::super::reading_error::TIFF_READ_FAILED);
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\x01\0\0\x08\0\0\0\0".to_vec();
        let crc = crc32(&png[12..]);
        png.extend_from_slice(&crc.to_be_bytes());
        let error = error_of(&png);
        assert_eq!(error.code, ErrorCode::IMAGE_READ_FAILED);
        assert!(error.message.contains("larger than"), "{error}");
    }

    #[test]
    fn what_is_transparent_is_white() {
        let clear = image::RgbaImage::from_pixel(1, 1, image::Rgba([0, 0, 0, 0]));
        assert_eq!(*gray(DynamicImage::ImageRgba8(clear)).pixels, [255]);
        let black = image::RgbaImage::from_pixel(1, 1, image::Rgba([0, 0, 0, 255]));
        assert_eq!(*gray(DynamicImage::ImageRgba8(black)).pixels, [0]);
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
