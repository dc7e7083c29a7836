//! How long an operator's questions take: `status` over 1 000 items and a million devices, and a
//! day of 480 slots of an item with 10 000 devices, on SQLite. The same for a scrape, whose
//! snapshot is taken beside it, and for the check of alerts.
//!
//! `cargo bench -p seatmeter-server --bench queries -- [devices]`. Each figure is the median of
//! seven answers, each on a connection of its own, as the server asks.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run must stop")]
#![allow(clippy::disallowed_methods, reason = "it measures with the system's clock")]

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::{Signed, SigningKey};
use seatmeter_server::clock::Clock;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::Licensing;
use seatmeter_server::metrics::{Metrics, Server, write};
use seatmeter_server::operator::commands::{Actor, Change, Import};
use seatmeter_server::operator::queries::alerts::AlertCheckQuery;
use seatmeter_server::operator::queries::conditions::ServerFacts;
use seatmeter_server::operator::queries::day::DayQuery;
use seatmeter_server::operator::queries::gauges::{DeviceCountsQuery, GaugesQuery};
use seatmeter_server::operator::queries::holders::HoldersQuery;
use seatmeter_server::operator::queries::status::StatusQuery;
use seatmeter_server::operator::queries::year::YearQuery;
use seatmeter_server::policy::active_slots::ActiveSlots;
use seatmeter_server::store::{Location, Question};

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const ITEMS: u64 = 1_000;
/// The devices that are active in the day of the concurrent item.
const ACTIVE: u64 = 10_000;
const ROUNDS: usize = 7;
/// The devices of a trial, which runs with the tests and finds what no longer fits the server.
const TRIAL_DEVICES: u64 = 3_000;

fn key() -> SigningKey {
    SigningKey::from_seed(&"2".repeat(64)).unwrap()
}

/// 1 000 items in ten files: for devices, scans, and concurrent devices in turn.
fn import(location: &Location) {
    let store = location.open().unwrap().store;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for file_number in 0..10 {
        let item = |number: u64| {
            let ways =
                [ChargeWay::ClientDevice, ChargeWay::BarcodeScan, ChargeWay::ConcurrentDevice];
            let (way, id) = (ways[number as usize % 3], format!("item-{number:04}"));
            LicenseItem::new(&id, way, 100_000, NOW - 100 * DAY, NOW + 265 * DAY)
        };
        let file = LicenseFile {
            version: 1,
            file_id: format!("file-{file_number}"),
            organization_id: "bench".into(),
            organization_name: "bench".into(),
            server_key: key().public().clone(),
            issued_at: NOW,
            items: (0..ITEMS / 10).map(|number| item(file_number * ITEMS / 10 + number)).collect(),
            unknown_items: Vec::new(),
        };
        let import = Import {
            envelope: Signed::seal(&file, &key()).unwrap(),
            file,
            root_key: key().public().clone(),
            handshake_code: None,
            make_default: false,
            now: NOW,
        };
        let by = Actor { name: "bench".into(), now: NOW };
        runtime.block_on(store.change(Change::Import(Box::new(import)), by)).unwrap();
    }
}

