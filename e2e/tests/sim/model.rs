//! The licence rules once more, naively: what the server may answer, by the rules' own words and numbers.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::{UsageAnswer, UsageReport};

use crate::books::Books;
use crate::time::START;

const DAY: u64 = 86_400;
const SLOT: u64 = 180;
const SCAN: u8 = 1;
const PAGE: u8 = 2;

/// What one holds of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) seats: u64,
    pub(crate) until: u64,
}

/// What the server should know.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) item: LicenseItem,
    pub(crate) is_revoked: bool,
    /// By device.
    pub(crate) holds: BTreeMap<String, Hold>,
    serials: BTreeMap<String, u32>,
    /// x of each device.
    pub(crate) seats: BTreeMap<String, u32>,
    pub(crate) restores: u32,
    /// Until when a restored server is careful.
    pub(crate) careful_until: u64,
    /// Seats and allowances beyond the limit, which a restored server had forgotten and devices have shown.
    pub(crate) brought_back: Beyond,
}

/// What there may be at most: the limit, or what was brought back beyond it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beyond {
    pub(crate) seats: u64,
    pub(crate) allowed: u64,
}

/// What may be answered to a request.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Codes with which it must be refused, one of them; empty: it must be granted.
    must: Vec<ErrorCode>,
    /// Codes with which it may be refused.
    may: Vec<ErrorCode>,
    /// Until when, if it is granted.
    valid_until: u64,
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

    /// Whether a refusal is what the rules say.
    pub(crate) fn refuses(&self) -> bool {
        !self.must.is_empty()
    }
}

impl Model {
    pub(crate) fn new(item: LicenseItem) -> Self {
        Self {
            item,
            is_revoked: false,
            holds: BTreeMap::new(),
            serials: BTreeMap::new(),
            seats: BTreeMap::new(),
            restores: 0,
            careful_until: 0,
            brought_back: Beyond::default(),
        }
    }

    /// What is known after this was restored.
    pub(crate) fn restored(&self, at: u64, restores: u32) -> Self {
        Self { restores, careful_until: at + SLOT, ..self.clone() }
    }

    pub(crate) fn asks(&mut self, device: &str, seats: u32) {
        self.seats.insert(device.to_owned(), seats);
    }

    pub(crate) fn release(&mut self, device: &str) {
        self.holds.remove(device);
    }

    /// Those who hold something now.
    pub(crate) fn alive(&self, at: u64) -> BTreeMap<&str, Hold> {
        let alive = self.holds.iter().filter(|(_, hold)| hold.until > at);
        alive.map(|(device, hold)| (device.as_str(), *hold)).collect()
    }

    fn is_by_window(&self) -> bool {
        matches!(self.item.charge_way, ChargeWay::ClientDevice | ChargeWay::Server)
    }

    /// N and its grace, by the words of the rules: `round(p % · N)`.
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

    /// A device shows a licence: a server that was restored takes its word for what it has forgotten.
    pub(crate) fn see(&mut self, held: &LocalLicense, at: u64) {
        let known = self.serials.get(&held.device_uuid).copied().unwrap_or(0);
        if held.serial <= known {
            return;
        }
        self.serials.insert(held.device_uuid.clone(), held.serial);
        self.seats.entry(held.device_uuid.clone()).or_insert(held.seats.max(1));
        let own = self.holds.get(&held.device_uuid);
        if self.is_by_window() && own.is_none_or(|own| own.until < held.valid_until) {
            self.holds.insert(held.device_uuid.clone(), Hold { seats: 1, until: held.valid_until });
            // Who holds more than there are was forgotten, and the seats were given to others meanwhile.
            if self.restores > 0 {
                self.brought_back.seats = self.brought_back.seats.max(self.held(at));
            }
        }
    }

    /// Seats that are held now.
    pub(crate) fn held(&self, at: u64) -> u64 {
        self.alive(at).values().map(|hold| hold.seats).sum()
    }

