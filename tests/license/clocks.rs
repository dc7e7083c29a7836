//! Wrong clocks, with a real server and C programs: a server that was ahead, and programs in time
//! namespaces.
#![allow(clippy::print_stdout, reason = "a test that cannot be run here says so")]

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::{Server, doctor};
use serde_json::json;

const DAY: i64 = 86_400;

/// A server whose clock the test sets, and programs of one device.
struct Bench {
    server: Server,
    tool: Program,
}

impl Bench {
    fn new() -> Self {
        let item = json!([{
            "item_id": "item", "charge_way": "concurrent_instance", "quota": 4, "deployment_types": ["server"],
            "products": 0xffff,
        }]);
        Self {
            server: Server::with_items_and_clock(&item),
            tool: Program::compile("tests/c/option_tool.c"),
        }
    }

    fn program(&self) -> Dialogue {
        Dialogue::start(self.tool.command(self.server.url()))
    }

    /// Start a program that has initialized and has one seat.
    fn licensed(&self) -> Dialogue {
        let mut program = self.program();
        assert_eq!(program.ask("init 10 1 4"), "0");
        program
    }

    /// Start a program in a time namespace of its own. Return `None` where the kernel forbids that.
    fn in_namespace(&self, ahead: i64) -> Option<Dialogue> {
        let shifted = |command: &mut Command, program: &Command| {
            command
                .args(["-Ur", "-T", "--boottime", &ahead.to_string(), "--"])
                .arg(program.get_program());
        };
        let mut probe = Command::new("unshare");
        shifted(&mut probe, &Command::new("true"));
        if !probe.output().is_ok_and(|output| output.status.success()) {
            println!("skipped: no time namespace can be made here");
            return None;
        }
        let program = self.tool.command(self.server.url());
        let mut command = Command::new("unshare");
        shifted(&mut command, &program);
        command
            .env_clear()
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(program.get_current_dir().unwrap());
        Some(Dialogue::start(command))
    }

    /// Return the slots in which the server has recorded images, the earliest first.
    fn slots(&self) -> Vec<u64> {
        let rows = self.server.usage();
        let images = rows.iter().filter(|row| row["kind"] == "image");
        let mut slots: Vec<u64> = images.map(|row| row["slot"].as_u64().unwrap()).collect();
        slots.sort_unstable();
        slots
    }
}

/// Return the current slot.
#[allow(clippy::disallowed_methods, reason = "a test compares with the machine's clock")]
fn slot() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 180
}

/// Return the number of seconds by which the boot clock can be set back: at most the uptime.
fn shift() -> i64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    1_200.min(seconds as i64 - 10)
}

#[test]
fn one_contact_with_a_server_that_is_400_days_ahead_is_over_with_the_next_one() {
    let bench = Bench::new();
    let (mut one, mut other) = (bench.licensed(), bench.licensed());
    bench.server.set_ahead(400 * DAY);
    assert_ne!(one.ask("sync"), "0", "the item has expired by then");
    assert_eq!(one.ask("image 1"), "-20111");
    assert_ne!(other.ask("sync"), "0");
    assert_eq!(other.ask("image 1"), "-20111");
    bench.server.set_ahead(0);
    assert_eq!(one.ask("sync"), "0");
    assert_eq!(one.ask("image 1"), "0");
    let mut newcomer = bench.licensed();
    assert_eq!(newcomer.ask("image 1"), "0");
    assert_eq!(other.ask("sync"), "0");
    assert_eq!(other.ask("image 1"), "0");
    for mut program in [one, other, newcomer] {
        assert_eq!(program.ask("sync"), "0");
    }
    let run = doctor(&bench.tool.state(), &["--server", bench.server.url()]);
    assert!(run.stdout.contains("set the time of programs back by 345"), "{}", run.stdout);
}

#[test]
fn work_after_a_server_that_was_two_hours_ahead_is_in_its_own_slot() {
    let bench = Bench::new();
    bench.server.set_ahead(7_200);
    let mut program = bench.licensed();
    let begun = slot();
    assert_eq!(program.ask("image 1"), "0");
    assert_eq!(program.ask("sync"), "0");
    assert!(bench.slots()[0] >= begun + 39, "as the server has said");
    let told = doctor(&bench.tool.state(), &["--server", bench.server.url()]).stdout;
    assert!(told.contains("which a license server set"), "{told}");
    bench.server.set_ahead(0);
    assert!(
        doctor(&bench.tool.state(), &["--server", bench.server.url()])
            .stdout
            .contains("an earlier server had a wrong clock")
    );
    assert_eq!(program.ask("sync"), "0");
    assert_eq!(program.ask("image 1"), "0");
    let mut newcomer = bench.licensed();
    assert_eq!(newcomer.ask("image 1"), "0");
    for program in [&mut program, &mut newcomer] {
        assert_eq!(program.ask("sync"), "0");
    }
    let slots = bench.slots();
    assert!((begun..=slot()).contains(&slots[0]), "{slots:?}");
    assert_eq!(
        slots.iter().filter(|slot| **slot > begun + 20).count(),
        1,
        "the one from before: {slots:?}"
    );
}

#[test]
fn a_time_namespace_neither_sets_work_back_nor_spoils_the_time_of_others() {
    for direction in [-1, 1] {
        let mut bench = Bench::new();
        let begun = slot();
        let mut program = bench.licensed();
        assert_eq!(program.ask("sync"), "0");
        bench.server.kill();
        let Some(mut apart) = bench.in_namespace(direction * shift()) else { return };
        assert_eq!(apart.ask("init 10 1 4"), "0", "from the license on the device");
        assert_eq!(apart.ask("image 1"), "0");
        // A program that starts later uses the times that the first one has left behind.
        let _ = apart.ask("sync");
        let mut newcomer = bench.licensed();
        assert_eq!(newcomer.ask("image 1"), "0");
        bench.server.start_again();
        for program in [&mut apart, &mut newcomer, &mut program] {
            assert_eq!(program.ask("sync"), "0");
        }
        assert_eq!(apart.ask("image 1"), "0");
        assert_eq!(program.ask("image 1"), "0");
        for program in [&mut apart, &mut program] {
            assert_eq!(program.ask("sync"), "0");
        }
        let slots = bench.slots();
        assert!(slots.iter().all(|at| (begun..=slot()).contains(at)), "{slots:?} since {begun}");
    }
}

#[test]
fn drafts_that_stay_after_kills_are_gone_with_the_next_program() {
    let bench = Bench::new();
    drop(bench.licensed());
    let left = ["clock.new-", "licenses/some-name.new-"]
        .map(|name| bench.tool.state().join(format!("{name}{}", "0".repeat(32))));
    left.iter().for_each(|path| std::fs::write(path, "torn").unwrap());
    // The file of this second may still be in use by another process.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while left.iter().any(|path| path.exists()) {
        assert!(std::time::Instant::now() < end, "drafts stay: {left:?}");
        drop(bench.licensed());
    }
}
