//! Refusals: what is kept of them, within which bounds, and what an operator reads.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::*;
use seatmeter_server::access::Role;
use seatmeter_server::operator::Access;
use seatmeter_server::operator::commands::{Change, DeviceState};
use seatmeter_server::operator::queries::devices::DevicesQuery;
use seatmeter_server::operator::queries::domains::DomainsQuery;
use seatmeter_server::operator::queries::explain::ExplainQuery;
use seatmeter_server::operator::queries::holders::HoldersQuery;
use seatmeter_server::operator::queries::refusals::{Refusals, RefusalsQuery};
use seatmeter_server::operator::queries::status::StatusQuery;
use seatmeter_server::policy::Claim;
use seatmeter_server::store::{Authorization, Location};

use super::{ask, code_of, server_with, try_ask};
use crate::store;
use crate::support::*;

const HOUR: u64 = 3_600;

fn servers(quota: u64) -> LicenseItem {
    LicenseItem::new("servers", ChargeWay::Server, quota, START, EXPIRY)
}

fn asked(item_id: &str, device: &str, name: &str) -> AuthorizationRequest {
    let mut asked = AuthorizationRequest { handshake_code: code_of(item_id), ..request(device, 1) };
    asked.device.friendly_name = name.to_owned();
    asked
}

fn refusals(server: &TestServer, query: RefusalsQuery) -> Refusals {
    ask(server, query)
}

#[test]
fn a_refused_device_is_found_with_the_sentence_and_the_numbers_that_it_was_told() {
    let server = server_with(vec![servers(1)]);
    let (holder, refused) = (id(), id());
    server.authorize(&asked("servers", &holder, "holder")).unwrap();
    server.clock.set(START + 120);
    for _ in 0..3 {
        server.refusal(&asked("servers", &refused, "till 300"));
    }
    server.clock.set(START + 2 * HOUR);
    server.refusal(&asked("servers", &refused, "till 300"));
    let found = refusals(&server, RefusalsQuery::default());
    assert_eq!((found.refused, found.rows.len(), found.by_number.len()), (4, 2, 1));
    let [newest, first] = found.rows.as_slice() else { panic!("{found:?}") };
    let hours: Vec<_> = found.by_hour.iter().map(|sum| (sum.hour_at, sum.refused)).collect();
    assert_eq!(hours, [(first.hour_at, 3), (newest.hour_at, 1)], "the oldest first");
    assert!(newest.hour_at > first.hour_at);
    assert_eq!((first.refused, first.code, first.item_id.as_str()), (3, -20120, "servers"));
    assert_eq!((first.first.at, first.last.at), (START + 120, START + 120));
    let numbers = first.last.numbers.as_ref().unwrap();
    assert_eq!((numbers.quota, numbers.used, numbers.holders[0].name.as_str()), (1, 1, "holder"));
    assert!(first.last.detail.contains("servers"), "{first:?}");
    assert_eq!(first.handshake_code, code_of("servers"));
    let since = seatmeter_server::utc::text(START + HOUR);
    let later = RefusalsQuery { since: Some(since.clone()), ..RefusalsQuery::default() };
    let later = refusals(&server, later);
    assert_eq!((later.refused, later.by_hour.len(), later.by_hour[0].refused), (1, 1, 1));
    let earlier = RefusalsQuery { until: Some(since), ..RefusalsQuery::default() };
    assert_eq!(refusals(&server, earlier).refused, 3);
    for device in [refused.as_str(), &refused[..8]] {
        let query = RefusalsQuery { device: Some(device.into()), ..RefusalsQuery::default() };
        if device.len() == 32 {
            assert_eq!(refusals(&server, query).refused, 4);
        }
    }
    let other = RefusalsQuery { number: Some(-20111), ..RefusalsQuery::default() };
    assert_eq!(refusals(&server, other).refused, 0);
}

#[test]
fn a_wrong_password_and_an_unknown_code_leave_a_refusal_and_a_check_leaves_none() {
    let server = server_with(vec![servers(4)]);
    let access = Access { session_password: Some("sesame".into()), ..Access::default() };
    server.wait(server.licensing.set_access(code_of("servers"), access, "test")).unwrap();
    let device = id();
    server.refusal(&asked("servers", &device, "till"));
    server.refusal(&AuthorizationRequest {
        handshake_code: "NO-SUCH-CODE".into(),
        ..asked("servers", &device, "till")
    });
    let check = server.post_as_it_is::<AuthorizationCheck>(
        AUTHORIZATION_CHECKS_PATH,
        &asked("servers", &device, "till"),
    );
    assert!(check.is_err());
    let found = refusals(&server, RefusalsQuery::default());
    let told: Vec<_> = found.rows.iter().map(|row| (row.code, &*row.handshake_code)).collect();
    assert_eq!(found.refused, 2, "{told:?}");
    let code = code_of("servers");
    assert!(told.contains(&(-20102, &code)) && told.contains(&(-20101, "")), "{told:?}");
}

