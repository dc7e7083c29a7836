//! The history of each device, and the epochs of the data.

use seatmeter_protocol::license::{DAY_SECONDS, LocalLicense};
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::slot::SLOT_SECONDS;
use seatmeter_server::error::Refusal;
use seatmeter_server::policy::history::{
    self, EpochKind, Finding, HEARD_PRECISION, History, Known, Next, Relation, Shown,
};
use seatmeter_server::receipt::Receipt;
use seatmeter_server::store::Authorization;

use super::Plain;
use super::reports::Reported;

/// The id of an epoch that has begun in this request.
const BEGUN: &str = "begun";

/// What is known of a device.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) key: PublicKey,
    pub(super) history: History,
    pub(super) first_contact: String,
    pub(super) heard_at: u64,
    pub(super) rolled_back_at: u64,
    /// The instant of the first grant; 0 if it may be forgotten.
    pub(super) first_granted_at: u64,
}

impl Identity {
    fn new(key: &PublicKey) -> Self {
        Self {
            key: key.clone(),
            history: History::default(),
            first_contact: String::new(),
            heard_at: 0,
            rolled_back_at: 0,
            first_granted_at: 0,
        }
    }

    /// Forget the first grant if a clock that was ahead has dated it.
    fn forget_grant_ahead(&mut self, now: u64) {
        if self.first_granted_at > now {
            self.first_granted_at = 0;
        }
    }
}

impl Plain {
    pub(super) fn keep_life(&mut self, after: Self) {
        self.epoch = after.epoch;
        self.careful_until = after.careful_until;
        (self.epochs, self.foreign) = (after.epochs, after.foreign);
        self.rollbacks = after.rollbacks;
        self.is_rollback = after.is_rollback;
    }

    /// Note a receipt of the server that is simulated.
    pub(crate) fn note_receipt(&mut self, text: &str) {
        let mut parts = text.split('.').skip(1);
        if let (Some(sequence), Some(number)) = (parts.next(), parts.next()) {
            let number = number.parse().expect("it is a number");
            self.commits.insert(sequence.to_owned(), number);
        }
    }

    /// Notice by a receipt that the data was put back.
    pub(super) fn see_receipt(&mut self, receipt: Option<&Receipt>, now: u64) {
        let Some(receipt) = receipt else { return };
        if self.has_forgotten(receipt) && !self.epochs.contains(&receipt.epoch) {
            self.end_epoch(&receipt.epoch, now);
        }
    }

    fn has_forgotten(&self, receipt: &Receipt) -> bool {
        self.commits.get(&receipt.sequence_id).is_none_or(|last| receipt.number > *last)
    }

    /// Decide about the next license of the device, and notice that the data was put back.
    pub(super) fn follow_history(&mut self, request: &Authorization) -> Result<Next, Refusal> {
        let (uuid, now) = (&request.device.uuid, request.claim.now);
        let newest =
            request.held.iter().chain(&request.newest).max_by_key(|license| license.generation);
        let receipt = request.receipt.as_ref();
        let is_forgotten = receipt.is_some_and(|receipt| self.has_forgotten(receipt));
        let shown = newest.map(|license| Shown { is_forgotten, ..self.shown(license, now) });
        let nothing = History::default();
        let known = self.identities.get(uuid);
        let known = Known {
            history: known.map_or(&nothing, |known| &known.history),
            heard_at: known.map_or(0, |known| known.heard_at),
            runs: self
                .licenses
                .values()
                .any(|license| license.device == *uuid && license.valid_until > now),
            is_same_contact: known.is_some_and(|known| {
                !known.first_contact.is_empty() && known.first_contact == request.first_contact
            }),
        };
        let next = history::next(known, shown, now)?;
        if let (Finding::ServerRolledBack, Some(proof)) = (next.finding, newest) {
            self.end_epoch(&proof.epoch, now);
        }
        Ok(next)
    }

    pub(super) fn shown(&self, license: &LocalLicense, now: u64) -> Shown {
        let epoch = match &license.epoch {
            epoch if *epoch == self.epoch => EpochKind::Current,
            epoch if self.foreign.contains(epoch) => EpochKind::Foreign,
            epoch if self.epochs.contains(epoch) => EpochKind::Earlier,
            _ => EpochKind::Unknown,
        };
        let runs = license.valid_until > now;
        Shown { generation: license.generation, epoch, runs, is_forgotten: false }
    }

