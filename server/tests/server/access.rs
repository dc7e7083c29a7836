//! Roles, tokens, people and sessions of the admin API, from the side of those who try to do more
//! than they may.

use seatmeter_protocol::message::AuthorizationRequest;
use seatmeter_server::access::{Role, SessionLimits};
use seatmeter_server::http::Web;
use seatmeter_server::http::admin::access::AccessControl;
use seatmeter_server::http::admin::{self, roles::ROUTES};
use seatmeter_server::keyring::Keyring;
use seatmeter_server::operator::Access;
use seatmeter_server::operator::access::digest;
use seatmeter_server::operator::commands::{AuditRow, Change, Listing, View};
use seatmeter_server::policy::select::access::Validation;
use seatmeter_server::store::NewSession;
use serde_json::{Value, json};

use crate::support::*;

const PASSWORD: &str = "correct horse battery";

/// A server that asks everybody for a token or a session, with the organizations `acme` and
/// `other`, and a device of each.
fn server() -> TestServer {
    let server = TestServer::with_web(|web| web);
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    server.import(&license_file("other", vec![item("theirs", 4)]), Some("OTHER")).unwrap();
    server.authorize(&request(&"1".repeat(32), 1)).unwrap();
    let theirs =
        AuthorizationRequest { handshake_code: "OTHER".into(), ..request(&"2".repeat(32), 1) };
    server.authorize(&theirs).unwrap();
    server
}

fn with_token(method: &str, path: &str, body: &str, token: &str) -> Request {
    Request::json(method, &format!("/admin/v1{path}"), body)
        .header("authorization", &format!("Bearer {token}"))
}

fn ask(server: &TestServer, method: &str, path: &str, body: &str, token: &str) -> Answer {
    with_token(method, path, body, token).send(server.address)
}

fn with_user(server: &TestServer, name: &str, role: Role) {
    let made = server.licensing.make_user(name.into(), role, PASSWORD.into(), "test");
    server.wait(made).unwrap();
}

fn login(name: &str, password: &str) -> Request {
    let body = json!({ "name": name, "password": password }).to_string();
    Request::json("POST", "/admin/v1/session", &body)
}

/// A session as a browser has it.
struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let csrf = answer.json::<Value>()["csrf_token"].as_str().unwrap().to_owned();
        Self { cookie, csrf }
    }

    fn begin(server: &TestServer, name: &str) -> Self {
        Self::of(&login(name, PASSWORD).send(server.address))
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Request {
        Request::json(method, &format!("/admin/v1{path}"), body).header("cookie", &self.cookie)
    }

    /// A request with everything that a page of the server itself sends.
    fn change(&self, method: &str, path: &str, body: &str) -> Request {
        self.request(method, path, body)
            .header("x-csrf-token", &self.csrf)
            .header("origin", "http://localhost")
    }

    fn is_good(&self, server: &TestServer) -> bool {
        let status = self.request("GET", "/items", "").send(server.address).status;
        assert!([200, 401].contains(&status), "{status}");
        status == 200
    }
}

