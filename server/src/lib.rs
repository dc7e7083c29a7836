//! The license server: it grants seats by the license rules, and records usage.
//!
//! A request comes in through [`http`]. [`licensing`] checks it and expresses it in the terms of
//! the rules. A pure function of [`policy`] decides it inside the [`store`]'s transaction, with the
//! data which that transaction has read. [`planner`] replays recorded usage with the same
//! functions. The server signs its answers with the key that [`data_dir`] stores. The command line
//! is in [`cli`]. Everything is a library, so that tests and benchmarks run the same code without a
//! process.

#![forbid(unsafe_code)]

pub mod access;
pub mod alert;
pub mod alerts;
pub mod audit_chain;
pub mod authorities;
pub mod backup;
mod challenge;
pub mod cli;
pub mod clock;
pub mod correction;
pub mod data_dir;
#[cfg(test)]
mod document_schema;
pub mod error;
mod growing_delay;
pub mod histogram;
pub mod http;
pub mod keyring;
pub mod kill_points;
pub mod licensing;
pub mod log_lines;
pub mod metrics;
pub mod named_file;
pub mod network;
pub mod operator;
pub mod password;
pub mod planner;
pub mod policy;
pub mod problem;
pub mod random;
pub mod receipt;
pub mod server_time;
pub mod sharing;
pub mod shown;
pub mod store;
pub mod usage_bill;
pub mod utc;
