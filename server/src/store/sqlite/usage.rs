//! Recording usage: totals that only grow.
//!
//! What is kept of a counter is the maximum of what was ever reported for it. A report that is repeated,
//! late or overtaken by a newer one therefore changes nothing, and needs no bookkeeping of its own.
//!
//! A segment is booked whole or not at all; one that cannot be booked does not hold up the others.

use rusqlite::{Connection, OptionalExtension, params};
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{SegmentRefusal, SegmentReport, UsageAnswer, UsageReport};

use super::epoch::epoch;
use super::{held, stored};
use crate::error::Error;

/// Whom a segment is booked to.
struct Account {
    item_id: String,
    device_uuid: String,
    handshake_code: String,
}

pub(super) fn record(
    connection: &Connection,
    report: &UsageReport,
    vouched: &[LocalLicense],
    now: u64,
) -> Result<UsageAnswer, Error> {
    let mut answer = UsageAnswer { epoch: epoch(connection)?, ..UsageAnswer::default() };
    for license in vouched {
        held::remember(connection, license, &report.device)?;
    }
    for segment in &report.segments {
        match record_segment(connection, &report.device.uuid, segment, now)? {
            None => answer.recorded.push(segment.segment_id.clone()),
            Some(reason) => {
                answer.refused.push(SegmentRefusal { segment_id: segment.segment_id.clone(), reason });
            }
        }
    }
    Ok(answer)
}

/// Books one segment, or gives the reason why it cannot be booked. Nothing is written before every check has
/// passed.
fn record_segment(
    connection: &Connection,
    device_uuid: &str,
    segment: &SegmentReport,
    now: u64,
) -> Result<Option<String>, Error> {
    let mut totals = Vec::with_capacity(segment.totals.len());
    for counter in &segment.totals {
        let Ok(total) = i64::try_from(counter.total) else {
            return Ok(Some(format!(
                "the total {} in slot {} is more than can be recorded ({})",
                counter.total,
                counter.slot,
                i64::MAX
            )));
        };
        totals.push((counter, total));
    }
    let Some(account) = account(connection, &segment.license_id)? else {
        return Ok(Some(format!("there is no local licence {:?} on this server", segment.license_id)));
    };
    if account.device_uuid != device_uuid {
        return Ok(Some(format!("local licence {:?} belongs to another device", segment.license_id)));
    }
    if !belongs(connection, segment, &account, now)? {
        return Ok(Some("the segment is known under another local licence".to_owned()));
    }
    let mut raise = connection.prepare_cached(
        "INSERT INTO usage (item_id, segment_id, slot, kind, what, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (item_id, segment_id, slot, kind, what)
         DO UPDATE SET total = excluded.total WHERE excluded.total > total",
    )?;
    for (counter, total) in totals {
        let kind = counter.kind.number();
        raise.execute(params![
            account.item_id,
            segment.segment_id,
            counter.slot,
            kind,
            counter.what,
            total
        ])?;
    }
    Ok(None)
}

fn account(connection: &Connection, license_id: &str) -> Result<Option<Account>, Error> {
    Ok(connection
        .prepare_cached(
            "SELECT item_id, device_uuid, handshake_code FROM local_license WHERE license_id = ?1",
        )?
        .query_row([license_id], |row| {
            Ok(Account { item_id: row.get(0)?, device_uuid: row.get(1)?, handshake_code: row.get(2)? })
        })
        .optional()?)
}

/// Whether the segment belongs to this licence; one that was never seen does from now on.
fn belongs(
    connection: &Connection,
    segment: &SegmentReport,
    account: &Account,
    now: u64,
) -> Result<bool, Error> {
    let known: Option<String> = connection
        .prepare_cached("SELECT license_id FROM segment WHERE segment_id = ?1")?
        .query_row([&segment.segment_id], |row| row.get(0))
        .optional()?;
    if let Some(license_id) = known {
        return Ok(license_id == segment.license_id);
    }
    connection
        .prepare_cached(
            "INSERT INTO segment (item_id, segment_id, license_id, device_uuid, handshake_code,
                                  first_reported_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            account.item_id,
            segment.segment_id,
            segment.license_id,
            account.device_uuid,
            account.handshake_code,
            stored(now)
        ])?;
    Ok(true)
}
