//! The license rules a second time, naively: the answers that the server may give, by the rules'
//! own words and numbers.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::{SegmentReport, UsageAnswer, UsageReport};

use crate::books::Books;
use crate::plan::{Code, DOMAIN};
use crate::seats_by_slot::SeatsBySlot;
use crate::time::START;

pub(crate) const DAY: u64 = 86_400;
pub(crate) const SLOT: u64 = 180;
const SCAN: u8 = 1;
const PAGE: u8 = 2;

/// The hold of a device on the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) seats: u64,
    pub(crate) until: u64,
}

/// The facts that the server should know.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) item: LicenseItem,
    pub(crate) is_revoked: bool,
    pub(crate) code: Code,
    /// The website of each device's requests.
    pub(crate) websites: BTreeMap<String, String>,
    /// The number that each device counts as in each slot, and the resulting excess of each license
    /// year.
    active: BTreeMap<(u32, String), u64>,
    excess: BTreeMap<u64, u64>,
    /// The holds, by device.
    pub(crate) holds: BTreeMap<String, Hold>,
    serials: BTreeMap<String, u32>,
    /// The authorizations, by license.
    authorized: BTreeMap<String, Authorized>,
    /// The seats of each device, keyed by the slot from which they apply.
    seats: BTreeMap<String, SeatsBySlot>,
    pub(crate) restores: u32,
    /// The instant until which a restored server is careful.
    pub(crate) careful_until: u64,
    /// Seats and allowances beyond the limit that a restored server had forgotten and devices have
    /// shown.
    pub(crate) brought_back: Beyond,
}

/// An authorization. Applications of a device that ask for different x have one each.
#[derive(Clone, Debug)]
struct Authorized {
    device: String,
    serial: u32,
    x: u32,
    until: u64,
}

/// The upper bound: the limit, or what was brought back beyond it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beyond {
    pub(crate) seats: u64,
    /// The allowances, by module.
    pub(crate) allowed: BTreeMap<u32, u64>,
}

/// The answers that a request may get.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Codes with which the request must be refused, one of them; empty: it must be granted.
    must: Vec<ErrorCode>,
    /// Codes with which the request may be refused.
    may: Vec<ErrorCode>,
    /// The seats of a grant, and its end in `valid_until`.
    seats: u32,
    valid_until: u64,
    x: u32,
    hold: Option<Hold>,
    why: String,
}

impl Verdict {
    pub(crate) fn allows(&self, code: ErrorCode) -> Result<(), String> {
        if self.must.contains(&code) || self.may.contains(&code) {
            return Ok(());
        }
        Err(format!("the server refuses with {code:?}, but {}", self.why))
    }

    /// Return whether the rules require a refusal.
    pub(crate) fn refuses(&self) -> bool {
        !self.must.is_empty()
    }
}

impl Model {
    pub(crate) fn new(item: LicenseItem) -> Self {
        Self {
            item,
            is_revoked: false,
            code: Code::default(),
            websites: BTreeMap::new(),
            active: BTreeMap::new(),
            excess: BTreeMap::new(),
            holds: BTreeMap::new(),
            serials: BTreeMap::new(),
            authorized: BTreeMap::new(),
            seats: BTreeMap::new(),
            restores: 0,
            careful_until: 0,
            brought_back: Beyond::default(),
        }
    }

    /// Return the model of a server restored from this state.
    pub(crate) fn restored(&self, careful_until: u64, restores: u32) -> Self {
        Self { restores, careful_until, ..self.clone() }
    }

    pub(crate) fn asks(&mut self, device: &str, website: &str) {
        self.websites.insert(device.to_owned(), website.to_owned());
    }

    pub(crate) fn release(&mut self, device: &str, at: u64) {
        self.holds.remove(device);
        let authorized = self.authorized.values_mut().filter(|one| one.device == device);
        authorized.for_each(|one| one.until = one.until.min(at));
    }

