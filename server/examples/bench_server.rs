//! Durable usage reports and authorisations per second over HTTP, client and server on the same machine; on SQLite, on
//! PostgreSQL, and beside them what Redis and etcd do that comes nearest.
//!
//! `bench_server [seconds per measurement] [clients] [seatmeterd]`; `make bench-server` builds and runs it.
//!
//! Each client has one connection that it keeps, and one request in flight. A report is as the library sends it: the
//! device's local licence, signed, and two counters of a slot that was not reported before. What the server does is
//! its whole work: it checks the licence, books, makes durable, and signs the answer. A new device with each
//! authorisation. The peers neither check nor sign anything:
//!
//! | peer | a report | an authorisation |
//! | --- | --- | --- |
//! | Redis, `appendfsync always` | a Lua script that keeps the maximum of two counters | one that counts the leases that run, and adds one |
//! | etcd | a put | a lease, and a put under it |
//!
//! A peer that is not on the machine is left out, and named.
//!
//! `bench_server [seconds] [clients] [seatmeterd] scale` measures in place of that what a report costs on SQLite with a
//! thousand and with a million known devices, each of which may be the next to report; with one day and with a year of
//! history; and what five thousand clients that send half a head and wait do to the others.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run must stop")]
#![allow(clippy::disallowed_methods, reason = "it measures with the system's clock")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::{Signed, random_id};
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../tests/cluster/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod cluster;

/// Devices that report in turn.
const DEVICES: usize = 1_000;

/// Clients that send half a head and wait.
const SLOW_CLIENTS: u64 = 5_000;

/// How far back the first slot lies that is reported.
const SLOTS_BACK: u32 = 60_000;

