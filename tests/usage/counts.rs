//! The accounting law under fire: acknowledged ≤ billed ≤ performed at every instant, and all equal
//! in the end.
//!
//! Two devices with several processes each count against a real server. Processes are killed at
//! random and, with the feature `kill-points`, at every named place. The server is killed under
//! load and restarted. A witness outside the library knows what was performed: a worker notes each
//! piece of work in a shared page before and after it counts it. So a kill in between leaves
//! exactly one piece open.
//!
//! `SEATMETER_SOAK_KILLS` sets the number of kills, `SEATMETER_SOAK_SEED` the random numbers of a
//! run. The scheduling of the processes still differs.
#![allow(clippy::disallowed_methods, reason = "workers are told by the environment what to do")]
#![allow(clippy::print_stderr, reason = "a soak shows its figures")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use seatmeter::files::is_draft;
use seatmeter::parameters::RawParameters;
use seatmeter::reader::{Permit, Reader};
use seatmeter::runtime::runtime;
use seatmeter_e2e::server::{DEMO_CODE, Server};
use seatmeter_protocol::error_code::ErrorCode;

use crate::witness::{Device, Witness, check_end, check_law};

#[cfg(feature = "kill-points")]
use seatmeter::fault_injection::kill_points::COUNTS as NAMES;
#[cfg(not(feature = "kill-points"))]
const NAMES: &[&str] = &[];

const DEVICES: usize = 2;
const WORKERS_OF_A_DEVICE: usize = 3;

/// The number of kills in an ordinary test run.
const KILLS: u64 = 120;
const KILLS_BETWEEN_CHECKS: u64 = 20;
const KILLS_BETWEEN_SERVER_KILLS: u64 = 12;

/// The longest life of a worker whose device has performed something. Most are killed long before.
const LIFE_MS_MAX: u64 = 400;
/// The longest time that a worker is spared until its device has performed something. On a slow
/// machine it may not even have started when its time is over.
const REPRIEVE: Duration = Duration::from_secs(20);

// ---- the worker
// -----------------------------------------------------------------------------------------------

/// Run a worker process. Without its environment variable this test does nothing.
#[test]
fn worker() {
    let Some(job) = std::env::var_os("COUNTS_JOB") else { return };
    if job == "last report" {
        get_licensed();
        runtime().shut_down(Duration::from_secs(20)).unwrap();
        return;
    }
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    #[cfg(feature = "kill-points")]
    if let Ok(place) = std::env::var("COUNTS_PLACE") {
        seatmeter::fault_injection::kill_points::arm(
            NAMES[place.parse::<usize>().unwrap()],
            number("COUNTS_VISIT").try_into().unwrap(),
        );
    }
    let witness = Witness::open(Path::new(&std::env::var_os("COUNTS_WITNESS").unwrap()));
    count_until_killed(&witness, &mut Rng::with_seed(number("COUNTS_SEED")));
}

