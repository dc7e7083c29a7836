//! The files of a certificate: read within bounds, checked, and made a configuration of rustls.
//!
//! Each message names the file and says what to do, because most certificates are made by people
//! who do it once a year.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

use super::{HTTP1, HTTP2};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::named_file::read_named;
use crate::utc;

/// The greatest size of a file in bytes. A chain of certificates has some thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The time before the end of a certificate from which the log reminds of it.
const REMIND_SECONDS: u64 = 7 * 86_400;

/// The files of a server's certificate, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those of its issuers.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The authority whose certificates admin clients have to show.
    pub admin_client_ca: Option<PathBuf>,
}

/// The contents of the files at one instant.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    admin_client_ca: Option<Vec<u8>>,
}

impl Contents {
    /// Return a digest by which a change is noticed. The key itself is not kept.
    pub(super) fn digest(&self) -> Vec<u8> {
        let mut all = ring::digest::Context::new(&ring::digest::SHA256);
        for file in [Some(&self.certificate), Some(&self.key), self.admin_client_ca.as_ref()] {
            let bytes = file.map_or(&[][..], Vec::as_slice);
            all.update(&(bytes.len() as u64).to_be_bytes());
            all.update(bytes);
        }
        all.finish().as_ref().to_vec()
    }
}

/// A certificate that can be used.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// The configuration for a client that gets no HTTP/2.
    pub(super) http1: Arc<ServerConfig>,
    /// The host names and addresses for which it is valid.
    pub(super) names: Vec<String>,
    starts_at: u64,
    pub(super) ends_at: u64,
    /// Whether it is a certificate for signing others.
    is_ca: bool,
}

impl TlsFiles {
    /// Read the files.
    pub(super) fn read(&self) -> Result<Contents, Error> {
        Ok(Contents {
            certificate: read("--tls-cert", &self.certificate)?,
            key: read("--tls-key", &self.key)?,
            admin_client_ca: self
                .admin_client_ca
                .as_deref()
                .map(|path| read("--admin-client-ca", path))
                .transpose()?,
        })
    }

