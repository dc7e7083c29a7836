//! Recording usage: totals that only grow.
//!
//! What is kept of a counter is the maximum of what was ever reported for it. A report that is repeated,
//! late or overtaken by a newer one therefore changes nothing, and needs no bookkeeping of its own. What a report
//! raises is added to the sums that the licence rules look at, in the same transaction.
//!
//! A segment is booked whole or not at all; one that cannot be booked does not hold up the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    EndedLicense, ItemStanding, SegmentRefusal, SegmentReport, UsageAnswer, UsageKind, UsageReport,
};
use seatmeter_protocol::rehearsal::has_bug;

use super::epoch::epoch;
use super::{Sql, account, activity, held, holders, strict, values};
use crate::error::Error;
use crate::policy::holders::Hold;
use crate::policy::room::meters;
use crate::policy::window::seat_until;

/// When a device was last seen is kept this exactly: a row less to write with most reports.
const SEEN_SECONDS: u64 = 3_600;

/// Whom a segment is booked to.
struct Account {
    item_id: String,
    device_uuid: String,
    handshake_code: String,
    holder: String,
}

/// What a report has raised of one item.
#[derive(Default)]
struct Raised {
    /// Names under which the device holds seats.
    holders: BTreeSet<String>,
    /// Slots in which it did anything.
    slots: BTreeSet<u32>,
    /// By how much more is used of each kind and module.
    used: BTreeMap<(u8, u32), u64>,
}

pub(in crate::store) fn record(
    sql: &dyn Sql,
    report: &UsageReport,
    vouched: &[LocalLicense],
    now: u64,
) -> Result<UsageAnswer, Error> {
    let mut answer = UsageAnswer { epoch: epoch(sql)?, ..UsageAnswer::default() };
    for license in vouched {
        held::remember(sql, license, &report.device)?;
    }
    let mut raised: BTreeMap<String, Raised> = BTreeMap::new();
    for segment in &report.segments {
        match record_segment(sql, &report.device.uuid, segment, now, &mut raised)? {
            None => answer.recorded.push(segment.segment_id.clone()),
            Some(reason) => {
                answer.refused.push(SegmentRefusal { segment_id: segment.segment_id.clone(), reason });
            }
        }
    }
    for (item_id, raised) in &raised {
        if let Some(item) = account::item(sql, item_id)? {
            answer.standings.push(settle(sql, &item, &report.device.uuid, raised, now)?);
        }
    }
    for ended in &report.ended {
        end(sql, &report.device.uuid, ended, now)?;
    }
    Ok(answer)
}

/// Books one segment, or gives the reason why it cannot be booked. Nothing is written before every check has
/// passed.
fn record_segment(
    sql: &dyn Sql,
    device_uuid: &str,
    segment: &SegmentReport,
    now: u64,
    raised: &mut BTreeMap<String, Raised>,
) -> Result<Option<String>, Error> {
    if let Some(counter) = segment.totals.iter().find(|counter| i64::try_from(counter.total).is_err()) {
        return Ok(Some(format!(
            "the total {} in slot {} is more than can be recorded ({})",
            counter.total,
            counter.slot,
            i64::MAX
        )));
    }
    let Some(account) = account_of(sql, &segment.license_id)? else {
        return Ok(Some(format!("there is no local licence {:?} on this server", segment.license_id)));
    };
    if account.device_uuid != device_uuid {
        return Ok(Some(format!("local licence {:?} belongs to another device", segment.license_id)));
    }
    if !belongs(sql, segment, &account, now)? {
        return Ok(Some("the segment is known under another local licence".to_owned()));
    }
    let raised = raised.entry(account.item_id.clone()).or_default();
    raise(sql, segment, &account.item_id, raised)?;
    raised.holders.insert(account.holder);
    Ok(None)
}

