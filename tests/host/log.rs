//! Hosts with a log callback.

use seatmeter_e2e::program::{Program, image};
use seatmeter_e2e::server::Server;

use super::output_of;

fn log(way: &str) {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_log.c");
    output_of(program.command(server.url()).arg(way).arg(image("four_barcodes.png")));
}

#[test]
fn a_thread_that_holds_what_the_log_callback_waits_for_may_call_every_function() {
    log("holding");
}

#[test]
fn a_log_callback_may_call_every_function() {
    log("calling");
}

#[test]
fn the_child_of_a_log_callback_that_forks_may_call_every_function() {
    log("forking");
}
