//! The working state of a licensed device: its grant, its seats and its counter.

mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::PublicKey;

use self::upkeep::Upkeep;
use crate::clock::{Clock, Moment, SlotClock, Stamp};
use crate::error::{Error, Result};
use crate::license::{Grant, ServerNotice, Validity};
use crate::log::{Level, say};
use crate::os::locks::{ENTRIES, Mutex, RENEWING, RwLock, SPENT};
use crate::seats::{Holder, Seat, SeatError, SeatPool, pool_name};
use crate::status::Status;
use crate::usage::{
    Attribution, Counter, SlotEntries, SpentAllowance, Work, has_counted, unsent_of,
};

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
    /// The amount that could not be counted for lack of allowance: the next grant must bring at
    /// least as much.
    needed: AtomicU64,
    /// The requests for a renewal before it is due.
    early_renewal: EarlyRenewal,
    /// The checks of the mapped files.
    upkeep: Upkeep,
}

/// The allowances under a strict item, and the folders where they are stored.
struct Allowance {
    /// The file of the spent allowances. A count holds the read lock from spending to counting. So
    /// a change of this file together with the UUID cannot separate them: no count is spent under
    /// one UUID and counted under another.
    spent: RwLock<Arc<SpentAllowance>, SPENT>,
    seats_folder: PathBuf,
    usage_folder: PathBuf,
    clock: &'static dyn Clock,
}

/// The wake-up for a call that runs out of allowance. It wakes the thread that can get more, at
/// most once a second.
struct EarlyRenewal {
    wake: fn(),
    asked_at_ms: AtomicU64,
}

