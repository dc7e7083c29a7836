//! Programs of this project that meet a server with TLS: a standby, and the doctor.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::*;

use super::{PATIENCE, Place};
use crate::cli::{Served, failure, seatmeterd, stdout};
use crate::support::*;

#[test]
fn a_standby_watches_its_main_server_over_tls() {
    let place = Place::new();
    let main = place.serve(&[]);
    let url = format!("https://localhost:{}", main.address.port());
    let standby_data = place.path("standby");
    stdout(&standby_data, &["init", "--demo"]);
    let ca = place.path("tls/ca.pem");
    let standby = |ca: Option<&Path>| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--standby", "--peer", &url];
        let mut command = seatmeterd(&standby_data, &arguments);
        command.env_remove("SEATMETER_CA_FILE").envs(ca.map(|ca| ("SEATMETER_CA_FILE", ca)));
        command.stderr(fs::File::create(place.path("standby.log")).unwrap());
        Served::run(command)
    };
    let asked = AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&id(), 1) };
    let body = serde_json::to_vec(&asked).unwrap();
    let ask = |address| {
        Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id()).send(address)
    };
    let watching = standby(Some(&ca));
    let problem = ask(watching.address).problem();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY);
    main.kill();
    let begun = Instant::now();
    while ask(watching.address).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "the standby does not take over");
        std::thread::sleep(Duration::from_millis(100));
    }
    // A main server whose certificate is not trusted counts as down, and the log says why.
    let main = place.serve(&["--listen", &format!("127.0.0.1:{}", main_port(&url))]);
    drop(watching);
    let distrusting = standby(None);
    assert_eq!(ask(distrusting.address).status, 200);
    let log = fs::read_to_string(place.path("standby.log")).unwrap();
    assert!(log.contains("TLS: ") && log.contains("UnknownIssuer"), "{log}");
    place.wait_for_log("a client does not trust the certificate of this server (UnknownCA)");
    drop(main);
    let missing = ["serve", "--standby", "--peer", &url, "--peer-ca", "/missing.pem"];
    assert!(failure(&standby_data, &missing).contains("/missing.pem cannot be used"));
    assert!(failure(&standby_data, &["serve", "--standby"]).contains("needs --peer"));
    assert!(failure(&standby_data, &["serve", "--peer", &url]).contains("without --standby"));
}

fn main_port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

#[test]
fn the_doctor_checks_a_server_with_tls_and_warns_of_one_without() {
    let place = Place::new();
    let server = place.serve(&["--listen", "https://127.0.0.1:0", "--listen", "http://0.0.0.0:0"]);
    let doctor = |url: &str, ca: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
        command.args(["doctor", "--server", url, "--state-dir"]).arg(place.path("state"));
        command.args(ca.map(|_| "--ca-file")).args(ca).env_remove("SEATMETER_CA_FILE");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let url = format!("https://localhost:{}", server.address.port());
    let told = doctor(&url, Some(&place.path("tls/ca.pem")));
    assert!(
        told.contains("ok       TLS          the server's certificate is trusted, until "),
        "{told}"
    );
    assert!(told.contains("a license server answers"), "{told}");
    let told = doctor(&url, None);
    assert!(told.contains("BROKEN   TLS"), "{told}");
    place.certify(&["--days", "3"]);
    server.send("-HUP");
    place.wait_for_log("ends on");
    let told = doctor(&url, Some(&place.path("tls/ca.pem")));
    assert!(told.contains("warning  TLS") && told.contains("renew it"), "{told}");
    let log = place.log();
    let plain = plain_address(&log);
    let told = doctor(&format!("http://{plain}"), None);
    assert!(
        told.contains("warning  TLS") && told.contains("session passwords can be read"),
        "{told}"
    );
}

fn plain_address(log: &str) -> &str {
    let rest = log.split("listening on http://").nth(1).unwrap();
    rest.split_whitespace().next().unwrap()
}
