//! The messages between the seatmeter library and its license server, and the computations that
//! both do alike.
//!
//! This crate has no input or output and no clock of its own, so both ends and the tests can run it
//! anywhere. Everything that two programs must agree on stands here once: wire types, signatures,
//! error codes, slots, charge ways.

#![forbid(unsafe_code)]

pub mod built_in;
pub mod challenge;
pub mod charge_way;
pub mod error_code;
pub mod file_system;
pub mod foreign_answer;
pub mod grace;
pub mod handshake_code;
pub mod item_check;
pub mod license;
pub mod license_module;
pub mod message;
pub mod no_proxy;
pub mod page_module;
pub mod product;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod request_auth;
#[cfg(test)]
mod schema;
pub mod seat_layout;
pub mod segment_layout;
pub mod segment_refusal;
pub mod sharing;
pub mod signature;
pub mod slot;
pub mod state_frame;
pub mod symbology;
pub mod time_scope;
pub mod version;

/// The version of the wire format that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;
