//! The difference between the device's time and the boot clock, and whether a server has set it.
//!
//! Threads read the time without a lock while another thread sets it. So both are in one word: in
//! two words, a thread could see the difference that a server has just set without the mark that a
//! server has set it. It would then move the device's time from the server's to the wall clock's.
//!
//! | bits | what |
//! | --- | --- |
//! | 63 … 1 | device time minus boot clock, signed, in milliseconds |
//! | 0 | 1: a server's time was received since the machine was started |
//!
//! Relaxed is enough everywhere: nothing else is read because of what this word contains.

use std::sync::atomic::{AtomicI64, Ordering};

/// The mark that a server has set the difference.
const SET: i64 = 1;

/// The largest difference that is kept: far beyond any date.
const MS_MAX: i64 = i64::MAX / 4;

#[derive(Debug)]
pub(super) struct Offset(AtomicI64);

/// What the word contained at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    /// Device time minus boot clock.
    pub(super) ms: i64,
    /// Whether a server's time was received since the machine was started.
    pub(super) is_set: bool,
}

impl Reading {
    fn pack(self) -> i64 {
        self.ms.clamp(-MS_MAX, MS_MAX) << 1 | i64::from(self.is_set)
    }

    fn unpack(word: i64) -> Self {
        Self { ms: word >> 1, is_set: word & SET != 0 }
    }
}

impl Offset {
    /// Make a difference that no server has set.
    pub(super) fn new(ms: i64) -> Self {
        Self(AtomicI64::new(Reading { ms, is_set: false }.pack()))
    }

    pub(super) fn get(&self) -> Reading {
        Reading::unpack(self.0.load(Ordering::Relaxed))
    }

    /// Set the difference to one that a server has said.
    pub(super) fn set(&self, ms: i64) {
        self.0.store(Reading { ms, is_set: true }.pack(), Ordering::Relaxed);
    }

    /// Mark the difference as one that a server has confirmed.
    pub(super) fn confirm(&self) {
        self.0.fetch_or(SET, Ordering::Relaxed);
    }

    /// Remove the mark: no server has confirmed the difference since this start of the machine.
    pub(super) fn doubt(&self) {
        self.0.fetch_and(!SET, Ordering::Relaxed);
    }

    /// Raise the difference to at least `ms`, and leave the mark. Return the difference before.
    pub(super) fn raise(&self, ms: i64) -> i64 {
        let raised = |word| {
            let now = Reading::unpack(word);
            Some(Reading { ms: now.ms.max(ms), ..now }.pack())
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised);
        Reading::unpack(before.unwrap_or_else(|word| word)).ms
    }

    /// Raise the difference to `ms`, unless it or its mark has changed since `seen` was read.
    pub(super) fn raise_from(&self, seen: Reading, ms: i64) {
        let next = Reading { ms, ..seen }.pack();
        let _ = self.0.compare_exchange(seen.pack(), next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_and_mark_come_back_as_they_were_stored() {
        for ms in [0, 1, -1, 1_700_000_000_000, -1_700_000_000_000, MS_MAX, -MS_MAX] {
            let offset = Offset::new(ms);
            assert_eq!(offset.get(), Reading { ms, is_set: false });
            offset.confirm();
            assert_eq!(offset.get(), Reading { ms, is_set: true });
            assert_eq!(offset.raise(ms - 1), ms);
            offset.doubt();
            assert_eq!(offset.get(), Reading { ms, is_set: false });
        }
        let offset = Offset::new(0);
        offset.set(i64::MAX);
        assert_eq!(offset.get(), Reading { ms: MS_MAX, is_set: true });
    }

    #[test]
    fn a_thread_that_read_before_a_server_set_the_difference_raises_nothing() {
        let offset = Offset::new(5);
        let seen = offset.get();
        offset.confirm();
        offset.raise_from(seen, 1_000);
        assert_eq!(offset.get(), Reading { ms: 5, is_set: true });
    }
}
