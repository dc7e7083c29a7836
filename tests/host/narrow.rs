//! Hosts in narrow places: small files, small stacks, no /proc, pipes where files are expected.

use std::collections::BTreeMap;

use seatmeter_e2e::program::{Program, image};
use seatmeter_e2e::server::Server;

use super::{output_of, skip};

fn narrow(way: &str) -> String {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_narrow.c");
    output_of(program.command(server.url()).arg(way).arg(image("four_barcodes.png")))
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_with_its_reason_and_no_signal() {
    narrow("filesize");
}

#[test]
fn a_host_without_proc_is_served_and_its_dead_give_their_seats_back() {
    if narrow("noproc").trim() == "skip" {
        skip("mounting is not permitted");
    }
}

#[test]
fn a_host_whose_main_thread_has_ended_is_served() {
    narrow("mainless");
}

#[test]
fn a_pipe_or_a_device_where_a_file_is_expected_is_an_error_and_never_waited_for() {
    narrow("pipes");
}

#[test]
fn threads_with_the_least_stack_that_is_documented_may_call() {
    narrow("small");
    // A few bytes less would do, too: the documented size leaves half of it to the host's own
    // frames.
    let used = narrow("stack");
    let used: BTreeMap<_, usize> = used
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, n)| (kind, n.parse().unwrap()))
        .collect();
    assert!(
        used["license"] < 48 << 10 && used["count"] < 32 << 10 && used["decode"] < 256 << 10,
        "{used:?}"
    );
}
