//! The real program, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::PublicKey;

use crate::support::*;

pub(crate) fn seatmeterd(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    command.args(arguments).arg("--data").arg(data);
    command.env_remove("SEATMETERD_DATA").env_remove("SEATMETERD_LISTEN").env_remove("SEATMETERD_LOG");
    command.stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    seatmeterd(data, arguments).output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn stdout(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sentence of a command that must fail with exit code 1.
fn failure(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    errors.lines().last().unwrap().to_owned()
}

/// A server process; killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn start(data: &Path) -> Self {
        let mut child = seatmeterd(data, &["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("seatmeterd listening on http://").unwrap().parse().unwrap();
        Self { child, address }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(mut self, name: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Authorises under the demo code; gives the server's key and the local licence.
pub(crate) fn authorize_demo(address: SocketAddr, uuid: &str) -> (PublicKey, LocalLicense) {
    let asked = AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(uuid, 4) };
    let body = serde_json::to_vec(&asked).unwrap();
    let nonce = id();
    let answer = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce).send(address);
    let content: AuthorizationAnswer = answer.json();
    let file: LicenseFile = content.license_file.open(&content.root_key).unwrap();
    answer.verify(&body, &nonce, &file.server_key).unwrap();
    let license = content.local_license.open(&file.server_key).unwrap();
    (file.server_key, license)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn init_says_what_it_made_and_what_comes_next() {
    let folder = folder();
    let data = folder.path().join("data");
    let first = stdout(&data, &["init", "--demo"]);
    assert!(first.contains("made   server key"), "{first}");
    assert!(first.contains("4 concurrent instances"), "{first}");
    assert!(first.contains("made   handshake code DEMO-4-SEATS"), "{first}");
    assert!(first.contains("Next: seatmeterd serve"), "{first}");
}

#[test]
fn init_again_changes_nothing() {
    let folder = folder();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo"]);
    let key = std::fs::read(data.join("server.key")).unwrap();
    let again = stdout(&data, &["init", "--demo", "--demo-quota", "9", "--handshake-code", "OTHER"]);
    assert!(!again.contains("made"), "{again}");
    assert!(again.contains("DEMO-4-SEATS"), "{again}");
    assert_eq!(std::fs::read(data.join("server.key")).unwrap(), key);
}

#[test]
fn init_can_add_the_demo_later_and_with_other_numbers() {
    let folder = folder();
    let first = stdout(folder.path(), &["init"]);
    assert!(!first.contains("demo"), "{first}");
    let second = stdout(folder.path(), &["init", "--demo", "--demo-quota", "10", "--handshake-code", "TEN"]);
    assert!(second.contains("exists server key"), "{second}");
    assert!(second.contains("10 concurrent instances"), "{second}");
    assert!(second.contains("handshake code TEN"), "{second}");
}

#[test]
fn init_does_not_replace_a_lost_key() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    std::fs::remove_file(folder.path().join("server.key")).unwrap();
    assert!(failure(folder.path(), &["init"]).contains("backup"));
    assert!(failure(folder.path(), &["serve"]).contains("backup"));
    assert!(!folder.path().join("server.key").exists());
}

#[test]
fn a_directory_without_init_is_refused_and_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("diary.txt"), "Dear diary").unwrap();
    for arguments in [&["serve"][..], &["usage", "show"], &["item", "list"], &["key", "show"]] {
        let sentence = failure(folder.path(), arguments);
        assert!(sentence.contains("seatmeterd init --data"), "{sentence}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_command_line_without_sense_has_exit_code_2() {
    let folder = folder();
    for arguments in [
        &["frobnicate"][..],
        &["usage", "export"],
        &["serve", "--listen", "nowhere"],
        &["init", "--demo-quota", "4"],
        &["init", "--demo", "--demo-quota", "0"],
        &["init", "--demo", "--handshake-code", "with space"],
    ] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn one_directory_has_one_server() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    let first = Served::start(folder.path());
    let sentence = failure(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(sentence.contains("another seatmeterd serves"), "{sentence}");
    first.kill();
    drop(Served::start(folder.path()));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(failure(folder.path(), &["serve", "--listen", &address]).contains(&address));
}

#[test]
fn a_signal_ends_the_server_in_order() {
    let folder = folder();
    stdout(folder.path(), &["init", "--demo"]);
    for name in ["-TERM", "-INT"] {
        let server = Served::start(folder.path());
        authorize_demo(server.address, &id());
        assert_eq!(server.signal(name).code(), Some(0), "{name}");
    }
}

#[test]
fn usage_is_shown_and_exported_while_the_server_runs() {
    let folder = folder();
    let data = folder.path();
    stdout(data, &["init", "--demo"]);
    assert_eq!(stdout(data, &["usage", "show"]), "nothing recorded yet\n");
    assert_eq!(stdout(data, &["usage", "export", "--format", "json"]), "[]\n");
    let server = Served::start(data);
    assert_eq!(stdout(data, &["usage", "show"]), "nothing recorded yet\n");
    let device = id();
    let (key, license) = authorize_demo(server.address, &device);
    // Slot 10 000 000 begins at 2027-01-15T08:00:00Z.
    let slot = 10_000_000;
    let symbologies = [0x400_0000, 0x20, 0x2, 0x800_0000];
    let mut counted: Vec<_> = symbologies.map(|symbology| scans(slot, symbology, 1)).into();
    counted.push(UsageTotal { slot, kind: UsageKind::Image, what: 0, total: 1 });
    let sent = report(&device, vec![segment(&id(), &license.license_id, counted)]);
    post::<UsageAnswer>(server.address, &key, USAGE_PATH, &sent).unwrap();

    let shown = stdout(data, &["usage", "show"]);
    let total = "  4 scans (CODE_128 1, EAN_13 1, QR_CODE 1, DATAMATRIX 1)";
    assert!(shown.lines().any(|line| line == total), "{shown}");
    assert!(shown.lines().any(|line| line == "  1 image"), "{shown}");
    assert!(shown.contains("2027-01-15T08:00:00Z"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&stdout(data, &["usage", "show", "--json"])).unwrap();
    assert_eq!(json[0]["device_uuid"], device.as_str());
    assert_eq!(json[0]["slots"][0]["counters"].as_array().unwrap().len(), 5);

    let csv = stdout(data, &["usage", "export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 6, "{csv}");
    let row =
        format!("DEMO-4-SEATS,{},{device},scan,32,EAN_13,10000000,2027-01-15T08:00:00Z,1", license.item_id);
    assert!(csv.lines().any(|line| line == row), "{csv}");
    let export = |from: &str, to: &str| {
        let arguments = ["usage", "export", "--format", "json", "--from", from, "--to", to];
        let json: Vec<serde_json::Value> = serde_json::from_str(&stdout(data, &arguments)).unwrap();
        json.len()
    };
    assert_eq!(export("2027-01-15", "2027-01-16"), 5);
    assert_eq!(export("2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z"), 5);
    assert_eq!(export("2027-01-15T08:00:01Z", "2027-01-16"), 0);
    assert_eq!(export("2027-01-14", "2027-01-15T08:00:00Z"), 0);
    let sentence = failure(data, &["usage", "export", "--format", "csv", "--from", "soon"]);
    assert!(sentence.contains("\"soon\""), "{sentence}");
}
