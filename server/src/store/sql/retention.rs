//! Retention: how usage that is long past is compacted.
//!
//! | age | kept |
//! | --- | --- |
//! | while a slot can be reported, about 13 months | a total for each slot and counter; sums of days; refusals |
//! | after that | a total for each day and counter; thirty days of a segment in one row |
//!
//! Sums over days, and everything computed from days, stay as they were. When a device reports such
//! usage later, each day and counter gets the higher of two values: the one kept, and the sum of
//! the reported totals. A repetition thus changes nothing.

use std::collections::HashMap;

use super::table::{COMPACTED, USAGE_OLD};
use super::{Sql, alerts, by_day, refusals, values};
use crate::error::Error;
use crate::policy::reportable::first_open_slot;
use crate::store::day_totals::{DayTotals, OLD_DAYS, day_of, first_old_day};

/// The number of rows that one transaction handles, so that other transactions do not wait long for
/// it.
const ROWS: usize = 1_000;

/// Delete some data that no rule needs any more. Return whether there is more to delete.
pub(in crate::store) fn tidy(sql: &dyn Sql, now: u64) -> Result<bool, Error> {
    Ok(compact(sql, now)?
        || close_old_slots(sql, now, ROWS)?
        || forget_refusals(sql, now, ROWS)?
        || alerts::forget_old(sql, now, ROWS)? >= ROWS)
}

/// Compact some usage that is long past. Return whether there is more to compact.
fn compact(sql: &dyn Sql, now: u64) -> Result<bool, Error> {
    let open = day_of(first_open_slot(now));
    for mut row in sql.query("SELECT item_id FROM license_item ORDER BY item_id", &[])? {
        let item_id: String = row.take(0)?;
        let oldest: Option<Option<u32>> =
            sql.value("SELECT min(day) FROM usage_day WHERE item_id = ?1", values![&item_id])?;
        if let Some(day) = oldest.flatten().filter(|day| *day < open) {
            compact_day(sql, &item_id, day)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn compact_day(sql: &dyn Sql, item_id: &str, day: u32) -> Result<(), Error> {
    sql.lock_items(&[item_id])?;
    let rows = sql.query(
        "SELECT segment_id, totals FROM usage_day WHERE item_id = ?1 AND day = ?2 ORDER BY \
         segment_id LIMIT ?3",
        values![item_id, day, ROWS as u64],
    )?;
    let mut days = Vec::with_capacity(rows.len());
    for mut row in rows {
        let segment_id: String = row.take(0)?;
        let totals = by_day::totals(&mut row, 1, &segment_id)?;
        days.push((segment_id, totals));
    }
    let Some((last, _)) = days.last() else { return Ok(()) };
    let first_day = first_old_day(day);
    let wanted =
        days.iter().map(|(segment_id, _)| (item_id, first_day, segment_id.as_str())).collect();
    let mut old: HashMap<String, DayTotals> = by_day::find(sql, &USAGE_OLD, &wanted)?
        .into_iter()
        .map(|(segment_id, _, totals)| (segment_id, totals))
        .collect();
    let mut merged = Vec::with_capacity(days.len());
    for (segment_id, totals) in &days {
        let mut kept = old.remove(segment_id).unwrap_or_default();
        for ((kind, what), total) in totals.sums() {
            kept.raise(day % OLD_DAYS, kind, what, total);
        }
        merged.push((item_id, first_day, segment_id.as_str(), kept.to_bytes()));
    }
    by_day::put(sql, &USAGE_OLD, merged)?;
    sql.execute(
        "DELETE FROM usage_day WHERE item_id = ?1 AND day = ?2 AND segment_id <= ?3",
        values![item_id, day, last],
    )?;
    COMPACTED.put(sql, values![item_id, u64::from(day) + 1])
}

/// For slots and for days: the query for the oldest of an item, and the statement that deletes the
/// oldest rows.
const OLDEST: [(&str, &str); 3] = [
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
    (
        "SELECT min(day) FROM item_day WHERE item_id = ?1",
        "DELETE FROM item_day WHERE item_id = ?1 AND (day, kind, module) IN
            (SELECT day, kind, module FROM item_day WHERE item_id = ?1 AND day < ?2
              ORDER BY day, kind, module LIMIT ?3)",
    ),
];

/// Delete at most this number of rows of slots that can no longer be reported. Return whether there
/// may be more. Their share in the excess of their license year stays.
fn close_old_slots(sql: &dyn Sql, now: u64, rows: usize) -> Result<bool, Error> {
    let first = first_open_slot(now);
    let mut left = rows;
    for mut row in sql.query("SELECT item_id FROM license_item ORDER BY item_id", &[])? {
        let item_id: String = row.take(0)?;
        for ((oldest, drop), first) in OLDEST.into_iter().zip([first, day_of(first), day_of(first)])
        {
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

/// Delete at most this number of refusals that are older than 13 months. Return whether there may
/// be more. The empty id stands for requests for which no item was chosen.
fn forget_refusals(sql: &dyn Sql, now: u64, rows: usize) -> Result<bool, Error> {
    let mut left = rows.saturating_sub(refusals::forget_old(sql, "", now, rows)?);
    for mut row in sql.query("SELECT item_id FROM license_item ORDER BY item_id", &[])? {
        let item_id: String = row.take(0)?;
        if left == 0 {
            return Ok(true);
        }
        left = left.saturating_sub(refusals::forget_old(sql, &item_id, now, left)?);
    }
    Ok(left == 0)
}
