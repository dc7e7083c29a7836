//! Servers behind PgBouncer, in each of its modes. Where PostgreSQL or PgBouncer is not installed
//! they say so and pass.

use seatmeter_e2e::pooler::Pooler;
use seatmeter_e2e::postgres::Cluster;
use seatmeter_server::store::Location;

use crate::on_postgres::{or_skip, server_on};
use crate::support::*;

/// Start a cluster with a pooler before it.
fn pooled(mode: &str) -> Option<(Cluster, Pooler)> {
    let cluster = Cluster::start(false)?;
    // In transaction mode there are fewer sessions than the servers have connections.
    let sessions = if mode == "session" { 20 } else { 3 };
    let pooler = Pooler::start(&cluster, mode, sessions)?;
    Some((cluster, pooler))
}

/// Two servers, many devices that report at both; what is recorded must be what they have done.
fn two_servers_serve(mode: &str) {
    let (cluster, pooler) = or_skip!(pooled(mode), "PostgreSQL or PgBouncer");
    let name = cluster.new_database();
    let url = pooler.url(&name);
    let servers = [server_on(&url), server_on(&url)];
    servers[0].import(&license_file("acme", vec![item("instances", 100)]), Some(CODE)).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let servers = &servers;
            scope.spawn(move || {
                let license = servers[n % 2].authorize(&request(&id(), 1)).unwrap();
                let segment_id = id();
                for total in 1..=40_u64 {
                    let counted = vec![scans(10_000_000, 2, total)];
                    let sent = segment(&segment_id, &license.license_id, counted);
                    let server = &servers[usize::try_from(total).unwrap() % 2];
                    let answer = server.report(&report(&license.device_uuid, vec![sent]));
                    assert_eq!(answer.recorded.len(), 1);
                }
            });
        }
    });
    let used = cluster.sql(&name, "SELECT used FROM item_used WHERE item_id = 'instances'");
    assert_eq!(used.trim(), "320");
    // The next client of the session finds it as the database makes it.
    for setting in ["statement_timeout", "lock_timeout", "enable_seqscan", "jit"] {
        let show = format!("SHOW {setting}");
        for _ in 0..3 {
            assert_eq!(pooler_sql(&url, &show), cluster.sql(&name, &show).trim(), "{setting}");
        }
    }
    let prepared = "SELECT count(*)::text FROM pg_prepared_statements";
    assert_eq!(pooler_sql(&url, prepared), "0");
}

fn pooler_sql(url: &str, statement: &str) -> String {
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    match client.simple_query(statement).unwrap().get(1) {
        Some(postgres::SimpleQueryMessage::Row(row)) => row.get(0).unwrap().to_owned(),
        _ => panic!("{statement} gives no row"),
    }
}

#[test]
fn two_servers_behind_a_pooler_in_transaction_mode_record_what_each_is_told() {
    two_servers_serve("transaction");
}

#[test]
fn two_servers_behind_a_pooler_in_session_mode_record_what_each_is_told() {
    two_servers_serve("session");
}

#[test]
fn tests_of_a_store_pass_behind_a_pooler_where_no_statement_has_a_name() {
    let (_cluster, pooler) = or_skip!(pooled("transaction"), "PostgreSQL or PgBouncer");
    let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
    tests.args(["access::", "authorizations::", "correction::", "edited::", "usage::"]);
    tests.args(["--skip", "correction::commands"]);
    let output = tests.env(POSTGRES, pooler.url("DB")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_pooler_in_statement_mode_is_refused_with_the_setting_to_change() {
    let (cluster, pooler) = or_skip!(pooled("statement"), "PostgreSQL or PgBouncer");
    let url = pooler.url(&cluster.new_database());
    let error = Location::Url(url).open().err().unwrap().to_string();
    assert!(error.contains("pool_mode = transaction"), "{error}");
}
