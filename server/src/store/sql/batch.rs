//! The data that one batch of reports reads and writes, in memory.
//!
//! All rows that the reports of a batch need are looked up together, the reports are booked one
//! after another in memory, and the changes are written together. For the engine, a batch is a
//! dozen statements, however many reports are in it. For the rules, it is the same as one report
//! after another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seatmeter_protocol::message::{SegmentReport, UsageTotal};

use super::table::{COMPACTED, LICENSE, SEGMENT, SEGMENT_OWNER, Table, USAGE_DAY, USAGE_OLD};
use super::{Report, Sql, Value, by_day, held, values};
use crate::error::Error;
use crate::store::ShownLicense;
use crate::store::account::load::{accounts, ids, look_up_reported, texts};
use crate::store::account::save::{put_devices, put_sums};
use crate::store::account::{Account, Kept};
use crate::store::day_totals::{DayTotals, OLD_DAYS, day_of, first_old_day};

/// A local license, to which a segment is booked.
pub(in crate::store) struct License {
    pub(in crate::store) item_id: String,
    pub(in crate::store) device_uuid: String,
    pub(super) handshake_code: String,
    pub(in crate::store) holder: String,
    serial: u32,
}

/// A segment that was not known, as it will be written.
struct NewSegment {
    license_id: String,
    first_reported_at: u64,
}

