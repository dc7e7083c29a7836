//! The server's time, which never goes back: the highest of the machine's clock and of what the
//! database has recorded.
//!
//! A server whose clock is set back would grant under items that have ended. Therefore a server
//! records its time in the database once a minute, and reads it when it starts. While the machine's
//! clock is behind the recorded time, the server's time stands still.
//!
//! | the machine's clock | the server's time | ready |
//! | --- | --- | --- |
//! | at the recorded time or after it | the clock | yes |
//! | up to one slot behind it | the recorded time | yes |
//! | further behind | the recorded time | no, until the clock is right or `clock accept` was run |
//!
//! A clock that was ahead and was set right looks the same. The operator then accepts the clock.
//! The number of acceptances stands beside the recorded time, so that running servers notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::slot::SLOT_SECONDS;

use crate::clock::Clock;
use crate::error::Error;
use crate::utc;

/// The time that a database has recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedTime {
    /// The highest time of any server of this database, Unix seconds.
    pub newest_at: u64,
    /// The number of times that an operator has accepted a clock.
    pub accepted: u64,
}

/// The server's time.
pub struct ServerClock {
    machine: Arc<dyn Clock>,
    newest_at: AtomicU64,
    accepted: AtomicU64,
}

impl ServerClock {
    /// Make the time of a server on this machine, with a database that has recorded this time.
    #[must_use]
    pub fn new(machine: Arc<dyn Clock>, recorded: RecordedTime) -> Self {
        Self {
            machine,
            newest_at: AtomicU64::new(recorded.newest_at),
            accepted: AtomicU64::new(recorded.accepted),
        }
    }

    /// Return the time to record.
    #[must_use]
    pub fn to_record(&self) -> RecordedTime {
        let accepted = self.accepted.load(Ordering::SeqCst);
        RecordedTime { newest_at: self.unix_seconds(), accepted }
    }

    /// Learn what the database has recorded. After an acceptance, the time is the one that was
    /// accepted, also when it is earlier than before.
    pub fn learn(&self, recorded: RecordedTime) {
        if self.accepted.swap(recorded.accepted, Ordering::SeqCst) == recorded.accepted {
            self.newest_at.fetch_max(recorded.newest_at, Ordering::SeqCst);
        } else {
            self.newest_at.store(recorded.newest_at, Ordering::SeqCst);
        }
    }
}

impl Clock for ServerClock {
    fn unix_seconds(&self) -> u64 {
        let now = self.machine.unix_seconds();
        self.newest_at.fetch_max(now, Ordering::SeqCst).max(now)
    }

    fn ahead_of_machine(&self) -> u64 {
        self.newest_at.load(Ordering::SeqCst).saturating_sub(self.machine.unix_seconds())
    }
}

impl std::fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerClock").field("newest_at", &self.newest_at).finish_non_exhaustive()
    }
}

/// Return whether a clock is so far behind the server's time, in seconds, that the server is not
/// ready.
#[must_use]
pub fn is_too_far_behind(seconds: u64) -> bool {
    seconds > SLOT_SECONDS
}

/// Refuse a time that is more than one slot ahead of the machine's clock.
///
/// # Errors
/// Returns both times, and what to do.
pub fn require_right(clock: &dyn Clock) -> Result<(), Error> {
    let ahead = clock.ahead_of_machine();
    if !is_too_far_behind(ahead) {
        return Ok(());
    }
    let time = clock.unix_seconds();
    Err(Error::NotReady(format!(
        "the database has recorded {}, and the clock of this machine is {ahead} s behind, at {}. \
         The server's time stands still until the clock has passed that time. Set the clock right. \
         If it is right and was ahead before, run \"seatmeterd clock accept\"",
        utc::text(time),
        utc::text(time.saturating_sub(ahead))
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(AtomicU64);

    impl Clock for Machine {
        fn unix_seconds(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn at(now: u64, newest_at: u64) -> (Arc<Machine>, ServerClock) {
        let machine = Arc::new(Machine(AtomicU64::new(now)));
        let clock =
            ServerClock::new(machine.clone(), RecordedTime { newest_at, ..Default::default() });
        (machine, clock)
    }

    #[test]
    fn the_time_never_goes_back_whichever_of_the_two_does() {
        let (machine, clock) = at(1_000, 900);
        assert_eq!(clock.unix_seconds(), 1_000);
        machine.0.store(500, Ordering::SeqCst);
        assert_eq!((clock.unix_seconds(), clock.ahead_of_machine()), (1_000, 500));
        clock.learn(RecordedTime { newest_at: 1_200, accepted: 0 });
        clock.learn(RecordedTime { newest_at: 1_100, accepted: 0 });
        assert_eq!(clock.unix_seconds(), 1_200);
        machine.0.store(1_300, Ordering::SeqCst);
        assert_eq!((clock.unix_seconds(), clock.ahead_of_machine()), (1_300, 0));
    }

    #[test]
    fn an_accepted_clock_is_the_time_from_then_on() {
        let (machine, clock) = at(1_000, 9_000);
        assert_eq!(clock.unix_seconds(), 9_000);
        clock.learn(RecordedTime { newest_at: 1_000, accepted: 1 });
        assert_eq!((clock.unix_seconds(), clock.ahead_of_machine()), (1_000, 0));
        machine.0.store(1_001, Ordering::SeqCst);
        assert_eq!(clock.to_record(), RecordedTime { newest_at: 1_001, accepted: 1 });
    }

    #[test]
    fn more_than_one_slot_is_not_ready_and_says_both_times() {
        let (_, clock) = at(1_800_000_000, 1_800_000_180);
        assert_eq!(require_right(&clock), Ok(()));
        let (_, clock) = at(1_800_000_000, 1_800_000_181);
        let told = require_right(&clock).unwrap_err().to_string();
        assert!(told.contains("2027-01-15T08:03:01Z") && told.contains("181 s behind"), "{told}");
        assert!(told.contains("2027-01-15T08:00:00Z") && told.contains("clock accept"), "{told}");
    }
}
