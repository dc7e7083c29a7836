//! Whom TLS trusts: what the platform trusts, and what the CA file holds.
//!
//! The platform's authorities are read when the first certificate is to be checked, not when the client is made: that
//! takes some 20 ms, and a server that is spoken to without TLS, or not at all, does not need them.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::environment::authorities_file;
use crate::state::named_file;

/// The platform's verifier, made when it is needed.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    /// Certificates of the CA file.
    extra: Vec<CertificateDer<'static>>,
    verifier: OnceCell<Verifier>,
}

impl Trust {
    pub(super) fn new(provider: Arc<CryptoProvider>, extra: Vec<CertificateDer<'static>>) -> Self {
        Self { provider, extra, verifier: OnceCell::new() }
    }

    fn verifier(&self) -> Result<&Verifier, Error> {
        self.verifier.get_or_try_init(|| {
            if let Some(path) = authorities_file() {
                // It would be waited for without end where it is a pipe.
                named_file(&path).map_err(|e| {
                    Error::General(format!("SSL_CERT_FILE {} cannot be used: {e}", path.display()))
                })?;
            }
            Verifier::new_with_extra_roots(self.extra.clone(), self.provider.clone())
        })
    }
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
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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
