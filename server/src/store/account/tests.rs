//! The excess of a concurrent item. A device counts once in a slot, with the highest number that
//! was ever reported for it. The order of reports and repeated reports change nothing.

use std::collections::HashMap;

use proptest::prelude::*;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::slot::SLOT_SECONDS;

use super::*;
use crate::policy::charge_way::per_concurrent_instance::admit;
use crate::policy::fixture::{START, item};
use crate::policy::license_year::LicenseYear;
use crate::policy::running::Running;

/// A device, a slot, and the number of instances that the device counts as.
type Report = (u8, u32, u32);

fn account(quota: u64, reports: &[Report]) -> Account {
    let mut account = Account::of(item(quota).into(), VerifiedFile::of_nobody(), false);
    for report in reports {
        record(&mut account, *report);
    }
    account
}

/// Record a report that comes in its slot. Return by how much the sum of the slot rises.
fn record(account: &mut Account, (device, slot, count): Report) -> u64 {
    let before = active(account, slot);
    let uuid = device.to_string();
    account.device(&uuid).seats = BTreeMap::from([(0, Kept::read(Some(count)))]);
    account.active(&uuid, &BTreeSet::from([slot]), slot_start(slot));
    active(account, slot) - before
}

fn active(account: &Account, slot: u32) -> u64 {
    account.slots.get(&slot).map_or(0, |active| active.value)
}

fn excess_of_year(account: &Account, year: u32) -> u64 {
    account.years.get(&year).map_or(0, |sum| sum.value)
}

/// Return the first slot of the second license year, around which all edges are near.
fn turn_slot() -> u32 {
    slot_of(LicenseYear::of(START, START).ends_at)
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let slots = turn_slot() - 5..turn_slot() + 5;
    prop::collection::vec((0..6_u8, slots, 1..4_u32), 0..120)
}

/// Compute the excess by the rule, anew from all reports.
fn excess_by_the_rule(quota: u64, reports: &[Report], year: u32) -> u64 {
    let mut highest: HashMap<(u8, u32), u32> = HashMap::new();
    for (device, slot, count) in reports {
        let known = highest.entry((*device, *slot)).or_default();
        *known = (*known).max(*count);
    }
    let mut active: HashMap<u32, u64> = HashMap::new();
    for ((_, slot), count) in highest {
        *active.entry(slot).or_default() += u64::from(count);
    }
    let of_year = |slot: &u32| LicenseYear::of(START, slot_start(*slot)).index == year;
    active
        .iter()
        .filter(|(slot, _)| of_year(slot))
        .map(|(_, active)| active.saturating_sub(quota))
        .sum()
}

#[test]
fn a_device_that_is_reported_twice_counts_once_and_with_its_highest_count() {
    let mut account = account(2, &[]);
    let slot = turn_slot() - 1;
    for (device, count, rise) in [(0, 2, 2), (0, 2, 0), (0, 1, 0), (1, 1, 1), (0, 4, 2)] {
        assert_eq!(record(&mut account, (device, slot, count)), rise, "{device} as {count}");
    }
    assert_eq!((active(&account, slot), active(&account, slot + 1)), (5, 0));
    assert_eq!(excess_of_year(&account, 0), 3);
}

#[test]
fn a_late_report_counts_in_its_slot_and_its_license_year() {
    let (last, first) = (turn_slot() - 1, turn_slot());
    let mut account = account(1, &[0, 1, 2, 3].map(|device| (device, first, 1)));
    assert_eq!((excess_of_year(&account, 0), excess_of_year(&account, 1)), (0, 3));
    for device in 0..3 {
        record(&mut account, (device, last, 1));
    }
    assert_eq!((excess_of_year(&account, 0), excess_of_year(&account, 1)), (2, 3));
}

