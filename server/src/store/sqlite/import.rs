//! Organizations, licence files and handshake codes.

use rusqlite::{Connection, OptionalExtension, params};

use super::stored;
use crate::error::Error;
use crate::store::{Import, Organization};

pub(super) fn import(connection: &Connection, import: &Import) -> Result<(), Error> {
    let file = &import.file;
    refuse_what_is_there(connection, import)?;
    connection.execute(
        "INSERT INTO organization (organization_id, name) VALUES (?1, ?2)
         ON CONFLICT (organization_id) DO UPDATE SET name = excluded.name",
        params![file.organization_id, file.organization_name],
    )?;
    connection.execute(
        "INSERT INTO license_file (file_id, organization_id, root_key, payload, key_id, signature, imported_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            file.file_id,
            file.organization_id,
            import.root_key.to_string(),
            import.envelope.payload,
            import.envelope.key_id,
            import.envelope.signature,
            stored(import.now)
        ],
    )?;
    for item in &file.items {
        let definition = serde_json::to_string(item)
            .map_err(|e| Error::Internal(format!("item \"{}\" has no JSON form: {e}", item.item_id)))?;
        connection.execute(
            "INSERT INTO license_item (item_id, file_id, definition) VALUES (?1, ?2, ?3)",
            params![item.item_id, file.file_id, definition],
        )?;
    }
    match &import.handshake_code {
        Some(code) => make_default_code(connection, import, code),
        None => Ok(()),
    }
}

fn refuse_what_is_there(connection: &Connection, import: &Import) -> Result<(), Error> {
    let there = |query: &str, id: &str| connection.prepare_cached(query)?.exists([id]);
    let file = &import.file;
    if there("SELECT 1 FROM license_file WHERE file_id = ?1", &file.file_id)? {
        return Err(Error::Setup(format!("licence file \"{}\" was imported already.", file.file_id)));
    }
    for item in &file.items {
        if there("SELECT 1 FROM license_item WHERE item_id = ?1", &item.item_id)? {
            return Err(Error::Setup(format!(
                "licence file \"{}\" has item \"{}\", which is here already from another file.",
                file.file_id, item.item_id
            )));
        }
    }
    match &import.handshake_code {
        Some(code) if there("SELECT 1 FROM handshake_code WHERE handshake_code = ?1", code)? => {
            Err(Error::Setup(format!("there is a handshake code \"{code}\" already. Choose another one.")))
        }
        _ => Ok(()),
    }
}

fn make_default_code(connection: &Connection, import: &Import, code: &str) -> Result<(), Error> {
    let organization_id = &import.file.organization_id;
    connection.execute(
        "INSERT INTO handshake_code (handshake_code, organization_id, made_at) VALUES (?1, ?2, ?3)",
        params![code, organization_id, stored(import.now)],
    )?;
    for (position, item) in (1_i64..).zip(&import.file.items) {
        connection.execute(
            "INSERT INTO handshake_item (handshake_code, position, item_id) VALUES (?1, ?2, ?3)",
            params![code, position, item.item_id],
        )?;
    }
    connection.execute(
        "UPDATE organization SET default_handshake_code = ?2 WHERE organization_id = ?1",
        params![organization_id, code],
    )?;
    Ok(())
}

pub(super) fn organization(connection: &Connection, id: &str) -> Result<Option<Organization>, Error> {
    Ok(connection
        .query_row(
            "SELECT name, default_handshake_code FROM organization WHERE organization_id = ?1",
            [id],
            |row| Ok(Organization { name: row.get(0)?, default_handshake_code: row.get(1)? }),
        )
        .optional()?)
}
