//! The license server, and devices that report to it as the library does.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::{Agreement, ReportKey};
use seatmeter_protocol::signature::{Signed, SigningKey, digest_hex, random_id};
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::http::tls::trust;

use crate::load::{Bench, Connection, Connections, connect};
use crate::storm::Storm;
use crate::wire::{By, post, request};
use crate::{DEVICES, Rates, now, say};

/// The slots that are reported, a day before and after now but for a margin: a server books no
/// others of a device that is new.
const SLOTS_BACK: u32 = 470;
const SLOTS: u32 = 2 * SLOTS_BACK;

pub(crate) const CODE: &str = "BENCH";

impl Bench {
    /// What the server does on this database.
    pub(crate) fn seatmeter(&self, name: &str, seatmeterd: &Path, database: Option<&str>) -> Rates {
        let server = Server::start(seatmeterd, database);
        let devices = self.devices(&server);
        let turn = Arc::new(AtomicU64::new(0));
        let connections = self.connections(server.address);
        let used = server.cpu_seconds();
        let reports = self.reports(&format!("reports, {name}"), &connections, &devices, &turn);
        let micros = 1e6 * (server.cpu_seconds() - used) / turn.load(Ordering::Relaxed) as f64;
        say(&format!("{:<34} {micros:>8.1} µs", format!("processor time a report, {name}")));
        let trust = server.trust();
        let tls = self.connections_with(server.tls_address, Some(&trust));
        let over_tls = self.reports(&format!("reports over TLS, {name}"), &tls, &devices, &turn);
        let storm = Storm::begin(server.tls_address, &trust);
        let beside = format!("reports over TLS in a storm, {name}");
        self.reports(&beside, &tls, &devices, &turn);
        storm.end();
        drop(tls);
        say(&format!("TLS costs {:.0} % of the reports", 100.0 * (1.0 - over_tls / reports)));
        let authorizations = self.measure(&format!("authorizations, {name}"), move |client| {
            let connections = connections.clone();
            async move {
                let mut connection = connections[client].lock().await;
                authorize(&mut connection, &random_id().unwrap()).await;
            }
        });
        server.tell_memory(name);
        (reports, authorizations)
    }

    /// What the server does on a database that is far away: reports and authorizations alone.
    pub(crate) fn over_network(&self, name: &str, seatmeterd: &Path, database: &str) -> Rates {
        let server = Server::start(seatmeterd, Some(database));
        let connections = self.connections(server.address);
        // One after another, they would take as many round trips as there are devices.
        let made = (0..self.clients).map(|client| {
            let connections = connections.clone();
            let count = (client..DEVICES).step_by(self.clients).count();
            async move {
                let mut connection = connections[client].lock().await;
                let mut devices = Vec::new();
                for _ in 0..count {
                    devices.push(Device::authorized(&mut connection).await);
                }
                devices
            }
        });
        let devices = self.runtime.block_on(futures_util::future::join_all(made));
        let devices = Arc::new(devices.into_iter().flatten().collect());
        let turn = Arc::new(AtomicU64::new(0));
        let reports = self.reports(&format!("reports, {name}"), &connections, &devices, &turn);
        let authorizations = self.measure(&format!("authorizations, {name}"), move |client| {
            let connections = connections.clone();
            async move {
                let mut connection = connections[client].lock().await;
                authorize(&mut connection, &random_id().unwrap()).await;
            }
        });
        (reports, authorizations)
    }

    /// What devices report over these connections, in turn.
    pub(crate) fn reports(
        &self,
        name: &str,
        connections: &Connections,
        devices: &Arc<Vec<Device>>,
        turn: &Arc<AtomicU64>,
    ) -> f64 {
        self.measure(name, reporting(connections, devices, turn))
    }

    /// Devices that may work.
    pub(crate) fn devices(&self, server: &Server) -> Arc<Vec<Device>> {
        self.runtime.block_on(async {
            let mut connection = connect(server.address, None).await;
            let mut devices = Vec::new();
            for _ in 0..self.size(DEVICES as u64) {
                devices.push(Device::authorized(&mut connection).await);
            }
            Arc::new(devices)
        })
    }
}

/// The work of a client: a report of the device whose turn it is.
pub(crate) fn reporting(
    connections: &Connections,
    devices: &Arc<Vec<Device>>,
    turn: &Arc<AtomicU64>,
) -> impl Fn(usize) -> Pin<Box<dyn Future<Output = ()>>> + Clone + 'static {
    let first_slot = first_slot();
    let (connections, devices, turn) = (connections.clone(), devices.clone(), turn.clone());
    move |client| {
        let (connections, devices, turn) = (connections.clone(), devices.clone(), turn.clone());
        Box::pin(async move {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let device = &devices[turn as usize % devices.len()];
            let slot = turn / devices.len() as u64;
            let round = slot / u64::from(SLOTS);
            let slot = first_slot + (slot % u64::from(SLOTS)) as u32;
            let mut connection = connections[client].lock().await;
            // When all slots were reported, more is reported of each.
            device.report_to(&mut connection, slot, 7 + round).await;
        })
    }
}

