//! A standby server, which leaves the devices to the main server while that is healthy.
//!
//! | the main server's `/readyz` | the standby |
//! | --- | --- |
//! | answers 200 in time | refuses with -20100, so that devices use the main server |
//! | the same, and names none of the standby's keys | the same, except for reports: no other server can book counts under the standby's own licenses |
//! | anything else | takes over |
//!
//! The outcome of a check stays valid for a moment, so that many devices do not cause as many
//! checks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seatmeter_protocol::message::KEY_IDS_HEADER;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::tls::trust;
use crate::error::Error;
use crate::keyring::Keyring;

/// The longest time that the main server may take to answer.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(2);

/// The time for which an answer, or its absence, stays valid.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// The main server, as seen by its standby.
#[derive(Debug)]
pub struct Peer {
    host: String,
    port: u16,
    /// The configuration for TLS with it, and the name that its certificate must have; `None` for
    /// plain HTTP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    seen: Mutex<Option<(Instant, Health)>>,
}

/// The health of the main server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Health {
    Down,
    /// The server answers, and has these keys; a server of an older version names none.
    Up {
        key_ids: Vec<String>,
    },
}

impl Peer {
    /// Return the server at this URL. Its certificate may be of the authority in `ca_file`, or of
    /// one that the system trusts.
    ///
    /// # Errors
    /// Fails when the URL is not one of HTTP with a host, or the file has no certificates.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, Error> {
        let bad = || {
            Error::Setup(format!(
                "\"{url}\" is not the URL of a peer: write https://HOST:PORT, or http://HOST:PORT \
                 for a server without TLS."
            ))
        };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        if uri.path().len() > 1 {
            return Err(bad());
        }
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            true => Some(Self::tls(&host, ca_file, bad)?),
            false => None,
        };
        Ok(Self { host, port, tls, seen: Mutex::new(None) })
    }

    fn tls(
        host: &str,
        ca_file: Option<&Path>,
        bad: impl Fn() -> Error,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
        let unfit = |why| {
            Error::Setup(format!(
                "{why}. Name the CA of the main server's certificate in --peer-ca, in PEM form."
            ))
        };
        let extra = ca_file.map_or(Ok(Vec::new()), trust::certificates).map_err(unfit)?;
        let config = trust::client_config(extra).map_err(unfit)?;
        Ok((config, ServerName::try_from(host.to_owned()).map_err(|_| bad())?))
    }

    /// Refuse a request while the main server is healthy.
    ///
    /// # Errors
    /// Returns -20100.
    pub async fn require_down(&self) -> Result<(), Error> {
        if self.health().await == Health::Down { Ok(()) } else { Err(self.is_in_charge()) }
    }

    /// Refuse a report while the main server is healthy and has one of this server's keys. It then
    /// has this server's data, or this server has a copy of its data.
    ///
    /// # Errors
    /// Returns -20100.
    pub async fn require_down_or_other(&self, ours: &Keyring) -> Result<(), Error> {
        match self.health().await {
            Health::Up { key_ids }
                if key_ids.is_empty() || ours.ids().any(|id| key_ids.contains(&id)) =>
            {
                Err(self.is_in_charge())
            }
            Health::Up { .. } | Health::Down => Ok(()),
        }
    }

    fn is_in_charge(&self) -> Error {
        let detail = format!(
            "this is the standby, and the main license server {}:{} is up: use that one",
            self.host, self.port
        );
        Error::Standby(detail)
    }

    async fn health(&self) -> Health {
        let mut seen = self.seen.lock().await;
        if let Some((at, health)) = &*seen
            && at.elapsed() < GOOD_FOR
        {
            return health.clone();
        }
        let asked = tokio::time::timeout(HEALTH_TIME_MAX, self.ask()).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {HEALTH_TIME_MAX:?}")));
        let (health, why) = match asked {
            Ok(health) => (health, String::new()),
            Err(why) => (Health::Down, why),
        };
        let up = health != Health::Down;
        if seen.as_ref().is_none_or(|(_, before)| (*before != Health::Down) != up) {
            tracing::warn!(
                main = self.host,
                port = self.port,
                up,
                why,
                "the main server's health has changed"
            );
        }
        *seen = Some((Instant::now(), health.clone()));
        health
    }

    /// Return the health of the server, or why it is not known.
    async fn ask(&self) -> Result<Health, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| format!("connect: {e}"))?;
        let Some((config, name)) = &self.tls else {
            return self.exchange(stream).await;
        };
        let connected = TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
        self.exchange(connected.map_err(|e| format!("TLS: {e}"))?).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Health, String> {
        let broken = |e: hyper::Error| format!("HTTP: {e}");
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = hyper::Request::get("/readyz")
            .header("host", &self.host)
            .header("connection", "close")
            .body(axum::body::Body::empty())
            .map_err(|e| e.to_string())?;
        // The task ends with this function, however the function ends.
        let mut carrier = JoinSet::new();
        carrier.spawn(connection);
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != 200 {
            return Err(format!("its answer is {}", answer.status()));
        }
        let ids = answer
            .headers()
            .get(KEY_IDS_HEADER)
            .and_then(|ids| ids.to_str().ok())
            .unwrap_or_default();
        Ok(Health::Up {
            key_ids: ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_by_a_url_with_or_without_tls() {
        let new = |url: &str| Peer::new(url, None);
        assert!(new("http://127.0.0.1:48080").is_ok());
        assert!(new("http://main.example/").is_ok_and(|peer| peer.port == 80));
        assert!(new("https://main.example").is_ok_and(|peer| peer.port == 443));
        assert!(new("https://[::1]:8443").is_ok_and(|peer| peer.tls.is_some()));
        for bad in ["", "main.example", "ftp://main.example", "http://", "http://a/b"] {
            assert!(new(bad).is_err(), "{bad}");
        }
    }
}
