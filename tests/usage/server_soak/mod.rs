//! The server in trouble, all at once: its process is killed, its disk is full, its clock jumps,
//! its certificate is renewed, its data is put back from a backup, and devices report meanwhile.
//!
//! Six devices with a process each use the library, three over TLS and three over plain HTTP. The
//! license has four seats, so two of them are refused as long as the others hold theirs. The
//! processes are killed, too. [`probe`] asks the server on kept and on new connections, and each
//! request that fails while the server runs is a fault. After each trouble these laws are checked:
//!
//! - acknowledged ≤ exported ≤ performed for each counter of each device;
//! - the server has given no more seats than there are, and no more devices than that ever worked;
//! - no device takes another UUID, as one would that is called a copy.
//!
//! An ordinary run has each trouble once, in an order by chance. `SEATMETER_SOAK_SECONDS` lets it
//! go on for that long, `SEATMETER_SOAK_SEED` sets the random numbers.
#![allow(clippy::disallowed_methods, reason = "workers are told by the environment what to do")]
#![allow(clippy::print_stderr, reason = "a soak shows its figures")]

mod probe;
mod worker;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use seatmeter_e2e::server::TroubledServer;
use serde_json::json;

use crate::small_disk;
use crate::witness::{Device, check_end, check_law};
use probe::Probes;
use worker::Worker;

const DEVICES: usize = 6;
const SEATS: usize = 4;

/// The disk of the server.
const DISK: &str = "64m";

/// The longest jump of the clock, which ends no license and no slot that may be reported.
const AHEAD_MAX: i64 = 3 * 3_600;

/// The longest time that the server is down.
const DOWN_MS_MAX: u64 = 200;

/// The longest time from one trouble to the next.
const PAUSE_MS_MAX: u64 = 600;

/// The longest time in which every device with a seat has performed something.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Kill,
    FullDisk,
    RoomOnDisk,
    ClockAhead,
    ClockAccepted,
    ClockBack,
    Renewal,
    Backup,
    Restore,
}

use Trouble::*;

/// Each trouble, the frequent ones several times.
const TROUBLES: [Trouble; 14] = [
    Kill,
    Kill,
    FullDisk,
    RoomOnDisk,
    RoomOnDisk,
    ClockAhead,
    ClockAhead,
    ClockBack,
    ClockAccepted,
    Renewal,
    Renewal,
    Backup,
    Backup,
    Restore,
];

struct Soak {
    server: TroubledServer,
    devices: Vec<Device>,
    workers: Vec<Worker>,
    probes: Probes,
    random: Rng,
    backup: PathBuf,
    disk_is_full: bool,
    ahead: i64,
    /// What happened how often, in the order of [`TROUBLES`].
    happened: Vec<Trouble>,
    checks: u64,
    worker_kills: u64,
}

