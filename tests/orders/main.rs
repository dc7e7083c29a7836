//! The orders of memory in which the shared words are written and read, with every outcome that a
//! processor with a weak order allows: loom runs each test once for each of them.
//!
//! The words are mapped from files, where loom's cannot be. So each module here mirrors a few
//! functions under their names, with the same accesses in the same order. `mirrors` compares the
//! accesses with those of the functions. The seat pool needs no mirror: its model checker runs the
//! code itself in a weak memory (`src/seats/checker/weak.rs`).
//!
//! Each protocol is also tried with an order that is too weak, and must then fail.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod allowance;
mod entries;
mod mirrors;
mod publication;
mod waiting;
