//! The account of one item: the state that decisions read and bookings change.
//!
//! A batch of requests of any kind loads the accounts that it needs ([`load`]). It decides and
//! books on them in memory, one request after another, and writes what has changed ([`save`]). Only
//! this folder derives values from the rows: what is used and allowed, the excess, the seats held,
//! and the change of the sums of allowances.

mod licenses;
pub(in crate::store) mod load;
pub(in crate::store) mod save;
mod seats;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::{Meter, UsageKind};
use seatmeter_protocol::slot::{slot_of, slot_start};

use crate::policy::active_slots::ActiveSlots;
use crate::policy::holders::{Hold, Holders, Occupied};
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::reportable::{first_open_slot, last_open_slot};
use crate::policy::running::runs_until;
use crate::policy::select::admission::{Used, meters};
use crate::policy::strict_allowance::Allowance;
use crate::policy::{Candidate, ItemState};
use crate::store::day_totals::day_of;
use crate::store::sql::files::VerifiedFile;

pub(in crate::store) use licenses::License;
use seats::HolderName;

/// The precision, in seconds, of the time at which a device was last seen. It saves writing one row
/// with most reports.
const SEEN_SECONDS: u64 = 3_600;

/// The kinds of the sums of a day beside those of usage: the excess, and the highest number of
/// seats held.
pub(in crate::store) const EXCESS_KIND: u8 = 101;
pub(in crate::store) const SEATS_KIND: u8 = 102;

/// The value in place of a device's UUID for what was used before the item was strict.
const NOBODY: &str = "";

/// A value of the database, and whether it has to be written.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Kept<T> {
    pub(in crate::store) value: T,
    pub(in crate::store) is_changed: bool,
}

impl<T> Kept<T> {
    /// Wrap a value that was read, as not changed.
    pub(in crate::store) fn read(value: T) -> Self {
        Self { value, is_changed: false }
    }

    /// Wrap a value that has to be written.
    pub(in crate::store) fn new(value: T) -> Self {
        Self { value, is_changed: true }
    }
}

impl<T: PartialEq> Kept<T> {
    pub(in crate::store) fn set(&mut self, value: T) {
        self.is_changed |= self.value != value;
        self.value = value;
    }
}

/// The state of one item, as far as the requests of a batch concern it.
pub(in crate::store) struct Account {
    pub(in crate::store) item: Arc<LicenseItem>,
    /// The file that permits the item.
    pub(in crate::store) file: Arc<VerifiedFile>,
    /// Whether the operator has revoked the item.
    is_revoked: bool,
    used: BTreeMap<(u8, u32), Kept<u64>>,
    slots: BTreeMap<u32, Kept<u64>>,
    years: BTreeMap<u32, Kept<u64>>,
    /// By module: the sum of all devices' allowances, and the number of devices that are allowed
    /// more than they have used.
    allowed: BTreeMap<u32, Kept<(i64, i64)>>,
    /// The holders of seats: those that the batch concerns, and the number of all seats.
    holders: Holders<HolderName>,
    /// The holders that have changed, and the number of seats that the database has.
    changed_holders: BTreeSet<HolderName>,
    written_seats: u64,
    devices: BTreeMap<String, Device>,
    /// The amounts that the batch adds to the sums of days, by day, kind and module.
    days: BTreeMap<(u32, u8, u32), u64>,
    /// The highest number of seats held in the batch, by day.
    peaks: BTreeMap<u32, u64>,
}

/// The figures of an item at an instant.
pub(in crate::store) struct Figures {
    pub(in crate::store) meters: Vec<Meter>,
    /// The number of seats that are held.
    pub(in crate::store) held: u64,
    /// The number of devices or instances that are active in the current slot.
    pub(in crate::store) active_now: u64,
}

/// The state of one device under an item.
#[derive(Clone, Default)]
pub(in crate::store) struct Device {
    seen: Kept<Option<Seen>>,
    days: BTreeMap<u32, Kept<ActiveSlots>>,
    /// The number of instances that the device counts as, by the first slot from which it holds.
    /// `None` is a row to delete.
    seats: BTreeMap<u32, Kept<Option<u32>>>,
    allowances: BTreeMap<u32, Kept<Allowance>>,
    /// The local licenses by their ids: all of them for a device that asks for a license, and
    /// otherwise those that a report names.
    licenses: BTreeMap<String, Kept<License>>,
    /// The names under which the device may hold seats, as far as they are loaded.
    names: BTreeSet<String>,
}

