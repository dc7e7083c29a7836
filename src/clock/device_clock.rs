//! The device's time. The wall clock can be wrong. Somebody can set it back to stretch a license or
//! forward by mistake, or it says 1970 after a start without a battery. So it is only one of the
//! sources:
//!
//! | source | use |
//! |---|---|
//! | a server, signed | always: it sets this clock, forward or back; the server time that was received last counts |
//! | the machine's boot clock | measures the time since then; it includes suspended time, and nobody can set it |
//! | a boot clock that differs from it | measures the time in this process; its values are not comparable with those of other processes |
//! | the highest time seen, on disk | time is never below it, unless a server says so |
//! | the wall clock | if it is later than all of these, and no server time was received since the machine was started |
//!
//! ```text
//!             no server time since the start                         server time received
//!  start ──▶ max(highest + boot clock, wall clock − its error) ──▶ server time + boot clock
//! ```
//!
//! So setting the clock back stretches nothing: time continues from the highest that was seen.
//! Setting the clock forward changes nothing while servers are reached. A clock that was wrong at
//! the start may end a license early, but only until the next contact corrects it. The error that
//! the wall clock had then is remembered, so that a clock that stays wrong does no harm at the next
//! start. Only the time for which the machine was off with its clock set back is lost. So a device
//! that is never in contact and never has a right clock counts only the time for which it runs.
//!
//! If a server's clock was ahead, all processes of the device believe it until the next time from
//! any server. Server times are ordered by the boot clock at which they were requested (`seen.rs`).
//! A date that such a server has set too late is read as what it should have been (`leaps.rs`).
//!
//! A process in a time namespace of its own reads a boot clock that differs from the machine's. If
//! the kernel gives the difference, the process allows for it. If the kernel does not (no `/proc`),
//! or if the time comes out below the highest that was seen since this start of the machine, the
//! process continues from that highest time. It then writes no value of its boot clock for others.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use seatmeter_protocol::signature::random_id;

use super::leaps::{AHEAD_MS_MAX, Leaps};
use super::offset::{Offset, Reading};
use super::seen::{Seen, ServerTime};
use super::{Boot, Clock, Stamp};
use crate::files::lock_file;
use crate::log::{Level, say};
use crate::os::locks::{CLOCK_TURN, Held, Mutex};
use crate::state::{FramedFile, Kind, Loaded, StateDirectory};

/// The largest difference that counts as agreement: a server sends whole seconds, and its answer
/// takes a while.
const AGREE_MS: i64 = 5_000;

/// The largest step back by a remembered error. If the error would put the wall clock back further
/// than this, somebody has corrected the wall clock since.
const DAY_MS: i64 = 86_400_000;

/// The most attempts to lock the file. Another process writes it within milliseconds; a process
/// that was stopped meanwhile is not waited for.
const TURN_TRIES_MAX: u32 = 20;
const NAP: Duration = Duration::from_millis(5);

/// The device's clock.
pub struct DeviceClock {
    system: &'static dyn Clock,
    file: FramedFile,
    /// The lock file that decides which process may replace the stored file.
    turn: PathBuf,
    /// Device time minus this process's boot clock, and whether a server has set it.
    offset: Offset,
    /// The name of this process's boot clock in stamps, used if it differs from the machine's.
    own_id: String,
    /// The milliseconds by which the wall clock was ahead when a server's time was last received. A
    /// wall clock that was behind has no error to remember: somebody may correct it at any time,
    /// and the device's time is never below the highest that was seen anyway.
    error_ms: AtomicI64,
    known: Mutex<Known>,
}

/// The state that changes only when a server's time is received, stored or taken over.
struct Known {
    /// The start of the machine, as last read.
    boot: Boot,
    /// The milliseconds by which this process's boot clock is ahead of the machine's; `None` when
    /// the difference is not known.
    ahead_ms: Option<i64>,
    /// The server time that this clock follows; all zero when none was received.
    server_time: ServerTime,
    leaps: Leaps,
    /// The highest time on disk, and this process's boot clock at that moment. A clock with an
    /// unknown difference continues from here.
    base: (i64, i64),
}

