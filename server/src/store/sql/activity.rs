//! In which slots devices were active under a concurrent item, and the excess that comes of it.
//!
//! A device counts once in a slot, with the highest number that was ever reported for it; see
//! [`crate::policy::slot_ledger`], which keeps the same in memory. Here it is a row for each device
//! and day, for each slot and for each license year; reports raise them in [`super::batch`].

use std::collections::BTreeMap;

use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::table::YEAR_EXCESS;
use super::{Sql, values};
use crate::error::Error;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::slot_ledger::first_open_slot;
use crate::store::day_totals::day_of;

/// Notes as how many instances a device counts from now on. A lower number holds from the next slot
/// on: in this one the device has had more.
pub(super) fn note_seats(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    seats: u32,
    now: u64,
) -> Result<(), Error> {
    let slot = slot_of(now);
    let last = seats_until(sql, item_id, device_uuid, u32::MAX)?;
    let then = match last {
        Some((from_slot, _)) if from_slot > slot => {
            // What was to hold from the next slot on.
            sql.execute(
                "DELETE FROM device_seats WHERE item_id = ?1 AND device_uuid = ?2 AND from_slot > \
                 ?3",
                values![item_id, device_uuid, slot],
            )?;
            seats_until(sql, item_id, device_uuid, slot)?
        }
        last => last,
    };
    put_seats(sql, item_id, device_uuid, seats, slot, then)
}

/// Notes the same of a grant that was forgotten: what is known of later ones stands.
pub(super) fn note_seats_of_before(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    seats: u32,
    issued_at: u64,
) -> Result<(), Error> {
    let slot = slot_of(issued_at);
    let then = seats_until(sql, item_id, device_uuid, slot)?;
    let next = seats_until(sql, item_id, device_uuid, slot.saturating_add(1))?;
    let is_lower = then.is_some_and(|(_, then)| then > seats);
    if is_lower && next.is_some_and(|(from_slot, _)| from_slot > slot) {
        return Ok(());
    }
    put_seats(sql, item_id, device_uuid, seats, slot, then)
}

/// The number that holds in a slot, with the slot from which on it does.
fn seats_until(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    slot: u32,
) -> Result<Option<(u32, u32)>, Error> {
    let row = sql.row(
        "SELECT from_slot, seats FROM device_seats WHERE item_id = ?1 AND device_uuid = ?2 AND \
         from_slot <= ?3
          ORDER BY from_slot DESC LIMIT 1",
        values![item_id, device_uuid, slot],
    )?;
    row.map(|mut row| Ok((row.take(0)?, row.take(1)?))).transpose()
}

/// Notes a number from this slot on, or from the next one where it is lower than what holds in this
/// one.
fn put_seats(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    seats: u32,
    slot: u32,
    then: Option<(u32, u32)>,
) -> Result<(), Error> {
    let then = then.map(|(_, then)| then);
    if then == Some(seats) {
        return Ok(());
    }
    let from_slot =
        if then.is_some_and(|then| then > seats) { slot.saturating_add(1) } else { slot };
    sql.execute(
        "INSERT INTO device_seats (item_id, device_uuid, from_slot, seats) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (item_id, device_uuid, from_slot) DO UPDATE SET seats = excluded.seats",
        values![item_id, device_uuid, from_slot, seats],
    )?;
    Ok(())
}

/// For slots and for days: which is the oldest of an item, and the statement that drops the oldest
/// rows.
const OLDEST: [(&str, &str); 2] = [
    (
        "SELECT min(slot) FROM slot_sum WHERE item_id = ?1",
        "DELETE FROM slot_sum WHERE item_id = ?1 AND slot IN
            (SELECT slot FROM slot_sum WHERE item_id = ?1 AND slot < ?2 ORDER BY slot LIMIT ?3)",
    ),
    (
        "SELECT min(day) FROM active_day WHERE item_id = ?1",
        "DELETE FROM active_day WHERE item_id = ?1 AND (day, device_uuid) IN
            (SELECT day, device_uuid FROM active_day WHERE item_id = ?1 AND day < ?2
              ORDER BY day, device_uuid LIMIT ?3)",
    ),
];

/// Drops at most so many rows of slots that can no longer be reported; whether there may be more.
/// What they gave to the excess of their license year stays.
pub(super) fn close_old_slots(sql: &dyn Sql, now: u64, rows: usize) -> Result<bool, Error> {
    let first = first_open_slot(now);
    let mut left = rows;
    for mut row in sql.query("SELECT item_id FROM license_item ORDER BY item_id", &[])? {
        let item_id: String = row.take(0)?;
        for ((oldest, drop), first) in OLDEST.into_iter().zip([first, day_of(first)]) {
            let oldest: Option<Option<u32>> = sql.value(oldest, values![&item_id])?;
            if oldest.flatten().is_some_and(|oldest| oldest < first) {
                sql.lock_items(&[&item_id])?;
                left =
                    left.saturating_sub(sql.execute(drop, values![&item_id, first, left as u64])?);
            }
            if left == 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Adds up the excess of an item whose license years begin at another instant than before: of each,
/// from its slots that can still be reported. What was done before the first of them was set
/// against years that are no more.
pub(super) fn begin_years_anew(sql: &dyn Sql, item: &LicenseItem) -> Result<(), Error> {
    let (item_id, rule) = (&item.item_id, OveruseRule::of(item));
    let above = sql.query(
        "SELECT slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2 AND active > ?3",
        values![item_id, slot_of(item.starts_at), item.quota],
    )?;
    let mut years: BTreeMap<u32, u64> = BTreeMap::new();
    for mut row in above {
        let (slot, active): (u32, u64) = (row.take(0)?, row.take(1)?);
        let sum = years.entry(rule.year(slot_start(slot)).index).or_default();
        *sum = sum.saturating_add(excess(active, item.quota));
    }
    sql.execute("DELETE FROM year_excess WHERE item_id = ?1", values![item_id])?;
    let rows: Vec<_> =
        years.into_iter().map(|(year, sum)| [item_id.into(), year.into(), sum.into()]).collect();
    YEAR_EXCESS.put(sql, rows.as_flattened())
}
