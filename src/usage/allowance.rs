//! The allowances of a device under a strict item, and what of them is spent. Each item has one
//! small file for each UUID that the device has used. All processes of the device map this file.
//!
//! ```text
//! 0x00  magic, version
//! 0x10  serial of the grant that the numbers are from
//! 0x18  digest of the boot in which the file was last used; 0: the system does not name it
//! 0x20  digest of the UUID; 0 if not set yet: the first process that opens the file sets it
//! 0x28  when the file was created in place of a lost one, by the boot clock; 0: nothing is lost
//! 0x40  for each module (0: scans):  allowed | spent | kept | lost     (four words of 64 bits)
//! ```
//!
//! A count is spent before it is counted, with one atomic exchange, so that two processes can never
//! spend the same allowance. A process that dies in between has spent without a count; a later
//! grant makes up for this. `spent` is in memory that a power cut can take back, and then more work
//! would have been done than the file shows. So `spent` never passes `kept`, which is on the disk
//! before it is used: after a power cut, all of `kept` counts as spent. No file distinguishes a
//! power cut from any other start of the machine, so each start does the same. The exception is a
//! start after the clean end of the device's last program, which keeps no more than is spent. The
//! server never learns of what was lost in this way, so the device requests that much more.
//!
//! | | |
//! |---|---|
//! | `spent + n ≤ kept` | counted |
//! | `kept < spent + n ≤ allowed` | `kept` is raised, made durable, then as above |
//! | `allowed < spent + n` | refused |
//!
//! **A lost file**, or a file that was damaged and set aside, counts as all spent. A missing file
//! counts as lost if something was counted under the license already. The next grant says how much
//! of it the server knows, and the segments say the rest. But processes that have mapped the lost
//! file may still spend from it until they notice ([`SpentAllowance::standing`], checked once a
//! second). So a grant restores nothing before [`MOURNING_MS`] have passed.
//!
//! A server begins anew with each UUID, and so do these numbers. What is spent only rises, and
//! would otherwise count forever against a device that had to take another UUID. A program that
//! still works under the former UUID spends the allowance of that UUID. So no number is ever set
//! back in a file that others may be using: the first UUID has `<item>.spent`, a later one
//! `<item>.<digest>.spent`.
//!
//! A file that loses its name while it is mapped is created again. The first process that notices
//! closes the old file by the highest bit of each `spent`, and no process spends from it any more.
//! The numbers below that bit are merged into the file that has the name then. This can be repeated
//! at will, because the greater number counts.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::CountAllowance;
use seatmeter_protocol::page_module::PAGE_MODULES;
use seatmeter_protocol::signature::digest_hex;

use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::files::{
    Identity, Standing, file_made_if_missing, new_file, set_aside_same, sync_folder,
};
use crate::os::locks::{CHANGING, Mutex};
use crate::os::{MappedFile, Uncanceled, boot_id, draft_of, rename_to_new};

const MAGIC: u64 = u64::from_le_bytes(*b"SMALLOW\x01");
const FILE_BYTES: usize = 4096;
const SERIAL: usize = 0x10;
const BOOT: usize = 0x18;
const WHOSE: usize = 0x20;
const LOST_AT: usize = 0x28;
const MODULES: usize = 0x40;
const MODULE_BYTES: usize = 0x20;
const MODULE_COUNT: usize = PAGE_MODULES.len() + 1;

/// The divisor that gives the part of the remaining allowance by which `kept` is raised, with the
/// minimum below. So the disk is seldom waited for, and a power cut loses little.
const KEPT_FRACTION: u64 = 8;
const KEPT_MIN: u64 = 64;

/// The milliseconds after which no process spends from a lost file any more: each process checks
/// about once a second.
const MOURNING_MS: u64 = 3_000;

/// The bit that is set in each `spent` of a file that must not be used any more.
const CLOSED: u64 = 1 << 63;

/// The digest of a boot that the system does not name.
const UNKNOWN_BOOT: u64 = 0;

/// The most attempts to open a file that is found damaged, set aside, and found damaged again.
/// After that, another program is the cause.
const OPEN_TRIES_MAX: u32 = 16;

