//! Hosts that end, or that become another program.

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

use super::output_of;

#[test]
fn a_process_may_end_anyhow_while_its_threads_are_inside() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_ends.c");
    for way in ["return", "exit", "handler", "thread", "signal"] {
        for _ in 0..if way == "signal" { 2 } else { 20 } {
            output_of(program.command(server.url()).arg(way));
        }
    }
}

#[test]
fn another_program_in_the_same_process_inherits_no_seat_and_no_descriptor() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_ends.c");
    let mut command = program.command(server.url());
    command.arg("exec");
    let mut after = Dialogue::start(command);
    assert_eq!(after.hear(), "0", "descriptors more than before the library was used");
    let seats = Program::compile("tests/c/seat_tool.c");
    let mut command = seats.command(server.url());
    command.env("SEATMETER_STATE_DIR", program.state());
    let mut other = Dialogue::start(command);
    assert_eq!(other.hear(), "0");
    assert_eq!(other.ask("idle"), "4");
}