/// The shortest time between two requests for more allowance, in milliseconds.
const EARLY_RENEWAL_MS: u64 = 1_000;

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
            early_renewal: EarlyRenewal { wake, asked_at_ms: AtomicU64::new(0) },
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
        self.needed.store(0, Ordering::Relaxed);
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

    /// Apply the grant's allowances to the counter. Under another UUID, spending and counting are
    /// separate from those under the previous one.
    fn allow(&self, grant: &Grant, is_renamed: bool) -> Result<()> {
        let local = &grant.local;
        if self.allowance.is_some() && !is_renamed {
            // If the file was removed, other programs have another one, and together they could
            // spend more than is allowed.
            self.check_files();
        }
        let count_as = || self.counter.count_as(attribution(grant));
        match &self.allowance {
            None if is_renamed => count_as(),
            None => {}
            Some(allowance) if is_renamed => {
                let anew = Arc::new(allowance.open_for(grant)?);
                let before = {
                    let mut spent = allowance.spent.write();
                    count_as();
                    std::mem::replace(&mut *spent, anew)
                };
                // The previous file is unmapped without the lock.
                drop(before);
            }
            Some(allowance) => {
                let unreported = |module| allowance.unreported(local, module);
                // 0 means that the boot clock is not known: then no loss counts as long past.
                let now_ms = self.clock.machine_boot_ms().unwrap_or(0);
                allowance.now().grant(local.serial, &local.allowances, now_ms, unreported)?;
            }
        }
        Ok(())
    }

    /// Return whether the grant has this many seats, or needs none.
    pub fn has_seats(&self, seats: u32) -> bool {
        self.pool.is_none() || self.grant.read().local.seats >= seats
    }

    /// Return the grant in use.
    pub fn grant(&self) -> Arc<Grant> {
        self.grant.read().clone()
    }

    /// Return the number of granted seats; INT_MAX if the charge way has no seats.
    pub fn seats_max(&self) -> i32 {
        let granted = || i32::try_from(self.grant.read().local.seats).unwrap_or(i32::MAX);
        self.pool.as_ref().map_or(i32::MAX, |_| granted())
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
    /// or the allowance runs low.
    pub fn wants_renewal(&self) -> bool {
        let grant = self.grant();
        let runs_low = |allowance: &Allowance| allowance.now().runs_low(&grant.local.allowances);
        self.stopped().is_some() || self.allowance.as_ref().is_some_and(runs_low)
    }

    /// Return what the next grant must allow at least.
    pub fn needed(&self) -> u64 {
        let refused = self.needed.load(Ordering::Relaxed);
        self.allowance.as_ref().map_or(refused, |allowance| allowance.now().needed(refused))
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

    /// Take a seat. Return `None` if the charge way has no seats.
    ///
    /// # Errors
    /// Returns -20008 if all seats are taken, or the error of [`Self::check`] if the grant is no
    /// longer valid.
    pub fn take_seat(&self) -> Result<Option<Seat>> {
        if self.ended.load(Ordering::Relaxed) {
            self.check()?;
        }
        self.pool.as_ref().map(SeatPool::take).transpose().map_err(|e| self.no_seat(e))
    }

    /// Do the same as [`Self::take_seat`] if one atomic exchange is enough. This cannot panic.
    #[inline(always)]
    pub fn take_seat_at_once(&self) -> Option<Option<Seat>> {
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        match &self.pool {
            Some(pool) => pool.take_at_once().map(Some),
            None => Some(None),
        }
    }

    /// Return why there is no seat. If this device has requested fewer seats than the license has,
    /// the message says that it may request more.
    #[cold]
    fn no_seat(&self, error: SeatError) -> Error {
        let is_full = matches!(error, SeatError::Full { .. });
        let mut error = seat_error(error);
        let grant = self.grant();
        if is_full && u64::from(grant.local.seats) < grant.item.quota {
            error.message.push_str(&format!(
                "; or ask for more: maxConcurrentInstanceCount was {}, and the license has {}",
                grant.local.seats, grant.item.quota
            ));
        }
        error
    }

    /// Take a seat, and wait up to `wait` for one.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::take_seat`].
    pub fn take_seat_within(&self, wait: Duration) -> Result<Option<Seat>> {
        self.check()?;
        self.pool
            .as_ref()
            .map(|pool| pool.take_within(wait))
            .transpose()
            .map_err(|e| self.no_seat(e))
    }

    /// Return the holders of this device's seats; none if the charge way has no seats.
    pub fn holders(&self) -> Vec<Holder> {
        self.pool.as_ref().map(SeatPool::holders).unwrap_or_default()
    }

    /// Return the number of times that this was closed.
    #[inline(always)]
    pub fn closings(&self) -> u32 {
        self.closings.load(Ordering::Acquire)
    }

    /// Give a seat back. A seat that was taken before this was closed is gone already.
    #[inline(always)]
    pub fn give_seat(&self, seat: Seat) {
        if let Some(pool) = &self.pool {
            pool.give(seat);
        }
    }

    /// Return the number of free seats on this device; -1 if the grant must be refreshed; INT_MAX
    /// if the charge way has no seats.
    #[inline(always)]
    pub fn idle_seats(&self) -> i32 {
        if self.ended.load(Ordering::Relaxed) && self.check().is_err() {
            return -1;
        }
        match &self.pool {
            Some(pool) => i32::try_from(pool.idle()).unwrap_or(i32::MAX),
            None => i32::MAX,
        }
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

    /// Spend before counting, and take back what could not be counted.
    #[cold]
    fn count_strictly(
        &self,
        allowance: &Allowance,
        mine: &mut SlotEntries,
        slot: u32,
        work: &[Work],
    ) -> Result<()> {
        let grant = self.grant();
        let charged = charged(grant.local.charge_way, work);
        if allowance.now().is_closed() {
            // Another process has found that the file is lost: no allowance can be spent in it.
            self.check_files();
        }
        let allowance = allowance.spent.read();
        self.counter.catch_up(mine);
        let mut outcome = Ok(());
        let mut spent = 0;
        for (module, n) in &charged {
            outcome = allowance.spend(*module, *n);
            if outcome.is_err() {
                self.needed.fetch_max(*n, Ordering::Relaxed);
                break;
            }
            spent += 1;
        }
        let outcome = outcome.and_then(|()| self.counter.count(mine, slot, work));
        if outcome.is_err() {
            charged[..spent].iter().for_each(|(module, n)| allowance.take_back(*module, *n));
        }
        let runs_low = allowance.runs_low(&grant.local.allowances);
        drop(allowance);
        if outcome.is_err() || runs_low {
            self.early_renewal.call(self.clock.monotonic_ms());
        }
        outcome
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

    fn give_up_seats(&self) {
        let entries = std::mem::take(&mut *self.entries.lock());
        drop(entries);
        if let Some(pool) = &self.pool {
            pool.rest();
        }
    }
}

impl EarlyRenewal {
    fn call(&self, now_ms: u64) {
        let asked = self.asked_at_ms.load(Ordering::Relaxed);
        let is_due = asked == 0 || now_ms.saturating_sub(asked) >= EARLY_RENEWAL_MS;
        if is_due
            && self
                .asked_at_ms
                .compare_exchange(asked, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            (self.wake)();
        }
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

/// Return what is charged for some work under a strict item, by module; 0 is the module of scans.
fn charged(charge_way: ChargeWay, work: &[Work]) -> Vec<(u32, u64)> {
    let module = |(kind, what, n): &Work| match (charge_way, kind) {
        (ChargeWay::BarcodeScan, UsageKind::Scan) => Some((0, *n)),
        (ChargeWay::Page, UsageKind::Page) => Some((*what, *n)),
        _ => None,
    };
    work.iter().filter_map(module).collect()
}

impl Allowance {
    fn open(
        grant: &Grant,
        seats_folder: &Path,
        usage_folder: &Path,
        clock: &'static dyn Clock,
    ) -> Result<Self> {
        Ok(Self {
            spent: RwLock::ranked(Arc::new(open_spent(grant, seats_folder, usage_folder, clock)?)),
            seats_folder: seats_folder.to_owned(),
            usage_folder: usage_folder.to_owned(),
            clock,
        })
    }

    fn open_for(&self, grant: &Grant) -> Result<SpentAllowance> {
        open_spent(grant, &self.seats_folder, &self.usage_folder, self.clock)
    }

    fn unreported(&self, license: &LocalLicense, module: u32) -> u64 {
        let LocalLicense { license_id, device_uuid, .. } = license;
        folders_beside(&self.usage_folder)
            .map(|folder| unsent_of(&folder, license_id, device_uuid, module))
            .fold(0, u64::saturating_add)
    }

    /// Return the file in use, for callers that do not count.
    fn now(&self) -> Arc<SpentAllowance> {
        self.spent.read().clone()
    }
}

/// Return the usage folders of all grants: grants that come from one code share a license.
fn folders_beside(usage_folder: &Path) -> impl Iterator<Item = PathBuf> {
    let all = usage_folder.parent().map(std::fs::read_dir).into_iter().flatten();
    all.flatten().flatten().map(|entry| entry.path())
}

fn open_spent(
    grant: &Grant,
    seats_folder: &Path,
    usage_folder: &Path,
    clock: &'static dyn Clock,
) -> Result<SpentAllowance> {
    let LocalLicense { license_id, item_id, device_uuid, serial, allowances, .. } = &grant.local;
    // Only this item matters: work that was counted under another item of the code does not concern
    // it.
    let has_counted = |folder: PathBuf| has_counted(&folder, license_id, device_uuid);
    let is_used = || {
        allowances.iter().any(|known| known.used > 0)
            || folders_beside(usage_folder).any(has_counted)
    };
    // If the boot clock is not known, no loss counts as long past: neither now, nor for a process
    // that reads this later.
    let now_ms = clock.machine_boot_ms();
    let lost_at = now_ms.unwrap_or(u64::MAX);
    let spent =
        SpentAllowance::open(seats_folder, &pool_name(item_id), device_uuid, lost_at, is_used)?;
    spent.grant(*serial, allowances, now_ms.unwrap_or(0), |_| 0)?;
    Ok(spent)
}

fn seat_error(error: SeatError) -> Error {
    let code = match &error {
        SeatError::Full { .. } => ErrorCode::INSTANCE_COUNT_OVER_LIMIT,
        // The error contains the owner of the file, and what to do.
        SeatError::Io { path, what, source } => return Error::state(path, what, source),
        _ => ErrorCode::LICENSE_BUFFER_FAILED,
    };
    Error::new(code, error.to_string())
}

#[cfg(test)]
mod tests;
