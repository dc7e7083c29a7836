//! Hosts that shut the library down while it works.

use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

use super::output_of;

fn shut_down(way: &str) {
    let server = Server::with_demo_license();
    output_of(Program::compile("tests/c/host_shutdown.c").command(server.url()).arg(way));
}

#[test]
fn nothing_goes_on_after_a_shutdown_although_a_server_accepts_and_says_nothing() {
    shut_down("requests");
}

#[test]
fn threads_may_shut_down_and_initialize_and_report_at_once() {
    shut_down("together");
}

#[test]
fn a_log_callback_may_shut_down_in_any_thread() {
    shut_down("callback");
}

#[test]
fn a_log_callback_that_is_taken_back_during_a_request_hears_nothing_more() {
    shut_down("cleared");
}
