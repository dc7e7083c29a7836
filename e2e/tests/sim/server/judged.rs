//! Requests that the server decides, and the model judges.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{
    AuthorizationAnswer, AuthorizationRequest, SegmentRefusal, UsageAnswer, UsageReport,
};
use seatmeter_protocol::request_auth::Proof;
use seatmeter_server::error::Error;

use super::{Asked, Server, epoch_of, now};
use crate::books::{Books, number, rows};
use crate::model::{Asking, DAY, SLOT};

impl Server {
    pub(super) fn authorize(
        &mut self,
        asked: &Asked<'_>,
    ) -> Result<Result<AuthorizationAnswer, Error>, String> {
        let mut request: AuthorizationRequest =
            serde_json::from_slice(&asked.said()).map_err(|e| e.to_string())?;
        if let Some(origin) = asked.origin {
            // As take_website in src/http/browser.rs of the server: whatever the body names.
            request.validation.website_domain = origin.to_owned();
        }
        if !self.is_judged() {
            return self.authorize_unjudged(asked, request);
        }
        let at = self.time.now();
        let before = self.model.clone();
        let held: Option<LocalLicense> =
            request.held_license.as_ref().and_then(|held| held.peek().ok());
        let mut books = Books::of(&self.store);
        if let Some(held) = held.filter(|held| held.device_uuid == request.device.uuid) {
            let was_forgotten = self.model.see(&held, at);
            self.model.see_allowance(&held, &books);
            if was_forgotten {
                books.bring_back(&held);
            }
        }
        self.model.asks(&request.device.uuid, &request.validation.website_domain);
        let asking = Asking {
            device: &request.device.uuid,
            x: request.seats,
            at,
            is_copied: asked.is_copied,
            first_contact: &request.first_contact,
            shown: newest_shown(&request),
            is_of_stranger: !asked.is_forged && self.is_strangers(&request.device.uuid),
            has_given_back: asked.origin.is_some() && request.held_license.is_none(),
        };
        let verdict = self.model.verdict(&books, &asking);
        // A server that was put back itself may not know what the device has shown before.
        let must_be_marked = self.model.restores == 0
            && self.model.is_put_back(&asking)
            && self.knows(&request.device.uuid);
        let epoch = epoch_of(&self.store);
        let outcome = now(self.licensing.authorize(request.clone(), &asked.proof()));
        let careful_until = self.see_epoch(&epoch, at)?;
        match &outcome {
            Ok(answer) => {
                let granted: LocalLicense =
                    answer.local_license.peek().map_err(|e| e.to_string())?;
                self.model.granted(&verdict, &granted, at)?;
                self.promise(&granted);
                if asked.is_forged {
                    self.model.of_strangers.insert(granted.device_uuid.clone());
                }
                if must_be_marked {
                    self.require_mark(&granted.device_uuid, at)?;
                }
            }
            Err(Error::Refused(refusal)) => {
                let is_careful = refusal.code == ErrorCode::STANDBY_NOT_READY && at < careful_until;
                let is_told_apart = refusal.code == ErrorCode::DEVICE_NOT_MATCH && asked.is_forged;
                if !is_careful && !is_told_apart {
                    verdict.allows(refusal.code)?;
                }
                // A refused request leaves no trace but that the data was put back.
                self.model = before;
                self.model.careful_until = careful_until;
            }
            Err(Error::NotFresh(_)) => {
                self.model = before;
                self.model.careful_until = careful_until;
            }
            Err(Error::NotReady(_)) if self.model.is_edited => {
                self.model = before;
                self.model.careful_until = careful_until;
            }
            Err(other) => return Err(format!("the server fails at an authorization: {other}")),
        }
        Ok(outcome)
    }

    /// Return whether a stranger has asked under this UUID before its device did.
    fn is_strangers(&self, uuid: &str) -> bool {
        self.model.of_strangers.contains(uuid) && self.knows(uuid)
    }

    /// Check that the operator sees that this device was put back now.
    fn require_mark(&self, uuid: &str, at: u64) -> Result<(), String> {
        let marked = rows(&self.store, &rollback_of(uuid));
        if marked.iter().any(|row| number(&row[0]) == at) {
            return Ok(());
        }
        Err(format!("{uuid} shows an earlier license than before, and is not marked"))
    }

    /// See whether the server has begun an epoch since this one, as it does when a device proves
    /// that the data was put back. Return the end of the time in which it grants only what devices
    /// show.
    fn see_epoch(&mut self, before: &str, at: u64) -> Result<u64, String> {
        if epoch_of(&self.store) != before {
            if self.model.restores == 0 {
                return Err("the server begins an epoch, but was never put back".to_owned());
            }
            self.model.careful_until = self.model.careful_until.max(at + SLOT);
        }
        Ok(self.model.careful_until)
    }

    fn authorize_unjudged(
        &self,
        asked: &Asked<'_>,
        request: AuthorizationRequest,
    ) -> Result<Result<AuthorizationAnswer, Error>, String> {
        match now(self.licensing.authorize(request, &asked.proof())) {
            Err(error) if !matches!(error, Error::Refused(_) | Error::NotFresh(_)) => {
                Err(format!("the server fails at an authorization: {error}"))
            }
            outcome => Ok(outcome),
        }
    }