/// The allowances of one item on this device, under one UUID.
#[derive(Debug)]
pub struct SpentAllowance {
    path: PathBuf,
    file: MappedFile,
    identity: Identity,
    /// The digest of the boot.
    boot: u64,
    /// The lock that this process holds while it changes `kept` or the grant's numbers.
    changing: Mutex<(), CHANGING>,
}

impl SpentAllowance {
    /// Open or create the file of an item for a device with this UUID. `is_used` returns whether
    /// anything was counted under the license before: then a missing file counts as lost. `now_ms`
    /// is the machine's boot clock.
    ///
    /// # Errors
    /// Fails if the file cannot be created, mapped or written.
    pub fn open(
        folder: &Path,
        item: &str,
        device_uuid: &str,
        now_ms: u64,
        is_used: impl Fn() -> bool,
    ) -> Result<Self> {
        Self::open_in(boot_digest(&boot_id()), folder, item, device_uuid, now_ms, is_used)
    }

    fn open_in(
        boot: u64,
        folder: &Path,
        item: &str,
        device_uuid: &str,
        now_ms: u64,
        is_used: impl Fn() -> bool,
    ) -> Result<Self> {
        let whose = digest(device_uuid);
        let own = folder.join(format!("{item}.{whose:016x}.spent"));
        let first = folder.join(format!("{item}.spent"));
        let this = match own.exists() {
            true => Self::map(boot, own)?,
            false => match Self::map(boot, first)? {
                first if first.is_of(whose) => first,
                _ => Self::map(boot, own)?,
            },
        };
        this.begin(now_ms, is_used)?;
        Ok(this)
    }

    fn map(boot: u64, path: PathBuf) -> Result<Self> {
        let failed = |e: io::Error| Error::state(&path, "use", &e);
        for _ in 0..OPEN_TRIES_MAX {
            let (mapped, file) = map(&path).map_err(failed)?;
            // 0 means that the file is new: another process may just be creating it.
            if matches!(mapped.word64(0).load(Ordering::Acquire), MAGIC | 0) {
                let identity = Identity::of(&file).map_err(failed)?;
                let this = Self { path, file: mapped, identity, boot, changing: Mutex::default() };
                this.open_again();
                return Ok(this);
            }
            set_aside_same(&path, &file).map_err(failed)?;
        }
        Err(failed(io::ErrorKind::InvalidData.into()))
    }

    /// Return whether the file belongs to this UUID. A file that names no UUID yet takes this one.
    fn is_of(&self, whose: u64) -> bool {
        let word = self.file.word64(WHOSE);
        word.compare_exchange(0, whose, Ordering::AcqRel, Ordering::Acquire)
            .map_or_else(|is| is == whose, |_| true)
    }

