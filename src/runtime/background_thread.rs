//! A background thread of a process: the keeper, which renews and reports while the host works, or
//! the watch, which checks files.
//!
//! All signals are blocked in it, so that the host's handlers run in the host's threads. It starts
//! with the first license, and ends at `SM_Shutdown` within a bound.
//!
//! | state | running | stop | |
//! |---|---|---|---|
//! | none | no | no | before the first license, or after a stop |
//! | asleep or at work | yes | no | |
//! | ending | yes | yes | finishes the request in progress; continues after that if it is started again |

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::os::locks::{Condvar, Mutex};
use crate::os::with_signals_blocked;

/// The thread's stack in bytes. TLS and JSON need some stack; the default of 8 MiB would count
/// against small limits.
const STACK_BYTES: usize = 512 << 10;

/// The control of the thread.
#[derive(Debug)]
pub struct BackgroundThread {
    /// The name of the thread in the system, at most 15 bytes.
    name: &'static str,
    control: Mutex<Control>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Control {
    running: bool,
    stop: bool,
    wake: bool,
    /// The handle by which a caller waits for the thread's end.
    thread: Option<JoinHandle<()>>,
}

impl BackgroundThread {
    /// Return a background thread of this name. The thread does not run yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, control: Mutex::default(), changed: Condvar::default() }
    }

    /// Start the thread unless it runs, then wake it. `work` does what is due and returns the time
    /// until it is due again. If the system has no thread to give, the next initialization and
    /// `SM_Shutdown` do the work.
    pub fn ensure_running(&'static self, work: impl FnMut() -> Duration + Send + 'static) {
        let mut control = self.control.lock();
        if control.running {
            control.wake = true;
            // The thread may be ending: the call that stopped it did not wait for its end.
            control.stop = false;
            self.changed.notify_all();
            return;
        }
        control.running = true;
        control.stop = false;
        let builder = std::thread::Builder::new().name(self.name.into()).stack_size(STACK_BYTES);
        match with_signals_blocked(|| builder.spawn(move || self.run(work))) {
            Ok(thread) => control.thread = Some(thread),
            Err(_) => control.running = false,
        }
    }

    /// Make the thread do its work now, if it runs.
    pub fn wake(&self) {
        self.control.lock().wake = true;
        self.changed.notify_all();
    }

    /// End the thread. Return whether it ended within the bound. Otherwise it ends as soon as its
    /// request does.
    pub fn stop(&self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        let mut control = self.control.lock();
        control.stop = true;
        self.changed.notify_all();
        while control.running {
            if self.changed.wait_until(&mut control, end).timed_out() {
                return !control.running;
            }
        }
        let thread = control.thread.take();
        drop(control);
        // The thread has announced its end: now it is gone, too. It does not end by a panic: see
        // `run`.
        thread.map(JoinHandle::join);
        true
    }

    fn run(&self, mut work: impl FnMut() -> Duration) {
        loop {
            // A bug in one round must not end the thread: the next round may succeed.
            let due = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut work))
                .unwrap_or(PAUSE_AFTER_FAULT);
            let end = Instant::now() + due;
            let mut control = self.control.lock();
            while !control.stop && !control.wake {
                if self.changed.wait_until(&mut control, end).timed_out() {
                    break;
                }
            }
            control.wake = false;
            if control.stop {
                control.running = false;
                self.changed.notify_all();
                return;
            }
        }
    }
}

/// The pause after a round that failed by a bug of this library.
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn it_works_once_sleeps_and_wakes_when_called() {
        let keeper: &'static BackgroundThread =
            Box::leak(Box::new(BackgroundThread::new("seatmeter-test")));
        let (sender, rounds) = mpsc::channel();
        keeper.ensure_running(move || {
            sender.send(()).ok();
            LONG
        });
        rounds.recv().unwrap();
        keeper.ensure_running(|| unreachable!("there is a thread already"));
        rounds.recv().unwrap();
        assert!(keeper.stop(LONG));
    }

    #[test]
    fn it_survives_a_fault_in_its_work_and_can_be_started_again() {
        let keeper: &'static BackgroundThread =
            Box::leak(Box::new(BackgroundThread::new("seatmeter-test")));
        let (sender, rounds) = mpsc::channel();
        keeper.ensure_running(move || {
            sender.send(()).ok();
            panic!("a fault")
        });
        rounds.recv().unwrap();
        assert!(keeper.stop(LONG));
        let (sender, rounds) = mpsc::channel();
        keeper.ensure_running(move || {
            sender.send(()).ok();
            LONG
        });
        rounds.recv().unwrap();
        assert!(keeper.stop(LONG));
    }

    /// Return a keeper within a round that lasts until the sender is dropped. The receiver gets a
    /// message for each round that begins.
    fn at_work() -> (&'static BackgroundThread, mpsc::Sender<()>, mpsc::Receiver<()>) {
        let keeper: &'static BackgroundThread =
            Box::leak(Box::new(BackgroundThread::new("seatmeter-test")));
        let (release, held) = mpsc::channel::<()>();
        let (sender, started) = mpsc::channel();
        keeper.ensure_running(move || {
            sender.send(()).ok();
            held.recv().ok();
            LONG
        });
        started.recv().unwrap();
        (keeper, release, started)
    }

    #[test]
    fn stopping_is_bounded_even_when_the_work_hangs() {
        let (keeper, release, _) = at_work();
        assert!(!keeper.stop(Duration::from_millis(1)));
        drop(release);
        assert!(keeper.stop(LONG));
    }

    #[test]
    fn one_that_is_wanted_again_while_it_ends_goes_on() {
        let (keeper, release, started) = at_work();
        assert!(!keeper.stop(Duration::from_millis(1)));
        keeper.ensure_running(|| unreachable!("there is a thread already"));
        drop(release);
        started.recv().unwrap();
        assert!(keeper.stop(LONG));
    }
}
