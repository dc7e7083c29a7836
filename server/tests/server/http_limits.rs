//! What is no good request, and what an answer's signature is worth.

use std::sync::Arc;

use seatmeter_protocol::error_code::ErrorCode;

use seatmeter_protocol::message::*;
use seatmeter_server::access::Known;
use seatmeter_server::error::Error;
use seatmeter_server::http::Web;
use seatmeter_server::http::listen::ConnectionLimits;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::Licensing;
use seatmeter_server::operator::commands::{Actor, Change, Listing, View};
use seatmeter_server::problem::{ProblemKind, error_kinds};
use seatmeter_server::store::{Authorization, Decision, Organization, Reply, Report, Shown, Store};

use crate::support::*;

fn server() -> TestServer {
    TestServer::with_items(vec![item("instances", 4)])
}

/// Sends with a good nonce; checks that the problem is signed over this body.
fn signed_problem(server: &TestServer, request: Request, body: &[u8]) -> Problem {
    let nonce = id();
    let answer = request.header(NONCE_HEADER, &nonce).send(server.address);
    answer.verify(body, &nonce, server_key().public()).unwrap();
    answer.problem()
}

#[test]
fn malformed_bodies_are_refused_with_a_reason_and_signed() {
    let server = server();
    for (body, word) in [
        (&b""[..], "EOF"),
        (b"{", "EOF"),
        (b"[]", "expected struct"),
        (b"{\"protocol\":1}", "`device`"),
        (b"\xff\xfe", "expected value"),
        (b"{\"protocol\":-1}", "-1"),
    ] {
        for path in [AUTHORIZATIONS_PATH, USAGE_PATH] {
            let problem = signed_problem(&server, Request::post(path, body), body);
            assert_eq!((problem.status, problem.code), (400, ErrorCode::LICENSE_SYNC_FAILED));
            assert!(problem.detail.contains(word), "{}", problem.detail);
        }
    }
}

#[test]
fn unknown_fields_are_ignored_and_known_ones_are_strict() {
    let server = server();
    let mut body = serde_json::to_value(request(&id(), 1)).unwrap();
    body["from_the_future"] = true.into();
    server.post::<AuthorizationAnswer>(AUTHORIZATIONS_PATH, &body).unwrap();
    body["seats"] = (-1).into();
    let problem = server.post::<AuthorizationAnswer>(AUTHORIZATIONS_PATH, &body).unwrap_err();
    assert_eq!(problem.status, 400);
}

#[test]
fn another_protocol_version_is_refused_clearly() {
    let server = server();
    let problem =
        server.authorize(&AuthorizationRequest { protocol: 2, ..request(&id(), 1) }).unwrap_err();
    assert_eq!((problem.status, problem.code), (400, ErrorCode::PROTOCOL_MISMATCH));
    assert_eq!(problem.kind, "/problems/protocol-mismatch");
    assert!(problem.detail.contains("protocol 2"), "{}", problem.detail);
    let usage = UsageReport { protocol: 0, ..report(&id(), vec![]) };
    assert_eq!(server.post::<UsageAnswer>(USAGE_PATH, &usage).unwrap_err().status, 400);
    // A later version may look quite different; what it is can still be read.
    let later = serde_json::json!({ "protocol": 7, "who": "device" });
    let problem = server.post::<UsageAnswer>(USAGE_PATH, &later).unwrap_err();
    assert_eq!(problem.code, ErrorCode::PROTOCOL_MISMATCH);
    assert!(problem.detail.contains("protocol 7"), "{}", problem.detail);
}

#[test]
fn the_type_of_every_problem_has_a_page_on_the_server() {
    let server = server();
    let page = |path: &str| {
        let answer = Request::new("GET", path).send(server.address);
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    };
    let (status, list) = page("/problems");
    assert_eq!(status, 200);
    let kinds: Vec<String> = ProblemKind::ALL.iter().map(|kind| kind.uri()).collect();
    let refusals = error_kinds().map(|entry| Problem::new(403, entry.code, "").kind);
    for uri in kinds.into_iter().chain(refusals) {
        let (status, text) = page(&uri);
        assert_eq!(status, 200, "{uri}");
        assert!(text.contains("<h1>") && !text.contains("<h1></h1>"), "{uri}: {text}");
        assert!(list.contains(&format!("href=\"{uri}\"")), "{uri}");
    }
    let (_, text) = page("/problems/rate-limited");
    assert!(text.contains("429") && text.contains("Retry-After"), "{text}");
    assert_eq!(page("/problems/nothing").0, 404);

    // What a server answers has such a type.
    let refused = server.authorize(&AuthorizationRequest { seats: 99, ..request(&id(), 1) });
    assert_eq!(page(&refused.unwrap_err().kind).0, 200);
}

