//! The lists that operators read.

use std::collections::{BTreeSet, HashMap};

use serde::de::DeserializeOwned;

use crate::access::{TokenRow, UserRow};
use crate::error::Error;
use crate::operator::commands::{
    AuditRow, CodeRow, EpochRow, ItemRow, Listing, OrganizationRow, ROWS_MAX, View,
};
use crate::policy::select::access::Validation;
use crate::problem::ProblemKind;
use crate::store::sql::table::{FILE_OWNER, ITEM};
use crate::store::sql::{Row, Sql, Value, access, audit as audit_log, files, values};

pub(in crate::store) fn look(sql: &dyn Sql, view: &View) -> Result<Listing, Error> {
    match view {
        View::Within { organization_id, view } => look_at(sql, view, Some(organization_id)),
        view => look_at(sql, view, None),
    }
}

/// Read a list, or the part of it that belongs to an organization.
fn look_at(sql: &dyn Sql, view: &View, owner: Option<&str>) -> Result<Listing, Error> {
    Ok(match view {
        View::Organizations => Listing::Organizations(organizations(sql, owner)?),
        View::Items => Listing::Items(items(sql, owner)?),
        View::Codes => Listing::Codes(codes(sql, owner)?),
        View::Audit { before } => Listing::Audit(audit(sql, *before, owner)?),
        View::Tokens => Listing::Tokens(tokens(sql, owner)?),
        // The views below belong to no organization.
        View::Users | View::Epochs | View::Within { .. } if owner.is_some() => {
            return Err(Error::of(
                ProblemKind::OtherOrganization,
                "this list is about the whole server: use a token or user that is not bound to an \
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
    fill_items(sql, &mut items)?;
    Ok(items)
}

/// Return these items.
pub(in crate::store::sql) fn items_of(
    sql: &dyn Sql,
    item_ids: &[String],
) -> Result<Vec<ItemRow>, Error> {
    let keys: Vec<Value<'_>> = item_ids.iter().map(Value::from).collect();
    let mut items = Vec::with_capacity(item_ids.len());
    for mut row in ITEM.find(sql, &keys)? {
        items.push(ItemRow {
            item_id: row.take(0)?,
            file_id: row.take(1)?,
            organization_id: String::new(),
            revoked_at: row.take(2)?,
            not_ready: None,
            item: None,
        });
    }
    let ids: BTreeSet<&str> = items.iter().map(|row| row.file_id.as_str()).collect();
    let keys: Vec<Value<'_>> = ids.into_iter().map(Value::from).collect();
    let mut owners: HashMap<String, String> = HashMap::new();
    for mut row in FILE_OWNER.find(sql, &keys)? {
        owners.insert(row.take(0)?, row.take(1)?);
    }
    for row in &mut items {
        row.organization_id = owners.get(&row.file_id).cloned().unwrap_or_default();
    }
    fill_items(sql, &mut items)?;
    Ok(items)
}

/// Put what the vendor signed into the rows of items, or why it cannot be trusted.
fn fill_items(sql: &dyn Sql, items: &mut [ItemRow]) -> Result<(), Error> {
    let ids = items.iter().map(|row| row.file_id.as_str()).collect();
    let files = files::find(sql, &ids)?;
    for row in items.iter_mut() {
        let file = files.get(&row.file_id).and_then(|file| file.as_ref().ok());
        row.item = file.and_then(|file| file.item(&row.item_id)).map(|item| (**item).clone());
    }
    let without = items.iter().filter(|row| row.item.is_none());
    let mut why = files::items_not_ready(sql, &without.map(|row| row.item_id.as_str()).collect())?;
    items.iter_mut().for_each(|row| row.not_ready = why.remove(&row.item_id));
    Ok(())
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
    let query = "SELECT name, role, organization_id, made_at, password_set_at
                   FROM admin_user ORDER BY name";
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
