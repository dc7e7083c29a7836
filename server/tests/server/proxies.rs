//! The server behind reverse proxies: whom it believes, and real nginx, Caddy and HAProxy before
//! it.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use seatmeter_protocol::message::*;
use seatmeter_server::http::limit::{Rate, RateLimits};
use seatmeter_server::http::listen::ConnectionLimits;
use seatmeter_server::http::proxy::TrustedProxies;
use seatmeter_server::http::{RATE_PER_CODE, Web};

use crate::cli::{Served, seatmeterd, stdout};
use crate::support::*;

/// Bound on every wait for a proxy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Far more requests than a source can send that is served once a second.
const MANY: usize = 500;

const TOO_MANY: u16 = 429;

/// A server in this process behind a proxy at this network, which serves each source twice.
struct Site(TestServer);

impl Site {
    fn behind(network: &str, proxy_protocol: bool) -> Self {
        // As good as no new request comes into a bucket while a test runs.
        let per_source = Rate { per_second: 1e-9, burst: 2.0 };
        let limits = RateLimits::new(per_source, Rate::per_second(RATE_PER_CODE));
        let proxies = TrustedProxies::new([network.parse().unwrap()]);
        Self(TestServer::with_web(|web| Web {
            limits,
            proxies,
            proxy_protocol,
            open_to_loopback: true,
            ..web
        }))
    }

    /// The status of a request with these headers that any server without a limit refuses as 400.
    fn status(&self, headers: &[(&str, &str)]) -> u16 {
        with(asked(), headers).send(self.0.address).status
    }

    /// The statuses of three requests, each with the header that is made for its number.
    fn three(&self, header: &str, value: impl Fn(u8) -> String) -> [u16; 3] {
        [1, 2, 3].map(|n| self.status(&[(header, &value(n))]))
    }
}

/// The statuses of three requests from one source.
const ONE_SOURCE: [u16; 3] = [400, 400, TOO_MANY];

/// A real server on a demo license.
fn serve(arguments: &[&str]) -> (Served, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo"]);
    let usual = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--admin-loopback"];
    let limited = ["--trusted-proxy", "127.0.0.1", "--rate-per-source", "1"];
    let command = seatmeterd(&data, &[&usual[..], &limited, arguments].concat());
    (Served::run(command), folder)
}

fn asked() -> Request {
    Request::post(USAGE_PATH, b"{}").header(NONCE_HEADER, &id())
}

fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[test]
fn clients_of_a_trusted_proxy_are_limited_each_by_itself() {
    for (header, before) in [("x-forwarded-for", ""), ("forwarded", "for=")] {
        let site = Site::behind("127.0.0.1", false);
        let busy = format!("{before}192.0.2.1");
        // A client that writes the header itself changes only what is left of its own address.
        let pretending = |n| format!("{before}198.51.100.{n}, {busy}");
        assert_eq!(site.three(header, pretending), ONE_SOURCE);
        assert_eq!(site.status(&[(header, &busy)]), TOO_MANY);
        assert_eq!(site.status(&[(header, &format!("{before}192.0.2.2"))]), 400);
    }
}

#[test]
fn a_client_that_is_no_trusted_proxy_cannot_choose_its_address() {
    let site = Site::behind("10.0.0.0/8", false);
    assert_eq!(site.three("x-forwarded-for", |n| format!("192.0.2.{n}")), ONE_SOURCE);
    assert_eq!(site.status(&[("forwarded", "for=192.0.2.1")]), TOO_MANY);
}

#[test]
fn what_cannot_be_understood_is_the_proxy_itself() {
    let site = Site::behind("127.0.0.1", false);
    assert_eq!(site.three("x-forwarded-for", |n| format!("client-{n}")), ONE_SOURCE);
    assert_eq!(site.status(&[("forwarded", "for=unknown")]), TOO_MANY);
    assert_eq!(site.status(&[]), TOO_MANY);
    assert_eq!(site.status(&[("x-forwarded-for", "192.0.2.1")]), 400);
}

#[test]
fn addresses_of_one_ipv6_site_and_both_forms_of_an_ipv4_address_are_one_source() {
    let site = Site::behind("127.0.0.1", false);
    assert_eq!(site.three("x-forwarded-for", |n| format!("2001:db8:1:2::{n}")), ONE_SOURCE);
    assert_eq!(site.status(&[("x-forwarded-for", "2001:db8:1:3::1")]), 400, "the next site");
    let forms = |n| if n == 2 { "::ffff:192.0.2.1" } else { "192.0.2.1" }.to_owned();
    assert_eq!(site.three("x-forwarded-for", forms), ONE_SOURCE);
}

#[test]
fn a_request_that_a_proxy_forwards_is_not_one_of_this_machine() {
    for network in ["127.0.0.1", "10.0.0.0/8"] {
        let items = |headers: &[(&str, &str)]| {
            let site = Site::behind(network, false);
            with(Request::new("GET", "/admin/v1/items"), headers).send(site.0.address).status
        };
        assert_eq!(items(&[]), 200);
        for header in [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-for", "nonsense"),
            ("forwarded", "for=127.0.0.1"),
            ("forwarded", "proto=https"),
            ("via", "1.1 proxy"),
        ] {
            let headers = [header];
            assert!([401, 403].contains(&items(&headers)), "{header:?}");
        }
    }
}