#[test]
fn the_api_of_devices_describes_itself() {
    let server = server();
    let get = |path: &str| Request::new("GET", path).send(server.address);
    let document: serde_json::Value = get("/v1/openapi.json").json();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    let described = [
        "/healthz",
        "/readyz",
        AUTHORIZATION_CHECKS_PATH,
        AUTHORIZATIONS_PATH,
        ORIGIN_PATH,
        USAGE_PATH,
    ];
    assert_eq!(paths, described);
    for path in ["/healthz", "/readyz"] {
        let good = &document["paths"][path]["get"]["responses"]["200"];
        let fields = &good["content"]["application/json"]["schema"]["properties"];
        let answer = get(path);
        assert!(
            answer.header(KEY_IDS_HEADER).is_some() && good["headers"][KEY_IDS_HEADER].is_object()
        );
        let answer: serde_json::Value = answer.json();
        assert_eq!(answer["status"], fields["status"]["const"], "{path}");
        for name in answer.as_object().unwrap().keys() {
            assert!(fields[name].is_object(), "{path}: {name}");
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/schema");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let path = match name.as_str() {
            "openapi.json" => "/v1/openapi.json".to_owned(),
            _ => format!("/v1/schemas/{name}"),
        };
        let answer = get(&path);
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.body == std::fs::read(file.path()).unwrap(), "{name}");
    }
    assert_eq!(get("/v1/schemas/nothing.json").status, 404);
}

#[test]
fn a_module_that_does_not_exist_is_refused_and_not_taken_as_nothing() {
    let server = server();
    let asking = |module: &str| {
        server
            .authorize(&AuthorizationRequest { modules: vec![module.into()], ..request(&id(), 1) })
    };
    assert!(asking("OCR").is_ok());
    for name in ["ocr", "Qr_Code", "nothing"] {
        let problem = asking(name).unwrap_err();
        assert_eq!((problem.status, problem.code), (403, ErrorCode::NO_ITEM_FITS), "{name}");
        assert!(problem.detail.contains(name), "{}", problem.detail);
    }
    assert!(asking("ocr").unwrap_err().detail.contains("write OCR"));
}

#[test]
fn a_body_that_is_too_long_is_not_read() {
    let server = server();
    let body = vec![b' '; BODY_BYTES_MAX + 1];
    let nonce = id();
    let answer = Request::post(USAGE_PATH, &body).header(NONCE_HEADER, &nonce).send(server.address);
    assert_eq!(answer.problem().status, 413);
    answer.verify(b"", &nonce, server_key().public()).unwrap();
    let longest = vec![b' '; BODY_BYTES_MAX];
    assert_eq!(signed_problem(&server, Request::post(USAGE_PATH, &longest), &longest).status, 400);
}

#[test]
fn a_nonce_is_32_hexadecimal_digits() {
    let server = server();
    let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
    let post = || Request::post(AUTHORIZATIONS_PATH, &body);
    let mut answers = vec![post().send(server.address)];
    for bad in ["", "abc", &"g".repeat(32), &"a".repeat(33), &"é".repeat(16)] {
        answers.push(post().header(NONCE_HEADER, bad).send(server.address));
    }
    for answer in answers {
        let problem = answer.problem();
        assert_eq!((problem.status, problem.code), (400, ErrorCode::LICENSE_SYNC_FAILED));
        assert!(problem.detail.contains(NONCE_HEADER));
        answer.verify(&body, "", server_key().public()).unwrap();
    }
}

#[test]
fn an_answer_is_good_for_its_own_request_only() {
    let server = server();
    let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
    let nonce = id();
    let answer =
        Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce).send(server.address);
    answer.verify(&body, &nonce, server_key().public()).unwrap();
    assert!(
        answer.verify(&body, &id(), server_key().public()).is_err(),
        "replayed to another nonce"
    );
    assert!(
        answer.verify(b"{}", &nonce, server_key().public()).is_err(),
        "swapped to another request"
    );
    assert!(answer.verify(&body, &nonce, key(9).public()).is_err(), "signed by somebody else");
    let mut forged = answer;
    let last = forged.body.len() - 2;
    forged.body[last] ^= 1;
    assert!(forged.verify(&body, &nonce, server_key().public()).is_err(), "changed on the way");
}