impl DeviceClock {
    /// Open the clock of this state directory. It continues from the time that was stored before,
    /// if that is readable.
    pub fn open(state: &StateDirectory, system: &'static dyn Clock) -> Self {
        let boot = system.boot();
        let now_ms = signed(system.boot_ms());
        let ahead_ms = ahead_of_machine_ms(&boot);
        let (server_time, leaps) = (ServerTime::default(), Leaps::default());
        let clock = Self {
            system,
            file: state.file("clock", Kind::Clock),
            turn: state.path().join("clock.turn"),
            offset: Offset::new(-now_ms),
            own_id: random_id().unwrap_or_default(),
            error_ms: AtomicI64::new(0),
            known: Mutex::new(Known { boot, ahead_ms, server_time, leaps, base: (0, now_ms) }),
        };
        if let Ok(Loaded::Content(seen)) = clock.file.load() {
            clock.begin_from(&mut clock.known.lock(), &seen);
        }
        clock
    }

    /// Continue from the time that an earlier process has stored.
    fn begin_from(&self, known: &mut Known, seen: &Seen) {
        known.base = (seen.highest_ms, self.boot_now());
        self.error_ms.store(seen.error_ms, Ordering::Relaxed);
        // A time that was received in another start is older than any that this start will receive.
        known.server_time = ServerTime { said_ms: seen.heard_ms, ..ServerTime::default() };
        known.leaps.merge(&seen.leaps);
        if is_of_this_boot(known, seen) {
            self.take_over(known, seen);
        } else {
            self.offset.raise(seen.highest_ms.saturating_sub(self.boot_now()));
        }
    }

    /// Take over what other processes of the device have received and seen in this start of the
    /// machine.
    fn take_over(&self, known: &mut Known, seen: &Seen) {
        known.leaps.merge(&seen.leaps);
        let Some(ahead_ms) = known.ahead_ms.filter(|_| is_of_this_boot(known, seen)) else {
            return;
        };
        if seen.heard_at_ms > self.boot_now().saturating_sub(ahead_ms).saturating_add(AGREE_MS) {
            // No process can have received anything at an instant that is still to come.
            return self.go_apart(known, seen.highest_ms);
        }
        let Reading { ms: mine, is_set } = self.offset.get();
        let theirs = seen.offset_ms.saturating_sub(ahead_ms);
        let is_newer =
            seen.is_set && (!is_set || by_which_is_newer(seen.server_time(), known.server_time));
        if is_newer {
            let agrees = is_set && (mine - theirs).abs() <= AGREE_MS;
            self.offset.set(if agrees { mine.max(theirs) } else { theirs });
            self.error_ms.store(seen.error_ms, Ordering::Relaxed);
            known.server_time = seen.server_time();
        } else if is_set != seen.is_set || (is_set && known.server_time != seen.server_time()) {
            return;
        } else {
            self.offset.raise(theirs);
        }
        self.not_before(known, seen.highest_ms);
    }

    /// Keep the time from falling below the highest that was seen in one start of the machine. If
    /// it would, this process's boot clock is not the one that the others read.
    fn not_before(&self, known: &mut Known, highest_ms: i64) {
        let least = highest_ms.saturating_sub(self.boot_now());
        let before = self.offset.raise(least);
        if least.saturating_sub(before) > AGREE_MS {
            self.go_apart(known, highest_ms);
        }
    }

    /// Continue from the highest time that was seen: this process's boot clock differs from the
    /// machine's by an unknown amount.
    fn go_apart(&self, known: &mut Known, highest_ms: i64) {
        let now_ms = self.boot_now();
        known.ahead_ms = None;
        known.base = (highest_ms, now_ms);
        known.server_time.asked_at_ms = 0;
        if !self.is_set() {
            self.offset.raise(highest_ms.saturating_sub(now_ms));
        }
    }

    /// Take over what other processes of the device have received since this process last read the
    /// file.
    pub fn catch_up(&self) {
        if let Some(seen) = self.file.peek::<Seen>() {
            self.take_over(&mut self.known.lock(), &seen);
        }
    }