    /// Return the holders that hold something now.
    pub(crate) fn alive(&self, at: u64) -> BTreeMap<&str, Hold> {
        let alive = self.holds.iter().filter(|(_, hold)| hold.until > at);
        alive.map(|(device, hold)| (device.as_str(), *hold)).collect()
    }

    pub(crate) fn is_of_browsers(&self) -> bool {
        self.item.deployment_types == [DeploymentType::Browser]
    }

    fn is_by_window(&self) -> bool {
        matches!(self.item.charge_way, ChargeWay::ClientDevice | ChargeWay::Server)
    }

    /// Return N and its grace, by the words of the rules: `round(p % · N)`.
    pub(crate) fn limit(&self, quota: u64) -> u64 {
        let percent = match self.item.charge_way {
            ChargeWay::ClientDevice => 10,
            ChargeWay::BarcodeScan | ChargeWay::Page => 5,
            _ => 0,
        };
        let grace = quota * percent / 100 + u64::from(quota * percent % 100 >= 50);
        quota + grace
    }

    fn grace_end(&self) -> u64 {
        self.item.expires_at + 7 * DAY
    }

    /// Record a license that a device shows. A restored server accepts it if it had forgotten it.
    /// Return whether it had.
    pub(crate) fn see(&mut self, held: &LocalLicense, at: u64) -> bool {
        self.see_authorized(held);
        let known = self.serials.get(&held.device_uuid).copied().unwrap_or(0);
        if held.serial <= known {
            return false;
        }
        self.serials.insert(held.device_uuid.clone(), held.serial);
        let own = self.holds.get(&held.device_uuid);
        if self.is_by_window() && own.is_none_or(|own| own.until < held.valid_until) {
            self.holds.insert(held.device_uuid.clone(), Hold { seats: 1, until: held.valid_until });
            // The holders are more than there are seats: a hold was forgotten, and its seats were
            // given to others meanwhile.
            if self.restores > 0 {
                self.brought_back.seats = self.brought_back.seats.max(self.held(at));
            }
        }
        true
    }

    fn see_authorized(&mut self, held: &LocalLicense) {
        let known = self.authorized.get(&held.license_id);
        if known.is_some_and(|known| known.serial >= held.serial) {
            return;
        }
        let x = known.map_or(held.seats, |known| known.x);
        let (device, serial) = (held.device_uuid.clone(), held.serial);
        let authorized = Authorized { device: device.clone(), serial, x, until: held.valid_until };
        self.authorized.insert(held.license_id.clone(), authorized);
        if self.item.charge_way == ChargeWay::ConcurrentInstance {
            self.seats.entry(device).or_default().note_of_before(held.seats, held.issued_at);
        }
    }

    /// Return the highest x for which an application of the device is authorized; under an overused
    /// item, only authorizations by the slot count.
    fn highest_x(&self, device: &str, at: u64) -> u32 {
        let last = if self.is_overused(at) { slot_authorization_ends(at) } else { u64::MAX };
        let own = self.authorized.values().filter(|one| one.device == device);
        own.filter(|one| one.until > at && one.until <= last).map(|one| one.x).max().unwrap_or(0)
    }

    /// Return the seats that are held now.
    pub(crate) fn held(&self, at: u64) -> u64 {
        self.alive(at).values().map(|hold| hold.seats).sum()
    }

    /// Record the allowances that a device shows.
    pub(crate) fn see_allowance(&mut self, held: &LocalLicense, books: &Books) {
        if self.restores == 0 {
            return;
        }
        for shown in &held.allowances {
            self.bring_back(books, &held.device_uuid, shown.module, shown.allowed);
        }
    }

    /// Record the work that a device reports under a forgotten allowance: it was allowed at that
    /// time.
    pub(crate) fn see_work(&mut self, device: &str, before: &Books, after: &Books) {
        if self.restores == 0 || !self.item.strict {
            return;
        }
        for (module, _) in self.modules() {
            let (_, used) = after.allowance(device, module);
            self.bring_back(before, device, module, used);
        }
    }