/// All data that a batch of reports concerns.
pub(super) struct Batch<'a> {
    licenses: HashMap<String, License>,
    /// The id of the local license that each segment belongs to.
    owners: HashMap<String, String>,
    new_segments: BTreeMap<&'a str, NewSegment>,
    /// The totals by segment and day.
    days: BTreeMap<(&'a str, u32), Kept<DayTotals>>,
    /// The totals by segment and first day of the row, for days with only the day's totals left;
    /// see [`super::retention`].
    old: BTreeMap<(&'a str, u32), Kept<DayTotals>>,
    /// The first day, by item, that is not compacted: of days before it, only the day's totals are
    /// left.
    compacted: HashMap<String, u32>,
    pub(super) accounts: BTreeMap<String, Account>,
}

impl<'a> Batch<'a> {
    /// Look up all data. Items are locked first, so that their data stays true until the end of the
    /// transaction.
    pub(super) fn open(sql: &dyn Sql, reports: &[&'a Report]) -> Result<Self, Error> {
        let shown = || {
            reports.iter().flat_map(|report| report.shown.iter().map(move |shown| (*report, shown)))
        };
        let segments = || reports.iter().flat_map(|report| &report.report.segments);
        let named: BTreeSet<&str> = segments().map(|segment| segment.license_id.as_str()).collect();
        let ids: BTreeSet<&str> = named
            .iter()
            .copied()
            .chain(shown().map(|(_, shown)| shown.license.license_id.as_str()))
            .collect();
        let mut licenses = licenses(sql, &ids)?;
        let items: BTreeSet<&str> = licenses
            .values()
            .map(|license| license.item_id.as_str())
            .chain(shown().map(|(_, shown)| shown.license.item_id.as_str()))
            .collect();
        sql.lock_items(&items.into_iter().collect::<Vec<_>>())?;
        let mut again = BTreeSet::new();
        for (report, ShownLicense { license, is_ours }) in shown() {
            let known = licenses.get(&license.license_id);
            if known.is_none_or(|known| known.serial < license.serial) && is_ours() {
                held::remember(sql, license, &report.report.device)?;
                again.insert(license.license_id.as_str());
            }
        }
        if !again.is_empty() {
            licenses.extend(self::licenses(sql, &again)?);
        }
        licenses.retain(|license_id, _| named.contains(license_id.as_str()));
        let now = reports.iter().map(|report| report.now).min().unwrap_or(0);
        let mut batch = Self {
            owners: owners(sql, &segments().map(|segment| segment.segment_id.as_str()).collect())?,
            new_segments: BTreeMap::new(),
            days: BTreeMap::new(),
            old: BTreeMap::new(),
            compacted: HashMap::new(),
            accounts: accounts(sql, licenses.values(), now)?,
            licenses,
        };
        batch.look_up_usage(sql, reports)?;
        look_up_reported(sql, &mut batch.accounts, &batch.licenses, reports)?;
        Ok(batch)
    }

    /// Return the local license with this id.
    pub(super) fn license(&self, license_id: &str) -> Option<&License> {
        self.licenses.get(license_id)
    }

    /// Return whether the segment belongs to this license. A segment that was never seen belongs to
    /// it from now on.
    pub(super) fn belongs(&mut self, segment_id: &'a str, license_id: &str, now: u64) -> bool {
        if let Some(owner) = self.owners.get(segment_id) {
            return owner == license_id;
        }
        self.owners.insert(segment_id.to_owned(), license_id.to_owned());
        let segment = NewSegment { license_id: license_id.to_owned(), first_reported_at: now };
        self.new_segments.insert(segment_id, segment);
        true
    }

    /// Raise the recorded totals of a segment. Return each counter that rose, and by how much.
    pub(super) fn raise(
        &mut self,
        item_id: &str,
        segment: &'a SegmentReport,
    ) -> Vec<(UsageTotal, u64)> {
        let segment_id = segment.segment_id.as_str();
        let before_day = self.compacted.get(item_id).copied().unwrap_or(0);
        let mut raised = Vec::new();
        let mut old: BTreeMap<(u32, u8, u32), UsageTotal> = BTreeMap::new();
        for counter in &segment.totals {
            let (day, kind) = (day_of(counter.slot), counter.kind.number());
            if day < before_day && !self.days.contains_key(&(segment_id, day)) {
                let sum = old
                    .entry((day, kind, counter.what))
                    .or_insert(UsageTotal { total: 0, ..*counter });
                sum.total = sum.total.saturating_add(counter.total).min(i64::MAX as u64);
                continue;
            }
            let known = self.days.entry((segment_id, day)).or_default();
            let rise = known.value.raise(counter.slot, kind, counter.what, counter.total);
            known.is_changed |= rise > 0;
            raised.push((*counter, rise));
        }
        for ((day, kind, what), sum) in old {
            let known = self.old.entry((segment_id, first_old_day(day))).or_default();
            let rise = known.value.raise(day % OLD_DAYS, kind, what, sum.total);
            known.is_changed |= rise > 0;
            raised.push((sum, rise));
        }
        raised.retain(|(_, rise)| *rise > 0);
        raised
    }

    /// Write all changes.
    pub(super) fn close(self, sql: &dyn Sql) -> Result<(), Error> {
        self.put_segments(sql)?;
        self.put_usage(sql)?;
        put_sums(sql, &self.accounts)?;
        put_devices(sql, &self.accounts)
    }

    fn put_segments(&self, sql: &dyn Sql) -> Result<(), Error> {
        let mut rows = Vec::new();
        for (segment_id, segment) in &self.new_segments {
            let Some(license) = self.licenses.get(&segment.license_id) else { continue };
            rows.extend_from_slice(values![
                &license.item_id,
                *segment_id,
                &segment.license_id,
                &license.device_uuid,
                &license.handshake_code,
                segment.first_reported_at
            ]);
        }
        SEGMENT.put(sql, &rows)
    }

    fn put_usage(&self, sql: &dyn Sql) -> Result<(), Error> {
        for (table, rows) in [(&USAGE_DAY, &self.days), (&USAGE_OLD, &self.old)] {
            let mut changed = Vec::new();
            for ((segment_id, day), totals) in rows.iter().filter(|(_, totals)| totals.is_changed) {
                if let Some(license) = self.license_of(segment_id) {
                    changed.push((
                        license.item_id.as_str(),
                        *day,
                        *segment_id,
                        totals.value.to_bytes(),
                    ));
                }
            }
            by_day::put(sql, table, changed)?;
        }
        Ok(())
    }

    fn license_of(&self, segment_id: &str) -> Option<&License> {
        self.licenses.get(self.owners.get(segment_id)?)
    }

    fn look_up_usage(&mut self, sql: &dyn Sql, reports: &[&'a Report]) -> Result<(), Error> {
        let items = ids(&self.accounts, |_| true);
        for mut row in COMPACTED.find(sql, &texts(&items))? {
            self.compacted.insert(row.take(0)?, row.take(1)?);
        }
        let (mut days, mut old) = (BTreeSet::new(), BTreeSet::new());
        let mut ids: HashMap<&str, &'a str> = HashMap::new();
        for segment in reports.iter().flat_map(|report| &report.report.segments) {
            let Some(license) = self.licenses.get(&segment.license_id) else { continue };
            let (item_id, segment_id) = (license.item_id.as_str(), segment.segment_id.as_str());
            let before_day = self.compacted.get(item_id).copied().unwrap_or(0);
            ids.insert(segment_id, segment_id);
            for counter in &segment.totals {
                let day = day_of(counter.slot);
                days.insert((item_id, day, segment_id));
                if day < before_day {
                    old.insert((item_id, first_old_day(day), segment_id));
                }
            }
        }
        self.days = totals(sql, &USAGE_DAY, &days, &ids)?;
        self.old = totals(sql, &USAGE_OLD, &old, &ids)?;
        Ok(())
    }
}

/// Return the recorded totals of segments, by segment and day; `ids` are the segments.
fn totals<'a>(
    sql: &dyn Sql,
    table: &Table,
    wanted: &BTreeSet<(&str, u32, &str)>,
    ids: &HashMap<&str, &'a str>,
) -> Result<BTreeMap<(&'a str, u32), Kept<DayTotals>>, Error> {
    let found = by_day::find(sql, table, wanted)?.into_iter();
    Ok(found
        .filter_map(|(segment_id, day, totals)| {
            Some(((*ids.get(segment_id.as_str())?, day), Kept::read(totals)))
        })
        .collect())
}

fn licenses(sql: &dyn Sql, ids: &BTreeSet<&str>) -> Result<HashMap<String, License>, Error> {
    let keys: Vec<Value<'_>> = ids.iter().map(|id| Value::Text(id)).collect();
    let rows = LICENSE.find(sql, &keys)?.into_iter().map(|mut row| {
        let license = License {
            item_id: row.take(1)?,
            device_uuid: row.take(2)?,
            handshake_code: row.take(3)?,
            holder: row.take(4)?,
            serial: row.take(5)?,
        };
        Ok((row.take(0)?, license))
    });
    rows.collect()
}

fn owners(sql: &dyn Sql, segment_ids: &BTreeSet<&str>) -> Result<HashMap<String, String>, Error> {
    let keys: Vec<Value<'_>> = segment_ids.iter().map(|id| Value::Text(id)).collect();
    SEGMENT_OWNER
        .find(sql, &keys)?
        .into_iter()
        .map(|mut row| Ok((row.take(0)?, row.take(1)?)))
        .collect()
}
