//! The overuse budget of the concurrent charge ways.
//!
//! In each slot, an item may be used above N; the use above N is the slot's *excess*. The excess of
//! a license year is set against a budget. The budget is 1000·N unless the item says otherwise,
//! plus the item's daily growth for each whole day of the license year that is over. Each license
//! year begins with a fresh budget and no excess.
//!
//! | excess of the license year so far | state | authorizations |
//! | --- | --- | --- |
//! | ≤ budget of this instant | free | none is refused |
//! | > budget of this instant | overused | N at a time, see [`crate::policy::running`] |
//!
//! "So far" means the slots that have ended: an item becomes overused between two slots, never
//! within one. The state is a function of one sum and the time, so the order in which slots are
//! reported does not matter. Where a budget grows, an item that was overused is free again once the
//! budget has caught up with the excess; otherwise it is overused until the license year ends.

use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};

use crate::policy::license_year::LicenseYear;

/// Return `max(0, active − N)`, the excess of a slot; `active` counts devices or instances.
#[must_use]
pub fn excess(active: u64, quota: u64) -> u64 {
    active.saturating_sub(quota)
}

/// The settings of an item that decide about overuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OveruseRule {
    /// The quota N.
    pub quota: u64,
    /// The budget with which a license year begins.
    pub budget: u64,
    /// The growth of the budget for each day of the license year.
    pub growth_per_day: u64,
    /// The start of the item, Unix seconds.
    pub item_starts_at: u64,
}

impl OveruseRule {
    /// Return the rule of an item.
    #[must_use]
    pub fn of(item: &LicenseItem) -> Self {
        Self {
            quota: item.quota,
            budget: item.overuse_budget(),
            growth_per_day: item.overuse_growth_per_day,
            item_starts_at: item.starts_at,
        }
    }

    /// Return the license year that holds an instant.
    #[must_use]
    pub fn year(&self, at: u64) -> LicenseYear {
        LicenseYear::of(self.item_starts_at, at)
    }

    /// Return the budget of the license year, as far as it has grown at this instant.
    #[must_use]
    pub fn budget_at(&self, at: u64) -> u64 {
        self.budget_in(&self.year(at), at)
    }

    /// Return [`Self::budget_at`] for a license year that the caller already knows.
    pub(crate) fn budget_in(&self, year: &LicenseYear, at: u64) -> u64 {
        let days = at.saturating_sub(year.starts_at) / DAY_SECONDS;
        self.budget.saturating_add(self.growth_per_day.saturating_mul(days))
    }

    /// Return whether the item is overused at this instant, with this excess in its license year so
    /// far.
    #[must_use]
    pub fn is_overused(&self, excess_of_year: u64, at: u64) -> bool {
        excess_of_year > self.budget_at(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{START, item};

    #[test]
    fn excess_is_what_is_above_the_quota() {
        for (active, quota, expected) in
            [(0, 10, 0), (9, 10, 0), (10, 10, 0), (11, 10, 1), (100, 10, 90)]
        {
            assert_eq!(excess(active, quota), expected, "{active} of {quota}");
        }
    }

    #[test]
    fn an_item_is_overused_when_its_excess_is_above_the_budget() {
        let rule = OveruseRule::of(&item(10));
        assert_eq!(rule.budget_at(START), 10_000);
        assert!(!rule.is_overused(0, START));
        assert!(!rule.is_overused(10_000, START));
        assert!(rule.is_overused(10_001, START));
    }

    #[test]
    fn a_budget_grows_at_the_end_of_each_day_and_begins_anew_each_license_year() {
        let rule = OveruseRule { growth_per_day: 7, ..OveruseRule::of(&item(1)) };
        let year = rule.year(START).ends_at;
        for (at, expected) in [
            (START - 1, 1_000),
            (START, 1_000),
            (START + DAY_SECONDS - 1, 1_000),
            (START + DAY_SECONDS, 1_007),
            (START + DAY_SECONDS + 1, 1_007),
            (START + 2 * DAY_SECONDS, 1_014),
            (year - 1, 1_000 + 7 * 364),
            (year, 1_000),
            (year + DAY_SECONDS, 1_007),
        ] {
            assert_eq!(rule.budget_at(at), expected, "{} s after the start", at - START.min(at));
        }
        assert!(rule.is_overused(1_001, START + DAY_SECONDS - 1));
        assert!(!rule.is_overused(1_001, START + DAY_SECONDS), "the budget has caught up");
    }

    #[test]
    fn nothing_overflows() {
        let rule = OveruseRule { growth_per_day: u64::MAX, ..OveruseRule::of(&item(u64::MAX)) };
        assert!(!rule.is_overused(u64::MAX, START + 10 * DAY_SECONDS));
    }
}
