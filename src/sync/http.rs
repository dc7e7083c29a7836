//! The transport of the field: blocking HTTP by reqwest, TLS by rustls with the platform's trusted roots.
//!
//! One client a process, made at the first request, for it brings a thread of its own. Redirects are
//! refused: a license server has no reason to send its clients elsewhere, a captive portal has.

use std::error::Error as _;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use once_cell::sync::OnceCell;
use reqwest::Certificate;
use reqwest::blocking::{Client, Response};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use seatmeter_protocol::message::{
    BODY_BYTES_MAX, KEY_ID_HEADER, NONCE_HEADER, SIGNATURE_HEADER, TIME_HEADER,
};

use super::transport::{RawAnswer, RawRequest, Transport, Unreachable};
use crate::error::Stage;

/// Bound for getting a connection, within that of the whole exchange.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest CA file: all authorities of a common system are below half of it.
const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// Sends requests over the network.
#[derive(Debug, Default)]
pub struct HttpTransport {
    client: OnceCell<Client>,
    ca_file: Option<PathBuf>,
}

impl HttpTransport {
    /// A transport that also trusts the certificates in this file (PEM), if one is named.
    pub fn trusting(ca_file: Option<PathBuf>) -> Self {
        Self { client: OnceCell::new(), ca_file }
    }

    fn certificates(&self) -> Result<Vec<Certificate>, Unreachable> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let unfit = |why: String| Unreachable {
            stage: Stage::Setup,
            detail: format!("the CA file {} cannot be used: {why}", path.display()),
        };
        let mut pem = Vec::new();
        File::open(path)
            .and_then(|file| file.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem))
            .map_err(|e| unfit(e.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| unfit(chain(&e)))?;
        if certificates.is_empty() {
            return Err(unfit("it holds no certificate in PEM form".into()));
        }
        Ok(certificates)
    }

    fn client(&self) -> Result<&Client, Unreachable> {
        self.client.get_or_try_init(|| {
            // An error means that the process has one installed already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let certificates = self.certificates()?;
            let builder = Client::builder()
                .user_agent(concat!("seatmeter/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                // The keeper speaks once a slot: a connection kept for longer than that is a waste of both
                // ends.
                .pool_max_idle_per_host(1);
            // The system's own way of trusting stays as it is where nothing is to be added.
            let builder =
                if certificates.is_empty() { builder } else { builder.tls_certs_merge(certificates) };
            builder.build().map_err(|e| Unreachable { stage: Stage::Setup, detail: chain(&e) })
        })
    }
}

impl Transport for HttpTransport {
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable> {
        let mut sent = self
            .client()?
            .post(&request.url)
            .header(CONTENT_TYPE, "application/json")
            .header(NONCE_HEADER, request.nonce);
        if let Some(key_id) = request.key_id {
            sent = sent.header(KEY_ID_HEADER, key_id);
        }
        let response = sent
            .timeout(request.timeout)
            .body(request.body.to_vec())
            .send()
            .map_err(|e| classify(&e, request.timeout))?;
        read(response, request.timeout)
    }
}

fn read(response: Response, timeout: Duration) -> Result<RawAnswer, Unreachable> {
    let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut answer = RawAnswer {
        status: response.status().as_u16(),
        server_time: header(TIME_HEADER).and_then(|text| text.parse().ok()),
        key_id: header(KEY_ID_HEADER),
        signature: header(SIGNATURE_HEADER),
        body: Vec::new(),
    };
    response.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut answer.body).map_err(|e| Unreachable {
        stage: Stage::Answer,
        detail: format!("the answer broke off after {} bytes, within {timeout:?}: {e}", answer.body.len()),
    })?;
    if answer.body.len() > BODY_BYTES_MAX {
        let detail =
            format!("the answer is larger than {BODY_BYTES_MAX} bytes: this is not a license server");
        return Err(Unreachable { stage: Stage::Answer, detail });
    }
    Ok(answer)
}

/// Finds out how far a request came. The stages are told apart by the errors underneath: the library above
/// them has one kind for all that happens before there is a connection.
fn classify(error: &reqwest::Error, timeout: Duration) -> Unreachable {
    let detail = chain(error);
    let mut stage = if error.is_connect() { Stage::Connect } else { Stage::Answer };
    if error.is_builder() {
        stage = Stage::Setup;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<rustls::Error>() {
            stage = Stage::Tls;
        }
        // rustls hides inside an io::Error, which shows it by get_ref and not by source.
        let io = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if io.is_some_and(|inner| inner.is::<rustls::Error>()) {
            stage = Stage::Tls;
        }
        if inner.to_string().contains("dns error") {
            stage = Stage::Lookup;
        }
        cause = inner.source();
    }
    let detail = if error.is_timeout() { format!("nothing within {timeout:?} ({detail})") } else { detail };
    Unreachable { stage, detail }
}

/// The error with all its causes, outermost first, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(ca_file: PathBuf) -> Unreachable {
        let request = RawRequest {
            url: "http://127.0.0.1:9".into(),
            nonce: "",
            key_id: None,
            body: b"",
            timeout: CONNECT_TIMEOUT,
        };
        HttpTransport::trusting(Some(ca_file)).post(&request).unwrap_err()
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("missing", None), ("empty", Some("")), ("letter", Some("Dear Sir or Madam"))]
        {
            let path = folder.path().join(name);
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let Unreachable { stage, detail } = refusal(path);
            assert_eq!(stage, Stage::Setup);
            assert!(detail.contains("the CA file") && detail.contains(name), "{detail}");
        }
    }
}
