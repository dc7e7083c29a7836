//! The working state of a licensed device: its grant, its seats and its counter.

mod allowance;
mod seats;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::PublicKey;

use self::allowance::{Allowance, EarlyRenewal};
use self::seats::seat_error;
use self::upkeep::Upkeep;
use crate::clock::{Clock, Moment, SlotClock, Stamp};
use crate::error::{Error, Result};
use crate::license::{Grant, ServerNotice, Validity};
use crate::log::{Level, say};
use crate::os::locks::{ENTRIES, Mutex, RENEWING, RwLock};
use crate::seats::{SeatPool, pool_name};
use crate::status::Status;
use crate::usage::{Attribution, Counter, SlotEntries, Work};

/// A grant in use. It lives as long as the process, because readers refer to it.
///
/// A count takes some of the locks here. So none of them is held during a wait for the disk: what
/// needs the disk is created before, and put in place under the lock.
pub struct Licensed {
    grant: RwLock<Arc<Grant>>,
    /// The lock that is held while the grant is changed.
    renewing: Mutex<(), RENEWING>,
    /// The seat pool, if the charge way has seats.
    pool: Option<SeatPool>,
    counter: Counter,
    /// The entries for counts without a reader.
    entries: Mutex<SlotEntries, ENTRIES>,
    clock: &'static dyn Clock,
    slots: SlotClock,
    /// The reason why the server allows no work under the grant, if it does not.
    stopped: Mutex<Option<Error>>,
    /// A flag that is set when the grant is found to be no longer valid, so that the hot path need
    /// not read the clock.
    ended: AtomicBool,
    /// The number of times that this was closed. Seats that were taken before the last one are not
    /// held any more.
    closings: AtomicU32,
    /// The modules whose pages are used up, one bit each.
    used_up_modules: AtomicU32,
    /// The allowances, under a strict item.
    allowance: Option<Allowance>,
    /// The amount that could not be counted for lack of allowance, under this item or the strict
    /// one before: the next grant of a strict item must bring at least as much.
    needed: AtomicU64,
    /// The requests for a renewal before it is due.
    early_renewal: EarlyRenewal,
    /// The checks of the mapped files.
    upkeep: Upkeep,
}

impl Licensed {
    /// Put a grant into use.
    ///
    /// # Errors
    /// Fails if the seat pool cannot be opened.
    pub fn new(
        grant: Arc<Grant>,
        seats_folder: &Path,
        usage_folder: PathBuf,
        clock: &'static dyn Clock,
        wake: fn(),
    ) -> Result<Self> {
        let local = &grant.local;
        let allowance = match grant.item.strict {
            true => Some(Allowance::open(&grant, seats_folder, &usage_folder, clock)?),
            false => None,
        };
        let pool = match local.charge_way {
            ChargeWay::ConcurrentInstance => {
                let pool =
                    SeatPool::open(seats_folder, &pool_name(&local.item_id)).map_err(seat_error)?;
                pool.grant(local.seats, grant.number);
                Some(pool)
            }
            _ => None,
        };
        let counter = Counter::new(usage_folder, attribution(&grant));
        Ok(Self {
            grant: RwLock::new(grant),
            renewing: Mutex::default(),
            pool,
            counter,
            entries: Mutex::default(),
            clock,
            slots: SlotClock::default(),
            stopped: Mutex::default(),
            ended: AtomicBool::new(false),
            closings: AtomicU32::new(0),
            used_up_modules: AtomicU32::new(0),
            allowance,
            needed: AtomicU64::new(0),
            early_renewal: EarlyRenewal::new(wake),
            upkeep: Upkeep::default(),
        })
    }

    /// Take over a newer grant from the same item. Return `false` when it is from another item or
    /// from another server: the server that has granted a license must book its work. A grant that
    /// renews the same license is from the same server, even with another key.
    pub fn renew(&self, grant: &Arc<Grant>) -> bool {
        let _renewing = self.renewing.lock();
        let mine = self.grant();
        let same = mine.local.item_id == grant.local.item_id
            && (mine.server_key == grant.server_key
                || mine.local.license_id == grant.local.license_id)
            && mine.local.charge_way == grant.local.charge_way
            && mine.item.strict == grant.item.strict;
        if !same {
            return false;
        }
        let is_renamed = mine.local.device_uuid != grant.local.device_uuid;
        if let Err(error) = self.allow(grant, is_renamed) {
            say(Level::Warning, format_args!("{error}"));
            if is_renamed {
                // The previous grant stays in use, with its validity unchanged, until the next
                // renewal.
                return true;
            }
        }
        if let Some(pool) = &self.pool {
            pool.grant(grant.local.seats, grant.number);
        }
        // The grant that was too small brings nothing new.
        if let Some(allowance) = &self.allowance
            && grant.local != mine.local
        {
            let needed = self.needed.swap(0, Ordering::Relaxed);
            self.early_renewal.answered(allowance.now().allows(needed));
        }
        *self.grant.write() = grant.clone();
        *self.stopped.lock() = None;
        self.ended.store(false, Ordering::Relaxed);
        self.slots.forget();
        true
    }

