//! The transport for production: HTTP by reqwest, TLS by rustls with the platform's trusted roots.
//!
//! Each request has a client of its own, in a thread that lives as long as the request. TLS needs
//! more stack than some hosts give their threads, and the caller waits for this thread. Nothing is
//! kept between requests, neither a thread nor a connection. A host may close all descriptors, as a
//! daemon does. A kept descriptor would then be closed once more by us, when it already is a file
//! of the host. A client sends once a slot, and a new connection costs less than such care.
//! Redirects are refused: a license server has no reason to redirect its clients, but a captive
//! portal has. The proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
//! NO_PROXY), with a login in their URL if they require one.
//!
//! If a name has several addresses, each gets its share of the time for connecting, and IPv4 is
//! tried beside IPv6 after 300 ms (RFC 8305). So a dead address does not hide a live one.

mod progress;
mod proxies;
mod trust;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use seatmeter_protocol::message::{
    BODY_BYTES_MAX, DEVICE_SIGNATURE_HEADER, KEY_ID_HEADER, NONCE_HEADER, REPORT_KEY_ID_HEADER,
    REPORT_TAG_HEADER, SIGNATURE_HEADER, TIME_HEADER,
};
use seatmeter_protocol::request_auth::Proof;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

pub use self::progress::LookUp;
use self::progress::{MarkingResolver, Marks, Progress};
use self::proxies::Proxies;
use self::trust::Trust;
use super::transport::{RawAnswer, RawRequest, Transport, Unreachable};
use crate::error::Stage;
use crate::files::read_named_file;
use crate::os::locks::Mutex;
use crate::os::{StandardDescriptors, with_signals_blocked};

/// The bound for getting a connection, within that of the whole exchange.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The stack, in bytes, of the thread in which a name is looked up. The system's own functions run
/// there, with all modules that it has configured.
const LOOK_UP_STACK_BYTES: usize = 512 << 10;

/// The stack, in bytes, of the thread in which a request runs: TLS, the check of certificates,
/// JSON.
const REQUEST_STACK_BYTES: usize = 512 << 10;

/// The longest CA file: all authorities of a common system take less than half of it.
const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// The transport over the network.
pub struct HttpTransport {
    tls: OnceCell<rustls::ClientConfig>,
    ca_file: Option<PathBuf>,
    proxies: Mutex<Arc<Proxies>>,
    progress: Arc<Progress>,
    look_up: Arc<LookUp>,
    /// Whether requests are canceled.
    canceled: watch::Sender<bool>,
}

impl HttpTransport {
    /// Return a transport that also trusts the certificates in this file (PEM), if a file is given.
    pub fn trusting(ca_file: Option<PathBuf>) -> Self {
        Self::looking_up_by(Arc::new(progress::look_up), ca_file)
    }

    /// Return the same transport, with a function that replaces the system's name lookup.
    pub fn looking_up_by(look_up: Arc<LookUp>, ca_file: Option<PathBuf>) -> Self {
        let proxies = Mutex::new(Arc::new(Proxies::read()));
        let (tls, progress, canceled) =
            (OnceCell::new(), Progress::new(), watch::Sender::new(false));
        Self { tls, ca_file, proxies, progress, look_up, canceled }
    }

    /// Cancel all requests in progress and all that begin from now on, or allow requests again.
    pub fn cancel_requests(&self, are_canceled: bool) {
        self.canceled.send_replace(are_canceled);
    }

    /// Read again which proxies the environment names.
    pub fn heed_environment(&self) {
        *self.proxies.lock() = Arc::new(Proxies::read());
    }