    /// Complete a new file, and take as spent what a power cut may have hidden.
    fn begin(&self, now_ms: u64, is_used: impl Fn() -> bool) -> Result<()> {
        if self.file.word64(0).load(Ordering::Acquire) != MAGIC {
            if is_used() {
                self.lost_at().store(now_ms.max(1), Ordering::Release);
            }
            self.file.word64(BOOT).store(self.boot, Ordering::Release);
            self.file.word64(0).store(MAGIC, Ordering::Release);
            return self.make_durable();
        }
        let before = self.file.word64(BOOT).load(Ordering::Acquire);
        if before != self.boot && before != UNKNOWN_BOOT && self.boot != UNKNOWN_BOOT {
            // All processes that had mapped a lost file have ended, and the boot clock has begun
            // anew.
            let _ = self.lost_at().fetch_min(1, Ordering::AcqRel);
        }
        if self.boot == UNKNOWN_BOOT || before != self.boot {
            for module in 0..MODULE_COUNT {
                let kept = self.kept(module).load(Ordering::Acquire).min(self.allowed(module));
                let spent = self.spent(module).fetch_max(kept, Ordering::AcqRel);
                self.lost(module).fetch_add(kept.saturating_sub(spent), Ordering::AcqRel);
            }
            // A process that cannot name the start of the machine leaves the name to those that
            // can: to them it is no other start.
            if self.boot != UNKNOWN_BOOT {
                self.file.word64(BOOT).store(self.boot, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Return the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Return what the name of the file means now.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.path, self.identity, FILE_BYTES)
    }

    /// Return whether a process has found that the file has lost its name.
    pub fn is_closed(&self) -> bool {
        self.spent(0).load(Ordering::Acquire) & CLOSED != 0
    }

    /// Allow a file to be used again that has returned under its name.
    fn open_again(&self) {
        (0..MODULE_COUNT)
            .for_each(|module| _ = self.spent(module).fetch_and(!CLOSED, Ordering::AcqRel));
    }

    /// Return the file that has the name now, with everything that this one knows, which has lost
    /// its name. Create it if there is none.
    ///
    /// # Errors
    /// Fails if the file cannot be created. Nothing is spent until this is tried again.
    pub fn carry(&self) -> Result<Self> {
        let failed = |e: io::Error| Error::state(&self.path, "make again", &e);
        let spent: [u64; MODULE_COUNT] = std::array::from_fn(|module| {
            self.spent(module).fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED
        });
        let unfinished = draft_of(&self.path);
        let made = self.write_to(&unfinished, &spent).and_then(|()| {
            disk::allows(Use::Rename)?;
            rename_to_new(&unfinished, &self.path)
        });
        let _ = fs::remove_file(&unfinished);
        match made {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
            _ => {}
        }
        let this = Self::map(self.boot, self.path.clone())?;
        this.take_over(self, &spent);
        sync_folder(&self.path).map_err(failed)?;
        this.make_durable()?;
        Ok(this)
    }

    fn write_to(&self, path: &Path, spent: &[u64; MODULE_COUNT]) -> io::Result<()> {
        let file = new_file(path)?;
        disk::allows(Use::Grow)?;
        let mapped = MappedFile::create(&file, FILE_BYTES)?;
        for at in (0..FILE_BYTES).step_by(8) {
            mapped
                .word64(at)
                .store(self.file.word64(at).load(Ordering::Acquire), Ordering::Relaxed);
        }
        for (module, spent) in spent.iter().enumerate() {
            mapped.word64(MODULES + module * MODULE_BYTES + 8).store(*spent, Ordering::Relaxed);
        }
        disk::allows(Use::Sync)?;
        mapped.make_durable()
    }

    /// Merge what the previous file knows: another process may have created this one and known
    /// less.
    fn take_over(&self, before: &Self, spent: &[u64; MODULE_COUNT]) {
        let word = |of: &Self, at| of.file.word64(at).load(Ordering::Acquire);
        if word(self, 0) != MAGIC {
            self.file.word64(WHOSE).store(word(before, WHOSE), Ordering::Release);
            self.file.word64(BOOT).store(word(before, BOOT), Ordering::Release);
            self.file.word64(0).store(MAGIC, Ordering::Release);
        }
        let serial = word(before, SERIAL);
        let is_newer = self.file.word64(SERIAL).fetch_max(serial, Ordering::AcqRel) < serial;
        for (module, spent) in spent.iter().enumerate() {
            self.spent(module).fetch_max(*spent, Ordering::AcqRel);
            self.lost(module)
                .fetch_max(before.lost(module).load(Ordering::Acquire), Ordering::AcqRel);
            if is_newer {
                self.word(module, 0).store(before.allowed(module), Ordering::Release);
            }
        }
    }

    /// Raise `kept` before it is used up, so that a thread which spends does not wait for the disk.
    /// The next call that needs more tries again what fails here.
    pub fn keep_ahead(&self) {
        for module in 0..MODULE_COUNT {
            let spent = self.spent(module).load(Ordering::Acquire);
            let (kept, allowed) = (self.kept(module).load(Ordering::Acquire), self.allowed(module));
            let more = self.margin(allowed.saturating_sub(spent));
            if spent > 0
                && spent & CLOSED == 0
                && kept < allowed
                && kept.saturating_sub(spent) < more / 2
            {
                let _ = self.keep(module, spent);
            }
        }
    }

    /// Take over the allowances of a grant, unless it is older than what is known. `unreported`
    /// returns how much was counted of a module that the server has not recorded. It is called when
    /// the file was lost.
    ///
    /// # Errors
    /// Fails if the numbers cannot be made durable.
    pub fn grant(
        &self,
        serial: u32,
        allowances: &[CountAllowance],
        now_ms: u64,
        unreported: impl Fn(u32) -> u64,
    ) -> Result<()> {
        let _changing = self.changing.lock();
        let known = self.file.word64(SERIAL).fetch_max(u64::from(serial), Ordering::AcqRel);
        if known > u64::from(serial) {
            return Ok(());
        }
        let lost_at = self.lost_at().load(Ordering::Acquire);
        // The grant of the program that found the file lost says nothing new.
        let is_news = known != 0 && known < u64::from(serial);
        let mends = lost_at != 0 && is_news && now_ms.saturating_sub(lost_at) >= MOURNING_MS;
        for module in 0..MODULE_COUNT {
            let granted = allowances.iter().find(|allowance| allowance.module as usize == module);
            let (allowed, used) =
                granted.map_or((0, 0), |allowance| (allowance.allowed, allowance.used));
            if mends {
                let unreported = unreported(module as u32);
                let spent = used.saturating_add(unreported);
                self.spent(module).store(spent, Ordering::Release);
                self.kept(module).store(spent, Ordering::Release);
                // The server may know a part of it already: the next grant must bring that much
                // more.
                self.lost(module).store(unreported, Ordering::Release);
            } else {
                let spent = if lost_at == 0 { used } else { allowed };
                self.spent(module).fetch_max(spent, Ordering::AcqRel);
            }
            self.word(module, 0).store(allowed, Ordering::Release);
        }
        if mends {
            self.lost_at().store(0, Ordering::Release);
        }
        self.make_durable()
    }

    /// End all spending: what is left is given back to the server.
    pub fn forgo(&self) {
        let _changing = self.changing.lock();
        for module in 0..MODULE_COUNT {
            let spent = self.spent(module).load(Ordering::Acquire) & !CLOSED;
            self.word(module, 0).store(spent, Ordering::Release);
        }
    }

    /// Spend `n` of a module, before they are counted.
    ///
    /// # Errors
    /// Returns -20120 if the allowance is too small, or an error if the disk cannot keep the
    /// numbers. Nothing is spent then.
    pub fn spend(&self, module: u32, n: u64) -> Result<()> {
        let module = module as usize;
        if module >= MODULE_COUNT {
            return Err(none_left(n));
        }
        let spent = self.spent(module);
        let mut now = spent.load(Ordering::Acquire);
        loop {
            let next = now.saturating_add(n);
            if next > self.allowed(module) {
                return Err(if now & CLOSED == 0 { none_left(n) } else { self.is_replaced() });
            }
            if next > self.kept(module).load(Ordering::Acquire) {
                self.keep(module, next)?;
                now = spent.load(Ordering::Acquire);
                continue;
            }
            match spent.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(other) => now = other,
            }
        }
    }

    /// Take back what was spent for a count that could not be kept.
    pub fn take_back(&self, module: u32, n: u64) {
        if (module as usize) < MODULE_COUNT {
            self.spent(module as usize).fetch_sub(n, Ordering::AcqRel);
        }
    }

    /// Return whether any module that the grant allows has less than half of its share left. The
    /// share is what the grant brought, minus what was lost.
    pub fn runs_low(&self, allowances: &[CountAllowance]) -> bool {
        allowances.iter().filter(|allowance| (allowance.module as usize) < MODULE_COUNT).any(
            |allowance| {
                let module = allowance.module as usize;
                let brought = allowance.allowed.saturating_sub(allowance.used);
                let of_use = brought.saturating_sub(self.lost(module).load(Ordering::Relaxed));
                let spent = self.spent(module).load(Ordering::Relaxed) & !CLOSED;
                let left = allowance.allowed.saturating_sub(spent);
                brought > 0 && left < of_use.div_ceil(2).max(1)
            },
        )
    }

    /// Return what the next grant must allow at least, beyond what the server knows to be used, so
    /// that the refused amount can be counted. What was lost is added, because it uses up a part of
    /// the grant.
    pub fn needed(&self, refused: u64) -> u64 {
        let lost = (0..MODULE_COUNT).map(|module| self.lost(module).load(Ordering::Relaxed)).max();
        match lost {
            None | Some(0) => refused,
            Some(lost) => lost.saturating_add(refused.max(KEPT_MIN)),
        }
    }

    /// Keep no more than is spent, so that the next start of the machine loses nothing. The last
    /// program of the device calls this while it spends nothing.
    pub fn settle(&self) {
        let _changing = self.changing.lock();
        for module in 0..MODULE_COUNT {
            let spent = self.spent(module).load(Ordering::Acquire) & !CLOSED;
            self.kept(module).store(spent, Ordering::Release);
        }
        // If this cannot be made durable, the next start loses no more than it would have lost
        // without this call.
        let _ = self.make_durable();
    }

    /// Raise `kept` of a module to at least `wanted`.
    fn keep(&self, module: usize, wanted: u64) -> Result<()> {
        // A count waits for the disk here, in a thread of the host.
        let _uncanceled = Uncanceled::hold();
        let _changing = self.changing.lock();
        let allowed = self.allowed(module);
        let more = self.margin(allowed.saturating_sub(wanted));
        self.kept(module).fetch_max(wanted.saturating_add(more), Ordering::AcqRel);
        self.make_durable()
    }

    /// Return how much more than requested is kept, out of what is left.
    fn margin(&self, left: u64) -> u64 {
        // If starts of the machine cannot be distinguished, all of `kept` counts as spent when the
        // next program begins.
        match self.boot {
            UNKNOWN_BOOT => 0,
            _ => (left / KEPT_FRACTION).max(KEPT_MIN).min(left),
        }
    }

    fn is_replaced(&self) -> Error {
        let message = format!(
            "{} was deleted or replaced while it was in use, and is being created again: count \
             again in a moment",
            self.path.display()
        );
        Error::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
    }

    fn make_durable(&self) -> Result<()> {
        let failed = |e: io::Error| Error::state(&self.path, "make durable", &e);
        disk::allows(Use::Sync).map_err(failed)?;
        #[cfg(any(test, feature = "kill-points"))]
        super::power_cut::keep_copy(&self.path);
        self.file.make_durable().map_err(failed)
    }

    fn allowed(&self, module: usize) -> u64 {
        self.word(module, 0).load(Ordering::Acquire)
    }

    fn spent(&self, module: usize) -> &AtomicU64 {
        self.word(module, 1)
    }

    fn kept(&self, module: usize) -> &AtomicU64 {
        self.word(module, 2)
    }

    fn lost(&self, module: usize) -> &AtomicU64 {
        self.word(module, 3)
    }

    fn lost_at(&self) -> &AtomicU64 {
        self.file.word64(LOST_AT)
    }

    fn word(&self, module: usize, number: usize) -> &AtomicU64 {
        self.file.word64(MODULES + module * MODULE_BYTES + number * 8)
    }
}

fn map(path: &Path) -> io::Result<(MappedFile, File)> {
    let file = file_made_if_missing(path, OpenOptions::new().read(true).write(true))?;
    let mapped = match file.metadata()?.len() < FILE_BYTES as u64 {
        true => disk::allows(Use::Grow).and_then(|()| MappedFile::create(&file, FILE_BYTES)),
        false => MappedFile::open(&file, FILE_BYTES),
    };
    Ok((mapped?, file))
}

fn none_left(n: u64) -> Error {
    Error::new(
        ErrorCode::USED_UP,
        format!(
            "the license is strict, and {n} more are not set aside for this device now; the \
             license server is asked for \
             them in the background"
        ),
    )
}

/// Return a digest that distinguishes one boot of the machine from another.
fn boot_digest(boot_id: &str) -> u64 {
    if boot_id.is_empty() { UNKNOWN_BOOT } else { digest(boot_id) }
}

/// Return a digest of `name`, which is never 0.
fn digest(name: &str) -> u64 {
    u64::from_str_radix(&digest_hex(name.as_bytes())[..16], 16).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000;

    fn allowance(module: u32, allowed: u64, used: u64) -> CountAllowance {
        CountAllowance { module, allowed, used }
    }

    fn open(folder: &tempfile::TempDir) -> SpentAllowance {
        open_as("uuid", folder)
    }

    fn open_as(uuid: &str, folder: &tempfile::TempDir) -> SpentAllowance {
        SpentAllowance::open(folder.path(), "item", uuid, NOW_MS, || false).unwrap()
    }

    fn spend_all(of: &SpentAllowance, module: u32) -> u64 {
        (0..).take_while(|_| of.spend(module, 1).is_ok()).count() as u64
    }

    #[test]
    fn no_more_is_spent_than_allowed_whoever_spends() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        assert_eq!(of.spend(0, 1).unwrap_err().code, ErrorCode::USED_UP, "nothing was granted yet");
        of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
        let total: u64 = std::thread::scope(|scope| {
            let spenders: Vec<_> = (0..4)
                .map(|_| {
                    // Each thread has a mapping of its own, as processes have.
                    let of = open(&folder);
                    scope.spawn(move || spend_all(&of, 0))
                })
                .collect();
            spenders.into_iter().map(|spender| spender.join().unwrap()).sum()
        });
        assert_eq!(total, 1_000);
        of.take_back(0, 3);
        assert!(of.spend(0, 4).is_err());
        assert!(of.spend(0, 3).is_ok());
        assert!(of.spend(4, 1).is_err(), "another module");
        assert!(of.spend(99, 1).is_err(), "no module");
    }