    /// Read the grant's dates again. `signed_at` returns what a date should have been if the server
    /// that signed it had a clock that was ahead.
    pub fn redate(&self, signed_at: impl FnOnce(u64, &Stamp) -> u64) {
        // The date is requested before the grant is locked, because counts wait for that lock.
        let grant = self.grant();
        let dated = grant.local.issued_at;
        let should_be = signed_at(dated, &grant.stamp);
        if should_be < dated {
            let mut mine = self.grant.write();
            if mine.local.issued_at == dated {
                *mine = Arc::new(mine.dated(should_be));
            }
        }
        // The time itself may have been set, also where the date stays.
        self.slots.forget();
    }

    /// Count into other segments from now on, because the time has leaped. A server may not book a
    /// slot that is far ahead of its time, and everything in the same segment would wait as long.
    pub fn begin_segments(&self) {
        self.counter.begin_segments();
    }

    /// Return the grant in use.
    pub fn grant(&self) -> Arc<Grant> {
        self.grant.read().clone()
    }

    /// Return the key of the server that gave the grant.
    pub fn server_key(&self) -> PublicKey {
        self.grant.read().server_key.clone()
    }

    /// Fill in the parts of the license's status that are known here.
    pub fn describe(&self, status: &mut Status) {
        // The check comes before the numbers are read, so that they agree with the status.
        let _ = self.check();
        let grant = self.grant.read().clone();
        let held = self.holders().iter().map(|holder| holder.seats).sum();
        status.validity = Some(grant.validity(self.clock.unix_seconds()));
        status.stopped = self.stopped().map(|why| why.code);
        status.charge_way = Some(grant.local.charge_way);
        status.is_trial = grant.item.trial;
        (status.seats_granted, status.seats_held) = (grant.local.seats, held);
        status.seats_idle = self.idle_seats();
        (status.valid_until, status.expires_at) = (grant.local.valid_until, grant.item.expires_at);
        status.grace_ends_at = grant.item.grace_ends_at();
    }

    /// Check whether the grant is valid now.
    ///
    /// # Errors
    /// Returns -20111 if the item has expired, or -20003 if the grant was not renewed for too long.
    pub fn check(&self) -> Result<()> {
        self.check_at(self.clock.unix_seconds())
    }

    /// Apply a server notice.
    pub fn hear(&self, notice: &ServerNotice) {
        self.used_up_modules.store(notice.used_up_modules(), Ordering::Relaxed);
        self.set_stopped(notice.stops());
    }

    /// End all work under the grant, which was given back.
    pub fn stop(&self) {
        self.set_stopped(Some(ErrorCode::NO_LICENSE.into()));
    }

    /// End all work under the grant: the server does not accept this program's credentials.
    pub fn refuse(&self, why: Error) {
        self.set_stopped(Some(why));
    }

    fn set_stopped(&self, why: Option<Error>) {
        let mut stopped = self.stopped.lock();
        if *stopped != why {
            self.ended.store(why.is_some(), Ordering::Relaxed);
            *stopped = why;
            self.slots.forget();
        }
    }

    /// Return why the server allows no work under the grant, if it does not.
    pub fn stopped(&self) -> Option<Error> {
        self.stopped.lock().clone()
    }

    /// Return whether a grant is needed before this one is due for renewal: work is not possible,
    /// the allowance runs low, or it was too small for a count.
    pub fn wants_renewal(&self) -> bool {
        let grant = self.grant();
        let is_too_small = |allowance: &Allowance| {
            self.needed() > 0 || allowance.now().runs_low(&grant.local.allowances)
        };
        self.stopped().is_some() || self.allowance.as_ref().is_some_and(is_too_small)
    }

