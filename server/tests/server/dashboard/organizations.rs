//! A user who is bound to one organization, from the side of the other one.

use std::collections::BTreeSet;

use seatmeter_protocol::message::AuthorizationRequest;

use super::*;
use crate::sessions::with_bound_user;

/// A server with two organizations that both have everything, and a page of each of the other's
/// things: names that are found wherever they show up.
fn with_rival() -> TestServer {
    let server = TestServer::with_web(|web| web);
    let items = |prefix: &str| {
        let named = |name: &str| format!("{prefix}-{name}");
        let new =
            |name: &str, way, quota| LicenseItem::new(&named(name), way, quota, START, EXPIRY);
        vec![
            new("scans", ChargeWay::BarcodeScan, 100),
            new("floor", ChargeWay::ConcurrentDevice, 4),
            LicenseItem {
                domains: vec![format!("{prefix}.com")],
                ..new("site", ChargeWay::Domain, 0)
            },
        ]
    };
    for (organization, code, uuid) in
        [("acme", CODE, "1".repeat(32)), ("rival", "RIVAL-CODE", "beef".repeat(8))]
    {
        server.import(&license_file(organization, items(organization)), Some(code)).unwrap();
        let mut asked = AuthorizationRequest { handshake_code: code.into(), ..request(&uuid, 1) };
        asked.device.friendly_name = format!("{organization} till");
        asked.charge_way = Some(ChargeWay::BarcodeScan);
        let license = server.authorize(&asked).unwrap();
        let totals = vec![scans(slot_of(START), 4, 90)];
        server.report(&report(&uuid, vec![segment(&id(), &license.license_id, totals)]));
        asked.charge_way = Some(ChargeWay::Server);
        server.refusal(&asked);
        server.token_of(&format!("{organization}-token"), Role::Viewer, Some(organization), None);
        let percents = &[if organization == "acme" { 15 } else { 25 }];
        let item = Some(format!("{organization}-scans"));
        server.wait(server.licensing.set_thresholds(item, percents, "test")).unwrap();
    }
    with_user(&server, "rival-boss", Role::Admin);
    server
}

/// Return the addresses of a page that lead to the dashboard or the admin API.
fn links(html: &str) -> Vec<String> {
    let addresses = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let own = addresses.filter(|to| to.starts_with("/dashboard") || to.starts_with("/admin/v1"));
    let own = own.filter(|to| !to.contains("/assets/") && !to.contains("/language/"));
    own.map(|to| {
        let to = to.replace("&#38;", "&").replace("&amp;", "&");
        to.split('#').next().unwrap_or_default().to_owned()
    })
    .collect()
}

#[test]
fn a_user_of_one_organization_finds_no_trace_of_another_on_any_page_or_link() {
    const PAGES_MAX: usize = 400;
    let server = with_rival();
    let fired = with_alerts(&server, "rival-scans");
    assert!(fired.iter().any(|alert| alert.subject == "acme-scans"));
    with_bound_user(&server, "ann", Role::Admin, "acme");
    let session = Session::begin(&server, "ann");
    let worked_on = seatmeter_server::utc::text(START)[..10].to_owned();
    let mut waiting: Vec<String> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    waiting.retain(|path| !path.contains("/items/instances"));
    waiting.extend(["scans", "floor", "site"].map(|name| format!("/dashboard/items/acme-{name}")));
    let mut seen = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if seen.len() >= PAGES_MAX || !seen.insert(path.clone()) {
            continue;
        }
        let answer = page(&server, &session, &path);
        let shown = text(&answer);
        assert_eq!(answer.status, 200, "{path}: {shown}");
        let lower = shown.to_lowercase();
        for trace in ["rival", "beefbeef"] {
            assert!(!lower.contains(trace), "{path} shows {trace}: {shown}");
        }
        // A calendar leads to each day of the year: the one with use stands for all.
        let is_wanted = |to: &String| !to.contains("date=") || to.contains(&worked_on);
        if path.starts_with("/dashboard") {
            waiting.extend(links(&shown).into_iter().filter(is_wanted));
        }
    }
    for expected in ["/dashboard/alerts", "/admin/v1/alerts", "/admin/v1/devices?format=csv"] {
        assert!(seen.contains(expected), "{expected} is not in {seen:?}");
    }
    assert!(seen.iter().any(|path| path.contains("/acme-scans/year")), "{seen:?}");
}

