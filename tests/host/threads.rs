//! Hosts with many threads.

use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

use super::numbers_of;

#[test]
fn sixty_four_threads_call_everything_and_every_count_is_there() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_threads.c");
    let counted = numbers_of(program.command(server.url()).arg("24"));
    assert_eq!([server.recorded("scan"), server.recorded("page")][..], counted);
}
