//! The scripts among the test vectors of the protocol, played to a server: reports with the sums
//! that they lead to, two installations with one key, and data that was put back.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{Generation, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::Signed;
use seatmeter_protocol::slot::slot_of;
use serde_json::Value;

use crate::support::*;
use crate::trust::Snapshot;

fn scripts(name: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    vectors["scripts"].as_array().unwrap().clone()
}

fn server_of_scans() -> TestServer {
    let types = vec![DeploymentType::Server];
    let scans = LicenseItem::new("scans", ChargeWay::BarcodeScan, 100_000_000, START, EXPIRY);
    TestServer::with_items(vec![LicenseItem { deployment_types: types, ..scans }])
}

/// The names in a script, each with its id.
#[derive(Default)]
struct Ids(BTreeMap<String, String>);

impl Ids {
    fn of(&mut self, name: &str) -> String {
        self.0.entry(name.to_owned()).or_insert_with(id).clone()
    }

    fn name(&self, id: &str) -> &str {
        self.0.iter().find(|(_, known)| *known == id).map_or("", |(name, _)| name)
    }
}

fn totals(written: &Value) -> Vec<UsageTotal> {
    let total = |row: &Value| UsageTotal {
        slot: u32::try_from(i64::from(slot_of(START)) + row[0].as_i64().unwrap()).unwrap(),
        kind: serde_json::from_value(row[1].clone()).unwrap(),
        what: row[2].as_u64().unwrap().try_into().unwrap(),
        total: row[3].as_u64().unwrap(),
    };
    written.as_array().unwrap().iter().map(total).collect()
}