#[test]
fn a_page_about_another_organizations_thing_is_that_of_a_thing_that_is_not_there() {
    let server = with_rival();
    let fired = with_alerts(&server, "rival-scans");
    let theirs = fired.iter().find(|alert| alert.subject == "rival-scans").unwrap();
    with_bound_user(&server, "ann", Role::Admin, "acme");
    let session = Session::begin(&server, "ann");
    let (theirs, uuid) = (theirs.alert_id.as_str(), "beef".repeat(8));
    let none = "0".repeat(32);
    for (path, theirs, nothing) in [
        ("/dashboard/items/NAME", "rival-scans", "nothing"),
        ("/dashboard/items/NAME?host=rival.com", "rival-site", "nothing"),
        ("/dashboard/devices/NAME", &*uuid, &*none),
        ("/dashboard/devices/NAME", "rival till", "nothing"),
        ("/dashboard/devices?item_id=NAME", "rival-scans", "nothing"),
        ("/dashboard/refusals?item=NAME", "rival-scans", "nothing"),
        ("/dashboard/refusals?code=NAME", "RIVAL-CODE", "nothing"),
        ("/dashboard/refusals?device=NAME", &*uuid, &*none),
        ("/dashboard/usage?item=NAME", "rival-scans", "nothing"),
        ("/dashboard/usage?code=NAME", "RIVAL-CODE", "nothing"),
        ("/dashboard/codes?code=NAME", "RIVAL-CODE", "nothing"),
        ("/dashboard/plan?option=per-server&quota=3&item=NAME", "rival-scans", "nothing"),
    ] {
        let shown = |name: &str| {
            let encoded = name.replace(' ', "%20");
            let answer = page(&server, &session, &path.replace("NAME", &encoded));
            // The address itself is on the page, for the links to other languages.
            let html = text(&answer).replace(&*encoded, "NAME").replace(name, "NAME");
            (answer.status, html.replace(&*encoded.replace('%', "%25"), "NAME"))
        };
        assert_eq!(shown(theirs), shown(nothing), "{path}");
    }
    for (path, fields) in [
        (format!("/dashboard/alerts/{theirs}/mute"), ""),
        (format!("/dashboard/alerts/{theirs}/rearm"), ""),
        ("/dashboard/alerts/test".into(), ""),
        ("/dashboard/alerts/thresholds".into(), "percents=5"),
        ("/dashboard/alerts/thresholds".into(), "item_id=rival-scans&percents=5"),
        ("/dashboard/alert-webhook/enable".into(), ""),
        ("/dashboard/server/backup".into(), ""),
        ("/dashboard/access/users".into(), "name=x&role=admin&password=long+enough+words"),
        ("/dashboard/access/users/remove".into(), "name=rival-boss"),
        ("/dashboard/access/tokens/revoke".into(), "name=rival-token"),
        ("/dashboard/codes/delete".into(), "code=RIVAL-CODE"),
        (format!("/dashboard/devices/{uuid}/rename"), "name=x"),
        ("/dashboard/items/rival-scans/revoke".into(), "confirm=rival-scans"),
    ] {
        let before = lines(&server).len();
        let status = form(&session, &path, fields).send(server.address).status;
        assert!([403, 404].contains(&status), "{path}: {status}");
        assert_eq!(lines(&server).len(), before, "{path}");
    }
    for path in ["/admin/v1/users", "/admin/v1/epochs", "/metrics"] {
        assert_eq!(page(&server, &session, path).status, 403, "{path}");
    }
    let bound = Some("nothing".to_owned());
    let made =
        server.licensing.make_user("eve".into(), Role::Viewer, bound, PASSWORD.into(), "test");
    let told = server.wait(made).unwrap_err().to_string();
    assert!(told.contains("there is no organization \"nothing\""), "{told}");
    let own = fired.iter().find(|alert| alert.subject == "acme-scans").unwrap();
    let path = format!("/dashboard/alerts/{}/mute", own.alert_id);
    assert_eq!(form(&session, &path, "").send(server.address).status, 303);
}
