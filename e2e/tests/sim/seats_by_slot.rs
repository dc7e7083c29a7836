//! How many instances a device counts as, slot by slot.

use std::collections::BTreeMap;

use seatmeter_protocol::slot::slot_of;

/// The seats that a device was granted, by the slot from which it has so many.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeatsBySlot(BTreeMap<u32, u32>);

impl SeatsBySlot {
    /// So many were granted: from this slot on, or from the next one where it has more in this one.
    /// What was to hold from the next one on does not any more.
    pub(crate) fn note(&mut self, seats: u32, at: u64) {
        let slot = slot_of(at);
        self.0.retain(|from, _| *from <= slot);
        self.put(seats, slot);
    }

    /// The same of a grant that was forgotten: what is known of later ones stands.
    pub(crate) fn note_of_before(&mut self, seats: u32, issued_at: u64) {
        let slot = slot_of(issued_at);
        let is_lower = self.in_slot(slot).is_some_and(|then| then > seats);
        if !(is_lower && self.0.contains_key(&(slot + 1))) {
            self.put(seats, slot);
        }
    }

    fn put(&mut self, seats: u32, slot: u32) {
        match self.in_slot(slot) {
            Some(then) if then == seats => {}
            Some(then) if then > seats => _ = self.0.insert(slot + 1, seats),
            _ => _ = self.0.insert(slot, seats),
        }
    }

    fn in_slot(&self, slot: u32) -> Option<u32> {
        self.0.range(..=slot).next_back().map(|(_, seats)| *seats)
    }

    /// Those of a slot; of one before the first, those of the first.
    pub(crate) fn of(&self, slot: u32) -> u32 {
        self.in_slot(slot).or(self.0.values().next().copied()).unwrap_or(1)
    }
}