    /// Return what the next grant of a strict item must allow at least.
    pub fn needed(&self) -> u64 {
        self.needed.load(Ordering::Relaxed)
    }

    /// Take over what the item before did not allow, so that the program does not go back to that
    /// item before it allows as much. A strict item has brought as much already.
    pub fn follows(&self, before: &Self) {
        if self.allowance.is_none() {
            self.needed.fetch_max(before.needed(), Ordering::Relaxed);
        }
    }

    /// Keep no more allowance than is spent. No process of the device works under the item any
    /// more, so the next start of the machine must cost nothing of the allowance.
    pub fn settle(&self) {
        if let Some(allowance) = &self.allowance {
            allowance.now().settle();
        }
    }

    /// End all counting under a strict item: what is left of its allowance is given back.
    pub fn forgo(&self) {
        if let Some(allowance) = &self.allowance {
            allowance.now().forgo();
        }
    }

    fn check_at(&self, now: u64) -> Result<()> {
        if let Some(why) = self.stopped() {
            self.ended.store(true, Ordering::Relaxed);
            return Err(why);
        }
        let validity = self.grant.read().validity(now);
        let ended = matches!(validity, Validity::Stale | Validity::Expired);
        self.ended.store(ended, Ordering::Relaxed);
        match validity {
            Validity::Good | Validity::Grace => Ok(()),
            Validity::Expired => Err(ErrorCode::EXPIRED.into()),
            Validity::Stale => Err(Error::new(
                ErrorCode::LICENSE_SYNC_FAILED,
                "the license on this device was not renewed in time: connect to the license \
                 server and call \
                 InitLicenseFromDLS again",
            )),
        }
    }

    /// Return the number of times that this was closed.
    #[inline(always)]
    pub fn closings(&self) -> u32 {
        self.closings.load(Ordering::Acquire)
    }

    /// Return the current moment, if the grant is valid now and earlier counts are in their files.
    /// This is checked about once a second.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::check`], and -20002 if earlier counts have lost their
    /// file and cannot be carried into another.
    #[inline(always)]
    pub fn moment(&self) -> Result<Moment> {
        self.slots.now(self.clock, |now| self.check_to_count(now))
    }

    /// Count work into a slot. `mine` are the caller's own entries.
    ///
    /// # Errors
    /// Fails if the count cannot be kept: then nothing was counted.
    #[inline(always)]
    pub fn count(&self, mine: &mut SlotEntries, slot: u32, work: &[Work]) -> Result<()> {
        match &self.allowance {
            None => self.counter.count(mine, slot, work),
            Some(allowance) => self.count_strictly(allowance, mine, slot, work),
        }
    }

    /// Count work that was done without a reader.
    ///
    /// # Errors
    /// Fails if the grant is no longer valid or the count cannot be kept: then nothing was counted.
    pub fn count_without_reader(&self, work: &[Work]) -> Result<()> {
        let slot = self.moment()?.slot;
        let used_up = self.used_up_modules.load(Ordering::Relaxed);
        let is_used_up = |(kind, module, _): &Work| {
            *kind == UsageKind::Page && used_up & 1_u32.checked_shl(*module).unwrap_or(0) != 0
        };
        if used_up != 0 && work.iter().any(is_used_up) {
            return Err(ErrorCode::USED_UP.into());
        }
        self.count(&mut self.entries.lock(), slot, work)
    }

    /// Give up seats and segments at the end of a session.
    pub fn close(&self) {
        self.closings.fetch_add(1, Ordering::Release);
        self.counter.close();
        self.give_up_seats();
    }

    /// Give up the seats, because the program works under another item now. A reader that was not
    /// used since may still count into a segment: [`Self::check_files`] checks it until
    /// [`Self::has_let_go`].
    pub fn leave(&self) {
        self.closings.fetch_add(1, Ordering::Release);
        self.counter.begin_segments();
        self.check_files();
        self.give_up_seats();
    }

    /// Return whether nothing counts into its segments any more, and all counts are in files.
    pub fn has_let_go(&self) -> bool {
        self.counter.has_let_go()
    }
}

/// Return the license, device and server under which a grant's work is counted.
fn attribution(grant: &Grant) -> Attribution {
    Attribution {
        license_id: grant.local.license_id.clone(),
        device_uuid: grant.local.device_uuid.clone(),
        server: grant.server_key.clone(),
    }
}

#[cfg(test)]
mod tests;
