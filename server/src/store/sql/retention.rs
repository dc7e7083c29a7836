//! What becomes of usage that is long past.
//!
//! | age | kept |
//! | --- | --- |
//! | while a slot can be reported, about 13 months | a total for each slot and counter |
//! | after that | a total for each day and counter; thirty days of a segment in one row |
//!
//! Sums over days, and over whatever is made of days, stay as they were. A device that reports after that gets, for each day
//! and counter, the higher of what is kept and of the sum of what it reports: a repetition changes nothing.

use super::table::{COMPACTED, USAGE_OLD};
use super::{Sql, activity, values};
use crate::error::Error;
use crate::policy::slot_ledger::first_open_slot;
use crate::store::day_totals::{DayTotals, OLD_DAYS, day_of, first_old_day};

/// Rows that one transaction takes in hand, so that nobody waits long for it.
const ROWS: u64 = 1_000;

/// Lets go of some of what no rule needs any more; whether there is more.
pub(in crate::store) fn tidy(sql: &dyn Sql, now: u64) -> Result<bool, Error> {
    let more = compact(sql, now)?;
    if !more {
        activity::close_old_slots(sql, now)?;
    }
    Ok(more)
}

/// Compacts some of what is long past; whether there is more.
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
        "SELECT segment_id, totals FROM usage_day WHERE item_id = ?1 AND day = ?2 ORDER BY segment_id LIMIT ?3",
        values![item_id, day, ROWS],
    )?;
    let (mut days, mut last) = (Vec::with_capacity(rows.len()), String::new());
    for mut row in rows {
        let (segment_id, bytes): (String, Vec<u8>) = (row.take(0)?, row.take(1)?);
        let totals = DayTotals::from_bytes(&bytes).ok_or_else(|| {
            Error::Store(format!("the usage of segment {segment_id} on day {day} is damaged"))
        })?;
        last.clone_from(&segment_id);
        days.push((segment_id, totals));
    }
    let first_day = first_old_day(day);
    let keys: Vec<_> =
        days.iter().flat_map(|(segment_id, _)| *values![item_id, first_day, segment_id]).collect();
    let mut old = std::collections::HashMap::new();
    for mut row in USAGE_OLD.find(sql, &keys)? {
        let (segment_id, bytes): (String, Vec<u8>) = (row.take(2)?, row.take(3)?);
        let totals = DayTotals::from_bytes(&bytes)
            .ok_or_else(|| Error::Store(format!("the old usage of segment {segment_id} is damaged")))?;
        old.insert(segment_id, totals);
    }
    let mut merged = Vec::with_capacity(days.len());
    for (segment_id, totals) in days {
        let mut kept = old.remove(&segment_id).unwrap_or_default();
        for ((kind, what), total) in totals.sums() {
            kept.raise(day % OLD_DAYS, kind, what, total);
        }
        merged.push((segment_id, kept.to_bytes()));
    }
    let rows: Vec<_> = merged
        .iter()
        .flat_map(|(segment_id, bytes)| *values![item_id, first_day, segment_id, bytes.as_slice()])
        .collect();
    USAGE_OLD.put(sql, &rows)?;
    sql.execute(
        "DELETE FROM usage_day WHERE item_id = ?1 AND day = ?2 AND segment_id <= ?3",
        values![item_id, day, &last],
    )?;
    COMPACTED.put(sql, values![item_id, u64::from(day) + 1])
}
