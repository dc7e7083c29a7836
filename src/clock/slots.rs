//! The current time slot, for hot paths.

use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::slot::{slot_of, slot_start};

use super::Clock;

/// The current time slot. It reads the device's clock only when the slot may have changed, or when
/// a second has passed.
///
/// The slot and the end of its validity share one word, so that two threads can never mix theirs:
///
/// ```text
/// until: 34 bits, monotonic milliseconds | slot: 30 bits
/// ```
///
/// The end of validity is never more than a second away, so that its wrapping after 198 days is
/// seen. This second is one of the monotonic clock, which stands still while the machine is
/// suspended. So a count within this second after a long sleep may be booked in the previous slot.
/// A clock that includes the sleep would cost more than the counting.
#[derive(Debug, Default)]
pub struct SlotClock {
    known: AtomicU64,
}

const SLOT_BITS: u32 = 30;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const UNTIL_MASK: u64 = u64::MAX >> SLOT_BITS;

/// The milliseconds for which the device's clock is not read again.
const SLOT_KNOWN_MS_MAX: u64 = 1000;

/// An instant and its time slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant by the monotonic clock, in milliseconds.
    pub monotonic_ms: u64,
    /// The time slot.
    pub slot: u32,
}

impl SlotClock {
    /// Return the current moment. `check` is called when the device's clock is read, with its
    /// seconds: about once a second. It may refuse.
    ///
    /// # Errors
    /// Returns the error of `check`.
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
        // A slot beyond 30 bits (after the year 8000) is used, but not remembered.
        if u64::from(slot) <= SLOT_MASK {
            let until_ms = monotonic_ms.wrapping_add(known_ms) & UNTIL_MASK;
            self.known.store(until_ms << SLOT_BITS | u64::from(slot), Ordering::Relaxed);
        }
        Ok(Moment { monotonic_ms, slot })
    }

    /// Make the next call read the device's clock and call `check`. If another thread is just
    /// reading the clock, this happens within a second.
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
