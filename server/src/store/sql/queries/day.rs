//! The slots of a day, and the devices of one of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::{account_of, names, values};
use crate::error::Error;
use crate::operator::queries::day::{Day, DayQuery, DaySlot, SlotDevice};
use crate::operator::queries::{date, day, instant};
use crate::policy::active_slots::ActiveSlots;
use crate::policy::overuse::excess;
use crate::policy::reportable::first_open_slot;
use crate::store::day_totals::{DAY_SLOTS, day_of, first_slot};
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::recorded;
use crate::store::{UsageFilter, UsageRow};

/// The numbers of a day.
#[derive(Default)]
struct Counts {
    /// The numbers of the slots.
    slots: BTreeMap<u32, u128>,
    /// The numbers of the devices in the selected slot.
    devices: BTreeMap<String, u128>,
}

impl Question for DayQuery {
    type Answer = Day;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Day, Error> {
        let account = account_of(from, &self.item_id)?;
        let item = &account.item;
        let today = u32::try_from(from.now / DAY_SECONDS).unwrap_or(u32::MAX);
        let wanted = self.date.as_deref().map_or(Ok(today), day)?;
        let first = first_slot(wanted);
        let slot = self.slot.as_deref().map(|slot| slot_in(slot, first)).transpose()?;
        let counts = match item.charge_way.is_concurrent() {
            true => active(from, item, wanted, slot)?,
            false => counted(from, item, first, slot)?,
        };
        let quota = item.charge_way.is_concurrent().then_some(item.quota);
        let slots = (first..first + DAY_SLOTS).map(|slot| {
            let count = counts.slots.get(&slot).copied().unwrap_or(0);
            let above = |quota| excess(u64::try_from(count).unwrap_or(u64::MAX), quota);
            let begins_at = slot_start(slot);
            DaySlot { slot, begins_at, count, excess: quota.map_or(0, above) }
        });
        let slots: Vec<DaySlot> = slots.collect();
        let peak = slots.iter().rev().max_by_key(|slot| slot.count).filter(|slot| slot.count > 0);
        Ok(Day {
            item_id: item.item_id.clone(),
            option: item.charge_way,
            date: date(wanted),
            unit: unit(item).to_owned(),
            quota,
            peak: peak.map_or(0, |slot| slot.count),
            peak_slot: peak.map(|slot| slot.slot),
            total: slots.iter().map(|slot| slot.count).sum(),
            excess: slots.iter().map(|slot| slot.excess).sum(),
            is_kept_by_slot: wanted >= day_of(first_open_slot(from.now)),
            slot,
            devices: named(from, counts.devices)?,
            slots,
        })
    }
}

/// Return what the slots of an item count.
fn unit(item: &LicenseItem) -> &'static str {
    match item.charge_way {
        ChargeWay::BarcodeScan => "scans",
        ChargeWay::Page => "pages",
        ChargeWay::ConcurrentInstance => "instances",
        ChargeWay::Server => "servers",
        _ => "devices",
    }
}

/// Return the slot that a person means, which must be one of the day that begins with `first`.
fn slot_in(written: &str, first: u32) -> Result<u32, Error> {
    let slot = match written.parse() {
        Ok(slot) => slot,
        Err(_) => slot_of(instant(written)?),
    };
    if (first..first.saturating_add(DAY_SLOTS)).contains(&slot) {
        return Ok(slot);
    }
    Err(Error::bad_request(format!(
        "slot \"{written}\" is not one of {}, which has the slots {first} to {}",
        date(day_of(first)),
        first.saturating_add(DAY_SLOTS - 1)
    )))
}

/// Read the active devices or instances of a day.
fn active(
    from: &Snapshot<'_>,
    item: &LicenseItem,
    day: u32,
    slot: Option<u32>,
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let first = first_slot(day);
    let query = "SELECT slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2 AND slot < ?3";
    let range = values![&item.item_id, first, first.saturating_add(DAY_SLOTS)];
    for mut row in from.sql().query(query, range)? {
        counts.slots.insert(row.take(0)?, row.take::<u64>(1)?.into());
    }
    let Some(slot) = slot else { return Ok(counts) };
    let query = "SELECT device_uuid, slots FROM active_day WHERE item_id = ?1 AND day = ?2";
    from.for_each(query, values![&item.item_id, day], &mut |mut row| {
        let device_uuid: String = row.take(0)?;
        let slots = ActiveSlots::from_bytes(&row.take::<Vec<u8>>(1)?).ok_or_else(|| {
            Error::Store(format!("the slots of device {device_uuid} are damaged"))
        })?;
        if slots.count(slot) > 0 {
            counts.devices.insert(device_uuid, slots.count(slot).into());
        }
        Ok(())
    })?;
    Ok(counts)
}

/// Read what was counted in the slots of a day; for options that count devices, how many did
/// anything.
fn counted(
    from: &Snapshot<'_>,
    item: &LicenseItem,
    first: u32,
    slot: Option<u32>,
) -> Result<Counts, Error> {
    let kind = match item.charge_way {
        ChargeWay::BarcodeScan => Some(UsageKind::Scan),
        ChargeWay::Page => Some(UsageKind::Page),
        _ => None,
    };
    let filter =
        UsageFilter { from_slot: first, until_slot: Some(first.saturating_add(DAY_SLOTS)) };
    let mut counts = Counts::default();
    let mut seen: HashSet<(u32, String)> = HashSet::new();
    recorded::for_each_in(from, Some(&item.item_id), filter, &mut |row: UsageRow| {
        let count = match kind {
            Some(kind) if kind != row.kind => return Ok(()),
            Some(_) => row.total,
            None if seen.insert((row.slot, row.device_uuid.clone())) => 1,
            None => return Ok(()),
        };
        *counts.slots.entry(row.slot).or_default() += count;
        if Some(row.slot) == slot {
            *counts.devices.entry(row.device_uuid).or_default() += count;
        }
        Ok(())
    })?;
    Ok(counts)
}

fn named(from: &Snapshot<'_>, devices: BTreeMap<String, u128>) -> Result<Vec<SlotDevice>, Error> {
    let uuids: BTreeSet<String> = devices.keys().cloned().collect();
    let names = names(from.sql(), &uuids)?;
    let named = devices.into_iter().map(|(device_uuid, count)| SlotDevice {
        name: names.get(&device_uuid).cloned().unwrap_or_default(),
        device_uuid,
        count,
    });
    Ok(named.collect())
}
