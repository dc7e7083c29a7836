//! The JSON Schemas of `protocol/schema/`, made from the types of the messages and documents.
//!
//! Exists in tests alone: the schemas are committed, and the server serves them as they are.
//! `UPDATE_SCHEMA=1 cargo test -p seatmeter-protocol --lib schema` writes them anew. Types say what
//! is there; [`RANGES`] says what values a server accepts.

#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

mod check;
mod openapi;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::PROTOCOL_VERSION;
use crate::error_code::ErrorCode;
use crate::item_check::{
    BUDGET_MAX, DOCUMENT_VERSION, ITEMS_MAX, LIST_MAX, OFFLINE_DAYS_MAX, QUOTA_MAX, WINDOWS_DAYS,
};
use crate::license::{LicenseFile, LicenseItem, LocalLicense, Written};
use crate::message::*;
use crate::page_module;
use crate::request_auth::KeyShare;
use crate::signature::{PublicKey, Signed};
use crate::version::Version;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Give a type that is a text, or a number, its schema.
macro_rules! plain {
    ($($type:ident, $name:literal, $schema:tt;)*) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

plain! {
    PublicKey, "PublicKey", { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "An Ed25519 key: 32 bytes." };
    KeyShare, "KeyShare", { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "One half of an agreement by X25519: 32 bytes." };
    Version, "Version", { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+){0,3}$", "description": "A version of a product." };
    ErrorCode, "ErrorCode", { "type": "integer", "maximum": -1, "description": "An error number of docs/wire.md." };
}

impl JsonSchema for LicenseFile {
    fn schema_name() -> Cow<'static, str> {
        "LicenseFile".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::<LicenseItem>::json_schema(generator)
    }
}

