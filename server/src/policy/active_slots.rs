//! The slots in which a device was active, and the number of instances it counts as in each.
//!
//! The slots are stored as bitmaps, one for each count that the device ever had. A working day is
//! then one run of four bytes, whatever its length. A slot has the highest count that was reported
//! for it.

use roaring::RoaringBitmap;

use crate::policy::slot_sums::DAY_SLOTS;

/// The slots in which one device was active.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveSlots {
    /// The bitmaps, one for each count. No slot is in two of them.
    by_count: Vec<WithCount>,
}

#[derive(Clone, Debug, PartialEq)]
struct WithCount {
    count: u32,
    slots: RoaringBitmap,
}

impl ActiveSlots {
    /// Return the number of instances that the device counts as in a slot; 0 when it was not
    /// active.
    #[must_use]
    pub fn count(&self, slot: u32) -> u32 {
        self.by_count.iter().find(|level| level.slots.contains(slot)).map_or(0, |level| level.count)
    }

    /// Raise the count of a slot to `count`. Return by how much the count rose.
    pub fn raise(&mut self, slot: u32, count: u32) -> u32 {
        let before = self.count(slot);
        if count <= before {
            return 0;
        }
        for level in &mut self.by_count {
            level.slots.remove(slot);
        }
        if let Some(level) = self.by_count.iter_mut().find(|level| level.count == count) {
            let begins_a_day =
                level.slots.max().is_none_or(|last| last / DAY_SLOTS < slot / DAY_SLOTS);
            level.slots.insert(slot);
            // Optimizing once a day is enough: a day without runs takes a kilobyte at most.
            if begins_a_day {
                level.slots.optimize();
            }
        } else {
            self.by_count.push(WithCount { count, slots: RoaringBitmap::from_iter([slot]) });
        }
        self.by_count.retain(|level| !level.slots.is_empty());
        count - before
    }

    /// Forget the slots before this one.
    pub fn forget_before(&mut self, slot: u32) {
        for level in &mut self.by_count {
            level.slots.remove_range(..slot);
        }
        self.by_count.retain(|level| !level.slots.is_empty());
    }

