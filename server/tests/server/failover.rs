//! Faults of PostgreSQL's primary under load: nothing acknowledged is lost, nothing is doubled, and
//! the servers go on with its standby. Where PostgreSQL is not installed they say so and pass.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seatmeter_e2e::balancer::{Balancer, RoleApi};
use seatmeter_e2e::namespace::Namespace;
use seatmeter_e2e::postgres::Cluster;
use seatmeter_e2e::relay::Relay;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_server::store::{Location, UsageFilter};

use crate::on_postgres::{devices_item, or_skip, server_on};
use crate::support::*;

/// How often each fault comes; a longer run sets it.
const FAILOVERS: &str = "SEATMETER_FAILOVERS";

/// Bound on every wait for the servers to go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the devices of the failover test know by themselves.
#[derive(Default)]
struct Witness {
    /// By device: performed, and acknowledged by a server.
    scans: BTreeMap<String, (u64, u64)>,
    /// Devices that were granted a seat.
    granted: Vec<String>,
}

impl Witness {
    /// Return how many scans of all devices a server has acknowledged.
    fn acknowledged(&self) -> u64 {
        self.scans.values().map(|(_, acknowledged)| acknowledged).sum()
    }
}

const REPORTERS: usize = 8;

/// Run a fault as often as the environment says, and say how long nothing was acknowledged.
#[allow(clippy::disallowed_methods, reason = "a longer run is told by its environment how long")]
pub(crate) fn each_round(fault: &str, mut round: impl FnMut() -> Option<Duration>) {
    use std::io::Write;
    let rounds: u32 = std::env::var(FAILOVERS).map_or(1, |text| text.parse().unwrap());
    let mut gaps = Vec::new();
    for number in 1..=rounds {
        let Some(gap) = round() else { return };
        gaps.push(gap);
        if rounds > 1 {
            let _ = writeln!(
                std::io::stderr(),
                "{fault} {number} of {rounds}: nothing lost, nothing doubled, gap {:.1} s",
                gap.as_secs_f64()
            );
        }
    }
    gaps.sort_unstable();
    if let (Some(middle), Some(longest)) = (gaps.get(gaps.len() / 2), gaps.last()) {
        let (middle, longest) = (middle.as_secs_f64(), longest.as_secs_f64());
        let _ = writeln!(
            std::io::stderr(),
            "{fault}: {rounds} of {rounds}, gap {middle:.1} s in the middle, {longest:.1} s at most"
        );
    }
}

