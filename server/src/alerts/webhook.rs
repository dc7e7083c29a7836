//! Events by webhook, as [Standard Webhooks](https://www.standardwebhooks.com) 1.0 says.
//!
//! | header | value |
//! | --- | --- |
//! | `webhook-id` | the id of the event, the same with each attempt |
//! | `webhook-timestamp` | the time of the attempt, Unix seconds |
//! | `webhook-signature` | `v1,` with an HMAC-SHA256, `v1a,` with an Ed25519 signature, or both |
//!
//! The other side may be chosen by somebody who does not run this machine. So a name is looked up
//! first, its addresses are checked, and the connection goes to an address that was checked.
//! Redirects are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::deliver::Failure;
use super::host;
use crate::error::Error;
use crate::network::Network;
use crate::operator::queries::alerts::EventRow;
use crate::utc;

/// The longest time that an attempt may take.
const POST_TIME_MAX: Duration = Duration::from_secs(15);

/// The prefixes of a secret, and of the two halves of a key.
const SECRET_PREFIX: &str = "whsec_";
const KEY_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// The numbers of bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The number of bytes of the seed of a key.
const SEED_BYTES: usize = 32;

/// A secret or a key that signs events.
pub enum Signer {
    /// A secret that both sides have.
    Secret(hmac::Key),
    /// A key of which the other side has the public half.
    Key(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Signer {
    /// Read a secret (`whsec_…`) or a key (`whsk_…`).
    ///
    /// # Errors
    /// Fails when it is neither; the sentence does not show it.
    pub fn read(text: &str) -> Result<Self, Error> {
        let no = || {
            Error::Setup(format!(
                "the secret of the webhook cannot be used: write {SECRET_PREFIX} and 24 to 64 random \
                 bytes in Base64 (\"openssl rand -base64 32\"), or {KEY_PREFIX} and the 32 bytes of an \
                 Ed25519 seed."
            ))
        };
        let text = text.trim();
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| no());
        if let Some(secret) = text.strip_prefix(SECRET_PREFIX) {
            let secret = decode(secret)?;
            let is_good = SECRET_BYTES.contains(&secret.len());
            return if is_good {
                Ok(Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
            } else {
                Err(no())
            };
        }
        // Some tools write the public half behind the seed.
        let key = decode(text.strip_prefix(KEY_PREFIX).ok_or_else(no)?)?;
        let seed = key.get(..SEED_BYTES).ok_or_else(no)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| no())?;
        Ok(Self::Key(Box::new(pair)))
    }

    /// Return the public half of a key, as the other side needs it.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        match self {
            Self::Secret(_) => None,
            Self::Key(pair) => {
                Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(pair.public_key().as_ref())))
            }
        }
    }

    fn sign(&self, content: &[u8]) -> String {
        match self {
            Self::Secret(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, content))),
            Self::Key(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(content))),
        }
    }
}

/// A webhook, as it is set up.
#[derive(Debug)]
pub struct Webhook {
    host: String,
    port: u16,
    path: String,
    id: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    signers: Vec<Signer>,
    /// The networks to which events may go although they are not public.
    allowed: Vec<Network>,
}

