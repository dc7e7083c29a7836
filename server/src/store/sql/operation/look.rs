//! The lists that operators read.

use std::cmp::Ordering;

use serde::de::DeserializeOwned;

use crate::access::{TokenRow, UserRow};
use crate::error::Error;
use crate::operator::commands::{
    AuditRow, CodeRow, DeviceRow, EpochRow, ItemRow, Listing, OrganizationRow, ROWS_MAX, View,
};
use crate::policy::select::access::Validation;
use crate::problem::ProblemKind;
use crate::store::sql::{Row, Sql, Value, access, audit as audit_log, files, values};

pub(in crate::store) fn look(sql: &dyn Sql, view: &View, now: u64) -> Result<Listing, Error> {
    match view {
        View::Within { organization_id, view } => look_at(sql, view, Some(organization_id), now),
        view => look_at(sql, view, None, now),
    }
}

/// Read a list, or the part of it that belongs to an organization.
fn look_at(sql: &dyn Sql, view: &View, owner: Option<&str>, now: u64) -> Result<Listing, Error> {
    Ok(match view {
        View::Organizations => Listing::Organizations(organizations(sql, owner)?),
        View::Items => Listing::Items(items(sql, owner)?),
        View::Codes => Listing::Codes(codes(sql, owner)?),
        View::Devices { item_id, after } => Listing::Devices(match owner {
            None => devices(sql, item_id.as_deref(), after.as_ref(), now)?,
            Some(owner) => devices_of(sql, owner, item_id.as_deref(), after.as_ref(), now)?,
        }),
        View::Audit { before } => Listing::Audit(audit(sql, *before, owner)?),
        View::Tokens => Listing::Tokens(tokens(sql, owner)?),
        // These belong to no organization.
        View::Users | View::Epochs | View::Within { .. } if owner.is_some() => {
            return Err(Error::told(
                ProblemKind::OtherOrganization,
                "this list is about the whole server: use a token that is not bound to an \
                 organization",
            ));
        }
        View::Users => Listing::Users(users(sql)?),
        View::Epochs => Listing::Epochs(epochs(sql)?),
        View::Within { .. } => {
            return Err(Error::Internal("a list is bound twice".to_owned()));
        }
    })
}

/// The server keys that a database names.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The id of the key to sign with; `None` when it was never rotated.
    pub in_use: Option<String>,
    /// The ids of the keys that the license files name.
    pub of_files: Vec<String>,
}

/// Read the server keys that the database names.
pub(in crate::store) fn keys(sql: &dyn Sql) -> Result<Keys, Error> {
    let in_use = sql.value("SELECT key_id FROM server_key WHERE only_row = 1", &[])?;
    // Files from before there could be several keys do not name one.
    let named = "SELECT DISTINCT server_key_id FROM license_file WHERE server_key_id <> ''";
    let of_files =
        sql.query(named, &[])?.into_iter().map(|mut row| row.take(0)).collect::<Result<_, _>>()?;
    Ok(Keys { in_use, of_files })
}

fn rows<T>(
    sql: &dyn Sql,
    query: &str,
    parameters: &[Value<'_>],
    read: impl FnMut(Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    sql.query(&format!("{query} LIMIT {ROWS_MAX}"), parameters)?.into_iter().map(read).collect()
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|e| Error::Store(format!("a row of the database is damaged: {e}")))
}

/// Return a query with a condition for an organization, and its parameter.
fn owned<'a>(query: &str, owner: &'a Option<&str>, order: &str) -> (String, Vec<Value<'a>>) {
    match owner {
        Some(owner) => {
            let query = format!("{query} WHERE organization_id = ?1 ORDER BY {order}");
            (query, vec![Value::from(*owner)])
        }
        None => (format!("{query} ORDER BY {order}"), Vec::new()),
    }
}

