//! A standby server, which leaves the devices to the main server while that is healthy.
//!
//! | the main server's `/healthz` | the standby |
//! | --- | --- |
//! | answers 200 in time | refuses with -20100, so that devices use the main server |
//! | the same, and names none of the standby's keys | the same, except for reports: no other server can book counts under the standby's own licenses |
//! | anything else | takes over |
//!
//! The outcome of a check stays valid for a moment, so that many devices do not cause as many
//! checks.

use std::time::Duration;

use axum::http::Uri;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::health::KEY_IDS_HEADER;
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
    /// Return the server at this URL.
    ///
    /// # Errors
    /// Fails when the URL is not one of plain HTTP with a host.
    pub fn new(url: &str) -> Result<Self, Error> {
        let bad = || {
            Error::Setup(format!(
                "\"{url}\" is not the URL of a peer: write http://HOST:PORT. Between the two \
                 servers no TLS is \
                 spoken; use a private network or a tunnel."
            ))
        };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") || uri.path().len() > 1 {
            return Err(bad());
        }
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), seen: Mutex::new(None) })
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
        let health = asked.ok().flatten().unwrap_or(Health::Down);
        let up = health != Health::Down;
        if seen.as_ref().is_none_or(|(_, before)| (*before != Health::Down) != up) {
            tracing::warn!(
                main = self.host,
                port = self.port,
                up,
                "the main server's health has changed"
            );
        }
        *seen = Some((Instant::now(), health.clone()));
        health
    }

    async fn ask(&self) -> Option<Health> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = hyper::Request::get("/healthz")
            .header("host", &self.host)
            .header("connection", "close")
            .body(axum::body::Body::empty())
            .ok()?;
        // The task ends with this function, however the function ends.
        let mut carrier = JoinSet::new();
        carrier.spawn(connection);
        let answer = sender.send_request(request).await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        let ids = answer
            .headers()
            .get(KEY_IDS_HEADER)
            .and_then(|ids| ids.to_str().ok())
            .unwrap_or_default();
        Some(Health::Up {
            key_ids: ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_by_a_plain_url() {
        assert!(Peer::new("http://127.0.0.1:48080").is_ok());
        assert!(Peer::new("http://main.example/").is_ok());
        for bad in ["", "main.example", "https://main.example", "http://", "http://a/b"] {
            assert!(Peer::new(bad).is_err(), "{bad}");
        }
    }
}
