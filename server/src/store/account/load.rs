//! Loading of the accounts for a batch of requests: first the items with their sums, then the data
//! of the devices and slots that the requests concern.
//!
//! Each charge way reads what its own rule needs, and nothing that grows with the number of devices
//! or with the history.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::slot_of;

use super::{Account, Kept, License, NOBODY, Seen};
use crate::error::Error;
use crate::policy::active_slots::ActiveSlots;
use crate::policy::holders::{Hold, Holders};
use crate::policy::strict_allowance::Allowance;
use crate::store::day_totals::day_of;
use crate::store::sql::catalog::Known;
use crate::store::sql::table::{
    ACTIVE_DAY, ALLOWANCES, ALLOWED, DEVICE, DEVICE_HOLDERS, DEVICE_LICENSES, DEVICE_SEATS,
    ENDED_HOLDERS, ITEM, ITEM_HELD, SEAT_HOLDER, SLOT_SUM, SLOTS_FROM, USED, YEARS,
};
use crate::store::sql::{Row, Sql, Value, Wanted as Expected, catalog, files, values};

/// The accounts of a batch, by the ids of their items.
pub(in crate::store) type Accounts = BTreeMap<String, Account>;

/// Load these items with their sums, for requests that came in these instants. An item whose
/// license file cannot be trusted has no account.
pub(in crate::store) fn accounts<'a>(
    sql: &dyn Sql,
    ids: impl IntoIterator<Item = &'a str>,
    times: &RangeInclusive<u64>,
) -> Result<Accounts, Error> {
    let mut accounts = BTreeMap::new();
    let items = items(sql, ids)?;
    let files = files::find(sql, &items.values().map(|(file_id, _)| file_id.as_str()).collect())?;
    for (item_id, (file_id, is_revoked)) in items {
        let Some(Ok(file)) = files.get(&file_id) else { continue };
        let Some(item) = file.item(&item_id) else { continue };
        accounts.insert(item_id, Account::of(item.clone(), file.clone(), is_revoked));
    }
    sql.expect(&|| sums_expected(&accounts, times))?;
    look_up_counts(sql, &mut accounts, times)?;
    look_up_seats(sql, &mut accounts, times)?;
    Ok(accounts)
}

/// Return the file of each of these items, and whether the item is revoked.
fn items<'a>(
    sql: &dyn Sql,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<Known<(String, bool)>, Error> {
    let (mut items, others) = catalog::known(sql, |all| &all.items, ids);
    let keys: Vec<Value<'_>> = others.into_iter().map(Value::Text).collect();
    let mut found = Known::new();
    for mut row in ITEM.find(sql, &keys)? {
        found.insert(row.take(0)?, (row.take(1)?, row.take::<Option<i64>>(2)?.is_some()));
    }
    catalog::keep(sql, |all| &mut all.items, &found);
    items.extend(found);
    Ok(items)
}

/// Return what the next two functions look up.
fn sums_expected<'a>(accounts: &'a Accounts, times: &RangeInclusive<u64>) -> Vec<Expected<'a>> {
    let of = |is_such: fn(&Account) -> bool| -> Vec<&'a String> {
        accounts.iter().filter(|(_, account)| is_such(account)).map(|(id, _)| id).collect()
    };
    let keys = |ids: &[&'a String]| ids.iter().map(|id| Value::from(*id)).collect();
    let at = |ids: &[&'a String], at: Value<'a>| -> Vec<Value<'a>> {
        ids.iter().flat_map(|id| [Value::from(*id), at]).collect()
    };
    let concurrent = of(|account| account.item.charge_way.is_concurrent());
    let with_seats = of(Account::has_seats);
    vec![
        Expected::Rows(&USED, keys(&of(|_| true))),
        Expected::Rows(&ALLOWED, keys(&of(|account| account.item.strict))),
        Expected::Rows(&YEARS, keys(&concurrent)),
        Expected::Rows(&SLOTS_FROM, at(&concurrent, slot_of(*times.start()).into())),
        Expected::Rows(&ITEM_HELD, keys(&with_seats)),
        Expected::Rows(&ENDED_HOLDERS, at(&with_seats, (*times.end()).into())),
    ]
}

