//! A batch of requests against the same requests one after another: the same answers, and the same
//! rows in every table.

use std::sync::mpsc;

use proptest::prelude::*;
use rusqlite::Connection;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{
    CountAllowance, Generation, LicenseFile, LicenseItem, LocalLicense,
};
use seatmeter_protocol::message::{
    DeviceFacts, EndedLicense, SegmentReport, UsageAnswer, UsageKind, UsageReport, UsageTotal,
    ValidationFacts,
};
use seatmeter_protocol::request_auth::{Proof, RequestFacts};
use seatmeter_protocol::signature::{Signed, SigningKey};
use seatmeter_protocol::slot::slot_of;

use super::{SqliteStore, migration};
use crate::error::Error;
use crate::keyring::Keyring;
use crate::operator::commands::{Actor, Change, Import};
use crate::policy::Claim;
use crate::store::sql::{self, Answer, Request, Sequence, Sql};
use crate::store::{
    Authorization, Decision, Granted, Reply, Report, ReportProof, ShownLicense, Store,
};

const START: u64 = 1_800_000_000;
const WAYS: [ChargeWay; 5] = [
    ChargeWay::BarcodeScan,
    ChargeWay::ClientDevice,
    ChargeWay::Server,
    ChargeWay::ConcurrentDevice,
    ChargeWay::ConcurrentInstance,
];

fn key() -> SigningKey {
    SigningKey::from_seed(&"2".repeat(64)).unwrap()
}

/// Make a database with the items of [`import`].
fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migration::migrate(&mut connection).unwrap();
    connection.execute("UPDATE epoch SET epoch = 'one', begun_at = 0", []).unwrap();
    // The epoch of the licenses that the server has forgotten.
    connection.execute("INSERT INTO foreign_epoch VALUES ('zero', 0)", []).unwrap();
    let by = Actor { name: "test".into(), now: START };
    sql::change(&connection, &Change::Import(Box::new(import())), &by).unwrap();
    connection
}

/// Make a license file with one item of each charge way, each with few seats or scans.
fn import() -> Import {
    let item = |way: ChargeWay| LicenseItem {
        strict: way == ChargeWay::BarcodeScan,
        overuse_budget: way.is_concurrent().then_some(1),
        window_days: way.has_window().then_some(1),
        ..LicenseItem::new(&format!("{way:?}"), way, 2, START - 1, START + 400 * 86_400)
    };
    let mut items = WAYS.map(item).to_vec();
    items[0].quota = 40;
    let file = LicenseFile {
        version: 1,
        file_id: "file".into(),
        organization_id: "organization".into(),
        organization_name: "Organization".into(),
        server_key: key().public().clone(),
        issued_at: START,
        items,
        unknown_items: Vec::new(),
    };
    Import {
        envelope: Signed::seal(&file, &key()).unwrap(),
        file,
        root_key: key().public().clone(),
        handshake_code: Some("CODE".into()),
        make_default: false,
        now: START,
    }
}

/// A step of a device.
#[derive(Clone, Debug)]
struct Step {
    device: u8,
    way: usize,
    seats: u32,
    passed: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Ask for a license, and show the one that the device holds or one that nobody knows.
    Ask { shows: bool, shows_forgotten: bool },
    /// Ask what an authorization would be.
    Check { shows_forgotten: bool },
    /// Report so much, by a license that the server has forgotten or by the newest one.
    Report { total: u64, is_forgotten: bool, ends: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        4 => (any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(shows, shows_forgotten)| What::Ask { shows, shows_forgotten }),
        1 => prop::bool::weighted(0.3).prop_map(|shows_forgotten| What::Check { shows_forgotten }),
        4 => (1..30_u64, prop::bool::weighted(0.1), prop::bool::weighted(0.2)).prop_map(
            |(total, is_forgotten, ends)| What::Report { total, is_forgotten, ends }
        ),
    ];
    let passed = prop_oneof![5 => Just(0_u64), 3 => 0..200_u64, 1 => Just(90_000_u64)];
    let step = (0..4_u8, 0..WAYS.len(), 1..3_u32, passed, what)
        .prop_map(|(device, way, seats, passed, what)| Step { device, way, seats, passed, what });
    prop::collection::vec(step, 1..60)
}

/// A request that can be made more than once.
#[derive(Clone, Debug)]
enum Made {
    Ask(Authorization),
    Check(Authorization),
    Report(UsageReport, Vec<LocalLicense>, u64),
}

