//! One authorisation: read what the rules need, let them decide, write the grant.

use rusqlite::{Connection, OptionalExtension, params};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::epoch::{careful, epoch};
use super::item_state::item_state;
use super::{held, stored};
use crate::error::Error;
use crate::operation::Validation;
use crate::policy::handshake::{self, Asked, Known};
use crate::policy::{self, Candidate, Grant, Order, access, clone};
use crate::store::{Authorization, Decision, Granted};

/// What is known of a handshake code.
struct Code {
    name: String,
    password_hash: Option<String>,
    validation: Validation,
    order: Order,
}

/// Where a grant is to be remembered.
struct Account<'a> {
    handshake_code: &'a str,
    item_id: &'a str,
    parent: &'a str,
}

pub(super) fn authorize(connection: &Connection, request: &Authorization) -> Result<Decision, Error> {
    let asked = Asked { handshake_code: &request.handshake_code, organization_id: &request.organization_id };
    let code = code(connection, handshake::resolve(asked, &known(connection, asked)?)?)?;
    if let Some(hash) = &code.password_hash
        && request.proven_hash.as_ref() != Some(hash)
    {
        return Ok(Decision::ProvePassword(hash.clone()));
    }
    access::may_use(&request.validation, &code.validation)?;
    let parent = follow_history(connection, request)?;
    let mut candidates = candidates(connection, request, &code.name)?;
    careful(connection, &request.claim, request.held.as_ref(), &mut candidates)?;
    let grant = policy::decide(&request.claim, &candidates, code.order)?;
    let item = candidates.swap_remove(grant.candidate).item;
    let account = Account { handshake_code: &code.name, item_id: &item.item_id, parent: &parent };
    remember(connection, request, &account, &grant)?;
    let File { envelope, root_key, server_key_id } = license_file(connection, &item.item_id)?;
    Ok(Decision::Granted(Box::new(Granted {
        handshake_code: code.name,
        item,
        license_file: envelope,
        root_key,
        server_key_id,
        seats: grant.seats,
        serial: grant.serial,
        valid_until: grant.valid_until,
        epoch: epoch(connection)?,
    })))
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

fn code(connection: &Connection, name: String) -> Result<Code, Error> {
    let (password_hash, validation, own_order): (_, String, bool) = connection
        .prepare_cached(
            "SELECT password_hash, validation, own_order FROM handshake_code WHERE handshake_code = ?1",
        )?
        .query_row([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let validation = serde_json::from_str(&validation)
        .map_err(|e| Error::Store(format!("the validation fields of code \"{name}\" are damaged: {e}")))?;
    let order = if own_order { Order::AsListed } else { Order::ByRule };
    Ok(Code { name, password_hash, validation, order })
}

/// Sees whether the device goes on from where it was; gives the parent of its next licence.
fn follow_history(connection: &Connection, request: &Authorization) -> Result<String, Error> {
    let uuid = &request.device.uuid;
    let shown =
        request.held.as_ref().map(|held| held::shown(connection, held, &request.device)).transpose()?;
    if request.scope.is_empty() {
        return Ok(String::new());
    }
    let before = held::shown_before(connection, uuid, &request.scope)?;
    clone::goes_on(shown.as_ref(), before.as_deref())?;
    match shown {
        Some(shown) => {
            held::note_shown(connection, uuid, &request.scope, &shown.license_id)?;
            Ok(shown.license_id)
        }
        None => Ok(before.unwrap_or_default()),
    }
}

fn candidates(
    connection: &Connection,
    request: &Authorization,
    handshake_code: &str,
) -> Result<Vec<Candidate>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT item.item_id, item.definition, item.revoked_at IS NOT NULL
           FROM handshake_item JOIN license_item AS item USING (item_id)
          WHERE handshake_item.handshake_code = ?1
          ORDER BY handshake_item.position",
    )?;
    let mut rows = statement.query([handshake_code])?;
    let mut candidates = Vec::new();
    while let Some(row) = rows.next()? {
        let (item_id, definition): (String, String) = (row.get(0)?, row.get(1)?);
        let item: LicenseItem = serde_json::from_str(&definition)
            .map_err(|e| Error::Store(format!("the definition of item \"{item_id}\" is damaged: {e}")))?;
        let state = item_state(connection, &item_id, &request.device.uuid, request.claim.now)?;
        candidates.push(Candidate { item, revoked: row.get(2)?, state });
    }
    Ok(candidates)
}

fn remember(
    connection: &Connection,
    request: &Authorization,
    account: &Account<'_>,
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
            account.item_id,
            device.uuid,
            device.friendly_name,
            device.library_version,
            grant.serial,
            now
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, serial,
                                        seats_asked, seats, issued_at, valid_until, parent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            account.item_id,
            request.license_id,
            device.uuid,
            account.handshake_code,
            grant.serial,
            request.claim.seats,
            grant.seats,
            now,
            stored(grant.valid_until),
            account.parent
        ])?;
    Ok(())
}

/// A licence file as it was imported.
struct File {
    envelope: Signed,
    root_key: PublicKey,
    server_key_id: String,
}

fn license_file(connection: &Connection, item_id: &str) -> Result<File, Error> {
    let (envelope, root_key, server_key_id) = connection
        .prepare_cached(
            "SELECT payload, key_id, signature, root_key, server_key_id FROM license_file
              WHERE file_id = (SELECT file_id FROM license_item WHERE item_id = ?1)",
        )?
        .query_row([item_id], |row| {
            let envelope = Signed { payload: row.get(0)?, key_id: row.get(1)?, signature: row.get(2)? };
            Ok((envelope, row.get::<_, String>(3)?, row.get(4)?))
        })?;
    let root_key =
        root_key.parse().map_err(|e| Error::Store(format!("the root key of item \"{item_id}\": {e}")))?;
    Ok(File { envelope, root_key, server_key_id })
}
