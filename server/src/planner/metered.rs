//! Replay under the metered charge ways: scans, and pages of a module.
//!
//! A device makes a request at the start of each slot in which it counts. From the slot on at whose
//! start N and its grace are used, nothing more is counted.

use seatmeter_protocol::grace::{METERED_GRACE_PERCENT, quota_for_limit};

use crate::planner::Outcome;
use crate::policy::metered::{Standing, standing};
use crate::policy::slot_sums::SlotSums;

/// Replay the counts of each slot against one quota.
#[must_use]
pub fn replay(counted: &SlotSums, what: String, quota: u64) -> Outcome {
    let (mut used, mut refused, mut first_refused_slot) = (0_u64, 0_u64, None);
    let (mut in_all, mut before_last) = (0_u64, 0_u64);
    let mut last_slot = None;
    for (slot, more) in counted.iter() {
        (before_last, last_slot) = (in_all, Some(slot));
        in_all = in_all.saturating_add(more);
        if standing(used, quota) == Standing::UsedUp {
            refused = refused.saturating_add(more);
            first_refused_slot.get_or_insert(slot);
        } else {
            used = used.saturating_add(more);
        }
    }
    Outcome {
        what,
        quota,
        peak: in_all,
        peak_slot: last_slot,
        refused,
        first_refused_slot,
        // N and its grace must be above the use at the start of the last slot.
        smallest_quota: match last_slot {
            Some(_) => quota_for_limit(before_last.saturating_add(1), METERED_GRACE_PERCENT),
            None => 0,
        },
        years: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums(counted: &[(u32, u64)]) -> SlotSums {
        let mut sums = SlotSums::default();
        for (slot, more) in counted {
            sums.add(*slot, *more);
        }
        sums
    }

    #[test]
    fn counting_ends_with_the_slot_in_which_quota_and_grace_are_used_up() {
        let counted = sums(&[(1, 100), (2, 4), (3, 50), (9, 6)]);
        let outcome = replay(&counted, "scans".into(), 100);
        assert_eq!((outcome.peak, outcome.peak_slot), (160, Some(9)));
        assert_eq!((outcome.refused, outcome.first_refused_slot), (6, Some(9)));
        // 154 are used when the last slot begins. The limit of 148 and its grace of 7 is 155, which
        // is more.
        assert_eq!(outcome.smallest_quota, 148);
        assert_eq!(replay(&sums(&[]), "scans".into(), 5).smallest_quota, 0);
    }

    proptest! {
        #[test]
        fn the_smallest_quota_refuses_nobody_and_one_less_somebody(
            counted in prop::collection::vec((0..40_u32, 1..500_u64), 1..30),
        ) {
            let counted = sums(&counted);
            let refused = |quota| replay(&counted, String::new(), quota).refused;
            let smallest = replay(&counted, String::new(), 0).smallest_quota;
            prop_assert_eq!(refused(smallest), 0);
            prop_assert!(smallest == 0 || refused(smallest - 1) > 0);
        }
    }
}
