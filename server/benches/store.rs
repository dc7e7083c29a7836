//! Durable usage reports and authorizations per second: group commit against one transaction for
//! each, in the same run; on SQLite, and on PostgreSQL where that is installed.
//!
//! `cargo bench -p seatmeter-server --bench store -- [seconds per round] [directory] [clients]`
//!
//! So many clients, 64 unless told, wait for one answer each at a time, as 64 devices would. A
//! report carries two counters under a concurrent-instance item, the dearest kind; an authorization
//! is that of a new client device, which takes a seat, and of which there are more with each. The
//! rounds alternate, so that a disk that gets slower or faster does so for all. Clients sit at the
//! store's trait: HTTP and signatures are not part of the figure.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run must stop")]

use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use seatmeter_e2e::postgres as cluster;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::message::{
    DeviceFacts, SegmentReport, USAGE_PATH, UsageKind, UsageReport, UsageTotal, ValidationFacts,
};
use seatmeter_protocol::request_auth::{Proof, ReportKey, RequestFacts};
use seatmeter_protocol::signature::{Signed, SigningKey, digest_hex, random_id};
use seatmeter_protocol::slot::SLOT_SECONDS;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::operator::commands::Import;
use seatmeter_server::operator::commands::{Actor, Change};
use seatmeter_server::policy::Claim;
use seatmeter_server::store::postgres::PostgresStore;
use seatmeter_server::store::sqlite::{GROUP_MAX, SqliteStore};
use seatmeter_server::store::{Authorization, Decision, Report, ReportProof, Store};

const ROUNDS: usize = 3;
const NOW: u64 = 1_800_000_000;

/// What the clients ask for.
#[derive(Clone, Copy)]
enum Work {
    Reports,
    Authorizations,
    /// Every other client reports, the others authorize.
    Both,
}

struct Figures {
    per_second: f64,
    reports_per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() {
    // Cargo adds an option of its own.
    let mut arguments = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let seconds = arguments.next().map_or(3.0, |text| text.parse().unwrap());
    let directory = arguments.next().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let clients: usize = arguments.next().map_or(64, |text| text.parse().unwrap());
    let cluster = cluster::Cluster::start(true);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let measure_on = |name: &str, work, store: Arc<dyn Store>| {
            let time = Duration::from_secs_f64(seconds);
            let figures = runtime.block_on(run(store, clients, work, time));
            say(&format!(
                "round {round}  {name:<30} {:>8.0} /s, reports {:>8.0}   p50 {:>7.2} ms   p99 \
                 {:>7.2} ms",
                figures.per_second,
                figures.reports_per_second,
                figures.p50.as_secs_f64() * 1e3,
                figures.p99.as_secs_f64() * 1e3
            ));
            figures.per_second
        };
        let measure = |name: &str, work, group_max| {
            let folder = tempfile::tempdir_in(&directory).unwrap();
            let store =
                SqliteStore::open_with_group(&folder.path().join("bench.db"), group_max).unwrap();
            measure_on(name, work, Arc::new(store))
        };
        let single = measure("reports, each by itself", Work::Reports, 1);
        let group = measure("reports, group commit", Work::Reports, GROUP_MAX);
        measure("authorizations, each by itself", Work::Authorizations, 1);
        measure("authorizations, group commit", Work::Authorizations, GROUP_MAX);
        measure("both, group commit", Work::Both, GROUP_MAX);
        if let Some(cluster) = &cluster {
            let open = || {
                let url = cluster.url(&cluster.new_database());
                Arc::new(PostgresStore::open(&url).unwrap())
            };
            let on_postgres = measure_on("reports, PostgreSQL", Work::Reports, open());
            measure_on("authorizations, PostgreSQL", Work::Authorizations, open());
            measure_on("both, PostgreSQL", Work::Both, open());
            say(&format!(
                "round {round}  reports on PostgreSQL / on SQLite {:.2}",
                on_postgres / group
            ));
        }
        say(&format!("round {round}  ratio of the reports {:.1}", group / single));
        say(&format!(
            "round {round}  at one report per device and slot: {:.1} million devices",
            group * SLOT_SECONDS as f64 / 1e6
        ));
        ratios.push(group / single);
    }
    ratios.sort_by(f64::total_cmp);
    say(&format!("median ratio {:.1}", ratios[ROUNDS / 2]));
}

