//! Replay under the concurrent charge ways: slot by slot, with an overuse budget.
//!
//! In an overused slot, N limits how many devices are served, and the others are refused; the slot
//! then has no excess. It does not matter which devices are served, because each requests the same
//! number of seats.

use crate::planner::history::History;
use crate::planner::{Outcome, YearOutcome};
use crate::policy::license_year::LicenseYear;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::slot_sums::SlotSums;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::slot_start;

/// The item to try, and the facts that an export does not contain.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The item; its quota is the N to try.
    pub item: LicenseItem,
    /// The name of what is counted, in the plural.
    pub what: &'static str,
    /// The number x of seats that every device requests; 1 under concurrent devices.
    pub seats: u32,
}

/// Replay a history.
#[must_use]
pub fn replay(history: &History, trial: &Trial) -> Outcome {
    let seats = u64::from(trial.seats);
    let (peak_slot, peak) =
        history.active().iter().fold((None, 0), |(slot, most), (at, devices)| {
            if devices > most { (Some(at), devices) } else { (slot, most) }
        });
    let peak = peak.saturating_mul(seats);
    let asked = run(history.active(), trial, trial.item.quota);
    Outcome {
        what: trial.what.to_owned(),
        quota: trial.item.quota,
        peak,
        peak_slot,
        refused: asked.refused,
        first_refused_slot: asked.first_refused_slot,
        smallest_quota: smallest_quota(history.active(), trial, peak),
        years: asked.years,
    }
}

/// Return the smallest N without a refusal. With N at the peak, there is no refusal. A greater N
/// never has more excess, nor a smaller budget.
fn smallest_quota(active: &SlotSums, trial: &Trial, peak: u64) -> u64 {
    let (mut too_small, mut enough) =
        (u64::from(trial.seats).saturating_sub(1), peak.max(trial.seats.into()));
    while enough - too_small > 1 {
        let middle = too_small + (enough - too_small) / 2;
        if run(active, trial, middle).refused == 0 { enough = middle } else { too_small = middle }
    }
    enough
}

#[derive(Default)]
struct Run {
    refused: u64,
    first_refused_slot: Option<u32>,
    years: Vec<YearOutcome>,
}

fn run(active: &SlotSums, trial: &Trial, quota: u64) -> Run {
    let rule = OveruseRule::of(&LicenseItem { quota, ..trial.item.clone() });
    let seats = u64::from(trial.seats);
    let mut run = Run::default();
    let mut year: Option<(LicenseYear, YearOutcome)> = None;
    for (slot, devices) in active.iter() {
        let at = slot_start(slot);
        let (bounds, outcome) = match &mut year {
            Some((bounds, outcome)) if at < bounds.ends_at => (bounds, outcome),
            other => {
                run.years.extend(other.take().map(|(_, outcome)| outcome));
                let bounds = rule.year(at);
                let outcome = YearOutcome {
                    year: bounds.index,
                    starts_at: bounds.starts_at,
                    excess: 0,
                    budget: 0,
                    ran_out_after_slot: None,
                };
                let (bounds, outcome) = other.insert((bounds, outcome));
                (bounds, outcome)
            }
        };
        outcome.budget = rule.budget_in(bounds, at);
        // A device that requests more than N is refused by every item of this size, overused or
        // not.
        let is_overused = outcome.excess > outcome.budget || seats > quota;
        if is_overused {
            let refused = devices - devices.min(quota / seats.max(1));
            run.refused += refused;
            if refused > 0 {
                run.first_refused_slot.get_or_insert(slot);
            }
            continue;
        }
        outcome.excess =
            outcome.excess.saturating_add(excess(devices.saturating_mul(seats), quota));
        if outcome.excess > outcome.budget {
            outcome.ran_out_after_slot.get_or_insert(slot);
        }
    }
    run.years.extend(year.map(|(_, outcome)| outcome));
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::history::of_visits;
    use proptest::prelude::*;
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::slot::slot_of;

    const START: u64 = 1_800_000_000;

    fn trial(quota: u64, seats: u32) -> Trial {
        let item = LicenseItem::new("plan", ChargeWay::ConcurrentInstance, quota, START, u64::MAX);
        Trial { item, what: "instances", seats }
    }

    #[test]
    fn the_worked_example_runs_out_after_slot_112() {
        let first = slot_of(START);
        let history =
            of_visits((0..200).flat_map(|slot| (0..10).map(move |server| (first + slot, server))));
        let outcome = replay(&history, &trial(10, 10));
        assert_eq!((outcome.peak, outcome.peak_slot), (100, Some(first)));
        assert_eq!(outcome.years.len(), 1);
        let year = outcome.years[0];
        assert_eq!(
            (year.excess, year.budget, year.ran_out_after_slot),
            (10_080, 10_000, Some(first + 111))
        );
        assert_eq!(outcome.first_refused_slot, Some(first + 112));
        assert_eq!(
            outcome.refused,
            88 * 9,
            "one of ten servers is served in each of the other 88 slots"
        );
        // The bound is 200·(100 − N) ≤ 1 000·N, but the last slot's own excess causes no refusal:
        // 199·(100 − N) ≤ 1 000·N.
        assert_eq!(outcome.smallest_quota, 17);
    }

    #[test]
    fn a_new_license_year_has_a_fresh_budget() {
        let turn = slot_of(LicenseYear::of(START, START).ends_at);
        let history = of_visits(
            (turn - 3..turn + 2).flat_map(|slot| (0..3).map(move |device| (slot, device))),
        );
        let mut small = trial(1, 1);
        small.item.overuse_budget = Some(3);
        let outcome = replay(&history, &small);
        let years: Vec<_> =
            outcome.years.iter().map(|y| (y.year, y.excess, y.ran_out_after_slot)).collect();
        // The excess is 2 for each slot: 2, then 4 > 3, then refused; then it starts from 0 again.
        assert_eq!(years, [(0, 4, Some(turn - 2)), (1, 4, Some(turn + 1))]);
        assert_eq!((outcome.refused, outcome.first_refused_slot), (2, Some(turn - 1)));
    }

    #[test]
    fn devices_that_ask_for_more_than_there_is_are_all_refused() {
        let outcome = replay(&of_visits([(5, 1), (6, 1)]), &trial(3, 4));
        assert_eq!((outcome.refused, outcome.smallest_quota), (2, 4));
        assert_eq!(replay(&History::default(), &trial(3, 1)).smallest_quota, 1);
    }

    proptest! {
        #[test]
        fn the_smallest_quota_refuses_nobody_and_one_less_somebody(
            visits in prop::collection::vec((slot_of(START)..slot_of(START) + 30, 0..12_u32), 1..150),
            budget in prop::option::of(0..40_u64),
            growth in 0..3_u64,
            seats in 1..4_u32,
        ) {
            let history = of_visits(visits);
            let with = |quota| {
                let mut trial = trial(quota, seats);
                trial.item.overuse_budget = budget;
                trial.item.overuse_growth_per_day = growth;
                replay(&history, &trial)
            };
            let smallest = with(1).smallest_quota;
            prop_assert_eq!(with(smallest).refused, 0);
            prop_assert!(smallest == u64::from(seats) || with(smallest - 1).refused > 0);
        }
    }
}
