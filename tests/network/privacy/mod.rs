//! What leaves a device: programs read pictures with known contents on a device with known names
//! and addresses, and every byte of their requests is recorded.

mod digests;
mod recorder;
mod scenario;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use seatmeter_protocol::message::{AUTHORIZATION_CHECKS_PATH, AUTHORIZATIONS_PATH, USAGE_PATH};
use serde_json::{Value, json};

use self::recorder::{Exchange, Request};
use self::scenario::{APPLICATION, EXECUTABLE, FRIENDLY_NAME, PASSWORD, Recorded};
use self::search::Search;

static RECORDED: LazyLock<Recorded> = LazyLock::new(scenario::play);

const WIRE: &str = include_str!("../../../docs/wire.md");
const SECTION: &str = "## What leaves a device\n";
const EACH: &str = "each request";

fn bytes_of(exchanges: &[Exchange]) -> Vec<u8> {
    exchanges.iter().flat_map(|exchange| [&exchange.sent[..], b"\n"].concat()).collect()
}

fn requests() -> Vec<Request> {
    RECORDED.exchanges.iter().filter(|one| one.is_whole()).map(Exchange::request).collect()
}

/// Return the name of the message in the table.
fn message(request: &Request) -> &'static str {
    assert_eq!(request.method, "POST");
    match &*request.path {
        AUTHORIZATIONS_PATH => "authorization",
        USAGE_PATH => "report",
        other => panic!("a device has asked for {other}"),
    }
}

#[test]
fn no_content_file_host_user_or_address_leaves_a_device_plain_encoded_or_as_a_digest() {
    let recorded = &*RECORDED;
    for (whose, exchanges) in [("programs", &recorded.exchanges), ("doctor", &recorded.of_doctor)] {
        assert!(!exchanges.is_empty(), "nothing was recorded of the {whose}");
        let found = recorded.search.find(&bytes_of(exchanges));
        assert!(found.is_empty(), "of the {whose}, there leave {found:#?}");
    }
}

#[test]
fn the_search_finds_in_the_same_bytes_what_is_meant_to_leave() {
    for meant in [FRIENDLY_NAME, PASSWORD, APPLICATION, EXECUTABLE, "DEMO-4-SEATS"] {
        let mut search = Search::new();
        search.add(meant, meant.as_bytes());
        assert_eq!(search.find(&bytes_of(&RECORDED.exchanges)), BTreeSet::from([meant.into()]));
    }
}

#[test]
fn a_secret_that_is_put_into_one_request_is_found() {
    let recorded = &*RECORDED;
    let bytes = String::from_utf8(bytes_of(&recorded.exchanges)).unwrap();
    let secret = "4006381333931";
    for planted in [secret.to_owned(), hex::encode(secret), digest_of(secret)] {
        let bytes = bytes.replacen("\"friendly_name\":\"", &format!("$&{planted} "), 1);
        let bytes = bytes.replace("$&", "\"friendly_name\":\"");
        assert!(!recorded.search.find(bytes.as_bytes()).is_empty(), "{planted}");
    }
}

fn digest_of(text: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

#[test]
fn programs_connect_to_their_license_server_and_to_nothing_else() {
    let Recorded { destinations, recorder_port, .. } = &*RECORDED;
    assert!(destinations.iter().all(|port| port == recorder_port), "{destinations:?}");
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    is_always: bool,
    is_of_server: bool,
}

/// Return the table: message and field, with the row.
fn table() -> BTreeMap<(String, String), Row> {
    let section = WIRE.split(SECTION).nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [message, fields, _what, source, when] = cells[..] else { panic!("{line}") };
        for field in fields.split('`').skip(1).step_by(2) {
            let row =
                Row { is_always: when == "always", is_of_server: source.contains("verbatim") };
            let before = rows.insert((message.to_owned(), field.to_owned()), row);
            assert!(before.is_none(), "{field} of {message} is there twice");
        }
    }
    rows
}

