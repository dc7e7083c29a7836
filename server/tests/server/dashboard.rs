//! The dashboard without a browser: who gets in, what a form needs, and what a page may not hold.

mod alerts;
mod organizations;

use std::os::unix::fs::PermissionsExt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseFile, LicenseItem};
use seatmeter_protocol::signature::Signed;
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::access::Role;
use seatmeter_server::data_dir::{DRAFT, DataDir};
use seatmeter_server::http::Web;
use seatmeter_server::http::long_work::{Kind, Run};
use seatmeter_server::http::tls::{Tls, TlsFiles};
use seatmeter_server::operator::IssuedFile;
use seatmeter_server::operator::commands::DeviceState;
use seatmeter_server::operator::queries::alerts::{AlertRow, AlertsQuery};
use seatmeter_server::operator::queries::devices::DevicesQuery;
use seatmeter_server::operator::queries::status::StatusQuery;

use crate::access::{PASSWORD, lines, server};
use crate::sessions::{Session, with_user};
use crate::support::*;

/// A form as a page of the dashboard sends it.
fn form(session: &Session, path: &str, fields: &str) -> Request {
    let body = format!("csrf_token={}&{fields}", session.csrf);
    bare_form(session, path, &body).header("origin", "http://localhost")
}

fn bare_form(session: &Session, path: &str, body: &str) -> Request {
    Request::post(path, body.as_bytes())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", &session.cookie)
}

fn page(server: &TestServer, session: &Session, path: &str) -> Answer {
    Request::new("GET", path).header("cookie", &session.cookie).send(server.address)
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

const PAGES: &[&str] = &[
    "/dashboard",
    "/dashboard/items/instances",
    "/dashboard/devices",
    "/dashboard/devices/11111111111111111111111111111111",
    "/dashboard/refusals",
    "/dashboard/alerts",
    "/dashboard/usage",
    "/dashboard/codes",
    "/dashboard/licenses",
    "/dashboard/plan?option=per-server&quota=3",
    "/dashboard/audit",
    "/dashboard/access",
    "/dashboard/server",
];

#[test]
fn a_stranger_sees_the_login_and_comes_back_to_the_page_that_was_asked_for() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    for path in PAGES {
        let answer = Request::new("GET", path).send(server.address);
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").unwrap().starts_with("/dashboard/login"), "{path}");
    }
    let asked = Request::new("GET", "/dashboard/devices?name=a").send(server.address);
    let login = asked.header("location").unwrap();
    assert_eq!(login, "/dashboard/login?next=%2Fdashboard%2Fdevices%3Fname%3Da");
    let shown = text(&Request::new("GET", login).send(server.address));
    assert!(shown.contains("value=\"/dashboard/devices?name=a\""), "{shown}");
    let sent = |password: &str, origin: &str| {
        let body = format!("name=ann&password={password}&next=%2Fdashboard%2Fdevices");
        Request::post("/dashboard/login", body.as_bytes())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", origin)
            .send(server.address)
    };
    let good = sent(&PASSWORD.replace(' ', "+"), "http://localhost");
    assert_eq!((good.status, good.header("location")), (303, Some("/dashboard/devices")));
    let cookie = good.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    let wrong = sent("wrong", "http://localhost");
    assert_eq!(wrong.status, 401);
    assert!(text(&wrong).contains("role=\"alert\"") && wrong.header("set-cookie").is_none());
    assert_eq!(sent(&PASSWORD.replace(' ', "+"), "http://evil.example").status, 403);
}