impl Made {
    fn request(&self) -> Request {
        match self.clone() {
            Self::Ask(asked) => Request::Authorization(asked),
            Self::Check(asked) => Request::Check(asked),
            Self::Report(report, shown, now) => {
                let shown = shown.into_iter();
                let shown =
                    shown.map(|license| ShownLicense { license, is_ours: Box::new(|| true) });
                Request::Report(signed(report, shown.collect(), now))
            }
        }
    }
}

/// The devices, with the newest license of each under each item.
#[derive(Default)]
struct Devices {
    held: std::collections::BTreeMap<(u8, usize), LocalLicense>,
    newest: std::collections::BTreeMap<u8, LocalLicense>,
    count: u32,
}

impl Devices {
    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("{}", self.count)
    }

    /// Make a license that this server has signed and has forgotten.
    fn forgotten(&mut self, step: &Step, now: u64) -> LocalLicense {
        LocalLicense {
            version: 1,
            license_id: format!("forgotten-{}", self.fresh()),
            serial: 1 + self.count,
            item_id: format!("{:?}", WAYS[step.way]),
            handshake_code: "CODE".into(),
            device_uuid: step.device.to_string(),
            charge_way: WAYS[step.way],
            seats: step.seats,
            issued_at: now - 10,
            valid_until: now + 300,
            item_expires_at: START + 400 * 86_400,
            device_key: key().public().clone(),
            generation: Generation { branch: 1_000 + self.count, step: 1 },
            epoch: "zero".into(),
            allowances: match WAYS[step.way] {
                ChargeWay::BarcodeScan => {
                    vec![CountAllowance { module: 0, allowed: 5, used: 0 }]
                }
                _ => Vec::new(),
            },
        }
    }

    fn make(&mut self, step: &Step, now: u64) -> Made {
        let held = self.held.get(&(step.device, step.way)).cloned();
        match step.what {
            What::Ask { shows_forgotten: true, .. } => {
                let forgotten = self.forgotten(step, now);
                Made::Ask(self.ask(step, now, Some(forgotten)))
            }
            What::Ask { shows, .. } => Made::Ask(self.ask(step, now, held.filter(|_| shows))),
            What::Check { shows_forgotten } => {
                let forgotten = shows_forgotten.then(|| self.forgotten(step, now));
                Made::Check(self.ask(step, now, forgotten))
            }
            What::Report { total, is_forgotten, ends } => {
                let forgotten = is_forgotten.then(|| self.forgotten(step, now));
                let license = forgotten.clone().or(held);
                let license = license.unwrap_or_else(|| self.forgotten(step, now));
                let counted =
                    UsageTotal { slot: slot_of(now), kind: UsageKind::Scan, what: 4, total };
                let segment = SegmentReport {
                    segment_id: format!("segment of {}", license.license_id),
                    license_id: license.license_id.clone(),
                    local_license: None,
                    totals: vec![counted],
                };
                let ended =
                    EndedLicense { license_id: license.license_id.clone(), serial: license.serial };
                let report = UsageReport {
                    receipt: String::new(),
                    protocol: 1,
                    device: facts(step.device),
                    newest_license: None,
                    segments: vec![segment],
                    ended: if ends { vec![ended] } else { Vec::new() },
                };
                Made::Report(report, forgotten.into_iter().collect(), now)
            }
        }
    }

    fn ask(&mut self, step: &Step, now: u64, held: Option<LocalLicense>) -> Authorization {
        Authorization {
            receipt: None,
            handshake_code: "CODE".into(),
            organization_id: String::new(),
            device: facts(step.device),
            claim: Claim {
                deployment_type: DeploymentType::Server,
                // The server chooses for some, and a device may change from item to item.
                charge_way: (step.seats == 1).then_some(WAYS[step.way]),
                products: 1,
                seats: step.seats,
                modules: Vec::new(),
                product_version: None,
                product_edition: None,
                buffer_days: 7,
                website: String::new(),
                needed: 0,
                lost: Vec::new(),
                now,
            },
            proven_hash: None,
            has_wrong_password: false,
            validation: ValidationFacts::default(),
            held,
            newest: self.newest.get(&step.device).cloned(),
            device_key: key().public().clone(),
            first_contact: format!("contact of device {}", step.device),
            report_key: None,
            is_fresh: false,
            license_id: format!("license-{}", self.fresh()),
            keys: Keyring::new(key(), Vec::new()),
        }
    }

    /// Take the license of a grant.
    fn take(&mut self, step: &Step, now: u64, granted: &Granted) {
        let way = WAYS.iter().position(|way| *way == granted.item.charge_way).unwrap();
        let step = &Step { way, ..step.clone() };
        let license = LocalLicense {
            license_id: granted.license_id.clone(),
            serial: granted.grant.serial,
            seats: granted.grant.seats,
            issued_at: now,
            valid_until: granted.grant.valid_until,
            generation: granted.generation,
            epoch: granted.epoch.clone(),
            allowances: Vec::new(),
            ..self.forgotten(step, now)
        };
        self.newest.insert(step.device, license.clone());
        self.held.insert((step.device, step.way), license);
    }
}

