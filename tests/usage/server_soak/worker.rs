//! The processes of the devices, which count until they are killed.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use seatmeter::parameters::RawParameters;
use seatmeter::reader::{Permit, Reader};
use seatmeter::runtime::runtime;
use seatmeter_e2e::server::{DEMO_CODE, TroubledServer};
use seatmeter_protocol::error_code::ErrorCode;

use crate::witness::{Device, Witness};

/// The variable that says what a worker does.
pub(super) const JOB: &str = "SERVER_SOAK_JOB";

/// The longest life of a worker.
const LIFE_MS_MAX: u64 = 4_000;

/// The bound of a report of everything.
const REPORT_TIME_MAX: Duration = Duration::from_secs(20);

/// The pause of a worker between images and questions to the server.
const PAUSE: Duration = Duration::from_millis(15);

/// Run a worker process. Without its environment variable this test does nothing.
#[test]
fn worker() {
    let Some(job) = std::env::var_os(JOB) else { return };
    if job == "report once" {
        get_licensed();
        // A device that has nothing to report shows its license all the same.
        runtime().sync(REPORT_TIME_MAX).unwrap();
        runtime().shut_down(REPORT_TIME_MAX).unwrap();
        return;
    }
    let witness = Witness::open(Path::new(&std::env::var_os("SERVER_SOAK_WITNESS").unwrap()));
    let seed = std::env::var("SERVER_SOAK_SEED").unwrap().parse().unwrap();
    count_until_killed(&witness, &mut Rng::with_seed(seed));
}

fn get_licensed() {
    let raw = RawParameters {
        handshake_code: DEMO_CODE.into(),
        deployment_type: 1,
        uuid_generation_method: 1,
        max_buffer_days: 7,
        max_concurrent_instance_count: 1,
        products: 0xffff,
        ..RawParameters::default()
    };
    while let Err(error) = runtime().initialize(&raw) {
        // The server is down, restored just now or without room on its disk, or all seats are
        // taken. A device that is called a copy would be a fault.
        let passing =
            [ErrorCode::FAILED_TO_REACH_SERVER, ErrorCode::STANDBY_NOT_READY, ErrorCode::USED_UP];
        assert!(passing.contains(&error.code), "{error}");
        std::thread::sleep(PAUSE);
    }
}

fn count_until_killed(witness: &Witness, random: &mut Rng) {
    loop {
        get_licensed();
        let mut reader = Reader::vacant();
        reader.occupy(Permit::take().unwrap());
        for _ in 0..random.u64(..300) {
            match random.u64(..4) {
                0 => witness.count_page(),
                barcodes => witness.count_image(&mut reader, barcodes as usize),
            }
        }
        drop(reader);
        if random.u64(..3) == 0 {
            // This fails while the server is down; the next worker reports then.
            let _ = runtime().shut_down(Duration::from_secs(2));
        }
        std::thread::sleep(PAUSE);
    }
}

fn command(device: &Device, url: &str, server: &TroubledServer, job: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["server_soak::worker::worker", "--exact", "--quiet", "--nocapture"])
        .env(JOB, job)
        .env("SEATMETER_STATE_DIR", &device.state)
        .env("SEATMETER_SERVER", url)
        .env("SEATMETER_CA_FILE", server.ca_file())
        .env("SERVER_SOAK_WITNESS", &device.witness_path)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Let a device show its license and report everything, in a process that nobody kills.
pub(super) fn report_once(device: &Device, server: &TroubledServer) {
    let output = command(device, server.url(), server, "report once").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A process of a device.
pub(super) struct Worker {
    pub(super) device: usize,
    process: Child,
    end: Instant,
    uuid: Option<String>,
}

impl Worker {
    pub(super) fn start(
        number: usize,
        device: &Device,
        server: &TroubledServer,
        random: &mut Rng,
    ) -> Self {
        let url = if number.is_multiple_of(2) { server.url() } else { server.plain_url() };
        let mut command = command(device, url, server, "count");
        command.env("SERVER_SOAK_SEED", random.u64(..).to_string());
        let end = Instant::now() + Duration::from_millis(random.u64(..LIFE_MS_MAX));
        let uuid = device.uuid();
        Self { device: number, process: command.spawn().unwrap(), end, uuid }
    }

    /// Kill the process if its time is over, and return whether it is dead.
    pub(super) fn ends(&mut self) -> bool {
        if let Some(status) = self.process.try_wait().unwrap() {
            panic!("a worker of device {} ended by itself: {status}", self.device);
        }
        let is_over = Instant::now() >= self.end;
        if is_over {
            self.kill();
        }
        is_over
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "a worker ended by itself: {status}");
    }

    /// Check that the device has the UUID that it had before.
    pub(super) fn check_identity(&mut self, device: &Device) {
        let uuid = device.uuid();
        // A device without a license may not have written its UUID yet.
        if self.uuid.is_some() && device.has_performed() {
            assert_eq!(self.uuid, uuid, "device {} has another UUID", self.device);
        }
        self.uuid = uuid;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both calls fail only when the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