/// The first slot that devices report.
pub(crate) fn first_slot() -> u32 {
    slot_of(now()) - SLOTS_BACK
}

/// A device that may work.
pub(crate) struct Device {
    pub(crate) uuid: String,
    segment_id: String,
    license_id: String,
    pub(crate) local_license: Signed,
    report_key: ReportKey,
}

impl Device {
    pub(crate) async fn authorized(connection: &mut Connection) -> Self {
        Self::authorized_for(connection, CODE).await
    }

    /// The same, with this handshake code.
    pub(crate) async fn authorized_for(connection: &mut Connection, code: &str) -> Self {
        let uuid = random_id().unwrap();
        let (key, agreement) = (device_key(&uuid), Agreement::begin().unwrap());
        let asked = AuthorizationRequest {
            handshake_code: code.to_owned(),
            ..authorization(&uuid, &key, &agreement)
        };
        let body = serde_json::to_vec(&asked).unwrap();
        let by = By::Signature(&key);
        let answer: AuthorizationAnswer = post(connection, AUTHORIZATIONS_PATH, &body, by).await;
        let report_key = agreement.of_device(&answer.key_share, &uuid).unwrap();
        let license: LocalLicense = serde_json::from_str(&answer.local_license.payload).unwrap();
        let (segment_id, license_id) = (random_id().unwrap(), license.license_id);
        Self { uuid, segment_id, license_id, local_license: answer.local_license, report_key }
    }

    /// Report two counters of this slot.
    pub(crate) async fn report_to(&self, connection: &mut Connection, slot: u32, total: u64) {
        self.report_by(connection, slot, total, By::Tag(&self.report_key)).await;
    }

    /// The same to a server that does not know the report key.
    pub(crate) async fn report_signed(&self, connection: &mut Connection, slot: u32, total: u64) {
        let key = device_key(&self.uuid);
        self.report_by(connection, slot, total, By::Signature(&key)).await;
    }

    async fn report_by(&self, connection: &mut Connection, slot: u32, total: u64, by: By<'_>) {
        let body = self.report(slot, total);
        let answer: UsageAnswer = post(connection, USAGE_PATH, &body, by).await;
        assert_eq!((answer.recorded.len(), answer.refused.len()), (1, 0));
    }

    fn report(&self, slot: u32, total: u64) -> Vec<u8> {
        let total = |kind, what| UsageTotal { slot, kind, what, total };
        let segment = SegmentReport {
            segment_id: self.segment_id.clone(),
            license_id: self.license_id.clone(),
            local_license: Some(self.local_license.clone()),
            totals: vec![total(UsageKind::Scan, 0x0400_0000), total(UsageKind::Image, 0)],
        };
        let report = UsageReport {
            receipt: String::new(),
            protocol: 1,
            device: facts(&self.uuid),
            newest_license: Some(self.local_license.clone()),
            segments: vec![segment],
            ended: Vec::new(),
        };
        serde_json::to_vec(&report).unwrap()
    }
}

/// Ask for a license, as the device with this UUID.
pub(crate) async fn authorize(
    connection: &mut Connection,
    uuid: &str,
) -> (AuthorizationAnswer, Agreement) {
    authorize_with(connection, uuid, |_| ()).await
}

/// The same, with a request that shows more.
pub(crate) async fn authorize_with(
    connection: &mut Connection,
    uuid: &str,
    change: impl FnOnce(&mut AuthorizationRequest),
) -> (AuthorizationAnswer, Agreement) {
    let (key, agreement) = (device_key(uuid), Agreement::begin().unwrap());
    let mut request = authorization(uuid, &key, &agreement);
    change(&mut request);
    let body = serde_json::to_vec(&request).unwrap();
    (post(connection, AUTHORIZATIONS_PATH, &body, By::Signature(&key)).await, agreement)
}

/// The request of a new device for a license, as it goes over the network.
pub(crate) fn request_of_new_device() -> Vec<u8> {
    let (uuid, agreement) = (random_id().unwrap(), Agreement::begin().unwrap());
    let key = device_key(&uuid);
    let body = serde_json::to_vec(&authorization(&uuid, &key, &agreement)).unwrap();
    request(AUTHORIZATIONS_PATH, &body, By::Signature(&key))
}

