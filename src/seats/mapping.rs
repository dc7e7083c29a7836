//! The mapped pool file: the production `Memory`.
//!
//! Other processes have written the contents, so they are not trusted. Entry numbers are masked to
//! the number of entries, counts are masked to their bits, and nothing in the file is ever used as
//! an address or a length.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use seatmeter_protocol::seat_layout::{
    AT_GRANT, AT_HIGH_WATER_MARK, AT_POOL, AT_SETTLED, AT_WAITERS, AT_WAKE_WORD, ENTRIES,
    FILE_BYTES, IN_ENTRY_FLAG, entry_offset,
};

use super::atomic_128;
use super::memory::{Cell, Memory};
use crate::os::shared_memory::{map_shared, unmap};

/// The number of doublings of the pause after a lost exchange, which starts with four rounds. With
/// two processes, waiting makes each three times faster than trying again at once, because the
/// cache line travels less.
const PAUSE_DOUBLINGS_MAX: u32 = 6;

/// A pool file, mapped and shared for reading and writing.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    /// The mark that the memory is unmapped with this object.
    is_own: AtomicBool,
}

// SAFETY: all access to the mapped bytes goes through atomics and the atomic 128-bit exchange.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Map a file whose length was checked. If `left` is given, take the place of that mapping.
    pub(super) fn new(file: &File, left: Option<NonNull<u8>>) -> io::Result<Self> {
        let base = map_shared(file, FILE_BYTES, left)?;
        Ok(Self { base, is_own: AtomicBool::new(true) })
    }

    /// Take a mapping that belongs to nobody, and that stays mapped.
    pub(super) fn of_nothing(base: NonNull<u8>) -> Self {
        Self { base, is_own: AtomicBool::new(false) }
    }

    /// Say whether the memory is unmapped with this object.
    pub(super) fn is_own(&self) -> bool {
        self.is_own.load(Ordering::Acquire)
    }

    /// Return the address of the memory, which stays mapped from now on. Return `None` if it
    /// already did.
    pub(super) fn leave(&self) -> Option<NonNull<u8>> {
        self.is_own.swap(false, Ordering::AcqRel).then_some(self.base)
    }

    #[inline(always)]
    fn place<T>(&self, offset: usize) -> *mut T {
        debug_assert!(
            offset + size_of::<T>() <= FILE_BYTES && offset.is_multiple_of(align_of::<T>())
        );
        self.base.as_ptr().wrapping_add(offset).cast()
    }

    /// Return the eight bytes at `offset`, one of the layout's constants.
    #[inline(always)]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the layout's offsets are aligned and end before FILE_BYTES, which `new` mapped;
        // the mapping lives as long as `self`.
        unsafe { &*self.place(offset) }
    }

    /// Return the four bytes at `offset`, one of the layout's constants.
    #[inline(always)]
    pub(super) fn half(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as in `word`.
        unsafe { &*self.place(offset) }
    }

    pub(super) fn grant(&self) -> &AtomicU64 {
        self.word(AT_GRANT)
    }

    pub(super) fn settled_at_ms(&self) -> &AtomicU64 {
        self.word(AT_SETTLED)
    }

    #[inline(always)]
    pub(super) fn waiters(&self) -> &AtomicU32 {
        self.half(AT_WAITERS)
    }

    pub(super) fn wake_word(&self) -> &AtomicU32 {
        self.half(AT_WAKE_WORD)
    }

    pub(super) fn flag(&self, entry: u16) -> &AtomicU32 {
        self.half(entry_offset(entry) + IN_ENTRY_FLAG)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !*self.is_own.get_mut() {
            return;
        }
        // SAFETY: `new` mapped exactly these bytes, and the borrow checker knows of no reference
        // into them.
        unsafe { unmap(self.base, FILE_BYTES) };
    }
}

impl Memory for Mapping {
    type Halt = Infallible;

    #[inline(always)]
    fn load(&self, cell: Cell) -> Result<u64, Infallible> {
        // Acquire: everything that a writer did before the exchange that is seen here must be seen,
        // too. An attaching process clears its flag before its attachment can be read.
        Ok(match cell {
            Cell::PoolLow => self.word(AT_POOL).load(Ordering::Acquire),
            Cell::PoolHigh => self.word(AT_POOL + 8).load(Ordering::Acquire),
            Cell::EntryLow(entry) => self.word(entry_offset(entry)).load(Ordering::Acquire),
            Cell::EntryHigh(entry) => self.word(entry_offset(entry) + 8).load(Ordering::Acquire),
            Cell::Flag(entry) => u64::from(self.flag(entry).load(Ordering::Acquire)),
            Cell::Grant => self.grant().load(Ordering::Acquire),
            Cell::HighWaterMark => u64::from(self.half(AT_HIGH_WATER_MARK).load(Ordering::Acquire)),
        })
    }

    #[inline(always)]
    fn replace_pool(&self, old: [u64; 2], new: [u64; 2]) -> Result<bool, Infallible> {
        // SAFETY: AT_POOL is a multiple of 16 inside the mapping; `open` asked for the instruction.
        Ok(unsafe { atomic_128::compare_exchange(self.place(AT_POOL), old, new) })
    }

    #[inline(always)]
    fn replace_entry(&self, entry: u16, old: [u64; 2], new: [u64; 2]) -> Result<bool, Infallible> {
        // SAFETY: entries are 128 bytes apart from a page's start, and `entry_offset` stays inside
        // the mapping.
        Ok(unsafe { atomic_128::compare_exchange(self.place(entry_offset(entry)), old, new) })
    }

    fn clear_flag(&self, entry: u16) -> Result<(), Infallible> {
        self.flag(entry).store(0, Ordering::SeqCst);
        Ok(())
    }

    fn raise_high_water_mark(&self, entry: u16) -> Result<(), Infallible> {
        self.half(AT_HIGH_WATER_MARK).fetch_max(u32::from(entry) + 1, Ordering::SeqCst);
        Ok(())
    }

    #[inline(always)]
    fn entry_count(&self) -> u16 {
        ENTRIES as u16
    }

    #[inline]
    fn pause(&self, round: u32) {
        for _ in 0..4_u32 << round.min(PAUSE_DOUBLINGS_MAX) {
            std::hint::spin_loop();
        }
    }
}
