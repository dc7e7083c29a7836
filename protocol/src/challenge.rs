//! The challenge that proves that a request is sent now, and is no old one that arrives late.
//!
//! A server makes it, and reads it when the request comes again. The client in between shows the
//! envelope as it is.

use serde::{Deserialize, Serialize};

use crate::signature::Document;

/// The document that a server signs and gives to a device with status 401.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Challenge {
    /// The UUID of the device whose request must come again.
    pub device_uuid: String,
    /// Instant at which the server made it, Unix seconds.
    pub made_at: u64,
}

impl Document for Challenge {
    const CONTEXT: &'static str = "challenge";
    const IS_BATCHED: bool = true;
}