/// The row of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    friendly_name: String,
    library_version: String,
    newest_serial: u32,
    first_seen_at: u64,
    last_seen_at: u64,
}

/// The part of an account that one device can change, as it was at an instant.
pub(in crate::store) struct Before {
    device_uuid: String,
    device: Option<Device>,
    holds: Vec<(HolderName, Option<Hold>)>,
    allowed: BTreeMap<u32, Kept<(i64, i64)>>,
}

impl Account {
    /// Make the account of an item without any other data.
    fn of(item: Arc<LicenseItem>, file: Arc<VerifiedFile>, is_revoked: bool) -> Self {
        Self {
            item,
            file,
            is_revoked,
            used: BTreeMap::new(),
            slots: BTreeMap::new(),
            years: BTreeMap::new(),
            allowed: BTreeMap::new(),
            holders: Holders::default(),
            changed_holders: BTreeSet::new(),
            written_seats: 0,
            devices: BTreeMap::new(),
            days: BTreeMap::new(),
            peaks: BTreeMap::new(),
        }
    }

    /// Return whether the item is revoked, or its grace is over.
    pub(in crate::store) fn has_ended(&self, now: u64) -> bool {
        self.is_revoked || now >= self.item.grace_ends_at()
    }

    fn device(&mut self, device_uuid: &str) -> &mut Device {
        self.devices.entry(device_uuid.to_owned()).or_default()
    }

    /// Return what a device can change, so that [`Self::undo`] can bring it back.
    pub(in crate::store) fn before(&self, device_uuid: &str) -> Before {
        let device = self.devices.get(device_uuid);
        let names = device.into_iter().flat_map(|device| &device.names);
        let holds = names.map(|name| {
            let holder = HolderName::new(device_uuid, name);
            let hold = self.holders.get(&holder);
            (holder, hold)
        });
        Before {
            device_uuid: device_uuid.to_owned(),
            holds: holds.collect(),
            device: device.cloned(),
            allowed: self.allowed.clone(),
        }
    }

    /// Bring back what a device has changed since.
    pub(in crate::store) fn undo(&mut self, before: Before) {
        let Before { device_uuid, device, holds, allowed } = before;
        let known: BTreeMap<_, _> = holds.into_iter().collect();
        let names = self.device(&device_uuid).names.clone();
        for name in names {
            let hold = known.get(&HolderName::new(&device_uuid, &name)).copied().flatten();
            self.set_hold(&device_uuid, &name, hold);
        }
        match device {
            Some(device) => self.devices.insert(device_uuid, device),
            None => self.devices.remove(&device_uuid),
        };
        self.allowed = allowed;
    }

    /// Add to what was counted on a day, for forecasts and curves.
    pub(in crate::store) fn add_to_day(&mut self, day: u32, kind: u8, module: u32, more: u64) {
        let sum = self.days.entry((day, kind, module)).or_default();
        *sum = sum.saturating_add(more);
    }

    /// Add to the use of a kind and module. The sum stops at the greatest number that the database
    /// can hold.
    pub(in crate::store) fn add_used(&mut self, kind: u8, module: u32, more: u64) {
        let used = self.used.entry((kind, module)).or_default();
        used.set(used.value.saturating_add(more).min(i64::MAX as u64));
    }

    /// Record that the device has used more of its allowance, or that a state had that it has lost.
    pub(in crate::store) fn use_allowance(
        &mut self,
        device_uuid: &str,
        module: u32,
        more: u64,
        is_lost: bool,
    ) {
        let own = self.allowance(device_uuid, module);
        let after = match is_lost {
            true => own.reported_of_lost(more),
            false => own.reported(own.used.saturating_add(more)),
        };
        self.set_allowance(device_uuid, module, after);
    }

    pub(in crate::store) fn allowance(&self, device_uuid: &str, module: u32) -> Allowance {
        let own = self.devices.get(device_uuid).and_then(|device| device.allowances.get(&module));
        own.map(|own| own.value).unwrap_or_default()
    }

    /// Replace the allowance of a device, and change the sums over all devices by the difference.
    fn set_allowance(&mut self, device_uuid: &str, module: u32, after: Allowance) {
        let before = self.allowance(device_uuid, module);
        let own = self.device(device_uuid).allowances.entry(module);
        // A device's first allowance needs a row, even when no number in it has changed.
        own.or_insert_with(|| Kept::new(before)).set(after);
        let (more_allowed, more_devices) = rise_of_allowances(before, after);
        let sums = self.allowed.entry(module).or_default();
        let (allowed, devices) = sums.value;
        sums.set((allowed.saturating_add(more_allowed), devices + more_devices));
    }

