//! The kernel's locks on ranges of a file that belong to the open description (Linux 3.15). They
//! are not lost when another part of the process opens and closes the same file.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};

/// Take an exclusive lock on one byte. Return `false` if another description has a lock on it.
///
/// # Errors
/// The file system has no such locks, or no memory for one more.
pub fn try_lock_byte(file: &File, byte: i64) -> io::Result<bool> {
    set(file, byte, libc::F_WRLCK)
}

/// Take a lock on one byte that others may share. Return `false` if another description has an
/// exclusive lock on it.
///
/// # Errors
/// The file system has no such locks, or no memory for one more.
pub fn try_share_byte(file: &File, byte: i64) -> io::Result<bool> {
    set(file, byte, libc::F_RDLCK)
}

/// Release the lock on one byte.
///
/// # Errors
/// The file system has no such locks.
pub(super) fn unlock_byte(file: &File, byte: i64) -> io::Result<()> {
    set(file, byte, libc::F_UNLCK).map(|_| ())
}

/// Say whether another open description holds a lock in this range.
///
/// # Errors
/// The descriptor is closed, or the file system has no such locks.
pub fn is_range_locked(descriptor: RawFd, first: i64, length: i64) -> io::Result<bool> {
    let range = call(descriptor, libc::F_OFD_GETLK, range_of(first, length, libc::F_WRLCK))?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

fn set(file: &File, byte: i64, kind: i32) -> io::Result<bool> {
    match call(file.as_raw_fd(), libc::F_OFD_SETLK, range_of(byte, 1, kind)) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn call(descriptor: RawFd, command: i32, mut range: libc::flock) -> io::Result<libc::flock> {
    // SAFETY: `range` is what the command reads, and fills for a question; it outlives the call.
    let result = unsafe { libc::fcntl(descriptor, command, &raw mut range) };
    if result == 0 { Ok(range) } else { Err(io::Error::last_os_error()) }
}

fn range_of(first: i64, length: i64, kind: i32) -> libc::flock {
    // SAFETY: `flock` is plain numbers, for which zero is a value; its pid must be zero for these
    // commands.
    let mut range: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = first;
    range.l_len = length;
    range
}
