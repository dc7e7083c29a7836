//! In which slots devices were active under a concurrent item, and the excess that comes of it.
//!
//! A device counts once in a slot, with the highest number that was ever reported for it; see
//! [`crate::policy::slot_ledger`], which keeps the same in memory. Here it is a row for each device, for each slot
//! and for each licence year.

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};
use seatmeter_protocol::rehearsal::has_bug;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::{Sql, account, values};
use crate::error::Error;
use crate::policy::active_slots::ActiveSlots;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::slot_ledger::{REPORTABLE_DAYS, first_open_slot};

/// Notes as how many instances a device counts from now on. A lower number holds from the next slot on: in this
/// one the device has had more.
pub(super) fn note_seats(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    seats: u32,
    now: u64,
) -> Result<(), Error> {
    let slot = slot_of(now);
    let last: Option<u32> = sql.value(
        "SELECT seats FROM device_seats WHERE item_id = ?1 AND device_uuid = ?2
          ORDER BY from_slot DESC LIMIT 1",
        values![item_id, device_uuid],
    )?;
    if last == Some(seats) {
        return Ok(());
    }
    let from_slot = if last.is_some_and(|last| last > seats) { slot.saturating_add(1) } else { slot };
    sql.execute(
        "DELETE FROM device_seats WHERE item_id = ?1 AND device_uuid = ?2 AND from_slot > ?3",
        values![item_id, device_uuid, from_slot],
    )?;
    sql.execute(
        "INSERT INTO device_seats (item_id, device_uuid, from_slot, seats) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (item_id, device_uuid, from_slot) DO UPDATE SET seats = excluded.seats",
        values![item_id, device_uuid, from_slot, seats],
    )?;
    Ok(())
}

/// As how many instances a device counts in a slot.
fn seats_in(sql: &dyn Sql, item_id: &str, device_uuid: &str, slot: u32) -> Result<u32, Error> {
    let then = sql.value(
        "SELECT seats FROM device_seats WHERE item_id = ?1 AND device_uuid = ?2 AND from_slot <= ?3
          ORDER BY from_slot DESC LIMIT 1",
        values![item_id, device_uuid, slot],
    )?;
    if let Some(seats) = then {
        return Ok(seats);
    }
    // Its clock was behind when it did the work: the first grant is the nearest.
    let first = sql.value(
        "SELECT seats FROM device_seats WHERE item_id = ?1 AND device_uuid = ?2 ORDER BY from_slot LIMIT 1",
        values![item_id, device_uuid],
    )?;
    Ok(first.unwrap_or(1))
}

/// A device was active in these slots.
pub(super) fn record(
    sql: &dyn Sql,
    item: &LicenseItem,
    device_uuid: &str,
    slots: &BTreeSet<u32>,
    now: u64,
) -> Result<(), Error> {
    let mut known = read(sql, &item.item_id, device_uuid)?;
    let mut is_changed = false;
    let first_open = first_open_slot(now);
    known.forget_before(first_open);
    let first =
        if has_bug("excess: late slots ignored") { slot_of(now).saturating_sub(1) } else { first_open };
    for &slot in slots.range(first..) {
        let count = match item.charge_way {
            ChargeWay::ConcurrentInstance => seats_in(sql, &item.item_id, device_uuid, slot)?,
            _ => 1,
        };
        let rise = known.raise(slot, count);
        if rise > 0 {
            is_changed = true;
            add(sql, item, slot, rise)?;
        }
    }
    if is_changed {
        sql.execute(
            "INSERT INTO active_slots (item_id, device_uuid, slots) VALUES (?1, ?2, ?3)
             ON CONFLICT (item_id, device_uuid) DO UPDATE SET slots = excluded.slots",
            values![&item.item_id, device_uuid, known.to_bytes().as_slice()],
        )?;
    }
    Ok(())
}