/// Load what is used, and the slots that run now or are still to come, from devices with a fast
/// clock.
fn look_up_counts(
    sql: &dyn Sql,
    accounts: &mut Accounts,
    times: &RangeInclusive<u64>,
) -> Result<(), Error> {
    let all = ids(accounts, |_| true);
    each(accounts, USED.find(sql, &texts(&all))?, |account, mut row| {
        account.used.insert((row.take(1)?, row.take(2)?), Kept::read(row.take(3)?));
        Ok(())
    })?;
    let strict = ids(accounts, |account| account.item.strict);
    each(accounts, ALLOWED.find(sql, &texts(&strict))?, |account, mut row| {
        let value = (row.take(2)?, row.take(3)?);
        account.allowed.insert(row.take(1)?, Kept::read(value));
        Ok(())
    })?;
    let concurrent = ids(accounts, |account| account.item.charge_way.is_concurrent());
    each(accounts, YEARS.find(sql, &texts(&concurrent))?, |account, mut row| {
        account.years.insert(row.take(1)?, Kept::read(row.take(2)?));
        Ok(())
    })?;
    let running: Vec<_> =
        concurrent.iter().flat_map(|id| *values![id, slot_of(*times.start())]).collect();
    each(accounts, SLOTS_FROM.find(sql, &running)?, |account, mut row| {
        account.slots.insert(row.take(1)?, Kept::read(row.take(2)?));
        Ok(())
    })
}

/// Load the number of seats that are held, and the holders whose end has passed.
fn look_up_seats(
    sql: &dyn Sql,
    accounts: &mut Accounts,
    times: &RangeInclusive<u64>,
) -> Result<(), Error> {
    let with_seats = ids(accounts, Account::has_seats);
    each(accounts, ITEM_HELD.find(sql, &texts(&with_seats))?, |account, mut row| {
        account.written_seats = row.take(1)?;
        account.holders = Holders::of_seats(account.written_seats);
        Ok(())
    })?;
    let ended: Vec<_> = with_seats.iter().flat_map(|id| *values![id, *times.end()]).collect();
    each(accounts, ENDED_HOLDERS.find(sql, &ended)?, |account, mut row| {
        let hold = Hold { until: row.take(1)?, seats: row.take(4)? };
        account.learn_hold(&row.take::<String>(2)?, &row.take::<String>(3)?, hold);
        Ok(())
    })
}

/// The devices and slots that a batch concerns.
#[derive(Default)]
pub(in crate::store) struct Wanted<'a> {
    /// The devices, by item and device.
    devices: BTreeMap<(&'a str, &'a str), Concerned<'a>>,
    /// Item, slot and device of each slot that a report names, for concurrent items.
    active: BTreeSet<(&'a str, u32, &'a str)>,
}

/// The item and device of a local license, and the name under which the device holds seats.
pub(in crate::store) struct Place<'a> {
    pub(in crate::store) item_id: &'a str,
    pub(in crate::store) device_uuid: &'a str,
    pub(in crate::store) name: &'a str,
}