    /// Check that the contents belong together, and make a configuration of them.
    pub(super) fn configure(&self, contents: &Contents) -> Result<Loaded, Error> {
        let chain = certificates("--tls-cert", &self.certificate, &contents.certificate)?;
        let key = self.private_key(&contents.key)?;
        let facts = chain.first().and_then(|first| Certificate::from_der(first).ok());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Internal(e.to_string()))?;
        let builder = match (&contents.admin_client_ca, &self.admin_client_ca) {
            (Some(pem), Some(path)) => {
                let roots = Arc::new(roots(path, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    // Devices have no certificate.
                    .allow_unauthenticated()
                    .build()
                    .map_err(|e| unusable("--admin-client-ca", path, &e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_single_cert(chain, key).map_err(|error| self.mismatch(&error))?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        // Clients resume by tickets that the server need not remember. Each certificate has new
        // ones, so that a resumed session is never older than the authority of admin clients.
        config.ticketer = rustls::crypto::ring::Ticketer::new()
            .map_err(|e| Error::Internal(format!("the system gives no random numbers: {e}")))?;
        Ok(Loaded::new(config, facts.as_ref()))
    }

    fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
        let path = &self.key;
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            PemError::NoItemsFound if contains(pem, "ENCRYPTED PRIVATE KEY") => unusable(
                "--tls-key",
                path,
                &format!(
                    "its key has a passphrase. Write it without one: openssl pkey -in {} -out \
                     NEW-FILE",
                    path.display()
                ),
            ),
            PemError::NoItemsFound if contains(pem, "BEGIN CERTIFICATE") => unusable(
                "--tls-key",
                path,
                "it holds a certificate and no private key. Swap the files",
            ),
            PemError::NoItemsFound => unusable(
                "--tls-key",
                path,
                "it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)",
            ),
            error => unusable("--tls-key", path, &format!("its PEM form is damaged: {error}")),
        })
    }

    fn mismatch(&self, error: &rustls::Error) -> Error {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match error {
            rustls::Error::InconsistentKeys(_) => Error::Setup(format!(
                "the private key in {key} does not belong to the first certificate in \
                 {certificate}. Name the key with which the certificate was requested, and put \
                 the server's own certificate before those of its issuers."
            )),
            rustls::Error::InvalidCertificate(_) => {
                unusable("--tls-cert", &self.certificate, &format!("{error}"))
            }
            other => unusable(
                "--tls-key",
                &self.key,
                &format!(
                    "{other}. Use a key for ECDSA P-256, \
                P-384, Ed25519 or RSA of 2048 bits or more"
                ),
            ),
        }
    }
}

impl Loaded {
    fn new(config: ServerConfig, facts: Option<&Certificate>) -> Self {
        let tbs = facts.map(|facts| &facts.tbs_certificate);
        let validity = tbs.map(|tbs| &tbs.validity);
        let is_ca = tbs.and_then(|tbs| tbs.get::<BasicConstraints>().ok().flatten());
        let names = tbs.and_then(|tbs| tbs.get::<SubjectAltName>().ok().flatten());
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![HTTP1.to_vec()];
        Self {
            config: Arc::new(config),
            http1: Arc::new(http1),
            names: names
                .map_or_else(Vec::new, |(_, names)| names.0.iter().filter_map(name_of).collect()),
            // A certificate that cannot be read here may still be good: clients decide.
            starts_at: validity.map_or(0, |v| v.not_before.to_unix_duration().as_secs()),
            ends_at: validity.map_or(u64::MAX, |v| v.not_after.to_unix_duration().as_secs()),
            is_ca: is_ca.is_some_and(|(_, constraints)| constraints.ca),
        }
    }

    /// Return whether clients with this time accept the certificate.
    pub(super) fn is_valid_at(&self, now: u64) -> bool {
        (self.starts_at..=self.ends_at).contains(&now)
    }

    /// Log what devices will not accept, and who can read the key.
    pub(super) fn warn(&self, files: &TlsFiles) {
        let certificate = files.certificate.display();
        self.remind(files);
        if self.is_ca {
            tracing::warn!(
                "the certificate in {certificate} is one for signing others, which devices refuse: \
                 make one with basicConstraints=CA:FALSE, or with \"seatmeterd tls self-signed\""
            );
        }
        if self.names.is_empty() {
            tracing::warn!(
                "the certificate in {certificate} names no host (subjectAltName), so devices \
                 refuse it: have one made with the name of this server"
            );
        }
        let key = &files.key;
        if std::fs::metadata(key).is_ok_and(|facts| facts.permissions().mode() & 0o007 != 0) {
            let key = key.display();
            tracing::warn!("everybody on this machine can read {key}: run chmod o= {key}");
        }
    }

    /// Log that the certificate has ended, or ends soon.
    pub(super) fn remind(&self, files: &TlsFiles) {
        let now = SystemClock.unix_seconds();
        let certificate = files.certificate.display();
        let (starts, ends) = (utc::text(self.starts_at), utc::text(self.ends_at));
        if self.ends_at < now {
            tracing::error!(
                "the certificate in {certificate} ended on {ends}: devices refuse it. Renew it; \
                 the server reads the new files by itself"
            );
        } else if self.ends_at - now < REMIND_SECONDS {
            tracing::warn!("the certificate in {certificate} ends on {ends}: renew it");
        }
        if self.starts_at > now {
            tracing::error!(
                "the certificate in {certificate} begins on {starts}: devices refuse it until \
                 then. Set the clock right, or wait"
            );
        }
    }
}

fn name_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes().len() {
            4 => <[u8; 4]>::try_from(bytes.as_bytes()).ok().map(|b| Ipv4Addr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(bytes.as_bytes()).ok().map(|b| Ipv6Addr::from(b).to_string()),
        },
        _ => None,
    }
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--admin-client-ca", path, pem)? {
        roots.add(certificate).map_err(|e| unusable("--admin-client-ca", path, &e.to_string()))?;
    }
    Ok(roots)
}

fn certificates(
    flag: &str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match read.map_err(|e| unusable(flag, path, &format!("its PEM form is damaged: {e}")))? {
        none if none.is_empty() && contains(pem, "PRIVATE KEY") => {
            Err(unusable(flag, path, "it holds a private key and no certificate. Swap the files"))
        }
        none if none.is_empty() => Err(unusable(
            flag,
            path,
            "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        )),
        some => Ok(some),
    }
}

fn contains(pem: &[u8], word: &str) -> bool {
    pem.windows(word.len()).any(|window| window == word.as_bytes())
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |e: std::io::Error| {
        let todo = match e.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "let the server's user read it: chgrp GROUP FILE && chmod 640 FILE"
            }
            std::io::ErrorKind::NotFound => "make the file",
            _ => "name a file with PEM text",
        };
        unusable(flag, path, &format!("{e}. Correct the path, or {todo}"))
    };
    // A pipe or a device would keep the server waiting.
    read_named(path, FILE_BYTES_MAX).map_err(unreadable)
}

fn unusable(flag: &str, path: &Path, why: &str) -> Error {
    Error::Setup(format!("{flag} {} cannot be used: {why}.", path.display()))
}