fn organizations(sql: &dyn Sql, owner: Option<&str>) -> Result<Vec<OrganizationRow>, Error> {
    let query = "SELECT organization_id, name, default_handshake_code FROM organization";
    let (query, parameters) = owned(query, &owner, "organization_id");
    rows(sql, &query, &parameters, |mut row| {
        Ok(OrganizationRow {
            organization_id: row.take(0)?,
            name: row.take(1)?,
            default_handshake_code: row.take(2)?,
        })
    })
}

fn items(sql: &dyn Sql, owner: Option<&str>) -> Result<Vec<ItemRow>, Error> {
    let query = "SELECT item_id, file_id, organization_id, revoked_at
                   FROM license_item JOIN license_file USING (file_id)";
    let (query, parameters) = owned(query, &owner, "organization_id, item_id");
    let mut items = rows(sql, &query, &parameters, |mut row| {
        Ok(ItemRow {
            item_id: row.take(0)?,
            file_id: row.take(1)?,
            organization_id: row.take(2)?,
            revoked_at: row.take(3)?,
            not_ready: None,
            item: None,
        })
    })?;
    let ids = items.iter().map(|row| row.file_id.as_str()).collect();
    let files = files::find(sql, &ids)?;
    for row in &mut items {
        let file = files.get(&row.file_id).and_then(|file| file.as_ref().ok());
        row.item = file.and_then(|file| file.item(&row.item_id)).cloned();
    }
    let without = items.iter().filter(|row| row.item.is_none());
    let mut why = files::items_not_ready(sql, &without.map(|row| row.item_id.as_str()).collect())?;
    items.iter_mut().for_each(|row| row.not_ready = why.remove(&row.item_id));
    Ok(items)
}

fn codes(sql: &dyn Sql, owner: Option<&str>) -> Result<Vec<CodeRow>, Error> {
    let query = "SELECT handshake_code, organization_id, CASE WHEN password_hash IS NULL THEN 0 \
        ELSE 1 END, validation, own_order
                   FROM handshake_code";
    let (query, parameters) = owned(query, &owner, "organization_id, handshake_code");
    let mut codes = rows(sql, &query, &parameters, |mut row| {
        let validation: Validation = json(&row.take::<String>(3)?)?;
        Ok(CodeRow {
            handshake_code: row.take(0)?,
            organization_id: row.take(1)?,
            has_password: row.take(2)?,
            validation,
            own_order: row.take(4)?,
            item_ids: Vec::new(),
        })
    })?;
    for code in &mut codes {
        let query =
            "SELECT item_id FROM handshake_item WHERE handshake_code = ?1 ORDER BY position";
        code.item_ids = rows(sql, query, values![&code.handshake_code], |mut row| row.take(0))?;
    }
    Ok(codes)
}

/// Return the devices under the items of an organization, item by item.
fn devices_of(
    sql: &dyn Sql,
    owner: &str,
    item_id: Option<&str>,
    after: Option<&(String, String)>,
    now: u64,
) -> Result<Vec<DeviceRow>, Error> {
    let item_ids: Vec<String> = sql
        .query(
            "SELECT item_id FROM license_item JOIN license_file USING (file_id)
              WHERE organization_id = ?1 ORDER BY item_id",
            values![owner],
        )?
        .into_iter()
        .map(|mut row| row.take(0))
        .collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for item in item_ids.iter().filter(|item| item_id.is_none_or(|wanted| wanted == **item)) {
        found.extend(devices(sql, Some(item), after, now)?);
        if found.len() >= ROWS_MAX as usize {
            found.truncate(ROWS_MAX as usize);
            break;
        }
    }
    Ok(found)
}

