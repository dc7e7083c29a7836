//! Files in a data directory: complete and durable, or absent.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use seatmeter_protocol::signature::random_id;

use crate::error::Error;
use crate::sharing::{self, DRAFT};

/// Write a file that is either complete and durable or absent, for the users who share its
/// directory. Return `false` when the file existed already.
pub(super) fn publish(path: &Path, content: &str) -> Result<bool, Error> {
    let suffix =
        random_id().ok_or_else(|| Error::Setup("the system has no random numbers".to_owned()))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!("{DRAFT}{suffix}"));
    let draft = PathBuf::from(draft);
    let write = || -> std::io::Result<()> {
        let mut file = sharing::new_file(&draft)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    let linked = write().and_then(|()| std::fs::hard_link(&draft, path));
    let _ = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => sync_name(path).map(|()| true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(cannot("write", path, &e)),
    }
}

/// Give a finished file its name, durably, unless the name is taken.
///
/// # Errors
/// Fails when the name is taken, or cannot be given.
pub fn publish_file(draft: &Path, path: &Path) -> Result<(), Error> {
    std::fs::hard_link(draft, path).map_err(|e| cannot("write", path, &e))?;
    sync_name(path)
}

/// Make the content of a file durable.
///
/// # Errors
/// Fails when the disk fails.
pub fn sync_file(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| cannot("sync", path, &e))
}

/// Make the name of a file durable, by a sync of its directory.
pub(super) fn sync_name(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_file(Path::new(".")),
        Some(parent) => sync_file(parent),
        None => Ok(()),
    }
}

/// Create an empty file for the users who share its directory, if there is none, and check that it
/// can be written.
///
/// # Errors
/// Fails when it cannot be created or written.
pub fn touch_private(path: &Path) -> Result<(), Error> {
    if !exists(path)? {
        publish(path, "")?;
    }
    OpenOptions::new().append(true).open(path).map(drop).map_err(|e| cannot("write", path, &e))
}

/// Return whether there is something at this path.
///
/// # Errors
/// Fails when that cannot be determined.
pub fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|e| cannot("look for", path, &e))
}

/// Return the error for a file in a data directory.
pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    failed(what, path, error, sharing::advice_around(path, error))
}

/// Return the error for a data directory itself.
pub(super) fn cannot_use(what: &str, path: &Path, error: &std::io::Error) -> Error {
    failed(what, path, error, sharing::advice_about(path, path, error))
}

fn failed(what: &str, path: &Path, error: &std::io::Error, advice: Option<String>) -> Error {
    let usual = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "Its disk is full: make room on it (\"df -h\" shows all disks), then try again."
        }
        _ => "Check path, permissions and free space.",
    };
    let todo = advice.as_deref().unwrap_or(usual);
    Error::Setup(format!("cannot {what} {}: {error}. {todo}", path.display()))
}
