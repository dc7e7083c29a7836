//! Which root key of a vendor is believed, as the status and the doctor say it.

use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::{Server, doctor};
use seatmeter_protocol::built_in::root_keys;
use seatmeter_protocol::signature::SigningKey;
use tempfile::TempDir;

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

/// Build the library with this text as root key, as a vendor does, and return a folder with it. The
/// build has a place of its own, which is kept: the next one builds little.
#[allow(clippy::disallowed_methods, reason = "cargo is told by the environment what to build in")]
fn library_with(text: &str) -> TempDir {
    let target = seatmeter_e2e::build_folder().ancestors().nth(2).unwrap().join("root-keys");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--offline", "-p", "seatmeter", "--lib"])
        .args(["--no-default-features", "--target-dir"])
        .arg(&target)
        .env("SEATMETER_ROOT_KEY", text)
        .current_dir(seatmeter_e2e::root())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let folder = tempfile::tempdir().unwrap();
    let library = target.join("debug/libseatmeter.so");
    std::fs::copy(library, folder.path().join("libseatmeter.so.0")).unwrap();
    folder
}

/// Return the whole root key that a device keeps.
fn kept_key(program: &Program) -> String {
    let files = std::fs::read_dir(program.state().join("licenses")).unwrap().flatten();
    let path =
        files.map(|file| file.path()).find(|path| path.extension() == Some("root-key".as_ref()));
    let bytes = std::fs::read(path.unwrap()).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit());
    words.find(|word| word.len() == 64).unwrap().to_owned()
}

#[test]
fn a_library_with_one_root_key_or_two_believes_these_and_says_so() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/device_tool.c");
    if option_env!("SEATMETER_ROOT_KEY").is_some() {
        return;
    }
    assert!(Dialogue::start(program.command(server.url())).ask("init").starts_with('0'));
    let of_server = kept_key(&program);
    let other = SigningKey::generate().unwrap().0.public().to_string();
    for (text, is_believed) in [(other.clone(), false), (format!("{other},{of_server}"), true)] {
        let library = library_with(&text);
        let ids: Vec<_> = root_keys(&text).unwrap().iter().map(|key| key.id()).collect();
        let said = format!("{} 0 {}", ids.len(), ids.join(","));
        let state = library.path().join("state");
        let mut command = program.command(server.url());
        command.env("LD_LIBRARY_PATH", library.path()).env("SEATMETER_STATE_DIR", &state);
        let mut dialogue = Dialogue::start(command);
        assert_eq!(dialogue.ask("roots"), said, "before any answer");
        let answer = dialogue.ask("init");
        assert!(answer.starts_with(if is_believed { "0" } else { "-20003" }), "{answer}");
        assert_eq!(dialogue.ask("roots"), said);
        let file = library.path().join("libseatmeter.so.0");
        let run = doctor(&state, &["--library", file.to_str().unwrap()]);
        let lines = run.stdout.replace(", ", ",");
        assert!(lines.contains(&ids.join(",")), "{run:?}");
        let under = format!("under root key {} that is built into the library", ids[ids.len() - 1]);
        assert_eq!(run.stdout.contains(&under), is_believed, "{run:?}");
    }
}
