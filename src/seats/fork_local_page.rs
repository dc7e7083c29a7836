//! The state that a forked child must not inherit.
//!
//! All state that changes after `open` is on a page that the kernel fills with zeros in a child
//! (`MADV_WIPEONFORK`). Zero means "not attached, nobody works here" for each word of it. So the
//! child begins anew without a notification and at no cost. Every take loads the word that
//! identifies this process anyway, where asking for the process id would cost 140 ns. A lock that
//! the parent held at the fork is free in the child.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::pool::Me;
use crate::os::shared_memory::unmap;
use crate::os::system::{futex_wait, futex_wake};
use crate::os::wiped_pages;

/// The size of the page in bytes. The kernel wipes whole pages; no page is larger than this on the
/// targets that we build for.
pub(super) const PAGE_BYTES: usize = 65_536;

/// The state of this process in one pool file. Zero is its beginning.
#[derive(Default, Debug)]
#[repr(C)]
pub(super) struct Local {
    identity: AtomicU64,
    /// The gate for changes of the attachment: attach, detach, move.
    pub(super) gate: Gate,
    /// The state of the guardian thread (`guardian.rs`).
    pub(super) guardian: AtomicU32,
    /// The address of the page that keeps the entry's lock, 0 if there is none.
    pub(super) lock_page: AtomicUsize,
    /// The descriptor that keeps the entry's lock where a page cannot, plus one.
    pub(super) lock_descriptor: AtomicI32,
    /// The descriptor of the directory whose lock marks the pool as in use, plus one.
    pub(super) anchor: AtomicI32,
    /// The times when the kernel was last asked about all entries, and when the file was last
    /// checked.
    pub(super) asked_at_ms: AtomicU64,
    pub(super) checked_at_ms: AtomicU64,
}

/// The identity of this process in the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identified {
    pub(super) me: Me,
    /// The number of this attachment within the process; each seat carries it. It stays when the
    /// pool moves to a new file. A forked child continues the count, so that no seat of the parent
    /// passes for one of the child.
    pub(super) lineage: u32,
}

pub(super) const LINEAGE_MASK: u32 = (1 << 24) - 1;

impl Local {
    /// Return the identity, or `None` if the process is not attached. The attachment of an attached
    /// process is odd, so its word is not zero.
    #[inline(always)]
    pub(super) fn identified(&self) -> Option<Identified> {
        let word = self.identity.load(Ordering::Acquire);
        let me = Me { entry: word as u16, attachment: (word >> 40) as u32 };
        (word != 0).then_some(Identified { me, lineage: (word >> 16) as u32 & LINEAGE_MASK })
    }

    pub(super) fn identify(&self, who: Option<Identified>) {
        let word = who.map_or(0, |who| {
            u64::from(who.me.entry)
                | u64::from(who.lineage & LINEAGE_MASK) << 16
                | u64::from(who.me.attachment) << 40
        });
        self.identity.store(word, Ordering::Release);
    }
}

/// A `Local` on a page of its own.
#[derive(Debug)]
pub(super) struct ForkLocalPage {
    page: NonNull<Local>,
    /// The mark that the page is unmapped with this object.
    is_own: AtomicBool,
}

// SAFETY: `Local` is atomics only, and the page belongs to this object alone.
unsafe impl Send for ForkLocalPage {}
// SAFETY: as above.
unsafe impl Sync for ForkLocalPage {}

impl ForkLocalPage {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { page: wiped_pages(PAGE_BYTES)?.cast(), is_own: AtomicBool::new(true) })
    }

    /// Take a page that was left, and reset it to its beginning.
    pub(super) fn again(page: NonNull<Local>) -> Self {
        let again = Self { page, is_own: AtomicBool::new(true) };
        again.identify(None);
        again.gate.0.store(OPEN, Ordering::Release);
        for word in [&again.asked_at_ms, &again.checked_at_ms] {
            word.store(0, Ordering::Release);
        }
        again
    }

    /// Take a page that belongs to nobody, and that stays mapped.
    pub(super) fn of_nothing(page: NonNull<Local>) -> Self {
        Self { page, is_own: AtomicBool::new(false) }
    }

    /// Return the page's address. The page stays mapped from now on.
    pub(super) fn leave(&self) -> NonNull<Local> {
        self.is_own.store(false, Ordering::Release);
        self.page
    }
}

impl Deref for ForkLocalPage {
    type Target = Local;

    #[inline(always)]
    fn deref(&self) -> &Local {
        // SAFETY: the page is mapped while `self` lives and holds zeros or what was stored: both a
        // `Local`.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for ForkLocalPage {
    fn drop(&mut self) {
        if !*self.is_own.get_mut() {
            return;
        }
        // SAFETY: `new` mapped exactly this range, and no reference into it outlives `self`.
        unsafe { unmap(self.page.cast(), PAGE_BYTES) };
    }
}

const OPEN: u32 = 0;
const SHUT: u32 = 1;
const SHUT_AND_AWAITED: u32 = 2;
/// The longest sleep before a sleeper tries again, in case a wake is lost.
const NAP: Duration = Duration::from_millis(100);

/// A mutex whose unlocked state is zero.
#[derive(Default, Debug)]
pub(super) struct Gate(AtomicU32);

/// A passage through the gate, which is shut for others while this lives.
pub(super) struct Passage<'a>(&'a Gate);

impl Gate {
    /// Enter, if no thread is inside.
    pub(super) fn try_enter(&self) -> Option<Passage<'_>> {
        self.0
            .compare_exchange(OPEN, SHUT, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Passage(self))
    }

    /// Enter. Wait for the thread that is inside, whose work is bounded.
    pub(super) fn enter(&self) -> Passage<'_> {
        if let Some(passage) = self.try_enter() {
            return passage;
        }
        while self.0.swap(SHUT_AND_AWAITED, Ordering::Acquire) != OPEN {
            futex_wait(&self.0, SHUT_AND_AWAITED, NAP, false);
        }
        Passage(self)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if self.0.0.swap(OPEN, Ordering::Release) == SHUT_AND_AWAITED {
            futex_wake(&self.0.0, 1, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_as_it_was_stored() {
        let local = ForkLocalPage::new().unwrap();
        assert_eq!(local.identified(), None);
        let who =
            Identified { me: Me { entry: 4095, attachment: 0xff_ffff }, lineage: LINEAGE_MASK };
        local.identify(Some(who));
        assert_eq!(local.identified(), Some(who));
        local.identify(None);
        assert_eq!(local.identified(), None);
    }

    #[test]
    fn the_gate_lets_one_in_at_a_time() {
        let (gate, mut inside) = (Gate::default(), 0_u32);
        let count = &raw mut inside as usize;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let _passage = gate.enter();
                        // SAFETY: whoever is inside the gate is alone with the counter, which
                        // outlives the scope.
                        unsafe { *(count as *mut u32) += 1 };
                    }
                });
            }
        });
        assert_eq!(inside, 40_000);
    }
}
