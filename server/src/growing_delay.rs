//! Delays that grow with each wrong try of a password, in a table of bounded size.
//!
//! After a number of tries without a delay, the next one is possible after 1 s, 2 s, 4 s, … up to a
//! bound. A key that has not been tried for 15 minutes begins anew. When the table is full, the
//! rows that are old make room first, then those without a delay, because they are nearly the same
//! as none.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The time after which wrong tries are forgotten.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// The growth of the delays of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// The number of wrong tries in a row that cost no delay.
    pub(crate) free: u32,
    /// The longest delay.
    pub(crate) delay_max: Duration,
}

impl Growth {
    /// Return the delay after this number of wrong tries.
    fn delay(self, count: u32) -> Duration {
        match count.checked_sub(self.free) {
            None | Some(0) => Duration::ZERO,
            Some(above) => Duration::from_secs(1 << (above - 1).min(16)).min(self.delay_max),
        }
    }
}

/// The wrong tries of one key.
#[derive(Clone, Copy, Debug)]
struct Tries {
    count: u32,
    last_at: Instant,
    next_at: Instant,
}

impl Tries {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_at) > FORGET_AFTER
    }
}

/// The wrong tries of all keys. Its size is bounded by [`Self::new`].
#[derive(Debug)]
pub(crate) struct GrowingDelays<K> {
    rows: HashMap<K, Tries>,
    rows_max: usize,
}

impl<K: Copy + Eq + Hash> GrowingDelays<K> {
    /// The bytes of a row.
    #[cfg(test)]
    pub(crate) const ROW_BYTES: usize = size_of::<(K, Tries)>();

    /// Make an empty table that never has more rows than this.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows: HashMap::new(), rows_max }
    }

    /// Return the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Return the number of wrong tries of this key that are not forgotten.
    pub(crate) fn count(&self, key: K, now: Instant) -> u32 {
        self.rows.get(&key).filter(|tries| !tries.is_old(now)).map_or(0, |tries| tries.count)
    }

    /// Return the time until this key may try again; `None` when it may try now.
    pub(crate) fn wait(&self, key: K, now: Instant) -> Option<Duration> {
        let tries = self.rows.get(&key)?;
        Some(tries.next_at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Count a wrong try.
    pub(crate) fn note(&mut self, key: K, growth: Growth, now: Instant) {
        if self.rows.len() >= self.rows_max && !self.rows.contains_key(&key) {
            self.make_room(now);
        }
        let count = self.count(key, now).saturating_add(1);
        self.rows.insert(key, Tries { count, last_at: now, next_at: now + growth.delay(count) });
    }

    /// Take back a try that was not a wrong one.
    pub(crate) fn take_back(&mut self, key: K, growth: Growth) {
        if let Some(tries) = self.rows.get_mut(&key) {
            tries.count = tries.count.saturating_sub(1);
            tries.next_at = tries.last_at + growth.delay(tries.count);
        }
    }

    /// Forget all wrong tries of this key.
    pub(crate) fn forget(&mut self, key: K) {
        self.rows.remove(&key);
    }

    /// Forget what is old, then what has no delay. If that is not enough, forget everything.
    fn make_room(&mut self, now: Instant) {
        self.rows.retain(|_, tries| !tries.is_old(now));
        if self.rows.len() >= self.rows_max {
            self.rows.retain(|_, tries| tries.next_at > tries.last_at);
        }
        if self.rows.len() >= self.rows_max {
            self.rows.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROWTH: Growth = Growth { free: 2, delay_max: Duration::from_secs(5) };

    #[test]
    fn the_delay_doubles_with_each_wrong_try_up_to_its_bound() {
        let mut delays = GrowingDelays::new(10);
        let now = Instant::now();
        let mut wait = || {
            delays.note("a", GROWTH, now);
            delays.wait("a", now).map(|wait| wait.as_secs())
        };
        let waits: Vec<_> = (0..7).map(|_| wait()).collect();
        assert_eq!(waits, [None, None, Some(1), Some(2), Some(4), Some(5), Some(5)]);
        assert_eq!(delays.wait("b", now), None, "another key");
        assert_eq!(delays.wait("a", now + Duration::from_secs(5)), None);
        delays.take_back("a", GROWTH);
        assert_eq!(delays.count("a", now), 6);
        let later = now + FORGET_AFTER + Duration::from_secs(1);
        assert_eq!(delays.count("a", later), 0, "it is forgotten");
        delays.note("a", GROWTH, later);
        assert_eq!(delays.count("a", later), 1);
    }

    #[test]
    fn a_full_table_keeps_those_that_have_to_wait_longest() {
        let mut delays = GrowingDelays::new(100);
        let now = Instant::now();
        for _ in 0..4 {
            delays.note(0, GROWTH, now);
        }
        for key in 1..1_000 {
            delays.note(key, GROWTH, now);
            assert!(delays.len() <= 100);
        }
        assert_eq!(delays.count(0, now), 4);
        for key in 1_000..2_000 {
            for _ in 0..4 {
                delays.note(key, GROWTH, now);
            }
            assert!(delays.len() <= 100, "also when all have to wait");
        }
    }
}