/// Start a pair, or say that there is none.
fn pair() -> Option<(Cluster, Cluster)> {
    let pair = Cluster::start_pair();
    if pair.is_none() {
        say("skipped: PostgreSQL is not on this machine");
    }
    pair
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn no_acknowledged_work_is_lost_when_the_primary_dies() {
    each_round("primary killed", || {
        let (mut primary, standby) = pair()?;
        let database = primary.new_database();
        let url = primary.url_of_pair(&standby, &database);
        Some(survive(&url, &standby.url(&database), || {
            primary.kill();
            standby.promote();
        }))
    });
}

#[test]
fn no_acknowledged_work_is_lost_when_the_primary_freezes_and_it_is_left_while_it_is_frozen() {
    each_round("primary frozen", || {
        let (primary, standby) = pair()?;
        let database = primary.new_database();
        let url = primary.url_of_pair(&standby, &database);
        let strike = || {
            primary.freeze();
            standby.promote();
        };
        Some(survive_and(&url, &standby.url(&database), strike, || primary.resume()))
    });
}

#[test]
fn no_acknowledged_work_is_lost_when_the_network_to_the_primary_loses_everything() {
    each_round("network silent", || {
        let (primary, standby) = pair()?;
        let database = primary.new_database();
        let network = Relay::start(primary.port(), Duration::ZERO);
        let url = standby
            .url(&database)
            .replace("127.0.0.1:", &format!("127.0.0.1:{},127.0.0.1:", network.port()));
        Some(survive(&url, &standby.url(&database), || {
            network.lose_everything(true);
            standby.promote();
        }))
    });
}

#[test]
fn no_acknowledged_work_is_lost_when_the_primary_is_cut_off_and_joined_again() {
    each_round("primary cut off", || {
        let Some(namespace) = Namespace::make() else {
            say("skipped: this user can make no network namespace");
            return None;
        };
        let (primary, standby) = Cluster::start_pair_apart(&namespace)?;
        let database = primary.new_database();
        let url = primary.url_of_pair(&standby, &database);
        let strike = || {
            namespace.cut_off();
            standby.promote();
        };
        Some(survive_and(&url, &standby.url(&database), strike, || namespace.join()))
    });
}

/// Start a pair with HAProxy before it, or say what is missing.
fn balanced_pair() -> Option<(Cluster, Cluster, [RoleApi; 2], Balancer)> {
    let Some(program) = Balancer::program() else {
        say("skipped: HAProxy is not on this machine");
        return None;
    };
    let (primary, standby) = pair()?;
    let roles = [&primary, &standby].map(|cluster| RoleApi::start(cluster.roles()));
    let nodes = [(primary.port(), roles[0].port()), (standby.port(), roles[1].port())];
    let balancer = Balancer::start(&program, &nodes);
    // Until it has checked the nodes, it sends connections to both in turn.
    let (begun, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 6 {
        assert!(begun.elapsed() < PATIENCE, "HAProxy does not find the primary");
        let is_primary = postgres::Client::connect(&balancer.url("postgres"), postgres::NoTls)
            .and_then(|mut client| client.query_one("SELECT NOT pg_is_in_recovery()", &[]))
            .is_ok_and(|row| row.get(0));
        in_a_row = if is_primary { in_a_row + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((primary, standby, roles, balancer))
}

#[test]
fn no_acknowledged_work_is_lost_when_the_primary_dies_behind_haproxy() {
    each_round("primary killed behind HAProxy", || {
        let (mut primary, standby, _roles, balancer) = balanced_pair()?;
        let database = primary.new_database();
        let strike = || {
            primary.kill();
            standby.promote();
        };
        Some(survive(&balancer.url(&database), &standby.url(&database), strike))
    });
}

#[test]
fn no_acknowledged_work_is_lost_when_the_primary_freezes_behind_haproxy() {
    each_round("primary frozen behind HAProxy", || {
        let (primary, standby, _roles, balancer) = balanced_pair()?;
        let database = primary.new_database();
        let strike = || {
            primary.freeze();
            standby.promote();
        };
        Some(survive(&balancer.url(&database), &standby.url(&database), strike))
    });
}

#[test]
fn a_commit_whose_wait_for_the_standby_was_canceled_is_not_acknowledged() {
    let (primary, standby) = or_skip!(Cluster::start_pair());
    let database = primary.new_database();
    let server = server_on(&primary.url(&database));
    server.import(&license_file("acme", vec![item("instances", 100)]), Some(CODE)).unwrap();
    let license = server.authorize(&request(&id(), 1)).unwrap();
    let sent = segment(&id(), &license.license_id, vec![scans(10_000_000, 2, 7)]);
    let sent = report(&license.device_uuid, vec![sent]);
    standby.freeze();
    let answer = std::thread::scope(|scope| {
        let reporting = scope.spawn(|| server.try_report(&sent));
        while !reporting.is_finished() {
            primary.sql(
                "postgres",
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            );
            std::thread::yield_now();
        }
        reporting.join().unwrap()
    });
    assert_eq!(answer.map_err(|problem| problem.status).unwrap_err(), 503);
    let kept = "SELECT count(*) FROM usage_day";
    assert_eq!(primary.sql(&database, kept).trim(), "1", "the primary has it");
    standby.resume();
    assert_eq!(server.report(&sent).recorded.len(), 1);
    // A commit waits until the standby has it on its disk, and not until its queries see it.
    let end = primary.sql(&database, "SELECT pg_current_wal_lsn()");
    let is_there = format!("SELECT pg_last_wal_replay_lsn() >= '{}'", end.trim());
    let begun = Instant::now();
    while standby.sql("postgres", &is_there).trim() != "t" {
        assert!(begun.elapsed() < Duration::from_secs(20), "the standby does not go on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(standby.sql(&database, kept).trim(), "1", "so has the standby");
}

/// Let devices report and ask at two servers while a fault strikes, and judge what the database at
/// `kept` has. Return for how long nothing was acknowledged.
pub(crate) fn survive(url: &str, kept: &str, strike: impl FnOnce()) -> Duration {
    survive_and(url, kept, strike, || ())
}

/// The same, and when the servers have gone on, something more happens under load.
fn survive_and(url: &str, kept: &str, strike: impl FnOnce(), then: impl FnOnce()) -> Duration {
    let servers = [server_on(url), server_on(url)];
    let items = vec![devices_item(20), LicenseItem { products: 2, ..item("instances", 100) }];
    servers[0].import(&license_file("acme", items), Some(CODE)).unwrap();
    let (stop, witness) = (AtomicBool::new(false), Mutex::new(Witness::default()));
    let gap = std::thread::scope(|scope| {
        for n in 0..REPORTERS {
            let (servers, stop, witness) = (&servers, &stop, &witness);
            let license = authorized(&servers[n % 2]);
            scope.spawn(move || report_until(stop, servers, &license, witness));
        }
        for server in &servers {
            let (stop, witness) = (&stop, &witness);
            scope.spawn(move || ask_until(stop, server, witness));
        }
        until_more(&witness, 50);
        strike();
        let gap = until_more(&witness, 200);
        then();
        until_more(&witness, 200);
        stop.store(true, Ordering::SeqCst);
        gap
    });
    judge(&Location::Url(kept.to_owned()), &witness.into_inner().unwrap());
    gap
}

/// Wait for so many more acknowledged scans. Return the longest time without any.
fn until_more(witness: &Mutex<Witness>, wanted: u64) -> Duration {
    let (begun, before) = (Instant::now(), witness.lock().unwrap().acknowledged());
    let (mut last, mut at, mut gap) = (before, begun, Duration::ZERO);
    while last < before + wanted {
        let now = witness.lock().unwrap().acknowledged();
        gap = gap.max(at.elapsed());
        if now > last {
            (last, at) = (now, Instant::now());
        }
        assert!(begun.elapsed() < PATIENCE, "the servers do not come back: {before}, {now}");
        std::thread::sleep(Duration::from_millis(5));
    }
    gap
}

/// Ask for seats with ever new devices.
fn ask_until(stop: &AtomicBool, server: &TestServer, witness: &Mutex<Witness>) {
    while !stop.load(Ordering::SeqCst) {
        let device = id();
        let mut asked = request(&device, 1);
        asked.charge_way = Some(ChargeWay::ClientDevice);
        asked.products = 1;
        match server.authorize(&asked) {
            Ok(_) => witness.lock().unwrap().granted.push(device),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A device that may work under the item with instances.
fn authorized(server: &TestServer) -> LocalLicense {
    let asked = AuthorizationRequest {
        charge_way: Some(ChargeWay::ConcurrentInstance),
        products: 2,
        ..request(&id(), 1)
    };
    server.authorize(&asked).unwrap()
}

/// One device: performs a scan, tells a server, goes on whether it is answered or not; at the end
/// until it is.
fn report_until(
    stop: &AtomicBool,
    servers: &[TestServer; 2],
    license: &LocalLicense,
    witness: &Mutex<Witness>,
) {
    let (device, segment_id) = (license.device_uuid.clone(), id());
    let mut performed = 0;
    for turn in 0.. {
        performed += 1;
        witness.lock().unwrap().scans.entry(device.clone()).or_default().0 = performed;
        let is_last = stop.load(Ordering::SeqCst);
        let sent = segment(&segment_id, &license.license_id, vec![scans(10_000_000, 2, performed)]);
        let answer = servers[turn % 2].try_report(&report(&device, vec![sent]));
        let is_recorded = answer.is_ok_and(|answer| answer.recorded.len() == 1);
        if is_recorded {
            witness.lock().unwrap().scans.entry(device.clone()).or_default().1 = performed;
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
        if is_last && is_recorded {
            return;
        }
    }
}

/// Compares the database with what the devices know.
fn judge(location: &Location, witness: &Witness) {
    let mut billed: BTreeMap<String, u128> = BTreeMap::new();
    let add = |row: seatmeter_server::store::UsageRow| {
        *billed.entry(row.device_uuid).or_default() += row.total;
        Ok(())
    };
    // A balancer may need a moment more than the servers, which know all hosts.
    let begun = Instant::now();
    let usage = loop {
        match location.read_usage() {
            Ok(usage) => break usage,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    usage.for_each(UsageFilter::ALL, add).unwrap();
    assert_eq!(witness.scans.len(), REPORTERS);
    for (device, (performed, acknowledged)) in &witness.scans {
        assert_eq!(performed, acknowledged, "the last report of each was acknowledged");
        assert_eq!(
            billed.get(device),
            Some(&u128::from(*performed)),
            "billed is what was performed"
        );
    }
    let all: u64 = witness.scans.values().map(|(performed, _)| performed).sum();
    assert_eq!(number(location, "SELECT used FROM item_used WHERE item_id = 'instances'"), all);
    assert_eq!(
        number(location, "SELECT active FROM slot_sum WHERE item_id = 'instances'"),
        REPORTERS as u64
    );
    let held = number(location, "SELECT seats FROM item_held WHERE item_id = 'devices'");
    assert_eq!(
        held,
        number(location, "SELECT count(*) FROM seat_holder WHERE item_id = 'devices'")
    );
    assert!(held <= 22, "twenty and their grace of two");
    assert!(u64::try_from(witness.granted.len()).unwrap() <= held, "who was granted a seat has it");
    for device in &witness.granted {
        let known = format!("SELECT count(*) FROM seat_holder WHERE holder = '{device}'");
        assert_eq!(number(location, &known), 1);
    }
}