    /// Store what this process knows, and take over what other processes of the device have stored.
    /// A disk that refuses is no reason to fail: the next process then has to find the time itself.
    pub fn keep(&self) {
        let turn = self.turn();
        let seen = self.file.peek::<Seen>();
        let content = {
            let known = &mut *self.known.lock();
            self.look_at_boot(known);
            if let Some(seen) = &seen {
                self.take_over(known, seen);
            }
            self.content(known, seen)
        };
        let outcome = content.map_or(Ok(()), |content| self.file.store(&content));
        drop(turn);
        if let Err(error) = outcome {
            say(Level::Warning, format_args!("{error}"));
        }
    }

    /// Return the content to store; `None` when the file must stay as it is.
    fn content(&self, known: &Known, seen: Option<Seen>) -> Option<Seen> {
        let time_ms = signed(self.unix_ms());
        let named = seen.filter(|seen| !seen.boot_id.is_empty());
        if let (None, Some(seen)) = (known.ahead_ms, named) {
            return self.passed_apart(known, seen, time_ms);
        }
        let server_time = known.server_time;
        let Reading { ms: offset_ms, is_set } = self.offset.get();
        Some(Seen {
            highest_ms: time_ms,
            boot_id: known.ahead_ms.map(|_| known.boot.id.clone()).unwrap_or_default(),
            offset_ms: offset_ms.saturating_add(known.ahead_ms.unwrap_or(0)),
            is_set,
            error_ms: self.error_ms.load(Ordering::Relaxed),
            heard_ms: server_time.said_ms,
            heard_at_ms: server_time.asked_at_ms,
            heard_nth: server_time.nth,
            leaps: known.leaps.clone(),
        })
    }

    /// Return what a process whose boot clock differs by an unknown amount adds to the stored
    /// content. The highest time rises by the time for which the process ran. If the process has
    /// received a server's time, the highest time is lowered to its present time. The process adds
    /// no server time and no value of its boot clock.
    fn passed_apart(&self, known: &Known, seen: Seen, time_ms: i64) -> Option<Seen> {
        let (base_ms, base_boot_ms) = known.base;
        let mut highest_ms =
            seen.highest_ms.max(base_ms.saturating_add(self.boot_now() - base_boot_ms));
        if self.is_set() {
            highest_ms = highest_ms.min(time_ms);
        }
        (highest_ms != seen.highest_ms).then_some(Seen { highest_ms, ..seen })
    }

    /// Begin anew from this process's own time if the process was frozen and thawed on another
    /// machine or after another start of the machine.
    fn look_at_boot(&self, known: &mut Known) {
        let boot = self.system.boot();
        // A start that cannot be read at the moment, for lack of file descriptors for example,
        // shows nothing.
        if boot != known.boot && ahead_of_machine_ms(&boot).is_some() {
            known.ahead_ms = ahead_of_machine_ms(&boot);
            known.boot = boot;
            known.base = (signed(self.unix_ms()), self.boot_now());
            known.server_time =
                ServerTime { said_ms: known.server_time.said_ms, ..ServerTime::default() };
            self.offset.doubt();
        }
    }

    /// Wait for this process's turn to store what it knows, so that an older server time never
    /// overwrites a newer one. Return `None` when the turn does not come: a server time may then be
    /// missing from the file until its process stores it again.
    #[cfg_attr(debug_assertions, track_caller)]
    fn turn(&self) -> Option<(File, Held)> {
        let held = Held::waited_for(CLOCK_TURN);
        let file = lock_file(&self.turn).ok()?;
        for _ in 0..TURN_TRIES_MAX {
            if file.try_lock().is_ok() {
                return Some((file, held));
            }
            thread::sleep(NAP);
        }
        None
    }

    /// Return the server time that this clock follows (Unix milliseconds), received by this process
    /// or taken over from another; 0 when none was received.
    pub fn heard_ms(&self) -> u64 {
        unsigned(self.known.lock().server_time.said_ms)
    }

    /// Return when that server was asked, by the machine's boot clock. Servers whose clocks differ
    /// may send the same time at different instants.
    pub fn heard_at_ms(&self) -> i64 {
        self.known.lock().server_time.asked_at_ms
    }

    /// Return whether a server's time was received since the machine was started.
    pub fn is_set(&self) -> bool {
        self.offset.get().is_set
    }

