//! When alerts fire, recover, and stay quiet.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseFile, LicenseItem};
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of};
use seatmeter_server::access::Role;
use seatmeter_server::alert::AlertKind;
use seatmeter_server::operator::queries::alerts::AlertsQuery;
use serde_json::{Value, json};

use super::*;
use crate::access::ask;

fn quota(level: u32) -> (AlertKind, String, u32) {
    (AlertKind::Quota, "scans".to_owned(), level)
}

#[test]
fn each_threshold_fires_once_with_the_report_that_reaches_it() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    let scanner = Scanner::new(&server);
    for (total, levels) in
        [(59, vec![]), (60, vec![60]), (61, vec![60]), (79, vec![60]), (100, vec![60, 80, 100])]
    {
        scanner.has_counted(total);
        let expected: Vec<_> = levels.iter().copied().map(quota).collect();
        assert_eq!(alerts(&server, AlertsQuery::default()), expected, "{total}");
        assert_eq!(events(&server).len(), levels.len(), "{total}");
    }
    scanner.has_counted(105);
    check(&server);
    check(&server);
    let fired = |level| ("fired".to_owned(), level);
    assert_eq!(told(&server, AlertKind::Quota), [60, 80, 100].map(fired));
    let first = &events(&server)[0];
    assert!(first.detail.contains("60 of 100 scans (60 %)"), "{}", first.detail);
    assert_eq!(first.organization_id, "acme");
}

#[test]
fn seats_of_devices_fire_with_the_grant_that_reaches_the_threshold() {
    let item = LicenseItem::new("devices", ChargeWay::ClientDevice, 5, START, EXPIRY);
    let server = TestServer::with_items(vec![item]);
    let levels = || alerts(&server, AlertsQuery::default()).into_iter().map(|alert| alert.2);
    for (number, expected) in [(1, vec![]), (2, vec![]), (3, vec![60]), (4, vec![60, 80])] {
        server.authorize(&request(&format!("{number:032x}"), 1)).unwrap();
        assert_eq!(levels().collect::<Vec<_>>(), expected, "{number}");
    }
}

/// Counting in many slots, of which the excess passes the budget.
#[test]
fn overuse_is_told_when_it_begins() {
    let mut item = item("instances", 1);
    item.overuse_budget = Some(10);
    let server = TestServer::with_items(vec![item]);
    let licenses: Vec<_> = (1..=3)
        .map(|number| {
            let uuid = format!("{number:032x}");
            let license = server.authorize(&request(&uuid, 1)).unwrap();
            (uuid, license.license_id, id())
        })
        .collect();
    let first = slot_of(START);
    // Three run where one may: an excess of two in each slot.
    let work_until = |slots: u32| {
        server.clock.set(START + u64::from(slots) * SLOT_SECONDS);
        for (uuid, license_id, segment_id) in &licenses {
            let totals = (0..slots).map(|slot| scans(first + slot, 1, 1)).collect();
            server.report(&report(uuid, vec![segment(segment_id, license_id, totals)]));
        }
    };
    let kinds = |kind| told(&server, kind).into_iter().map(|(_, level)| level).collect::<Vec<_>>();
    work_until(2);
    assert_eq!(kinds(AlertKind::Budget), [0; 0]);
    work_until(3);
    assert_eq!(kinds(AlertKind::Budget), [60]);
    work_until(5);
    assert_eq!((kinds(AlertKind::Budget), kinds(AlertKind::Overused)), (vec![60, 80, 100], vec![]));
    work_until(6);
    assert_eq!(kinds(AlertKind::Overused), [0]);
    check(&server);
    assert_eq!(kinds(AlertKind::Overused), [0]);
}

#[test]
fn a_larger_quota_recovers_an_alert_and_the_next_threshold_fires_again() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    let scanner = Scanner::new(&server);
    scanner.has_counted(85);
    let renewed = |quota: u64, round: u64| {
        let file = license_file("acme", vec![scan_item(quota)]);
        server.import(&LicenseFile { issued_at: START + round, ..file }, None).unwrap();
    };
    renewed(1_000, 1);
    check(&server);
    let firing = AlertsQuery { firing: true, ..AlertsQuery::default() };
    assert_eq!(alerts(&server, firing.clone()), []);
    server.clock.set(START + 10);
    scanner.has_counted(600);
    assert_eq!(alerts(&server, firing), [quota(60)]);
    let pair = |event: &str, level| (event.to_owned(), level);
    let expected = [pair("fired", 60), pair("fired", 60), pair("fired", 80)];
    let recovered = [pair("recovered", 60), pair("recovered", 80)];
    assert_eq!(told(&server, AlertKind::Quota), [&expected[..], &recovered].concat());
}

#[test]
fn an_alert_that_is_re_armed_fires_again_and_a_muted_one_tells_nothing() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    Scanner::new(&server).has_counted(60);
    let change = |change| server.wait(server.licensing.change(change, "test"));
    let alert_id = rows(&server, AlertsQuery::default())[0].alert_id.clone();
    server.clock.set(START + 1);
    change(Change::RearmAlert { alert_id: alert_id.clone() }).unwrap();
    check(&server);
    assert_eq!(told(&server, AlertKind::Quota).len(), 2);
    let until = START + 1_000;
    change(Change::MuteAlert { alert_id: alert_id.clone(), until }).unwrap();
    let file = license_file("acme", vec![scan_item(1_000)]);
    server.import(&LicenseFile { issued_at: START + 1, ..file }, None).unwrap();
    check(&server);
    assert_eq!(told(&server, AlertKind::Quota).len(), 2);
    let row = &rows(&server, AlertsQuery::default())[0];
    assert_eq!((row.recovered_at, row.muted_until), (Some(START + 1), Some(until)));
    let late = server.licensing.mute_alert(alert_id, Some(START), "test");
    let late = server.wait(late).unwrap_err().to_string();
    assert!(late.contains("has passed: name a later end"), "{late}");
    let unknown = change(Change::RearmAlert { alert_id: "nothing".into() }).unwrap_err();
    assert!(unknown.to_string().contains("there is no alert"), "{unknown}");
}