/// An authorization of a device as the store gets it. All devices have one key, which is quicker.
fn authorization(device: &str, now: u64) -> Authorization {
    let asked = store::authorization(device, &id());
    Authorization {
        handshake_code: code_of("servers"),
        claim: Claim { now, ..asked.claim },
        device_key: device_key("one key is enough").public().clone(),
        ..asked
    }
}

fn refuse_all(server: &TestServer, devices: &[String], now: u64) {
    let store = &server.licensing.store;
    for some in devices.chunks(400) {
        let replies: Vec<_> =
            some.iter().map(|device| store.authorize(authorization(device, now))).collect();
        for reply in replies {
            assert!(server.wait(reply).is_err());
        }
    }
}

#[test]
fn only_the_commonest_devices_of_an_hour_keep_their_names_and_no_refusal_is_lost() {
    let server = server_with(vec![servers(1)]);
    let holder = server.licensing.store.authorize(authorization(&id(), START));
    server.wait(holder).unwrap();
    let devices: Vec<String> = (0..1_100).map(|number| format!("{number:032x}")).collect();
    refuse_all(&server, &devices, START + 60);
    // The last hundred come back, and are now the commonest.
    refuse_all(&server, &devices[1_000..], START + 120);
    let query = RefusalsQuery { limit: Some(10_000), ..RefusalsQuery::default() };
    let check = |found: Refusals| {
        assert_eq!(found.refused, 1_200);
        let named = found.rows.iter().filter(|row| !row.device_uuid.is_empty());
        let named: Vec<&str> = named.map(|row| row.device_uuid.as_str()).collect();
        assert_eq!(named.len(), 1_000);
        assert!(devices[1_000..].iter().all(|device| named.contains(&device.as_str())));
        let others: u64 =
            found.rows.iter().filter(|row| row.device_uuid.is_empty()).map(|row| row.refused).sum();
        assert_eq!(others, 100);
    };
    check(refusals(&server, query.clone()));
    // The next hour closes the one before: the rows themselves become fewer, the answer stays.
    refuse_all(&server, &devices[..1], START + HOUR);
    let of_hour = format!("SELECT count(*) FROM refusal WHERE hour = {}", START / HOUR);
    assert_eq!(server.number(&of_hour), 1_001);
    let until = Some(seatmeter_server::utc::text(START + HOUR));
    check(refusals(&server, RefusalsQuery { until, ..query.clone() }));
    let pages = RefusalsQuery { limit: Some(500), ..RefusalsQuery::default() };
    let (mut rows, mut after) = (0, None);
    loop {
        let part = refusals(&server, RefusalsQuery { after, ..pages.clone() });
        rows += part.rows.len();
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(rows, 1_002);
    // After 13 months they are deleted, and not before.
    let later = START + 394 * 86_400;
    server.wait(server.licensing.store.tidy(later)).unwrap();
    assert_eq!(server.number("SELECT count(*) FROM refusal"), 1_002);
    while server.wait(server.licensing.store.tidy(START + 400 * 86_400)).unwrap() {}
    assert_eq!(server.number("SELECT count(*) FROM refusal"), 0);
}

#[test]
fn holders_are_named_with_their_seats_and_those_refused_in_this_slot() {
    let server = server_with(vec![servers(2)]);
    let devices = [id(), id(), id()];
    server.authorize(&asked("servers", &devices[0], "north")).unwrap();
    server.clock.set(START + 100);
    server.authorize(&asked("servers", &devices[1], "south")).unwrap();
    server.refusal(&asked("servers", &devices[2], "west"));
    let found = ask(&server, HoldersQuery::default());
    let mut names: Vec<&str> = found.holders.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["north", "south"]);
    let south = found.holders.iter().find(|row| row.name == "south").unwrap();
    assert_eq!((south.seats, south.since), (1, Some(START + 100)));
    assert_eq!(south.until, START + 100 + 86_400);
    assert_eq!(south.handshake_code, code_of("servers"));
    assert_eq!((found.refused.len(), found.refused[0].code), (1, -20120));
    server.clock.set(START + 400);
    assert!(ask(&server, HoldersQuery::default()).refused.is_empty());
    // A renewal does not begin anew.
    server.authorize(&asked("servers", &devices[1], "south")).unwrap();
    let part = ask(&server, HoldersQuery { limit: Some(1), ..HoldersQuery::default() });
    let rest = ask(&server, HoldersQuery { after: part.next.clone(), ..HoldersQuery::default() });
    assert_eq!((part.holders.len(), rest.holders.len(), rest.next.is_none()), (1, 1, true));
    let all = part.holders.iter().chain(&rest.holders);
    let south = all.clone().find(|row| row.name == "south").unwrap();
    assert_eq!((south.since, south.until), (Some(START + 100), START + 400 + 86_400));
}

