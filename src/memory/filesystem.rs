//! Which file system something is on.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// The type of the file system of this file or directory: `f_type` of `statfs(2)`.
///
/// # Errors
/// What the file system says.
pub fn file_system_type(of: &File) -> io::Result<u32> {
    let mut answer = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel fills `answer`, which has the type that it expects.
    if unsafe { libc::fstatfs(of.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has filled it.
    Ok(unsafe { answer.assume_init() }.f_type as u32)
}
