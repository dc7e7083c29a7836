//! Session passwords of handshake codes: who may have one checked, and when.
//!
//! Anybody may send a password to a server, and a check is slow on purpose. So that those who guess
//! do not keep out those who know:
//!
//! 1. A password that was right or wrong lately is known at once, without a check. The devices of a
//!    code all have the same password, so nearly all of them are served so, even in a flood.
//! 2. After four wrong passwords, an asker must wait before the next check of this code: a second,
//!    then twice as long each time, up to a minute. Until then, it gets 429 with `Retry-After`.
//! 3. Few checks run at a time, and few wait. The next turn has the asker with the fewest wrong
//!    passwords, and of several the one that had a turn least recently. When too many wait, the
//!    newest request of the asker with the most wrong passwords is sent away.
//!
//! An asker is a site ([`crate::http::proxy::site`]). A device that shows a license of this server
//! is an asker of its own, so that it does not suffer from neighbors behind the same address. All
//! tables are bounded, and hold digests and numbers of equal size.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use parking_lot::Mutex;
use ring::hmac;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::growing_delay::{GrowingDelays, Growth};

/// The delay of an asker after wrong passwords for one code.
const WAITS: Growth = Growth { free: 4, delay_max: Duration::from_secs(60) };

/// The greatest number of rows in the table of wrong passwords, which takes some 10 MiB.
const ROWS_MAX: usize = 100_000;

/// The greatest number of digests of right passwords, and of wrong ones, in one generation.
const DIGESTS_MAX: usize = 4_096;

/// The origin of a password that is to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker<'a> {
    /// The site of a request, if it is known.
    Site(Option<IpAddr>),
    /// A device that has shown a license of this server, by its UUID.
    Device(&'a str),
}

/// The checks of session passwords.
#[derive(Debug)]
pub struct Guesses {
    chance: RandomState,
    /// The key of the digests of passwords: without it, they reveal nothing.
    key: hmac::Key,
    at_once_max: usize,
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    right: Recent,
    wrong: Recent,
    /// The wrong passwords of askers, for one code or for all.
    failures: GrowingDelays<u64>,
    running: usize,
    lanes: HashMap<u64, Lane>,
    waiting: usize,
    turns: u64,
}

/// The requests of one asker that wait.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<oneshot::Sender<Turn>>,
    failures: u32,
    last_turn: u64,
}

/// The right to run one check, until it is dropped.
#[derive(Debug)]
struct Turn(Option<Arc<Guesses>>);

/// Digests that were added lately. When a generation is full, the previous one is dropped.
#[derive(Debug, Default)]
struct Recent {
    now: HashSet<Digest>,
    before: HashSet<Digest>,
}

type Digest = [u8; 32];

impl Recent {
    fn has(&self, digest: &Digest) -> bool {
        self.now.contains(digest) || self.before.contains(digest)
    }

    fn add(&mut self, digest: Digest) {
        if self.now.len() >= DIGESTS_MAX {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(digest);
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            right: Recent::default(),
            wrong: Recent::default(),
            failures: GrowingDelays::new(ROWS_MAX),
            running: 0,
            lanes: HashMap::new(),
            waiting: 0,
            turns: 0,
        }
    }
}

impl State {
    fn known(&self, digest: &Digest) -> Option<bool> {
        if self.right.has(digest) {
            return Some(true);
        }
        self.wrong.has(digest).then_some(false)
    }

    /// Return the number of seconds that this key has to wait.
    fn wait(&self, key: u64, now: Instant) -> Option<u64> {
        self.failures.wait(key, now).map(|wait| wait.as_secs_f64().ceil() as u64)
    }

    fn note_wrong(&mut self, key: u64, now: Instant) {
        self.failures.note(key, WAITS, now);
    }

    /// Take the request out of the lanes whose turn is next.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let order = |lane: &Lane| (lane.failures, lane.last_turn);
        let key = *self.lanes.iter().min_by_key(|(_, lane)| order(lane))?.0;
        self.turns += 1;
        let lane = self.lanes.get_mut(&key)?;
        lane.last_turn = self.turns;
        let next = lane.waiting.pop_front();
        if lane.waiting.is_empty() {
            self.lanes.remove(&key);
        }
        self.waiting -= usize::from(next.is_some());
        next
    }

    /// Send away the newest request of the asker with the most wrong passwords, and of several that
    /// of the longest lane, if it comes before this one.
    fn send_one_away(&mut self, failures: u32, in_lane: usize) -> bool {
        let order = |lane: &Lane| (lane.failures, lane.waiting.len());
        let Some((&key, lane)) = self.lanes.iter_mut().max_by_key(|(_, lane)| order(lane)) else {
            return false;
        };
        if order(lane) <= (failures, in_lane + 1) {
            return false;
        }
        lane.waiting.pop_back();
        if lane.waiting.is_empty() {
            self.lanes.remove(&key);
        }
        self.waiting -= 1;
        true
    }
}