fn lines(server: &TestServer) -> Vec<AuditRow> {
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
        let answer = ask(&server, "GET", route.path, "", &viewer);
        assert_eq!(answer.status, 200, "{}", route.path);
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
    assert_eq!(named("/devices?item_id=theirs", "device_uuid"), [""; 0]);
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
    assert_eq!(row("short")["last_used_at"], START + 99);
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
fn a_user_logs_in_and_out_and_a_stolen_cookie_is_worth_nothing_afterwards() {
    let server = server();
    with_user(&server, "ann", Role::Operator);
    let answer = login("ann", PASSWORD).send(server.address);
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["seatmeter_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="]
    {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain HTTP");
    let session = Session::of(&answer);
    let me = session.request("GET", "/session", "").send(server.address).json::<Value>();
    assert_eq!(me["csrf_token"], session.csrf.as_str());
    assert_eq!(
        (me["kind"].clone(), me["name"].clone(), me["role"].clone()),
        (json!("user"), json!("ann"), json!("operator"))
    );
    assert_eq!(
        (me["idle_ends_at"].clone(), me["ends_at"].clone()),
        (json!(START + 1_800), json!(START + 43_200))
    );
    let made = r#"{"handshake_code":"NEW","organization_id":"acme"}"#;
    assert_eq!(session.change("POST", "/handshake-codes", made).send(server.address).status, 200);
    assert_eq!(lines(&server)[0].actor, "user: ann");
    assert_eq!(
        session.change("POST", "/items/instances/revoke", "").send(server.address).problem().kind,
        "/problems/role-required"
    );
    let gone = session.change("DELETE", "/session", "").send(server.address);
    assert_eq!(gone.status, 200);
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(!session.is_good(&server));
    assert_eq!(session.change("DELETE", "/session", "").send(server.address).status, 401);
}

#[test]
fn a_form_logs_in_too_and_another_type_does_not() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let form = |body: &str, kind: &str| {
        Request::json("POST", "/admin/v1/session", body)
            .header("content-type", kind)
            .send(server.address)
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    assert_eq!(form("name=ann&password=correct+horse%20battery", FORM).status, 200);
    assert_eq!(form("name=ann&password=correct+horse", FORM).status, 401);
    assert_eq!(form("name=ann", FORM).problem().kind, "/problems/malformed-body");
    assert_eq!(form("{}", "text/plain").problem().status, 415);
    for body in [
        r#"{"name":"ann","password":4711}"#,
        r#""4711""#,
        r#"{"4711":"#,
        r#"{"name":"ann","4711":1}"#,
    ] {
        let problem = form(body, "application/json").problem();
        assert!(problem.status == 400 && !problem.detail.contains("4711"), "{body}: {problem:?}");
    }
}

#[test]
fn cookies_are_for_tls_alone_if_the_operator_says_so() {
    let access = AccessControl::new(SessionLimits::default(), true);
    let server = TestServer::with_web(|web| Web { access, ..web });
    with_user(&server, "ann", Role::Viewer);
    let answer = login("ann", PASSWORD).send(server.address);
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[test]
fn a_change_with_a_session_needs_its_csrf_token_and_the_servers_own_page() {
    let server = server();
    with_user(&server, "ann", Role::Admin);
    with_user(&server, "bob", Role::Admin);
    let (session, other) = (Session::begin(&server, "ann"), Session::begin(&server, "bob"));
    let make = r#"{"handshake_code":"NEW","organization_id":"acme"}"#;
    let change = || session.request("POST", "/handshake-codes", make);
    let kind = |request: Request| request.send(server.address).problem().kind;
    assert_eq!(kind(change()), "/problems/csrf-token");
    for wrong in ["", "x", &other.csrf, &session.csrf[..63], &session.csrf.to_uppercase()] {
        assert_eq!(kind(change().header("x-csrf-token", wrong)), "/problems/csrf-token", "{wrong}");
    }
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example", "http://localhost:1"]
    {
        let foreign = change().header("x-csrf-token", &session.csrf).header("origin", origin);
        assert_eq!(kind(foreign), "/problems/foreign-page", "{origin}");
    }
    let cross =
        change().header("x-csrf-token", &session.csrf).header("sec-fetch-site", "cross-site");
    assert_eq!(kind(cross), "/problems/foreign-page");
    for (method, path) in
        [("DELETE", "/session"), ("PUT", "/users/bob/password"), ("DELETE", "/users/bob")]
    {
        assert_eq!(kind(session.request(method, path, "{}")), "/problems/csrf-token", "{path}");
    }
    let planted = login("ann", PASSWORD).header("origin", "https://evil.example");
    assert_eq!(kind(planted), "/problems/foreign-page", "nobody is logged in by another site");
    let own = change().header("x-csrf-token", &session.csrf);
    assert_eq!(own.send(server.address).status, 200);
}

#[test]
fn each_login_gives_a_new_id_and_ends_the_session_that_the_browser_had() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let planted = "seatmeter_session=".to_owned() + &"0".repeat(64);
    let first =
        Session::of(&login("ann", PASSWORD).header("cookie", &planted).send(server.address));
    assert_ne!(first.cookie, planted);
    let second =
        Session::of(&login("ann", PASSWORD).header("cookie", &first.cookie).send(server.address));
    assert_ne!(first.cookie, second.cookie);
    assert_ne!(first.csrf, second.csrf);
    assert!(!first.is_good(&server) && second.is_good(&server));
    let both = format!("{}; {planted}", second.cookie);
    let told = Request::new("GET", "/admin/v1/items").header("cookie", &both).send(server.address);
    assert_eq!(told.problem().status, 401, "one of the two is somebody else's");
}

#[test]
fn a_session_ends_when_it_is_idle_and_at_its_end_in_any_case() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let (idle, used) = (Session::begin(&server, "ann"), Session::begin(&server, "ann"));
    let mut now = START;
    while now + 1_700 < START + 43_200 {
        now += 1_700;
        server.clock.set(now);
        assert!(used.is_good(&server), "{now}");
    }
    assert!(!idle.is_good(&server));
    server.clock.set(START + 43_199);
    assert!(used.is_good(&server));
    server.clock.set(START + 43_200);
    assert!(!used.is_good(&server));
    Session::begin(&server, "ann");
    assert_eq!(server.number("SELECT count(*) FROM admin_session"), 1, "what has ended is removed");
    for _ in 0..40 {
        let id = id();
        let session = NewSession {
            digest: id,
            name: "ann".into(),
            password_hash: server
                .wait(server.licensing.store.password_hash("ann".into()))
                .unwrap()
                .unwrap(),
            limits: SessionLimits::default(),
        };
        assert!(
            server.wait(server.licensing.store.begin_session(session, START + 43_200)).unwrap()
        );
    }
    assert_eq!(server.number("SELECT count(*) FROM admin_session"), 32);
}

#[test]
fn a_new_password_or_the_removal_of_the_user_ends_the_sessions() {
    let server = server();
    let admin = server.token("root", Role::Admin);
    with_user(&server, "ann", Role::Admin);
    with_user(&server, "bob", Role::Admin);
    let (ann, bob) = (Session::begin(&server, "ann"), Session::begin(&server, "bob"));
    let store = &server.licensing.store;
    let checked = server.wait(store.password_hash("ann".into())).unwrap().unwrap();
    let new = r#"{"password":"another long password"}"#;
    assert_eq!(ask(&server, "PUT", "/users/ann/password", new, &admin).status, 200);
    assert!(!ann.is_good(&server) && bob.is_good(&server));
    assert_eq!(login("ann", PASSWORD).send(server.address).status, 401);
    let late = NewSession {
        digest: id(),
        name: "ann".into(),
        password_hash: checked,
        limits: SessionLimits::default(),
    };
    assert!(
        !server.wait(store.begin_session(late, START)).unwrap(),
        "the old password was checked"
    );
    let again = Session::of(&login("ann", "another long password").send(server.address));
    assert_eq!(ask(&server, "DELETE", "/users/ann", "", &admin).status, 200);
    assert!(!again.is_good(&server));
    assert_eq!(login("ann", "another long password").send(server.address).status, 401);
    for (method, path, body, status) in [
        ("DELETE", "/users/ann", "", 404),
        ("PUT", "/users/ann/password", new, 404),
        (
            "POST",
            "/users",
            r#"{"name":"bob","role":"viewer","password":"another long password"}"#,
            409,
        ),
        ("POST", "/users", r#"{"name":"eve","role":"viewer","password":"short"}"#, 400),
        (
            "POST",
            "/users",
            r#"{"name":"eve","role":"king","password":"another long password"}"#,
            400,
        ),
    ] {
        assert_eq!(
            ask(&server, method, path, body, &admin).problem().status,
            status,
            "{path} {body}"
        );
    }
    let listed = ask(&server, "GET", "/users", "", &admin).json::<Value>();
    assert_eq!(listed[0]["name"], "bob");
    let actions: Vec<_> =
        lines(&server).into_iter().take(2).map(|line| (line.actor, line.action)).collect();
    assert_eq!(
        actions,
        [
            ("token: root".into(), "remove user".into()),
            ("token: root".into(), "set password of user".into())
        ]
    );
}

#[test]
fn servers_of_one_database_share_sessions_and_data_that_is_put_back_has_none() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let session = Session::begin(&server, "ann");
    let (location, store) = (server.location.clone(), server.licensing.store.clone());
    let keys = Keyring::new(server_key(), vec![]);
    let second = TestServer::start(tempfile::tempdir().unwrap(), location, store, keys, |web| web);
    assert!(session.is_good(&second));
    assert_eq!(session.change("DELETE", "/session", "").send(second.address).status, 200);
    assert!(!session.is_good(&server));
    let session = Session::begin(&server, "ann");
    server.location.renew_epoch(&id(), START).unwrap();
    assert!(!session.is_good(&server), "one that had ended would be good again");
}

#[test]
fn an_unknown_name_costs_and_says_what_a_wrong_password_does() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let wrong = |name: &str| {
        let before = server.web.access.checks();
        let problem = login(name, "wrong password").send(server.address).problem();
        (problem, server.web.access.checks() - before)
    };
    let (known, unknown) = (wrong("ann"), wrong("nobody"));
    assert_eq!(known, unknown);
    assert_eq!(
        (known.0.kind.as_str(), known.0.status, known.1),
        ("/problems/login-failed", 401, 1)
    );
}

