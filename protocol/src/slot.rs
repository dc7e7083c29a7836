//! Time slots: the unit in which work is counted and billed.
//!
//! A slot is three minutes of UTC, the same three minutes for everybody, so that device and server
//! agree on it without communication. Work belongs to the slot in which it was done, however late
//! it is reported.

/// Length of a slot in seconds.
pub const SLOT_SECONDS: u64 = 180;

/// Seconds after the end of a slot in which a device may still renew an authorization that runs by
/// the slot. Devices report within the first half minute of a slot, each at another instant, and
/// one attempt takes up to 20 s.
pub const RENEWAL_SECONDS: u64 = 60;

/// Slots in a UTC day.
pub const SLOTS_PER_DAY: u64 = 86_400 / SLOT_SECONDS;

/// Return the slot that holds this instant (Unix seconds). Saturates in the year 26 463.
#[must_use]
pub fn slot_of(unix_seconds: u64) -> u32 {
    u32::try_from(unix_seconds / SLOT_SECONDS).unwrap_or(u32::MAX)
}

/// Return the first instant of a slot (Unix seconds).
#[must_use]
pub fn slot_start(slot: u32) -> u64 {
    u64::from(slot) * SLOT_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_begins_and_ends_on_the_second() {
        assert_eq!(slot_of(0), 0);
        assert_eq!(slot_of(179), 0);
        assert_eq!(slot_of(180), 1);
        for slot in [0, 1, 9_912_345, u32::MAX] {
            assert_eq!(slot_of(slot_start(slot)), slot);
            assert_eq!(slot_of(slot_start(slot) + SLOT_SECONDS - 1), slot);
        }
    }

    #[test]
    fn a_day_has_480_slots_and_midnight_is_an_edge() {
        assert_eq!(SLOTS_PER_DAY, 480);
        let midnight = 20_000 * 86_400;
        assert_eq!(u64::from(slot_of(midnight)) % SLOTS_PER_DAY, 0);
        assert_eq!(slot_of(midnight - 1) + 1, slot_of(midnight));
    }

    #[test]
    fn the_far_future_saturates_instead_of_wrapping() {
        assert_eq!(slot_of(u64::MAX), u32::MAX);
    }
}
