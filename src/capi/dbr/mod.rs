//! The functions of `include/dbr/`: the C API of DBR 8.x over the same readers.
//!
//! The headers of that API describe each function. They are written by hand, and tests compare
//! names and layouts. Here each function checks its arguments from C, calls one method of the core,
//! and answers.

pub mod decode;
mod details;
pub mod frames;
pub mod instances;
pub mod intermediate;
pub mod layout;
pub mod license;
mod results;
pub mod settings;

use std::ffi::{CString, c_char, c_int, c_void};

use super::reader::SM_Reader;
use super::text::text_from_c;
use super::{enter, enter_or, null_pointer};
use crate::error::Result;
use crate::reader::Reader;

/// Get the meaning of an error number.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetErrorString(errorCode: c_int) -> *const c_char {
    super::information::SM_GetErrorString(errorCode)
}

/// Get the version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetVersion() -> *const c_char {
    super::information::SM_GetVersion()
}

/// Free a string of this library.
///
/// # Safety
/// `content` is NULL or points to NULL or to a string from this library that is not used
/// afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_FreeString(content: *mut *mut c_char) {
    enter_or((), || {
        if !content.is_null() {
            // SAFETY: the caller's promise.
            let string = unsafe { content.replace(std::ptr::null_mut()) };
            if !string.is_null() {
                // SAFETY: from `CString::into_raw` in `give_string`, by the caller's promise.
                drop(unsafe { CString::from_raw(string) });
            }
        }
        Ok(())
    });
}

/// Give a string to the caller, who frees it with the function for that; give NULL on failure.
///
/// # Safety
/// `place` is NULL or valid for writes.
unsafe fn give_string(
    place: *mut *mut c_char,
    text: impl FnOnce() -> Result<String>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        give_pointer("the place for the string", place, || {
            // No text of this library has a NUL, so this cannot fail.
            Ok(CString::new(text()?).unwrap_or_default().into_raw())
        })
    }
}

/// Give a pointer to the caller; give NULL on failure.
///
/// # Safety
/// `place` is NULL or valid for writes.
unsafe fn give_pointer<T>(
    name: &str,
    place: *mut *mut T,
    make: impl FnOnce() -> Result<*mut T>,
) -> Result<()> {
    if place.is_null() {
        return Err(null_pointer(name));
    }
    // Set NULL first, so that the pointer is NULL even if `make` panics.
    // SAFETY: not NULL, and valid for writes by the caller's promise.
    unsafe { place.write_unaligned(std::ptr::null_mut()) };
    let pointer = make()?;
    // SAFETY: as above.
    unsafe { place.write_unaligned(pointer) };
    Ok(())
}

/// Copy a required text.
///
/// # Safety
/// `text` is NULL or NUL-terminated.
unsafe fn needed_text(name: &str, text: *const c_char) -> Result<String> {
    if text.is_null() {
        return Err(null_pointer(name));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { text_from_c(text) })
}

/// Return the bytes of a caller's array.
///
/// # Safety
/// `bytes` is NULL or valid for reads of `length` bytes during the call.
unsafe fn bytes_from_c<'a>(name: &str, bytes: *const u8, length: usize) -> Result<&'a [u8]> {
    if bytes.is_null() {
        return Err(null_pointer(name));
    }
    // SAFETY: not NULL, and valid by the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(bytes, length) })
}

/// # Safety
/// `reader` is NULL or from `DBR_CreateInstance` or `DBR_GetInstance`.
unsafe fn reader_from_c<'a>(reader: *mut c_void) -> Result<&'a Reader> {
    // SAFETY: the caller's promise.
    let reader = unsafe { reader.cast::<SM_Reader>().as_ref() };
    reader.ok_or_else(|| null_pointer("the reader"))?.0.here()
}
