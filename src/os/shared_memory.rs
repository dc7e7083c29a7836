//! Mappings of files that processes share.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

/// Map so many bytes from the start of a file, for reading and writing. If `left` names a mapping
/// of the same length that is not in use any more, take its place.
///
/// # Errors
/// The kernel refuses the mapping.
pub(crate) fn map_shared(
    file: &File,
    bytes: usize,
    left: Option<NonNull<u8>>,
) -> io::Result<NonNull<u8>> {
    let (at, fixed) =
        left.map_or((ptr::null_mut(), 0), |left| (left.as_ptr().cast(), libc::MAP_FIXED));
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours; one
    // that is left is as long, and is nobody's.
    let base =
        unsafe { libc::mmap(at, bytes, access, libc::MAP_SHARED | fixed, file.as_raw_fd(), 0) };
    match NonNull::new(base) {
        Some(start) if base != libc::MAP_FAILED => Ok(start.cast()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Map a page of a file that no child inherits and nobody reads. It keeps the locks of the open
/// file for as long as the process lives, also after the descriptor is closed.
///
/// # Errors
/// The kernel refuses the mapping.
pub(crate) fn map_locking_page(file: &File, bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let page = unsafe {
        libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    let start = match NonNull::new(page) {
        Some(start) if page != libc::MAP_FAILED => start.cast(),
        _ => return Err(io::Error::last_os_error()),
    };
    // SAFETY: the range is the mapping made above.
    if unsafe { libc::madvise(page, bytes, libc::MADV_DONTFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: as above, and nothing refers to it.
        unsafe { unmap(start, bytes) };
        return Err(error);
    }
    Ok(start)
}

/// Unmap a mapping of this file.
///
/// # Safety
/// The range is one whole mapping, and nothing refers to it any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: by the contract of this function.
    unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
}