#[derive(Default)]
struct Concerned<'a> {
    /// Whether all its licenses are wanted, or only those that are loaded by their ids.
    with_licenses: bool,
    /// The names under which the device may hold seats.
    names: BTreeSet<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Want a device with all its licenses, to decide about it; `name` is one under which it may
    /// hold seats.
    pub(in crate::store) fn whole(
        &mut self,
        item_id: &'a str,
        device_uuid: &'a str,
        name: &'a str,
    ) {
        let device = self.devices.entry((item_id, device_uuid)).or_default();
        device.with_licenses = true;
        device.names.insert(name);
    }

    /// Want what a report about these slots changes, by a license that belongs there.
    pub(in crate::store) fn report(
        &mut self,
        account: &Account,
        Place { item_id, device_uuid, name }: Place<'a>,
        slots: impl Iterator<Item = u32>,
    ) {
        self.devices.entry((item_id, device_uuid)).or_default().names.insert(name);
        if account.item.charge_way.is_concurrent() {
            self.active.extend(slots.map(|slot| (item_id, slot, device_uuid)));
        }
    }

    /// Return item and device wherever the account satisfies `is_such`.
    fn devices(&self, accounts: &Accounts, is_such: impl Fn(&Account) -> bool) -> Vec<Value<'a>> {
        let is_it = |(item_id, _): &(&str, &str)| accounts.get(*item_id).is_some_and(&is_such);
        let devices = self.devices.keys().copied().filter(is_it);
        devices.flat_map(|(item_id, uuid)| *values![item_id, uuid]).collect()
    }

    fn with_licenses(&self) -> Vec<Value<'a>> {
        let whole = self.devices.iter().filter(|(_, device)| device.with_licenses);
        whole.flat_map(|((item_id, uuid), _)| *values![*item_id, *uuid]).collect()
    }

    fn active_days(&self) -> Vec<Value<'a>> {
        let of = |(item_id, slot, uuid): &(&'a str, u32, &'a str)| (*item_id, day_of(*slot), *uuid);
        let days: BTreeSet<_> = self.active.iter().map(of).collect();
        days.into_iter().flat_map(|(item_id, day, uuid)| *values![item_id, day, uuid]).collect()
    }

    fn slots(&self, accounts: &Accounts) -> Vec<Value<'a>> {
        // The slots that run now are loaded already.
        let is_new = |(item_id, slot): &(&str, u32)| {
            accounts.get(*item_id).is_some_and(|account| !account.slots.contains_key(slot))
        };
        let slots = self.active.iter().map(|(item_id, slot, _)| (*item_id, *slot));
        let slots: BTreeSet<_> = slots.filter(is_new).collect();
        slots.into_iter().flat_map(|(item_id, slot)| *values![item_id, slot]).collect()
    }

    /// Return item and name of each holder of seats: the names that are wanted, and those of the
    /// licenses that are loaded.
    fn holders<'b>(&'b self, accounts: &'b Accounts) -> Vec<Value<'b>> {
        let mut holders: BTreeSet<(&str, &str)> = BTreeSet::new();
        for ((item_id, uuid), concerned) in &self.devices {
            let Some(account) = accounts.get(*item_id) else { continue };
            // A report extends the windows of seats, and concerns no other seats.
            let is_concerned = if concerned.with_licenses {
                account.has_seats()
            } else {
                account.item.charge_way.has_window()
            };
            if !is_concerned {
                continue;
            }
            holders.extend(concerned.names.iter().map(|name| (*item_id, *name)));
            let licenses =
                account.devices.get(*uuid).into_iter().flat_map(|device| &device.licenses);
            holders.extend(licenses.map(|(_, known)| (*item_id, known.value.holder.as_str())));
        }
        holders.into_iter().flat_map(|(item_id, name)| *values![item_id, name]).collect()
    }
}

/// Return what [`devices`] looks up, except for holders of seats whose names are not known yet.
pub(in crate::store) fn devices_expected<'a>(
    accounts: &Accounts,
    wanted: &Wanted<'a>,
) -> Vec<Expected<'a>> {
    vec![
        Expected::Rows(&DEVICE, wanted.devices(accounts, |_| true)),
        Expected::Rows(&DEVICE_LICENSES, wanted.with_licenses()),
        Expected::Rows(&DEVICE_SEATS, wanted.devices(accounts, has_instances)),
        Expected::Rows(&ALLOWANCES, wanted.devices(accounts, |account| account.item.strict)),
        Expected::Rows(&ACTIVE_DAY, wanted.active_days()),
        Expected::Rows(&SLOT_SUM, wanted.slots(accounts)),
    ]
}

fn has_instances(account: &Account) -> bool {
    account.item.charge_way == ChargeWay::ConcurrentInstance
}

/// Load the accounts' data of the devices and slots that are wanted.
pub(in crate::store) fn devices(
    sql: &dyn Sql,
    accounts: &mut Accounts,
    wanted: &Wanted<'_>,
) -> Result<(), Error> {
    let seen = DEVICE.find(sql, &wanted.devices(accounts, |_| true))?;
    let licenses = DEVICE_LICENSES.find(sql, &wanted.with_licenses())?;
    let seats = DEVICE_SEATS.find(sql, &wanted.devices(accounts, has_instances))?;
    let strict = wanted.devices(accounts, |account| account.item.strict);
    let allowances = ALLOWANCES.find(sql, &strict)?;
    let days = ACTIVE_DAY.find(sql, &wanted.active_days())?;
    let slots = SLOT_SUM.find(sql, &wanted.slots(accounts))?;
    each(accounts, seen, |account, mut row| {
        account.device(&row.take::<String>(1)?).seen = Kept::read(Some(Seen {
            friendly_name: row.take(2)?,
            library_version: row.take(3)?,
            newest_serial: row.take(4)?,
            first_seen_at: row.take(5)?,
            last_seen_at: row.take(6)?,
        }));
        Ok(())
    })?;
    each(accounts, licenses, |account, mut row| {
        let license = License::read(&mut row, 3)?;
        let device = account.device(&row.take::<String>(1)?);
        device.licenses.insert(row.take(2)?, Kept::read(license));
        Ok(())
    })?;
    each(accounts, seats, |account, mut row| {
        let seats = Kept::read(Some(row.take(3)?));
        account.device(&row.take::<String>(1)?).seats.insert(row.take(2)?, seats);
        Ok(())
    })?;
    each(accounts, allowances, read_allowance)?;
    each(accounts, days, |account, mut row| {
        let (day, device_uuid, bytes): (u32, String, Vec<u8>) =
            (row.take(1)?, row.take(2)?, row.take(3)?);
        let value = ActiveSlots::from_bytes(&bytes).ok_or_else(|| {
            Error::Store(format!("the slots of device {device_uuid} are damaged"))
        })?;
        account.device(&device_uuid).days.insert(day, Kept::read(value));
        Ok(())
    })?;
    each(accounts, slots, |account, mut row| {
        account.slots.insert(row.take(1)?, Kept::read(row.take(2)?));
        Ok(())
    })?;
    let holders = SEAT_HOLDER.find(sql, &wanted.holders(accounts))?;
    each(accounts, holders, |account, mut row| {
        let hold = Hold { seats: row.take(3)?, until: row.take(4)? };
        account.learn_hold(&row.take::<String>(2)?, &row.take::<String>(1)?, hold);
        Ok(())
    })
}

