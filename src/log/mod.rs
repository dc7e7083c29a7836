//! The log of the library's work. Lines go to a callback of the program or, if it has set none, to
//! a file that the environment names. Without both, no text is formatted at all.
//!
//! A log never holds a barcode, a session password or a signature.
//!
//! Any part of the library may log a line, often under a lock. A callback is the host's code, and
//! may wait for a thread that waits for that lock. So no working thread calls it: lines wait in a
//! queue, and a separate thread delivers them in order. This thread begins with the first waiting
//! line and ends when none is left. A call of the host that has logged a line returns after the
//! delivery, so that the host finds the line when it expects it. But the call waits only a moment,
//! and under no lock. A line for the file is written at once.
//!
//! Callback and file are read without a lock, so that a forked child has those of its parent. It
//! has none of the waiting lines. Removing a callback waits for a delivery in progress, so that the
//! callback's data can be freed afterwards.

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
use crate::os::locks::{Condvar, INNERMOST, LOG_FILES, Mutex, RwLock, holds_none};
use crate::os::{
    PerProcess, Published, Undisturbed, owner_of, thread_number, with_signals_blocked,
};

/// The importance of a line. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// The program is not licensed, or will soon not be.
    Error = 1,
    /// Something is wrong, but the library handles it.
    Warning = 2,
    /// An action was done.
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
/// | none, or removed | named | to the end of the file |
/// | none, or removed | none | nowhere |
struct Log {
    sink: Published<Option<Sink>>,
    file: Published<PathBuf>,
    lines: Mutex<Lines, INNERMOST>,
    /// The signal that a line was delivered, or that the delivering thread ends.
    changed: Condvar,
    /// The lock that is read while a line is delivered and written while the sink is changed. It
    /// contains all sinks that there ever were: a forked child may still be using an old one.
    /// Programs seldom change theirs.
    sinks: RwLock<Vec<&'static Option<Sink>>>,
    /// All files that were ever named, for the same reason.
    files: Mutex<Vec<&'static PathBuf>, LOG_FILES>,
    /// Whether the file was writable once: its folder is then created again after somebody removes
    /// it.
    was_there: AtomicBool,
}

/// The lines that wait for delivery, and the delivering thread.
///
/// | deliverer | thread | |
/// |---|---|---|
/// | no | no, or ended | no line waits; or the system has no thread to give, and the next line tries again |
/// | yes | yes | lines wait, or the last one is just being delivered |
#[derive(Default)]
struct Lines {
    waiting: VecDeque<(Level, String)>,
    bytes: usize,
    /// The number of lines that were dropped since the queue became full.
    dropped: u64,
    /// The number of lines that were put here, and the number of delivered ones.
    said: u64,
    heard: u64,
    has_deliverer: bool,
    /// The number of the thread while it runs.
    number: usize,
    thread: Option<JoinHandle<()>>,
}

/// The most lines and bytes that wait: a callback may be stuck for hours while the library
/// continues.
const LINES_MAX: usize = 1_000;
const BYTES_MAX: usize = 256 << 10;

/// The stack of the thread that calls the host. Loggers format, and may belong to the runtime of
/// another language.
const STACK_BYTES: usize = 1 << 20;

/// The longest time that a call waits for the delivery of its lines.
const HEARD_BOUND: Duration = Duration::from_secs(1);

static LOG: PerProcess<Log> = PerProcess::new();

thread_local! {
    /// The number of the last line that this thread has logged, counted from 1.
    static LAST_SAID: Cell<u64> = const { Cell::new(0) };
}

