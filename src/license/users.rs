//! Who uses an item on this device: so that the last process can give back what the device holds.
//!
//! Each process that works under the item holds a shared lock on a file, which the kernel drops at
//! its death. One that ends cleanly gives up its own and tries for the exclusive one: it gets it
//! when nobody else is there.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{Identity, Standing, lock_file};
use crate::os::FileLock;
use crate::os::locks::Mutex;

/// This process's place among the users of an item.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    mine: Mutex<Option<Place>>,
}

/// A lock, and the file that it is on.
#[derive(Debug)]
struct Place {
    _lock: FileLock,
    identity: Identity,
}

/// Nobody else uses the item, and as long as this is held nobody begins to.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "that it is held keeps others out")] FileLock);

impl Users {
    /// The users of the item whose file this is. Nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, mine: Mutex::default() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Joins them. One who finds the door closed, for the moment in which the last one gives back,
    /// goes without: nobody will then give back in its place, and what it holds ends with its
    /// window.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn join(&self) -> Result<()> {
        let mut mine = self.mine.lock();
        if mine.is_none() {
            *mine = self.place()?;
        }
        Ok(())
    }

    /// Leaves them; `Some` to the last one.
    ///
    /// # Errors
    /// When the file cannot be locked.
    pub fn leave(&self) -> Result<Option<Alone>> {
        let was_there = self.mine.lock().take().is_some();
        if was_there {
            Ok(self.lock(FileLock::try_lock)?.map(|(lock, _)| Alone(lock)))
        } else {
            Ok(None)
        }
    }

    /// Joins those of the file that has the name now, if the one with this process's lock has lost
    /// it: by that one nobody would see that this process is there.
    ///
    /// # Errors
    /// As [`Self::join`]; the next look tries again.
    pub fn look(&self) -> Result<()> {
        let mut mine = self.mine.lock();
        if mine
            .as_ref()
            .is_some_and(|mine| Standing::of(&self.path, mine.identity, 0) == Standing::Lost)
            && let Some(place) = self.place()?
        {
            *mine = Some(place);
        }
        Ok(())
    }

    fn place(&self) -> Result<Option<Place>> {
        Ok(self.lock(FileLock::try_share)?.map(|(lock, identity)| Place { _lock: lock, identity }))
    }

    fn lock(
        &self,
        how: impl FnOnce(std::fs::File) -> std::io::Result<Option<FileLock>>,
    ) -> Result<Option<(FileLock, Identity)>> {
        let locked = lock_file(&self.path).and_then(|file| {
            let identity = Identity::of(&file)?;
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
        first.look().unwrap();
        first.look().unwrap();
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
