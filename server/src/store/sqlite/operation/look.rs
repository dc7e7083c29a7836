//! Lists.

use rusqlite::{Connection, Params, Row, params};
use seatmeter_protocol::license::LicenseItem;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::operation::{
    AuditRow, CodeRow, DeviceRow, ItemRow, Listing, OrganizationRow, ROWS_MAX, TokenRow, Validation, View,
};
use crate::store::sqlite::stored;

pub(in crate::store::sqlite) fn look(
    connection: &Connection,
    view: &View,
    now: u64,
) -> Result<Listing, Error> {
    Ok(match view {
        View::Organizations => Listing::Organizations(organizations(connection)?),
        View::Items => Listing::Items(items(connection)?),
        View::Codes => Listing::Codes(codes(connection)?),
        View::Devices { item_id } => Listing::Devices(devices(connection, item_id.as_deref(), now)?),
        View::Audit => Listing::Audit(audit(connection)?),
        View::Tokens => Listing::Tokens(tokens(connection)?),
    })
}

/// Name and hash of every token that is not revoked.
pub(in crate::store::sqlite) fn token_hashes(
    connection: &Connection,
) -> Result<Vec<(String, String)>, Error> {
    rows(connection, "SELECT name, token_hash FROM admin_token WHERE revoked_at IS NULL", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

fn rows<T>(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(&format!("{query} LIMIT {ROWS_MAX}"))?;
    let mut found = statement.query(parameters)?;
    let (mut all, mut read) = (Vec::new(), read);
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::Store(format!("a row of the database is damaged: {e}")))
}

fn organizations(connection: &Connection) -> Result<Vec<OrganizationRow>, Error> {
    let query =
        "SELECT organization_id, name, default_handshake_code FROM organization ORDER BY organization_id";
    rows(connection, query, [], |row| {
        Ok(OrganizationRow {
            organization_id: row.get(0)?,
            name: row.get(1)?,
            default_handshake_code: row.get(2)?,
        })
    })
}

fn items(connection: &Connection) -> Result<Vec<ItemRow>, Error> {
    let query = "SELECT file_id, organization_id, revoked_at, definition
                   FROM license_item JOIN license_file USING (file_id) ORDER BY organization_id, item_id";
    rows(connection, query, [], |row| {
        let item: LicenseItem = json(&row.get::<_, String>(3)?)?;
        Ok(ItemRow { file_id: row.get(0)?, organization_id: row.get(1)?, revoked_at: row.get(2)?, item })
    })
}

fn codes(connection: &Connection) -> Result<Vec<CodeRow>, Error> {
    let query = "SELECT handshake_code, organization_id, password_hash IS NOT NULL, validation, own_order
                   FROM handshake_code ORDER BY organization_id, handshake_code";
    let mut codes = rows(connection, query, [], |row| {
        let validation: Validation = json(&row.get::<_, String>(3)?)?;
        Ok(CodeRow {
            handshake_code: row.get(0)?,
            organization_id: row.get(1)?,
            has_password: row.get(2)?,
            validation,
            own_order: row.get(4)?,
            item_ids: Vec::new(),
        })
    })?;
    for code in &mut codes {
        let query = "SELECT item_id FROM handshake_item WHERE handshake_code = ?1 ORDER BY position";
        code.item_ids = rows(connection, query, [&code.handshake_code], |row| Ok(row.get(0)?))?;
    }
    Ok(codes)
}

fn devices(connection: &Connection, item_id: Option<&str>, now: u64) -> Result<Vec<DeviceRow>, Error> {
    let query = "
        SELECT device.item_id, device.device_uuid, coalesce(device_name.name, device.friendly_name),
               device.library_version, coalesce(max(running.seats), 0), coalesce(max(running.valid_until), 0),
               device.last_seen_at
          FROM device
          LEFT JOIN device_name USING (device_uuid)
          LEFT JOIN local_license AS running
            ON running.item_id = device.item_id AND running.device_uuid = device.device_uuid
               AND running.valid_until > ?2
         WHERE ?1 IS NULL OR device.item_id = ?1
         GROUP BY device.item_id, device.device_uuid ORDER BY device.item_id, device.device_uuid";
    rows(connection, query, params![item_id, stored(now)], |row| {
        Ok(DeviceRow {
            item_id: row.get(0)?,
            device_uuid: row.get(1)?,
            name: row.get(2)?,
            library_version: row.get(3)?,
            seats: row.get(4)?,
            valid_until: row.get(5)?,
            last_seen_at: row.get(6)?,
        })
    })
}

fn audit(connection: &Connection) -> Result<Vec<AuditRow>, Error> {
    let query = "SELECT audit_id, at, actor, action, subject, detail FROM audit ORDER BY audit_id DESC";
    rows(connection, query, [], |row| {
        Ok(AuditRow {
            audit_id: row.get(0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            detail: row.get(5)?,
        })
    })
}

fn tokens(connection: &Connection) -> Result<Vec<TokenRow>, Error> {
    rows(connection, "SELECT name, made_at, revoked_at FROM admin_token ORDER BY name", [], |row| {
        Ok(TokenRow { name: row.get(0)?, made_at: row.get(1)?, revoked_at: row.get(2)? })
    })
}
