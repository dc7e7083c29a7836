//! The decoding of pictures, and its results.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_void};

use seatmeter_protocol::error_code::ErrorCode;

use super::layout::{ImageData, TextResultArray};
use super::{bytes_from_c, enter, enter_or, give_pointer, null_pointer, reader_from_c, results};
use crate::capi::text::{path_from_c, text_from_c};
use crate::error::{Error, Result};
use crate::reader::{BITMAP_HEADER_BYTES, BitmapHeader, Picture, PixelLayout};

/// Decode with a reader. This checks the reader first, and then the picture.
///
/// # Safety
/// `reader` is NULL or from `DBR_CreateInstance`; `template` is NULL or NUL-terminated.
unsafe fn decode(reader: *mut c_void, picture: Picture<'_>, template: *const c_char) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { reader_from_c(reader)?.decode(picture, &text_from_c(template)) }
}

/// Decode an image file and count its barcodes.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; the strings are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeFile(
    barcodeReader: *mut c_void,
    pFileName: *const c_char,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        if pFileName.is_null() {
            return Err(null_pointer("the file name"));
        }
        // SAFETY: not NULL, and NUL-terminated by the caller's promise.
        let path = unsafe { path_from_c(pFileName) };
        // SAFETY: the caller's promise.
        unsafe { decode(barcodeReader, Picture::File(&path), pTemplateName) }
    })
}

/// Decode an image file in memory.
///
/// # Safety
/// The rules of `DBR_DecodeFile` apply; `pFileBytes` is NULL or valid for reads of `fileSize`
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeFileInMemory(
    barcodeReader: *mut c_void,
    pFileBytes: *const c_uchar,
    fileSize: c_int,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        let size = usize::try_from(fileSize).map_err(|_| negative("fileSize", fileSize))?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { bytes_from_c("the file", pFileBytes, size) }?;
        // SAFETY: the caller's promise.
        unsafe { decode(barcodeReader, Picture::Bytes(bytes), pTemplateName) }
    })
}

/// Decode pixels.
///
/// # Safety
/// The rules of `DBR_DecodeFile` apply; `pBufferBytes` is NULL or valid for reads of the picture
/// that the numbers describe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeBuffer(
    barcodeReader: *mut c_void,
    pBufferBytes: *const c_uchar,
    width: c_int,
    height: c_int,
    stride: c_int,
    format: c_int,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        let layout = PixelLayout::new(width, height, stride, format)?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { bytes_from_c("the buffer", pBufferBytes, layout.bytes()) }?;
        // SAFETY: the caller's promise.
        unsafe { decode(barcodeReader, Picture::Pixels(layout, bytes), pTemplateName) }
    })
}

/// Decode an image file in base64.
///
/// # Safety
/// The rules of `DBR_DecodeFile` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeBase64String(
    barcodeReader: *mut c_void,
    pBase64String: *const c_char,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        if pBase64String.is_null() {
            return Err(null_pointer("the text"));
        }
        // SAFETY: not NULL, and NUL-terminated by the caller's promise.
        let text = unsafe { CStr::from_ptr(pBase64String) }.to_bytes();
        // SAFETY: the caller's promise.
        unsafe { decode(barcodeReader, Picture::Base64(text), pTemplateName) }
    })
}

/// Decode a bitmap with its header.
///
/// # Safety
/// The rules of `DBR_DecodeFile` apply; `hDIB` is NULL or valid for reads of a header, and of the
/// bytes that the header describes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeDIB(
    barcodeReader: *mut c_void,
    hDIB: *const c_void,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        if hDIB.is_null() {
            return Err(null_pointer("the bitmap"));
        }
        // SAFETY: not NULL, and a header by the caller's promise; bytes may be anywhere.
        let header =
            BitmapHeader::understand(unsafe { &*hDIB.cast::<[u8; BITMAP_HEADER_BYTES]>() })?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { bytes_from_c("the bitmap", hDIB.cast(), header.bytes()) }?;
        // SAFETY: the caller's promise.
        unsafe { decode(barcodeReader, Picture::Bitmap(header, bytes), pTemplateName) }
    })
}

/// Decode pixels in a structure that describes their layout.
///
/// # Safety
/// The rules of `DBR_DecodeFile` apply; `imageData` is NULL or valid, in the layout of DBR 9.6, and
/// its bytes are NULL or as many as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeImageData(
    barcodeReader: *mut c_void,
    imageData: *const ImageData,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        if imageData.is_null() {
            return Err(null_pointer("the picture"));
        }
        // SAFETY: not NULL, and valid by the caller's promise.
        let data = unsafe { imageData.read_unaligned() };
        let layout = PixelLayout::new(data.width, data.height, data.stride, data.format)?
            .turned(data.orientation)?;
        let length = usize::try_from(data.bytesLength)
            .map_err(|_| negative("bytesLength", data.bytesLength))?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { bytes_from_c("the picture's bytes", data.bytes, length) }?;
        // SAFETY: the caller's promise.
        unsafe { decode(barcodeReader, Picture::Pixels(layout, bytes), pTemplateName) }
    })
}

/// Give the results of the last decode call: an array even if there are none, NULL without a
/// reader.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `pResults` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetAllTextResults(
    barcodeReader: *mut c_void,
    pResults: *mut *mut TextResultArray,
) -> c_int {
    // SAFETY: the caller's promise.
    let make = || unsafe { Ok(reader_from_c(barcodeReader)?.with_outcome(results::into_c)) };
    // SAFETY: the caller's promise.
    enter(|| unsafe { give_pointer("the place for the results", pResults, make) })
}

/// Free results and set the caller's pointer to NULL.
///
/// # Safety
/// `pResults` is NULL or points to NULL or to an array of this library that is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_FreeTextResults(pResults: *mut *mut TextResultArray) {
    enter_or((), || {
        if !pResults.is_null() {
            // SAFETY: the caller's promise.
            unsafe { results::free(pResults.replace(std::ptr::null_mut())) };
        }
        Ok(())
    });
}

fn negative(name: &str, value: c_int) -> Error {
    Error::new(
        ErrorCode::PARAMETER_VALUE_INVALID,
        format!("{name} is {value}; it must not be negative"),
    )
}
