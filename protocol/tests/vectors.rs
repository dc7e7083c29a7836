//! The test vectors of `docs/wire.md`: committed JSON that any other implementation can check
//! itself against.
//!
//! `UPDATE_VECTORS=1 cargo test -p seatmeter-protocol --test vectors` writes them anew.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

use seatmeter_protocol::challenge::Challenge;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{
    CountAllowance, Generation, LicenseFile, LicenseItem, LocalLicense,
};
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::{KeyShare, ReportKey, RequestFacts};
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::signature::{AnswerFacts, Document, Signed, SigningKey, digest_hex};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

fn key(byte: &str) -> SigningKey {
    SigningKey::from_seed(&byte.repeat(32)).unwrap()
}

fn vector(name: &str, content: &Value) {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = serde_json::to_string_pretty(content).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        committed, text,
        "{name}: run with UPDATE_VECTORS=1 if the wire format is meant to change"
    );
}

fn seeds() -> Value {
    json!({ "vendor_seed": "01".repeat(32), "vendor_public": key("01").public(),
            "server_seed": "02".repeat(32), "server_public": key("02").public(),
            "server_key_id": key("02").public().id() })
}

fn file() -> LicenseFile {
    let scans = LicenseItem {
        deployment_types: vec![DeploymentType::Desktop],
        trial: true,
        ..LicenseItem::new("scans", ChargeWay::BarcodeScan, 1_000, NOW, NOW + 86_400)
    };
    LicenseFile {
        version: 1,
        file_id: "file-1".into(),
        organization_id: "acme".into(),
        organization_name: "Acme & Söhne".into(),
        server_key: key("02").public().clone(),
        issued_at: NOW,
        items: vec![
            LicenseItem::new("seats", ChargeWay::ConcurrentInstance, 4, NOW, NOW + 86_400),
            scans,
        ],
        unknown_items: Vec::new(),
    }
}

fn local() -> LocalLicense {
    LocalLicense {
        version: 1,
        license_id: "33".repeat(16),
        serial: 7,
        item_id: "seats".into(),
        handshake_code: "CODE".into(),
        device_uuid: "44".repeat(16),
        charge_way: ChargeWay::ConcurrentInstance,
        seats: 4,
        issued_at: NOW,
        valid_until: NOW + 86_400,
        item_expires_at: NOW + 86_400,
        device_key: key("03").public().clone(),
        generation: Generation { branch: 2, step: 7 },
        epoch: "66".repeat(16),
        allowances: vec![CountAllowance { module: 4, allowed: 500, used: 20 }],
    }
}

#[test]
fn signed_documents_are_as_committed_and_open() {
    let license_file = Signed::seal(&file(), &key("01")).unwrap();
    let local_license = Signed::seal(&local(), &key("02")).unwrap();
    assert_eq!(license_file.open::<LicenseFile>(key("01").public()).unwrap(), file());
    assert_eq!(local_license.open::<LocalLicense>(key("02").public()).unwrap(), local());
    let contexts = [LicenseFile::CONTEXT, LocalLicense::CONTEXT];
    vector(
        "documents",
        &json!({ "keys": seeds(), "contexts": contexts,
                 "license_file": license_file, "local_license": local_license }),
    );
}

#[test]
fn a_signed_answer_is_as_committed_and_verifies() {
    let device = device();
    let total = UsageTotal { slot: 10_000_000, kind: UsageKind::Scan, what: 0x20, total: 3 };
    let segment = SegmentReport {
        segment_id: "55".repeat(16),
        license_id: "33".repeat(16),
        local_license: None,
        totals: vec![total],
    };
    let ended = vec![EndedLicense { license_id: "33".repeat(16), serial: 7 }];
    let request = serde_json::to_string(&UsageReport {
        receipt: String::new(),
        protocol: 1,
        device,
        newest_license: None,
        segments: vec![segment],
        ended,
    })
    .unwrap();
    let meter = Meter {
        of: Metered::Scans,
        module: 0,
        quota: 100,
        used: 101,
        grace: 5,
        state: MeterState::InGrace,
    };
    let answer = UsageAnswer {
        receipt: String::new(),
        recorded: vec!["55".repeat(16)],
        refused: vec![],
        epoch: "66".repeat(16),
        is_diverged: false,
        standings: vec![ItemStanding { item_id: "scans".into(), meters: vec![meter] }],
    };
    let body = serde_json::to_string(&answer).unwrap();
    let nonce = "77".repeat(16);
    let key_id = key("02").public().id();
    let facts = AnswerFacts {
        request_body: request.as_bytes(),
        nonce: &nonce,
        status: 200,
        server_time: NOW,
        key_id: &key_id,
    };
    let signature = facts.sign(body.as_bytes(), &key("02"));
    facts.verify(body.as_bytes(), &signature, key("02").public()).unwrap();
    vector(
        "answer",
        &json!({ "keys": seeds(), "request_body": request, "request_digest": digest_hex(request.as_bytes()),
                 "nonce": nonce, "status": 200, "server_time": NOW, "answer_body": body, "signature": signature }),
    );
}

fn comes_back<T: serde::Serialize + DeserializeOwned>(value: &T) -> Value {
    let json = serde_json::to_value(value).unwrap();
    let again: T = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap(), json);
    json
}

