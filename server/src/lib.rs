//! The license server: it grants seats by the license rules, and records what was used.
//!
//! A request comes in through [`http`], is checked and put into the words of the rules by
//! [`licensing`], and is decided by a pure function of [`policy`] inside the [`store`]'s
//! transaction, with what that transaction has read; [`planner`] replays recorded usage with the
//! same functions. What the server says is signed with the key that [`data_dir`] keeps. The command
//! line is in [`cli`]; everything is a library so that tests and benchmarks run the same code
//! without a process.

#![forbid(unsafe_code)]

pub mod backup;
pub mod cli;
pub mod clock;
pub mod data_dir;
pub mod error;
pub mod http;
pub mod keyring;
pub mod kill_points;
pub mod licensing;
pub mod operator;
pub mod password;
pub mod planner;
pub mod policy;
pub mod random;
pub mod sharing;
pub mod store;
pub mod utc;
