//! Reading of recorded usage: by handshake code, item, device, slot, kind, symbology or module.

use std::collections::BTreeMap;

use seatmeter_protocol::message::UsageKind;

use super::{Row, Sql, Value, by_day, values};
use crate::error::Error;
use crate::store::day_totals::{DAY_SLOTS, OLD_DAYS, day_of, first_slot};
use crate::store::reading::Snapshot;
use crate::store::{SegmentTotal, UsageFilter, UsageRow};

/// The recorded usage of the days from `?1` to `?2`. `step` is the number of slots between two
/// numbers of the totals. It is one, or `?4` where only the totals of days are kept, with `?3` days
/// in a row.
const USED: &str = "
    (SELECT item_id, segment_id, day, totals, 1 AS step FROM usage_day WHERE day >= ?1 AND day <= ?2
     UNION ALL
     SELECT item_id, segment_id, first_day AS day, totals, ?4 AS step FROM usage_old
      WHERE first_day > ?1 - ?3 AND first_day <= ?2) AS used
    JOIN segment ON segment.item_id = used.item_id AND segment.segment_id = used.segment_id";

/// The recorded usage of the item `?5`.
const USED_OF_ITEM: &str = "
    (SELECT item_id, segment_id, day, totals, 1 AS step FROM usage_day
      WHERE item_id = ?5 AND day >= ?1 AND day <= ?2
     UNION ALL
     SELECT item_id, segment_id, first_day AS day, totals, ?4 AS step FROM usage_old
      WHERE item_id = ?5 AND first_day > ?1 - ?3 AND first_day <= ?2) AS used
    JOIN segment ON segment.item_id = used.item_id AND segment.segment_id = used.segment_id";

/// The work of one device in one day under one handshake code and item, over all segments.
#[derive(Default)]
struct DeviceDay {
    handshake_code: String,
    item_id: String,
    device_uuid: String,
    friendly_name: String,
    day: u32,
    /// The number of slots between two numbers of `sums`: one, or a day where only the totals of
    /// days are kept.
    step: u32,
    /// The sums by slot, kind, and symbology or module. They are wider than a total because they
    /// are sums.
    sums: BTreeMap<(u32, u8, u32), u128>,
}

/// Pass every counter to `each`, in order.
pub(in crate::store) fn for_each(
    sql: &dyn Sql,
    filter: UsageFilter,
    each: &mut dyn FnMut(UsageRow) -> Result<(), Error>,
) -> Result<(), Error> {
    read(&|statement, parameters, row| sql.for_each(statement, parameters, row), None, filter, each)
}

/// Pass every counter of a snapshot to `each`, in order; of one item, if it is named.
pub(in crate::store) fn for_each_in(
    from: &Snapshot<'_>,
    item_id: Option<&str>,
    filter: UsageFilter,
    each: &mut dyn FnMut(UsageRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let rows = |statement: &str, parameters: &[Value<'_>], row: &mut EachRow<'_>| {
        from.for_each(statement, parameters, row)
    };
    read(&rows, item_id, filter, each)
}

/// The function that is called for each row.
type EachRow<'a> = dyn FnMut(Row) -> Result<(), Error> + 'a;

/// Reads the rows of a statement one by one.
type ReadRows<'a> = dyn Fn(&str, &[Value<'_>], &mut EachRow<'_>) -> Result<(), Error> + 'a;

fn read(
    rows: &ReadRows<'_>,
    item_id: Option<&str>,
    filter: UsageFilter,
    each: &mut dyn FnMut(UsageRow) -> Result<(), Error>,
) -> Result<(), Error> {
    // An item has its rows together, so that its usage is read without that of the others.
    let source = if item_id.is_some() { USED_OF_ITEM } else { USED };
    let last = filter.until_slot.map_or(i64::MAX, |until| day_of(until).into());
    let mut current = DeviceDay::default();
    let query = format!(
        "SELECT segment.handshake_code, segment.item_id, segment.device_uuid,
                coalesce((SELECT name FROM device_name WHERE device_name.device_uuid = \
                segment.device_uuid),
                         (SELECT friendly_name FROM device
                           WHERE device.item_id = segment.item_id
                             AND device.device_uuid = segment.device_uuid), ''),
                used.day, used.totals, used.step
           FROM {source}
          ORDER BY segment.handshake_code, segment.item_id, segment.device_uuid, used.day, \
          used.step"
    );
    let mut parameters = values![day_of(filter.from_slot), last, OLD_DAYS, DAY_SLOTS].to_vec();
    parameters.extend(item_id.map(Value::from));
    rows(&query, &parameters, &mut |mut row| {
        let next = DeviceDay {
            handshake_code: row.take(0)?,
            item_id: row.take(1)?,
            device_uuid: row.take(2)?,
            friendly_name: row.take(3)?,
            day: row.take(4)?,
            step: row.take(6)?,
            sums: BTreeMap::new(),
        };
        if !current.is_same(&next) {
            std::mem::replace(&mut current, next).hand_over(filter, each)?;
        }
        let totals = by_day::totals(&mut row, 5, &current.device_uuid)?;
        for (counter, total) in totals.iter() {
            *current.sums.entry(counter).or_default() += u128::from(total);
        }
        Ok(())
    })?;
    current.hand_over(filter, each)
}

impl DeviceDay {
    fn is_same(&self, other: &Self) -> bool {
        (self.day, self.step) == (other.day, other.step)
            && self.device_uuid == other.device_uuid
            && self.item_id == other.item_id
            && self.handshake_code == other.handshake_code
    }

    fn hand_over(
        self,
        filter: UsageFilter,
        each: &mut dyn FnMut(UsageRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for ((slot, kind, what), total) in self.sums {
            let slot = first_slot(self.day) + slot * self.step;
            if slot < filter.from_slot || filter.until_slot.is_some_and(|until| slot >= until) {
                continue;
            }
            each(UsageRow {
                handshake_code: self.handshake_code.clone(),
                item_id: self.item_id.clone(),
                device_uuid: self.device_uuid.clone(),
                friendly_name: self.friendly_name.clone(),
                slot,
                kind: kind_of(kind)?,
                what,
                total,
            })?;
        }
        Ok(())
    }
}

/// Return every counter of every segment, in no particular order, for a check of the sums.
pub(in crate::store) fn segment_totals(sql: &dyn Sql) -> Result<Vec<SegmentTotal>, Error> {
    let query = format!(
        "SELECT segment.device_uuid, used.segment_id, used.day, used.totals, used.step FROM {USED}"
    );
    let rows = sql.query(&query, values![0_u32, i64::MAX, OLD_DAYS, DAY_SLOTS])?;
    let mut all = Vec::new();
    for mut row in rows {
        let (device_uuid, segment_id): (String, String) = (row.take(0)?, row.take(1)?);
        let (day, step): (u32, u32) = (row.take(2)?, row.take(4)?);
        let totals = by_day::totals(&mut row, 3, &segment_id)?;
        for ((slot, kind, what), total) in totals.iter() {
            all.push(SegmentTotal {
                device_uuid: device_uuid.clone(),
                segment_id: segment_id.clone(),
                slot: first_slot(day) + slot * step,
                kind: kind_of(kind)?,
                what,
                total,
            });
        }
    }
    Ok(all)
}

fn kind_of(number: u8) -> Result<UsageKind, Error> {
    UsageKind::from_number(number)
        .ok_or_else(|| Error::Store("a kind of usage is damaged".to_owned()))
}
