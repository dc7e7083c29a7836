//! The thread whose end shows the other processes at once that its process died.
//!
//! The kernel drops a file lock of a dying process only after it has freed the process's memory: 55
//! to 190 ms per GiB. But before that it walks the robust list of each thread and marks the futex
//! words found there. So a thread that does nothing else keeps one item in that list, the flag of
//! its process entry. The flag shows the death within some 50 µs at any memory size. Reading a flag
//! is one load, where asking for a lock is a system call. The lock stays the authority, for entries
//! whose flag was never set.
//!
//! The list has a second word, "operation pending", meant for a mutex that was being unlocked. If
//! the low bits of the word that it points to are zero, the kernel wakes one sleeper there. It
//! points to the wake word, so that a death wakes a process that waits for a seat.
//!
//! A thread has one robust list, and glibc keeps its own there for robust mutexes: so this must be
//! a thread of ours, on which nobody locks such a mutex.
//!
//! | state | changed by |
//! | --- | --- |
//! | NONE → STARTING | the attaching thread, before it makes the guardian thread |
//! | STARTING → ON_DUTY | the guardian thread: flag set, list registered |
//! | STARTING, ON_DUTY → LEAVING | the detaching thread |
//! | STARTING, ON_DUTY, LEAVING → NONE | the guardian thread, after it removed its list: from then on its end marks nothing |

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::fault_injection::kill_points::kill_point;
use crate::os::robust_list::Registration;
use crate::os::system::{futex_wait, futex_wake};
use crate::os::{ask_for_short_slices, monotonic_ms, with_signals_blocked};

pub(super) const NONE: u32 = 0;
const STARTING: u32 = 1;
const ON_DUTY: u32 = 2;
const LEAVING: u32 = 3;

/// The size of the guardian's stack in bytes: enough to check the file and to move to another one.
/// The kernel provides only the pages that are touched.
const STACK_BYTES: usize = 64 * 1024;
/// The interval at which the guardian checks whether the pool file still has the name.
const CHECK_EVERY: Duration = Duration::from_millis(1000);
/// The longest wait of a detaching thread for the guardian, in milliseconds. The guardian only has
/// to see the word; it is too late only in a process whose threads get no time at all.
const LEAVE_WITHIN_MS: u64 = 2_000;

/// The entry that a guardian guards.
pub(super) trait Guarded: Send + Sync + 'static {
    /// Return the state of the guardian, one of this file's constants.
    fn state(&self) -> &AtomicU32;
    /// Return the flag of the entry, and the wake word.
    fn flag_and_wake_word(&self) -> (&AtomicU32, &AtomicU32);
    /// Check the file; called once a second. Return false if the guardian is no longer needed.
    fn check_file(&self) -> bool;
}

/// Start the guardian. Where no thread can be made, only the lock shows the death: later, but as
/// surely.
pub(super) fn start<G: Guarded>(guarded: Arc<G>) {
    guarded.state().store(STARTING, Ordering::SeqCst);
    let copy = Arc::clone(&guarded);
    if with_signals_blocked(|| spawn(move || stand_guard(&*copy))).is_err() {
        guarded.state().store(NONE, Ordering::SeqCst);
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // The handle is dropped: the thread says through its state that it is done.
    thread::Builder::new()
        .name("seatmeter-seats".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map(drop)
}

fn stand_guard<G: Guarded>(guarded: &G) {
    ask_for_short_slices();
    let state = guarded.state();
    let (flag, wake_word) = guarded.flag_and_wake_word();
    let registration = Registration::of_current_thread(flag, wake_word);
    kill_point("guardian: registered");
    let _ = state.compare_exchange(STARTING, ON_DUTY, Ordering::SeqCst, Ordering::Relaxed);
    while state.load(Ordering::SeqCst) != LEAVING {
        futex_wait(state, ON_DUTY, CHECK_EVERY, false);
        if state.load(Ordering::SeqCst) != LEAVING && !guarded.check_file() {
            break;
        }
    }
    drop(registration);
    state.store(NONE, Ordering::SeqCst);
    futex_wake(state, i32::MAX, false);
}

/// Send the guardian away, and wait until its end would mark nothing. Return false if it did not
/// leave in time; the entry must not be given up then.
pub(super) fn dismiss(state: &AtomicU32) -> bool {
    let until = monotonic_ms() + LEAVE_WITHIN_MS;
    let _ = state
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| (now != NONE).then_some(LEAVING));
    futex_wake(state, i32::MAX, false);
    while state.load(Ordering::SeqCst) != NONE {
        if monotonic_ms() > until {
            return false;
        }
        futex_wait(state, LEAVING, Duration::from_millis(100), false);
    }
    true
}
