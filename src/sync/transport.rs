//! What carries a request to a server: HTTP in the field, a script in tests.

use std::fmt;
use std::time::Duration;

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct RawRequest<'a> {
    /// Full URL.
    pub url: String,
    /// Value of the nonce header.
    pub nonce: &'a str,
    /// Value of the header with the id of the key that is known, if one is.
    pub key_id: Option<&'a str>,
    /// JSON.
    pub body: &'a [u8],
    /// Bound for the whole exchange.
    pub timeout: Duration,
}

/// What came back, not believed yet.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// Time header, if there is one.
    pub server_time: Option<u64>,
    /// Key id header, if there is one.
    pub key_id: Option<String>,
    /// Signature header, if there is one.
    pub signature: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

/// How far a request came that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The URL, or the client's own set-up.
    Setup,
    /// The server's name has no address.
    Lookup,
    /// No connection.
    Connect,
    /// No trust in the server's certificate, or no common version.
    Tls,
    /// An answer that is not the license server's.
    Status,
    /// An answer that did not come, or not whole.
    Answer,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "set-up",
            Self::Lookup => "name lookup",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Status => "HTTP status",
            Self::Answer => "answer",
        })
    }
}

/// No usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// How far it came.
    pub stage: Stage,
    /// What happened there.
    pub detail: String,
}

/// Carries requests.
pub trait Transport: Send + Sync {
    /// Sends a POST request and waits for the answer, within its timeout.
    ///
    /// # Errors
    /// When there is no answer at all.
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable>;
}
