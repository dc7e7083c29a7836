//! What a simulation holds in its hands and nobody else may: random numbers that follow from a
//! seed, and bugs that are put in on purpose so that a test can show that it finds them.
//!
//! Both are of one thread, and are there only with the feature `rehearsal`, which no program that
//! is shipped has. Without it every random number is the system's, and [`has_bug`] is `false` where
//! it stands.

/// Every bug that can be put in: what it breaks, and how.
pub const BUGS: [&str; 43] = [
    "count: twice",
    "slot: off by one",
    "segment: removed before it is acknowledged",
    "report: acknowledged though unanswered",
    "report: differences instead of totals",
    "report: not durable before it is sent",
    "answer: of another request believed",
    "epoch: change ignored",
    "grant: stale accepted",
    "clone: refusal ignored",
    "clock: set back with the wall clock",
    "allowance: not spent",
    "usage: added instead of raised",
    "usage: sum raised by the total",
    "holder: never ends",
    "excess: late slots ignored",
    "grace: rounded up",
    "overused: ignored",
    "allowance: given beyond the quota",
    "validity: a day too long",
    "history: nobody begins anew",
    "epoch: not in refusals",
    "disk: failure taken for counted",
    "disk: failed sync ignored",
    "seats: one more than granted",
    "seats: not given back",
    "seats: never fewer",
    "seats: asked for once",
    "seats: those of the latest",
    "items: one taken for the other",
    "standby: never asked",
    "upgrade: history without a scope",
    "code: validation ignored",
    "quota: raise ignored",
    "browser: seat without its origin",
    "domain: any website",
    "stopped: word of before believed",
    "stopped: newer grant replaced",
    "clock: the later word wins",
    "clock: dates ahead believed",
    "clock: one apart believed",
    "lost file: not noticed",
    "lost file: carried under another id",
];

/// Whether this bug is put in.
#[cfg(not(feature = "rehearsal"))]
#[inline(always)]
#[must_use]
pub const fn has_bug(_name: &'static str) -> bool {
    false
}

#[cfg(feature = "rehearsal")]
pub use rehearsed::{has_bug, put_in, seed_random};

#[cfg(feature = "rehearsal")]
pub(crate) use rehearsed::fill;

#[cfg(feature = "rehearsal")]
mod rehearsed {
    use std::cell::Cell;

    use super::BUGS;

    thread_local! {
        static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
        static BUG: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// From now on the random numbers of this thread follow from this seed; `None`: they are the
    /// system's again.
    pub fn seed_random(seed: Option<u64>) {
        RANDOM.set(seed);
    }

    /// Puts a bug into what this thread runs, or takes it out again.
    ///
    /// # Panics
    /// When there is no bug of that name.
    pub fn put_in(bug: Option<&'static str>) {
        assert!(bug.is_none_or(|name| BUGS.contains(&name)), "{bug:?} is not listed");
        BUG.set(bug);
    }

    /// Whether this bug is put in.
    #[must_use]
    pub fn has_bug(name: &'static str) -> bool {
        debug_assert!(BUGS.contains(&name), "{name} is not listed");
        BUG.get() == Some(name)
    }

    /// Fills in random bytes that follow from the seed; `false` when there is none. SplitMix64
    /// (public domain).
    pub(crate) fn fill(bytes: &mut [u8]) -> bool {
        let Some(mut state) = RANDOM.get() else { return false };
        for chunk in bytes.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            let word = (word ^ word >> 31).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        RANDOM.set(Some(state));
        true
    }
}