#[test]
fn unknown_paths_and_methods_and_content_types_are_problems() {
    let server = server();
    let status = |request: Request| request.send(server.address).problem().status;
    assert_eq!(status(Request::new("GET", "/")), 404);
    assert_eq!(status(Request::new("POST", "/v1/usage/")), 404);
    assert_eq!(status(Request::new("GET", AUTHORIZATIONS_PATH)), 405);
    assert_eq!(status(Request::new("DELETE", USAGE_PATH)), 405);
    let text = Request::post(USAGE_PATH, b"{}").header("content-type", "text/plain");
    assert_eq!(signed_problem(&server, text, b"{}").status, 415);
    let device = id();
    server.authorize(&request(&device, 1)).unwrap();
    let body = serde_json::to_vec(&report(&device, vec![])).unwrap();
    let with_charset = Request::post(USAGE_PATH, &body)
        .header("content-type", "Application/JSON; charset=utf-8")
        .header(NONCE_HEADER, &id());
    assert_eq!(with_charset.send(server.address).status, 200);
}

#[test]
fn texts_ids_segments_and_totals_are_bounded() {
    let server = server();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let bad_requests: [&dyn Fn(&mut AuthorizationRequest); 8] = [
        &|asked| asked.handshake_code.clone_from(&long),
        &|asked| asked.organization_id.clone_from(&long),
        &|asked| asked.session_password.clone_from(&long),
        &|asked| asked.device.friendly_name.clone_from(&long),
        &|asked| asked.device.library_version.clone_from(&long),
        &|asked| asked.device.uuid.clear(),
        &|asked| asked.device.uuid = "A".repeat(32),
        &|asked| asked.device.uuid = "a".repeat(33),
    ];
    for change in bad_requests {
        let mut asked = request(&id(), 1);
        change(&mut asked);
        assert_eq!(server.refusal(&asked), (400, ErrorCode::LICENSE_SYNC_FAILED));
    }
    let device = id();
    server.authorize(&request(&device, 1)).unwrap();
    let status = |segments| {
        server
            .post::<UsageAnswer>(USAGE_PATH, &report(&device, segments))
            .map_or_else(|p| p.status, |_| 200)
    };
    let of_totals =
        |count: usize| vec![segment(&id(), "none", vec![scans(10_000_001, 2, 3); count])];
    assert_eq!(status(vec![segment(&id(), "none", vec![]); SEGMENTS_MAX]), 200);
    assert_eq!(status(vec![segment(&id(), "none", vec![]); SEGMENTS_MAX + 1]), 400);
    assert_eq!(status(of_totals(TOTALS_MAX)), 200);
    assert_eq!(status(of_totals(TOTALS_MAX + 1)), 400);
    assert_eq!(status(vec![segment("short", "none", vec![])]), 400);
    assert_eq!(status(vec![segment(&id(), &long, vec![])]), 400);
}

#[test]
fn health_and_readiness_are_there_for_load_balancers() {
    let server = server();
    for path in ["/healthz", "/readyz"] {
        let answer = Request::new("GET", path).send(server.address);
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[test]
fn clients_that_are_slow_or_silent_take_no_place_from_one_that_speaks() {
    // Without a time limit for heads, which would free the places in the end: here only those can
    // who have to make room.
    let connections = ConnectionLimits { count_max: 20, head_time_max: None };
    let server = TestServer::with_web(|web| Web { connections, open_to_loopback: true, ..web });
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    let device = id();
    let slow = |sent: &str| {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        std::io::Write::write_all(&mut stream, sent.as_bytes()).unwrap();
        stream
    };
    let mut held = Vec::new();
    for n in 0..60 {
        held.push(slow(""));
        held.push(slow("POST /v1/us"));
        held.push(slow("POST /v1/usage HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n{"));
        if n % 20 == 19 {
            assert_eq!(
                server.authorize(&request(&device, 1)).unwrap().seats,
                1,
                "after {n} of each"
            );
        }
    }
    assert_eq!(server.authorize(&request(&device, 1)).unwrap().seats, 1);
}

#[test]
fn nothing_takes_longer_than_its_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let store = Arc::new(SilentStore);
    let licensing = Licensing {
        store,
        keys: Keyring::new(server_key(), vec![]),
        clock: ManualClock::at(START),
    };
    let connections = ConnectionLimits { head_time_max: None, ..ConnectionLimits::default() };
    let web = Web { connections, ..Web::new(Arc::new(licensing)) };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // On a paused clock time passes as soon as there is nothing else to do.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let stop = async { stopped.await.unwrap_or(()) };
                seatmeter_server::http::serve(listener, Arc::new(web), stop).await.unwrap();
            });
        });
        let body = serde_json::to_vec(&report(&id(), vec![])).unwrap();
        let post = || Request::post(USAGE_PATH, &body).header(NONCE_HEADER, &id());
        assert_eq!(post().send(address).problem().status, 503, "the store does not answer");
        assert_eq!(post().withhold(1).send(address).problem().status, 408, "the body does not end");
        let ready = Request::new("GET", "/readyz").send(address);
        assert_eq!(ready.problem().status, 503);
        let token = Request::new("GET", "/admin/v1/items")
            .header("authorization", &format!("Bearer seatmeter_{}", "0".repeat(64)));
        assert_eq!(token.send(address).problem().status, 503, "tokens are in the store, too");
        stop.send(()).unwrap();
    });
}

