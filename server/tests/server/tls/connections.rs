//! Clients that are slow, or that speak HTTP/2.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use seatmeter_server::http::listen::{ConnectionLimits, Listener};
use seatmeter_server::http::tls::Tls;
use seatmeter_server::http::{self, Web};
use tokio::sync::oneshot;

use super::{Kept, PATIENCE, Place, get};
use crate::support::*;

/// A connection of HTTP/2, on a runtime of the test.
struct Http2 {
    runtime: tokio::runtime::Runtime,
    sender: hyper::client::conn::http2::SendRequest<Body>,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    fn open(address: SocketAddr, mut client: ClientConfig) -> Self {
        client.alpn_protocols = vec![b"h2".to_vec()];
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (sender, connection) = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let executor = TokioExecutor::new();
            let made = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await;
            let (sender, connection) = made.unwrap();
            (sender, tokio::spawn(connection))
        });
        Self { runtime, sender, connection }
    }

    fn get(&self, path: &str) -> (u16, Bytes) {
        let mut sender = self.sender.clone();
        let request = hyper::Request::get(format!("https://localhost{path}"));
        let request = request.body(Body::empty()).unwrap();
        self.runtime.block_on(async {
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.into_body().collect().await.unwrap().to_bytes())
        })
    }
}

#[test]
fn http_2_carries_many_requests_over_one_connection() {
    let place = Place::new();
    let server = place.serve(&["--admin-loopback"]);
    let client = Http2::open(server.address, place.client());
    let (status, body) = client.get("/admin/v1/items");
    assert_eq!(status, 200, "{body:?}");
    let statuses: Vec<_> = client.runtime.block_on(async {
        let asked = (0..200).map(|n| {
            let mut sender = client.sender.clone();
            let path = if n % 2 == 0 { "healthz" } else { "nowhere" };
            let request = hyper::Request::get(format!("https://localhost/{path}"));
            let request = request.body(Body::empty()).unwrap();
            tokio::spawn(async move { sender.send_request(request).await.unwrap().status() })
        });
        let mut statuses = Vec::new();
        for asked in asked.collect::<Vec<_>>() {
            statuses.push(asked.await.unwrap().as_u16());
        }
        statuses
    });
    let good = statuses.iter().filter(|status| **status == 200).count();
    let missing = statuses.iter().filter(|status| **status == 404).count();
    assert_eq!((good, missing), (100, 100));
    // A stop ends the connection in order.
    assert_eq!(server.signal("-TERM").code(), Some(0));
    client.runtime.block_on(client.connection).unwrap().unwrap();
}

/// A server in this process on a port with TLS.
fn tls_server(place: &Place, connections: ConnectionLimits) -> (TestServer, SocketAddr) {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let web = Web { connections, open_to_loopback: true, ..Web::new(server.licensing.clone()) };
    let tls = Some(Tls::load(place.tls_files()).unwrap());
    let address = server.wait(async {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let listeners = vec![Listener { socket, tls }];
        tokio::spawn(http::serve_all(listeners, Arc::new(web), std::future::pending()));
        address
    });
    (server, address)
}

#[test]
fn an_idle_connection_of_http_2_ends_and_one_that_asks_does_not() {
    let place = Place::new();
    let head_time_max = Some(Duration::from_millis(300));
    let limits = ConnectionLimits { head_time_max, ..ConnectionLimits::default() };
    let (_server, address) = tls_server(&place, limits);
    let client = Http2::open(address, place.client());
    assert_eq!(client.get("/healthz").0, 200);
    let ended = client.runtime.block_on(async {
        tokio::time::timeout(PATIENCE, client.connection).await.expect("it ends")
    });
    ended.unwrap().unwrap();
}

/// Open a connection that offers both versions, and return whether it speaks HTTP/2.
fn open_any(address: SocketAddr, place: &Place) -> (Kept, bool) {
    let mut client = place.client();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let kept = Kept::open(address, &Arc::new(client)).unwrap();
    let is_http2 = kept.0.conn.alpn_protocol() == Some(b"h2");
    (kept, is_http2)
}

