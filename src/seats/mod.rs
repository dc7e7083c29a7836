//! The device's seats: a pool that all processes share, and that loses no seat to a death.
//!
//! `pool` has the words and their exchange, over the accesses of `memory`. `mapping` is the mapped
//! file; `file` finds and makes it. `liveness` and `guardian` show which processes live.
//! `attachment` joins and leaves, and `fork_local_page` makes a forked child begin anew.
//! docs/seats.md has the layout, the states and the hazards.

mod anchor;
mod append_list;
mod atomic_128;
mod attachment;
#[cfg(test)]
mod checker;
mod error;
mod file;
mod fork_local_page;
mod guardian;
mod holders;
mod liveness;
mod mapping;
mod memory;
mod pool;
mod resting;
mod view;
mod waiting;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seatmeter_protocol::seat_layout::{Grant, SEATS_MAX};

use attachment::{CLOSED, FileCheck, Shared};
pub use error::{Repair, SeatError};
use fork_local_page::Identified;
pub use holders::Holder;
use pool::Outcome;
use view::{View, sure};

/// Return a file name for an item. It is the item's id, if that can be a file name, so that people
/// find the file. Otherwise it is a digest of the id, because the id comes from outside.
pub(crate) fn pool_name(item_id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !item_id.is_empty() && item_id.len() <= 100 && item_id.chars().all(is_plain) {
        return item_id.to_owned();
    }
    seatmeter_protocol::signature::digest_hex(item_id.as_bytes())[..32].to_owned()
}

/// Return the number of the newest grant in the pool `<directory>/<name>.pool`; 0 if the pool
/// cannot be read.
pub fn newest_grant(directory: &Path, name: &str) -> u32 {
    file::newest_grant(directory, name)
}

/// The most tries of a take that loses its place, its file or a freed seat to other processes.
const TRIES_MAX: u32 = 64;

/// The seats of one local license on this device.
///
/// Threads: any. A forked child may continue to use the object: it holds nothing, and attaches for
/// itself.
#[derive(Debug)]
pub struct SeatPool {
    shared: Arc<Shared>,
}

/// The right to one seat, to be given back to the pool that it came from. Dropping it gives nothing
/// back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a seat that is not given back stays taken until the process ends"]
pub struct Seat {
    /// The lineage, and below it a bit that is always set, so that an `Option<Seat>` is one word.
    lineage_bits: NonZeroU32,
}

impl Seat {
    #[inline(always)]
    fn of(who: Identified) -> Self {
        Self { lineage_bits: NonZeroU32::MIN | who.lineage << 1 }
    }
}

impl SeatPool {
    /// Map or create `<directory>/<name>.pool`.
    ///
    /// Starts no thread and takes no place in the pool: the first `take` does. Creates the
    /// directory (mode 0700) if it is missing.
    ///
    /// Blocks: for file operations; up to 1.5 s after a damaged file was replaced while in use.
    ///
    /// # Errors
    /// The file cannot be had, or its file system cannot carry a pool.
    pub fn open(directory: &Path, name: &str) -> Result<Self, SeatError> {
        Ok(Self { shared: Arc::new(Shared::open(directory, name)?) })
    }

    /// Let the device have `seats` seats (at most 65 536), by grant number `grant_seq`.
    ///
    /// The newest number wins; if two grants have one number, the greater one wins. Return whether
    /// this grant holds now. Seats that are held beyond a smaller grant stay held; the pool shrinks
    /// as they come back.
    pub fn grant(&self, seats: u32, grant_seq: u32) -> bool {
        // The gate keeps the pool from being put to rest meanwhile. If a move fails, the next check
        // tries again.
        let entered = self.shared.enter_file();
        let view = entered.as_ref().map_or_else(|_| self.shared.view(), |(view, _)| *view);
        let grant = Grant { seats: seats.min(SEATS_MAX), number: grant_seq };
        let holds = grant_seq != CLOSED && view.grant(grant);
        waiting::wake_all(view);
        holds
    }