fn read_allowance(account: &mut Account, mut row: Row) -> Result<(), Error> {
    let value = Allowance {
        serial: row.take(3)?,
        allowed: row.take(4)?,
        used: row.take(5)?,
        lost: row.take(6)?,
        lost_at: row.take(7)?,
    };
    let device = account.device(&row.take::<String>(1)?);
    device.allowances.insert(row.take(2)?, Kept::read(value));
    Ok(())
}

/// Load the account of an item with all that one device has of it.
pub(in crate::store) fn whole_device(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    now: u64,
) -> Result<Accounts, Error> {
    let mut accounts = accounts(sql, [item_id], &(now..=now))?;
    let rows = DEVICE_HOLDERS.find(sql, values![item_id, device_uuid])?;
    let names: Vec<String> =
        rows.into_iter().map(|mut row| row.take(2)).collect::<Result<_, _>>()?;
    let mut wanted = Wanted::default();
    wanted.whole(item_id, device_uuid, device_uuid);
    names.iter().for_each(|name| wanted.whole(item_id, device_uuid, name));
    devices(sql, &mut accounts, &wanted)?;
    Ok(accounts)
}

/// Load what was used of strict items before they were strict.
pub(in crate::store) fn nobody(sql: &dyn Sql, accounts: &mut Accounts) -> Result<(), Error> {
    let strict = ids(accounts, |account| account.item.strict);
    let keys: Vec<_> = strict.iter().flat_map(|id| *values![id, NOBODY]).collect();
    each(accounts, ALLOWANCES.find(sql, &keys)?, read_allowance)
}

/// Return the used allowances that devices have reported, by module.
pub(in crate::store) fn used_by_devices(
    sql: &dyn Sql,
    item_id: &str,
) -> Result<BTreeMap<u32, u64>, Error> {
    let rows = sql.query(
        "SELECT module, CAST(sum(used - lost) AS BIGINT) FROM allowance
          WHERE item_id = ?1 AND device_uuid <> ?2 GROUP BY module",
        values![item_id, NOBODY],
    )?;
    rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// Return the slots since the start of an item in which more than N were active, with the number.
pub(in crate::store) fn slots_above(
    sql: &dyn Sql,
    item: &LicenseItem,
) -> Result<Vec<(u32, u64)>, Error> {
    let rows = sql.query(
        "SELECT slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2 AND active > ?3",
        values![&item.item_id, slot_of(item.starts_at), item.quota],
    )?;
    rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

impl License {
    /// Read a license from a row, from this column on.
    pub(in crate::store) fn read(row: &mut Row, first: usize) -> Result<Self, Error> {
        Ok(Self {
            handshake_code: row.take(first)?,
            serial: row.take(first + 1)?,
            seats_asked: row.take(first + 2)?,
            seats: row.take(first + 3)?,
            issued_at: row.take(first + 4)?,
            valid_until: row.take(first + 5)?,
            holder: row.take(first + 6)?,
            begun_at: row.take(first + 7)?,
        })
    }
}

/// Pass each row to the account of its item, which is named in the row's first column.
fn each(
    accounts: &mut Accounts,
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

/// Return the ids of the accounts that satisfy `is_such`.
fn ids(accounts: &Accounts, is_such: impl Fn(&Account) -> bool) -> Vec<String> {
    accounts.iter().filter(|(_, account)| is_such(account)).map(|(id, _)| id.clone()).collect()
}

fn texts(ids: &[String]) -> Vec<Value<'_>> {
    ids.iter().map(Value::from).collect()
}
