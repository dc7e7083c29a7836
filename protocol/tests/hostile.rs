//! Whatever arrives instead of a signed document, an answer or a request: refused, and nothing
//! panics.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(clippy::disallowed_methods, reason = "the environment says how long the test is to be")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::item_check::check_file;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    AuthorizationAnswer, AuthorizationRequest, Problem, UsageAnswer, UsageReport,
};
use seatmeter_protocol::seat_layout;
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, Signed, SigningKey, batch};
use seatmeter_protocol::version::Version;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&hex::encode([n; 32])).unwrap()
}

fn file() -> LicenseFile {
    LicenseFile {
        version: 1,
        file_id: "file".into(),
        organization_id: "acme".into(),
        organization_name: "Acme".into(),
        server_key: key(2).public().clone(),
        issued_at: 1,
        items: vec![LicenseItem::new("item", ChargeWay::ConcurrentInstance, 4, 1, 2)],
        unknown_items: Vec::new(),
    }
}

/// `SEATMETER_SOAK_PARSERS=20` has twenty times as many cases.
fn runner(cases: u32) -> TestRunner {
    let times = std::env::var("SEATMETER_SOAK_PARSERS").map_or(1, |times| times.parse().unwrap());
    let cases = cases * times;
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// What can happen to bytes on their way: one changed, cut off, doubled, or something put in.
fn damage(bytes: &[u8], (kind, place, with): (u8, prop::sample::Index, Vec<u8>)) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    let at = place.index(bytes.len());
    match kind {
        0 => damaged[at] ^= with.first().copied().unwrap_or(1).max(1),
        1 => damaged.truncate(at),
        2 => damaged.extend_from_slice(&bytes[at..]),
        3 => drop(damaged.splice(at..at, with.iter().copied())),
        _ => damaged.rotate_left(at.max(1)),
    }
    damaged
}

fn damages() -> impl Strategy<Value = (u8, prop::sample::Index, Vec<u8>)> {
    (0_u8..5, any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..9))
}

#[test]
fn a_damaged_document_opens_to_what_was_signed_or_not_at_all() {
    let sealed = serde_json::to_vec(&Signed::seal(&file(), &key(1)).unwrap()).unwrap();
    let outcome = runner(40_000).run(&damages(), |how| {
        if let Ok(signed) = serde_json::from_slice::<Signed>(&damage(&sealed, how))
            && let Ok(opened) = signed.open::<LicenseFile>(key(1).public())
        {
            prop_assert_eq!(opened, file());
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_damaged_answer_is_not_believed() {
    let (body, nonce, id) =
        (br#"{"recorded":["a"],"refused":[]}"#, "ab".repeat(16), key(2).public().id());
    let facts = AnswerFacts {
        request_body: b"{}",
        nonce: &nonce,
        status: 200,
        server_time: 9,
        key_id: &id,
    };
    let other = facts.leaf(b"other");
    let signature = batch::sign(&[other, facts.leaf(body), other], &key(2)).swap_remove(1);
    let outcome = runner(20_000).run(&(damages(), any::<bool>()), |(how, in_body)| {
        let (mut changed, mut shown) = (body.to_vec(), signature.clone());
        if in_body {
            changed = damage(body, how);
        } else {
            shown = String::from_utf8_lossy(&damage(signature.as_bytes(), how)).into_owned();
        }
        let same = changed == body && shown == signature;
        prop_assert_eq!(facts.verify(&changed, &shown, key(2).public()).is_ok(), same);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn any_bytes_are_parsed_or_refused_without_a_panic() {
    let outcome = runner(60_000).run(&prop::collection::vec(any::<u8>(), 0..400), |bytes| {
        let _ = serde_json::from_slice::<Signed>(&bytes);
        let _ = serde_json::from_slice::<UsageReport>(&bytes);
        let _ = seat_layout::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (text.parse::<PublicKey>(), text.parse::<Version>(), SigningKey::from_seed(&text));
        Ok(())
    });
    outcome.unwrap();
}

/// JSON of our own words, in places where they do and do not belong.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let words = prop::sample::select(vec![
        "version",
        "items",
        "item_id",
        "charge_way",
        "quota",
        "concurrent_instance",
        "domain",
        "payload",
        "key_id",
        "signature",
        "protocol",
        "device",
        "uuid",
        "segments",
        "totals",
        "kind",
        "scan",
        "versions",
        "from",
        "9.6",
        "page_quotas",
        "ocr",
        "numbers",
        "held_license",
        "local_license",
        "root_key",
        "license_file",
        "recorded",
        "standings",
        "meters",
        "ended",
        "allowances",
        "state",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        words.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(words.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_is_read_or_refused_without_a_panic() {
    let outcome = runner(20_000).run(&json(), |value| {
        if let Ok(file) = serde_json::from_value::<LicenseFile>(value.clone()) {
            let _ = check_file(&file);
        }
        let _ = serde_json::from_value::<LicenseItem>(value.clone());
        let _ = serde_json::from_value::<LocalLicense>(value.clone());
        let _ = serde_json::from_value::<AuthorizationRequest>(value.clone());
        let _ = serde_json::from_value::<AuthorizationAnswer>(value.clone());
        let _ = serde_json::from_value::<UsageAnswer>(value.clone());
        let _ = serde_json::from_value::<Problem>(value);
        Ok(())
    });
    outcome.unwrap();
}
