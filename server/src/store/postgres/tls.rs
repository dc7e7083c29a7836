//! TLS to the database, as PostgreSQL's own programs name it.
//!
//! | `sslmode` | what the server must prove |
//! | --- | --- |
//! | `prefer` | nothing: TLS where the server has it |
//! | `verify-ca`, `require` with `sslrootcert` | a certificate of an authority that is trusted |
//! | `verify-full`, `require` | such a certificate for the name of the host |
//!
//! The authorities are those of `sslrootcert`, or the platform's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::authorities;
use crate::error::Error;
use crate::named_file::read_named;
use crate::sharing;

/// The greatest size of a file with certificates or a key.
const FILE_BYTES_MAX: u64 = authorities::CA_FILE_BYTES_MAX;

/// The proof that the server has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// No proof.
    Nothing,
    /// A certificate of an authority.
    Authority,
    /// A certificate of an authority for the name of the host.
    AuthorityAndName,
}

/// The files that the URL names.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The authorities; `None` or `system` for the platform's.
    pub(super) authorities: Option<PathBuf>,
    /// The certificate of this program.
    pub(super) certificate: Option<PathBuf>,
    /// The key of the certificate.
    pub(super) key: Option<PathBuf>,
}

/// Make the configuration of TLS.
pub(super) fn configure(proof: Proof, files: &Files) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(proof, files, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| cannot(&e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&files.certificate, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates("sslcert", certificate)?, private_key(key)?)
            .map_err(|e| {
                unusable("sslcert", certificate, &format!("it does not fit its key: {e}"))
            })?,
        (Some(_), None) => {
            return Err(cannot("sslcert needs sslkey, the file with the certificate's key"));
        }
        (None, Some(_)) => {
            return Err(cannot("sslkey needs sslcert, the file with the key's certificate"));
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    proof: Proof,
    files: &Files,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if proof == Proof::Nothing {
        return Ok(Arc::new(Lenient { inner: None, provider: provider.clone() }));
    }
    let named = files.authorities.as_deref().filter(|path| *path != Path::new("system"));
    let inner: Arc<dyn ServerCertVerifier> = match named {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("sslrootcert", path)? {
                let added = roots.add(certificate);
                added.map_err(|e| unusable("sslrootcert", path, &e.to_string()))?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|e| unusable("sslrootcert", path, &e.to_string()))?
        }
        None => {
            authorities::check_places().map_err(|e| cannot(&e))?;
            let platform = rustls_platform_verifier::Verifier::new(provider.clone());
            Arc::new(platform.map_err(|e| cannot(&e.to_string()))?)
        }
    };
    Ok(match proof {
        Proof::AuthorityAndName => inner,
        _ => Arc::new(Lenient { inner: Some(inner), provider: provider.clone() }),
    })
}

fn cannot(why: &str) -> Error {
    Error::Setup(format!("TLS to the database cannot be set up: {why}."))
}

fn unusable(parameter: &str, path: &Path, why: &str) -> Error {
    Error::Setup(format!("{} of {parameter} cannot be used: {why}.", path.display()))
}

fn read(parameter: &str, path: &Path) -> Result<Vec<u8>, Error> {
    read_named(path, FILE_BYTES_MAX).map_err(|e| unusable(parameter, path, &e.to_string()))
}

fn certificates(parameter: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(parameter, path)?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match all.map_err(|e| unusable(parameter, path, &format!("its PEM form is damaged: {e}")))? {
        none if none.is_empty() => Err(unusable(
            parameter,
            path,
            "it has no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        )),
        some => Ok(some),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = read("sslkey", path)?;
    let of = std::fs::metadata(path).map_err(|e| unusable("sslkey", path, &e.to_string()))?;
    if !sharing::is_secret(&of, path) {
        let advice = format!("other users can read it. Run \"chmod 600 {}\"", path.display());
        return Err(unusable("sslkey", path, &advice));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| {
        unusable("sslkey", path, &format!("it has no key without a passphrase in PEM form: {e}"))
    })
}

/// A verifier that takes a certificate for another host, or, without an inner verifier, any.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        // The name is checked last: with this error, everything else is as it must be.
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
