//! The refusals, and their reasons.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use seatmeter_protocol::error_code::ErrorCode;

use super::{devices, item_ids, names, own_codes, require_code, require_item, values};
use crate::error::Error;
use crate::operator::queries::refusals::{
    HOUR_SECONDS, HOURS_MAX, HourSum, NumberSum, RefusalInstance, RefusalRow, Refusals,
    RefusalsQuery, advice,
};
use crate::operator::queries::{instant, rows};
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::refusals::DEVICES_MAX;
use crate::store::sql::table::REFUSAL;
use crate::store::sql::{Row, Value};

/// The place of a row in the list: newest hour first, then item, device, code and number.
type Place = (std::cmp::Reverse<u64>, String, String, String, i32);

/// The rows that the caller may see and asks for.
struct Filter {
    from_hour: u64,
    until_hour: u64,
    code: Option<String>,
    /// The codes of the caller's organization, which decide about refusals without an item.
    own_codes: Option<BTreeSet<String>>,
    devices: Option<BTreeSet<String>>,
    number: Option<i32>,
}

/// The rows that were read so far.
struct List {
    after: Option<Place>,
    limit: usize,
    refused: u64,
    by_number: BTreeMap<i32, u64>,
    by_hour: BTreeMap<u64, u64>,
    rows: BTreeMap<Place, RefusalRow>,
    has_more: bool,
}

impl Question for RefusalsQuery {
    type Answer = Refusals;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Refusals, Error> {
        let filter = self.filter(from)?;
        let mut list = List {
            after: self.after.as_deref().map(place).transpose()?,
            limit: rows(self.limit)?,
            refused: 0,
            by_number: BTreeMap::new(),
            by_hour: BTreeMap::new(),
            rows: BTreeMap::new(),
            has_more: false,
        };
        let mut ids = item_ids(from, self.item.as_deref())?;
        if self.item.is_none() {
            // Requests for which no item was chosen.
            ids.insert(0, String::new());
        }
        match &filter.devices {
            Some(devices) => of_devices(from, devices, &ids, &filter, &mut list)?,
            None => {
                ids.iter().try_for_each(|item_id| of_item(from, item_id, &filter, &mut list))?;
            }
        }
        list.answer(from)
    }
}

impl RefusalsQuery {
    fn filter(&self, from: &Snapshot<'_>) -> Result<Filter, Error> {
        if let Some(code) = &self.code {
            require_code(from, code)?;
        }
        if let Some(item) = &self.item {
            require_item(from, item)?;
        }
        let devices = self.device.as_deref().map(|device| devices::meant(from, device));
        let since = self.since.as_deref().map(instant).transpose()?;
        let until = self.until.as_deref().map(instant).transpose()?;
        Ok(Filter {
            from_hour: since.map_or(0, |since| since / HOUR_SECONDS),
            until_hour: until.map_or(i64::MAX as u64, |until| until.div_ceil(HOUR_SECONDS)),
            code: self.code.clone(),
            own_codes: own_codes(from)?,
            devices: devices.transpose()?,
            number: self.number,
        })
    }
}

/// Read the refusals by an item, hour by hour.
fn of_item(
    from: &Snapshot<'_>,
    item_id: &str,
    filter: &Filter,
    list: &mut List,
) -> Result<(), Error> {
    let columns = REFUSAL.names("");
    let query = format!(
        "SELECT {columns} FROM refusal WHERE item_id = ?1 AND hour >= ?2 AND hour < ?3
          ORDER BY item_id, hour"
    );
    let mut hour: Vec<RefusalRow> = Vec::new();
    let range = values![item_id, filter.from_hour, filter.until_hour];
    from.for_each(&query, range, &mut |mut row| {
        let row = read(&mut row)?;
        if hour.first().is_some_and(|first| first.hour_at != row.hour_at) {
            list.add_hour(std::mem::take(&mut hour), filter);
        }
        hour.push(row);
        Ok(())
    })?;
    list.add_hour(hour, filter);
    Ok(())
}

