//! Replay under the charge ways that give each device a seat for a window: client devices, active
//! devices and servers.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::grace::{DEVICE_GRACE_PERCENT, quota_for_limit};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::slot_start;

use crate::error::Refusal;
use crate::planner::Outcome;
use crate::planner::history::History;
use crate::policy::charge_way::{per_client_device, per_server};
use crate::policy::device_seats::Taking;
use crate::policy::holders::{Hold, Holders, Occupied};

/// Replay a history under an item for client devices, active devices or servers.
#[must_use]
pub fn replay(history: &History, item: &LicenseItem) -> Outcome {
    let is_server = item.charge_way == ChargeWay::Server;
    let unlimited = run(history, &LicenseItem { quota: u64::MAX, ..item.clone() });
    let asked = run(history, item);
    Outcome {
        what: if is_server { "servers" } else { "devices" }.to_owned(),
        quota: item.quota,
        peak: unlimited.peak,
        peak_slot: unlimited.peak_slot,
        refused: asked.refused,
        first_refused_slot: asked.first_refused_slot,
        smallest_quota: if is_server {
            unlimited.peak
        } else {
            quota_for_limit(unlimited.peak, DEVICE_GRACE_PERCENT)
        },
        years: Vec::new(),
    }
}

#[derive(Default)]
struct Run {
    peak: u64,
    peak_slot: Option<u32>,
    refused: u64,
    first_refused_slot: Option<u32>,
}

fn run(history: &History, item: &LicenseItem) -> Run {
    let (mut run, mut holders) = (Run::default(), Holders::default());
    for (slot, device) in history.visits() {
        let now = slot_start(slot);
        let occupied = holders.occupied(device, now);
        match decide(item, &occupied, now) {
            Ok((_, hold)) => {
                holders.hold(device, hold);
                let seats = occupied.by_others + hold.seats;
                if seats > run.peak {
                    (run.peak, run.peak_slot) = (seats, Some(slot));
                }
            }
            Err(_) => {
                run.refused += 1;
                run.first_refused_slot.get_or_insert(slot);
            }
        }
    }
    run
}

fn decide(item: &LicenseItem, occupied: &Occupied, now: u64) -> Result<(Taking, Hold), Refusal> {
    match item.charge_way {
        ChargeWay::Server => per_server::decide(DeploymentType::Server, item, occupied, now),
        _ => per_client_device::decide(item, occupied, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::history::of_visits;
    use proptest::prelude::*;
    use seatmeter_protocol::slot::SLOTS_PER_DAY;

    const DAY: u32 = SLOTS_PER_DAY as u32;

    fn item(charge_way: ChargeWay, quota: u64, days: u32) -> LicenseItem {
        let plain = LicenseItem::new("plan", charge_way, quota, 0, u64::MAX);
        LicenseItem { window_days: Some(days), ..plain }
    }

    #[test]
    fn devices_that_follow_one_another_need_one_seat_in_a_small_window_and_many_in_a_large_one() {
        // A new device comes each day for 20 days.
        let history = of_visits((0..20).map(|day| (day * DAY, day)));
        let outcome = replay(&history, &item(ChargeWay::ActiveDevice, 10, 30));
        assert_eq!((outcome.peak, outcome.peak_slot), (20, Some(19 * DAY)));
        // The limit is 10 and a grace of 1: the devices of days 11 to 19 are refused.
        assert_eq!((outcome.refused, outcome.first_refused_slot), (9, Some(11 * DAY)));
        assert_eq!(outcome.smallest_quota, 18, "18 and a grace of 2");
        let daily = replay(&history, &item(ChargeWay::ActiveDevice, 1, 1));
        assert_eq!((daily.peak, daily.refused, daily.smallest_quota), (1, 0, 1));
        let servers = replay(&history, &item(ChargeWay::Server, 10, 30));
        assert_eq!((servers.refused, servers.smallest_quota), (10, 20), "servers have no grace");
    }

    proptest! {
        #[test]
        fn the_smallest_quota_refuses_nobody_and_one_less_somebody(
            visits in prop::collection::vec((0..3 * DAY, 0..30_u32), 1..150),
            way in prop::sample::select(&[ChargeWay::ActiveDevice, ChargeWay::Server][..]),
        ) {
            let history = of_visits(visits);
            let smallest = replay(&history, &item(way, 1, 1)).smallest_quota;
            prop_assert_eq!(replay(&history, &item(way, smallest, 1)).refused, 0);
            prop_assert!(smallest == 1 || replay(&history, &item(way, smallest - 1, 1)).refused > 0);
        }
    }
}
