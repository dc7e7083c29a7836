//! The number by which a state is known again.

/// A number of 128 bits, mixed from the words of a state: so long that no two of some million
/// states have the same one by chance.
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self(0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344)
    }

    pub(super) fn add(&mut self, word: u64) {
        let mixed =
            (self.0 ^ u128::from(word)).wrapping_mul(0xda94_2042_e4dd_58b5_2d99_2ddf_a232_49d7);
        self.0 = mixed ^ mixed >> 64;
    }

    pub(super) fn value(&self) -> u128 {
        self.0
    }
}