/// Raises what is recorded of each counter, and notes what has changed.
fn raise(sql: &dyn Sql, segment: &SegmentReport, item_id: &str, raised: &mut Raised) -> Result<(), Error> {
    let Some(first) = segment.totals.iter().map(|counter| counter.slot).min() else { return Ok(()) };
    let mut known = known_totals(sql, item_id, &segment.segment_id, first)?;
    for counter in &segment.totals {
        let kind = counter.kind.number();
        let known = known.entry((counter.slot, kind, counter.what)).or_insert(0);
        if counter.total <= *known && !has_bug("usage: added instead of raised") {
            continue;
        }
        let total =
            if has_bug("usage: added instead of raised") { *known + counter.total } else { counter.total };
        sql.execute(
            "INSERT INTO usage (item_id, segment_id, slot, kind, what, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (item_id, segment_id, slot, kind, what) DO UPDATE SET total = excluded.total",
            values![item_id, &segment.segment_id, counter.slot, u32::from(kind), counter.what, total],
        )?;
        raised.slots.insert(counter.slot);
        let module = if counter.kind == UsageKind::Page { counter.what } else { 0 };
        let more = raised.used.entry((kind, module)).or_insert(0);
        let raised_by = if has_bug("usage: sum raised by the total") { total } else { total - *known };
        *more = more.saturating_add(raised_by);
        *known = total;
    }
    Ok(())
}

/// What is recorded of a segment from a slot on, by slot, kind and symbology or module.
fn known_totals(
    sql: &dyn Sql,
    item_id: &str,
    segment_id: &str,
    from_slot: u32,
) -> Result<HashMap<(u32, u8, u32), u64>, Error> {
    let rows = sql.query(
        "SELECT slot, kind, what, total FROM usage WHERE item_id = ?1 AND segment_id = ?2 AND slot >= ?3",
        values![item_id, segment_id, from_slot],
    )?;
    let mut known = HashMap::with_capacity(rows.len());
    for mut row in rows {
        let kind: u32 = row.take(1)?;
        let kind = u8::try_from(kind).map_err(|_| Error::Store("a kind of usage is damaged".to_owned()))?;
        known.insert((row.take(0)?, kind, row.take(2)?), row.take(3)?);
    }
    Ok(known)
}

/// Adds what a report has raised to the sums of an item; how it stands with it.
fn settle(
    sql: &dyn Sql,
    item: &LicenseItem,
    device_uuid: &str,
    raised: &Raised,
    now: u64,
) -> Result<ItemStanding, Error> {
    let item_id = &item.item_id;
    for (&(kind, module), &more) in &raised.used {
        if kind != UsageKind::Image.number() {
            add_used(sql, item_id, kind, module, more)?;
        }
    }
    if item.strict {
        use_allowances(sql, item_id, device_uuid, raised, account::metered_kind(item))?;
    }
    if account::is_concurrent(item) {
        activity::record(sql, item, device_uuid, &raised.slots, now)?;
    }
    if account::has_seats(item) {
        for holder in &raised.holders {
            begin_window_anew(sql, item, holder, device_uuid, now)?;
        }
    }
    sql.execute(
        "UPDATE device SET last_seen_at = ?3
          WHERE item_id = ?1 AND device_uuid = ?2 AND last_seen_at < ?3 - ?4",
        values![item_id, device_uuid, now, SEEN_SECONDS],
    )?;
    let state = account::standing(sql, item, device_uuid, now)?;
    Ok(ItemStanding { item_id: item_id.clone(), meters: meters(item, &state, now) })
}

/// The sum stops at the greatest number that the database can hold.
fn add_used(sql: &dyn Sql, item_id: &str, kind: u8, module: u32, more: u64) -> Result<(), Error> {
    let kind = u32::from(kind);
    let known: Option<u64> = sql.value(
        "SELECT used FROM item_used WHERE item_id = ?1 AND kind = ?2 AND module = ?3",
        values![item_id, kind, module],
    )?;
    sql.execute(
        "INSERT INTO item_used (item_id, kind, module, used) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (item_id, kind, module) DO UPDATE SET used = excluded.used",
        values![item_id, kind, module, known.unwrap_or(0).saturating_add(more)],
    )?;
    Ok(())
}

