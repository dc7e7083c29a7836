//! Long work that somebody has begun on a page: its kind, its progress and its outcome.
//!
//! ```text
//! (nothing) ──begin──▶ running ──end──▶ done or failed ──begin──▶ running
//! ```
//!
//! Work that panics has failed, too: its task drops what `begin` has returned.
//!
//! The work continues when the browser leaves. A restart of the server ends it without a trace: the
//! audit log has only work that was finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::data_dir::DRAFT;
use crate::error::Error;

/// A kind of long work. Only one work of a kind runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A backup into the data directory.
    Backup,
    /// A check of all data.
    Check,
    /// The import of a license file.
    Import,
}

/// A piece of work that runs or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The begin, Unix seconds.
    pub begun_at: u64,
    /// The file that is written.
    pub file: Option<PathBuf>,
    /// The organization to which the person who began it is bound, if any.
    pub owner: Option<String>,
    /// `None` while it runs.
    pub outcome: Option<Outcome>,
}

/// The faults or warnings that were found, or why the work failed.
pub type Outcome = Result<Vec<String>, String>;

impl Run {
    /// Return work that begins now, writes no file, and is of nobody who is bound.
    #[must_use]
    pub fn at(now: u64) -> Self {
        Self { begun_at: now, file: None, owner: None, outcome: None }
    }

    /// Return how many bytes are written so far; `None` when the work writes no file.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        self.file.as_deref().map(draft_bytes)
    }
}

/// Work that runs. It has failed if this is dropped before its end is noted.
#[must_use]
#[derive(Debug)]
pub struct Running {
    all: Arc<LongWork>,
    kind: Kind,
    is_ended: bool,
}

impl Running {
    /// Note how the work has ended.
    pub fn end(mut self, outcome: Outcome) {
        self.is_ended = true;
        self.all.end(self.kind, outcome);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_ended {
            let why = "a fault of the server has ended this work, and the log names it: try again";
            self.all.end(self.kind, Err(why.to_owned()));
        }
    }
}

/// The newest piece of work of each kind.
#[derive(Debug, Default)]
pub struct LongWork {
    backup: Mutex<Option<Run>>,
    check: Mutex<Option<Run>>,
    import: Mutex<Option<Run>>,
}

impl LongWork {
    /// Note that work begins. The task of the work keeps what is returned, and ends it.
    ///
    /// # Errors
    /// Fails while work of this kind runs.
    pub fn begin(self: &Arc<Self>, kind: Kind, next: Run) -> Result<Running, Error> {
        let mut run = self.of(kind).lock();
        if let Some(Run { begun_at, outcome: None, .. }) = &*run {
            let (what, since) = (kind.noun(), crate::utc::text(*begun_at));
            return Err(Error::conflict(format!(
                "{what} has been running since {since}: wait until it ends"
            )));
        }
        *run = Some(next);
        Ok(Running { all: self.clone(), kind, is_ended: false })
    }

    fn end(&self, kind: Kind, outcome: Outcome) {
        if let Some(run) = &mut *self.of(kind).lock() {
            run.outcome = Some(outcome);
        }
    }

    /// Forget the outcome of the work, because the person who began it has seen it.
    pub fn forget(&self, kind: Kind) {
        *self.of(kind).lock() = None;
    }

    /// Return the newest piece of work of this kind.
    #[must_use]
    pub fn newest(&self, kind: Kind) -> Option<Run> {
        self.of(kind).lock().clone()
    }

    fn of(&self, kind: Kind) -> &Mutex<Option<Run>> {
        match kind {
            Kind::Backup => &self.backup,
            Kind::Check => &self.check,
            Kind::Import => &self.import,
        }
    }
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Backup => "a backup",
            Self::Check => "a check",
            Self::Import => "an import",
        }
    }
}

/// Return the size of a file that is not complete, which stands beside its later place.
fn draft_bytes(file: &Path) -> u64 {
    let name = format!("{}{DRAFT}", file.file_name().unwrap_or_default().to_string_lossy());
    let entries = file.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let drafts = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&name));
    drafts.filter_map(|entry| Some(entry.metadata().ok()?.len())).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_of_work_of_a_kind_runs_at_a_time() {
        let work = Arc::new(LongWork::default());
        assert_eq!(work.newest(Kind::Backup), None);
        let backup = work.begin(Kind::Backup, Run::at(1_795_586_400)).unwrap();
        let told = work.begin(Kind::Backup, Run::at(1_795_586_401)).unwrap_err().to_string();
        assert!(told.contains("since 2026-11-25T06:00:00Z"), "{told}");
        let _check = work.begin(Kind::Check, Run::at(5)).unwrap();
        backup.end(Err("the disk is full".into()));
        let run = work.newest(Kind::Backup).unwrap();
        assert_eq!(run.outcome, Some(Err("the disk is full".into())));
        let _next = work.begin(Kind::Backup, Run::at(7)).unwrap();
        assert_eq!(work.newest(Kind::Backup).unwrap().outcome, None);
    }

    #[test]
    fn work_that_panics_has_failed_and_can_be_begun_again() {
        let work = Arc::new(LongWork::default());
        let check = work.begin(Kind::Check, Run::at(5)).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _check = check;
            panic!("a fault of the check");
        }));
        panicked.unwrap_err();
        let why = work.newest(Kind::Check).unwrap().outcome.unwrap().unwrap_err();
        assert!(why.contains("a fault of the server"), "{why}");
        work.begin(Kind::Check, Run::at(6)).unwrap().end(Ok(Vec::new()));
    }

    #[test]
    fn the_bytes_of_a_backup_are_those_of_its_draft() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.backup");
        let run = Run { file: Some(file.clone()), ..Run::at(0) };
        assert_eq!(run.written(), Some(0));
        std::fs::write(folder.path().join(format!("a.backup{DRAFT}x1")), [0; 700]).unwrap();
        std::fs::write(folder.path().join(format!("b.backup{DRAFT}x2")), [0; 90]).unwrap();
        assert_eq!(run.written(), Some(700));
        assert_eq!(Run { file: None, ..run }.written(), None);
    }
}
