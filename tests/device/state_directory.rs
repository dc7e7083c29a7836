//! A state directory with every kind of damage, and a real server. Whatever is torn, foreign or
//! missing, programs start, and what other files have counted is billed once.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::segment_layout::read_segment;

/// The longest wait for something that takes a second on an idle machine.
const LONG: Duration = Duration::from_secs(120);

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

    /// Make a state directory with 5 scans that are reported, and 3 that are not, because their
    /// program was killed.
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

    /// Run a program on this directory that counts 2 scans and ends.
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

/// A kind of damage to a file.
type Damage = Box<dyn Fn(&Path)>;

/// Return the kinds of damage, each with its name.
fn damages() -> Vec<(&'static str, Damage)> {
    let write = |change: fn(Vec<u8>) -> Vec<u8>| -> Damage {
        Box::new(move |path| fs::write(path, change(fs::read(path).unwrap())).unwrap())
    };
    vec![
        ("empty", write(|_| Vec::new())),
        ("half", write(|bytes| bytes[..bytes.len() / 2].to_vec())),
        (
            "noise",
            write(|bytes| bytes.iter().enumerate().map(|(n, _)| (n * 167 % 251) as u8).collect()),
        ),
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
        (
            "a link",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("/nowhere/at all", path).unwrap();
            }),
        ),
        (
            "a socket",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                // The socket is named through a descriptor, because the path may be too long for a
                // socket.
                let folder = fs::File::open(path.parent().unwrap()).unwrap();
                let name = path.file_name().unwrap().to_str().unwrap();
                let place = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
                std::os::unix::net::UnixListener::bind(place).unwrap();
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
            // Something that is not a file in the place of a pool is refused with advice
            // (tests/seats/pool_file.rs).
            if ["a directory", "a link", "a socket"].contains(&what) && is(name, "pool") {
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
fn a_file_in_the_place_of_a_folder_is_set_aside_and_work_goes_on() {
    let bench = Bench::new();
    let used = bench.used_directory();
    let usage_of_grant =
        fs::read_dir(used.join("usage")).unwrap().next().unwrap().unwrap().file_name();
    let folders = [
        "licenses".into(),
        "seats".into(),
        "usage".into(),
        Path::new("usage").join(usage_of_grant),
    ];
    let mut uses = 0;
    for (folder, while_it_runs) in
        folders.iter().flat_map(|folder| [(folder, false), (folder, true)])
    {
        let why = format!("{} is a file, while it runs: {while_it_runs}", folder.display());
        let state = bench.copy_of(&used, &format!("folder-{uses}"));
        let mut device = bench.start(&state);
        let harm = || {
            remove_all(&state.join(folder));
            fs::write(state.join(folder), "not ours").unwrap();
        };
        if while_it_runs {
            assert!(device.ask("init").starts_with('0'), "{why}");
            harm();
        } else {
            harm();
            assert!(device.ask("init").starts_with('0'), "{why}");
        }
        for line in ["count 2", "end"] {
            let answer = device.ask(line);
            assert!(answer.starts_with('0'), "{why}: {line}: {answer}");
        }
        // While a program runs, such a thing is set aside when something has to be written there.
        let aside = state.join(format!("{}.damaged-1", folder.display()));
        assert!(while_it_runs || fs::read(aside).unwrap() == b"not ours", "{why}");
        uses += 1;
    }
    // The counts in a removed folder cannot be billed. All others are.
    assert!(bench.server.recorded("scan") >= 5 + 2 * uses, "{uses} uses");
}

#[test]
fn a_link_in_the_place_of_a_folder_is_refused_with_one_remedy() {
    let bench = Bench::new();
    let used = bench.used_directory();
    for folder in ["licenses", "seats", "usage"] {
        let state = bench.copy_of(&used, folder);
        let elsewhere = bench.folder.path().join(format!("{folder}-elsewhere"));
        fs::rename(state.join(folder), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, state.join(folder)).unwrap();
        let answer = bench.start(&state).ask("init");
        assert!(answer.starts_with("-20002"), "{answer}");
        assert!(answer.contains("is a symbolic link"), "{answer}");
        assert!(!answer.contains("Make it writable"), "a link cannot be mended so: {answer}");
    }
}

/// Remove a folder in which a program may create files at the same time.
fn remove_all(folder: &Path) {
    let begun = Instant::now();
    while let Err(e) = fs::remove_dir_all(folder) {
        assert!(begun.elapsed() < LONG, "{}: {e}", folder.display());
    }
}

/// Return the scans in the segments of a state directory.
fn scans_in(state: &Path) -> u64 {
    let Ok(folders) = fs::read_dir(state.join("usage")) else { return 0 };
    let files =
        folders.flatten().filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().flatten();
    let segments = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|e| e == "segment"));
    let counters = segments.filter_map(|path| read_segment(&fs::read(path).ok()?).ok()).flatten();
    counters
        .filter(|counted| counted.usage.kind == UsageKind::Scan)
        .map(|counted| counted.usage.total)
        .sum()
}