#[test]
fn every_page_forbids_frames_and_inline_scripts_and_is_not_kept() {
    let server = server();
    with_user(&server, "ann", Role::Admin);
    let session = Session::begin(&server, "ann");
    for path in PAGES.iter().chain(&["/dashboard/login", "/dashboard/items/none"]) {
        let answer = page(&server, &session, path);
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'self'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let html = text(&answer);
        assert!(html.starts_with("<!doctype html>"), "{path}: {html}");
        assert!(!html.contains(" style=") && !html.contains(" onclick="), "{path}");
        assert!(
            !html.contains("http://") && !html.contains("https://"),
            "{path} is from elsewhere"
        );
        let expected = if path.ends_with("none") { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{path}: {html}");
    }
}

#[test]
fn a_form_needs_the_token_of_its_session_and_a_page_of_this_server() {
    let server = server();
    with_user(&server, "ann", Role::Operator);
    let session = Session::begin(&server, "ann");
    let other = Session::begin(&server, "ann");
    let (path, fields) = ("/dashboard/codes/new", "code=NEW&organization=acme");
    let before = lines(&server).len();
    let stolen = format!("csrf_token={}&{fields}", other.csrf);
    for body in [fields, "csrf_token=&code=NEW&organization=acme", &stolen] {
        let refused = bare_form(&session, path, body).header("origin", "http://localhost");
        let refused = refused.send(server.address);
        assert_eq!(refused.status, 403, "{body}");
        assert!(text(&refused).starts_with("<!doctype html>"));
    }
    let elsewhere = form(&session, path, fields).header("origin", "http://evil.example");
    assert_eq!(elsewhere.send(server.address).status, 403);
    let elsewhere = form(&session, path, fields).header("sec-fetch-site", "cross-site");
    assert_eq!(elsewhere.send(server.address).status, 403);
    assert_eq!(lines(&server).len(), before, "nothing was changed");
    assert_eq!(form(&session, path, fields).send(server.address).status, 303);
    let line = lines(&server)[0].clone();
    assert_eq!((&*line.actor, &*line.subject), ("user: ann", "NEW"));
}

#[test]
fn a_form_needs_its_role_and_a_viewer_sees_no_action() {
    let server = server();
    for role in Role::ALL {
        with_user(&server, role.name(), role);
    }
    let viewer = Session::begin(&server, "viewer");
    let operator = Session::begin(&server, "operator");
    let uuid = "1".repeat(32);
    let changes = [
        (format!("/dashboard/devices/{uuid}/rename"), "name=x"),
        (format!("/dashboard/devices/{uuid}/release"), "item_id=instances"),
        (format!("/dashboard/devices/{uuid}/delete"), ""),
        ("/dashboard/alerts/test".into(), ""),
        ("/dashboard/alerts/thresholds".into(), "percents=5"),
        ("/dashboard/alerts/nothing/mute".into(), ""),
        ("/dashboard/alerts/nothing/rearm".into(), ""),
        ("/dashboard/alert-events/nothing/replay".into(), ""),
        ("/dashboard/alert-webhook/enable".into(), ""),
        ("/dashboard/codes/new".into(), "code=X&organization=acme"),
        ("/dashboard/codes/items".into(), "code=OTHER"),
        ("/dashboard/codes/access".into(), "code=OTHER"),
        ("/dashboard/codes/default".into(), "code=OTHER&organization=other"),
        ("/dashboard/codes/delete".into(), "code=OTHER"),
        ("/dashboard/licenses/preview".into(), "text=x"),
        ("/dashboard/licenses/import".into(), "text=x"),
        ("/dashboard/items/instances/revoke".into(), "confirm=instances"),
        ("/dashboard/access/tokens".into(), "role=admin"),
        ("/dashboard/access/users".into(), "name=x&role=admin&password=long+enough+words"),
    ];
    let before = lines(&server).len();
    for (path, fields) in &changes {
        assert_eq!(form(&viewer, path, fields).send(server.address).status, 403, "{path}");
        let of_operator = ["/devices/", "/codes/", "/alerts/", "/alert-"];
        let needs_admin = !of_operator.iter().any(|part| path.contains(part));
        if needs_admin {
            assert_eq!(form(&operator, path, fields).send(server.address).status, 403, "{path}");
        }
    }
    assert_eq!(lines(&server).len(), before, "nothing was changed");
    for path in PAGES {
        let html = text(&page(&server, &viewer, path));
        let actions = html.matches("method=\"post\"").count();
        assert_eq!(actions, 1, "{path} has an action beside the logout: {html}");
    }
}

#[test]
fn names_with_markup_are_shown_as_text() {
    let server = server();
    with_user(&server, "ann", Role::Operator);
    let session = Session::begin(&server, "ann");
    let path = format!("/dashboard/devices/{}/rename", "1".repeat(32));
    let sent = form(&session, &path, "name=%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27");
    assert_eq!(sent.send(server.address).status, 303);
    for path in ["/dashboard/devices", "/dashboard/items/instances", &path[..path.len() - 7]] {
        let html = text(&page(&server, &session, path));
        assert!(!html.contains("<script>alert"), "{path}: {html}");
        assert!(html.contains("&#60;script&#62;alert"), "{path}: {html}");
    }
    let html =
        text(&page(&server, &session, "/dashboard/devices?name=%22%3E%3Csvg%20onload%3D1%3E"));
    assert!(!html.contains("<svg onload"), "{html}");
}

/// Let time bring the items near their end, so that alerts about both organizations fire.
fn with_alerts(server: &TestServer, subject: &str) -> Vec<AlertRow> {
    server.clock.set(EXPIRY - 5 * DAY_SECONDS);
    server.wait(seatmeter_server::http::alert_watch::check(&server.web)).unwrap();
    let found = server.wait(server.licensing.ask(AlertsQuery::default(), None)).unwrap();
    assert!(found.alerts.iter().any(|alert| alert.subject == subject), "{found:?}");
    found.alerts
}

#[test]
fn a_logout_ends_the_session_and_a_login_ends_a_planted_one() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let planted = Session::begin(&server, "ann");
    let body = format!("name=ann&password={}", PASSWORD.replace(' ', "+"));
    let login = bare_form(&planted, "/dashboard/login", &body).send(server.address);
    assert_eq!(login.status, 303);
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_ne!(cookie, planted.cookie, "a login has a new id");
    assert_eq!(page(&server, &planted, "/dashboard").status, 303, "the planted session has ended");
    let session = Session::begin(&server, "ann");
    let answer = form(&session, "/dashboard/logout", "").send(server.address);
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(page(&server, &session, "/dashboard").status, 303);
}

