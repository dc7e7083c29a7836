//! Migration of an older database: its usage and activity become rows by days, and activity that it
//! did not count is counted.

use std::collections::BTreeMap;

use super::table::{ACTIVE_DAY, USAGE_DAY};
use super::{Sql, by_day, values};
use crate::error::Error;
use crate::policy::active_slots::ActiveSlots;
use crate::store::account::Account;
use crate::store::account::load_one::read_item;
use crate::store::account::save::{put_devices, put_sums};
use crate::store::day_totals::{DayTotals, day_of, first_slot};

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
            let slot = row.take(0)?;
            days.entry(day_of(slot)).or_default().raise(
                slot,
                row.take(1)?,
                row.take(2)?,
                row.take(3)?,
            );
        }
        let rows =
            days.iter().map(|(day, totals)| (&*item_id, *day, &*segment_id, totals.to_bytes()));
        by_day::put(sql, &USAGE_DAY, rows.collect())?;
    }
    Ok(())
}

fn bring_activity(sql: &dyn Sql) -> Result<(), Error> {
    for (item_id, device_uuid) in pairs(sql, "SELECT item_id, device_uuid FROM active_slots")? {
        let bytes: Option<Vec<u8>> = sql.value(
            "SELECT slots FROM active_slots WHERE item_id = ?1 AND device_uuid = ?2",
            values![&item_id, &device_uuid],
        )?;
        let slots = ActiveSlots::from_bytes(&bytes.unwrap_or_default()).ok_or_else(|| {
            Error::Store(format!("the slots of device {device_uuid} are damaged"))
        })?;
        let mut days: BTreeMap<u32, ActiveSlots> = BTreeMap::new();
        for (slot, count) in slots.iter() {
            days.entry(day_of(slot)).or_default().raise(slot, count);
        }
        let rows =
            days.iter().map(|(day, slots)| (&*item_id, *day, &*device_uuid, slots.to_bytes()));
        by_day::put(sql, &ACTIVE_DAY, rows.collect())?;
    }
    Ok(())
}

/// Count the activity of all recorded usage, for a database that did not keep it.
pub(in crate::store) fn count_activity(sql: &dyn Sql) -> Result<(), Error> {
    for mut row in sql.query("SELECT item_id, definition FROM license_item", &[])? {
        let (item_id, definition): (String, String) = (row.take(0)?, row.take(1)?);
        let item = read_item(&definition)?;
        if !item.charge_way.is_concurrent() {
            continue;
        }
        let mut account = Account::of(item);
        let seats = "SELECT device_uuid, from_slot, seats FROM device_seats WHERE item_id = ?1";
        for mut row in sql.query(seats, values![&item_id])? {
            account.device(row.take(0)?).seats.insert(row.take(1)?, row.take(2)?);
        }
        let used = sql.query(
            "SELECT segment.device_uuid, usage_day.day, usage_day.totals
               FROM usage_day JOIN segment USING (item_id, segment_id) WHERE usage_day.item_id = \
               ?1",
            values![&item_id],
        )?;
        for mut row in used {
            let (device_uuid, day): (String, u32) = (row.take(0)?, row.take(1)?);
            let totals = by_day::totals(&mut row, 2, &device_uuid)?;
            let slots = totals.iter().map(|((slot, ..), _)| first_slot(day) + slot).collect();
            account.device(device_uuid.clone());
            account.active(&device_uuid, &slots, 0);
        }
        let accounts = BTreeMap::from([(item_id, account)]);
        put_sums(sql, &accounts)?;
        put_devices(sql, &accounts)?;
    }
    Ok(())
}

/// Return the pairs of texts that a statement returns.
fn pairs(sql: &dyn Sql, statement: &str) -> Result<Vec<(String, String)>, Error> {
    sql.query(statement, &[])?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}