/// A store that never answers.
struct SilentStore;

impl Store for SilentStore {
    fn authorize(&self, _: Authorization) -> Reply<Decision> {
        Box::pin(std::future::pending())
    }

    fn check(&self, _: Authorization) -> Reply<Decision> {
        Box::pin(std::future::pending())
    }

    fn record(&self, _: Report) -> Reply<UsageAnswer> {
        Box::pin(std::future::pending())
    }

    fn change(&self, _: Change, _: Actor) -> Reply<()> {
        Box::pin(std::future::pending())
    }

    fn look(&self, _: View, _: u64) -> Reply<Listing> {
        Box::pin(std::future::pending())
    }

    fn caller(&self, _: Shown, _: u64) -> Reply<Option<Known>> {
        Box::pin(std::future::pending())
    }

    fn organization(&self, _: String) -> Reply<Option<Organization>> {
        Box::pin(std::future::pending())
    }

    fn serving(&self, _: u64) -> Reply<()> {
        Box::pin(std::future::pending())
    }

    fn tidy(&self, _: u64) -> Reply<bool> {
        Box::pin(std::future::pending())
    }

    fn ready(&self) -> Reply<Vec<String>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_crowd_that_asks_for_readiness_costs_one_write_a_second() {
    let store = Arc::new(BrokenStore::default());
    let server = TestServer::on_store(tempfile::tempdir().unwrap(), store.clone());
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(Request::new("GET", "/readyz").send(server.address).problem().status, 503);
    }
    let asked = store.asked_whether_ready.load(std::sync::atomic::Ordering::SeqCst);
    assert!((1..=1 + begun.elapsed().as_secs()).contains(&asked), "{asked} writes");
}

/// A store that cannot: it panics at authorizations, is full for reports, and is never ready.
#[derive(Default)]
struct BrokenStore {
    asked_whether_ready: std::sync::atomic::AtomicU64,
}

impl Store for BrokenStore {
    fn authorize(&self, _: Authorization) -> Reply<Decision> {
        panic!("on purpose")
    }

    fn check(&self, _: Authorization) -> Reply<Decision> {
        panic!("on purpose")
    }

    fn record(&self, _: Report) -> Reply<UsageAnswer> {
        Box::pin(async { Err(Error::Busy) })
    }

    fn change(&self, _: Change, _: Actor) -> Reply<()> {
        Box::pin(async { Ok(()) })
    }

    fn look(&self, _: View, _: u64) -> Reply<Listing> {
        Box::pin(async { Ok(Listing::Tokens(Vec::new())) })
    }

    fn organization(&self, _: String) -> Reply<Option<Organization>> {
        Box::pin(async { Ok(None) })
    }

    fn serving(&self, _: u64) -> Reply<()> {
        Box::pin(async { Ok(()) })
    }

    fn tidy(&self, _: u64) -> Reply<bool> {
        Box::pin(async { Ok(false) })
    }

    fn ready(&self) -> Reply<Vec<String>> {
        self.asked_whether_ready.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async { Err(Error::Store("disk on fire".into())) })
    }
}

#[test]
fn a_panic_a_full_queue_and_a_broken_database_are_problems_too() {
    let server =
        TestServer::on_store(tempfile::tempdir().unwrap(), Arc::new(BrokenStore::default()));
    let problem = server.authorize(&request(&id(), 1)).unwrap_err();
    assert_eq!((problem.status, problem.code), (500, ErrorCode::UNKNOWN));

    let body = serde_json::to_vec(&report(&id(), vec![])).unwrap();
    let answer = Request::post(USAGE_PATH, &body).header(NONCE_HEADER, &id()).send(server.address);
    assert_eq!(answer.problem().status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));

    let ready = Request::new("GET", "/readyz").send(server.address).problem();
    assert_eq!((ready.status, ready.code), (503, ErrorCode::STANDBY_NOT_READY));
    assert_eq!(Request::new("GET", "/healthz").send(server.address).status, 200);
}
