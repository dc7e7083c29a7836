//! The 128-bit compare-exchange.
//!
//! Stable Rust has no `AtomicU128`. The crates that offer one use a lock of their own process where
//! the processor lacks the instruction. In shared memory such a lock would protect nothing, so
//! there is no fall-back here. On x86-64 the processor is asked at run time, aarch64 always has the
//! instructions, and other targets do not build.

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "seatmeter supports x86-64 and aarch64 only: it counts seats with a lock-free 128-bit \
     compare-exchange in shared memory, which 32-bit processors such as armv7 do not have"
);

/// Say whether this processor has the instruction.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("cmpxchg16b")
}

/// Say whether this processor has the instructions.
#[cfg(target_arch = "aarch64")]
pub(crate) fn is_available() -> bool {
    true
}

/// Replace the two words at `place` by `new` if they are `old`, as one step, ordered before and
/// after everything else. May fail on aarch64 although the words are `old`.
///
/// # Safety
/// `place` must be valid for reads and writes of 16 bytes, aligned to 16, only ever accessed
/// atomically while it is shared, and `is_available` must have answered true.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn compare_exchange(place: *mut [u64; 2], old: [u64; 2], new: [u64; 2]) -> bool {
    let mut high = new[1];
    // SAFETY: the caller vouches for `place` and the instruction. rbx may not be named as an
    // operand, so the low half is exchanged into it and rbx is put back before the block ends.
    // `low` may happen to be rbx, which does no harm; the address may not, so it has a register of
    // its own.
    unsafe {
        std::arch::asm!(
            "xchg {low}, rbx",
            "lock cmpxchg16b [rdi]",
            "sete cl",
            "mov rbx, {low}",
            in("rdi") place,
            low = inout(reg) new[0] => _,
            inout("rcx") high,
            inout("rax") old[0] => _,
            inout("rdx") old[1] => _,
            options(nostack),
        );
    }
    high as u8 != 0
}

/// Replace the two words at `place` by `new` if they are `old`, as one step, ordered before and
/// after everything else. May fail although the words are `old`.
///
/// # Safety
/// `place` must be valid for reads and writes of 16 bytes, aligned to 16, and only ever accessed
/// atomically while it is shared.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) unsafe fn compare_exchange(place: *mut [u64; 2], old: [u64; 2], new: [u64; 2]) -> bool {
    let failed: u64;
    // SAFETY: the caller vouches for `place`. A torn pair can only differ from `old`, which is the
    // failure that callers expect, or be caught by the store: it succeeds only if nobody wrote
    // since the load.
    unsafe {
        std::arch::asm!(
            "mov {failed}, #1",
            "2: ldaxp {low}, {high}, [{place}]",
            "cmp {low}, {old_low}",
            "ccmp {high}, {old_high}, #0, eq",
            "b.ne 3f",
            "stlxp {failed:w}, {new_low}, {new_high}, [{place}]",
            "cbnz {failed:w}, 2b",
            "3: dmb ish",
            place = in(reg) place,
            old_low = in(reg) old[0],
            old_high = in(reg) old[1],
            new_low = in(reg) new[0],
            new_high = in(reg) new[1],
            low = out(reg) _,
            high = out(reg) _,
            failed = out(reg) failed,
            options(nostack),
        );
    }
    failed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Pair([u64; 2]);

    #[test]
    fn both_halves_must_agree_and_both_are_replaced() {
        assert!(is_available());
        let mut pair = Pair([1, 2]);
        let place = &raw mut pair.0;
        // SAFETY: `place` is aligned to 16 by its type and belongs to this test alone.
        let answers = unsafe {
            [
                compare_exchange(place, [1, 3], [7, 8]),
                compare_exchange(place, [3, 2], [7, 8]),
                compare_exchange(place, [1, 2], [7, 8]),
            ]
        };
        assert_eq!((answers, pair.0), ([false, false, true], [7, 8]));
    }
}
