//! How the maker of a new pool file learns that an older one of the same name is still in use.
//!
//! Deleting the file does not end its use: who has it mapped goes on, and for up to a second does
//! not know. A newcomer would make a second pool and the device would have twice its seats. So
//! every attached process also holds a read lock on a byte of the *directory*, chosen by the pool's
//! name. Who makes a file and finds that lock lets newcomers wait until the older users have had
//! time to move.
//!
//! The lock is kept by a descriptor, because a directory cannot be mapped. A host that closes it,
//! or deletes the directory too, only loses this care.

use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::path::Path;

use seatmeter_protocol::seat_layout::LOCK_BASE;

use crate::os::system::{self, Identity};
use crate::os::{is_range_locked, try_share_byte};

/// Say in the directory that the pool at `path` is in use. Answers the descriptor that keeps the
/// lock.
pub(super) fn drop_at(path: &Path) -> Option<RawFd> {
    let directory = system::open_directory(path.parent()?).ok()?;
    try_share_byte(&directory, byte_of(path)).ok().filter(|is_done| *is_done)?;
    Some(directory.into_raw_fd())
}

/// The pool at `path` is no longer in use by us.
pub(super) fn raise(path: &Path, descriptor: RawFd) {
    let named = path.parent().and_then(|directory| Identity::of_name(directory).ok().flatten());
    // The host may have closed it and opened something else.
    if named.is_some_and(|directory| directory.is_of_descriptor(descriptor)) {
        system::close(descriptor);
    }
}

/// As `is_at`, of the directory that has the name now.
pub(super) fn is_at_path(path: &Path) -> bool {
    let directory = path.parent().map(system::open_directory);
    directory.is_some_and(|directory| directory.is_ok_and(|directory| is_at(&directory, path)))
}

/// Is a file that was at `path` still in use?
pub(super) fn is_at(directory: &File, path: &Path) -> bool {
    is_range_locked(directory.as_raw_fd(), byte_of(path), 1).unwrap_or(false)
}

/// FNV-1a of the file's name. Two names with one byte wait for one another's users, which does no
/// harm.
fn byte_of(path: &Path) -> i64 {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let hash = name
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    LOCK_BASE + i64::from(hash)
}
