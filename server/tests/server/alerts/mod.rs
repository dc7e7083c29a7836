//! Alerts: each threshold fires once, in the transaction of its cause, and is told by mail and
//! webhook.

mod fired;
mod kills;
mod mailed;
mod posted;
mod posted_by_tls;
mod told;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_server::alert::AlertKind;
use seatmeter_server::alerts::deliver::{Ways, tell_due};
use seatmeter_server::alerts::webhook::{Signer, Webhook};
use seatmeter_server::http::tls::trust;
use seatmeter_server::operator::commands::Change;
use seatmeter_server::operator::queries::alerts::{
    AlertRow, AlertsQuery, Deliveries, DeliveriesQuery, EventRow,
};

use crate::support::*;

fn scan_item(quota: u64) -> LicenseItem {
    LicenseItem::new("scans", ChargeWay::BarcodeScan, quota, START, EXPIRY)
}

/// A device that counts scans of one item, in one segment.
struct Scanner<'a> {
    server: &'a TestServer,
    uuid: String,
    license_id: String,
    segment_id: String,
}

impl<'a> Scanner<'a> {
    fn new(server: &'a TestServer) -> Self {
        let uuid = id();
        let license_id = server.authorize(&request(&uuid, 1)).unwrap().license_id;
        Self { server, uuid, license_id, segment_id: id() }
    }

    /// Report that this many scans were counted in all.
    fn has_counted(&self, total: u64) {
        let slot = seatmeter_protocol::slot::slot_of(START);
        let segment = segment(&self.segment_id, &self.license_id, vec![scans(slot, 1, total)]);
        self.server.report(&report(&self.uuid, vec![segment]));
    }
}

/// The alerts, each as its kind, subject and level, in order.
fn alerts(server: &TestServer, query: AlertsQuery) -> Vec<(AlertKind, String, u32)> {
    let mut found: Vec<_> =
        rows(server, query).into_iter().map(|row| (row.kind, row.subject, row.level)).collect();
    found.sort();
    found
}

fn rows(server: &TestServer, query: AlertsQuery) -> Vec<AlertRow> {
    server.wait(server.licensing.ask(query, None)).unwrap().alerts
}

/// The events, the oldest first.
fn events(server: &TestServer) -> Vec<EventRow> {
    let query = DeliveriesQuery { limit: None };
    let Deliveries { mut events } = server.wait(server.licensing.ask(query, None)).unwrap();
    events.reverse();
    events
}

fn told(server: &TestServer, kind: AlertKind) -> Vec<(String, u32)> {
    let of = events(server).into_iter().filter(|event| event.kind == kind);
    let mut told: Vec<_> = of.map(|event| (event.event, event.level)).collect();
    told.sort();
    told
}

fn check(server: &TestServer) {
    server.wait(seatmeter_server::http::alert_watch::check(&server.web)).unwrap();
}

fn tell(server: &TestServer, ways: &Ways) -> usize {
    server.wait(tell_due(&server.licensing, ways)).unwrap()
}

fn change(server: &TestServer, change: Change) {
    server.wait(server.licensing.change(change, "test")).unwrap();
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn key() -> Signer {
    Signer::read(&format!("whsk_{}", STANDARD.encode([7_u8; 32]))).unwrap()
}

fn webhook(url: &str, networks: &[&str]) -> Ways {
    let signers = vec![Signer::read(SECRET).unwrap(), key()];
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    let config = trust::client_config(Vec::new()).unwrap();
    let webhook = Webhook::new(url, signers, networks, config).unwrap();
    Ways { webhook: Some(webhook), ..Ways::default() }
}

/// The Python with the packages that tests need: that of this variable, or `python3`.
const PYTHON: &str = "SEATMETER_TEST_PYTHON";

#[allow(clippy::disallowed_methods, reason = "a run of the tests is told where its tools are")]
pub(crate) fn python_with(packages: &str) -> Option<String> {
    use std::io::Write;
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command.args(["-c", &format!("import {packages}")]).stderr(Stdio::null());
    let is_there = command.status().is_ok_and(|status| status.success());
    if !is_there {
        let _ = writeln!(std::io::stderr(), "skipped: {python} has no {packages} (from PyPI)");
    }
    is_there.then_some(python)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/alerts").join(name)
}

/// A program of this test that prints the port at which it listens, and then what it gets, one line
/// of JSON each. It ends with the test.
struct Receiver {
    child: Child,
    port: u16,
    lines: std::sync::mpsc::Receiver<serde_json::Value>,
}

impl Receiver {
    fn start(python: &str, name: &str, arguments: &[&str]) -> Self {
        use std::io::{BufRead, BufReader};
        let mut command = Command::new(python);
        command.arg("-u").arg(script(name)).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = lines.next().expect("it has printed its port").parse().unwrap();
        let (send, received) = std::sync::mpsc::channel();
        let read = move || {
            for line in lines {
                if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().spawn(read).unwrap();
        Self { child, port, lines: received }
    }

    /// What it has got next.
    fn next(&self) -> serde_json::Value {
        self.lines.recv_timeout(std::time::Duration::from_secs(60)).unwrap()
    }

    /// What it has got by now, when everything was sent.
    fn rest(&self) -> Vec<serde_json::Value> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
