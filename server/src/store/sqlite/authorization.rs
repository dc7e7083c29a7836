//! One authorisation: read what the rules need, let them decide, write the grant.

use rusqlite::{Connection, OptionalExtension, params};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::epoch::epoch;
use super::stored;
use crate::error::Error;
use crate::policy::handshake::{self, Asked, Known};
use crate::policy::{self, Candidate, Grant};
use crate::store::{Authorization, Granted};

pub(super) fn authorize(connection: &Connection, request: &Authorization) -> Result<Granted, Error> {
    let asked = Asked { handshake_code: &request.handshake_code, organization_id: &request.organization_id };
    let handshake_code = handshake::resolve(asked, &known(connection, asked)?)?;
    let mut candidates = candidates(connection, request, &handshake_code)?;
    let grant = policy::decide(&request.claim, &candidates)?;
    let item = candidates.swap_remove(grant.candidate).item;
    remember(connection, request, &handshake_code, &item.item_id, &grant)?;
    let (license_file, root_key) = license_file(connection, &item.item_id)?;
    Ok(Granted {
        handshake_code,
        item,
        license_file,
        root_key,
        seats: grant.seats,
        serial: grant.serial,
        valid_until: grant.valid_until,
        epoch: epoch(connection)?,
    })
}

fn known(connection: &Connection, asked: Asked<'_>) -> Result<Known, Error> {
    let code_owner = connection
        .prepare_cached("SELECT organization_id FROM handshake_code WHERE handshake_code = ?1")?
        .query_row([asked.handshake_code], |row| row.get(0))
        .optional()?;
    let organization: Option<Option<String>> = connection
        .prepare_cached("SELECT default_handshake_code FROM organization WHERE organization_id = ?1")?
        .query_row([asked.organization_id], |row| row.get(0))
        .optional()?;
    Ok(Known { code_owner, organization: organization.is_some(), default_code: organization.flatten() })
}

fn candidates(
    connection: &Connection,
    request: &Authorization,
    handshake_code: &str,
) -> Result<Vec<Candidate>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT item.item_id, item.definition,
                (SELECT max(seats_asked) FROM local_license AS running
                  WHERE running.item_id = item.item_id AND running.device_uuid = ?2
                    AND running.valid_until > ?3),
                (SELECT newest_serial FROM device
                  WHERE device.item_id = item.item_id AND device.device_uuid = ?2)
           FROM handshake_item JOIN license_item AS item USING (item_id)
          WHERE handshake_item.handshake_code = ?1
          ORDER BY handshake_item.position",
    )?;
    let mut rows =
        statement.query(params![handshake_code, request.device.uuid, stored(request.claim.now)])?;
    let mut candidates = Vec::new();
    while let Some(row) = rows.next()? {
        let (item_id, definition): (String, String) = (row.get(0)?, row.get(1)?);
        let item: LicenseItem = serde_json::from_str(&definition)
            .map_err(|e| Error::Store(format!("the definition of item \"{item_id}\" is damaged: {e}")))?;
        candidates.push(Candidate {
            item,
            running_seats: row.get::<_, Option<u32>>(2)?.unwrap_or(0),
            newest_serial: row.get::<_, Option<u32>>(3)?.unwrap_or(0),
        });
    }
    Ok(candidates)
}

fn remember(
    connection: &Connection,
    request: &Authorization,
    handshake_code: &str,
    item_id: &str,
    grant: &Grant,
) -> Result<(), Error> {
    let device = &request.device;
    let now = stored(request.claim.now);
    connection
        .prepare_cached(
            "INSERT INTO device (item_id, device_uuid, friendly_name, library_version, newest_serial,
                                 first_seen_at, last_seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (item_id, device_uuid) DO UPDATE
                SET friendly_name = excluded.friendly_name, library_version = excluded.library_version,
                    newest_serial = excluded.newest_serial,
                    last_seen_at = max(last_seen_at, excluded.last_seen_at)",
        )?
        .execute(params![
            item_id,
            device.uuid,
            device.friendly_name,
            device.library_version,
            grant.serial,
            now
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, serial,
                                        seats_asked, seats, issued_at, valid_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            item_id,
            request.license_id,
            device.uuid,
            handshake_code,
            grant.serial,
            request.claim.seats,
            grant.seats,
            now,
            stored(grant.valid_until)
        ])?;
    Ok(())
}

fn license_file(connection: &Connection, item_id: &str) -> Result<(Signed, PublicKey), Error> {
    let (signed, root_key) = connection
        .prepare_cached(
            "SELECT payload, key_id, signature, root_key FROM license_file
              WHERE file_id = (SELECT file_id FROM license_item WHERE item_id = ?1)",
        )?
        .query_row([item_id], |row| {
            let signed = Signed { payload: row.get(0)?, key_id: row.get(1)?, signature: row.get(2)? };
            Ok((signed, row.get::<_, String>(3)?))
        })?;
    let root_key =
        root_key.parse().map_err(|e| Error::Store(format!("the root key of item \"{item_id}\": {e}")))?;
    Ok((signed, root_key))
}
