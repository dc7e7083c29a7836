//! The few things that only the kernel can give: mapped files, locks that die with their owner, the page
//! that is wiped in a forked child, the clocks. Everything unsafe outside the C layer and the seat pool is
//! in this folder, behind safe types.

mod fork;
mod lock;
mod mapped;
mod published;
mod range_lock;
mod thread;

pub use fork::{PerProcess, process_generation, wiped_pages};
pub use lock::FileLock;
pub use mapped::{FoundWord, MappedFile};
pub use published::Published;
pub use range_lock::{is_range_locked, try_lock_byte, try_share_byte};
pub use thread::thread_number;

/// The given clock in milliseconds; 0 for a clock that the system does not have.
pub fn clock_ms(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; an unknown clock leaves it as it is.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// An id of the machine's start, the same for all its processes until the next one; empty where the system has none.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Whether the process acts as root.
pub fn is_root() -> bool {
    // SAFETY: asks for a number; cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Blocks every signal in the calling thread: handlers of the host run in the host's threads.
pub fn block_all_signals() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset makes `all` a full, valid set; pthread_sigmask reads it and changes this thread only.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Ends this process as an unforeseen death does: nothing runs after it.
#[cfg(feature = "kill-points")]
pub(crate) fn kill_own_process() -> ! {
    // SAFETY: sends a signal to this very process; no memory is involved.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // The signal is on its way; nothing more may happen in this process.
    loop {
        std::hint::spin_loop();
    }
}
