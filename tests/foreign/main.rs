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
    let parts =
        ["license_and_renewal", "refusals", "reports", "scripts", "pages_and_strict", "clone"];
    play(&parts, state.path(), &[&url]);
    server.rotate_key();
    play(&["replaced_key"], state.path(), &[&url]);
    let restored = server.moved();
    play(&["restored"], state.path(), &[restored.url(), &url]);
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
