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
use crate::challenge::Challenge;
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
    let receipt = || json!({ "maxLength": RECEIPT_BYTES_MAX });
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
        ("AuthorizationRequest", "modules", {
            let text = json!({ "type": "string", "maxLength": TEXT_BYTES_MAX });
            json!({ "maxItems": LIST_MAX, "items": text })
        }),
        ("AuthorizationRequest", "product_edition", text()),
        ("AuthorizationRequest", "first_contact", id_or_empty()),
        ("AuthorizationRequest", "needed", up_to(NEEDED_MAX)),
        ("AuthorizationRequest", "lost", items_up_to(LOST_MAX)),
        ("LostAllowance", "item_id", text()),
        ("AuthorizationAnswer", "epoch", id_or_empty()),
        ("AuthorizationAnswer", "receipt", receipt()),
        ("AuthorizationCheck", "epoch", id_or_empty()),
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
        ("UsageAnswer", "recorded", {
            json!({ "items": { "type": "string", "pattern": "^[0-9a-f]{32}$" } })
        }),
        ("UsageAnswer", "epoch", id_or_empty()),
        ("UsageAnswer", "receipt", receipt()),
        ("SegmentRefusal", "segment_id", id()),
        ("Problem", "epoch", id_or_empty()),
        ("ProblemNumbers", "holders", items_up_to(HOLDERS_MAX)),
        ("Challenge", "device_uuid", id()),
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
        ("LocalLicense", "license_id", id()),
        ("LocalLicense", "device_uuid", id()),
        ("LocalLicense", "epoch", id_or_empty()),
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

/// The lists of values in answers to which a later version may add, and the value that stands for
/// what is not known here. It is never sent.
const OPEN_LISTS: [&str; 3] = ["Metered", "MeterState", "SegmentFault"];
const NOT_KNOWN: &str = "unknown";

/// Let any other text be a value of a list to which a later version may add: a reader must not
/// refuse an answer for it.
fn open_list(schema: &mut Value) {
    let Some(Value::Array(mut values)) = schema.as_object_mut().and_then(|s| s.remove("oneOf"))
    else {
        return;
    };
    values.retain(|value| value["const"] != NOT_KNOWN);
    values.push(json!({ "type": "string", "description": "A value of a later version." }));
    schema["anyOf"] = values.into();
}

/// Remove the default of a field that a server always writes.
fn forget_not_known(schema: &mut Value) {
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for field in fields.into_iter().flat_map(|fields| fields.values_mut()) {
        if field["default"] == NOT_KNOWN {
            field.as_object_mut().map(|keywords| keywords.remove("default"));
        }
    }
}

/// Turn links to items of this crate into names, in every description: `UsageAnswer.epoch`.
fn name_links(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = without_links(text),
                    other => name_links(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(name_links),
        _ => {}
    }
}

fn without_links(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once("`]").unwrap_or((part, ""));
        // Modules have names in lower case, and only the last part may be one that is meant.
        let (before, last) = link.rsplit_once("::").unwrap_or(("", link));
        let kind = before.rsplit("::").next().filter(|of| of.starts_with(char::is_uppercase));
        let name = kind.map_or(last.to_owned(), |kind| format!("{kind}.{last}"));
        plain.push_str(&format!("`{name}`{rest}"));
    }
    plain
}

