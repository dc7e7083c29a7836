//! Clients that take what they can: memory, connections, checks of passwords.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::*;
use seatmeter_server::http::budget::BodyBudget;
use seatmeter_server::http::limit::{Rate, RateLimits};
use seatmeter_server::http::listen::ConnectionLimits;
use seatmeter_server::http::{RATE_PER_CODE, Web};

use crate::cli::{Served, authorize_demo, seatmeterd, stdout};
use crate::support::*;

/// Bound on every wait of a test.
const PATIENCE: Duration = Duration::from_secs(30);

fn serve(arguments: &[&str], around: &[&str]) -> (Served, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo"]);
    let usual = ["serve", "--listen", "127.0.0.1:0", "--log", "off"];
    let server = seatmeterd(&data, &[&usual[..], arguments].concat());
    let Some((program, rest)) = around.split_first() else {
        return (Served::run(server), folder);
    };
    let mut command = Command::new(program);
    command.args(rest).arg(server.get_program()).args(server.get_args());
    (Served::run(command), folder)
}

fn connected(address: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

/// The head of a request with a body of this length.
fn head(length: usize) -> Vec<u8> {
    let nonce = id();
    format!(
        "POST {USAGE_PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         {NONCE_HEADER}: {nonce}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// The memory of a process in MiB.
fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn a_crowd_of_bodies_that_do_not_end_takes_no_more_memory_than_the_budget() {
    const CROWD: usize = 800;
    let (server, _folder) = serve(&[], &[]);
    let before = resident_mib(server.id());
    // Together 400 MiB, of which the server may read 64. What it does not read stays with the
    // sender, who must not wait for it.
    let part = vec![b' '; 512 << 10];
    let mut held = Vec::new();
    for _ in 0..CROWD {
        let mut stream = connected(server.address, &head(BODY_BYTES_MAX));
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while sent < part.len() {
            match stream.write(&part[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(_) => break,
            }
        }
        held.push(stream);
    }
    // Whoever sends what he has is served meanwhile.
    for _ in 0..4 {
        authorize_demo(server.address, &"a".repeat(32));
        let whole = vec![b' '; BODY_BYTES_MAX];
        let report = Request::post(USAGE_PATH, &whole).header(NONCE_HEADER, &id());
        let status = report.send(server.address).status;
        assert!([400, 503].contains(&status), "{status}");
    }
    let after = resident_mib(server.id());
    assert!(after < before + 300, "{before} MiB before, {after} MiB with {CROWD} bodies");
}

#[test]
fn slow_bodies_make_room_for_one_that_arrives() {
    let server = TestServer::with_web(|web| Web { bodies: BodyBudget::new(2 << 20, 8), ..web });
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut sent = head(BODY_BYTES_MAX);
        sent.resize(sent.len() + BODY_BYTES_MAX / 2, b' ');
        held.push(connected(server.address, &sent));
    }
    let small = Request::post(USAGE_PATH, b"{}").header(NONCE_HEADER, &id());
    assert_eq!(small.send(server.address).status, 400, "it has room of its own");
    // A client that is told to come back does so.
    let whole = vec![b' '; BODY_BYTES_MAX];
    let mut answers = std::iter::repeat_with(|| {
        Request::post(USAGE_PATH, &whole).header(NONCE_HEADER, &id()).send(server.address)
    });
    let served = answers.by_ref().take(5).any(|answer| {
        assert!(answer.status == 400 || answer.header("retry-after") == Some("1"));
        answer.status == 400
    });
    assert!(served, "slow bodies keep a whole one out");
    // One of the slow ones had to go: it is told why.
    let told = held.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).ok().map(|()| start)
    });
    assert!(told.collect::<Vec<_>>().contains(b"HTTP/1.1 503"));
}

#[test]
fn the_admin_api_tells_its_limit_in_headers_too() {
    let per_source = Rate { per_second: 1e-3, burst: 1.0 };
    let limits = RateLimits::new(per_source, Rate::per_second(RATE_PER_CODE));
    let server = TestServer::with_web(|web| Web { limits, open_to_loopback: true, ..web });
    let ask = || Request::new("GET", "/admin/v1/items").send(server.address);
    let answer = ask();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit"), Some("\"source\";r=0;t=1000"));
    let refused = ask();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"source\";q=1;w=1000"));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"source\";r=0;t="));
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn a_limit_is_asked_before_the_body_is_read_and_told_in_headers() {
    let per_source = Rate { per_second: 1e-3, burst: 2.0 };
    let limits = RateLimits::new(per_source, Rate::per_second(RATE_PER_CODE));
    let server = TestServer::with_web(|web| Web { limits, ..web });
    server.import(&license_file("acme", vec![item("instances", 4)]), Some(CODE)).unwrap();
    let body = serde_json::to_vec(&request(&id(), 1)).unwrap();
    let ask = || {
        let nonce = id();
        let asked = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce);
        let answer = asked.send(server.address);
        answer.verify(&body, &nonce, server_key().public()).unwrap();
        answer
    };
    let answer = ask();
    assert_eq!(answer.status, 200);
    let policy = "\"source\";q=2;w=2000, \"code\";q=2000;w=2";
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    assert_eq!(answer.header("ratelimit"), Some("\"source\";r=1;t=1000, \"code\";r=1999;t=1"));
    assert_eq!(ask().status, 200);
    // A refusal with a small body can be checked by a device, because it is bound to the request.
    let refused = ask();
    assert_eq!((refused.status, refused.problem().code), (429, ErrorCode::STANDBY_NOT_READY));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"source\";q=2;w=2000"));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"source\";r=0;t="));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((900..=1000).contains(&seconds), "{seconds}");
    // None of a long body is waited for.
    let mut stream = connected(server.address, &head(BODY_BYTES_MAX));
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 429");
}

