//! The seats of an item: who holds them until when, and as how many instances a device counts.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::slot::slot_of;

use super::{Account, Device, Kept};
use crate::policy::holders::{Hold, Occupied};
use crate::policy::window::seat_until;
use crate::store::day_totals::day_of;

/// The name under which a device holds seats.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HolderName {
    pub(super) device_uuid: String,
    pub(super) name: String,
}

impl HolderName {
    pub(super) fn new(device_uuid: &str, name: &str) -> Self {
        Self { device_uuid: device_uuid.to_owned(), name: name.to_owned() }
    }
}

impl Account {
    /// Return whether devices can hold seats of the item, always or while it is overused.
    pub(in crate::store) fn has_seats(&self) -> bool {
        self.item.charge_way.has_window() || self.item.charge_way.is_concurrent()
    }

    /// Learn the seats that a device holds.
    pub(super) fn learn_hold(&mut self, device_uuid: &str, name: &str, hold: Hold) {
        self.device(device_uuid).names.insert(name.to_owned());
        self.holders.learn(HolderName::new(device_uuid, name), hold);
    }

    /// Delete every holder with an end that has passed.
    pub(super) fn forget_ended(&mut self, now: u64) {
        self.changed_holders.extend(self.holders.forget(now));
    }

    fn hold_of(&self, device_uuid: &str, name: &str) -> Option<Hold> {
        self.holders.get(&HolderName::new(device_uuid, name))
    }

    /// Replace what a device holds under a name.
    pub(super) fn set_hold(&mut self, device_uuid: &str, name: &str, hold: Option<Hold>) {
        let holder = HolderName::new(device_uuid, name);
        if self.holders.get(&holder) == hold {
            return;
        }
        self.device(device_uuid).names.insert(name.to_owned());
        self.changed_holders.insert(holder.clone());
        match hold {
            Some(hold) => self.holders.hold(holder, hold),
            None => self.holders.release(holder),
        }
    }

    /// Record the number of seats that are held now, for the highest one of the day.
    pub(super) fn note_seats_held(&mut self, now: u64) {
        if self.item.charge_way.has_window() {
            let peak = self.peaks.entry(day_of(slot_of(now))).or_default();
            *peak = (*peak).max(self.holders.all_seats());
        }
    }

    /// Release the seats that a device holds under a name.
    pub(in crate::store) fn release_holder(&mut self, device_uuid: &str, name: &str) {
        self.set_hold(device_uuid, name, None);
    }

    /// Release all seats of a device, under whatever names it holds them.
    pub(super) fn release_seats(&mut self, device_uuid: &str) {
        for name in self.device(device_uuid).names.clone() {
            self.set_hold(device_uuid, &name, None);
        }
    }

    /// Return the occupied seats as seen by one holder, who may have seats as well. Holders with an
    /// end that has passed are forgotten already.
    pub(super) fn occupied(&self, device_uuid: &str, name: &str) -> Occupied {
        let own = self.hold_of(device_uuid, name);
        let others = self.holders.all_seats().saturating_sub(own.map_or(0, |hold| hold.seats));
        Occupied { by_others: others, own, first_free_at: None }
    }

    /// Extend the window of a seat after a usage report. A seat that has run out is not taken
    /// again.
    pub(in crate::store) fn begin_window_anew(&mut self, device_uuid: &str, name: &str, now: u64) {
        let until = seat_until(&self.item, now);
        if let Some(hold) = self.hold_of(device_uuid, name)
            && hold.until > now
        {
            let hold = Hold { until: hold.until.max(until), ..hold };
            self.set_hold(device_uuid, name, Some(hold));
        }
    }

    /// Move seats from the bare UUID to another name of the device.
    pub(super) fn rename_hold(&mut self, device_uuid: &str, name: &str) {
        let Some(nameless) = self.hold_of(device_uuid, device_uuid) else { return };
        self.set_hold(device_uuid, device_uuid, None);
        if self.hold_of(device_uuid, name).is_none_or(|own| own.until < nameless.until) {
            self.set_hold(device_uuid, name, Some(nameless));
        }
    }

    /// Record the seats that a device has by a license that was forgotten.
    pub(super) fn hold_again(
        &mut self,
        device_uuid: &str,
        name: &str,
        seats: u32,
        issued_at: u64,
        valid_until: u64,
    ) {
        match self.item.charge_way {
            ChargeWay::ClientDevice | ChargeWay::ActiveDevice | ChargeWay::Server => {
                let own = self.hold_of(device_uuid, name);
                if own.is_none_or(|own| own.until < valid_until) {
                    let hold = Hold { seats: 1, until: valid_until };
                    self.set_hold(device_uuid, name, Some(hold));
                }
            }
            ChargeWay::ConcurrentInstance => {
                self.device(device_uuid).note_seats_of_before(seats, issued_at);
            }
            _ => {}
        }
    }
}

impl Device {
    /// Return the number of instances that the device counts as in a slot. Work from before the
    /// first grant counts with the number of the first grant: the device's clock was behind.
    pub(super) fn seats_in(&self, slot: u32) -> u32 {
        let first = || self.seats.values().find_map(|seats| seats.value);
        self.seats_until(slot).map(|(_, seats)| seats).or_else(first).unwrap_or(1)
    }

    /// Return the slot from which the number in effect in a slot is in effect, and the number.
    fn seats_until(&self, slot: u32) -> Option<(u32, u32)> {
        let mut then = self.seats.range(..=slot).rev();
        then.find_map(|(from_slot, seats)| Some((*from_slot, seats.value?)))
    }

    /// Record the number of instances that the device counts as from now on. A lower number takes
    /// effect at the next slot, because in this slot the device has had more.
    pub(super) fn note_seats(&mut self, seats: u32, now: u64) {
        let slot = slot_of(now);
        // A number that would have taken effect at the next slot is replaced.
        if self.seats_until(u32::MAX).is_some_and(|(from_slot, _)| from_slot > slot) {
            for (_, later) in self.seats.range_mut(slot.saturating_add(1)..) {
                later.set(None);
            }
        }
        self.put_seats(seats, slot);
    }

    /// Record the same for a grant that was forgotten; numbers of later grants stay as they are.
    fn note_seats_of_before(&mut self, seats: u32, issued_at: u64) {
        let slot = slot_of(issued_at);
        let is_lower = self.seats_until(slot).is_some_and(|(_, then)| then > seats);
        let next = self.seats_until(slot.saturating_add(1));
        if is_lower && next.is_some_and(|(from_slot, _)| from_slot > slot) {
            return;
        }
        self.put_seats(seats, slot);
    }

    /// Record a number from this slot on; a number lower than the one in effect in this slot starts
    /// with the next slot.
    fn put_seats(&mut self, seats: u32, slot: u32) {
        let from_slot = match self.seats_until(slot) {
            Some((_, then)) if then == seats => return,
            Some((_, then)) if then > seats => slot.saturating_add(1),
            _ => slot,
        };
        self.seats.entry(from_slot).or_insert_with(|| Kept::read(None)).set(Some(seats));
    }
}