const CODE: &str = "BENCH";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().map_or(4.0, |text| text.parse().unwrap());
    let clients: usize = arguments.next().map_or(64, |text| text.parse().unwrap());
    let seatmeterd =
        arguments.next().map_or_else(|| PathBuf::from("target/release/seatmeterd"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench { runtime, time: Duration::from_secs_f64(seconds), clients };
    say(&format!(
        "{clients} clients, {seconds} s for each measurement; p99 at half of the rate in the last column"
    ));
    if arguments.next().as_deref() == Some("scale") {
        return bench.scale(&seatmeterd);
    }
    let sqlite = bench.seatmeter("SQLite", &seatmeterd, None);
    let cluster = cluster::Cluster::start(true);
    if let Some(cluster) = &cluster {
        let postgres =
            bench.seatmeter("PostgreSQL", &seatmeterd, Some(&cluster.url(&cluster.new_database())));
        compare("seatmeter on PostgreSQL / on SQLite", postgres, sqlite);
    } else {
        say("left out: PostgreSQL, which is not on this machine");
    }
    for (name, peer) in [("Redis", bench.redis()), ("etcd", bench.etcd())] {
        match peer {
            Some(figures) => compare(&format!("seatmeter on SQLite / {name}"), sqlite, figures),
            None => say(&format!("left out: {name}, which is not on this machine")),
        }
    }
    say(&format!(
        "at one report per device and slot: {:.1} million devices on SQLite",
        sqlite.0 * SLOT_SECONDS as f64 / 1e6
    ));
}

/// Reports and authorisations per second.
type Rates = (f64, f64);

fn compare(what: &str, of: Rates, to: Rates) {
    say(&format!("{what}: reports {:.2}, authorisations {:.2}", of.0 / to.0, of.1 / to.1));
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    time: Duration,
    clients: usize,
}

impl Bench {
    /// Measures at full speed, and at half of it.
    fn measure<W, F>(&self, name: &str, work: W) -> f64
    where
        W: Fn(usize) -> F + Clone + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.measure_with(name, self.clients, work)
    }

    fn measure_with<W, F>(&self, name: &str, clients: usize, work: W) -> f64
    where
        W: Fn(usize) -> F + Clone + 'static,
        F: Future<Output = ()> + 'static,
    {
        let full = self.runtime.block_on(drive(clients, self.time, None, work.clone()));
        let pause = self.time.mul_f64(2.0 * clients as f64 / full.len() as f64);
        let half = self.runtime.block_on(drive(clients, self.time, Some(pause), work));
        let rate = full.len() as f64 / self.time.as_secs_f64();
        say(&format!(
            "{name:<34} {rate:>8.0} /s   p50 {:>6.2} ms   p99 {:>6.2} ms   {:>6.2} ms",
            percentile(&full, 50),
            percentile(&full, 99),
            percentile(&half, 99)
        ));
        rate
    }

    fn scale(&self, seatmeterd: &Path) {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(2 * SLOW_CLIENTS)), hard).unwrap();
        let mut rates = Vec::new();
        for (name, devices, days) in [
            ("1 000 devices, 1 day", 1_000, 1),
            ("1 000 devices, 365 days", 1_000, 365),
            ("1 000 000 devices, 1 day", 1_000_000, 1),
        ] {
            let server = Server::start_with(seatmeterd, None, |database| fill(database, devices, days));
            let connections = self.connections(server.address);
            rates
                .push(self.measure(&format!("reports, {name}"), known_devices(devices, connections.clone())));
            let memory = (server.resident_mib(), server.peak_mib());
            say(&format!(
                "{:<34} {:>8} MiB resident, {} MiB at most",
                format!("memory, {name}"),
                memory.0,
                memory.1
            ));
            if rates.len() == 1 {
                let slow: Vec<_> = (0..SLOW_CLIENTS)
                    .map(|_| {
                        let mut slow = std::net::TcpStream::connect(server.address).unwrap();
                        slow.write_all(b"POST /v1/usage HTTP/1.1\r\nhost: be").unwrap();
                        slow
                    })
                    .collect();
                // Some of the clients' own connections have waited longest: they had nothing to do meanwhile.
                let connections = self.connections(server.address);
                self.measure("reports, with 5 000 slow clients", known_devices(devices, connections));
                drop(slow);
            }
        }
        say(&format!(
            "a year of history: {:.2} of the rate with a day; a million devices: {:.2} of that with a thousand",
            rates[1] / rates[0],
            rates[2] / rates[0]
        ));
    }

    fn seatmeter(&self, name: &str, seatmeterd: &Path, database: Option<&str>) -> Rates {
        let server = Server::start(seatmeterd, database);
        let devices: Arc<Vec<Device>> = self.runtime.block_on(async {
            let mut connection = TcpStream::connect(server.address).await.unwrap();
            let mut devices = Vec::new();
            for _ in 0..DEVICES {
                devices.push(Device::authorized(&mut connection).await);
            }
            Arc::new(devices)
        });
        let (address, turn) = (server.address, Arc::new(AtomicU64::new(0)));
        let first_slot = slot_of(now()) - SLOTS_BACK;
        let connections = self.connections(address);
        let reports = self.measure(&format!("reports, {name}"), {
            let connections = connections.clone();
            move |client| {
                let (connections, devices, turn) = (connections.clone(), devices.clone(), turn.clone());
                async move {
                    let turn = turn.fetch_add(1, Ordering::Relaxed);
                    let device = &devices[turn as usize % DEVICES];
                    let body = device.report(first_slot + u32::try_from(turn / DEVICES as u64).unwrap());
                    let mut connection = connections[client].lock().await;
                    let answer: UsageAnswer = post(&mut connection, USAGE_PATH, &body).await;
                    assert_eq!((answer.recorded.len(), answer.refused.len()), (1, 0));
                }
            }
        });
        let authorisations = self.measure(&format!("authorisations, {name}"), move |client| {
            let connections = connections.clone();
            async move {
                let body = serde_json::to_vec(&authorization(&random_id().unwrap())).unwrap();
                let mut connection = connections[client].lock().await;
                let _: AuthorizationAnswer = post(&mut connection, AUTHORIZATIONS_PATH, &body).await;
            }
        });
        let memory = server.resident_mib();
        say(&format!(
            "{:<34} {memory:>8} MiB resident, {} MiB at most",
            format!("memory, {name}"),
            server.peak_mib()
        ));
        (reports, authorisations)
    }

    fn connections(&self, address: SocketAddr) -> Arc<Vec<tokio::sync::Mutex<TcpStream>>> {
        self.runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..self.clients {
                let connection = TcpStream::connect(address).await.unwrap();
                connection.set_nodelay(true).unwrap();
                connections.push(tokio::sync::Mutex::new(connection));
            }
            Arc::new(connections)
        })
    }

    fn redis(&self) -> Option<Rates> {
        let folder = tempfile::tempdir_in(".").unwrap();
        let port = free_port();
        let mut redis = Command::new("redis-server");
        redis
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path());
        redis.args(["--appendonly", "yes", "--appendfsync", "always"]);
        let _peer = Peer::start(&mut redis, port)?;
        let connections = self.connections(([127, 0, 0, 1], port).into());
        let keep_maximum = "for i = 2, #ARGV, 2 do
              local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i - 1]) or 0)
              if tonumber(ARGV[i]) > known then redis.call('HSET', KEYS[1], ARGV[i - 1], ARGV[i]) end
            end return 1";
        let lease = "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
            if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
            redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) return 1";
        let turn = Arc::new(AtomicU64::new(0));
        let work = connections.clone();
        let reports = self.measure("reports, Redis", move |client| {
            let (connections, turn) = (work.clone(), turn.clone());
            async move {
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                let key = format!("usage:{}", turn % DEVICES as u64);
                let (scan, image) =
                    (format!("{}:scan", turn / DEVICES as u64), format!("{}:image", turn / DEVICES as u64));
                let mut connection = connections[client].lock().await;
                redis_command(&mut connection, &["EVAL", keep_maximum, "1", &key, &scan, "7", &image, "7"])
                    .await;
            }
        });
        let authorisations = self.measure("authorisations, Redis", move |client| {
            let connections = connections.clone();
            async move {
                let (device, now) = (random_id().unwrap(), now());
                let (now, until) = (now.to_string(), (now + 604_800).to_string());
                let mut connection = connections[client].lock().await;
                redis_command(
                    &mut connection,
                    &["EVAL", lease, "1", "leases", &device, &now, &until, "100000000"],
                )
                .await;
            }
        });
        Some((reports, authorisations))
    }

    fn etcd(&self) -> Option<Rates> {
        let folder = tempfile::tempdir_in(".").unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let url = format!("http://127.0.0.1:{port}");
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(folder.path().join("data")).args(["--listen-client-urls", &url]);
        etcd.args([
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &format!("http://127.0.0.1:{peer_port}"),
        ]);
        let _peer = Peer::start(&mut etcd, port)?;
        let connections = self.connections(([127, 0, 0, 1], port).into());
        let turn = Arc::new(AtomicU64::new(0));
        let work = connections.clone();
        let reports = self.measure("reports, etcd", move |client| {
            let (connections, turn) = (work.clone(), turn.clone());
            async move {
                let key = base64(&format!("usage/{}", turn.fetch_add(1, Ordering::Relaxed)));
                let body = format!(r#"{{"key":"{key}","value":"Nw=="}}"#);
                let mut connection = connections[client].lock().await;
                let _: serde_json::Value = post(&mut connection, "/v3/kv/put", body.as_bytes()).await;
            }
        });
        let authorisations = self.measure("authorisations, etcd", move |client| {
            let connections = connections.clone();
            async move {
                let mut connection = connections[client].lock().await;
                let lease: serde_json::Value =
                    post(&mut connection, "/v3/lease/grant", br#"{"TTL":604800}"#).await;
                let key = base64(&random_id().unwrap());
                let body = format!(
                    r#"{{"key":"{key}","value":"MQ==","lease":"{}"}}"#,
                    lease["ID"].as_str().unwrap()
                );
                let _: serde_json::Value = post(&mut connection, "/v3/kv/put", body.as_bytes()).await;
            }
        });
        Some((reports, authorisations))
    }
}

/// Lets clients work until the time is over; the latencies of all, in order.
async fn drive<W, F>(clients: usize, time: Duration, pause: Option<Duration>, work: W) -> Vec<Duration>
where
    W: Fn(usize) -> F + Clone + 'static,
    F: Future<Output = ()> + 'static,
{
    let local = tokio::task::LocalSet::new();
    let until = Instant::now() + time;
    let mut latencies = local
        .run_until(async {
            let tasks: Vec<_> = (0..clients)
                .map(|client| {
                    let work = work.clone();
                    tokio::task::spawn_local(async move {
                        let mut latencies = Vec::new();
                        let mut next = Instant::now()
                            + pause.unwrap_or_default().mul_f64(client as f64 / clients as f64);
                        loop {
                            if pause.is_some() {
                                tokio::time::sleep_until(next.into()).await;
                            }
                            let begun = Instant::now();
                            if begun >= until {
                                break latencies;
                            }
                            work(client).await;
                            latencies.push(begun.elapsed());
                            next += pause.unwrap_or_default();
                        }
                    })
                })
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await.unwrap());
            }
            all
        })
        .await;
    latencies.sort_unstable();
    latencies
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1e3
}

