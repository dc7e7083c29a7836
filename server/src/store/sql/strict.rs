//! The allowances of strict items, with their sums over all devices.

use seatmeter_protocol::license::LicenseItem;

use super::{Sql, values};
use crate::error::Error;
use crate::policy::select::admission::quotas;
use crate::policy::strict_allowance::Allowance;
use crate::store::account::metered_kind;
use crate::store::account::rise_of_allowances;

/// Return the sums of a module over all devices: what is allowed, and how many devices have some of
/// it left.
pub(in crate::store) fn sums(
    sql: &dyn Sql,
    item_id: &str,
    module: u32,
) -> Result<Option<(i64, i64)>, Error> {
    let row = sql.row(
        "SELECT allowed, devices FROM item_allowed WHERE item_id = ?1 AND module = ?2",
        values![item_id, module],
    )?;
    row.map(|mut row| Ok((row.take(0)?, row.take(1)?))).transpose()
}

/// Return the allowance of a device for a module; `None` when it never had one.
pub(in crate::store) fn own(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    module: u32,
) -> Result<Option<Allowance>, Error> {
    let row = sql.row(
        "SELECT serial, allowed, used FROM allowance WHERE item_id = ?1 AND device_uuid = ?2 AND \
         module = ?3",
        values![item_id, device_uuid, module],
    )?;
    row.map(|mut row| {
        Ok(Allowance { serial: row.take(0)?, allowed: row.take(1)?, used: row.take(2)? })
    })
    .transpose()
}

/// Return every allowance of a device.
pub(super) fn all_of(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
) -> Result<Vec<(u32, Allowance)>, Error> {
    let rows = sql.query(
        "SELECT module, serial, allowed, used FROM allowance WHERE item_id = ?1 AND device_uuid = \
         ?2",
        values![item_id, device_uuid],
    )?;
    rows.into_iter()
        .map(|mut row| {
            let allowance =
                Allowance { serial: row.take(1)?, allowed: row.take(2)?, used: row.take(3)? };
            Ok((row.take(0)?, allowance))
        })
        .collect()
}

/// The value in place of a device's UUID for what was used before the item was strict.
const NOBODY: &str = "";

/// Make the item strict. What was used of it before counts as used, but belongs to no device's
/// allowance.
pub(super) fn begin(sql: &dyn Sql, item: &LicenseItem) -> Result<(), Error> {
    let kind = metered_kind(item).number();
    for (module, _) in quotas(item) {
        let used: Option<u64> = sql.value(
            "SELECT used FROM item_used WHERE item_id = ?1 AND kind = ?2 AND module = ?3",
            values![&item.item_id, u32::from(kind), module],
        )?;
        let by_devices: Option<u64> = sql.value(
            "SELECT CAST(coalesce(sum(used), 0) AS BIGINT) FROM allowance
              WHERE item_id = ?1 AND module = ?2 AND device_uuid <> ?3",
            values![&item.item_id, module, NOBODY],
        )?;
        let used = used.unwrap_or(0).saturating_sub(by_devices.unwrap_or(0));
        put(sql, &item.item_id, NOBODY, module, Allowance { serial: 0, allowed: used, used })?;
    }
    Ok(())
}

/// Replace the allowance of a device.
pub(super) fn put(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    module: u32,
    allowance: Allowance,
) -> Result<(), Error> {
    let before = own(sql, item_id, device_uuid, module)?.unwrap_or_default();
    sql.execute(
        "INSERT INTO allowance (item_id, device_uuid, module, serial, allowed, used)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (item_id, device_uuid, module) DO UPDATE
            SET serial = excluded.serial, allowed = excluded.allowed, used = excluded.used",
        values![item_id, device_uuid, module, allowance.serial, allowance.allowed, allowance.used],
    )?;
    let (allowed, devices) = rise_of_allowances(before, allowance);
    sql.execute(
        "INSERT INTO item_allowed (item_id, module, allowed, devices) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (item_id, module) DO UPDATE
            SET allowed = item_allowed.allowed + excluded.allowed,
                devices = item_allowed.devices + excluded.devices",
        values![item_id, module, allowed, devices],
    )?;
    Ok(())
}
