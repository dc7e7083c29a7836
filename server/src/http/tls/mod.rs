//! TLS: the certificate that clients see, handshakes, and the certificates of admin clients.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | handshakes, and what they say of a client |
//! | `certificate.rs` | the files of a certificate, checked, as a configuration of rustls |
//! | `renewal.rs` | the files are read again when they change, without a break |
//! | `trust.rs` | the other side: which servers this program trusts |
//!
//! A handshake is the costliest thing that a stranger can ask for. Its signature is made in turns,
//! on at most half of the cores, so that a storm of new connections leaves the others served.

mod certificate;
mod renewal;
pub mod trust;

use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::{Mutex, RwLock};
use rustls::AlertDescription;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Web;
use super::budget::{BodyBudget, Http2Room};
use super::listen::Client;
use crate::error::Error;
use crate::log_lines::Pace;
use crate::problem::ProblemKind;
use crate::utc;
use certificate::Loaded;
pub use certificate::TlsFiles;
use renewal::Seen;

/// The first byte of a TLS connection: the type of a record with a handshake message.
const HANDSHAKE_RECORD: u8 = 0x16;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The answer to a client that speaks plain HTTP where TLS is spoken.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: \
    close\r\n\r\nThis address of seatmeterd speaks TLS: use https:// instead.\n";

/// The TLS side of a server, with a certificate that can be renewed while it serves.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// The certificate for the next handshake.
    in_use: RwLock<Loaded>,
    /// The state of the files when they were last read.
    seen: Mutex<Seen>,
    /// The turns of making a signature.
    turns: Semaphore,
}

impl Tls {
    /// Read the certificate and its key.
    ///
    /// # Errors
    /// Fails when a file cannot be used; the sentence names it and says what to do.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, Error> {
        let contents = files.read()?;
        let seen = Mutex::new(Seen::in_use(contents.digest()));
        let loaded = files.configure(&contents)?;
        loaded.warn(&files);
        let (names, ends) = (loaded.names.join(", "), utc::text(loaded.ends_at));
        tracing::info!(names, ends, "the certificate is in use");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Semaphore::new((cores / 2).max(1));
        Ok(Arc::new(Self { files, in_use: RwLock::new(loaded), seen, turns }))
    }

    /// Return the end of the certificate that is in use, Unix seconds.
    #[must_use]
    pub fn ends_at(&self) -> u64 {
        self.in_use.read().ends_at
    }

    /// Make the handshake with a client, within this time. If it gets HTTP/2, return its room in
    /// the budget, too.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        bodies: &BodyBudget,
        time_max: Option<Duration>,
    ) -> IoResult<(TlsStream<TcpStream>, Option<Http2Room>)> {
        let handshake = self.handshake(stream, address, bodies);
        match time_max {
            Some(time) => tokio::time::timeout(time, handshake)
                .await
                .unwrap_or_else(|_| Err(IoError::new(ErrorKind::TimedOut, "a slow handshake"))),
            None => handshake.await,
        }
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        bodies: &BodyBudget,
    ) -> IoResult<(TlsStream<TcpStream>, Option<Http2Room>)> {
        // The tickets for the next handshake and the first answer are written one after the other.
        // The second must not wait until the client has confirmed the first.
        stream.set_nodelay(true)?;
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
            stream.write_all(SPEAK_TLS.as_bytes()).await?;
            stream.shutdown().await?;
            return Err(IoError::new(ErrorKind::InvalidData, "the client does not speak TLS"));
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let offers_http2 =
            hello.client_hello().alpn().is_some_and(|mut offered| offered.any(|p| p == HTTP2));
        let room = if offers_http2 { bodies.http2() } else { None };
        let config = {
            let in_use = self.in_use.read();
            if room.is_some() { in_use.config.clone() } else { in_use.http1.clone() }
        };
        let answered = {
            // The semaphore is never closed.
            let _turn = self.turns.acquire().await;
            hello.into_stream(config)
        };
        let stream = answered.await.inspect_err(|error| tell_of_distrust(error, address))?;
        Ok((stream, room))
    }
}

/// The pace of the line about clients that do not trust the certificate.
static DISTRUST: Pace = Pace::per_minute();

/// Log that a client does not trust the certificate, if this is why its handshake failed. The
/// client says so itself, and otherwise only its own log has it.
fn tell_of_distrust(error: &IoError, address: SocketAddr) {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = inner else { return };
    let is_distrust = matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
    );
    if let Some(before) = is_distrust.then(|| DISTRUST.due()).flatten() {
        tracing::info!(
            %address,
            before,
            "a client does not trust the certificate of this server ({alert:?}): check the \
             certificate's names and end, and give the client its CA, on devices by \
             SEATMETER_CA_FILE"
        );
    }
}

/// Return whether the client has agreed to speak HTTP/2.
pub(super) fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Return whether the client has shown a certificate. The handshake has verified it.
pub(super) fn has_certificate(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.peer_certificates().is_some_and(|shown| !shown.is_empty())
}

/// Refuse a request of the admin API without a client certificate, if the operator demands one.
pub(super) async fn require_client_certificate(
    State(web): State<Arc<Web>>,
    request: Request,
    next: Next,
) -> Response {
    let client = request.extensions().get::<Client>();
    if web.admin_needs_certificate && !client.is_some_and(|client| client.has_certificate) {
        let detail = "the admin API of this server requires a client certificate (it runs with \
            --admin-client-ca): connect by https:// with a certificate of this authority, as in \
            curl --cert FILE --key FILE";
        return Error::of(ProblemKind::Forbidden, detail).into_response();
    }
    next.run(request).await
}
