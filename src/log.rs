//! What the library says while it works, to whoever wants to hear it: a callback of the program, or, while it has none, a
//! file that the environment names. Without one of them nothing is put into words at all.
//!
//! A log never holds a barcode, a session password or a signature.
//!
//! A line is said wherever something happens, often under a lock. A callback is the host's, and may wait for a thread that
//! waits for that lock. So lines for it are collected, and handed over where no lock of ours is held:
//!
//! | who says a line | who hands it over |
//! |---|---|
//! | a call that may block, the keeper in its round | the same thread, before the call returns or the next step begins ([`collect`]) |
//! | a count, a reader's creation, a thread that decodes frames | the keeper, who is woken for it |
//! | anybody, while another thread hands lines over | that one |
//!
//! One thread at a time hands over, so that lines come in order; nobody waits for it. A line for the file is written at once.
//!
//! Callback and file are looked up without a lock, so that a forked child has its parent's; it has none of the lines. Who
//! takes a callback back waits for the call that is under way, so that what it refers to can be freed then.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::{self, Arguments};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result};
use crate::locks::{Mutex, RwLock, holds_none};
use crate::memory::{PerProcess, Published, Undisturbed, thread_number};
use crate::state::private_file;

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
    /// The number of the thread that hands lines over; 0 for none.
    deliverer: AtomicUsize,
    /// Read while a line is handed over, written while the sink is changed. Holds all sinks that there ever were: a
    /// forked child may still be looking at one. Programs change theirs seldom.
    sinks: RwLock<Vec<&'static Option<Sink>>>,
    /// All files that were ever named, for the same reason.
    files: Mutex<Vec<&'static PathBuf>>,
}

/// Lines that wait to be handed over.
#[derive(Default)]
struct Lines {
    waiting: VecDeque<(Level, String)>,
    bytes: usize,
    /// How many there was no room for since.
    dropped: u64,
}

/// What waits at most: a callback may be stuck for hours, and the library goes on.
const LINES_MAX: usize = 1_000;
const BYTES_MAX: usize = 256 << 10;

static LOG: PerProcess<Log> = PerProcess::new();

/// Has the keeper hand lines over.
static WAKE: Published<fn()> = Published::absent();

thread_local! {
    /// Whether this thread hands over what it says by itself, a little later.
    static COLLECTS: Cell<bool> = const { Cell::new(false) };
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
                deliverer: AtomicUsize::new(0),
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

    fn next(&self) -> Option<(Level, String)> {
        let mut lines = self.lines.lock();
        if let Some(next) = lines.waiting.pop_front() {
            lines.bytes -= next.1.len();
            return Some(next);
        }
        let dropped = std::mem::take(&mut lines.dropped);
        (dropped > 0).then(|| (Level::Warning, format!("{dropped} lines of this log were dropped here")))
    }

    fn hand_over(&self, level: Level, line: &str) {
        // The callback may say another line: nobody waits to write in a way that would stop it.
        let _sinks = self.sinks.read();
        match (self.sink(), self.file.get()) {
            (Some(sink), _) => sink(level, line),
            (None, Some(file)) => append(file, level, format_args!("{line}")),
            (None, None) => {}
        }
    }
}

impl Lines {
    fn push(&mut self, level: Level, line: String) {
        if self.dropped > 0 || self.waiting.len() >= LINES_MAX || self.bytes + line.len() > BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes += line.len();
        self.waiting.push_back((level, line));
    }
}

/// Say a line. Any thread may, also under locks.
pub fn say(level: Level, line: Arguments<'_>) {
    let log = Log::get();
    if log.sink().is_some() {
        let line = line.to_string();
        log.lines.lock().push(level, line);
        if let (false, Some(wake)) = (COLLECTS.get(), WAKE.get()) {
            wake();
        }
    } else if let Some(file) = log.file.get() {
        append(file, level, line);
    }
}

/// Name who has the keeper hand lines over.
pub fn wake_by(wake: fn()) {
    if WAKE.get().is_none() {
        WAKE.publish_new(wake);
    }
}

/// Run `body`, and then hand over what was said. To be called without a lock.
pub fn collect<T>(body: impl FnOnce() -> T) -> T {
    let collecting = Collecting { before: COLLECTS.replace(true) };
    let answer = body();
    let is_within_another = collecting.before;
    drop(collecting);
    if !is_within_another {
        deliver();
    }
    answer
}

/// While it lives, its thread hands over by itself what it says.
struct Collecting {
    before: bool,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        COLLECTS.set(self.before);
    }
}

/// Hand over what waits, unless another thread is at it, or this one. To be called without a lock.
pub fn deliver() {
    let log = Log::get();
    let is_empty = || {
        let lines = log.lines.lock();
        lines.waiting.is_empty() && lines.dropped == 0
    };
    // Who says a line while this one leaves finds a deliverer, and relies on him: so it is looked once more.
    while !is_empty() {
        let mine = log.deliverer.compare_exchange(0, thread_number(), Ordering::SeqCst, Ordering::Relaxed);
        if mine.is_err() {
            return;
        }
        let _delivering = Delivering(log);
        debug_assert!(holds_none(), "the host is called under a lock");
        while let Some((level, line)) = log.next() {
            log.hand_over(level, &line);
            if !ptr::eq(log, Log::get()) {
                // The callback has forked, and this is the child: the lines are its parent's.
                return;
            }
        }
    }
}

/// While it lives, its thread hands lines over.
struct Delivering(&'static Log);

impl Drop for Delivering {
    fn drop(&mut self) {
        self.0.deliverer.store(0, Ordering::SeqCst);
    }
}

/// Wait until no other thread is inside the callback, up to `bound`.
pub fn wait_for_deliverer(bound: Duration) {
    let (log, end) = (Log::get(), Instant::now() + bound);
    let is_another = || ![0, thread_number()].contains(&log.deliverer.load(Ordering::SeqCst));
    while is_another() && Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How often one who waits for another thread's callback looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(1);

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
pub fn use_file(path: &Path) {
    let log = Log::get();
    let mut files = log.files.lock();
    if log.file.get().is_none_or(|file| file != path) {
        files.push(log.file.publish_new(path.to_owned()));
    }
}

/// Opens the file for every line: it may be moved away meanwhile, and descriptors are the host's.
fn append(path: &Path, level: Level, line: Arguments<'_>) {
    let _undisturbed = Undisturbed::hold();
    let mut options = std::fs::OpenOptions::new();
    if let Ok(mut file) = private_file(path, options.append(true).create(true)) {
        let now = crate::clock::wall_seconds();
        // A log that cannot be written is not worth an error of its own.
        let _ = file.write_all(format!("{now} {} {level}: {line}\n", std::process::id()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

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
        use_file(&path);
        say(Level::Warning, format_args!("ours 2"));
        assert!(!path.exists(), "the program's own callback wins over the environment");

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
        use_file(&other);
        say(Level::Info, format_args!("ours 8"));
        assert!(std::fs::read_to_string(&other).unwrap().contains("ours 8"));
    }
}
