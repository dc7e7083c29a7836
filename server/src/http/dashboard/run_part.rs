//! The part of a page about long work: its progress, or its outcome.

use std::time::Duration;

use askama::Template;

use super::frame::{grouped, minute};
use super::messages::Messages;
use crate::http::long_work::Run;

/// The time for which a form waits for long work. What takes longer shows how far it is.
pub(super) const SHORT_WORK: Duration = Duration::from_secs(1);

/// The part of a page about long work.
#[derive(Template)]
#[template(path = "run.html")]
pub(super) struct RunPart {
    pub(super) is_running: bool,
    begun: String,
    /// The share that is done, in percent; `None` when nobody can tell.
    percent: Option<u64>,
    written: Option<String>,
    is_done: bool,
    /// Whether it went well, and found nothing, once it has ended.
    is_good: bool,
    /// Whether it can go well, and have warnings nevertheless.
    has_warnings: bool,
    sentences: Vec<String>,
    t: &'static Messages,
    /// The name of the work.
    what: &'static str,
    /// The message after a success.
    good: &'static str,
}

impl RunPart {
    /// Make the part of a run. `expected` is the size of what it writes, in bytes.
    pub(super) fn new(
        t: &'static Messages,
        run: &Run,
        (what, good): (&'static str, &'static str),
        expected: Option<u64>,
    ) -> Self {
        let written = run.written().filter(|_| run.outcome.is_none());
        let share = |(written, expected): (u64, u64)| {
            u128::from(written) * 100 / u128::from(expected.max(1))
        };
        // The end is not reached before the file is at its place.
        let percent = written.zip(expected).map(share).map(|percent| percent.min(99) as u64);
        Self {
            is_running: run.outcome.is_none(),
            begun: minute(run.begun_at),
            percent,
            written: written.map(|bytes| format!("{} MiB", grouped(bytes >> 20))),
            is_done: matches!(run.outcome, Some(Ok(_))),
            is_good: run.outcome.as_ref().is_some_and(|o| o.as_ref().is_ok_and(Vec::is_empty)),
            has_warnings: false,
            sentences: match &run.outcome {
                Some(Ok(faults)) => faults.clone(),
                Some(Err(why)) => vec![why.clone()],
                None => Vec::new(),
            },
            t,
            what,
            good,
        }
    }

    /// Let what was found mean warnings of work that went well.
    pub(super) fn good_with_warnings(self) -> Self {
        Self { has_warnings: self.is_done, ..self }
    }
}
