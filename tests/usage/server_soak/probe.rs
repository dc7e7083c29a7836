//! Clients that ask the server over TLS all the time, and note each request that fails while it
//! runs.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use seatmeter_e2e::server::TroubledServer;

const THREADS: usize = 3;

/// The bound of one request.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(3);

/// The probes of a server.
pub(super) struct Probes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the probes have in common.
pub(super) struct Shared {
    address: String,
    client: Arc<ClientConfig>,
    /// How often the server went down or came back. It is odd while the server is down.
    turns: AtomicU64,
    ends: AtomicBool,
    /// The number of requests with an answer.
    pub(super) asked: AtomicU64,
    /// The number of answers that the server is not ready.
    pub(super) not_ready: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Probes {
    pub(super) fn begin(server: &TroubledServer) -> Self {
        let shared = Arc::new(Shared {
            address: server.tls_address().to_owned(),
            client: client(&server.ca_file()),
            turns: AtomicU64::new(0),
            ends: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            not_ready: AtomicU64::new(0),
            failures: Mutex::default(),
        });
        let threads = (0..THREADS).map(|number| {
            let shared = shared.clone();
            std::thread::Builder::new().spawn(move || shared.ask_until_the_end(number)).unwrap()
        });
        Self { threads: threads.collect(), shared }
    }

    /// Do something during which the server does not answer.
    pub(super) fn server_is_down(&self, work: impl FnOnce()) {
        self.shared.turns.fetch_add(1, Ordering::SeqCst);
        work();
        self.shared.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// Check that no request has failed while the server ran.
    pub(super) fn check(&self) {
        let failures = self.shared.failures.lock().unwrap();
        assert!(failures.is_empty(), "requests failed while the server ran: {failures:?}");
    }

    /// Check that new connections get the newest certificate within a while.
    pub(super) fn check_certificate(&self, server: &TroubledServer) {
        let wanted = CertificateDer::from_pem_file(server.certificate_file()).unwrap();
        let begun = Instant::now();
        while self.shared.connect().unwrap().conn.peer_certificates().unwrap()[0] != wanted {
            assert!(begun.elapsed() < PATIENCE, "the newest certificate is not used");
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn end(self) -> Arc<Shared> {
        self.shared.ends.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.shared
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Shared {
    fn ask_until_the_end(&self, number: usize) {
        let mut kept: Option<(u64, Stream)> = None;
        while !self.ends.load(Ordering::SeqCst) {
            let turn = self.turns.load(Ordering::SeqCst);
            // A connection from before a kill is broken. One of the probes keeps none.
            let usable = kept.take().filter(|(made, _)| *made == turn && number > 0);
            let path = if number == 1 { "/readyz" } else { "/healthz" };
            let asked = match usable {
                Some((_, stream)) => ask(stream, path),
                None => self.connect().and_then(|stream| ask(stream, path)),
            };
            match asked {
                Ok((stream, status)) => {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    self.not_ready.fetch_add(u64::from(status == 503), Ordering::SeqCst);
                    kept = Some((turn, stream));
                }
                Err(_) if turn % 2 == 1 || self.turns.load(Ordering::SeqCst) != turn => {}
                Err(error) => self.failures.lock().unwrap().push(format!("{path}: {error}")),
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn connect(&self) -> Result<Stream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(self.client.clone(), name).map_err(Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

/// Ask for this path, and return the status: 200, or 503 from a server that is not ready.
fn ask(mut stream: Stream, path: &str) -> Result<(Stream, u16)> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let (mut bytes, mut portion) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let field = |name| head.split(name).nth(1).and_then(|rest| rest.lines().next());
            let length: usize = field("content-length: ").and_then(|l| l.parse().ok()).unwrap();
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
            if body.len() >= length {
                let is_known = status == 200 || status == 503 && path == "/readyz";
                assert!(is_known, "{path}: {text}");
                return Ok((stream, status));
            }
        }
        match stream.read(&mut portion)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&portion[..length]),
        }
    }
}

fn client(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(client)
}
