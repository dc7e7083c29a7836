//! Faults of the library itself.

use seatmeter_e2e::program::{Program, run};
use seatmeter_e2e::server::Server;

/// The named places that this program passes. The library has them if the whole workspace is built.
const PLACES: [&str; 12] = [
    "create: made",
    "create: header written",
    "entry: filled",
    "count: before",
    "count: after",
    "report: durable",
    "report: before the request",
    "report: one counter acknowledged",
    "grant: stored",
    "attach: lock taken",
    "attach: exchanged",
    "at once: exchanged",
];

#[test]
fn a_panic_anywhere_is_an_error_and_a_line_of_the_log_and_the_host_goes_on() {
    let server = Server::with_demo_license();
    for place in PLACES {
        let program = Program::compile("tests/c/host_faults.c");
        let mut command = program.command(server.url());
        let run = run(command.env("SEATMETER_FAULT_AT", place));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{place}: {}", run.stdout);
        assert_eq!(run.stdout.trim(), "1", "{place}: the log has not heard of the fault");
    }
}
