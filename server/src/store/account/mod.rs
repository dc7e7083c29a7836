//! The account of one item: the state that decisions read and bookings change.
//!
//! [`load`] reads the accounts that a batch of reports needs, and [`load_one`] the account that an
//! authorization needs. [`save`] writes what a batch has changed. Only this file derives values
//! from the rows: what is used and allowed, the excess, the seats held, and the change of the sums
//! of allowances.

pub(in crate::store) mod load;
pub(in crate::store) mod load_one;
pub(in crate::store) mod save;

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::slot::{slot_of, slot_start};

use crate::policy::ItemState;
use crate::policy::active_slots::ActiveSlots;
use crate::policy::holders::Hold;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::select::admission::{Used, quotas};
use crate::policy::slot_ledger::{first_open_slot, last_open_slot};
use crate::policy::strict_allowance::Allowance;
use crate::policy::window::seat_until;
use crate::store::day_totals::day_of;

/// The precision, in seconds, of the time at which a device was last seen. It saves writing one row
/// with most reports.
const SEEN_SECONDS: u64 = 3_600;

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
}

impl<T: PartialEq> Kept<T> {
    pub(super) fn set(&mut self, value: T) {
        self.is_changed |= self.value != value;
        self.value = value;
    }
}

/// The state of one item, as far as the reports concern it.
pub(in crate::store) struct Account {
    pub(in crate::store) item: LicenseItem,
    pub(super) used: BTreeMap<(u8, u32), Kept<u64>>,
    pub(super) slots: BTreeMap<u32, Kept<u64>>,
    pub(super) years: BTreeMap<u32, Kept<u64>>,
    pub(super) seats_held: u64,
    /// By module: the sum of all devices' allowances, and the number of devices that are allowed
    /// more than they have used.
    pub(super) allowed: BTreeMap<u32, Kept<(i64, i64)>>,
    pub(super) devices: BTreeMap<String, Device>,
}

#[derive(Default)]
pub(in crate::store) struct Device {
    pub(super) seen: Option<Seen>,
    pub(super) days: BTreeMap<u32, Kept<ActiveSlots>>,
    /// The number of instances that the device counts as, by the first slot from which it holds.
    pub(in crate::store) seats: BTreeMap<u32, u32>,
    pub(super) allowances: BTreeMap<u32, Kept<Allowance>>,
    /// The seats that the device holds, by the name of the holder.
    pub(super) holds: BTreeMap<String, Kept<Hold>>,
}

/// The row of a device.
pub(super) struct Seen {
    pub(super) friendly_name: String,
    pub(super) library_version: String,
    pub(super) newest_serial: u32,
    pub(super) first_seen_at: u64,
    pub(super) last_seen_at: Kept<u64>,
}

impl Account {
    /// Make the account of an item without any other data.
    pub(in crate::store) fn of(item: LicenseItem) -> Self {
        Self {
            item,
            used: BTreeMap::new(),
            slots: BTreeMap::new(),
            years: BTreeMap::new(),
            seats_held: 0,
            allowed: BTreeMap::new(),
            devices: BTreeMap::new(),
        }
    }

    pub(in crate::store) fn device(&mut self, device_uuid: String) -> &mut Device {
        self.devices.entry(device_uuid).or_default()
    }

    /// Add to the use of a kind and module. The sum stops at the greatest number that the database
    /// can hold.
    pub(in crate::store) fn add_used(&mut self, kind: u8, module: u32, more: u64) {
        let used = self.used.entry((kind, module)).or_default();
        used.set(used.value.saturating_add(more).min(i64::MAX as u64));
    }

    /// Record that the device has used more of its allowance.
    pub(in crate::store) fn use_allowance(&mut self, device_uuid: &str, module: u32, more: u64) {
        let Some(device) = self.devices.get_mut(device_uuid) else { return };
        let own = device.allowances.entry(module).or_default();
        let before = own.value;
        own.set(before.reported(before.used.saturating_add(more)));
        let (more_allowed, more_devices) = rise_of_allowances(before, own.value);
        let sums = self.allowed.entry(module).or_default();
        let (allowed, devices) = sums.value;
        sums.set((allowed.saturating_add(more_allowed), devices + more_devices));
        // A device's first allowance needs a row, even when no number in it has changed.
        own.is_changed = true;
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
            }
        }
    }

    /// Extend the window of a seat after a usage report. A seat that has run out is not taken
    /// again.
    pub(in crate::store) fn begin_window_anew(
        &mut self,
        device_uuid: &str,
        holder: &str,
        now: u64,
    ) {
        let until = seat_until(&self.item, now);
        let device = self.devices.get_mut(device_uuid);
        if let Some(hold) = device.and_then(|device| device.holds.get_mut(holder))
            && hold.value.until > now
        {
            hold.set(Hold { until: hold.value.until.max(until), ..hold.value });
        }
    }

    /// Record that the device was seen now.
    pub(in crate::store) fn seen(&mut self, device_uuid: &str, now: u64) {
        let device = self.devices.get_mut(device_uuid);
        if let Some(seen) = device.and_then(|device| device.seen.as_mut())
            && seen.last_seen_at.value < now.saturating_sub(SEEN_SECONDS)
        {
            seen.last_seen_at.set(now);
        }
    }

    /// Return the state of the item for a device, as far as the meters show it.
    pub(in crate::store) fn standing(&self, device_uuid: &str, now: u64) -> ItemState {
        let mut state = ItemState::default();
        if self.item.charge_way.is_metered() {
            state.used = quotas(&self.item)
                .into_iter()
                .map(|(module, _)| self.used_of(device_uuid, module))
                .collect();
        }
        if self.item.charge_way.is_concurrent() {
            state.excess_of_year = self.excess_so_far(now);
        }
        if self.item.charge_way.has_window() {
            state.occupied.by_others = self.seats_held;
        }
        state
    }

    fn used_of(&self, device_uuid: &str, module: u32) -> Used {
        let kind = metered_kind(&self.item).number();
        let used = self.used.get(&(kind, module)).map_or(0, |used| used.value);
        if !self.item.strict {
            return Used { module, used, ..Used::default() };
        }
        let (allowed, devices) = self.allowed.get(&module).map_or((0, 0), |sums| sums.value);
        let own = self.devices.get(device_uuid).and_then(|device| device.allowances.get(&module));
        Used {
            module,
            used,
            allowed: allowed.try_into().unwrap_or(0),
            devices: devices.try_into().unwrap_or(0),
            own: own.map(|own| own.value).unwrap_or_default(),
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
pub(in crate::store) fn rise_of_allowances(before: Allowance, after: Allowance) -> (i64, i64) {
    let number = |total: u64| i64::try_from(total).unwrap_or(i64::MAX);
    let has_some = |allowance: Allowance| i64::from(allowance.unused() > 0);
    (number(after.allowed) - number(before.allowed), has_some(after) - has_some(before))
}

impl Device {
    /// Return the number of instances that the device counts as in a slot. Work from before the
    /// first grant counts with the number of the first grant: the device's clock was behind.
    fn seats_in(&self, slot: u32) -> u32 {
        let then = self.seats.range(..=slot).next_back().or_else(|| self.seats.first_key_value());
        then.map_or(1, |(_, seats)| *seats)
    }
}
