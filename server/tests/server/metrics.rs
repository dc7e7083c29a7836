//! Scrapes: what they show, to whom, and whether Prometheus understands it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::USAGE_PATH;
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::access::Role;

use crate::access::with_token;
use crate::support::*;

const RULES: &str = "../deploy/alerts.rules.yml";
const DASHBOARD: &str = "../deploy/grafana-dashboard.json";

/// A server with items of three options, a device that has counted, and one that was refused.
fn busy_server() -> TestServer {
    let scans = LicenseItem::new("scans", ChargeWay::BarcodeScan, 100, START, EXPIRY);
    let devices = LicenseItem::new("devices", ChargeWay::ClientDevice, 10, START, EXPIRY);
    let server = TestServer::with_web(|web| web);
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    server.import(&license_file("other", vec![scans, devices]), Some("OTHER")).unwrap();
    server.authorize(&request(&"1".repeat(32), 1)).unwrap();
    assert!(server.authorize(&request(&"2".repeat(32), 9)).is_err(), "there are only 4 seats");
    let mut scanner = request(&"3".repeat(32), 1);
    (scanner.handshake_code, scanner.charge_way) = ("OTHER".into(), Some(ChargeWay::BarcodeScan));
    let license = server.authorize(&scanner).unwrap();
    let totals = vec![scans_of(60)];
    server.report(&report(&"3".repeat(32), vec![segment(&id(), &license.license_id, totals)]));
    server
}

fn scans_of(total: u64) -> seatmeter_protocol::message::UsageTotal {
    scans(slot_of(START), 1, total)
}

/// Scrape with a token.
fn scraped(server: &TestServer, token: &str) -> String {
    let request =
        Request::new("GET", "/metrics").header("authorization", &format!("Bearer {token}"));
    let answer = request.send(server.address);
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    String::from_utf8(answer.body).unwrap()
}

/// The value of a series, by its name with labels.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

