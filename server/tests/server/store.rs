//! The store by itself: what it keeps over reopening, and that order does not matter to totals.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::message::{
    USAGE_PATH, UsageKind, UsageReport, UsageTotal, ValidationFacts,
};
use seatmeter_protocol::request_auth::{Proof, RequestFacts};
use seatmeter_protocol::signature::Signed;
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::error::Error;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::operator::commands::Import;
use seatmeter_server::operator::commands::{Actor, Change};
use seatmeter_server::policy::Claim;
use seatmeter_server::policy::reportable::REPORTABLE_DAYS;
use seatmeter_server::store::sqlite::SqliteStore;
use seatmeter_server::store::{
    Authorization, Decision, Location, Reply, Report, ReportProof, Store, UsageFilter,
};

use crate::support::*;

fn wait<T>(reply: Reply<T>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reply)
}

/// A store with one item and one authorized device; gives the device and its local license.
fn store_with_device(location: &Location) -> (Arc<dyn Store>, String, String) {
    let store = location.open().unwrap().store;
    let file = license_file("acme", vec![item("instances", 4)]);
    let envelope = Signed::seal(&file, &vendor()).unwrap();
    let root_key = vendor().public().clone();
    let import = Import {
        file,
        envelope,
        root_key,
        handshake_code: Some(CODE.into()),
        make_default: false,
        now: START,
    };
    let by = Actor { name: "test".into(), now: START };
    wait(store.change(Change::Import(Box::new(import)), by)).unwrap();
    let (uuid, license_id) = (id(), id());
    wait(store.authorize(authorization(&uuid, &license_id))).unwrap();
    (store, uuid, license_id)
}

/// An authorization as the store gets it.
pub(crate) fn authorization(uuid: &str, license_id: &str) -> Authorization {
    Authorization {
        receipt: None,
        handshake_code: CODE.into(),
        organization_id: String::new(),
        device: device(uuid),
        claim: Claim {
            deployment_type: DeploymentType::Server,
            charge_way: None,
            products: 1,
            seats: 1,
            modules: Vec::new(),
            product_version: None,
            product_edition: None,
            buffer_days: 7,
            website: String::new(),
            needed: 0,
            lost: Vec::new(),
            now: START,
        },
        proven_hash: None,
        has_wrong_password: false,
        validation: ValidationFacts::default(),
        held: None,
        newest: None,
        device_key: device_key(uuid).public().clone(),
        first_contact: uuid.to_owned(),
        report_key: None,
        is_fresh: false,
        license_id: license_id.into(),
        keys: Keyring::new(server_key(), vec![]),
    }
}

/// A report as a store gets it, signed by its device.
fn signed(report: UsageReport, now: u64) -> Report {
    let key = device_key(&report.device.uuid);
    let facts = RequestFacts::new(USAGE_PATH, "", b"");
    let proof = Some(Proof::Signature(facts.sign(&key)));
    let proof = ReportProof { facts, proof, signed_by: Some(key.public().clone()) };
    let (receipt, keys) = (None, Keyring::new(server_key(), vec![]));
    Report { report, proof, newest: None, shown: Vec::new(), receipt, keys, now }
}

fn totals(location: &Location, filter: UsageFilter) -> Vec<UsageTotal> {
    totals_of(location, filter, None)
}

/// Those of one device, or of all.
fn totals_of(location: &Location, filter: UsageFilter, uuid: Option<&str>) -> Vec<UsageTotal> {
    let mut totals = Vec::new();
    location
        .read_usage()
        .unwrap()
        .for_each(filter, |row| {
            if uuid.is_some_and(|uuid| uuid != row.device_uuid) {
                return Ok(());
            }
            let total = u64::try_from(row.total).unwrap();
            totals.push(UsageTotal { slot: row.slot, kind: row.kind, what: row.what, total });
            Ok(())
        })
        .unwrap();
    totals
}

