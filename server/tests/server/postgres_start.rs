//! Connecting to PostgreSQL as operators set it up: roles, encodings, TLS, timeouts, standbys, and
//! data that came from elsewhere. Where PostgreSQL is not installed they say so and pass.

use std::time::{Duration, Instant};

use seatmeter_e2e::postgres::Cluster;
use seatmeter_e2e::relay::Relay;
use seatmeter_protocol::message::*;
use seatmeter_server::http::Web;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::store::Location;

use crate::cli::{Served, failure, seatmeterd, stdout};
use crate::on_postgres::{or_skip, server_on};
use crate::support::*;

/// Bound on every wait of a test.
const PATIENCE: Duration = Duration::from_secs(30);

fn error_of(url: &str) -> String {
    Location::Url(url.to_owned()).open().err().unwrap().to_string()
}

/// A server with one item, and a device that holds a license.
pub(crate) fn serving(url: &str) -> (TestServer, seatmeter_protocol::license::LocalLicense) {
    let server = server_on(url);
    server.import(&license_file("acme", vec![item("instances", 100)]), Some(CODE)).unwrap();
    let license = server.authorize(&request(&id(), 1)).unwrap();
    (server, license)
}

/// A report of the device about one segment.
pub(crate) fn work(
    license: &seatmeter_protocol::license::LocalLicense,
    total: u64,
) -> seatmeter_protocol::message::UsageReport {
    let segment_id = license.license_id.clone();
    let counted = vec![scans(10_000_000, 2, total)];
    report(&license.device_uuid, vec![segment(&segment_id, &license.license_id, counted)])
}

#[test]
fn a_server_whose_tables_are_current_needs_no_right_to_make_any() {
    let cluster = or_skip!(Cluster::start(false));
    let name = cluster.new_database();
    drop(server_on(&cluster.url(&name)));
    cluster.sql(
        &name,
        "CREATE ROLE serve LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \
         public TO serve",
    );
    let (server, license) = serving(&cluster.url(&name).replace("seatmeter@", "serve@"));
    assert_eq!(server.report(&work(&license, 3)).recorded.len(), 1);
    assert_eq!(Request::new("GET", "/readyz").send(server.address).status, 200);
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM database_cluster").trim(), "1");
}

#[test]
fn a_database_that_cannot_keep_every_name_is_refused() {
    let cluster = or_skip!(Cluster::start(false));
    cluster.sql("postgres", "CREATE DATABASE old ENCODING 'SQL_ASCII' TEMPLATE template0");
    let error = error_of(&cluster.url("old"));
    assert!(error.contains("SQL_ASCII") && error.contains("ENCODING 'UTF8'"), "{error}");
}

#[test]
fn servers_with_different_keys_on_one_database_are_refused() {
    let cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    stdout(&one, &["init", "--database", &url]);
    // The first that works with the database makes its key that of the database.
    stdout(&one, &["handshake", "list", "--database", &url]);
    let error = failure(&two, &["init", "--database", &url]);
    assert!(error.contains("Copy the key files"), "{error}");
    let alone = folder.path().join("alone");
    stdout(&alone, &["init", "--database", &cluster.url(&cluster.new_database())]);
    let error = failure(&alone, &["handshake", "list", "--database", &url]);
    assert!(error.contains("used by servers with key"), "{error}");
}

#[test]
fn each_mode_of_tls_proves_what_its_name_says() {
    let certificates =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/certificates");
    let at = |name: &str| certificates.join(name).display().to_string().replace('/', "%2F");
    let (certificate, key) = (certificates.join("server.pem"), certificates.join("server.key"));
    let cluster = or_skip!(Cluster::start_with_tls(&certificate, &key));
    let url = |host: &str, mode: &str| {
        let url = cluster.url("postgres").replace("127.0.0.1", host);
        url.replace("sslmode=disable", mode)
    };
    let is_open = |host: &str, mode: &str| match Location::Url(url(host, mode)).open() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let (ours, other) = (at("ca.pem"), at("server.pem"));
    for mode in ["verify-ca", "verify-full", "require"] {
        let with = |root: &str| format!("sslmode={mode}&sslrootcert={root}");
        assert_eq!(is_open("localhost", &with(&ours)), Ok(()), "{mode}");
        assert!(is_open("localhost", &with(&other)).unwrap_err().contains("certificate"), "{mode}");
    }
    // The certificate is for the name, and not for the address.
    let by_address = |mode: &str| is_open("127.0.0.1", &format!("{mode}&sslrootcert={ours}"));
    assert_eq!(by_address("sslmode=verify-ca"), Ok(()));
    assert!(by_address("sslmode=verify-full").unwrap_err().contains("certificate"));
    assert_eq!(is_open("localhost", "sslmode=prefer"), Ok(()));
    let server = server_on(&url("localhost", "sslmode=prefer"));
    assert_eq!(Request::new("GET", "/readyz").send(server.address).status, 200);
    let secured = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl \
                   AND application_name = 'seatmeterd'";
    assert_ne!(cluster.sql("postgres", secured).trim(), "0", "prefer tries TLS");
    let plain = or_skip!(Cluster::start(false));
    let url = plain.url(&plain.new_database());
    let without = |mode: &str| url.replace("sslmode=disable", mode);
    assert!(Location::Url(without("sslmode=prefer")).open().is_ok());
    let error = error_of(&without("sslmode=verify-full"));
    assert!(error.contains("does not support TLS") && error.contains("sslmode=disable"), "{error}");
}