/// Return a report that was signed by the key of the device.
fn signed(report: UsageReport, shown: Vec<ShownLicense>, now: u64) -> Report {
    let facts = RequestFacts::new("/v1/usage", "nonce", b"");
    let signature = Proof::Signature(facts.sign(&key()));
    let proof =
        ReportProof { facts, proof: Some(signature), signed_by: Some(key().public().clone()) };
    let keys = Keyring::new(key(), Vec::new());
    Report { report, proof, newest: None, shown, receipt: None, keys, now }
}

fn facts(device: u8) -> DeviceFacts {
    DeviceFacts {
        uuid: device.to_string(),
        friendly_name: format!("device {device}"),
        library_version: "1".into(),
    }
}

/// Run these requests as one batch in a transaction. Return the outcomes.
fn run(connection: &mut Connection, made: &[Made]) -> Vec<Result<Answer, Error>> {
    let transaction = connection.transaction().unwrap();
    let requests: Vec<Request> = made.iter().map(Made::request).collect();
    let mut sequence = Sequence::default();
    let requests: Vec<&Request> = requests.iter().collect();
    let outcomes = sql::run(&*transaction, &requests, &mut sequence).unwrap();
    transaction.commit().unwrap();
    outcomes
}

/// Return an outcome as a text, without its receipt, which is of the commit.
fn told(outcome: &Result<Answer, Error>) -> String {
    let receipt = String::new();
    match outcome.clone() {
        Ok(Answer::Recorded(answer)) => format!("{:?}", UsageAnswer { receipt, ..answer }),
        Ok(Answer::Decided(Decision::Granted(granted))) => {
            format!("{:?}", Granted { receipt, ..*granted })
        }
        Ok(Answer::Decided(decision)) => format!("{decision:?}"),
        Err(error) => format!("{error:?}"),
    }
}

