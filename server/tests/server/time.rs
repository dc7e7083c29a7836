//! The server's time: it never goes back behind what the database has recorded, unless an operator
//! accepts the clock.

use std::sync::Arc;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::*;
use seatmeter_server::clock::Clock;
use seatmeter_server::http::Web;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::Licensing;
use seatmeter_server::operator::commands::{Actor, Change};
use seatmeter_server::server_time::ServerClock;
use seatmeter_server::store::exchange_time;
use seatmeter_server::store::{Location, Store};

use crate::cli::{Served, failure, stdout};
use crate::support::*;

/// A server as the program makes it: its time is that of the machine and of its database.
fn open(location: &Location, machine: Arc<ManualClock>) -> (Arc<dyn Store>, ServerClock) {
    let opened = location.open().unwrap();
    (opened.store, ServerClock::new(machine, opened.time))
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn a_clock_that_is_set_back_brings_no_item_back_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let machine = ManualClock::at(START);
    let (store, clock) = open(&location, machine.clone());
    let keys = Keyring::new(server_key(), vec![]);
    let server = TestServer::start(folder, location.clone(), store.clone(), keys, |web| Web {
        open_to_loopback: true,
        licensing: Arc::new(Licensing {
            store: store.clone(),
            keys: Keyring::new(server_key(), vec![]),
            clock: Arc::new(ServerClock::new(machine.clone(), clock.to_record())),
        }),
        ..web
    });
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    let ended = EXPIRY + 8 * 86_400;
    machine.set(ended);
    assert_eq!(server.refusal(&request(&id(), 1)).1, ErrorCode::EXPIRED);
    machine.set(START);
    assert_eq!(server.refusal(&request(&id(), 1)).1, ErrorCode::EXPIRED);
    let ready = Request::new("GET", "/readyz").send(server.address).problem();
    assert_eq!((ready.status, ready.code), (503, ErrorCode::STANDBY_NOT_READY));
    assert!(ready.detail.contains("clock accept"), "{}", ready.detail);

    // Another start finds the time in the database, when it was recorded there.
    machine.set(ended);
    wait(exchange_time(&*store, &clock)).unwrap();
    machine.set(START);
    let (_, again) = open(&location, machine);
    assert_eq!((again.unix_seconds(), again.ahead_of_machine()), (ended, ended - START));
}

#[test]
fn servers_of_one_database_follow_the_one_that_is_ahead_and_an_accepted_clock() {
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (wrong, right) = (ManualClock::at(START + 9_000), ManualClock::at(START));
    let (store, ahead) = open(&location, wrong.clone());
    let (other, behind) = open(&location, right.clone());
    wait(exchange_time(&*store, &ahead)).unwrap();
    wait(exchange_time(&*other, &behind)).unwrap();
    assert_eq!((behind.unix_seconds(), behind.ahead_of_machine()), (START + 9_000, 9_000));

    wrong.set(START);
    let accept = || {
        let by = Actor { name: "ann".into(), now: START + 1 };
        wait(store.change(Change::AcceptClock, by))
    };
    accept().unwrap();
    // Who has not heard of it does not bring the old time back.
    for (store, clock) in [(&store, &ahead), (&other, &behind)] {
        assert_eq!(clock.unix_seconds(), START + 9_000);
        wait(exchange_time(&**store, clock)).unwrap();
        assert_eq!((clock.unix_seconds(), clock.ahead_of_machine()), (START + 1, 1));
    }
    let line = "SELECT count(*) FROM audit WHERE action = 'accept clock' AND detail LIKE \
        '2027-01-15T10:30:00Z had been recorded, 8999 s later'";
    assert_eq!(number(&location, line), 1);
}

#[test]
fn a_server_is_careful_for_one_slot_at_most_whatever_the_database_says() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    for until in [START + 1_000_000, i64::MAX as u64 - 1, i64::MAX as u64] {
        execute(&server.location, &format!("UPDATE epoch SET careful_until = {until}"));
        server.clock.set(START);
        assert_eq!(server.refusal(&request(&id(), 1)).1, ErrorCode::STANDBY_NOT_READY);
        server.wait(server.licensing.store.serving(START)).unwrap();
        server.wait(server.licensing.store.serving(START + 100)).unwrap();
        server.clock.set(START + 179);
        assert_eq!(server.refusal(&request(&id(), 1)).1, ErrorCode::STANDBY_NOT_READY);
        server.clock.set(START + 180);
        server.authorize(&request(&id(), 1)).unwrap();
    }
}

/// The time of a running server, as it signs it.
fn time_of(served: &Served) -> u64 {
    let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
    let answer = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
    answer.send(served.address).header(TIME_HEADER).unwrap().parse().unwrap()
}

#[test]
fn commands_show_and_accept_the_clock_and_begin_an_epoch_on_an_embedded_database() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo"]);
    assert!(stdout(&data, &["clock", "show"]).contains("the clock of this machine"));
    let database = Location::File(data.join("seatmeter.db"));
    execute(&database, "UPDATE server_time SET newest_at = 7258118400");
    assert!(stdout(&data, &["clock", "show"]).starts_with("2200-01-01T00:00:00Z  recorded"));
    {
        let served = Served::start(&data);
        assert_eq!(time_of(&served), 7_258_118_400, "beside the running server's machine");
        let ready = Request::new("GET", "/readyz").send(served.address).problem();
        assert!(ready.detail.contains("2200-01-01"), "{}", ready.detail);
        let doctor = std::process::Command::new(env!("CARGO_BIN_EXE_seatmeterd"))
            .args(["doctor", "--server", &format!("http://{}", served.address), "--state-dir"])
            .arg(folder.path().join("state"))
            .output()
            .unwrap();
        let told = String::from_utf8(doctor.stdout).unwrap();
        assert!(told.contains("it is not ready: the database has recorded 2200-01-01"), "{told}");
        assert!(stdout(&data, &["clock", "accept"]).contains("within a minute"));
        let begun = std::time::Instant::now();
        while Request::new("GET", "/readyz").send(served.address).status != 200 {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it does not follow");
        }
        assert!(time_of(&served) < 7_258_118_400, "the running server follows");
    }
    let served = Served::start(&data);
    assert!(time_of(&served) < 7_258_118_400);
    assert_eq!(Request::new("GET", "/readyz").send(served.address).status, 200);
    assert!(stdout(&data, &["audit"]).contains("accept clock"));

    let epoch = || {
        let problem: Problem = {
            let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
            let sent = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
            sent.send(served.address).problem()
        };
        problem.epoch
    };
    let before = epoch();
    assert!(stdout(&data, &["new-epoch"]).contains("has begun"));
    assert_ne!(epoch(), before, "the running server follows");
    assert_eq!(number(&database, "SELECT max(number) FROM epoch"), 2);
    assert!(stdout(&data, &["audit", "verify"]).contains("whole"));
    let nothing = folder.path().join("nothing");
    assert!(failure(&nothing, &["new-epoch"]).contains("init"));
}
