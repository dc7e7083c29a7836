//! The allowances of a device under a strict item, and what of them is spent. Each item has one
//! small file for each UUID that the device has used. All processes of the device map this file.
//!
//! ```text
//! 0x00  magic, version
//! 0x10  serial of the grant that the numbers are from
//! 0x18  digest of the boot in which the file was last used; 0: the system does not name it
//! 0x20  digest of the UUID; 0 if not set yet: the first process that opens the file sets it
//! 0x28  when the file was created in place of a lost one, by the boot clock; 0: nothing is lost
//! 0x40  for each module (0: scans):  allowed | spent | kept | lost | keeping
//!       (five words of 64 bits)
//! ```
//!
//! A count is spent before it is counted, with one atomic exchange, so that two processes can never
//! spend the same allowance. A process that dies in between has spent without a count; a later
//! grant makes up for this. `spent` is in memory that a power cut can take back, and then more work
//! would have been done than the file shows. So `spent` never passes `kept`, and `kept` is on the
//! disk, as `keeping`, before any thread sees it. After a power cut, all of it counts as spent. No
//! file distinguishes a power cut from any other start of the machine, so each start does the same.
//! The exception is a start after the clean end of the device's last program, which keeps no more
//! than is spent. The server never learns of what was lost in this way, so the device names it in
//! each request ([`lost_of`]), and gets its share on top of it.
//!
//! | | |
//! |---|---|
//! | `spent + n ≤ kept` | counted |
//! | `kept < spent + n ≤ allowed` | `keeping` is raised and made durable, then `kept` is raised, then as above |
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

mod lost;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::CountAllowance;
use seatmeter_protocol::page_module::PAGE_MODULES;
use seatmeter_protocol::signature::digest_hex;

use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::files::{FileIdentity, file_made_if_missing, private_file, set_aside_same};
use crate::os::locks::{CHANGING, Mutex};
use crate::os::{MappedFile, Uncanceled, boot_id};

const MAGIC: u64 = u64::from_le_bytes(*b"SMALLOW\x01");
const FILE_BYTES: usize = 4096;
const SERIAL: usize = 0x10;
const BOOT: usize = 0x18;
const WHOSE: usize = 0x20;
const LOST_AT: usize = 0x28;
const MODULES: usize = 0x40;
const MODULE_BYTES: usize = 0x28;
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
    identity: FileIdentity,
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
        let [own, first] = paths(folder, item, whose);
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
                let this = Self::of(boot, path.clone(), &file, mapped).map_err(failed)?;
                this.open_again();
                return Ok(this);
            }
            set_aside_same(&path, &file).map_err(failed)?;
        }
        Err(failed(io::ErrorKind::InvalidData.into()))
    }

    /// Map a file that is there, whatever is in it.
    fn existing(boot: u64, path: PathBuf) -> io::Result<Self> {
        let file = private_file(&path, OpenOptions::new().read(true).write(true))?;
        let mapped = MappedFile::open(&file, FILE_BYTES)?;
        Self::of(boot, path, &file, mapped)
    }

    fn of(boot: u64, path: PathBuf, file: &File, mapped: MappedFile) -> io::Result<Self> {
        let identity = FileIdentity::of(file)?;
        Ok(Self { path, file: mapped, identity, boot, changing: Mutex::default() })
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
                let kept = self.kept(module).load(Ordering::Acquire);
                let kept = kept.max(self.keeping(module).load(Ordering::Acquire));
                let kept = kept.min(self.allowed(module));
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

    /// Allow a file to be used again that has returned under its name.
    fn open_again(&self) {
        (0..MODULE_COUNT)
            .for_each(|module| _ = self.spent(module).fetch_and(!CLOSED, Ordering::AcqRel));
    }

    /// Raise `kept` before it is used up, so that a thread which spends does not wait for the disk.
    /// The next call that needs more tries again what fails here.
    pub fn keep_ahead(&self) {
        for module in 0..MODULE_COUNT {
            let spent = self.spent(module).load(Ordering::Acquire);
            let kept = self.kept(module).load(Ordering::Acquire);
            // Where all that is left is kept already, this is half of it at most.
            let more = self.margin(self.allowed(module).saturating_sub(spent));
            if spent > 0 && spent & CLOSED == 0 && kept.saturating_sub(spent) < more / 2 {
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
                self.keep_only(module, spent);
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

    /// Return whether this much can be spent of any module.
    pub fn allows(&self, n: u64) -> bool {
        (0..MODULE_COUNT).any(|module| {
            let spent = self.spent(module).load(Ordering::Relaxed) & !CLOSED;
            self.allowed(module).saturating_sub(spent) >= n
        })
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

    /// Keep no more than is spent, so that the next start of the machine loses nothing. The last
    /// program of the device calls this while it spends nothing.
    pub fn settle(&self) {
        let _changing = self.changing.lock();
        for module in 0..MODULE_COUNT {
            let spent = self.spent(module).load(Ordering::Acquire) & !CLOSED;
            self.keep_only(module, spent);
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
        let keeping = wanted.saturating_add(more);
        self.keeping(module).fetch_max(keeping, Ordering::AcqRel);
        self.make_durable()?;
        // Another thread or process may spend up to here from now on: the disk has it.
        self.kept(module).fetch_max(keeping, Ordering::AcqRel);
        Ok(())
    }

    /// Lower what is kept of a module to what is spent.
    fn keep_only(&self, module: usize, spent: u64) {
        self.kept(module).store(spent, Ordering::Release);
        self.keeping(module).store(spent, Ordering::Release);
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

    fn keeping(&self, module: usize) -> &AtomicU64 {
        self.word(module, 4)
    }

    fn lost_at(&self) -> &AtomicU64 {
        self.file.word64(LOST_AT)
    }

    fn word(&self, module: usize, number: usize) -> &AtomicU64 {
        self.file.word64(MODULES + module * MODULE_BYTES + number * 8)
    }
}

/// Return what a device with this UUID has lost of its allowances of an item, by module. A device
/// that has no allowances of the item has lost nothing.
pub fn lost_of(folder: &Path, item: &str, device_uuid: &str) -> Vec<(u32, u64)> {
    lost_in(boot_digest(&boot_id()), folder, item, device_uuid)
}

fn lost_in(boot: u64, folder: &Path, item: &str, device_uuid: &str) -> Vec<(u32, u64)> {
    let whose = digest(device_uuid);
    let is_own = |of: &SpentAllowance| {
        let word = |at| of.file.word64(at).load(Ordering::Acquire);
        word(0) == MAGIC && word(WHOSE) == whose
    };
    let existing = |path| SpentAllowance::existing(boot, path).ok().filter(is_own);
    let Some(own) = paths(folder, item, whose).into_iter().find_map(existing) else {
        return Vec::new();
    };
    // The machine may have started since the file was last used. A file that is there needs no
    // disk for this.
    let _ = own.begin(0, || false);
    let lost = |module: usize| (module as u32, own.lost(module).load(Ordering::Acquire));
    (0..MODULE_COUNT).map(lost).filter(|(_, lost)| *lost > 0).collect()
}

/// Return the paths that the file of a UUID can have: that of its own, and that of the first UUID.
fn paths(folder: &Path, item: &str, whose: u64) -> [PathBuf; 2] {
    [format!("{item}.{whose:016x}.spent"), format!("{item}.spent")].map(|name| folder.join(name))
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
mod tests;
