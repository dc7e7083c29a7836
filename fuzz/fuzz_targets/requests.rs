//! Requests to the server: the whole router over the real core and its SQL, in memory. The first
//! byte says which address is asked and how, the rest is the body.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use libfuzzer_sys::fuzz_target;
use seatmeter_fuzz::{DEMO_CODE, DEVICE, demo_server};
use seatmeter_protocol::message::DEVICE_SIGNATURE_HEADER;
use seatmeter_protocol::request_auth::RequestFacts;
use seatmeter_server::http::router;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

const NONCE: &str = "00112233445566778899aabbccddeeff";

/// What was made in the server's memory is forgotten after so many requests.
const REQUESTS: u32 = 5_000;

struct Server {
    runtime: Runtime,
    router: axum::Router,
    requests_left: u32,
}

impl Server {
    fn new() -> Self {
        let runtime =
            Builder::new_current_thread().enable_all().build().expect("there are threads");
        Self { runtime, router: router(Arc::new(demo_server())), requests_left: REQUESTS }
    }
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

const ADDRESSES: [(Method, &str); 18] = [
    (Method::POST, "/v1/authorizations"),
    (Method::POST, "/v1/usage"),
    (Method::GET, "/readyz"),
    (Method::GET, "/admin/v1/organizations"),
    (Method::PUT, "/admin/v1/organizations/fuzz/default-handshake-code"),
    (Method::POST, "/admin/v1/license-files"),
    (Method::GET, "/admin/v1/items"),
    (Method::POST, "/admin/v1/handshake-codes"),
    (Method::PUT, "/admin/v1/handshake-codes/CODE/items"),
    (Method::PUT, "/admin/v1/handshake-codes/CODE/access"),
    (Method::GET, "/admin/v1/devices?"),
    (Method::POST, "/admin/v1/devices/00112233445566778899aabbccddeeff/release"),
    (Method::PUT, "/admin/v1/devices/00112233445566778899aabbccddeeff/name"),
    (Method::GET, "/admin/v1/audit"),
    (Method::POST, "/admin/v1/tokens"),
    (Method::DELETE, "/admin/v1/tokens/"),
    (Method::GET, "/admin/v1/"),
    (Method::GET, "/"),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, body)) = bytes.split_first() else { return };
    let (method, path) = &ADDRESSES[usize::from(*which) % ADDRESSES.len()];
    let mut path = path.replace("CODE", DEMO_CODE);
    // What ends with a sign that something follows gets the input's letters, and no body.
    if path.ends_with(['?', '/']) {
        path.extend(
            body.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)),
        );
    }
    // The device of the seeds signs whatever it is: what comes under another key is not proven.
    let facts = RequestFacts::new(&path, NONCE, body);
    let request = Request::builder()
        .method(method.clone())
        .uri(&path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("seatmeter-nonce", NONCE)
        .header(DEVICE_SIGNATURE_HEADER, facts.sign(&DEVICE))
        .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from(([127, 0, 0, 1], 9))))
        .body(Body::from(body.to_vec()));
    let Ok(request) = request else { return };
    SERVER.with_borrow_mut(|server| {
        if server.requests_left == 0 {
            *server = Server::new();
        }
        server.requests_left -= 1;
        let answer = server.runtime.block_on(server.router.clone().oneshot(request));
        let status = answer.expect("the router always answers").status();
        assert!(status.as_u16() != 500, "a fault of the server at {path}");
    });
});
