//! What the library says while it works, to whoever wants to hear it: a callback of the program, or, while it has none, a
//! file that the environment names. Without one of them nothing is put into words at all.
//!
//! A log never holds a barcode, a session password or a signature.
//!
//! Both are looked up without a lock, so that a forked child has its parent's; who takes a callback back waits
//! for the calls that are under way, so that what it refers to can be freed then.

use std::fmt::{self, Arguments};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result};
use crate::locks::{Mutex, RwLock};
use crate::memory::{PerProcess, Published};
use crate::state::log_file;

/// How much a line matters. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// The program is not licensed, or will soon not be.
    Error = 1,
    /// Something is not as it should be, and is being coped with.
    Warning = 2,
    /// What was done.
    Info = 3,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// A callback of the program.
pub type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

/// The log of a process.
///
/// | callback | file | lines go |
/// |---|---|---|
/// | set | any | to the callback |
/// | none, or taken back | named | to the end of the file |
/// | none, or taken back | none | nowhere |
struct Log {
    sink: Published<Option<Sink>>,
    file: Published<PathBuf>,
    /// Read while a line is handed over, written while the sink is changed. Holds all sinks that there ever were: a
    /// forked child may still be looking at one. Programs change theirs seldom.
    sinks: RwLock<Vec<&'static Option<Sink>>>,
    /// All files that were ever named, for the same reason.
    files: Mutex<Vec<&'static PathBuf>>,
}

static LOG: PerProcess<Log> = PerProcess::new();

/// A callback that takes longer than this for one line cannot be waited for.
const CHANGE_BOUND: Duration = Duration::from_secs(1);

impl Log {
    fn get() -> &'static Self {
        LOG.get(|parent| {
            let log = Self {
                sink: Published::absent(),
                file: Published::absent(),
                sinks: RwLock::default(),
                files: Mutex::default(),
            };
            if let Some(sink) = parent.and_then(|parent| parent.sink.get()) {
                log.sink.publish(sink);
            }
            if let Some(file) = parent.and_then(|parent| parent.file.get()) {
                log.file.publish(file);
            }
            log
        })
    }

    fn sink(&self) -> Option<&'static Sink> {
        self.sink.get().and_then(Option::as_ref)
    }
}

/// Says a line.
pub fn say(level: Level, line: Arguments<'_>) {
    let log = Log::get();
    if log.sink().is_some() {
        // A callback may call what says another line: nobody waits to write in a way that would stop it.
        let _sinks = log.sinks.read();
        if let Some(sink) = log.sink() {
            return sink(level, &line.to_string());
        }
    }
    if let Some(file) = log.file.get() {
        append(file, level, line);
    }
}

/// Changes the callback; with `None`, lines go to the file again. The old one is not in use any more when this returns.
///
/// # Errors
/// -20009 when a line is still being handed to the old one after a second, or by this very thread: nothing is
/// changed then.
pub fn set_sink(sink: Option<Sink>) -> Result<()> {
    let log = Log::get();
    let Some(mut sinks) = log.sinks.try_write_for(CHANGE_BOUND) else {
        let message = "the log callback is at work, and can be changed when it has returned";
        return Err(Error::new(ErrorCode::LICENSE_INIT_SEQUENCE_FAILED, message));
    };
    sinks.push(log.sink.publish_new(sink));
    Ok(())
}

/// Lets lines go to the end of this file while the program has no callback.
///
/// # Errors
/// When it cannot be written now. It is tried again for each line all the same: a disk may be there later.
pub fn use_file(path: &Path) -> Result<()> {
    let log = Log::get();
    let mut files = log.files.lock();
    if log.file.get().is_none_or(|file| file != path) {
        files.push(log.file.publish_new(path.to_owned()));
    }
    log_file(path).map(drop).map_err(|e| {
        let failed = Error::state(path, "write the log", &e);
        let message = format!("{}. Set SEATMETER_LOG to a file that this user can write", failed.message);
        Error { message, ..failed }
    })
}

/// Opens the file for every line: it may be moved away meanwhile, and descriptors are the host's.
fn append(path: &Path, level: Level, line: Arguments<'_>) {
    // That it cannot be written was said when it was named.
    if let Ok(mut file) = log_file(path) {
        let now = rfc_3339(crate::clock::wall_seconds());
        let _ = file.write_all(format!("{now} {} {level}: {line}\n", std::process::id()).as_bytes());
    }
}

/// An instant as people and programs read it, such as 2026-11-25T06:00:00Z.
fn rfc_3339(unix_seconds: u64) -> String {
    let instant = i64::try_from(unix_seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    instant.map_or_else(|| unix_seconds.to_string(), |instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_instant_is_written_as_utc() {
        assert_eq!(rfc_3339(1_764_050_400), "2025-11-25T06:00:00Z");
    }

    // One test, because the log is the process's.
    #[test]
    fn lines_go_where_they_are_sent_and_nowhere_after_that() {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = |heard: &Arc<Mutex<Vec<String>>>| {
            let heard = heard.clone();
            Some(Box::new(move |level, line: &str| heard.lock().push(format!("{level}: {line}"))) as Sink)
        };
        set_sink(sink(&heard)).unwrap();
        say(Level::Info, format_args!("ours {}", 1));
        let mut own = heard.lock().clone();
        own.retain(|line| line.contains("ours"));
        assert_eq!(own, ["info: ours 1"]);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        use_file(&path).unwrap();
        say(Level::Warning, format_args!("ours 2"));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "",
            "the program's own callback wins over the environment"
        );

        set_sink(Some(Box::new(|_, _| {
            assert!(set_sink(None).is_err(), "a callback that changes itself is not waited for");
        })))
        .unwrap();
        say(Level::Info, format_args!("ours 5"));
        set_sink(None).unwrap();
        let before = heard.lock().len();
        say(Level::Info, format_args!("ours 6"));
        say(Level::Error, format_args!("ours 7"));
        assert_eq!(heard.lock().len(), before);
        // Other tests of this process may say something, too.
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("info: ours 6\n") && text.contains("error: ours 7\n"), "{text}");
        assert!(!text.contains("ours 5"), "{text}");

        let other = folder.path().join("other");
        use_file(&other).unwrap();
        say(Level::Info, format_args!("ours 8"));
        assert!(std::fs::read_to_string(&other).unwrap().contains("ours 8"));
        let error = use_file(&folder.path().join("missing/log")).unwrap_err();
        assert!(error.message.contains("missing/log") && error.message.contains("SEATMETER_LOG"), "{error}");
    }
}
