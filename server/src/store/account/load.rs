//! Loading of the accounts for a batch of reports: first the items with their sums, then the data
//! of the devices and slots in the reports.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::slot_of;

use super::load_one::read_item;
use super::{Account, Kept, Seen};
use crate::error::Error;
use crate::policy::active_slots::ActiveSlots;
use crate::policy::holders::Hold;
use crate::policy::strict_allowance::Allowance;
use crate::store::day_totals::day_of;
use crate::store::sql::table::{
    ACTIVE_DAY, ALLOWANCES, ALLOWED, DEVICE, DEVICE_SEATS, ITEM, ITEM_HELD, SEAT_HOLDER, SLOT_SUM,
    USED, YEARS,
};
use crate::store::sql::{License, Report, Row, Sql, Value, values};

/// Load the items of these licenses, with their sums.
pub(in crate::store) fn accounts<'l>(
    sql: &dyn Sql,
    licenses: impl Iterator<Item = &'l License>,
    now: u64,
) -> Result<BTreeMap<String, Account>, Error> {
    let ids: BTreeSet<&str> = licenses.map(|license| license.item_id.as_str()).collect();
    let keys: Vec<Value<'_>> = ids.iter().map(|id| Value::Text(id)).collect();
    let mut accounts = BTreeMap::new();
    for mut row in ITEM.find(sql, &keys)? {
        let item = read_item(&row.take::<String>(1)?)?;
        accounts.insert(row.take(0)?, Account::of(item));
    }
    look_up_sums(sql, &mut accounts, now)?;
    Ok(accounts)
}

/// Load the sums that do not depend on the reports. Also load the slots that run now, and slots
/// that are still to come, from devices with a fast clock.
fn look_up_sums(
    sql: &dyn Sql,
    accounts: &mut BTreeMap<String, Account>,
    now: u64,
) -> Result<(), Error> {
    let all = ids(accounts, |_| true);
    each(accounts, USED.find(sql, &texts(&all))?, |account, mut row| {
        account.used.insert((row.take(1)?, row.take(2)?), Kept::read(row.take(3)?));
        Ok(())
    })?;
    let concurrent = ids(accounts, |item| item.charge_way.is_concurrent());
    each(accounts, YEARS.find(sql, &texts(&concurrent))?, |account, mut row| {
        account.years.insert(row.take(1)?, Kept::read(row.take(2)?));
        Ok(())
    })?;
    for item_id in &concurrent {
        let running = sql.query(
            "SELECT item_id, slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2",
            values![item_id, slot_of(now)],
        )?;
        each(accounts, running, |account, mut row| {
            account.slots.insert(row.take(1)?, Kept::read(row.take(2)?));
            Ok(())
        })?;
    }
    let with_seats = ids(accounts, |item| item.charge_way.has_window());
    each(accounts, ITEM_HELD.find(sql, &texts(&with_seats))?, |account, mut row| {
        account.seats_held = row.take(1)?;
        Ok(())
    })?;
    for item_id in &with_seats {
        // The next decision deletes these holders.
        let ended = sql.query(
            "SELECT item_id, CAST(sum(seats) AS BIGINT) FROM seat_holder WHERE item_id = ?1 AND \
             held_until <= ?2
              GROUP BY item_id",
            values![item_id, now],
        )?;
        each(accounts, ended, |account, mut row| {
            account.seats_held = account.seats_held.saturating_sub(row.take(1)?);
            Ok(())
        })?;
    }
    let strict = ids(accounts, |item| item.strict);
    each(accounts, ALLOWED.find(sql, &texts(&strict))?, |account, mut row| {
        let value = (row.take(2)?, row.take(3)?);
        account.allowed.insert(row.take(1)?, Kept::read(value));
        Ok(())
    })
}

/// Load the accounts' data of the devices and slots that are reported.
pub(in crate::store) fn look_up_reported(
    sql: &dyn Sql,
    accounts: &mut BTreeMap<String, Account>,
    licenses: &HashMap<String, License>,
    reports: &[&Report],
) -> Result<(), Error> {
    let wanted = Wanted::of(licenses, accounts, reports);
    let devices = DEVICE.find(sql, &wanted.devices())?;
    let days = ACTIVE_DAY.find(sql, &wanted.active_days())?;
    let seats = DEVICE_SEATS.find(sql, &wanted.devices_with_instances())?;
    let slots = SLOT_SUM.find(sql, &wanted.slots())?;
    let holders = SEAT_HOLDER.find(sql, &wanted.holders())?;
    let allowances = ALLOWANCES.find(sql, &wanted.strict_devices())?;
    each(accounts, devices, |account, mut row| {
        let device = account.device(row.take(1)?);
        device.seen = Some(Seen {
            friendly_name: row.take(2)?,
            library_version: row.take(3)?,
            newest_serial: row.take(4)?,
            first_seen_at: row.take(5)?,
            last_seen_at: Kept::read(row.take(6)?),
        });
        Ok(())
    })?;
    each(accounts, days, |account, mut row| {
        let (day, device_uuid, bytes): (u32, String, Vec<u8>) =
            (row.take(1)?, row.take(2)?, row.take(3)?);
        let value = ActiveSlots::from_bytes(&bytes).ok_or_else(|| {
            Error::Store(format!("the slots of device {device_uuid} are damaged"))
        })?;
        account.device(device_uuid).days.insert(day, Kept::read(value));
        Ok(())
    })?;
    each(accounts, seats, |account, mut row| {
        account.device(row.take(1)?).seats.insert(row.take(2)?, row.take(3)?);
        Ok(())
    })?;
    each(accounts, slots, |account, mut row| {
        account.slots.insert(row.take(1)?, Kept::read(row.take(2)?));
        Ok(())
    })?;
    each(accounts, holders, |account, mut row| {
        let hold = Hold { seats: row.take(3)?, until: row.take(4)? };
        let holds = &mut account.device(row.take(2)?).holds;
        holds.insert(row.take(1)?, Kept::read(hold));
        Ok(())
    })?;
    each(accounts, allowances, |account, mut row| {
        let value = Allowance { serial: row.take(3)?, allowed: row.take(4)?, used: row.take(5)? };
        let allowances = &mut account.device(row.take(1)?).allowances;
        allowances.insert(row.take(2)?, Kept::read(value));
        Ok(())
    })
}