    /// Take back what a device was allowed and has not used, as far as it came with the license
    /// with this serial, or with any.
    fn give_back(&mut self, device_uuid: &str, serial: Option<u32>) {
        let Some(device) = self.devices.get(device_uuid) else { return };
        let all = device.allowances.iter().map(|(module, own)| (*module, own.value));
        for (module, own) in all.collect::<Vec<_>>() {
            let after = own.given_back(serial.unwrap_or(own.serial));
            self.set_allowance(device_uuid, module, after);
        }
    }

    /// Make the item strict. What was used of it before counts as used, but belongs to no device's
    /// allowance. `by_devices` is what the devices have used of their allowances, by module.
    pub(in crate::store) fn begin_strict(&mut self, by_devices: &BTreeMap<u32, u64>) {
        let kind = metered_kind(&self.item).number();
        for (module, _) in self.item.metered_quotas() {
            let used = self.used.get(&(kind, module)).map_or(0, |used| used.value);
            let used = used.saturating_sub(by_devices.get(&module).copied().unwrap_or(0));
            let own = Allowance { allowed: used, used, ..Allowance::default() };
            self.set_allowance(NOBODY, module, own);
        }
    }

    /// Record that the device was active in these slots.
    pub(in crate::store) fn active(&mut self, device_uuid: &str, slots: &BTreeSet<u32>, now: u64) {
        let Some(device) = self.devices.get_mut(device_uuid) else { return };
        let first_open = first_open_slot(now);
        for &slot in slots.range(first_open..).take_while(|slot| **slot <= last_open_slot(now)) {
            let count = match self.item.charge_way {
                ChargeWay::ConcurrentInstance => device.seats_in(slot),
                _ => 1,
            };
            let day = device.days.entry(day_of(slot)).or_default();
            let rise = day.value.raise(slot, count);
            if rise == 0 {
                continue;
            }
            day.is_changed = true;
            let active = self.slots.entry(slot).or_default();
            let before = active.value;
            active.set(before.saturating_add(u64::from(rise)));
            let more = excess(active.value, self.item.quota) - excess(before, self.item.quota);
            if more > 0 {
                let year = OveruseRule::of(&self.item).year(slot_start(slot)).index;
                let sum = self.years.entry(year).or_default();
                sum.set(sum.value.saturating_add(more));
                let of_day = self.days.entry((day_of(slot), EXCESS_KIND, 0)).or_default();
                *of_day = of_day.saturating_add(more);
            }
        }
    }

    /// Compute the excess anew, because the license years begin at another instant than before.
    /// `slots` are the slots in which more than N were active and that can still be reported. Work
    /// before the first of these slots was set against years that no longer exist.
    pub(in crate::store) fn begin_years_anew(&mut self, slots: &[(u32, u64)]) {
        let rule = OveruseRule::of(&self.item);
        for sum in self.years.values_mut() {
            sum.set(0);
        }
        for (slot, active) in slots {
            let sum = self.years.entry(rule.year(slot_start(*slot)).index).or_default();
            sum.set(sum.value.saturating_add(excess(*active, self.item.quota)));
        }
    }

    /// Record that the device was seen now.
    pub(in crate::store) fn seen(&mut self, device_uuid: &str, now: u64) {
        let Some(device) = self.devices.get_mut(device_uuid) else { return };
        if let Some(seen) = &mut device.seen.value
            && seen.last_seen_at < now.saturating_sub(SEEN_SECONDS)
        {
            seen.last_seen_at = now;
            device.seen.is_changed = true;
        }
    }

    /// Return the item with its state for a device, as the rules need it. When seats of others
    /// become free is not known here, because it matters to refusals alone.
    pub(in crate::store) fn candidate(
        &mut self,
        device_uuid: &str,
        holder: &str,
        now: u64,
    ) -> Candidate {
        let mut state = self.standing(device_uuid, now);
        let device = self.devices.get(device_uuid);
        let seen = device.and_then(|device| device.seen.value.as_ref());
        state.newest_serial = seen.map_or(0, |seen| seen.newest_serial);
        if self.item.charge_way.is_concurrent() {
            let rule = OveruseRule::of(&self.item);
            let is_overused = rule.is_overused(state.excess_of_year, now);
            let until = if is_overused { runs_until(now) } else { u64::MAX };
            state.running_seats = device.map_or(0, |device| device.running_seats(now, until));
        }
        if self.has_seats() {
            state.occupied = self.occupied(device_uuid, holder);
        }
        Candidate { item: self.item.clone(), revoked: self.is_revoked, state }
    }