/// The example has N = 10 and ten servers with x = 10, all of them active in every slot.
#[test]
fn the_worked_example_is_overused_after_slot_112() {
    // The item starts at the start of a slot, so that the slots can be counted from it.
    assert_eq!(START % SLOT_SECONDS, 0);
    let first = slot_of(START);
    let mut account = account(10, &[]);
    let ask = |account: &mut Account, server: u8, x: u32, now: u64| {
        let uuid = server.to_string();
        let Candidate { item, state, .. } = account.candidate(&uuid, &uuid, now);
        let running = admit(&item, x, state.excess_of_year, &state.occupied, now);
        if let Ok(Running::PerSlot(hold)) = &running {
            account.set_hold(&uuid, &uuid, Some(*hold));
        }
        running.map_err(|refusal| refusal.code)
    };
    let is_overused = |account: &Account, at: u64| {
        OveruseRule::of(&account.item).is_overused(account.excess_so_far(at), at)
    };
    for number in 1..=112 {
        let slot = first + number - 1;
        for server in 0..10 {
            let running = ask(&mut account, server, 10, slot_start(slot));
            assert_eq!(running, Ok(Running::Free), "nobody is refused");
            record(&mut account, (server, slot, 10));
        }
        assert_eq!(active(&account, slot), 100, "100 in use");
        let end = slot_start(slot + 1);
        assert!(!is_overused(&account, end - 1), "a second before the slot ends");
        assert_eq!(account.excess_so_far(end), u64::from(number) * 90, "90 excess a slot");
        assert_eq!(is_overused(&account, end), number == 112, "after slot {number}");
    }
    // 112 slots of three minutes end 5 h 36 min after the start.
    let overused_at = START + 5 * 3_600 + 36 * 60;
    assert_eq!(slot_start(first + 112), overused_at);
    assert_eq!(account.excess_so_far(overused_at), 10_080);
    let mut come = |server, x| ask(&mut account, server, x, overused_at).map(|_| ());
    assert_eq!(come(3, 10), Ok(()), "one server asks for 10 ...");
    for other in [0, 1, 2, 4, 5, 6, 7, 8, 9] {
        assert_eq!(come(other, 1), Err(ErrorCode::QUOTA_EXCEEDED), "... and the others get none");
    }
    assert_eq!(come(3, 4), Ok(()));
    assert_eq!(come(0, 6), Ok(()), "4 and 6 are 10");
    assert_eq!(come(1, 1), Err(ErrorCode::QUOTA_EXCEEDED));
}

proptest! {
    #[test]
    fn excess_is_that_of_the_rule(quota in 1..8_u64, reports in reports()) {
        let account = account(quota, &reports);
        prop_assert_eq!(excess_of_year(&account, 0), excess_by_the_rule(quota, &reports, 0));
        prop_assert_eq!(excess_of_year(&account, 1), excess_by_the_rule(quota, &reports, 1));
        for now in slot_start(turn_slot() - 6)..slot_start(turn_slot() + 6) {
            if now % 60 > 1 && now % 60 < 59 {
                continue;
            }
            let has_ended = |(_, slot, _): &&Report| slot_start(*slot + 1) <= now;
            let ended: Vec<_> = reports.iter().filter(has_ended).copied().collect();
            let year = LicenseYear::of(START, now).index;
            prop_assert_eq!(
                account.excess_so_far(now),
                excess_by_the_rule(quota, &ended, year),
                "{}",
                now
            );
        }
    }

    #[test]
    fn the_order_of_reports_and_their_repetition_do_not_matter(
        quota in 1..8_u64,
        (reports, shuffled) in reports()
            .prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle())),
    ) {
        let mut twice = shuffled.clone();
        twice.extend_from_slice(&reports);
        let sums = |reports: &[Report]| {
            let Account { devices, slots, years, .. } = account(quota, reports);
            let days: Vec<_> = devices
                .into_iter()
                .map(|(uuid, device)| {
                    let counts = |slots: &Kept<ActiveSlots>| slots.value.iter().collect::<BTreeMap<_, _>>();
                    (uuid, device.days.values().map(counts).collect::<Vec<_>>())
                })
                .collect();
            let slots: Vec<_> = slots.into_iter().map(|(slot, sum)| (slot, sum.value)).collect();
            let years: Vec<_> = years.into_iter().map(|(year, sum)| (year, sum.value)).collect();
            (days, slots, years)
        };
        prop_assert_eq!(sums(&reports), sums(&shuffled));
        prop_assert_eq!(sums(&reports), sums(&twice));
    }

    #[test]
    fn excess_never_falls(quota in 1..8_u64, reports in reports()) {
        let mut account = account(quota, &[]);
        let mut before = (0, 0);
        for report in reports {
            record(&mut account, report);
            let after = (excess_of_year(&account, 0), excess_of_year(&account, 1));
            prop_assert!(after.0 >= before.0 && after.1 >= before.1);
            before = after;
        }
    }
}
