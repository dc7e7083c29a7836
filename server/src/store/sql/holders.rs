//! The holders of an item's seats, with the end of each hold.
//!
//! The first decision after the end of a hold deletes it. The sum of all seats is kept, so that a
//! decision costs the same whether ten devices hold seats or a hundred thousand.

use seatmeter_protocol::message::{HOLDERS_MAX, Holder};

use super::{Sql, values};
use crate::error::Error;
use crate::policy::holders::{Hold, Occupied};

/// Return the occupied seats now, as seen by one holder, who may have seats as well.
pub(in crate::store) fn occupied(
    sql: &dyn Sql,
    item_id: &str,
    holder: &str,
    now: u64,
) -> Result<Occupied, Error> {
    let look = || {
        sql.row(
            "SELECT (SELECT seats FROM item_held WHERE item_id = ?1),
                    (SELECT seats FROM seat_holder WHERE item_id = ?1 AND holder = ?2),
                    (SELECT held_until FROM seat_holder WHERE item_id = ?1 AND holder = ?2),
                    (SELECT held_until FROM seat_holder WHERE item_id = ?1 AND holder <> ?2
                      ORDER BY held_until LIMIT 1),
                    (SELECT min(held_until) FROM seat_holder WHERE item_id = ?1)",
            values![item_id, holder],
        )
    };
    let gone = || Error::Store("a query without a table has no row".to_owned());
    let mut row = look()?.ok_or_else(gone)?;
    if row.take::<Option<u64>>(4)?.is_some_and(|first_end| first_end <= now) {
        forget(sql, item_id, now)?;
        row = look()?.ok_or_else(gone)?;
    }
    let seats = row.take::<Option<u64>>(0)?.unwrap_or(0);
    let own = match (row.take(1)?, row.take(2)?) {
        (Some(seats), Some(until)) => Some(Hold { seats, until }),
        _ => None,
    };
    let by_others = seats.saturating_sub(own.map_or(0, |hold| hold.seats));
    Ok(Occupied { by_others, own, first_free_at: row.take(3)? })
}

/// Return the seats of one holder.
pub(super) fn own(sql: &dyn Sql, item_id: &str, holder: &str) -> Result<Option<Hold>, Error> {
    let row = sql.row(
        "SELECT seats, held_until FROM seat_holder WHERE item_id = ?1 AND holder = ?2",
        values![item_id, holder],
    )?;
    row.map(|mut row| Ok(Hold { seats: row.take(0)?, until: row.take(1)? })).transpose()
}

/// Record the seats of a holder, and replace what it held before.
pub(super) fn hold(
    sql: &dyn Sql,
    item_id: &str,
    holder: &str,
    device_uuid: &str,
    hold: Hold,
) -> Result<(), Error> {
    let before = own(sql, item_id, holder)?;
    hold_in_place_of(sql, item_id, holder, device_uuid, hold, before)
}

/// Record the seats of a holder as [`hold`] does, for a caller that already knows what it held
/// before.
pub(super) fn hold_in_place_of(
    sql: &dyn Sql,
    item_id: &str,
    holder: &str,
    device_uuid: &str,
    hold: Hold,
    before: Option<Hold>,
) -> Result<(), Error> {
    let before = before.map_or(0, |hold| hold.seats);
    sql.execute(
        "INSERT INTO seat_holder (item_id, holder, device_uuid, seats, held_until) VALUES (?1, \
         ?2, ?3, ?4, ?5)
         ON CONFLICT (item_id, holder) DO UPDATE SET seats = excluded.seats, held_until = \
         excluded.held_until",
        values![item_id, holder, device_uuid, hold.seats, hold.until],
    )?;
    add(sql, item_id, as_number(hold.seats) - as_number(before))
}

/// Release all seats of a device, under whatever names it holds them. Return the number of seats.
pub(super) fn release(sql: &dyn Sql, item_id: &str, device_uuid: &str) -> Result<u64, Error> {
    let rows = sql.query(
        // The subquery finds the names by their index; for a plain deletion, SQLite would scan the
        // item's key.
        "DELETE FROM seat_holder WHERE item_id = ?1 AND holder IN
            (SELECT holder FROM seat_holder WHERE item_id = ?1 AND device_uuid = ?2)
         RETURNING seats",
        values![item_id, device_uuid],
    )?;
    take_off(sql, item_id, rows)
}

/// Release the seats of the holder with this name. Return their number.
pub(super) fn release_holder(sql: &dyn Sql, item_id: &str, holder: &str) -> Result<u64, Error> {
    let rows = sql.query(
        "DELETE FROM seat_holder WHERE item_id = ?1 AND holder = ?2 RETURNING seats",
        values![item_id, holder],
    )?;
    take_off(sql, item_id, rows)
}

/// Return the other holders of seats, ordered by the end of their hold.
pub(super) fn list(sql: &dyn Sql, item_id: &str, holder: &str) -> Result<Vec<Holder>, Error> {
    let rows = sql.query(
        "SELECT seat_holder.device_uuid, coalesce(device_name.name, device.friendly_name, ''),
                seat_holder.seats, seat_holder.held_until
           FROM seat_holder
           LEFT JOIN device ON device.item_id = seat_holder.item_id
                           AND device.device_uuid = seat_holder.device_uuid
           LEFT JOIN device_name ON device_name.device_uuid = seat_holder.device_uuid
          WHERE seat_holder.item_id = ?1 AND seat_holder.holder <> ?2
          ORDER BY seat_holder.held_until, seat_holder.holder LIMIT ?3",
        values![item_id, holder, HOLDERS_MAX as u64],
    )?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Holder {
                device_uuid: row.take(0)?,
                name: row.take(1)?,
                seats: row.take(2)?,
                until: row.take(3)?,
            })
        })
        .collect()
}

/// Delete every holder with an end that has passed.
fn forget(sql: &dyn Sql, item_id: &str, now: u64) -> Result<(), Error> {
    let rows = sql.query(
        "DELETE FROM seat_holder WHERE item_id = ?1 AND held_until <= ?2 RETURNING seats",
        values![item_id, now],
    )?;
    take_off(sql, item_id, rows).map(|_| ())
}

fn take_off(sql: &dyn Sql, item_id: &str, rows: Vec<super::Row>) -> Result<u64, Error> {
    let mut seats = 0_u64;
    for mut row in rows {
        seats = seats.saturating_add(row.take(0)?);
    }
    add(sql, item_id, -as_number(seats))?;
    Ok(seats)
}

fn add(sql: &dyn Sql, item_id: &str, seats: i64) -> Result<(), Error> {
    if seats != 0 {
        sql.execute(
            "INSERT INTO item_held (item_id, seats) VALUES (?1, ?2)
             ON CONFLICT (item_id) DO UPDATE SET seats = item_held.seats + excluded.seats",
            values![item_id, seats],
        )?;
    }
    Ok(())
}

fn as_number(seats: u64) -> i64 {
    i64::try_from(seats).unwrap_or(i64::MAX)
}
