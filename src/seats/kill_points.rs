//! Named places inside the operations at which a test lets its own process be killed.
//!
//! Without the feature `kill-points` a place compiles to nothing.

/// Die here if a test asked for it.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub(crate) fn kill_point(_name: &'static str) {}

#[cfg(feature = "kill-points")]
pub(crate) use armed::kill_point;
#[cfg(feature = "kill-points")]
pub use armed::{NAMES, arm};

#[cfg(feature = "kill-points")]
mod armed {
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// Every place.
    pub const NAMES: &[&str] = &[
        "at once: exchanged",
        "change: exchanged",
        "flush: before the exchange",
        "flush: exchanged",
        "end of life: exchanged",
        "attach: lock taken",
        "attach: lock mapped",
        "attach: locked",
        "attach: before the exchange",
        "attach: exchanged",
        "guardian: registered",
        "detach: guardian gone",
        "detach: seats given back",
        "create: before the link",
        "create: linked",
        "set aside: renamed",
        "move: attached to the new file",
        "move: left the old file",
        "ring: before the wake",
    ];

    static PLACE: AtomicUsize = AtomicUsize::new(usize::MAX);
    static VISITS_LEFT: AtomicU32 = AtomicU32::new(0);

    /// Kill this process with SIGKILL at the `visit`th visit (from 1) of the place `NAMES[place]`.
    pub fn arm(place: usize, visit: u32) {
        VISITS_LEFT.store(visit, Ordering::Relaxed);
        PLACE.store(place, Ordering::Relaxed);
    }

    pub(crate) fn kill_point(name: &'static str) {
        let place = PLACE.load(Ordering::Relaxed);
        if NAMES.get(place) != Some(&name) || VISITS_LEFT.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        // SAFETY: sends a signal to this very process; no memory is involved.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        // The signal is on its way; nothing more may happen in this process.
        loop {
            std::hint::spin_loop();
        }
    }
}