#[test]
fn what_was_recorded_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_location(folder.path());
    let (store, uuid, license_id) = store_with_device(&path);
    let sent = report(&uuid, vec![segment(&id(), &license_id, vec![scans(10_000_001, 2, 3)])]);
    wait(store.record(signed(sent.clone(), START))).unwrap();
    drop(store);
    let store = path.open().unwrap().store;
    wait(store.record(signed(sent, START))).unwrap();
    assert_eq!(totals(&path, UsageFilter::ALL), [scans(10_000_001, 2, 3)]);
    let Decision::Granted(again) = wait(store.authorize(authorization(&uuid, &id()))).unwrap()
    else {
        panic!("there is no password");
    };
    let first_serial = u32::try_from(START - 1_577_836_800).unwrap();
    assert_eq!(again.grant.serial, first_serial + 1);
}

#[test]
fn any_order_of_reports_comes_to_the_same_totals() {
    let history: Vec<Vec<UsageTotal>> = vec![
        vec![scans(10_000_001, 2, 1)],
        vec![scans(10_000_001, 2, 4), scans(10_000_002, 2, 1)],
        vec![
            scans(10_000_001, 2, 4),
            scans(10_000_002, 2, 6),
            UsageTotal { slot: 10_000_002, kind: UsageKind::Page, what: 2, total: 9 },
        ],
        vec![scans(10_000_002, 2, 6)],
    ];
    let expected = [
        scans(10_000_001, 2, 4),
        scans(10_000_002, 2, 6),
        UsageTotal { slot: 10_000_002, kind: UsageKind::Page, what: 2, total: 9 },
    ];
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (store, _, _) = store_with_device(&location);
    for order in permutations(history.len()) {
        let (uuid, license_id, segment_id) = (id(), id(), id());
        wait(store.authorize(authorization(&uuid, &license_id))).unwrap();
        for index in order.iter().chain(&order) {
            let sent = segment(&segment_id, &license_id, history[*index].clone());
            wait(store.record(signed(report(&uuid, vec![sent]), START))).unwrap();
        }
        assert_eq!(
            totals_of(&location, UsageFilter::ALL, Some(&uuid)),
            expected,
            "order {order:?}"
        );
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![vec![]], |shorter, next| {
        let insert = |order: &Vec<usize>, place| {
            let mut order = order.clone();
            order.insert(place, next);
            order
        };
        shorter
            .iter()
            .flat_map(|order| (0..=order.len()).map(move |place| insert(order, place)))
            .collect()
    })
}

/// The excess of the item's first license year, as far as its slots have ended.
fn excess(store: &dyn Store, uuid: &str, now: u64) -> u64 {
    let asked = Authorization {
        claim: Claim { now, ..authorization(uuid, "").claim },
        ..authorization(uuid, &id())
    };
    let Decision::Granted(granted) = wait(store.authorize(asked)).unwrap() else {
        panic!("no password")
    };
    granted.meters[0].used
}

/// Return the excess of the slots before this one, by devices with x of their own that were active
/// in slots, under an item of 4.
fn excess_before(
    active: &BTreeSet<(usize, u32)>,
    devices: &[(String, String, u32)],
    slot: u32,
) -> u64 {
    let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
    for (device, slot) in active.iter().filter(|(_, other)| *other < slot) {
        *sums.entry(*slot).or_default() += u64::from(devices[*device].2);
    }
    sums.values().map(|sum| sum.saturating_sub(4)).sum()
}

