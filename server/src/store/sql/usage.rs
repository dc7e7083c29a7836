//! Recording usage: totals that only grow.
//!
//! The stored value of a counter is the maximum of all values that were ever reported for it. A
//! report that is repeated, late or overtaken by a newer one therefore changes nothing, and needs
//! no bookkeeping of its own. The rise is added, in the same transaction, to the sums that the
//! license rules read.
//!
//! A segment is booked completely or not at all; a segment that cannot be booked does not hold up
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use seatmeter_protocol::message::{
    ItemStanding, SegmentRefusal, SegmentReport, UsageAnswer, UsageKind,
};
use seatmeter_protocol::segment_refusal::SegmentFault;

use super::batch::Batch;
use super::{Sql, identity};
use crate::error::Error;
use crate::policy::report_bounds::{self, Reason};
use crate::policy::select::admission::meters;
use crate::store::Report;
use crate::store::account::Account;
use crate::store::account::metered_kind;
use crate::store::day_totals::day_of;

/// The rises that a report has caused for one item.
#[derive(Default)]
struct Raised {
    /// The names under which the device holds seats.
    holders: BTreeSet<String>,
    /// The slots in which the device did anything.
    slots: BTreeSet<u32>,
    /// The rise of the use, by day, kind and module.
    used: BTreeMap<(u32, u8, u32), u64>,
    /// The rise of a device's used allowances of a strict item, by module. The flag is true for
    /// work that was allowed by a state that the device has lost.
    allowances: BTreeMap<(u32, bool), u64>,
}

/// Record a report. Return the answer.
pub(super) fn record<'a>(
    sql: &dyn Sql,
    batch: &mut Batch<'a>,
    whole: &'a Report,
) -> Result<UsageAnswer, Error> {
    let device_key = identity::prove(batch, whole)
        .map_err(|refusal| Error::from(refusal).in_epoch(&batch.epoch.id))?;
    let device_uuid = &whole.report.device.uuid;
    batch.see_receipt(sql, whole.receipt.as_ref(), device_uuid, whole.now)?;
    let is_diverged = identity::hear(sql, batch, whole, &device_key)?;
    let epoch = batch.epoch.id.clone();
    let receipt = batch.receipt(&whole.keys);
    let mut answer = UsageAnswer { epoch, is_diverged, receipt, ..UsageAnswer::default() };
    let Report { report, shown, now, .. } = whole;
    for shown in shown {
        batch.remember(shown, &report.device, &device_key);
    }
    let mut raised: BTreeMap<String, Raised> = BTreeMap::new();
    let mut sums = report_bounds::Sums::default();
    let first = batch.identities.get(device_uuid).map_or(0, |known| known.first_slot(*now));
    let slots = first..=report_bounds::last_slot(*now);
    for segment in &report.segments {
        let bounded = if report.segments.len() > 1 { sums.add(segment) } else { Ok(()) };
        let booked = bounded
            .and_then(|()| book_segment(batch, device_uuid, segment, &slots, *now, &mut raised));
        let segment_id = segment.segment_id.clone();
        match booked
            .and_then(|()| report_bounds::outside(&segment.totals, &slots).map_or(Ok(()), Err))
        {
            Ok(()) => answer.recorded.push(segment_id),
            Err((code, reason)) => {
                answer.refused.push(SegmentRefusal { segment_id, code, reason });
            }
        }
    }
    for (item_id, raised) in &raised {
        if let Some(account) = batch.accounts.get_mut(item_id) {
            answer.standings.push(settle(account, device_uuid, raised, *now));
        }
    }
    batch.end(device_uuid, &report.ended, *now);
    Ok(answer)
}

/// Book one segment as far as it lies in these slots, or return the reason why it cannot be booked.
/// Nothing is changed before every check has passed.
fn book_segment<'a>(
    batch: &mut Batch<'a>,
    device_uuid: &str,
    segment: &'a SegmentReport,
    slots: &RangeInclusive<u32>,
    now: u64,
    raised: &mut BTreeMap<String, Raised>,
) -> Result<(), Reason> {
    let Batch { owners, accounts, segments, .. } = batch;
    report_bounds::check(&segment.totals, |slot, reported| {
        segments.counters_of_slot(&segment.segment_id, slot, reported)
    })?;
    let unknown = || {
        let why = format!("there is no local license {:?} on this server", segment.license_id);
        (SegmentFault::LicenseUnknown, why)
    };
    let owner = owners.get(&segment.license_id).ok_or_else(unknown)?;
    let Some(account) = accounts.get(&owner.item_id) else {
        let why = format!(
            "item {:?} is not ready on this server: its license file cannot be trusted",
            owner.item_id
        );
        return Err((SegmentFault::ItemNotReady, why));
    };
    let license = account.license(&owner.device_uuid, &segment.license_id).ok_or_else(unknown)?;
    if owner.device_uuid != device_uuid {
        let why = format!("local license {:?} belongs to another device", segment.license_id);
        return Err((SegmentFault::LicenseOfOtherDevice, why));
    }
    if !segments.belongs(segment, owner, &license.handshake_code, now) {
        let why = "the segment is known under another local license".to_owned();
        return Err((SegmentFault::SegmentOfOtherLicense, why));
    }
    let rises = segments.raise(&owner.item_id, segment, slots);
    let raised = raised.entry(owner.item_id.clone()).or_default();
    // A report that somebody on the way sends again must not keep a seat.
    if !rises.is_empty() {
        raised.holders.insert(license.holder.clone());
    }
    let metered = metered_kind(&account.item);
    for (counter, rise) in rises {
        raised.slots.insert(counter.slot);
        let module = if counter.kind == UsageKind::Page { counter.what } else { 0 };
        if account.item.strict && counter.kind == metered {
            let own = account.allowance(device_uuid, module);
            let is_lost = own.has_lost(counter.slot, license.serial);
            let more = raised.allowances.entry((module, is_lost)).or_insert(0);
            *more = more.saturating_add(rise);
        }
        let more =
            raised.used.entry((day_of(counter.slot), counter.kind.number(), module)).or_insert(0);
        *more = more.saturating_add(rise);
    }
    Ok(())
}

/// Add a report's rises to the sums of an item. Return how the item stands afterwards.
fn settle(account: &mut Account, device_uuid: &str, raised: &Raised, now: u64) -> ItemStanding {
    for (&(day, kind, module), &more) in &raised.used {
        if kind != UsageKind::Image.number() {
            account.add_used(kind, module, more);
            account.add_to_day(day, kind, module, more);
        }
    }
    for (&(module, is_lost), &more) in &raised.allowances {
        account.use_allowance(device_uuid, module, more, is_lost);
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