/// A connection that begins with these bytes.
fn connected(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(first).unwrap();
    stream
}

/// Version 2 for a client at this IPv4 address.
fn binary_header(address: [u8; 4]) -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&fixed[..], &address, &[127, 0, 0, 1, 0x80, 1, 0, 80]].concat()
}

fn line_header(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 127.0.0.1 32769 80\r\n").into_bytes()
}

#[test]
fn the_proxy_protocol_names_the_client_of_a_connection() {
    let site = Site::behind("127.0.0.1", true);
    let status = |header: &[u8]| {
        asked().over(&mut connected(site.0.address, header)).map(|answer| answer.status)
    };
    let (line, binary) = (line_header("192.0.2.1"), binary_header([192, 0, 2, 1]));
    assert_eq!([&line, &binary, &line].map(|h| status(h)), ONE_SOURCE.map(Some));
    assert_eq!(status(&line_header("192.0.2.2")), Some(400));
    assert_eq!(status(b"PROXY UNKNOWN\r\n"), Some(400), "the proxy itself");
    // The client is the one of the connection: what it says itself in a header counts for nothing.
    let own = with(asked(), &[("x-forwarded-for", "198.51.100.1")]);
    assert_eq!(own.over(&mut connected(site.0.address, &line)).unwrap().status, TOO_MANY);
    let admin = Request::new("GET", "/admin/v1/items");
    let answer = admin.over(&mut connected(site.0.address, &line_header("127.0.0.1"))).unwrap();
    assert_eq!(answer.status, 403, "a connection through a proxy is not one of this machine");
}

#[test]
fn a_trusted_proxy_must_announce_its_clients_and_nobody_else_may() {
    let site = Site::behind("127.0.0.1", true);
    for first in [&b""[..], b"\x16\x03\x01", b"PROXY TCP4 x y z\r\n", b"PROXY UDP4 1.2.3.4 "] {
        let mut stream = connected(site.0.address, first);
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        assert!(got.is_empty(), "{}", String::from_utf8_lossy(&got));
    }
    let site = Site::behind("10.0.0.0/8", true);
    assert_eq!(site.status(&[]), 400, "who comes directly is served");
    let answer = asked().over(&mut connected(site.0.address, &line_header("192.0.2.1")));
    assert!(answer.is_none_or(|answer| answer.header(TIME_HEADER).is_none()));
}

#[test]
fn the_proxy_protocol_needs_a_proxy_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [&["--proxy-protocol"][..], &["--trusted-proxy", "proxy.example"]] {
        let output = seatmeterd(folder.path(), &[&["serve"], wrong].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn proxies_that_announce_nobody_take_no_place_from_one_that_does() {
    // Without a time limit, which would end them after a while: here they have to make room.
    let connections = ConnectionLimits { count_max: 10, head_time_max: None };
    let proxies = TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    let server =
        TestServer::with_web(|web| Web { connections, proxies, proxy_protocol: true, ..web });
    let mut held = Vec::new();
    for n in 0..40 {
        held.push(connected(server.address, &b"PROXY TCP4 192"[..n % 14]));
    }
    let mut stream = connected(server.address, &line_header("192.0.2.1"));
    assert_eq!(asked().over(&mut stream).unwrap().status, 400);
}

/// A proxy of another program; it ends when this is dropped.
struct Proxy {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn certificate(name: &str) -> PathBuf {
    seatmeter_e2e::root().join("tests/certificates").join(name)
}

/// Return where a program is, or say that the test is skipped.
fn program(name: &str) -> Option<PathBuf> {
    let path =
        ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
    let found = path.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not on this machine (apt-get install {name})");
    }
    found
}

/// Return a sample of the project with each text replaced, which must be in it.
fn sample(name: &str, replaced: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(seatmeter_e2e::root().join("deploy").join(name)).unwrap();
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "deploy/{name} has no {from}");
        text.replace(from, to)
    })
}

impl Proxy {
    /// Run a proxy that listens at this address.
    fn run(command: &mut Command, address: SocketAddr, folder: tempfile::TempDir) -> Self {
        let process = command.stdin(Stdio::null()).spawn().unwrap();
        let mut proxy = Self { process, address, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = proxy.process.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{command:?}: {ended:?}");
            std::thread::yield_now();
        }
        proxy
    }

