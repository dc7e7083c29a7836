//! Hosts that load the library at any time.

use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

use super::numbers_of;

#[test]
fn a_library_that_threads_load_and_unload_a_thousand_times_is_as_good_as_new() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_loading.c");
    let library = seatmeter_e2e::build_folder().join("libseatmeter.so");
    let counted = numbers_of(program.command(server.url()).arg("threads").arg(library).arg("1000"));
    assert_eq!([server.recorded("scan")][..], counted);
}

#[test]
fn two_copies_in_one_process_share_the_seats() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_loading.c");
    let library = seatmeter_e2e::build_folder().join("libseatmeter.so");
    let copy = program.state().with_file_name("libcopy.so");
    std::fs::copy(&library, &copy).unwrap();
    let counted = numbers_of(program.command(server.url()).arg("twice").args([&library, &copy]));
    assert_eq!([server.recorded("scan")][..], counted);
}
