//! The verdict of the rules on a request.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;

use super::{DAY, Hold, Model, SCAN, SLOT, year_of};
use crate::books::Books;
use crate::plan::{Code, DOMAIN};
use crate::time::START;

/// A request as the model sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) device: &'a str,
    pub(crate) x: u32,
    pub(crate) at: u64,
    /// Whether the device may look like a copy.
    pub(crate) is_copied: bool,
    /// The id of the first contact.
    pub(crate) first_contact: &'a str,
    /// The serial of the newest license that it shows.
    pub(crate) shown: Option<u32>,
    /// Whether its UUID is that of a stranger, who has asked first.
    pub(crate) is_of_stranger: bool,
    /// Whether it is of a page that may have given back what it was allowed: it shows no license
    /// under which it works.
    pub(crate) has_given_back: bool,
}

/// The answers that a request may get.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Codes with which the request must be refused, one of them; empty: it must be granted.
    must: Vec<ErrorCode>,
    /// Codes with which the request may be refused.
    may: Vec<ErrorCode>,
    /// The seats of a grant, and its end in `valid_until`.
    pub(super) seats: u32,
    pub(super) valid_until: u64,
    pub(super) x: u32,
    pub(super) hold: Option<Hold>,
    pub(super) first_contact: String,
    pub(super) shown: Option<u32>,
    /// Whether the device has lost the state that it had.
    pub(super) has_lost: bool,
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
    /// Return the highest x for which an application of the device is authorized; under an overused
    /// item, only authorizations by the slot count.
    fn highest_x(&self, device: &str, at: u64) -> u32 {
        let last = if self.is_overused(at) { slot_authorization_ends(at) } else { u64::MAX };
        let own = self.authorized.values().filter(|one| one.device == device);
        own.filter(|one| one.until > at && one.until <= last).map(|one| one.x).max().unwrap_or(0)
    }

    pub(super) fn window_ends(&self, at: u64) -> u64 {
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
    fn has_nothing_left(&self, books: &Books, device: &str, is_lost: bool) -> bool {
        self.modules().into_iter().all(|(module, quota)| {
            let (allowed, used) = books.allowance(device, module);
            (is_lost || allowed <= used) && books.allowed(module) >= self.limit(quota)
        })
    }

    /// Return whether a device shows an earlier license than before.
    pub(crate) fn is_put_back(&self, asking: &Asking<'_>) -> bool {
        let newest = self.shown.get(asking.device);
        asking.shown.is_some_and(|shown| newest.is_some_and(|newest| shown < *newest))
    }

    /// Return whether a device that is known shows nothing, and does not ask for its first answer
    /// once more.
    fn begins_anew(&self, asking: &Asking<'_>) -> bool {
        let known = self.first_contacts.get(asking.device);
        asking.shown.is_none()
            && known.is_some_and(|known| known.id != asking.first_contact || known.id.is_empty())
    }

    /// Return whether a device has lost the state that it had.
    fn has_lost(&self, asking: &Asking<'_>) -> bool {
        self.is_put_back(asking) || self.begins_anew(asking)
    }

    /// Add the codes by which a request is refused for who sends it.
    fn judge_identity(
        &self,
        asking: &Asking<'_>,
        must: &mut Vec<ErrorCode>,
        may: &mut Vec<ErrorCode>,
    ) {
        let &Asking { device, at, .. } = asking;
        if asking.is_of_stranger {
            must.push(ErrorCode::DEVICE_NOT_MATCH);
        }
        let mut own = self.authorized.values().filter(|one| one.device == *device);
        let runs = own.any(|one| one.until > at);
        if self.begins_anew(asking) && runs {
            must.push(ErrorCode::DEVICE_CLONED);
        }
        let known = self.first_contacts.get(device);
        let is_again = asking.shown.is_none() && known.is_some_and(|known| known.has_shown);
        // A restored server does not know what runs.
        if asking.is_copied || is_again && (runs || self.restores > 0) {
            may.push(ErrorCode::DEVICE_CLONED);
        }
    }

    /// Return the verdict of the rules on a request.
    pub(crate) fn verdict(&self, books: &Books, asking: &Asking<'_>) -> Verdict {
        let &Asking { device, x, at, .. } = asking;
        let (mut must, mut may) = (Vec::new(), Vec::new());
        self.judge_identity(asking, &mut must, &mut may);
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
        if self.is_edited {
            must.push(ErrorCode::STANDBY_NOT_READY);
        }
        let has_instances = self.item.charge_way == ChargeWay::ConcurrentInstance;
        if has_instances && u64::from(x) > self.item.quota {
            must.push(ErrorCode::INSTANCE_COUNT_OVER_LIMIT);
        }
        let highest = u64::from(x.max(self.highest_x(device, at))).min(self.item.quota);
        let seats = if has_instances { u32::try_from(highest).unwrap_or(u32::MAX) } else { 0 };
        let (hold, why) = self.by_charge_way(books, asking, highest, &mut must, &mut may);
        if at < self.careful_until {
            may.push(ErrorCode::STANDBY_NOT_READY);
        }
        let offline = match 7.min(self.item.offline_days) {
            0 => SLOT,
            days => u64::from(days) * DAY,
        };
        let by_item = self.grace_end().min(at + offline);
        let valid_until = hold.map_or(by_item, |hold| hold.until.min(by_item));
        Verdict {
            must,
            may,
            seats,
            valid_until,
            x,
            hold,
            first_contact: asking.first_contact.to_owned(),
            shown: asking.shown,
            has_lost: self.has_lost(asking),
            why,
        }
    }

    /// Return the verdict of the charge way's rule: the hold that is granted, and the numbers in
    /// words.
    fn by_charge_way(
        &self,
        books: &Books,
        asking: &Asking<'_>,
        x: u64,
        must: &mut Vec<ErrorCode>,
        may: &mut Vec<ErrorCode>,
    ) -> (Option<Hold>, String) {
        let &Asking { device, at, .. } = asking;
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
                // What a device was allowed before it lost its state counts as spent. Of copies,
                // and after a restore, the model does not know what the server has been shown.
                // What it was allowed for that in this very second is what it asks for again.
                let is_lost =
                    self.has_lost(asking) && self.lost_at.get(device).is_none_or(|then| *then < at);
                let is_known = !asking.is_copied && self.restores == 0;
                let has_none =
                    |is_lost| self.item.strict && self.has_nothing_left(books, device, is_lost);
                // A restored server, or the other of two, may not know what was given back.
                let is_forgotten = asking.has_given_back && self.item.strict && self.restores > 0;
                // One that shows nothing, and has shown a license, may have lost its state, or ask
                // once more for an answer that was lost.
                let may_have_lost =
                    asking.shown.is_none() && self.shown.contains_key(asking.device);
                if has_none(is_lost) && !is_known || has_none(true) && may_have_lost || is_forgotten
                {
                    may.push(ErrorCode::USED_UP);
                }
                let has_none = has_none(is_lost && is_known);
                if self.is_used_up(books) || has_none {
                    must.push(ErrorCode::USED_UP);
                }
            }
        }
        (hold, why)
    }
}

/// Return the end of an authorization by the slot, under an overused item: one minute after the
/// slot, for renewal.
fn slot_authorization_ends(at: u64) -> u64 {
    (at / SLOT + 1) * SLOT + 60
}

/// Return whether a website is under the domain, by the words of the rules: case, port and a dot at
/// the end do not matter.
fn is_under_domain(website: &str) -> bool {
    let host = website.to_lowercase().replace("https://", "").replace(":8443", "");
    let host = host.trim_end_matches('.');
    host == DOMAIN || host.ends_with(&format!(".{DOMAIN}"))
}
