//! The operations on file systems that std does not offer: return the type, exchange two names, and
//! rename to a new name only.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Return the type of the file system of this file or directory: `f_type` of `statfs(2)`.
///
/// # Errors
/// The file system reports an error.
pub fn file_system_type(of: &File) -> io::Result<u32> {
    let mut answer = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel fills `answer`, which has the type that it expects.
    if unsafe { libc::fstatfs(of.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has filled it.
    Ok(unsafe { answer.assume_init() }.f_type as u32)
}

/// Exchange two files under their names, in one step of which nobody sees half (`renameat2(2)`).
///
/// # Errors
/// The file system reports an error; `Unsupported` or `InvalidInput` means that it cannot exchange.
pub fn exchange_names(one: &Path, other: &Path) -> io::Result<()> {
    let (one, other) =
        (CString::new(one.as_os_str().as_bytes())?, CString::new(other.as_os_str().as_bytes())?);
    // SAFETY: both strings are NUL-terminated and live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one.as_ptr(),
            libc::AT_FDCWD,
            other.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Rename a file or directory to a name that is not in use.
///
/// # Errors
/// The name is in use (`AlreadyExists`), or the file system reports another error.
pub fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    let as_c = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (old, new) = (as_c(from)?, as_c(to)?);
    // The call is made by its number, because older C libraries have no function for it.
    // SAFETY: both are strings that end with a zero and outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            old.as_ptr(),
            libc::AT_FDCWD,
            new.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A kernel or file system without this call, or a sandbox that forbids it.
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM) => link_and_remove(from, to),
        _ => Err(error),
    }
}

/// Rename a file in two steps: link it under the new name, then remove the old one. Rename a
/// directory in one step, because it cannot be linked.
fn link_and_remove(from: &Path, to: &Path) -> io::Result<()> {
    let of = std::fs::metadata(from)?;
    if of.is_dir() {
        // If something has the new name, this replaces it only if it is an empty directory.
        return std::fs::rename(from, to);
    }
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}
