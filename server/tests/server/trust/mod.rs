//! Who a device is, from the side of those who are not it: what a stranger, a copy, a network
//! between and an operator with yesterday's database get.

mod put_back;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{Generation, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::{Agreement, ReportKey};
use seatmeter_protocol::signature::Signed;

use crate::support::*;

const NOT_MATCH: (u16, ErrorCode) = (403, ErrorCode::DEVICE_NOT_MATCH);

/// The answer to an authorization whose proof does not belong to it.
const UNPROVEN: (u16, ErrorCode) = (401, ErrorCode::DEVICE_NOT_MATCH);
const DAY: u64 = 86_400;

/// A device as the library is one: with the answer that it has got last.
struct Installation {
    uuid: String,
    /// What it asks with.
    asked: AuthorizationRequest,
    newest: Option<Signed>,
    report_key: Option<ReportKey>,
    /// The receipt that it shows with reports.
    receipt: String,
}

impl Installation {
    fn new() -> Self {
        let uuid = id();
        let (asked, receipt) = (request(&uuid, 1), String::new());
        Self { asked, uuid, newest: None, report_key: None, receipt }
    }

    /// Copies the whole state.
    fn copy(&self) -> Self {
        Self {
            uuid: self.uuid.clone(),
            asked: self.asked.clone(),
            newest: self.newest.clone(),
            report_key: self.report_key.clone(),
            receipt: self.receipt.clone(),
        }
    }

    fn ask(&mut self, server: &TestServer) -> Result<LocalLicense, Problem> {
        let (answer, report_key) = self.try_ask(server)?;
        let license = answer.local_license.open(server_key().public()).unwrap();
        (self.newest, self.report_key) = (Some(answer.local_license), Some(report_key));
        Ok(license)
    }

    /// Asks, and keeps nothing of the answer.
    fn try_ask(&self, server: &TestServer) -> Result<(AuthorizationAnswer, ReportKey), Problem> {
        let agreement = Agreement::begin().unwrap();
        let asked = AuthorizationRequest {
            newest_license: self.newest.clone(),
            key_share: agreement.share().clone(),
            ..self.asked.clone()
        };
        let answer: AuthorizationAnswer = server.post_as_it_is(AUTHORIZATIONS_PATH, &asked)?;
        let report_key = agreement.of_device(&answer.key_share, &self.uuid).unwrap();
        Ok((answer, report_key))
    }

    fn license(&self) -> LocalLicense {
        self.newest.as_ref().unwrap().peek().unwrap()
    }

    /// A report of what was counted in all, without a proof.
    fn counted(&self, total: u64) -> Request {
        let license = self.license();
        let mut used =
            segment(&license.license_id, &license.license_id, vec![scans(10_000_001, 2, total)]);
        used.local_license = self.newest.clone();
        let report = UsageReport {
            newest_license: self.newest.clone(),
            receipt: self.receipt.clone(),
            ..report(&self.uuid, vec![used])
        };
        post_of(&report)
    }