#[test]
fn an_item_has_thresholds_of_its_own_or_those_of_all() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    let set = |item_id: Option<&str>, percents: &[u32]| {
        let item_id = item_id.map(str::to_owned);
        server.wait(server.licensing.set_thresholds(item_id, percents, "test"))
    };
    set(None, &[10]).unwrap();
    set(Some("scans"), &[30, 20]).unwrap();
    assert!(set(Some("nothing"), &[30]).is_err() && set(None, &[0]).is_err());
    Scanner::new(&server).has_counted(35);
    assert_eq!(alerts(&server, AlertsQuery::default()), [quota(20), quota(30)]);
}

#[test]
fn the_share_of_refusals_under_a_code_is_told_at_each_of_its_levels() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let ask = |seats| drop(server.authorize(&request(&id(), seats)));
    (0..9).for_each(|_| ask(1));
    check(&server);
    assert_eq!(alerts(&server, AlertsQuery::default()), []);
    ask(9);
    check(&server);
    let share = |level| (AlertKind::Refused, CODE.to_owned(), level);
    assert_eq!(alerts(&server, AlertsQuery::default()), [share(10)]);
    (0..3).for_each(|_| ask(9));
    check(&server);
    assert_eq!(alerts(&server, AlertsQuery::default()), [share(10), share(20)]);
    // A day later they no longer count.
    server.clock.set(START + 25 * 3_600);
    check(&server);
    let firing = AlertsQuery { firing: true, ..AlertsQuery::default() };
    assert_eq!(alerts(&server, firing), []);
}

#[test]
fn the_end_of_an_item_is_told_thirty_seven_and_one_day_before() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    let told_at = |days: u64| {
        server.clock.set(EXPIRY - days * DAY_SECONDS);
        check(&server);
        told(&server, AlertKind::Expiry).into_iter().map(|(_, level)| level).collect::<Vec<_>>()
    };
    assert_eq!(told_at(31), [0; 0]);
    assert_eq!(told_at(30), [30]);
    assert_eq!(told_at(8), [30]);
    assert_eq!(told_at(7), [7, 30]);
    assert_eq!(told_at(1), [1, 7, 30]);
    assert_eq!(told_at(0), [1, 7, 30]);
}

#[test]
fn an_old_backup_is_told_until_there_is_another() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    let back_up = || {
        let change = Change::NoteBackup { file: "b".into() };
        server.wait(server.licensing.change(change, "test")).unwrap();
    };
    back_up();
    server.clock.set(START + 7 * DAY_SECONDS);
    check(&server);
    back_up();
    check(&server);
    let pair = |event: &str| (event.to_owned(), 7);
    assert_eq!(told(&server, AlertKind::BackupOld), [pair("fired"), pair("recovered")]);
}

#[test]
fn an_organization_sees_its_own_alerts_alone() {
    let server = TestServer::with_web(|web| web);
    server.import(&license_file("acme", vec![scan_item(100)]), Some(CODE)).unwrap();
    Scanner::new(&server).has_counted(60);
    let list = |organization: &str| -> Value {
        let token = server.token_of(organization, Role::Operator, Some(organization), None);
        let answer = ask(&server, "GET", "/alerts", "", &token);
        let events: Value = ask(&server, "GET", "/alert-events", "", &token).json();
        let alerts: Value = answer.json();
        json!([
            alerts["alerts"].as_array().unwrap().len(),
            events["events"].as_array().unwrap().len()
        ])
    };
    server.import(&license_file("other", vec![item("theirs", 1)]), Some("OTHER")).unwrap();
    assert_eq!(list("acme"), json!([1, 1]));
    assert_eq!(list("other"), json!([0, 0]));
    let alert_id = rows(&server, AlertsQuery::default())[0].alert_id.clone();
    let theirs = server.token_of("b", Role::Operator, Some("other"), None);
    let path = format!("/alerts/{alert_id}/rearm");
    assert_eq!(ask(&server, "POST", &path, "", &theirs).status, 404);
    assert_eq!(ask(&server, "POST", "/alerts/test", "", &theirs).status, 403);
    let ours = server.token_of("a", Role::Operator, Some("acme"), None);
    let mute = format!("/alerts/{alert_id}/mute");
    assert_eq!(ask(&server, "POST", &mute, "{}", &ours).status, 200);
    assert_eq!(ask(&server, "POST", &path, "", &ours).status, 200);
}

#[test]
fn an_old_event_is_forgotten_after_thirteen_months() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    Scanner::new(&server).has_counted(60);
    let count = || server.number("SELECT count(*) FROM alert_event");
    let tidy = |now| while server.wait(server.licensing.store.tidy(now)).unwrap() {};
    tidy(START + 396 * DAY_SECONDS);
    assert_eq!(count(), 1);
    tidy(START + 396 * DAY_SECONDS + 1);
    assert_eq!(count(), 0);
    assert_eq!(server.number("SELECT count(*) FROM authorization_hour"), 0);
}
