//! The admin API and the limits of the client API: who gets in, what the document says, and what
//! races come to.

use std::collections::BTreeSet;
use std::net::TcpListener;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::SigningKey;
use seatmeter_server::access::Role;
use seatmeter_server::http::Web;
use seatmeter_server::http::admin;
use seatmeter_server::http::admin::roles::ROUTES;
use seatmeter_server::http::limit::{Rate, RateLimits};
use seatmeter_server::http::listen::ConnectionLimits;
use seatmeter_server::http::standby::Peer;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::operator::commands::{Listing, View};
use seatmeter_server::store::Location;
use serde_json::Value;

use crate::support::*;

fn server_with(change: impl FnOnce(Web) -> Web) -> TestServer {
    let server = TestServer::with_web(change);
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    server
}

fn admin(server: &TestServer, method: &str, path: &str, body: &str, token: Option<&str>) -> Answer {
    let request = Request::json(method, &format!("/admin/v1{path}"), body);
    let request = match token {
        Some(token) => request.header("authorization", &format!("Bearer {token}")),
        None => request,
    };
    request.send(server.address)
}

#[test]
fn the_admin_api_asks_for_a_token_that_can_be_revoked() {
    let server = server_with(|web| web);
    let refused = admin(&server, "GET", "/items", "", None);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.problem().status, 401);
    let token = server.token("ann", Role::Admin);
    assert_eq!(admin(&server, "GET", "/items", "", Some(&token)).status, 200);
    for wrong in
        ["", "seatmeter_00", &token[..token.len() - 1], &format!("{token}0"), &"x".repeat(9_000)]
    {
        assert_eq!(admin(&server, "GET", "/items", "", Some(wrong)).status, 401);
    }
    let second =
        admin(&server, "POST", "/tokens", r#"{"name":"bob","role":"admin"}"#, Some(&token))
            .json::<Value>();
    let second = second["token"].as_str().unwrap();
    assert_eq!(admin(&server, "DELETE", "/tokens/ann", "", Some(second)).status, 200);
    assert_eq!(admin(&server, "GET", "/items", "", Some(&token)).status, 401, "revoked");
    let listed = admin(&server, "GET", "/tokens", "", Some(second));
    let listed = String::from_utf8(listed.body).unwrap();
    assert!(
        listed.contains("ann") && !listed.contains("argon2") && !listed.contains(second),
        "{listed}"
    );
    if let Location::File(_) = server.location {
        let database = std::fs::read(server.folder.path().join("seatmeter.db-wal")).unwrap();
        assert!(
            !database.windows(second.len()).any(|window| window == second.as_bytes()),
            "only its hash is kept"
        );
    }
}

#[test]
fn a_program_that_names_the_server_with_a_path_is_told_so() {
    let server = server_with(|web| web);
    let problem = Request::json("POST", &format!("/license{AUTHORIZATIONS_PATH}"), "{}")
        .send(server.address)
        .problem();
    assert_eq!(problem.status, 404);
    assert!(
        problem.detail.contains("without a path") && problem.detail.contains("openapi.json"),
        "{problem:?}"
    );
}

