//! Rows with bytes, keyed by item, day, and segment or device.

use std::collections::BTreeSet;

use super::table::Table;
use super::{Row, Sql, values};
use crate::error::Error;
use crate::store::day_totals::DayTotals;

/// Return the totals in a column of a row. `of` names the segment or device for the error message.
pub(in crate::store) fn totals(row: &mut Row, column: usize, of: &str) -> Result<DayTotals, Error> {
    DayTotals::from_bytes(&row.take::<Vec<u8>>(column)?)
        .ok_or_else(|| Error::Store(format!("a day of the usage of {of} is damaged")))
}

/// Return the totals that exist among the wanted ones: segment, day, totals.
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

/// Write these rows: item, day, segment or device, bytes.
pub(in crate::store) fn put(
    sql: &dyn Sql,
    table: &Table,
    mut rows: Vec<(&str, u32, &str, Vec<u8>)>,
) -> Result<(), Error> {
    // The rows are written in the order of the table, so that neighbors are written one after
    // another.
    rows.sort_unstable_by_key(|(item_id, day, name, _)| (*item_id, *day, *name));
    let values: Vec<_> = rows
        .iter()
        .flat_map(|(item_id, day, name, bytes)| *values![*item_id, *day, *name, bytes.as_slice()])
        .collect();
    table.put(sql, &values)
}