#[test]
fn an_explanation_says_what_a_device_holds_and_what_it_would_be_told_now() {
    let server = server_with(vec![servers(1)]);
    let (holder, refused) = (id(), id());
    server.authorize(&asked("servers", &holder, "north")).unwrap();
    server.refusal(&asked("servers", &refused, "west"));
    let explain = |device: &str| {
        let mut found = ask(&server, ExplainQuery { device: device.to_owned() });
        assert_eq!(found.devices.len(), 1, "{found:?}");
        found.devices.remove(0)
    };
    let north = explain("north");
    assert_eq!(north.device_uuid, holder);
    assert_eq!((north.licenses.len(), north.licenses[0].holds_seats), (1, 1));
    assert!(north.last_told.contains("granted"), "{}", north.last_told);
    assert!(north.now[0].is_granted, "{north:?}");
    let west = explain(&refused);
    assert!(west.last_told.contains("-20120"), "{}", west.last_told);
    assert_eq!(west.now.len(), 1, "{west:?}");
    assert!(!west.now[0].is_granted && west.now[0].code == Some(-20120), "{west:?}");
    let release = Change::ReleaseDevice { item_id: "servers".into(), device_uuid: holder.clone() };
    server.wait(server.licensing.change(release, "test")).unwrap();
    assert!(explain(&refused).now[0].is_granted);
    assert!(!explain(&holder[..10]).licenses[0].is_running);
    let none = try_ask(&server, ExplainQuery { device: "nobody".into() }, None).unwrap_err();
    assert!(none.to_string().contains("\"nobody\""), "{none}");
    // Nothing was changed by asking.
    assert_eq!(server.number("SELECT count(*) FROM local_license WHERE device_uuid <> ''"), 1);
}

#[test]
fn devices_are_found_by_name_uuid_code_and_state() {
    let server =
        server_with(vec![servers(9), LicenseItem { item_id: "more".into(), ..servers(9) }]);
    let devices = [id(), id(), id()];
    server.authorize(&asked("servers", &devices[0], "North till")).unwrap();
    let license = server.authorize(&asked("more", &devices[1], "south till")).unwrap();
    server.clock.set(START + 2 * 86_400);
    server.authorize(&asked("servers", &devices[2], "office")).unwrap();
    let found = |query: DevicesQuery| -> Vec<String> {
        let mut found: Vec<_> =
            ask(&server, query).into_iter().map(|row| row.device_uuid).collect();
        found.sort();
        found
    };
    let sorted = |uuids: &[&String]| {
        let mut all: Vec<String> = uuids.iter().map(|uuid| (*uuid).clone()).collect();
        all.sort();
        all
    };
    let query = DevicesQuery::default;
    assert_eq!(found(query()), sorted(&[&devices[0], &devices[1], &devices[2]]));
    let name = Some("TILL".to_owned());
    assert_eq!(found(DevicesQuery { name, ..query() }), sorted(&[&devices[0], &devices[1]]));
    let uuid = Some(devices[2][..12].to_owned());
    assert_eq!(found(DevicesQuery { uuid, ..query() }), sorted(&[&devices[2]]));
    let code = Some(code_of("more"));
    assert_eq!(found(DevicesQuery { code, ..query() }), sorted(&[&devices[1]]));
    let state = Some(DeviceState::Running);
    assert_eq!(found(DevicesQuery { state, ..query() }), sorted(&[&devices[2]]));
    let offline_since = Some(seatmeter_server::utc::text(START + 86_400));
    let offline = found(DevicesQuery { offline_since, ..query() });
    assert_eq!(offline, sorted(&[&devices[0], &devices[1]]));
    let totals = vec![scans(seatmeter_protocol::slot::slot_of(START), 4, 1)];
    server.report(&report(&devices[1], vec![segment(&id(), &license.license_id, totals)]));
    let never = found(DevicesQuery { never_reported: true, ..query() });
    assert_eq!(never, sorted(&[&devices[0], &devices[2]]));
    let unknown = DevicesQuery { item_id: Some("nothing".into()), ..query() };
    assert!(try_ask(&server, unknown, None).is_err());
}

