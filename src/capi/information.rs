//! Constants: the texts of errors, and the version.

use std::ffi::{CStr, c_char, c_int};

use seatmeter_protocol::error_code::ErrorCode;

/// Get a sentence that says what an error number means and what to do about it.
///
/// All numbers of this header, and of the headers for programs of the DBR API, are known. The
/// string is static: do not free it. Any other number has a sentence of its own, so the answer is
/// never NULL.
///
/// Threads: any. Blocks: never. Returns a NUL-terminated string.
#[unsafe(no_mangle)]
pub extern "C" fn SM_GetErrorString(code: c_int) -> *const c_char {
    error_string(code).as_ptr()
}

pub(super) fn error_string(code: c_int) -> &'static CStr {
    ErrorCode(code).entry().map_or(c"Unknown error number.", |entry| entry.message)
}

/// Get the version of the library, such as "0.1.0".
///
/// Threads: any. Blocks: never. Returns a static NUL-terminated string.
#[unsafe(no_mangle)]
pub extern "C" fn SM_GetVersion() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
