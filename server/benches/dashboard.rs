//! How long a page of the dashboard takes, and how large it is: over HTTP from the real program, on
//! SQLite, with a year of use and 100 000 devices.
//!
//! `cargo bench -p seatmeter-server --bench dashboard -- [devices]`. Each figure is the median of
//! seven answers to a user who has logged in; the size is that of the compressed body.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run must stop")]
#![allow(clippy::disallowed_methods, reason = "it measures with the system's clock")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::signature::SigningKey;
use serde_json::json;

const SEATMETERD: &str = env!("CARGO_BIN_EXE_seatmeterd");
const PASSWORD: &str = "correct horse battery";
const ROUNDS: usize = 7;
const DAY: u64 = 86_400;
const PAGES: &[&str] = &[
    "/dashboard",
    "/dashboard/items/scans",
    "/dashboard/items/tills",
    "/dashboard/items/floor?date=DATE",
    "/dashboard/devices",
    "/dashboard/devices?name=till+4181",
    "/dashboard/devices/3fcd1ce4000000000000000000000024",
    "/dashboard/refusals",
    "/dashboard/usage",
    "/dashboard/codes",
    "/dashboard/licenses",
    "/dashboard/audit",
    "/dashboard/access",
    "/dashboard/server",
];

/// A running server, which ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(data: &Path, words: &[&str], input: &str) -> String {
    let mut command = Command::new(SEATMETERD);
    command.args(words).arg("--data").arg(data);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{words:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn import(data: &Path) {
    let item = |id: &str, way: &str, quota: u64| {
        json!({
            "item_id": id, "charge_way": way, "quota": quota, "deployment_types": ["server"],
            "products": 65_535, "starts_at": now() - 340 * DAY, "expires_at": now() + 120 * DAY,
        })
    };
    let file: LicenseFile = serde_json::from_value(json!({
        "version": 1, "file_id": "file", "organization_id": "acme", "organization_name": "Acme",
        "server_key": run(data, &["key", "show"], "").trim(), "issued_at": now() - DAY,
        "items": [
            item("scans", "barcode_scan", 120_000),
            item("tills", "client_device", 1_000_000),
            item("floor", "concurrent_device", 20),
            item("instances", "concurrent_instance", 10),
        ],
    }))
    .unwrap();
    let vendor = SigningKey::from_seed(&"2".repeat(64)).unwrap();
    let envelope = seatmeter_protocol::signature::Signed::seal(&file, &vendor).unwrap();
    let issued = json!({ "root_key": vendor.public(), "license_file": envelope });
    let path = data.join("../file.json");
    std::fs::write(&path, issued.to_string()).unwrap();
    let path = path.to_str().unwrap();
    run(data, &["license-file", "import", path, "--handshake-code", "CODE"], "");
}

fn fill(data: &Path, devices: u64) {
    let text = include_str!("../tests/dashboard/year.sql");
    let text = text.replace("i < 9999", &format!("i < {}", devices - 1));
    let text = text.replace("i < 9200", &format!("i < {}", devices * 92 / 100));
    let database = rusqlite::Connection::open(data.join("seatmeter.db")).unwrap();
    database.execute_batch(&text).unwrap();
}

fn serve(data: &Path) -> (Server, String) {
    let mut command = Command::new(SEATMETERD);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data"]).arg(data);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| Some(line.unwrap().split_once("http://")?.1.to_owned()));
    (Server(child), address.unwrap())
}

/// Send a request, and return the head and the body of its answer.
fn exchange(address: &str, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

fn log_in(address: &str) -> String {
    let body = format!("name=bench&password={}", PASSWORD.replace(' ', "+"));
    let request = format!(
        "POST /dashboard/login HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (head, _) = exchange(address, &request);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn main() {
    // Cargo adds an option of its own.
    let mut arguments = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let devices: u64 = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    run(&data, &["init"], "");
    import(&data);
    run(&data, &["user", "create", "bench", "--role", "viewer"], &format!("{PASSWORD}\n"));
    fill(&data, devices);
    let (_server, address) = serve(&data);
    let cookie = log_in(&address);
    let mut output = std::io::stdout();
    let _ = writeln!(output, "a year of use, {devices} devices");
    let yesterday = seatmeter_server::operator::queries::date((now() / DAY - 1) as u32);
    for page in PAGES {
        let path = page.replace("DATE", &yesterday);
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept-encoding: \
             gzip\r\ncookie: {cookie}\r\n\r\n"
        );
        let mut bytes = 0;
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                let (head, body) = exchange(&address, &request);
                assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
                bytes = body.len();
                begun.elapsed()
            })
            .collect();
        times.sort();
        let median = times[ROUNDS / 2].as_secs_f64() * 1e3;
        let _ = writeln!(output, "{page}: {median:.1} ms, {:.1} KB", bytes as f64 / 1e3);
    }
}