/// Return every row of every table but the numbers of commits. No seats are as good as no row about
/// seats.
fn rows(connection: &Connection) -> Vec<String> {
    // An alert says how far an item was used at the end of the batch that fired it.
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN \
                  ('commit_sequence', 'alert', 'alert_event') ORDER BY name";
    let mut all = Vec::new();
    for mut table in connection.query(tables, &[]).unwrap() {
        let name: String = table.take(0).unwrap();
        let what = if name == "item_held" { "item_held WHERE seats <> 0" } else { &name };
        let rows = connection.query(&format!("SELECT * FROM {what}"), &[]).unwrap();
        let mut rows: Vec<_> = rows.iter().map(|row| format!("{name} {row:?}")).collect();
        rows.sort();
        all.extend(rows);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_batch_is_the_same_as_one_request_after_another(
        steps in steps(),
        sizes in prop::collection::vec(1..40_usize, 60),
    ) {
        let (mut alone, mut together) = (database(), database());
        let (mut devices, mut now) = (Devices::default(), START);
        let (mut made, mut answers) = (Vec::new(), Vec::new());
        for step in &steps {
            now += step.passed;
            made.push(devices.make(step, now));
            let outcome = run(&mut alone, &made[made.len() - 1..]).pop().unwrap();
            if let (Ok(Answer::Decided(Decision::Granted(granted))), Made::Ask(_)) =
                (&outcome, &made[made.len() - 1])
            {
                devices.take(step, now, granted);
            }
            answers.push(told(&outcome));
        }
        let (mut rest, mut batched) = (made.as_slice(), Vec::new());
        for size in sizes {
            let (batch, others) = rest.split_at(size.min(rest.len()));
            if !batch.is_empty() {
                batched.extend(run(&mut together, batch).iter().map(told));
            }
            rest = others;
        }
        prop_assert_eq!(batched, answers);
        let (together, alone) = (rows(&together), rows(&alone));
        let differs = together.iter().zip(&alone).find(|(one, other)| one != other);
        prop_assert_eq!(differs, None);
        prop_assert_eq!(together.len(), alone.len());
    }
}

#[test]
fn a_check_leaves_nothing_behind_and_a_refused_request_its_refusal_alone() {
    let mut connection = database();
    let mut devices = Devices::default();
    let step = |device, way| Step {
        device,
        way,
        seats: 1,
        passed: 0,
        what: What::Ask { shows: false, shows_forgotten: false },
    };
    for device in 0..2 {
        let asked = devices.make(&step(device, 2), START);
        assert!(run(&mut connection, &[asked])[0].is_ok(), "an item for two servers");
    }
    let is_of_refusals =
        |row: &str| row.starts_with("refusal ") || row.starts_with("authorization_hour ");
    let mut before = rows(&connection);
    before.retain(|row| !is_of_refusals(row));
    let forgotten = |devices: &mut Devices, way| {
        let held = devices.forgotten(&step(3, way), START);
        devices.ask(&step(3, 2), START, Some(held))
    };
    let mut refused_ways = 0;
    for way in 0..WAYS.len() {
        let refused = Made::Ask(forgotten(&mut devices, way));
        let expected = way != 2;
        let check = Made::Check(forgotten(&mut devices, way));
        let known = rows(&connection);
        for outcome in run(&mut connection, &[check]) {
            assert_eq!(outcome.is_err(), expected, "way {way}: {}", told(&outcome));
        }
        assert_eq!(rows(&connection), known, "way {way}");
        if expected {
            assert!(run(&mut connection, &[refused])[0].is_err(), "way {way}");
        }
        let (refusals, rest): (Vec<_>, Vec<_>) =
            rows(&connection).into_iter().partition(|row| is_of_refusals(row));
        refused_ways += usize::from(expected);
        let counted: u64 = connection
            .query_row("SELECT coalesce(sum(refused), 0) FROM refusal", [], |row| row.get(0))
            .unwrap();
        assert_eq!(counted as usize, refused_ways, "way {way}: {refusals:?}");
        assert_eq!(rest, before, "way {way}");
    }
}

#[test]
fn a_request_of_a_batch_sees_the_seats_that_those_before_it_took() {
    let mut connection = database();
    let mut devices = Devices::default();
    let mut ask = |device| {
        let what = What::Ask { shows: false, shows_forgotten: false };
        devices.make(&Step { device, way: 2, seats: 1, passed: 0, what }, START)
    };
    let made = [ask(0), ask(1), ask(2), ask(0)];
    let outcomes = run(&mut connection, &made);
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    let Err(Error::Refused(refusal)) = &outcomes[2] else { panic!("{}", told(&outcomes[2])) };
    let numbers = refusal.numbers.as_ref().unwrap();
    let holders: Vec<_> = numbers.holders.iter().map(|holder| holder.name.as_str()).collect();
    assert_eq!((numbers.used, holders), (2, vec!["device 0", "device 1"]));
    assert!(numbers.next_free_at.is_some());
}

/// A request of a batch meets a row that is damaged. It fails alone, although it ran together with
/// the others.
#[test]
fn a_request_that_spoils_its_batch_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("db")).unwrap();
    let by = Actor { name: "test".into(), now: START };
    wait(store.change(Change::Import(Box::new(import())), by)).unwrap();
    let mut devices = Devices::default();
    let what = What::Ask { shows: false, shows_forgotten: false };
    let step = |device| Step { device, way: 0, seats: 1, passed: 0, what: what.clone() };
    for device in 0..2 {
        let asked = devices.ask(&step(device), START, None);
        let Decision::Granted(granted) = wait(store.authorize(asked)).unwrap() else { panic!() };
        devices.take(&step(device), START, &granted);
    }
    let damage = "UPDATE allowance SET used = -1 WHERE device_uuid = '0'";
    wait(store.writers.submit(move |sql| sql.execute(damage, &[]))).unwrap();
    // The writer is held, so that the requests form one group.
    let (release, held) = mpsc::channel();
    let (started, running) = mpsc::channel();
    let holding = store.writers.submit(move |_| {
        started.send(()).unwrap();
        held.recv().unwrap();
        Ok(())
    });
    running.recv().unwrap();
    let mut ask = |device| devices.ask(&step(device), START + 1, None);
    let (damaged, sound) = (store.authorize(ask(0)), store.authorize(ask(1)));
    let checked = store.check(ask(1));
    let what = What::Report { total: 3, is_forgotten: false, ends: false };
    let Made::Report(report, _, now) = devices.make(&Step { what, ..step(1) }, START + 1) else {
        panic!()
    };
    let recorded = store.record(signed(report, Vec::new(), now));
    release.send(()).unwrap();
    wait(holding).unwrap();
    assert!(matches!(wait(damaged), Err(Error::Store(_))));
    assert!(wait(sound).is_ok());
    assert!(wait(checked).is_ok());
    assert_eq!(wait(recorded).unwrap().recorded.len(), 1);
}

fn wait<T>(reply: Reply<T>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reply)
}
