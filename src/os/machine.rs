//! What only the kernel says about the machine and this process: clocks, random bytes, the user,
//! signals, and the memory that is left.

use seatmeter_protocol::time_scope::{self, ClocksAhead};

/// Return the wall clock in Unix milliseconds, to the tick of the kernel.
pub fn wall_ms() -> u64 {
    clock_ms(libc::CLOCK_REALTIME_COARSE)
}

/// Return the wall clock in Unix seconds, for log lines and names of files, which people compare.
pub fn wall_seconds() -> u64 {
    wall_ms() / 1000
}

/// Return the milliseconds since the machine was started, including the time that it was suspended.
pub fn boot_ms() -> u64 {
    clock_ms(libc::CLOCK_BOOTTIME)
}

/// Return the monotonic clock in milliseconds, to the tick of the kernel: this is three times
/// cheaper than the exact time.
pub fn monotonic_ms() -> u64 {
    clock_ms(libc::CLOCK_MONOTONIC_COARSE)
}

/// Return the given clock in milliseconds; 0 for a clock that the system does not have.
fn clock_ms(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; an unknown clock leaves it as it is.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Return an id of the machine's start, which is the same for all processes until the next start.
/// It is empty where the system has none.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Return by how much this process's clocks are ahead of the machine's; `None` where the system
/// does not tell.
pub fn clocks_ahead() -> Option<ClocksAhead> {
    time_scope::clocks_ahead(|path| std::fs::read_link(path), |path| std::fs::read_to_string(path))
}

/// Return random bytes for names: from the kernel, or, if it has none yet, from the address of a
/// local and the clock.
pub fn random_bytes() -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer has the length that is passed.
    let got =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if got != bytes.len() as isize {
        let place = bytes.as_ptr() as u64 ^ u64::from(std::process::id()) << 32;
        bytes[..8].copy_from_slice(&place.to_le_bytes());
        bytes[8..].copy_from_slice(&clock_ms(libc::CLOCK_MONOTONIC).to_le_bytes());
    }
    bytes
}

/// Return the user that the process acts as.
pub fn user_id() -> u32 {
    // SAFETY: asks for a number; cannot fail.
    unsafe { libc::geteuid() }
}

/// Say whether the process acts as root.
pub fn is_root() -> bool {
    user_id() == 0
}

/// Say whether the process has more rights than the user who started it: by the set-user-id or
/// set-group-id bit, or by capabilities of the program's file. Its environment is then a
/// stranger's.
pub fn is_privileged() -> bool {
    // SAFETY: asks for a number; cannot fail.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Run `body`, which makes threads, with all signals blocked. A new thread inherits the signal mask
/// of its creator. So no signal of the host ever arrives on one of our threads, not even before its
/// first instruction. Handlers of the host run in the host's threads.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills `all`, the second reads it and fills `before`.
    let is_blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let answer = body();
    if is_blocked {
        // SAFETY: the call above succeeded and filled `before`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    answer
}

/// The smallest request, in bytes, for which the limits of the control group are read. Reading them
/// takes as long as reading a small picture. A group with less than this left kills its processes
/// for any allocation anyway.
const ASKED_BYTES_MIN: usize = 8 << 20;

/// Return whether the process could have so many more bytes, right now. In most code that is not
/// ours, allocation cannot report a failure: it ends the process, or the kernel does. So code that
/// needs much memory calls this first, and refuses instead.
pub fn has_room_for(bytes: usize) -> bool {
    has_addresses_for(bytes)
        && (bytes < ASKED_BYTES_MIN
            || super::control_group::bytes_left().is_none_or(|left| bytes as u64 <= left))
}

fn has_addresses_for(bytes: usize) -> bool {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let room = unsafe { libc::mmap(std::ptr::null_mut(), bytes.max(1), access, kind, -1, 0) };
    if room == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: exactly the mapping made above, which nobody knows.
    unsafe { libc::munmap(room, bytes.max(1)) };
    true
}

/// End this process as an unforeseen death does: nothing runs after this.
#[cfg(feature = "kill-points")]
pub(crate) fn kill_own_process() -> ! {
    // SAFETY: sends a signal to this very process; no memory is involved.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // The signal is on its way; nothing more may happen in this process.
    loop {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_little_and_not_for_more_than_there_can_be() {
        assert!(has_room_for(0) && has_room_for(1 << 20));
        assert!(!has_room_for(usize::MAX >> 1));
    }

    #[test]
    fn signals_are_blocked_while_threads_are_made_and_not_after() {
        let is_blocked = || {
            let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: asks for this thread's mask, which fills `mask`.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr());
                libc::sigismember(mask.as_ptr(), libc::SIGUSR1) == 1
            }
        };
        assert!(!is_blocked());
        assert!(with_signals_blocked(|| std::thread::scope(|scope| scope
            .spawn(is_blocked)
            .join()
            .unwrap())));
        assert!(!is_blocked());
    }
}
