//! Named places inside the counting at which a test lets its own process be killed.
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
        "create: made",
        "create: locked",
        "create: header written",
        "create: renamed",
        "entry: before the kind",
        "entry: filled",
        "count: before",
        "count: between two counters",
        "count: after",
        "report: totals read",
        "report: durable",
        "report: names durable",
        "report: before the request",
        "report: answered",
        "report: one counter acknowledged",
        "report: acknowledged",
        "remove: before",
        "remove: removed",
        "set aside: before",
        "set aside: renamed",
        "sweep: locked",
        "grant: root key stored",
        "grant: stored",
    ];

    static PLACE: AtomicUsize = AtomicUsize::new(usize::MAX);
    static VISITS_LEFT: AtomicU32 = AtomicU32::new(0);

    /// Kill this process with SIGKILL at the `visit`th visit (from 1) of the place `NAMES[place]`.
    pub fn arm(place: usize, visit: u32) {
        VISITS_LEFT.store(visit, Ordering::Relaxed);
        PLACE.store(place, Ordering::Relaxed);
    }

    pub(crate) fn kill_point(name: &'static str) {
        debug_assert!(NAMES.contains(&name), "{name} is not listed");
        let place = PLACE.load(Ordering::Relaxed);
        if NAMES.get(place) != Some(&name) || VISITS_LEFT.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        crate::memory::kill_own_process();
    }
}