#[test]
fn texts_are_in_the_language_of_the_browser_or_the_chosen_one() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let session = Session::begin(&server, "ann");
    let german = Request::new("GET", "/dashboard")
        .header("cookie", &session.cookie)
        .header("accept-language", "de-DE,de;q=0.9")
        .send(server.address);
    assert!(text(&german).contains("<html lang=\"de\">"));
    let chosen = Request::new("GET", "/dashboard/language/de?next=%2F%2Fevil.example")
        .header("cookie", &session.cookie)
        .send(server.address);
    assert_eq!((chosen.status, chosen.header("location")), (303, Some("/dashboard")));
    assert!(chosen.header("set-cookie").unwrap().starts_with("seatmeter_language=de"));
}

#[test]
fn a_long_page_is_compressed_and_its_assets_are_kept_for_a_year() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let session = Session::begin(&server, "ann");
    let answer = Request::new("GET", "/dashboard/items/instances")
        .header("cookie", &session.cookie)
        .header("accept-encoding", "br, gzip;q=0.8")
        .send(server.address);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let html = text(&page(&server, &session, "/dashboard"));
    let style = html.split('"').find(|part| part.ends_with("-style.css")).unwrap();
    let asset = Request::new("GET", style).send(server.address);
    assert_eq!(
        (asset.status, asset.header("content-type")),
        (200, Some("text/css; charset=utf-8"))
    );
    assert!(asset.header("cache-control").unwrap().contains("immutable"));
    let old = Request::new("GET", "/dashboard/assets/000000000000-style.css").send(server.address);
    assert_eq!(old.status, 404);
}

