//! Readers.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use super::text::MessageBuffer;
use super::{enter_or, enter_with, null_pointer};
use crate::reader::Reader;

/// A reader: under a licence by concurrent instances it holds a seat as long as it exists.
pub struct SM_Reader(pub(super) Reader);

/// Create a reader, and take a seat for it where the licence has seats.
///
/// `*out` gets the reader, to be given to SM_DestroyReader; on failure it is set to NULL. `detail`, if not
/// NULL, gets a sentence of at most detailLen - 1 bytes on failure and "" on success.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -20000 without a licence; -20008 when
/// all seats of this device are taken; -20111 when the licence has expired.
///
/// # Safety
/// `out` is NULL or good for writes; `detail` is NULL or good for writes of `detailLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_CreateReader(
    out: Option<&mut MaybeUninit<*mut SM_Reader>>,
    detail: *mut c_char,
    detailLen: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(detail, detailLen) };
    let body = || {
        let out = out.ok_or_else(|| null_pointer("out"))?;
        out.write(std::ptr::null_mut());
        let reader = Box::new(SM_Reader(Reader::create()?));
        out.write(Box::into_raw(reader));
        Ok(())
    };
    enter_with(body, |message| buffer.write(message))
}

/// Give the seat back and free the reader. NULL is allowed and does nothing.
///
/// Threads: any, also another than that which created it. Blocks: never.
#[unsafe(no_mangle)]
pub extern "C" fn SM_DestroyReader(reader: Option<Box<SM_Reader>>) {
    enter_or((), || {
        drop(reader);
        Ok(())
    });
}
