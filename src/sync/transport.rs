//! What carries a request to a server: HTTP in the field, a script in tests.

use std::time::Duration;

use crate::error::Stage;

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

    /// Say whether requests are called off: then each fails at once, and who waits for his turn
    /// need not.
    fn is_called_off(&self) -> bool {
        false
    }
}
