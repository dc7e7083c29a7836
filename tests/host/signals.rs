//! Hosts with signal handlers.

use std::io::{Read, Write};
use std::net::TcpListener;

use seatmeter_e2e::program::{Program, image};
use seatmeter_e2e::server::Server;

use super::output_of;

fn program() -> Program {
    Program::compile("tests/c/host_signals.c")
}

#[test]
fn handlers_masks_timers_and_children_stay_the_hosts() {
    output_of(program().command(Server::with_demo_license().url()).arg("unchanged"));
}

/// Start a server that closes each connection at another place of its answer, with unread bytes of
/// the request. So the writes of the peer fail.
#[allow(clippy::disallowed_methods, reason = "a test has as many threads as it likes")]
fn closing_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"half\":";
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut some = [0; 40];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(&answer[..n * 7 % answer.len()]);
        }
    });
    url
}

#[test]
fn a_server_that_closes_in_mid_answer_does_not_end_a_host_without_a_handler_for_sigpipe() {
    output_of(program().command(&closing_server()).arg("broken"));
}

#[test]
fn a_slow_handler_interrupts_every_call_and_every_call_does_its_work() {
    let server = Server::with_demo_license();
    output_of(program().command(server.url()).arg("slow").arg(image("four_barcodes.png")));
    assert_eq!((server.recorded("scan"), server.recorded("page")), (20 + 4, 20));
}
