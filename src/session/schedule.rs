//! The keeper's work for a session, and its times. It is early and frequent enough that a device
//! which loses its contact has nearly all of its days left. It is spread, so that devices do not
//! all contact the server at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::signature::random_bytes;
use seatmeter_protocol::slot::{RENEWAL_SECONDS, SLOT_SECONDS, slot_of, slot_start};

use super::{Session, is_passing};
use crate::clock::{Clock, Deadline};
use crate::error::Result;
use crate::licensed::Licensed;
use crate::parameters::Parameters;

/// The bound for one round of the keeper.
const ROUND_BOUND: Duration = Duration::from_secs(20);

/// The first pause after a failed round, in seconds; each pause doubles, up to the last.
const RETRY_FIRST_SECONDS: u64 = 2;
const RETRY_LAST_SECONDS: u64 = 60;

/// The longest time, in seconds, for which a server can put off the next round. Nobody signs this
/// time.
const RETRY_ASKED_MAX: u64 = 300;

/// The seconds over which the rounds of devices are spread that had no success.
const RETRY_SPREAD_SECONDS: u64 = 2;

/// The seconds of a slot over which the rounds of many devices are spread.
const JITTER_SECONDS: u64 = 30;

/// The divisor that gives the part of a grant's life after which it is renewed, or after the
/// seconds below if that is earlier.
const RENEWAL_PART: u64 = 8;
const RENEWAL_SECONDS_MAX: u64 = 6 * 3600;

impl Session {
    /// Do one round of the keeper: renew if that is due, and report. Return the time until the next
    /// round. No program works under a closed session: it is not renewed, but what it could not
    /// report is reported.
    pub fn keep(&self) -> Duration {
        let deadline = Deadline::after(self.dependencies.clock, ROUND_BOUND);
        let begun_at = self.dependencies.clock.unix_seconds();
        let is_done = || {
            if self.is_renewal_due() {
                self.use_stored_grant()?;
            }
            Ok(!self.is_renewal_due())
        };
        let outcome = match self.is_closed.load(Ordering::Acquire) {
            true if self.is_settled() => Ok(()),
            true => self.report(deadline).map(|_| ()),
            false => self.round(false, deadline, is_done),
        };
        match &outcome {
            Err(error) if is_passing(error.code) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed);
                pause_after(failures, error.retry_after)
            }
            // A refused program asks again, too, but in no haste.
            Ok(()) | Err(_) => {
                self.failures.store(0, Ordering::Relaxed);
                self.until_next_round(begun_at)
            }
        }
    }

    /// Renew and report now.
    ///
    /// # Errors
    /// Returns the error of the part that failed; the other part was done nevertheless.
    pub fn sync(&self, deadline: Deadline) -> Result<()> {
        self.round(true, deadline, || Ok(false))
    }

    /// Report first, then renew. The server decides about the renewal by what it knows, and a
    /// device that has reported everything gets the most.
    fn round(
        &self,
        is_asked_for: bool,
        deadline: Deadline,
        is_done: impl Fn() -> Result<bool>,
    ) -> Result<()> {
        let server = self.server_key();
        let has_moved = || self.server_key() != server;
        let mut reported = self.report(deadline).map(|_| ());
        let must_ask = self.must_ask.load(Ordering::Relaxed);
        self.hear();
        let renewed = if is_asked_for || self.is_renewal_due() {
            self.renew(deadline, is_done)
        } else if reported.as_ref().is_err_and(|e| is_by_another_server(e.code)) {
            self.renew(deadline, || self.use_stored_grant().map(|_| has_moved()))
        } else {
            Ok(())
        };
        if reported.is_err() && (has_moved() || must_ask && renewed.is_ok()) {
            // The new server gets the counts under its own grant now, and the previous one gets the
            // rest as soon as it answers again. One that did not know the device knows it now.
            reported = self.report(deadline).map(|_| ());
        }
        let outcome = renewed.and(reported);
        self.dependencies.clock.keep();
        self.note_outcome(&outcome);
        outcome
    }

    /// Return whether a renewal is due. A process asks once when it begins. Then each grant is
    /// renewed early in its life, so that a device that loses its contact has nearly all of its
    /// days left.
    fn is_renewal_due(&self) -> bool {
        let Some(licensed) = self.licensed() else { return true };
        let is_asked = self.contact.lock().at > 0;
        let now = self.dependencies.clock.unix_seconds();
        !is_asked
            || self.store.is_missing()
            || self.must_ask.load(Ordering::Relaxed)
            || licensed.wants_renewal()
            || licensed.grant().is_postdated
            || self.is_short_of_seats(licensed)
            || now >= self.renewal_due_at(licensed)
            || self.is_overtaken(now)
            || !self.is_vouched_for(licensed, now)
    }

    /// Return when the grant is to be renewed, by the license that was granted for this program's
    /// own credentials.
    fn renewal_due_at(&self, licensed: &Licensed) -> u64 {
        let mut license = licensed.grant().local.clone();
        if let Some(basis) = *self.basis.lock() {
            license.issued_at = license.issued_at.min(basis.issued_at);
            license.valid_until = license.valid_until.min(basis.valid_until);
        }
        renewal_due_at(&license)
    }

    /// Return whether a program that starts now could use the grant at once by the stored notes. A
    /// lost note may have been about the end of the grant.
    fn is_vouched_for(&self, licensed: &Licensed, now: u64) -> bool {
        self.store.notice_of(&licensed.grant().local).is_some() && self.stored_basis(now).is_some()
    }

    /// Return whether this program has requested more seats than there are now. Another program of
    /// the device may have renewed for fewer after this one's authorization had ended.
    fn is_short_of_seats(&self, licensed: &Licensed) -> bool {
        let asks_for_more = |parameters: &Parameters| !licensed.has_seats(parameters.seats);
        self.parameters.get().is_some_and(asks_for_more)
    }

    /// Return whether the item is authorized slot by slot since this device's grant was given,
    /// although the grant lasts longer.
    fn is_overtaken(&self, now: u64) -> bool {
        let soon = now.saturating_add(2 * SLOT_SECONDS);
        let is_long = |licensed: &Licensed| licensed.grant().local.valid_until > soon;
        self.licensed().is_some_and(is_long)
            && self.store.notice().is_some_and(|notice| notice.is_overused())
    }

    /// Return the time until the next slot, or until the grant is to be renewed if that is earlier.
    /// Work that was due when this round began is done; work that became due during the round may
    /// have been missed by a moment.
    pub(super) fn until_next_round(&self, begun_at: u64) -> Duration {
        let now = self.dependencies.clock.unix_seconds();
        let next = slot_start(slot_of(now).saturating_add(1));
        let until_slot = Duration::from_secs(next.saturating_sub(now).clamp(1, SLOT_SECONDS))
            + jitter(JITTER_SECONDS);
        let due_at = self.licensed().map(|licensed| self.renewal_due_at(licensed));
        match due_at {
            Some(due_at) if due_at > begun_at => {
                until_slot.min(Duration::from_secs(due_at.saturating_sub(now).max(1)))
            }
            _ => until_slot,
        }
    }
}