    fn bring_back(&mut self, books: &Books, device: &str, module: u32, allowed: u64) {
        let (known, _) = books.allowance(device, module);
        let all = books.allowed(module) + allowed.saturating_sub(known);
        let most = self.brought_back.allowed.entry(module).or_default();
        *most = all.max(*most);
    }

    /// Return every module that is counted, with its quota; 0 is that of scans.
    pub(crate) fn modules(&self) -> Vec<(u32, u64)> {
        let quotas = self.item.page_quotas.unwrap_or_default();
        match self.item.charge_way {
            ChargeWay::BarcodeScan => vec![(0, self.item.quota)],
            ChargeWay::Page => {
                [(1, quotas.core), (2, quotas.webcam)].into_iter().filter(|(_, n)| *n > 0).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Return the used part of a module's quota.
    fn used(&self, books: &Books, module: u32) -> u64 {
        if module == 0 { books.used(SCAN, None) } else { books.used(PAGE, Some(module)) }
    }

    fn window_ends(&self, at: u64) -> u64 {
        let days = match (self.item.window_days, self.item.charge_way) {
            (Some(days), _) => u64::from(days),
            (None, ChargeWay::Server) => 1,
            (None, _) => 90,
        };
        let end = if at < self.item.expires_at { self.item.expires_at } else { self.grace_end() };
        end.min(at + days * DAY)
    }

    /// Return whether the excess of the slots that have ended is above the budget.
    pub(crate) fn is_overused(&self, at: u64) -> bool {
        let budget = self.item.overuse_budget.unwrap_or(1000 * self.item.quota);
        let grown = self.item.overuse_growth_per_day * ((at - START) / DAY);
        let running =
            self.active.keys().map(|(slot, _)| *slot).filter(|slot| u64::from(*slot) >= at / SLOT);
        let running: std::collections::BTreeSet<u32> =
            running.filter(|slot| year_of(*slot) == 0).collect();
        let not_yet: u64 = running.into_iter().map(|slot| self.above_quota(slot)).sum();
        self.excess.get(&0).copied().unwrap_or(0).saturating_sub(not_yet) > budget + grown
    }

    /// Return `max(0, active − N)` of a slot.
    fn above_quota(&self, slot: u32) -> u64 {
        let active = self.active.range((slot, String::new())..(slot + 1, String::new()));
        active.map(|(_, count)| count).sum::<u64>().saturating_sub(self.item.quota)
    }

    /// Record that a device was active in a slot. The added excess is judged by today's quota.
    fn is_active(&mut self, device: &str, slot: u32) {
        let before = self.above_quota(slot);
        let count = self.counts_as(device, slot);
        let known = self.active.entry((slot, device.to_owned())).or_default();
        *known = count.max(*known);
        *self.excess.entry(year_of(slot)).or_default() += self.above_quota(slot) - before;
    }

    /// Return the excess of all license years.
    pub(crate) fn excess(&self) -> u64 {
        self.excess.values().sum()
    }

    /// Return the number that a device counts as in a slot.
    fn counts_as(&self, device: &str, slot: u32) -> u64 {
        match self.item.charge_way {
            ChargeWay::ConcurrentInstance => {
                self.seats.get(device).map_or(1, |seats| u64::from(seats.of(slot)))
            }
            _ => 1,
        }
    }

    pub(crate) fn is_used_up(&self, books: &Books) -> bool {
        let modules = self.modules();
        let is_up = |(module, quota): &(u32, u64)| self.used(books, *module) >= self.limit(*quota);
        !modules.is_empty() && modules.iter().all(is_up)
    }

    /// Return whether any quota is used up. Then some work is refused, but not all.
    pub(crate) fn has_used_up(&self, books: &Books) -> bool {
        let quotas = self.item.page_quotas.unwrap_or_default();
        let is_up = |module, quota| self.used(books, module) >= self.limit(quota);
        match self.item.charge_way {
            // A module without a quota counts as used up.
            ChargeWay::Page => is_up(1, quotas.core) || is_up(2, quotas.webcam),
            _ => self.is_used_up(books),
        }
    }

    /// Return whether no allowance is left for a device.
    fn has_nothing_left(&self, books: &Books, device: &str) -> bool {
        self.modules().into_iter().all(|(module, quota)| {
            let (allowed, used) = books.allowance(device, module);
            allowed <= used && books.allowed(module) >= self.limit(quota)
        })
    }

    /// Return the verdict of the rules on a request.
    pub(crate) fn verdict(
        &self,
        books: &Books,
        device: &str,
        x: u32,
        at: u64,
        is_copied: bool,
    ) -> Verdict {
        let mut must = Vec::new();
        match self.code {
            Code::Item | Code::Second => {}
            Code::Nothing => must.push(ErrorCode::NO_ITEM_FITS),
            Code::Others => must.push(ErrorCode::VALIDATION_FIELD_MISMATCH),
        }
        if at >= self.grace_end() {
            must.push(ErrorCode::EXPIRED);
        }
        if self.is_revoked {
            must.push(ErrorCode::REVOKED);
        }
        let has_instances = self.item.charge_way == ChargeWay::ConcurrentInstance;
        if has_instances && u64::from(x) > self.item.quota {
            must.push(ErrorCode::INSTANCE_COUNT_OVER_LIMIT);
        }
        let highest = u64::from(x.max(self.highest_x(device, at))).min(self.item.quota);
        let seats = if has_instances { u32::try_from(highest).unwrap_or(u32::MAX) } else { 0 };
        let (hold, why) = self.by_charge_way(books, device, highest, at, &mut must);
        let mut may = Vec::new();
        if is_copied {
            may.push(ErrorCode::DEVICE_CLONED);
        }
        if at < self.careful_until {
            may.push(ErrorCode::STANDBY_NOT_READY);
        }
        let offline = match 7.min(self.item.offline_days) {
            0 => SLOT,
            days => u64::from(days) * DAY,
        };
        let by_item = self.grace_end().min(at + offline);
        let valid_until = hold.map_or(by_item, |hold| hold.until.min(by_item));
        Verdict { must, may, seats, valid_until, x, hold, why }
    }

    /// Return the verdict of the charge way's rule: the hold that is granted, and the numbers in
    /// words.
    fn by_charge_way(
        &self,
        books: &Books,
        device: &str,
        x: u64,
        at: u64,
        must: &mut Vec<ErrorCode>,
    ) -> (Option<Hold>, String) {
        let alive = self.alive(at);
        let own = alive.get(device).copied();
        let others: u64 =
            alive.iter().filter(|(who, _)| **who != device).map(|(_, hold)| hold.seats).sum();
        let mut hold = None;
        let mut why = format!("{others} are held by others of {}", self.item.quota);
        match self.item.charge_way {
            ChargeWay::ClientDevice | ChargeWay::Server => {
                hold = Some(Hold { seats: 1, until: self.window_ends(at) });
                if own.is_none() && others >= self.limit(self.item.quota) {
                    must.push(ErrorCode::USED_UP);
                }
            }
            ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance => {
                let x = if self.item.charge_way == ChargeWay::ConcurrentDevice { 1 } else { x };
                if self.is_overused(at) {
                    why += ", and it is overused";
                    hold = Some(Hold { seats: x, until: slot_authorization_ends(at) });
                    if others + x > self.item.quota {
                        must.push(ErrorCode::QUOTA_EXCEEDED);
                    }
                }
            }
            ChargeWay::Domain => {
                let website = self.websites.get(device).map_or("", String::as_str);
                why = format!("{website:?} asks for {DOMAIN}");
                if !is_under_domain(website) {
                    must.push(ErrorCode::VALIDATION_FIELD_MISMATCH);
                }
            }
            _ => {
                why = format!("{:?} are used up of {:?}", books.used(SCAN, None), self.modules());
                let has_none = self.item.strict && self.has_nothing_left(books, device);
                if self.is_used_up(books) || has_none {
                    must.push(ErrorCode::USED_UP);
                }
            }
        }
        (hold, why)
    }

    /// Record a grant of the server.
    pub(crate) fn granted(
        &mut self,
        verdict: &Verdict,
        granted: &LocalLicense,
        at: u64,
    ) -> Result<(), String> {
        let device = &granted.device_uuid;
        if verdict.refuses() {
            return Err(format!("the server grants to {device}, but must refuse: {verdict:?}"));
        }
        if granted.valid_until != verdict.valid_until {
            let (is, should) = (granted.valid_until - at, verdict.valid_until - at);
            return Err(format!("a license is good for {is} s, and should be for {should} s"));
        }
        if granted.seats != verdict.seats {
            return Err(format!(
                "{} seats are granted instead of {}",
                granted.seats, verdict.seats
            ));
        }
        if self
            .serials
            .insert(device.clone(), granted.serial)
            .is_some_and(|old| old >= granted.serial)
        {
            return Err(format!("the serial {} was there before", granted.serial));
        }
        if let Some(hold) = verdict.hold {
            self.holds.insert(device.clone(), hold);
        }
        let (serial, until) = (granted.serial, granted.valid_until);
        if self.item.charge_way != ChargeWay::ConcurrentInstance {
            // A device has only one authorization: the previous one ends.
            let before = self.authorized.values_mut().filter(|one| one.device == *device);
            before.for_each(|one| one.until = one.until.min(at));
        }
        let authorized = Authorized { device: device.clone(), serial, x: verdict.x, until };
        self.authorized.insert(granted.license_id.clone(), authorized);
        if granted.seats > 0 {
            self.seats.entry(device.clone()).or_default().note(granted.seats, at);
        }
        Ok(())
    }

    /// Record a report that the server has recorded.
    pub(crate) fn recorded(
        &mut self,
        report: &UsageReport,
        answer: &UsageAnswer,
        before: &Books,
        at: u64,
    ) {
        let device = &report.device.uuid;
        let until = self.window_ends(at);
        let is_booked = |segment: &&SegmentReport| {
            let partly = answer.refused.iter().filter(|one| one.reason.contains("the other slots"));
            let mut booked = answer.recorded.iter().chain(partly.map(|one| &one.segment_id));
            booked.any(|id| *id == segment.segment_id)
        };
        let mut has_risen = false;
        for segment in report.segments.iter().filter(is_booked) {
            for total in &segment.totals {
                let counter = (total.slot, total.kind.number(), total.what);
                let known = before
                    .segments
                    .get(&(segment.segment_id.clone(), counter))
                    .copied()
                    .unwrap_or(0);
                // A clock may be wrong by up to a day. A repeated total was judged before.
                if total.total > known && u64::from(total.slot) * SLOT <= at + DAY {
                    has_risen = true;
                    self.is_active(device, total.slot);
                }
            }
        }
        // A report that adds nothing keeps no seat.
        if self.is_by_window()
            && has_risen
            && let Some(own) = self.holds.get_mut(device).filter(|own| own.until > at)
        {
            own.until = own.until.max(until);
        }
        for ended in &report.ended {
            let own = self.authorized.get_mut(&ended.license_id);
            let Some(own) = own.filter(|own| own.device == *device && own.serial == ended.serial)
            else {
                continue;
            };
            own.until = own.until.min(at);
            if !self.authorized.values().any(|one| one.device == *device && one.until > at) {
                self.holds.remove(device);
            }
        }
    }
}

/// Return the end of an authorization by the slot, under an overused item: one minute after the
/// slot, for renewal.
fn slot_authorization_ends(at: u64) -> u64 {
    (at / SLOT + 1) * SLOT + 60
}

/// Return the license year of a slot, counted from the item's first instant. Earlier slots are in
/// the first year.
fn year_of(slot: u32) -> u64 {
    (u64::from(slot) * SLOT).saturating_sub(START) / (365 * DAY)
}

/// Return whether a website is under the domain, by the words of the rules: case, port and a dot at
/// the end do not matter.
fn is_under_domain(website: &str) -> bool {
    let host = website.to_lowercase().replace("https://", "").replace(":8443", "");
    let host = host.trim_end_matches('.');
    host == DOMAIN || host.ends_with(&format!(".{DOMAIN}"))
}
