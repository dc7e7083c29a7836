//! A client in another language, against the real server. It is written from `docs/wire.md` alone,
//! with the standard library of Python and its package `cryptography`: what it lacks, the page
//! lacks.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::program::run;
use seatmeter_e2e::server::Server;
use serde_json::{Value, json};

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {}", why.trim());
}

fn root() -> &'static Path {
    seatmeter_e2e::root()
}

fn vectors() -> PathBuf {
    root().join("protocol/tests/vectors")
}

/// Return whether there is a Python with `cryptography`, and say so if there is none.
fn has_python() -> bool {
    let found = run(Command::new("python3").args(["-c", "import cryptography"]));
    if found.code != Some(0) {
        skip("python3 with the package cryptography is not installed");
    }
    found.code == Some(0)
}

/// Run a program of this folder, which must end with "ok".
fn python(program: &str, arguments: &[&str]) {
    let mut command = Command::new("python3");
    command.arg("-B").arg(root().join("tests/foreign").join(program)).args(arguments);
    let outcome = run(&mut command);
    assert!(
        outcome.code == Some(0) && outcome.stdout.trim() == "ok",
        "{program} {arguments:?}: {}{}",
        outcome.stdout,
        outcome.stderr
    );
}

/// Play parts of the scenario against servers at these URLs.
fn play(parts: &[&str], state: &Path, urls: &[&str]) {
    let (state, vectors) = (state.to_str().unwrap(), vectors());
    for part in parts {
        let arguments = [&[part, state, vectors.to_str().unwrap()], urls].concat();
        python("scenario.py", &arguments);
    }
}

/// Return one item of each kind that the scenario asks for.
fn items() -> Value {
    let of = |id: &str, way: &str, more: Value| {
        let mut item = json!({ "item_id": id, "charge_way": way, "products": 65_535,
                               "deployment_types": ["server", "desktop"] });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    json!([
        of("scans", "barcode_scan", json!({ "quota": 100_000_000 })),
        of("pages", "page", json!({ "page_quotas": { "core": 50, "ocr": 100 }, "strict": true })),
        of(
            "instances",
            "concurrent_instance",
            json!({ "quota": 4, "deployment_types": ["server"] })
        ),
    ])
}

#[test]
fn the_vectors_are_right_for_another_language() {
    if has_python() {
        python("check_vectors.py", &[vectors().to_str().unwrap()]);
    }
}

#[test]
fn a_client_from_the_page_alone_is_licensed_reports_and_survives_what_happens() {
    if !has_python() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let mut server = Server::with_items(&items());
    let url = server.url().to_owned();
    let parts = [
        "license_and_renewal",
        "refusals",
        "reports",
        "scripts",
        "pages_and_strict",
        "clone",
        "lost_state",
    ];
    play(&parts, state.path(), &[&url]);
    server.rotate_key();
    play(&["replaced_key"], state.path(), &[&url]);
    let restored = server.moved();
    play(&["restored"], state.path(), &[restored.url(), &url]);
}

/// The seconds after which a server that has begun an epoch by itself grants to everybody again.
const CAREFUL_SECONDS: i64 = 200;

/// The scripts of a file of vectors, played to a server.
struct Scripts<'a> {
    kind: &'a str,
    server: Server,
    /// The seconds that the server's clock is ahead.
    ahead: i64,
    state: &'a Path,
}

impl Scripts<'_> {
    fn play(&mut self) {
        let text = std::fs::read(vectors().join(format!("{}.json", self.kind))).unwrap();
        let content: Value = serde_json::from_slice(&text).unwrap();
        let scripts = content["scripts"].as_array().unwrap();
        assert!(scripts.len() > 6, "{}", self.kind);
        for (number, script) in scripts.iter().enumerate() {
            self.wait(CAREFUL_SECONDS);
            self.play_script(number, script["steps"].as_array().unwrap());
        }
    }

    /// Let devices do the steps of a script, and do here what concerns the server alone.
    fn play_script(&mut self, number: usize, steps: &[Value]) {
        let mut first = 0;
        for (at, step) in steps.iter().enumerate() {
            let minutes = step["after_minutes"].as_i64().unwrap_or(0);
            let is_of_server = matches!(step["do"].as_str(), Some("keep" | "put_back" | "wait"));
            if minutes == 0 && !is_of_server {
                continue;
            }
            self.play_steps(number, first..at);
            first = at + usize::from(is_of_server);
            self.wait(60 * minutes + 86_400 * step["days"].as_i64().unwrap_or(0));
            match step["do"].as_str() {
                Some("keep") => self.server.keep_data(),
                Some("put_back") => self.server.put_back(),
                _ => {}
            }
        }
        self.play_steps(number, first..steps.len());
    }

    fn wait(&mut self, seconds: i64) {
        self.ahead += seconds;
        self.server.set_ahead(self.ahead);
    }

    fn play_steps(&self, number: usize, steps: std::ops::Range<usize>) {
        let numbers = [number, steps.start, steps.end].map(|number| number.to_string());
        let (vectors, state) = (vectors(), self.state.to_str().unwrap());
        let before = [self.kind, state, vectors.to_str().unwrap(), self.server.url()];
        let numbers = numbers.each_ref().map(String::as_str);
        python("scripts.py", &[&before[..], &numbers[..]].concat());
    }
}

fn play_scripts(kind: &str) {
    if !has_python() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let server = Server::with_items_and_clock(&items());
    Scripts { kind, server, ahead: 0, state: state.path() }.play();
}

#[test]
fn two_installations_with_one_key_get_from_a_real_server_what_the_scripts_say() {
    play_scripts("clones");
}

#[test]
fn a_real_server_whose_data_was_put_back_notices_what_the_scripts_say() {
    play_scripts("rollbacks");
}

#[test]
fn a_client_from_the_page_alone_goes_to_the_standby_when_the_main_server_is_down() {
    if !has_python() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let mut main = Server::with_items(&items());
    let standby = main.own_standby(&items());
    play(&["standby_waits"], state.path(), &[main.url(), standby.url()]);
    main.kill();
    play(&["standby_serves"], state.path(), &[main.url(), standby.url()]);
}
