//! The processes that use an item on this device: the last one can give back what the device holds.
//!
//! Each process that works under the item holds a shared lock on a file. The kernel drops the lock
//! when the process dies. A process that ends cleanly releases its shared lock and tries to take
//! the exclusive one. It succeeds if it is the last process.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{FileIdentity, Standing, lock_file};
use crate::os::FileLock;
use crate::os::locks::{MEMBERSHIP, Mutex};

/// The membership of this process among the users of an item.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    mine: Mutex<Option<Membership>, MEMBERSHIP>,
}

/// A lock and its file.
#[derive(Debug)]
struct Membership {
    _lock: FileLock,
    identity: FileIdentity,
}

/// A proof that no other process uses the item. While it is held, no process begins to use the
/// item.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "that it is held keeps others out")] FileLock);

impl Users {
    /// Return the users of the item with this file. No file is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, mine: Mutex::default() }
    }

    /// Return the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Join the users. While the last process gives back, this fails to get the lock, and the
    /// process works without it. No process will then give back in its place, and what it holds
    /// ends with its window.
    ///
    /// # Errors
    /// Fails if the file cannot be created or locked.
    pub fn join(&self) -> Result<()> {
        let mut mine = self.mine.lock();
        if mine.is_none() {
            *mine = self.new_membership()?;
        }
        Ok(())
    }

    /// Leave the users. Return `Some` if this was the last process.
    ///
    /// # Errors
    /// Fails if the file cannot be locked.
    pub fn leave(&self) -> Result<Option<Alone>> {
        let was_there = self.mine.lock().take().is_some();
        if was_there {
            Ok(self.lock(FileLock::try_lock)?.map(|(lock, _)| Alone(lock)))
        } else {
            Ok(None)
        }
    }

    /// Join the users of the file that has the name now, if the file with this process's lock has
    /// lost its name. The lock on the lost file would not show this process to the others.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::join`]; the next check tries again.
    pub fn check_files(&self) -> Result<()> {
        let mut mine = self.mine.lock();
        if mine
            .as_ref()
            .is_some_and(|mine| Standing::of(&self.path, mine.identity, 0) == Standing::Lost)
            && let Some(membership) = self.new_membership()?
        {
            *mine = Some(membership);
        }
        Ok(())
    }

    fn new_membership(&self) -> Result<Option<Membership>> {
        Ok(self
            .lock(FileLock::try_share)?
            .map(|(lock, identity)| Membership { _lock: lock, identity }))
    }

    fn lock(
        &self,
        how: impl FnOnce(std::fs::File) -> std::io::Result<Option<FileLock>>,
    ) -> Result<Option<(FileLock, FileIdentity)>> {
        let locked = lock_file(&self.path).and_then(|file| {
            let identity = FileIdentity::of(&file)?;
            Ok(how(file)?.map(|lock| (lock, identity)))
        });
        locked.map_err(|e| Error::state(&self.path, "lock", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::on_overlay;

    #[test]
    fn the_last_one_to_leave_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let users = || Users::new(folder.path().join("item"));
        let (first, second, stranger) = (users(), users(), users());
        first.join().unwrap();
        second.join().unwrap();
        second.join().unwrap();
        assert!(first.leave().unwrap().is_none(), "the second is still there");
        assert!(first.leave().unwrap().is_none(), "one cannot leave twice");
        assert!(stranger.leave().unwrap().is_none(), "who was never there is not the last");
        let alone = second.leave().unwrap();
        assert!(alone.is_some());
        first.join().unwrap();
        drop(alone);
        stranger.join().unwrap();
        assert!(stranger.leave().unwrap().is_some(), "the first found the door closed");
    }

    #[test]
    fn who_was_there_before_the_file_was_deleted_is_seen_by_who_came_after() {
        let folder = tempfile::tempdir().unwrap();
        let users = || Users::new(folder.path().join("seats/item"));
        let (first, second) = (users(), users());
        first.join().unwrap();
        std::fs::remove_dir_all(folder.path().join("seats")).unwrap();
        second.join().unwrap();
        first.check_files().unwrap();
        first.check_files().unwrap();
        assert!(second.leave().unwrap().is_none(), "the first is still there");
        assert!(first.leave().unwrap().is_some());
    }

    #[test]
    fn who_joins_others_is_not_alone_when_they_have_gone_also_on_an_overlayfs() {
        on_overlay(|folder| {
            let users = || Users::new(folder.join("item"));
            let (first, second, third) = (users(), users(), users());
            first.join().unwrap();
            second.join().unwrap();
            assert!(first.leave().unwrap().is_none(), "the second is still there");
            third.join().unwrap();
            assert!(third.leave().unwrap().is_none(), "the second is still there");
            assert!(second.leave().unwrap().is_some());
        });
    }
}
