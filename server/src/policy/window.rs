//! The window of a seat: the time for which a device keeps it after its last contact.
//!
//! ```text
//!   authorized or reported at t          min(t + W, expiry)
//! ───────────┼────────── holds its seat ──────┼── free ──▶
//! ```
//!
//! The edge belongs to the period after it: at the instant itself, the seat is free. A device that
//! is authorized in the 7 days of grace after the item's expiry keeps its seat until the grace
//! ends. After the grace, it can no longer be authorized.

use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};

/// Return the instant until which a device keeps its seat after a contact now, in Unix seconds.
#[must_use]
pub fn seat_until(item: &LicenseItem, now: u64) -> u64 {
    let end = if now < item.expires_at { item.expires_at } else { item.grace_ends_at() };
    now.saturating_add(u64::from(item.window_days()) * DAY_SECONDS).min(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::item_check::WINDOWS_DAYS;

    #[test]
    fn a_seat_lasts_a_window_but_not_beyond_the_expiry() {
        let day = DAY_SECONDS;
        let expiry = 1_000 * day;
        let item = |days| LicenseItem {
            window_days: Some(days),
            ..LicenseItem::new("item", ChargeWay::ActiveDevice, 1, 0, expiry)
        };
        for days in WINDOWS_DAYS {
            let (item, window) = (item(days), u64::from(days) * day);
            for (now, expected) in [
                (5, 5 + window),
                (expiry - window - 1, expiry - 1),
                (expiry - window, expiry),
                (expiry - window + 1, expiry),
                (expiry - 1, expiry),
            ] {
                assert_eq!(seat_until(&item, now), expected, "{days} days, at {now}");
            }
        }
        assert_eq!(seat_until(&item(90), expiry), expiry + 7 * day, "in the grace, until it ends");
        assert_eq!(seat_until(&item(1), expiry), expiry + day);
        assert_eq!(seat_until(&item(90), u64::MAX), expiry + 7 * day);
    }

    #[test]
    fn a_device_has_ninety_days_and_a_server_one_unless_the_item_says_otherwise() {
        let until = |way| seat_until(&LicenseItem::new("item", way, 1, 0, 1_000 * DAY_SECONDS), 0);
        assert_eq!(until(ChargeWay::ClientDevice), 90 * DAY_SECONDS);
        assert_eq!(until(ChargeWay::ActiveDevice), 90 * DAY_SECONDS);
        assert_eq!(until(ChargeWay::Server), DAY_SECONDS);
    }
}
