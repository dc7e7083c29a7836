//! Refusals, counted by hour, item, device, handshake code and error number, with the sentence and
//! the numbers of the first and the last of each.
//!
//! A batch collects the refusals of its decisions and writes them in its own transaction. A check
//! without booking leaves none. Their number is bounded. While an hour runs, it has at most
//! [`ROWS_OPEN`] rows for an item. Beyond that, and once the hour is over, only the [`DEVICES_MAX`]
//! commonest devices keep rows of their own. The others share one device without a UUID.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use seatmeter_protocol::message::ProblemNumbers;

use super::batch::Batch;
use super::table::REFUSAL;
use super::{Row, Sql, Value, values};
use crate::error::Error;
use crate::operator::queries::explain::Asked;
use crate::operator::queries::refusals::HOUR_SECONDS;
use crate::store::Authorization;

/// The number of devices of an hour and item that keep rows of their own.
pub(in crate::store) const DEVICES_MAX: usize = 1_000;

/// The number of rows of an hour and item while the hour runs: which devices are the commonest ones
/// shows only later.
const ROWS_OPEN: u64 = 4_000;

/// The number of bytes that are kept of a sentence. Those of the rules are shorter, unless a name
/// in them is not.
const DETAIL_BYTES_MAX: usize = 1_000;

/// The time for which refusals are kept: 13 months.
const KEPT_HOURS: u64 = 396 * 24;

/// The key of a row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    item_id: String,
    hour: u64,
    device_uuid: String,
    handshake_code: String,
    code: i64,
}

/// The refusals with the same key.
#[derive(Clone)]
struct Tally {
    refused: u64,
    first: Instance,
    last: Instance,
    asked: String,
    /// The name that the device gave itself.
    name: String,
}

/// A refusal.
#[derive(Clone)]
struct Instance {
    at: u64,
    detail: String,
    numbers: String,
}

/// The refusals of a batch.
#[derive(Default)]
pub(super) struct Refusals(BTreeMap<Key, Tally>);

/// Note the refusal of a request by the rules, or for a wrong key. `item_id` is the item that came
/// nearest to the request, or empty.
pub(super) fn note(batch: &mut Batch<'_>, request: &Authorization, item_id: &str, error: &Error) {
    let (code, numbers) = match error {
        Error::Refused(refusal) => (refusal.code, refusal.numbers.as_deref()),
        _ => return,
    };
    // A code that nobody has made is not kept: the sentence names it.
    let known = batch.codes.meant(request);
    let handshake_code = known.map(|code| code.name.clone()).unwrap_or_default();
    let now = request.claim.now;
    if !handshake_code.is_empty() {
        batch.attempts.count(&handshake_code, now, false);
    }
    let mut detail = error_detail(error);
    truncate(&mut detail, DETAIL_BYTES_MAX);
    let instance = Instance { at: now, detail, numbers: to_json(numbers) };
    let key = Key {
        item_id: item_id.to_owned(),
        hour: now / HOUR_SECONDS,
        device_uuid: request.device.uuid.clone(),
        handshake_code,
        code: code.0.into(),
    };
    let asked = serde_json::to_string(&Asked::of(&request.claim)).unwrap_or_default();
    let name = request.device.friendly_name.clone();
    let last = instance.clone();
    batch.refusals.add(key, Tally { refused: 1, first: instance, last, asked, name });
}

fn error_detail(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.detail.clone(),
        other => other.to_string(),
    }
}

fn to_json(numbers: Option<&ProblemNumbers>) -> String {
    numbers.and_then(|numbers| serde_json::to_string(numbers).ok()).unwrap_or_default()
}

pub(super) fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
}

impl Refusals {
    fn add(&mut self, key: Key, tally: Tally) {
        match self.0.get_mut(&key) {
            Some(known) => known.add(tally),
            None => _ = self.0.insert(key, tally),
        }
    }

    /// Write the refusals, and keep the number of rows within its bound.
    pub(super) fn save(&self, sql: &dyn Sql) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        put(sql, &self.0)?;
        let hours: BTreeSet<(&str, u64)> =
            self.0.keys().map(|key| (key.item_id.as_str(), key.hour)).collect();
        for (item_id, hour) in hours {
            bound(sql, item_id, hour, self.rows_of(item_id, hour))?;
        }
        Ok(())
    }

    fn rows_of(&self, item_id: &str, hour: u64) -> u64 {
        let is_of = |key: &&Key| key.item_id == item_id && key.hour == hour;
        self.0.keys().filter(is_of).count() as u64
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.refused = self.refused.saturating_add(other.refused);
        if other.first.at < self.first.at {
            self.first = other.first;
        }
        if other.last.at >= self.last.at {
            self.last = other.last;
            self.asked = other.asked;
            self.name = other.name;
        }
    }

    /// Read the columns of [`REFUSAL`] after its key.
    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            refused: row.take(5)?,
            first: Instance { at: row.take(6)?, detail: row.take(7)?, numbers: row.take(8)? },
            last: Instance { at: row.take(9)?, detail: row.take(10)?, numbers: row.take(11)? },
            asked: row.take(12)?,
            // The others have no name.
            name: String::new(),
        })
    }
}

