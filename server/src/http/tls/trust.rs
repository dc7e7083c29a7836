//! The servers that this program trusts when it is the client: those that the platform trusts, and
//! those of a company's own authority. It is the trust of the library on a device.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::authorities::{self, CA_FILE_BYTES_MAX};
use crate::named_file::read_named;

/// Return the certificates in a file.
///
/// # Errors
/// Returns a sentence about a file that cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unfit = |why: String| format!("{} cannot be used: {why}", path.display());
    let pem = read_named(path, CA_FILE_BYTES_MAX).map_err(|e| unfit(e.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates.map_err(|e| unfit(e.to_string()))? {
        none if none.is_empty() => Err(unfit("it holds no certificate in PEM form".to_owned())),
        certificates => Ok(certificates),
    }
}

/// Return a client's side of TLS that trusts these certificates in addition to the platform's.
///
/// # Errors
/// Returns a sentence about certificates that cannot be used.
pub fn client_config(extra: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    authorities::check_places()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(extra, provider.clone()).map_err(|e| e.to_string())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Return the end of a certificate in Unix seconds.
#[must_use]
pub fn ends_at(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
}
