//! Renaming damaged files out of the way, and making renames durable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::fault_injection::disk::{self, Use};
use crate::os::{errors, open_flags};

/// Return whether an error means that the path is not a file but a directory, a link or a device.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData || errors::is_no_plain_file(error)
}

/// Rename a damaged file so that it is out of the way but not lost. Return its new name.
///
/// # Errors
/// Fails if the file cannot be renamed.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    disk::allows(Use::Rename)?;
    for number in 1..=SET_ASIDE_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let target = PathBuf::from(name);
        if !target.exists() {
            fs::rename(path, &target)?;
            return Ok(target);
        }
    }
    // More damaged copies than this show nothing that the first ones do not.
    fs::remove_file(path)?;
    Ok(path.to_owned())
}

/// Do the same as [`set_aside`] for a file that was opened and found damaged. Return `None` if the
/// name no longer means this file. If two processes find a file damaged, the slower one could
/// otherwise rename the good file that the faster one has created. So the process that renames
/// holds the lock of this very file, and has compared under the lock.
///
/// # Errors
/// Fails if the file cannot be renamed.
pub fn set_aside_same(path: &Path, damaged: &File) -> io::Result<Option<PathBuf>> {
    // Another process renames the file within microseconds; a process that was stopped meanwhile is
    // not waited for.
    for _ in 0..LOCK_TRIES_MAX {
        match damaged.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(NAP),
            _ => break,
        }
    }
    let of = damaged.metadata()?;
    match path.symlink_metadata() {
        Ok(named) if (named.dev(), named.ino()) == (of.dev(), of.ino()) => {
            set_aside(path).map(Some)
        }
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The most attempts to lock a damaged file, and the pause between two.
const LOCK_TRIES_MAX: u32 = 16;
const NAP: Duration = Duration::from_millis(5);

/// The most damaged copies that are kept of one file.
const SET_ASIDE_MAX: u32 = 100;

/// Make durable that a file is in its folder under this name.
///
/// # Errors
/// Returns the error of the disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    disk::allows(Use::Sync)?;
    match path.parent() {
        // Without this flag, opening a pipe in its place would wait.
        Some(folder) => OpenOptions::new()
            .read(true)
            .custom_flags(open_flags::DIRECTORY)
            .open(folder)?
            .sync_all(),
        None => Ok(()),
    }
}
