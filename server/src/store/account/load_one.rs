//! Loading of one account for the device that requests an authorization.
//!
//! Each charge way reads what its own rule needs, and nothing that grows with the number of devices
//! or with the history. The account derives everything else from the rows, as it does for a batch
//! of reports.

use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::slot_of;

use super::metered_kind;
use super::{Account, Kept};
use crate::error::Error;
use crate::policy::ItemState;
use crate::policy::overuse::OveruseRule;
use crate::policy::running::runs_until;
use crate::policy::select::admission::quotas;
use crate::store::sql::{Sql, holders, strict, values};

/// Return the item that a row holds as JSON.
pub(in crate::store) fn read_item(definition: &str) -> Result<LicenseItem, Error> {
    serde_json::from_str(definition)
        .map_err(|e| Error::Store(format!("the definition of an item is damaged: {e}")))
}

/// Return the item with this id, if there is one.
pub(in crate::store) fn item(sql: &dyn Sql, item_id: &str) -> Result<Option<LicenseItem>, Error> {
    let definition: Option<String> =
        sql.value("SELECT definition FROM license_item WHERE item_id = ?1", values![item_id])?;
    definition.map(|definition| read_item(&definition)).transpose()
}

/// Return the state of the item for a device, read in the transaction of the decision.
pub(in crate::store) fn state(
    sql: &dyn Sql,
    item: &LicenseItem,
    device_uuid: &str,
    holder: &str,
    now: u64,
) -> Result<ItemState, Error> {
    let mut account = Account::of(item.clone());
    account.device(device_uuid.to_owned());
    if item.charge_way.is_metered() {
        load_used(sql, &mut account, device_uuid)?;
    }
    if item.charge_way.is_concurrent() {
        load_year(sql, &mut account, now)?;
    }
    let mut state = account.standing(device_uuid, now);
    let newest_serial = sql.value(
        "SELECT newest_serial FROM device WHERE item_id = ?1 AND device_uuid = ?2",
        values![&item.item_id, device_uuid],
    )?;
    state.newest_serial = newest_serial.unwrap_or(0);
    if item.charge_way.is_concurrent() {
        state.running_seats = running_seats(sql, item, device_uuid, state.excess_of_year, now)?;
    }
    if item.charge_way.has_window() || item.charge_way.is_concurrent() {
        state.occupied = holders::occupied(sql, &item.item_id, holder, now)?;
    }
    Ok(state)
}

/// Read how much of each module is used; for a strict item, also the allowances of all devices
/// together and of this one.
fn load_used(sql: &dyn Sql, account: &mut Account, device_uuid: &str) -> Result<(), Error> {
    let item_id = account.item.item_id.clone();
    let kind = metered_kind(&account.item).number();
    for (module, _) in quotas(&account.item) {
        let used: Option<u64> = sql.value(
            "SELECT used FROM item_used WHERE item_id = ?1 AND kind = ?2 AND module = ?3",
            values![&item_id, u32::from(kind), module],
        )?;
        account.used.insert((kind, module), Kept::read(used.unwrap_or(0)));
        if account.item.strict {
            if let Some(sums) = strict::sums(sql, &item_id, module)? {
                account.allowed.insert(module, Kept::read(sums));
            }
            if let Some(own) = strict::own(sql, &item_id, device_uuid, module)? {
                account.device(device_uuid.to_owned()).allowances.insert(module, Kept::read(own));
            }
        }
    }
    Ok(())
}

/// Read the excess of the license year that holds an instant, and the slots that have not ended.
fn load_year(sql: &dyn Sql, account: &mut Account, now: u64) -> Result<(), Error> {
    let item_id = account.item.item_id.clone();
    let year = OveruseRule::of(&account.item).year(now).index;
    let excess: Option<u64> = sql.value(
        "SELECT excess FROM year_excess WHERE item_id = ?1 AND year = ?2",
        values![&item_id, year],
    )?;
    // Without any excess in the year, a running slot has no excess either.
    let Some(excess) = excess else { return Ok(()) };
    account.years.insert(year, Kept::read(excess));
    let running = sql.query(
        "SELECT slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2",
        values![&item_id, slot_of(now)],
    )?;
    for mut row in running {
        account.slots.insert(row.take(0)?, Kept::read(row.take(1)?));
    }
    Ok(())
}

/// Return the highest x among the device's running authorizations. Once the item is overused, only
/// authorizations granted per slot count, so that an earlier grant does not keep the device from
/// requesting fewer seats.
fn running_seats(
    sql: &dyn Sql,
    item: &LicenseItem,
    device_uuid: &str,
    excess_of_year: u64,
    now: u64,
) -> Result<u32, Error> {
    let is_overused = OveruseRule::of(item).is_overused(excess_of_year, now);
    let until = if is_overused { runs_until(now) } else { u64::MAX };
    let highest: Option<Option<u32>> = sql.value(
        "SELECT max(seats_asked) FROM local_license
          WHERE item_id = ?1 AND device_uuid = ?2 AND valid_until > ?3 AND valid_until <= ?4",
        values![&item.item_id, device_uuid, now, until],
    )?;
    Ok(highest.flatten().unwrap_or(0))
}
