//! Local licenses that devices bring back or no longer use.
//!
//! A server that was restored from a backup older than a grant does not know the grant. It trusts
//! its own signature, which the caller has checked, and records the grant again: usage can then be
//! booked to it, and its seats count as running.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::DeviceFacts;

use super::{Sql, activity, holders, strict, values};
use crate::error::Error;
use crate::policy::clone::{self, Before, Shown};
use crate::policy::holders::Hold;
use crate::policy::strict_allowance::Allowance;
use crate::store::Authorization;
use crate::store::account::load_one;

/// Check that the license which the device shows follows its history. Return the parent of its next
/// license; empty when the device shows none. `holder` is the name under which the device holds
/// seats.
pub(super) fn follow_history(
    sql: &dyn Sql,
    request: &Authorization,
    holder: &str,
    epoch: &str,
) -> Result<String, Error> {
    let (uuid, scope) = (&request.device.uuid, &request.scope);
    if let Some(held) = &request.held {
        remember_as(sql, held, &request.device, Some(holder))?;
        take_name(sql, held, holder)?;
    }
    if scope.is_empty() {
        return Ok(String::new());
    }
    let Some(held) = &request.held else { return Ok(String::new()) };
    let found = sql.row(
        "SELECT shown_license, shown_serial, epoch FROM device_history WHERE device_uuid = ?1 AND \
         scope = ?2",
        values![uuid, scope],
    )?;
    let before: Option<(String, u32, String)> = found
        .map(|mut row| Ok::<_, Error>((row.take(0)?, row.take(1)?, row.take(2)?)))
        .transpose()?;
    let before = before.as_ref().map(|(generation, serial, life)| Before {
        generation,
        serial: *serial,
        of_this_life: life == epoch,
    });
    let LocalLicense { generation, parent, serial, .. } = held;
    let shown = Shown { generation, parent, serial: *serial, of_this_life: held.epoch == epoch };
    if clone::goes_on(shown, before)? {
        sql.execute(
            "INSERT INTO device_history (device_uuid, scope, shown_license, shown_serial, epoch)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (device_uuid, scope) DO UPDATE
                SET shown_license = excluded.shown_license, shown_serial = excluded.shown_serial,
                    epoch = excluded.epoch",
            values![uuid, scope, generation, *serial, &held.epoch],
        )?;
    }
    Ok(generation.clone())
}

/// The item that a device no longer uses.
pub(super) struct Left {
    pub(super) item_id: String,
    /// The name under which the device held seats of the item.
    pub(super) holder: String,
}

/// End the device's work under the license with this serial; a license that was renewed since
/// stays. Return the item if the device has left it. Other applications may run under another code,
/// and keep what the device holds.
pub(super) fn end(
    sql: &dyn Sql,
    device_uuid: &str,
    license_id: &str,
    serial: u32,
    now: u64,
) -> Result<Option<Left>, Error> {
    let row = sql.row(
        "UPDATE local_license SET valid_until = CASE WHEN valid_until > ?4 THEN ?4 ELSE \
         valid_until END
          WHERE license_id = ?1 AND device_uuid = ?2 AND serial = ?3 RETURNING item_id, holder",
        values![license_id, device_uuid, serial, now],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let left = Left { item_id: row.take(0)?, holder: row.take(1)? };
    let goes_on = sql.exists(
        "SELECT 1 FROM local_license WHERE item_id = ?1 AND device_uuid = ?2 AND holder = ?3 AND \
         valid_until > ?4
          LIMIT 1",
        values![&left.item_id, device_uuid, &left.holder, now],
    )?;
    Ok((!goes_on).then_some(left))
}

/// Release the first item when a device shows its license and now works under another item of the
/// same code. Seats that the device held only while it worked become free. A client device counts
/// until its window ends, and an allowance comes back only by the device's own message, after its
/// totals.
pub(super) fn leave(
    sql: &dyn Sql,
    request: &Authorization,
    handshake_code: &str,
    item_id: &str,
) -> Result<(), Error> {
    let Some(held) = &request.held else { return Ok(()) };
    let is_by_work = matches!(
        held.charge_way,
        ChargeWay::Server | ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance
    );
    if held.item_id == item_id || held.handshake_code != handshake_code || !is_by_work {
        return Ok(());
    }
    // All scopes of the device that get the same item of a code share a license, so requests of
    // other scopes may still work under it.
    let has_others = sql.exists(
        "SELECT 1 FROM device_history WHERE device_uuid = ?1 AND scope <> ?2 LIMIT 1",
        values![&held.device_uuid, &request.scope],
    )?;
    if has_others {
        return Ok(());
    }
    let left = end(sql, &held.device_uuid, &held.license_id, held.serial, request.claim.now)?;
    if let Some(Left { item_id, holder }) = left {
        holders::release_holder(sql, &item_id, &holder)?;
    }
    Ok(())
}

/// Record a license that this server has signed and has forgotten. A license of an item that no
/// longer exists here cannot be recorded.
pub(super) fn remember(
    sql: &dyn Sql,
    held: &LocalLicense,
    device: &DeviceFacts,
) -> Result<(), Error> {
    remember_as(sql, held, device, None)
}

/// Record a license as [`remember`] does. `holder` is the name under which the device holds seats,
/// if it is known now. Otherwise, the name is the earlier one, from this license or the latest one,
/// or the bare UUID.
fn remember_as(
    sql: &dyn Sql,
    held: &LocalLicense,
    device: &DeviceFacts,
    holder: Option<&str>,
) -> Result<(), Error> {
    let known = sql.row(
        "SELECT serial, holder FROM local_license WHERE item_id = ?1 AND device_uuid = ?2 AND \
         license_id = ?3",
        values![&held.item_id, &held.device_uuid, &held.license_id],
    )?;
    let known: Option<(u32, String)> =
        known.map(|mut row| Ok::<_, Error>((row.take(0)?, row.take(1)?))).transpose()?;
    if known.as_ref().is_some_and(|(serial, _)| *serial >= held.serial)
        || load_one::item(sql, &held.item_id)?.is_none()
    {
        return Ok(());
    }
    let before = match known.map(|(_, holder)| holder).filter(|holder| !holder.is_empty()) {
        None if holder.is_none() => name_of(sql, &held.item_id, &held.device_uuid)?,
        before => before,
    };
    let holder = holder.or(before.as_deref()).unwrap_or(&held.device_uuid);
    sql.execute(
        "INSERT INTO device (item_id, device_uuid, friendly_name, library_version, newest_serial,
                             first_seen_at, last_seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (item_id, device_uuid) DO UPDATE
            SET newest_serial = CASE WHEN device.newest_serial > excluded.newest_serial
                                     THEN device.newest_serial ELSE excluded.newest_serial END",
        values![
            &held.item_id,
            &held.device_uuid,
            &device.friendly_name,
            &device.library_version,
            held.serial,
            held.issued_at
        ],
    )?;
    sql.execute(
        "INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, serial, \
         seats_asked, seats,
                                    issued_at, valid_until, holder)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)
         ON CONFLICT (item_id, device_uuid, license_id) DO UPDATE
            SET serial = excluded.serial, seats = excluded.seats, issued_at = excluded.issued_at,
                valid_until = excluded.valid_until, holder = excluded.holder",
        values![
            &held.item_id,
            &held.license_id,
            &held.device_uuid,
            &held.handshake_code,
            held.serial,
            held.seats,
            held.issued_at,
            held.valid_until,
            holder
        ],
    )?;
    hold_again(sql, held, holder)
}

