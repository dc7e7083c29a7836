//! Virtual time: the true time, which the server knows, and the values of each machine's clocks.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use std::time::Duration;

use parking_lot::Mutex;
use seatmeter::clock::Boot;

/// The milliseconds that have passed on the boot clock when the first program of a start can run.
pub(crate) const BOOT_MS: i64 = 5_000;

/// The beginning of every world, Unix seconds: the first instant of a slot.
pub(crate) const START: u64 = 1_800_000_000;

/// The true time, and the machines for which it passes.
#[derive(Default)]
pub(crate) struct Time {
    now_ms: AtomicU64,
    machines: Mutex<Vec<&'static MachineClock>>,
    /// The milliseconds that machines have run, all together.
    lived_ms: AtomicU64,
}

impl Time {
    pub(crate) fn begin() -> Arc<Self> {
        let time = Self::default();
        time.now_ms.store(START * 1000, Relaxed);
        Arc::new(time)
    }

    pub(crate) fn now(&self) -> u64 {
        self.now_ms.load(Relaxed) / 1000
    }

    /// Add a machine, with a correct clock.
    pub(crate) fn machine(self: &Arc<Self>) -> &'static MachineClock {
        let time = Arc::downgrade(self);
        let clock: &'static MachineClock =
            Box::leak(Box::new(MachineClock { time, ..MachineClock::default() }));
        clock.wall_ms.store(signed(self.now_ms.load(Relaxed)), Relaxed);
        clock.boot_ms.store(BOOT_MS, Relaxed);
        clock.is_on.store(true, Relaxed);
        self.machines.lock().push(clock);
        clock
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Relaxed);
        for machine in self.machines.lock().iter() {
            machine.pass(ms);
            if machine.is_in_use.load(Relaxed) {
                self.lived_ms.fetch_add(ms, Relaxed);
            }
        }
    }

    pub(crate) fn lived_days(&self) -> f64 {
        self.lived_ms.load(Relaxed) as f64 / 86_400_000.0
    }
}

/// The clock of a server, which may be ahead of the true time.
pub(crate) struct ServerClock {
    time: Arc<Time>,
    ahead_seconds: AtomicU64,
    was_ahead: AtomicBool,
}

impl ServerClock {
    pub(crate) fn of(time: Arc<Time>) -> Arc<Self> {
        Arc::new(Self { time, ahead_seconds: AtomicU64::new(0), was_ahead: AtomicBool::new(false) })
    }

    pub(crate) fn now(&self) -> u64 {
        self.time.now() + self.ahead_seconds.load(Relaxed)
    }

    pub(crate) fn set_ahead(&self, seconds: u64) {
        self.ahead_seconds.store(seconds, Relaxed);
        self.was_ahead.fetch_or(seconds > 0, Relaxed);
    }

    pub(crate) fn is_ahead(&self) -> bool {
        self.ahead_seconds.load(Relaxed) > 0
    }

    pub(crate) fn was_ahead(&self) -> bool {
        self.was_ahead.load(Relaxed)
    }
}

impl seatmeter_server::clock::Clock for ServerClock {
    fn unix_seconds(&self) -> u64 {
        self.now()
    }
}

/// The clocks of a machine as one of its programs reads them.
pub(crate) struct ProgramClock {
    machine: &'static MachineClock,
    namespace: Namespace,
}

/// A time namespace: the lead of its boot clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) ahead_ms: i64,
    /// Whether the system does not show the namespace or the machine's boot time, because there is
    /// no /proc.
    pub(crate) is_silent: bool,
}

impl ProgramClock {
    pub(crate) fn on(machine: &'static MachineClock, namespace: Namespace) -> &'static Self {
        // A boot clock is never negative.
        let ahead_ms = namespace.ahead_ms.max(-machine.boot_ms.load(Relaxed));
        Box::leak(Box::new(Self { machine, namespace: Namespace { ahead_ms, ..namespace } }))
    }
}

impl seatmeter::clock::Clock for ProgramClock {
    fn wall_ms(&self) -> u64 {
        self.machine.wall_ms.load(Relaxed).try_into().unwrap_or(0)
    }

    fn boot_ms(&self) -> u64 {
        let boot = self.machine.boot_ms.load(Relaxed) + self.namespace.ahead_ms;
        boot.try_into().unwrap_or(0)
    }

    fn monotonic_ms(&self) -> u64 {
        let awake = self.machine.boot_ms.load(Relaxed) - self.machine.suspended_ms.load(Relaxed);
        awake.try_into().unwrap_or(0)
    }

    fn wait(&self, time: Duration) {
        let whole = self.machine.time.upgrade().expect("programs end before their world");
        whole.pass(u64::try_from(time.as_millis()).unwrap_or(0));
    }

    fn boot(&self) -> Boot {
        if self.namespace.is_silent {
            return Boot::default();
        }
        let id = format!("boot {}", self.machine.boots.load(Relaxed));
        Boot { id, ahead_ms: Some(self.namespace.ahead_ms) }
    }
}

/// The clocks of a machine.
#[derive(Default)]
pub(crate) struct MachineClock {
    time: Weak<Time>,
    wall_ms: AtomicI64,
    pub(crate) boot_ms: AtomicI64,
    suspended_ms: AtomicI64,
    /// The drift of the clocks, in millionths.
    drift_ppm: AtomicI64,
    /// The number of the machine's boot.
    pub(crate) boots: AtomicU64,
    is_on: AtomicBool,
    is_asleep: AtomicBool,
    /// Whether a program was ever started on the machine.
    pub(crate) is_in_use: AtomicBool,
}

impl MachineClock {
    fn pass(&self, ms: u64) {
        let ms = signed(ms);
        let ms = ms + ms * self.drift_ppm.load(Relaxed) / 1_000_000;
        self.wall_ms.fetch_add(ms, Relaxed);
        if self.is_on.load(Relaxed) {
            self.boot_ms.fetch_add(ms, Relaxed);
            if self.is_asleep.load(Relaxed) {
                self.suspended_ms.fetch_add(ms, Relaxed);
            }
        }
    }

    /// Return the clocks of a page: the wall clock, and the one that nobody can set. The latter
    /// stops while the machine sleeps.
    pub(crate) fn of_page(&self) -> (i64, i64) {
        let awake = self.boot_ms.load(Relaxed) - self.suspended_ms.load(Relaxed);
        (self.wall_ms.load(Relaxed), awake)
    }

    pub(crate) fn drift(&self, ppm: i64) {
        self.drift_ppm.store(ppm, Relaxed);
    }

    pub(crate) fn shift_wall(&self, seconds: i64) {
        self.wall_ms.fetch_add(seconds * 1000, Relaxed);
    }

    pub(crate) fn sleep(&self, is_asleep: bool) {
        self.is_asleep.store(is_asleep, Relaxed);
    }

    pub(crate) fn switch_off(&self) {
        self.is_on.store(false, Relaxed);
    }

    pub(crate) fn switch_on(&self) {
        if !self.is_on.swap(true, Relaxed) {
            self.boot_ms.store(BOOT_MS, Relaxed);
            self.suspended_ms.store(0, Relaxed);
        }
    }

    /// Copy the values of another clock: that of a copied machine.
    pub(crate) fn copy(&self, other: &Self) {
        self.wall_ms.store(other.wall_ms.load(Relaxed), Relaxed);
        self.drift_ppm.store(other.drift_ppm.load(Relaxed), Relaxed);
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).expect("virtual time stays within this century")
}