/// Return the ranges of fields: the type, the field and the keywords that come to its schema.
fn ranges() -> Vec<(&'static str, &'static str, Value)> {
    let id = || json!({ "pattern": "^[0-9a-f]{32}$" });
    let id_or_empty = || json!({ "pattern": "^([0-9a-f]{32})?$" });
    let text = || json!({ "maxLength": TEXT_BYTES_MAX });
    let name = || json!({ "minLength": 1, "maxLength": TEXT_BYTES_MAX });
    let names = || {
        json!({ "maxItems": LIST_MAX,
                "items": { "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX } })
    };
    let is = |number: u32| json!({ "const": number });
    let up_to = |number: u64| json!({ "maximum": number });
    let items_up_to = |number: usize| json!({ "maxItems": number });
    vec![
        ("AuthorizationRequest", "protocol", is(PROTOCOL_VERSION)),
        ("AuthorizationRequest", "handshake_code", text()),
        ("AuthorizationRequest", "organization_id", text()),
        ("AuthorizationRequest", "session_password", text()),
        ("AuthorizationRequest", "modules", items_up_to(LIST_MAX)),
        ("AuthorizationRequest", "first_contact", id_or_empty()),
        ("AuthorizationRequest", "needed", up_to(NEEDED_MAX)),
        ("ValidationFacts", "website_domain", text()),
        ("ValidationFacts", "application_id", text()),
        ("ValidationFacts", "process_name", text()),
        ("DeviceFacts", "uuid", id()),
        ("DeviceFacts", "friendly_name", text()),
        ("DeviceFacts", "library_version", text()),
        ("UsageReport", "protocol", is(PROTOCOL_VERSION)),
        ("UsageReport", "segments", items_up_to(SEGMENTS_MAX)),
        ("UsageReport", "ended", items_up_to(ENDED_MAX)),
        ("SegmentReport", "segment_id", id()),
        ("SegmentReport", "license_id", text()),
        ("SegmentReport", "totals", items_up_to(TOTALS_MAX)),
        ("EndedLicense", "license_id", text()),
        ("ProblemNumbers", "holders", items_up_to(HOLDERS_MAX)),
        ("Signed", "key_id", json!({ "pattern": "^[0-9a-f]{16}$" })),
        ("LicenseFile", "version", is(DOCUMENT_VERSION)),
        ("LicenseFile", "file_id", name()),
        ("LicenseFile", "organization_id", name()),
        ("LicenseFile", "organization_name", name()),
        ("LicenseFile", "items", json!({ "minItems": 1, "maxItems": ITEMS_MAX })),
        ("LicenseItem", "item_id", name()),
        ("LicenseItem", "quota", up_to(QUOTA_MAX)),
        ("LicenseItem", "deployment_types", json!({ "minItems": 1 })),
        ("LicenseItem", "products", json!({ "minimum": 1 })),
        ("LicenseItem", "offline_days", up_to(OFFLINE_DAYS_MAX.into())),
        ("LicenseItem", "window_days", json!({ "type": "integer", "enum": WINDOWS_DAYS })),
        ("LicenseItem", "overuse_budget", json!({ "type": "integer", "maximum": BUDGET_MAX })),
        ("LicenseItem", "overuse_growth_per_day", up_to(BUDGET_MAX)),
        ("LicenseItem", "domains", names()),
        ("LicenseItem", "modules", names()),
        ("LicenseItem", "requires", names()),
        ("PageQuotas", "core", up_to(QUOTA_MAX)),
        ("PageQuotas", "webcam", up_to(QUOTA_MAX)),
        ("PageQuotas", "pdfr", up_to(QUOTA_MAX)),
        ("PageQuotas", "ocr", up_to(QUOTA_MAX)),
        ("LocalLicense", "version", is(DOCUMENT_VERSION)),
        ("LocalLicense", "device_uuid", id()),
        ("CountAllowance", "module", up_to(page_module::PAGE_MODULE_MAX.into())),
    ]
}

/// Set the ranges in the schema of the type with this name. Return the fields that were found.
fn set_ranges(kind: &str, schema: &mut Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, field, keywords) in ranges().into_iter().filter(|(of, ..)| *of == kind) {
        let Some(property) = schema["properties"].get_mut(field) else { continue };
        let (Some(property), Some(keywords)) = (property.as_object_mut(), keywords.as_object())
        else {
            continue;
        };
        property.extend(keywords.clone());
        found.push((kind.to_owned(), field.to_owned()));
    }
    found
}

/// Say in keywords what the formats of integers mean, because a reader may not know them.
fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let maximum = match fields.get("format").and_then(Value::as_str) {
                Some("uint16") => Some(u16::MAX.into()),
                Some("uint32") => Some(u32::MAX.into()),
                Some("uint64") => Some(u64::MAX),
                _ => None,
            };
            if let Some(maximum) = maximum {
                fields.entry("maximum").or_insert(maximum.into());
            }
            fields.values_mut().for_each(bound_integers);
        }
        Value::Array(list) => list.iter_mut().for_each(bound_integers),
        _ => {}
    }
}

/// Return the schema of a type with its ranges, and the fields with a range.
fn schema_of<T: JsonSchema>() -> (Value, Vec<(String, String)>) {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    let mut found = set_ranges(&T::schema_name(), &mut schema);
    if let Some(kinds) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        for (kind, schema) in kinds {
            found.extend(set_ranges(kind, schema));
        }
    }
    bound_integers(&mut schema);
    schema["$schema"] = DIALECT.into();
    schema["title"] = T::schema_name().into();
    (schema, found)
}

/// Return every schema by the name of its file.
fn schemas() -> (BTreeMap<&'static str, Value>, Vec<(String, String)>) {
    let (mut all, mut found) = (BTreeMap::new(), Vec::new());
    let mut add = |name, (schema, fields): (Value, Vec<_>)| {
        all.insert(name, schema);
        found.extend(fields);
    };
    add("authorization-request", schema_of::<AuthorizationRequest>());
    add("authorization-answer", schema_of::<AuthorizationAnswer>());
    add("authorization-check", schema_of::<AuthorizationCheck>());
    add("usage-report", schema_of::<UsageReport>());
    add("usage-answer", schema_of::<UsageAnswer>());
    add("problem", schema_of::<Problem>());
    add("envelope", schema_of::<Signed>());
    add("license-file", schema_of::<LicenseFile>());
    add("local-license", schema_of::<LocalLicense>());
    (all, found)
}

