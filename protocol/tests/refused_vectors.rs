//! The test vectors of what a client must refuse, of what it must read although much is absent, and
//! of the agreement on a report key.
//!
//! `UPDATE_VECTORS=1 cargo test -p seatmeter-protocol --test refused_vectors` writes them anew.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

mod vector;

use ring::signature::Ed25519KeyPair;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{
    CountAllowance, LicenseFile, LicenseItem, LocalLicense, VersionRange,
};
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

/// A grant, with what the client has asked for and what it knows.
#[derive(Clone)]
struct Granted {
    answer: AuthorizationAnswer,
    /// The key that has signed the answer.
    answered_by: PublicKey,
    request: AuthorizationRequest,
    /// The latest issue of the license file that the client knows.
    known_issued_at: u64,
    server_time: u64,
}

impl Granted {
    fn of(local: &LocalLicense) -> Self {
        Self {
            answer: grant(local, &key("02")),
            answered_by: key("02").public().clone(),
            request: request(),
            known_issued_at: 0,
            server_time: NOW,
        }
    }

    /// Return a grant from the only item of a file, to a client that asks for it.
    fn from_item(item: LicenseItem) -> Self {
        let seats = if item.charge_way == ChargeWay::ConcurrentInstance { 2 } else { 0 };
        let (item_id, charge_way) = (item.item_id.clone(), item.charge_way);
        let mut granted = Self::of(&LocalLicense { item_id, charge_way, seats, ..local() });
        granted.request.deployment_type = item.deployment_types[0];
        granted.request.products = 1;
        let file = LicenseFile { items: vec![item], ..file(&key("02")) };
        granted.answer.license_file = Signed::seal(&file, &key("01")).unwrap();
        granted
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn vector(&self, clause: u32, why: &str) -> Value {
        json!({ "why": why, "clause": clause, "known_issued_at": self.known_issued_at,
                "server_time": self.server_time, "answered_by": self.answered_by,
                "request": self.request, "answer": self.answer })
    }
}

type Change<'a> = &'a dyn Fn(&mut LocalLicense);

/// Return grants by local licenses that are not for the device, or wider than their item.
fn wider() -> Vec<Value> {
    let strict = |local: &mut LocalLicense| {
        (local.item_id, local.charge_way) = ("scans".into(), ChargeWay::BarcodeScan);
        local.seats = 0;
    };
    let allowed = |module, allowed, used| vec![CountAllowance { module, allowed, used }];
    let cases: [(u32, &str, Change<'_>); 12] = [
        (4, "another device", &|local| local.device_uuid = "45".repeat(16)),
        (4, "the key of another device", &|local| local.device_key = key("05").public().clone()),
        (5, "an item that is not in the file", &|local| local.item_id = "others".into()),
        (3, "a version of the document that is not known", &|local| local.version = 2),
        (6, "another charge way than the item's", &|local| local.charge_way = ChargeWay::Server),
        (7, "more seats than the quota", &|local| local.seats = 5),
        (8, "granted before the item starts", &|local| local.issued_at = NOW - DAY - 1),
        (9, "an item that expires later", &|local| local.item_expires_at += 1),
        (10, "valid beyond the grace of the item", &|local| {
            (local.issued_at, local.valid_until) = (NOW + 20 * DAY, NOW + 37 * DAY + 1);
        }),
        (11, "more days without contact than the item allows", &|local| {
            local.valid_until = NOW + 30 * DAY + 1;
        }),
        (12, "an allowance above quota and grace", &|local| {
            strict(local);
            local.allowances = allowed(0, 106, 0);
        }),
        (12, "an allowance for a module without a quota", &|local| {
            strict(local);
            local.allowances = allowed(4, 1, 0);
        }),
    ];
    let mut all = Vec::new();
    for (clause, why, change) in cases {
        let mut wide = local();
        change(&mut wide);
        let mut granted = Granted::of(&wide);
        if clause == 12 {
            granted.request.deployment_type = DeploymentType::Desktop;
        }
        all.push(granted.vector(clause, why));
    }
    all
}

/// Return grants whose documents are right one by one, and do not belong together.
fn not_together() -> Vec<Value> {
    let issued_at = file(&key("02")).issued_at;
    let good = || Granted::of(&local());
    let of_another_vendor = Signed::seal(&file(&key("02")), &key("09")).unwrap();
    let mut hours = file_text(&Signed::seal(&file(&key("02")), &key("01")).unwrap());
    hours["items"][0]["hours"] = json!([8, 18]);
    let hours = Signed::seal(&Alone(hours), &key("01")).unwrap();
    let cases = [
        (
            1,
            "a license file of another vendor",
            good().with(|granted| {
                granted.answer.license_file = of_another_vendor.clone();
            }),
        ),
        (
            1,
            "a license file of another vendor, whose key the answer names",
            good().with(|granted| {
                granted.answer.license_file = of_another_vendor.clone();
                granted.answer.root_key = key("09").public().clone();
            }),
        ),
        (
            2,
            "an earlier issue of the license file",
            good().with(|granted| {
                granted.known_issued_at = issued_at + 1;
            }),
        ),
        (
            2,
            "a license file that is issued more than a day after the server's time",
            good().with(|granted| granted.server_time = issued_at - DAY - 1),
        ),
        (
            3,
            "an answer by another key than the file names",
            good().with(|granted| {
                granted.answered_by = key("04").public().clone();
            }),
        ),
        (
            3,
            "a license by another key than the file names",
            good().with(|granted| {
                granted.answer.local_license = Signed::seal(&local(), &key("04")).unwrap();
            }),
        ),
        (
            5,
            "an item with a field that is not known",
            good().with(|granted| {
                granted.answer.license_file = hours;
            }),
        ),
    ];
    cases.iter().map(|(clause, why, granted)| granted.vector(*clause, why)).collect()
}

fn site() -> LicenseItem {
    LicenseItem {
        deployment_types: vec![DeploymentType::Browser],
        domains: vec!["company.com".into()],
        ..LicenseItem::new("site", ChargeWay::Domain, 0, NOW - DAY, NOW + 30 * DAY)
    }
}

/// Return an item that restricts whatever an item can restrict.
fn narrow() -> LicenseItem {
    LicenseItem {
        products: 1,
        modules: vec!["OCR".into(), "ONED".into()],
        versions: VersionRange {
            from: Some("9.1".parse().unwrap()),
            to: Some("9".parse().unwrap()),
        },
        edition: Some("pro".into()),
        ..seats()
    }
}

/// Return the grant of the narrow item to a client that asks for exactly that.
fn narrow_grant() -> Granted {
    Granted::from_item(narrow()).with(|granted| {
        granted.request.modules = vec!["OCR".into()];
        granted.request.product_version = Some("9.6.1".parse().unwrap());
        granted.request.product_edition = Some("pro".into());
    })
}

fn site_grant(website: &str) -> Granted {
    Granted::from_item(site())
        .with(|granted| granted.request.validation.website_domain = website.into())
}

/// Return grants from an item that is for something else than what the client has asked for.
fn not_covered() -> Vec<Value> {
    let asked = |change: &dyn Fn(&mut AuthorizationRequest)| {
        narrow_grant().with(|granted| change(&mut granted.request))
    };
    let version = |text: &str| Some(text.parse().unwrap());
    let cases = [
        (7, "a seat of an item without quota", {
            let mut granted = site_grant("www.company.com");
            let local: LocalLicense = granted.answer.local_license.peek().unwrap();
            let local = LocalLicense { seats: 1, ..local };
            granted.answer.local_license = Signed::seal(&local, &key("02")).unwrap();
            granted
        }),
        (11, "more than one slot without contact, where the item allows one", {
            let item = LicenseItem { offline_days: 0, ..seats() };
            let mut granted = Granted::from_item(item);
            let local = LocalLicense { valid_until: NOW + 181, ..local() };
            granted.answer.local_license = Signed::seal(&local, &key("02")).unwrap();
            granted
        }),
        (
            13,
            "another deployment type",
            asked(&|asked| {
                asked.deployment_type = DeploymentType::Mobile;
            }),
        ),
        (13, "a product more", asked(&|asked| asked.products = 3)),
        (13, "a module more", asked(&|asked| asked.modules.push("PDFR".into()))),
        (13, "an earlier version", asked(&|asked| asked.product_version = version("9.0.9"))),
        (13, "9, which is before 9.1", asked(&|asked| asked.product_version = version("9"))),
        (13, "a later version", asked(&|asked| asked.product_version = version("10"))),
        (
            13,
            "no version, where the item has a range",
            asked(&|asked| {
                asked.product_version = None;
            }),
        ),
        (13, "another edition", asked(&|asked| asked.product_edition = Some("Pro".into()))),
        (13, "no edition, where the item has one", asked(&|asked| asked.product_edition = None)),
        (14, "another website", site_grant("company.org")),
        (14, "no website", site_grant("")),
        (14, "another host of one label", {
            let item = LicenseItem { domains: vec!["localhost".into()], ..site() };
            Granted::from_item(item)
                .with(|granted| granted.request.validation.website_domain = "intranet".into())
        }),
    ];
    cases.iter().map(|(clause, why, granted)| granted.vector(*clause, why)).collect()
}

/// Return grants that are good, although they look unusual.
fn good_grants() -> Vec<Value> {
    let issued_at = file(&key("02")).issued_at;
    let good = || Granted::of(&local());
    let mut hour = file_text(&Signed::seal(&file(&key("02")), &key("01")).unwrap());
    let other = json!({ "item_id": "hours", "charge_way": "hour", "hours": [8, 18] });
    hour["items"].as_array_mut().unwrap().insert(0, other);
    let hour = Signed::seal(&Alone(hour), &key("01")).unwrap();
    let spent = LocalLicense {
        item_id: "scans".into(),
        charge_way: ChargeWay::BarcodeScan,
        seats: 0,
        allowances: vec![CountAllowance { module: 0, allowed: 120, used: 120 }],
        ..local()
    };
    let cases = [
        ("an ordinary grant", good()),
        (
            "the known issue of the license file",
            good().with(|granted| {
                granted.known_issued_at = issued_at;
            }),
        ),
        (
            "a license file that is issued a day after the server's time",
            good().with(|granted| {
                granted.server_time = issued_at - DAY;
            }),
        ),
        (
            "the root key in the answer is ignored",
            good().with(|granted| {
                granted.answer.root_key = key("09").public().clone();
            }),
        ),
        (
            "another item of the file is not understood",
            good().with(|granted| {
                granted.answer.license_file = hour;
            }),
        ),
        (
            "a desktop counts as a server here",
            good().with(|granted| {
                granted.request.deployment_type = DeploymentType::Desktop;
            }),
        ),
        ("more is used than quota and grace, and nothing is left", {
            Granted::of(&spent)
                .with(|granted| granted.request.deployment_type = DeploymentType::Desktop)
        }),
        ("a narrow item covers the request", narrow_grant()),
        (
            "a version that begins with the end of the range",
            narrow_grant().with(|granted| {
                granted.request.product_version = Some("9.99.3".parse().unwrap());
            }),
        ),
        ("a website below a domain of the item", site_grant("shop.company.com")),
        ("a website as an origin, in capitals", site_grant("https://WWW.Company.COM.:8443")),
    ];
    cases.iter().map(|(why, granted)| granted.vector(0, why)).collect()
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