#[test]
fn the_hosts_of_a_domain_are_listed_and_those_that_were_refused() {
    let item = LicenseItem {
        deployment_types: vec![DeploymentType::Browser],
        domains: vec!["company.com".into()],
        ..LicenseItem::new("site", ChargeWay::Domain, 0, START, EXPIRY)
    };
    let server = server_with(vec![item]);
    let status_of = |host: &str| {
        let asked = AuthorizationRequest {
            deployment_type: DeploymentType::Browser,
            ..asked("site", &id(), "browser")
        };
        let body = serde_json::to_vec(&asked).unwrap();
        let posted = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
        posted.header("origin", &format!("https://{host}")).send(server.address).status
    };
    for host in ["a.company.com", "b.company.com", "a.company.com"] {
        assert_eq!(status_of(host), 200, "{host}");
    }
    assert_eq!(status_of("a.elsewhere.com"), 403);
    let found = ask(&server, DomainsQuery::default());
    assert_eq!(found.explained, None);
    let hosts: Vec<_> =
        found.hosts.iter().map(|row| (&*row.domain, &*row.host, row.devices)).collect();
    assert_eq!(hosts, [("company.com", "a.company.com", 2), ("company.com", "b.company.com", 1)]);
    assert_eq!(found.refused.len(), 1, "{found:?}");
    assert!(found.refused[0].host.contains("elsewhere"), "{found:?}");
    let explained = |host: &str| {
        let query = DomainsQuery { item: Some("site".into()), host: Some(host.into()) };
        try_ask(&server, query, None).map(|found| found.explained.unwrap())
    };
    let good = explained("https://Shop.Company.com/x").unwrap();
    assert_eq!((&*good.host, &*good.counts_as), ("shop.company.com", "company.com"));
    assert!(good.items[0].is_allowed && good.items[0].detail.contains("site"), "{good:?}");
    let bad = explained("elsewhere.com").unwrap();
    assert!(!bad.items[0].is_allowed, "{bad:?}");
    assert!(bad.items[0].detail.contains("counts as elsewhere.com"), "{bad:?}");
    let none = explained("a b").unwrap_err().to_string();
    assert!(none.contains("\"a b\" is not a host"), "{none}");
}

#[test]
fn a_device_whose_clock_is_ahead_is_told_by_the_slots_that_it_has_counted_in() {
    use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of};
    let server =
        server_with(vec![LicenseItem::new("scans", ChargeWay::BarcodeScan, 1_000, START, EXPIRY)]);
    let ahead = |device: &str| {
        ask(&server, ExplainQuery { device: device.into() }).devices[0].clock_ahead_seconds
    };
    let count = |slot: u32| {
        let device = id();
        let license = server.authorize(&asked("scans", &device, "till")).unwrap();
        assert_eq!(ahead(&device), None, "it has counted nothing");
        let totals = vec![scans(slot, 4, 1)];
        server.report(&report(&device, vec![segment(&id(), &license.license_id, totals)]));
        device
    };
    let (right, fast) = (count(slot_of(START)), count(slot_of(START) + 100));
    assert_eq!(ahead(&right), Some(0));
    let most = 100 * SLOT_SECONDS;
    let found = ahead(&fast).unwrap();
    assert!((most - SLOT_SECONDS..=most).contains(&found), "{found}");
}