#[test]
fn an_access_that_is_misspelt_or_lets_in_everybody_changes_nothing() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    let set =
        |body: &str| admin(&server, "PUT", &format!("/handshake-codes/{CODE}/access"), body, None);
    assert_eq!(
        set(r#"{"validation":{"website_domains":["company.com","*.other.example"]}}"#).status,
        200
    );
    for (body, part) in [
        (r#"{"validations":{"website_domains":["company.com"]}}"#, "validations"),
        (r#"{"website_domains":["company.com"]}"#, "website_domains"),
        (r#"{"validation":{"website_domain":["company.com"]}}"#, "website_domain"),
        (r#"{"validation":{"website_domains":["co.uk"]}}"#, "public suffix"),
        (r#"{"validation":{"website_domains":["a b"]}}"#, "no host name can have"),
        (r#"{"validation":{"process_names":["/usr/bin/till"]}}"#, "is a path"),
    ] {
        let problem = set(body).problem();
        assert!(problem.status == 400 && problem.detail.contains(part), "{body}: {problem:?}");
    }
    let codes = admin(&server, "GET", "/handshake-codes", "", None);
    assert!(String::from_utf8(codes.body).unwrap().contains("company.com"));
}

#[test]
fn a_misspelt_name_in_a_request_of_an_operator_is_refused_with_that_name() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    for (method, path, body, misspelt) in [
        (
            "POST",
            "/handshake-codes",
            r#"{"handshake_code":"X","organization_id":"acme","item":[]}"#,
            "item",
        ),
        (
            "PUT",
            &format!("/handshake-codes/{CODE}/items"),
            r#"{"item_ids":[],"own_ordr":true}"#,
            "own_ordr",
        ),
        ("POST", "/tokens", r#"{"name":"desk","rol":"viewer"}"#, "rol"),
    ] {
        let problem = admin(&server, method, path, body, None).problem();
        let named = problem.detail.contains(&format!("unknown field `{misspelt}`"));
        assert!(problem.status == 400 && named, "{body}: {problem:?}");
    }
}

#[test]
fn without_a_token_this_machine_is_asked_for_by_its_own_name_and_by_no_web_page() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    let ask = || Request::json("POST", "/admin/v1/tokens", r#"{"name":"x y","role":"viewer"}"#);
    let by_name = |host: &str| {
        Request::new("GET", "/admin/v1/items").header("host", host).send(server.address)
    };
    for own in
        ["localhost", "LOCALHOST:48080", "127.0.0.1:48080", "127.1.2.3", "[::1]", "[::1]:48080"]
    {
        assert_eq!(by_name(own).status, 200, "{own}");
    }
    for other in [
        "",
        "evil.example",
        "localhost.evil.example:80",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "a@localhost",
    ] {
        let problem = by_name(other).problem();
        assert_eq!(problem.status, 403, "{other}");
        assert!(problem.detail.contains("seatmeterd token create"), "{}", problem.detail);
    }
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let problem = ask().header(name, value).send(server.address).problem();
        assert_eq!(problem.status, 403, "{name}: {value}");
        assert!(problem.detail.contains("seatmeterd token create"), "{}", problem.detail);
    }
    let absolute = Request::new("GET", "http://evil.example/admin/v1/items").send(server.address);
    assert_eq!(absolute.status, 403, "the name in the address counts, too");
    let typed = Request::new("GET", "/admin/v1/items")
        .header("sec-fetch-site", "none")
        .send(server.address);
    assert_eq!(typed.status, 200, "what a person has typed into a browser");
    let token = server.token("ann", Role::Admin);
    let shown = Request::new("GET", "/admin/v1/items").header("origin", "https://tools.example");
    let shown =
        shown.header("host", "license.example").header("authorization", &format!("Bearer {token}"));
    assert_eq!(shown.send(server.address).status, 200, "a token is good from everywhere");
}

#[test]
fn what_was_changed_stands_in_the_audit_log_with_who_did_it() {
    let server = server_with(|web| web);
    let token = server.token("ann", Role::Admin);
    admin(&server, "POST", "/items/instances/revoke", "", Some(&token));
    admin(&server, "POST", "/items/none/revoke", "", Some(&token));
    let Listing::Audit(rows) =
        server.wait(server.licensing.look(View::Audit { before: None })).unwrap()
    else {
        panic!("another list")
    };
    let lines: Vec<_> = rows.iter().map(|row| (row.actor.as_str(), row.action.as_str())).collect();
    let expected =
        [("token: ann", "revoke item"), ("test", "make token"), ("test", "import license file")];
    assert_eq!(lines, expected, "what failed has no line");
}

#[test]
fn a_long_list_comes_in_parts() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    for digit in ["1", "2", "3"] {
        server.authorize(&request(&digit.repeat(32), 1)).unwrap();
    }
    let uuids = |query: &str| {
        let rows: Value = admin(&server, "GET", &format!("/devices{query}"), "", None).json();
        let rows = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["device_uuid"].as_str().unwrap().to_owned());
        rows.collect::<Vec<_>>()
    };
    let all = uuids("");
    assert_eq!(all, ["1", "2", "3"].map(|digit| digit.repeat(32)));
    assert_eq!(uuids(&format!("?after_item=instances&after_device={}", all[0])), all[1..]);
    assert_eq!(
        uuids(&format!("?item_id=instances&after_item=instances&after_device={}", all[1])),
        all[2..]
    );
    assert_eq!(admin(&server, "GET", "/devices?after_item=instances", "", None).status, 400);
    for (misspelt, named) in
        [("/devices?item=instances", "item"), ("/audit?before=yesterday", "before")]
    {
        let answer = admin(&server, "GET", misspelt, "", None);
        let problem = answer.problem();
        assert_eq!(answer.status, 400);
        assert!(problem.detail.contains(named), "{}", problem.detail);
    }

    server.token("ann", Role::Admin);
    let lines = |query: &str| -> Value {
        admin(&server, "GET", &format!("/audit{query}"), "", None).json()
    };
    let (all, newest) = (lines(""), lines("")[0]["audit_id"].clone());
    assert_eq!(
        lines(&format!("?before={newest}")).as_array().unwrap()[..],
        all.as_array().unwrap()[1..]
    );
}

#[test]
fn two_racing_operators_cannot_both_have_their_way() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    let body = r#"{"handshake_code":"RACE","organization_id":"acme"}"#;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || admin(&server, "POST", "/handshake-codes", body, None).status;
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
    let Listing::Audit(rows) =
        server.wait(server.licensing.look(View::Audit { before: None })).unwrap()
    else {
        panic!("another list")
    };
    assert_eq!(rows.iter().filter(|row| row.subject == "RACE").count(), 1);
}

#[test]
fn the_document_names_exactly_the_routes_that_there_are() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    let served: Value = admin(&server, "GET", "/openapi.json", "", None).json();
    assert_eq!(served, serde_json::to_value(admin::document()).unwrap());
    let mut operations = 0;
    for (path, methods) in served["paths"].as_object().unwrap() {
        let concrete = path.replace(['{', '}'], "");
        let documented: BTreeSet<String> =
            methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let status = Request::json(method, &concrete, "").send(server.address).status;
            assert_eq!(status != 405, documented.contains(method), "{method} {path}: {status}");
        }
        operations += documented.len();
    }
    // The document itself is an operation, too, and is not in it.
    assert_eq!(operations, ROUTES.len() - 1);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/admin");
    let handlers = std::fs::read_dir(folder).unwrap().map(|file| {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        source.matches("#[utoipa::path(").count()
    });
    assert_eq!(handlers.sum::<usize>(), operations, "every handler is routed");
}

