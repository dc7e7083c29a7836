//! Recording usage: totals that only grow.
//!
//! The stored value of a counter is the maximum of all values that were ever reported for it. A
//! report that is repeated, late or overtaken by a newer one therefore changes nothing, and needs
//! no bookkeeping of its own. The rise is added, in the same transaction, to the sums that the
//! license rules read.
//!
//! A segment is booked completely or not at all; a segment that cannot be booked does not hold up
//! the others. Reports that come together share their lookups and writes ([`Batch`]).

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::message::{
    EndedLicense, ItemStanding, SegmentRefusal, SegmentReport, UsageAnswer, UsageKind,
};

use super::batch::Batch;
use super::epoch::life;
use super::held::{self, Left};
use super::{Report, Sql, holders, strict};
use crate::error::Error;
use crate::policy::select::admission::meters;
use crate::store::account::Account;
use crate::store::account::metered_kind;

/// The rises that a report has caused for one item.
#[derive(Default)]
struct Raised {
    /// The names under which the device holds seats.
    holders: BTreeSet<String>,
    /// The slots in which the device did anything.
    slots: BTreeSet<u32>,
    /// The rise of the use, by kind and module.
    used: BTreeMap<(u8, u32), u64>,
}

/// Record reports that came together. Return the answers in the same order.
pub(in crate::store) fn record(
    sql: &dyn Sql,
    reports: &[&Report],
) -> Result<Vec<UsageAnswer>, Error> {
    let epoch = life(sql)?.epoch;
    let mut batch = Batch::open(sql, reports)?;
    let answers = reports.iter().map(|report| book(&mut batch, report, &epoch)).collect();
    batch.close(sql)?;
    for report in reports {
        let mut all: Vec<&EndedLicense> = report.report.ended.iter().collect();
        // An allowance belongs to the newest grant, of whichever code. Therefore licenses end in
        // the order of their serials, and the allowance comes back with the last one.
        all.sort_by_key(|ended| ended.serial);
        for ended in all {
            end(sql, &report.report.device.uuid, ended, report.now)?;
        }
    }
    Ok(answers)
}

fn book<'a>(batch: &mut Batch<'a>, report: &'a Report, epoch: &str) -> UsageAnswer {
    let mut answer = UsageAnswer { epoch: epoch.to_owned(), ..UsageAnswer::default() };
    let device_uuid = &report.report.device.uuid;
    let mut raised: BTreeMap<String, Raised> = BTreeMap::new();
    for segment in &report.report.segments {
        match book_segment(batch, device_uuid, segment, report.now, &mut raised) {
            Ok(()) => answer.recorded.push(segment.segment_id.clone()),
            Err(reason) => {
                answer
                    .refused
                    .push(SegmentRefusal { segment_id: segment.segment_id.clone(), reason });
            }
        }
    }
    for (item_id, raised) in &raised {
        if let Some(account) = batch.accounts.get_mut(item_id) {
            answer.standings.push(settle(account, device_uuid, raised, report.now));
        }
    }
    answer
}

/// Book one segment, or return the reason why it cannot be booked. Nothing is changed before every
/// check has passed.
fn book_segment<'a>(
    batch: &mut Batch<'a>,
    device_uuid: &str,
    segment: &'a SegmentReport,
    now: u64,
    raised: &mut BTreeMap<String, Raised>,
) -> Result<(), String> {
    if let Some(counter) =
        segment.totals.iter().find(|counter| i64::try_from(counter.total).is_err())
    {
        return Err(format!(
            "the total {} in slot {} is more than can be recorded ({})",
            counter.total,
            counter.slot,
            i64::MAX
        ));
    }
    let Some(license) = batch.license(&segment.license_id) else {
        return Err(format!("there is no local license {:?} on this server", segment.license_id));
    };
    if license.device_uuid != device_uuid {
        return Err(format!("local license {:?} belongs to another device", segment.license_id));
    }
    let (item_id, holder) = (license.item_id.clone(), license.holder.clone());
    if !batch.belongs(&segment.segment_id, &segment.license_id, now) {
        return Err("the segment is known under another local license".to_owned());
    }
    let rises = batch.raise(&item_id, segment);
    let raised = raised.entry(item_id).or_default();
    raised.holders.insert(holder);
    for (counter, rise) in rises {
        raised.slots.insert(counter.slot);
        let module = if counter.kind == UsageKind::Page { counter.what } else { 0 };
        let more = raised.used.entry((counter.kind.number(), module)).or_insert(0);
        *more = more.saturating_add(rise);
    }
    Ok(())
}

/// Add a report's rises to the sums of an item. Return how the item stands afterwards.
fn settle(account: &mut Account, device_uuid: &str, raised: &Raised, now: u64) -> ItemStanding {
    let metered = metered_kind(&account.item).number();
    for (&(kind, module), &more) in &raised.used {
        if kind != UsageKind::Image.number() {
            account.add_used(kind, module, more);
        }
        if account.item.strict && kind == metered {
            account.use_allowance(device_uuid, module, more);
        }
    }
    if account.item.charge_way.is_concurrent() {
        account.active(device_uuid, &raised.slots, now);
    }
    if account.item.charge_way.has_window() {
        for holder in &raised.holders {
            account.begin_window_anew(device_uuid, holder, now);
        }
    }
    account.seen(device_uuid, now);
    let state = account.standing(device_uuid, now);
    ItemStanding {
        item_id: account.item.item_id.clone(),
        meters: meters(&account.item, &state, now),
    }
}

/// End the device's work under this license.
fn end(sql: &dyn Sql, device_uuid: &str, ended: &EndedLicense, now: u64) -> Result<(), Error> {
    let left = held::end(sql, device_uuid, &ended.license_id, ended.serial, now)?;
    let Some(Left { item_id, holder }) = left else { return Ok(()) };
    holders::release_holder(sql, &item_id, &holder)?;
    for (module, allowance) in strict::all_of(sql, &item_id, device_uuid)? {
        strict::put(sql, &item_id, device_uuid, module, allowance.given_back(ended.serial))?;
    }
    Ok(())
}
