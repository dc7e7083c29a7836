//! The answers to the questions of [`crate::operator::queries`], one file for each.
//!
//! They run on a connection that only reads, in a transaction that shows one instant. A caller that
//! is bound to an organization sees what belongs to it; everything else does not exist for it.

mod alerts;
mod audit;
mod day;
mod devices;
mod domains;
mod explain;
mod gauges;
mod holders;
mod plan;
mod refusals;
mod status;
mod summaries;
mod usage;
mod year;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use status::BACKUP;

use super::access::unknown;
use super::{Sql, Value, values};
use crate::error::Error;
use crate::store::account::Account;
use crate::store::account::load::{Accounts, accounts};
use crate::store::reading::Snapshot;

/// The name of a device for people: that of the operator, or its own.
const NAME: &str = "coalesce((SELECT name FROM device_name
                   WHERE device_name.device_uuid = device.device_uuid), device.friendly_name)";

/// Return the ids of the items that the caller may see, in order; of one item if it is named.
fn item_ids(from: &Snapshot<'_>, item_id: Option<&str>) -> Result<Vec<String>, Error> {
    let rows = match (item_id, from.owner) {
        (Some(item_id), _) => {
            require_item(from, item_id)?;
            return Ok(vec![item_id.to_owned()]);
        }
        (None, Some(owner)) => from.sql().query(
            "SELECT item_id FROM license_file JOIN license_item USING (file_id)
              WHERE organization_id = ?1 ORDER BY item_id",
            values![owner],
        )?,
        (None, None) => {
            from.sql().query("SELECT item_id FROM license_item ORDER BY item_id", &[])?
        }
    };
    rows.into_iter().map(|mut row| row.take(0)).collect()
}

/// Refuse an item that does not exist for the caller.
fn require_item(from: &Snapshot<'_>, item_id: &str) -> Result<(), Error> {
    let owner: Option<String> = from.sql().value(
        "SELECT organization_id FROM license_item JOIN license_file USING (file_id) WHERE \
         item_id = ?1",
        values![item_id],
    )?;
    let is_seen = |owner: String| from.owner.is_none_or(|bound| bound == owner);
    if owner.is_some_and(is_seen) { Ok(()) } else { Err(unknown("item", item_id)) }
}

/// Refuse a handshake code that does not exist for the caller.
fn require_code(from: &Snapshot<'_>, code: &str) -> Result<(), Error> {
    let owner: Option<String> = from.sql().value(
        "SELECT organization_id FROM handshake_code WHERE handshake_code = ?1",
        values![code],
    )?;
    let is_seen = |owner: String| from.owner.is_none_or(|bound| bound == owner);
    if owner.is_some_and(is_seen) { Ok(()) } else { Err(unknown("handshake code", code)) }
}

/// Return the handshake codes of the organization to which the caller is bound; `None` for a caller
/// who sees all codes.
fn own_codes(from: &Snapshot<'_>) -> Result<Option<BTreeSet<String>>, Error> {
    let Some(owner) = from.owner else { return Ok(None) };
    let rows = from.sql().query(
        "SELECT handshake_code FROM handshake_code WHERE organization_id = ?1",
        values![owner],
    )?;
    rows.into_iter().map(|mut row| row.take(0)).collect::<Result<_, _>>().map(Some)
}

/// Load the account of one item.
fn account_of(from: &Snapshot<'_>, item_id: &str) -> Result<Account, Error> {
    require_item(from, item_id)?;
    let mut accounts: Accounts = accounts(from.sql(), [item_id], &(from.now..=from.now))?;
    match accounts.remove(item_id) {
        Some(account) => Ok(account),
        None => {
            let why = super::files::items_not_ready(from.sql(), &BTreeSet::from([item_id]))?;
            let why = why.get(item_id).map_or("its license file is missing", String::as_str);
            Err(super::files::item_is_not_ready(item_id, why))
        }
    }
}

/// Return the names of these devices, by their UUIDs.
fn names(sql: &dyn Sql, uuids: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
    let keys: Vec<Value<'_>> = uuids.iter().map(Value::from).collect();
    let mut names = BTreeMap::new();
    for mut row in super::table::DEVICES_BY_UUID.find(sql, &keys)? {
        let (uuid, name): (String, String) = (row.take(0)?, row.take(1)?);
        if !name.is_empty() {
            names.insert(uuid, name);
        }
    }
    // The name that an operator has given counts more.
    for mut row in super::table::DEVICE_NAME.find(sql, &keys)? {
        names.insert(row.take(0)?, row.take(1)?);
    }
    Ok(names)
}
