//! The planner's extract of an export: the slots in which each device was active, and the counts of
//! each slot.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::page_module::PAGE_MODULES;

use crate::planner::usage_file::Row;
use crate::policy::active_slots::ActiveSlots;
use crate::policy::slot_sums::{DAY_SLOTS, SlotSums};

/// The greatest number of days from the first slot to the last, which bounds the cost of a wrong
/// slot number in a file.
const DAYS_MAX: u32 = 36_525;

/// The greatest number of devices.
const DEVICES_MAX: usize = 10_000_000;

/// The usage of all devices.
#[derive(Clone, Debug, Default)]
pub struct History {
    numbers: HashMap<String, usize>,
    devices: Vec<ActiveSlots>,
    active: SlotSums,
    scans: SlotSums,
    pages: [SlotSums; PAGE_MODULES.len()],
    span: Option<(u32, u32)>,
}

impl History {
    /// Add a row. The order of rows does not matter.
    ///
    /// # Errors
    /// Returns the reason why the row is invalid, as a clause for a sentence.
    pub fn add(&mut self, row: &Row) -> Result<(), String> {
        if row.total == 0 {
            return Ok(());
        }
        let slot = row.slot;
        let (first, last) = self.span.map_or((slot, slot), |(a, b)| (a.min(slot), b.max(slot)));
        if (last - first) / DAY_SLOTS > DAYS_MAX {
            return Err(format!("slot {slot} is more than {DAYS_MAX} days from another"));
        }
        self.span = Some((first, last));
        let total = u64::try_from(row.total).unwrap_or(u64::MAX);
        let module = PAGE_MODULES.iter().position(|(_, number)| *number == row.what);
        match (row.kind, module) {
            (UsageKind::Scan, _) => _ = self.scans.add(slot, total),
            (UsageKind::Page, Some(module)) => _ = self.pages[module].add(slot, total),
            (UsageKind::Page, None) | (UsageKind::Image, _) => {}
        }
        let device = self.device(&row.device_uuid)?;
        self.active.add(slot, u64::from(self.devices[device].raise(slot, 1)));
        Ok(())
    }

    fn device(&mut self, uuid: &str) -> Result<usize, String> {
        if let Some(number) = self.numbers.get(uuid) {
            return Ok(*number);
        }
        let number = self.devices.len();
        if number == DEVICES_MAX {
            return Err(format!("there are more than {DEVICES_MAX} devices"));
        }
        self.numbers.insert(uuid.to_owned(), number);
        self.devices.push(ActiveSlots::default());
        Ok(number)
    }

    /// Return the first and the last slot with usage.
    #[must_use]
    pub fn span(&self) -> Option<(u32, u32)> {
        self.span
    }

    /// Return the number of devices.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// Return the number of active devices in each slot.
    #[must_use]
    pub fn active(&self) -> &SlotSums {
        &self.active
    }

    /// Return the scans in each slot.
    #[must_use]
    pub fn scans(&self) -> &SlotSums {
        &self.scans
    }

    /// Return the pages in each slot, for each module in the order of [`PAGE_MODULES`].
    #[must_use]
    pub fn pages(&self) -> &[SlotSums; PAGE_MODULES.len()] {
        &self.pages
    }

    /// Return every slot in which a device was active, in order of time, and by device within a
    /// slot.
    pub fn visits(&self) -> impl Iterator<Item = (u32, usize)> {
        let mut slots: Vec<_> = self.devices.iter().map(ActiveSlots::iter).collect();
        let firsts = slots.iter_mut().enumerate();
        let mut next: BinaryHeap<_> =
            firsts.filter_map(|(device, slots)| Some(Reverse((slots.next()?.0, device)))).collect();
        std::iter::from_fn(move || {
            let Reverse((slot, device)) = next.pop()?;
            if let Some((later, _)) = slots[device].next() {
                next.push(Reverse((later, device)));
            }
            Some((slot, device))
        })
    }
}

/// Make a history in which these devices were active in these slots, for tests.
#[cfg(test)]
pub(super) fn of_visits(visits: impl IntoIterator<Item = (u32, u32)>) -> History {
    let mut history = History::default();
    for (slot, device) in visits {
        let row = Row {
            item_id: "item".into(),
            device_uuid: device.to_string(),
            kind: UsageKind::Image,
            what: 0,
            slot,
            total: 1,
        };
        history.add(&row).unwrap();
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(device: &str, slot: u32, kind: UsageKind, what: u32, total: u128) -> Row {
        Row { item_id: "item".into(), device_uuid: device.into(), kind, what, slot, total }
    }

    #[test]
    fn a_device_is_active_once_a_slot_whatever_it_counted_there() {
        let mut history = History::default();
        for row in [
            row("b", 9, UsageKind::Scan, 4, 3),
            row("b", 9, UsageKind::Scan, 8, 2),
            row("b", 9, UsageKind::Image, 0, 1),
            row("a", 9, UsageKind::Page, 4, 5),
            row("a", 2, UsageKind::Page, 99, 5),
            row("c", 1, UsageKind::Scan, 4, 0),
        ] {
            history.add(&row).unwrap();
        }
        assert_eq!(history.visits().collect::<Vec<_>>(), [(2, 1), (9, 0), (9, 1)]);
        assert_eq!(
            (history.active().get(9), history.scans().get(9), history.pages()[3].get(9)),
            (2, 5, 5)
        );
        assert_eq!((history.span(), history.device_count()), (Some((2, 9)), 2));
    }

    #[test]
    fn a_slot_far_from_all_others_is_refused() {
        let mut history = of_visits([(20_000_000, 1)]);
        assert!(history.add(&row("a", 4_000_000_000, UsageKind::Scan, 4, 1)).is_err());
        assert_eq!(history.span(), Some((20_000_000, 20_000_000)));
    }

    proptest! {
        #[test]
        fn visits_come_in_order_of_time(visits in prop::collection::btree_set((0..50_u32, 0..6_u32), 0..80)) {
            let seen = of_visits(visits.iter().copied()).visits().collect::<Vec<_>>();
            prop_assert_eq!(seen.len(), visits.len());
            prop_assert!(seen.is_sorted());
        }
    }
}