    fn report(&self, server: &TestServer, total: u64) -> Result<UsageAnswer, Problem> {
        outcome(self.counted(total).tagged_by(self.report_key.as_ref().unwrap()), server)
    }
}

fn post_of(report: &UsageReport) -> Request {
    Request::post(USAGE_PATH, &serde_json::to_vec(report).unwrap())
}

fn outcome(request: Request, server: &TestServer) -> Result<UsageAnswer, Problem> {
    let answer = request.send(server.address);
    if answer.status == 200 { Ok(answer.json()) } else { Err(answer.problem()) }
}

fn code(outcome: Result<LocalLicense, Problem>) -> Result<Generation, ErrorCode> {
    outcome.map(|license| license.generation).map_err(|problem| problem.code)
}

fn place(branch: u32, step: u32) -> Result<Generation, ErrorCode> {
    Ok(Generation { branch, step })
}

const COPIED: Result<Generation, ErrorCode> = Err(ErrorCode::DEVICE_CLONED);

fn strict_scans() -> TestServer {
    TestServer::with_items(vec![LicenseItem {
        strict: true,
        ..LicenseItem::new("scans", ChargeWay::BarcodeScan, 1_000, START, EXPIRY)
    }])
}

fn instances() -> TestServer {
    TestServer::with_items(vec![item("instances", 4)])
}

/// The server as its database was at an instant: the files are put back, and nobody says so.
pub(crate) struct Snapshot(Vec<(&'static str, String)>);

const TABLES: [&str; 9] = [
    "device_identity",
    "local_license",
    "device",
    "seat_holder",
    "item_held",
    "epoch",
    "commit_sequence",
    "usage_day",
    "item_used",
];

impl Snapshot {
    pub(crate) fn of(server: &TestServer) -> Self {
        for table in TABLES {
            execute(
                &server.location,
                &format!("CREATE TABLE old_{table} AS SELECT * FROM {table}"),
            );
        }
        Self(TABLES.map(|table| (table, format!("old_{table}"))).to_vec())
    }

    pub(crate) fn put_back(&self, server: &TestServer) {
        for (table, old) in &self.0 {
            execute(&server.location, &format!("DELETE FROM {table}"));
            execute(&server.location, &format!("INSERT INTO {table} SELECT * FROM {old}"));
        }
        execute(&server.location, "DELETE FROM foreign_epoch");
    }
}

fn rollbacks(server: &TestServer) -> u64 {
    server.number("SELECT count(*) FROM epoch WHERE cause = 'rollback'")
}

#[test]
fn a_request_that_its_device_has_not_signed_is_refused_at_every_door() {
    let server = instances();
    let (uuid, stranger) = (id(), key(9));
    let body = serde_json::to_vec(&request(&uuid, 1)).unwrap();
    for path in [AUTHORIZATIONS_PATH, AUTHORIZATION_CHECKS_PATH] {
        let post = || Request::post(path, &body).header(NONCE_HEADER, &id());
        let other_path = Request::post(USAGE_PATH, &body).facts("").sign(&device_key(&uuid));
        for (what, request) in [
            ("nothing", post().unproven()),
            ("no hex", post().header(DEVICE_SIGNATURE_HEADER, "zz")),
            ("another key", Request::post(path, &body).signed_by(&stranger)),
            ("another path and nonce", post().header(DEVICE_SIGNATURE_HEADER, &other_path)),
            ("an HMAC", post().tagged_by(&report_key("00"))),
        ] {
            let problem = request.send(server.address).problem();
            assert_eq!((problem.status, problem.code), UNPROVEN, "{what} at {path}");
            assert!(problem.detail.contains("device_key"), "{what}: {}", problem.detail);
        }
    }
    let nonce = id();
    let signature =
        Request::post(AUTHORIZATIONS_PATH, &body).facts(&nonce).sign(&device_key(&uuid));
    let changed = String::from_utf8(body).unwrap().replace("\"seats\":1", "\"seats\":4");
    let changed = Request::post(AUTHORIZATIONS_PATH, changed.as_bytes())
        .header(NONCE_HEADER, &nonce)
        .header(DEVICE_SIGNATURE_HEADER, &signature);
    let problem = changed.send(server.address).problem();
    assert_eq!((problem.status, problem.code), UNPROVEN, "changed on its way");
    assert_eq!(server.number("SELECT count(*) FROM device_identity"), 0, "nothing is bound");
}

fn report_key(byte: &str) -> ReportKey {
    ReportKey::try_from(byte.repeat(40)).unwrap()
}

#[test]
fn a_stolen_uuid_is_worth_nothing_without_its_key() {
    let server = instances();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let thief = key(9);
    let stolen = AuthorizationRequest {
        device_key: thief.public().clone(),
        newest_license: device.newest.clone(),
        held_license: device.newest.clone(),
        ..device.asked.clone()
    };
    for path in [AUTHORIZATIONS_PATH, AUTHORIZATION_CHECKS_PATH] {
        let body = serde_json::to_vec(&stolen).unwrap();
        let problem = Request::post(path, &body).signed_by(&thief).send(server.address).problem();
        assert_eq!((problem.status, problem.code), NOT_MATCH);
        assert!(problem.detail.contains("fresh UUID"), "{}", problem.detail);
    }
    let problem = outcome(device.counted(5).signed_by(&thief), &server).unwrap_err();
    assert_eq!((problem.status, problem.code), NOT_MATCH);
    assert_eq!(server.number("SELECT count(*) FROM usage_day"), 0);
    assert_eq!(code(device.ask(&server)), place(1, 2), "the device itself goes on");
}

#[test]
fn a_license_of_another_key_is_not_shown_by_who_has_only_its_text() {
    let server = instances();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    // Under a UUID of his own, the thief has nothing by the license of the other.
    let mut thief = Installation::new();
    thief.newest.clone_from(&device.newest);
    assert_eq!(code(thief.ask(&server)), place(1, 1));
    let mut used = segment(&id(), &device.license().license_id, vec![scans(10_000_001, 2, 3)]);
    used.local_license.clone_from(&device.newest);
    let report = UsageReport {
        ended: vec![EndedLicense {
            license_id: device.license().license_id,
            serial: device.license().serial,
        }],
        ..report(&thief.uuid, vec![used])
    };
    let answer = outcome(post_of(&report).tagged_by(thief.report_key.as_ref().unwrap()), &server);
    assert_eq!(answer.unwrap().refused.len(), 1);
    let running = "SELECT count(*) FROM local_license WHERE valid_until > 1800000000";
    assert_eq!(server.number(running), 2, "nor does he end it");
}

#[test]
fn a_device_has_one_history_whatever_answers_are_lost() {
    let server = instances();
    let mut device = Installation::new();
    device.try_ask(&server).unwrap();
    assert_eq!(code(device.ask(&server)), place(2, 1), "the first answer was lost");
    for _ in 0..3 {
        device.try_ask(&server).unwrap();
    }
    device.ask(&server).unwrap();
    device.report(&server, 1).unwrap();
    assert_eq!(device.ask(&server).unwrap().generation.step, 3);
    assert_eq!(server.number("SELECT rollbacks FROM device_identity"), 0);
    assert_eq!(server.number("SELECT count(*) FROM local_license"), 1, "one device, one license");
}

#[test]
fn a_copy_of_the_whole_state_is_told_when_both_go_on() {
    let server = instances();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let mut copy = device.copy();
    device.ask(&server).unwrap();
    device.report(&server, 1).unwrap();
    assert_eq!(code(copy.ask(&server)), COPIED, "the device was heard a moment ago");
    assert_eq!(device.ask(&server).unwrap().generation.step, 3);
    assert_eq!(server.number("SELECT rollbacks FROM device_identity"), 0, "nothing was changed");
}

#[test]
fn a_device_file_without_licenses_is_told_before_and_after_the_first_contact() {
    let server = instances();
    let mut device = Installation::new();
    let mut before = device.copy();
    device.ask(&server).unwrap();
    // Both have the id of the first contact: who goes on first is the device.
    before.ask(&server).unwrap();
    device.ask(&server).unwrap();
    assert_eq!(code(before.ask(&server)), COPIED);
    let mut after = Installation { newest: None, ..device.copy() };
    assert_eq!(code(after.ask(&server)), COPIED);
    after.asked.first_contact = id();
    assert_eq!(code(after.ask(&server)), COPIED);
    // Once nothing runs any more, it may begin anew.
    server.clock.set(START + 8 * DAY);
    assert_eq!(after.ask(&server).unwrap().generation.step, 1);
}

#[test]
fn who_released_or_ended_its_licenses_begins_anew_at_once() {
    let server = instances();
    let mut device = Installation::new();
    let license = device.ask(&server).unwrap();
    device.ask(&server).unwrap();
    let LocalLicense { license_id, serial, .. } = device.license();
    assert_eq!(license_id, license.license_id);
    let ended = UsageReport {
        ended: vec![EndedLicense { license_id, serial }],
        ..report(&device.uuid, vec![])
    };
    outcome(post_of(&ended).tagged_by(device.report_key.as_ref().unwrap()), &server).unwrap();
    let mut anew = Installation { newest: None, ..device.copy() };
    anew.asked.first_contact = id();
    assert_eq!(anew.ask(&server).unwrap().generation.step, 1);
}

#[test]
fn a_device_that_was_restored_is_shown_keeps_its_seat_and_loses_its_allowance() {
    let server = strict_scans();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let yesterday = device.copy();
    let allowed = device.ask(&server).unwrap().allowances[0].allowed;
    device.report(&server, 7).unwrap();
    server.clock.set(START + DAY);
    let mut restored = yesterday;
    let license = restored.ask(&server).unwrap();
    assert_eq!(license.allowances[0].used, allowed, "what it was allowed counts as spent");
    assert_eq!(license.license_id, device.license().license_id);
    assert_eq!(server.number("SELECT count(*) FROM device"), 1);
    assert_eq!(server.number("SELECT rollbacks FROM device_identity"), 1);
    let shown = Request::json("GET", "/admin/v1/devices", "").send(server.address);
    let shown: serde_json::Value = shown.json();
    assert_eq!(
        (&shown[0]["rollbacks"], &shown[0]["rolled_back_at"]),
        (&1.into(), &(START + DAY).into())
    );
    // It goes on from there, and what it was restored from is told.
    let spent = restored.ask(&server).unwrap().allowances[0].used;
    assert_eq!(spent, allowed, "only once");
    restored.report(&server, 8).unwrap();
    assert!(device.report(&server, 9).unwrap_err().code == ErrorCode::DEVICE_NOT_MATCH);
    assert_eq!(code(device.ask(&server)), COPIED);
}

#[test]
fn a_device_that_has_lost_all_but_its_key_is_not_allowed_the_same_a_second_time() {
    let server = strict_scans();
    let mut device = Installation::new();
    let allowed = device.ask(&server).unwrap().allowances[0].allowed;
    // It performs all of that, reports nothing, and its license ends.
    server.clock.set(START + 8 * DAY);
    let mut anew = Installation { newest: None, ..device.copy() };
    anew.asked.first_contact = id();
    anew.try_ask(&server).unwrap();
    let license = anew.ask(&server).unwrap();
    assert_eq!(license.allowances[0].used, allowed, "once, though the first answer was lost");
    let allowed_in_all = license.allowances[0].allowed;
    assert!((allowed + 1..=1_050).contains(&allowed_in_all), "{allowed_in_all}");
}

/// A request as it was sent, with its proof.
fn recorded(device: &Installation) -> Request {
    let asked =
        AuthorizationRequest { newest_license: device.newest.clone(), ..device.asked.clone() };
    let body = serde_json::to_vec(&asked).unwrap();
    Request::post(AUTHORIZATIONS_PATH, &body).signed_by(&device_key(&device.uuid))
}

#[test]
fn an_old_request_that_arrives_late_changes_nothing() {
    let server = strict_scans();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let old = recorded(&device);
    device.ask(&server).unwrap();
    let used = device.ask(&server).unwrap().allowances[0].used;
    // The device is silent for so long that it may have been restored.
    server.clock.set(START + DAY);
    let problem = old.send(server.address).problem();
    assert_eq!((problem.status, problem.code), UNPROVEN);
    assert_eq!(server.number("SELECT rollbacks FROM device_identity"), 0);
    assert_eq!(device.ask(&server).unwrap().allowances[0].used, used, "its allowance stays");
}

#[test]
fn only_a_fresh_challenge_for_the_device_itself_proves_that_a_request_is_sent_now() {
    let server = instances();
    let challenged = |restored: &Installation| {
        let problem = recorded(restored).send(server.address).problem();
        problem.challenge.unwrap()
    };
    let mut restored = Vec::new();
    for _ in 0..2 {
        let mut device = Installation::new();
        device.ask(&server).unwrap();
        restored.push(device.copy());
        device.ask(&server).unwrap();
        device.ask(&server).unwrap();
    }
    server.clock.set(START + DAY);
    let of_another = challenged(&restored[1]);
    let of_itself = challenged(&restored[0]);
    let answer_to = |challenge: &Signed| {
        let mut asking = restored[0].copy();
        asking.asked.challenge = Some(challenge.clone());
        let answer = recorded(&asking).send(server.address);
        answer.status
    };
    assert_eq!(answer_to(&of_another), 401);
    server.clock.set(START + DAY + 301);
    assert_eq!(answer_to(&of_itself), 401, "it is old");
    server.clock.set(START + DAY + 300);
    let later = challenged(&restored[0]);
    assert_eq!(answer_to(&later), 200);
}

#[test]
fn a_recorded_first_request_of_a_released_device_takes_no_seat() {
    let devices = LicenseItem::new("devices", ChargeWay::ClientDevice, 4, START, EXPIRY);
    let server = TestServer::with_items(vec![devices]);
    let mut device = Installation::new();
    let first = recorded(&device);
    device.ask(&server).unwrap();
    device.ask(&server).unwrap();
    let LocalLicense { license_id, serial, .. } = device.license();
    let ended = UsageReport {
        ended: vec![EndedLicense { license_id, serial }],
        ..report(&device.uuid, vec![])
    };
    outcome(post_of(&ended).tagged_by(device.report_key.as_ref().unwrap()), &server).unwrap();
    let seats = "SELECT count(*) FROM seat_holder";
    assert_eq!(server.number(seats), 0, "it has given it back");
    assert_eq!(first.send(server.address).problem().status, 401);
    assert_eq!(server.number(seats), 0);
}

#[test]
fn a_report_is_proved_by_either_report_key_or_by_the_key_of_the_device() {
    let server = instances();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let first = device.report_key.clone().unwrap();
    device.ask(&server).unwrap();
    let (second, own) = (device.report_key.clone().unwrap(), device_key(&device.uuid));
    for (total, proven) in [
        (1, device.counted(1).tagged_by(&first)),
        (2, device.counted(2).tagged_by(&second)),
        (3, device.counted(3).signed_by(&own)),
    ] {
        assert_eq!(outcome(proven, &server).unwrap().recorded.len(), 1, "{total}");
    }
    device.ask(&server).unwrap();
    for (unproven, why) in [
        (device.counted(9).header(NONCE_HEADER, &id()).unproven(), "no proof"),
        (device.counted(9).tagged_by(&first), "not known here"),
        (device.counted(9).tagged_by(&report_key("01")), "not known here"),
        (device.counted(9).tagged_by(&second).header(REPORT_TAG_HEADER, "00"), "does not belong"),
        (device.counted(9).tagged_by(&second).header(NONCE_HEADER, &id()), "does not belong"),
        (device.counted(9).signed_by(&key(9)), "not signed by the key"),
    ] {
        let problem = outcome(unproven, &server).unwrap_err();
        assert_eq!((problem.status, problem.code), NOT_MATCH, "{why}");
        assert!(problem.detail.contains(why), "{why}: {}", problem.detail);
        assert_eq!(problem.epoch.len(), 32);
    }
    assert_eq!(server.number("SELECT used FROM item_used WHERE kind = 1"), 3);
}

#[test]
fn a_report_of_an_installation_that_was_left_behind_is_booked_and_told() {
    let server = instances();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let mut other = device.copy();
    other.ask(&server).unwrap();
    device.ask(&server).unwrap();
    device.report(&server, 3).unwrap();
    let answer = other.report(&server, 4).unwrap();
    assert!(answer.is_diverged);
    assert_eq!(answer.recorded.len(), 1, "nothing of its usage is lost");
    assert!(!device.report(&server, 5).unwrap().is_diverged);
}

#[test]
fn who_is_not_heard_of_a_holder_knows_its_name_and_no_uuid() {
    let servers =
        LicenseItem { quota: 1, ..LicenseItem::new("one", ChargeWay::Server, 1, START, EXPIRY) };
    for (name, expected) in [("till 7", "till 7"), ("", "")] {
        let server = TestServer::with_items(vec![servers.clone()]);
        let mut holder = Installation::new();
        holder.asked.device.friendly_name = name.into();
        holder.ask(&server).unwrap();
        let refusal = Installation::new().ask(&server).unwrap_err();
        let holders = &refusal.numbers.as_ref().unwrap().holders;
        let expected = if expected.is_empty() { &holder.uuid[..4] } else { expected };
        assert_eq!(holders[0].name, expected);
        let told = serde_json::to_string(&refusal).unwrap();
        assert!(!told.contains(&holder.uuid), "{told}");
    }
}
