//! One pool file as this process sees it: the mapping, its probe, and our state in it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use seatmeter_protocol::seat_layout::{AT_HIGH_WATER_MARK, ENTRIES, EntryWord, Grant};

use super::anchor;
use super::attachment::CLOSED;
use super::error::SeatError;
use super::file::{SETTLE_MS, SETTLED, machine_ms};
use super::fork_local_page::{ForkLocalPage, Identified};
use super::liveness::{LockGuard, LockProbe};
use super::mapping::Mapping;
use super::memory::{Cell as Word, Locksmith, Memory as _, Witness};
use super::pool;
use super::resting::{self, Memory};
use crate::os::monotonic_ms;

/// The shortest time between two questions to the kernel about guarded entries, in milliseconds. It
/// is longer when there are many entries. A lock is freed late anyway, and the flags have shown the
/// death before.
const ASK_EVERY_MS: u64 = 4;
const ASK_EVERY_MS_IF_MANY: u64 = 100;
const MANY_ENTRIES: u32 = 256;
/// The number of tries to add the counts up before a busy pool is taken to be sound.
const AUDITS_MAX: u32 = 8;

/// A mapped pool file.
#[derive(Debug)]
pub(super) struct View {
    pub(super) mapping: Mapping,
    pub(super) probe: LockProbe,
    pub(super) local: ForkLocalPage,
    pub(super) path: PathBuf,
}

/// Return the answer of a function that cannot be halted.
#[inline(always)]
pub(super) fn sure<T>(answer: Result<T, Infallible>) -> T {
    let Ok(value) = answer;
    value
}

impl View {
    pub(super) fn new(file: File, path: &Path) -> io::Result<Self> {
        let left = resting::reuse();
        let mapping = Mapping::new(&file, left.map(|left| left.file))?;
        let local =
            left.map_or_else(ForkLocalPage::new, |left| Ok(ForkLocalPage::again(left.page)))?;
        Ok(Self { mapping, probe: LockProbe::new(file)?, local, path: path.to_owned() })
    }

    /// Make a view of nothing, for a pool that rests (`resting.rs`).
    pub(super) fn of_nothing(path: &Path) -> io::Result<Self> {
        let Memory { file, page } = resting::nothing()?;
        let (mapping, local) = (Mapping::of_nothing(file), ForkLocalPage::of_nothing(page));
        Ok(Self { mapping, probe: LockProbe::of_nothing(), local, path: path.to_owned() })
    }

    /// Say whether this is a view of nothing.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.probe.identity() == LockProbe::of_nothing().identity()
    }

    /// Say whether the view still owns its memory.
    pub(super) fn has_own_memory(&self) -> bool {
        self.mapping.is_own()
    }

    /// Leave the memory to pools that are opened later. The caller has checked that nobody is
    /// attached through this view, and has put another view in its place.
    pub(super) fn leave(&self) {
        self.probe.retire();
        if let Some(file) = self.mapping.leave() {
            resting::retire(Memory { file, page: self.local.leave() });
        }
    }

    /// Say whether the sum of the counts is the one in the pool word. Only a sum that no write
    /// disturbed is compared.
    pub(super) fn is_consistent(&self) -> bool {
        // A process that moved to another file has closed this one, so it cannot be the file with
        // the name.
        if Grant::unpack(self.mapping.grant().load(Ordering::Acquire)).number == CLOSED {
            return false;
        }
        for _ in 0..AUDITS_MAX {
            let Some(seen) = sure(pool::read_pool(&self.mapping)) else { continue };
            if u32::from(seen.entry) >= ENTRIES {
                return false;
            }
            let high_water_mark = self.mapping.half(AT_HIGH_WATER_MARK).load(Ordering::Acquire);
            if high_water_mark > ENTRIES {
                return false;
            }
            let rests =
                (0..high_water_mark as u16).filter(|&entry| entry != seen.entry).map(|entry| {
                    EntryWord::unpack([sure(self.mapping.load(Word::EntryLow(entry))), 0]).held
                });
            let sum = rests.sum::<u32>() + seen.held;
            if sure(pool::is_unchanged(&self.mapping, seen)) {
                return sum == seen.used;
            }
        }
        true
    }

    /// Wait until the processes of a file that this one replaced have moved here, if there are any.
    pub(super) fn wait_until_settled(&self) {
        let at = self.mapping.settled_at_ms();
        let until = at.load(Ordering::Acquire);
        if until == SETTLED {
            return;
        }
        let left_ms = settles_in_ms(until, machine_ms());
        let begun = monotonic_ms();
        while monotonic_ms().saturating_sub(begun) < left_ms && anchor::is_at_path(&self.path) {
            thread::sleep(Duration::from_millis(10));
        }
        // Record the end of the wait for processes whose clock does not show it.
        let _ = at.compare_exchange(until, SETTLED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Set the number of seats to that of `grant`, unless a newer grant is known. If two grants
    /// have one number, the greater one counts. Return whether `grant` holds now.
    pub(super) fn grant(&self, grant: Grant) -> bool {
        let newer = |word| {
            let now = Grant::unpack(word);
            ((grant.number, grant.seats) > (now.number, now.seats)).then(|| grant.pack())
        };
        let word = self.mapping.grant();
        word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, newer).is_ok()
            || Grant::unpack(word.load(Ordering::SeqCst)) == grant
    }

    /// Give back the seats of dead processes. Return how many there were.
    pub(super) fn reclaim_dead(&self, who: Option<Identified>) -> u32 {
        let high_water_mark = self.mapping.half(AT_HIGH_WATER_MARK).load(Ordering::Relaxed);
        let ask_all = self.is_time_to_ask(high_water_mark);
        sure(pool::reclaim_dead(&self.mapping, self, who.map(|who| who.me.entry), ask_all))
    }

    /// Say whether no other process has ever attached. Then none can be dead.
    #[inline(always)]
    pub(super) fn is_alone(&self, who: Option<Identified>) -> bool {
        match self.mapping.half(AT_HIGH_WATER_MARK).load(Ordering::Relaxed) {
            0 => true,
            1 => who.is_some_and(|who| who.me.entry == 0),
            _ => false,
        }
    }

    fn is_time_to_ask(&self, high_water_mark: u32) -> bool {
        let period =
            if high_water_mark < MANY_ENTRIES { ASK_EVERY_MS } else { ASK_EVERY_MS_IF_MANY };
        let now = monotonic_ms();
        let last = self.local.asked_at_ms.load(Ordering::Relaxed);
        let due = now.wrapping_sub(last) >= period;
        if due {
            self.local.asked_at_ms.store(now, Ordering::Relaxed);
        }
        due
    }

    pub(super) fn keep(&self, guard: Option<LockGuard>) {
        let (page, descriptor) = match guard {
            None => (0, 0),
            Some(LockGuard::Page(page)) => (page, 0),
            Some(LockGuard::Descriptor(descriptor)) => (0, descriptor + 1),
        };
        self.local.lock_page.store(page, Ordering::Release);
        self.local.lock_descriptor.store(descriptor, Ordering::Release);
    }

    pub(super) fn kept(&self) -> Option<LockGuard> {
        match (
            self.local.lock_page.load(Ordering::Acquire),
            self.local.lock_descriptor.load(Ordering::Acquire),
        ) {
            (0, 0) => None,
            (0, descriptor) => Some(LockGuard::Descriptor(descriptor - 1)),
            (page, _) => Some(LockGuard::Page(page)),
        }
    }
}

