//! Looking after the files that a license in use has mapped: what was counted or spent must be
//! where others find it.
//!
//! A thread of its own looks once a second (`runtime.rs`), and whoever reports looks before. Who
//! counts does not: a look asks the disk, and counting waits for no disk. It reads what the look
//! has found, in the check that it makes once a second anyway. Only where no such thread looks,
//! because the system had none to give, does that check look itself.
//!
//! | the look finds | then the next count |
//! |---|---|
//! | every file in its place | counts |
//! | a name lost, and carries what was counted into a new file | counts |
//! | a name lost, and cannot carry it | fails with -20002, until a look can |
//! | a file cut short: what was in it is lost | fails with -20002, once, so that the program hears of it |
//!
//! What was counted between the harm and the look is in memory, and is carried with the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use seatmeter_protocol::error_code::ErrorCode;

use super::{Allowance, Licensed};
use crate::error::{Error, Result};
use crate::files::Standing;
use crate::license::Grant;
use crate::log::{Level, say};
use crate::os::Undisturbed;
use crate::os::locks::Mutex;
use crate::usage::{Carried, Durable, Looked};

/// What looking after files has come to.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// Held by who looks.
    looking: Mutex<()>,
    /// Whether a thread looks once a second.
    is_watched: AtomicBool,
    /// Whether there is trouble: so that who counts need not lock to know that there is none.
    has_trouble: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    /// Repairs of the seat pool that were said.
    repairs_said: AtomicUsize,
}

/// Why the next count fails.
#[derive(Debug)]
enum Trouble {
    /// Until the next look that finds none.
    Lasting(Error),
    /// Once: it is over, and something is lost.
    Past(Error),
}

impl Licensed {
    /// As [`Self::look`], by the thread that does so once a second.
    pub fn watch(&self) {
        self.upkeep.is_watched.store(true, Ordering::Relaxed);
        self.look();
    }

    /// No thread looks once a second any more.
    pub fn end_watch(&self) {
        self.upkeep.is_watched.store(false, Ordering::Relaxed);
    }

    /// Looks whether every mapped file is the one that its name means, and makes it again where it
    /// is not.
    pub fn look(&self) {
        let _looking = self.upkeep.looking.lock();
        self.look_now();
    }

    /// Makes durable what was counted here and is not acknowledged.
    pub fn make_durable(&self, durable: &Durable) {
        self.counter.make_durable(durable);
    }

    fn look_now(&self) {
        // Where no thread watches, a count does this, in a thread of the host's.
        let _undisturbed = Undisturbed::hold();
        let mut looked = self.counter.look();
        looked
            .carried
            .iter()
            .for_each(|carried| say(Level::Warning, format_args!("{}", line_of(carried))));
        if let Some(allowance) = &self.allowance {
            match allowance.look(&self.grant()) {
                Ok(None) => {}
                Ok(Some(line)) => say(Level::Warning, format_args!("{line}")),
                Err(error) => looked.failed = Some(error),
            }
        }
        if self.note(&looked)
            && let Some(error) = &looked.failed
        {
            say(Level::Error, format_args!("{error}"));
        }
        self.say_repairs();
    }

    /// Lets the next count hear of what a look has found; says whether it is news that something
    /// has failed.
    fn note(&self, looked: &Looked) -> bool {
        let cut = looked.carried.iter().find(|carried| matches!(carried, Carried::Cut { .. }));
        let mut trouble = self.upkeep.trouble.lock();
        let is_new = looked.failed.is_some() && !matches!(*trouble, Some(Trouble::Lasting(_)));
        match (&looked.failed, cut) {
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

    /// What is asked once a second before something is counted.
    ///
    /// # Errors
    /// As [`Licensed::moment`].
    pub(super) fn check_to_count(&self, now: u64) -> Result<()> {
        self.check_at(now)?;
        let upkeep = &self.upkeep;
        if !upkeep.is_watched.load(Ordering::Relaxed)
            && let Some(_looking) = upkeep.looking.try_lock()
        {
            self.look_now();
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

    /// Says what was put right in the seat pool since the last look.
    fn say_repairs(&self) {
        let Some(pool) = &self.pool else { return };
        let repairs = pool.repairs();
        let said = self.upkeep.repairs_said.swap(repairs.len(), Ordering::Relaxed);
        // The newest come first.
        let news = repairs.len().saturating_sub(said);
        repairs[..news]
            .iter()
            .rev()
            .for_each(|repair| say(Level::Warning, format_args!("{repair}")));
    }
}

impl Allowance {
    /// Looks after the file, and keeps ahead of what is spent; a line when it was made again.
    fn look(&self, grant: &Grant) -> Result<Option<String>> {
        let now = self.now();
        let anew = match now.standing() {
            Standing::Same if !now.is_closed() => {
                now.keep_ahead();
                return Ok(None);
            }
            // What it said is gone: it begins as one that was lost before this program came.
            Standing::Short(_) => self.open_for(grant)?,
            Standing::Same | Standing::Lost => now.carry()?,
        };
        let line = format!(
            "{} was deleted, replaced or cut short while in use: it is made again",
            anew.path().display()
        );
        let mut spent = self.spent.write();
        // Unless the device has taken another UUID meanwhile.
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
            "{} was deleted, renamed or replaced while it was counted into: it is made again, and \
             nothing is lost",
            path.display()
        ),
        Carried::Cut { path } => format!(
            "{} was cut short while it was counted into: what it had counted since the last \
             report is lost. Keep other \
             programs from writing to the state directory",
            path.display()
        ),
    }
}
