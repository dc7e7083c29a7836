//! The scripts among the test vectors of the protocol, played to a server: reports with the sums
//! that they lead to, and two installations with one key.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{Generation, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::Signed;
use seatmeter_protocol::slot::slot_of;
use serde_json::Value;

use crate::support::*;

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