#[test]
fn a_scrape_shows_items_requests_and_the_server() {
    let server = busy_server();
    let page = scraped(&server, &server.token("prometheus", Role::Viewer));
    let expected = [
        (r#"seatmeter_item_used{item="scans",of="scans",module=""}"#, 60.0),
        (r#"seatmeter_item_quota{item="scans",of="scans",module=""}"#, 100.0),
        (r#"seatmeter_item_grace{item="scans",of="scans",module=""}"#, 5.0),
        (r#"seatmeter_item_grace{item="devices",of="devices",module=""}"#, 1.0),
        (r#"seatmeter_item_quota{item="instances",of="active",module=""}"#, 4.0),
        (r#"seatmeter_item_excess{item="instances",of="excess",module=""}"#, 0.0),
        (r#"seatmeter_item_excess_budget{item="instances",of="excess",module=""}"#, 4_000.0),
        (r#"seatmeter_item_expiry_timestamp_seconds{item="scans"}"#, EXPIRY as f64),
        (r#"seatmeter_authorizations_total{outcome="granted",code="0"}"#, 2.0),
        (r#"seatmeter_authorizations_total{outcome="refused",code="-20008"}"#, 1.0),
        (r#"seatmeter_refusals_total{code="-20008"}"#, 1.0),
        (r#"seatmeter_refusals_total{code="-20120"}"#, 0.0),
        (r#"seatmeter_reports_total{outcome="recorded"}"#, 1.0),
        (r#"seatmeter_devices{state="running"}"#, 2.0),
        (r#"seatmeter_devices{state="ended"}"#, 0.0),
        ("seatmeter_report_lag_seconds_count", 1.0),
        (r#"seatmeter_device_clock_skew_seconds_bucket{le="0"}"#, 1.0),
        ("seatmeter_ready", 1.0),
        ("seatmeter_standby_active", 0.0),
        ("seatmeter_store_queue_length", 0.0),
        ("seatmeter_items_summed", 0.0),
        ("seatmeter_snapshot_timestamp_seconds", START as f64),
    ];
    for (series, expected) in expected {
        assert_eq!(value(&page, series), Some(expected), "{series}\n{page}");
    }
    assert!(value(&page, "seatmeter_store_commit_duration_seconds_count").unwrap() > 3.0);
    assert!(page.contains("seatmeter_build_info{version="));
}

#[test]
fn a_scrape_names_no_device_and_no_handshake_code() {
    let server = busy_server();
    let page = scraped(&server, &server.token("prometheus", Role::Viewer));
    for secret in ["11111111", "till 7", CODE, "OTHER"] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[test]
fn items_beyond_a_thousand_share_a_series_and_are_counted() {
    let server = TestServer::with_web(|web| web);
    let items = (0..1_003).map(|number| {
        LicenseItem::new(&format!("i{number:04}"), ChargeWay::BarcodeScan, 10, START, EXPIRY)
    });
    server.import(&license_file("acme", items.collect()), None).unwrap();
    let page = scraped(&server, &server.token("prometheus", Role::Viewer));
    assert_eq!(value(&page, "seatmeter_items_summed"), Some(3.0));
    let others = r#"seatmeter_item_quota{item="(others)",of="scans",module=""}"#;
    assert_eq!(value(&page, others), Some(30.0));
    let series = page.lines().filter(|line| line.starts_with("seatmeter_item_quota{")).count();
    assert_eq!(series, 1_001);
}

#[test]
fn an_address_of_its_own_shows_metrics_without_a_token_and_nothing_else() {
    let server = busy_server();
    let listener =
        server.wait(async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() });
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving =
        seatmeter_server::http::serve_metrics(vec![listener.into()], server.web.clone(), async {
            drop(stopped.await)
        });
    #[expect(clippy::async_yields_async, reason = "the task is to run beside the test")]
    let serving = server.wait(async { tokio::spawn(serving) });
    let answer = Request::new("GET", "/metrics").send(address);
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8(answer.body).unwrap().contains("seatmeter_item_used"));
    for path in ["/", "/healthz", "/admin/v1/items", "/v1/usage"] {
        assert_eq!(Request::new("GET", path).send(address).status, 404, "{path}");
    }
    drop(stop);
    server.wait(serving).unwrap().unwrap();
}

#[test]
fn metrics_are_for_viewers_of_the_whole_server() {
    let server = busy_server();
    let nobody = Request::new("GET", "/metrics").send(server.address).problem();
    assert_eq!((nobody.status, nobody.kind.as_str()), (401, "/problems/unauthenticated"));
    let bound = server.token_of("acme", Role::Admin, Some("acme"), None);
    let request = Request::new("GET", "/metrics");
    let refused = request.header("authorization", &format!("Bearer {bound}")).send(server.address);
    assert_eq!(refused.problem().kind, "/problems/whole-server");
    let post = Request::post("/metrics", b"{}").send(server.address).problem();
    assert_eq!(post.status, 405);
    let token = server.token("eve", Role::Viewer);
    assert_eq!(with_token("GET", "/status", "", &token).send(server.address).status, 200);
    scraped(&server, &token);
}

#[test]
fn what_cannot_be_decided_is_counted_apart_from_refusals() {
    let server = busy_server();
    let mut nobody = request(&"4".repeat(32), 1);
    nobody.handshake_code = "no such code".into();
    assert!(server.authorize(&nobody).is_err());
    let broken = report(&"3".repeat(32), vec![segment("no id", "nothing", vec![scans_of(1)])]);
    let _ = server.post::<serde_json::Value>(USAGE_PATH, &broken);
    let page = scraped(&server, &server.token("prometheus", Role::Viewer));
    let counted = |outcome: &str| {
        let is_it = |line: &&str| {
            line.starts_with("seatmeter_authorizations_total{") && line.contains(outcome)
        };
        let counts = page.lines().filter(is_it).map(|line| line.rsplit_once(' ').unwrap().1);
        counts.map(|count| count.parse::<f64>().unwrap()).sum::<f64>()
    };
    assert_eq!((counted("granted"), counted("refused") + counted("failed")), (2.0, 2.0));
    let all = page.lines().filter(|line| line.starts_with("seatmeter_reports_total"));
    let all = all.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    assert_eq!(all.sum::<f64>(), 2.0);
}

#[test]
fn each_metric_of_the_dashboard_and_the_rules_is_on_the_page() {
    let server = busy_server();
    let page = scraped(&server, &server.token("prometheus", Role::Viewer));
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names = words.filter(|word| word.starts_with("seatmeter_"));
        names.map(str::to_owned).collect()
    };
    let mut there = names(&page);
    // The tests' server has no certificate, no backup, and no seven days of history.
    for name in [
        "seatmeter_certificate_expiry_timestamp_seconds",
        "seatmeter_backup_timestamp_seconds",
        "seatmeter_item_forecast_timestamp_seconds",
    ] {
        assert!(there.insert(name.to_owned()), "{name} is on the page after all");
    }
    for file in [RULES, DASHBOARD] {
        let used = names(&std::fs::read_to_string(file).unwrap());
        let missing: Vec<_> = used.difference(&there).collect();
        assert!(used.len() > 10 && missing.is_empty(), "{file}: {missing:?}");
    }
    serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(DASHBOARD).unwrap())
        .unwrap();
}

/// Return whether a program is on this machine; say so if it is not.
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "skipped: {program} (Debian's prometheus) is missing");
    }
    found
}

#[test]
fn promtool_finds_nothing_wrong_with_the_page_and_the_rules() {
    if !is_there("promtool") {
        return;
    }
    let server = busy_server();
    let page = scraped(&server, &server.token("prometheus", Role::Viewer));
    let told = promtool(&["check", "metrics"], &page);
    assert_eq!(told, (true, String::new()), "{page}");
    let (is_good, told) = promtool(&["check", "rules", RULES], "");
    assert!(is_good && told.contains("rules found"), "{told}");
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

#[test]
fn prometheus_scrapes_the_server_by_the_token_in_a_file() {
    if !is_there("prometheus") {
        return;
    }
    let server = busy_server();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, server.token("prometheus", Role::Viewer)).unwrap();
    let rules = std::fs::canonicalize(RULES).unwrap();
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nrule_files: [{}]\n\
         scrape_configs:\n- job_name: seatmeter\n  authorization: {{credentials_file: {}}}\n  \
         static_configs: [{{targets: [\"{}\"]}}]\n",
        rules.display(),
        token.display(),
        server.address
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let mut prometheus = Prometheus::start(folder.path());
    let found = prometheus.ask("seatmeter_item_used%7Bof%3D%22scans%22%7D");
    assert!(found.contains(r#""item":"scans""#) && found.contains(r#","60"]"#), "{found}");
}

/// A Prometheus of this test, which ends with it.
struct Prometheus {
    child: std::process::Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &std::path::Path) -> Self {
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("Listening on")).expect("it listens");
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        let address = address.parse().unwrap();
        // Its log has to be read to the end.
        std::thread::Builder::new().spawn(move || lines.for_each(drop)).unwrap();
        Self { child, address }
    }

    /// Ask until there is an answer with a value.
    fn ask(&mut self, query: &str) -> String {
        let begun = Instant::now();
        loop {
            let mut stream = TcpStream::connect(self.address).unwrap();
            let head = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            if answer.contains(r#""value""#) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{answer}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