/// Devices with x of their own report slots at random, again and again, while old slots are closed:
/// the database comes to the excess that is computed anew from all reports.
#[test]
fn the_excess_is_that_of_all_reports_together() {
    let mut random = 7_u64;
    let mut next = move |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (store, _, _) = store_with_device(&location);
    let mut active = BTreeSet::new();
    let devices: Vec<(String, String, u32)> = (0..6)
        .map(|_| {
            let (uuid, license_id, x) = (id(), id(), 1 + u32::try_from(next(4)).unwrap());
            let mut asked = authorization(&uuid, &license_id);
            asked.claim.seats = x;
            wait(store.authorize(asked)).unwrap();
            (uuid, license_id, x)
        })
        .collect();
    let segments: Vec<String> = devices.iter().map(|_| id()).collect();
    let mut totals = HashMap::new();
    let mut now = START;
    for step in 0..300 {
        now += next(60);
        let number = usize::try_from(next(6)).unwrap();
        let (uuid, license_id, _) = &devices[number];
        let slots = slot_of(START)..slot_of(now) + 2;
        let slot = slots.start + u32::try_from(next(u64::from(slots.len() as u32))).unwrap();
        let total: &mut u64 = totals.entry((number, slot)).or_default();
        *total += next(2);
        if *total > 0 {
            active.insert((number, slot));
        }
        let sent = report(
            uuid,
            vec![segment(&segments[number], license_id, vec![scans(slot, 2, *total)])],
        );
        wait(store.record(signed(sent, now))).unwrap();
        if step % 50 == 0 {
            assert!(!wait(store.tidy(now)).unwrap(), "nothing is so old");
        }
        let expected = excess_before(&active, &devices, slot_of(now));
        assert_eq!(excess(&*store, &devices[0].0, now), expected, "step {step}");
    }
    let all = excess_before(&active, &devices, u32::MAX);
    assert!(all > 100);
    // Long after: the slots are gone, and so is the chance to report them; the excess is as it was.
    let late = START + (REPORTABLE_DAYS + 300) * 86_400;
    while wait(store.tidy(late)).unwrap() {}
    let number = |query: &str| number(&location, query);
    assert_eq!(
        number("SELECT count(*) FROM slot_sum") + number("SELECT count(*) FROM active_day"),
        0
    );
    let (uuid, license_id, _) = &devices[1];
    let again = report(uuid, vec![segment(&id(), license_id, vec![scans(slot_of(START), 2, 1)])]);
    wait(store.record(signed(again, late))).unwrap();
    assert_eq!(number("SELECT count(*) FROM slot_sum"), 0, "a closed slot stays closed");
    assert_eq!(number("SELECT excess FROM year_excess"), all);
}

#[test]
fn old_slots_are_dropped_a_thousand_rows_in_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (store, uuid, license_id) = store_with_device(&location);
    let sent = segment(&id(), &license_id, vec![scans(slot_of(START), 2, 1)]);
    wait(store.record(signed(report(&uuid, vec![sent]), START))).unwrap();
    let many =
        "WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < 2500)";
    for copies in [
        "active_day SELECT item_id, day, 'device ' || n, slots FROM active_day CROSS JOIN copy",
        "slot_sum SELECT item_id, slot - n, active FROM slot_sum CROSS JOIN copy",
    ] {
        execute(&location, &format!("{many} INSERT INTO {copies}"));
    }
    let left = || {
        number(&location, "SELECT count(*) FROM slot_sum")
            + number(&location, "SELECT count(*) FROM active_day")
    };
    let late = START + (REPORTABLE_DAYS + 300) * 86_400;
    let (mut before, mut is_more) = (left(), true);
    assert_eq!(before, 2 * 2501);
    while is_more {
        is_more = wait(store.tidy(late)).unwrap();
        let after = left();
        assert!(before - after <= 1_000, "{before} rows became {after} at once");
        before = after;
    }
    assert_eq!(left(), 0);
}

/// Sums of days, by kind and symbology or module.
fn by_day(totals: &[UsageTotal]) -> BTreeMap<(u32, UsageKind, u32), u64> {
    let mut days = BTreeMap::new();
    for total in totals {
        *days.entry((total.slot / 480, total.kind, total.what)).or_default() += total.total;
    }
    days
}