/// Add these refusals to the rows with their keys.
fn put(sql: &dyn Sql, refusals: &BTreeMap<Key, Tally>) -> Result<(), Error> {
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(refusals.len() * 14);
    for (key, tally) in refusals {
        rows.extend_from_slice(values![
            &key.item_id,
            key.hour,
            &key.device_uuid,
            &key.handshake_code,
            key.code,
            tally.refused,
            tally.first.at,
            &tally.first.detail,
            &tally.first.numbers,
            tally.last.at,
            &tally.last.detail,
            &tally.last.numbers,
            &tally.asked,
            &tally.name,
        ]);
    }
    REFUSAL.put(sql, &rows)
}

/// Keep the rows of an hour and item, of which `new` may be new, within their bound. When the hour
/// has just begun, close the previous one.
fn bound(sql: &dyn Sql, item_id: &str, hour: u64, new: u64) -> Result<(), Error> {
    let count = "SELECT count(*) FROM refusal WHERE item_id = ?1 AND hour = ?2";
    let rows: u64 = sql.value(count, values![item_id, hour])?.unwrap_or(0);
    if rows > ROWS_OPEN {
        fold(sql, item_id, hour)?;
    }
    if rows > new {
        return Ok(());
    }
    let before = "SELECT max(hour) FROM refusal WHERE item_id = ?1 AND hour < ?2";
    let before: Option<Option<u64>> = sql.value(before, values![item_id, hour])?;
    before.flatten().map_or(Ok(()), |before| fold(sql, item_id, before))
}

/// Let all devices but the commonest ones of an hour and item share one device without a UUID.
fn fold(sql: &dyn Sql, item_id: &str, hour: u64) -> Result<(), Error> {
    let kept = commonest(sql, item_id, hour)?;
    let query =
        format!("SELECT {} FROM refusal WHERE item_id = ?1 AND hour = ?2", REFUSAL.names(""));
    let mut others = Refusals::default();
    let mut folded: Vec<(String, String, i64)> = Vec::new();
    sql.for_each(&query, values![item_id, hour], &mut |mut row| {
        let (uuid, handshake_code, code): (String, String, i64) =
            (row.take(2)?, row.take(3)?, row.take(4)?);
        if uuid.is_empty() || kept.contains(&uuid) {
            return Ok(());
        }
        let key = Key {
            item_id: item_id.to_owned(),
            hour,
            device_uuid: String::new(),
            handshake_code: handshake_code.clone(),
            code,
        };
        others.add(key, Tally::read(&mut row)?);
        folded.push((uuid, handshake_code, code));
        Ok(())
    })?;
    let keys: Vec<Value<'_>> = folded
        .iter()
        .flat_map(|(uuid, handshake_code, code)| {
            *values![item_id, hour, uuid, handshake_code, *code]
        })
        .collect();
    REFUSAL.remove(sql, &keys)?;
    put(sql, &others.0)
}

/// Return the devices of an hour and item that were refused most often; among equals, most
/// recently.
fn commonest(sql: &dyn Sql, item_id: &str, hour: u64) -> Result<HashSet<String>, Error> {
    let rows = sql.query(
        "SELECT device_uuid FROM refusal
          WHERE item_id = ?1 AND hour = ?2 AND device_uuid <> '' GROUP BY device_uuid
          ORDER BY sum(refused) DESC, max(last_at) DESC, device_uuid LIMIT ?3",
        values![item_id, hour, DEVICES_MAX as u64],
    )?;
    rows.into_iter().map(|mut row| row.take(0)).collect()
}

/// Delete at most this number of refusals of an item that are older than 13 months. Return how many
/// there were.
pub(super) fn forget_old(
    sql: &dyn Sql,
    item_id: &str,
    now: u64,
    rows: usize,
) -> Result<usize, Error> {
    let oldest_kept = (now / HOUR_SECONDS).saturating_sub(KEPT_HOURS);
    let oldest: Option<Option<u64>> =
        sql.value("SELECT min(hour) FROM refusal WHERE item_id = ?1", values![item_id])?;
    if oldest.flatten().is_none_or(|oldest| oldest >= oldest_kept) {
        return Ok(0);
    }
    sql.execute(
        "DELETE FROM refusal WHERE item_id = ?1
            AND (hour, device_uuid, handshake_code, code) IN
            (SELECT hour, device_uuid, handshake_code, code FROM refusal
              WHERE item_id = ?1 AND hour < ?2
              ORDER BY hour, device_uuid, handshake_code, code LIMIT ?3)",
        values![item_id, oldest_kept, rows as u64],
    )
}
