//! TLS: certificates that are renewed, broken or wrong, clients that are slow, and the two versions
//! of HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::*;
use seatmeter_server::http::listen::{ConnectionLimits, Listener};
use seatmeter_server::http::tls::{Tls, TlsFiles};
use seatmeter_server::http::{self, Web};

use crate::cli::{Served, failure, seatmeterd, stdout};
use crate::support::*;

/// Bound on every wait of a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data directory, and the files of `seatmeterd tls self-signed` beside it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        stdout(&place.data(), &["init", "--demo"]);
        place.certify(&["--client", "ops"]);
        place
    }

    /// Makes a certificate, or renews it.
    fn certify(&self, more: &[&str]) -> String {
        let out = self.path("tls");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
        command.args(["tls", "self-signed", "--host", "localhost", "127.0.0.1", "--out"]).arg(out);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.path("tls/server.pem"),
            key: self.path("tls/server.key"),
            admin_client_ca: None,
        }
    }

    /// The command of a server with the certificate, whose log goes to the file `log`.
    fn command(&self, more: &[&str]) -> Command {
        let listens =
            if more.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let mut command = seatmeterd(&self.data(), &["serve"]);
        command.args(listens).args(more);
        command.arg("--tls-cert").arg(self.path("tls/server.pem"));
        command.arg("--tls-key").arg(self.path("tls/server.key"));
        command.stderr(fs::File::create(self.path("log")).unwrap());
        command
    }

    fn serve(&self, more: &[&str]) -> Served {
        Served::run(self.command(more))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until the log has this.
    fn wait_for_log(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "no {text:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A client that trusts the authority.
    fn client(&self) -> ClientConfig {
        client(&self.path("tls/ca.pem"), None)
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVersions> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
}

fn client(ca: &Path, certificate: Option<&Path>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let builder = builder().with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match certificate {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let chain = vec![CertificateDer::from_pem_file(path).unwrap()];
            let key = PrivateKeyDer::from_pem_file(path.with_extension("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A connection that is kept.
struct Kept(StreamOwned<ClientConnection, TcpStream>);

impl Kept {
    fn open(address: SocketAddr, client: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(client.clone(), name).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    /// The certificate that the server has shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut portion = [0; 4_096];
        loop {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return Ok((status, body.to_owned()));
                }
            }
            match self.0.read(&mut portion)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                length => bytes.extend_from_slice(&portion[..length]),
            }
        }
    }
}

/// The status of one request over a connection of its own.
fn get(address: SocketAddr, client: &Arc<ClientConfig>, path: &str) -> std::io::Result<u16> {
    Kept::open(address, client)?.get(path).map(|(status, _)| status)
}

#[test]
fn a_certificate_for_a_trial_is_made_with_what_to_set_and_kept_secret() {
    let place = Place::new();
    let told = place.certify(&[]);
    assert!(told.contains("renewed the certificate"), "{told}");
    assert!(told.contains("SEATMETER_CA_FILE=/path/to/ca.pem"), "{told}");
    assert!(told.contains("--tls-cert") && told.contains("https://localhost:48080"), "{told}");
    for key in ["ca.key", "server.key", "client-ops.key"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(place.path("tls").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{key}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    let wrong = command.args(["tls", "self-signed", "--host", "https://a.example", "--out"]);
    let wrong = wrong.arg(place.path("none")).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("without scheme and port"));
    assert!(!place.path("none").exists());
}

#[test]
fn tls_and_plain_http_are_served_side_by_side() {
    let place = Place::new();
    let more = ["--listen", "127.0.0.1:0", "--listen", "http://127.0.0.1:0"];
    let mut child = place.command(&more).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = |scheme: &str| -> SocketAddr {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(&format!("seatmeterd listening on {scheme}://")).unwrap().parse().unwrap()
    };
    let (tls, plain) = (address("https"), address("http"));
    assert_eq!(get(tls, &Arc::new(place.client()), "/healthz").unwrap(), 200);
    assert_eq!(Request::new("GET", "/healthz").send(plain).status, 200);
    // Who forgets the "s" learns it.
    let mut stream = TcpStream::connect(tls).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut told = String::new();
    let _ = stream.read_to_string(&mut told);
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("https://"), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn options_that_do_not_fit_together_and_files_that_cannot_be_used_are_named() {
    let place = Place::new();
    let (certificate, key) = (place.path("tls/server.pem"), place.path("tls/server.key"));
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let told = |arguments: &[&str]| {
        let listen =
            if arguments.contains(&"--listen") { vec![] } else { vec!["--listen", "127.0.0.1:0"] };
        failure(&place.data(), &[&["serve"], &listen[..], arguments].concat())
    };
    let with = |certificate: &str, key: &str| told(&["--tls-cert", certificate, "--tls-key", key]);
    assert!(told(&["--tls-cert", certificate]).contains("needs --tls-key"));
    assert!(told(&["--tls-key", key]).contains("needs --tls-cert"));
    assert!(told(&["--admin-client-ca", certificate]).contains("needs --tls-cert"));
    assert!(told(&["--listen", "https://127.0.0.1:0"]).contains("tls self-signed"));
    let plain = ["--listen", "http://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
    assert!(told(&plain).contains("of no use"));
    assert!(with("/missing.pem", key).contains("--tls-cert /missing.pem cannot be used"));
    assert!(with(key, certificate).contains("Swap the files"));
    let other = place.path("tls/ca.key");
    let mismatch = with(certificate, other.to_str().unwrap());
    assert!(mismatch.contains("does not belong to the first certificate"), "{mismatch}");
    let text = fs::read_to_string(certificate).unwrap();
    let half = place.path("half.pem");
    fs::write(&half, &text[..text.len() / 2]).unwrap();
    assert!(with(half.to_str().unwrap(), key).contains("half.pem cannot be used"));
    fs::write(
        &half,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(with(certificate, half.to_str().unwrap()).contains("openssl pkey"));
}

#[test]
fn an_ended_certificate_a_readable_key_and_plain_http_are_warned_of() {
    let place = Place::new();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&pair).unwrap().pem();
    fs::write(place.path("tls/server.pem"), certificate).unwrap();
    fs::write(place.path("tls/server.key"), pair.serialize_pem()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(place.path("tls/server.key"), readable).unwrap();
    drop(place.serve(&["--listen", "127.0.0.1:0", "--listen", "http://0.0.0.0:0"]));
    let log = place.log();
    assert!(log.contains("ended on 2020-01-01"), "{log}");
    assert!(log.contains("chmod o= ") && log.contains("server.key"), "{log}");
    assert!(log.contains("plain HTTP at 0.0.0.0:"), "{log}");
    drop(place.serve(&["--listen", "0.0.0.0:0"]));
    assert!(!place.log().contains("plain HTTP"), "{}", place.log());
}

#[test]
fn certificates_are_renewed_under_load_without_a_failed_request() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (address, client) = (server.address, Arc::new(place.client()));
    let ends = AtomicBool::new(false);
    let (asked, renewals) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (client, ends, asked) = (&client, &ends, &asked);
            scope.spawn(move || {
                let mut kept = Kept::open(address, client).unwrap();
                while !ends.load(Ordering::SeqCst) {
                    assert_eq!(kept.get("/healthz").unwrap().0, 200, "on a kept connection");
                    if n % 2 == 0 {
                        let status = get(address, client, "/healthz").unwrap();
                        assert_eq!(status, 200, "on a new connection");
                    }
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let renewed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut before = Kept::open(address, &client).unwrap().shown();
            for n in 0..4 {
                place.certify(&[]);
                // The files are read again by themselves, and at once when somebody asks.
                if n > 0 {
                    server.send("-HUP");
                }
                let begun = Instant::now();
                loop {
                    let shown = Kept::open(address, &client).unwrap().shown();
                    if shown != before {
                        before = shown;
                        break;
                    }
                    assert!(begun.elapsed() < PATIENCE, "the new certificate is not used");
                    std::thread::sleep(Duration::from_millis(20));
                }
                renewals.fetch_add(1, Ordering::SeqCst);
            }
        }));
        ends.store(true, Ordering::SeqCst);
        renewed.unwrap();
    });
    assert_eq!(renewals.load(Ordering::SeqCst), 4);
    assert!(asked.load(Ordering::SeqCst) > 20);
    assert!(place.log().contains("was read again"), "{}", place.log());
}

#[test]
fn a_half_written_renewal_keeps_the_old_certificate() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = Arc::new(place.client());
    let before = Kept::open(server.address, &client).unwrap().shown();
    let path = place.path("tls/server.pem");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    server.send("-HUP");
    place.wait_for_log("the certificate in use stays");
    assert!(place.log().contains("server.pem cannot be used"), "{}", place.log());
    assert_eq!(Kept::open(server.address, &client).unwrap().shown(), before);
    place.certify(&[]);
    place.wait_for_log("was read again");
    assert_ne!(Kept::open(server.address, &client).unwrap().shown(), before);
    assert_eq!(place.log().matches("the certificate in use stays").count(), 1, "{}", place.log());
}

#[test]
fn both_versions_of_tls_are_spoken_and_sessions_are_resumed() {
    let place = Place::new();
    let server = place.serve(&[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(place.path("tls/ca.pem")).unwrap()).unwrap();
        let client = builder().with_protocol_versions(&[version]).unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let client = Arc::new(client);
        let kind = |kept: &Kept| kept.0.conn.handshake_kind();
        let mut first = Kept::open(server.address, &client).unwrap();
        assert_eq!(kind(&first), Some(HandshakeKind::Full));
        // Under TLS 1.3 the ticket comes with the first answer.
        assert_eq!(first.get("/healthz").unwrap().0, 200);
        let mut second = Kept::open(server.address, &client).unwrap();
        assert_eq!(kind(&second), Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(second.get("/healthz").unwrap().0, 200);
    }
}

#[test]
fn the_admin_api_requires_a_client_certificate_where_its_authority_is_named() {
    let place = Place::new();
    let ca = place.path("tls/ca.pem");
    let more = ["--admin-loopback", "--admin-client-ca", ca.to_str().unwrap()];
    let server = place.serve(&more);
    let items = "/admin/v1/items";
    let without = Arc::new(place.client());
    let (status, body) = Kept::open(server.address, &without).unwrap().get(items).unwrap();
    assert_eq!(status, 403);
    assert!(body.contains("client certificate") && body.contains("--admin-client-ca"), "{body}");
    assert_eq!(get(server.address, &without, "/admin/v1/openapi.json").unwrap(), 403);
    assert_eq!(get(server.address, &without, "/readyz").unwrap(), 200, "devices have none");
    let with = Arc::new(client(&ca, Some(&place.path("tls/client-ops.pem"))));
    assert_eq!(get(server.address, &with, items).unwrap(), 200);
    // One of another authority, as anybody can make it.
    let stranger = Place::new();
    let foreign = Arc::new(client(&ca, Some(&stranger.path("tls/client-ops.pem"))));
    assert!(get(server.address, &foreign, items).is_err());
    // That of a server, which is not for clients.
    let other_use = Arc::new(client(&ca, Some(&place.path("tls/server.pem"))));
    assert!(get(server.address, &other_use, items).is_err());
}

#[test]
fn plain_http_is_no_way_around_the_client_certificate() {
    let place = Place::new();
    let ca = place.path("tls/ca.pem");
    let more = ["--listen", "http://127.0.0.1:0", "--listen", "https://127.0.0.1:0"];
    let more = [&more[..], &["--admin-loopback", "--admin-client-ca", ca.to_str().unwrap()]];
    let server = place.serve(&more.concat());
    assert_eq!(Request::new("GET", "/admin/v1/items").send(server.address).status, 403);
    assert_eq!(Request::new("GET", "/healthz").send(server.address).status, 200);
}

/// A connection of HTTP/2, on a runtime of the test.
struct Http2 {
    runtime: tokio::runtime::Runtime,
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
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
        let request = request.body(Full::default()).unwrap();
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
            let request = request.body(Full::default()).unwrap();
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

#[test]
fn a_standby_watches_its_main_server_over_tls() {
    let place = Place::new();
    let main = place.serve(&[]);
    let url = format!("https://localhost:{}", main.address.port());
    let standby_data = place.path("standby");
    stdout(&standby_data, &["init", "--demo"]);
    let ca = place.path("tls/ca.pem");
    let standby = |ca: Option<&Path>| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--standby", "--peer", &url];
        let mut command = seatmeterd(&standby_data, &arguments);
        command.env_remove("SEATMETER_CA_FILE").envs(ca.map(|ca| ("SEATMETER_CA_FILE", ca)));
        command.stderr(fs::File::create(place.path("standby.log")).unwrap());
        Served::run(command)
    };
    let asked = AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&id(), 1) };
    let body = serde_json::to_vec(&asked).unwrap();
    let ask = |address| {
        Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id()).send(address)
    };
    let watching = standby(Some(&ca));
    let problem = ask(watching.address).problem();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY);
    main.kill();
    let begun = Instant::now();
    while ask(watching.address).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "the standby does not take over");
        std::thread::sleep(Duration::from_millis(100));
    }
    // A main server whose certificate is not trusted counts as down, and the log says why.
    let main = place.serve(&["--listen", &format!("127.0.0.1:{}", main_port(&url))]);
    drop(watching);
    let distrusting = standby(None);
    assert_eq!(ask(distrusting.address).status, 200);
    let log = fs::read_to_string(place.path("standby.log")).unwrap();
    assert!(log.contains("TLS: ") && log.contains("UnknownIssuer"), "{log}");
    drop(main);
    let missing = ["serve", "--standby", "--peer", &url, "--peer-ca", "/missing.pem"];
    assert!(failure(&standby_data, &missing).contains("/missing.pem cannot be used"));
    assert!(failure(&standby_data, &["serve", "--standby"]).contains("needs --peer"));
    assert!(failure(&standby_data, &["serve", "--peer", &url]).contains("without --standby"));
}