#[test]
fn what_is_deleted_under_a_counting_program_is_there_again_in_a_moment_and_costs_no_count() {
    /// Something that a person or a cleaner does to a state directory.
    type Harm = (&'static str, fn(&Path));
    let harms: [Harm; 5] = [
        ("segments", |state| {
            let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "segment");
            files(&state.join("usage")).iter().filter(|path| is_segment(path)).for_each(|path| {
                fs::remove_file(path).unwrap();
            });
        }),
        ("usage", |state| remove_all(&state.join("usage"))),
        ("licenses", |state| remove_all(&state.join("licenses"))),
        ("the state directory", remove_all),
        ("the state directory, which is renamed", |state| {
            fs::rename(state, state.with_extension("aside")).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let bench = Bench::new();
        let state = bench.folder.path().join("state");
        let mut device = bench.start(&state);
        assert!(device.ask("init").starts_with('0'), "{what}");
        assert_eq!(device.ask("count 5"), "0");
        let uuid = device.ask("uuid");
        harm(&state);
        assert_eq!(device.ask("count 3"), "0", "{what}");
        // No sync, start or count is needed: a thread of the library looks once a second.
        let begun = Instant::now();
        while scans_in(&state) < 8 {
            assert!(begun.elapsed() < LONG, "{what}: {} of 8 are there again", scans_in(&state));
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(device.ask("uuid"), uuid, "{what}");
        for line in ["count 1", "sync", "init", "sync"] {
            let answer = device.ask(line);
            assert!(answer.starts_with('0'), "{what}: {line}: {answer}");
        }
        assert_eq!(bench.server.recorded("scan"), 9, "{what}");
        assert_eq!(device.ask("count 2"), "0");
        device.kill();
        bench.use_it(&state, what);
        assert_eq!(bench.server.recorded("scan"), 9 + 2 + 2, "{what}");
        let mut next = bench.start(&state);
        assert_eq!(next.ask("uuid"), uuid, "{what}: another program is the same device");
    }
}

#[test]
fn a_count_that_can_be_kept_nowhere_is_refused_and_nothing_of_before_is_lost() {
    let bench = Bench::new();
    let state = bench.folder.path().join("state");
    let mut device = bench.start(&state);
    assert!(device.ask("init").starts_with('0'));
    assert_eq!(device.ask("count 5"), "0");
    let begun = Instant::now();
    loop {
        remove_all(&state);
        if fs::write(&state, "in the way").is_ok() {
            break;
        }
        assert!(begun.elapsed() < LONG, "it is made again too fast");
    }
    let mut counted = 5;
    loop {
        match device.ask("count 1").as_str() {
            "0" => counted += 1,
            refusal => break assert_eq!(refusal, "-20002"),
        }
        assert!(begun.elapsed() < LONG, "counts are taken that are nowhere");
    }
    fs::remove_file(&state).unwrap();
    while device.ask("count 1") != "0" {
        assert!(begun.elapsed() < LONG, "it does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let answer = device.ask("sync");
    assert!(answer.starts_with('0'), "{answer}");
    assert_eq!(bench.server.recorded("scan"), counted + 1);
}

#[test]
fn a_program_that_uses_one_state_directory_after_the_other_keeps_nothing_of_them_open() {
    const DIRECTORIES: u32 = 200;
    /// Some pools are kept for a while, and allocators create mappings now and then.
    const MORE_MAX: usize = 40;
    let bench = Bench::new();
    let mut device = bench.start(&bench.folder.path().join("first"));
    assert!(device.ask("init").starts_with('0'));
    let has = |pid: u32| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        (fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), maps.lines().count())
    };
    let mut first = (0, 0);
    for number in 0..DIRECTORIES {
        let state = bench.folder.path().join(format!("state-{number}"));
        let answer = device.ask(&format!("move {}", state.display()));
        assert!(answer.starts_with('0'), "{answer}");
        // The reader takes a seat in each.
        assert_eq!(device.ask("count 1"), "0");
        if number == 20 {
            first = has(device.pid());
        }
    }
    let last = has(device.pid());
    assert!(
        last.0 <= first.0 + 2,
        "descriptors: {} with 20 directories, {} with {DIRECTORIES}",
        first.0,
        last.0
    );
    assert!(
        last.1 <= first.1 + MORE_MAX,
        "mappings: {} with 20 directories, {} with {DIRECTORIES}",
        first.1,
        last.1
    );
    // It returns to the first directory, in which nothing is lost.
    for name in ["first", "state-0"] {
        let answer = device.ask(&format!("move {}", bench.folder.path().join(name).display()));
        assert!(answer.starts_with('0'), "{answer}");
        assert_eq!(device.ask("count 1"), "0");
    }
    assert_eq!(device.ask("end"), "0");
    assert_eq!(bench.server.recorded("scan"), u64::from(DIRECTORIES) + 2);
}

#[test]
fn a_damaged_license_is_set_aside_never_deleted() {
    let bench = Bench::new();
    let used = bench.used_directory();
    let grant = files(&used)
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "grant"))
        .unwrap();
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
    // With the version of this library the same segment is reported.
    fs::write(&segment, &whole).unwrap();
    bench.use_it(&used, "own segment");
    assert_eq!(bench.server.recorded("scan"), 5 + 3 + 2 * 2);
}
