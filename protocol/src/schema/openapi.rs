//! The OpenAPI document of the operations of devices.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error_code::{ERRORS, ErrorCode};
use crate::message::{
    AUTHORIZATION_CHECKS_PATH, AUTHORIZATIONS_PATH, DEVICE_SIGNATURE_HEADER, KEY_ID_HEADER,
    KEY_IDS_HEADER, NONCE_HEADER, ORIGIN_PATH, REPORT_KEY_ID_HEADER, REPORT_TAG_HEADER,
    SIGNATURE_HEADER, TIME_HEADER, USAGE_PATH,
};

/// The case of the digits of a nonce does not matter.
const NONCE_PATTERN: &str = "^[0-9a-fA-F]{32}$";

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
                                  ("authorization-request", "authorization-answer"),
                                  signed_only(), &of_authorizations())
            },
            AUTHORIZATION_CHECKS_PATH: {
                "post": operation("check", "Learn what an authorization would be. Nothing changes.",
                                  ("authorization-request", "authorization-check"),
                                  signed_only(), &of_authorizations())
            },
            USAGE_PATH: {
                "post": operation("report", "Report totals, and give licenses back.",
                                  ("usage-report", "usage-answer"),
                                  signed_or_tagged(), &of_reports())
            },
            ORIGIN_PATH: { "get": origin() },
            "/healthz": { "get": healthz() },
            "/readyz": { "get": readyz() },
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
    let mut nonce = header(NONCE_HEADER, 32, true, "Random, new for each request.");
    nonce["schema"]["pattern"] = NONCE_PATTERN.into();
    vec![nonce, header(KEY_ID_HEADER, 16, false, "Id of the server key that the client knows.")]
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

fn answer(description: &str, kind: &str, schema: &Value) -> Value {
    let text = || json!({ "required": true, "schema": { "type": "string" } });
    json!({
        "description": description,
        "headers": { TIME_HEADER: text(), KEY_ID_HEADER: text(), SIGNATURE_HEADER: text() },
        "content": { kind: { "schema": schema } },
    })
}

fn component(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// A number and a status with which an operation refuses.
type Refusal = (ErrorCode, u16);

/// Return every refusal of an authorization.
fn of_authorizations() -> Vec<Refusal> {
    let codes = ERRORS.iter().map(|entry| entry.code);
    codes.flat_map(|code| code.statuses().iter().map(move |status| (code, *status))).collect()
}

/// Return every refusal of a report. A report without a proof that belongs to it is not from the
/// device, so that it has no status for it to prove itself again.
fn of_reports() -> Vec<Refusal> {
    let all = of_authorizations().into_iter();
    all.filter(|(code, status)| code.refuses_reports() && *status != 401).collect()
}

/// Return every refusal of the question of a page. It has no body.
fn of_origins() -> Vec<Refusal> {
    let own = (ErrorCode::DOMAIN_MISMATCH, 403);
    let common = [ErrorCode::UNKNOWN, ErrorCode::STANDBY_NOT_READY];
    let common = of_authorizations().into_iter().filter(|(code, _)| common.contains(code));
    common.chain([own, (ErrorCode::LICENSE_SYNC_FAILED, 400)]).collect()
}

/// Return the responses of an operation: one for what it grants, one for each status of a refusal.
fn responses(what: &str, granted: &str, refusals: &[Refusal]) -> Map<String, Value> {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(what, "application/json", &component(granted)));
    for (_, status) in refusals {
        let codes: Vec<_> = refusals
            .iter()
            .filter(|(_, other)| other == status)
            .map(|(code, _)| code.to_string())
            .collect();
        let mut description = format!("Refused: {}.", codes.join(", "));
        if *status == 401 {
            description.push_str(" With a challenge, the request must come again.");
        }
        let problem = component("problem");
        let mut refused = answer(&description, "application/problem+json", &problem);
        if [429, 503].contains(status) {
            refused["headers"]["retry-after"] = retry_after();
        }
        responses.insert(status.to_string(), refused);
    }
    responses
}

fn retry_after() -> Value {
    json!({ "required": true, "schema": { "type": "integer", "minimum": 1 } })
}

fn operation(
    id: &str,
    what: &str,
    (request, granted): (&str, &str),
    headers: Vec<Value>,
    refusals: &[Refusal],
) -> Value {
    json!({
        "operationId": id,
        "summary": what,
        "parameters": headers,
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": component(request) } },
        },
        "responses": responses(what, granted, refusals),
    })
}

/// Return the operation by which a page asks whether its website is licensed.
fn origin() -> Value {
    let what = "Learn whether the website of a page is licensed.";
    let nonce = json!({ "name": "nonce", "in": "query", "required": true,
                        "description": "Random, new for each request.",
                        "schema": { "type": "string", "pattern": NONCE_PATTERN } });
    let origin = json!({ "name": "origin", "in": "header", "required": true,
                         "description": "The origin of the page. Browsers send it.",
                         "schema": { "type": "string" } });
    json!({
        "operationId": "origin",
        "summary": what,
        "parameters": [nonce, origin],
        "responses": responses(what, "origin-answer", &of_origins()),
    })
}

/// Return a health check with this status in its good answer, and with these other fields.
fn health(id: &str, what: &str, status: &str, mut fields: Value, may_fail: bool) -> Value {
    fields["status"] = json!({ "const": status });
    let ids = json!({ "required": true, "description": "Ids of the server's keys, with commas.",
                      "schema": { "type": "string" } });
    let mut responses = json!({ "200": {
        "description": what,
        "headers": { KEY_IDS_HEADER: ids },
        "content": { "application/json": { "schema": {
            "type": "object", "required": ["status"], "properties": fields } } },
    } });
    if may_fail {
        responses["503"] = json!({
            "description": "The server cannot serve.",
            "headers": { KEY_IDS_HEADER: ids, "retry-after": retry_after() },
            "content": { "application/problem+json": { "schema": component("problem") } },
        });
    }
    json!({ "operationId": id, "summary": what, "responses": responses })
}

fn healthz() -> Value {
    health("healthz", "Learn whether the process answers. Not signed.", "up", json!({}), false)
}

fn readyz() -> Value {
    let fields = json!({
        "rollbacks_noticed": { "type": "integer", "minimum": 0,
            "description": "How often the data was put back within a year." },
        "warning": { "type": "string", "description": "What that means, for people." },
        "synchronous_standby": { "type": "boolean",
            "description": "Whether PostgreSQL has a synchronous standby." },
        "license_files_not_ready": { "type": "array", "items": { "type": "string" },
            "description": "A sentence for each license file that cannot be trusted." },
    });
    health("readyz", "Learn whether the server can serve. Not signed.", "ready", fields, true)
}
