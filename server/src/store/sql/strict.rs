//! The allowances of strict items, with their sums over all devices.

use seatmeter_protocol::license::LicenseItem;

use super::{Sql, account, values};
use crate::error::Error;
use crate::policy::select::admission::{Used, quotas};
use crate::policy::strict_allowance::Allowance;

/// Reads the sums of a module, and what the device itself is allowed.
pub(super) fn read(sql: &dyn Sql, item_id: &str, device_uuid: &str, used: &mut Used) -> Result<(), Error> {
    let sums = sql.row(
        "SELECT allowed, devices FROM item_allowed WHERE item_id = ?1 AND module = ?2",
        values![item_id, used.module],
    )?;
    if let Some(mut row) = sums {
        (used.allowed, used.devices) = (row.take(0)?, row.take(1)?);
    }
    used.own = own(sql, item_id, device_uuid, used.module)?.unwrap_or_default();
    Ok(())
}

/// What a device is allowed of a module; `None` when it was never allowed any.
pub(super) fn own(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    module: u32,
) -> Result<Option<Allowance>, Error> {
    let row = sql.row(
        "SELECT serial, allowed, used FROM allowance WHERE item_id = ?1 AND device_uuid = ?2 AND module = ?3",
        values![item_id, device_uuid, module],
    )?;
    row.map(|mut row| Ok(Allowance { serial: row.take(0)?, allowed: row.take(1)?, used: row.take(2)? }))
        .transpose()
}

/// Every allowance of a device.
pub(super) fn all_of(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
) -> Result<Vec<(u32, Allowance)>, Error> {
    let rows = sql.query(
        "SELECT module, serial, allowed, used FROM allowance WHERE item_id = ?1 AND device_uuid = ?2",
        values![item_id, device_uuid],
    )?;
    rows.into_iter()
        .map(|mut row| {
            let allowance = Allowance { serial: row.take(1)?, allowed: row.take(2)?, used: row.take(3)? };
            Ok((row.take(0)?, allowance))
        })
        .collect()
}

/// In the place of a device: who has used what was used before the item was strict.
const NOBODY: &str = "";

/// The item becomes a strict one: what was used of it until now is used, and by no allowance of a device.
pub(super) fn begin(sql: &dyn Sql, item: &LicenseItem) -> Result<(), Error> {
    let kind = account::metered_kind(item).number();
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

/// Puts an allowance in place of what the device had.
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
    let (allowed, devices) = rise(before, allowance);
    sql.execute(
        "INSERT INTO item_allowed (item_id, module, allowed, devices) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (item_id, module) DO UPDATE
            SET allowed = item_allowed.allowed + excluded.allowed,
                devices = item_allowed.devices + excluded.devices",
        values![item_id, module, allowed, devices],
    )?;
    Ok(())
}

/// By how much the sums over all devices rise when one has another allowance than before: what is allowed, and how many
/// have some of it left.
pub(super) fn rise(before: Allowance, after: Allowance) -> (i64, i64) {
    let number = |total: u64| i64::try_from(total).unwrap_or(i64::MAX);
    let has_some = |allowance: Allowance| i64::from(allowance.unused() > 0);
    (number(after.allowed) - number(before.allowed), has_some(after) - has_some(before))
}
