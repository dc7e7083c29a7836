//! Hosts that fork.

use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

use super::numbers_of;

#[test]
fn a_thousand_forks_with_readers_open_and_threads_at_work_lose_no_seat_and_no_count() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_forks.c");
    let counted = numbers_of(program.command(server.url()).args(["load", "1000"]));
    assert_eq!([server.recorded("scan")][..], counted);
}

#[test]
fn the_threads_of_a_child_may_use_it_at_once_also_when_its_parent_never_has() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_forks.c");
    let counted = numbers_of(program.command(server.url()).args(["threads", "60"]));
    assert_eq!([server.recorded("scan")][..], counted);
}

#[cfg(feature = "decode")]
#[test]
fn a_child_is_told_of_a_reader_that_was_at_work_and_may_destroy_it() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_forks.c");
    let busy = numbers_of(program.command(server.url()).args(["decoding", "100"]));
    assert!(busy[0] > 0, "no child was forked while a picture was searched");
}

#[test]
fn a_server_that_forks_its_workers_beforehand_has_the_seat_of_a_killed_one_at_once() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_forks.c");
    let kills = 40;
    let bounds = numbers_of(program.command(server.url()).args(["workers", &kills.to_string()]));
    let (least, most, billed) = (bounds[0], bounds[1], server.recorded("scan"));
    assert!(most - least <= kills, "{bounds:?}");
    assert!((least..=most).contains(&billed), "{billed} of {bounds:?}");
}
