//! The transport that carries a request to a server: HTTP in production, a script in tests.

use std::time::Duration;

use seatmeter_protocol::request_auth::Proof;

use crate::error::Stage;

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct RawRequest<'a> {
    /// The full URL.
    pub url: String,
    /// The value of the nonce header.
    pub nonce: &'a str,
    /// The value of the header with the id of the known key, if a key is known.
    pub key_id: Option<&'a str>,
    /// The proof of which device sends the request.
    pub proof: Proof,
    /// The body in JSON.
    pub body: &'a [u8],
    /// The bound for the whole exchange.
    pub timeout: Duration,
}

/// An answer that is not verified yet.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The time header, if there is one.
    pub server_time: Option<u64>,
    /// The key id header, if there is one.
    pub key_id: Option<String>,
    /// The signature header, if there is one.
    pub signature: Option<String>,
    /// The seconds of the header `Retry-After`, if there is one.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request without a usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The stage that the request had reached.
    pub stage: Stage,
    /// The details of the failure.
    pub detail: String,
}

/// A carrier of requests.
pub trait Transport: Send + Sync {
    /// Send a POST request and wait for the answer, within its timeout.
    ///
    /// # Errors
    /// Fails if no answer comes at all.
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable>;

    /// Return whether requests are canceled: each then fails at once, and a process that waits for
    /// its turn can stop waiting.
    fn is_canceled(&self) -> bool {
        false
    }
}
