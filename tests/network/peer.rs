//! Peers: sockets that do what a test says.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificate;

/// Serve every connection with `behave`, each on a thread of its own, until the test program ends.
/// Return the port.
pub(crate) fn peer(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    peer_at(TcpListener::bind("127.0.0.1:0").unwrap(), behave)
}

pub(crate) fn peer_at(
    listener: TcpListener,
    behave: impl Fn(TcpStream) + Send + Sync + 'static,
) -> u16 {
    let port = listener.local_addr().unwrap().port();
    let behave = Arc::new(behave);
    on_a_thread(move || {
        for stream in listener.incoming().flatten() {
            let behave = behave.clone();
            on_a_thread(move || behave(stream));
        }
    });
    port
}

pub(crate) fn on_a_thread(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(run).unwrap();
}

/// Read the head of a request or an answer, up to the empty line.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Send nothing more until the other end has gone.
pub(crate) fn stall(mut stream: impl Read) {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).is_ok_and(|n| n > 0) {}
}

/// Start a peer that sends this, and then nothing.
pub(crate) fn says_then_stalls(text: &'static str) -> u16 {
    peer(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(text.as_bytes());
        stall(stream);
    })
}

/// Start a peer that sends this and closes the connection.
pub(crate) fn says(text: impl Into<Vec<u8>>) -> u16 {
    let text = text.into();
    peer(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(&text);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stall(stream);
    })
}

/// Return a port at which nobody answers: packets to it are dropped, because its queue is full.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _fill: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        Self::at(TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap())
    }

    pub(crate) fn at(listener: TcpListener) -> Self {
        // SAFETY: this shortens the queue of our own socket; no memory is involved.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let address = listener.local_addr().unwrap();
        let timeout = std::time::Duration::from_millis(200);
        let fill = std::iter::from_fn(|| TcpStream::connect_timeout(&address, timeout).ok());
        // Fewer connections than this fill a queue that is so short.
        let fill: Vec<_> = fill.take(64).collect();
        assert!(fill.len() < 64, "this system has no black holes");
        Self { address, _listener: listener, _fill: fill }
    }
}

/// Start a peer that speaks TLS with the certificate of the tests, and does this inside.
pub(crate) fn tls_peer(
    behave: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> u16 {
    tls_peer_showing("server.pem", behave)
}

/// Start a peer with this certificate. It need not have the key.
pub(crate) fn tls_peer_showing(
    shown: &str,
    behave: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> u16 {
    let certificates = CertificateDer::pem_file_iter(certificate(shown)).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(certificates.collect::<Result<_, _>>().unwrap(), key);
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let config = Arc::new(config);
    peer(move |stream| {
        behave(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream));
    })
}

/// Return a complete answer.
pub(crate) const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