    fn proxies(&self) -> Arc<Proxies> {
        self.proxies.lock().clone()
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Unreachable> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let unfit = |why: String| Unreachable {
            stage: Stage::Setup,
            detail: format!("the CA file {} cannot be used: {why}", path.display()),
        };
        let pem = read_named_file(path, CA_FILE_BYTES_MAX).map_err(|e| unfit(e.to_string()))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|e| unfit(e.to_string()))?;
        if certificates.is_empty() {
            return Err(unfit("it holds no certificate in PEM form".into()));
        }
        Ok(certificates)
    }

    /// Return the TLS settings, which trust the platform's authorities and the CA file.
    fn tls(&self) -> Result<rustls::ClientConfig, Unreachable> {
        self.tls.get_or_try_init(|| self.new_tls()).cloned()
    }

    fn new_tls(&self) -> Result<rustls::ClientConfig, Unreachable> {
        let unfit = |e: rustls::Error| Unreachable { stage: Stage::Setup, detail: e.to_string() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust::new(provider.clone(), self.certificates()?);
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust))
            .with_no_client_auth();
        config.resumption = Resumption::store(self.progress.clone());
        Ok(config)
    }

    fn client(&self, url: &str) -> Result<Client, Unreachable> {
        self.proxies()
            .lead(url, Client::builder())?
            .user_agent(concat!("seatmeter/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .connector_layer(Marks(self.progress.clone()))
            .dns_resolver(Arc::new(self.resolver()))
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(self.tls()?)
            .build()
            .map_err(|e| Unreachable { stage: Stage::Setup, detail: chain(&e) })
    }

    async fn ask(
        &self,
        client: Client,
        request: &RawRequest<'_>,
    ) -> Result<RawAnswer, Unreachable> {
        let begun = Instant::now();
        let mut sent = client
            .post(&request.url)
            .header(CONTENT_TYPE, "application/json")
            .header(NONCE_HEADER, request.nonce);
        if let Some(key_id) = request.key_id {
            sent = sent.header(KEY_ID_HEADER, key_id);
        }
        sent = match &request.proof {
            Proof::Signature(signature) => sent.header(DEVICE_SIGNATURE_HEADER, signature),
            Proof::Tag { key_id, tag } => {
                sent.header(REPORT_KEY_ID_HEADER, key_id).header(REPORT_TAG_HEADER, tag)
            }
        };
        let response = sent
            .timeout(request.timeout)
            .body(request.body.to_vec())
            .send()
            .await
            .map_err(|e| self.classify(&e, request, begun))?;
        read(response, request.timeout).await
    }

    /// Return the output of this future, unless requests are canceled before: then it is dropped.
    async fn unless_canceled(
        &self,
        ask: impl Future<Output = Result<RawAnswer, Unreachable>>,
    ) -> Result<RawAnswer, Unreachable> {
        let mut canceled = self.canceled.subscribe();
        let mut canceled = pin!(canceled.wait_for(|canceled| *canceled));
        let mut ask = pin!(ask);
        poll_fn(|context| {
            if canceled.as_mut().poll(context).is_ready() {
                let detail = "canceled by SM_Shutdown".into();
                return Poll::Ready(Err(Unreachable { stage: Stage::Answer, detail }));
            }
            ask.as_mut().poll(context)
        })
        .await
    }

    fn resolver(&self) -> MarkingResolver {
        MarkingResolver { progress: self.progress.clone(), look_up: self.look_up.clone() }
    }

    /// Find out how far a request came.
    fn classify(
        &self,
        error: &reqwest::Error,
        request: &RawRequest<'_>,
        begun: Instant,
    ) -> Unreachable {
        let chain = chain(error);
        let proxy = self.proxies().name_for(&request.url);
        let stage = match (self.stage(error, &chain, begun), &proxy) {
            // Behind a proxy, only the proxy is looked up and connected to.
            (Stage::Lookup | Stage::Connect, Some(_)) => Stage::Proxy,
            (stage, _) => stage,
        };
        let mut detail = why(error);
        if error.is_timeout() {
            detail =
                format!("timed out after {:?} ({detail})", begun.elapsed().min(request.timeout));
        }
        if stage == Stage::Proxy && detail.contains("authorization required") {
            detail.push_str(
                ". The proxy requires a login: put it into its URL (HTTPS_PROXY), or name the \
                 server in NO_PROXY",
            );
        } else if let (Stage::Proxy, Some(proxy)) = (stage, proxy) {
            detail.push_str(&format!(
                ". The environment names the proxy {proxy} for this server: correct HTTP_PROXY, \
                 HTTPS_PROXY or \
                 ALL_PROXY, or name the server in NO_PROXY"
            ));
        } else if stage == Stage::Tls {
            detail.push_str(tls_advice(&detail));
        } else {
            detail.push_str(advice(stage));
        }
        Unreachable { stage, detail }
    }

    fn stage(&self, error: &reqwest::Error, chain: &str, begun: Instant) -> Stage {
        if error.is_builder() {
            return Stage::Setup;
        }
        // The time of a whole request may run out while its connection is being made.
        let was_connecting =
            error.is_connect() || error.is_timeout() && self.progress.has_not_connected(begun);
        if !was_connecting {
            return Stage::Answer;
        }
        let host = error.url().and_then(|url| url.host_str()).unwrap_or_default();
        // An IPv6 address has brackets in a URL and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if chain.contains("dns error") || error.is_timeout() && self.progress.is_looking_up() {
            Stage::Lookup
        } else if self.progress.has_begun_handshake(host, begun) {
            Stage::Tls
        } else if chain.contains("tunnel error") {
            Stage::Proxy
        } else {
            Stage::Connect
        }
    }
}

impl Transport for HttpTransport {
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable> {
        let failed = |e: io::Error| Unreachable { stage: Stage::Setup, detail: e.to_string() };
        let exchange = || {
            let client = self.client(&request.url)?;
            let runtime = runtime().map_err(failed)?;
            let outcome = runtime.block_on(self.unless_canceled(self.ask(client, request)));
            // The shutdown also ends its connections. A name lookup in progress cannot be canceled,
            // and is not waited for.
            runtime.shutdown_background();
            outcome
        };
        on_own_stack(exchange).map_err(failed)?
    }