/// Counts the activity of all usage that is recorded, for a database that did not keep it.
pub(in crate::store) fn count_all(sql: &dyn Sql) -> Result<(), Error> {
    for mut row in sql.query("SELECT definition FROM license_item", &[])? {
        let item = account::read_item(&row.take::<String>(0)?)?;
        if !account::is_concurrent(&item) {
            continue;
        }
        let used = sql.query(
            "SELECT DISTINCT segment.device_uuid, usage.slot FROM usage JOIN segment USING (item_id, segment_id)
              WHERE usage.item_id = ?1",
            values![&item.item_id],
        )?;
        let mut devices: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for mut row in used {
            devices.entry(row.take(0)?).or_default().insert(row.take(1)?);
        }
        for (device_uuid, slots) in &devices {
            record(sql, &item, device_uuid, slots, 0)?;
        }
    }
    Ok(())
}

fn read(sql: &dyn Sql, item_id: &str, device_uuid: &str) -> Result<ActiveSlots, Error> {
    let bytes: Option<Vec<u8>> = sql.value(
        "SELECT slots FROM active_slots WHERE item_id = ?1 AND device_uuid = ?2",
        values![item_id, device_uuid],
    )?;
    let Some(bytes) = bytes else { return Ok(ActiveSlots::default()) };
    ActiveSlots::from_bytes(&bytes)
        .ok_or_else(|| Error::Store(format!("the slots of device {device_uuid} are damaged")))
}

/// Adds to the sum of a slot, and what is above N to the excess of its licence year.
fn add(sql: &dyn Sql, item: &LicenseItem, slot: u32, rise: u32) -> Result<(), Error> {
    let after: Option<u64> = sql.value(
        "INSERT INTO slot_sum (item_id, slot, active) VALUES (?1, ?2, ?3)
         ON CONFLICT (item_id, slot) DO UPDATE SET active = slot_sum.active + excluded.active
         RETURNING active",
        values![&item.item_id, slot, rise],
    )?;
    let after = after.unwrap_or(u64::from(rise));
    let before = after.saturating_sub(u64::from(rise));
    let more = excess(after, item.quota) - excess(before, item.quota);
    if more > 0 {
        sql.execute(
            "INSERT INTO year_excess (item_id, year, excess) VALUES (?1, ?2, ?3)
             ON CONFLICT (item_id, year) DO UPDATE SET excess = year_excess.excess + excluded.excess",
            values![&item.item_id, OveruseRule::of(item).year(slot_start(slot)).index, more],
        )?;
    }
    Ok(())
}

/// Drops the slots that can no longer be reported. What they gave to the excess of their licence year stays.
pub(in crate::store) fn close_old_slots(sql: &dyn Sql, now: u64) -> Result<(), Error> {
    sql.execute("DELETE FROM slot_sum WHERE slot < ?1", values![first_open_slot(now)])?;
    let silent_since = now.saturating_sub(REPORTABLE_DAYS * DAY_SECONDS);
    sql.execute(
        "DELETE FROM active_slots
          WHERE NOT EXISTS (SELECT 1 FROM device
                             WHERE device.item_id = active_slots.item_id
                               AND device.device_uuid = active_slots.device_uuid
                               AND device.last_seen_at >= ?1)",
        values![silent_since],
    )?;
    Ok(())
}

/// The excess so far of the licence year that holds an instant: of its slots that have ended.
pub(super) fn excess_so_far(sql: &dyn Sql, item: &LicenseItem, now: u64) -> Result<u64, Error> {
    let year = OveruseRule::of(item).year(now);
    let all: Option<u64> = sql.value(
        "SELECT excess FROM year_excess WHERE item_id = ?1 AND year = ?2",
        values![&item.item_id, year.index],
    )?;
    let Some(all) = all else { return Ok(0) };
    let running = sql.query(
        "SELECT slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2",
        values![&item.item_id, slot_of(now)],
    )?;
    let mut not_yet = 0_u64;
    for mut row in running {
        if slot_start(row.take(0)?) < year.ends_at {
            not_yet = not_yet.saturating_add(excess(row.take(1)?, item.quota));
        }
    }
    Ok(all.saturating_sub(not_yet))
}
