//! The proof that a process lives: a lock of the kernel on its entry's byte.
//!
//! The lock must live exactly as long as the process. A lock kept by a descriptor does not: a
//! daemon closes all descriptors, and a forked child keeps the description open after its parent
//! died. So the lock is taken through an open description of its own, which a mapped page keeps
//! alive. `close` cannot drop the lock, the page is not inherited (`MADV_DONTFORK`), and the kernel
//! drops the lock with the process's memory, whatever the death. POSIX record locks are no
//! alternative: they vanish when any descriptor of the file is closed.
//!
//! On overlayfs the page refers to the file below, and `close` drops the lock. `os/page_lock.rs`
//! detects this. The descriptor is then kept, and closed in forked children.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::seat_layout::LOCK_BASE;

use crate::fault_injection::kill_points::kill_point;
use crate::os::shared_memory::{map_locking_page, unmap};
use crate::os::system::{self, FileIdentity};
use crate::os::{Uncanceled, errors, forks, is_range_locked, page_keeps_locks, try_lock_byte};

/// The value of -1 in the half of a word.
const NO_DESCRIPTOR: u32 = u32::MAX;
/// The size of the lock's page in bytes. Only the mapping matters; the page is never touched.
const PAGE_BYTES: usize = 4096;

/// The object that keeps the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LockGuard {
    /// The address of the page that keeps the lock.
    Page(usize),
    /// The descriptor that keeps the lock.
    Descriptor(RawFd),
}

/// The descriptor through which the kernel is asked for locks. The host may close it, and open
/// something else in its place.
#[derive(Debug)]
pub(super) struct LockProbe {
    /// The descriptor in the low half, and a count of its changes in the high half.
    descriptor: AtomicU64,
    identity: FileIdentity,
}

impl LockProbe {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let identity = FileIdentity::of(&file)?;
        Ok(Self { descriptor: AtomicU64::new(file.into_raw_fd() as u32 as u64), identity })
    }

    /// Make a probe of no file.
    pub(super) fn of_nothing() -> Self {
        let identity = FileIdentity { device: u64::MAX, inode: u64::MAX };
        Self { descriptor: AtomicU64::new(u64::from(NO_DESCRIPTOR)), identity }
    }

    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Return the descriptor if it still refers to the pool file. Otherwise open the file of that
    /// name, if that is still the pool file.
    fn descriptor(&self, path: &Path) -> Option<RawFd> {
        let kept = self.descriptor.load(Ordering::Acquire);
        if self.identity.is_of_descriptor(kept as u32 as RawFd) {
            return Some(kept as u32 as RawFd);
        }
        // The count of free seats comes here, too, and holds cancellation off nowhere else.
        let _uncanceled = Uncanceled::hold();
        let file = system::open_shared(path).ok()?;
        if FileIdentity::of(&file).ok()? != self.identity {
            return None;
        }
        let new = u64::from(file.as_raw_fd() as u32) | ((kept >> 32) + 1) << 32;
        match self.descriptor.compare_exchange(kept, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(file.into_raw_fd()),
            Err(others) => {
                Some(others as u32 as RawFd).filter(|&fd| self.identity.is_of_descriptor(fd))
            }
        }
    }

    /// Say whether the lock of `entry` is held, and return true if that cannot be found out. A
    /// living process taken for dead would break the limit; a dead process taken for living costs a
    /// moment.
    pub(super) fn is_locked(&self, path: &Path, entry: u16) -> bool {
        let Some(descriptor) = self.descriptor(path) else { return true };
        match is_range_locked(descriptor, LOCK_BASE + i64::from(entry), 1) {
            // Check that the right file was asked. Another thread of the host may have closed the
            // descriptor meanwhile.
            Ok(false) => !self.identity.is_of_descriptor(descriptor),
            _ => true,
        }
    }

    /// Open another description of the very same file.
    fn reopen(&self, path: &Path) -> io::Result<File> {
        let file = match self.descriptor(path) {
            // Where /proc is not mounted, or another user's file may not be opened anew, the name
            // may still work.
            Some(descriptor) => system::open_again(descriptor, path)?,
            None => return Err(errors::stale()),
        };
        if FileIdentity::of(&file)? == self.identity { Ok(file) } else { Err(errors::stale()) }
    }

    /// Take the lock of `entry` for the life of this process. Return `None` if it is taken.
    pub(super) fn lock(&self, path: &Path, entry: u16) -> io::Result<Option<LockGuard>> {
        let began = forks::quiet_moment();
        let file = self.reopen(path)?;
        if !try_lock_byte(&file, LOCK_BASE + i64::from(entry))? {
            return Ok(None);
        }
        kill_point("attach: lock taken");
        if page_keeps_locks(&file, || self.reopen(path)) {
            keep_by_page(file, began)
        } else {
            self.keep_by_descriptor(file, path, entry, began)
        }
    }

    fn keep_by_descriptor(
        &self,
        file: File,
        path: &Path,
        entry: u16,
        began: forks::Moment,
    ) -> io::Result<Option<LockGuard>> {
        let is_closed_in_children = forks::close_in_children(file.as_raw_fd(), self.identity);
        let is_ours_alone = is_closed_in_children && forks::none_since(began);
        if is_ours_alone && self.is_locked(path, entry) {
            return Ok(Some(LockGuard::Descriptor(file.into_raw_fd())));
        }
        forks::forget(file.as_raw_fd());
        // If the lock is ours alone, the kernel granted a lock that it does not keep.
        if is_ours_alone { Err(errors::no_locks()) } else { Ok(None) }
    }

    /// Release the lock.
    pub(super) fn unlock(&self, guard: LockGuard) {
        match guard {
            LockGuard::Page(page) => unmap_page(page),
            LockGuard::Descriptor(descriptor) => {
                forks::forget(descriptor);
                if self.identity.is_of_descriptor(descriptor) {
                    system::close(descriptor);
                }
            }
        }
    }
}

