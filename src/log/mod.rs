//! What the library says while it works, to whoever wants to hear it: a callback of the program,
//! or, while it has none, a file that the environment names. Without one of them nothing is put
//! into words at all.
//!
//! A log never holds a barcode, a session password or a signature.
//!
//! A line is said wherever something happens, often under a lock. A callback is the host's, and may
//! wait for a thread that waits for that lock. So no thread that works calls it: lines wait in a
//! queue, and a thread of their own hands them over, one after the other. It begins with the first
//! line that waits, and ends when none is left. A call of the host's that has said something
//! returns when that was heard, so that the host finds it where it looks; but it waits a moment
//! only, and under no lock. A line for the file is written at once.
//!
//! Callback and file are looked up without a lock, so that a forked child has its parent's; it has
//! none of the lines. Who takes a callback back waits for the call that is under way, so that what
//! it refers to can be freed then.

pub mod panic_hook;

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::{self, Arguments};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result, remedy_for_limit};
use crate::files::{log_file, log_file_again};
use crate::os::locks::{Condvar, Mutex, RwLock, holds_none};
use crate::os::{
    PerProcess, Published, Undisturbed, owner_of, thread_number, with_signals_blocked,
};

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
    lines: Mutex<Lines>,
    /// A line was handed over, or the thread that does it ends.
    changed: Condvar,
    /// Read while a line is handed over, written while the sink is changed. Holds all sinks that
    /// there ever were: a forked child may still be looking at one. Programs change theirs seldom.
    sinks: RwLock<Vec<&'static Option<Sink>>>,
    /// All files that were ever named, for the same reason.
    files: Mutex<Vec<&'static PathBuf>>,
    /// Whether the file could be written: then its folder is made again when somebody removes it.
    was_there: AtomicBool,
}

/// Lines that wait to be handed over, and the thread that does it.
///
/// | deliverer | thread | |
/// |---|---|---|
/// | no | no, or ended | nothing waits; or the system has no thread to give, and the next line tries again |
/// | yes | yes | lines wait, or the last one is just being handed over |
#[derive(Default)]
struct Lines {
    waiting: VecDeque<(Level, String)>,
    bytes: usize,
    /// How many there was no room for since.
    dropped: u64,
    /// How many were put here, and how many of them are handed over.
    said: u64,
    heard: u64,
    has_deliverer: bool,
    /// Its number while it runs.
    number: usize,
    thread: Option<JoinHandle<()>>,
}

/// What waits at most: a callback may be stuck for hours, and the library goes on.
const LINES_MAX: usize = 1_000;
const BYTES_MAX: usize = 256 << 10;

/// Stack of the thread that calls the host: loggers format, and may belong to the runtime of
/// another language.
const STACK_BYTES: usize = 1 << 20;

/// For so long a call waits until what it has said is heard.
const HEARD_BOUND: Duration = Duration::from_secs(1);

static LOG: PerProcess<Log> = PerProcess::new();

thread_local! {
    /// Which line this thread has said last, counted from 1.
    static LAST_SAID: Cell<u64> = const { Cell::new(0) };
}

/// A callback that takes longer than this for one line cannot be waited for.
const CHANGE_BOUND: Duration = Duration::from_secs(1);

