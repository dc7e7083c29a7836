//! Image files, read with limits: a small file can claim to be a picture of any size.
//!
//! | kind | pages | read by |
//! |---|---|---|
//! | PNG | one | `png_file.rs`, row by row |
//! | JPEG | one | `jpeg_file.rs` |
//! | BMP | one | `bitmap.rs`, row by row |
//! | GIF | its pictures | `gif_file.rs` |
//! | TIFF | its pages | `tiff_file.rs`, strip by strip |
//! | PDF | refused by a number of its own: no part of this library draws it | |

use std::io::Read;
use std::path::Path;

use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use super::gray::reserve;
use super::reading_error::{PDF_DLL_MISSING, explained};
use super::{bitmap, gif_file, jpeg_file, png_file, tiff_file};
use crate::error::{Error, Result};
use crate::files::named_file;

/// The size of the largest file that is read, in bytes. No picture within the limits is larger, not
/// even an uncompressed one of 64 bits a pixel.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;

/// Most pages of one file that are read. A file with more pages may be an attack on CPU time.
pub(super) const PAGES_MAX: u32 = 1000;

/// A function that receives the number of a page, from 0, and its shades of gray, and returns
/// whether it wants the next page.
pub(super) type Page<'a> = &'a mut dyn FnMut(u32, GrayImage<'static>) -> Result<bool>;

/// Read a file into memory.
///
/// # Errors
/// -10005 when there is no such file, -10012 when it is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |code, why: String| Error::new(code, format!("{}: {why}", path.display()));
    let file =
        named_file(path).map_err(|e| unreadable(ErrorCode::FILE_NOT_FOUND, e.to_string()))?;
    let metadata =
        file.metadata().map_err(|e| unreadable(ErrorCode::FILE_NOT_FOUND, e.to_string()))?;
    let mut bytes = Vec::new();
    let length = usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or(0);
    reserve(&mut bytes, length).map_err(|e| unreadable(e.code, e.message))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(ErrorCode::IMAGE_READ_FAILED, e.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(ErrorCode::IMAGE_READ_FAILED, "it has more than 1 GiB".into()));
    }
    Ok(bytes)
}

/// Read the only or first page of a file.
///
/// # Errors
/// Fails as [`read_file`] and [`for_each_page`] do.
pub fn load_gray(path: &Path) -> Result<GrayImage<'static>> {
    let mut first = None;
    for_each_page(&read_file(path)?, &mut |number, page| {
        first = first.take().or((number == 0).then_some(page));
        Ok(false)
    })?;
    first.ok_or_else(|| Error::new(ErrorCode::IMAGE_READ_FAILED, "the file has no picture"))
}

/// Call `found` with each page of an image file, as shades of gray, until it says `false`. The
/// content decides the kind of file.
///
/// # Errors
/// -10006 when the file is of another kind, -10022 when it is a PDF file, and -10001 when there is
/// not enough memory.
///
/// -10012 (-10013 for TIFF) when a page is damaged, too large or of a kind that is not read.
/// `found` has then got all other pages, and the readable part of a truncated page. An error of
/// `found` is returned, too.
pub fn for_each_page(
    bytes: &[u8],
    found: &mut dyn FnMut(u32, GrayImage<'static>) -> Result<bool>,
) -> Result<()> {
    match kind_of(bytes) {
        Some(Kind::Png) => {
            let read = png_file::gray_of_file(bytes)?;
            found(0, read.picture)?;
            read.failure.map_or(Ok(()), Err)
        }
        Some(Kind::Jpeg) => {
            let read = jpeg_file::gray_of_file(bytes)?;
            found(0, read.picture)?;
            read.failure.map_or(Ok(()), Err)
        }
        Some(Kind::Bmp) => found(0, bitmap::gray_of_file(bytes)?).map(|_| ()),
        Some(Kind::Gif) => gif_file::for_each_page(bytes, found),
        Some(Kind::Tiff) => tiff_file::for_each_page(bytes, found),
        // Some programs write other bytes in front of the PDF header.
        None if bytes[..bytes.len().min(1024)].windows(5).any(|part| part == b"%PDF-") => {
            Err(explained(PDF_DLL_MISSING))
        }
        None => Err(Error::new(
            ErrorCode::FILETYPE_NOT_SUPPORTED,
            "it is neither a PNG, JPEG, BMP, GIF nor TIFF file by its content",
        )),
    }
}

enum Kind {
    Png,
    Jpeg,
    Bmp,
    Gif,
    Tiff,
}

fn kind_of(bytes: &[u8]) -> Option<Kind> {
    let begins = |start: &[u8]| bytes.starts_with(start);
    Some(match bytes.first()? {
        0x89 if begins(b"\x89PNG\r\n\x1a\n") => Kind::Png,
        0xff if begins(b"\xff\xd8\xff") => Kind::Jpeg,
        b'B' if begins(b"BM") => Kind::Bmp,
        b'G' if begins(b"GIF87a") || begins(b"GIF89a") => Kind::Gif,
        b'I' if begins(b"II*\0") || begins(b"II+\0") => Kind::Tiff,
        b'M' if begins(b"MM\0*") || begins(b"MM\0+") => Kind::Tiff,
        _ => return None,
    })
}

/// A page, and its error if the page is not whole.
pub(super) struct ReadPage {
    pub(super) picture: GrayImage<'static>,
    pub(super) failure: Option<Error>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> Error {
        for_each_page(bytes, &mut |_, _| Ok(true)).unwrap_err()
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        assert_eq!(
            load_gray(Path::new("/no/such/file.png")).unwrap_err().code,
            ErrorCode::FILE_NOT_FOUND
        );
        assert_eq!(load_gray(Path::new("/")).unwrap_err().code, ErrorCode::FILE_NOT_FOUND);
        assert_eq!(error_of(b"").code, ErrorCode::FILETYPE_NOT_SUPPORTED);
        assert_eq!(error_of(b"hello").code, ErrorCode::FILETYPE_NOT_SUPPORTED);
        for damaged in [&b"\x89PNG\r\n\x1a\n"[..], b"GIF89a", b"BM", b"\xff\xd8\xff\xe0"] {
            assert_eq!(error_of(damaged).code, ErrorCode::IMAGE_READ_FAILED, "{damaged:?}");
        }
        assert_eq!(error_of(b"II*\0").code, super::super::reading_error::TIFF_READ_FAILED);
    }

    #[test]
    fn a_pdf_file_is_refused_with_the_command_that_makes_pictures_of_it() {
        let command = "pdftoppm -r 300 -gray -png FILE.pdf PAGE";
        for file in
            [&b"%PDF-1.7\n"[..], b"\r\n%PDF-1.4\n", &[&[b' '; 1000][..], b"%PDF-2.0"].concat()]
        {
            let error = error_of(file);
            assert_eq!(error.code, PDF_DLL_MISSING);
            assert!(error.message.contains(command), "{error}");
        }
        assert!(include_str!("../../../docs/dbr-compat.md").contains(command));
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
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }
}