#[test]
fn what_cannot_be_understood_is_a_problem_here_too() {
    let server = server_with(|web| Web { open_to_loopback: true, ..web });
    for (method, path, body, status) in [
        ("POST", "/items/%FF/revoke", String::new(), 400),
        ("POST", "/handshake-codes", "{".to_owned(), 400),
        ("POST", "/handshake-codes", " ".repeat(BODY_BYTES_MAX + 1), 413),
        ("POST", "/tokens", r#"{"name":"a\nb","role":"viewer"}"#.to_owned(), 400),
        ("GET", "/nothing", String::new(), 404),
    ] {
        assert_eq!(
            admin(&server, method, path, &body, None).problem().status,
            status,
            "{method} {path}"
        );
    }
    let nul = admin(&server, "POST", "/items/%00/revoke", "", None).problem().status;
    assert!(
        [400, 404].contains(&nul),
        "no database keeps this character, which is no fault of the database: {nul}"
    );
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let slow = Rate { per_second: 0.001, burst: 2.0 };
    let fast = Rate::per_second(1_000);
    let server = server_with(|web| Web { limits: RateLimits::new(slow, fast), ..web });
    let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
    let post = |nonce: &str| {
        Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, nonce).send(server.address)
    };
    assert_eq!([post(&id()).status, post(&id()).status], [200, 200]);
    let nonce = id();
    let refused = post(&nonce);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((900..=1_000).contains(&seconds), "{seconds}");
    refused.verify(&body, &nonce, server_key().public()).unwrap();
    assert_eq!((refused.status, refused.problem().code), (429, ErrorCode::STANDBY_NOT_READY));
    assert_eq!(
        Request::new("GET", "/healthz").send(server.address).status,
        200,
        "health is not limited"
    );

    let server = server_with(|web| Web { limits: RateLimits::new(fast, slow), ..web });
    let ask = |code: &str| {
        let asked = AuthorizationRequest { handshake_code: code.into(), ..request(&id(), 1) };
        server.authorize(&asked).map(|_| ()).map_err(|problem| problem.status)
    };
    assert_eq!([ask(CODE), ask(CODE), ask(CODE)], [Ok(()), Ok(()), Err(429)]);
    assert_eq!(ask("OTHER"), Err(404), "another code is not concerned");
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(
        [ask(&long), ask(&long), ask(&long)],
        [Err(400); 3],
        "what can be no code is not counted"
    );
}

