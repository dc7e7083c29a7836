//! The certificates that TLS trusts: those of the platform, and those in the CA file.
//!
//! The platform's authorities are read when the first certificate is checked, not when the client
//! is created. Reading them takes some 20 ms, and is not needed for a server without TLS, or
//! without a request.
//!
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` may name their place. A program that has more rights than its
//! user ignores them and reads the usual places only.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::environment::{authorities_file, authorities_folders};
use crate::files::read_named_file;
use crate::os::is_privileged;

/// The platform's verifier, created when it is needed.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    /// The certificates of the CA file.
    extra: Vec<CertificateDer<'static>>,
    verifier: OnceCell<Arc<dyn ServerCertVerifier>>,
}

impl Trust {
    pub(super) fn new(provider: Arc<CryptoProvider>, extra: Vec<CertificateDer<'static>>) -> Self {
        Self { provider, extra, verifier: OnceCell::new() }
    }

    fn verifier(&self) -> Result<&dyn ServerCertVerifier, Error> {
        let new = || match is_privileged() {
            true => self.verifier_of_usual_places(),
            false => {
                check_places(authorities_file().as_deref(), &authorities_folders())
                    .map_err(Error::General)?;
                let verifier =
                    Verifier::new_with_extra_roots(self.extra.clone(), self.provider.clone())?;
                Ok(Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
            }
        };
        self.verifier.get_or_try_init(new).map(|verifier| &**verifier)
    }

    /// Return the platform's verifier without regard to the environment.
    fn verifier_of_usual_places(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.extra {
            roots.add(certificate.clone())?;
        }
        roots.add_parsable_certificates(usual_certificates());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
                .build();
        match verifier {
            Ok(verifier) => Ok(verifier),
            Err(e) => Err(Error::Other(OtherError(Arc::new(e)))),
        }
    }
}

/// The greatest number of bytes of one file of the platform's authorities. Distributions have
/// bundles of 300 KB.
const AUTHORITIES_BYTES_MAX: u64 = 16 << 20;

/// Check that the platform's verifier can read the places that the environment names. It waits for
/// a file that does not end, and keeps all of it in memory.
fn check_places(file: Option<&Path>, folders: &[PathBuf]) -> Result<(), String> {
    if let Some(file) = file {
        read_named_file(file, AUTHORITIES_BYTES_MAX)
            .map_err(|e| format!("SSL_CERT_FILE {} cannot be used: {e}", file.display()))?;
    }
    for entry in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
        let path = entry.path();
        // The verifier ignores what is not a regular file, and what cannot be opened.
        if !fs::metadata(&path).is_ok_and(|of| of.is_file()) {
            continue;
        }
        match read_named_file(&path, AUTHORITIES_BYTES_MAX) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::FileTooLarge) => {
                return Err(format!("{} in SSL_CERT_DIR cannot be used: {e}", path.display()));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// The files in which distributions keep all certificates that they trust: Debian, Fedora and RHEL,
/// openSUSE, Alpine.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn usual_certificates() -> Vec<CertificateDer<'static>> {
    let bundle = BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok).collect()
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_environment_the_usual_places_and_the_ca_file_are_trusted() {
        let ca = include_bytes!("../../../tests/certificates/ca.pem");
        let extra = vec![CertificateDer::from_pem_slice(ca).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Trust::new(provider, extra).verifier_of_usual_places().unwrap();
        let places = BUNDLES.iter().any(|path| std::path::Path::new(path).exists());
        assert_eq!(places, !usual_certificates().is_empty());
    }

    #[test]
    fn a_place_of_authorities_that_does_not_end_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let large = folder.path().join("large");
        fs::File::create(&large).unwrap().set_len(AUTHORITIES_BYTES_MAX + 1).unwrap();
        for path in [&*pipe, &*large, "/dev/zero".as_ref(), "/proc/kmsg".as_ref()] {
            let why = check_places(Some(path), &[]).unwrap_err();
            assert!(why.starts_with(&format!("SSL_CERT_FILE {}", path.display())), "{why}");
        }
        let why = check_places(None, &[folder.path().to_owned()]).unwrap_err();
        assert!(why.contains("large in SSL_CERT_DIR") && why.contains("16 MiB"), "{why}");
        fs::remove_file(large).unwrap();
        let folders = [folder.path().to_owned(), folder.path().join("missing")];
        assert_eq!(check_places(None, &folders), Ok(()), "the pipe in it is ignored");
    }
}
