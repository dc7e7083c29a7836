//! The rule that scans and pages have in common: a quota that is used up once, with a grace of 5 %.
//!
//! | used | state | a device that asks |
//! | --- | --- | --- |
//! | below N | within | is served |
//! | N … N + grace − 1 | in grace | is served; the operator is informed |
//! | N + grace or more | used up | is refused, -20120 |
//!
//! Performed operations are always booked, even above the limit: a refusal stops devices, but
//! erases nothing.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::grace::{METERED_GRACE_PERCENT, grace, limit};
use seatmeter_protocol::message::ProblemNumbers;

use crate::error::Refusal;

/// The degree to which a quota is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Fewer than N are used.
    Within,
    /// N or more are used, and devices are still served.
    InGrace,
    /// N and the grace are used.
    UsedUp,
}

/// Return how far `quota` is used.
#[must_use]
pub fn standing(used: u64, quota: u64) -> Standing {
    if used >= limit(quota, METERED_GRACE_PERCENT) {
        Standing::UsedUp
    } else if used >= quota {
        Standing::InGrace
    } else {
        Standing::Within
    }
}

/// Return the standing of `noun` (such as "scans") of an item, unless the quota is used up.
///
/// # Errors
/// Returns -20120 when N and its grace are used.
pub fn decide(item_id: &str, noun: &str, used: u64, quota: u64) -> Result<Standing, Refusal> {
    let standing = standing(used, quota);
    if standing != Standing::UsedUp {
        return Ok(standing);
    }
    Err(Refusal::with_numbers(
        ErrorCode::USED_UP,
        format!(
            "item \"{item_id}\": {used} {noun} are used, of {quota} and a grace of {}; buy more, \
             or ask your vendor",
            grace(quota, METERED_GRACE_PERCENT)
        ),
        ProblemNumbers {
            quota,
            used,
            grace: grace(quota, METERED_GRACE_PERCENT),
            ..ProblemNumbers::default()
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_holds_on_both_sides_of_each_edge() {
        for (quota, used, expected) in [
            (100, 0, Standing::Within),
            (100, 99, Standing::Within),
            (100, 100, Standing::InGrace),
            (100, 104, Standing::InGrace),
            (100, 105, Standing::UsedUp),
            (100, 106, Standing::UsedUp),
            // round(0.45) = 0: the item has no grace, thus no state between within and used up.
            (9, 8, Standing::Within),
            (9, 9, Standing::UsedUp),
            (0, 0, Standing::UsedUp),
            (u64::MAX, u64::MAX - 1, Standing::Within),
        ] {
            assert_eq!(standing(used, quota), expected, "{used} of {quota}");
        }
    }

    #[test]
    fn a_refusal_says_how_much_is_used() {
        assert_eq!(decide("i", "scans", 104, 100), Ok(Standing::InGrace));
        let refusal = decide("i", "scans", 105, 100).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::USED_UP);
        let numbers = refusal.numbers.unwrap_or_default();
        assert_eq!((numbers.used, numbers.quota, numbers.grace), (105, 100, 5));
        assert!(
            refusal.detail.contains("105 scans are used, of 100 and a grace of 5"),
            "{}",
            refusal.detail
        );
    }
}
