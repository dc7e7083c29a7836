//! The pool of seats that all processes of a device share: counting, waiting, forks, deaths, and
//! damage to its file. The tests fork real processes.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod crash;
mod fork;
mod one_process;
mod pool_file;
mod processes;
