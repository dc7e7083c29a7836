//! TLS: certificates that are renewed, broken or wrong (`certificates`), clients that are slow, and
//! the two versions of HTTP (`connections`), standby and doctor (`peers`).

mod certificates;
mod connections;
mod peers;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use seatmeter_server::http::tls::TlsFiles;

use crate::cli::{Served, seatmeterd, stdout};

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
        self.answer()
    }

    /// The next answer.
    fn answer(&mut self) -> std::io::Result<(u16, String)> {
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
