//! The checks of a data directory's file system and access rights.

use std::fs::{Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use seatmeter_protocol::file_system;

use super::{DataDir, cannot_use, exists};
use crate::error::Error;

impl DataDir {
    /// Refuse a directory that cannot keep a server's files, and close one to other users that is
    /// open to them.
    ///
    /// # Errors
    /// Fails when others may write in it, or it is on a network file system; the message says what
    /// to do.
    pub fn require_private(&self) -> Result<(), Error> {
        if let Some(why) = self.place_fault()? {
            return Err(Error::Setup(why));
        }
        let Some(open) = self.open_mode()? else { return Ok(()) };
        let (shown, mode) = (self.path.display(), open & 0o7770);
        match std::fs::set_permissions(&self.path, Permissions::from_mode(mode)) {
            Ok(()) => tracing::warn!("{shown} was open to every user, and has mode {mode:o} now"),
            // The files in it are closed by their own modes, so this is no reason to stop.
            Err(error) => tracing::warn!(
                %error,
                "{shown} has mode {open:o}, so that every user may look into it: run \"chmod \
                 {mode:o} {shown}\" as its owner"
            ),
        }
        Ok(())
    }

    /// Return the mode of a directory with a server's key into which every user may look.
    ///
    /// # Errors
    /// Fails when it cannot be looked at.
    pub fn open_mode(&self) -> Result<Option<u32>, Error> {
        let Some(of) = self.metadata()? else { return Ok(None) };
        let is_open = of.mode() & 0o007 != 0 && exists(&self.server_key_path())?;
        Ok(is_open.then(|| of.mode() & 0o7777))
    }

    /// Return the number of the file system of the directory, or of the place where it would be
    /// made; `None` if that is not known.
    fn file_system(&self) -> Option<u32> {
        let path = std::path::absolute(&self.path).ok()?;
        let existing = path.ancestors().find(|place| place.exists())?;
        Some(nix::sys::statfs::statfs(existing).ok()?.filesystem_type().0 as u32)
    }

    fn metadata(&self) -> Result<Option<Metadata>, Error> {
        match std::fs::metadata(&self.path) {
            Ok(of) => Ok(Some(of)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(cannot_use("look at", &self.path, &e)),
        }
    }

    /// Return why the files of a server cannot be in this directory, and what to do.
    ///
    /// # Errors
    /// Fails when it cannot be looked at.
    pub fn place_fault(&self) -> Result<Option<String>, Error> {
        let shown = self.path.display();
        let kind = self.file_system();
        if let Some(why) = kind.and_then(file_system::refusal) {
            return Ok(Some(format!(
                "{shown} is on {why}. Use a data directory on a local disk, with --data DIR."
            )));
        }
        let Some(of) = self.metadata()? else { return Ok(None) };
        Ok(match of.mode() & 0o1002 {
            0o1002 => Some(format!(
                "{shown} is a directory in which everybody may write. Use one of its own, such as \
                 {shown}/seatmeterd-data."
            )),
            0o0002 => Some(format!(
                "{shown} has mode {:o}: every user may replace the server's key and database in \
                 it. Check that all files in it are yours (\"ls -la {shown}\"), then run \"chmod \
                 700 {shown}\".",
                of.mode() & 0o7777
            )),
            _ => None,
        })
    }
}
