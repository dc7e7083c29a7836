//! The account of a concurrent item: which devices were active in each slot.
//!
//! | kept | for | answers |
//! | --- | --- | --- |
//! | slots, and as how many instances in each | each device | "is this new?", so that a repeated or late report changes nothing |
//! | active devices or Σx | each slot | excess, statistics |
//! | excess | each license year | "is the item overused?" |
//!
//! A report says "this device was active in this slot, as x instances". The ledger keeps the
//! maximum for each device and slot; sums and excess are functions of these maxima. Therefore
//! neither the order of reports nor their repetition matters.
//!
//! Once slots can no longer be reported ([`SlotLedger::close_before`]), they are dropped. Their
//! share in the excess of their license year stays. Thus the account does not grow with its
//! history.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use seatmeter_protocol::item_check::OFFLINE_DAYS_MAX;
use seatmeter_protocol::license::{DAY_SECONDS, EXPIRY_GRACE_DAYS, LicenseItem};
use seatmeter_protocol::slot::{slot_of, slot_start};

use crate::policy::active_slots::ActiveSlots;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::slot_sums::SlotSums;

/// The number of days for which a slot can be reported. A device may be offline for a license year
/// at most. Then come the grace after the expiry, and a month in which a device that comes back has
/// to report.
pub const REPORTABLE_DAYS: u64 = OFFLINE_DAYS_MAX as u64 + EXPIRY_GRACE_DAYS + 30;

/// Return the first slot that can still be reported at an instant.
#[must_use]
pub fn first_open_slot(now: u64) -> u32 {
    slot_of(now.saturating_sub(REPORTABLE_DAYS * DAY_SECONDS))
}

/// The number of seconds by which a device's clock may be ahead of the server's, which is more than
/// any time zone. Operations counted in a slot after that are billed like all others, but no device
/// counts as active in such a slot, because the slot is still to come.
pub const AHEAD_SECONDS_MAX: u64 = DAY_SECONDS;

/// Return the last slot in which a device can have been active at an instant.
#[must_use]
pub fn last_open_slot(now: u64) -> u32 {
    slot_of(now.saturating_add(AHEAD_SECONDS_MAX))
}

/// The change that a report has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The slot's sum rose by this number; 0 for a repetition.
    Raised(u32),
    /// The slot is closed, and nothing has changed.
    Closed,
}

/// The account of an item with all its devices.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotLedger<D: Eq + Hash> {
    rule: OveruseRule,
    devices: HashMap<D, ActiveSlots>,
    active: SlotSums,
    excess_of_years: BTreeMap<u32, u64>,
    first_open_slot: u32,
}

impl<D: Eq + Hash> SlotLedger<D> {
    /// Make the account of an item that was not used yet.
    #[must_use]
    pub fn new(item: &LicenseItem) -> Self {
        Self {
            rule: OveruseRule::of(item),
            devices: HashMap::new(),
            active: SlotSums::default(),
            excess_of_years: BTreeMap::new(),
            first_open_slot: 0,
        }
    }

    /// Record that a device was active in a slot, as `count` instances; under a concurrent-device
    /// item, `count` is 1.
    pub fn record(&mut self, device: D, slot: u32, count: u32) -> Recorded {
        if slot < self.first_open_slot {
            return Recorded::Closed;
        }
        let rise = self.devices.entry(device).or_default().raise(slot, count);
        if rise > 0 {
            let (before, after) = self.active.add(slot, u64::from(rise));
            let more = excess(after, self.rule.quota) - excess(before, self.rule.quota);
            if more > 0 {
                *self.excess_of_years.entry(self.rule.year(slot_start(slot)).index).or_default() +=
                    more;
            }
        }
        Recorded::Raised(rise)
    }

    /// Return the number of devices, or Σx, in an open slot.
    #[must_use]
    pub fn active(&self, slot: u32) -> u64 {
        self.active.get(slot)
    }

    /// Return the excess of all slots of a license year, as far as it is known.
    #[must_use]
    pub fn excess_of_year(&self, index: u32) -> u64 {
        self.excess_of_years.get(&index).copied().unwrap_or(0)
    }

    /// Return the excess so far of the license year that holds an instant: the sum over the slots
    /// that have ended by then. A slot that has not ended does not count yet, however early some
    /// devices report.
    #[must_use]
    pub fn excess_so_far(&self, at: u64) -> u64 {
        let year = self.rule.year(at);
        let running =
            self.active.iter_from(slot_of(at)).filter(|(slot, _)| slot_start(*slot) < year.ends_at);
        let not_yet = running.map(|(_, active)| excess(active, self.rule.quota)).sum();
        self.excess_of_year(year.index).saturating_sub(not_yet)
    }

    /// Return whether the item is overused at an instant.
    #[must_use]
    pub fn is_overused_at(&self, at: u64) -> bool {
        self.rule.is_overused(self.excess_so_far(at), at)
    }

    /// Close every slot that began before this instant. The caller does so after the longest time
    /// that a device may be offline, when no report about such a slot can come any more. The excess
    /// of these slots stays in their license year.
    pub fn close_before(&mut self, at: u64) {
        let slot = slot_of(at);
        self.first_open_slot = self.first_open_slot.max(slot);
        self.active.forget_before(slot);
        self.devices.retain(|_, slots| {
            slots.forget_before(slot);
            !slots.is_empty()
        });
    }