#[test]
fn wrong_logins_are_slowed_before_a_password_is_checked() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    let mut slowed = 0;
    for _ in 0..40 {
        let answer = login("ann", "wrong password").send(server.address);
        if answer.status == 429 {
            assert_eq!(answer.problem().kind, "/problems/login-slowed");
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
            slowed += 1;
        }
    }
    assert!(slowed > 20, "{slowed}");
    assert!(server.web.access.checks() < 20, "{}", server.web.access.checks());
    let answer = login("ann", PASSWORD).send(server.address);
    assert!(answer.status == 429 || answer.status == 200, "the right one waits, too");
}

#[test]
fn thousands_of_wrong_logins_cost_neither_memory_nor_passwords_checked() {
    let server = server();
    with_user(&server, "ann", Role::Viewer);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let address = server.address;
            scope.spawn(move || {
                for n in 0..2_500 {
                    let status =
                        login(&format!("{thread} {n}"), "wrong password").send(address).status;
                    assert!([401, 429, 503].contains(&status), "{status}");
                }
            });
        }
    });
    assert!(server.web.access.checks() < 100, "{}", server.web.access.checks());
    assert!(server.web.access.logins.remembered() < 200);
    assert_eq!(server.number("SELECT count(*) FROM admin_session"), 0);
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