impl LockProbe {
    /// Close the probe of a file that is no longer the pool. A thread that still asks through it
    /// finds that neither the descriptor nor the name is the file, and takes every process for
    /// living.
    pub(super) fn retire(&self) {
        let descriptor =
            self.descriptor.swap(u64::from(NO_DESCRIPTOR), Ordering::AcqRel) as u32 as RawFd;
        if self.identity.is_of_descriptor(descriptor) {
            system::close(descriptor);
        }
    }
}

impl Drop for LockProbe {
    fn drop(&mut self) {
        self.retire();
    }
}

fn keep_by_page(file: File, began: forks::Moment) -> io::Result<Option<LockGuard>> {
    let page = map_locking_page(&file, PAGE_BYTES)?.as_ptr().expose_provenance();
    drop(file);
    kill_point("attach: lock mapped");
    if forks::none_since(began) {
        return Ok(Some(LockGuard::Page(page)));
    }
    // A child forked at this moment has a copy of the description, and may outlive us. This entry's
    // lock shows nothing until the child ends, so take another entry.
    unmap_page(page);
    Ok(None)
}

fn unmap_page(page: usize) {
    let Some(page) = NonNull::new(ptr::with_exposed_provenance_mut(page)) else { return };
    // SAFETY: callers pass the address of a page that `keep_by_page` mapped and that nothing refers
    // to.
    unsafe { unmap(page, PAGE_BYTES) };
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::os::on_overlay;

    /// The number of races of two threads for one entry.
    const RACES: usize = 2_000;

    #[test]
    fn of_two_who_lock_one_slot_at_once_one_has_it_also_where_pages_keep_no_locks() {
        on_overlay(|folder| {
            let path = folder.join("pool");
            let probe = || {
                let options = &mut File::options();
                let file = options.create(true).truncate(false).read(true).write(true).open(&path);
                LockProbe::new(file.unwrap()).unwrap()
            };
            let (probes, together) = ([probe(), probe()], Barrier::new(2));
            let race = |probe: &LockProbe| {
                let mut won = Vec::with_capacity(RACES);
                for _ in 0..RACES {
                    together.wait();
                    let guard = probe.lock(&path, 0).unwrap();
                    together.wait();
                    won.push(guard.is_some());
                    guard.into_iter().for_each(|guard| probe.unlock(guard));
                }
                won
            };
            let won = std::thread::scope(|scope| {
                let [first, second] = probes.each_ref().map(|probe| scope.spawn(|| race(probe)));
                first.join().unwrap().into_iter().zip(second.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(won.iter().filter(|won| **won == (true, true)).count(), 0, "had by both");
        });
    }
}
