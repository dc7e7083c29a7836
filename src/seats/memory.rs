//! The shared words as the algorithm sees them, through a few single accesses.
//!
//! The pool's algorithm is written over this trait and not over a mapping. So the same code runs in
//! three places: on the mapped file, on plain memory in tests, and in the model checker. The
//! checker stops a process before any access, lets others go first, or kills it there. `Halt`
//! exists for that. In production an access cannot fail and `Halt` has no values, so the `?` after
//! each access costs nothing. In the checker a process can be stopped for ever at each `?`.

use seatmeter_protocol::seat_layout::PoolWord;

/// A word that can be read in one access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cell {
    /// Low half of the pool word.
    PoolLow,
    /// High half of the pool word.
    PoolHigh,
    /// Low half of an entry's word.
    EntryLow(u16),
    /// High half of an entry's word.
    EntryHigh(u16),
    /// The guardian's flag of an entry.
    Flag(u16),
    /// The grant.
    Grant,
    /// The high-water mark of entries.
    HighWaterMark,
}

/// The shared words.
pub(crate) trait Memory {
    /// The reason why an access may be the last one.
    type Halt;

    /// Read one word.
    fn load(&self, cell: Cell) -> Result<u64, Self::Halt>;

    /// Replace the pool word if it still is `old`.
    fn replace_pool(&self, old: [u64; 2], new: [u64; 2]) -> Result<bool, Self::Halt>;

    /// Replace the word of an entry if it still is `old`.
    fn replace_entry(&self, entry: u16, old: [u64; 2], new: [u64; 2]) -> Result<bool, Self::Halt>;

    /// Set the flag of an entry to "no guardian".
    fn clear_flag(&self, entry: u16) -> Result<(), Self::Halt>;

    /// Raise the high-water mark above `entry`.
    fn raise_high_water_mark(&self, entry: u16) -> Result<(), Self::Halt>;

    /// Return the number of entries.
    fn entry_count(&self) -> u16;

    /// Say whether the pool word still carries the write `seen`. No two writes share their high
    /// half. `flush` calls this; it is a method only so that a test can seed the fault of a missing
    /// check.
    #[inline(always)]
    fn is_still(&self, seen: PoolWord) -> Result<bool, Self::Halt> {
        Ok(self.load(Cell::PoolHigh)? == seen.high())
    }

    /// Say whether `found` is the attachment that was judged. `reclaim` calls this; it is a method
    /// for the same reason.
    #[inline(always)]
    fn is_same_attachment(&self, found: u32, judged: u32) -> bool {
        found == judged
    }

    /// Mark the beginning of a loop. The result is passed to `again`.
    #[inline(always)]
    fn begin(&self) -> usize {
        0
    }

    /// Mark a new round of the loop, which remembers nothing of its earlier rounds. The checker
    /// forgets them, too.
    #[inline(always)]
    fn again(&self, _begin: usize) {}

    /// Let another process finish, which was faster `round` times in a row.
    #[inline(always)]
    fn pause(&self, _round: u32) {}
}

/// The kernel as the witness of which processes live.
pub(crate) trait Witness {
    /// The reason why an access may be the last one.
    type Halt;

    /// Say whether a living process holds the lock of this entry. Return true if the kernel cannot
    /// be asked.
    fn is_locked(&self, entry: u16) -> Result<bool, Self::Halt>;
}

/// The kernel as the source of an entry's lock.
pub(crate) trait Locksmith: Witness {
    /// Take the lock of this entry for the life of the process, if it is free. Release a lock taken
    /// before.
    fn try_lock(&self, entry: u16) -> Result<bool, Self::Halt>;
}
