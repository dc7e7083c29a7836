//! Sources of time. All other code reads the time through this trait, so that a test can control
//! the clock.

mod device_clock;
mod leaps;
mod offset;
mod seen;
mod slots;

pub use device_clock::DeviceClock;
pub use slots::{Moment, SlotClock};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::os::{boot_id, clocks_ahead};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Return the wall clock in Unix milliseconds, UTC. It can be wrong, and somebody can set it.
    fn wall_ms(&self) -> u64;

    /// Return the milliseconds since the machine was started, including the time that it was
    /// suspended.
    fn boot_ms(&self) -> u64;

    /// Return the milliseconds since some fixed point. They never go back; use them for bounds and
    /// intervals only.
    fn monotonic_ms(&self) -> u64;

    /// Return the time that the device believes, in Unix milliseconds, UTC.
    fn unix_ms(&self) -> u64 {
        self.wall_ms()
    }

    /// Return the time that the device believes, in Unix seconds.
    fn unix_seconds(&self) -> u64 {
        self.unix_ms() / 1000
    }

    /// Let this much time pass while the caller waits for another process.
    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Return the start of the machine from which [`Self::boot_ms`] counts.
    fn boot(&self) -> Boot {
        Boot::default()
    }

    /// Return the machine's boot clock, for files that all processes of the device share. Return
    /// `None` when this process does not know by how much its own differs.
    fn machine_boot_ms(&self) -> Option<u64> {
        Some(self.boot_ms())
    }

    /// Return this instant by the boot clock, to be stored beside other data. The default stamp is
    /// unlike every other one: where no server time was received, nothing can show later that a
    /// server has set the time back since.
    fn stamp(&self) -> Stamp {
        Stamp::default()
    }

    /// Follow the time of a server (Unix seconds) whose signature was checked. The server was asked
    /// when the boot clock stood at `asked_at_ms`, and its answer has arrived now.
    fn hear(&self, _server_seconds: u64, _asked_at_ms: u64) {}
}

/// An instant by a boot clock. The time at that instant follows from what the device knows of the
/// time later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stamp {
    /// The id of the boot clock that this stamp uses.
    boot_id: String,
    /// The value of that boot clock, in milliseconds.
    boot_ms: u64,
}

/// The start of the machine from which a boot clock counts, and how this process reads that clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The id of the start, the same for all processes of the machine; empty when the system does
    /// not name it.
    pub id: String,
    /// The milliseconds by which the boot clock of this process is ahead of the machine's; `None`
    /// when the system does not report it.
    pub ahead_ms: Option<i64>,
}

impl Boot {
    /// Return the start with this id, whose boot clock all processes read alike.
    pub fn named(id: impl Into<String>) -> Self {
        Self { id: id.into(), ahead_ms: Some(0) }
    }
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

// The coarse clocks are plain reads of shared memory, precise to the kernel's tick (1 to 10 ms).
// That is enough for slots and seconds, and cheap enough to read for every counted frame.
impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        crate::os::wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        crate::os::boot_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        crate::os::monotonic_ms()
    }

    fn boot(&self) -> Boot {
        Boot { id: boot_id(), ahead_ms: clocks_ahead().map(|ahead| ahead.boot_ms) }
    }
}

/// A point in time by which something must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end_ms: u64,
}

impl Deadline {
    /// Return the point `after` from now.
    pub fn after(clock: &dyn Clock, after: Duration) -> Self {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self { end_ms: clock.monotonic_ms().saturating_add(after_ms) }
    }

    /// Return the time that is left; zero when the deadline has passed.
    pub fn remaining(&self, clock: &dyn Clock) -> Duration {
        Duration::from_millis(self.end_ms.saturating_sub(clock.monotonic_ms()))
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Boot, Clock};

    /// A clock that stands where the test sets it, in milliseconds.
    #[derive(Debug, Default)]
    pub(crate) struct HandClock {
        wall_ms: AtomicU64,
        boot_ms: AtomicU64,
        suspended_ms: AtomicU64,
        boots: AtomicU64,
    }

    impl HandClock {
        pub(crate) fn at(unix_seconds: u64) -> Self {
            let clock = Self::default();
            clock.set_ms(unix_seconds * 1000);
            clock
        }

        /// Set all clocks to this time.
        pub(crate) fn set_ms(&self, ms: u64) {
            self.set_wall(ms);
            self.boot_ms.store(ms, Ordering::Relaxed);
        }

        /// Set the wall clock, in milliseconds, as a user would.
        pub(crate) fn set_wall(&self, ms: u64) {
            self.wall_ms.store(ms, Ordering::Relaxed);
        }

        /// Start the machine again after this time without power.
        pub(crate) fn reboot(&self, off_ms: u64) {
            self.wall_ms.fetch_add(off_ms, Ordering::Relaxed);
            self.boot_ms.store(0, Ordering::Relaxed);
            self.suspended_ms.store(0, Ordering::Relaxed);
            self.boots.fetch_add(1, Ordering::Relaxed);
        }

        /// Suspend the machine for this time.
        pub(crate) fn suspend(&self, ms: u64) {
            self.pass(ms);
            self.suspended_ms.fetch_add(ms, Ordering::Relaxed);
        }

        /// Let this time pass.
        pub(crate) fn pass(&self, ms: u64) {
            self.wall_ms.fetch_add(ms, Ordering::Relaxed);
            self.boot_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    impl Clock for HandClock {
        fn wall_ms(&self) -> u64 {
            self.wall_ms.load(Ordering::Relaxed)
        }

        fn boot_ms(&self) -> u64 {
            self.boot_ms.load(Ordering::Relaxed)
        }

        fn monotonic_ms(&self) -> u64 {
            self.boot_ms.load(Ordering::Relaxed) - self.suspended_ms.load(Ordering::Relaxed)
        }

        fn boot(&self) -> Boot {
            Boot::named(format!("boot {}", self.boots.load(Ordering::Relaxed)))
        }
    }

    /// The clocks of a machine, as a process reads them whose boot clock is ahead of the machine's
    /// by this much.
    pub(crate) struct ApartClock {
        pub(crate) machine: &'static HandClock,
        pub(crate) ahead_ms: i64,
        /// The function that gives the system's report of the difference.
        pub(crate) report: fn(&Self) -> Boot,
    }

    impl ApartClock {
        pub(crate) fn new(
            machine: &'static HandClock,
            ahead_ms: i64,
            report: fn(&Self) -> Boot,
        ) -> &'static Self {
            Box::leak(Box::new(Self { machine, ahead_ms, report }))
        }
    }

    impl Clock for ApartClock {
        fn wall_ms(&self) -> u64 {
            self.machine.wall_ms()
        }

        fn boot_ms(&self) -> u64 {
            self.machine.boot_ms().saturating_add_signed(self.ahead_ms)
        }

        fn monotonic_ms(&self) -> u64 {
            self.machine.monotonic_ms()
        }

        fn boot(&self) -> Boot {
            (self.report)(self)
        }
    }
}
