//! A number for each slot, stored by days: a day with any number takes 3 840 bytes, an empty day
//! nothing.

use std::collections::BTreeMap;

use seatmeter_protocol::slot::SLOTS_PER_DAY;

/// The number of slots in a day.
pub const DAY_SLOTS: u32 = SLOTS_PER_DAY as u32;

/// A number for each slot; 0 where nothing was added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSums {
    days: BTreeMap<u32, Box<[u64; DAY_SLOTS as usize]>>,
}

impl SlotSums {
    /// Return the number of a slot.
    #[must_use]
    pub fn get(&self, slot: u32) -> u64 {
        self.days.get(&(slot / DAY_SLOTS)).map_or(0, |day| day[(slot % DAY_SLOTS) as usize])
    }

    /// Add to the number of a slot. Return the number before and after.
    pub fn add(&mut self, slot: u32, more: u64) -> (u64, u64) {
        let day =
            self.days.entry(slot / DAY_SLOTS).or_insert_with(|| Box::new([0; DAY_SLOTS as usize]));
        let sum = &mut day[(slot % DAY_SLOTS) as usize];
        let before = *sum;
        *sum = before.saturating_add(more);
        (before, *sum)
    }

    /// Return every slot with a number other than 0, in order of time.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.iter_from(0)
    }

    /// Return the same as [`Self::iter`], but only from the slot `first` on.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, u64)> {
        let days = self.days.range(first / DAY_SLOTS..);
        let all = days.flat_map(|(day, sums)| (day * DAY_SLOTS..).zip(sums.iter().copied()));
        all.filter(move |(slot, sum)| *slot >= first && *sum > 0)
    }

    /// Forget the slots before this one.
    pub fn forget_before(&mut self, slot: u32) {
        self.days = self.days.split_off(&(slot / DAY_SLOTS));
        if let Some(day) = self.days.get_mut(&(slot / DAY_SLOTS)) {
            day[..(slot % DAY_SLOTS) as usize].fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_in_order_until_it_is_forgotten() {
        let mut sums = SlotSums::default();
        assert_eq!(sums.add(960, 5), (0, 5));
        assert_eq!(sums.add(3, 1), (0, 1));
        assert_eq!(sums.add(960, 2), (5, 7));
        assert_eq!(sums.add(959, u64::MAX), (0, u64::MAX));
        assert_eq!(sums.add(959, 1), (u64::MAX, u64::MAX));
        assert_eq!(sums.iter().collect::<Vec<_>>(), [(3, 1), (959, u64::MAX), (960, 7)]);
        assert_eq!(sums.iter_from(959).count(), 2);
        assert_eq!(sums.iter_from(960).collect::<Vec<_>>(), [(960, 7)]);
        sums.forget_before(960);
        assert_eq!(sums.iter().collect::<Vec<_>>(), [(960, 7)]);
        assert_eq!((sums.get(959), sums.get(960), sums.get(u32::MAX)), (0, 7, 0));
    }

    #[test]
    fn within_a_day_only_the_slots_before_are_forgotten() {
        let mut sums = SlotSums::default();
        for slot in [959, 960, 962, 963, 1_440] {
            sums.add(slot, 1);
        }
        sums.forget_before(963);
        assert_eq!(sums.iter().collect::<Vec<_>>(), [(963, 1), (1_440, 1)]);
        sums.forget_before(1_000);
        assert_eq!(sums.iter().collect::<Vec<_>>(), [(1_440, 1)]);
    }
}
