//! What a simulation holds in its hands and nobody else may: random numbers that follow from a
//! seed.
//!
//! They are of one thread, and are there only with the feature `rehearsal`, which no program that
//! is shipped has. Without it every random number is the system's.

use std::cell::Cell;

thread_local! {
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on the random numbers of this thread follow from this seed; `None`: they are the
/// system's again.
pub fn seed_random(seed: Option<u64>) {
    RANDOM.set(seed);
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
