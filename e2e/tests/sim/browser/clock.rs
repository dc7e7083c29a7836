//! The time of a page, by the rules of `bindings/web/src/clock.js`.

use crate::time::MachineClock;

pub(super) const DAY_MS: i64 = 86_400_000;
pub(super) const LEAP_MS: i64 = 60_000;

/// The smallest error of a wall clock that counts as one.
pub(super) const ERROR_MS_MIN: i64 = 5_000;

/// The clock of one page.
pub(crate) struct PageClock {
    machine: &'static MachineClock,
    error: i64,
    pub(super) heard_at: u64,
    pub(super) is_heard: bool,
    base: i64,
    wall_then: i64,
    monotonic_then: i64,
    /// The number of times that the clock was set by the word of a server.
    words: u32,
}

/// The clock as it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoredClock {
    error: i64,
    pub(super) heard_at: u64,
    highest: i64,
}

impl PageClock {
    pub(super) fn new(machine: &'static MachineClock, stored: StoredClock) -> Self {
        let (wall, monotonic) = machine.of_page();
        let mut start = wall - stored.error;
        // Such a step back would be too far: somebody has set the wall clock right since.
        if stored.error != 0 && start < stored.highest - DAY_MS {
            start = wall;
        }
        Self {
            machine,
            error: stored.error,
            heard_at: stored.heard_at,
            is_heard: false,
            base: start.max(stored.highest),
            wall_then: wall,
            monotonic_then: monotonic,
            words: 0,
        }
    }

    /// Return milliseconds since 1970.
    pub(crate) fn ms(&self) -> i64 {
        let (wall, monotonic) = self.machine.of_page();
        self.base + (wall - self.wall_then).max(monotonic - self.monotonic_then)
    }

    pub(crate) fn seconds(&self) -> u64 {
        u64::try_from(self.ms() / 1000).unwrap_or(0)
    }

    /// Return the wall clock, as `Date.now()` does.
    pub(super) fn wall_ms(&self) -> i64 {
        self.machine.of_page().0
    }

    /// Return the time that nobody can set, as `performance.now()` does.
    pub(crate) fn monotonic_ms(&self) -> i64 {
        self.machine.of_page().1
    }

    /// Follow the time in a signed answer.
    pub(super) fn hear(&mut self, server_seconds: u64) {
        let ms = i64::try_from(server_seconds).unwrap_or(0) * 1000;
        let (wall, monotonic) = self.machine.of_page();
        self.error = (wall - ms).max(0);
        if self.error < ERROR_MS_MIN {
            self.error = 0;
        }
        (self.heard_at, self.is_heard) = (server_seconds, true);
        (self.base, self.wall_then, self.monotonic_then) = (ms, wall, monotonic);
        self.words += 1;
    }

    /// Take the date of a license in use for the time, if no server has told a later one.
    pub(super) fn is_at_least(&mut self, seconds: u64) {
        let ms = i64::try_from(seconds).unwrap_or(0) * 1000;
        if !self.is_heard {
            let (wall, monotonic) = self.machine.of_page();
            let base = self.ms().max(ms);
            (self.base, self.wall_then, self.monotonic_then) = (base, wall, monotonic);
        }
    }

    /// Return whether the wall clock has leapt since the server's last word.
    pub(super) fn has_leapt(&self) -> bool {
        let (wall, monotonic) = self.machine.of_page();
        let leap = wall - self.wall_then - (monotonic - self.monotonic_then);
        leap.abs() > LEAP_MS
    }

    pub(super) fn stored(&self) -> StoredClock {
        StoredClock { error: self.error, heard_at: self.heard_at, highest: self.ms() }
    }

    pub(crate) fn words(&self) -> u32 {
        self.words
    }
}
