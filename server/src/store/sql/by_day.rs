//! Rows that stand by item, day and segment or device, with bytes.

use std::collections::BTreeSet;

use super::table::Table;
use super::{Row, Sql, values};
use crate::error::Error;
use crate::store::day_totals::DayTotals;

/// The totals in a column of a row that is of this segment or device.
pub(in crate::store) fn totals(row: &mut Row, column: usize, of: &str) -> Result<DayTotals, Error> {
    DayTotals::from_bytes(&row.take::<Vec<u8>>(column)?)
        .ok_or_else(|| Error::Store(format!("a day of the usage of {of} is damaged")))
}

/// The totals that there are of these: segment, day, totals.
pub(in crate::store) fn find(
    sql: &dyn Sql,
    table: &Table,
    wanted: &BTreeSet<(&str, u32, &str)>,
) -> Result<Vec<(String, u32, DayTotals)>, Error> {
    let keys: Vec<_> = wanted
        .iter()
        .flat_map(|(item_id, day, segment_id)| *values![*item_id, *day, *segment_id])
        .collect();
    let rows = table.find(sql, &keys)?.into_iter().map(|mut row| {
        let segment_id: String = row.take(2)?;
        let totals = totals(&mut row, 3, &segment_id)?;
        Ok((segment_id, row.take(1)?, totals))
    });
    rows.collect()
}

/// Writes these: item, day, segment or device, bytes.
pub(in crate::store) fn put(
    sql: &dyn Sql,
    table: &Table,
    mut rows: Vec<(&str, u32, &str, Vec<u8>)>,
) -> Result<(), Error> {
    // In the order of the table, so that neighbors are written one after another.
    rows.sort_unstable_by_key(|(item_id, day, name, _)| (*item_id, *day, *name));
    let values: Vec<_> = rows
        .iter()
        .flat_map(|(item_id, day, name, bytes)| *values![*item_id, *day, *name, bytes.as_slice()])
        .collect();
    table.put(sql, &values)
}