fn play_reports(script: &Value) {
    let name = script["name"].as_str().unwrap();
    let (server, device) = (server_of_scans(), id());
    let own = server.authorize(&request(&device, 1)).unwrap().license_id;
    let other = server.authorize(&request(&id(), 1)).unwrap().license_id;
    let (mut ids, mut billed) = (Ids::default(), 0);
    for step in script["steps"].as_array().unwrap() {
        let segments = step["segments"].as_object().unwrap().iter().map(|(name, written)| {
            let license_id = match written["license"].as_str().unwrap() {
                "own" => own.clone(),
                "of another device" => other.clone(),
                _ => id(),
            };
            segment(&ids.of(name), &license_id, totals(&written["totals"]))
        });
        let answer = server.report(&report(&device, segments.collect()));
        let recorded: Vec<_> = answer.recorded.iter().map(|id| ids.name(id)).collect();
        assert_eq!(serde_json::json!(recorded), step["recorded"], "{name}");
        let refused: BTreeMap<_, _> =
            answer.refused.iter().map(|one| (ids.name(&one.segment_id), one.code)).collect();
        assert_eq!(serde_json::to_value(refused).unwrap(), step["refused"], "{name}");
        if let Some(standing) = answer.standings.first() {
            billed = standing.meters[0].used;
        }
        assert_eq!(billed, step["billed"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn scripts_of_reports_lead_to_the_sums_of_the_vectors() {
    let scripts = scripts("reports");
    assert!(scripts.len() > 10);
    scripts.iter().for_each(play_reports);
}

fn play_clones(script: &Value) {
    let name = script["name"].as_str().unwrap();
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let (uuid, mut now) = (id(), START);
    let (mut licenses, mut contacts) = (BTreeMap::<String, Signed>::new(), Ids::default());
    for step in script["steps"].as_array().unwrap() {
        now += 60 * step["after_minutes"].as_u64().unwrap();
        server.clock.set(now);
        let shown = step["shows"].as_str().map(|name| licenses[name].clone());
        let first_contact = match &shown {
            None => contacts.of(step["who"].as_str().unwrap()),
            Some(_) => String::new(),
        };
        let mut asked =
            AuthorizationRequest { held_license: shown, first_contact, ..request(&uuid, 1) };
        let ask = |asked: &AuthorizationRequest| {
            let key = server_key();
            post_once::<AuthorizationAnswer>(
                server.address,
                key.public(),
                AUTHORIZATIONS_PATH,
                asked,
            )
        };
        let mut outcome = ask(&asked);
        if step["challenge"] == true {
            asked.challenge = Some(*outcome.unwrap_err().challenge.expect(name));
            outcome = ask(&asked);
        }
        match outcome {
            Ok(granted) => {
                let license: LocalLicense =
                    granted.local_license.open(server_key().public()).unwrap();
                let Generation { branch, step: number } = license.generation;
                assert_eq!(serde_json::json!([branch, number]), step["outcome"], "{name}: {step}");
                licenses.insert(step["gets"].as_str().unwrap().to_owned(), granted.local_license);
            }
            Err(problem) => assert_eq!(problem.code.0, step["outcome"], "{name}: {step}"),
        }
    }
}

#[test]
fn two_installations_with_one_key_get_what_the_vectors_say() {
    let scripts = scripts("clones");
    assert!(scripts.len() > 5);
    scripts.iter().for_each(play_clones);
}

/// The course of a script in which the data of a server is put back.
struct Rollback {
    server: TestServer,
    now: u64,
    kept: Option<Snapshot>,
    uuids: Ids,
    licenses: BTreeMap<String, Signed>,
    receipts: BTreeMap<String, String>,
    epochs: BTreeMap<String, String>,
}

impl Rollback {
    fn begin() -> Self {
        Self {
            server: server_of_scans(),
            now: START,
            kept: None,
            uuids: Ids::default(),
            licenses: BTreeMap::new(),
            receipts: BTreeMap::new(),
            epochs: BTreeMap::new(),
        }
    }

    fn play(&mut self, step: &Value, name: &str) {
        let (epoch, receipt) = match step["do"].as_str().unwrap() {
            "keep" => return self.kept = Some(Snapshot::of(&self.server)),
            "put_back" => return self.kept.as_ref().unwrap().put_back(&self.server),
            "wait" => {
                self.now += 86_400 * step["days"].as_u64().unwrap();
                return self.server.clock.set(self.now);
            }
            "report" => self.report(step, name),
            "check" => {
                let asked = self.request(step);
                let path = AUTHORIZATION_CHECKS_PATH;
                let answer: AuthorizationCheck = self.server.post_as_it_is(path, &asked).unwrap();
                (answer.epoch, String::new())
            }
            _ => self.authorize(step, name),
        };
        let of = step["epoch"].as_str().unwrap();
        let is_new = !self.epochs.values().any(|known| *known == epoch);
        let known = self.epochs.entry(of.to_owned()).or_insert_with(|| epoch.clone());
        assert_eq!(*known, epoch, "{name}: {step}");
        assert!(is_new || self.epochs.values().filter(|known| **known == epoch).count() == 1);
        if let Some(name) = step["gets_receipt"].as_str() {
            self.receipts.insert(name.to_owned(), receipt);
        }
    }

    fn request(&mut self, step: &Value) -> AuthorizationRequest {
        let uuid = self.uuids.of(step["who"].as_str().unwrap());
        let newest_license = step["shows"].as_str().map(|name| self.licenses[name].clone());
        let contact = if newest_license.is_none() { uuid.clone() } else { String::new() };
        AuthorizationRequest {
            newest_license,
            first_contact: contact,
            receipt: self.receipt(step),
            ..request(&uuid, 1)
        }
    }

    fn receipt(&self, step: &Value) -> String {
        let Some(name) = step["shows_receipt"].as_str() else { return String::new() };
        let mut receipt = self.receipts[name].clone();
        if step["receipt_is_changed"] == true {
            let last = receipt.pop();
            receipt.push(if last == Some('0') { '1' } else { '0' });
        }
        receipt
    }

    fn authorize(&mut self, step: &Value, name: &str) -> (String, String) {
        let asked = self.request(step);
        let granted: AuthorizationAnswer =
            self.server.post_as_it_is(AUTHORIZATIONS_PATH, &asked).expect(name);
        let license: LocalLicense = granted.local_license.peek().unwrap();
        let Generation { branch, step: number } = license.generation;
        assert_eq!(serde_json::json!([branch, number]), step["outcome"], "{name}: {step}");
        self.licenses.insert(step["gets"].as_str().unwrap().to_owned(), granted.local_license);
        (granted.epoch, granted.receipt)
    }

    fn report(&mut self, step: &Value, name: &str) -> (String, String) {
        let shown = self.licenses[step["shows"].as_str().unwrap()].clone();
        let license: LocalLicense = shown.peek().unwrap();
        let uuid = self.uuids.of(step["who"].as_str().unwrap());
        let total = scans(slot_of(START), 4, step["total"].as_u64().unwrap());
        let used = SegmentReport {
            local_license: Some(shown.clone()),
            ..segment(&uuid, &license.license_id, vec![total])
        };
        let report = UsageReport {
            newest_license: Some(shown),
            receipt: self.receipt(step),
            ..report(&uuid, vec![used])
        };
        let answer: UsageAnswer = self.server.post_as_it_is(USAGE_PATH, &report).expect(name);
        assert_eq!(answer.recorded, [uuid], "{name}: {step}");
        let billed = answer.standings[0].meters[0].used;
        assert_eq!(billed, step["billed"].as_u64().unwrap(), "{name}: {step}");
        (answer.epoch, answer.receipt)
    }
}

#[test]
fn data_that_was_put_back_is_noticed_by_what_the_vectors_say_and_by_nothing_else() {
    let scripts = scripts("rollbacks");
    assert!(scripts.len() > 6);
    for script in &scripts {
        let (mut rollback, name) = (Rollback::begin(), script["name"].as_str().unwrap());
        script["steps"].as_array().unwrap().iter().for_each(|step| rollback.play(step, name));
    }
}