#[test]
fn a_server_in_every_trouble_at_once_keeps_the_laws() {
    if std::env::var_os(worker::JOB).is_some() {
        return;
    }
    let Some(disk) = small_disk::place() else {
        let test = "server_soak::a_server_in_every_trouble_at_once_keeps_the_laws";
        return small_disk::run_with(DISK, test);
    };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let time = Duration::from_secs(number("SEATMETER_SOAK_SECONDS").unwrap_or(0));
    let seed =
        number("SEATMETER_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    let folder = tempfile::tempdir().unwrap();
    let item = json!([{
        "item_id": "item", "charge_way": "client_device", "quota": SEATS, "deployment_types": ["server"],
        "products": 0xffff,
    }]);
    let mut server = TroubledServer::with_items(&item, &disk);
    let backup = server.back_up();
    let probes = Probes::begin(&server);
    let mut soak = Soak {
        devices: (0..DEVICES).map(|number| Device::new(folder.path(), number)).collect(),
        server,
        workers: Vec::new(),
        probes,
        random: Rng::with_seed(seed),
        backup,
        disk_is_full: false,
        ahead: 0,
        happened: Vec::new(),
        checks: 0,
        worker_kills: 0,
    };
    eprintln!("seed {seed}");
    let begun = Instant::now();
    soak.run(begun + time);
    soak.finish(begun.elapsed());
}

impl Soak {
    fn run(&mut self, until: Instant) {
        for device in 0..DEVICES {
            let worker =
                Worker::start(device, &self.devices[device], &self.server, &mut self.random);
            self.workers.push(worker);
        }
        self.wait_for_work();
        loop {
            let mut troubles = TROUBLES;
            self.random.shuffle(&mut troubles);
            for trouble in troubles {
                self.meet(trouble);
                self.let_work();
                self.check();
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Wait until all seats are taken and their devices have performed something.
    fn wait_for_work(&mut self) {
        let begun = Instant::now();
        while self.working().count() < SEATS {
            assert!(begun.elapsed() < PATIENCE, "only {} devices work", self.working().count());
            self.look_after_workers();
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn working(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| device.has_performed())
    }

    fn meet(&mut self, trouble: Trouble) {
        match trouble {
            Kill => self.kill_server(),
            FullDisk if !self.disk_is_full => {
                self.server.fill_disk();
                self.disk_is_full = true;
            }
            RoomOnDisk if self.disk_is_full => self.free_disk(),
            ClockAhead => self.set_ahead(self.ahead..=AHEAD_MAX),
            ClockBack => self.set_ahead(0..=self.ahead),
            // The commands below write into the database.
            ClockAccepted if !self.disk_is_full => self.server.accept_clock(),
            Renewal => self.server.renew_certificate(),
            Backup if !self.disk_is_full => self.backup = self.server.back_up(),
            Restore => self.restore(),
            _ => return,
        }
        self.happened.push(trouble);
    }

    fn kill_server(&mut self) {
        let down = Duration::from_millis(self.random.u64(..DOWN_MS_MAX));
        self.probes.server_is_down(|| {
            self.server.kill();
            std::thread::sleep(down);
            self.server.start_again();
        });
    }

    fn free_disk(&mut self) {
        self.server.free_disk();
        self.disk_is_full = false;
    }

    fn set_ahead(&mut self, range: std::ops::RangeInclusive<i64>) {
        self.ahead = self.random.i64(range);
        self.server.set_ahead(self.ahead);
    }

    /// Put the data back, and let each device with a seat show it once. The restored server grants
    /// for 180 s only what devices show. After that, it gives the seats of those that it does not
    /// know to others.
    fn restore(&mut self) {
        if self.disk_is_full {
            self.free_disk();
        }
        self.probes.server_is_down(|| self.server.restore(&self.backup));
        for device in self.devices.iter().filter(|device| device.has_performed()) {
            worker::report_once(device, &self.server);
        }
    }

    /// Let the devices work for a while.
    fn let_work(&mut self) {
        let until = Instant::now() + Duration::from_millis(self.random.u64(..PAUSE_MS_MAX));
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
            self.look_after_workers();
        }
    }

    fn look_after_workers(&mut self) {
        for worker in &mut self.workers {
            if worker.ends() {
                self.worker_kills += 1;
                let device = worker.device;
                *worker =
                    Worker::start(device, &self.devices[device], &self.server, &mut self.random);
            }
        }
    }

    fn check(&mut self) {
        self.checks += 1;
        check_law(&self.devices, || self.server.usage());
        let (holders, working) = (self.server.holders().len(), self.working().count());
        assert!(holders <= SEATS, "{holders} devices hold {SEATS} seats: {:?}", self.happened);
        assert!(working <= SEATS, "{working} devices have worked with {SEATS} seats");
        for worker in &mut self.workers {
            worker.check_identity(&self.devices[worker.device]);
        }
        self.probes.check();
    }

    fn finish(mut self, took: Duration) {
        self.workers.iter_mut().for_each(Worker::kill);
        if self.disk_is_full {
            self.free_disk();
        }
        self.server.accept_clock();
        self.check();
        for device in self.working() {
            worker::report_once(device, &self.server);
        }
        self.probes.check_certificate(&self.server);
        let probes = self.probes.end();
        check_end(&self.devices, &self.server.usage());
        let times = |trouble| self.happened.iter().filter(|met| **met == trouble).count();
        let told: Vec<_> =
            [Kill, FullDisk, ClockAhead, ClockBack, ClockAccepted, Renewal, Backup, Restore]
                .map(|trouble| format!("{trouble:?} {}", times(trouble)))
                .into();
        eprintln!(
            "{} s: {}; {} workers killed; {} requests of probes, {} of them not ready, none failed \
             while the server ran; {} checks",
            took.as_secs(),
            told.join(", "),
            self.worker_kills,
            probes.asked.load(Ordering::SeqCst),
            probes.not_ready.load(Ordering::SeqCst),
            self.checks
        );
    }
}