fn get_licensed() {
    let raw = RawParameters {
        handshake_code: DEMO_CODE.into(),
        deployment_type: 1,
        charge_way: 10,
        uuid_generation_method: 1,
        max_buffer_days: 7,
        max_concurrent_instance_count: 4,
        products: 0xffff,
        ..RawParameters::default()
    };
    while let Err(error) = runtime().initialize(&raw) {
        // Only a dead server may be the reason of an error.
        assert_eq!(error.code, ErrorCode::FAILED_TO_REACH_SERVER, "{error}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn count_until_killed(witness: &Witness, random: &mut Rng) {
    loop {
        // From the second time on this call wakes the keeper, which reports while this thread
        // counts.
        get_licensed();
        let mut reader = Reader::vacant();
        reader.occupy(Permit::take().unwrap());
        for _ in 0..random.u64(..300) {
            if random.u64(..4) == 0 {
                witness.count_page();
            } else {
                witness.count_image(&mut reader, random.usize(..4));
            }
        }
        drop(reader);
        if random.u64(..3) == 0 {
            // This fails while the server is dead; the next worker reports then.
            let _ = runtime().shut_down(Duration::from_secs(2));
        }
    }
}

// ---- the driver
// -----------------------------------------------------------------------------------------------

fn command(device: &Device, server: &Server, job: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["counts::worker", "--exact", "--quiet", "--test-threads=1"])
        .env("COUNTS_JOB", job)
        .env("SEATMETER_STATE_DIR", &device.state)
        .env("SEATMETER_SERVER", server.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Create a file that only a crash of the file system would leave, so that the kill points at its
/// removal are reached.
fn plant(device: &Device, name: &str) {
    let usage = device.state.join("usage");
    let entries = std::fs::read_dir(usage).into_iter().flatten().flatten();
    // A draft of a folder may get its final name at any moment.
    for folder in entries.filter(|entry| entry.path().is_dir() && !is_draft(&entry.path())) {
        std::fs::write(folder.path().join(name), b"SMSE").unwrap();
    }
}

struct Worker {
    device: usize,
    place: Option<usize>,
    process: Child,
    end: Instant,
}

#[derive(Default)]
struct Figures {
    random_kills: u64,
    kills_at_places: Vec<u64>,
    server_kills: u64,
    checks: u64,
}

impl Figures {
    fn kills(&self) -> u64 {
        self.random_kills + self.kills_at_places.iter().sum::<u64>() + self.server_kills
    }
}

struct Fire {
    server: Server,
    devices: Vec<Device>,
    random: Rng,
    figures: Figures,
}

impl Fire {
    fn start(&mut self, device: usize) -> Worker {
        let mut command = command(&self.devices[device], &self.server, "count");
        command.env("COUNTS_WITNESS", &self.devices[device].witness_path);
        command.env("COUNTS_SEED", self.random.u64(..).to_string());
        let mut place = None;
        let mut life_ms = self.random.u64(..LIFE_MS_MAX / 4);
        if !NAMES.is_empty() && self.random.u64(..4) != 0 {
            let number = self.random.usize(..NAMES.len());
            let visits = if NAMES[number].starts_with("count") { 900 } else { 4 };
            command.env("COUNTS_PLACE", number.to_string());
            command.env("COUNTS_VISIT", (1 + self.random.u64(..visits)).to_string());
            match NAMES[number].split(':').next() {
                Some("set aside") => plant(&self.devices[device], "torn.segment"),
                Some("sweep") => plant(&self.devices[device], "unfinished.new"),
                _ => {}
            }
            (place, life_ms) = (Some(number), LIFE_MS_MAX);
        }
        let end = Instant::now() + Duration::from_millis(life_ms);
        Worker { device, place, process: command.spawn().unwrap(), end }
    }

    /// Kill the worker if its time is over, and return whether it is dead.
    fn ends(&mut self, worker: &mut Worker) -> bool {
        if let Some(status) = worker.process.try_wait().unwrap() {
            self.note_death(worker, status);
            return true;
        }
        let reprieve =
            if self.devices[worker.device].has_performed() { Duration::ZERO } else { REPRIEVE };
        if Instant::now() < worker.end + reprieve {
            return false;
        }
        worker.process.kill().unwrap();
        worker.process.wait().unwrap();
        self.figures.random_kills += 1;
        true
    }

    /// Note a worker that has ended by itself: it was killed at its named place.
    fn note_death(&mut self, worker: &Worker, status: ExitStatus) {
        assert_eq!(status.signal(), Some(libc::SIGKILL), "a worker ended otherwise: {status}");
        let place = worker.place.expect("nobody else killed it");
        self.figures.kills_at_places[place] += 1;
    }

    fn kill_server(&mut self) {
        self.server.kill();
        self.figures.server_kills += 1;
        std::thread::sleep(Duration::from_millis(self.random.u64(..30)));
        self.server.start_again();
    }

    fn check(&mut self) {
        self.figures.checks += 1;
        check_law(&self.devices, || self.server.usage());
    }

    fn finish(&mut self) {
        let last = |device: &Device| {
            let mut command = command(device, &self.server, "last report");
            let output = command.stderr(Stdio::piped()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        self.devices.iter().for_each(last);
        check_end(&self.devices, &self.server.usage());
    }
}

#[test]
fn whatever_is_killed_what_was_performed_is_billed_once() {
    if std::env::var_os("COUNTS_JOB").is_some() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number("SEATMETER_SOAK_KILLS").unwrap_or(KILLS);
    let seed =
        number("SEATMETER_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    let folder = tempfile::tempdir().unwrap();
    let mut fire = Fire {
        server: Server::with_demo_license(),
        devices: (0..DEVICES).map(|number| Device::new(folder.path(), number)).collect(),
        random: Rng::with_seed(seed),
        figures: Figures { kills_at_places: vec![0; NAMES.len()], ..Figures::default() },
    };
    let begun = Instant::now();
    let mut workers: Vec<Worker> =
        (0..DEVICES * WORKERS_OF_A_DEVICE).map(|number| fire.start(number % DEVICES)).collect();
    let (mut next_check, mut next_server_kill) = (KILLS_BETWEEN_CHECKS, KILLS_BETWEEN_SERVER_KILLS);
    let deadline = begun + REPRIEVE * 6;
    while fire.figures.kills() < kills || !fire.devices.iter().all(Device::has_performed) {
        assert!(
            fire.figures.kills() < kills || Instant::now() < deadline,
            "a device never got to work"
        );
        std::thread::sleep(Duration::from_millis(1));
        for worker in &mut workers {
            if fire.ends(worker) {
                *worker = fire.start(worker.device);
            }
        }
        if fire.figures.kills() >= next_server_kill {
            fire.kill_server();
            next_server_kill += KILLS_BETWEEN_SERVER_KILLS;
        }
        if fire.figures.kills() >= next_check {
            fire.check();
            next_check += KILLS_BETWEEN_CHECKS;
        }
    }
    for worker in &mut workers {
        worker.process.kill().unwrap();
        worker.process.wait().unwrap();
    }
    fire.check();
    fire.finish();
    show(&fire.figures, seed, begun.elapsed());
}

fn show(figures: &Figures, seed: u64, took: Duration) {
    let at_places = figures.kills_at_places.iter().sum::<u64>();
    eprintln!(
        "{} kills in {} s: {} workers at random, {at_places} at {} places, the server {} times; \
         {} checks; seed {seed}",
        figures.kills(),
        took.as_secs(),
        figures.random_kills,
        NAMES.len(),
        figures.server_kills,
        figures.checks
    );
    for (name, kills) in NAMES.iter().zip(&figures.kills_at_places) {
        eprintln!("{kills:6}  {name}");
    }
    let enough = figures.kills() > 100 * NAMES.len() as u64;
    assert!(
        !enough || figures.kills_at_places.iter().all(|kills| *kills > 0),
        "a place was never reached"
    );
}