#[test]
fn a_connection_that_was_ended_while_it_was_idle_costs_no_answer() {
    let cluster = or_skip!(Cluster::start(false));
    let name = cluster.new_database();
    let (server, license) = serving(&cluster.url(&name));
    let ours =
        format!("FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()");
    for total in 1..=3 {
        cluster.sql("postgres", &format!("SELECT pg_terminate_backend(pid) {ours}"));
        let begun = Instant::now();
        while cluster.sql("postgres", &format!("SELECT count(*) {ours}")).trim() != "0" {
            assert!(begun.elapsed() < PATIENCE, "the sessions do not end");
        }
        assert_eq!(server.try_report(&work(&license, total)).unwrap().recorded.len(), 1);
    }
}

#[test]
fn a_batch_takes_few_round_trips_to_a_far_database() {
    let cluster = or_skip!(Cluster::start(false));
    let network = Relay::start(cluster.port(), Duration::from_millis(2));
    let name = cluster.new_database();
    let port = |port: u16| format!("127.0.0.1:{port}/");
    let url = cluster.url(&name).replace(&port(cluster.port()), &port(network.port()));
    let (server, license) = serving(&url);
    // The first of each kind prepares statements, on each connection.
    for total in 1..=6 {
        server.report(&work(&license, total));
        server.authorize(&request(&id(), 1)).unwrap();
    }
    let flights = |work: &dyn Fn()| {
        let before = network.flights();
        work();
        network.flights() - before
    };
    let of_report = flights(&|| drop(server.report(&work(&license, 9))));
    let of_authorization = flights(&|| drop(server.authorize(&request(&id(), 1)).unwrap()));
    assert!(of_report <= 10, "a report took {of_report} round trips");
    assert!(of_authorization <= 11, "an authorization took {of_authorization} round trips");
}

#[test]
fn nothing_is_acknowledged_without_a_synchronous_standby_where_one_is_required() {
    let (primary, standby) = or_skip!(Cluster::start_pair());
    let url = primary.url(&primary.new_database());
    let location = Location::Url(url).with_required_standby();
    let store = location.open().unwrap().store;
    let keys = Keyring::new(server_key(), vec![]);
    let folder = tempfile::tempdir().unwrap();
    let open = |web| Web { open_to_loopback: true, ..web };
    let server = TestServer::start(folder, location, store, keys, open);
    server.import(&license_file("acme", vec![item("instances", 100)]), Some(CODE)).unwrap();
    let license = server.authorize(&request(&id(), 1)).unwrap();
    let status = Request::new("GET", "/readyz").send(server.address);
    assert_eq!(status.json::<serde_json::Value>()["synchronous_standby"], true);
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let begun = Instant::now();
    // The setting reaches each session with its next statement.
    while server.try_report(&work(&license, 5)).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is acknowledged without a standby");
    }
    let problem = server.try_report(&work(&license, 6)).unwrap_err();
    assert_eq!(problem.status, 503);
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    while server.try_report(&work(&license, 6)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it is not acknowledged with a standby");
    }
    drop(standby);
}

pub(crate) fn newest_cause(cluster: &Cluster, database: &str) -> String {
    let cause = "SELECT cause FROM epoch ORDER BY number DESC LIMIT 1";
    cluster.sql(database, cause).trim().to_owned()
}

