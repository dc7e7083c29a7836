//! Grace above a quota: a percentage of N, rounded half up, in integers.
//!
//! `round(p % · N) = floor((p·N + 50) / 100)` is exact for every N; a float would be off by one for
//! some N.

/// The grace of scans and pages, in percent: `round(5 % · N)`.
pub const METERED_GRACE_PERCENT: u32 = 5;

/// The grace of client devices, in percent: `round(10 % · N)`.
pub const DEVICE_GRACE_PERCENT: u32 = 10;

/// Return `round(percent % · quota)`, rounded half up.
#[must_use]
pub fn grace(quota: u64, percent: u32) -> u64 {
    let rounded = (u128::from(quota) * u128::from(percent) + 50) / 100;
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// Return N plus its grace.
#[must_use]
pub fn limit(quota: u64, percent: u32) -> u64 {
    quota.saturating_add(grace(quota, percent))
}

/// Return the smallest N with a limit of at least `wanted`.
#[must_use]
pub fn quota_for_limit(wanted: u64, percent: u32) -> u64 {
    // Without rounding, N = wanted·100 / (100 + percent). Rounding moves the limit by less than 1,
    // so N is off by 1 at most, and the limit never falls when N grows.
    let near = u128::from(wanted) * 100 / u128::from(100 + percent);
    let near = u64::try_from(near).unwrap_or(u64::MAX);
    let candidates = near.saturating_sub(1)..=near.saturating_add(1);
    candidates.into_iter().find(|quota| limit(*quota, percent) >= wanted).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Return a fraction of whole numbers, rounded by the definition: up when the remainder is half
    /// or more.
    fn rounded_half_up(numerator: u64, denominator: u64) -> u64 {
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        if 2 * rest >= denominator { whole + 1 } else { whole }
    }

    #[test]
    fn five_and_ten_percent_are_rounded_half_up_for_every_small_quota() {
        for quota in 1..=100 {
            // 5 % is 1/20, and 10 % is 1/10.
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