/// Read the refusals of these devices.
fn of_devices(
    from: &Snapshot<'_>,
    uuids: &BTreeSet<String>,
    item_ids: &[String],
    filter: &Filter,
    list: &mut List,
) -> Result<(), Error> {
    let seen: HashSet<&str> = item_ids.iter().map(String::as_str).collect();
    let columns = REFUSAL.names("");
    let query = format!(
        "SELECT {columns} FROM refusal WHERE device_uuid = ?1 AND hour >= ?2 AND hour < ?3"
    );
    for uuid in uuids {
        let range: &[Value<'_>] = values![uuid, filter.from_hour, filter.until_hour];
        from.for_each(&query, range, &mut |mut row| {
            let row = read(&mut row)?;
            if seen.contains(row.item_id.as_str()) && filter.lets_through(&row) {
                list.add(row);
            }
            Ok(())
        })?;
    }
    Ok(())
}

impl Filter {
    fn lets_through(&self, row: &RefusalRow) -> bool {
        let is_seen = !row.item_id.is_empty()
            || self.own_codes.as_ref().is_none_or(|own| own.contains(&row.handshake_code));
        is_seen
            && self.code.as_ref().is_none_or(|code| *code == row.handshake_code)
            && self.number.is_none_or(|number| number == row.code)
    }
}

impl List {
    /// Add the refusals of one hour and item. While the hour runs, more devices may have rows than
    /// it will keep.
    fn add_hour(&mut self, hour: Vec<RefusalRow>, filter: &Filter) {
        let mut refused: HashMap<&str, (u64, u64)> = HashMap::new();
        for row in hour.iter().filter(|row| !row.device_uuid.is_empty()) {
            let of_device = refused.entry(&row.device_uuid).or_default();
            *of_device = (of_device.0 + row.refused, of_device.1.max(row.last.at));
        }
        let mut others: HashSet<String> = HashSet::new();
        if refused.len() > DEVICES_MAX {
            let mut devices: Vec<_> = refused.into_iter().collect();
            devices.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
            others = devices.drain(DEVICES_MAX..).map(|(uuid, _)| uuid.to_owned()).collect();
        }
        for mut row in hour {
            if others.contains(&row.device_uuid) {
                row.device_uuid.clear();
                row.name.clear();
            }
            if filter.lets_through(&row) {
                self.add(row);
            }
        }
    }

    fn add(&mut self, row: RefusalRow) {
        self.refused += row.refused;
        *self.by_number.entry(row.code).or_default() += row.refused;
        *self.by_hour.entry(row.hour_at).or_default() += row.refused;
        if self.by_hour.len() > HOURS_MAX {
            self.by_hour.pop_first();
        }
        let place = (
            std::cmp::Reverse(row.hour_at),
            row.item_id.clone(),
            row.device_uuid.clone(),
            row.handshake_code.clone(),
            row.code,
        );
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        match self.rows.get_mut(&place) {
            Some(known) => known.add(row),
            None => _ = self.rows.insert(place, row),
        }
        if self.rows.len() > self.limit {
            self.rows.pop_last();
            self.has_more = true;
        }
    }

    fn answer(self, from: &Snapshot<'_>) -> Result<Refusals, Error> {
        let last = self.rows.keys().next_back().filter(|_| self.has_more);
        let next = last.map(|(hour, item, device, code, number)| {
            serde_json::json!([hour.0, item, device, code, number]).to_string()
        });
        let mut rows: Vec<RefusalRow> = self.rows.into_values().collect();
        let uuids = rows.iter().map(|row| row.device_uuid.clone()).collect();
        let names = names(from.sql(), &uuids)?;
        for row in &mut rows {
            // The name that an operator sees elsewhere counts more than that of the request.
            if let Some(name) = names.get(&row.device_uuid) {
                row.name.clone_from(name);
            }
        }
        let sum = |(&code, &refused): (&i32, &u64)| NumberSum {
            code,
            code_name: ErrorCode(code).name().to_owned(),
            refused,
            advice: advice(ErrorCode(code)).to_owned(),
        };
        Ok(Refusals {
            refused: self.refused,
            by_number: self.by_number.iter().map(sum).collect(),
            by_hour: self
                .by_hour
                .iter()
                .map(|(&hour_at, &refused)| HourSum { hour_at, refused })
                .collect(),
            rows,
            next,
        })
    }
}

impl RefusalRow {
    fn add(&mut self, other: Self) {
        self.refused += other.refused;
        if other.first.at < self.first.at {
            self.first = other.first;
        }
        if other.last.at > self.last.at {
            self.last = other.last;
        }
    }
}

/// Read a place that [`List::answer`] has written.
fn place(text: &str) -> Result<Place, Error> {
    let (hour, item, device, code, number) = serde_json::from_str(text)
        .map_err(|_| Error::bad_request("\"after\" is not the \"next\" of a part"))?;
    Ok((std::cmp::Reverse(hour), item, device, code, number))
}

/// Return the number of an error as it is stored.
pub(super) fn number(stored: i64) -> i32 {
    i32::try_from(stored).unwrap_or(0)
}

/// Read a row with the columns of [`REFUSAL`].
pub(super) fn read(row: &mut Row) -> Result<RefusalRow, Error> {
    let code = number(row.take(4)?);
    let hour: u64 = row.take(1)?;
    Ok(RefusalRow {
        hour_at: hour * HOUR_SECONDS,
        item_id: row.take(0)?,
        device_uuid: row.take(2)?,
        handshake_code: row.take(3)?,
        name: row.take(13)?,
        code,
        code_name: ErrorCode(code).name().to_owned(),
        refused: row.take(5)?,
        first: instance(row, 6)?,
        last: instance(row, 9)?,
        advice: advice(ErrorCode(code)).to_owned(),
    })
}

fn instance(row: &mut Row, column: usize) -> Result<RefusalInstance, Error> {
    let numbers: String = row.take(column + 2)?;
    Ok(RefusalInstance {
        at: row.take(column)?,
        detail: row.take(column + 1)?,
        numbers: serde_json::from_str(&numbers).ok(),
    })
}
