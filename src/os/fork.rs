//! A place for one object per process, which a forked child makes anew.
//!
//! A child gets copies of its parent's locks in whatever state they were, of threads that do not
//! exist in it, and of connections that belong to the parent. So it must not use the parent's
//! object at all. The pointer to the object lives in a page that the kernel empties at fork
//! (MADV_WIPEONFORK). The child reads NULL, as a process that has not made its object yet does, and
//! makes one. That costs one load on every call, where asking for the process id would be a system
//! call.
//!
//! | page | pointer in it | who reads it | what happens |
//! |---|---|---|---|
//! | none yet | – | first caller | a page is mapped, the winner's is kept |
//! | mapped | NULL | first caller, or first in a child | an object is made, the winner's is kept |
//! | mapped | object | everybody | used |
//!
//! An object is never freed: another thread may be using it, and a child must not run its parent's
//! destructors.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The kernel wipes whole pages; no page is larger than this on the targets that we build for.
const PAGE_BYTES: usize = 65_536;

/// A place for one `T` per process, meant for statics.
#[derive(Debug)]
pub struct PerProcess<T> {
    /// The page: wiped in a child.
    cell: AtomicPtr<AtomicPtr<T>>,
    /// The latest object made in this process or one of its ancestors: not wiped.
    latest: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// Make an empty place.
    pub const fn new() -> Self {
        Self { cell: AtomicPtr::new(ptr::null_mut()), latest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Return this process's object. If there is none, call `make`, in a forked child with the
    /// parent's object. Two threads may call `make` at once, so it must do nothing that cannot be
    /// thrown away.
    #[inline(always)]
    pub fn get(&'static self, make: impl FnOnce(Option<&'static T>) -> T) -> &'static T {
        let cell = self.cell.load(Ordering::Acquire);
        if !cell.is_null() {
            // SAFETY: a non-NULL cell points to a live mapping that is never unmapped, and zero
            // bytes are a valid AtomicPtr (NULL).
            let object = unsafe { (*cell).load(Ordering::Acquire) };
            if !object.is_null() {
                // SAFETY: objects are leaked boxes, valid for ever in the process that made them.
                return unsafe { &*object };
            }
        }
        self.get_slow(make)
    }

    #[cold]
    fn get_slow(&'static self, make: impl FnOnce(Option<&'static T>) -> T) -> &'static T {
        let cell = self.cell_or_map();
        // SAFETY: `latest` is NULL or a leaked box of this process or an ancestor, whose memory the
        // child has a copy of.
        let parent = unsafe { self.latest.load(Ordering::Acquire).as_ref() };
        let made = Box::into_raw(Box::new(make(parent)));
        match cell.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                self.latest.store(made, Ordering::Release);
                // SAFETY: just leaked.
                unsafe { &*made }
            }
            Err(winner) => {
                // SAFETY: `made` lost the race, nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: the winner's box is leaked, see above.
                unsafe { &*winner }
            }
        }
    }

    fn cell_or_map(&'static self) -> &'static AtomicPtr<T> {
        let known = self.cell.load(Ordering::Acquire);
        let cell = if known.is_null() {
            let new = map_wiped_page().cast::<AtomicPtr<T>>();
            match self.cell.compare_exchange(
                ptr::null_mut(),
                new,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => new,
                // The loser's page stays mapped: it is one page, once.
                Err(winner) => winner,
            }
        } else {
            known
        };
        // SAFETY: as in `get`.
        unsafe { &*cell }
    }
}

impl<T: Send + Sync + 'static> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Return a number that a process and its forked child do not share. An object that carries another
/// number was made by the parent.
pub fn process_generation() -> u64 {
    static GENERATION: PerProcess<u64> = PerProcess::new();
    *GENERATION.get(|parent| parent.map_or(0, |generation| generation + 1))
}

/// Map pages of zeros that a forked child finds zeroed again. They stay mapped unless the caller
/// unmaps them.
///
/// # Errors
/// There is no memory, or the kernel cannot wipe pages (before Linux 4.14, and some emulators).
pub fn wiped_pages(bytes: usize) -> io::Result<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let pages = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
    if pages == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range is exactly the mapping made above.
    if unsafe { libc::madvise(pages, bytes, libc::MADV_WIPEONFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: as above; nobody knows of it.
        unsafe { libc::munmap(pages, bytes) };
        return Err(error);
    }
    NonNull::new(pages.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Map the page of a place. Where the kernel cannot wipe pages, or has none left, an ordinary
/// leaked word serves instead. A forked child then shares its parent's object, as in a library
/// without this care.
fn map_wiped_page() -> *mut AtomicPtr<()> {
    match wiped_pages(PAGE_BYTES) {
        Ok(page) => page.as_ptr().cast(),
        Err(_) => Box::into_raw(Box::new(AtomicPtr::new(ptr::null_mut()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_makes_its_object_once() {
        static PLACE: PerProcess<u32> = PerProcess::new();
        let first: *const u32 = PLACE.get(|parent| {
            assert!(parent.is_none());
            7
        });
        let second: *const u32 = PLACE.get(|_| unreachable!("there is one already"));
        assert_eq!(first, second);
    }

    #[test]
    fn a_forked_child_makes_its_own_and_sees_its_parents() {
        static PLACE: PerProcess<u32> = PerProcess::new();
        assert_eq!(*PLACE.get(|_| 7), 7);
        // SAFETY: the child calls only what is safe after fork: atomics, malloc of glibc, _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mine = *PLACE.get(|parent| parent.map_or(0, |p| p + 1));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(mine.try_into().unwrap_or(99)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(libc::WEXITSTATUS(status), 8);
        assert_eq!(*PLACE.get(|_| unreachable!("the parent keeps its own")), 7);
    }
}
