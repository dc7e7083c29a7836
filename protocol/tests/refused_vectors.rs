//! The test vectors of what a client must refuse, of what it must read although much is absent, and
//! of the agreement on a report key.
//!
//! `UPDATE_VECTORS=1 cargo test -p seatmeter-protocol --test refused_vectors` writes them anew.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

mod refused_grants;
mod vector;

use refused_grants::{good_grants, not_covered, not_together, wider};
use ring::signature::Ed25519KeyPair;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::{AnswerFacts, Document, PublicKey, Signed, SigningKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vector::*;

const REQUEST: &str = r#"{"protocol":1}"#;
const BODY: &str = r#"{"recorded":[]}"#;

/// An answer as a client gets it.
#[derive(Clone)]
struct Answer {
    request: String,
    nonce: String,
    status: u16,
    time: u64,
    key_id: String,
    body: String,
    signature: String,
}

impl Answer {
    fn signed_by(key: &SigningKey) -> Self {
        let mut answer = Self {
            request: REQUEST.into(),
            nonce: "77".repeat(16),
            status: 200,
            time: NOW,
            key_id: key.public().id(),
            body: BODY.into(),
            signature: String::new(),
        };
        answer.signature = answer.facts().sign(answer.body.as_bytes(), key);
        answer
    }

    fn facts(&self) -> AnswerFacts<'_> {
        AnswerFacts {
            request_body: self.request.as_bytes(),
            nonce: &self.nonce,
            status: self.status,
            server_time: self.time,
            key_id: &self.key_id,
        }
    }

    fn is_believed(&self) -> bool {
        let key = key("02");
        self.facts().verify(self.body.as_bytes(), &self.signature, key.public()).is_ok()
    }

    fn vector(&self, why: &str) -> Value {
        json!({ "why": why, "request_body": self.request, "nonce": self.nonce,
                "status": self.status, "server_time": self.time, "key_id": self.key_id,
                "body": self.body, "signature": self.signature })
    }
}

/// Return answers that are not the server's, or not to the request.
fn answers() -> Vec<Value> {
    let good = Answer::signed_by(&key("02"));
    assert!(good.is_believed());
    let changed = |change: &dyn Fn(&mut Answer)| {
        let mut answer = good.clone();
        change(&mut answer);
        answer
    };
    let other_digit = |text: &str| {
        let first = if text.starts_with('0') { "1" } else { "0" };
        first.to_owned() + &text[1..]
    };
    let as_document = {
        let text = Signed::seal(&local(), &key("02")).unwrap();
        changed(&|answer| answer.signature.clone_from(&text.signature))
    };
    let cases = [
        ("bad signature", changed(&|a| a.signature = other_digit(&a.signature))),
        ("key of another server", Answer::signed_by(&key("04"))),
        ("key of another server under the id of the right one", {
            let other = Answer::signed_by(&key("04"));
            changed(&|answer| answer.signature.clone_from(&other.signature))
        }),
        ("another nonce", changed(&|answer| answer.nonce = "78".repeat(16))),
        ("another request", changed(&|answer| answer.request.push(' '))),
        ("another status", changed(&|answer| answer.status = 403)),
        ("another time", changed(&|answer| answer.time += 1)),
        ("another body", changed(&|answer| answer.body.push(' '))),
        ("signature of a local license: another context", as_document),
        ("no signature", changed(&|answer| answer.signature.clear())),
    ];
    cases
        .iter()
        .map(|(why, answer)| {
            assert!(!answer.is_believed(), "{why}");
            answer.vector(why)
        })
        .collect()
}

fn document<D: Document>(why: &str, signed: &Signed, expected: &PublicKey) -> Value {
    assert!(signed.open::<D>(expected).is_err(), "{why}");
    json!({ "why": why, "context": D::CONTEXT, "expected_key": expected, "envelope": signed })
}

/// Return envelopes that are not of the key, or not of the kind, that a reader expects.
fn documents() -> Vec<Value> {
    let (vendor, server) = (key("01"), key("02"));
    let file = Signed::seal(&file(&server), &vendor).unwrap();
    let license = Signed::seal(&local(), &server).unwrap();
    let changed = Signed {
        payload: license.payload.replace("\"seats\":2", "\"seats\":3"),
        ..license.clone()
    };
    assert_ne!(changed, license);
    let under_other_id = Signed { key_id: server.public().id(), ..file.clone() };
    let pair = Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
    let alone = format!("seatmeter/1 {}\n{}", LocalLicense::CONTEXT, license.payload);
    let alone = hex::encode(pair.sign(alone.as_bytes()));
    let of_batch = Signed::seal(&Batched(file_text(&file)), &vendor).unwrap();
    let of_batch = Signed { payload: file.payload.clone(), ..of_batch };
    vec![
        document::<LicenseFile>(
            "signed by another vendor",
            &Signed::seal(&vector::file(&server), &key("09")).unwrap(),
            vendor.public(),
        ),
        document::<LicenseFile>("the id of another key", &under_other_id, vendor.public()),
        document::<LicenseFile>(
            "a local license in the place of a license file",
            &Signed { key_id: vendor.public().id(), ..license.clone() },
            vendor.public(),
        ),
        document::<LicenseFile>(
            "a license file that is signed in a batch",
            &of_batch,
            vendor.public(),
        ),
        document::<LicenseFile>(
            "a signature in upper case",
            &Signed { signature: file.signature.to_uppercase(), ..file.clone() },
            vendor.public(),
        ),
        document::<LocalLicense>("a changed payload", &changed, server.public()),
        document::<LocalLicense>(
            "a local license that is signed alone",
            &Signed { signature: alone, ..license.clone() },
            server.public(),
        ),
        document::<LocalLicense>(
            "signed by another server",
            &Signed::seal(&local(), &key("04")).unwrap(),
            server.public(),
        ),
    ]
}