/// Return the time to wait for an instant of the machine's monotonic clock, which now reads `now`,
/// in milliseconds. An instant further away than the longest wait is from an earlier start of the
/// machine. If the instant or `now` is unknown, the longest wait is returned.
fn settles_in_ms(until: u64, now: Option<u64>) -> u64 {
    match now {
        Some(now) if until != u64::MAX => {
            until.checked_sub(now).filter(|left| *left <= SETTLE_MS).unwrap_or(0)
        }
        _ => SETTLE_MS,
    }
}

impl Witness for View {
    type Halt = Infallible;

    #[cold]
    #[inline(never)]
    fn is_locked(&self, entry: u16) -> Result<bool, Infallible> {
        Ok(self.probe.is_locked(&self.path, entry))
    }
}

/// A view whose process is about to attach.
pub(super) struct Candidate<'a> {
    view: &'a View,
    guard: Cell<Option<LockGuard>>,
    failure: RefCell<Option<SeatError>>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(view: &'a View) -> Self {
        Self { view, guard: Cell::new(None), failure: RefCell::new(None) }
    }

    /// Find an entry and take it. The lock belongs to the caller.
    pub(super) fn attach(self) -> Result<(pool::Me, LockGuard), SeatError> {
        let me = sure(pool::attach(&self.view.mapping, &self));
        match (me, self.guard.take(), self.failure.into_inner()) {
            (Some(me), Some(guard), _) => Ok((me, guard)),
            (_, guard, failure) => {
                if let Some(guard) = guard {
                    self.view.probe.unlock(guard);
                }
                Err(failure.unwrap_or(SeatError::NoSlot))
            }
        }
    }
}

impl Witness for Candidate<'_> {
    type Halt = Infallible;

    fn is_locked(&self, entry: u16) -> Result<bool, Infallible> {
        self.view.is_locked(entry)
    }
}

impl Locksmith for Candidate<'_> {
    fn try_lock(&self, entry: u16) -> Result<bool, Infallible> {
        if let Some(guard) = self.guard.take() {
            self.view.probe.unlock(guard);
        }
        if self.failure.borrow().is_some() {
            return Ok(false);
        }
        match self.view.probe.lock(&self.view.path, entry) {
            Ok(guard) => {
                self.guard.set(guard);
                Ok(guard.is_some())
            }
            Err(error) => {
                let failure = SeatError::io(
                    &self.view.path,
                    "hold a lock that ends with the process on",
                    error,
                );
                self.failure.replace(Some(failure));
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_read_the_clock_of_all_waits_as_long_as_it_can_take() {
        for (until, now, expected) in [
            (5_000, Some(4_000), 1_000),
            (5_000, Some(5_000), 0),
            (5_000, Some(9_000), 0),
            (9_000_000, Some(4_000), 0),
            (5_000, None, SETTLE_MS),
            (u64::MAX, Some(4_000), SETTLE_MS),
            (u64::MAX, None, SETTLE_MS),
        ] {
            assert_eq!(settles_in_ms(until, now), expected, "{until} at {now:?}");
        }
    }
}
