//! The vendor's correction of what is used of an item.

use super::table::{ITEM_ALLOWED, ITEM_USED};
use super::{Sql, files, values};
use crate::correction::Correction;
use crate::error::Error;
use crate::operator::commands::Correct;
use crate::store::account::metered_kind;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::page_module::page_module_name;

/// Set what is used of the item, and return the detail for the audit log.
pub(super) fn apply(sql: &dyn Sql, correct: &Correct, now: u64) -> Result<String, Error> {
    let Correction { correction_id, item_id, module, used, reason, issued_at, .. } =
        &correct.correction;
    sql.lock_items(&[item_id.as_str()])?;
    let item = require_item(sql, correct)?;
    require_new(sql, &correct.correction)?;
    let kind = metered_kind(&item).number();
    let before: Option<u64> = sql.value(
        "SELECT used FROM item_used WHERE item_id = ?1 AND kind = ?2 AND module = ?3",
        values![item_id, u32::from(kind), *module],
    )?;
    let before = before.unwrap_or(0);
    ITEM_USED.put(sql, values![item_id, u32::from(kind), *module, *used])?;
    if item.strict {
        correct_allowed(sql, item_id, *module, before, *used)?;
    }
    sql.execute(
        "INSERT INTO correction (correction_id, item_id, module, used_before, used, issued_at,
                                 applied_at, payload, key_id, signature)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        values![
            correction_id,
            item_id,
            *module,
            before,
            *used,
            *issued_at,
            now,
            &correct.envelope.payload,
            &correct.envelope.key_id,
            &correct.envelope.signature
        ],
    )?;
    let of = if *module == 0 { String::new() } else { format!("{} ", page_module_name(*module)) };
    Ok(format!(
        "{of}used {used} instead of {before}, correction {correction_id}, issued at {issued_at}: \
         {reason}"
    ))
}

/// Return the item, if the vendor who has sold it has signed the correction.
fn require_item(sql: &dyn Sql, correct: &Correct) -> Result<LicenseItem, Error> {
    let Correction { correction_id, organization_id, item_id, module, .. } = &correct.correction;
    let no = |why: String| {
        Err(Error::conflict(format!("correction \"{correction_id}\" cannot be applied: {why}")))
    };
    let file_id: Option<String> =
        sql.value("SELECT file_id FROM license_item WHERE item_id = ?1", values![item_id])?;
    let Some(file_id) = file_id else {
        return no(format!("there is no item \"{item_id}\" on this server"));
    };
    let file = match files::find(sql, &[file_id.as_str()].into())?.remove(&file_id) {
        Some(Ok(file)) => file,
        Some(Err(why)) => return no(why),
        None => return no(format!("license file \"{file_id}\" has gone from the database")),
    };
    if file.root_key != correct.root_key || file.file.organization_id != *organization_id {
        return no(format!(
            "it is signed by root key {} for organization \"{organization_id}\", but item \
             \"{item_id}\" is of root key {} and organization \"{}\"",
            correct.root_key.id(),
            file.root_key.id(),
            file.file.organization_id
        ));
    }
    match file.item(item_id) {
        Some(item) if !item.charge_way.is_metered() => {
            no(format!("item \"{item_id}\" is not charged by scans or pages"))
        }
        Some(item) if !item.metered_quotas().iter().any(|(of, _)| of == module) => {
            no(format!("item \"{item_id}\" has no quota for module {module}"))
        }
        Some(item) => Ok((**item).clone()),
        None => no(format!("license file \"{file_id}\" has no item \"{item_id}\"")),
    }
}

/// Refuse a correction that was applied, or that is older than one that was.
fn require_new(sql: &dyn Sql, correction: &Correction) -> Result<(), Error> {
    let Correction { correction_id, item_id, module, issued_at, .. } = correction;
    if sql.exists("SELECT 1 FROM correction WHERE correction_id = ?1", values![correction_id])? {
        return Err(Error::conflict(format!(
            "correction \"{correction_id}\" was applied already. Ask your vendor for another one \
             if it is needed again"
        )));
    }
    let newest: Option<Option<u64>> = sql.value(
        "SELECT max(issued_at) FROM correction WHERE item_id = ?1 AND module = ?2",
        values![item_id, *module],
    )?;
    match newest.flatten() {
        Some(newest) if *issued_at <= newest => Err(Error::conflict(format!(
            "correction \"{correction_id}\" has issued_at {issued_at}, but one that was issued at \
             {newest} was applied to item \"{item_id}\" already"
        ))),
        _ => Ok(()),
    }
}

/// Change the sum of all allowances of a strict item by the same amount: what a device has used is
/// a part of its allowance.
fn correct_allowed(
    sql: &dyn Sql,
    item_id: &str,
    module: u32,
    before: u64,
    used: u64,
) -> Result<(), Error> {
    let row = sql.row(
        "SELECT allowed, devices FROM item_allowed WHERE item_id = ?1 AND module = ?2",
        values![item_id, module],
    )?;
    let Some(mut row) = row else { return Ok(()) };
    let (allowed, devices): (i64, i64) = (row.take(0)?, row.take(1)?);
    let number = |total: u64| i64::try_from(total).unwrap_or(i64::MAX);
    let allowed = allowed.saturating_add(number(used)).saturating_sub(number(before)).max(0);
    ITEM_ALLOWED.put(sql, values![item_id, module, allowed, devices])
}