    #[test]
    fn a_newer_grant_wins_and_an_older_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        of.grant(5, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
        of.grant(4, &[allowance(0, 99, 0)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&of, 0), 10);
        of.grant(6, &[allowance(0, 15, 12)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&of, 0), 3, "the server knows of 12");
    }

    #[test]
    fn after_a_power_cut_what_was_kept_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 1).unwrap();
        // The disk has `kept`, and of `spent` what it had at the last wait: nothing here. The boot
        // changes, too.
        of.spent(0).store(0, Ordering::Relaxed);
        of.file.word64(BOOT).fetch_xor(1, Ordering::Relaxed);
        let kept = 1 + 999 / KEPT_FRACTION;
        assert_eq!(spend_all(&open(&folder), 0), 1_000 - kept);
    }

    #[test]
    fn whatever_power_cuts_cost_is_asked_for_so_that_none_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let (mut allowed, mut used, mut serial) = (100, 0, 1);
        for boot in 1..200 {
            let of = SpentAllowance::open_in(boot, folder.path(), "item", "uuid", NOW_MS, || false)
                .unwrap();
            of.grant(serial, &[allowance(0, allowed, used)], NOW_MS, |_| 0).unwrap();
            if of.spend(0, 5).is_err() {
                // A server with enough left grants this much.
                allowed = allowed.max(used + of.needed(5));
                serial += 1;
                let granted = [allowance(0, allowed, used)];
                of.grant(serial, &granted, NOW_MS, |_| 0).unwrap();
                assert!(!of.runs_low(&granted) || of.needed(5) > 5);
                of.spend(0, 5).unwrap();
            }
            used += 5;
        }
    }

    #[test]
    fn after_a_clean_end_the_next_start_of_the_machine_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let boot = |boot| {
            SpentAllowance::open_in(boot, folder.path(), "item", "uuid", NOW_MS, || false).unwrap()
        };
        let of = boot(1);
        of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 10).unwrap();
        of.settle();
        let next = boot(2);
        assert_eq!((next.needed(3), spend_all(&next, 0)), (3, 990));
    }

    /// Open the file as a program that finds it lost, under the grant of this serial.
    fn open_after_loss(folder: &tempfile::TempDir, serial: u32) -> SpentAllowance {
        let of = SpentAllowance::open(folder.path(), "item", "uuid", NOW_MS, || true).unwrap();
        of.grant(serial, &[allowance(0, 10, 2)], NOW_MS, |_| 7).unwrap();
        of
    }

    #[test]
    fn a_lost_file_counts_as_all_spent_until_a_later_grant_tells_how_much_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let of = open_after_loss(&folder, 4);
        assert!(of.runs_low(&[allowance(0, 10, 2)]), "so the server is asked");
        assert_eq!(spend_all(&of, 0), 0);
        let unreported = |_| 5;
        of.grant(5, &[allowance(0, 10, 4)], NOW_MS + 1, unreported).unwrap();
        assert_eq!(spend_all(&of, 0), 0, "another program may spend by the lost file");
        let again = open_after_loss(&folder, 5);
        assert_eq!(spend_all(&again, 0), 0, "also when it is opened again");
        of.grant(6, &[allowance(0, 20, 4)], NOW_MS + MOURNING_MS, unreported).unwrap();
        assert_eq!(spend_all(&again, 0), 20 - 4 - 5);
    }

    #[test]
    fn a_program_whose_file_was_removed_or_replaced_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        assert_eq!(of.standing(), Standing::Same);
        std::fs::remove_file(folder.path().join("item.spent")).unwrap();
        assert_eq!(of.standing(), Standing::Lost);
        let next = open(&folder);
        assert_eq!((next.standing(), of.standing()), (Standing::Same, Standing::Lost));
    }

    #[test]
    fn after_what_is_left_was_given_back_nothing_can_be_spent_before_the_next_grant() {
        let folder = tempfile::tempdir().unwrap();
        let (last, forgotten) = (open(&folder), open(&folder));
        last.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
        forgotten.spend(0, 3).unwrap();
        last.forgo();
        assert_eq!(forgotten.spend(0, 1).unwrap_err().code, ErrorCode::USED_UP);
        last.grant(2, &[allowance(0, 10, 3)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&forgotten, 0), 7);
    }

    #[test]
    fn a_torn_or_foreign_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("item.spent"), vec![7; FILE_BYTES]).unwrap();
        open(&folder).grant(1, &[allowance(0, 5, 0)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&open(&folder), 0), 5);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn under_another_uuid_as_much_is_spent_as_that_is_granted_whatever_was_spent_before() {
        let folder = tempfile::tempdir().unwrap();
        let before = open(&folder);
        before.grant(9, &[allowance(0, 500, 0)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&before, 0), 500);
        let fresh = open_as("fresh", &folder);
        assert!(fresh.spend(0, 1).is_err(), "nothing was granted yet");
        fresh.grant(1, &[allowance(0, 200, 0)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&open_as("fresh", &folder), 0), 200);
        assert!(fresh.spend(0, 1).is_err() && before.spend(0, 1).is_err());
    }

    #[test]
    fn what_is_spent_of_a_later_uuid_stays_spent_when_the_file_of_the_first_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder).grant(1, &[allowance(0, 5, 0)], NOW_MS, |_| 0).unwrap();
        let fresh = open_as("fresh", &folder);
        fresh.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
        fresh.spend(0, 8).unwrap();
        std::fs::remove_file(folder.path().join("item.spent")).unwrap();
        assert_eq!(spend_all(&open_as("fresh", &folder), 0), 2);
    }

    #[test]
    fn a_file_that_does_not_tell_whose_it_is_is_that_of_the_present_uuid() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        of.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 8).unwrap();
        of.file.word64(WHOSE).store(0, Ordering::Relaxed);
        assert_eq!(spend_all(&open(&folder), 0), 2);
        let fresh = open_as("fresh", &folder);
        fresh.grant(1, &[allowance(0, 3, 0)], NOW_MS, |_| 0).unwrap();
        assert_eq!(spend_all(&fresh, 0), 3, "it has told since");
    }

    #[test]
    fn a_program_that_cannot_name_the_start_is_no_other_start_for_those_who_can() {
        let folder = tempfile::tempdir().unwrap();
        let open = |boot| {
            SpentAllowance::open_in(boot, folder.path(), "item", "uuid", NOW_MS, || true).unwrap()
        };
        let of = open(1);
        of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
        let lost_at = of.lost_at().load(Ordering::Relaxed);
        assert_ne!(lost_at, 0, "the file was lost, and somebody may still have it mapped");
        for boot in [UNKNOWN_BOOT, 1, UNKNOWN_BOOT] {
            assert_eq!(open(boot).lost_at().load(Ordering::Relaxed), lost_at);
        }
        assert_eq!(of.file.word64(BOOT).load(Ordering::Relaxed), 1);
    }

    #[test]
    fn where_no_boot_is_named_each_program_may_be_the_first_after_a_power_cut_and_nothing_is_lost_by_it()
     {
        let folder = tempfile::tempdir().unwrap();
        let program = || {
            SpentAllowance::open_in(boot_digest(""), folder.path(), "item", "uuid", NOW_MS, || {
                false
            })
            .unwrap()
        };
        let of = program();
        of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 10).unwrap();
        of.spent(0).store(0, Ordering::Relaxed);
        assert_eq!(spend_all(&program(), 0), 990);
    }

    #[test]
    fn what_was_spent_stays_spent_when_the_file_is_deleted_replaced_or_comes_back() {
        let harms: [fn(&Path); 4] = [
            |file| fs::remove_file(file).unwrap(),
            |file| fs::remove_dir_all(file.parent().unwrap()).unwrap(),
            |file| {
                let copy = file.with_extension("copy");
                fs::copy(file, &copy).unwrap();
                fs::rename(copy, file).unwrap();
            },
            |file| {
                fs::remove_file(file).unwrap();
                fs::write(file, vec![7; FILE_BYTES]).unwrap();
            },
        ];
        for harm in harms {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("seats");
            let program =
                || SpentAllowance::open(&folder, "item", "uuid", NOW_MS, || false).unwrap();
            let (one, other) = (program(), program());
            one.grant(1, &[allowance(0, 100, 0)], NOW_MS, |_| 0).unwrap();
            one.spend(0, 10).unwrap();
            harm(&one.path);
            other.spend(0, 5).unwrap();
            assert_ne!(one.standing(), Standing::Same);
            let one = one.carry().unwrap();
            assert_eq!(other.spend(0, 1).unwrap_err().code, ErrorCode::LICENSE_BUFFER_FAILED);
            assert!(other.is_closed());
            one.spend(0, 1).unwrap();
            let other = other.carry().unwrap();
            other.spend(0, 2).unwrap();
            assert_eq!(spend_all(&one, 0) + spend_all(&other, 0), 82);
        }
    }

    #[test]
    fn a_file_that_comes_back_under_its_name_knows_what_was_spent_in_the_one_between() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        of.grant(1, &[allowance(0, 100, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 10).unwrap();
        let aside = folder.path().join("aside");
        fs::rename(&of.path, &aside).unwrap();
        let between = of.carry().unwrap();
        between.spend(0, 30).unwrap();
        fs::rename(&aside, &of.path).unwrap();
        assert_eq!(spend_all(&between.carry().unwrap(), 0), 60);
        assert!(open(&folder).spend(0, 1).is_err());
    }

    #[test]
    fn enough_is_kept_ahead_that_who_spends_does_not_wait_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        of.grant(1, &[allowance(0, 10_000, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 1).unwrap();
        let kept = || of.kept(0).load(Ordering::Relaxed);
        let before = kept();
        of.keep_ahead();
        assert_eq!(kept(), before, "there is enough");
        of.spend(0, before - 10).unwrap();
        assert_eq!(kept(), before);
        of.keep_ahead();
        assert!(kept() > before + 500);
    }

    #[test]
    fn it_runs_low_when_half_of_the_new_part_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        let granted = [allowance(0, 120, 100)];
        of.grant(1, &granted, NOW_MS, |_| 0).unwrap();
        assert!(!of.runs_low(&granted));
        of.spend(0, 11).unwrap();
        assert!(of.runs_low(&granted));
    }
}