    /// Return the state of the item for a device, as far as the meters show it.
    pub(in crate::store) fn standing(&mut self, device_uuid: &str, now: u64) -> ItemState {
        self.forget_ended(now);
        self.standing_as_loaded(device_uuid, now)
    }

    /// Return the state of the item without looking for seats that have ended.
    fn standing_as_loaded(&self, device_uuid: &str, now: u64) -> ItemState {
        let mut state = ItemState::default();
        if self.item.charge_way.is_metered() {
            state.used = self
                .item
                .metered_quotas()
                .into_iter()
                .map(|(module, _)| self.used_of(device_uuid, module))
                .collect();
        }
        if self.item.charge_way.is_concurrent() {
            state.excess_of_year = self.excess_so_far(now);
        }
        if self.item.charge_way.has_window() {
            state.occupied =
                Occupied { by_others: self.holders.all_seats(), ..Occupied::default() };
        }
        state
    }

    /// Return what is used of the item as far as it is loaded, to see whether a batch changes it.
    pub(in crate::store) fn meters_as_loaded(&self, now: u64) -> Vec<Meter> {
        meters(&self.item, &self.standing_as_loaded(NOBODY, now), now)
    }

    /// Return the organization that has bought the item.
    pub(in crate::store) fn organization_id(&self) -> &str {
        &self.file.file.organization_id
    }

    /// Return how the item stands for an operator.
    pub(in crate::store) fn figures(&mut self, now: u64) -> Figures {
        let state = self.standing(NOBODY, now);
        let active = self.slots.get(&slot_of(now));
        Figures {
            meters: meters(&self.item, &state, now),
            held: self.holders.all_seats(),
            active_now: active.map_or(0, |active| active.value),
        }
    }

    /// Return what is set aside of a strict item for devices, beside what is used of it; `None`
    /// when the item is not strict.
    pub(in crate::store) fn set_aside(&self, module: u32) -> Option<u64> {
        let used = self.used_of(NOBODY, module);
        self.item.strict.then(|| used.allowed.saturating_sub(used.used))
    }

    fn used_of(&self, device_uuid: &str, module: u32) -> Used {
        let kind = metered_kind(&self.item).number();
        let used = self.used.get(&(kind, module)).map_or(0, |used| used.value);
        if !self.item.strict {
            return Used { module, used, ..Used::default() };
        }
        let (allowed, devices) = self.allowed.get(&module).map_or((0, 0), |sums| sums.value);
        Used {
            module,
            used,
            allowed: allowed.try_into().unwrap_or(0),
            devices: devices.try_into().unwrap_or(0),
            own: self.allowance(device_uuid, module),
        }
    }

    /// Return the excess so far of the license year that holds an instant: the sum over its slots
    /// that have ended.
    fn excess_so_far(&self, now: u64) -> u64 {
        let year = OveruseRule::of(&self.item).year(now);
        let Some(all) = self.years.get(&year.index) else { return 0 };
        // A slot that has not ended does not count yet, however early some devices report it.
        let running =
            self.slots.range(slot_of(now)..).filter(|(slot, _)| slot_start(**slot) < year.ends_at);
        let not_yet = running.map(|(_, active)| excess(active.value, self.item.quota));
        all.value.saturating_sub(not_yet.fold(0, u64::saturating_add))
    }
}

/// Return the kind of usage that a metered item is charged by.
pub(in crate::store) fn metered_kind(item: &LicenseItem) -> UsageKind {
    match item.charge_way {
        ChargeWay::Page => UsageKind::Page,
        _ => UsageKind::Scan,
    }
}

/// Return by how much the sums over all devices rise when one device has another allowance than
/// before: what is allowed, and how many devices have some of it left.
fn rise_of_allowances(before: Allowance, after: Allowance) -> (i64, i64) {
    let number = |total: u64| i64::try_from(total).unwrap_or(i64::MAX);
    let has_some = |allowance: Allowance| i64::from(allowance.unused() > 0);
    (number(after.allowed) - number(before.allowed), has_some(after) - has_some(before))
}

#[cfg(test)]
mod tests;