    /// Note that a server has signed something with this date (Unix seconds), and return the date
    /// that it should have had. The two differ when that server's clock was ahead.
    ///
    /// If no server's time was received since the start of the machine, the time is at least this
    /// date. If one was received, the date cannot be later than now. A date that is later, and that
    /// no leap explains, is taken as now. It may come from a process in a time namespace, which
    /// does not share the server times that it receives.
    pub fn signed_at(&self, seconds: u64) -> u64 {
        let date_ms = signed(seconds.saturating_mul(1000));
        // Another thread sets the time under this lock.
        let known = &mut *self.known.lock();
        let now_ms = signed(self.unix_ms());
        let is_set = self.is_set();
        let corrected = match known.leaps.corrected(date_ms, now_ms) {
            None if is_set && date_ms > now_ms.saturating_add(AHEAD_MS_MAX) => {
                known.leaps.take_for(date_ms, now_ms);
                now_ms
            }
            None => date_ms,
            Some(corrected) => corrected,
        };
        self.is_at_least(corrected);
        unsigned(corrected) / 1000
    }

    /// Do the same as [`Self::signed_at`] for a license that has this stamp. If a server has set
    /// the time back since, the date moves back with it. By its date alone, such a license would be
    /// valid for longer than intended once as much time has passed as the server's clock was ahead.
    pub fn dated_since(&self, seconds: u64, stamp: &Stamp) -> u64 {
        let corrected = self.signed_at(seconds);
        let known = &mut *self.known.lock();
        let is_comparable = !stamp.boot_id.is_empty()
            && stamp.boot_id == self.boot_for_stamps(known).0
            && self.is_set();
        if corrected != seconds || !is_comparable {
            return corrected;
        }
        // This is the time at which the license was accepted, as the device knows it now. The time
        // that the device believed then decides nothing: between the server's decision and its
        // signature, the server's clock may have leaped, and the date is then right and the
        // believed time wrong.
        let accepted_ms = signed(stamp.boot_ms)
            .saturating_add(ahead_in_stamps_ms(known))
            .saturating_add(self.offset.get().ms);
        let date_ms = signed(seconds.saturating_mul(1000));
        if date_ms <= accepted_ms.saturating_add(AHEAD_MS_MAX) {
            return corrected;
        }
        known.leaps.take_for(date_ms, accepted_ms);
        unsigned(accepted_ms) / 1000
    }

    /// Return the name and the value of the boot clock for stamps. It is the machine's boot clock,
    /// or this process's own if the machine's is not known.
    fn boot_for_stamps<'a>(&'a self, known: &'a Known) -> (&'a str, u64) {
        let boot_ms = unsigned(self.boot_now() - ahead_in_stamps_ms(known));
        (if names_machine(known) { &known.boot.id } else { &self.own_id }, boot_ms)
    }

    fn is_at_least(&self, date_ms: i64) {
        if !self.is_set() {
            self.offset.raise(date_ms - self.boot_now());
        }
    }

    fn boot_now(&self) -> i64 {
        signed(self.system.boot_ms())
    }

    /// Make this server time the one that this clock follows. Return `None` when a newer one is
    /// known; else return by how much this clock was ahead of it, and whether other processes must
    /// learn it at once.
    fn set(&self, said_ms: i64, asked_at_ms: i64) -> Option<(i64, bool)> {
        let known = &mut *self.known.lock();
        let now_ms = self.boot_now();
        let asked_at = asked_at_ms.min(now_ms);
        let is_set = self.is_set();
        let (at, last) = (asked_at - known.ahead_ms.unwrap_or(0), known.server_time);
        if is_set && at < last.asked_at_ms {
            return None;
        }
        // The server took this time at some instant between question and answer. These are far
        // apart when the process was stopped or the machine slept meanwhile. Within that interval
        // the device's own time is as good.
        let latest_ms = said_ms.saturating_add(now_ms - asked_at);
        let mine = signed(self.unix_ms());
        let ahead = if mine > latest_ms { mine - latest_ms } else { (mine - said_ms).min(0) };
        if ahead.abs() > AGREE_MS {
            self.offset.set(mine - ahead - now_ms);
            known.leaps.note(mine, mine - ahead);
        } else {
            self.offset.confirm();
        }
        let error = signed(self.system.wall_ms()).saturating_sub(latest_ms);
        self.error_ms.store(if error > AGREE_MS { error } else { 0 }, Ordering::Relaxed);
        let nth = if is_set && at == last.asked_at_ms { last.nth.saturating_add(1) } else { 0 };
        known.server_time = ServerTime { asked_at_ms: at, nth, said_ms };
        Some((ahead, !is_set || ahead.abs() > AGREE_MS))
    }
}

