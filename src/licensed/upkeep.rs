//! Checks of the files that a license in use has mapped: counts and spent allowances must be where
//! other processes find them.
//!
//! A separate thread checks the files once a second (`runtime.rs`), and a report checks them before
//! it sends. A count does not: a check waits for the disk, and a count never does. A count reads
//! the result of the last check, in the check of the grant that it makes once a second anyway. If
//! the system had no thread to give, that check of the grant also checks the files.
//!
//! | the check finds | then the next count |
//! |---|---|
//! | every file in its place | counts |
//! | a lost name, and carries the counts into a new file | counts |
//! | a lost name, and cannot carry the counts | fails with -20002, until a check can |
//! | a file cut short: its counts are lost | fails with -20002 once, so that the program learns of it |
//!
//! Counts between the harm and the check are in memory, and are carried with the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use seatmeter_protocol::error_code::ErrorCode;

use super::{Allowance, Licensed};
use crate::error::{Error, Result};
use crate::files::Standing;
use crate::license::Grant;
use crate::log::{Level, say};
use crate::os::Undisturbed;
use crate::os::locks::{CHECKING, Mutex};
use crate::usage::{Carried, CheckedFiles, Durable};

/// The state and the results of the file checks.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// The lock that is held during a check.
    checking: Mutex<(), CHECKING>,
    /// Whether a thread checks once a second.
    is_watched: AtomicBool,
    /// Whether there is trouble: a count then need not lock to learn that there is none.
    has_trouble: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    /// The number of repairs of the seat pool that were logged.
    repairs_said: AtomicUsize,
}

/// The reason why the next count fails.
#[derive(Debug)]
enum Trouble {
    /// The error lasts until the next check that finds none.
    Lasting(Error),
    /// The error is returned once: it is over, and something is lost.
    Past(Error),
}

impl Licensed {
    /// Do the same as [`Self::check_files`], in the thread that checks once a second.
    pub fn watch(&self) {
        self.upkeep.is_watched.store(true, Ordering::Relaxed);
        self.check_files();
    }

    /// Note that no thread checks once a second any more.
    pub fn end_watch(&self) {
        self.upkeep.is_watched.store(false, Ordering::Relaxed);
    }

    /// Check whether every mapped file is the one that its name means, and create it again if it is
    /// not.
    pub fn check_files(&self) {
        let _checking = self.upkeep.checking.lock();
        self.check_files_now();
    }

    /// Make durable what was counted here and is not acknowledged.
    pub fn make_durable(&self, durable: &Durable) {
        self.counter.make_durable(durable);
    }

    fn check_files_now(&self) {
        // If no thread watches, a count does this, in a thread of the host.
        let _undisturbed = Undisturbed::hold();
        let mut checked = self.counter.check_files();
        checked
            .carried
            .iter()
            .for_each(|carried| say(Level::Warning, format_args!("{}", line_of(carried))));
        if let Some(allowance) = &self.allowance {
            match allowance.check_file(&self.grant()) {
                Ok(None) => {}
                Ok(Some(line)) => say(Level::Warning, format_args!("{line}")),
                Err(error) => checked.failed = Some(error),
            }
        }
        if self.note(&checked)
            && let Some(error) = &checked.failed
        {
            say(Level::Error, format_args!("{error}"));
        }
        self.say_repairs();
    }

    /// Make the next count return the result of a check. Return whether a new failure was found.
    fn note(&self, checked: &CheckedFiles) -> bool {
        let cut = checked.carried.iter().find(|carried| matches!(carried, Carried::Cut { .. }));
        let mut trouble = self.upkeep.trouble.lock();
        let is_new = checked.failed.is_some() && !matches!(*trouble, Some(Trouble::Lasting(_)));
        match (&checked.failed, cut) {
            (Some(error), _) => *trouble = Some(Trouble::Lasting(error.clone())),
            (None, Some(cut)) => {
                let error = Error::new(ErrorCode::LICENSE_BUFFER_FAILED, line_of(cut));
                *trouble = Some(Trouble::Past(error));
            }
            (None, None) if matches!(*trouble, Some(Trouble::Lasting(_))) => *trouble = None,
            (None, None) => {}
        }
        if trouble.is_some() && !self.upkeep.has_trouble.swap(true, Ordering::Release) {
            self.slots.forget();
        }
        is_new
    }

    /// Check once a second, before something is counted, that counting is allowed.
    ///
    /// # Errors
    /// Returns the same errors as [`Licensed::moment`].
    pub(super) fn check_to_count(&self, now: u64) -> Result<()> {
        self.check_at(now)?;
        let upkeep = &self.upkeep;
        if !upkeep.is_watched.load(Ordering::Relaxed)
            && let Some(_checking) = upkeep.checking.try_lock()
        {
            self.check_files_now();
        }
        if !upkeep.has_trouble.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut trouble = upkeep.trouble.lock();
        let is_lasting = matches!(*trouble, Some(Trouble::Lasting(_)));
        upkeep.has_trouble.store(is_lasting, Ordering::Release);
        match if is_lasting { None } else { trouble.take() } {
            Some(Trouble::Past(error)) => Err(error),
            _ => match &*trouble {
                Some(Trouble::Lasting(error)) => Err(error.clone()),
                _ => Ok(()),
            },
        }
    }

    /// Log what was repaired in the seat pool since the last check.
    fn say_repairs(&self) {
        let Some(pool) = &self.pool else { return };
        let repairs = pool.repairs();
        let said = self.upkeep.repairs_said.swap(repairs.len(), Ordering::Relaxed);
        // The newest repairs come first.
        let news = repairs.len().saturating_sub(said);
        repairs[..news]
            .iter()
            .rev()
            .for_each(|repair| say(Level::Warning, format_args!("{repair}")));
    }
}

impl Allowance {
    /// Check the file, and raise `kept` ahead of what is spent. Return a line for the log if the
    /// file was created again.
    fn check_file(&self, grant: &Grant) -> Result<Option<String>> {
        let now = self.now();
        let anew = match now.standing() {
            Standing::Same if !now.is_closed() => {
                now.keep_ahead();
                return Ok(None);
            }
            // Its content is gone: it begins like a file that was lost before this program started.
            Standing::Short(_) => self.open_for(grant)?,
            Standing::Same | Standing::Lost => now.carry()?,
        };
        let line = format!(
            "{} was deleted, replaced or cut short while in use: it is created again",
            anew.path().display()
        );
        let mut spent = self.spent.write();
        // The new file is used unless the device has taken another UUID meanwhile.
        if Arc::ptr_eq(&spent, &now) {
            *spent = Arc::new(anew);
        }
        drop(spent);
        Ok(Some(line))
    }
}

fn line_of(carried: &Carried) -> String {
    match carried {
        Carried::Whole { path } => format!(
            "{} was deleted, renamed or replaced while counts were written to it: it is \
             created again, and nothing is lost",
            path.display()
        ),
        Carried::Cut { path } => format!(
            "{} was cut short while counts were written to it: its counts since the last \
             report are lost. Keep other programs from writing to the state directory",
            path.display()
        ),
    }
}
