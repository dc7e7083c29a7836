//! The slot of the moment, for hot paths.

use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::slot::{slot_of, slot_start};

use super::Clock;

/// The slot of the moment: asks the device's clock only when the slot may have changed, or a second
/// has passed.
///
/// Slot and end of knowledge are one word, so that no two threads can mix theirs:
///
/// ```text
/// until: 34 bits, monotonic milliseconds | slot: 30 bits
/// ```
///
/// The end of knowledge is never more than a second away, so that its wrapping after 198 days is
/// seen. That second is one of the monotonic clock, which stands still while the machine is
/// suspended: what is counted within it after a long sleep may go into the slot of before. The
/// clock that knows better would cost more than the counting.
#[derive(Debug, Default)]
pub struct SlotClock {
    known: AtomicU64,
}

const SLOT_BITS: u32 = 30;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const UNTIL_MASK: u64 = u64::MAX >> SLOT_BITS;

/// For so long the device's clock is not asked again.
const SLOT_KNOWN_MS_MAX: u64 = 1000;

/// A moment: when it is, and in which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the monotonic clock.
    pub monotonic_ms: u64,
    /// The slot.
    pub slot: u32,
}

impl SlotClock {
    /// This moment. `check` is called when the device's clock is asked, with its seconds: about
    /// once a second, and it may refuse.
    ///
    /// # Errors
    /// What `check` says.
    #[inline]
    pub fn now<E>(
        &self,
        clock: &dyn Clock,
        check: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<Moment, E> {
        let monotonic_ms = clock.monotonic_ms();
        let known = self.known.load(Ordering::Relaxed);
        let left_ms = (known >> SLOT_BITS).wrapping_sub(monotonic_ms) & UNTIL_MASK;
        if (1..=SLOT_KNOWN_MS_MAX).contains(&left_ms) {
            return Ok(Moment { monotonic_ms, slot: (known & SLOT_MASK) as u32 });
        }
        let unix_ms = clock.unix_ms();
        check(unix_ms / 1000)?;
        let slot = slot_of(unix_ms / 1000);
        let edge_ms = slot_start(slot.saturating_add(1)) * 1000;
        let known_ms = edge_ms.saturating_sub(unix_ms).min(SLOT_KNOWN_MS_MAX);
        // A slot beyond 30 bits (after the year 8000) is not remembered, only used.
        if u64::from(slot) <= SLOT_MASK {
            let until_ms = monotonic_ms.wrapping_add(known_ms) & UNTIL_MASK;
            self.known.store(until_ms << SLOT_BITS | u64::from(slot), Ordering::Relaxed);
        }
        Ok(Moment { monotonic_ms, slot })
    }

    /// Asks the device's clock, and `check`, the next time in any case, or within a second if
    /// another thread is just doing so.
    pub fn forget(&self) {
        self.known.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::HandClock;
    use super::*;

    #[test]
    fn the_slot_changes_on_the_millisecond() {
        let clock = HandClock::at(0);
        let slots = SlotClock::default();
        let slot_at = |ms| {
            clock.set_ms(ms);
            slots.now(&clock, |_| Ok::<(), ()>(())).unwrap().slot
        };
        for (ms, slot) in [
            (0, 0),
            (179_500, 0),
            (179_999, 0),
            (180_000, 1),
            (180_001, 1),
            (359_999, 1),
            (360_000, 2),
        ] {
            assert_eq!(slot_at(ms), slot, "at {ms} ms");
        }
    }

    #[test]
    fn work_after_days_of_suspension_is_in_its_own_slot_within_a_second() {
        let clock = HandClock::at(1000);
        let slots = SlotClock::default();
        let slot = || slots.now(&clock, |_| Ok::<(), ()>(())).unwrap().slot;
        let before = slot();
        clock.suspend(4 * 86_400_000);
        clock.pass(1000);
        assert_eq!(slot(), before + 4 * 480);
    }

    #[test]
    fn the_check_is_asked_about_once_a_second_and_its_refusal_is_not_remembered() {
        let clock = HandClock::at(10);
        let slots = SlotClock::default();
        assert_eq!(slots.now(&clock, |_| Err("no")), Err("no"));
        assert!(slots.now(&clock, |seconds| if seconds == 10 { Ok(()) } else { Err("") }).is_ok());
        clock.set_ms(10_999);
        assert!(slots.now(&clock, |_| Err("not asked")).is_ok());
        clock.set_ms(11_000);
        assert_eq!(slots.now(&clock, |_| Err("asked")), Err("asked"));
        slots.forget();
    }
}
