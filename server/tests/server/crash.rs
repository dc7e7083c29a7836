//! The real server is killed in the middle of its work: whatever it acknowledged is there
//! afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use seatmeter_protocol::message::*;
use seatmeter_server::kill_points::{PLACES, VARIABLE};
use seatmeter_server::store::UsageFilter;
use seatmeter_server::store::UsageReader;

use crate::cli::{Served, stdout, try_authorize_demo};
use crate::support::*;

const CLIENTS: usize = 8;
const KILLS: usize = 20;
/// Acknowledged reports after which the server is killed: all clients are well under way by then.
const REPORTS_BEFORE_KILL: usize = 100;

/// What one client saw acknowledged last, and what it had sent by then.
struct Seen {
    device: String,
    acknowledged: u64,
    sent: u64,
}

#[test]
fn a_killed_server_has_every_report_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init", "--demo"]);
    for _ in 0..KILLS {
        let server = Served::start(folder.path());
        let address = server.address;
        let killed = AtomicBool::new(false);
        let (acknowledge, acknowledged) = mpsc::channel();
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let (acknowledge, killed) = (acknowledge.clone(), &killed);
                    scope.spawn(move || count_until_killed(address, &acknowledge, killed))
                })
                .collect();
            for _ in 0..REPORTS_BEFORE_KILL {
                acknowledged.recv().unwrap();
            }
            server.kill();
            killed.store(true, Ordering::SeqCst);
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        for Seen { device, acknowledged, sent } in seen {
            let billed = billed(folder.path(), &device);
            assert!(acknowledged <= billed && billed <= sent, "{acknowledged} ≤ {billed} ≤ {sent}");
        }
    }
}

/// Each place, at a visit at which the clients are well under way.
#[test]
fn a_server_that_dies_at_a_named_place_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init", "--demo"]);
    for place in PLACES {
        for visit in [40, 41, 57] {
            let server =
                Served::start_with(folder.path(), &[(VARIABLE, &format!("{place}:{visit}"))]);
            let (address, killed) = (server.address, AtomicBool::new(false));
            let (acknowledge, _acknowledged) = mpsc::channel();
            let seen: Vec<Option<Seen>> = std::thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| {
                        let (acknowledge, killed) = (acknowledge.clone(), &killed);
                        scope.spawn(move || try_count(address, &acknowledge, killed))
                    })
                    .collect();
                clients.into_iter().map(|client| client.join().unwrap()).collect()
            });
            assert!(server.has_died(), "{place}, visit {visit}");
            for Seen { device, acknowledged, sent } in seen.into_iter().flatten() {
                let billed = billed(folder.path(), &device);
                assert!(
                    acknowledged <= billed && billed <= sent,
                    "{place}: {acknowledged} ≤ {billed} ≤ {sent}"
                );
            }
        }
    }
}

/// Its files must not grow: to the server that is a full disk.
#[test]
fn a_server_whose_disk_is_full_says_that_it_is_not_ready_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init", "--demo"]);
    let server = Served::start_to_be_limited(folder.path());
    let begun = Instant::now();
    let until = |status: u16| {
        while Request::new("GET", "/readyz").send(server.address).status != status {
            assert!(begun.elapsed() < Duration::from_secs(30), "/readyz never says {status}");
        }
    };
    until(200);
    server.limit_files("0");
    until(503);
    assert_eq!(Request::new("GET", "/healthz").send(server.address).status, 200);
    server.limit_files("unlimited");
    until(200);
}

/// What is written then would be gone with the server.
#[test]
fn a_server_whose_database_is_taken_away_acknowledges_nothing_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init", "--demo"]);
    for name in ["seatmeter.db", "seatmeter.db-wal"] {
        let server = Served::start(folder.path());
        let asked =
            AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&id(), 4) };
        let body = serde_json::to_vec(&asked).unwrap();
        let authorize = || {
            Request::post(AUTHORIZATIONS_PATH, &body)
                .header(NONCE_HEADER, &id())
                .send(server.address)
                .status
        };
        let (path, aside) = (folder.path().join(name), folder.path().join("aside"));
        assert_eq!(Request::new("GET", "/readyz").send(server.address).status, 200);
        std::fs::rename(&path, &aside).unwrap();
        assert_eq!(authorize(), 503, "{name} is gone");
        std::fs::write(&path, "another").unwrap();
        assert_eq!(authorize(), 503, "{name} is another one");
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(authorize(), 200, "{name} is back");
    }
}

/// Reports one scan more each time, until the server does not answer any more.
fn count_until_killed(
    address: std::net::SocketAddr,
    acknowledge: &mpsc::Sender<()>,
    killed: &AtomicBool,
) -> Seen {
    try_count(address, acknowledge, killed).unwrap()
}

/// The same; `None` when the server dies before it has granted anything.
fn try_count(
    address: std::net::SocketAddr,
    acknowledge: &mpsc::Sender<()>,
    killed: &AtomicBool,
) -> Option<Seen> {
    let device = id();
    let (_, license) = try_authorize_demo(address, &device)?;
    let segment_id = id();
    let mut seen = Seen { device: device.clone(), acknowledged: 0, sent: 0 };
    for total in 1.. {
        seen.sent = total;
        let counted = vec![scans(slot_now(), 0x20, total)];
        let sent = report(&device, vec![segment(&segment_id, &license.license_id, counted)]);
        let body = serde_json::to_vec(&sent).unwrap();
        let Some(answer) =
            Request::post(USAGE_PATH, &body).header(NONCE_HEADER, &id()).try_send(address)
        else {
            break;
        };
        assert_eq!(answer.status, 200);
        seen.acknowledged = total;
        let _ = acknowledge.send(());
        if killed.load(Ordering::SeqCst) {
            break;
        }
    }
    Some(seen)
}

fn billed(data: &Path, device: &str) -> u64 {
    let mut billed = 0;
    UsageReader::open(&data.join("seatmeter.db"))
        .unwrap()
        .for_each(UsageFilter::ALL, |row| {
            if row.device_uuid == device {
                billed += u64::try_from(row.total).unwrap();
            }
            Ok(())
        })
        .unwrap();
    billed
}