#[test]
fn when_there_are_no_files_left_the_longest_idle_connection_makes_room() {
    // The limit is so low that a process would run out of files long before connections.
    let (server, _folder) = serve(&[], &["prlimit", "--nofile=100:100"]);
    let mut held = Vec::new();
    for n in 0..300 {
        held.push(connected(server.address, b"POST /v1/us"));
        if n % 50 == 49 {
            authorize_demo(server.address, &"a".repeat(32));
            let ready = Request::new("GET", "/readyz").send(server.address);
            assert_eq!(ready.status, 200, "files for the database are left");
        }
    }
}

#[test]
fn connections_that_wait_make_room_when_the_process_has_run_out_of_files() {
    // The limit comes later, so that the server has not counted with it.
    let (server, _folder) = serve(&[], &[]);
    let mut held: Vec<_> = (0..40).map(|_| connected(server.address, b"POST /v1/us")).collect();
    let pid = server.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--nofile=64:64"]).status();
    assert!(limited.unwrap().success());
    for _ in 0..3 {
        held.extend((0..40).map(|_| connected(server.address, b"POST /v1/us")));
        let answer = Request::new("GET", "/healthz").send(server.address);
        assert_eq!(answer.status, 200);
    }
}

/// A device that shows this password.
fn with_password(password: &str) -> AuthorizationRequest {
    let session_password = password.to_owned();
    AuthorizationRequest {
        handshake_code: "DEMO-4-SEATS".into(),
        session_password,
        ..request(&id(), 1)
    }
}

/// Send a request for a client behind a proxy; give its status and number.
fn ask(address: SocketAddr, client: &str, asked: &AuthorizationRequest) -> (u16, ErrorCode) {
    let body = serde_json::to_vec(asked).unwrap();
    let check = Request::post(AUTHORIZATION_CHECKS_PATH, &body)
        .header(NONCE_HEADER, &id())
        .header("x-forwarded-for", client);
    let answer = check.send(address);
    let code = if answer.status == 200 { ErrorCode::OK } else { answer.problem().code };
    (answer.status, code)
}

/// A server behind a proxy whose handshake code has the session password "right".
fn serve_with_password() -> (Served, tempfile::TempDir) {
    let (server, folder) = serve(&["--trusted-proxy", "127.0.0.1"], &[]);
    let mut set = seatmeterd(
        &folder.path().join("data"),
        &["handshake", "access", "DEMO-4-SEATS", "--password"],
    );
    set.stdin(std::process::Stdio::piped());
    let mut set = set.spawn().unwrap();
    set.stdin.take().unwrap().write_all(b"right\n").unwrap();
    assert!(set.wait().unwrap().success());
    (server, folder)
}

#[test]
fn a_flood_of_wrong_passwords_leaves_right_ones_served() {
    const ATTACKERS: usize = 24;
    let (server, _folder) = serve_with_password();
    let address = server.address;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for attacker in 0..ATTACKERS {
            let is_over = &is_over;
            scope.spawn(move || {
                let client = format!("198.51.100.{attacker}");
                while !is_over.load(Ordering::Relaxed) {
                    let (status, _) = ask(address, &client, &with_password(&id()));
                    assert!([403, 429, 503].contains(&status), "{status}");
                }
            });
        }
        // Each is served at its first attempt, from wherever it comes.
        let outcomes: Vec<_> = (0..40)
            .map(|n| ask(address, &format!("192.0.2.{n}"), &with_password("right")))
            .collect();
        // Also a neighbor of an attacker, whose address has to wait by now.
        let neighbor = ask(address, "198.51.100.1", &with_password("right")).0;
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(outcomes, [(200, ErrorCode::OK); 40]);
        assert_eq!(neighbor, 200);
    });
}

#[test]
fn who_guesses_passwords_must_wait_and_is_told_how_long() {
    let (server, _folder) = serve_with_password();
    let outcomes: Vec<_> = (0..40)
        .map(|n| ask(server.address, "198.51.100.1", &with_password(&format!("guess {n}"))))
        .collect();
    let wrong = (403, ErrorCode::SESSION_PASSWORD_WRONG);
    assert_eq!(outcomes[..4], [wrong; 4]);
    assert!(outcomes[4..].contains(&(429, ErrorCode::STANDBY_NOT_READY)), "{outcomes:?}");
    assert_eq!(ask(server.address, "192.0.2.1", &with_password("guess 99")), wrong, "another");
}

/// The slots are fewer than the bodies that a budget holds: both bounds work together.
#[test]
fn many_slow_bodies_on_few_connections_leave_room_for_others() {
    let connections = ConnectionLimits { count_max: 10, head_time_max: None };
    let server = TestServer::with_web(|web| Web {
        connections,
        bodies: BodyBudget::new(2 << 20, 10),
        ..web
    });
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(connected(server.address, &head(BODY_BYTES_MAX)));
    }
    let small = Request::post(USAGE_PATH, b"{}").header(NONCE_HEADER, &id());
    assert_eq!(small.send(server.address).status, 400);
}
