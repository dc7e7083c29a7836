//! The periods in which an item and a local license are valid.
//!
//! ```text
//!       starts_at               expires_at        + 7 days
//! -20112 │        in effect         │    grace       │ -20111
//! ───────┼──────────────────────────┼────────────────┼────────▶
//! ```
//!
//! Each edge belongs to the period after it. In the grace, the item works as before; the local
//! license carries the expiry, so that the device can warn.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{DAY_SECONDS, EXPIRY_GRACE_DAYS, LicenseItem};
use seatmeter_protocol::slot::SLOT_SECONDS;

use crate::error::Refusal;
use crate::utc;

/// The least number of days without contact that a device is given, however few it requests.
pub const BUFFER_DAYS_MIN: u32 = 7;

/// 2020-01-01T00:00:00Z in Unix seconds. Serials begin here, so that they fit 32 bits until 2156.
const SERIAL_EPOCH: u64 = 1_577_836_800;

/// Check that the item may be used now.
///
/// # Errors
/// Returns -20112 before the item starts, and -20111 once the grace is over.
pub fn in_effect(item: &LicenseItem, now: u64) -> Result<(), Refusal> {
    if now < item.starts_at {
        let detail = format!(
            "item \"{}\" is good from {}: wait until then, or ask your vendor",
            item.item_id,
            utc::text(item.starts_at)
        );
        return Err(Refusal::new(ErrorCode::NOT_YET_IN_EFFECT, detail));
    }
    if now >= item.grace_ends_at() {
        let detail = format!(
            "item \"{}\" expired at {}, and its grace of {EXPIRY_GRACE_DAYS} days is over since \
             {}; ask your \
             vendor to renew it",
            item.item_id,
            utc::text(item.expires_at),
            utc::text(item.grace_ends_at()),
        );
        return Err(Refusal::new(ErrorCode::EXPIRED, detail));
    }
    Ok(())
}

/// Return the instant until which a device may work without contact. The device gets the days that
/// it requests, but at least 7 days. It gets no more than the item's offline days, of which 0 means
/// one slot, and nothing beyond the grace after the item's expiry.
#[must_use]
pub fn valid_until(item: &LicenseItem, buffer_days: u32, now: u64) -> u64 {
    let days = buffer_days.max(BUFFER_DAYS_MIN).min(item.offline_days);
    let seconds = if days == 0 { SLOT_SECONDS } else { u64::from(days) * DAY_SECONDS };
    now.saturating_add(seconds).min(item.grace_ends_at())
}

/// Return the serial of the next local license for a device and item. It is greater than the last
/// serial, and at least the time. A server that was restored from a backup does not know its last
/// serials, but it knows the time.
#[must_use]
pub fn next_serial(newest: u32, now: u64) -> u32 {
    let by_time = u32::try_from(now.saturating_sub(SERIAL_EPOCH)).unwrap_or(u32::MAX);
    newest.saturating_add(1).max(by_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START, item};

    #[test]
    fn an_item_begins_and_ends_on_the_second() {
        let end = EXPIRY + 7 * 86_400;
        for (now, expected) in [
            (0, Some(ErrorCode::NOT_YET_IN_EFFECT)),
            (START - 1, Some(ErrorCode::NOT_YET_IN_EFFECT)),
            (START, None),
            (START + 1, None),
            (EXPIRY - 1, None),
            (EXPIRY, None),
            (EXPIRY + 1, None),
            (end - 1, None),
            (end, Some(ErrorCode::EXPIRED)),
            (end + 1, Some(ErrorCode::EXPIRED)),
            (u64::MAX, Some(ErrorCode::EXPIRED)),
        ] {
            assert_eq!(
                in_effect(&item(4), now).err().map(|refusal| refusal.code),
                expected,
                "at {now}"
            );
        }
    }

    #[test]
    fn a_local_license_lasts_as_long_as_asked_within_its_bounds() {
        let with_offline_days = |offline_days| LicenseItem { offline_days, ..item(4) };
        let day = DAY_SECONDS;
        for (offline_days, asked, now, expected) in [
            (30, 0, START, START + 7 * day),
            (30, 7, START, START + 7 * day),
            (30, 8, START, START + 8 * day),
            (30, 31, START, START + 30 * day),
            (30, u32::MAX, START, START + 30 * day),
            (1, 7, START, START + day),
            (0, 7, START, START + SLOT_SECONDS),
            (30, 7, EXPIRY - 1, EXPIRY - 1 + 7 * day),
            (30, 7, EXPIRY, EXPIRY + 7 * day),
            (30, 7, EXPIRY + 1, EXPIRY + 7 * day),
            (30, 30, EXPIRY - 23 * day - 1, EXPIRY + 7 * day - 1),
            (30, 30, EXPIRY - 23 * day + 1, EXPIRY + 7 * day),
            (30, 7, u64::MAX, EXPIRY + 7 * day),
        ] {
            let got = valid_until(&with_offline_days(offline_days), asked, now);
            assert_eq!(got, expected, "offline days {offline_days}, asked {asked}, at {now}");
        }
    }

    #[test]
    fn a_serial_grows_within_a_second_and_after_a_restore() {
        let by_time = u32::try_from(START - SERIAL_EPOCH).unwrap();
        assert_eq!(next_serial(0, START), by_time);
        assert_eq!(next_serial(by_time, START), by_time + 1);
        assert_eq!(next_serial(by_time + 1, START + 1), by_time + 2);
        // The order of grants still holds when the clock was set back.
        assert_eq!(next_serial(by_time + 2, START - 1_000), by_time + 3);
        assert_eq!(next_serial(u32::MAX, u64::MAX), u32::MAX);
        assert_eq!(next_serial(0, 0), 1);
    }
}