    pub(super) fn record(
        &mut self,
        asked: &Asked<'_>,
    ) -> Result<Result<UsageAnswer, Error>, String> {
        let report: UsageReport =
            serde_json::from_slice(&asked.said()).map_err(|e| e.to_string())?;
        let at = self.time.now();
        let unseen = self.model.clone();
        // What a stranger shows is not seen, and what an edited file has granted is not booked.
        let is_seen = !self.model.is_edited && !asked.is_forged;
        let shown = report.segments.iter().filter(|_| is_seen);
        let shown: Vec<_> = shown.filter_map(|segment| segment.local_license.as_ref()).collect();
        for held in shown {
            let held: Option<LocalLicense> = held.peek().ok();
            if let Some(held) = held.filter(|held| held.device_uuid == report.device.uuid) {
                self.model.see(&held, at);
                self.model.see_allowance(&held, &Books::of(&self.store));
            }
        }
        let before = Books::of(&self.store);
        let epoch = epoch_of(&self.store);
        let outcome = now(self.licensing.record(report.clone(), asked.proof()));
        self.see_epoch(&epoch, at)?;
        let after = Books::of(&self.store);
        self.model.see_work(&report.device.uuid, &before, &after);
        match &outcome {
            Ok(answer) => {
                // A device that expects another server does not accept this answer.
                let is_meant =
                    asked.key_id.is_some_and(|id| self.licensing.keys.with_id(id).is_some());
                let mut refused = answer.refused.iter();
                let is_too_early =
                    |refused: &&SegmentRefusal| !has_slots_ahead(&report, refused, at);
                // A page reports before it renews: its license may be of a time when the clock of
                // the server was ahead. A device that has the true time from another server may
                // have counted before what this one takes for its first license. Both send again
                // what was refused.
                let is_dated_ahead =
                    self.time.is_ahead() || asked.origin.is_some() && self.time.was_ahead();
                if let Some(refused) = refused.find(is_too_early)
                    && !is_dated_ahead
                    && self.model.restores == 0
                    && !self.model.is_edited
                    && is_meant
                {
                    return Err(format!("a segment is refused for no reason: {}", refused.reason));
                }
                if is_meant {
                    self.note_unbooked(&report, answer);
                }
                if !self.model.is_edited {
                    self.model.recorded(&report, answer, (&before, &after), at);
                }
                if let (Some(serial), false) = (newest_of(&report), answer.is_diverged) {
                    self.model.has_shown(&report.device.uuid, serial);
                }
            }
            // The server may have forgotten the report key: then the device signs. One of two
            // servers with data of their own may not know the device, or know it as the stranger
            // who came first: then it asks first.
            Err(Error::Refused(refusal))
                if refusal.code == ErrorCode::DEVICE_NOT_MATCH
                    && (asked.is_forged
                        || self.is_strangers(&report.device.uuid)
                        || !self.knows(&report.device.uuid)
                        || !self.is_judged()
                        || matches!(asked.proof, Proof::Tag { .. })) =>
            {
                // A refused report leaves no trace but that the data was put back.
                let careful_until = self.model.careful_until;
                self.model = unseen;
                self.model.careful_until = careful_until;
            }
            Err(other) => return Err(format!("the server fails at a report: {other}")),
        }
        Ok(outcome)
    }

    fn promise(&mut self, granted: &LocalLicense) {
        for allowance in &granted.allowances {
            let key = (granted.device_uuid.clone(), allowance.module);
            let promised = self.promised.entry(key).or_default();
            *promised = allowance.allowed.max(*promised);
        }
    }

    fn note_unbooked(&mut self, report: &UsageReport, answer: &UsageAnswer) {
        let is_refused =
            |id: &String| answer.refused.iter().any(|refused| refused.segment_id == *id);
        for segment in report.segments.iter().filter(|segment| is_refused(&segment.segment_id)) {
            for usage in &segment.totals {
                let counter = (usage.slot, usage.kind.number(), usage.what);
                let key = (report.device.uuid.clone(), segment.segment_id.clone(), counter);
                let known = self.unbooked.entry(key).or_default();
                *known = usage.total.max(*known);
            }
        }
    }
}

/// Return the statement for the last instant at which a device was put back.
fn rollback_of(uuid: &str) -> String {
    format!("SELECT rolled_back_at FROM device_identity WHERE device_uuid = '{uuid}'")
}

/// Return the serial of the newest license that a request shows.
fn newest_shown(request: &AuthorizationRequest) -> Option<u32> {
    let shown = [&request.held_license, &request.newest_license].into_iter().flatten();
    let own = shown.filter_map(|shown| shown.peek::<LocalLicense>().ok()).filter(|license| {
        license.device_uuid == request.device.uuid && license.device_key == request.device_key
    });
    own.map(|license| license.serial).max()
}

/// Return the serial of the newest license that a report shows.
fn newest_of(report: &UsageReport) -> Option<u32> {
    let newest = report.newest_license.as_ref()?.peek::<LocalLicense>().ok()?;
    (newest.device_uuid == report.device.uuid).then_some(newest.serial)
}

/// Return whether a refused segment has slots that are more than a day ahead of the server: its
/// device has believed a server whose clock was ahead.
fn has_slots_ahead(report: &UsageReport, refused: &SegmentRefusal, at: u64) -> bool {
    let mut segments = report.segments.iter().filter(|one| one.segment_id == refused.segment_id);
    let last = (at + DAY) / SLOT;
    segments.any(|segment| segment.totals.iter().any(|total| u64::from(total.slot) > last))
}