/// Write the devices, their seats, and the sums that batches maintain.
fn fill(path: &std::path::Path, devices: u64) {
    let database = rusqlite::Connection::open(path).unwrap();
    let today = NOW / DAY;
    let first_slot = today * 480;
    // A device is under one item in turn.
    let rows = format!(
        "PRAGMA foreign_keys = off;
         BEGIN;
         CREATE TEMP TABLE number AS
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {devices})
            SELECT i, printf('item-%04d', i % {ITEMS}) AS item, printf('%032x', i) AS uuid FROM n;
         INSERT INTO device SELECT item, uuid, 'till ' || i, '0.1.0', 1, {NOW}, {NOW} FROM number;
         INSERT INTO local_license
            SELECT item, uuid, uuid, 'CODE', 1, 1, 1, {NOW}, {NOW} + 86400, uuid, {NOW} FROM number;
         INSERT INTO seat_holder SELECT item, uuid, uuid, 1, {NOW} + 86400 + i FROM number
            WHERE i % {ITEMS} % 3 = 0;
         INSERT INTO item_held SELECT item, count(*) FROM number WHERE i % {ITEMS} % 3 = 0
            GROUP BY item;
         INSERT INTO item_used SELECT DISTINCT item, 1, 0, 5000 FROM number;
         INSERT INTO year_excess SELECT DISTINCT item, 0, 5000 FROM number;
         CREATE TEMP TABLE past AS
            WITH RECURSIVE n(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM n WHERE d + 1 < 90)
            SELECT d FROM n;
         INSERT INTO item_day SELECT item_id, {today} - d, kind, 0, 100
            FROM license_item, past, (SELECT 1 AS kind UNION SELECT 101 UNION SELECT 102);
         CREATE TEMP TABLE slot AS
            WITH RECURSIVE n(s) AS (SELECT 0 UNION ALL SELECT s + 1 FROM n WHERE s + 1 < 480 * 90)
            SELECT s FROM n;
         INSERT INTO slot_sum SELECT 'item-0002', {first_slot} + 479 - s, 100 + s % 480 FROM slot;
         COMMIT;"
    );
    database.execute_batch(&rows).unwrap();
    let mut slots = ActiveSlots::default();
    (0..480).step_by(2).for_each(|slot| _ = slots.raise((first_slot + slot) as u32, 1));
    let transaction = database.unchecked_transaction().unwrap();
    for device in 0..ACTIVE {
        let row = (format!("{device:032x}"), today, slots.to_bytes());
        let insert = "INSERT INTO active_day VALUES ('item-0002', ?2, ?1, ?3)";
        transaction.execute(insert, row).unwrap();
    }
    transaction.commit().unwrap();
}

fn measure<Q: Question>(name: &str, location: &Location, question: Q) {
    time(name, || drop(location.read_usage().unwrap().ask(&question, NOW).unwrap()));
}

fn time(name: &str, mut work: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort();
    let _ = writeln!(std::io::stdout(), "{name}: {:.1} ms", times[ROUNDS / 2].as_secs_f64() * 1e3);
}

struct Stopped;

impl Clock for Stopped {
    fn unix_seconds(&self) -> u64 {
        NOW
    }
}

/// Write the page of a scrape, whose snapshot is there.
fn scrape(location: &Location) {
    let store = location.open().unwrap().store;
    let keys = Keyring::new(key(), vec![]);
    let licensing = Arc::new(Licensing { store, keys, clock: Arc::new(Stopped) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let metrics = Arc::new(Metrics::default());
    let snapshot = runtime.block_on(metrics.snapshot.get(&licensing)).unwrap();
    time("a scrape", || {
        drop(write(metrics.clone(), Some(snapshot.clone()), Server::default()).unwrap());
    });
}

fn main() {
    // Cargo adds an option of its own.
    let mut arguments = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let is_trial = !std::env::args().any(|word| word == "--bench");
    let usual = if is_trial { TRIAL_DEVICES } else { 1_000_000 };
    let devices: u64 = arguments.next().map_or(usual, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seatmeter.db");
    let location = Location::File(path.clone());
    import(&location);
    fill(&path, devices);
    let _ = writeln!(std::io::stdout(), "{ITEMS} items, {devices} devices");
    measure("status of all items", &location, StatusQuery::default());
    let item = |number: u64| format!("item-{number:04}");
    measure(
        "status of one item",
        &location,
        StatusQuery { item: Some(item(0)), ..StatusQuery::default() },
    );
    let day = |slot: Option<u64>| DayQuery {
        item_id: item(2),
        date: None,
        slot: slot.map(|slot| (NOW / DAY * 480 + slot).to_string()),
    };
    measure("a day of 480 slots", &location, day(None));
    measure("the same, with the devices of a slot", &location, day(Some(0)));
    measure("a year", &location, YearQuery { item_id: item(2), year: None });
    measure(
        "the first 1 000 holders of an item",
        &location,
        HoldersQuery { item: Some(item(0)), ..HoldersQuery::default() },
    );
    measure("the snapshot of a scrape", &location, GaugesQuery);
    measure("the number of devices", &location, DeviceCountsQuery);
    measure("a check of alerts", &location, AlertCheckQuery { facts: ServerFacts::default() });
    scrape(&location);
}
