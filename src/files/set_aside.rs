//! Renaming what is damaged out of the way, and making renames durable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::fault_injection::disk::{self, Use};
use crate::os::{errors, open_flags};

/// Whether an error says that there is something else than a file: a directory, a link, a device.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData || errors::is_no_plain_file(error)
}

/// Renames a damaged file so that it is out of the way but not lost; gives its new name.
///
/// # Errors
/// When it cannot be renamed.
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
    // So many damaged copies tell nothing more than the first ones do.
    fs::remove_file(path)?;
    Ok(path.to_owned())
}

/// As [`set_aside`], of a file that was opened and found damaged; `None` when the name no longer
/// means it. Of two that find one damaged, the slower would else rename the good one that the
/// faster has made: so who renames has the lock of the very file, and has looked under it.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside_same(path: &Path, damaged: &File) -> io::Result<Option<PathBuf>> {
    // Whoever is renaming it is done in microseconds; who was stopped meanwhile is not waited for.
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

/// Tries for the lock of a damaged file, and what is between two.
const LOCK_TRIES_MAX: u32 = 16;
const NAP: Duration = Duration::from_millis(5);

/// Damaged copies kept of one file.
const SET_ASIDE_MAX: u32 = 100;

/// Makes durable that a file is in its folder under this name.
///
/// # Errors
/// What the disk says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    disk::allows(Use::Sync)?;
    match path.parent() {
        // A pipe in its place would be waited for.
        Some(folder) => OpenOptions::new()
            .read(true)
            .custom_flags(open_flags::DIRECTORY)
            .open(folder)?
            .sync_all(),
        None => Ok(()),
    }
}