impl Webhook {
    /// Return the webhook at this URL.
    ///
    /// # Errors
    /// Fails when the URL is not one of HTTP with a host, or nothing signs.
    pub fn new(
        url: &str,
        signers: Vec<Signer>,
        allowed: Vec<Network>,
        config: Arc<ClientConfig>,
    ) -> Result<Self, Error> {
        let bad = || {
            Error::Setup(format!(
                "\"{url}\" is not the URL of a webhook: write https://HOST/PATH, without a user or \
                 password."
            ))
        };
        let uri: axum::http::Uri = url.parse().map_err(|_| bad())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad());
        }
        if signers.is_empty() {
            return Err(Error::Setup(
                "--webhook-url needs a secret that signs: --webhook-secret-file FILE, or the \
                 variable SEATMETERD_WEBHOOK_SECRET."
                    .to_owned(),
            ));
        }
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
        let tls = is_tls.then_some((config, name));
        Ok(Self { host, port, path, id: crate::alert::short_digest(url), tls, signers, allowed })
    }

    /// Return a name of the webhook that says nothing of its URL, which may hold a secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Return where events go to, without the path, which may hold a secret.
    #[must_use]
    pub fn target(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}", self.port)
    }

    /// Return the headers that sign an event.
    #[must_use]
    pub fn headers(&self, event_id: &str, now: u64, body: &str) -> [(&'static str, String); 3] {
        let content = format!("{event_id}.{now}.{body}");
        let signatures: Vec<_> =
            self.signers.iter().map(|signer| signer.sign(content.as_bytes())).collect();
        [
            ("webhook-id", event_id.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ]
    }

    /// Post an event.
    ///
    /// # Errors
    /// Fails when the other side has not accepted it.
    pub async fn post(&self, event: &EventRow, now: u64) -> Result<(), Failure> {
        let attempt = tokio::time::timeout(POST_TIME_MAX, self.attempt(event, now)).await;
        attempt.unwrap_or_else(|_| {
            let seconds = POST_TIME_MAX.as_secs();
            Err(Failure::Later(format!("{} has not answered within {seconds} s", self.host)))
        })
    }

    async fn attempt(&self, event: &EventRow, now: u64) -> Result<(), Failure> {
        let later = |stage: &str, why: String| {
            Failure::Later(format!("{}:{} ({stage}): {why}", self.host, self.port))
        };
        let address = self.address().await?;
        let stream =
            TcpStream::connect(address).await.map_err(|e| later("connect", e.to_string()))?;
        let body = body(event);
        let status = match &self.tls {
            None => self.exchange(stream, event, now, body).await,
            Some((config, name)) => {
                let connected =
                    TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
                let stream = connected.map_err(|e| later("TLS", e.to_string()))?;
                self.exchange(stream, event, now, body).await
            }
        };
        match status.map_err(|why| later("HTTP", why))? {
            200..=299 => Ok(()),
            410 => Err(Failure::Gone(format!("{} has answered 410", self.host))),
            status @ 300..=399 => Err(later(
                "HTTP",
                format!("it has answered {status}, and redirects are not followed"),
            )),
            status => Err(later("HTTP", format!("it has answered {status}"))),
        }
    }

    /// Look up the name, and return an address to which events may go.
    async fn address(&self) -> Result<SocketAddr, Failure> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<SocketAddr> = found
            .map_err(|e| Failure::Later(format!("{} (name lookup): {e}", self.host)))?
            .collect();
        let may_go = |address: &&SocketAddr| self.may_go_to(address.ip());
        found.iter().find(may_go).copied().ok_or_else(|| {
            let found = found.first().map_or_else(String::new, |first| first.ip().to_string());
            Failure::Later(format!(
                "{} has the address {found}, which is not public or not for http://: allow its \
                 network with --webhook-network",
                self.host
            ))
        })
    }

    /// Return whether events may go to an address. Without TLS, only to those that the operator has
    /// allowed.
    fn may_go_to(&self, address: IpAddr) -> bool {
        let is_allowed = self.allowed.iter().any(|network| network.contains(address));
        is_allowed || (self.tls.is_some() && is_public(address))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        event: &EventRow,
        now: u64,
        body: String,
    ) -> Result<u16, String> {
        let broken = |e: hyper::Error| e.to_string();
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = hyper::Request::post(&self.path)
            .header("host", self.authority())
            .header("connection", "close")
            .header("content-type", "application/json")
            .header("user-agent", concat!("seatmeterd/", env!("CARGO_PKG_VERSION")));
        for (name, value) in self.headers(&event.event_id, now, &body) {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|e| e.to_string())?;
        // The task ends with this function, however the function ends.
        let mut carrier = JoinSet::new();
        carrier.spawn(connection);
        let answer = sender.send_request(request).await.map_err(broken)?;
        Ok(answer.status().as_u16())
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Return the body of an event.
fn body(event: &EventRow) -> String {
    let EventRow {
        at, event: what, alert_id, kind, subject, level, organization_id, detail, ..
    } = event;
    json!({
        "type": format!("alert.{what}"),
        "timestamp": utc::text(*at),
        "data": {
            "alert_id": alert_id,
            "kind": kind,
            "subject": subject,
            "what": event.what,
            "level": level,
            "organization_id": organization_id,
            "detail": detail,
            "server": host(),
        },
    })
    .to_string()
}

/// Return whether an address is one of the internet: not of this machine, of a private network, or
/// kept for something else.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_kept = match (a, b, c) {
        // This network, carrier-grade NAT, protocol assignments, 6to4 relays, benchmarks.
        (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _) => true,
        (a, ..) => a >= 224,
    };
    !(is_kept
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, c) {
        // NAT64 and 6to4 addresses carry an address of IPv4.
        (0x64, 0xff9b, 0) if [d, e, f] == [0; 3] => is_public_v4(of(g, h)),
        (0x2002, ..) => is_public_v4(of(b, c)),
        // Teredo, documentation, and other special uses.
        (0x2001, 0..=0x1ff | 0xdb8, _) | (0x3fff, 0..=0xfff, _) => false,
        // Everything that is assigned to the internet is in 2000::/3.
        (a, ..) => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for address in
            ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.5",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "2001::1",
            "64:ff9b:1::1",
            "::7f00:1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_not_shown() {
        for bad in ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsk_c2hvcnQ=", "whsec_!!!"] {
            let told = Signer::read(bad).unwrap_err().to_string();
            assert!(told.contains("whsec_") && (bad.len() < 7 || !told.contains(bad)), "{told}");
        }
    }

    /// The example of the specification's reference implementations.
    #[test]
    fn a_signature_is_that_of_the_reference() {
        let signer = Signer::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let content = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(signer.sign(content), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
