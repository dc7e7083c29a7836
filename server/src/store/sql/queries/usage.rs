//! The recorded usage, summed by the fields that the query names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::slot::slot_start;

use super::{devices, item_ids, names, require_code};
use crate::error::Error;
use crate::operator::queries::usage::{Grouping, KindSum, Usage, UsageQuery, UsageSum, what_name};
use crate::operator::queries::{asked, rows};
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::recorded;
use crate::store::{UsageFilter, UsageRow};
use crate::utc;

/// The greatest number of rows that are summed, and of slots that are compared for peaks: what fits
/// into some hundred megabytes.
const GROUPS_MAX: usize = 500_000;
const CELLS_MAX: usize = 4_000_000;

/// The key of a row, in the order of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    handshake_code: Option<String>,
    item_id: Option<String>,
    device_uuid: Option<String>,
    begin: Option<u32>,
    kind: Option<u8>,
    what: Option<u32>,
}

/// The sums so far.
#[derive(Default)]
struct Sums {
    groups: BTreeMap<Key, Group>,
    cells: usize,
    totals: BTreeMap<u8, u128>,
}

#[derive(Default)]
struct Group {
    total: u128,
    slots: HashMap<u32, u128>,
}

impl Question for UsageQuery {
    type Answer = Usage;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Usage, Error> {
        let limit = rows(self.limit)?;
        let grouping = Grouping::parse(self.by.as_deref().unwrap_or("item,kind"))?;
        let filter = UsageFilter {
            from_slot: self.from.as_deref().map_or(Ok(0), utc::slot_at_or_after).map_err(asked)?,
            until_slot: self.to.as_deref().map(utc::slot_at_or_after).transpose().map_err(asked)?,
        };
        if let Some(code) = &self.code {
            require_code(from, code)?;
        }
        let devices = self.device.as_deref().map(|device| devices::meant(from, device));
        let devices: Option<BTreeSet<String>> = devices.transpose()?;
        // Without a filter by item, everything is read in one go.
        let items = match (&self.item, from.owner) {
            (None, None) => None,
            (item, _) => Some(item_ids(from, item.as_deref())?),
        };
        let mut sums = Sums::default();
        let mut each = |row: UsageRow| {
            let is_wanted = self.code.as_ref().is_none_or(|code| *code == row.handshake_code)
                && devices.as_ref().is_none_or(|devices| devices.contains(&row.device_uuid))
                && self.kind.is_none_or(|kind| kind.of_protocol() == row.kind);
            if is_wanted { sums.add(row, &grouping, self.peaks) } else { Ok(()) }
        };
        match items {
            None => recorded::for_each_in(from, None, filter, &mut each)?,
            Some(items) => {
                for item in &items {
                    recorded::for_each_in(from, Some(item), filter, &mut each)?;
                }
            }
        }
        sums.answer(from, self.after.unwrap_or(0), limit, self.peaks)
    }
}

impl Sums {
    fn add(&mut self, row: UsageRow, grouping: &Grouping, with_peaks: bool) -> Result<(), Error> {
        let key = Key {
            handshake_code: grouping.code.then_some(row.handshake_code),
            item_id: grouping.item.then_some(row.item_id),
            device_uuid: grouping.device.then_some(row.device_uuid),
            begin: grouping.time.map(|unit| unit.begin(row.slot)),
            kind: grouping.kind.then(|| row.kind.number()),
            what: grouping.what.then_some(row.what),
        };
        let group = self.groups.entry(key).or_default();
        group.total = group.total.saturating_add(row.total);
        if with_peaks {
            let before = group.slots.len();
            let sum = group.slots.entry(row.slot).or_default();
            *sum = sum.saturating_add(row.total);
            self.cells += group.slots.len() - before;
        }
        let total = self.totals.entry(row.kind.number()).or_default();
        *total = total.saturating_add(row.total);
        if self.groups.len() > GROUPS_MAX || self.cells > CELLS_MAX {
            return Err(Error::bad_request(
                "the usage makes more rows than this server can sum at once: ask for a shorter \
                 time, for one item, for fewer groups, or without peaks",
            ));
        }
        Ok(())
    }

    fn answer(
        self,
        from: &Snapshot<'_>,
        after: u64,
        limit: usize,
        with_peaks: bool,
    ) -> Result<Usage, Error> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let has_more = self.groups.len() > after.saturating_add(limit);
        let mut rows = Vec::new();
        for (key, group) in self.groups.into_iter().skip(after).take(limit) {
            rows.push(row(key, &group, with_peaks)?);
        }
        let uuids: BTreeSet<String> =
            rows.iter().filter_map(|row| row.device_uuid.clone()).collect();
        let names = names(from.sql(), &uuids)?;
        for row in &mut rows {
            let name = row.device_uuid.as_ref().and_then(|uuid| names.get(uuid));
            row.device_name = name.cloned();
        }
        let totals = self.totals.into_iter();
        let totals = totals.map(|(kind, total)| Ok(KindSum { kind: kind_of(kind)?, total }));
        Ok(Usage {
            rows,
            totals: totals.collect::<Result<_, Error>>()?,
            next: has_more.then_some((after + limit) as u64),
        })
    }
}

fn row(key: Key, group: &Group, with_peaks: bool) -> Result<UsageSum, Error> {
    let kind = key.kind.map(kind_of).transpose()?;
    // The first of the highest slots.
    let peak = group.slots.iter().max_by_key(|(slot, sum)| (**sum, std::cmp::Reverse(**slot)));
    Ok(UsageSum {
        handshake_code: key.handshake_code,
        item_id: key.item_id,
        device_uuid: key.device_uuid,
        device_name: None,
        kind,
        what: key.what,
        what_name: key.what.zip(kind).map(|(what, kind)| what_name(kind, what)),
        begins_at: key.begin.map(slot_start),
        total: group.total,
        peak: peak.filter(|_| with_peaks).map(|(_, sum)| *sum),
        peak_slot: peak.filter(|_| with_peaks).map(|(slot, _)| *slot),
    })
}

fn kind_of(number: u8) -> Result<UsageKind, Error> {
    UsageKind::from_number(number)
        .ok_or_else(|| Error::Store("a kind of usage is damaged".to_owned()))
}
