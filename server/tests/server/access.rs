//! Roles, tokens, people and sessions of the admin API, from the side of those who try to do more
//! than they may.

use seatmeter_protocol::message::AuthorizationRequest;
use seatmeter_server::access::Role;
use seatmeter_server::http::admin::{self, roles::ROUTES};
use seatmeter_server::operator::Access;
use seatmeter_server::operator::access::digest;
use seatmeter_server::operator::commands::{AuditRow, Change, Listing, View};
use seatmeter_server::policy::select::access::Validation;
use serde_json::{Value, json};

use crate::sessions::{Session, with_user};
use crate::support::*;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server that asks everybody for a token or a session, with the organizations `acme` and
/// `other`, and a device of each.
pub(crate) fn server() -> TestServer {
    let server = TestServer::with_web(|web| web);
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    server.import(&license_file("other", vec![item("theirs", 4)]), Some("OTHER")).unwrap();
    server.authorize(&request(&"1".repeat(32), 1)).unwrap();
    let theirs =
        AuthorizationRequest { handshake_code: "OTHER".into(), ..request(&"2".repeat(32), 1) };
    server.authorize(&theirs).unwrap();
    server
}

pub(crate) fn with_token(method: &str, path: &str, body: &str, token: &str) -> Request {
    Request::json(method, &format!("/admin/v1{path}"), body)
        .header("authorization", &format!("Bearer {token}"))
}

pub(crate) fn ask(
    server: &TestServer,
    method: &str,
    path: &str,
    body: &str,
    token: &str,
) -> Answer {
    with_token(method, path, body, token).send(server.address)
}

pub(crate) fn lines(server: &TestServer) -> Vec<AuditRow> {
    let view = View::Audit { before: None };
    let Listing::Audit(lines) = server.wait(server.licensing.look(view)).unwrap() else {
        panic!("another list")
    };
    lines
}