fn compare(name: &str, content: &Value) {
    let path = format!("{}/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = serde_json::to_string_pretty(content).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{path} differs from the types: run with UPDATE_SCHEMA=1");
}

#[test]
fn the_schemas_are_those_of_the_types_and_every_range_belongs_to_a_field() {
    let (schemas, found) = schemas();
    for (name, schema) in &schemas {
        compare(name, schema);
    }
    compare("openapi", &openapi::document(&schemas));
    for (kind, field, _) in ranges() {
        assert!(found.contains(&(kind.to_owned(), field.to_owned())), "{kind}.{field}");
    }
}

/// Return the content of a file of test vectors.
fn vector(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_vectors_are_of_their_schemas() {
    let (schemas, _) = schemas();
    let parsed = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    let (documents, messages) = (vector("documents"), vector("messages"));
    let mut written: Vec<(&str, Value)> = vec![
        ("envelope", documents["license_file"].clone()),
        ("license-file", parsed(&documents["license_file"]["payload"])),
        ("local-license", parsed(&documents["local_license"]["payload"])),
        ("authorization-request", messages["authorization_request"].clone()),
        ("problem", messages["problem"].clone()),
        ("usage-report", parsed(&vector("answer")["request_body"])),
        ("usage-answer", parsed(&vector("answer")["answer_body"])),
    ];
    for exchange in vector("exchanges")["exchanges"].as_array().unwrap() {
        let is_refused = exchange["answer"]["status"] != 200;
        let (request, answer) = match exchange["request"]["path"].as_str().unwrap() {
            AUTHORIZATIONS_PATH => ("authorization-request", "authorization-answer"),
            AUTHORIZATION_CHECKS_PATH => ("authorization-request", "authorization-check"),
            _ => ("usage-report", "usage-answer"),
        };
        written.push((request, parsed(&exchange["request"]["body"])));
        let answer = if is_refused { "problem" } else { answer };
        written.push((answer, parsed(&exchange["answer"]["body"])));
    }
    let absent = vector("absent");
    for case in absent["answers"].as_array().unwrap() {
        written.push((case["schema"].as_str().unwrap(), case["written"].clone()));
    }
    for (name, value) in &written {
        let faults = check::faults(&schemas[name], value);
        assert!(faults.is_empty(), "{name}: {faults:?} in {value}");
    }
}

type Change = fn(&mut Value);

#[test]
fn what_a_server_refuses_is_not_of_the_schema() {
    let (schemas, _) = schemas();
    let good = vector("messages")["authorization_request"].clone();
    let bad: [Change; 9] = [
        |body| body["protocol"] = 2.into(),
        |body| body["seats"] = (-1).into(),
        |body| body["seats"] = 4_294_967_296_u64.into(),
        |body| body["device"]["uuid"] = "44".into(),
        |body| body["handshake_code"] = Value::Null,
        |body| body["charge_way"] = "hour".into(),
        |body| body["needed"] = 10_001.into(),
        |body| body["key_share"] = "x".repeat(64).into(),
        |body| drop(body.as_object_mut().unwrap().remove("device_key")),
    ];
    for (number, change) in bad.into_iter().enumerate() {
        let mut body = good.clone();
        change(&mut body);
        assert!(!check::faults(&schemas["authorization-request"], &body).is_empty(), "{number}");
    }
    let mut later = good;
    later["from_the_future"] = true.into();
    assert!(check::faults(&schemas["authorization-request"], &later).is_empty());
}
