//! People who log in to the admin API, and their sessions, from the side of those who want to be
//! somebody else.

use seatmeter_server::access::{Role, SessionLimits};
use seatmeter_server::http::Web;
use seatmeter_server::http::admin::access::AccessControl;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::store::NewSession;
use serde_json::{Value, json};

use crate::access::{PASSWORD, ask, lines, server};
use crate::support::*;

pub(crate) fn with_user(server: &TestServer, name: &str, role: Role) {
    let made = server.licensing.make_user(name.into(), role, None, PASSWORD.into(), "test");
    server.wait(made).unwrap();
}

/// Make a user who sees one organization alone.
pub(crate) fn with_bound_user(server: &TestServer, name: &str, role: Role, organization: &str) {
    let (name, bound) = (name.to_owned(), Some(organization.to_owned()));
    let made = server.licensing.make_user(name, role, bound, PASSWORD.into(), "test");
    server.wait(made).unwrap();
}

pub(crate) fn login(name: &str, password: &str) -> Request {
    let body = json!({ "name": name, "password": password }).to_string();
    Request::json("POST", "/admin/v1/session", &body)
}

/// A session as a browser has it.
pub(crate) struct Session {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

impl Session {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let csrf = answer.json::<Value>()["csrf_token"].as_str().unwrap().to_owned();
        Self { cookie, csrf }
    }

    pub(crate) fn begin(server: &TestServer, name: &str) -> Self {
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
        server.until("SELECT max(used_at) FROM admin_session", now);
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
fn a_new_role_holds_at_once_also_in_the_sessions_of_its_user() {
    let server = server();
    with_user(&server, "ann", Role::Operator);
    with_user(&server, "root", Role::Admin);
    let (ann, root) = (Session::begin(&server, "ann"), Session::begin(&server, "root"));
    let make = |code: &str| {
        let made = json!({ "handshake_code": code, "organization_id": "acme" }).to_string();
        ann.change("POST", "/handshake-codes", &made).send(server.address).status
    };
    assert_eq!(make("FIRST"), 200);
    let viewer = r#"{"role":"viewer"}"#;
    assert_eq!(ann.change("PUT", "/users/ann/role", viewer).send(server.address).status, 403);
    assert_eq!(root.change("PUT", "/users/ann/role", viewer).send(server.address).status, 200);
    assert_eq!(make("SECOND"), 403);
    assert!(ann.is_good(&server), "she may still read");
    assert_eq!(root.change("PUT", "/users/eve/role", viewer).send(server.address).status, 404);
    let wrong = root.change("PUT", "/users/ann/role", r#"{"role":"king"}"#).send(server.address);
    assert_eq!(wrong.problem().kind, "/problems/malformed-body");
    assert_eq!(lines(&server)[0].action, "set role of user");
}
