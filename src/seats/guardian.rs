//! The thread whose end tells the others at once that its process died.
//!
//! The kernel drops a file lock of a dying process only after it has freed its memory: 55 to 190 ms
//! per GiB. But before that it walks the robust list of each thread and marks the futex words found
//! there. So a thread that does nothing else keeps one item in that list, the flag of its process
//! entry: it shows the death within some 50 µs at any size, and asking a flag is one load where
//! asking for a lock is a system call. The lock stays the authority, for entries whose flag was
//! never set.
//!
//! The list has a second word, "operation pending", meant for a mutex that was being unlocked: if
//! the low bits of the word that it points to are zero, the kernel wakes one sleeper there. It
//! points to the wake word, so that a death wakes who waits for a seat.
//!
//! A thread has one robust list, and glibc keeps its own there for robust mutexes: so this must be
//! a thread of ours, on which nobody locks such a mutex.
//!
//! | state | who moves it on |
//! | --- | --- |
//! | NONE → STARTING | who attaches, before the thread is made |
//! | STARTING → ON_DUTY | the thread: flag set, list registered |
//! | STARTING, ON_DUTY → LEAVING | who detaches |
//! | STARTING, ON_DUTY, LEAVING → NONE | the thread, after it took its list away: from then on its end marks nothing |

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::fault_injection::kill_points::kill_point;
use crate::os::robust_list::Registration;
use crate::os::system::{self, futex_wait, futex_wake};
use crate::os::{ask_for_short_slices, with_signals_blocked};

pub(super) const NONE: u32 = 0;
const STARTING: u32 = 1;
const ON_DUTY: u32 = 2;
const LEAVING: u32 = 3;

/// Enough for a look at the file and for moving to another one; the kernel gives what is touched.
const STACK_BYTES: usize = 64 * 1024;
/// How often the guardian looks whether the pool file still is the one with the name.
const LOOK_EVERY: Duration = Duration::from_millis(1000);
/// How long a detaching thread waits for the guardian. It has nothing to do but to see the word;
/// only a process whose threads get no time at all misses this.
const LEAVE_WITHIN_MS: u64 = 2_000;

/// What a guardian guards.
pub(super) trait Guarded: Send + Sync + 'static {
    /// State of the guardian, one of this file's constants.
    fn state(&self) -> &AtomicU32;
    /// Flag of the entry, and the wake word.
    fn flag_and_wake_word(&self) -> (&AtomicU32, &AtomicU32);
    /// Once a second. False if the guardian is no longer needed.
    fn look(&self) -> bool;
}

/// Start the guardian. Where there can be none, the lock alone tells of the death: later, but as
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
        futex_wait(state, ON_DUTY, LOOK_EVERY, false);
        if state.load(Ordering::SeqCst) != LEAVING && !guarded.look() {
            break;
        }
    }
    drop(registration);
    state.store(NONE, Ordering::SeqCst);
    futex_wake(state, i32::MAX, false);
}

/// Send the guardian away and wait until its end would mark nothing. False if it did not come to it
/// in time: then the entry must not be given up.
pub(super) fn dismiss(state: &AtomicU32) -> bool {
    let until = system::coarse_ms() + LEAVE_WITHIN_MS;
    let _ = state
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| (now != NONE).then_some(LEAVING));
    futex_wake(state, i32::MAX, false);
    while state.load(Ordering::SeqCst) != NONE {
        if system::coarse_ms() > until {
            return false;
        }
        futex_wait(state, LEAVING, Duration::from_millis(100), false);
    }
    true
}