/// Return the name under which the device holds seats, by the latest license for which it is known.
fn name_of(sql: &dyn Sql, item_id: &str, device_uuid: &str) -> Result<Option<String>, Error> {
    let row = sql.row(
        "SELECT holder FROM local_license WHERE item_id = ?1 AND device_uuid = ?2 AND holder <> ''
         ORDER BY serial DESC LIMIT 1",
        values![item_id, device_uuid],
    )?;
    row.map(|mut row| row.take(0)).transpose()
}

/// Move seats from the bare UUID to the holder's name. A report has no origin of a website, so a
/// license recorded with a report is held under the bare UUID until the device gives the name.
fn take_name(sql: &dyn Sql, held: &LocalLicense, holder: &str) -> Result<(), Error> {
    let (item_id, uuid) = (&held.item_id, &held.device_uuid);
    if holder == uuid {
        return Ok(());
    }
    sql.execute(
        "UPDATE local_license SET holder = ?3 WHERE item_id = ?1 AND device_uuid = ?2 AND holder \
         = ?2",
        values![item_id, uuid, holder],
    )?;
    let Some(nameless) = holders::own(sql, item_id, uuid)? else { return Ok(()) };
    holders::release_holder(sql, item_id, uuid)?;
    if holders::own(sql, item_id, holder)?.is_none_or(|own| own.until < nameless.until) {
        holders::hold(sql, item_id, holder, uuid, nameless)?;
    }
    Ok(())
}

/// Record the seats and allowances that the device has by a license that was forgotten.
fn hold_again(sql: &dyn Sql, held: &LocalLicense, holder: &str) -> Result<(), Error> {
    let (item_id, uuid) = (&held.item_id, &held.device_uuid);
    match held.charge_way {
        ChargeWay::ClientDevice | ChargeWay::ActiveDevice | ChargeWay::Server => {
            let own = holders::own(sql, item_id, holder)?;
            if own.is_none_or(|own| own.until < held.valid_until) {
                holders::hold(
                    sql,
                    item_id,
                    holder,
                    uuid,
                    Hold { seats: 1, until: held.valid_until },
                )?;
            }
        }
        ChargeWay::ConcurrentInstance => {
            activity::note_seats_of_before(sql, item_id, uuid, held.seats, held.issued_at)?;
        }
        _ => {}
    }
    for allowance in &held.allowances {
        let known = strict::own(sql, item_id, uuid, allowance.module)?.unwrap_or_default();
        let again = Allowance {
            serial: held.serial.max(known.serial),
            allowed: allowance.allowed.max(known.allowed),
            used: known.used,
        };
        strict::put(sql, item_id, uuid, allowance.module, again)?;
    }
    Ok(())
}