/// Return whether another server than that of this device's grant may have answered: of two servers
/// with data of their own, the other one, which is in charge now.
fn is_by_another_server(code: ErrorCode) -> bool {
    code == ErrorCode::LICENSE_SYNC_FAILED || code == ErrorCode::STANDBY_NOT_READY
}

/// Return when a grant is to be renewed. This is up to a quarter earlier than is due, by the
/// grant's random id, so that devices that were granted at one time do not return at one time.
fn renewal_due_at(license: &LocalLicense) -> u64 {
    let life = license.valid_until.saturating_sub(license.issued_at);
    if life <= 2 * SLOT_SECONDS {
        // An authorization by the slot is renewed in the last minute before its end, at some time
        // in the first half of that minute.
        let half_ms = RENEWAL_SECONDS * 500;
        let after_ms = (random_share(license) * half_ms) >> 16;
        return license.valid_until.saturating_sub(RENEWAL_SECONDS) + after_ms / 1000;
    }
    let due = (life / RENEWAL_PART).min(RENEWAL_SECONDS_MAX);
    license.issued_at + due - due * random_share(license) / (4 << 16)
}

/// Return a number below 65 536 that is always the same for one license.
fn random_share(license: &LocalLicense) -> u64 {
    license.license_id.get(..4).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// Return the pause after a round that had no success, after so many before it. A server that is
/// too busy says when it wants to be asked again. It says the same to all, so those that it has put
/// off for long are spread over as long a time again.
fn pause_after(failures: u32, asked: Option<u64>) -> Duration {
    let own = (RETRY_FIRST_SECONDS << failures.min(16)).min(RETRY_LAST_SECONDS);
    let asked = asked.unwrap_or(0).min(RETRY_ASKED_MAX);
    Duration::from_secs(own.max(asked)) + jitter(asked.max(RETRY_SPREAD_SECONDS))
}

/// Return a random time below this many seconds, so that devices do not all contact the server at
/// once.
fn jitter(seconds: u64) -> Duration {
    let random = random_bytes::<8>().map_or(0, u64::from_le_bytes);
    Duration::from_millis(random % (seconds * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_a_busy_server_puts_off_come_back_after_that_time_and_spread() {
        let pauses = |failures, asked| {
            let all: Vec<_> = (0..200).map(|_| pause_after(failures, asked).as_millis()).collect();
            (all.iter().min().copied().unwrap(), all.iter().max().copied().unwrap())
        };
        for (failures, asked, from, spread) in [
            (0, None, 2_000, 2_000),
            (0, Some(1), 2_000, 2_000),
            (0, Some(30), 30_000, 30_000),
            (5, Some(1), 60_000, 2_000),
            (u32::MAX, None, 60_000, 2_000),
            (0, Some(u64::MAX), 300_000, 300_000),
        ] {
            let (least, most) = pauses(failures, asked);
            assert!(least >= from && most < from + spread, "{failures} {asked:?}: {least} {most}");
            assert!(most - least > spread / 2, "{failures} {asked:?}: {least} to {most} ms");
        }
    }
}
