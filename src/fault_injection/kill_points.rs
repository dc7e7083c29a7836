//! Named places inside the operations at which a test can have its own process killed. If one
//! thread plays many processes, the test cuts off the work of one of them instead.
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

    /// The places in the seat pool.
    pub const SEATS: &[&str] = &[
        "at once: exchanged",
        "change: exchanged",
        "flush: before the exchange",
        "flush: exchanged",
        "end of attachment: exchanged",
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
        "wake: before the system call",
    ];

    /// The places in counting, reporting and storing the license.
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

    /// The places in taking a fresh UUID.
    pub const CLONES: &[&str] = &["clone: fresh UUID stored"];

    /// The places in carrying counts out of a file that has lost its name.
    pub const CARRIES: &[&str] =
        &["carry: filled", "carry: under those who count", "carry: renamed"];

    static PLACE: OnceLock<&str> = OnceLock::new();
    static VISITS_LEFT: AtomicU32 = AtomicU32::new(0);

    /// Kill this process with SIGKILL at the `visit`th visit (from 1) of `place`, which is one of
    /// the names. Call this once per process.
    pub fn arm(place: &'static str, visit: u32) {
        VISITS_LEFT.store(visit, Ordering::Relaxed);
        PLACE.set(place).expect("a process is armed once");
    }

    thread_local! {
        static CUT_OFF_AFTER: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// The payload of a panic that stands for the death of a process which this thread plays.
    #[derive(Clone, Copy, Debug)]
    pub struct CutOff(
        /// The name of the place.
        pub &'static str,
    );

    /// Cut off the work of this thread by a panic at the `visit`th place outside the seat pool
    /// (from 1), whichever it is; `None` cancels this. Return how many visits were left of the
    /// previous order.
    pub fn cut_off(visit: Option<u32>) -> Option<u32> {
        CUT_OFF_AFTER.replace(visit)
    }

    /// Return whether the environment names this place for an injected bug: a panic at the first
    /// visit in this process.
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
