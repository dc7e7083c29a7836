//! Writing of the accounts after a batch: only changed rows are written, in the order of the
//! tables.

use super::load::Accounts;
use super::{Account, SEATS_KIND};
use crate::error::Error;
use crate::policy::strict_allowance::Allowance;
use crate::store::sql::table::{
    ACTIVE_DAY, ALLOWANCE, DEVICE, DEVICE_SEAT, ITEM_ALLOWED, ITEM_DAY, ITEM_DAY_PEAK, ITEM_HELD,
    ITEM_USED, LOCAL_LICENSE, SEAT_HOLDER, SLOT_SUM, YEAR_EXCESS,
};
use crate::store::sql::{Sql, Value, by_day, values};

/// Write all changes of the accounts.
pub(in crate::store) fn save(sql: &dyn Sql, accounts: &mut Accounts) -> Result<(), Error> {
    put_sums(sql, accounts)?;
    put_days(sql, accounts)?;
    put_holders(sql, accounts)?;
    put_licenses(sql, accounts)?;
    put_allowances(sql, accounts)?;
    put_activity(sql, accounts)
}

/// Write the sums of the items.
fn put_sums(sql: &dyn Sql, accounts: &Accounts) -> Result<(), Error> {
    let (mut used, mut slots, mut years, mut allowed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (item_id, account) in accounts {
        for (&(kind, module), sum) in account.used.iter().filter(|(_, sum)| sum.is_changed) {
            used.extend_from_slice(values![item_id, u32::from(kind), module, sum.value]);
        }
        for (&slot, sum) in account.slots.iter().filter(|(_, sum)| sum.is_changed) {
            slots.extend_from_slice(values![item_id, slot, sum.value]);
        }
        for (&year, sum) in account.years.iter().filter(|(_, sum)| sum.is_changed) {
            years.extend_from_slice(values![item_id, year, sum.value]);
        }
        for (&module, sums) in account.allowed.iter().filter(|(_, sums)| sums.is_changed) {
            allowed.extend_from_slice(values![item_id, module, sums.value.0, sums.value.1]);
        }
    }
    ITEM_USED.put(sql, &used)?;
    SLOT_SUM.put(sql, &slots)?;
    YEAR_EXCESS.put(sql, &years)?;
    ITEM_ALLOWED.put(sql, &allowed)
}

/// Write what the batch adds to the sums of days.
fn put_days(sql: &dyn Sql, accounts: &Accounts) -> Result<(), Error> {
    let (mut sums, mut peaks) = (Vec::new(), Vec::new());
    for (item_id, account) in accounts {
        for (&(day, kind, module), &more) in &account.days {
            sums.extend_from_slice(values![item_id, day, u32::from(kind), module, more]);
        }
        for (&day, &peak) in &account.peaks {
            peaks.extend_from_slice(values![item_id, day, u32::from(SEATS_KIND), 0_u32, peak]);
        }
    }
    ITEM_DAY.put(sql, &sums)?;
    ITEM_DAY_PEAK.put(sql, &peaks)
}

/// Write who holds seats, and the devices by their names. A refusal needs them in the database
/// before the batch ends, because it lists the holders of an item from there.
pub(in crate::store) fn put_holders(sql: &dyn Sql, accounts: &mut Accounts) -> Result<(), Error> {
    put_seen(sql, accounts)?;
    let (mut held, mut freed, mut seats) = (Vec::new(), Vec::new(), Vec::new());
    for (item_id, account) in accounts.iter() {
        for holder in &account.changed_holders {
            match account.holders.get(holder) {
                Some(hold) => held.extend_from_slice(values![
                    item_id,
                    &holder.name,
                    &holder.device_uuid,
                    hold.seats,
                    hold.until
                ]),
                None => freed.extend_from_slice(values![item_id, &holder.name]),
            }
        }
        if account.holders.all_seats() != account.written_seats {
            seats.extend_from_slice(values![item_id, account.holders.all_seats()]);
        }
    }
    SEAT_HOLDER.remove(sql, &freed)?;
    SEAT_HOLDER.put(sql, &held)?;
    ITEM_HELD.put(sql, &seats)?;
    for account in accounts.values_mut() {
        account.changed_holders.clear();
        account.written_seats = account.holders.all_seats();
    }
    Ok(())
}

fn put_seen(sql: &dyn Sql, accounts: &mut Accounts) -> Result<(), Error> {
    let mut devices = Vec::new();
    for (item_id, account) in accounts.iter() {
        for (uuid, device) in account.devices.iter().filter(|(_, device)| device.seen.is_changed) {
            let Some(seen) = &device.seen.value else { continue };
            devices.extend_from_slice(values![
                item_id,
                uuid,
                &seen.friendly_name,
                &seen.library_version,
                seen.newest_serial,
                seen.first_seen_at,
                seen.last_seen_at
            ]);
        }
    }
    DEVICE.put(sql, &devices)?;
    for device in accounts.values_mut().flat_map(|account| account.devices.values_mut()) {
        device.seen.is_changed = false;
    }
    Ok(())
}

/// Write the local licenses, and as how many instances the devices count.
fn put_licenses(sql: &dyn Sql, accounts: &Accounts) -> Result<(), Error> {
    let (mut licenses, mut seats, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
    for (item_id, uuid, device) in accounts.iter().flat_map(of_devices) {
        for (license_id, license) in device.licenses.iter().filter(|(_, one)| one.is_changed) {
            let license = &license.value;
            licenses.extend_from_slice(values![
                item_id,
                uuid,
                license_id,
                &license.handshake_code,
                license.serial,
                license.seats_asked,
                license.seats,
                license.issued_at,
                license.valid_until,
                &license.holder,
                license.begun_at
            ]);
        }
        for (&from_slot, number) in device.seats.iter().filter(|(_, number)| number.is_changed) {
            match number.value {
                Some(number) => seats.extend_from_slice(values![item_id, uuid, from_slot, number]),
                None => replaced.extend_from_slice(values![item_id, uuid, from_slot]),
            }
        }
    }
    LOCAL_LICENSE.put(sql, &licenses)?;
    DEVICE_SEAT.remove(sql, &replaced)?;
    DEVICE_SEAT.put(sql, &seats)
}

fn put_allowances(sql: &dyn Sql, accounts: &Accounts) -> Result<(), Error> {
    let mut rows: Vec<Value<'_>> = Vec::new();
    for (item_id, uuid, device) in accounts.iter().flat_map(of_devices) {
        for (&module, own) in device.allowances.iter().filter(|(_, own)| own.is_changed) {
            let Allowance { serial, allowed, used, lost, lost_at } = own.value;
            rows.extend_from_slice(values![item_id, uuid, module, serial, allowed, used]);
            rows.extend_from_slice(values![lost, lost_at]);
        }
    }
    ALLOWANCE.put(sql, &rows)
}

fn put_activity(sql: &dyn Sql, accounts: &Accounts) -> Result<(), Error> {
    let mut days = Vec::new();
    for (item_id, uuid, device) in accounts.iter().flat_map(of_devices) {
        for (&day, slots) in device.days.iter().filter(|(_, slots)| slots.is_changed) {
            days.push((item_id, day, uuid, slots.value.to_bytes()));
        }
    }
    by_day::put(sql, &ACTIVE_DAY, days)
}

/// Return the devices of an account, each with the id of the item and its UUID.
fn of_devices<'a>(
    (item_id, account): (&'a String, &'a Account),
) -> impl Iterator<Item = (&'a str, &'a str, &'a super::Device)> {
    account.devices.iter().map(move |(uuid, device)| (item_id.as_str(), uuid.as_str(), device))
}