#[test]
fn a_slow_client_is_let_go_and_does_not_starve_the_others() {
    use std::io::{Read, Write};
    let connections = ConnectionLimits {
        count_max: 2,
        head_time_max: Some(std::time::Duration::from_millis(50)),
    };
    let server = server_with(|web| Web { connections, ..web });
    let mut slow: Vec<_> =
        (0..2).map(|_| std::net::TcpStream::connect(server.address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"POST /v1/usage HTTP/1.1\r\n").unwrap();
    }
    assert_eq!(Request::new("GET", "/healthz").send(server.address).status, 200);
    for mut stream in slow {
        let mut rest = Vec::new();
        // Told so, or simply closed: either way it ends.
        let _ = stream.read_to_end(&mut rest);
    }
}

#[test]
fn a_standby_serves_only_while_the_main_server_is_down() {
    let main = server_with(|web| web);
    let url = format!("http://{}", main.address);
    let peer = Peer::new(&url, None).unwrap();
    let standby = server_with(|web| Web { main_server: Some(peer), ..web });
    let problem = standby.authorize(&request(&id(), 1)).unwrap_err();
    assert_eq!((problem.status, problem.code), (503, ErrorCode::STANDBY_NOT_READY));
    let body = serde_json::to_vec(&report(&id(), vec![])).unwrap();
    let answer = Request::post(USAGE_PATH, &body).header(NONCE_HEADER, &id()).send(standby.address);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "a device does not wait for a slot: {seconds}");
    assert!(problem.detail.contains("main license server"), "{}", problem.detail);
    let report = report(&id(), vec![]);
    let problem = standby.post::<UsageAnswer>(USAGE_PATH, &report).unwrap_err();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY);

    // One with data of its own licenses nobody either, and books what it has licensed before.
    let own = TestServer::with_keys(Keyring::new(key(7), vec![key(8)]), |web| Web {
        main_server: Some(Peer::new(&url, None).unwrap()),
        ..web
    });
    let problem = post::<AuthorizationAnswer>(
        own.address,
        key(7).public(),
        AUTHORIZATIONS_PATH,
        &request(&id(), 1),
    );
    assert_eq!(problem.unwrap_err().code, ErrorCode::STANDBY_NOT_READY);
    let problem = post::<UsageAnswer>(own.address, key(7).public(), USAGE_PATH, &report);
    let problem = problem.unwrap_err();
    assert_eq!(
        problem.code,
        ErrorCode::DEVICE_NOT_MATCH,
        "it would book, and knows no such device"
    );
    // After a rotation a copy is still one.
    let copy = TestServer::with_keys(Keyring::new(key(7), vec![server_key()]), |web| Web {
        main_server: Some(Peer::new(&url, None).unwrap()),
        ..web
    });
    let problem =
        post::<UsageAnswer>(copy.address, key(7).public(), USAGE_PATH, &report).unwrap_err();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY);

    // Nobody listens at a port that was just given back.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer::new(&format!("http://{gone}"), None).unwrap();
    let standby = server_with(|web| Web { main_server: Some(peer), ..web });
    assert_eq!(standby.authorize(&request(&id(), 1)).unwrap().seats, 1);
}

