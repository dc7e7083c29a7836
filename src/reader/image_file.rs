//! Image files, read with limits: a small file can claim to be a picture of any size.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use image::{ImageError, ImageFormat, ImageReader, Limits};
use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use crate::error::{Error, Result};

/// Longest side of a picture in pixels.
const SIDE_PIXELS_MAX: u32 = 32_768;

/// Memory that decoding a picture may take.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Reads a PNG or JPEG file as shades of grey. What kind of file it is is seen from its content.
///
/// # Errors
/// -10005 when there is no such file, -10006 when it is of another kind, -10012 when it is damaged or too
/// large.
pub fn load_gray(path: &Path) -> Result<GrayImage> {
    let unreadable = |code, why: String| Error::new(code, format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|e| unreadable(ErrorCode::FILE_NOT_FOUND, e.to_string()))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(unreadable(ErrorCode::FILE_NOT_FOUND, "it is not a file".into()));
    }
    let mut reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(|e| unreadable(ErrorCode::IMAGE_READ_FAILED, e.to_string()))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(unreadable(
            ErrorCode::FILETYPE_NOT_SUPPORTED,
            "it is neither a PNG nor a JPEG file by its content".into(),
        ));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(MEMORY_BYTES_MAX);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| match e {
        ImageError::Limits(e) => unreadable(
            ErrorCode::IMAGE_READ_FAILED,
            format!("it is larger than {SIDE_PIXELS_MAX} pixels a side, or than this library decodes: {e}"),
        ),
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
            unreadable(ErrorCode::IMAGE_READ_FAILED, "the file is cut short".into())
        }
        e => unreadable(ErrorCode::IMAGE_READ_FAILED, format!("it is damaged: {e}")),
    })?;
    let gray = picture.into_luma8();
    Ok(GrayImage { width: gray.width(), height: gray.height(), pixels: gray.into_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> Error {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        load_gray(file.path()).unwrap_err()
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        assert_eq!(load_gray(Path::new("/no/such/file.png")).unwrap_err().code, ErrorCode::FILE_NOT_FOUND);
        assert_eq!(load_gray(Path::new("/")).unwrap_err().code, ErrorCode::FILE_NOT_FOUND);
        assert_eq!(error_of(b"").code, ErrorCode::FILETYPE_NOT_SUPPORTED);
        assert_eq!(error_of(b"hello").code, ErrorCode::FILETYPE_NOT_SUPPORTED);
        assert_eq!(error_of(b"\x89PNG\r\n\x1a\n").code, ErrorCode::IMAGE_READ_FAILED);
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

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
