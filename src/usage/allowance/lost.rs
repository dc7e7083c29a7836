//! An allowance whose file has lost its name, and what its processes do then.
//!
//! A file that loses its name while it is mapped is created again. The first process that notices
//! closes the old file by the highest bit of each `spent`, and no process spends from it any more.
//! The numbers below that bit are merged into the file that has the name then. This can be repeated
//! at will, because the greater number counts.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use seatmeter_protocol::error_code::ErrorCode;

use super::{
    BOOT, CLOSED, FILE_BYTES, MAGIC, MODULE_BYTES, MODULE_COUNT, MODULES, SERIAL, SpentAllowance,
    WHOSE,
};
use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::files::{Standing, new_file, sync_folder};
use crate::os::{MappedFile, draft_of, rename_to_new};

impl SpentAllowance {
    /// Return what the name of the file means now.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.path, self.identity, FILE_BYTES)
    }

    /// Return whether a process has found that the file has lost its name.
    pub fn is_closed(&self) -> bool {
        self.spent(0).load(Ordering::Acquire) & CLOSED != 0
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

    pub(super) fn is_replaced(&self) -> Error {
        let message = format!(
            "{} was deleted or replaced while it was in use, and is being created again: count \
             again in a moment",
            self.path.display()
        );
        Error::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
    }
}
