//! The totals that one segment counted in one day: one row of the database, however many slots and
//! counters that day had.
//!
//! ```text
//! counters: n, then n of (kind, symbology or module)
//! totals:   (slots since the one before, counter, total), by slot and counter
//! ```
//!
//! Every number is a LEB128 varint; slots count from the start of the day. A usual total takes
//! three bytes; as a row of its own it would take a hundred.

use std::collections::BTreeMap;

use seatmeter_protocol::slot::SLOTS_PER_DAY;

/// The number of slots in a day.
pub(super) const DAY_SLOTS: u32 = SLOTS_PER_DAY as u32;

/// One counter of a slot: the slot since the day began, kind, symbology or module.
pub(super) type Counter = (u32, u8, u32);

/// The totals of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DayTotals {
    /// The totals, in the order of the counters.
    totals: Vec<(Counter, u64)>,
}

/// Return the day of a slot, counted from 1970.
pub(super) fn day_of(slot: u32) -> u32 {
    slot / DAY_SLOTS
}

/// The number of days of one segment that share a row once they are long past.
pub(super) const OLD_DAYS: u32 = 30;

/// Return the first day of the row that holds a day which is long past.
pub(super) fn first_old_day(day: u32) -> u32 {
    day - day % OLD_DAYS
}

/// Return the first slot of a day.
pub(super) fn first_slot(day: u32) -> u32 {
    day.saturating_mul(DAY_SLOTS)
}

impl DayTotals {
    /// Raise a counter to a total. Return by how much the counter rose.
    pub(super) fn raise(&mut self, slot: u32, kind: u8, what: u32, total: u64) -> u64 {
        let counter = (slot % DAY_SLOTS, kind, what);
        match self.totals.binary_search_by_key(&counter, |(counter, _)| *counter) {
            Ok(place) => {
                let known = &mut self.totals[place].1;
                let rise = total.saturating_sub(*known);
                *known += rise;
                rise
            }
            // A counter with total 0 is not stored.
            Err(_) if total == 0 => 0,
            Err(place) => {
                self.totals.insert(place, (counter, total));
                total
            }
        }
    }

    /// Return the counters of a slot with their totals.
    pub(super) fn of_slot(&self, slot: u32) -> &[(Counter, u64)] {
        let slot = slot % DAY_SLOTS;
        let from = self.totals.partition_point(|((of, ..), _)| *of < slot);
        let until = self.totals.partition_point(|((of, ..), _)| *of <= slot);
        &self.totals[from..until]
    }

    /// Return every counter (slot since the start of the day, kind, symbology or module) with its
    /// total.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        self.totals.iter().copied()
    }

    /// Return the sum of each kind and symbology or module.
    pub(super) fn sums(&self) -> BTreeMap<(u8, u32), u64> {
        let mut sums = BTreeMap::new();
        for &((_, kind, what), total) in &self.totals {
            let sum: &mut u64 = sums.entry((kind, what)).or_default();
            *sum = sum.saturating_add(total);
        }
        sums
    }

    /// Return the stored form.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut counters: Vec<(u8, u32)> = Vec::new();
        let mut totals = Vec::with_capacity(self.totals.len() * 4);
        let mut last_slot = 0;
        for &((slot, kind, what), total) in &self.totals {
            let known = counters.iter().position(|counter| *counter == (kind, what));
            let place = known.unwrap_or_else(|| {
                counters.push((kind, what));
                counters.len() - 1
            });
            put(&mut totals, u64::from(slot - last_slot));
            put(&mut totals, place as u64);
            put(&mut totals, total);
            last_slot = slot;
        }
        let mut bytes = Vec::with_capacity(totals.len() + 1 + counters.len() * 6);
        put(&mut bytes, counters.len() as u64);
        for (kind, what) in counters {
            put(&mut bytes, u64::from(kind));
            put(&mut bytes, u64::from(what));
        }
        bytes.extend_from_slice(&totals);
        bytes
    }

    /// Read the stored form; `None` when it is damaged.
    pub(super) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let count = take(&mut bytes)?;
        let mut counters = Vec::new();
        for _ in 0..count {
            counters.push((
                u8::try_from(take(&mut bytes)?).ok()?,
                u32::try_from(take(&mut bytes)?).ok()?,
            ));
        }
        let mut totals: Vec<(Counter, u64)> = Vec::with_capacity(bytes.len() / 3);
        let mut slot = 0_u32;
        while !bytes.is_empty() {
            slot = slot.checked_add(u32::try_from(take(&mut bytes)?).ok()?)?;
            let (kind, what) = *counters.get(usize::try_from(take(&mut bytes)?).ok()?)?;
            let counter = (slot, kind, what);
            if slot >= DAY_SLOTS || totals.last().is_some_and(|(last, _)| *last >= counter) {
                return None;
            }
            totals.push((counter, take(&mut bytes)?));
        }
        Some(Self { totals })
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_working_day_takes_less_than_a_kilobyte() {
        let mut day = DayTotals::default();
        for slot in 160..320 {
            day.raise(slot, 1, 0x0400_0000, 40);
            day.raise(slot, 3, 0, 60);
        }
        assert!(day.to_bytes().len() <= 1_000, "{}", day.to_bytes().len());
    }

    proptest! {
        #[test]
        fn it_holds_the_maximum_of_each_counter(
            raises in proptest::collection::vec((0..2 * DAY_SLOTS, 1_u8..4, prop_oneof![0_u32..3, any::<u32>()], any::<u64>()), 0..60)
        ) {
            let mut day = DayTotals::default();
            let mut model: BTreeMap<Counter, u64> = BTreeMap::new();
            for (slot, kind, what, total) in raises {
                let known = model.entry((slot % DAY_SLOTS, kind, what)).or_default();
                let rise = total.saturating_sub(*known);
                *known += rise;
                prop_assert_eq!(day.raise(slot, kind, what, total), rise);
            }
            model.retain(|_, total| *total > 0);
            prop_assert_eq!(day.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
            let bytes = day.to_bytes();
            prop_assert_eq!(DayTotals::from_bytes(&bytes), Some(day.clone()));
            if bytes.len() > 1 {
                // Bytes that are cut short are damaged, or have fewer totals; they never have other
                // totals.
                let cut = DayTotals::from_bytes(&bytes[..bytes.len() - 1]);
                prop_assert!(cut.is_none_or(|cut| cut.totals.len() < day.totals.len() || cut != day));
            }
        }

        #[test]
        fn damaged_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = DayTotals::from_bytes(&bytes);
        }
    }
}