/// Return each field of a request with its values: the path to it, with "[]" for a list.
fn fields(of: &Value, path: &str, all: &mut BTreeMap<String, Vec<Value>>) {
    match of {
        Value::Object(fields_of) if !fields_of.contains_key("payload") => {
            for (name, value) in fields_of {
                let dot = if path.is_empty() { "" } else { "." };
                fields(value, &format!("{path}{dot}{name}"), all);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            values.iter().for_each(|value| fields(value, &format!("{path}[]"), all));
        }
        value => all.entry(path.to_owned()).or_default().push(value.clone()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

/// Return the fields of a request with the message to which the table counts them.
fn fields_of(request: &Request) -> BTreeMap<(String, String), Vec<Value>> {
    let mut all = BTreeMap::new();
    fields(&request.body, "", &mut all);
    let message = message(request).to_owned();
    let body = all.into_iter().map(|(field, values)| ((message.clone(), field), values));
    let headers = request.headers.iter();
    let headers =
        headers.map(|(name, value)| ((EACH.to_owned(), name.clone()), vec![value.clone().into()]));
    body.chain(headers).collect()
}

#[test]
fn the_wire_page_lists_each_field_that_leaves_a_device_and_no_other() {
    let table = table();
    let mut seen = BTreeSet::new();
    for request in requests() {
        let fields = fields_of(&request);
        for (field, row) in &table {
            let is_of_this = field.0 == EACH || field.0 == message(&request);
            // A list may have no entries.
            let in_a_list = field.1.contains("[]");
            let has_value = fields.get(field).is_some_and(|values| !values.iter().any(is_empty));
            let is_missing = row.is_always && is_of_this && !in_a_list && !has_value;
            assert!(!is_missing, "{field:?} is not always there: {}", request.body);
        }
        seen.extend(fields.into_keys());
    }
    // A list without entries is the list.
    let lists: BTreeSet<_> = seen
        .iter()
        .filter(|(_, field)| seen.iter().any(|(_, other)| other.starts_with(&format!("{field}[]"))))
        .cloned()
        .collect();
    let seen: BTreeSet<_> = seen.difference(&lists).cloned().collect();
    let listed: BTreeSet<_> = table.into_keys().collect();
    let unlisted: Vec<_> = seen.difference(&listed).collect();
    let unseen: Vec<_> = listed.difference(&seen).collect();
    assert!(unlisted.is_empty(), "docs/wire.md does not list {unlisted:#?}");
    assert!(unseen.is_empty(), "docs/wire.md lists, and nothing sends, {unseen:#?}");
}

#[test]
fn what_comes_from_the_server_goes_back_to_it_word_for_word() {
    let heard: String = RECORDED
        .exchanges
        .iter()
        .map(|exchange| String::from_utf8_lossy(&exchange.heard).into_owned())
        .collect();
    let table = table();
    let mut echoed = BTreeSet::new();
    for request in requests() {
        for ((message, field), values) in fields_of(&request) {
            if table.get(&(message, field.clone())).is_none_or(|row| !row.is_of_server) {
                continue;
            }
            for value in values.iter().filter(|value| !is_empty(value)) {
                let text = value.get("payload").unwrap_or(value);
                // As it is in JSON, without its quotes: an id may stand inside of an envelope.
                let text = text.to_string();
                let text = text.trim_matches('"');
                assert!(heard.contains(text), "{field}: the server has not said {text}");
                if let Value::Object(envelope) = value {
                    let keys: Vec<_> = envelope.keys().map(String::as_str).collect();
                    assert_eq!(keys, ["key_id", "payload", "signature"], "{field}");
                }
                echoed.insert(field.clone());
            }
        }
    }
    for field in ["held_license", "newest_license", "challenge", "receipt"] {
        assert!(echoed.contains(field), "{field} was not in the scenario: {echoed:?}");
    }
}

#[test]
fn the_doctor_sends_no_field_that_programs_do_not_send() {
    let table = table();
    for request in RECORDED.of_doctor.iter().map(Exchange::request) {
        let is_asking = request.method == "POST" && request.body != json!({});
        assert!(!is_asking || request.path == AUTHORIZATION_CHECKS_PATH, "{}", request.path);
        let mut all = BTreeMap::new();
        fields(&request.body, "", &mut all);
        for field in all.into_keys().filter(|field| !field.is_empty()) {
            assert!(table.contains_key(&("authorization".to_owned(), field.clone())), "{field}");
        }
        for (name, value) in request.headers {
            let is_listed = table.contains_key(&(EACH.to_owned(), name.clone()));
            assert!(is_listed || name == "connection", "{name}: {value}");
        }
    }
}
