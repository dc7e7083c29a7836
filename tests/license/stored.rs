//! The programs that a stored license serves, and the refusals that survive on the disk. The
//! programs present something else, lose single files, or are stopped in mid-request.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::{DEMO_CODE, Server};
use serde_json::{Value, json};

const SCANS: i32 = 2;
const SERVER: i32 = 9;
const PAGES: i32 = 20;

const CORE: u32 = 1;
const OCR: u32 = 4;

/// The longest wait for something that takes a second on an idle machine.
const LONG: Duration = Duration::from_secs(60);

const NO_SERVER: &str = "-20200";
const USED_UP: &str = "-20120";
const REVOKED: &str = "-20113";

/// A server with one item, and a program on a device of its own.
struct Bench {
    server: Server,
    tool: Program,
    charge_way: i32,
}

impl Bench {
    fn new(charge_way: i32, name: &str, settings: Value) -> Self {
        let mut item = json!({
            "item_id": "item", "charge_way": name, "deployment_types": ["server"], "products": 0xffff,
        });
        item.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let server = Server::with_items(&json!([item]));
        Self { server, tool: Program::compile("tests/c/license_tool.c"), charge_way }
    }

    fn of_scans() -> Self {
        Self::new(SCANS, "barcode_scan", json!({ "quota": 1_000 }))
    }

    fn process_in(&self, state: &Path) -> Dialogue {
        let mut command = self.tool.command(self.server.url());
        command.env("SEATMETER_STATE_DIR", state);
        Dialogue::start(command)
    }

    fn process(&self) -> Dialogue {
        self.process_in(&self.tool.state())
    }

    /// Return the same program under another name.
    fn process_named(&self, name: &str) -> Dialogue {
        let own = self.tool.command(self.server.url());
        let renamed = Path::new(own.get_program()).with_file_name(name);
        fs::copy(own.get_program(), &renamed).unwrap();
        let mut command = Command::new(renamed);
        command.env_clear();
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Dialogue::start(command)
    }

    /// Ask for a license with these parameters, and return the answer.
    fn asks(&self, process: &mut Dialogue, presents: &str) -> String {
        process.ask(&format!("init {} {presents}", self.charge_way))
    }

    fn licensed(&self, presents: &str) -> Dialogue {
        let mut process = self.process();
        assert_eq!(self.asks(&mut process, presents), "0");
        process
    }

    fn allow(&self, access: &[&str]) {
        self.server.operate(&[&["handshake", "access", DEMO_CODE], access].concat());
    }

    fn set_password(&self, password: &str) {
        self.server.operate_telling(&["handshake", "access", DEMO_CODE, "--password"], password);
    }
}

const NOTHING: &str = "- - -";

#[test]
fn a_program_with_a_wrong_password_gets_nothing_from_a_stored_license_and_takes_nothing_away() {
    let mut bench = Bench::of_scans();
    bench.set_password("sesame");
    let mut right = bench.licensed("sesame - -");
    for wrong in ["guess - -", NOTHING] {
        for door in ["init", "dbr"] {
            let mut program = bench.process();
            assert_eq!(program.ask(&format!("{door} {SCANS} {wrong}")), "-20102");
            assert_eq!(program.ask("count 1"), "-20102");
            assert_eq!(program.ask("sync 5000"), "-20102");
            assert_eq!(right.ask("count 1"), "0");
            assert_eq!(right.ask("sync 5000"), "0");
        }
    }
    // One process may try both passwords. It keeps the license that it had.
    assert_eq!(bench.asks(&mut right, "guess - -"), "-20102");
    assert_eq!(right.ask("count 1"), "0");
    bench.server.kill();
    let mut program = bench.process();
    assert_eq!(bench.asks(&mut program, "guess - -"), NO_SERVER);
    assert_eq!(program.ask("count 1"), NO_SERVER);
    drop(bench.licensed("sesame - -"));
}

#[test]
fn a_password_that_is_changed_stops_running_programs_with_the_old_one_at_their_next_contact() {
    let bench = Bench::of_scans();
    bench.set_password("old");
    let mut old = bench.licensed("old - -");
    bench.set_password("new");
    let mut new = bench.licensed("new - -");
    assert_eq!(old.ask("count 1"), "0", "it has not heard of it");
    assert_eq!(old.ask("sync 5000"), "-20102");
    assert_eq!(old.ask("count 1"), "-20102");
    assert_eq!(bench.asks(&mut bench.process(), "old - -"), "-20102");
    assert_eq!(new.ask("sync 5000"), "0");
    assert_eq!(new.ask("count 1"), "0");
}