/// A usage report moves the window of a seat on; it does not take one that has run out.
fn begin_window_anew(
    sql: &dyn Sql,
    item: &LicenseItem,
    holder: &str,
    device_uuid: &str,
    now: u64,
) -> Result<(), Error> {
    match holders::own(sql, &item.item_id, holder)? {
        Some(own) if own.until > now => {
            let hold = Hold { until: own.until.max(seat_until(item, now)), ..own };
            holders::hold(sql, &item.item_id, holder, device_uuid, hold)
        }
        _ => Ok(()),
    }
}

fn use_allowances(
    sql: &dyn Sql,
    item_id: &str,
    device_uuid: &str,
    raised: &Raised,
    of: UsageKind,
) -> Result<(), Error> {
    for (&(kind, module), &more) in &raised.used {
        if kind == of.number() {
            let own = strict::own(sql, item_id, device_uuid, module)?.unwrap_or_default();
            let total = own.used.saturating_add(more);
            strict::put(sql, item_id, device_uuid, module, own.reported(total))?;
        }
    }
    Ok(())
}

/// The device works under this licence no more.
fn end(sql: &dyn Sql, device_uuid: &str, ended: &EndedLicense, now: u64) -> Result<(), Error> {
    let row = sql.row(
        "UPDATE local_license SET valid_until = CASE WHEN valid_until > ?4 THEN ?4 ELSE valid_until END
          WHERE license_id = ?1 AND device_uuid = ?2 AND serial = ?3 RETURNING item_id, holder",
        values![&ended.license_id, device_uuid, ended.serial, now],
    )?;
    let Some(mut row) = row else { return Ok(()) };
    let (item_id, holder): (String, String) = (row.take(0)?, row.take(1)?);
    // Other applications of the device may run under another code: they keep what the device holds.
    let goes_on = sql.exists(
        "SELECT 1 FROM local_license WHERE item_id = ?1 AND device_uuid = ?2 AND holder = ?3 AND valid_until > ?4
          LIMIT 1",
        values![&item_id, device_uuid, &holder, now],
    )?;
    if goes_on {
        return Ok(());
    }
    holders::release_holder(sql, &item_id, &holder)?;
    for (module, allowance) in strict::all_of(sql, &item_id, device_uuid)? {
        strict::put(sql, &item_id, device_uuid, module, allowance.given_back(ended.serial))?;
    }
    Ok(())
}

fn account_of(sql: &dyn Sql, license_id: &str) -> Result<Option<Account>, Error> {
    let row = sql.row(
        "SELECT item_id, device_uuid, handshake_code, holder FROM local_license WHERE license_id = ?1",
        values![license_id],
    )?;
    row.map(|mut row| {
        Ok(Account {
            item_id: row.take(0)?,
            device_uuid: row.take(1)?,
            handshake_code: row.take(2)?,
            holder: row.take(3)?,
        })
    })
    .transpose()
}

/// Whether the segment belongs to this licence; one that was never seen does from now on.
fn belongs(sql: &dyn Sql, segment: &SegmentReport, account: &Account, now: u64) -> Result<bool, Error> {
    let known: Option<String> =
        sql.value("SELECT license_id FROM segment WHERE segment_id = ?1", values![&segment.segment_id])?;
    if let Some(license_id) = known {
        return Ok(license_id == segment.license_id);
    }
    sql.execute(
        "INSERT INTO segment (item_id, segment_id, license_id, device_uuid, handshake_code, first_reported_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values![
            &account.item_id,
            &segment.segment_id,
            &segment.license_id,
            &account.device_uuid,
            &account.handshake_code,
            now
        ],
    )?;
    Ok(true)
}
