//! The store on PostgreSQL: every test of a store once more there, and several servers on one
//! database. Where PostgreSQL is not installed they say so and pass.

use std::process::Command;
use std::time::Instant;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::*;
use seatmeter_server::http::Web;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::store::{AuditReader, Location, UsageFilter};

use crate::cli::{Served, authorize_demo, failure, seatmeterd, stdout};
use crate::support::*;
use seatmeter_e2e::postgres::Cluster;

/// What the tests of a store are called, and those that are about SQLite.
const TESTS: [&str; 14] = [
    "access::",
    "sessions::",
    "audit::",
    "authorizations::",
    "correction::",
    "edited::",
    "export::",
    "operation::",
    "queries::",
    "scenarios::every",
    "store::",
    "time::",
    "trust::",
    "usage::",
];
const ABOUT_SQLITE: [&str; 6] = [
    "what_is_no_database_is_refused",
    "restore::",
    "audit::the_head_in_a_backup",
    "time::commands",
    "export::commands",
    "correction::commands",
];

macro_rules! or_skip {
    ($cluster:expr) => {
        or_skip!($cluster, "PostgreSQL (initdb, postgres)")
    };
    ($started:expr, $what:literal) => {
        match $started {
            Some(started) => started,
            None => {
                use std::io::Write;
                let _ = writeln!(
                    std::io::stderr(),
                    concat!("skipped: ", $what, " is not on this machine")
                );
                return;
            }
        }
    };
}
pub(crate) use or_skip;

