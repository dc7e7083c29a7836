//! The strings that come from C, and the messages that go to C.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Copy a C string as text; NULL and "" are alike. Bytes that are not UTF-8 are replaced: no field
/// of ours has such bytes, and the server could not interpret them.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays so during the call.
pub(super) unsafe fn text_from_c(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Copy a C string as a path, byte for byte.
///
/// # Safety
/// `text` is NUL-terminated, and stays so during the call.
pub(super) unsafe fn path_from_c(text: *const c_char) -> PathBuf {
    // SAFETY: the caller's promise.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()))
}

/// A caller's buffer for a message.
pub(super) struct MessageBuffer {
    start: *mut c_char,
    length: usize,
}

impl MessageBuffer {
    /// Make a buffer. NULL and length 0 mean that the caller wants no message.
    ///
    /// # Safety
    /// `start` is NULL or valid for writes of `length` bytes as long as the buffer is in use.
    pub(super) unsafe fn new(start: *mut c_char, length: usize) -> Self {
        Self { start, length: if start.is_null() { 0 } else { length } }
    }

    /// Write as much of the message as fits, always with a NUL, and never half a character.
    pub(super) fn write(&self, message: &str) {
        let Some(room) = self.length.checked_sub(1) else { return };
        let mut end = message.len().min(room);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        // SAFETY: `end` < `length`, and the buffer is valid for `length` bytes by the promise of
        // `new`.
        unsafe {
            std::ptr::copy_nonoverlapping(message.as_ptr().cast(), self.start, end);
            self.start.add(end).write(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &str, length: usize) -> Vec<u8> {
        let mut buffer = vec![b'#'; length + 2];
        // SAFETY: the buffer is longer than it says.
        unsafe { MessageBuffer::new(buffer.as_mut_ptr().cast(), length) }.write(message);
        assert_eq!(&buffer[length..], b"##", "nothing is written behind the buffer");
        buffer.truncate(length);
        buffer
    }

    #[test]
    fn a_message_is_cut_to_fit_and_always_ends_with_nul() {
        assert_eq!(written("abc", 5), b"abc\0#");
        assert_eq!(written("abc", 4), b"abc\0");
        assert_eq!(written("abc", 3), b"ab\0");
        assert_eq!(written("abc", 1), b"\0");
        assert_eq!(written("abc", 0), b"");
        assert_eq!(written("aä", 3), b"a\0#");
    }

    #[test]
    fn null_takes_no_message() {
        // SAFETY: NULL is allowed.
        unsafe { MessageBuffer::new(std::ptr::null_mut(), 10) }.write("abc");
    }
}
