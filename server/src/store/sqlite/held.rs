//! Local licences that devices bring back.
//!
//! A server that was restored from a backup older than a grant does not know it. It believes its own
//! signature, which the caller has checked, and remembers the grant again: usage can be booked to it, and its
//! seats count as running.

use rusqlite::{Connection, OptionalExtension, params};
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::DeviceFacts;

use super::stored;
use crate::error::Error;
use crate::policy::clone::Shown;

/// What is known of a licence that a device shows; remembers one that was forgotten.
pub(super) fn shown(
    connection: &Connection,
    held: &LocalLicense,
    device: &DeviceFacts,
) -> Result<Shown, Error> {
    let parent: Option<String> = connection
        .prepare_cached("SELECT parent FROM local_license WHERE item_id = ?1 AND license_id = ?2")?
        .query_row([&held.item_id, &held.license_id], |row| row.get(0))
        .optional()?;
    if parent.is_none() {
        remember(connection, held, device)?;
    }
    Ok(Shown { license_id: held.license_id.clone(), parent })
}

/// Remembers a licence that this server has signed and forgotten. One from an item that is not here any more
/// cannot be.
pub(super) fn remember(
    connection: &Connection,
    held: &LocalLicense,
    device: &DeviceFacts,
) -> Result<(), Error> {
    if !connection.prepare_cached("SELECT 1 FROM license_item WHERE item_id = ?1")?.exists([&held.item_id])? {
        return Ok(());
    }
    let issued_at = stored(held.issued_at);
    connection
        .prepare_cached(
            "INSERT INTO device (item_id, device_uuid, friendly_name, library_version, newest_serial,
                                 first_seen_at, last_seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (item_id, device_uuid) DO UPDATE
                SET newest_serial = max(newest_serial, excluded.newest_serial)",
        )?
        .execute(params![
            held.item_id,
            held.device_uuid,
            device.friendly_name,
            device.library_version,
            held.serial,
            issued_at
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, serial,
                                        seats_asked, seats, issued_at, valid_until, parent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, '') ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            held.item_id,
            held.license_id,
            held.device_uuid,
            held.handshake_code,
            held.serial,
            held.seats,
            issued_at,
            stored(held.valid_until)
        ])?;
    Ok(())
}

/// The licence that the device has shown last in this scope.
pub(super) fn shown_before(
    connection: &Connection,
    device_uuid: &str,
    scope: &str,
) -> Result<Option<String>, Error> {
    Ok(connection
        .prepare_cached("SELECT shown_license FROM device_history WHERE device_uuid = ?1 AND scope = ?2")?
        .query_row([device_uuid, scope], |row| row.get(0))
        .optional()?)
}

/// Notes what the device has shown.
pub(super) fn note_shown(
    connection: &Connection,
    device_uuid: &str,
    scope: &str,
    license_id: &str,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO device_history (device_uuid, scope, shown_license) VALUES (?1, ?2, ?3)
             ON CONFLICT (device_uuid, scope) DO UPDATE SET shown_license = excluded.shown_license",
        )?
        .execute([device_uuid, scope, license_id])?;
    Ok(())
}
