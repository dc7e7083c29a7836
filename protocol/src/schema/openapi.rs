//! The OpenAPI document of the three operations of devices.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error_code::ERRORS;
use crate::message::{
    AUTHORIZATION_CHECKS_PATH, AUTHORIZATIONS_PATH, DEVICE_SIGNATURE_HEADER, KEY_ID_HEADER,
    NONCE_HEADER, REPORT_KEY_ID_HEADER, REPORT_TAG_HEADER, SIGNATURE_HEADER, TIME_HEADER,
    USAGE_PATH,
};

/// Return the document with these schemas.
pub(super) fn document(schemas: &BTreeMap<&'static str, Value>) -> Value {
    let components: Map<String, Value> =
        schemas.iter().map(|(name, schema)| ((*name).to_owned(), embedded(name, schema))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The API of devices of seatmeterd",
            "description": "Requests are proved and answers are signed as docs/wire.md specifies.",
            "version": format!("{}", crate::PROTOCOL_VERSION),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": {
            AUTHORIZATIONS_PATH: {
                "post": operation("authorize", "Get or renew a local license.",
                                  "authorization-request", "authorization-answer", signed_only())
            },
            AUTHORIZATION_CHECKS_PATH: {
                "post": operation("check", "Learn what an authorization would be. Nothing changes.",
                                  "authorization-request", "authorization-check", signed_only())
            },
            USAGE_PATH: {
                "post": operation("report", "Report totals, and give licenses back.",
                                  "usage-report", "usage-answer", signed_or_tagged())
            },
        },
        "components": { "schemas": components },
    })
}

/// Return a schema as a component: its inner schemas are in it, and references lead there.
fn embedded(name: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
    }
    move_references(&mut schema, &format!("#/components/schemas/{name}/$defs/"));
    schema
}

fn move_references(schema: &mut Value, to: &str) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "$ref" => {
                        *text = text.replace("#/$defs/", to);
                    }
                    other => move_references(other, to),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| move_references(value, to)),
        _ => {}
    }
}

fn header(name: &str, digits: usize, is_required: bool, what: &str) -> Value {
    json!({ "name": name, "in": "header", "required": is_required, "description": what,
            "schema": { "type": "string", "pattern": format!("^[0-9a-f]{{{digits}}}$") } })
}

fn common() -> Vec<Value> {
    vec![
        header(NONCE_HEADER, 32, true, "Random, new for each request."),
        header(KEY_ID_HEADER, 16, false, "Id of the server key that the client knows."),
    ]
}

fn signed_only() -> Vec<Value> {
    let proof = header(DEVICE_SIGNATURE_HEADER, 128, true, "Signature by the key of the device.");
    [common(), vec![proof]].concat()
}

fn signed_or_tagged() -> Vec<Value> {
    let proofs = vec![
        header(DEVICE_SIGNATURE_HEADER, 128, false, "Signature by the key of the device."),
        header(REPORT_KEY_ID_HEADER, 16, false, "Id of the report key."),
        header(REPORT_TAG_HEADER, 64, false, "HMAC under the report key."),
    ];
    [common(), proofs].concat()
}

fn answer(description: &str, kind: &str, schema: &str) -> Value {
    let text = || json!({ "required": true, "schema": { "type": "string" } });
    json!({
        "description": description,
        "headers": { TIME_HEADER: text(), KEY_ID_HEADER: text(), SIGNATURE_HEADER: text() },
        "content": { kind: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
    })
}

fn operation(id: &str, what: &str, request: &str, granted: &str, headers: Vec<Value>) -> Value {
    let mut answers = Map::new();
    answers.insert("200".to_owned(), answer(what, "application/json", granted));
    let mut statuses: Vec<u16> =
        ERRORS.iter().flat_map(|entry| entry.code.statuses()).copied().collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let codes: Vec<_> = ERRORS
            .iter()
            .filter(|entry| entry.code.statuses().contains(&status))
            .map(|entry| entry.code.to_string())
            .collect();
        let description = format!("Refused: {}.", codes.join(", "));
        let mut refused = answer(&description, "application/problem+json", "problem");
        if [429, 503].contains(&status) {
            refused["headers"]["retry-after"] =
                json!({ "required": true, "schema": { "type": "integer", "minimum": 1 } });
        }
        answers.insert(status.to_string(), refused);
    }
    json!({
        "operationId": id,
        "summary": what,
        "parameters": headers,
        "requestBody": {
            "required": true,
            "content": { "application/json": {
                "schema": { "$ref": format!("#/components/schemas/{request}") } } },
        },
        "responses": answers,
    })
}
