//! The pauses of a page between two requests, by the rules of `bindings/web/src/pause.js`.

use seatmeter_protocol::signature::random_bytes;

pub(super) const FIRST_MS: u64 = 2_000;
pub(super) const LAST_MS: u64 = 60_000;
pub(super) const SPREAD_MS: u64 = 2_000;
pub(super) const ASKED_MS_MAX: u64 = 300_000;

/// Return a random number below `ms`.
pub(super) fn jitter(ms: u64) -> u64 {
    u64::from_le_bytes(random_bytes().unwrap_or_default()) % ms.max(1)
}

/// Return the pause in milliseconds after so many failures in a row. The server asked for so many
/// seconds.
pub(super) fn pause_after(failures: u32, asked: u64) -> u64 {
    let own = (FIRST_MS << (failures - 1)).min(LAST_MS);
    let asked_ms = (asked * 1000).min(ASKED_MS_MAX);
    own.max(asked_ms) + jitter(asked_ms.max(SPREAD_MS))
}
