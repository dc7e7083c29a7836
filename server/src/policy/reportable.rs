//! The slots that can be reported at an instant.

use seatmeter_protocol::item_check::OFFLINE_DAYS_MAX;
use seatmeter_protocol::license::{DAY_SECONDS, EXPIRY_GRACE_DAYS};
use seatmeter_protocol::slot::slot_of;

/// The number of days for which a slot can be reported. A device may be offline for a license year
/// at most. Then come the grace after the expiry, and a month in which a device that comes back has
/// to report.
pub const REPORTABLE_DAYS: u64 = OFFLINE_DAYS_MAX as u64 + EXPIRY_GRACE_DAYS + 30;

/// Return the first slot that can still be reported at an instant.
#[must_use]
pub fn first_open_slot(now: u64) -> u32 {
    slot_of(now.saturating_sub(REPORTABLE_DAYS * DAY_SECONDS))
}

/// The number of seconds by which a device's clock may be ahead of the server's, which is more than
/// any time zone. Operations counted in a slot after that are billed like all others, but no device
/// counts as active in such a slot, because the slot is still to come.
pub const AHEAD_SECONDS_MAX: u64 = DAY_SECONDS;

/// Return the last slot in which a device can have been active at an instant.
#[must_use]
pub fn last_open_slot(now: u64) -> u32 {
    slot_of(now.saturating_add(AHEAD_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_can_be_reported_for_402_days_and_a_day_ahead() {
        let midnight = 20_833 * DAY_SECONDS;
        let first_of_day = 20_833 * 480;
        assert_eq!(first_open_slot(midnight), first_of_day - 402 * 480);
        assert_eq!(first_open_slot(midnight + 179), first_of_day - 402 * 480);
        assert_eq!(first_open_slot(midnight + 180), first_of_day - 402 * 480 + 1);
        assert_eq!(last_open_slot(midnight), first_of_day + 480);
        assert_eq!(last_open_slot(midnight + 179), first_of_day + 480);
        assert_eq!(last_open_slot(midnight + 180), first_of_day + 480 + 1);
        assert_eq!(first_open_slot(5), 0);
        assert!(last_open_slot(u64::MAX) > last_open_slot(midnight));
    }
}