fn main_port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

#[test]
fn the_doctor_checks_a_server_with_tls_and_warns_of_one_without() {
    let place = Place::new();
    let server = place.serve(&["--listen", "https://127.0.0.1:0", "--listen", "http://0.0.0.0:0"]);
    let doctor = |url: &str, ca: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
        command.args(["doctor", "--server", url, "--state-dir"]).arg(place.path("state"));
        command.args(ca.map(|_| "--ca-file")).args(ca).env_remove("SEATMETER_CA_FILE");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let url = format!("https://localhost:{}", server.address.port());
    let told = doctor(&url, Some(&place.path("tls/ca.pem")));
    assert!(
        told.contains("ok       TLS          the server's certificate is trusted, until "),
        "{told}"
    );
    assert!(told.contains("a license server answers"), "{told}");
    let told = doctor(&url, None);
    assert!(told.contains("BROKEN   TLS"), "{told}");
    place.certify(&["--days", "3"]);
    server.send("-HUP");
    place.wait_for_log("ends on");
    let told = doctor(&url, Some(&place.path("tls/ca.pem")));
    assert!(told.contains("warning  TLS") && told.contains("renew it"), "{told}");
    let log = place.log();
    let plain = plain_address(&log);
    let told = doctor(&format!("http://{plain}"), None);
    assert!(
        told.contains("warning  TLS") && told.contains("session passwords can be read"),
        "{told}"
    );
}

fn plain_address(log: &str) -> &str {
    let rest = log.split("listening on http://").nth(1).unwrap();
    rest.split_whitespace().next().unwrap()
}