#[test]
fn a_stored_license_is_not_another_websites_or_another_applications() {
    for (access, right, wrong, refusal) in [
        (["--website-domain", "company.com"], "- company.com -", "- other.com -", "-20103"),
        (["--application-id", "ours"], "- - ours", "- - theirs", "-20114"),
    ] {
        let mut bench = Bench::of_scans();
        bench.allow(&access);
        let mut first = bench.licensed(right);
        for presents in [wrong, NOTHING] {
            let mut program = bench.process();
            assert_eq!(bench.asks(&mut program, presents), refusal, "{presents}");
            assert_eq!(program.ask("count 1"), refusal);
        }
        assert_eq!(first.ask("sync 5000"), "0");
        bench.server.kill();
        assert_eq!(bench.asks(&mut bench.process(), wrong), NO_SERVER);
        drop(bench.licensed(right));
        assert_eq!(first.ask("count 1"), "0");
    }
}

#[test]
fn an_executable_of_another_name_gets_a_stored_license_only_where_names_do_not_matter() {
    let mut bench = Bench::of_scans();
    let name = Path::new(bench.tool.command("").get_program()).file_name().unwrap().to_owned();
    bench.allow(&["--process-name", name.to_str().unwrap()]);
    let mut first = bench.licensed(NOTHING);
    assert_eq!(bench.asks(&mut bench.process_named("tool"), NOTHING), "-20114");
    assert_eq!(first.ask("sync 5000"), "0");
    bench.server.kill();
    assert_eq!(bench.asks(&mut bench.process_named("tool"), NOTHING), NO_SERVER);
    bench.server.start_again();
    bench.allow(&[]);
    assert_eq!(first.ask("sync 5000"), "0");
    bench.server.kill();
    assert_eq!(bench.asks(&mut bench.process_named("tool"), NOTHING), "0");
}

#[test]
fn a_used_up_module_stays_used_up_for_the_next_process() {
    let bench = Bench::new(PAGES, "page", json!({ "page_quotas": { "core": 20, "ocr": 5 } }));
    let mut first = bench.licensed(NOTHING);
    assert_eq!(first.ask(&format!("pages {OCR} 6")), "0");
    assert_eq!(first.ask("sync 5000"), "0");
    let mut second = bench.licensed(NOTHING);
    assert_eq!(second.ask(&format!("pages {OCR} 1")), USED_UP);
    assert_eq!(second.ask(&format!("pages {CORE} 1")), "0");
}

