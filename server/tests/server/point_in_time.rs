//! PostgreSQL that is brought back to a point in time, from a backup and the archive of its log.
//! Where PostgreSQL is not installed they say so and pass.

use seatmeter_e2e::postgres::Cluster;
use seatmeter_protocol::message::UsageReport;
use seatmeter_server::store::Location;

use crate::on_postgres::{or_skip, server_on};
use crate::postgres_start::{newest_cause, serving, work};
use crate::support::*;

/// A cluster after somebody brought it back, and the report of the device that remembers more.
struct Restored {
    cluster: Cluster,
    name: String,
    epoch: String,
    report: UsageReport,
}

/// Let a device perform 5 scans before the point in time and 4 after it, all acknowledged.
fn restored() -> Option<Restored> {
    let mut before = Cluster::start_archiving()?;
    let name = before.new_database();
    let (server, license) = serving(&before.url(&name));
    let backup = before.base_backup();
    server.report(&work(&license, 5));
    before.name_point("noon");
    let answer = server.report(&work(&license, 9));
    drop(server);
    let cluster = before.restored_to("noon", backup);
    before.kill();
    let used = cluster.sql(&name, "SELECT sum(used) FROM item_used");
    assert_eq!(used.trim(), "5", "the database is as it was at noon");
    let report = UsageReport { receipt: answer.receipt, ..work(&license, 9) };
    Some(Restored { cluster, name, epoch: answer.epoch, report })
}

#[test]
fn data_that_was_brought_back_to_a_point_in_time_is_noticed_by_the_first_device_that_proves_it() {
    let Restored { cluster, name, epoch, report } = or_skip!(restored());
    let server = server_on(&cluster.url(&name));
    let answer = server.report(&report);
    assert_ne!(answer.epoch, epoch, "the device sends again what it remembers");
    assert_eq!(newest_cause(&cluster, &name), "rollback");
    assert_eq!(cluster.sql(&name, "SELECT sum(used) FROM item_used").trim(), "9");
}

#[test]
fn an_operator_who_brought_the_data_back_may_say_so_before_any_device_comes() {
    let Restored { cluster, name, epoch, report } = or_skip!(restored());
    // As `seatmeterd new-epoch` does.
    Location::Url(cluster.url(&name)).renew_epoch(&id(), START).unwrap();
    assert_eq!(newest_cause(&cluster, &name), "operator");
    let server = server_on(&cluster.url(&name));
    let answer = server.report(&report);
    assert_ne!(answer.epoch, epoch, "the device sends again what it remembers");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM epoch").trim(), "2", "no rollback besides");
    assert_eq!(cluster.sql(&name, "SELECT sum(used) FROM item_used").trim(), "9");
}
