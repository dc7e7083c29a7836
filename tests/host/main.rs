//! How the library behaves in its host: real C programs that fork, unload it, end, run short of
//! everything, and have signal handlers, threads and locales of their own. `docs/host-contract.md`
//! lists the promises and names these tests.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod canceled;
mod contract;
mod ends;
#[cfg(feature = "kill-points")]
mod faults;
mod forks;
mod limits;
mod loading;
mod log;
mod narrow;
mod shutdown;
mod signals;
mod surroundings;
mod threads;

use std::process::Command;

use seatmeter_e2e::program::run;

/// Run a program that must succeed, and return what it printed.
fn output_of(command: &mut Command) -> String {
    let run = run(command);
    assert!(
        run.code == Some(0),
        "{command:?} ended with {:?}\n{}{}",
        run.code,
        run.stdout,
        run.stderr
    );
    assert_eq!(run.stderr, "", "the library prints nothing");
    run.stdout
}

/// Return the numbers that a program printed.
fn numbers_of(command: &mut Command) -> Vec<u64> {
    output_of(command).split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}
