//! Reports of usage.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    ItemStanding, SegmentRefusal, SegmentReport, UsageAnswer, UsageKind, UsageReport,
};
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::slot::{slot_of, slot_start};
use seatmeter_server::policy::holders::Occupied;
use seatmeter_server::policy::overuse::{OveruseRule, excess};
use seatmeter_server::policy::select::admission::meters;
use seatmeter_server::policy::window::seat_until;
use seatmeter_server::receipt::Receipt;

use super::{Plain, has_seats, is_concurrent};

/// A report with the licenses that it shows, as far as they are the server's.
pub(crate) struct Reported<'a> {
    pub(crate) report: &'a UsageReport,
    pub(crate) newest: Option<&'a LocalLicense>,
    /// Whether the newest license is the server's.
    pub(crate) is_newest_ours: bool,
    pub(crate) receipt: Option<&'a Receipt>,
    pub(crate) vouched: &'a [LocalLicense],
    pub(crate) now: u64,
}

impl Plain {
    /// Record a report.
    pub(crate) fn record(&mut self, reported: &Reported<'_>) -> UsageAnswer {
        let &Reported { report, vouched, now, .. } = reported;
        self.see_receipt(reported.receipt, reported.now);
        let is_diverged = self.hear(reported);
        let mut answer =
            UsageAnswer { epoch: self.epoch.clone(), is_diverged, ..UsageAnswer::default() };
        if self.is_edited {
            answer.refused.extend(report.segments.iter().map(refused));
            return answer;
        }
        vouched.iter().for_each(|license| self.remember(license, None));
        let uuid = &report.device.uuid;
        let (mut raised, mut holders, mut slots) =
            (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let granted_at = self.identities.get(uuid).map_or(0, |known| known.first_granted_at);
        let first = slot_of(granted_at.min(now).saturating_sub(DAY_SECONDS));
        let possible = first..=slot_of(now + DAY_SECONDS);
        let mut is_booked = false;
        for segment in &report.segments {
            let booked = self.record_segment(
                uuid,
                segment,
                &possible,
                &mut raised,
                &mut slots,
                &mut holders,
            );
            is_booked |= booked;
            let is_whole = segment.totals.iter().all(|total| possible.contains(&total.slot));
            if booked && is_whole {
                answer.recorded.push(segment.segment_id.clone());
            } else {
                answer.refused.push(refused(segment));
            }
        }
        if let (Some(item), true) = (self.item.clone(), is_booked) {
            self.settle(&item, uuid, &raised, &holders, &slots, now);
            let mut state = self.state(&item, uuid, "", now);
            if !has_seats(&item) {
                state.occupied = Occupied::default();
            }
            answer.standings.push(ItemStanding {
                item_id: item.item_id.clone(),
                meters: meters(&item, &state, now),
            });
        }
        report.ended.iter().for_each(|ended| self.end(uuid, ended, now));
        answer
    }

    /// Book what a segment has in the possible slots. Return whether it can be booked.
    fn record_segment(
        &mut self,
        uuid: &str,
        segment: &SegmentReport,
        possible: &RangeInclusive<u32>,
        raised: &mut BTreeMap<(u8, u32, bool), u64>,
        slots: &mut BTreeSet<u32>,
        holders: &mut BTreeSet<String>,
    ) -> bool {
        let license = self.licenses.get(&segment.license_id);
        let Some(license) = license.filter(|license| license.device == uuid) else {
            return false;
        };
        let known = self
            .segments
            .entry(segment.segment_id.clone())
            .or_insert_with(|| segment.license_id.clone());
        if *known != segment.license_id {
            return false;
        }
        for total in segment.totals.iter().filter(|total| possible.contains(&total.slot)) {
            let counter = (total.slot, total.kind.number(), total.what);
            let known = self.usage.entry((segment.segment_id.clone(), counter)).or_default();
            if total.total > *known {
                let module = if total.kind == UsageKind::Page { total.what } else { 0 };
                let own = self.allowances.get(&(uuid.to_owned(), module));
                let is_lost = own.is_some_and(|own| own.has_lost(total.slot, license.serial));
                *raised.entry((counter.1, module, is_lost)).or_default() += total.total - *known;
                slots.insert(total.slot);
                holders.insert(license.holder.clone());
                *known = total.total;
            }
        }
        true
    }

    fn settle(
        &mut self,
        item: &LicenseItem,
        uuid: &str,
        raised: &BTreeMap<(u8, u32, bool), u64>,
        holders: &BTreeSet<String>,
        slots: &BTreeSet<u32>,
        now: u64,
    ) {
        let kind =
            if item.charge_way == ChargeWay::Page { UsageKind::Page } else { UsageKind::Scan };
        for ((_, module, is_lost), more) in
            raised.iter().filter(|((of, ..), _)| item.strict && *of == kind.number())
        {
            let own = self.allowances.entry((uuid.to_owned(), *module)).or_default();
            *own = match is_lost {
                true => own.reported_of_lost(*more),
                false => own.reported(own.used + more),
            };
        }
        let come = slots.iter().filter(|slot| slot_start(**slot) <= now + DAY_SECONDS);
        for slot in come.filter(|_| is_concurrent(item)) {
            let has_instances = item.charge_way == ChargeWay::ConcurrentInstance;
            let count =
                self.seats.get(uuid).filter(|_| has_instances).map_or(1, |seats| seats.of(*slot));
            let before = excess(self.active_in(*slot), item.quota);
            let known = self.active.entry(*slot).or_default().entry(uuid.to_owned()).or_default();
            *known = count.max(*known);
            let more = excess(self.active_in(*slot), item.quota) - before;
            *self.excess.entry(OveruseRule::of(item).year(slot_start(*slot)).index).or_default() +=
                more;
        }
        for holder in holders.iter().filter(|_| has_seats(item)) {
            if let Some((_, own)) = self.holders.get_mut(holder).filter(|(_, own)| own.until > now)
            {
                own.until = own.until.max(seat_until(item, now));
            }
        }
    }
}

fn refused(segment: &SegmentReport) -> SegmentRefusal {
    let segment_id = segment.segment_id.clone();
    SegmentRefusal { segment_id, code: SegmentFault::Unknown, reason: String::new() }
}