fn file_text(file: &Signed) -> Value {
    serde_json::from_str(&file.payload).unwrap()
}

/// A license file as a document that is signed in a batch.
#[derive(Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Batched(Value);

impl Document for Batched {
    const CONTEXT: &'static str = "license file";
    const IS_BATCHED: bool = true;
}

/// The same text as a license file, with the form that license files are signed in.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Alone(Value);

impl Document for Alone {
    const CONTEXT: &'static str = "license file";
}

#[test]
fn what_a_client_must_refuse_is_as_committed() {
    let grants = [not_together(), wider(), not_covered()].concat();
    let content = json!({
        "vendor_public": key("01").public(), "server_public": key("02").public(),
        "device_uuid": uuid(), "device_public": key("03").public(),
        "good_answer": Answer::signed_by(&key("02")).vector("this one is believed"),
        "answers": answers(), "documents": documents(),
        "good_grants": good_grants(), "grants": grants,
    });
    vector("refused", &content);
}

/// Return an answer with what may be absent, and the same one with everything written.
fn absent<T: Serialize + DeserializeOwned + PartialEq>(
    schema: &str,
    written: &Value,
    means: Value,
) -> Value {
    let read: T = serde_json::from_value(written.clone()).unwrap();
    let meant: T = serde_json::from_value(means.clone()).unwrap();
    assert!(read == meant, "{schema}: {written}");
    json!({ "schema": schema, "written": written, "means": means })
}

#[test]
fn what_is_absent_means_what_is_committed() {
    let granted = grant(&local(), &key("02"));
    let (root, file) = (&granted.root_key, &granted.license_file);
    let (license, share) = (&granted.local_license, &granted.key_share);
    let required = json!({ "root_key": root, "license_file": file, "local_license": license,
                           "key_share": share });
    let with = |base: &Value, more: Value| {
        let mut all = base.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let report = json!({ "recorded": [] });
    let checked = json!({ "handshake_code": "CODE", "item_id": "scans",
                          "charge_way": "barcode_scan", "seats": 0, "valid_until": NOW });
    let refused = json!({ "type": "/problems/expired", "title": "The license has expired.",
                          "status": 403, "detail": "it has", "code": -20111 });
    let mut local = serde_json::to_value(local()).unwrap();
    for field in ["epoch", "allowances"] {
        local.as_object_mut().unwrap().remove(field);
    }
    let item = json!({ "item_id": "site", "charge_way": "domain", "deployment_types": ["browser"],
                       "products": 1, "starts_at": 1, "expires_at": 2,
                       "domains": ["company.com"] });
    let item_means = json!({
        "quota": 0, "offline_days": 30, "window_days": null, "page_quotas": null,
        "overuse_budget": null, "overuse_growth_per_day": 0, "strict": false, "modules": [],
        "versions": {}, "edition": null, "requires": [], "trial": false });
    let mut refusal = refused.clone();
    refusal["numbers"] = json!({});
    let mut refusal_means = refused.clone();
    refusal_means["numbers"] = json!({ "requested": 0, "quota": 0, "used": 0, "grace": 0,
                                       "next_free_at": null, "holders": [] });
    let answers = [
        absent::<AuthorizationAnswer>(
            "authorization-answer",
            &required,
            with(
                &required,
                json!({
            "epoch": "", "meters": [], "any_program": false, "receipt": "" }),
            ),
        ),
        absent::<UsageAnswer>(
            "usage-answer",
            &report,
            with(
                &report,
                json!({
            "refused": [], "epoch": "", "is_diverged": false, "standings": [], "receipt": "" }),
            ),
        ),
        absent::<AuthorizationCheck>(
            "authorization-check",
            &checked,
            with(
                &checked,
                json!({
            "epoch": "", "meters": [] }),
            ),
        ),
        absent::<Problem>(
            "problem",
            &refused,
            with(
                &refused,
                json!({
            "numbers": null, "epoch": "", "challenge": null }),
            ),
        ),
        absent::<Problem>("problem", &refusal, refusal_means),
        absent::<LocalLicense>(
            "local-license",
            &local,
            with(
                &local,
                json!({
            "epoch": "", "allowances": [] }),
            ),
        ),
    ];
    let items = [absent::<LicenseItem>("license-file", &item, with(&item, item_means))];
    vector("absent", &json!({ "answers": answers, "items": items }));
}

#[test]
fn the_agreement_on_a_report_key_is_as_committed() {
    let [device_secret, device_share, server_secret, server_share, agreed] = AGREEMENT;
    let content = json!({
        "device_secret": device_secret, "device_share": device_share,
        "server_secret": server_secret, "server_share": server_share, "agreed_secret": agreed,
        "device_uuid": uuid(), "report_key": String::from(report_key()),
        "report_key_id": report_key().id(),
    });
    vector("report_key", &content);
}
