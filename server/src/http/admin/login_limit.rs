//! The bounds on wrong logins: growing delays by name and by source, in bounded memory.
//!
//! | wrong logins in a row | the next one is possible |
//! | --- | --- |
//! | up to 5 for a name, up to 20 from a source | at once |
//! | more | after 1 s, 2 s, 4 s, … up to 1 min for a name, 5 min for a source |
//!
//! An attempt counts as a wrong one from its begin, so that a thousand attempts at once are no way
//! around the delay. A success takes its own count back. It also frees its name, but not its
//! source: otherwise, somebody with an account could guess the passwords of others in between. A
//! source from which this name has logged in is not slowed by the name's count: a stranger who
//! guesses cannot keep its owner out. [`GrowingDelays`] forgets what nobody has tried for 15
//! minutes.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Error;
use crate::growing_delay::{GrowingDelays, Growth};
use crate::http::proxy::site;

const OF_NAME: Growth = Growth { free: 5, delay_max: Duration::from_secs(60) };
const OF_SOURCE: Growth = Growth { free: 20, delay_max: Duration::from_secs(300) };

/// The greatest number of names and sources that are remembered, which take some 2 MiB.
const ENTRIES_MAX: usize = 20_000;

/// The wrong logins of all names and sources.
#[derive(Debug, Default)]
pub struct LoginLimit {
    state: Mutex<State>,
    /// The hash function differs at each start, so that nobody can search for a name that shares
    /// the entry of another.
    chance: RandomState,
}

#[derive(Debug)]
struct State {
    wrong: GrowingDelays<Key>,
    /// The names that have logged in from a source.
    known: HashSet<(u64, u64)>,
}

impl Default for State {
    fn default() -> Self {
        Self { wrong: GrowingDelays::new(ENTRIES_MAX), known: HashSet::new() }
    }
}

/// The hash of a name or a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(u64),
    Source(u64),
}

impl Key {
    fn growth(self) -> Growth {
        match self {
            Self::Name(_) => OF_NAME,
            Self::Source(_) => OF_SOURCE,
        }
    }
}

/// An attempt to log in, which counts as a wrong one until it has succeeded.
#[derive(Debug)]
pub struct Attempt {
    name: u64,
    source: u64,
}

impl LoginLimit {
    /// Begin an attempt.
    ///
    /// # Errors
    /// Fails when the name or the source must wait.
    pub fn begin(
        &self,
        name: &str,
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<Attempt, Error> {
        let attempt = Attempt {
            name: self.chance.hash_one(name),
            source: self.chance.hash_one(source.map(site)),
        };
        let mut state = self.state.lock();
        let mut keys = vec![Key::Source(attempt.source)];
        if !state.known.contains(&(attempt.name, attempt.source)) {
            keys.push(Key::Name(attempt.name));
        }
        let wait = keys.iter().filter_map(|key| state.wrong.wait(*key, now)).max();
        if let Some(wait) = wait {
            let retry_after_seconds = wait.as_secs_f64().ceil() as u64;
            return Err(Error::LoginSlowed { retry_after_seconds });
        }
        for key in [Key::Source(attempt.source), Key::Name(attempt.name)] {
            state.wrong.note(key, key.growth(), now);
        }
        Ok(attempt)
    }

    /// Note that the attempt has succeeded.
    pub fn succeeded(&self, attempt: &Attempt) {
        let mut state = self.state.lock();
        state.take_back(Key::Source(attempt.source));
        state.wrong.forget(Key::Name(attempt.name));
        if state.known.len() >= ENTRIES_MAX {
            state.known.clear();
        }
        state.known.insert((attempt.name, attempt.source));
    }

    /// Note that the attempt was not decided, because the server was too busy or failed.
    pub fn undecided(&self, attempt: &Attempt) {
        let mut state = self.state.lock();
        state.take_back(Key::Source(attempt.source));
        state.take_back(Key::Name(attempt.name));
    }

    /// Return the number of names and sources that are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        let state = self.state.lock();
        state.wrong.len() + state.known.len()
    }
}

impl State {
    fn take_back(&mut self, key: Key) {
        self.wrong.take_back(key, key.growth());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::growing_delay::FORGET_AFTER;

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    #[test]
    fn a_name_is_slowed_more_and_more_wherever_the_attempts_come_from() {
        let limit = LoginLimit::default();
        let start = Instant::now();
        let ask = |n: u32, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            limit.begin("ann", address(n), now).map(|_| ()).map_err(|e| match e {
                Error::LoginSlowed { retry_after_seconds } => retry_after_seconds,
                other => panic!("{other}"),
            })
        };
        for n in 0..=OF_NAME.free {
            assert_eq!(ask(n, 0), Ok(()));
        }
        assert_eq!(ask(100, 0), Err(1));
        assert_eq!(ask(101, 1), Ok(()));
        assert_eq!(ask(102, 1), Err(2));
        assert_eq!(ask(103, 3), Ok(()));
        let mut now = 3;
        for n in 0..20 {
            let wait = ask(200 + n, now).unwrap_err();
            assert!(wait <= OF_NAME.delay_max.as_secs());
            now += wait;
            assert_eq!(ask(300 + n, now), Ok(()));
        }
        assert!(limit.begin("bob", address(1), start).is_ok(), "another name is not concerned");
        assert_eq!(ask(1, now + FORGET_AFTER.as_secs() + 1), Ok(()));
    }

    #[test]
    fn a_source_is_slowed_whatever_names_it_tries_and_a_success_of_its_own_does_not_free_it() {
        let limit = LoginLimit::default();
        let now = Instant::now();
        for n in 0..OF_SOURCE.free {
            limit.begin(&format!("user {n}"), address(1), now).unwrap();
            let own = limit.begin("mallory", address(1), now).unwrap();
            limit.succeeded(&own);
        }
        limit.begin("one more", address(1), now).unwrap();
        assert!(limit.begin("and another", address(1), now).is_err());
        assert!(limit.begin("mallory", address(1), now).is_err());
        assert!(limit.begin("ann", address(2), now).is_ok());
        let site = |last: u16| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last)));
        for n in 0..=OF_SOURCE.free as u16 {
            limit.begin(&format!("six {n}"), site(n), now).unwrap();
        }
        assert!(limit.begin("seven", site(9_999), now).is_err(), "a site of IPv6 is one source");
    }

    #[test]
    fn who_has_logged_in_from_here_is_not_kept_out_by_strangers_who_guess() {
        let limit = LoginLimit::default();
        let now = Instant::now();
        limit.succeeded(&limit.begin("ann", address(1), now).unwrap());
        while limit.begin("ann", address(2), now).is_ok() {}
        assert!(limit.begin("ann", address(1), now).is_ok());
        assert!(limit.begin("ann", address(3), now).is_err());
    }

    #[test]
    fn an_attempt_that_was_not_decided_does_not_count() {
        let limit = LoginLimit::default();
        let now = Instant::now();
        for _ in 0..100 {
            limit.undecided(&limit.begin("ann", address(1), now).unwrap());
        }
    }

    #[test]
    fn wrong_logins_without_number_take_bounded_memory() {
        let limit = LoginLimit::default();
        let now = Instant::now();
        for n in 0..3 * ENTRIES_MAX as u32 {
            limit.begin(&format!("user {n}"), address(n), now).unwrap();
            assert!(limit.remembered() <= 2 * ENTRIES_MAX);
        }
        let entry = GrowingDelays::<Key>::ROW_BYTES + size_of::<(u64, u64)>();
        let bytes = ENTRIES_MAX.next_power_of_two() * 2 * entry;
        assert!(bytes <= 8 << 20, "{bytes}");
    }
}
