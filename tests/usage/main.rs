//! Counts: kills lose nothing, a full disk loses nothing, trouble of the server loses nothing, and
//! a segment belongs to its owner as long as that process lives.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

#[path = "../common/own_process.rs"]
mod own_process;

mod counts;
mod full_disk;
mod liveness;
mod server_soak;
mod small_disk;
mod witness;
