//! Webhooks by https: a receiver in this process with a certificate, which may be a wrong one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&pair).unwrap().der().clone();
        Self { issuer: Issuer::new(params, pair), certificate }
    }

    /// Return the server's side of TLS with a certificate for this name until this year.
    fn certify(&self, name: &str, until: i32) -> Arc<ServerConfig> {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&pair, &self.issuer).unwrap().der().clone();
        let key = PrivatePkcs8KeyDer::from(pair.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .unwrap();
        Arc::new(config)
    }

    /// Return the way to a receiver, by which this authority is trusted.
    fn way(&self, port: u16) -> Ways {
        let url = format!("https://localhost:{port}/hook");
        let config = trust::client_config(vec![self.certificate.clone()]).unwrap();
        let signers = vec![Signer::read(SECRET).unwrap()];
        let networks = vec!["127.0.0.0/8".parse().unwrap()];
        let webhook = Webhook::new(&url, signers, networks, config).unwrap();
        Ways { webhook: Some(webhook), ..Ways::default() }
    }
}

/// A receiver that takes this many connections, answers what it can read, and passes on the first
/// line and the signature of each request.
fn receive(config: Arc<ServerConfig>, count: usize) -> (u16, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, received) = mpsc::channel();
    let serve = move || {
        for _ in 0..count {
            let (stream, _) = listener.accept().unwrap();
            let session = ServerConnection::new(config.clone()).unwrap();
            // A client that does not trust the certificate leaves.
            if let Ok(request) = answer(StreamOwned::new(session, stream)) {
                let _ = send.send(request);
            }
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    (port, received)
}

fn answer(
    stream: StreamOwned<ServerConnection, std::net::TcpStream>,
) -> std::io::Result<(String, String)> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut signature, mut length) = (String::new(), String::new(), 0);
    if reader.read_line(&mut first)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        match line.trim_end().split_once(": ") {
            Some(("webhook-signature", value)) => value.clone_into(&mut signature),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let mut stream = reader.into_inner();
    stream.write_all(b"HTTP/1.1 204 Told\r\ncontent-length: 0\r\n\r\n")?;
    stream.flush()?;
    Ok((first.trim_end().to_owned(), signature))
}

/// Tell a test event in this way. Return the state of its delivery, and why it failed.
fn attempt(way: &Ways) -> (String, String) {
    let server = TestServer::with_items(vec![scan_item(100)]);
    change(&server, Change::TestAlerts);
    assert_eq!(tell(&server, way), 1);
    let delivery = events(&server)[0].deliveries[0].clone();
    (delivery.state, delivery.last_error)
}

#[test]
fn an_event_is_posted_by_tls_to_a_receiver_whose_authority_is_trusted() {
    let authority = Authority::new();
    let (port, received) = receive(authority.certify("localhost", 2099), 1);
    assert_eq!(attempt(&authority.way(port)), ("done".to_owned(), String::new()));
    let (first, signature) = received.recv().unwrap();
    assert_eq!(first, "POST /hook HTTP/1.1");
    assert!(signature.starts_with("v1,"), "{signature}");
}

#[test]
fn a_receiver_with_a_wrong_certificate_gets_nothing() {
    let (trusted, other) = (Authority::new(), Authority::new());
    for (wrong, config) in [
        ("of an authority that is not trusted", other.certify("localhost", 2099)),
        ("for another name", trusted.certify("elsewhere.example", 2099)),
        ("that has ended", trusted.certify("localhost", 2020)),
    ] {
        let (port, received) = receive(config, 1);
        let (state, why) = attempt(&trusted.way(port));
        assert!(state == "waiting" && why.contains("(TLS)"), "{wrong}: {state}: {why}");
        // The receiver has ended, and with it the channel.
        assert!(received.recv().is_err(), "a certificate {wrong} was trusted");
    }
}

#[test]
fn a_receiver_without_tls_gets_nothing_by_https() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, received) = mpsc::channel();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 4];
        stream.read_exact(&mut first).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        send.send(first).unwrap();
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    let (state, why) = attempt(&Authority::new().way(port));
    assert!(state == "waiting" && why.contains("(TLS)"), "{state}: {why}");
    assert_ne!(&received.recv().unwrap(), b"POST");
}