/// The longest wait for a callback that is handling a line, before the change fails.
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

    /// Put a line into the queue, and make sure that it is delivered.
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

    /// Deliver lines until none waits.
    fn deliver(&self) {
        self.lines.lock().number = thread_number();
        while let Some((level, line)) = self.next() {
            self.hand_over(level, &line);
            if !ptr::eq(self, Log::get()) {
                // The callback has forked, and this is the child: the lines belong to its parent.
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
        // The callback may log another line. A waiting writer does not block this kind of read
        // lock, so the callback cannot deadlock.
        let _sinks = self.sinks.read_around_host();
        match (self.sink(), self.file.get()) {
            (Some(sink), _) => sink(level, line),
            (None, Some(file)) => append(file, level, format_args!("{line}")),
            (None, None) => {}
        }
    }

    /// Return whether this is the delivering thread, which is now inside the callback.
    fn is_deliverer(&self) -> bool {
        let lines = self.lines.lock();
        lines.has_deliverer && lines.number == thread_number()
    }

    /// Wait, up to `bound`, while `is_so` holds. The delivering thread does not wait for itself.
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

/// Log a line. Any thread may call this, even under locks.
pub fn say(level: Level, line: Arguments<'_>) {
    let log = Log::get();
    if log.sink().is_some() {
        log.put(level, line.to_string());
    } else if let Some(file) = log.file.get() {
        append(file, level, line);
    }
}

/// Run `body`, then wait a moment until the lines that this thread has logged in it are delivered.
/// Call this without a lock.
pub fn heard<T>(body: impl FnOnce() -> T) -> T {
    let before = LAST_SAID.replace(0);
    let answer = body();
    let last = LAST_SAID.replace(before);
    if last > 0 {
        Log::get().wait_while(HEARD_BOUND, |lines| lines.heard < last);
    }
    answer
}

/// Wait, up to `bound`, until everything is delivered and the delivering thread has ended. Call
/// this without a lock.
pub fn settle(bound: Duration) {
    let log = Log::get();
    log.wait_while(bound, |_| true);
    let mut lines = log.lines.lock();
    let thread = if lines.has_deliverer { None } else { lines.thread.take() };
    drop(lines);
    // The thread has nothing left to do but to end, and does not panic.
    thread.map(JoinHandle::join);
}

/// Change the callback; with `None`, lines go to the file again. The old callback is not in use any
/// more when this returns.
///
/// # Errors
/// Returns -20009 if the old callback is still handling a line after a second, or if it is handling
/// one in this very thread. Nothing is changed then.
pub fn set_sink(sink: Option<Sink>) -> Result<()> {
    let log = Log::get();
    // The thread that is in the callback would wait for itself.
    let bound = if log.is_deliverer() { Duration::ZERO } else { CHANGE_BOUND };
    let Some(mut sinks) = log.sinks.try_write_for(bound) else {
        let message = "the log callback is running: change it after it has returned";
        return Err(Error::new(ErrorCode::LICENSE_INIT_SEQUENCE_FAILED, message));
    };
    sinks.push(log.sink.publish_new(sink));
    Ok(())
}

/// Append lines to this file while the program has no callback.
///
/// # Errors
/// Fails if the file cannot be written now. Each line tries it again nevertheless: a disk may
/// become available later.
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
        // The advice differs from that for a file of the state directory: other files beside a log
        // are not ours.
        let whose = remedy_for_limit(&e).map(str::to_owned).or_else(|| owner_of(path, &e));
        let whose =
            whose.map(|whose| format!(". {}", whose.trim_end_matches('.'))).unwrap_or_default();
        let message =
            format!("{failed}{whose}. Set SEATMETER_LOG to a file that this user can write");
        Error::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
    })
}

/// Open the file for every line: it may be moved away meanwhile, and the descriptors belong to the
/// host.
fn append(path: &Path, level: Level, line: Arguments<'_>) {
    let _undisturbed = Undisturbed::hold();
    // The error of a file that cannot be written was reported when the file was named.
    let open = if Log::get().was_there.load(Ordering::Relaxed) { log_file_again } else { log_file };
    if let Ok(mut file) = open(path) {
        let now = rfc_3339(crate::os::wall_seconds());
        let _ =
            file.write_all(format!("{now} {} {level}: {line}\n", std::process::id()).as_bytes());
    }
}

/// Return an instant in a form for people and programs, such as 2026-11-25T06:00:00Z.
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

    // One test covers all of this, because the process has only one log.
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
        // Other tests of this process may log lines, too.
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("info: ours 6\n") && text.contains("error: ours 7\n"), "{text}");
        assert!(!text.contains("ours 5"), "{text}");

        // While one line is being handled no thread waits, other lines come in order, and too many
        // are dropped.
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
