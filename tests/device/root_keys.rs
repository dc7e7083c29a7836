//! Which root key of a vendor is believed, as the status and the doctor say it.

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::{Server, doctor};
use seatmeter_protocol::built_in::root_keys;

/// Return the id in the doctor's line about a license.
fn id_by_doctor(program: &Program) -> String {
    let run = doctor(&program.state(), &[]);
    let line = run.stdout.lines().find(|line| line.contains("under root key")).unwrap_or_default();
    assert!(line.contains("that came with the first answer"), "{run:?}");
    line.split("under root key ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn the_status_names_the_root_key_of_the_first_answer_from_then_on_and_none_before() {
    if option_env!("SEATMETER_ROOT_KEY").is_some() {
        return;
    }
    let mut server = Server::with_demo_license();
    let program = Program::compile("tests/c/device_tool.c");
    let mut first = Dialogue::start(program.command(server.url()));
    assert_eq!(first.ask("roots"), "0 0", "nobody is believed yet");
    assert!(first.ask("init").starts_with("0"));
    let said = first.ask("roots");
    let id = said.strip_prefix("0 1 ").unwrap().to_owned();
    assert_eq!((id.len(), id_by_doctor(&program)), (16, id.clone()));
    first.kill();
    // It is kept, also without the server.
    server.kill();
    let mut second = Dialogue::start(program.command(server.url()));
    assert_eq!(second.ask("roots"), "0 0", "no license was looked for yet");
    assert!(second.ask("init").starts_with("0"));
    assert_eq!(second.ask("roots"), said);
}

#[test]
fn the_status_names_the_root_keys_that_are_built_in_before_any_answer() {
    let Some(text) = option_env!("SEATMETER_ROOT_KEY") else { return };
    let ids: Vec<_> = root_keys(text).unwrap().iter().map(|key| key.id()).collect();
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/device_tool.c");
    let mut dialogue = Dialogue::start(program.command(server.url()));
    let said = format!("{} 0 {}", ids.len(), ids.join(","));
    assert_eq!(dialogue.ask("roots"), said);
    // The server's license is that of another vendor.
    assert!(dialogue.ask("init").starts_with("-20003"));
    assert_eq!(dialogue.ask("roots"), said);
    let library = seatmeter_e2e::build_folder().join("libseatmeter.so");
    let run = doctor(&program.state(), &["--library", library.to_str().unwrap()]);
    assert!(ids.iter().all(|id| run.stdout.contains(id)), "{run:?}");
}