/// Something that looks like a random id, the same for the same numbers.
fn id_of(kind: u64, number: u64) -> String {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    format!("{:016x}{:016x}", mix(number ^ kind << 56), mix(mix(number) ^ kind))
}

/// Devices, each with a licence, a segment and some days of usage, as if they had been there.
fn fill(database: &Path, devices: u64, days: u32) {
    let mut connection = rusqlite::Connection::open(database).unwrap();
    let transaction = connection.transaction().unwrap();
    let item: String =
        transaction.query_row("SELECT item_id FROM license_item", [], |row| row.get(0)).unwrap();
    let (now, today) = (now(), slot_of(now()) / 480);
    {
        let mut device =
            transaction.prepare("INSERT INTO device VALUES (?1, ?2, 'till 7', '0.1.0', 1, ?3, ?3)").unwrap();
        let mut license = transaction
            .prepare("INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, serial, seats_asked,
                        seats, issued_at, valid_until, holder) VALUES (?1, ?2, ?3, 'BENCH', 1, 1, 1, ?4, ?4 + 604800, ?3)")
            .unwrap();
        let mut segment =
            transaction.prepare("INSERT INTO segment VALUES (?1, ?2, ?3, ?4, 'BENCH', ?5)").unwrap();
        let mut seats = transaction.prepare("INSERT INTO device_seats VALUES (?1, ?2, 0, 1)").unwrap();
        for number in 0..devices {
            let (uuid, license_id) = (id_of(1, number), id_of(2, number));
            device.execute(rusqlite::params![item, uuid, now]).unwrap();
            license.execute(rusqlite::params![item, license_id, uuid, now]).unwrap();
            segment.execute(rusqlite::params![item, id_of(3, number), license_id, uuid, now]).unwrap();
            seats.execute(rusqlite::params![item, uuid]).unwrap();
        }
        // One counter of ten slots in each day: kind 1, symbology 2, total 7. The slots as one run for one instance.
        let totals: Vec<u8> =
            [1, 1, 2].into_iter().chain((0..10).flat_map(|n| [u8::from(n > 0), 0, 7])).collect();
        let mut usage = transaction.prepare("INSERT INTO usage_day VALUES (?1, ?2, ?3, ?4)").unwrap();
        for day in today - days..today {
            for number in 0..devices {
                usage.execute(rusqlite::params![item, day, id_of(3, number), totals]).unwrap();
            }
        }
    }
    transaction.commit().unwrap();
}