/// Return the schema of a type with its ranges, and the fields with a range.
fn schema_of<T: JsonSchema>() -> (Value, Vec<(String, String)>) {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    let mut found = set_ranges(&T::schema_name(), &mut schema);
    if let Some(kinds) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        for (kind, schema) in kinds {
            if OPEN_LISTS.contains(&kind.as_str()) {
                open_list(schema);
            }
            forget_not_known(schema);
            found.extend(set_ranges(kind, schema));
        }
    }
    bound_integers(&mut schema);
    name_links(&mut schema);
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
    add("origin-answer", schema_of::<OriginAnswer>());
    add("problem", schema_of::<Problem>());
    add("envelope", schema_of::<Signed>());
    add("license-file", schema_of::<LicenseFile>());
    add("local-license", schema_of::<LocalLicense>());
    add("challenge", schema_of::<Challenge>());
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
    let document = openapi::document(&schemas);
    compare("openapi", &document);
    assert!(!document.to_string().contains("::"), "its readers do not have the types");
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
        ("usage-report", parsed(&vector("answer")["request_body"])),
        ("usage-answer", parsed(&vector("answer")["answer_body"])),
    ];
    for (name, message) in messages.as_object().unwrap() {
        let name = schemas.keys().find(|schema| schema.replace('-', "_") == *name).unwrap();
        written.push((name, message.clone()));
    }
    for exchange in vector("exchanges")["exchanges"].as_array().unwrap() {
        let answer = parsed(&exchange["answer"]["body"]);
        let path = exchange["request"]["path"].as_str().unwrap();
        let (request, granted) = match path.split('?').next().unwrap() {
            AUTHORIZATIONS_PATH => ("authorization-request", "authorization-answer"),
            AUTHORIZATION_CHECKS_PATH => ("authorization-request", "authorization-check"),
            ORIGIN_PATH => ("", "origin-answer"),
            _ => ("usage-report", "usage-answer"),
        };
        if !request.is_empty() {
            written.push((request, parsed(&exchange["request"]["body"])));
        }
        if exchange["answer"]["status"] == 401 {
            written.push(("challenge", parsed(&answer["challenge"]["payload"])));
        }
        let is_granted = exchange["answer"]["status"] == 200;
        written.push((if is_granted { granted } else { "problem" }, answer));
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

/// Return the places of fields that a schema has, and a message has not.
fn lacks(root: &Value, schema: &Value, message: &Value, place: &str) -> Vec<String> {
    let inside = |of: &Value| match of["$ref"].as_str() {
        Some(name) => root.pointer(&name[1..]).unwrap().clone(),
        None => of.clone(),
    };
    match message {
        Value::Array(list) => list
            .iter()
            .flat_map(|one| lacks(root, &inside(&schema["items"]), one, &format!("{place}[]")))
            .collect(),
        Value::Object(fields) => {
            let mut lacking = Vec::new();
            for (name, of) in schema["properties"].as_object().into_iter().flatten() {
                let place = format!("{place}.{name}");
                match fields.get(name) {
                    None | Some(Value::Null) => lacking.push(place),
                    Some(one) => {
                        let some = of["anyOf"].get(0).filter(|_| of.get("$ref").is_none());
                        lacking.extend(lacks(root, &inside(some.unwrap_or(of)), one, &place));
                    }
                }
            }
            lacking
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_vectors_with_every_field_have_every_field_of_their_schemas() {
    let (schemas, _) = schemas();
    let messages = vector("messages");
    for name in [
        "authorization-request",
        "authorization-answer",
        "authorization-check",
        "usage-report",
        "usage-answer",
        "problem",
    ] {
        let (schema, message) = (&schemas[name], &messages[name.replace('-', "_")]);
        assert!(message.is_object(), "{name}");
        assert_eq!(lacks(schema, schema, message, name), Vec::<String>::new());
    }
}

#[test]
fn what_a_later_version_adds_to_an_answer_is_of_the_schema() {
    let (schemas, _) = schemas();
    let mut answer = vector("messages")["usage_answer"].clone();
    answer["standings"][0]["meters"][0]["of"] = "moons".into();
    answer["standings"][0]["meters"][0]["state"] = "eclipsed".into();
    answer["refused"][0]["code"] = "too_dark".into();
    answer["moon"] = 3.into();
    let schema = &schemas["usage-answer"];
    assert_eq!(check::faults(schema, &answer), Vec::<String>::new());
    assert!(!schema.to_string().contains("\"unknown\""), "a server never sends it");
    answer["standings"][0]["meters"][0]["state"] = 5.into();
    assert!(!check::faults(schema, &answer).is_empty(), "it is a text");
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
        |body| body["needed"] = 4_294_967_296_u64.into(),
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