    /// Take the id of the current epoch from the server's store, which has chosen it by chance.
    /// Return whether both have begun an epoch, or none of them.
    pub(crate) fn agrees_on_epoch(&mut self, epoch: &str) -> bool {
        if self.epoch == BEGUN && !self.epochs.contains(epoch) {
            epoch.clone_into(&mut self.epoch);
        }
        self.epoch == epoch
    }

    /// Begin another epoch, because something of this epoch is newer than the data.
    fn end_epoch(&mut self, of_epoch: &str, now: u64) {
        const HOUR: u64 = 3_600;
        let is_unknown = of_epoch != self.epoch && self.epochs.insert(of_epoch.to_owned());
        if is_unknown {
            self.foreign.insert(of_epoch.to_owned());
        }
        if is_unknown && self.is_rollback && now < self.careful_until {
            return;
        }
        let year_ago = now.saturating_sub(365 * DAY_SECONDS);
        let latest = self.rollbacks.iter().copied().filter(|at| *at > year_ago).max();
        let is_careful = latest.is_none_or(|latest| now >= latest + HOUR);
        self.epochs.insert(std::mem::replace(&mut self.epoch, BEGUN.to_owned()));
        self.careful_until = if is_careful { now + SLOT_SECONDS } else { 0 };
        self.is_rollback = true;
        self.rollbacks.push(now);
    }

    pub(super) fn note_identity(&mut self, request: &Authorization, next: Next) {
        let now = request.claim.now;
        let known = self.identities.entry(request.device.uuid.clone());
        let shows_none = request.held.is_none() && request.newest.is_none();
        let known = known.or_insert_with(|| Identity {
            first_granted_at: if shows_none { now } else { 0 },
            ..Identity::new(&request.device_key)
        });
        known.first_granted_at = known.first_granted_at.min(now);
        known.history = next.history;
        if request.held.is_none() && request.newest.is_none() {
            known.first_contact.clone_from(&request.first_contact);
        }
        match next.finding {
            Finding::DeviceRolledBack => known.rolled_back_at = now,
            _ => known.heard_at = known.heard_at.max(now),
        }
    }

    /// Take what a report tells of its device. Return whether another one has left it behind.
    pub(super) fn hear(&mut self, reported: &Reported<'_>) -> bool {
        let (uuid, now) = (&reported.report.device.uuid, reported.now);
        let known = self.identities.get(uuid).cloned();
        // Another device, which another server with the same key knows by this UUID.
        let mut licenses = reported.newest.into_iter().chain(reported.vouched);
        if let (Some(known), Some(license)) = (&known, licenses.next())
            && known.key != license.device_key
        {
            return false;
        }
        let forgotten = reported.vouched.iter().filter(|_| known.is_none());
        let newest = reported.newest.into_iter().chain(forgotten);
        let newest = newest.max_by_key(|license| license.generation);
        let Some(mut known) = known.or_else(|| Some(Identity::new(&newest?.device_key))) else {
            return false;
        };
        let place = newest.map(|license| known.history.place(license.generation));
        match (place, newest) {
            (Some(Relation::Left), _) => return true,
            (Some(Relation::Granted), Some(newest)) if reported.is_newest_ours => {
                known.history.go_on(newest.generation);
            }
            (Some(Relation::Newer), Some(newest))
                if reported.is_newest_ours || !self.identities.contains_key(uuid) =>
            {
                known.history.adopt(newest.generation);
                if history::newer(self.shown(newest, now)) == Finding::ServerRolledBack {
                    self.end_epoch(&newest.epoch, now);
                }
            }
            _ => {}
        }
        let is_to_be_noted = now >= known.heard_at + HEARD_PRECISION
            || matches!(place, Some(Relation::Granted | Relation::Newer));
        known.forget_grant_ahead(now);
        if is_to_be_noted && place != Some(Relation::Earlier) {
            known.heard_at = known.heard_at.max(now);
        }
        self.identities.insert(uuid.clone(), known);
        false
    }

    /// Forget the first grants that were dated by a clock that was ahead.
    pub(super) fn accept_clock(&mut self, now: u64) {
        self.identities.values_mut().for_each(|known| known.forget_grant_ahead(now));
    }

    /// Return the store after a restore: it has another epoch, and is careful for a slot.
    pub(crate) fn restored(&self, epoch: String, now: u64) -> Self {
        let mut epochs = self.epochs.clone();
        epochs.insert(self.epoch.clone());
        let careful_until = now + SLOT_SECONDS;
        Self { epoch, epochs, careful_until, is_rollback: false, ..self.clone() }
    }
}