    /// The same for what a device shows that it is allowed.
    pub(crate) fn see_allowance(&mut self, held: &LocalLicense, books: &Books) {
        if self.restores == 0 {
            return;
        }
        let shown = held.allowances.iter().filter(|allowance| allowance.module == 0);
        let shown = shown.map(|allowance| allowance.allowed).max().unwrap_or(0);
        let known = books.allowances.get(&held.device_uuid).map_or(0, |(allowed, _)| *allowed);
        let allowed = books.allowed() + shown.saturating_sub(known);
        self.brought_back.allowed = self.brought_back.allowed.max(allowed);
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

    /// Whether the excess of the slots that have ended is above the budget.
    pub(crate) fn is_overused(&self, books: &Books, at: u64) -> bool {
        let budget = self.item.overuse_budget.unwrap_or(1000 * self.item.quota);
        let grown = self.item.overuse_growth_per_day * ((at - START) / DAY);
        let excess = books.excess(
            self.item.quota,
            |device| self.counts_as(device),
            |slot| u64::from(slot) < at / SLOT && u64::from(slot) * SLOT < START + 365 * DAY,
        );
        excess > budget + grown
    }

    /// As how many a device counts in a slot.
    pub(crate) fn counts_as(&self, device: &str) -> u64 {
        match self.item.charge_way {
            ChargeWay::ConcurrentInstance => self.seats.get(device).copied().map_or(1, u64::from),
            _ => 1,
        }
    }

    pub(crate) fn is_used_up(&self, books: &Books) -> bool {
        match self.item.charge_way {
            ChargeWay::BarcodeScan => books.used(SCAN, None) >= self.limit(self.item.quota),
            ChargeWay::Page => {
                let quotas = self.item.page_quotas.unwrap_or_default();
                [(1, quotas.core), (2, quotas.webcam)]
                    .iter()
                    .all(|(module, quota)| books.used(PAGE, Some(*module)) >= self.limit(*quota))
            }
            _ => false,
        }
    }

    /// Whether any of its quotas is used up: then some work is refused, though not all.
    pub(crate) fn has_used_up(&self, books: &Books) -> bool {
        let quotas = self.item.page_quotas.unwrap_or_default();
        let is_up = |module, quota| books.used(PAGE, Some(module)) >= self.limit(quota);
        match self.item.charge_way {
            ChargeWay::Page => is_up(1, quotas.core) || is_up(2, quotas.webcam),
            _ => self.is_used_up(books),
        }
    }

    /// What the rules say of a request.
    pub(crate) fn verdict(&self, books: &Books, device: &str, x: u32, at: u64, is_copied: bool) -> Verdict {
        let mut must = Vec::new();
        if at >= self.grace_end() {
            must.push(ErrorCode::EXPIRED);
        }
        if self.is_revoked {
            must.push(ErrorCode::REVOKED);
        }
        let (hold, why) = self.by_charge_way(books, device, u64::from(x), at, &mut must);
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
        Verdict { must, may, valid_until, hold, why }
    }

    /// What the rule of the charge way says: the hold that is granted, and the numbers in words.
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
        let others: u64 = alive.iter().filter(|(who, _)| **who != device).map(|(_, hold)| hold.seats).sum();
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
                if self.is_overused(books, at) {
                    why += ", and it is overused";
                    hold = Some(Hold { seats: x, until: (at / SLOT + 1) * SLOT + 60 });
                    if others + x > self.item.quota {
                        must.push(ErrorCode::QUOTA_EXCEEDED);
                    }
                }
            }
            _ => {
                why = format!("{} of {} are used", books.used(SCAN, None), self.item.quota);
                let (allowed, used) = books.allowances.get(device).copied().unwrap_or_default();
                let left = self.limit(self.item.quota).saturating_sub(books.allowed());
                let has_none = self.item.strict && left == 0 && allowed <= used;
                if self.is_used_up(books) || has_none {
                    must.push(ErrorCode::USED_UP);
                }
            }
        }
        (hold, why)
    }

    /// The server has granted.
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
            return Err(format!("a licence is good for {is} s, and should be for {should} s"));
        }
        let seats = match self.item.charge_way {
            ChargeWay::ConcurrentInstance => self.seats[device],
            _ => 0,
        };
        if granted.seats != seats {
            return Err(format!("{} seats are granted instead of {seats}", granted.seats));
        }
        if self.serials.insert(device.clone(), granted.serial).is_some_and(|old| old >= granted.serial) {
            return Err(format!("the serial {} was there before", granted.serial));
        }
        if let Some(hold) = verdict.hold {
            self.holds.insert(device.clone(), hold);
        }
        Ok(())
    }

    /// The server has recorded a report.
    pub(crate) fn recorded(&mut self, report: &UsageReport, answer: &UsageAnswer, at: u64) {
        let device = &report.device.uuid;
        let until = self.window_ends(at);
        if self.is_by_window()
            && !answer.recorded.is_empty()
            && let Some(own) = self.holds.get_mut(device).filter(|own| own.until > at)
        {
            own.until = own.until.max(until);
        }
        for ended in &report.ended {
            if self.serials.get(device) == Some(&ended.serial) {
                self.holds.remove(device);
            }
        }
    }
}