#[test]
fn what_is_long_past_is_kept_by_days_and_no_sum_of_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (store, uuid, license_id) = store_with_device(&location);
    let first = slot_of(START);
    let reports: Vec<UsageReport> = (0..45)
        .map(|day| {
            let slots = (0..4).map(|n| first + day * 480 + n * 7);
            let scans = slots.clone().map(|slot| scans(slot, 2, u64::from(slot % 5 + 1)));
            let images =
                slots.map(|slot| UsageTotal { slot, kind: UsageKind::Image, what: 0, total: 9 });
            let name = format!("{:032x}", day % 3);
            report(&uuid, vec![segment(&name, &license_id, scans.chain(images).collect())])
        })
        .collect();
    let send_all = |now: u64| {
        for sent in &reports {
            wait(store.record(signed(sent.clone(), now))).unwrap();
        }
    };
    send_all(START + 45 * 86_400);
    let before = totals(&location, UsageFilter::ALL);
    assert_eq!(before.len(), 45 * 8);
    let used = number(&location, "SELECT used FROM item_used WHERE kind = 1");
    // So late that the first thirty days can no longer be reported, and the others can.
    let late = START + (REPORTABLE_DAYS + 31) * 86_400;
    while wait(store.tidy(late)).unwrap() {}
    let after = totals(&location, UsageFilter::ALL);
    assert!(after.len() < before.len() / 2, "{} counters are left", after.len());
    assert_eq!(by_day(&after), by_day(&before));
    let left = number(&location, "SELECT count(*) FROM usage_day");
    assert!((10..=15).contains(&left), "{left} days are as they were");
    assert!(number(&location, "SELECT count(*) FROM usage_old") <= 3 * 3);
    // Everything once more, and late as it is: nothing changes.
    send_all(late);
    assert_eq!(totals(&location, UsageFilter::ALL), after);
    assert_eq!(number(&location, "SELECT used FROM item_used WHERE kind = 1"), used);
    // A segment that nobody has heard of counts in the day in which its work was done.
    let forgotten = report(
        &uuid,
        vec![segment(&id(), &license_id, vec![scans(first, 2, 3), scans(first + 1, 2, 4)])],
    );
    wait(store.record(signed(forgotten, late))).unwrap();
    let now = by_day(&totals(&location, UsageFilter::ALL));
    let day = (first / 480, UsageKind::Scan, 2);
    assert_eq!(now[&day], by_day(&before)[&day] + 7);
    assert_eq!(number(&location, "SELECT used FROM item_used WHERE kind = 1"), used + 7);
}

#[test]
fn a_filter_keeps_the_slots_from_and_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_location(folder.path());
    let (store, uuid, license_id) = store_with_device(&path);
    let counted = vec![scans(10_000_001, 2, 1), scans(10_000_002, 2, 1), scans(10_000_003, 2, 1)];
    wait(store.record(signed(report(&uuid, vec![segment(&id(), &license_id, counted)]), START)))
        .unwrap();
    let slots = |from_slot, until_slot| {
        let filter = UsageFilter { from_slot, until_slot };
        totals(&path, filter).iter().map(|total| total.slot).collect::<Vec<_>>()
    };
    let first = 10_000_001;
    assert_eq!(slots(first + 1, None), [first + 1, first + 2]);
    assert_eq!(slots(0, Some(first + 1)), [first]);
    assert_eq!(slots(first + 1, Some(first + 2)), [first + 1]);
    assert_eq!(slots(first + 2, Some(first + 2)), [0_u32; 0]);
}

#[test]
fn a_store_that_can_be_written_is_ready_and_leaves_nothing_of_the_trial() {
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (store, ..) = store_with_device(&location);
    wait(store.ready()).unwrap();
    assert_eq!(number(&location, "SELECT count(*) FROM compacted"), 0);
}

#[test]
fn the_key_that_signs_is_known_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let location = new_location(folder.path());
    let (store, ..) = store_with_device(&location);
    for key_id in ["first", "second"] {
        let by = Actor { name: "test".into(), now: START };
        wait(store.change(Change::UseKey { key_id: key_id.into() }, by)).unwrap();
    }
    drop(store);
    assert_eq!(location.open().unwrap().keys.in_use.as_deref(), Some("second"));
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let letter = "Dear Sir or Madam, this is not a database. ".repeat(100);
    std::fs::write(&path, &letter).unwrap();
    assert!(SqliteStore::open(&path).unwrap_err().to_string().contains("cannot be opened"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
}