/// Its client may send 64 KiB before anybody reads them, which count in the budget of all bodies.
#[test]
fn an_http_2_connection_without_room_in_the_budget_speaks_http_1() {
    let place = Place::new();
    let server = place.serve(&["--body-budget", "4MiB"]);
    let mut held: Vec<_> = (0..20).map(|_| open_any(server.address, &place)).collect();
    let http2 = held.iter().filter(|(_, is_http2)| *is_http2).count();
    assert_eq!(http2, 8, "half of what 2 MiB have beyond the longest body");
    let (kept, _) = held.iter_mut().find(|(_, is_http2)| !is_http2).unwrap();
    assert_eq!(kept.get("/healthz").unwrap().0, 200);
    drop(held);
    let begun = std::time::Instant::now();
    while !open_any(server.address, &place).1 {
        assert!(begun.elapsed() < PATIENCE, "the room does not come back");
    }
}

/// The first bytes of a handshake, as a client sends them.
fn hello(client: ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn clients_that_are_slow_in_a_handshake_or_in_http_2_take_no_place_from_one_that_speaks() {
    let place = Place::new();
    // Without a time limit, which would free the places in the end: here only those can who have
    // to make room.
    let limits = ConnectionLimits { count_max: 20, head_time_max: None };
    let (_server, address) = tls_server(&place, limits);
    let client = Arc::new(place.client());
    let hello = hello(place.client());
    let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
    for n in 0..60 {
        for sent in [&hello[..0], &hello[..9], &hello] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(sent).unwrap();
            held.push(Box::new(stream));
        }
        // Opened, and then silent.
        held.push(Box::new(Kept::open(address, &client).unwrap()));
        if n % 20 == 19 {
            held.push(Box::new(Http2::open(address, place.client())));
            assert_eq!(get(address, &client, "/healthz").unwrap(), 200, "after {n} of each");
        }
    }
    assert_eq!(get(address, &client, "/healthz").unwrap(), 200);
}

#[test]
fn five_thousand_slow_handshakes_leave_others_served() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard > 6_000, "this machine allows {hard} open files, and the test needs more");
    let place = Place::new();
    let server = place.serve(&[]);
    let client = Arc::new(place.client());
    let mut kept = Kept::open(server.address, &client).unwrap();
    let hello = hello(place.client());
    let mut held = Vec::new();
    for n in 0..5_000 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&hello[..n % hello.len()]).unwrap();
        held.push(stream);
        if n % 500 == 0 {
            assert_eq!(kept.get("/healthz").unwrap().0, 200, "on a kept connection");
            assert_eq!(get(server.address, &client, "/healthz").unwrap(), 200, "on a new one");
        }
    }
    assert_eq!(get(server.address, &client, "/healthz").unwrap(), 200);
}

/// A body that comes when the test lets it.
struct LateBody(Option<oneshot::Receiver<()>>);

impl HttpBody for LateBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(waiting) = &mut self.0 else { return Poll::Ready(None) };
        let _ = std::task::ready!(Pin::new(waiting).poll(context));
        self.0 = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{}")))))
    }
}

#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut kept = Kept::open(server.address, &Arc::new(place.client())).unwrap();
    let head = "POST /v1/usage HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                content-length: 2\r\n\r\n";
    kept.0.write_all(head.as_bytes()).unwrap();
    let mut goes_on = [0; 25];
    kept.0.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let client = Http2::open(server.address, place.client());
    let (let_it, waiting) = oneshot::channel();
    let body = Body::new(LateBody(Some(waiting)));
    let request = hyper::Request::post("https://localhost/v1/usage").body(body).unwrap();
    let mut http2 = client.sender.clone();
    let asked = client.runtime.spawn(async move { http2.send_request(request).await });
    // The server has the first half when it answers what came after it.
    assert_eq!(client.get("/healthz").0, 200);
    server.send("-TERM");
    place.wait_for_log("stopping");
    kept.0.write_all(b"{}").unwrap();
    assert_eq!(kept.answer().unwrap().0, 400, "it is no report, but it is answered");
    let_it.send(()).unwrap();
    let answer = client.runtime.block_on(asked).unwrap().unwrap();
    assert_eq!(answer.status(), 400);
    assert!(!server.has_died());
}