#[test]
fn after_a_rotation_old_and_new_key_each_sign_for_those_who_know_them() {
    let (old, new) = (server_key(), key(7));
    let keys = Keyring::new(key(7), vec![server_key()]);
    let server = TestServer::with_keys(keys, |web| web);
    let file = license_file("acme", vec![item("instances", 4)]);
    server.import(&file, Some(CODE)).unwrap();
    let granted = |key| {
        post::<AuthorizationAnswer>(server.address, key, AUTHORIZATIONS_PATH, &request(&id(), 1))
            .unwrap()
    };
    assert_eq!(
        granted(old.public()).local_license.key_id,
        old.public().id(),
        "the file names the old key"
    );
    let held = granted(old.public()).local_license;

    let body = serde_json::to_vec(&request(&id(), 5)).unwrap();
    let refused_for = |known: &str| {
        let nonce = id();
        let request = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce);
        let answer = request.header(KEY_ID_HEADER, known).send(server.address);
        assert_eq!(answer.status, 403);
        [&old, &new].map(|key| answer.verify(&body, &nonce, key.public()).is_ok())
    };
    assert_eq!(refused_for(&old.public().id()), [true, false]);
    assert_eq!(refused_for(&new.public().id()), [false, true]);
    assert_eq!(refused_for("somebody else's"), [false, true]);

    // The vendor issues the file anew for the new key; who holds a license by the old one goes on.
    let anew =
        LicenseFile { server_key: new.public().clone(), issued_at: START + 1, ..file.clone() };
    server.import(&anew, None).unwrap();
    assert_eq!(granted(new.public()).local_license.key_id, new.public().id());
    let asked = AuthorizationRequest { held_license: Some(held), ..request(&id(), 1) };
    post::<AuthorizationAnswer>(server.address, new.public(), AUTHORIZATIONS_PATH, &asked).unwrap();
    let error = |file: &LicenseFile| server.import(file, None).unwrap_err().to_string();
    assert!(error(&anew).contains("already"));
    assert!(error(&file).contains("already"), "the older issue does not come back");
    let without =
        LicenseFile { issued_at: START + 2, items: vec![item("other", 1)], ..anew.clone() };
    assert!(error(&without).contains("which this issue does not have"));
    let renewed = LicenseItem { expires_at: EXPIRY + 1, ..item("instances", 4) };
    let renewed =
        LicenseFile { issued_at: START + 3, items: vec![renewed, item("more", 1)], ..anew };
    server.import(&renewed, None).unwrap();
    let answer = granted(new.public());
    let license: LocalLicense = answer.local_license.open(new.public()).unwrap();
    assert_eq!(license.item_expires_at, EXPIRY + 1, "an issue renews its items");
}

#[test]
fn a_server_without_the_key_that_a_license_file_names_is_not_ready_and_books_nothing() {
    let (old, new) = (server_key(), key(7));
    let rotated = TestServer::with_keys(Keyring::new(key(7), vec![server_key()]), |web| web);
    let file = license_file("acme", vec![item("instances", 4)]);
    rotated.import(&LicenseFile { server_key: new.public().clone(), ..file }, Some(CODE)).unwrap();
    // Another server on the same database, or the same one before it is started again.
    let (location, store) = (rotated.location.clone(), rotated.licensing.store.clone());
    let folder = tempfile::tempdir().unwrap();
    let late =
        TestServer::start(folder, location, store, Keyring::new(server_key(), vec![]), |web| web);
    let asked = request(&id(), 1);
    let ask = |server: &TestServer, key: &SigningKey| {
        post::<AuthorizationAnswer>(server.address, key.public(), AUTHORIZATIONS_PATH, &asked)
    };
    let problem = ask(&late, &old).unwrap_err();
    assert_eq!((problem.status, problem.code), (503, ErrorCode::STANDBY_NOT_READY));
    assert!(problem.detail.contains(&new.public().id()), "{}", problem.detail);
    for table in ["device", "local_license", "device_seats"] {
        assert_eq!(rotated.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(ask(&rotated, &new).unwrap().local_license.key_id, new.public().id());
}
