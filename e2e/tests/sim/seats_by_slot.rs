//! How many instances a device counts as, slot by slot.

use std::collections::BTreeMap;

use seatmeter_protocol::slot::slot_of;

/// The seats that a device was granted, by the slot from which it has so many.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeatsBySlot(BTreeMap<u32, u32>);

impl SeatsBySlot {
    /// So many were granted: from this slot on if they are more than before, else from the next one.
    pub(crate) fn note(&mut self, seats: u32, at: u64) {
        let slot = slot_of(at);
        let last = self.0.last_key_value().map(|(_, seats)| *seats);
        if last == Some(seats) {
            return;
        }
        let from = if last.is_some_and(|last| last > seats) { slot + 1 } else { slot };
        self.0.retain(|slot, _| *slot <= from);
        self.0.insert(from, seats);
    }

    /// Those of a slot; of one before the first, those of the first.
    pub(crate) fn of(&self, slot: u32) -> u32 {
        let then = self.0.range(..=slot).next_back().or(self.0.first_key_value());
        then.map_or(1, |(_, seats)| *seats)
    }
}
