//! Programs with a real server behind a difficult network.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

use super::certificate;
use super::peer::{BlackHole, on_a_thread, peer, read_head, says, stall, tls_peer};

/// The longest time of a first contact, with what a busy machine may add.
const FIRST_CONTACT: Duration = Duration::from_secs(13);

static TOOL: LazyLock<Program> = LazyLock::new(|| Program::compile("tests/c/device_tool.c"));

/// Return the result of InitLicenseFromDLS on a fresh device with this environment.
fn init(server: &str, environment: &[(&str, &str)]) -> String {
    let state = tempfile::tempdir().unwrap();
    init_in(state.path(), server, environment)
}

fn init_in(state: &Path, server: &str, environment: &[(&str, &str)]) -> String {
    let mut command: Command = TOOL.command(server);
    command.envs(environment.iter().copied()).env("SEATMETER_STATE_DIR", state);
    Dialogue::start(command).ask("init")
}

fn is_licensed(answer: &str) {
    assert!(answer.starts_with('0'), "{answer}");
}

fn is_refused(answer: &str, parts: &[&str]) {
    assert!(
        answer.starts_with("-20200") && parts.iter().all(|part| answer.contains(part)),
        "{answer}"
    );
}

/// Pass bytes on in both directions, until one end is done.
fn connect_through(mut near: impl Read + Write, mut far: TcpStream) {
    // There is only one request and one answer at a time, as this library speaks HTTP.
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    loop {
        let request = read_message(&mut near);
        if request.is_empty() || far.write_all(&request).is_err() {
            break;
        }
        let answer = read_message(&mut far);
        if answer.is_empty() || near.write_all(&answer).and_then(|()| near.flush()).is_err() {
            break;
        }
    }
    let _ = far.shutdown(Shutdown::Both);
}

/// Read a head, and as much body as it announces.
fn read_message(stream: &mut impl Read) -> Vec<u8> {
    let head = read_head(stream);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return Vec::new();
    }
    [head.into_bytes(), body].concat()
}

/// Start TLS in front of the server, like the gateway of a company.
fn behind_tls(server: &Server) -> u16 {
    let address = server.url().trim_start_matches("http://").to_owned();
    tls_peer(move |stream| {
        if let Ok(far) = TcpStream::connect(&address) {
            connect_through(stream, far);
        }
    })
}

