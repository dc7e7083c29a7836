//! Writing of the accounts after a batch: only changed rows are written.

use std::collections::BTreeMap;

use super::Account;
use crate::error::Error;
use crate::policy::strict_allowance::Allowance;
use crate::store::sql::table::{
    ACTIVE_DAY, ALLOWANCE, DEVICE, ITEM_ALLOWED, ITEM_USED, SEAT_HOLDER, SLOT_SUM, YEAR_EXCESS,
};
use crate::store::sql::{Sql, by_day, values};

/// Write the sums of the items.
pub(in crate::store) fn put_sums(
    sql: &dyn Sql,
    accounts: &BTreeMap<String, Account>,
) -> Result<(), Error> {
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

/// Write the changed rows of the devices.
pub(in crate::store) fn put_devices(
    sql: &dyn Sql,
    accounts: &BTreeMap<String, Account>,
) -> Result<(), Error> {
    let (mut devices, mut holders, mut allowances) = (Vec::new(), Vec::new(), Vec::new());
    let mut days = Vec::new();
    for (item_id, account) in accounts {
        for (uuid, device) in &account.devices {
            if let Some(seen) = device.seen.as_ref().filter(|seen| seen.last_seen_at.is_changed) {
                devices.extend_from_slice(values![
                    item_id,
                    uuid,
                    &seen.friendly_name,
                    &seen.library_version,
                    seen.newest_serial,
                    seen.first_seen_at,
                    seen.last_seen_at.value
                ]);
            }
            for (holder, hold) in device.holds.iter().filter(|(_, hold)| hold.is_changed) {
                holders.extend_from_slice(values![
                    item_id,
                    holder,
                    uuid,
                    hold.value.seats,
                    hold.value.until
                ]);
            }
            for (&module, own) in device.allowances.iter().filter(|(_, own)| own.is_changed) {
                let Allowance { serial, allowed, used } = own.value;
                allowances.extend_from_slice(values![item_id, uuid, module, serial, allowed, used]);
            }
            for (&day, slots) in device.days.iter().filter(|(_, slots)| slots.is_changed) {
                days.push((item_id.as_str(), day, uuid.as_str(), slots.value.to_bytes()));
            }
        }
    }
    DEVICE.put(sql, &devices)?;
    SEAT_HOLDER.put(sql, &holders)?;
    ALLOWANCE.put(sql, &allowances)?;
    by_day::put(sql, &ACTIVE_DAY, days)
}
