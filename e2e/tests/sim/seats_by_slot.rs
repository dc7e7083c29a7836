//! The number of instances that a device counts as, slot by slot.

use std::collections::BTreeMap;

use seatmeter_protocol::slot::slot_of;

/// The seats granted to a device, each number keyed by the first slot in which it applies.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeatsBySlot(BTreeMap<u32, u32>);

impl SeatsBySlot {
    /// Record a grant of so many seats. They apply from this slot on, or from the next one if the
    /// device has more in this slot. A number that was to apply from the next slot on is dropped.
    pub(crate) fn note(&mut self, seats: u32, at: u64) {
        let slot = slot_of(at);
        self.0.retain(|from, _| *from <= slot);
        self.put(seats, slot);
    }

    /// Record a grant that was forgotten; the numbers of later grants stay.
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

    /// Return the seats in a slot; before the first slot, those of the first slot.
    pub(crate) fn of(&self, slot: u32) -> u32 {
        self.in_slot(slot).or(self.0.values().next().copied()).unwrap_or(1)
    }
}
