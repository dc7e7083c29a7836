//! The lock by which the maker of a new pool file learns that an older one of the same name is
//! still in use.
//!
//! Deleting the file does not end its use: a process that has mapped it continues, and for up to a
//! second does not know. A newcomer would make a second pool, and the device would have twice its
//! seats. So every attached process also holds a read lock on a byte of the *directory*, chosen by
//! the pool's name. A process that makes a file and finds that lock lets newcomers wait until the
//! older users have had time to move.
//!
//! A descriptor keeps the lock, because a directory cannot be mapped. A host that closes the
//! descriptor, or also deletes the directory, only loses this protection.

use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::path::Path;

use seatmeter_protocol::seat_layout::LOCK_BASE;

use crate::os::system::{self, FileIdentity};
use crate::os::{is_range_locked, try_share_byte};

/// Mark the pool at `path` as in use, in the directory. Return the descriptor that keeps the lock.
pub(super) fn drop_at(path: &Path) -> Option<RawFd> {
    let directory = system::open_directory(path.parent()?).ok()?;
    try_share_byte(&directory, byte_of(path)).ok().filter(|is_done| *is_done)?;
    Some(directory.into_raw_fd())
}

/// Release the mark of the pool at `path`, which this process does not use any more.
pub(super) fn raise(path: &Path, descriptor: RawFd) {
    let named = path.parent().and_then(|directory| FileIdentity::of_name(directory).ok().flatten());
    // The host may have closed the descriptor, and opened something else under its number.
    if named.is_some_and(|directory| directory.is_of_descriptor(descriptor)) {
        system::close(descriptor);
    }
}

/// Call `is_at` with the directory that has the name now.
pub(super) fn is_at_path(path: &Path) -> bool {
    let directory = path.parent().map(system::open_directory);
    directory.is_some_and(|directory| directory.is_ok_and(|directory| is_at(&directory, path)))
}

/// Say whether a file that was at `path` is still in use.
pub(super) fn is_at(directory: &File, path: &Path) -> bool {
    is_range_locked(directory.as_raw_fd(), byte_of(path), 1).unwrap_or(false)
}

/// Return a byte offset: FNV-1a of the file's name. If two names get one byte, each waits for the
/// other's users, which does no harm.
fn byte_of(path: &Path) -> i64 {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let hash = name
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    LOCK_BASE + i64::from(hash)
}