/// Reports of devices that [`fill`] has made, in no order.
fn known_devices(
    devices: u64,
    connections: Arc<Vec<tokio::sync::Mutex<TcpStream>>>,
) -> impl Fn(usize) -> Pin<Box<dyn Future<Output = ()>>> + Clone {
    let turn = Arc::new(AtomicU64::new(0));
    let first_slot = slot_of(now()) / 480 * 480;
    move |client| {
        let (turn, connections) = (turn.clone(), connections.clone());
        Box::pin(async move {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let number = u64::from_str_radix(&id_of(4, turn)[..15], 16).unwrap() % devices;
            let slot = first_slot + (turn / 97 % 480) as u32;
            let total = |kind, what| UsageTotal { slot, kind, what, total: turn + 1 };
            let segment = SegmentReport {
                segment_id: id_of(3, number),
                license_id: id_of(2, number),
                local_license: None,
                totals: vec![total(UsageKind::Scan, 2), total(UsageKind::Image, 0)],
            };
            let device = facts(&id_of(1, number));
            let report = UsageReport { protocol: 1, device, segments: vec![segment], ended: Vec::new() };
            let mut connection = connections[client].lock().await;
            let answer: UsageAnswer =
                post(&mut connection, USAGE_PATH, &serde_json::to_vec(&report).unwrap()).await;
            assert_eq!((answer.recorded.len(), answer.refused.len()), (1, 0));
        })
    }
}

/// A device that may work.
struct Device {
    uuid: String,
    segment_id: String,
    license_id: String,
    local_license: Signed,
}