#[test]
fn every_test_of_a_store_passes_on_postgresql() {
    let cluster = or_skip!(Cluster::start(false));
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(TESTS).args(ABOUT_SQLITE.iter().flat_map(|name| ["--skip", *name]));
    let output = tests.env(POSTGRES, cluster.url("DB")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let passed = text
        .split_once("test result: ok. ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 30), "{text}");
}

#[test]
fn commands_work_on_postgresql_and_say_what_is_not_as_it_must_be() {
    let cluster = or_skip!(Cluster::start(false));
    let name = cluster.new_database();
    let url = cluster.url(&name);
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let on = |arguments: &[&'static str]| [arguments, &["--database"]].concat();
    let done = |arguments| stdout(&data, &[&on(arguments)[..], &[&url]].concat());
    let fails = |data, arguments| failure(data, &[&on(arguments)[..], &[&url]].concat());
    assert!(done(&["init", "--demo"]).contains("made   handshake code DEMO-4-SEATS"));
    assert!(done(&["handshake", "list"]).contains("DEMO-4-SEATS"));
    assert_eq!(done(&["device", "list"]).trim(), "[]");
    assert_eq!(done(&["usage", "export", "--format", "csv"]).lines().count(), 1, "the heading");
    assert!(fails(&other, &["handshake", "list"]).contains("has no server key"));
    assert!(fails(&other, &["init"]).contains("Copy the key files"));
    assert!(fails(&data, &["backup", "file"]).contains("pg_dump"));
    let key = done(&["key", "show"]);
    assert!(done(&["key", "rotate"]).contains("start the server again"));
    assert_ne!(done(&["key", "show"]), key);
    assert!(done(&["audit"]).contains("rotate key"));
    for command in ["show", "rotate"] {
        assert!(
            failure(&other, &["key", command, "--database", &url]).contains("has no server key")
        );
    }
    let epoch = || cluster.sql(&name, "SELECT epoch FROM epoch ORDER BY number DESC LIMIT 1");
    let before = epoch();
    assert!(done(&["new-epoch"]).contains("has begun"));
    assert_ne!(epoch(), before);
    assert!(done(&["audit"]).contains("begin new epoch"));
    assert!(done(&["audit", "verify"]).contains("the audit log is whole"));
    cluster.sql(&name, "UPDATE schema_version SET version = 99");
    assert!(fails(&data, &["handshake", "list"]).contains("Use the newer seatmeterd"));
    assert!(fails(&data, &["usage", "show"]).contains("Use the newer seatmeterd"));
}

#[test]
fn an_export_may_take_as_long_as_it_takes_and_is_planned_for_many_rows() {
    let cluster = or_skip!(Cluster::start(false));
    let name = cluster.new_database();
    let server = server_on(&cluster.url(&name));
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    let device = id();
    let license = server.authorize(&request(&device, 1)).unwrap();
    server.report(&report(
        &device,
        vec![segment(&id(), &license.license_id, vec![scans(10_000_001, 2, 3)])],
    ));
    // Whoever reads with the settings of those who write sees nothing any more.
    cluster.sql(
        &name,
        "ALTER TABLE usage_day RENAME TO usage_kept;
         CREATE VIEW usage_day AS SELECT * FROM usage_kept
          WHERE current_setting('statement_timeout') = '0' AND current_setting('enable_seqscan') \
          = 'on'
            AND current_setting('enable_hashjoin') = 'on' AND \
            current_setting('transaction_read_only') = 'on'",
    );
    let mut rows = 0;
    let count = |_| {
        rows += 1;
        Ok(())
    };
    server.location.read_usage().unwrap().for_each(UsageFilter::ALL, count).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn who_asks_for_tls_gets_it_with_a_certificate_that_is_vouched_for_or_nothing() {
    let certificates =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/certificates");
    let certificate = |name: &str| certificates.join(name);
    let cluster =
        or_skip!(Cluster::start_with_tls(&certificate("server.pem"), &certificate("server.key")));
    let url = |mode: &str| {
        let url = cluster.url("postgres").replace("127.0.0.1", "localhost");
        url.replace("sslmode=disable", &format!("sslmode={mode}"))
    };
    let folder = tempfile::tempdir().unwrap();
    let init = |name: &str, mode: &str, authority: &str| {
        let database = url(mode);
        let mut command = seatmeterd(&folder.path().join(name), &["init", "--database", &database]);
        let output = command.env("SSL_CERT_FILE", certificate(authority)).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (is_done, errors) = init("trusting", "require", "ca.pem");
    assert!(is_done, "{errors}");
    let (is_done, errors) = init("doubting", "require", "server.pem");
    assert!(!is_done && errors.contains("certificate"), "{errors}");
    assert!(init("plain", "prefer", "server.pem").0, "who has not asked for it is not held up");
}

/// A server on this database.
pub(crate) fn server_on(url: &str) -> TestServer {
    let location = Location::Url(url.to_owned());
    let store = location.open().unwrap().store;
    TestServer::start(
        tempfile::tempdir().unwrap(),
        location,
        store,
        Keyring::new(server_key(), vec![]),
        |web| Web { open_to_loopback: true, ..web },
    )
}

pub(crate) fn devices_item(quota: u64) -> LicenseItem {
    LicenseItem::new("devices", ChargeWay::ClientDevice, quota, START, EXPIRY)
}

#[test]
fn racing_servers_never_grant_more_than_there_is_and_add_up_what_each_is_told() {
    let cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let servers = [server_on(&url), server_on(&url), server_on(&url)];
    servers[0].import(&license_file("acme", vec![devices_item(10)]), Some(CODE)).unwrap();
    servers[1]
        .import(&license_file("other", vec![item("instances", 100)]), Some("OTHER-CODE"))
        .unwrap();
    let granted: usize = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..60)
            .map(|n: usize| {
                let server = &servers[n % servers.len()];
                scope.spawn(move || usize::from(server.authorize(&request(&id(), 1)).is_ok()))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(granted, 11, "ten and their grace of one");
    // Each device tells a server after the other about the same segment: what is kept is the
    // maximum.
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let servers = &servers;
            scope.spawn(move || {
                let device = id();
                let asked = AuthorizationRequest {
                    handshake_code: "OTHER-CODE".into(),
                    ..request(&device, 2)
                };
                let license = servers[0].authorize(&asked).unwrap();
                let segment_id = id();
                for total in 1..=9_u64 {
                    let server = &servers[usize::try_from(total).unwrap() % servers.len()];
                    let sent = segment(
                        &segment_id,
                        &license.license_id,
                        vec![scans(10_000_000, 2, total)],
                    );
                    assert_eq!(server.report(&report(&device, vec![sent])).recorded.len(), 1);
                }
            });
        }
    });
    assert_eq!(servers[2].number("SELECT used FROM item_used WHERE item_id = 'instances'"), 12 * 9);
    assert_eq!(
        servers[2].number("SELECT active FROM slot_sum WHERE item_id = 'instances'"),
        12 * 2
    );
}

#[test]
fn a_uuid_is_bound_to_one_key_also_when_two_come_at_once_under_different_items() {
    let cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let servers = [server_on(&url), server_on(&url)];
    servers[0].import(&license_file("acme", vec![item("instances", 100)]), Some(CODE)).unwrap();
    servers[1].import(&license_file("other", vec![devices_item(100)]), Some("OTHER-CODE")).unwrap();
    for round in 0..40 {
        let uuid = id();
        let start = std::sync::Barrier::new(2);
        let granted: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = [(CODE, 8_u8), ("OTHER-CODE", 9)]
                .into_iter()
                .zip(&servers)
                .map(|((code, seed), server)| {
                    let (uuid, start) = (&uuid, &start);
                    scope.spawn(move || {
                        let asked = AuthorizationRequest {
                            handshake_code: code.into(),
                            device_key: key(seed).public().clone(),
                            ..request(uuid, 1)
                        };
                        let body = serde_json::to_vec(&asked).unwrap();
                        let sent = Request::post(AUTHORIZATIONS_PATH, &body).signed_by(&key(seed));
                        start.wait();
                        usize::from(sent.send(server.address).status == 200)
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(granted, 1, "round {round}");
    }
}

#[test]
fn an_item_that_comes_to_a_code_in_the_middle_of_a_decision_is_locked_for_it() {
    let cluster = or_skip!(Cluster::start(false));
    let name = cluster.new_database();
    let server = server_on(&cluster.url(&name));
    let later = LicenseItem { products: 2, ..item("later", 4) };
    server.import(&license_file("acme", vec![item("known", 4), later]), Some(CODE)).unwrap();
    // Who looks first does not see it yet; and nothing is granted from what is not locked.
    cluster.sql(
        &name,
        "ALTER TABLE handshake_item RENAME TO handshake_kept;
         CREATE SEQUENCE looks;
         CREATE VIEW handshake_item AS SELECT * FROM handshake_kept WHERE item_id = 'known' OR \
         nextval('looks') > 1;
         CREATE FUNCTION require_lock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF EXISTS (SELECT 1 FROM license_item WHERE item_id = NEW.item_id AND xmax::text = \
            '0') THEN
                RAISE EXCEPTION 'item % is not locked', NEW.item_id;
            END IF;
            RETURN NEW;
         END $$;
         CREATE TRIGGER require_lock BEFORE INSERT ON local_license FOR EACH ROW EXECUTE FUNCTION \
         require_lock()",
    );
    let asked = AuthorizationRequest { products: 2, ..request(&id(), 1) };
    assert_eq!(server.authorize(&asked).unwrap().item_id, "later");
}

#[test]
fn lines_that_several_servers_add_to_the_audit_log_at_once_are_one_chain() {
    let cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let servers = [server_on(&url), server_on(&url), server_on(&url)];
    servers[0].import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    std::thread::scope(|scope| {
        for (n, server) in servers.iter().enumerate() {
            for lane in 0..4 {
                scope.spawn(move || {
                    for i in 0..10 {
                        let code = format!("CODE-{n}-{lane}-{i}");
                        server
                            .wait(server.licensing.make_code(code, "acme".into(), "ann"))
                            .unwrap();
                    }
                });
            }
        }
    });
    let head = AuditReader::open(&servers[0].location).unwrap().verify(None).unwrap();
    assert_eq!(head.audit_id, 1 + 3 * 4 * 10);
}

/// Under load, an outage would be thousands of lines otherwise.
#[test]
fn while_the_database_is_down_the_log_has_a_line_a_second_with_a_number() {
    const REQUESTS: usize = 2_000;
    let mut cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    stdout(&data, &["init", "--demo", "--database", &url]);
    let listen = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut command = seatmeterd(&data, &listen);
    command.args(["--database", &url]).stderr(std::fs::File::create(&log).unwrap());
    let server = Served::run(command);
    authorize_demo(server.address, &id());
    cluster.kill();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..REQUESTS / 8 {
                    let demo = "DEMO-4-SEATS".into();
                    let asked = AuthorizationRequest { handshake_code: demo, ..request(&id(), 4) };
                    let body = serde_json::to_vec(&asked).unwrap();
                    let asked = Request::post(AUTHORIZATIONS_PATH, &body);
                    let answer = asked.header(NONCE_HEADER, &id()).send(server.address);
                    assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.body));
                }
            });
        }
    });
    server.signal("-TERM");
    let seconds = begun.elapsed().as_secs() as usize + 2;
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().filter(|line| line["status"] == 503);
    let told: u64 = refused.map(|line| line["count"].as_u64().unwrap_or(1)).sum();
    assert!(told >= REQUESTS as u64, "{told} of {REQUESTS} requests are in the log: {log}");
    // Of each kind one a second: refusals, their groups in the store, and the connection itself.
    let bound = 8 * seconds + 20;
    assert!(lines.len() <= bound, "{} lines in {seconds} s: {log}", lines.len());
}
