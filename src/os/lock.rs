//! A lock on a file that lives exactly as long as its holder, whatever the holder does and however
//! it dies.
//!
//! A lock that depends on a descriptor does not. A daemon that closes all descriptors loses the
//! lock while it lives, and a forked child that has inherited the descriptor keeps the lock after
//! its parent's death. So the lock is taken through an open description of its own (Linux 3.15).
//! Such a lock is not lost when another part of the process opens and closes the same file. Then
//! one page of that description is mapped, and the descriptor is closed. The page keeps the lock,
//! no `close` can reach it, and a child does not inherit it (`MADV_DONTFORK`).
//!
//! On some file systems (overlayfs) the page refers to a file underneath, and the lock is lost with
//! the descriptor. `page_lock.rs` detects these file systems, and there the descriptor is kept.
//!
//! | guard | all descriptors closed | child outlives the holder |
//! |---|---|---|
//! | page | stays | goes with the holder |
//! | descriptor | is lost | stays until the child's end |

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::mapped::Mapping;
use super::page_lock::{PAGE_BYTES, page_keeps_locks};
use super::process::reopen;
use super::process_generation;
use super::range_lock::{try_lock_byte, try_share_byte, unlock_byte};
use super::undisturbed::Uncanceled;

/// The offset of the byte that is locked.
const FIRST_BYTE: i64 = 0;

/// A lock on the first byte of a file, held until dropped, by this process alone or by several.
#[derive(Debug)]
pub struct FileLock {
    _guard: LockGuard,
}

#[derive(Debug)]
enum LockGuard {
    Page(#[allow(dead_code, reason = "that it is there keeps the lock")] Mapping),
    Descriptor(#[expect(dead_code, reason = "as above")] Descriptor),
}

impl FileLock {
    /// Lock the file, or return `None` if another holder has the lock. Never wait. The file must be
    /// an open description of its own, opened for reading and writing.
    ///
    /// # Errors
    /// The file system has no such locks.
    pub fn try_lock(file: File) -> io::Result<Option<Self>> {
        Self::try_with(file, try_lock_byte)
    }

    /// Lock the file as [`Self::try_lock`] does, but share the lock with any number of holders, as
    /// long as no holder has it alone.
    ///
    /// # Errors
    /// The file system has no such locks.
    pub fn try_share(file: File) -> io::Result<Option<Self>> {
        Self::try_with(file, try_share_byte)
    }

    fn try_with(file: File, lock: fn(&File, i64) -> io::Result<bool>) -> io::Result<Option<Self>> {
        if !lock(&file, FIRST_BYTE)? {
            return Ok(None);
        }
        let guard = match page_of(&file) {
            Some(page) => LockGuard::Page(page),
            None => LockGuard::Descriptor(Descriptor::new(file)?),
        };
        Ok(Some(Self { _guard: guard }))
    }
}

/// Return a mapped page that keeps the locks of this description after its descriptor is closed, or
/// `None` where no page can.
fn page_of(file: &File) -> Option<Mapping> {
    // Where /proc is not mounted, this cannot be tested, and the descriptor is kept.
    if !page_keeps_locks(file, || reopen(file.as_raw_fd())) {
        return None;
    }
    Mapping::new(file, PAGE_BYTES).ok().filter(Mapping::is_hidden_from_children)
}

/// A descriptor that is closed only if it still refers to the same file. The host may have closed
/// it, and opened something else under its number.
#[derive(Debug)]
struct Descriptor {
    file: Option<File>,
    identity: (u64, u64),
    generation: u64,
}

impl Descriptor {
    fn new(file: File) -> io::Result<Self> {
        let identity = identity(&file)?;
        Ok(Self { file: Some(file), identity, generation: process_generation() })
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // A count may release the last share of a segment, so this may run in a thread of the host.
        let _uncanceled = Uncanceled::hold();
        let Some(file) = self.file.take() else { return };
        if identity(&file).ok() != Some(self.identity) {
            std::mem::forget(file);
        } else if self.generation == process_generation() {
            // A forked child may have a copy of the descriptor, so closing ours would not be
            // enough. In that child nothing may be unlocked, because the lock is its parent's.
            let _ = unlock_byte(&file, FIRST_BYTE);
        }
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|of| (of.dev(), of.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::on_overlay;

    #[test]
    fn one_holder_at_a_time_and_dropping_gives_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let open = || {
            File::options().create(true).truncate(false).read(true).write(true).open(&path).unwrap()
        };
        let first = FileLock::try_lock(open()).unwrap().expect("free");
        assert!(FileLock::try_lock(open()).unwrap().is_none());
        assert!(FileLock::try_share(open()).unwrap().is_none());
        drop(first);
        assert!(FileLock::try_lock(open()).unwrap().is_some());
        let shared = [FileLock::try_share(open()).unwrap(), FileLock::try_share(open()).unwrap()];
        assert!(shared.iter().all(Option::is_some));
        assert!(FileLock::try_lock(open()).unwrap().is_none());
        drop(shared);
        assert!(FileLock::try_lock(open()).unwrap().is_some());
    }

    #[test]
    fn who_shares_a_lock_has_one_of_its_own_also_where_pages_keep_none() {
        on_overlay(|folder| {
            let path = folder.join("lock");
            let open = || {
                File::options()
                    .create(true)
                    .truncate(false)
                    .read(true)
                    .write(true)
                    .open(&path)
                    .unwrap()
            };
            let first = FileLock::try_share(open()).unwrap().expect("free");
            let second = FileLock::try_share(open()).unwrap().expect("shared");
            drop(first);
            assert!(FileLock::try_lock(open()).unwrap().is_none(), "the second is still there");
            drop(second);
            assert!(FileLock::try_lock(open()).unwrap().is_some());
        });
    }
}
