//! Hosts that cancel their threads.

use std::collections::BTreeSet;
use std::process::Command;

use seatmeter_e2e::program::{Program, image};
use seatmeter_e2e::server::Server;

use super::output_of;

/// The functions in which POSIX and glibc may cancel a thread, as far as the library might use
/// them. `fcntl` is one only if it waits for a lock, which the library never does. `syscall` is
/// none for the calls that the library makes.
const CANCELLATION_POINTS: &str = "accept accept4 clock_nanosleep close connect copy_file_range \
    creat creat64 epoll_pwait \
     epoll_wait fallocate fallocate64 fdatasync fopen fopen64 fsync getaddrinfo getnameinfo lockf \
     lockf64 msync nanosleep \
     open open64 openat openat64 pause poll posix_fallocate posix_fallocate64 ppoll pread pread64 \
     preadv pselect \
     pthread_cond_timedwait pthread_cond_wait pthread_join pthread_testcancel pwrite pwrite64 \
     read readv recv recvfrom \
     recvmsg select sem_timedwait sem_wait send sendfile64 sendmmsg sendmsg sendto sigsuspend \
     sigtimedwait sigwait \
     sigwaitinfo sleep splice system tcdrain usleep wait waitid waitpid write writev";

fn program() -> Program {
    Program::compile("tests/c/host_canceled.c")
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_cancellation_point_that_the_library_uses_is_watched() {
    let library = seatmeter_e2e::build_folder().join("libseatmeter.so");
    let output =
        Command::new("nm").args(["-D", "--undefined-only", "-P"]).arg(library).output().unwrap();
    let imported = String::from_utf8(output.stdout).unwrap();
    let imported: BTreeSet<_> = imported
        .lines()
        .filter_map(|line| line.split(['@', ' ']).next())
        .map(str::to_owned)
        .collect();
    let used: BTreeSet<_> = words(CANCELLATION_POINTS).intersection(&imported).cloned().collect();
    assert!(used.len() > 10, "{imported:?}");
    let watched = words(&output_of(program().command("http://127.0.0.1:9").arg("names")));
    let unwatched: Vec<_> = used.difference(&watched).collect();
    assert!(unwatched.is_empty(), "add to tests/c/host_canceled.c: {unwatched:?}");
}

#[test]
fn no_call_reaches_a_cancellation_point_while_its_thread_can_be_canceled() {
    let server = Server::with_demo_license();
    let seen =
        output_of(program().command(server.url()).arg("points").arg(image("four_barcodes.png")));
    assert_eq!(seen, "");
}

#[test]
fn a_thread_that_is_canceled_at_any_moment_of_its_calls_costs_no_seat_and_not_the_process() {
    let server = Server::with_demo_license();
    output_of(program().command(server.url()).arg("calls").arg(image("four_barcodes.png")));
}

#[test]
fn a_thread_that_is_canceled_inside_a_call_ends_after_it() {
    let server = Server::with_demo_license();
    output_of(program().command(server.url()).arg("inside").arg(image("four_barcodes.png")));
}