#[test]
fn what_one_process_is_told_stops_the_other_running_ones_of_its_device() {
    let pages = json!({ "page_quotas": { "ocr": 5 } });
    for (name, charge_way, settings, work, refusal) in [
        ("barcode_scan", SCANS, json!({ "quota": 20 }), "count 25".to_owned(), USED_UP),
        ("page", PAGES, pages, format!("pages {OCR} 6"), USED_UP),
        ("barcode_scan", SCANS, json!({ "quota": 20 }), String::new(), REVOKED),
    ] {
        let bench = Bench::new(charge_way, name, settings);
        let (mut first, mut second) = (bench.licensed(NOTHING), bench.licensed(NOTHING));
        let one_more =
            if charge_way == PAGES { format!("pages {OCR} 1") } else { "count 1".to_owned() };
        if work.is_empty() {
            bench.server.operate(&["item", "revoke", "item", "--yes"]);
        } else {
            assert_eq!(first.ask(&work), "0");
        }
        assert_eq!(first.ask("sync 5000"), refusal, "{name}");
        // The other process talks to no server now, and counts all the time.
        let ends = Instant::now() + LONG;
        while second.ask(&one_more) != refusal {
            assert!(Instant::now() < ends, "{name}: it works on, {refusal} was told to its device");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A device that may not work while its server is away: how it comes to that, and what shows it.
struct Held {
    name: &'static str,
    bench: Bench,
    /// The parameters that its program presents when it begins.
    presents: &'static str,
    /// The commands that the program runs then.
    works: String,
}

fn held_devices() -> Vec<Held> {
    let mut all = Vec::new();
    let mut add = |name, bench: Bench, presents, works: &str| {
        all.push(Held { name, bench, presents, works: works.to_owned() });
    };

    let bench = Bench::of_scans();
    let mut program = bench.licensed(NOTHING);
    assert_eq!(program.ask("count 2"), "0");
    bench.server.operate(&["item", "revoke", "item", "--yes"]);
    assert_eq!(program.ask("sync 5000"), REVOKED);
    program.ask("end");
    add("revoked", bench, NOTHING, "count 1");

    let bench = Bench::new(SCANS, "barcode_scan", json!({ "quota": 10 }));
    let mut program = bench.licensed(NOTHING);
    assert_eq!(program.ask("count 12"), "0");
    assert_eq!(program.ask("sync 5000"), USED_UP);
    program.ask("end");
    add("used up", bench, NOTHING, "count 1");

    let bench = Bench::new(PAGES, "page", json!({ "page_quotas": { "core": 20, "ocr": 5 } }));
    let mut program = bench.licensed(NOTHING);
    assert_eq!(program.ask(&format!("pages {OCR} 6")), "0");
    assert_eq!(program.ask("sync 5000"), "0");
    program.ask("end");
    add("a module used up", bench, NOTHING, &format!("pages {OCR} 1"));

    let mut bench = Bench::new(SCANS, "barcode_scan", json!({ "quota": 100, "strict": true }));
    let mut program = bench.licensed(NOTHING);
    bench.server.kill();
    while program.ask("count 1") == "0" {}
    program.kill();
    add("strict, all spent", bench, NOTHING, "count 1");

    let mut bench = Bench::new(SERVER, "server", json!({ "quota": 1 }));
    let mut program = bench.licensed(NOTHING);
    assert_eq!(program.ask("count 1"), "0");
    assert_eq!(program.ask("end"), "0");
    bench.server.kill();
    add("given back", bench, NOTHING, "count 1");

    let bench = Bench::of_scans();
    bench.set_password("sesame");
    let mut program = bench.licensed("sesame - -");
    assert_eq!(program.ask("count 1"), "0");
    program.kill();
    add("with a password", bench, "guess - -", "count 1");

    all.iter_mut().for_each(|held| held.bench.server.kill());
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut all: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn whatever_single_file_is_lost_or_damaged_nothing_gets_better_for_the_device() {
    for Held { name, bench, presents, works } in held_devices() {
        let used = bench.tool.state();
        let works_on = |state: &Path| {
            let mut program = bench.process_in(state);
            let outcomes = (bench.asks(&mut program, presents), program.ask(&works));
            program.kill();
            outcomes
        };
        let refused = |outcomes: &(String, String)| outcomes.1 != "0";
        let names: Vec<_> =
            files(&used).iter().map(|path| path.strip_prefix(&used).unwrap().to_owned()).collect();
        assert!(names.len() >= 6, "{name}: {names:?}");
        for (number, file) in names.iter().enumerate() {
            for harm in ["gone", "empty", "noise"] {
                let state = used.with_file_name(format!("{number}-{harm}"));
                copy(&used, &state);
                let path = state.join(file);
                match harm {
                    "gone" => fs::remove_file(&path).unwrap(),
                    "empty" => fs::write(&path, "").unwrap(),
                    _ => fs::write(&path, "noise".repeat(2_000)).unwrap(),
                }
                let outcomes = works_on(&state);
                assert!(refused(&outcomes), "{name}: {} is {harm}: {outcomes:?}", file.display());
                fs::remove_dir_all(&state).unwrap();
            }
        }
        assert!(refused(&works_on(&used)), "{name}: nothing is lost");
    }
}

#[test]
fn a_lost_file_of_a_strict_item_heals_when_the_server_is_heard() {
    let bench = Bench::new(SCANS, "barcode_scan", json!({ "quota": 100, "strict": true }));
    let mut program = bench.licensed(NOTHING);
    for _ in 0..10 {
        assert_eq!(program.ask("count 1"), "0");
    }
    program.kill();
    let spent = files(&bench.tool.state())
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "spent"));
    fs::remove_file(spent.unwrap()).unwrap();
    let mut program = bench.licensed(NOTHING);
    let mut counted = 10;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // Counting is refused until a later grant says how much was spent. The background asks for that
    // grant.
    while program.ask("count 1") != "0" {
        assert!(std::time::Instant::now() < end, "it does not heal");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    counted += 1;
    loop {
        match program.ask("count 1").as_str() {
            "0" => counted += 1,
            _ if program.ask("sync 5000") == "0" && program.ask("count 1") == "0" => counted += 1,
            _ => break,
        }
    }
    assert!(counted <= 105, "{counted} of 100 and their grace");
    program.ask("end");
    assert_eq!(bench.server.recorded("scan"), counted);
}

#[test]
fn a_process_that_is_stopped_in_mid_request_holds_up_no_other_and_does_no_harm_when_it_wakes() {
    let bench = Bench::of_scans();
    let mut works = bench.licensed(NOTHING);
    let uuid = works.ask("uuid");
    // This server accepts a connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut stopped = Dialogue::start(bench.tool.command(&url));
    assert_eq!(bench.asks(&mut stopped, NOTHING), "0");
    let (connection, _) = silent.accept().unwrap();
    signal(stopped.pid(), "STOP");
    for n in 1..=2 {
        assert_eq!(works.ask(&format!("count {n}")), "0");
        assert_eq!(works.ask("sync 8000"), "0");
        assert_eq!(bench.server.recorded("scan"), [0, 1, 3][n]);
    }
    let mut next = bench.licensed(NOTHING);
    assert_eq!(next.ask("sync 8000"), "0");
    signal(stopped.pid(), "CONT");
    drop((connection, silent));
    assert_eq!(stopped.ask("count 4"), "0");
    for program in [&mut works, &mut next] {
        assert_eq!(program.ask("sync 8000"), "0");
        assert_eq!(program.ask("uuid"), uuid);
    }
    assert_eq!(bench.server.recorded("scan"), 7);
    assert_eq!(bench.server.operate(&["device", "list"]).matches("\"device_uuid\"").count(), 1);
}

fn signal(pid: u32, name: &str) {
    assert!(
        Command::new("kill")
            .args([&format!("-{name}"), &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}
