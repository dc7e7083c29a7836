//! Networks that fail, with real sockets on this machine: servers that stall at each step, reset,
//! send garbage, drip or flood; dead addresses; certificates; proxies.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod addresses;
mod broken;
mod peer;
mod privacy;
mod programs;
mod silent_dns;
mod tls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seatmeter::error::Stage;
use seatmeter::sync::{HttpTransport, RawAnswer, RawRequest, Transport, Unreachable};
use seatmeter_protocol::request_auth::Proof;

/// The time limit of the requests here.
const BOUND: Duration = Duration::from_millis(400);

/// The time that a busy machine may add to it.
const SLACK: Duration = Duration::from_secs(3);

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// Send a request, and check that it ends within its time limit.
fn ask_within(
    transport: &HttpTransport,
    url: &str,
    timeout: Duration,
) -> Result<RawAnswer, Unreachable> {
    let request = RawRequest {
        url: url.to_owned(),
        nonce: "n",
        key_id: None,
        proof: Proof::Signature("00".repeat(64)),
        body: b"{}",
        timeout,
    };
    let begun = Instant::now();
    let outcome = transport.post(&request);
    assert!(begun.elapsed() < timeout + SLACK, "{url} took {:?}", begun.elapsed());
    outcome
}

/// Send a request that must fail, and return the stage of the failure and its text.
fn stage_of(transport: &HttpTransport, url: &str) -> (Stage, String) {
    let Unreachable { stage, detail } = ask_within(transport, url, BOUND).unwrap_err();
    (stage, detail)
}