/// The keys of the rows to look up for the accounts.
struct Wanted<'a> {
    accounts: &'a BTreeMap<String, Account>,
    /// Item, device and holder of each license that a report names.
    devices: BTreeSet<(&'a str, &'a str, &'a str)>,
    /// Item, slot and device of each slot that a report names, for concurrent items.
    active: BTreeSet<(&'a str, u32, &'a str)>,
}

impl<'a> Wanted<'a> {
    fn of(
        licenses: &'a HashMap<String, License>,
        accounts: &'a BTreeMap<String, Account>,
        reports: &[&'a Report],
    ) -> Self {
        let (mut devices, mut active) = (BTreeSet::new(), BTreeSet::new());
        for segment in reports.iter().flat_map(|report| &report.report.segments) {
            let Some(license) = licenses.get(&segment.license_id) else { continue };
            let License { item_id, device_uuid, holder, .. } = license;
            devices.insert((item_id.as_str(), device_uuid.as_str(), holder.as_str()));
            if accounts.get(item_id).is_some_and(|account| account.item.charge_way.is_concurrent())
            {
                let slots = segment.totals.iter().map(|counter| counter.slot);
                active.extend(slots.map(|slot| (item_id.as_str(), slot, device_uuid.as_str())));
            }
        }
        Self { accounts, devices, active }
    }

    /// Return item and device wherever the item satisfies `is_such`.
    fn devices_of(&self, is_such: impl Fn(&LicenseItem) -> bool) -> Vec<Value<'a>> {
        let pairs: BTreeSet<(&str, &str)> = self
            .devices
            .iter()
            .filter(|(item_id, ..)| {
                self.accounts.get(*item_id).is_some_and(|account| is_such(&account.item))
            })
            .map(|(item_id, device_uuid, _)| (*item_id, *device_uuid))
            .collect();
        pairs
            .into_iter()
            .flat_map(|(item_id, device_uuid)| [item_id.into(), device_uuid.into()])
            .collect()
    }

    fn devices(&self) -> Vec<Value<'a>> {
        self.devices_of(|_| true)
    }

    fn devices_with_instances(&self) -> Vec<Value<'a>> {
        self.devices_of(|item| item.charge_way == ChargeWay::ConcurrentInstance)
    }

    fn strict_devices(&self) -> Vec<Value<'a>> {
        self.devices_of(|item| item.strict)
    }

    fn active_days(&self) -> Vec<Value<'a>> {
        let days: BTreeSet<(&str, u32, &str)> = self
            .active
            .iter()
            .map(|(item_id, slot, device)| (*item_id, day_of(*slot), *device))
            .collect();
        days.into_iter()
            .flat_map(|(item_id, day, device)| [item_id.into(), day.into(), device.into()])
            .collect()
    }

    fn slots(&self) -> Vec<Value<'a>> {
        // The slots that run now are loaded already.
        let slots: BTreeSet<(&str, u32)> = self
            .active
            .iter()
            .map(|(item_id, slot, _)| (*item_id, *slot))
            .filter(|(item_id, slot)| {
                self.accounts.get(*item_id).is_some_and(|account| !account.slots.contains_key(slot))
            })
            .collect();
        slots.into_iter().flat_map(|(item_id, slot)| [item_id.into(), slot.into()]).collect()
    }

    fn holders(&self) -> Vec<Value<'a>> {
        let has_seats = |item_id: &str| {
            self.accounts.get(item_id).is_some_and(|account| account.item.charge_way.has_window())
        };
        let holders: BTreeSet<(&str, &str)> = self
            .devices
            .iter()
            .filter(|(item_id, ..)| has_seats(item_id))
            .map(|(item_id, _, holder)| (*item_id, *holder))
            .collect();
        holders.into_iter().flat_map(|(item_id, holder)| [item_id.into(), holder.into()]).collect()
    }
}

/// Pass each row to the account of its item, which is named in the row's first column.
fn each(
    accounts: &mut BTreeMap<String, Account>,
    rows: Vec<Row>,
    mut take: impl FnMut(&mut Account, Row) -> Result<(), Error>,
) -> Result<(), Error> {
    for mut row in rows {
        let item_id: String = row.take(0)?;
        if let Some(account) = accounts.get_mut(&item_id) {
            take(account, row)?;
        }
    }
    Ok(())
}

/// Return the ids of the accounts with an item that satisfies `is_such`.
pub(in crate::store) fn ids(
    accounts: &BTreeMap<String, Account>,
    is_such: impl Fn(&LicenseItem) -> bool,
) -> Vec<String> {
    accounts
        .iter()
        .filter(|(_, account)| is_such(&account.item))
        .map(|(id, _)| id.clone())
        .collect()
}

pub(in crate::store) fn texts(ids: &[String]) -> Vec<Value<'_>> {
    ids.iter().map(Value::from).collect()
}