impl Device {
    async fn authorized(connection: &mut TcpStream) -> Self {
        let uuid = random_id().unwrap();
        let body = serde_json::to_vec(&authorization(&uuid)).unwrap();
        let answer: AuthorizationAnswer = post(connection, AUTHORIZATIONS_PATH, &body).await;
        let license: LocalLicense = serde_json::from_str(&answer.local_license.payload).unwrap();
        let (segment_id, license_id) = (random_id().unwrap(), license.license_id);
        Self { uuid, segment_id, license_id, local_license: answer.local_license }
    }

    fn report(&self, slot: u32) -> Vec<u8> {
        let total = |kind, what| UsageTotal { slot, kind, what, total: 7 };
        let segment = SegmentReport {
            segment_id: self.segment_id.clone(),
            license_id: self.license_id.clone(),
            local_license: Some(self.local_license.clone()),
            totals: vec![total(UsageKind::Scan, 0x0400_0000), total(UsageKind::Image, 0)],
        };
        let report = UsageReport {
            protocol: 1,
            device: facts(&self.uuid),
            segments: vec![segment],
            ended: Vec::new(),
        };
        serde_json::to_vec(&report).unwrap()
    }
}

fn facts(uuid: &str) -> DeviceFacts {
    DeviceFacts { uuid: uuid.into(), friendly_name: "till 7".into(), library_version: "0.1.0".into() }
}

fn authorization(uuid: &str) -> AuthorizationRequest {
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
        scope: String::new(),
        needed: 0,
    }
}

/// `seatmeterd serve` in a folder of its own.
struct Server {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(seatmeterd: &Path, database: Option<&str>) -> Self {
        Self::start_with(seatmeterd, database, |_| ())
    }

    /// With something done to the embedded database before.
    fn start_with(seatmeterd: &Path, database: Option<&str>, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir_in(".").unwrap();
        let command = |name: &str| {
            let mut command = Command::new(seatmeterd);
            command.arg(name).arg("--data").arg(folder.path().join("data"));
            command.args(database.iter().flat_map(|url| ["--database", url]));
            command
        };
        let init = command("init")
            .args(["--demo", "--demo-quota", "65535", "--handshake-code", CODE])
            .output()
            .unwrap();
        assert!(init.status.success(), "{init:?}");
        prepare(&folder.path().join("data/seatmeter.db"));
        let no_limit = ["--rate-per-source", "10000000", "--rate-per-code", "10000000", "--log", "error"];
        let mut process = command("serve")
            .args(["--listen", "127.0.0.1:0"])
            .args(no_limit)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().split_once("http://").map(|(_, address)| address.parse().unwrap()))
            .unwrap();
        Self { process, address, _folder: folder }
    }

    fn resident_mib(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn peak_mib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
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

/// A peer's process.
struct Peer(Child);

impl Peer {
    /// `None` when it is not on the machine.
    fn start(command: &mut Command, port: u16) -> Option<Self> {
        let peer = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{command:?} does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        // etcd listens before it has elected itself.
        std::thread::sleep(Duration::from_secs(2));
        Some(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Posts JSON on a connection that is kept, and reads the answer.
async fn post<T: serde::de::DeserializeOwned>(connection: &mut TcpStream, path: &str, body: &[u8]) -> T {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{NONCE_HEADER}: {}\r\n\
         content-length: {}\r\n\r\n",
        "0123456789abcdef0123456789abcdef",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    connection.write_all(&request).await.unwrap();
    let mut bytes = Vec::with_capacity(4_096);
    let (head, length) = loop {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the server has hung up");
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            break (end + 4, length.trim().parse::<usize>().unwrap());
        }
    };
    while bytes.len() < head + length {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the server has hung up");
    }
    let body = &bytes[head..];
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(body).unwrap()
}

async fn redis_command(connection: &mut TcpStream, words: &[&str]) {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let length = connection.read(&mut answer).await.unwrap();
    assert_eq!(&answer[..length], b":1\r\n");
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .map(|chunk| {
            let bits =
                chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            let digit = |place: usize| match place <= chunk.len() {
                true => DIGITS[(bits >> (18 - 6 * place) & 63) as usize] as char,
                false => '=',
            };
            (0..4).map(digit).collect::<String>()
        })
        .collect()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn say(line: &str) {
    // Nobody reads on: the measurement goes on all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}