async fn run(store: Arc<dyn Store>, count: usize, work: Work, time: Duration) -> Figures {
    let by = Actor { name: "bench".into(), now: NOW };
    store.change(Change::Import(Box::new(import())), by).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..count {
        let (device, license_id) = (random_id().unwrap(), random_id().unwrap());
        store
            .authorize(authorization(ChargeWay::ConcurrentInstance, &device, &license_id))
            .await
            .unwrap();
        clients.push((device, license_id));
    }
    let started = Instant::now();
    let tasks: Vec<(bool, tokio::task::JoinHandle<Vec<Duration>>)> = clients
        .into_iter()
        .enumerate()
        .map(|(number, (device, license_id))| {
            let (store, until) = (store.clone(), started + time);
            let reports = match work {
                Work::Reports => true,
                Work::Authorizations => false,
                Work::Both => number % 2 == 0,
            };
            let task = if reports {
                tokio::spawn(reporting(store, device, license_id, until))
            } else {
                tokio::spawn(authorizing(store, until))
            };
            (reports, task)
        })
        .collect();
    let (mut latencies, mut reports) = (Vec::new(), 0);
    for (is_report, task) in tasks {
        let of_one = task.await.unwrap();
        reports += if is_report { of_one.len() } else { 0 };
        latencies.extend(of_one);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Figures {
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        reports_per_second: reports as f64 / elapsed.as_secs_f64(),
        p50: latencies[latencies.len() / 2],
        p99: latencies[latencies.len() * 99 / 100],
    }
}

/// One device: a new slot with every report, one report in flight.
async fn reporting(
    store: Arc<dyn Store>,
    device: String,
    license_id: String,
    until: Instant,
) -> Vec<Duration> {
    let segment_id = random_id().unwrap();
    let mut latencies = Vec::new();
    for slot in 10_000_000.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let total = |kind, what| UsageTotal { slot, kind, what, total: 7 };
        let segment = SegmentReport {
            segment_id: segment_id.clone(),
            license_id: license_id.clone(),
            local_license: None,
            totals: vec![total(UsageKind::Scan, 0x20), total(UsageKind::Image, 0)],
        };
        let report = UsageReport {
            receipt: String::new(),
            protocol: 1,
            device: facts(&device),
            newest_license: None,
            segments: vec![segment],
            ended: Vec::new(),
        };
        let facts = RequestFacts::new(USAGE_PATH, &segment_id, b"");
        let key = report_key(&device);
        let proof = Some(Proof::Tag { key_id: key.id(), tag: facts.tag(&key) });
        let proof = ReportProof { facts, proof, signed_by: None };
        let (receipt, keys) = (None, KEYS.clone());
        let report =
            Report { report, proof, newest: None, shown: Vec::new(), receipt, keys, now: NOW };
        let answer = store.record(report).await.unwrap();
        assert!(answer.refused.is_empty());
        latencies.push(begun.elapsed());
    }
    latencies
}

/// A new device with every request.
async fn authorizing(store: Arc<dyn Store>, until: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let asked =
            authorization(ChargeWay::ClientDevice, &random_id().unwrap(), &random_id().unwrap());
        let begun = Instant::now();
        assert!(matches!(store.authorize(asked).await, Ok(Decision::Granted(_))));
        latencies.push(begun.elapsed());
    }
    latencies
}

fn facts(uuid: &str) -> DeviceFacts {
    DeviceFacts {
        uuid: uuid.to_owned(),
        friendly_name: String::new(),
        library_version: String::new(),
    }
}

static KEYS: LazyLock<Keyring> = LazyLock::new(|| Keyring::new(key(), Vec::new()));

/// The vendor's and the server's.
fn key() -> SigningKey {
    SigningKey::from_seed(&"2".repeat(64)).unwrap()
}

fn import() -> Import {
    let key = key();
    let file = LicenseFile {
        version: 1,
        file_id: "bench".into(),
        organization_id: "bench".into(),
        organization_name: "bench".into(),
        server_key: key.public().clone(),
        issued_at: NOW,
        items: vec![
            LicenseItem::new("instances", ChargeWay::ConcurrentInstance, 4, NOW, NOW + 86_400),
            LicenseItem::new("devices", ChargeWay::ClientDevice, 1 << 40, NOW, NOW + 86_400),
        ],
        unknown_items: Vec::new(),
    };
    let envelope = Signed::seal(&file, &key).unwrap();
    Import {
        file,
        envelope,
        root_key: key.public().clone(),
        handshake_code: Some("BENCH".into()),
        make_default: false,
        now: NOW,
    }
}

fn authorization(charge_way: ChargeWay, device: &str, license_id: &str) -> Authorization {
    Authorization {
        receipt: None,
        handshake_code: "BENCH".into(),
        organization_id: String::new(),
        device: facts(device),
        claim: Claim {
            deployment_type: DeploymentType::Server,
            charge_way: Some(charge_way),
            products: 1,
            seats: 1,
            modules: Vec::new(),
            product_version: None,
            product_edition: None,
            buffer_days: 7,
            website: String::new(),
            needed: 0,
            lost: Vec::new(),
            now: NOW,
        },
        proven_hash: None,
        has_wrong_password: false,
        validation: ValidationFacts::default(),
        held: None,
        newest: None,
        device_key: key().public().clone(),
        first_contact: String::new(),
        report_key: Some(report_key(device)),
        is_fresh: false,
        license_id: license_id.to_owned(),
        keys: KEYS.clone(),
    }
}

/// The report key of a device: derived, so that no measurement waits for an agreement.
fn report_key(device: &str) -> ReportKey {
    let digest = digest_hex(device.as_bytes());
    ReportKey::try_from(format!("{}{digest}", &digest[..16])).unwrap()
}

fn say(line: &str) {
    // Nobody reads on: the measurement goes on all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}
