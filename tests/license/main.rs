//! What a license allows, with a real server and C programs: its options, its seats, the programs
//! that a stored license serves, a standby, and wrong clocks.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod clocks;
mod options;
mod shared_seats;
mod standby;
mod stored;
