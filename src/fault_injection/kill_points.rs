//! Named places inside the operations at which a test lets its own process be killed, or, where
//! many processes are played by one thread, the work of one be cut off.
//!
//! Without the feature `kill-points` a place compiles to nothing.

/// Die here if a test asked for it.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub(crate) fn kill_point(_name: &'static str) {}

#[cfg(feature = "kill-points")]
pub(crate) use armed::kill_point;
#[cfg(feature = "kill-points")]
pub use armed::{CARRIES, CLONES, COUNTS, CutOff, SEATS, arm, cut_off};

#[cfg(feature = "kill-points")]
mod armed {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    /// Every place in the seat pool.
    pub const SEATS: &[&str] = &[
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
        "pool set aside: renamed",
        "move: attached to the new file",
        "move: left the old file",
        "ring: before the wake",
    ];

    /// Every place in counting, reporting and keeping the license.
    pub const COUNTS: &[&str] = &[
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

    /// Every place in becoming another device.
    pub const CLONES: &[&str] = &["clone: fresh UUID stored"];

    /// Every place in carrying counts out of a file that has lost its name.
    pub const CARRIES: &[&str] =
        &["carry: filled", "carry: under those who count", "carry: renamed"];

    static PLACE: OnceLock<&str> = OnceLock::new();
    static VISITS_LEFT: AtomicU32 = AtomicU32::new(0);

    /// Kill this process with SIGKILL at the `visit`th visit (from 1) of `place`, one of the names.
    /// Once a process.
    pub fn arm(place: &'static str, visit: u32) {
        VISITS_LEFT.store(visit, Ordering::Relaxed);
        PLACE.set(place).expect("a process is armed once");
    }

    thread_local! {
        static CUT_OFF_AFTER: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// What a panic carries that stands for the death of a process which this thread plays.
    #[derive(Clone, Copy, Debug)]
    pub struct CutOff(
        /// The place.
        pub &'static str,
    );

    /// Cut the work of this thread off by a panic at the `visit`th place outside the seat pool
    /// (from 1), wherever that is; `None`: no more. Gives what was left of the order before.
    pub fn cut_off(visit: Option<u32>) -> Option<u32> {
        CUT_OFF_AFTER.replace(visit)
    }

    /// The place that the environment names for a fault of ours: a panic at the first visit in this
    /// process.
    #[allow(clippy::disallowed_methods, reason = "a test tells a C program's library so")]
    fn is_faulty(name: &str) -> bool {
        static PLACE: OnceLock<Option<String>> = OnceLock::new();
        static HAS_FAILED: AtomicBool = AtomicBool::new(false);
        let place = PLACE.get_or_init(|| std::env::var("SEATMETER_FAULT_AT").ok());
        place.as_deref() == Some(name) && !HAS_FAILED.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn kill_point(name: &'static str) {
        assert!(!is_faulty(name), "a fault on purpose, {name}");
        let is_outside_the_pool =
            [COUNTS, CLONES, CARRIES].iter().any(|places| places.contains(&name));
        debug_assert!(is_outside_the_pool || SEATS.contains(&name), "{name} is not listed");
        if PLACE.get() == Some(&name) && VISITS_LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
            crate::os::kill_own_process();
        }
        if let Some(visit) = CUT_OFF_AFTER.get()
            && is_outside_the_pool
        {
            CUT_OFF_AFTER.set(visit.checked_sub(1).filter(|left| *left > 0));
            if visit <= 1 {
                std::panic::resume_unwind(Box::new(CutOff(name)));
            }
        }
    }
}