/// Start a proxy that demands this login, and connects to this port whatever name a request has.
fn proxy(login: Option<&'static str>, port: u16) -> u16 {
    peer(move |mut near| {
        let head = read_head(&mut near).to_lowercase();
        let wanted = login.map(|login| format!("proxy-authorization: {}", login.to_lowercase()));
        if wanted.is_some_and(|wanted| !head.contains(&wanted)) {
            let refusal =
                "HTTP/1.1 407 Login\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
            let _ = near.write_all(refusal.as_bytes());
            return stall(near);
        }
        let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = near.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
        let (mut back, mut forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        on_a_thread(move || drop(std::io::copy(&mut back, &mut forth)));
        let _ = std::io::copy(&mut near, &mut far);
        let _ = far.shutdown(Shutdown::Both);
    })
}

#[test]
fn a_companys_own_authority_is_trusted_from_a_file_and_from_the_systems_store() {
    let server = Server::with_demo_license();
    let url = format!("https://localhost:{}", behind_tls(&server));
    let authority = certificate("ca.pem");
    let authority = authority.to_str().unwrap();
    is_refused(&init(&url, &[]), &["(TLS)", "UnknownIssuer"]);
    is_licensed(&init(&url, &[("SEATMETER_CA_FILE", authority)]));
    // OpenSSL and similar libraries are given the system's store in this way.
    is_licensed(&init(&url, &[("SSL_CERT_FILE", authority)]));
}

#[test]
fn a_file_of_authorities_without_an_end_is_named_and_neither_waited_for_nor_kept_in_memory() {
    let server = Server::with_demo_license();
    let url = format!("https://localhost:{}", behind_tls(&server));
    let folder = tempfile::tempdir().unwrap();
    let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large.pem"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::File::create(&large).unwrap().set_len((1 << 20) + 1).unwrap();
    for endless in [&*pipe, Path::new("/dev/zero"), Path::new("/proc/kmsg")] {
        let path = endless.to_str().unwrap();
        for variable in ["SSL_CERT_FILE", "SEATMETER_CA_FILE"] {
            let begun = Instant::now();
            is_refused(&init(&url, &[(variable, path)]), &[path, "cannot be used"]);
            assert!(begun.elapsed() < FIRST_CONTACT, "{path}: {:?}", begun.elapsed());
        }
    }
    let answer = init(&url, &[("SEATMETER_CA_FILE", large.to_str().unwrap())]);
    is_refused(&answer, &["large.pem cannot be used: it has more than 1 MiB"]);
}

#[test]
fn a_program_is_licensed_by_a_server_with_its_own_tls_and_by_its_renewed_certificate() {
    let server = Server::with_demo_license_and_tls();
    let authority = server.ca_file();
    let trust = [("SEATMETER_CA_FILE", authority.to_str().unwrap())];
    assert!(server.url().starts_with("https://"), "{}", server.url());
    is_licensed(&init(server.url(), &trust));
    is_refused(&init(server.url(), &[]), &["(TLS)", "SEATMETER_CA_FILE"]);
    // The authority is the same, so devices need nothing new, whichever certificate they see.
    server.renew_certificate();
    is_licensed(&init(server.url(), &trust));
    // Who writes http:// is not told that the server is away.
    let plain = server.url().replace("https://", "http://");
    is_refused(&init(&plain, &trust), &["400"]);
}

#[test]
fn a_proxy_that_opens_tls_changes_nothing_once_its_authority_is_trusted() {
    let server = Server::with_demo_license();
    let gateway = behind_tls(&server);
    let proxy = format!("http://127.0.0.1:{}", proxy(None, gateway));
    let authority = certificate("ca.pem");
    let trusted = [("HTTPS_PROXY", &*proxy), ("SEATMETER_CA_FILE", authority.to_str().unwrap())];
    is_licensed(&init("https://license.example", &trusted));
    is_refused(&init("https://license.example", &trusted[..1]), &["(TLS)"]);
}

#[test]
fn a_proxy_that_wants_a_login_says_so_gets_it_and_can_be_gone_round() {
    let server = Server::with_demo_license();
    let gateway = behind_tls(&server);
    // "user:secret"
    let port = proxy(Some("Basic dXNlcjpzZWNyZXQ="), gateway);
    let authority = certificate("ca.pem");
    let trust = ("SEATMETER_CA_FILE", authority.to_str().unwrap());
    let (without, with) =
        (format!("http://127.0.0.1:{port}"), format!("http://user:secret@127.0.0.1:{port}"));
    let url = format!("https://localhost:{gateway}");
    is_refused(&init(&url, &[trust, ("HTTPS_PROXY", &without)]), &["(proxy)", "login", "NO_PROXY"]);
    is_licensed(&init(&url, &[trust, ("HTTPS_PROXY", &with)]));
    is_licensed(&init(&url, &[trust, ("HTTPS_PROXY", &without), ("NO_PROXY", "localhost")]));
    // The same for a server without TLS: there the proxy's answer looks like a server's.
    let plain = init("http://license.example", &[("HTTP_PROXY", &without)]);
    is_refused(&plain, &["HTTP status 407", "login", "NO_PROXY"]);
    is_refused(
        &init("https://license.example", &[("HTTPS_PROXY", "http://127.0.0.1:1")]),
        &["(proxy)"],
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_without_its_login_and_a_star_goes_round_it() {
    let server = Server::with_demo_license();
    for (variable, proxy) in [
        ("HTTP_PROXY", "http://user:secret@127.0.0.1:1"),
        ("http_proxy", "127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("HTTP_PROXY", "http://no-such-proxy.invalid"),
    ] {
        let answer = init("http://license.example", &[(variable, proxy)]);
        let host = if proxy.contains("invalid") { "no-such-proxy.invalid" } else { "127.0.0.1:1" };
        is_refused(&answer, &["(proxy)", host]);
        assert!(!answer.contains("secret"), "{answer}");
    }
    let dead = ("HTTP_PROXY", "http://127.0.0.1:1");
    assert!(server.url().contains("127.0.0.1"), "a star is to stand for addresses, too");
    is_refused(&init(server.url(), &[dead]), &["(proxy)", "NO_PROXY"]);
    is_licensed(&init(server.url(), &[dead, ("NO_PROXY", "*")]));
    is_licensed(&init(server.url(), &[dead, ("no_proxy", "localhost,127.0.0.1")]));
}

#[test]
fn the_proxies_of_the_environment_are_read_by_init_and_at_no_other_time() {
    let server = Server::with_demo_license();
    let state = tempfile::tempdir().unwrap();
    let mut command: Command = TOOL.command(server.url());
    command.env("SEATMETER_STATE_DIR", state.path());
    let mut program = Dialogue::start(command);
    is_licensed(&program.ask("init"));
    assert_eq!(program.ask("proxy http://127.0.0.1:1"), "0");
    is_licensed(&program.ask("sync"));
    is_licensed(&program.ask("init"));
    is_refused(&program.ask("sync"), &["(proxy)"]);
}

#[test]
fn a_captive_portal_is_no_license_server_and_ends_no_license() {
    let server = Server::with_demo_license();
    let state = tempfile::tempdir().unwrap();
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 16\r\n\r\n<h1>Sign in</h1>";
    let portal = format!("http://127.0.0.1:{}", says(page));
    is_refused(
        &init(&format!("http://127.0.0.1:{}", says(page.replace("200 OK", "511 Sign in"))), &[]),
        &["HTTP status 511", "not as a license server"],
    );
    let moved =
        "HTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\ncontent-length: 0\r\n\r\n";
    let answer = init(&format!("http://127.0.0.1:{}", says(moved)), &[]);
    is_refused(&answer, &["HTTP status 302", "not followed"]);
    assert!(init(&portal, &[]).starts_with("-20003"), "a page with status 200 cannot be trusted");

    is_licensed(&init_in(state.path(), server.url(), &[]));
    let mut command = TOOL.command(&portal);
    command.env("SEATMETER_STATE_DIR", state.path());
    let mut device = Dialogue::start(command);
    is_licensed(&device.ask("init"));
    // From now on a count waits to be reported, so that every round of the background fails, too.
    assert_eq!(device.ask("count 1"), "0");
    assert!(device.ask("sync").starts_with("-20003"));
    assert!(device.ask("status").starts_with("1 cache -20012"));
}

#[test]
fn a_server_that_stalls_at_any_step_costs_its_share_and_the_standby_serves() {
    let server = Server::with_demo_license();
    let hole = BlackHole::new();
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n<h1>Sign in</h1>";
    let mains = [
        format!("http://127.0.0.1:{}", says(page)),
        format!("http://{}", hole.address),
        format!("http://127.0.0.1:{}", peer(stall)),
        format!("https://127.0.0.1:{}", peer(stall)),
    ];
    let asked = mains.map(|main| {
        let standby = server.url().to_owned();
        std::thread::Builder::new().spawn(move || {
            let begun = Instant::now();
            is_licensed(&init(&main, &[("SEATMETER_STANDBY_SERVER", &standby)]));
            assert!(begun.elapsed() < FIRST_CONTACT, "{main}: {:?}", begun.elapsed());
        })
    });
    asked.into_iter().for_each(|asked| asked.unwrap().join().unwrap());
}

#[test]
fn without_a_license_a_black_hole_costs_the_bound_and_with_one_it_costs_nothing() {
    let server = Server::with_demo_license();
    let hole = BlackHole::new();
    let url = Arc::new(format!("http://{}", hole.address));
    let silent = Arc::new(format!("http://127.0.0.1:{}", peer(stall)));
    let waits = [(url.clone(), "(connect)"), (silent, "(answer)")].map(|(url, stage)| {
        std::thread::Builder::new().spawn(move || {
            let begun = Instant::now();
            is_refused(&init(&url, &[]), &[stage]);
            assert!(begun.elapsed() < FIRST_CONTACT, "{:?}", begun.elapsed());
        })
    });
    let state = tempfile::tempdir().unwrap();
    is_licensed(&init_in(state.path(), server.url(), &[]));
    let mut command = TOOL.command(&url);
    command.env("SEATMETER_STATE_DIR", state.path());
    let mut device = Dialogue::start(command);
    let begun = Instant::now();
    is_licensed(&device.ask("init"));
    assert_eq!(device.ask("count 1"), "0");
    // The benchmark has the exact figure. Here it is only told apart from a wait for a network.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    waits.into_iter().for_each(|wait| wait.unwrap().join().unwrap());
}