    fn nginx(server: SocketAddr) -> Option<Self> {
        let program = program("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let site = sample(
            "nginx.conf",
            &[
                ("server 127.0.0.1:48080", &format!("server {server}")),
                ("listen 443", &format!("listen {address}")),
                ("/etc/ssl/seatmeter/fullchain.pem", &certificate("server.pem").to_string_lossy()),
                ("/etc/ssl/seatmeter/private.pem", &certificate("server.key").to_string_lossy()),
            ],
        );
        let mut whole = "daemon off; master_process off; pid nginx.pid; events {}\n".to_owned();
        whole.push_str("http {\naccess_log off;\n");
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            whole.push_str(&format!("{kind}_temp_path {kind};\n"));
        }
        std::fs::write(folder.path().join("nginx.conf"), format!("{whole}{site}}}\n")).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
        Some(Self::run(&mut command, address, folder))
    }

    /// `version` is the word of HAProxy for the version of the PROXY protocol.
    fn haproxy(server: SocketAddr, version: &str) -> Option<Self> {
        let program = program("haproxy")?;
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let pem = ["server.pem", "server.key"]
            .map(|name| std::fs::read_to_string(certificate(name)).unwrap())
            .concat();
        let both = folder.path().join("both.pem");
        std::fs::write(&both, pem).unwrap();
        let sample = sample(
            "haproxy.cfg",
            &[
                ("server main 127.0.0.1:48080", &format!("server main {server}")),
                ("bind :443", &format!("bind {address}")),
                ("/etc/haproxy/seatmeter.pem", &both.to_string_lossy()),
                ("send-proxy-v2", version),
                // Each connection takes two descriptors, of which this machine may allow few.
                ("maxconn 8000", "maxconn 50"),
            ],
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, sample).unwrap();
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null());
        Some(Self::run(&mut command, address, folder))
    }

    fn caddy(server: SocketAddr) -> Option<Self> {
        let program = program("caddy")?;
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let pair = ["server.pem", "server.key"].map(|name| certificate(name).display().to_string());
        // Without a name, so that it needs no certificate of a public authority.
        let site = format!(
            "https://:{} {{\n\tbind {}\n\ttls {} {}\n",
            address.port(),
            address.ip(),
            pair[0],
            pair[1]
        );
        let sample = sample(
            "Caddyfile",
            &[
                ("license.example {\n", &site),
                ("reverse_proxy 127.0.0.1:48080", &format!("reverse_proxy {server}")),
            ],
        );
        let whole = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{sample}");
        let file = folder.path().join("Caddyfile");
        std::fs::write(&file, whole).unwrap();
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        command.env("HOME", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        for variable in ["XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, folder.path());
        }
        Some(Self::run(&mut command, address, folder))
    }

    /// Send a request over TLS, from this address of the machine.
    fn send(&self, from: [u8; 4], request: Request) -> Option<Answer> {
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(certificate("ca.pem")).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = "license.example".try_into().unwrap();
        let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        request.over(&mut rustls::StreamOwned::new(session, connect_from(from, self.address)))
    }
}

/// Connect from one of the many addresses that this machine has on loopback.
fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What every proxy must do: a device gets its license over TLS, one client's limit is not
/// another's, and nobody is taken for a program of this machine.
fn is_passed_through(proxy: &Proxy) {
    let asked_for =
        AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&id(), 1) };
    let (body, nonce) = (serde_json::to_vec(&asked_for).unwrap(), id());
    let device = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce).sign();
    let answer = proxy.send([127, 0, 0, 5], device).unwrap();
    assert_eq!(answer.status, 200);
    let granted: AuthorizationAnswer = answer.json();
    let file: seatmeter_protocol::license::LicenseFile =
        granted.license_file.open(&granted.root_key).unwrap();
    answer.verify(&body, &nonce, &file.server_key).unwrap();

    let status =
        |from, headers: &[(&str, &str)]| proxy.send(from, with(asked(), headers)).unwrap().status;
    let pretended = |n| format!("198.51.100.{n}");
    assert!((0..MANY).any(|n| {
        let pretended = pretended(n);
        let newer = format!("for={pretended}");
        status([127, 0, 0, 2], &[("x-forwarded-for", &pretended), ("forwarded", &newer)])
            == TOO_MANY
    }));
    assert_eq!(status([127, 0, 0, 3], &[]), 400);
    let admin = Request::new("GET", "/admin/v1/items").header("host", "127.0.0.1");
    assert_ne!(proxy.send([127, 0, 0, 4], admin).unwrap().status, 200);
}

#[test]
fn nginx_ends_tls_and_says_for_whom_it_asks() {
    let (server, _folder) = serve(&[]);
    let Some(proxy) = Proxy::nginx(server.address) else { return };
    is_passed_through(&proxy);
}

#[test]
fn caddy_ends_tls_and_says_for_whom_it_asks() {
    let (server, _folder) = serve(&[]);
    let Some(proxy) = Proxy::caddy(server.address) else { return };
    is_passed_through(&proxy);
}

#[test]
fn haproxy_ends_tls_and_says_for_whom_it_connects() {
    for version in ["send-proxy-v2", "send-proxy"] {
        let (server, _folder) = serve(&["--proxy-protocol"]);
        let Some(proxy) = Proxy::haproxy(server.address, version) else { return };
        is_passed_through(&proxy);
    }
}