impl Guesses {
    /// Make checks of which so many run at one time, and so many more wait.
    pub(super) fn new(at_once_max: usize, waiting_max: usize) -> Arc<Self> {
        let chance = RandomState::new();
        // Two hashes under a random key of the process: the digests stay in its memory.
        let seed = [chance.hash_one("seed 1"), RandomState::new().hash_one("seed 2")];
        let seed = seed.map(u64::to_le_bytes).concat();
        Arc::new(Self {
            chance,
            key: hmac::Key::new(hmac::HMAC_SHA256, &seed),
            at_once_max,
            waiting_max,
            state: Mutex::default(),
        })
    }

    /// Return whether this is the password with that hash.
    ///
    /// # Errors
    /// Fails when the asker has to wait after wrong passwords, or when too many checks wait.
    pub async fn is_right(
        self: &Arc<Self>,
        asker: Asker<'_>,
        code: &str,
        password: String,
        hash: String,
    ) -> Result<bool, Error> {
        let digest = self.digest(&password, &hash);
        let (asker_key, pair_key) =
            (self.chance.hash_one(asker), self.chance.hash_one((asker, code)));
        if let Some(known) = self.look(&digest, pair_key, code)? {
            return Ok(known);
        }
        let turn = self.turn(asker_key).await?;
        // Others may have shown the same password meanwhile, or the same asker another one.
        if let Some(known) = self.look(&digest, pair_key, code)? {
            return Ok(known);
        }
        let guesses = self.clone();
        let check = move || {
            // The turn is kept even when the client is gone, because a check that has begun needs
            // its memory until its end.
            let turn = turn;
            let is_right = PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            });
            guesses.note(is_right, digest, asker_key, pair_key);
            drop(turn);
            is_right
        };
        Ok(tokio::task::spawn_blocking(check).await.unwrap_or(false))
    }

    fn digest(&self, password: &str, hash: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        // A hash has a fixed alphabet without NUL, so the two parts cannot be taken for others.
        context.update(hash.as_bytes());
        context.update(b"\0");
        context.update(password.as_bytes());
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Return what is known of a password, unless the asker must wait before it may learn more.
    fn look(&self, digest: &Digest, pair_key: u64, code: &str) -> Result<Option<bool>, Error> {
        let state = self.state.lock();
        if let Some(known) = state.known(digest) {
            return Ok(Some(known));
        }
        match state.wait(pair_key, Instant::now()) {
            None => Ok(None),
            Some(retry_after_seconds) => Err(Error::TooMany {
                who: format!(
                    "this place with wrong session passwords of handshake code or organization \
                     {code:?}"
                ),
                retry_after_seconds,
            }),
        }
    }

    fn note(&self, is_right: bool, digest: Digest, asker_key: u64, pair_key: u64) {
        let mut state = self.state.lock();
        if is_right {
            state.right.add(digest);
            state.failures.forget(pair_key);
            return;
        }
        state.wrong.add(digest);
        let now = Instant::now();
        state.note_wrong(asker_key, now);
        state.note_wrong(pair_key, now);
    }

    /// Wait for the right to run a check.
    async fn turn(self: &Arc<Self>, asker_key: u64) -> Result<Turn, Error> {
        let receiver = {
            let mut state = self.state.lock();
            if state.running < self.at_once_max && state.waiting == 0 {
                state.running += 1;
                return Ok(Turn(Some(self.clone())));
            }
            let failures = state.failures.count(asker_key, Instant::now());
            let in_lane = state.lanes.get(&asker_key).map_or(0, |lane| lane.waiting.len());
            if state.waiting >= self.waiting_max && !state.send_one_away(failures, in_lane) {
                return Err(Error::Busy);
            }
            let (sender, receiver) = oneshot::channel();
            // A new lane comes after those that wait already.
            state.turns += 1;
            let last_turn = state.turns;
            let lane = state
                .lanes
                .entry(asker_key)
                .or_insert_with(|| Lane { last_turn, ..Lane::default() });
            lane.failures = failures;
            lane.waiting.push_back(sender);
            state.waiting += 1;
            receiver
        };
        // A request that was sent away has lost its sender.
        receiver.await.map_err(|_| Error::Busy)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(guesses) = self.0.take() else { return };
        loop {
            let mut state = guesses.state.lock();
            let Some(next) = state.next() else {
                state.running -= 1;
                return;
            };
            drop(state);
            match next.send(Turn(Some(guesses.clone()))) {
                Ok(()) => return,
                // The client has gone. The turn that comes back must not pass itself on.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "CODE";

    fn site(n: u8) -> Asker<'static> {
        Asker::Site(Some(IpAddr::from([192, 0, 2, n])))
    }

    /// Let all tasks run until they wait.
    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    /// Ask for turns in the order of these askers while one runs, and return in which order they
    /// got theirs. A request that was sent away has none.
    async fn order(guesses: &Arc<Guesses>, askers: &[u8]) -> Vec<usize> {
        let key = |n: u8| guesses.chance.hash_one(site(n));
        let first = guesses.turn(key(0)).await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for (index, asker) in askers.iter().enumerate() {
            let (guesses, served, key) = (guesses.clone(), served.clone(), key(*asker));
            tasks.spawn(async move {
                if let Ok(turn) = guesses.turn(key).await {
                    served.lock().push(index);
                    drop(turn);
                }
            });
            settle().await;
        }
        drop(first);
        while tasks.join_next().await.is_some() {}
        Arc::into_inner(served).unwrap().into_inner()
    }

    fn fail(guesses: &Guesses, asker: u8, times: u32) {
        let key = guesses.chance.hash_one(site(asker));
        for _ in 0..times {
            guesses.state.lock().note_wrong(key, Instant::now());
        }
    }

    #[tokio::test]
    async fn an_asker_with_few_wrong_passwords_comes_before_a_crowd_with_many() {
        let guesses = Guesses::new(1, 400);
        for attacker in 1..=200 {
            fail(&guesses, attacker, 1);
        }
        let crowd: Vec<u8> = (1..=200).chain([250]).collect();
        assert_eq!(order(&guesses, &crowd).await[0], 200, "the last one to come is the first");
    }

    #[tokio::test]
    async fn askers_take_turns_however_much_one_of_them_asks() {
        let guesses = Guesses::new(1, 100);
        assert_eq!(order(&guesses, &[1, 1, 1, 1, 2, 3]).await[..3], [0, 4, 5]);
    }

    #[tokio::test]
    async fn the_number_that_waits_is_bounded_and_the_worst_is_sent_away() {
        let guesses = Guesses::new(1, 4);
        fail(&guesses, 1, 3);
        let served = order(&guesses, &[1, 1, 1, 2, 3, 3]).await;
        assert_eq!(served.len(), 4);
        assert!([3, 4, 5].iter().all(|asker| served.contains(asker)), "{served:?}");
        let all_alike = order(&guesses, &[4, 5, 6, 7, 8]).await;
        assert_eq!(all_alike, [0, 1, 2, 3], "of askers that are alike, the last one must go");
    }

    #[tokio::test]
    async fn a_password_that_is_known_needs_no_check_and_no_turn() {
        let guesses = Guesses::new(1, 0);
        let hash = super::super::hash("open sesame").unwrap();
        let check = async |n: u8, password: &str| {
            guesses.is_right(site(n), CODE, password.to_owned(), hash.clone()).await
        };
        assert_eq!(check(1, "open sesame").await, Ok(true));
        assert_eq!(check(2, "open barley").await, Ok(false));
        let held = guesses.turn(0).await.unwrap();
        fail(&guesses, 1, 50);
        assert_eq!(check(1, "open sesame").await, Ok(true));
        assert_eq!(check(1, "open barley").await, Ok(false));
        assert_eq!(check(1, "open wheat").await, Err(Error::Busy));
        drop(held);
        let other = super::super::hash("open sesame").unwrap();
        let asked = guesses.is_right(site(1), CODE, "open barley".to_owned(), other);
        assert_eq!(asked.await, Ok(false), "another hash is another password");
    }

    #[tokio::test]
    async fn after_wrong_passwords_an_asker_waits_longer_each_time_and_others_do_not() {
        let mut state = State::default();
        let now = Instant::now();
        let waits: Vec<_> = std::iter::repeat_with(|| {
            state.note_wrong(1, now);
            state.wait(1, now)
        })
        .take(12)
        .collect();
        let after =
            [None, None, None, None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(32)];
        assert_eq!(waits[..10], after);
        assert_eq!(waits[10..], [Some(60), Some(60)]);
        assert_eq!(state.wait(2, now), None);
        assert_eq!(state.wait(1, now + Duration::from_secs(60)), None);

        let guesses = Guesses::new(1, 10);
        let hash = super::super::hash("right").unwrap();
        let check = async |asker: Asker<'_>, password: &str| {
            guesses.is_right(asker, CODE, password.to_owned(), hash.clone()).await
        };
        for n in 0..=WAITS.free {
            assert_eq!(check(site(1), &format!("wrong {n}")).await, Ok(false));
        }
        let refused = check(site(1), "wrong again").await;
        assert!(matches!(refused, Err(Error::TooMany { .. })), "{refused:?}");
        assert_eq!(check(site(2), "wrong 0").await, Ok(false), "another asker");
        assert_eq!(check(Asker::Device("till"), "right").await, Ok(true), "a device of ours there");
        assert_eq!(check(site(1), "right").await, Ok(true), "a right one is known by now");
    }

    #[test]
    fn the_tables_are_bounded() {
        let mut state = State::default();
        let now = Instant::now();
        for key in 0..ROWS_MAX as u64 + 10 {
            state.note_wrong(key, now);
        }
        assert!(state.failures.len() <= ROWS_MAX);
        let mut recent = Recent::default();
        for n in 0..3 * DIGESTS_MAX {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&n.to_le_bytes());
            recent.add(digest);
        }
        assert!(recent.now.len() + recent.before.len() <= 2 * DIGESTS_MAX);
        assert!(ROWS_MAX.next_power_of_two() * GrowingDelays::<u64>::ROW_BYTES <= 10 << 20);
    }
}
