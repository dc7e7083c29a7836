//! A state directory to which everything has happened, with a real server: whatever is torn, foreign or gone, programs
//! start, and what was counted elsewhere is billed, once.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

struct Bench {
    server: Server,
    program: Program,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            server: Server::with_demo_license(),
            program: Program::compile("tests/c/device_tool.c"),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn start(&self, state: &Path) -> Dialogue {
        let mut command = self.program.command(self.server.url());
        command.env("SEATMETER_STATE_DIR", state);
        Dialogue::start(command)
    }

    /// A state directory with 5 scans that are reported, and 3 that are not because their program was killed.
    fn used_directory(&self) -> PathBuf {
        let state = self.folder.path().join("used");
        let mut device = self.start(&state);
        for line in ["init", "count 5", "sync"] {
            assert!(device.ask(line).starts_with('0'));
        }
        assert_eq!(device.ask("count 3"), "0");
        device.kill();
        state
    }

    fn copy_of(&self, state: &Path, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        assert!(Command::new("cp").arg("-r").arg(state).arg(&copy).status().unwrap().success());
        copy
    }

    /// A program on this directory counts 2 scans and ends.
    fn use_it(&self, state: &Path, why: &str) {
        let mut device = self.start(state);
        for line in ["init", "count 2", "end"] {
            let answer = device.ask(line);
            assert!(answer.starts_with('0'), "{why}: {line}: {answer}");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut all: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

/// What happens to a file.
type Damage = Box<dyn Fn(&Path)>;

/// Kinds of damage, each with its name.
fn damages() -> Vec<(&'static str, Damage)> {
    let write = |change: fn(Vec<u8>) -> Vec<u8>| -> Damage {
        Box::new(move |path| fs::write(path, change(fs::read(path).unwrap())).unwrap())
    };
    vec![
        ("empty", write(|_| Vec::new())),
        ("half", write(|bytes| bytes[..bytes.len() / 2].to_vec())),
        ("noise", write(|bytes| bytes.iter().enumerate().map(|(n, _)| (n * 167 % 251) as u8).collect())),
        (
            "newer version",
            write(|mut bytes| {
                if let Some(version) = bytes.get_mut(8) {
                    *version = 99;
                }
                bytes
            }),
        ),
        ("gone", Box::new(|path| fs::remove_file(path).unwrap())),
        (
            "a directory",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ),
    ]
}

#[test]
fn whatever_happens_to_one_file_programs_start_and_the_rest_is_billed_once() {
    let bench = Bench::new();
    let used = bench.used_directory();
    let names: Vec<PathBuf> =
        files(&used).iter().map(|path| path.strip_prefix(&used).unwrap().to_owned()).collect();
    let is = |name: &Path, ending: &str| name.extension().is_some_and(|e| e == ending);
    for wanted in ["grant", "root-key", "turn", "segment", "pool"] {
        assert!(names.iter().any(|name| is(name, wanted)), "no {wanted} in {names:?}");
    }
    for wanted in ["device", "clock"] {
        assert!(names.contains(&PathBuf::from(wanted)), "no {wanted} in {names:?}");
    }
    let mut uses = 0;
    for name in &names {
        for (what, damage) in damages() {
            // Segments and pools have tests of their own (src/usage, tests/files.rs), a directory in their place none.
            if what == "a directory" && (is(name, "segment") || is(name, "pool")) {
                continue;
            }
            let state = bench.copy_of(&used, &format!("copy-{uses}"));
            damage(&state.join(name));
            bench.use_it(&state, &format!("{} is {what}", name.display()));
            uses += 1;
            fs::remove_dir_all(&state).unwrap();
        }
    }
    assert_eq!(bench.server.recorded("scan"), 5 + 3 + 2 * uses, "{uses} uses");
}

#[test]
fn a_damaged_licence_is_set_aside_never_deleted() {
    let bench = Bench::new();
    let used = bench.used_directory();
    let grant = files(&used).into_iter().find(|path| path.extension().is_some_and(|e| e == "grant")).unwrap();
    fs::write(&grant, "torn").unwrap();
    bench.use_it(&used, "torn");
    let aside = grant.with_extension("grant.damaged-1");
    assert_eq!(fs::read(aside).unwrap(), b"torn");
}

#[test]
fn files_of_a_newer_library_are_left_for_it_or_set_aside_and_work_goes_on() {
    let bench = Bench::new();
    let used = bench.used_directory();
    let segments = |state: &Path| -> Vec<PathBuf> {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "segment");
        files(state).into_iter().filter(is_segment).collect()
    };
    let segment = segments(&used).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let mut newer = whole.clone();
    newer[8] += 1;
    fs::write(&segment, &newer).unwrap();
    bench.use_it(&used, "newer segment");
    assert_eq!(fs::read(&segment).unwrap(), newer, "the newer library will report it");
    assert_eq!(bench.server.recorded("scan"), 5 + 2);
    // And so it does.
    fs::write(&segment, &whole).unwrap();
    bench.use_it(&used, "own segment");
    assert_eq!(bench.server.recorded("scan"), 5 + 3 + 2 * 2);
}
