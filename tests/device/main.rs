//! A device and its state directory, with a real server: its identity, its users, damage to its
//! files, and what `seatmeterd doctor` says about it.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod doctor;
mod identity;
mod root_keys;
mod state_directory;
mod users;
