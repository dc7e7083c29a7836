//! Where time comes in. Everything else asks this trait, so that a test can hold the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seatmeter_protocol::slot::{slot_of, slot_start};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Unix milliseconds, UTC.
    fn unix_ms(&self) -> u64;

    /// Milliseconds since some fixed point, never going back; for bounds and intervals only.
    fn monotonic_ms(&self) -> u64;

    /// Unix seconds, UTC.
    fn unix_seconds(&self) -> u64 {
        self.unix_ms() / 1000
    }
}

/// What the system's clock says, Unix seconds: for log lines, which people compare with other logs.
pub fn wall_seconds() -> u64 {
    crate::memory::clock_ms(libc::CLOCK_REALTIME_COARSE) / 1000
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

// The coarse clocks are plain reads of shared memory, precise to the kernel's tick (1 to 10 ms): enough for slots
// and seconds, and cheap enough to be asked for every counted frame.
impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        crate::memory::clock_ms(libc::CLOCK_REALTIME_COARSE)
    }

    fn monotonic_ms(&self) -> u64 {
        crate::memory::clock_ms(libc::CLOCK_MONOTONIC_COARSE)
    }
}

/// A point in time by which something must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end_ms: u64,
}

impl Deadline {
    /// The point `after` from now.
    pub fn after(clock: &dyn Clock, after: Duration) -> Self {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self { end_ms: clock.monotonic_ms().saturating_add(after_ms) }
    }

    /// What is left; zero when it is past.
    pub fn remaining(&self, clock: &dyn Clock) -> Duration {
        Duration::from_millis(self.end_ms.saturating_sub(clock.monotonic_ms()))
    }
}

/// The slot of the moment, for hot paths: asks the wall clock only when the slot may have changed, or a second
/// has passed.
///
/// Slot and end of knowledge are one word, so that no two threads can mix theirs:
///
/// ```text
/// until: 34 bits, monotonic milliseconds | slot: 30 bits
/// ```
///
/// The end of knowledge is never more than a second away, so that its wrapping after 198 days is seen.
#[derive(Debug, Default)]
pub struct SlotClock {
    known: AtomicU64,
}

const SLOT_BITS: u32 = 30;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const UNTIL_MASK: u64 = u64::MAX >> SLOT_BITS;

/// For so long the wall clock is not asked again.
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
    /// This moment. `check` is called when the wall clock is asked, with its seconds: about once a second, and it
    /// may refuse.
    ///
    /// # Errors
    /// What `check` says.
    #[inline]
    pub fn now<E>(&self, clock: &dyn Clock, check: impl FnOnce(u64) -> Result<(), E>) -> Result<Moment, E> {
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

    /// Asks the wall clock, and `check`, the next time in any case, or within a second if another thread is just
    /// doing so.
    pub fn forget(&self) {
        self.known.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Clock;

    /// A clock that stands where the test puts it, in milliseconds.
    #[derive(Debug, Default)]
    pub(crate) struct HandClock(pub(crate) AtomicU64);

    impl HandClock {
        pub(crate) fn at(unix_seconds: u64) -> Self {
            Self(AtomicU64::new(unix_seconds * 1000))
        }

        pub(crate) fn set_ms(&self, ms: u64) {
            self.0.store(ms, Ordering::Relaxed);
        }
    }

    impl Clock for HandClock {
        fn unix_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn monotonic_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::test_support::HandClock;
    use super::*;

    #[test]
    fn the_slot_changes_on_the_millisecond() {
        let clock = HandClock::at(0);
        let slots = SlotClock::default();
        let slot_at = |ms| {
            clock.set_ms(ms);
            slots.now(&clock, |_| Ok::<(), ()>(())).unwrap().slot
        };
        for (ms, slot) in
            [(0, 0), (179_500, 0), (179_999, 0), (180_000, 1), (180_001, 1), (359_999, 1), (360_000, 2)]
        {
            assert_eq!(slot_at(ms), slot, "at {ms} ms");
        }
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