    fn is_canceled(&self) -> bool {
        *self.canceled.borrow()
    }
}

/// Run this in a thread of its own, and wait for it. If the system has no thread to give, run it in
/// this one. A thread that is ending could not run it by itself: it has no thread-local variables
/// any more, and no request runs without them.
fn on_own_stack<T: Send>(body: impl FnOnce() -> T + Send) -> io::Result<T> {
    let body = Mutex::new(Some(body));
    let run = || {
        // The lock is released before the request begins.
        let body = body.lock().take();
        body.map(|body| body())
    };
    let builder =
        std::thread::Builder::new().name("seatmeter-ask".into()).stack_size(REQUEST_STACK_BYTES);
    let fault = || io::Error::other("a bug of the library ended the request");
    std::thread::scope(|scope| match with_signals_blocked(|| builder.spawn_scoped(scope, run)) {
        Ok(thread) => thread.join().ok().flatten().ok_or_else(fault),
        Err(error) if Handle::try_current().is_err_and(|e| e.is_thread_local_destroyed()) => {
            Err(error)
        }
        Err(_) => run().ok_or_else(fault),
    })
}

/// Return the runtime for a request, which uses the calling thread.
fn runtime() -> io::Result<Runtime> {
    let _standard = StandardDescriptors::hold();
    Builder::new_current_thread()
        .enable_all()
        .thread_name("seatmeter-names")
        .thread_stack_size(LOOK_UP_STACK_BYTES)
        .build()
}

async fn read(mut response: Response, timeout: Duration) -> Result<RawAnswer, Unreachable> {
    let header =
        |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut answer = RawAnswer {
        status: response.status().as_u16(),
        server_time: header(TIME_HEADER).and_then(|text| text.parse().ok()),
        key_id: header(KEY_ID_HEADER),
        signature: header(SIGNATURE_HEADER),
        retry_after: header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()),
        body: Vec::new(),
    };
    loop {
        let chunk = response.chunk().await.map_err(|e| Unreachable {
            stage: Stage::Answer,
            detail: format!(
                "the answer broke off after {} bytes, within {timeout:?}: {}",
                answer.body.len(),
                chain(&e)
            ),
        })?;
        let Some(chunk) = chunk else { return Ok(answer) };
        answer.body.extend_from_slice(&chunk);
        if answer.body.len() > BODY_BYTES_MAX {
            let detail = format!(
                "the answer is larger than {BODY_BYTES_MAX} bytes: this is not a license server"
            );
            return Err(Unreachable { stage: Stage::Answer, detail });
        }
    }
}

/// Return what to do about this TLS failure: which certificate to trust, or what to correct at the
/// server.
fn tls_advice(detail: &str) -> &'static str {
    for (sign, advice) in [
        (
            "InvalidContentType",
            ". What answers there speaks no TLS: does the server's URL begin with http://?",
        ),
        (
            "UnknownIssuer",
            ". Install the CA of the server, or of a proxy that opens TLS, in the system's store, \
             or name \
                           its file with SM_SetCaFile or SEATMETER_CA_FILE",
        ),
        (
            "CaUsedAsEndEntity",
            ". The server shows a certificate that is for signing others, as \"openssl req -x509\" \
                               makes them: make one with basicConstraints=CA:FALSE",
        ),
    ] {
        if detail.contains(sign) {
            return advice;
        }
    }
    ""
}

/// Return what to do if the failure itself does not say it.
fn advice(stage: Stage) -> &'static str {
    match stage {
        Stage::Lookup => ". Check the name in the server's URL, and DNS",
        Stage::Connect => ". Start the server there, or check URL, port and firewall",
        _ => "",
    }
}

/// Return why a request failed, from its innermost causes. The outer ones say that a request failed
/// and give its URL, which the message contains already.
fn why(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    let is_general =
        |text: &String| text.starts_with("client error") || text.starts_with("error sending");
    texts.retain(|text| !is_general(text));
    let mut why = String::new();
    for text in texts {
        if !why.contains(&text) {
            let colon = if why.is_empty() { "" } else { ": " };
            why.push_str(colon);
            why.push_str(&text);
        }
    }
    if why.is_empty() { chain(error) } else { why }
}

/// Return the error with all its causes, outermost first, each once.
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
            proof: Proof::Signature(String::new()),
            key_id: None,
            body: b"",
            timeout: CONNECT_TIMEOUT,
        };
        HttpTransport::trusting(Some(ca_file)).post(&request).unwrap_err()
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in
            [("missing", None), ("empty", Some("")), ("letter", Some("Dear Sir or Madam"))]
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