fn devices(
    sql: &dyn Sql,
    item_id: Option<&str>,
    after: Option<&(String, String)>,
    now: u64,
) -> Result<Vec<DeviceRow>, Error> {
    // Empty names sort before all others.
    let (after_item, after_device) =
        after.map_or(("", ""), |(item_id, device_uuid)| (item_id.as_str(), device_uuid.as_str()));
    // Each page begins where the previous one ended, and reads only its own rows. Thus a page of
    // devices costs the same wherever it is in the list.
    let (is_wanted, place) = match item_id {
        Some(item_id) => {
            let after_device = match after_item.cmp(item_id) {
                Ordering::Less => "",
                Ordering::Equal => after_device,
                Ordering::Greater => return Ok(Vec::new()),
            };
            ("device.item_id = ?2 AND device.device_uuid > ?3", [item_id, after_device])
        }
        None => ("(device.item_id, device.device_uuid) > (?2, ?3)", [after_item, after_device]),
    };
    let running = "FROM local_license AS running
             WHERE running.item_id = device.item_id AND running.device_uuid = device.device_uuid
               AND running.valid_until > ?1";
    let identity = "FROM device_identity WHERE device_identity.device_uuid = device.device_uuid";
    let query = format!(
        "SELECT device.item_id, device.device_uuid,
                coalesce((SELECT name FROM device_name WHERE device_name.device_uuid = \
                device.device_uuid),
                         device.friendly_name),
                device.library_version, coalesce((SELECT max(running.seats) {running}), 0),
                coalesce((SELECT max(running.valid_until) {running}), 0), device.last_seen_at,
                coalesce((SELECT rollbacks {identity}), 0),
                coalesce((SELECT rolled_back_at {identity}), 0)
           FROM device WHERE {is_wanted} ORDER BY device.item_id, device.device_uuid"
    );
    rows(sql, &query, values![now, place[0], place[1]], |mut row| {
        Ok(DeviceRow {
            item_id: row.take(0)?,
            device_uuid: row.take(1)?,
            name: row.take(2)?,
            library_version: row.take(3)?,
            seats: row.take(4)?,
            valid_until: row.take(5)?,
            last_seen_at: row.take(6)?,
            rollbacks: row.take(7)?,
            rolled_back_at: Some(row.take(8)?).filter(|at| *at > 0),
        })
    })
}

fn audit(sql: &dyn Sql, before: Option<u64>, owner: Option<&str>) -> Result<Vec<AuditRow>, Error> {
    let before = before.unwrap_or(u64::MAX).min(i64::MAX as u64);
    let columns = "audit_id, at, actor, action, subject, detail, organization_id, hash";
    let (query, parameters) = match owner {
        None => {
            let query =
                format!("SELECT {columns} FROM audit WHERE audit_id < ?1 ORDER BY audit_id DESC");
            (query, vec![Value::from(before)])
        }
        Some(owner) => {
            let query = format!(
                "SELECT {columns} FROM audit WHERE organization_id = ?2 AND audit_id < ?1 ORDER \
                 BY organization_id DESC, audit_id DESC"
            );
            (query, vec![Value::from(before), Value::from(owner)])
        }
    };
    rows(sql, &query, &parameters, |mut row| audit_log::line(&mut row))
}

fn tokens(sql: &dyn Sql, owner: Option<&str>) -> Result<Vec<TokenRow>, Error> {
    let query = "SELECT name, role, organization_id, made_at, expires_at, last_used_at, revoked_at
                   FROM admin_token";
    let (query, parameters) = owned(query, &owner, "name");
    rows(sql, &query, &parameters, |mut row| access::token_row(&mut row))
}

fn users(sql: &dyn Sql) -> Result<Vec<UserRow>, Error> {
    let query = "SELECT name, role, made_at, password_set_at FROM admin_user ORDER BY name";
    rows(sql, query, &[], |mut row| access::user_row(&mut row))
}

fn epochs(sql: &dyn Sql) -> Result<Vec<EpochRow>, Error> {
    let query = "SELECT number, epoch, begun_at, cause FROM epoch ORDER BY number DESC";
    rows(sql, query, &[], |mut row| {
        Ok(EpochRow {
            number: row.take(0)?,
            epoch: row.take(1)?,
            begun_at: row.take(2)?,
            cause: row.take(3)?,
        })
    })
}
