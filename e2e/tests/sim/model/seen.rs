//! What the model learns: from what devices show, from grants, and from reports.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{UsageAnswer, UsageReport};

use super::verdict::Verdict;
use super::{Authorized, DAY, FirstContact, Hold, Model, SLOT, year_of};
use crate::books::Books;

impl Model {
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

    /// Record that a device was active in a slot. The added excess is judged by today's quota.
    fn is_active(&mut self, device: &str, slot: u32) {
        let before = self.above_quota(slot);
        let count = self.counts_as(device, slot);
        let known = self.active.entry((slot, device.to_owned())).or_default();
        *known = count.max(*known);
        *self.excess.entry(year_of(slot)).or_default() += self.above_quota(slot) - before;
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
        if verdict.has_lost {
            self.lost_at.insert(device.clone(), at);
        }
        match verdict.shown {
            Some(shown) => self.has_shown(device, shown),
            None => {
                let first = FirstContact { id: verdict.first_contact.clone(), has_shown: false };
                self.first_contacts.insert(device.clone(), first);
            }
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

    /// Return the serial of the newest license that a device has shown; 0 for none.
    pub(crate) fn newest_shown(&self, device: &str) -> u32 {
        self.shown.get(device).copied().unwrap_or(0)
    }

    /// Record the newest license that a device has shown.
    pub(crate) fn has_shown(&mut self, device: &str, serial: u32) {
        let newest = self.shown.entry(device.to_owned()).or_default();
        *newest = serial.max(*newest);
        if let Some(first) = self.first_contacts.get_mut(device) {
            first.has_shown = true;
        }
    }

    /// Record a report that the server has recorded.
    pub(crate) fn recorded(
        &mut self,
        report: &UsageReport,
        answer: &UsageAnswer,
        (before, after): (&Books, &Books),
        at: u64,
    ) {
        let device = &report.device.uuid;
        let until = self.window_ends(at);
        let mut has_risen = false;
        for segment in &report.segments {
            let is_it = |id: &String| *id == segment.segment_id;
            let is_whole = answer.recorded.iter().any(is_it);
            let is_booked = is_whole || answer.refused.iter().any(|one| is_it(&one.segment_id));
            for total in segment.totals.iter().filter(|_| is_booked) {
                let counter = (total.slot, total.kind.number(), total.what);
                let in_books = |books: &Books| {
                    let key = (segment.segment_id.clone(), counter);
                    books.segments.get(&key).copied().unwrap_or(0)
                };
                // Of a segment that is refused in part, the books say which part.
                let booked = if is_whole { total.total } else { in_books(after) };
                // A clock may be wrong by up to a day. A repeated total was judged before.
                if booked > in_books(before) && u64::from(total.slot) * SLOT <= at + DAY {
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
