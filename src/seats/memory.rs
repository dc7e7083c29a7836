//! The shared words as the algorithm sees them: a handful of single accesses.
//!
//! The algorithm of the pool is written over this trait and not over a mapping, so that the very
//! same code runs in three places: on the mapped file, on plain memory in tests, and in the model
//! checker, which stops a process before any access, lets others go first, or kills it there. That
//! is what `Halt` is for: in production an access cannot fail and `Halt` has no values, so the `?`
//! after each access costs nothing; in the checker each `?` is a place where a process can be
//! stopped for ever.

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
    /// Why an access may be the last one.
    type Halt;

    /// Read one word.
    fn load(&self, cell: Cell) -> Result<u64, Self::Halt>;

    /// Replace the pool word if it still is `old`.
    fn replace_pool(&self, old: [u64; 2], new: [u64; 2]) -> Result<bool, Self::Halt>;

    /// Replace the word of an entry if it still is `old`.
    fn replace_entry(&self, entry: u16, old: [u64; 2], new: [u64; 2]) -> Result<bool, Self::Halt>;

    /// Let the flag of an entry say "no guardian".
    fn clear_flag(&self, entry: u16) -> Result<(), Self::Halt>;

    /// Let the high-water mark be above `entry`.
    fn raise_high_water_mark(&self, entry: u16) -> Result<(), Self::Halt>;

    /// Entries that there are.
    fn entry_count(&self) -> u16;

    /// Does the pool word still carry the write `seen`? No two writes share their high half.
    /// `flush` asks so; a method only so that a test can seed the fault of not asking.
    #[inline(always)]
    fn is_still(&self, seen: PoolWord) -> Result<bool, Self::Halt> {
        Ok(self.load(Cell::PoolHigh)? == seen.high())
    }

    /// Is `found` the life that was judged? `reclaim` asks so; a method for the same reason.
    #[inline(always)]
    fn is_same_life(&self, found: u32, judged: u32) -> bool {
        found == judged
    }

    /// A loop begins here; the answer goes into `again`.
    #[inline(always)]
    fn begin(&self) -> usize {
        0
    }

    /// The loop starts over and remembers nothing of its earlier rounds: the checker forgets them
    /// too.
    #[inline(always)]
    fn again(&self, _begin: usize) {}

    /// Somebody else was faster, `round` times in a row: let it finish.
    #[inline(always)]
    fn pause(&self, _round: u32) {}
}

/// The kernel as the witness of who lives.
pub(crate) trait Witness {
    /// As in `Memory`.
    type Halt;

    /// Is the lock of this entry held by a living process? "Yes" when the kernel cannot be asked.
    fn is_locked(&self, entry: u16) -> Result<bool, Self::Halt>;
}

/// The kernel as the giver of an entry's lock.
pub(crate) trait Locksmith: Witness {
    /// Take the lock of this entry for the life of the process, if it is free. Lets go of one taken
    /// before.
    fn try_lock(&self, entry: u16) -> Result<bool, Self::Halt>;
}
