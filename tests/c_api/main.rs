//! The C interface: programs, the header, the exported names, and the recorded binary interface.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod abi;
mod header;
#[cfg(feature = "decode")]
mod programs;
#[cfg(feature = "decode")]
mod symbols;