#[test]
fn each_operation_lets_in_its_role_and_those_above_and_nobody_else() {
    let server = server();
    let tokens = Role::ALL.map(|role| (role, server.token(role.name(), role)));
    let document = serde_json::to_value(admin::document()).unwrap();
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete = path.replace(['{', '}'], "");
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let needed = operation["x-required-role"].as_str().unwrap();
            let route = ROUTES
                .iter()
                .find(|route| route.method == method && *path == format!("/admin/v1{}", route.path))
                .unwrap();
            assert_eq!(needed, route.role.map_or("none", Role::name), "{method} {path}");
            let security = operation["security"].as_array().unwrap().len();
            assert_eq!(security, if route.role.is_some() { 2 } else { 0 }, "{method} {path}");
            let nobody = Request::json(&method, &concrete, "").send(server.address).problem();
            let is_told = nobody.kind == "/problems/unauthenticated" && nobody.status == 401;
            assert_eq!(is_told, route.role.is_some(), "{method} {path}: {nobody:?}");
            for (role, token) in &tokens {
                let short = concrete.strip_prefix("/admin/v1").unwrap();
                let answer = ask(&server, &method, short, "", token);
                if route.role.is_none_or(|needed| *role >= needed) {
                    assert!(![401, 403, 405].contains(&answer.status), "{role}: {method} {path}");
                    continue;
                }
                let problem = answer.problem();
                assert_eq!(problem.status, 403, "{role}: {method} {path}");
                assert_eq!(problem.kind, "/problems/role-required");
                assert!(
                    problem.detail.contains(&format!("needs the role {needed}")),
                    "{problem:?}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 15, "{refused}");
}

#[test]
fn a_viewer_changes_nothing_whatever_it_sends() {
    let server = server();
    let viewer = server.token("eve", Role::Viewer);
    let before = lines(&server).len();
    for (method, path, body) in [
        ("PUT", "/organizations/acme/default-handshake-code", r#"{"handshake_code":"ACME-CODE"}"#),
        ("POST", "/items/instances/revoke", ""),
        ("POST", "/handshake-codes", r#"{"handshake_code":"NEW","organization_id":"acme"}"#),
        ("PUT", "/handshake-codes/ACME-CODE/items", r#"{"item_ids":[]}"#),
        ("PUT", "/handshake-codes/ACME-CODE/access", "{}"),
        ("POST", "/devices/11111111111111111111111111111111/release", r#"{"item_id":"instances"}"#),
        ("PUT", "/devices/11111111111111111111111111111111/name", r#"{"name":"mine"}"#),
        ("POST", "/tokens", r#"{"name":"mine","role":"admin"}"#),
        ("DELETE", "/tokens/eve", ""),
        ("POST", "/users", r#"{"name":"eve","role":"admin","password":"correct horse battery"}"#),
        ("PUT", "/users/eve/password", r#"{"password":"correct horse battery"}"#),
        ("DELETE", "/users/eve", ""),
    ] {
        assert_eq!(ask(&server, method, path, body, &viewer).status, 403, "{method} {path}");
    }
    assert_eq!(lines(&server).len(), before);
}

#[test]
fn no_list_shows_a_secret() {
    let server = server();
    let viewer = server.token("eve", Role::Viewer);
    with_user(&server, "ann", Role::Admin);
    let session = Session::begin(&server, "ann");
    let access =
        Access { session_password: Some("sesame".into()), validation: Validation::default() };
    server.wait(server.licensing.set_access(CODE.into(), access, "test")).unwrap();
    let id = session.cookie.split_once('=').unwrap().1.to_owned();
    let secrets =
        ["sesame", PASSWORD, "argon2", &viewer, &digest(&viewer), &id, &digest(&id), &session.csrf];
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let path = match route.path {
            "/plan" => "/plan?option=per-server&quota=1".to_owned(),
            path => path.replace("{item_id}", "instances").replace("{device}", &"1".repeat(32)),
        };
        let answer = ask(&server, "GET", &path, "", &viewer);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let text = String::from_utf8(answer.body).unwrap();
        for secret in secrets {
            assert!(!text.contains(secret) || secret == "argon2" && route.path == "/openapi.json");
        }
    }
}

#[test]
fn a_bound_token_sees_of_each_list_what_belongs_to_its_organization() {
    let server = server();
    let bound = server.token_of("acme's", Role::Admin, Some("acme"), None);
    server.token_of("other's", Role::Admin, Some("other"), None);
    server.token("everybody's", Role::Admin);
    let list = |path: &str| -> Vec<Value> {
        ask(&server, "GET", path, "", &bound).json::<Value>().as_array().unwrap().clone()
    };
    let named = |path: &str, field: &str| -> Vec<String> {
        list(path).iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named("/organizations", "organization_id"), ["acme"]);
    assert_eq!(named("/items", "item_id"), ["instances"]);
    assert_eq!(named("/handshake-codes", "handshake_code"), [CODE]);
    assert_eq!(named("/devices", "device_uuid"), ["1".repeat(32)]);
    assert_eq!(ask(&server, "GET", "/devices?item_id=theirs", "", &bound).status, 404);
    assert_eq!(
        named("/devices?after_item=instances&after_device=0", "device_uuid"),
        ["1".repeat(32)]
    );
    let past = format!("/devices?after_item=instances&after_device={}", "1".repeat(32));
    assert_eq!(named(&past, "device_uuid"), [""; 0]);
    assert_eq!(named("/tokens", "name"), ["acme's"]);
    assert_eq!(named("/audit", "organization_id"), ["acme"; 2]);
    assert_eq!(named("/audit?before=2", "organization_id"), ["acme"]);
    for whole in ["/users", "/epochs"] {
        let problem = ask(&server, "GET", whole, "", &bound).problem();
        assert_eq!((problem.status, problem.kind.as_str()), (403, "/problems/whole-server"));
    }
    assert_eq!(
        ask(&server, "GET", "/session", "", &bound).json::<Value>()["organization_id"],
        "acme"
    );
}

#[test]
fn for_a_bound_token_what_belongs_to_another_organization_does_not_exist() {
    let server = server();
    let bound = server.token_of("acme's", Role::Admin, Some("acme"), None);
    server.token_of("theirs", Role::Viewer, Some("other"), None);
    server.token("everybodys", Role::Viewer);
    let before = lines(&server).len();
    let theirs = "2".repeat(32);
    // Each request, with the name of what is another's; and with a name that nobody has.
    for (method, path, body, name) in [
        ("PUT", "/organizations/NAME/default-handshake-code", r#"{"handshake_code":"X"}"#, "other"),
        (
            "PUT",
            "/organizations/acme/default-handshake-code",
            r#"{"handshake_code":"NAME"}"#,
            "OTHER",
        ),
        ("POST", "/items/NAME/revoke", "", "theirs"),
        ("POST", "/handshake-codes", r#"{"handshake_code":"X","organization_id":"NAME"}"#, "other"),
        ("PUT", "/handshake-codes/NAME/items", r#"{"item_ids":[]}"#, "OTHER"),
        ("PUT", "/handshake-codes/ACME-CODE/items", r#"{"item_ids":["NAME"]}"#, "theirs"),
        ("PUT", "/handshake-codes/NAME/access", "{}", "OTHER"),
        (
            "POST",
            "/devices/22222222222222222222222222222222/release",
            r#"{"item_id":"NAME"}"#,
            "theirs",
        ),
        ("PUT", "/devices/NAME/name", r#"{"name":"mine"}"#, &theirs),
        ("POST", "/tokens", r#"{"name":"x","role":"viewer","organization_id":"NAME"}"#, "other"),
        ("DELETE", "/tokens/NAME", "", "theirs"),
        ("DELETE", "/tokens/NAME", "", "everybodys"),
    ] {
        let told = |name: &str| {
            let [path, body] = [path, body].map(|text| text.replace("NAME", name));
            let problem = ask(&server, method, &path, &body, &bound).problem();
            (problem.status, problem.kind, problem.detail.replace(name, "NAME"))
        };
        let nobody = told("ffffffffffffffffffffffffffffffff");
        assert_eq!(nobody.0, 404, "{method} {path}: {nobody:?}");
        assert_eq!(told(name), nobody, "{method} {path}");
    }
    for (method, path, body) in [
        ("POST", "/users", r#"{"name":"eve","role":"admin","password":"correct horse battery"}"#),
        ("PUT", "/users/eve/password", r#"{"password":"correct horse battery"}"#),
        ("DELETE", "/users/eve", ""),
    ] {
        let problem = ask(&server, method, path, body, &bound).problem();
        assert_eq!(problem.kind, "/problems/whole-server", "{method} {path}");
    }
    assert_eq!(lines(&server).len(), before, "nothing was changed");
}

/// What a vendor hands over, as a request.
fn issued(file: &seatmeter_protocol::license::LicenseFile) -> String {
    let envelope = seatmeter_protocol::signature::Signed::seal(file, &vendor()).unwrap();
    json!({ "root_key": vendor().public(), "license_file": envelope }).to_string()
}

#[test]
fn a_bound_token_imports_files_of_its_own_organization_alone() {
    let server = server();
    let bound = server.token_of("acme's", Role::Admin, Some("acme"), None);
    let import = |file: &_| ask(&server, "POST", "/license-files", &issued(file), &bound);
    let mut file = license_file("other", vec![item("more", 1)]);
    file.file_id = "new".into();
    assert_eq!(import(&file).problem().status, 404);
    file.organization_id = "nobody".into();
    assert_eq!(import(&file).problem().status, 404);
    file.organization_id = "acme".into();
    assert_eq!(import(&file).status, 200);
    file.file_id = "file-of-other".into();
    let problem = import(&file).problem();
    assert_eq!(problem.status, 409);
    assert!(!problem.detail.contains("organization"), "{}", problem.detail);
    let correction = seatmeter_server::correction::Correction {
        version: 1,
        correction_id: id(),
        organization_id: "other".into(),
        item_id: "theirs".into(),
        module: 0,
        used: 1,
        reason: "a test".into(),
        issued_at: START,
    };
    let envelope = seatmeter_protocol::signature::Signed::seal(&correction, &vendor()).unwrap();
    let correction = json!({ "root_key": vendor().public(), "correction": envelope }).to_string();
    let problem = ask(&server, "POST", "/corrections", &correction, &bound).problem();
    assert_eq!((problem.status, problem.kind.as_str()), (404, "/problems/not-found"));
}

#[test]
fn a_bound_token_changes_what_is_its_own_and_makes_tokens_that_are_bound_like_itself() {
    let server = server();
    let bound = server.token_of("acme's", Role::Admin, Some("acme"), None);
    let uuid = "1".repeat(32);
    for (method, path, body) in [
        (
            "POST",
            "/handshake-codes".to_owned(),
            r#"{"handshake_code":"X","organization_id":"acme"}"#,
        ),
        ("PUT", "/handshake-codes/X/items".to_owned(), r#"{"item_ids":["instances"]}"#),
        ("PUT", "/handshake-codes/X/access".to_owned(), "{}"),
        (
            "PUT",
            "/organizations/acme/default-handshake-code".to_owned(),
            r#"{"handshake_code":"X"}"#,
        ),
        ("PUT", format!("/devices/{uuid}/name"), r#"{"name":"till"}"#),
        ("POST", format!("/devices/{uuid}/release"), r#"{"item_id":"instances"}"#),
        ("POST", "/items/instances/revoke".to_owned(), ""),
    ] {
        assert_eq!(ask(&server, method, &path, body, &bound).status, 200, "{method} {path}");
    }
    let made = ask(&server, "POST", "/tokens", r#"{"role":"admin"}"#, &bound).json::<Value>();
    let name = made["name"].as_str().unwrap();
    assert!(name.starts_with("admin-"), "{name}");
    let second = made["token"].as_str().unwrap();
    let items = ask(&server, "GET", "/items", "", second).json::<Value>();
    assert_eq!(items.as_array().unwrap().len(), 1, "it is bound, too");
    assert_eq!(ask(&server, "DELETE", &format!("/tokens/{name}"), "", &bound).status, 200);
    assert_eq!(ask(&server, "GET", "/items", "", second).status, 401);
    assert!(lines(&server).iter().take(9).all(|line| line.organization_id == "acme"));
    assert!(lines(&server).iter().take(9).all(|line| line.actor == "token: acme's"));
}

#[test]
fn a_device_of_two_organizations_is_not_renamed_by_one_of_them() {
    let server = server();
    let both =
        AuthorizationRequest { handshake_code: "OTHER".into(), ..request(&"1".repeat(32), 1) };
    server.authorize(&both).unwrap();
    let bound = server.token_of("acme's", Role::Admin, Some("acme"), None);
    let path = format!("/devices/{}/name", "1".repeat(32));
    let problem = ask(&server, "PUT", &path, r#"{"name":"mine"}"#, &bound).problem();
    assert_eq!(problem.kind, "/problems/whole-server");
    let all = server.token("all", Role::Operator);
    assert_eq!(ask(&server, "PUT", &path, r#"{"name":"till"}"#, &all).status, 200);
    assert_eq!(lines(&server)[0].organization_id, "");
}

#[test]
fn a_token_stops_at_its_end_and_when_it_is_revoked_and_its_use_is_noted() {
    let server = server();
    let admin = server.token("ann", Role::Admin);
    let short = server.token_of("short", Role::Viewer, None, Some(START + 100));
    let is_good = |token: &str| ask(&server, "GET", "/items", "", token).status == 200;
    let row = |name: &str| -> Value {
        let rows = ask(&server, "GET", "/tokens", "", &admin).json::<Value>();
        rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    };
    assert_eq!(row("short")["last_used_at"], Value::Null);
    assert!(is_good(&short));
    let used = "SELECT coalesce(max(last_used_at), 0) FROM admin_token WHERE name = 'short'";
    server.until(used, START);
    assert_eq!(row("short")["last_used_at"], START);
    assert_eq!(
        (row("short")["expires_at"].clone(), row("short")["role"].clone()),
        (json!(START + 100), json!("viewer"))
    );
    server.clock.set(START + 59);
    assert!(is_good(&short));
    assert_eq!(row("short")["last_used_at"], START, "once a minute");
    server.clock.set(START + 99);
    assert!(is_good(&short));
    server.until(used, START + 99);
    server.clock.set(START + 100);
    assert!(!is_good(&short));
    let past = json!({ "name": "past", "role": "viewer", "expires_at": START }).to_string();
    assert_eq!(ask(&server, "POST", "/tokens", &past, &admin).problem().status, 400);
    let second = server.token("bob", Role::Viewer);
    assert!(is_good(&second));
    server
        .wait(server.licensing.change(Change::RevokeToken { name: "bob".into() }, "test"))
        .unwrap();
    assert!(!is_good(&second), "also when somebody else has revoked it");
    assert_eq!(ask(&server, "DELETE", "/tokens/bob", "", &admin).problem().status, 404);
    let again = json!({ "name": "bob", "role": "admin" }).to_string();
    assert_eq!(ask(&server, "POST", "/tokens", &again, &admin).problem().status, 409);
}

#[test]
fn what_is_shown_and_is_not_good_is_not_replaced_by_less() {
    let server = TestServer::empty();
    let get = || Request::new("GET", "/admin/v1/items");
    assert_eq!(get().send(server.address).status, 200, "this machine's own programs");
    for authorization in
        ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer seatmeter_0", "seatmeter_0"]
    {
        let problem = get().header("authorization", authorization).send(server.address).problem();
        assert_eq!(problem.status, 401, "{authorization:?}");
    }
    for cookie in ["seatmeter_session=", "seatmeter_session=0", "a=b; seatmeter_session=x; c=d"] {
        assert_eq!(get().header("cookie", cookie).send(server.address).status, 401, "{cookie}");
    }
    assert_eq!(get().header("cookie", "theme=dark").send(server.address).status, 200);
    let token = server.token("ann", Role::Viewer);
    let lower = get().header("authorization", &format!("bearer {token}"));
    assert_eq!(lower.send(server.address).status, 200, "the scheme has no case");
}

#[test]
fn a_token_in_a_url_is_refused_and_not_repeated() {
    let server = TestServer::empty();
    let token = server.token("ann", Role::Admin);
    for (method, path) in [
        ("GET", format!("/items?token={token}")),
        ("GET", format!("/items?access_token={token}")),
        ("GET", format!("/items?x={token}")),
        ("POST", format!("/tokens?x={token}")),
        ("POST", format!("/items/{token}/revoke")),
        ("POST", "/session?name=ann&password=x".to_owned()),
    ] {
        let bare = Request::json(method, &format!("/admin/v1{path}"), "{}");
        for request in [bare, with_token(method, &path, "{}", &token)] {
            let problem = request.send(server.address).problem();
            assert_eq!(problem.kind, "/problems/token-in-url", "{path}");
            assert!(!problem.detail.contains(&token));
        }
    }
    for (path, status) in [
        (format!("/x/{token}"), 404),
        (format!("/admin/v1/{token}"), 404),
        (format!("/admin/v1/items/{token}/revoke"), 405),
    ] {
        let problem = Request::new("GET", &path).send(server.address).problem();
        assert!(problem.status == status && !problem.detail.contains(&token), "{problem:?}");
    }
}

#[test]
fn without_a_token_no_request_that_a_proxy_has_forwarded_is_accepted() {
    let server = TestServer::empty();
    for (name, value) in [
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Host", "license.example"),
        ("x-real-ip", "192.0.2.1"),
        ("via", "1.1 proxy"),
        ("X-Forwarded-For", ""),
    ] {
        let request = Request::new("GET", "/admin/v1/items").header(name, value);
        let problem = request.send(server.address).problem();
        assert_eq!((problem.status, problem.kind.as_str()), (403, "/problems/not-this-machine"));
        let told =
            problem.detail.contains(&name.to_lowercase()) && problem.detail.contains("proxy");
        assert!(told && problem.detail.contains("seatmeterd token create"), "{}", problem.detail);
        let token = server.token(&id(), Role::Viewer);
        let shown = with_token("GET", "/items", "", &token).header(name, value);
        assert_eq!(shown.send(server.address).status, 200, "a token is good behind a proxy");
    }
}

#[test]
fn problems_of_the_admin_api_have_types_of_their_own_and_no_number_of_a_device() {
    let server = server();
    let admin = server.token("ann", Role::Admin);
    for (method, path, body, status, kind) in [
        ("GET", "/nothing", "", 404, "not-found"),
        ("POST", "/items/none/revoke", "", 404, "not-found"),
        ("PATCH", "/items", "", 405, "method-not-allowed"),
        ("POST", "/handshake-codes", "{", 400, "malformed-body"),
        (
            "POST",
            "/handshake-codes",
            r#"{"handshake_code":"a b","organization_id":"acme"}"#,
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/handshake-codes",
            r#"{"handshake_code":"OTHER","organization_id":"acme"}"#,
            409,
            "conflict",
        ),
        ("POST", "/items/%FF/revoke", "", 400, "malformed-address"),
        ("GET", "/devices?item=x", "", 400, "malformed-address"),
    ] {
        let answer = ask(&server, method, path, body, &admin);
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status, told["type"].as_str().unwrap()),
            (status, format!("/problems/{kind}").as_str()),
            "{method} {path}: {told}"
        );
        assert_eq!(told.get("code"), None, "{told}");
        assert!(!told["title"].as_str().unwrap().contains("license server's answer"), "{told}");
    }
    let text = with_token("POST", "/tokens", "{}", &admin).header("content-type", "text/plain");
    assert_eq!(text.send(server.address).problem().kind, "/problems/content-type");
    let json = Request::post("/v1/usage", b"{").send(server.address).problem();
    assert_eq!(json.kind, "/problems/malformed-header", "a device that sends no nonce");
    let json = Request::post("/v1/usage", b"{").header("seatmeter-nonce", &id());
    assert_eq!(json.send(server.address).problem().kind, "/problems/malformed-body");
}
