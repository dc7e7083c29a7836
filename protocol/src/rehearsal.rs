//! Random numbers that follow from a seed, for simulations only.
//!
//! The seed belongs to one thread. This module exists only with the feature `rehearsal`, which no
//! shipped program has. Without the feature every random number comes from the system.

use std::cell::Cell;

thread_local! {
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Make the random numbers of this thread follow from this seed from now on; `None` takes them from
/// the system again.
pub fn seed_random(seed: Option<u64>) {
    RANDOM.set(seed);
}

/// Fill in random bytes that follow from the seed; return `false` when there is no seed. SplitMix64
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
