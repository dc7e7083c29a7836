//! Keep signals and cancellation from a thread of the host while it runs our code.
//!
//! | what would strike it | where | held off by |
//! |---|---|---|
//! | `pthread_cancel` | at every system call that may block: the unwinding cannot pass through our frames, and the process would die | [`Uncanceled`] |
//! | SIGXFSZ, SIGPIPE | at our own write, where the file is too large for the process, or nobody reads the pipe: their default is death | [`Undisturbed`] |
//!
//! A cancellation that came meanwhile takes effect at the thread's next cancellation point, in the
//! host's own code. A thread that holds [`Undisturbed`] gets the error of the write (EFBIG, EPIPE)
//! instead of the signal. Threads of the library need neither guard: no other code knows them, and
//! all signals are blocked in them.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

/// The cancellation constants of `pthread.h` in glibc and musl; the `libc` crate does not have
/// them.
const PTHREAD_CANCEL_DISABLE: c_int = 1;
const PTHREAD_CANCEL_DEFERRED: c_int = 0;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
}

/// The signals that the kernel sends to a thread for its own write.
const OF_WRITES: [c_int; 2] = [libc::SIGXFSZ, libc::SIGPIPE];

/// A guard: while it lives, the calling thread cannot be canceled. It costs no system call.
#[derive(Debug)]
pub struct Uncanceled {
    before: c_int,
    /// The mark that the guard stays on the thread that made it.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Uncanceled {
    /// Hold cancellation off.
    #[must_use]
    pub fn hold() -> Self {
        let mut before = 0;
        // SAFETY: both calls change a word of the calling thread, and fill `before`.
        unsafe {
            // The previous type is not restored. If the thread may be canceled anywhere, restoring
            // it could unwind from here. The thread stays cancelable at cancellation points.
            pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, ptr::null_mut());
            pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before);
        }
        Self { before, _thread: std::marker::PhantomData }
    }
}

impl Drop for Uncanceled {
    fn drop(&mut self) {
        // SAFETY: as above. With the deferred type this is no cancellation point.
        unsafe { pthread_setcancelstate(self.before, ptr::null_mut()) };
    }
}

/// A guard: while it lives, the calling thread cannot be canceled, and its writes raise no signal.
#[derive(Debug)]
pub struct Undisturbed {
    /// The thread's previous mask, if it could be changed.
    mask: Option<libc::sigset_t>,
    /// The signals that were pending for the thread before, which are the host's.
    waiting: libc::sigset_t,
    _uncanceled: Uncanceled,
}

impl Undisturbed {
    /// Hold signals and cancellation off.
    #[must_use]
    pub fn hold() -> Self {
        let uncanceled = Uncanceled::hold();
        let (ours, mut mask) = (of_writes(), empty_set());
        // SAFETY: reads the one set and fills the other.
        let is_changed =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const ours, &raw mut mask) } == 0;
        let mut waiting = empty_set();
        if OF_WRITES.iter().any(|&signal| is_in(&mask, signal)) {
            // Only where the host had blocked one, can one have been waiting.
            // SAFETY: fills the set.
            unsafe { libc::sigpending(&raw mut waiting) };
        }
        Self { mask: is_changed.then_some(mask), waiting, _uncanceled: uncanceled }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        let Some(mask) = self.mask else { return };
        let mut not_ours = [false; OF_WRITES.len()];
        for (signal, not_ours) in OF_WRITES.into_iter().zip(&mut not_ours) {
            if !is_in(&self.waiting, signal) {
                *not_ours = take_waiting(signal).is_some_and(|sender| sender != own_id());
            }
        }
        // SAFETY: the mask that `hold` has filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
        for (signal, _) in OF_WRITES.into_iter().zip(not_ours).filter(|(_, not_ours)| *not_ours) {
            // Another process has sent the signal to the host, so it is sent again.
            // SAFETY: sends a signal to this very process; no memory is involved.
            unsafe { libc::kill(own_id(), signal) };
        }
    }
}

/// Take a signal that is pending for this thread. Return the process that has sent it, which is
/// this one for the kernel's own signals.
fn take_waiting(signal: c_int) -> Option<libc::pid_t> {
    let mut set = empty_set();
    let mut information = MaybeUninit::<libc::siginfo_t>::zeroed();
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: reads `set` and `at_once`, and fills `information` when it answers with a signal.
    // With no time to wait it does not block, and cancellation is held off.
    unsafe {
        libc::sigaddset(&raw mut set, signal);
        let taken =
            libc::sigtimedwait(&raw const set, information.as_mut_ptr(), &raw const at_once);
        (taken == signal).then(|| information.assume_init().si_pid())
    }
}

fn own_id() -> libc::pid_t {
    // SAFETY: asks for a number; cannot fail.
    unsafe { libc::getpid() }
}

fn of_writes() -> libc::sigset_t {
    let mut set = empty_set();
    for signal in OF_WRITES {
        // SAFETY: `set` is a set, and the signals are.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call makes of it a set without signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn is_in(set: &libc::sigset_t, signal: c_int) -> bool {
    // SAFETY: reads the set.
    unsafe { libc::sigismember(set, signal) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise_here(signal: c_int) {
        // SAFETY: sends a signal to this very thread, as the kernel does.
        unsafe { libc::raise(signal) };
    }

    fn is_waiting(signal: c_int) -> bool {
        let mut waiting = empty_set();
        // SAFETY: fills the set.
        unsafe { libc::sigpending(&raw mut waiting) };
        is_in(&waiting, signal)
    }

    #[test]
    fn a_signal_of_our_own_write_does_not_reach_the_thread_and_one_that_waited_before_is_still_there()
     {
        {
            let _outer = Undisturbed::hold();
            let _inner = Undisturbed::hold();
            raise_here(libc::SIGXFSZ);
            assert!(is_waiting(libc::SIGXFSZ));
        }
        assert!(!is_waiting(libc::SIGXFSZ), "it would have ended this process");
        let host = of_writes();
        let mut before = empty_set();
        // SAFETY: reads the one set and fills the other.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const host, &raw mut before) };
        raise_here(libc::SIGPIPE);
        drop(Undisturbed::hold());
        assert!(is_waiting(libc::SIGPIPE), "it is the host's");
        assert!(take_waiting(libc::SIGPIPE).is_some());
        // SAFETY: the mask of before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    }

    #[test]
    fn a_thread_is_as_cancellable_afterwards_as_before() {
        let state = || {
            let mut now = 0;
            // SAFETY: changes a word of this thread, twice.
            unsafe {
                pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut now);
                pthread_setcancelstate(now, ptr::null_mut());
            }
            now
        };
        let before = state();
        {
            let _outer = Uncanceled::hold();
            drop(Undisturbed::hold());
            assert_eq!(state(), PTHREAD_CANCEL_DISABLE);
        }
        assert_eq!(state(), before);
    }
}