pub(crate) fn facts(uuid: &str) -> DeviceFacts {
    DeviceFacts {
        uuid: uuid.into(),
        friendly_name: "till 7".into(),
        library_version: "0.1.0".into(),
    }
}

/// The key of the device with this UUID: derived, so that no measurement waits for chance.
pub(crate) fn device_key(uuid: &str) -> SigningKey {
    SigningKey::from_seed(&digest_hex(uuid.as_bytes())).unwrap()
}

pub(crate) fn authorization(
    uuid: &str,
    key: &SigningKey,
    agreement: &Agreement,
) -> AuthorizationRequest {
    AuthorizationRequest {
        protocol: 1,
        handshake_code: CODE.into(),
        organization_id: String::new(),
        session_password: String::new(),
        device: facts(uuid),
        deployment_type: DeploymentType::Server,
        charge_way: None,
        products: 1,
        seats: 1,
        buffer_days: 7,
        modules: Vec::new(),
        product_version: None,
        product_edition: None,
        validation: ValidationFacts::default(),
        held_license: None,
        newest_license: None,
        device_key: key.public().clone(),
        key_share: agreement.share().clone(),
        first_contact: uuid.to_owned(),
        needed: 0,
        lost: Vec::new(),
        receipt: String::new(),
        challenge: None,
    }
}

/// `seatmeterd serve` in a folder of its own.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    /// The address with TLS.
    pub(crate) tls_address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(seatmeterd: &Path, database: Option<&str>) -> Self {
        Self::start_with(seatmeterd, database, |_| ())
    }

    /// With something done to the embedded database before.
    pub(crate) fn start_with(
        seatmeterd: &Path,
        database: Option<&str>,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let (folder, data) = Self::initialized(seatmeterd, database);
        prepare(&data.join("seatmeter.db"));
        Self::serve(seatmeterd, database, folder, &[])
    }

    /// A folder with data for a server, and the place of the data.
    pub(crate) fn initialized(
        seatmeterd: &Path,
        database: Option<&str>,
    ) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let data = folder.path().join("data");
        let init = Command::new(seatmeterd)
            .arg("init")
            .arg("--data")
            .arg(&data)
            .args(database.iter().flat_map(|url| ["--database", url]))
            .args(["--demo", "--demo-quota", "65535", "--handshake-code", CODE])
            .output()
            .unwrap();
        assert!(init.status.success(), "{init:?}");
        (folder, data)
    }

    /// Start on the data in this folder.
    pub(crate) fn serve(
        seatmeterd: &Path,
        database: Option<&str>,
        folder: tempfile::TempDir,
        settings: &[&str],
    ) -> Self {
        let no_limit =
            ["--rate-per-source", "10000000", "--rate-per-code", "10000000", "--log", "error"];
        let mut certify = Command::new(seatmeterd);
        certify.args(["tls", "self-signed", "--host", "localhost", "--out"]);
        let certified = certify.arg(folder.path().join("tls")).output().unwrap();
        assert!(certified.status.success(), "{certified:?}");
        let mut process = Command::new(seatmeterd)
            .arg("serve")
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(database.iter().flat_map(|url| ["--database", url]))
            .args(settings)
            .args(["--listen", "http://127.0.0.1:0", "--listen", "https://127.0.0.1:0"])
            .arg("--tls-cert")
            .arg(folder.path().join("tls/server.pem"))
            .arg("--tls-key")
            .arg(folder.path().join("tls/server.key"))
            .args(no_limit)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |scheme: &str| -> SocketAddr {
            let of_line = |line: std::io::Result<String>| {
                line.unwrap().split_once(scheme).map(|(_, address)| address.parse().unwrap())
            };
            lines.find_map(of_line).unwrap()
        };
        let (address, tls_address) = (address("http://"), address("https://"));
        Self { process, address, tls_address, folder }
    }

    /// End the server by SIGKILL, and return its folder.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let empty = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::mem::replace(&mut self.folder, empty)
    }

    /// The trust of a client in its certificate.
    pub(crate) fn trust(&self) -> Arc<rustls::ClientConfig> {
        let ca = trust::certificates(&self.folder.path().join("tls/ca.pem")).unwrap();
        trust::client_config(ca).unwrap()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Tells how much memory it takes.
    pub(crate) fn tell_memory(&self, name: &str) {
        let (now, most) = (self.status("VmRSS:"), self.status("VmHWM:"));
        say(&format!(
            "{:<34} {now:>8} MiB resident, {most} MiB at most",
            format!("memory, {name}")
        ));
    }

    /// Return the time of a processor that it has taken, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The name of the program may have spaces. User and system time are in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
    }

    fn status(&self, field: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
