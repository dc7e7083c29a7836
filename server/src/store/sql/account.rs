//! How an item stands for a device: the narrow place through which the licence rules see the database.
//!
//! Each charge way reads what its own rule needs, and nothing that grows with the number of devices or with the
//! history.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::UsageKind;

use super::{Sql, activity, holders, strict, values};
use crate::error::Error;
use crate::policy::ItemState;
use crate::policy::overuse::OveruseRule;
use crate::policy::running::runs_until;
use crate::policy::select::admission::{Used, quotas};

/// The item that a row holds as JSON.
pub(super) fn read_item(definition: &str) -> Result<LicenseItem, Error> {
    serde_json::from_str(definition)
        .map_err(|e| Error::Store(format!("the definition of an item is damaged: {e}")))
}

/// The item with this id, if there is one.
pub(super) fn item(sql: &dyn Sql, item_id: &str) -> Result<Option<LicenseItem>, Error> {
    let definition: Option<String> =
        sql.value("SELECT definition FROM license_item WHERE item_id = ?1", values![item_id])?;
    definition.map(|definition| read_item(&definition)).transpose()
}

/// Reads it, in the transaction of the decision.
pub(super) fn state(
    sql: &dyn Sql,
    item: &LicenseItem,
    device_uuid: &str,
    holder: &str,
    now: u64,
) -> Result<ItemState, Error> {
    let mut state = measured(sql, item, device_uuid, now)?;
    let newest_serial = sql.value(
        "SELECT newest_serial FROM device WHERE item_id = ?1 AND device_uuid = ?2",
        values![&item.item_id, device_uuid],
    )?;
    state.newest_serial = newest_serial.unwrap_or(0);
    if is_concurrent(item) {
        state.running_seats = running_seats(sql, item, device_uuid, state.excess_of_year, now)?;
    }
    if has_seats(item) || is_concurrent(item) {
        state.occupied = holders::occupied(sql, &item.item_id, holder, now)?;
    }
    Ok(state)
}

/// What is used, and the excess.
fn measured(sql: &dyn Sql, item: &LicenseItem, device_uuid: &str, now: u64) -> Result<ItemState, Error> {
    let mut state = ItemState::default();
    if matches!(item.charge_way, ChargeWay::BarcodeScan | ChargeWay::Page) {
        state.used = used(sql, item, device_uuid)?;
    }
    if is_concurrent(item) {
        state.excess_of_year = activity::excess_so_far(sql, item, now)?;
    }
    Ok(state)
}

/// Whether devices hold seats of it for a window.
pub(super) fn has_seats(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ClientDevice | ChargeWay::ActiveDevice | ChargeWay::Server)
}

/// Whether it has an overuse budget.
pub(super) fn is_concurrent(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance)
}

/// The highest x among the device's running authorisations. Once the item is overused these are the ones that
/// were granted by the slot: what was granted before does not keep the device from asking for less.
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

/// What a metered item is charged by.
pub(super) fn metered_kind(item: &LicenseItem) -> UsageKind {
    match item.charge_way {
        ChargeWay::Page => UsageKind::Page,
        _ => UsageKind::Scan,
    }
}

/// How much of each module of the item is used.
fn used(sql: &dyn Sql, item: &LicenseItem, device_uuid: &str) -> Result<Vec<Used>, Error> {
    let kind = metered_kind(item);
    let mut all = Vec::new();
    for (module, _) in quotas(item) {
        let used = sql.value(
            "SELECT used FROM item_used WHERE item_id = ?1 AND kind = ?2 AND module = ?3",
            values![&item.item_id, u32::from(kind.number()), module],
        )?;
        let mut used = Used { module, used: used.unwrap_or(0), ..Used::default() };
        if item.strict {
            strict::read(sql, &item.item_id, device_uuid, &mut used)?;
        }
        all.push(used);
    }
    Ok(all)
}
