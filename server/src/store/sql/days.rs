//! Brings the usage and activity of an older database into rows by days.

use std::collections::BTreeMap;

use super::table::{ACTIVE_DAY, USAGE_DAY};
use super::{Sql, values};
use crate::error::Error;
use crate::policy::active_slots::ActiveSlots;
use crate::store::day_totals::{DayTotals, day_of};

pub(in crate::store) fn bring_to_days(sql: &dyn Sql) -> Result<(), Error> {
    bring_usage(sql)?;
    bring_activity(sql)?;
    sql.execute("DROP TABLE usage", &[])?;
    sql.execute("DROP TABLE active_slots", &[])?;
    Ok(())
}

fn bring_usage(sql: &dyn Sql) -> Result<(), Error> {
    for (item_id, segment_id) in pairs(sql, "SELECT DISTINCT item_id, segment_id FROM usage")? {
        let rows = sql.query(
            "SELECT slot, kind, what, total FROM usage WHERE item_id = ?1 AND segment_id = ?2",
            values![&item_id, &segment_id],
        )?;
        let mut days: BTreeMap<u32, DayTotals> = BTreeMap::new();
        for mut row in rows {
            let (slot, kind): (u32, u32) = (row.take(0)?, row.take(1)?);
            let kind =
                u8::try_from(kind).map_err(|_| Error::Store("a kind of usage is damaged".to_owned()))?;
            days.entry(day_of(slot)).or_default().raise(slot, kind, row.take(2)?, row.take(3)?);
        }
        for (day, totals) in days {
            USAGE_DAY.put(sql, values![&item_id, day, &segment_id, totals.to_bytes().as_slice()])?;
        }
    }
    Ok(())
}

fn bring_activity(sql: &dyn Sql) -> Result<(), Error> {
    for (item_id, device_uuid) in pairs(sql, "SELECT item_id, device_uuid FROM active_slots")? {
        let bytes: Option<Vec<u8>> = sql.value(
            "SELECT slots FROM active_slots WHERE item_id = ?1 AND device_uuid = ?2",
            values![&item_id, &device_uuid],
        )?;
        let slots = ActiveSlots::from_bytes(&bytes.unwrap_or_default())
            .ok_or_else(|| Error::Store(format!("the slots of device {device_uuid} are damaged")))?;
        let mut days: BTreeMap<u32, ActiveSlots> = BTreeMap::new();
        for (slot, count) in slots.iter() {
            days.entry(day_of(slot)).or_default().raise(slot, count);
        }
        for (day, slots) in days {
            ACTIVE_DAY.put(sql, values![&item_id, day, &device_uuid, slots.to_bytes().as_slice()])?;
        }
    }
    Ok(())
}

/// The pairs of texts that a statement gives.
fn pairs(sql: &dyn Sql, statement: &str) -> Result<Vec<(String, String)>, Error> {
    sql.query(statement, &[])?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}