#[test]
fn long_work_shows_how_far_it_is_and_then_what_it_has_found() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        TestServer::with_web(|web| Web { backups: Some(DataDir::new(folder.path())), ..web });
    with_user(&server, "ann", Role::Admin);
    let session = Session::begin(&server, "ann");
    let shown = || text(&page(&server, &session, "/dashboard/server"));
    let refreshes = |html: &str| html.contains("every 2s") && html.contains("http-equiv=\"refresh");
    assert!(!refreshes(&shown()), "nothing runs");
    let work = &server.web.long_work;
    let status = server.wait(server.licensing.ask(StatusQuery::default(), None)).unwrap();
    let half = usize::try_from(status.server.database_bytes.unwrap() / 2).unwrap();
    let file = folder.path().join("a.backup");
    std::fs::write(folder.path().join(format!("a.backup{DRAFT}1")), vec![0; half]).unwrap();
    let backup = work.begin(Kind::Backup, Run { file: Some(file), ..Run::at(START) }).unwrap();
    let html = shown();
    assert!(refreshes(&html) && html.contains("<progress"), "{html}");
    assert!((40..=60).any(|percent| html.contains(&format!(" value=\"{percent}\""))), "{html}");
    let second = form(&session, "/dashboard/server/backup", "").send(server.address);
    assert_eq!(second.status, 409, "{}", text(&second));
    backup.end(Ok(Vec::new()));
    let html = shown();
    assert!(!refreshes(&html) && html.contains("The backup is made."), "{html}");
    let check = work.begin(Kind::Check, Run::at(START)).unwrap();
    assert!(refreshes(&shown()));
    check.end(Ok(vec!["the seats of item <b> are not those of its rows".into()]));
    let html = shown();
    assert!(html.contains("the seats of item &#60;b&#62;"), "{html}");
    assert!(!html.contains("The data is whole"), "{html}");
}

#[test]
fn an_import_that_takes_long_shows_that_it_runs_and_how_it_has_ended() {
    let first = LicenseItem::new("first", ChargeWay::Server, 1, START, EXPIRY);
    let server = TestServer::with_items(vec![first.clone()]);
    with_user(&server, "ann", Role::Admin);
    let session = Session::begin(&server, "ann");
    let shown = || text(&page(&server, &session, "/dashboard/licenses"));
    let refreshes = |html: &str| html.contains("every 2s") && html.contains("<progress");
    let work = &server.web.long_work;
    let import = work.begin(Kind::Import, Run::at(START)).unwrap();
    assert!(refreshes(&shown()), "{}", shown());
    let second = LicenseItem::new("second", ChargeWay::Server, 1, START, EXPIRY);
    let file = license_file("acme", vec![first, second]);
    let file = LicenseFile { issued_at: file.issued_at + 1, ..file };
    let envelope = Signed::seal(&file, &vendor()).unwrap();
    let issued = IssuedFile { root_key: vendor().public().clone(), license_file: envelope };
    let issued = serde_json::to_string(&issued).unwrap();
    let body = format!("text={}", utf8_percent_encode(&issued, NON_ALPHANUMERIC));
    let second = form(&session, "/dashboard/licenses/import", &body).send(server.address);
    assert_eq!(second.status, 409, "{}", text(&second));
    assert!(text(&second).contains("an import has been running since"), "{}", text(&second));
    import.end(Err("the disk is full".to_owned()));
    let html = shown();
    assert!(!refreshes(&html) && html.contains("the disk is full"), "{html}");
    // One of another organization is nobody's business; a quick one is told by its own page.
    let of_acme = Run { owner: Some("acme".to_owned()), ..Run::at(START) };
    work.begin(Kind::Import, of_acme.clone()).unwrap().end(Ok(Vec::new()));
    assert!(shown().contains("The license file was imported."), "{}", shown());
    work.begin(Kind::Import, of_acme).unwrap().end(Ok(vec!["the quota is low".to_owned()]));
    let html = shown();
    let both = ["The license file was imported.", "the quota is low"];
    assert!(both.iter().all(|sentence| html.contains(sentence)), "{html}");
    let quick = form(&session, "/dashboard/licenses/import", &body).send(server.address);
    assert!([200, 303].contains(&quick.status), "{}", text(&quick));
    assert!(shown().contains("second"), "{}", shown());
}