    /// Return every slot with the device's count in it. Slots are grouped by count; the order is
    /// otherwise undefined.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.by_count.iter().flat_map(|level| level.slots.iter().map(|slot| (slot, level.count)))
    }

    /// Return the number of slots.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.by_count.iter().map(|level| level.slots.len()).sum()
    }

    /// Return whether there is no slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_count.is_empty()
    }

    /// Return the stored form: for each count, the count itself, the number of bytes of its slots,
    /// and the slots in the portable form of roaring bitmaps. Numbers are 32 bits, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.stored_bytes());
        for level in &self.by_count {
            let length = u32::try_from(level.slots.serialized_size())
                .expect("all slots there are fit into 512 MiB");
            bytes.extend_from_slice(&level.count.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            level.slots.serialize_into(&mut bytes).expect("memory takes all that is written");
        }
        bytes
    }

    /// Read the stored form; `None` when it is damaged.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut by_count: Vec<WithCount> = Vec::new();
        while !bytes.is_empty() {
            let (count, rest) = bytes.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (mut slots, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let level = WithCount {
                count: u32::from_le_bytes(*count),
                slots: RoaringBitmap::deserialize_from(&mut slots).ok()?,
            };
            let is_known = |known: &WithCount| {
                known.count == level.count || !known.slots.is_disjoint(&level.slots)
            };
            if !slots.is_empty()
                || level.count == 0
                || level.slots.is_empty()
                || by_count.iter().any(is_known)
            {
                return None;
            }
            by_count.push(level);
            bytes = rest;
        }
        Some(Self { by_count })
    }

    /// Return the number of bytes that the stored form takes.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.by_count.iter().map(|level| 2 * size_of::<u32>() + level.slots.serialized_size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_year_of_working_days_takes_less_than_two_kilobytes() {
        const FIRST_DAY: u32 = 20_833; // in 2027
        let mut slots = ActiveSlots::default();
        for day in FIRST_DAY..FIRST_DAY + 365 {
            for slot in 160..320 {
                slots.raise(day * DAY_SLOTS + slot, 1);
            }
        }
        slots.raise((FIRST_DAY + 400) * DAY_SLOTS, 1);
        assert!(slots.stored_bytes() < 2_000, "{} bytes", slots.stored_bytes());
    }

    #[test]
    fn what_is_damaged_is_not_taken() {
        let mut slots = ActiveSlots::default();
        slots.raise(5, 2);
        slots.raise(9, 3);
        let good = slots.to_bytes();
        assert_eq!(ActiveSlots::from_bytes(&good), Some(slots));
        assert_eq!(ActiveSlots::from_bytes(&[]), Some(ActiveSlots::default()));
        for end in 1..good.len() {
            let first = 8 + u32::from_le_bytes(good[4..8].try_into().unwrap()) as usize;
            assert_eq!(
                ActiveSlots::from_bytes(&good[..end]).is_some(),
                end == first,
                "the first {end} bytes"
            );
        }
    }

    #[test]
    fn what_no_device_can_have_done_is_not_taken() {
        let stored = |levels: &[(u32, &[u32])]| {
            let with_count = |(count, slots): &(u32, &[u32])| WithCount {
                count: *count,
                slots: slots.iter().collect(),
            };
            ActiveSlots { by_count: levels.iter().map(with_count).collect() }.to_bytes()
        };
        let is_taken = |bytes: &[u8]| ActiveSlots::from_bytes(bytes).is_some();
        let fine = stored(&[(2, &[5]), (3, &[9])]);
        assert!(is_taken(&fine));
        assert!(!is_taken(&stored(&[(2, &[5]), (2, &[9])])), "a count is there once");
        assert!(!is_taken(&stored(&[(2, &[5]), (3, &[5])])), "a slot has one count");
        assert!(!is_taken(&stored(&[(0, &[5])])), "who is active counts as one at least");
        assert!(!is_taken(&stored(&[(2, &[])])), "a count without a slot");
        let mut longer = stored(&[(2, &[5])]);
        let length = u32::try_from(longer.len() - 8 + 1).unwrap();
        longer[4..8].copy_from_slice(&length.to_le_bytes());
        longer.push(0);
        assert!(!is_taken(&longer), "bytes beyond the slots");
    }

    proptest! {
        #[test]
        fn a_slot_has_its_highest_count_also_when_it_was_stored(
            raised in prop::collection::vec((0..2_000_u32, 1..5_u32), 0..200), edge in 0..2_000_u32,
        ) {
            let mut slots = ActiveSlots::default();
            let mut highest: HashMap<u32, u32> = HashMap::new();
            for (slot, count) in raised {
                let known = highest.entry(slot).or_default();
                prop_assert_eq!(slots.raise(slot, count), count.saturating_sub(*known));
                *known = count.max(*known);
                slots = ActiveSlots::from_bytes(&slots.to_bytes()).unwrap();
            }
            prop_assert_eq!(slots.len(), highest.len() as u64);
            prop_assert_eq!(slots.iter().count(), highest.len());
            prop_assert_eq!(slots.iter().collect::<HashMap<_, _>>(), highest.clone());
            slots.forget_before(edge);
            for slot in 0..2_000 {
                let expected = highest.get(&slot).copied().filter(|_| slot >= edge).unwrap_or(0);
                prop_assert_eq!(slots.count(slot), expected);
            }
            let is_empty = !highest.keys().any(|slot| *slot >= edge);
            prop_assert_eq!(slots.is_empty(), is_empty);
            prop_assert_eq!(slots.to_bytes().len(), slots.stored_bytes());
        }

        #[test]
        fn any_bytes_are_slots_or_not(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(slots) = ActiveSlots::from_bytes(&bytes) {
                prop_assert_eq!(ActiveSlots::from_bytes(&slots.to_bytes()), Some(slots));
            }
        }
    }
}
