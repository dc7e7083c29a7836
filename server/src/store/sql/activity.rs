//! The slots in which devices were active under a concurrent item, and the resulting excess.
//!
//! A device counts once in a slot, with the highest number that was ever reported for it; see
//! [`crate::policy::slot_ledger`], which keeps the same in memory. The database has a row for each
//! device and day, for each slot, and for each license year. Reports raise their numbers in
//! [`super::batch`].

use std::collections::BTreeMap;

use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::table::YEAR_EXCESS;
use super::{Sql, values};
use crate::error::Error;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::slot_ledger::first_open_slot;
use crate::store::day_totals::day_of;

/// Record the number of instances that a device counts as from now on. A lower number takes effect
/// at the next slot, because in this slot the device has had more.
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
            // The number that would have taken effect at the next slot is replaced.
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

/// Record the same for a grant that was forgotten; numbers of later grants stay as they are.
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

/// Return the number in effect in a slot, and the slot from which it is in effect.
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

/// Record a number from this slot on; a number lower than the one in effect in this slot starts
/// with the next slot.
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

/// For slots and for days: the query for the oldest of an item, and the statement that deletes the
/// oldest rows.
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

/// Delete at most this number of rows of slots that can no longer be reported. Return whether there
/// may be more. Their share in the excess of their license year stays.
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

/// Compute the excess of an item anew, because its license years begin at another instant than
/// before. The sum of each year is taken over its slots that can still be reported. Work before the
/// first of these slots was set against years that no longer exist.
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