#[test]
fn what_is_set_aside_is_on_the_page_of_a_strict_item_and_the_clock_on_that_of_a_device() {
    let item = LicenseItem::new("scans", ChargeWay::BarcodeScan, 1_000, START, EXPIRY);
    let server = TestServer::with_items(vec![LicenseItem { strict: true, ..item }]);
    with_user(&server, "ann", Role::Viewer);
    let session = Session::begin(&server, "ann");
    let uuid = "1".repeat(32);
    let license = server.authorize(&request(&uuid, 1)).unwrap();
    let totals = vec![scans(slot_of(START) + 40, 4, 3)];
    server.report(&report(&uuid, vec![segment(&id(), &license.license_id, totals)]));
    let expected = format!("{} set aside for devices", license.allowances[0].allowed - 3);
    for path in ["/dashboard", "/dashboard/items/scans"] {
        let html = text(&page(&server, &session, path));
        assert!(html.contains(&expected), "{expected}: {html}");
    }
    let html = text(&page(&server, &session, &format!("/dashboard/devices/{uuid}")));
    assert!(html.contains("ahead by at least 120"), "{html}");
}

#[test]
fn the_end_of_the_certificate_is_on_the_page_of_the_server_and_in_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2035, 1, 1);
    std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let tls = Tls::load(TlsFiles { certificate, key, admin_client_ca: None }).unwrap();
    for tls in [Some(tls), None] {
        let is_there = tls.is_some();
        let server = TestServer::with_web(|web| Web { tls, ..web });
        with_user(&server, "ann", Role::Viewer);
        let session = Session::begin(&server, "ann");
        let html = text(&page(&server, &session, "/dashboard/server"));
        assert_eq!(html.contains("ends 2035-01-01T00:00:00Z, in "), is_there, "{html}");
        let status = page(&server, &session, "/admin/v1/status").json::<serde_json::Value>();
        let ends_at = status["server"]["certificate_ends_at"].as_u64();
        assert_eq!(ends_at, is_there.then_some(2_051_222_400));
    }
}

#[test]
fn devices_with_a_part_of_a_name_are_found_in_parts_whatever_else_is_asked() {
    let server = TestServer::with_items(vec![item("instances", 64)]);
    let uuids: Vec<String> = (10..50).map(|number| number.to_string().repeat(16)).collect();
    for uuid in &uuids {
        server.authorize(&request(uuid, 1)).unwrap();
        let name = if uuid < &"30".repeat(16) { "Till \u{c4}" } else { "kiosk" };
        let renamed = server.licensing.rename_device(uuid.clone(), name.into(), "test");
        server.wait(renamed).unwrap();
    }
    let ask = |question: DevicesQuery| -> Vec<String> {
        let found = server.wait(server.licensing.ask(question, None)).unwrap();
        found.into_iter().map(|row| row.device_uuid).collect()
    };
    let named = DevicesQuery { name: Some("ILL \u{e4}".into()), ..DevicesQuery::default() };
    assert_eq!(ask(named.clone()), uuids[..20]);
    let part = |after: &str| DevicesQuery {
        limit: Some(7),
        after_item: Some("instances".into()),
        after_device: Some(after.into()),
        ..named.clone()
    };
    assert_eq!(ask(part(&uuids[4])), uuids[5..12]);
    assert_eq!(ask(part(&uuids[17])), uuids[18..20]);
    let ended = DevicesQuery { state: Some(DeviceState::Ended), limit: Some(3), ..named.clone() };
    assert!(ask(ended).is_empty(), "all of them run");
    let one = DevicesQuery { uuid: Some("15".into()), ..named };
    assert_eq!(ask(one), ["15".repeat(16)]);
    // A database has a lower case of its own, and signs that stand for any character.
    for (uuid, name) in uuids.iter().zip(["\u{130}STANBUL", "\u{212a}ASSE 100%", "a_b!c", "axb"]) {
        let renamed = server.licensing.rename_device(uuid.clone(), name.into(), "test");
        server.wait(renamed).unwrap();
    }
    for (asked, expected) in [
        ("stanbul", &uuids[0]),
        ("i\u{307}st", &uuids[0]),
        ("\u{130}ST", &uuids[0]),
        ("kasse", &uuids[1]),
        ("\u{212a}asse", &uuids[1]),
        ("0%", &uuids[1]),
        ("_B!", &uuids[2]),
        ("x", &uuids[3]),
    ] {
        let named = DevicesQuery { name: Some(asked.into()), ..DevicesQuery::default() };
        assert_eq!(ask(named), [expected.as_str()], "{asked}");
    }
}
