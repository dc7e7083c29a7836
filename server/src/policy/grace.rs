//! Grace above a quota: a percentage of N, rounded half up, in integers.
//!
//! `round(p % · N) = floor((p·N + 50) / 100)`: exact for every N, where a float would be off by one
//! for some.

/// Scans and pages: `round(5 % · N)`.
pub const METERED_GRACE_PERCENT: u32 = 5;

/// Client devices: `round(10 % · N)`.
pub const DEVICE_GRACE_PERCENT: u32 = 10;

/// `round(percent % · quota)`, half up.
#[must_use]
pub fn grace(quota: u64, percent: u32) -> u64 {
    let rounded = (u128::from(quota) * u128::from(percent) + 50) / 100;
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// N with its grace.
#[must_use]
pub fn limit(quota: u64, percent: u32) -> u64 {
    quota.saturating_add(grace(quota, percent))
}

/// The smallest N whose limit is at least this.
#[must_use]
pub fn quota_for_limit(wanted: u64, percent: u32) -> u64 {
    // Without rounding N = wanted·100 / (100 + percent); rounding moves the limit by less than 1,
    // so that N is off by 1 at most, and the limit never falls when N grows.
    let near = u128::from(wanted) * 100 / u128::from(100 + percent);
    let near = u64::try_from(near).unwrap_or(u64::MAX);
    let candidates = near.saturating_sub(1)..=near.saturating_add(1);
    candidates.into_iter().find(|quota| limit(*quota, percent) >= wanted).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A fraction of whole numbers, rounded by its definition: up when what is left over is half or
    /// more.
    fn rounded_half_up(numerator: u64, denominator: u64) -> u64 {
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        if 2 * rest >= denominator { whole + 1 } else { whole }
    }

    #[test]
    fn five_and_ten_percent_are_rounded_half_up_for_every_small_quota() {
        for quota in 1..=100 {
            // 5 % = 1/20, 10 % = 1/10.
            assert_eq!(
                grace(quota, METERED_GRACE_PERCENT),
                rounded_half_up(quota, 20),
                "5 % of {quota}"
            );
            assert_eq!(
                grace(quota, DEVICE_GRACE_PERCENT),
                rounded_half_up(quota, 10),
                "10 % of {quota}"
            );
        }
    }

    #[test]
    fn the_edges_of_rounding_are_where_one_expects_them() {
        for (quota, five, ten) in [
            (0, 0, 0),
            (4, 0, 0),
            (5, 0, 1),
            (9, 0, 1),
            (10, 1, 1),
            (14, 1, 1),
            (15, 1, 2),
            (29, 1, 3),
            (30, 2, 3),
        ] {
            assert_eq!((grace(quota, 5), grace(quota, 10)), (five, ten), "N = {quota}");
        }
        assert_eq!(limit(u64::MAX, 10), u64::MAX);
    }

    proptest! {
        #[test]
        fn the_quota_for_a_limit_is_the_smallest_that_reaches_it(wanted in 0..3_000_000_u64, percent in 0..=10_u32) {
            let quota = quota_for_limit(wanted, percent);
            prop_assert!(limit(quota, percent) >= wanted);
            prop_assert!(quota == 0 || limit(quota - 1, percent) < wanted);
        }
    }
}
