//! The organization that a change concerns, for the audit log and for callers that are bound to
//! one.
//!
//! For a caller that is bound to an organization, objects of other organizations do not exist. The
//! refusal is the same, word for word, as for an object that nobody has.

use crate::error::Error;
use crate::operator::commands::Change;
use crate::problem::ProblemKind;
use crate::store::sql::access::{organization_of_token, unknown};
use crate::store::sql::{Sql, alerts, values};

/// Return the organization that a change concerns; `None` when it concerns the whole server,
/// several organizations, or nothing that exists.
pub(super) fn of(sql: &dyn Sql, change: &Change) -> Result<Option<String>, Error> {
    Ok(match change {
        Change::Import(import) => Some(import.file.organization_id.clone()),
        Change::Correct(correct) => of_item(sql, &correct.correction.item_id)?,
        Change::MakeCode { organization_id, .. }
        | Change::SetDefaultCode { organization_id, .. }
        | Change::DeleteOrganization { organization_id } => Some(organization_id.clone()),
        Change::SetItems { handshake_code, .. }
        | Change::SetAccess { handshake_code, .. }
        | Change::DeleteCode { handshake_code } => of_code(sql, handshake_code)?,
        Change::ReleaseDevice { item_id, .. } | Change::RevokeItem { item_id } => {
            of_item(sql, item_id)?
        }
        Change::RenameDevice { device_uuid, .. } | Change::DeleteDevice { device_uuid } => {
            only(of_device(sql, device_uuid)?)
        }
        Change::MakeToken(token) => token.organization_id.clone(),
        Change::RevokeToken { name } => {
            organization_of_token(sql, name)?.filter(|id| !id.is_empty())
        }
        Change::RearmAlert { alert_id } | Change::MuteAlert { alert_id, .. } => {
            alerts::owner(sql, alert_id)?
        }
        Change::SetThresholds { item_id: Some(item_id), .. } => of_item(sql, item_id)?,
        Change::SetThresholds { item_id: None, .. }
        | Change::TestAlerts
        | Change::DisableWebhook { .. }
        | Change::EnableWebhook
        | Change::ReplayEvent { .. }
        | Change::UseKey { .. }
        | Change::AcceptClock
        | Change::NoteBackup { .. }
        | Change::MakeUser { .. }
        | Change::SetPassword { .. }
        | Change::SetRole { .. }
        | Change::RemoveUser { .. }
        | Change::Within { .. } => None,
    })
}

/// Refuse a change that concerns anything but this organization.
pub(super) fn require_within(
    sql: &dyn Sql,
    change: &Change,
    organization_id: &str,
) -> Result<(), Error> {
    let is_ours = |owner: Option<String>| owner.as_deref() == Some(organization_id);
    let require = |owner, refusal: Error| if is_ours(owner) { Ok(()) } else { Err(refusal) };
    require(of(sql, change)?, refusal(sql, change, organization_id)?)?;
    // The change may name a second thing.
    match change {
        Change::Import(import) => {
            let query = "SELECT organization_id FROM license_file WHERE file_id = ?1";
            let file_id = &import.file.file_id;
            let known: Option<String> = sql.value(query, values![file_id])?;
            let taken = format!("there is another license file \"{file_id}\" already");
            if known.is_none() { Ok(()) } else { require(known, Error::conflict(taken)) }
        }
        Change::SetDefaultCode { handshake_code, .. } => {
            require(of_code(sql, handshake_code)?, unknown("handshake code", handshake_code))
        }
        Change::SetItems { items, .. } => items
            .item_ids
            .iter()
            .try_for_each(|item_id| require(of_item(sql, item_id)?, unknown("item", item_id))),
        _ => Ok(()),
    }
}

/// Return the refusal of a change whose subject does not exist for a caller of this organization.
fn refusal(sql: &dyn Sql, change: &Change, organization_id: &str) -> Result<Error, Error> {
    Ok(match change {
        Change::Import(import) => unknown("organization", &import.file.organization_id),
        Change::Correct(correct) => unknown("item", &correct.correction.item_id),
        Change::MakeCode { organization_id, .. }
        | Change::SetDefaultCode { organization_id, .. }
        | Change::DeleteOrganization { organization_id } => {
            unknown("organization", organization_id)
        }
        Change::SetItems { handshake_code, .. }
        | Change::SetAccess { handshake_code, .. }
        | Change::DeleteCode { handshake_code } => unknown("handshake code", handshake_code),
        Change::RevokeItem { item_id } => unknown("item", item_id),
        Change::ReleaseDevice { item_id, device_uuid } => nothing_from(item_id, device_uuid),
        Change::RenameDevice { device_uuid, .. } | Change::DeleteDevice { device_uuid } => {
            if of_device(sql, device_uuid)?.iter().any(|owner| owner == organization_id) {
                Error::of(
                    ProblemKind::OtherOrganization,
                    format!(
                        "device {device_uuid} works for another organization, too, and has one \
                         name for both: use a token or user for all organizations"
                    ),
                )
            } else {
                unknown("device", device_uuid)
            }
        }
        Change::MakeToken(token) => match &token.organization_id {
            Some(organization_id) => unknown("organization", organization_id),
            None => whole_server(),
        },
        Change::RearmAlert { alert_id } | Change::MuteAlert { alert_id, .. } => {
            unknown("alert", alert_id)
        }
        Change::SetThresholds { item_id: Some(item_id), .. } => unknown("item", item_id),
        Change::RevokeToken { name } => unknown("token in use", name),
        _ => whole_server(),
    })
}

fn whole_server() -> Error {
    Error::of(
        ProblemKind::OtherOrganization,
        "this concerns the whole server: use a token or user that is not bound to an organization",
    )
}

/// Make the error for a device that was granted nothing from an item.
pub(super) fn nothing_from(item_id: &str, device_uuid: &str) -> Error {
    Error::not_found(format!("device {device_uuid} has nothing from item \"{item_id}\""))
}

pub(in crate::store::sql) fn of_item(
    sql: &dyn Sql,
    item_id: &str,
) -> Result<Option<String>, Error> {
    sql.value(
        "SELECT organization_id FROM license_item JOIN license_file USING (file_id) WHERE \
         item_id = ?1",
        values![item_id],
    )
}

pub(super) fn of_code(sql: &dyn Sql, handshake_code: &str) -> Result<Option<String>, Error> {
    sql.value(
        "SELECT organization_id FROM handshake_code WHERE handshake_code = ?1",
        values![handshake_code],
    )
}

/// Return the organizations with items that the device has worked under.
fn of_device(sql: &dyn Sql, device_uuid: &str) -> Result<Vec<String>, Error> {
    let rows = sql.query(
        "SELECT item_id FROM device WHERE device_uuid = ?1 ORDER BY item_id",
        values![device_uuid],
    )?;
    let mut owners = Vec::new();
    for mut row in rows {
        owners.extend(of_item(sql, &row.take::<String>(0)?)?);
    }
    owners.sort();
    owners.dedup();
    Ok(owners)
}

fn only(mut owners: Vec<String>) -> Option<String> {
    if owners.len() == 1 { owners.pop() } else { None }
}