impl Clock for DeviceClock {
    fn wait(&self, time: std::time::Duration) {
        self.system.wait(time);
    }

    fn wall_ms(&self) -> u64 {
        self.system.wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.system.boot_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.system.monotonic_ms()
    }

    fn stamp(&self) -> Stamp {
        if !self.is_set() {
            return Stamp::default();
        }
        let known = self.known.lock();
        let (boot_id, boot_ms) = self.boot_for_stamps(&known);
        Stamp { boot_id: boot_id.to_owned(), boot_ms }
    }

    fn machine_boot_ms(&self) -> Option<u64> {
        let ahead_ms = self.known.lock().ahead_ms?;
        Some(unsigned(self.boot_now() - ahead_ms))
    }

    fn unix_ms(&self) -> u64 {
        let boot = signed(self.system.boot_ms());
        let seen = self.offset.get();
        let steady = boot + seen.ms;
        if seen.is_set {
            return unsigned(steady);
        }
        let wall =
            believed(steady, signed(self.system.wall_ms()), self.error_ms.load(Ordering::Relaxed));
        if wall <= steady {
            return unsigned(steady);
        }
        // If this fails, another thread has seen a later time, or a server's time was received: the
        // next call finds it.
        self.offset.raise_from(seen, wall - boot);
        unsigned(wall)
    }

    fn hear(&self, server_seconds: u64, asked_at_ms: u64) {
        // Without this, a process that received an older server time late would overwrite a newer
        // one that it has not read yet.
        self.catch_up();
        let said_ms = signed(server_seconds.saturating_mul(1000));
        let Some((ahead, is_news)) = self.set(said_ms, signed(asked_at_ms)) else { return };
        if ahead.abs() > AGREE_MS {
            say(
                Level::Warning,
                format_args!(
                    "this device's clock was {} s {} the license server's, and is now set to it",
                    ahead.abs() / 1000,
                    if ahead > 0 { "ahead of" } else { "behind" }
                ),
            );
        }
        if is_news {
            // Store at once: a program that begins before this process's next round must follow the
            // server's time, too.
            self.keep();
        }
    }
}

/// Return the milliseconds by which this process's boot clock is ahead of the machine's, if that
/// difference and the start of the machine are known.
fn ahead_of_machine_ms(boot: &Boot) -> Option<i64> {
    boot.ahead_ms.filter(|_| !boot.id.is_empty())
}

/// Return whether stamps use the machine's boot clock, and not this process's own.
fn names_machine(known: &Known) -> bool {
    known.ahead_ms.is_some() && !known.boot.id.is_empty()
}

/// Return the milliseconds by which this process's boot clock is ahead of the one in its stamps.
fn ahead_in_stamps_ms(known: &Known) -> i64 {
    known.ahead_ms.filter(|_| names_machine(known)).unwrap_or(0)
}

fn is_of_this_boot(known: &Known, seen: &Seen) -> bool {
    known.ahead_ms.is_some() && !seen.boot_id.is_empty() && seen.boot_id == known.boot.id
}

fn by_which_is_newer(theirs: ServerTime, mine: ServerTime) -> bool {
    theirs.is_newer_than(mine)
}

/// Return the wall clock without the error that it had when a server's time was last received. If
/// the result cannot be right, because somebody has corrected the clock since, return the wall
/// clock as it is.
fn believed(floor: i64, wall: i64, error: i64) -> i64 {
    let corrected = wall.saturating_sub(error);
    if corrected.saturating_add(DAY_MS) >= floor { corrected } else { wall }
}

fn signed(ms: u64) -> i64 {
    // The limit is far beyond any date, and far enough from the edge for sums.
    i64::try_from(ms).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests;
