//! Servers on PostgreSQL under Patroni, by way of HAProxy and by the hosts of the nodes. They take
//! minutes, so `make test-patroni` asks for them by a variable of the environment.

use std::time::Duration;

use seatmeter_e2e::patroni::{Patroni, TTL_SECONDS};

use crate::failover::{each_round, survive};

/// The variable that asks for these tests.
const ASKED: &str = "SEATMETER_PATRONI";

/// No fault may keep devices without an answer for longer.
const GAP_MAX: Duration = Duration::from_secs(TTL_SECONDS + 10);

#[allow(clippy::disallowed_methods, reason = "make asks for a long test by its environment")]
fn set_up() -> Option<Patroni> {
    use std::io::Write;
    let why = match std::env::var(ASKED) {
        Err(_) => "\"make test-patroni\" runs it".to_owned(),
        Ok(_) => match Patroni::start() {
            Ok(patroni) => return Some(patroni),
            Err(missing) => format!("{missing} is not on this machine"),
        },
    };
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    None
}

/// Let each fault come by way of HAProxy and by the nodes' hosts in turn.
fn faults(fault: &str, strike: impl Fn(&mut Patroni, usize) + Copy) {
    let Some(mut patroni) = set_up() else { return };
    let mut round = 0;
    each_round(fault, || {
        round += 1;
        let database = format!("r{round}");
        let maintenance = patroni.url("postgres");
        let mut client = postgres::Client::connect(&maintenance, postgres::NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {database}")).unwrap();
        let by_haproxy = patroni.url(&database);
        let url = match round % 2 {
            1 => by_haproxy.clone(),
            _ => patroni.url_of_nodes(&database),
        };
        let primary = patroni.primary();
        let gap = survive(&url, &by_haproxy, || strike(&mut patroni, primary));
        assert!(gap <= GAP_MAX, "nothing was acknowledged for {gap:?}");
        patroni.resume(primary);
        patroni.heal();
        Some(gap)
    });
}

#[test]
fn under_patroni_no_acknowledged_work_is_lost_when_the_primary_dies() {
    faults("Patroni, node killed", |patroni, primary| patroni.kill(primary));
}

#[test]
fn under_patroni_no_acknowledged_work_is_lost_when_the_primary_freezes() {
    faults("Patroni, node frozen", |patroni, primary| patroni.freeze(primary));
}

#[test]
fn under_patroni_no_acknowledged_work_is_lost_by_a_switchover() {
    faults("Patroni, switchover", |patroni, primary| patroni.switch_over(primary));
}
