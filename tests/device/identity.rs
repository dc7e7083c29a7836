//! The identity of a device, with a real server: copies of a state directory, containers that are
//! made anew, programs that start before the network.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

const NOWHERE: &str = "http://127.0.0.1:1";

fn start(program: &Program, server: &str, state: &Path) -> Dialogue {
    let mut command = program.command(server);
    command.env("SEATMETER_STATE_DIR", state);
    Dialogue::start(command)
}

fn asked(dialogue: &mut Dialogue, line: &str) -> String {
    let answer = dialogue.ask(line);
    assert!(answer.starts_with('0'), "{line}: {answer}");
    answer
}

fn devices(server: &Server) -> usize {
    let list = server.operate(&["device", "list"]);
    list.matches("\"device_uuid\"").count()
}

#[test]
fn copies_of_a_state_directory_are_told_apart_within_one_sync_and_no_usage_is_lost() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/device_tool.c");
    let original = program.state();
    let mut first = start(&program, server.url(), &original);
    asked(&mut first, "init");
    asked(&mut first, "count 3");
    let uuid = asked(&mut first, "uuid");
    asked(&mut first, "end");

    let copy = original.with_file_name("copy");
    assert!(Command::new("cp").arg("-r").arg(&original).arg(&copy).status().unwrap().success());
    let mut both = [&original, &copy].map(|state| start(&program, server.url(), state));
    for device in &mut both {
        asked(device, "init");
        assert_eq!(asked(device, "uuid"), uuid, "a copy cannot know that it is one");
        asked(device, "count 10");
    }
    for _ in 0..2 {
        for device in &mut both {
            asked(device, "sync");
        }
    }
    let uuids = both.each_mut().map(|device| asked(device, "uuid"));
    assert_ne!(uuids[0], uuids[1], "one of them took a UUID of its own");
    assert!(uuids.contains(&uuid), "and the other kept its");
    for device in &mut both {
        asked(device, "count 100");
        asked(device, "sync");
        asked(device, "end");
    }
    assert_eq!(server.recorded("scan"), 3 + 2 * 10 + 2 * 100);
    assert_eq!(devices(&server), 2);
}

#[test]
fn ten_containers_one_after_the_other_on_one_state_directory_are_one_device() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/device_tool.c");
    for n in 0..10 {
        let mut container = program.command(server.url());
        container.env("HOSTNAME", format!("container-{n}")).env("HOME", format!("/home/{n}"));
        let mut container = Dialogue::start(container);
        asked(&mut container, "init");
        asked(&mut container, "count 1");
        if n % 2 == 0 { container.kill() } else { drop(asked(&mut container, "end")) }
    }
    assert_eq!(devices(&server), 1);
}

#[test]
fn a_program_that_started_before_its_server_was_there_is_licensed_when_it_comes() {
    let mut server = Server::with_demo_license();
    server.kill();
    let program = Program::compile("tests/c/device_tool.c");
    let mut early = start(&program, server.url(), &program.state());
    let refused = early.ask("init");
    assert!(
        refused.starts_with("-20200 no answer from http://127.0.0.1:")
            && refused.contains("(connect)")
    );
    assert!(early.ask("count 1").starts_with("-20200"));
    assert!(early.ask("status").starts_with("0 cache 0 stage 3 unsent 0 no answer from"));
    server.start_again();
    // The program only tries again. Its background finds the server.
    let end = Instant::now() + Duration::from_secs(60);
    while early.ask("count 1") != "0" {
        assert!(Instant::now() < end, "not licensed: {}", early.ask("status"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(early.ask("status").starts_with("1 cache 0 stage 0 unsent 1"));
    asked(&mut early, "end");
    assert_eq!(server.recorded("scan"), 1);
}

#[test]
fn a_sync_finds_a_server_that_has_come() {
    let mut server = Server::with_demo_license();
    server.kill();
    let program = Program::compile("tests/c/device_tool.c");
    let mut early = start(&program, server.url(), &program.state());
    assert!(early.ask("init").starts_with("-20200"));
    server.start_again();
    asked(&mut early, "sync");
    asked(&mut early, "count 1");
    asked(&mut early, "end");
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named_with_what_to_set() {
    let program = Program::compile("tests/c/device_tool.c");
    let answer = start(&program, NOWHERE, Path::new("/proc/seatmeter")).ask("init");
    assert!(
        answer.starts_with("-20002 the state directory /proc/seatmeter cannot be used"),
        "{answer}"
    );
    assert!(answer.contains("SEATMETER_STATE_DIR"), "{answer}");
}