#[test]
fn a_promoted_standby_without_the_last_acknowledged_commit_begins_a_new_epoch() {
    let (mut primary, standby) = or_skip!(Cluster::start_pair());
    let name = primary.new_database();
    let (server, license) = serving(&primary.url_of_pair(&standby, &name));
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    standby.sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("postgres", "SELECT pg_reload_conf()");
    let begun = Instant::now();
    let following = "SELECT count(*) FROM pg_stat_replication";
    while primary.sql("postgres", following).trim() != "0" {
        assert!(begun.elapsed() < PATIENCE, "the standby still follows");
    }
    while server.try_report(&work(&license, 7)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the primary still waits for its standby");
    }
    primary.kill();
    standby.promote();
    assert_eq!(newest_cause(&standby, &name), "created");
    while server.try_report(&work(&license, 7)).is_err() {
        assert!(begun.elapsed() < 2 * PATIENCE, "the server does not come back");
    }
    assert_eq!(newest_cause(&standby, &name), "rollback");
    assert_eq!(standby.sql(&name, "SELECT sum(used) FROM item_used").trim(), "7");
}

#[test]
fn data_that_came_from_a_dump_of_another_cluster_begins_a_new_epoch_once() {
    let (one, two) = (or_skip!(Cluster::start(false)), or_skip!(Cluster::start(false)));
    let name = one.new_database();
    let (server, license) = serving(&one.url(&name));
    server.report(&work(&license, 7));
    drop(server);
    let copy = two.new_database();
    one.dump_into(&name, &two, &copy);
    for _ in 0..2 {
        drop(server_on(&two.url(&copy)));
        assert_eq!(newest_cause(&two, &copy), "restored");
        assert_eq!(two.sql(&copy, "SELECT count(*) FROM epoch").trim(), "2");
    }
    drop(server_on(&one.url(&name)));
    assert_eq!(newest_cause(&one, &name), "created", "the first cluster is the same");
}

#[test]
fn an_old_primary_that_comes_back_is_not_used() {
    let (primary, mut standby) = or_skip!(Cluster::start_pair());
    let name = primary.new_database();
    drop(server_on(&primary.url(&name)));
    // It would wait for its standby.
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    standby.promote();
    let (server, license) = serving(&standby.url_of_pair(&primary, &name));
    assert_eq!(server.report(&work(&license, 3)).recorded.len(), 1);
    standby.kill();
    for _ in 0..3 {
        assert_eq!(server.try_report(&work(&license, 4)).unwrap_err().status, 503);
    }
    assert_eq!(primary.sql(&name, "SELECT count(*) FROM usage_day").trim(), "0");
}

#[test]
fn an_outage_of_the_database_is_a_few_lines_a_second_in_the_log() {
    let mut cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo", "--database", &url]);
    let log = folder.path().join("log");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--rate-per-source", "1000000"];
    let mut serve = seatmeterd(&data, &[&arguments[..], &["--database", &url]].concat());
    serve.stderr(std::fs::File::create(&log).unwrap());
    let served = Served::run(serve);
    let lines = || std::fs::read_to_string(&log).unwrap().lines().count();
    cluster.kill();
    let (before, begun) = (lines(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..250 {
                    let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
                    let asked = Request::post(AUTHORIZATIONS_PATH, &body);
                    let _ = asked.header(NONCE_HEADER, &id()).try_send(served.address);
                }
            });
        }
    });
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    let written = lines() - before;
    assert!(written > 0 && written <= 6 * seconds, "{written} lines in {seconds} s");
}

#[test]
fn a_server_whose_writers_wait_says_at_once_that_it_is_ready_and_lists_devices() {
    let cluster = or_skip!(Cluster::start(false));
    let url = cluster.url(&cluster.new_database());
    let (server, license) = serving(&url);
    let mut other = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let mut holding = other.transaction().unwrap();
    holding.execute("SELECT 1 FROM license_item FOR UPDATE", &[]).unwrap();
    std::thread::scope(|scope| {
        let reports: Vec<_> = (1..=4)
            .map(|total| {
                let (server, license) = (&server, &license);
                scope.spawn(move || server.try_report(&work(license, total)).is_ok())
            })
            .collect();
        // A writer waits for the item as soon as a lock is not granted; all four reports may be in
        // its batch.
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let begun = Instant::now();
        while cluster.sql("postgres", waiting).trim() == "0" {
            assert!(begun.elapsed() < PATIENCE, "the writers do not wait");
        }
        for path in ["/readyz", "/admin/v1/devices"] {
            assert_eq!(Request::new("GET", path).send(server.address).status, 200, "{path}");
        }
        assert!(reports.iter().any(|report| !report.is_finished()), "they still wait");
        holding.rollback().unwrap();
        for report in reports {
            report.join().unwrap();
        }
    });
}