#[test]
fn the_status_of_a_strict_item_says_what_is_set_aside_beside_what_is_used() {
    let item = LicenseItem {
        strict: true,
        ..LicenseItem::new("scans", ChargeWay::BarcodeScan, 1_000, START, EXPIRY)
    };
    let loose = LicenseItem::new("loose", ChargeWay::BarcodeScan, 1_000, START, EXPIRY);
    let server = server_with(vec![item, loose]);
    let meter = |item_id: &str| {
        let query = StatusQuery { item: Some(item_id.into()), ..StatusQuery::default() };
        let meter = ask(&server, query).items[0].meters[0].clone();
        (meter.used, meter.set_aside)
    };
    assert_eq!((meter("scans"), meter("loose")), ((0, Some(0)), (0, None)));
    let device = id();
    let license = server.authorize(&asked("scans", &device, "till")).unwrap();
    let allowed = license.allowances[0].allowed;
    assert!(allowed > 3, "{license:?}");
    assert_eq!(meter("scans"), (0, Some(allowed)));
    let totals = vec![scans(seatmeter_protocol::slot::slot_of(START), 4, 3)];
    server.report(&report(&device, vec![segment(&id(), &license.license_id, totals)]));
    assert_eq!(meter("scans"), (3, Some(allowed - 3)));
}

#[test]
fn a_bound_caller_asks_only_about_its_own_organization() {
    let server =
        server_with(vec![servers(1), LicenseItem { item_id: "more".into(), ..servers(1) }]);
    let (ours, theirs) = (id(), id());
    server.authorize(&asked("servers", &ours, "ours")).unwrap();
    server.refusal(&asked("servers", &id(), "ours too"));
    server.authorize(&asked("more", &theirs, "theirs")).unwrap();
    server.refusal(&asked("more", &id(), "theirs too"));
    let token = server.token_of("bound", Role::Viewer, Some("org-servers"), None);
    let get = |path: &str| {
        Request::new("GET", &format!("/admin/v1{path}"))
            .header("Authorization", &format!("Bearer {token}"))
            .send(server.address)
    };
    for path in ["/status", "/holders", "/refusals", "/devices", "/domains", "/usage"] {
        let answer = get(path);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{path}: {text}");
        assert!(!text.contains("more") && !text.contains("theirs"), "{path}: {text}");
    }
    assert!(String::from_utf8_lossy(&get("/refusals").body).contains("\"refused\":1"));
    for path in [
        "/status?item=more",
        "/holders?item=more",
        "/refusals?item=more",
        "/refusals?code=CODE-more",
        "/items/more/day",
        "/items/more/year",
        &format!("/devices/{theirs}/explanation"),
        "/devices/theirs/explanation",
    ] {
        let answer = get(path);
        assert_eq!(answer.status, 404, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn each_question_is_answered_over_http_as_json_and_as_csv() {
    let server = server_with(vec![servers(1)]);
    let device = id();
    server.authorize(&asked("servers", &device, "north")).unwrap();
    server.refusal(&asked("servers", &id(), "=west"));
    for (path, column) in [
        ("/status", "item_id"),
        ("/holders", "device_uuid"),
        ("/refusals", "last_detail"),
        ("/usage?by=item,day", "total"),
        ("/items/servers/day", "excess"),
        ("/items/servers/year?year=2027", "peak"),
        ("/devices?name=north", "device_uuid"),
        (&format!("/devices/{device}/explanation"), "valid_until"),
        ("/domains", "host"),
        ("/plan?option=per-concurrent-device&quota=1", "smallest_quota"),
    ] {
        let get =
            |path: &str| Request::json("GET", &format!("/admin/v1{path}"), "").send(server.address);
        let answer = get(path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let _: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let separator = if path.contains('?') { '&' } else { '?' };
        let csv = get(&format!("{path}{separator}format=csv"));
        assert_eq!(
            (csv.status, csv.header("content-type")),
            (200, Some("text/csv; charset=utf-8"))
        );
        let heading = String::from_utf8(csv.body).unwrap();
        assert!(heading.lines().next().unwrap().contains(column), "{path}: {heading}");
    }
    let status: serde_json::Value =
        Request::json("GET", "/admin/v1/status", "").send(server.address).json();
    assert_eq!(status["server"]["ready"], true);
    assert_eq!(status["server"]["queue_length"], 0);
    assert_eq!(status["items"][0]["state"], "used_up");
    let wrong = Request::json("GET", "/admin/v1/status?itme=a", "").send(server.address);
    assert_eq!(wrong.status, 400);
}

#[test]
fn a_question_is_answered_while_the_writer_waits() {
    let server = server_with(vec![servers(1)]);
    let Location::File(path) = &server.location else { return };
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // A change waits for the lock; it would hold up whatever comes after it.
    let waits = server.licensing.store.serving(START);
    let found = ask(&server, StatusQuery::default());
    assert_eq!(found.items.len(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    server.wait(waits).unwrap();
}
