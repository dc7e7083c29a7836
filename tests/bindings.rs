//! The modules of other languages: each plays one and the same scenario, `bindings/scenario.txt`, against a real server.
//! Python programs that fork, and that work in many processes, keep exact counts and seats besides; and each language has
//! programs for what is its own: what its users may give by mistake, and what may happen while they wait.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, image, run};
use seatmeter_e2e::server::Server;

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {}", why.trim());
}

fn library() -> PathBuf {
    seatmeter_e2e::build_folder().join("libseatmeter.so")
}

/// The words of the command that plays the scenario in a language; none where its tools are missing.
fn player(language: &str) -> Option<Vec<String>> {
    let script = seatmeter_e2e::root().join("scripts/bindings.sh");
    let folder = seatmeter_e2e::build_folder().join("../bindings");
    let made = run(Command::new(script).arg(language).arg(folder));
    match made.code {
        Some(0) => Some(made.stdout.lines().map(str::to_owned).collect()),
        Some(3) => {
            skip(&made.stderr);
            None
        }
        _ => panic!("{language}: {}{}", made.stdout, made.stderr),
    }
}

/// A command on a device, with nothing else from outside.
fn on_device(words: &[String], state: &Path, server: &str) -> Command {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("SEATMETER_LIBRARY", library())
        .env("SEATMETER_STATE_DIR", state)
        .env("SEATMETER_SERVER", server);
    command
}

fn plays_the_scenario(start: impl Fn(&Server) -> Command) {
    let server = Server::with_demo_license();
    let picture = image("four_barcodes.png").display().to_string();
    let mut programs = ["a", "b"].map(|name| (name, Some(Dialogue::start(start(&server)))));
    let text = std::fs::read_to_string(seatmeter_e2e::root().join("bindings/scenario.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let line = line.replace("$SERVER", server.url()).replace("$PICTURE", &picture);
        let (order, expected) = line.split_once(" = ").unwrap_or((&line, ""));
        let (who, what) = order.trim().split_once(' ').unwrap();
        let place = |name: &str| ["a", "b"].iter().position(|known| *known == name).unwrap();
        let answer = match who {
            "server" => server.recorded(what).to_string(),
            "kill" => {
                programs[place(what)].1 = None;
                String::new()
            }
            name => programs[place(name)].1.as_mut().unwrap().ask(what),
        };
        assert_eq!(answer, expected, "{order}");
        count += 1;
    }
    assert!(count > 40, "{count} lines");
}

fn plays_in(language: &str) {
    let Some(words) = player(language) else { return };
    let device = tempfile::tempdir().unwrap();
    let state = device.path().join("state");
    plays_the_scenario(|server| on_device(&words, &state, server.url()));
}

#[test]
fn cpp_plays_the_scenario() {
    let program = Program::compile("bindings/cpp/scenario_17.cpp");
    plays_the_scenario(|server| program.command(server.url()));
}

#[test]
fn python_plays_the_scenario() {
    plays_in("python");
}

#[test]
fn node_plays_the_scenario() {
    plays_in("node");
}

#[test]
fn java_plays_the_scenario() {
    plays_in("java");
}

/// The words of the command that runs one of a language's own programs; none where its tools are missing.
fn program(language: &str, name: &str) -> Option<Vec<String>> {
    let mut words = player(language)?;
    words.pop();
    // Of Java the player is the name of a class, and so is any other program.
    let path = seatmeter_e2e::root().join("bindings").join(language).join("tests").join(name);
    words.push(if language == "java" { name.to_owned() } else { path.display().to_string() });
    Some(words)
}

/// Runs a program, and checks that what it says it has counted, which is so much at least, is what was billed.
fn counts_exactly(language: &str, name: &str, argument: &str, least: u64) {
    let Some(mut words) = program(language, name) else { return };
    words.push(argument.to_owned());
    let server = Server::with_demo_license();
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, &device.path().join("state"), server.url()));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let counted: u64 = run.stdout.trim().parse().unwrap();
    assert!(counted >= least, "{counted}");
    assert_eq!(server.recorded("scan"), counted);
}

#[test]
fn python_that_forks_keeps_exact_counts_and_seats() {
    counts_exactly("python", "forks.py", "200", 100);
}

#[test]
fn python_in_many_processes_keeps_exact_counts_and_seats() {
    counts_exactly("python", "processes.py", "40", 100);
}

#[test]
fn python_that_is_interrupted_while_it_waits_or_decodes_loses_no_seat() {
    let picture = image("four_barcodes.png").display().to_string();
    counts_exactly("python", "interrupted.py", &picture, 1);
}

#[test]
fn what_c_would_cut_is_an_error_of_python() {
    counts_exactly("python", "arguments.py", "", 1);
}

#[test]
fn what_is_no_text_no_int_or_no_bytes_is_an_error_of_node_and_what_is_bytes_is_counted_whole() {
    counts_exactly("node", "arguments.js", "", 1);
}

#[test]
fn node_reads_files_while_many_readers_wait() {
    counts_exactly("node", "waiting.js", "", 1);
}

#[test]
fn node_does_without_the_decoder() {
    let Some(words) = program("node", "no_decoder.js") else { return };
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, device.path(), "http://127.0.0.1:1"));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn java_counts_a_list_that_grows_as_one_that_is_whole() {
    counts_exactly("java", "Growing", "", 100);
}

#[test]
fn a_text_that_c_would_cut_is_an_error_of_java() {
    counts_exactly("java", "Arguments", "", 2);
}