/// Return a request with every field. No device sends all of them at once.
fn authorization_request() -> AuthorizationRequest {
    let license = Signed::seal(&local(), &key("02")).unwrap();
    let made = Challenge { device_uuid: "44".repeat(16), made_at: NOW };
    AuthorizationRequest {
        protocol: 1,
        handshake_code: "CODE".into(),
        organization_id: "acme".into(),
        session_password: "secret".into(),
        device: device(),
        deployment_type: DeploymentType::Server,
        charge_way: Some(ChargeWay::ConcurrentInstance),
        products: 1,
        seats: 4,
        buffer_days: 7,
        modules: vec!["PDF417".into()],
        product_version: Some("9.6".parse().unwrap()),
        product_edition: Some("pro".into()),
        validation: ValidationFacts {
            website_domain: "company.com".into(),
            ..ValidationFacts::default()
        },
        held_license: Some(license.clone()),
        newest_license: Some(license),
        device_key: key("03").public().clone(),
        key_share: KeyShare::try_from("99".repeat(32)).unwrap(),
        first_contact: "88".repeat(16),
        needed: 3,
        lost: vec![LostAllowance { item_id: "pages".into(), module: 4, lost: 64 }],
        receipt: "receipt".into(),
        challenge: Some(Signed::seal(&made, &key("02")).unwrap()),
    }
}

fn device() -> DeviceFacts {
    DeviceFacts {
        uuid: "44".repeat(16),
        friendly_name: "till".into(),
        library_version: "0.1.0".into(),
    }
}

fn meters() -> Vec<Meter> {
    let meter = Meter {
        of: Metered::Pages,
        module: 4,
        quota: 100,
        used: 101,
        grace: 5,
        state: MeterState::InGrace,
    };
    vec![meter]
}

/// Return the answers with every field.
fn answers() -> [Value; 3] {
    let epoch = "66".repeat(16);
    let granted = AuthorizationAnswer {
        root_key: key("01").public().clone(),
        license_file: Signed::seal(&file(), &key("01")).unwrap(),
        local_license: Signed::seal(&local(), &key("02")).unwrap(),
        key_share: KeyShare::try_from("99".repeat(32)).unwrap(),
        epoch: epoch.clone(),
        meters: meters(),
        any_program: true,
        receipt: "receipt".into(),
    };
    let checked = AuthorizationCheck {
        handshake_code: "CODE".into(),
        item_id: "seats".into(),
        charge_way: ChargeWay::ConcurrentInstance,
        seats: 4,
        valid_until: NOW + 86_400,
        epoch: epoch.clone(),
        meters: meters(),
    };
    let refused = SegmentRefusal {
        segment_id: "56".repeat(16),
        code: SegmentFault::LicenseUnknown,
        reason: "there is no such license".into(),
    };
    let reported = UsageAnswer {
        recorded: vec!["55".repeat(16)],
        refused: vec![refused],
        epoch,
        is_diverged: true,
        standings: vec![ItemStanding { item_id: "pages".into(), meters: meters() }],
        receipt: "receipt".into(),
    };
    [comes_back(&granted), comes_back(&checked), comes_back(&reported)]
}

fn usage_report() -> UsageReport {
    let license = Signed::seal(&local(), &key("02")).unwrap();
    let total = UsageTotal { slot: 10_000_000, kind: UsageKind::Scan, what: 0x20, total: 3 };
    let segment = SegmentReport {
        segment_id: "55".repeat(16),
        license_id: "33".repeat(16),
        local_license: Some(license.clone()),
        totals: vec![total],
    };
    UsageReport {
        protocol: 1,
        device: device(),
        newest_license: Some(license),
        receipt: "receipt".into(),
        segments: vec![segment],
        ended: vec![EndedLicense { license_id: "33".repeat(16), serial: 7 }],
    }
}

fn problem() -> Problem {
    let numbers = ProblemNumbers {
        requested: 5,
        quota: 4,
        used: 4,
        grace: 0,
        next_free_at: Some(NOW + 180),
        holders: vec![Holder { name: "till".into(), seats: 4, until: NOW + 180 }],
    };
    Problem {
        numbers: Some(Box::new(numbers)),
        epoch: "66".repeat(16),
        challenge: authorization_request().challenge.map(Box::new),
        ..Problem::new(403, ErrorCode::QUOTA_EXCEEDED, "all seats are in use")
    }
}

#[test]
fn messages_with_every_field_are_as_committed() {
    let [granted, checked, reported] = answers();
    vector(
        "messages",
        &json!({ "authorization_request": comes_back(&authorization_request()),
                 "authorization_answer": granted, "authorization_check": checked,
                 "usage_report": comes_back(&usage_report()), "usage_answer": reported,
                 "problem": comes_back(&problem()) }),
    );
}

#[test]
fn the_proofs_of_a_device_are_as_committed() {
    let (body, nonce) = (r#"{"protocol":1}"#, "77".repeat(16));
    let report_key = ["cd".repeat(8), "ef".repeat(32)].concat();
    let key_of_reports = ReportKey::try_from(report_key.clone()).unwrap();
    let authorization = RequestFacts::new(AUTHORIZATIONS_PATH, &nonce, body.as_bytes());
    let report = RequestFacts::new(USAGE_PATH, &nonce, body.as_bytes());
    let (signature, tag) = (authorization.sign(&key("03")), report.tag(&key_of_reports));
    authorization.verify(&signature, key("03").public()).unwrap();
    assert!(report.has_tag(&tag, &key_of_reports));
    vector(
        "proofs",
        &json!({ "device_seed": "03".repeat(32), "device_public": key("03").public(),
                 "report_key": report_key, "report_key_id": key_of_reports.id(),
                 "body": body, "body_digest": digest_hex(body.as_bytes()), "nonce": nonce,
                 "authorization": { "path": AUTHORIZATIONS_PATH, "signature": signature },
                 "report": { "path": USAGE_PATH, "tag": tag } }),
    );
}