    /// Return the number of seats that the device may use.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        use std::sync::atomic::Ordering;
        Grant::unpack(self.shared.view().mapping.grant().load(Ordering::Acquire)).seats
    }

    /// Take a seat.
    ///
    /// Blocks: never for a seat; the first call of a process attaches it (some 0.1 ms).
    ///
    /// # Errors
    /// `Full` with the numbers, or why this process cannot attach.
    #[inline]
    pub fn take(&self) -> Result<Seat, SeatError> {
        self.take_at_once().map_or_else(|| self.take_slowly(), Ok)
    }

    /// Take a seat if one exchange can do it: this process acted last, and a seat is free. This
    /// cannot panic.
    #[inline(always)]
    pub fn take_at_once(&self) -> Option<Seat> {
        let view = self.shared.newest_view()?;
        let who = view.local.identified()?;
        sure(pool::take_at_once(&view.mapping, who.me)).then_some(Seat::of(who))
    }

    #[cold]
    fn take_slowly(&self) -> Result<Seat, SeatError> {
        let mut numbers = (0, 0);
        for _ in 0..TRIES_MAX {
            let view = self.shared.view();
            let Some(who) = view.local.identified() else {
                self.shared.attach()?;
                continue;
            };
            match sure(pool::take(&view.mapping, who.me)) {
                Outcome::Done => return Ok(Seat::of(who)),
                Outcome::Lost => self.shared.lost(view, who),
                Outcome::Full { used, capacity } => {
                    numbers = (capacity, used);
                    if self.reclaim_dead() == 0
                        && !matches!(self.shared.check_file(false), Ok(FileCheck::New))
                    {
                        break;
                    }
                }
                Outcome::Nothing | Outcome::Scribbled => {
                    return Err(SeatError::Scribbled { path: self.shared.path().to_owned() });
                }
            }
        }
        Err(SeatError::Full { capacity: numbers.0, used: numbers.1 })
    }

    /// Take a seat, and wait for one up to `timeout`. No order is kept among waiters: the first
    /// process that takes a free seat gets it.
    ///
    /// Blocks: up to `timeout`, asleep. A seat that a death frees wakes a waiter at once, and in
    /// any case within 250 ms.
    ///
    /// # Errors
    /// `Full` with the numbers, or why this process cannot attach.
    pub fn take_within(&self, timeout: Duration) -> Result<Seat, SeatError> {
        match self.take() {
            Err(SeatError::Full { .. }) if !timeout.is_zero() => {}
            answer => return answer,
        }
        let answer = waiting::wait(
            timeout,
            || self.shared.view(),
            |is_last| match self.take() {
                Err(SeatError::Full { .. }) if !is_last => None,
                answer => Some(answer),
            },
        );
        // One wake may have stood for many seats, because a death wakes one sleeper only. Pass it
        // on.
        if answer.is_ok() && sure(pool::free_seats(&self.shared.view().mapping)) > 0 {
            waiting::wake_one(self.shared.view());
        }
        answer
    }

    /// Give a seat back. A seat of another process (the parent of a forked child), of another pool,
    /// or from before `detach` is ignored.
    ///
    /// Threads: any. Blocks: never.
    #[inline]
    pub fn give(&self, seat: Seat) {
        if let Some(view) = self.shared.newest_view()
            && let Some(who) = view.local.identified()
            && Seat::of(who) == seat
            && sure(pool::give_at_once(&view.mapping, who.me))
        {
            return waiting::wake_one(view);
        }
        self.give_slowly(seat);
    }

    #[cold]
    fn give_slowly(&self, seat: Seat) {
        for _ in 0..TRIES_MAX {
            let view = self.shared.settled_view();
            let Some(who) = view.local.identified() else {
                // The process may have moved from this file a moment ago, with the seat.
                if std::ptr::eq(view, self.shared.view()) {
                    return;
                }
                continue;
            };
            if Seat::of(who) != seat {
                return;
            }
            match sure(pool::give(&view.mapping, who.me)) {
                Outcome::Done => return waiting::wake_one(view),
                Outcome::Lost => self.shared.lost(view, who),
                _ => return,
            }
        }
    }

    /// Return the number of seats that are free on this device now.
    #[must_use]
    #[inline(always)]
    pub fn idle(&self) -> u32 {
        self.reclaim_dead();
        sure(pool::free_seats(&self.shared.view().mapping))
    }

    #[inline(always)]
    fn reclaim_dead(&self) -> u32 {
        let view = self.shared.view();
        let who = view.local.identified();
        // A process that is alone need not ask about others, and need not know the time.
        if view.is_alone(who) { 0 } else { Self::reclaim_of_others(view, who) }
    }

    fn reclaim_of_others(view: &View, who: Option<Identified>) -> u32 {
        let freed = view.reclaim_dead(who);
        if freed > 0 {
            waiting::wake_one(view);
        }
        freed
    }

    /// Return the processes that hold seats.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.reclaim_dead();
        holders::list(self.shared.view())
    }

    /// Give back every seat of this process and its place in the pool. The next `take` attaches
    /// again.
    ///
    /// Blocks: until the guardian thread has left, some 0.05 ms; 2 s at the very most.
    pub fn detach(&self) {
        self.shared.detach();
    }

    /// Give back everything, as `detach` does, and release mapped memory and open descriptors. The
    /// next use finds the file again.
    ///
    /// Blocks: as long as `detach`.
    pub fn rest(&self) {
        self.shared.detach();
        self.shared.rest();
    }

    /// Return the repairs of the pool, the newest first.
    #[must_use]
    pub fn repairs(&self) -> Vec<Repair> {
        self.shared.repairs.iter().cloned().collect()
    }
}

impl Drop for SeatPool {
    fn drop(&mut self) {
        self.detach();
    }
}