    /// Return the number of bytes that the open slots of all devices take when stored, and the
    /// number of those slots.
    #[must_use]
    pub fn stored_bytes_and_slots(&self) -> (usize, u64) {
        let add = |(bytes, slots), device: &ActiveSlots| {
            (bytes + device.stored_bytes(), slots + device.len())
        };
        self.devices.values().fold((0, 0), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{START, item};
    use crate::policy::license_year::LicenseYear;
    use proptest::prelude::*;

    /// A few slots around the end of the first license year, where all edges are near.
    fn slots() -> impl Strategy<Value = u32> {
        turn_slot() - 5..turn_slot() + 5
    }

    fn turn_slot() -> u32 {
        slot_of(LicenseYear::of(START, START).ends_at)
    }

    type Report = (u8, u32, u32);

    fn reports() -> impl Strategy<Value = Vec<Report>> {
        prop::collection::vec((0..6_u8, slots(), 1..4_u32), 0..120)
    }

    fn ledger(quota: u64, reports: &[Report]) -> SlotLedger<u8> {
        let mut ledger = SlotLedger::new(&item(quota));
        for (device, slot, count) in reports {
            ledger.record(*device, *slot, *count);
        }
        ledger
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
        let mut ledger = SlotLedger::new(&item(2));
        assert_eq!(ledger.record("a", 7, 2), Recorded::Raised(2));
        assert_eq!(ledger.record("a", 7, 2), Recorded::Raised(0));
        assert_eq!(ledger.record("a", 7, 1), Recorded::Raised(0));
        assert_eq!(ledger.record("b", 7, 1), Recorded::Raised(1));
        assert_eq!(ledger.record("a", 7, 4), Recorded::Raised(2));
        assert_eq!((ledger.active(7), ledger.active(8)), (5, 0));
        assert_eq!(ledger.excess_of_year(0), 3);
    }

    #[test]
    fn a_late_report_counts_in_its_slot_and_its_license_year() {
        let item = item(1);
        let (last, first) = (turn_slot() - 1, turn_slot());
        let mut ledger = SlotLedger::new(&item);
        for device in 0..4 {
            ledger.record(device, first, 1);
        }
        assert_eq!((ledger.excess_of_year(0), ledger.excess_of_year(1)), (0, 3));
        for device in 0..3 {
            ledger.record(device, last, 1);
        }
        assert_eq!((ledger.excess_of_year(0), ledger.excess_of_year(1)), (2, 3));
    }

    #[test]
    fn closed_slots_keep_their_excess_and_take_no_memory() {
        let mut ledger = SlotLedger::new(&item(1));
        let first = slot_of(START);
        for slot in first..first + 2_000 {
            for device in 0..3 {
                ledger.record(device, slot, 1);
            }
        }
        ledger.close_before(slot_start(first + 1_999));
        assert_eq!(ledger.excess_of_year(0), 4_000);
        assert_eq!(ledger.stored_bytes_and_slots().1, 3);
        assert_eq!(ledger.record(9, first + 1_998, 1), Recorded::Closed);
        assert_eq!(ledger.record(9, first + 1_999, 1), Recorded::Raised(1));
        assert_eq!(ledger.excess_of_year(0), 4_001);
    }

    proptest! {
        #[test]
        fn excess_is_that_of_the_rule(quota in 1..8_u64, reports in reports()) {
            let ledger = ledger(quota, &reports);
            prop_assert_eq!(ledger.excess_of_year(0), excess_by_the_rule(quota, &reports, 0));
            prop_assert_eq!(ledger.excess_of_year(1), excess_by_the_rule(quota, &reports, 1));
            for now in slot_start(turn_slot() - 6)..slot_start(turn_slot() + 6) {
                if now % 60 > 1 && now % 60 < 59 {
                    continue;
                }
                let ended: Vec<_> =
                    reports.iter().copied().filter(|(_, slot, _)| slot_start(*slot + 1) <= now).collect();
                let year = LicenseYear::of(START, now).index;
                prop_assert_eq!(ledger.excess_so_far(now), excess_by_the_rule(quota, &ended, year), "{}", now);
            }
        }

        #[test]
        fn the_order_of_reports_and_their_repetition_do_not_matter(
            quota in 1..8_u64,
            (reports, shuffled) in reports().prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle())),
        ) {
            let mut twice = shuffled.clone();
            twice.extend_from_slice(&reports);
            let (a, b, c) = (ledger(quota, &reports), ledger(quota, &shuffled), ledger(quota, &twice));
            for (device, slot, _) in &reports {
                prop_assert_eq!(a.devices[device].count(*slot), b.devices[device].count(*slot));
                prop_assert_eq!(b.devices[device].count(*slot), c.devices[device].count(*slot));
            }
            prop_assert_eq!((&a.active, &a.excess_of_years), (&b.active, &b.excess_of_years));
            prop_assert_eq!((&a.active, &a.excess_of_years), (&c.active, &c.excess_of_years));
        }

        #[test]
        fn excess_never_falls(quota in 1..8_u64, reports in reports()) {
            let mut ledger = SlotLedger::new(&item(quota));
            let mut before = (0, 0);
            for (device, slot, count) in reports {
                ledger.record(device, slot, count);
                let after = (ledger.excess_of_year(0), ledger.excess_of_year(1));
                prop_assert!(after.0 >= before.0 && after.1 >= before.1);
                before = after;
            }
        }

        #[test]
        fn closing_changes_no_excess_and_nothing_that_is_open(
            quota in 1..8_u64, earlier in reports(), later in reports(), edge in slots(),
        ) {
            let open: Vec<_> = later.into_iter().filter(|(_, slot, _)| *slot >= edge).collect();
            let mut closed = ledger(quota, &earlier);
            closed.close_before(slot_start(edge));
            for (device, slot, count) in &open {
                closed.record(*device, *slot, *count);
            }
            let all = ledger(quota, &[earlier, open].concat());
            prop_assert_eq!(&closed.excess_of_years, &all.excess_of_years);
            for slot in edge..edge + 12 {
                prop_assert_eq!(closed.active(slot), all.active(slot));
            }
        }
    }
}