impl Log {
    fn get() -> &'static Self {
        LOG.get(|parent| {
            let log = Self {
                sink: Published::absent(),
                file: Published::absent(),
                lines: Mutex::default(),
                changed: Condvar::new(),
                sinks: RwLock::default(),
                files: Mutex::default(),
                was_there: AtomicBool::new(false),
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

    /// Put a line where it waits, and see to it that it is handed over.
    fn put(&'static self, level: Level, line: String) {
        let mut lines = self.lines.lock();
        if lines.dropped > 0
            || lines.waiting.len() >= LINES_MAX
            || lines.bytes + line.len() > BYTES_MAX
        {
            lines.dropped += 1;
            return;
        }
        lines.bytes += line.len();
        lines.said += 1;
        lines.waiting.push_back((level, line));
        LAST_SAID.set(lines.said);
        if !lines.has_deliverer {
            let builder =
                std::thread::Builder::new().name("seatmeter-log".into()).stack_size(STACK_BYTES);
            let thread = with_signals_blocked(|| builder.spawn(|| self.deliver()));
            lines.has_deliverer = thread.is_ok();
            lines.thread = thread.ok();
        }
    }

    /// Hand over what waits until nothing does.
    fn deliver(&self) {
        self.lines.lock().number = thread_number();
        while let Some((level, line)) = self.next() {
            self.hand_over(level, &line);
            if !ptr::eq(self, Log::get()) {
                // The callback has forked, and this is the child: the lines are its parent's.
                return;
            }
            self.lines.lock().heard += 1;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<(Level, String)> {
        let mut lines = self.lines.lock();
        if let Some(next) = lines.waiting.pop_front() {
            lines.bytes -= next.1.len();
            return Some(next);
        }
        if lines.dropped > 0 {
            let line = format!(
                "{} lines of this log were dropped here",
                std::mem::take(&mut lines.dropped)
            );
            lines.said += 1;
            return Some((Level::Warning, line));
        }
        (lines.has_deliverer, lines.number) = (false, 0);
        self.changed.notify_all();
        None
    }

    fn hand_over(&self, level: Level, line: &str) {
        // The callback may say another line: nobody waits to write in a way that would stop it.
        let _sinks = self.sinks.read_around_host();
        match (self.sink(), self.file.get()) {
            (Some(sink), _) => sink(level, line),
            (None, Some(file)) => append(file, level, format_args!("{line}")),
            (None, None) => {}
        }
    }

    /// Return whether this thread hands lines over, now from inside the callback.
    fn is_deliverer(&self) -> bool {
        let lines = self.lines.lock();
        lines.has_deliverer && lines.number == thread_number()
    }

    /// Wait, up to `bound`, while this is so; the thread that hands over does not wait for itself.
    fn wait_while(&self, bound: Duration, is_so: impl Fn(&Lines) -> bool) {
        let (end, is_free) = (Instant::now() + bound, holds_none());
        let mut lines = self.lines.lock();
        while lines.has_deliverer && lines.number != thread_number() && is_so(&lines) {
            debug_assert!(is_free, "the host is waited for under a lock");
            if self.changed.wait_until(&mut lines, end).timed_out() {
                return;
            }
        }
    }
}

/// Say a line. Any thread may, also under locks.
pub fn say(level: Level, line: Arguments<'_>) {
    let log = Log::get();
    if log.sink().is_some() {
        log.put(level, line.to_string());
    } else if let Some(file) = log.file.get() {
        append(file, level, line);
    }
}

/// Run `body`, and then wait a moment until what this thread has said in it is heard. To be called
/// without a lock.
pub fn heard<T>(body: impl FnOnce() -> T) -> T {
    let before = LAST_SAID.replace(0);
    let answer = body();
    let last = LAST_SAID.replace(before);
    if last > 0 {
        Log::get().wait_while(HEARD_BOUND, |lines| lines.heard < last);
    }
    answer
}

/// Wait, up to `bound`, until all is handed over and the thread that did it is gone. To be called
/// without a lock.
pub fn settle(bound: Duration) {
    let log = Log::get();
    log.wait_while(bound, |_| true);
    let mut lines = log.lines.lock();
    let thread = if lines.has_deliverer { None } else { lines.thread.take() };
    drop(lines);
    // It has nothing more to do than to end, without a panic of its own.
    thread.map(JoinHandle::join);
}

/// Changes the callback; with `None`, lines go to the file again. The old one is not in use any
/// more when this returns.
///
/// # Errors
/// -20009 when a line is still being handed to the old one after a second, or by this very thread:
/// nothing is changed then.
pub fn set_sink(sink: Option<Sink>) -> Result<()> {
    let log = Log::get();
    // The thread that is in the callback would wait for itself.
    let bound = if log.is_deliverer() { Duration::ZERO } else { CHANGE_BOUND };
    let Some(mut sinks) = log.sinks.try_write_for(bound) else {
        let message = "the log callback is at work, and can be changed when it has returned";
        return Err(Error::new(ErrorCode::LICENSE_INIT_SEQUENCE_FAILED, message));
    };
    sinks.push(log.sink.publish_new(sink));
    Ok(())
}

/// Lets lines go to the end of this file while the program has no callback.
///
/// # Errors
/// When it cannot be written now. It is tried again for each line all the same: a disk may be there
/// later.
pub fn use_file(path: &Path) -> Result<()> {
    let log = Log::get();
    let mut files = log.files.lock();
    if log.file.get().is_none_or(|file| file != path) {
        files.push(log.file.publish_new(path.to_owned()));
    }
    let opened = log_file(path);
    log.was_there.store(opened.is_ok(), Ordering::Relaxed);
    opened.map(drop).map_err(|e| {
        let failed = format!("cannot write the log {}: {e}", path.display());
        // Not as for a file of the state directory: what is beside a log is of others.
        let whose = remedy_for_limit(&e).map(str::to_owned).or_else(|| owner_of(path, &e));
        let whose =
            whose.map(|whose| format!(". {}", whose.trim_end_matches('.'))).unwrap_or_default();
        let message =
            format!("{failed}{whose}. Set SEATMETER_LOG to a file that this user can write");
        Error::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
    })
}

/// Opens the file for every line: it may be moved away meanwhile, and descriptors are the host's.
fn append(path: &Path, level: Level, line: Arguments<'_>) {
    let _undisturbed = Undisturbed::hold();
    // That it cannot be written was said when it was named.
    let open = if Log::get().was_there.load(Ordering::Relaxed) { log_file_again } else { log_file };
    if let Ok(mut file) = open(path) {
        let now = rfc_3339(crate::os::wall_seconds());
        let _ =
            file.write_all(format!("{now} {} {level}: {line}\n", std::process::id()).as_bytes());
    }
}

/// An instant as people and programs read it, such as 2026-11-25T06:00:00Z.
fn rfc_3339(unix_seconds: u64) -> String {
    let instant =
        i64::try_from(unix_seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
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
            Some(Box::new(move |level, line: &str| heard.lock().push(format!("{level}: {line}")))
                as Sink)
        };
        set_sink(sink(&heard)).unwrap();
        let say = |level, line: Arguments<'_>| super::heard(|| super::say(level, line));
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

        // While one line is being heard nobody waits, others come in order, and too many are
        // dropped.
        let (let_go, stuck) = std::sync::mpsc::channel::<()>();
        let (stuck, begun) = (Mutex::new(stuck), Arc::new(Mutex::new(false)));
        let (mine, has_begun) = (heard.clone(), begun.clone());
        heard.lock().clear();
        set_sink(Some(Box::new(move |_, line: &str| {
            *has_begun.lock() = true;
            let _ = stuck.lock().recv();
            mine.lock().push(line.to_owned());
        })))
        .unwrap();
        super::say(Level::Info, format_args!("ours 0"));
        while !*begun.lock() {
            std::thread::yield_now();
        }
        (1..=LINES_MAX + 5).for_each(|n| super::say(Level::Info, format_args!("ours {n}")));
        drop(let_go);
        super::settle(Duration::from_secs(60));
        let lines = heard.lock().clone();
        let numbers: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("ours ")).collect();
        assert!(numbers.iter().zip(0..).all(|(number, n)| *number == n.to_string()), "{numbers:?}");
        assert!(
            numbers.len() > LINES_MAX / 2 && numbers.len() <= LINES_MAX + 1,
            "{}",
            numbers.len()
        );
        assert!(
            lines.last().unwrap().ends_with("lines of this log were dropped here"),
            "{lines:?}"
        );
        set_sink(None).unwrap();

        let other = folder.path().join("other");
        use_file(&other).unwrap();
        say(Level::Info, format_args!("ours 8"));
        assert!(std::fs::read_to_string(&other).unwrap().contains("ours 8"));
        let error = use_file(&folder.path().join("missing/log")).unwrap_err();
        assert!(
            error.message.contains("missing/log") && error.message.contains("SEATMETER_LOG"),
            "{error}"
        );
        say(Level::Info, format_args!("ours 9"));
        assert!(!folder.path().join("missing").exists(), "it may be a mistyped name");
        let deep = folder.path().join("deep");
        std::fs::create_dir(&deep).unwrap();
        use_file(&deep.join("log")).unwrap();
        std::fs::remove_dir_all(&deep).unwrap();
        say(Level::Info, format_args!("ours 10"));
        assert!(
            std::fs::read_to_string(deep.join("log")).unwrap().contains("ours 10"),
            "it was there before"
        );
    }
}
