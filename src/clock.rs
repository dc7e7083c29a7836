//! Where time comes in. Everything else asks this trait, so that a test can hold the clock.

use std::time::Duration;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Unix seconds, UTC.
    fn unix_seconds(&self) -> u64;

    /// Time since some fixed point, never going back; for bounds and intervals only.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_seconds(&self) -> u64 {
        // The coarse clock is a plain read of shared memory, precise to a few milliseconds: enough for
        // seconds, and cheap enough to be asked for every counted image.
        u64::try_from(clock_now(libc::CLOCK_REALTIME_COARSE).0).unwrap_or(0)
    }

    fn monotonic(&self) -> Duration {
        let (seconds, nanoseconds) = clock_now(libc::CLOCK_MONOTONIC);
        Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0))
    }
}

fn clock_now(clock: libc::clockid_t) -> (i64, i64) {
    crate::memory::clock_gettime(clock)
}

/// A point in time by which something must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Duration,
}

impl Deadline {
    /// The point `after` from now.
    pub fn after(clock: &dyn Clock, after: Duration) -> Self {
        Self { end: clock.monotonic().saturating_add(after) }
    }

    /// What is left; zero when it is past.
    pub fn remaining(&self, clock: &dyn Clock) -> Duration {
        self.end.saturating_sub(clock.monotonic())
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Clock, Duration};

    /// A clock that stands where the test puts it.
    #[derive(Debug, Default)]
    pub(crate) struct HandClock(pub(crate) AtomicU64);

    impl HandClock {
        pub(crate) fn at(unix_seconds: u64) -> Self {
            Self(AtomicU64::new(unix_seconds))
        }
    }

    impl Clock for HandClock {
        fn unix_seconds(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }
}
