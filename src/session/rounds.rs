//! What the keeper does for a session, and when: early and often enough that a device which loses its contact has nearly
//! all of its days left, and spread so that devices do not come all at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::signature::random_bytes;
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of, slot_start};

use super::{Session, is_silence};
use crate::clock::{Clock, Deadline};
use crate::error::Result;

/// Bound for one round of the keeper.
const ROUND_BOUND: Duration = Duration::from_secs(20);

/// Pauses after failed rounds double from the first to the second.
const RETRY_FIRST_SECONDS: u64 = 2;
const RETRY_LAST_SECONDS: u64 = 60;

/// Rounds of many devices are spread over this part of a slot.
const JITTER_SECONDS: u64 = 30;

/// A grant is renewed after this part of its life, or after so many seconds if that is earlier.
const RENEWAL_PART: u64 = 8;
const RENEWAL_SECONDS_MAX: u64 = 6 * 3600;

impl Session {
    /// One round of the keeper: renews when that is due, reports what there is; says when to come again.
    pub fn keep(&self) -> Duration {
        let deadline = Deadline::after(self.world.clock, ROUND_BOUND);
        let is_done = || {
            if self.is_renewal_due() {
                self.use_stored_grant()?;
            }
            Ok(!self.is_renewal_due())
        };
        let outcome = self.round(self.is_renewal_due(), deadline, is_done);
        let failures = match &outcome {
            Err(error) if is_silence(error.code) => self.failures.fetch_add(1, Ordering::Relaxed).min(16),
            // Who is refused asks again, too, but need not hurry.
            Ok(()) | Err(_) => {
                self.failures.store(0, Ordering::Relaxed);
                return self.until_next_round();
            }
        };
        Duration::from_secs((RETRY_FIRST_SECONDS << failures).min(RETRY_LAST_SECONDS)) + jitter(2)
    }

    /// Renews and reports now.
    ///
    /// # Errors
    /// What failed of it; the other was done nevertheless.
    pub fn sync(&self, deadline: Deadline) -> Result<()> {
        self.round(true, deadline, || Ok(false))
    }

    fn round(&self, renews: bool, deadline: Deadline, is_done: impl Fn() -> Result<bool>) -> Result<()> {
        let renewed = if renews { self.renew(deadline, is_done) } else { Ok(()) };
        let outcome = renewed.and(self.report(deadline).map(|_| ()));
        self.world.clock.keep();
        self.note_outcome(&outcome);
        outcome
    }
    /// A process asks once when it begins; then each grant is renewed early in its life, so that a device that loses
    /// its contact has nearly all of its days left.
    fn is_renewal_due(&self) -> bool {
        let Some(licensed) = self.licensed() else { return true };
        let is_asked = self.contact.lock().at > 0;
        !is_asked || self.world.clock.unix_seconds() >= renewal_due_at(&licensed.grant().local)
    }

    /// The next slot, or when the grant is to be renewed, if that is earlier.
    fn until_next_round(&self) -> Duration {
        let now = self.world.clock.unix_seconds();
        let next = slot_start(slot_of(now).saturating_add(1));
        let until_slot =
            Duration::from_secs(next.saturating_sub(now).clamp(1, SLOT_SECONDS)) + jitter(JITTER_SECONDS);
        let due_at = self.licensed().map(|licensed| renewal_due_at(&licensed.grant().local));
        match due_at {
            Some(due_at) if due_at > now => until_slot.min(Duration::from_secs(due_at - now)),
            _ => until_slot,
        }
    }
}

/// When a grant is to be renewed: up to a quarter earlier than is due, by its random id, so that devices that were
/// granted at one time do not come back at one time.
fn renewal_due_at(license: &LocalLicense) -> u64 {
    let life = license.valid_until.saturating_sub(license.issued_at);
    let due = (life / RENEWAL_PART).min(RENEWAL_SECONDS_MAX);
    let share =
        license.license_id.get(..4).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    license.issued_at + due - due * share / (4 << 16)
}

/// A random time below this many seconds, so that devices do not come all at once.
fn jitter(seconds: u64) -> Duration {
    let random = random_bytes::<8>().map_or(0, u64::from_le_bytes);
    Duration::from_millis(random % (seconds * 1000))
}
