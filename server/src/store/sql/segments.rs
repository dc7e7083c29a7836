//! The segments of the reports in a batch, with their totals.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use seatmeter_protocol::message::{SegmentReport, UsageTotal};

use super::batch::Places;
use super::table::{COMPACTED, SEGMENT, SEGMENT_OWNER, Table, USAGE_DAY, USAGE_OLD};
use super::{Sql, Value, Wanted, by_day, values};
use crate::error::Error;
use crate::policy::report_bounds::COUNTERS_MAX;
use crate::store::Report;
use crate::store::account::Kept;
use crate::store::day_totals::{DayTotals, OLD_DAYS, day_of, first_old_day};

/// The item and the device that a local license belongs to.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) item_id: String,
    pub(super) device_uuid: String,
}

/// The owners of local licenses, by the ids of the licenses.
pub(super) type Owners = HashMap<String, Owner>;

/// A segment that was not known, as it will be written.
struct NewSegment {
    owner: Owner,
    license_id: String,
    handshake_code: String,
    first_reported_at: u64,
}

/// The segments that the reports of a batch name.
#[derive(Default)]
pub(super) struct Segments<'a> {
    /// The id of the local license that each segment belongs to.
    licenses: HashMap<String, String>,
    new: BTreeMap<&'a str, NewSegment>,
    /// The totals by segment and day.
    days: BTreeMap<(&'a str, u32), Kept<DayTotals>>,
    /// The totals by segment and first day of the row, for days with only the day's totals left;
    /// see [`super::retention`].
    old: BTreeMap<(&'a str, u32), Kept<DayTotals>>,
    /// The first day, by item, that is not compacted: of days before it, only the day's totals are
    /// left.
    compacted: HashMap<String, u32>,
}

impl<'a> Segments<'a> {
    /// Load the segments of these reports.
    pub(super) fn load(
        sql: &dyn Sql,
        reports: &[&'a Report],
        places: &Places<'_>,
    ) -> Result<Self, Error> {
        let mut segments = Self::default();
        let named = || reports.iter().flat_map(|report| &report.report.segments);
        let ids: BTreeSet<&str> = named().map(|segment| segment.segment_id.as_str()).collect();
        let keys: Vec<Value<'_>> = ids.iter().map(|id| Value::Text(id)).collect();
        for mut row in SEGMENT_OWNER.find(sql, &keys)? {
            segments.licenses.insert(row.take(0)?, row.take(1)?);
        }
        let items_of =
            |segment: &SegmentReport| places.of(&segment.license_id).map(|place| place.item_id);
        let items: BTreeSet<&str> = named().flat_map(items_of).collect();
        let keys: Vec<Value<'_>> = items.into_iter().map(Value::Text).collect();
        for mut row in COMPACTED.find(sql, &keys)? {
            segments.compacted.insert(row.take(0)?, row.take(1)?);
        }
        let (mut days, mut old) = (BTreeSet::new(), BTreeSet::new());
        let mut ids: HashMap<&str, &'a str> = HashMap::new();
        let in_items = named().flat_map(|segment| items_of(segment).map(move |id| (segment, id)));
        for (segment, item_id) in in_items {
            let segment_id = segment.segment_id.as_str();
            let before_day = segments.compacted.get(item_id).copied().unwrap_or(0);
            ids.insert(segment_id, segment_id);
            for counter in &segment.totals {
                let day = day_of(counter.slot);
                days.insert((item_id, day, segment_id));
                if day < before_day {
                    old.insert((item_id, first_old_day(day), segment_id));
                }
            }
        }
        segments.days = totals(sql, &USAGE_DAY, &days, &ids)?;
        segments.old = totals(sql, &USAGE_OLD, &old, &ids)?;
        Ok(segments)
    }

    /// Return whether the segment belongs to this license. A segment that was never seen belongs to
    /// it from now on; `handshake_code` is that of the license.
    pub(super) fn belongs(
        &mut self,
        segment: &'a SegmentReport,
        owner: &Owner,
        handshake_code: &str,
        now: u64,
    ) -> bool {
        let SegmentReport { segment_id, license_id, .. } = segment;
        if let Some(known) = self.licenses.get(segment_id) {
            return known == license_id;
        }
        self.licenses.insert(segment_id.clone(), license_id.clone());
        let new = NewSegment {
            owner: owner.clone(),
            license_id: license_id.clone(),
            handshake_code: handshake_code.to_owned(),
            first_reported_at: now,
        };
        self.new.insert(segment_id, new);
        true
    }

    /// Return how many counters a slot of a segment has: those recorded, and those reported now.
    pub(super) fn counters_of_slot(
        &self,
        segment_id: &str,
        slot: u32,
        reported: &[UsageTotal],
    ) -> usize {
        let recorded = self.days.get(&(segment_id, day_of(slot)));
        let recorded = recorded.map_or(&[][..], |totals| totals.value.of_slot(slot));
        // In a usual report, the sum of both is small enough, and nothing has to be compared.
        if reported.len() + recorded.len() <= COUNTERS_MAX {
            return reported.len();
        }
        let recorded = recorded.iter().map(|((_, kind, what), _)| (*kind, *what));
        let reported = reported.iter().map(|counter| (counter.kind.number(), counter.what));
        recorded.chain(reported).collect::<BTreeSet<_>>().len()
    }

    /// Raise the recorded totals of a segment in these slots. Return each counter that rose, and by
    /// how much.
    pub(super) fn raise(
        &mut self,
        item_id: &str,
        segment: &'a SegmentReport,
        slots: &RangeInclusive<u32>,
    ) -> Vec<(UsageTotal, u64)> {
        let segment_id = segment.segment_id.as_str();
        let before_day = self.compacted.get(item_id).copied().unwrap_or(0);
        let mut raised = Vec::new();
        let mut old: BTreeMap<(u32, u8, u32), UsageTotal> = BTreeMap::new();
        for counter in segment.totals.iter().filter(|counter| slots.contains(&counter.slot)) {
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

    /// Write the segments and totals that have changed.
    pub(super) fn save(&self, sql: &dyn Sql, owners: &Owners) -> Result<(), Error> {
        let mut rows = Vec::new();
        for (segment_id, segment) in &self.new {
            rows.extend_from_slice(values![
                &segment.owner.item_id,
                *segment_id,
                &segment.license_id,
                &segment.owner.device_uuid,
                &segment.handshake_code,
                segment.first_reported_at
            ]);
        }
        SEGMENT.put(sql, &rows)?;
        for (table, rows) in [(&USAGE_DAY, &self.days), (&USAGE_OLD, &self.old)] {
            let mut changed = Vec::new();
            for ((segment_id, day), totals) in rows.iter().filter(|(_, totals)| totals.is_changed) {
                let license = self.licenses.get(*segment_id);
                if let Some(owner) = license.and_then(|license_id| owners.get(license_id)) {
                    let bytes = totals.value.to_bytes();
                    changed.push((owner.item_id.as_str(), *day, *segment_id, bytes));
                }
            }
            by_day::put(sql, table, changed)?;
        }
        Ok(())
    }
}

/// Return what [`Segments::load`] will look up, as far as no item is compacted.
pub(super) fn expected<'a>(reports: &[&'a Report], places: &'a Places<'_>) -> Vec<Wanted<'a>> {
    let (mut items, mut days) = (BTreeSet::new(), BTreeSet::new());
    for segment in reports.iter().flat_map(|report| &report.report.segments) {
        for place in places.of(&segment.license_id) {
            items.insert(place.item_id);
            let of_days = segment.totals.iter().map(|counter| day_of(counter.slot));
            days.extend(of_days.map(|day| (place.item_id, day, segment.segment_id.as_str())));
        }
    }
    let days = days.into_iter().flat_map(|(item, day, segment)| *values![item, day, segment]);
    let items = items.into_iter().map(Value::Text);
    vec![Wanted::Rows(&COMPACTED, items.collect()), Wanted::Rows(&USAGE_DAY, days.collect())]
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
