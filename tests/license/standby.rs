//! A main server, a standby with data of its own, and a server whose key was replaced. The server
//! that gave a license books what was counted under it.

use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;
use serde_json::json;

/// Return an item that only its quota limits, and that works for a day without a server.
fn scans(item_id: &str) -> serde_json::Value {
    json!([{
        "item_id": item_id, "charge_way": "barcode_scan", "quota": 1000, "deployment_types": ["server"],
        "products": 0xffff, "offline_days": 1,
    }])
}

struct Bench {
    main: Server,
    standby: Server,
    tool: Program,
}

impl Bench {
    /// Start a main server and a standby, whose items have the same id or two different ones.
    fn new(ids: [&str; 2]) -> Self {
        let main = Server::with_items(&scans(ids[0]));
        let standby = main.own_standby(&scans(ids[1]));
        Self { main, standby, tool: Program::compile("tests/c/option_tool.c") }
    }

    /// Start a licensed program on the device.
    fn program(&self) -> Dialogue {
        let mut command = self.tool.command(self.main.url());
        command.env("SEATMETER_STANDBY_SERVER", self.standby.url());
        let mut program = Dialogue::start(command);
        assert_eq!(program.ask("init 2 1 1"), "0");
        program
    }

    /// Repeat a check for some seconds, because the standby remembers for a moment how it found the
    /// main server.
    fn books(&self, program: &mut Dialogue, scans: [u64; 2]) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let sync = program.ask("sync");
            let booked = [&self.main, &self.standby].map(|server| server.recorded("scan"));
            if booked == scans {
                return;
            }
            assert!(Instant::now() < end, "{booked:?} are booked, {scans:?} were counted; {sync}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn each_server_books_its_own(ids: [&str; 2]) {
    let mut bench = Bench::new(ids);
    let mut program = bench.program();
    assert_eq!(program.ask("image 3"), "0");
    bench.books(&mut program, [3, 0]);
    assert_eq!(program.ask("image 4"), "0");
    bench.main.kill();
    // The standby does not know of the four scans, and licenses the device.
    let begun = Instant::now();
    while bench.standby.operate(&["device", "list"]).lines().count() < 2 {
        program.ask("sync");
        assert!(begun.elapsed() < Duration::from_secs(20), "the standby does not take over");
    }
    assert_eq!(program.ask("image 5"), "0");
    bench.books(&mut program, [3, 5]);
    assert_eq!(program.ask("image 6"), "0");
    bench.main.start_again();
    // The standby books what was counted under its license, also when it is not in charge any more.
    bench.books(&mut program, [7, 11]);
    bench.main.kill();
    while bench.standby.recorded("image") < 3 {
        program.ask("image 0");
        program.ask("sync");
        assert!(begun.elapsed() < Duration::from_secs(60), "the standby does not take over again");
    }
    let so_far = bench.standby.recorded("scan");
    assert_eq!(program.ask("image 8"), "0");
    // The same holds if it was away when the device went back to the main server.
    bench.standby.kill();
    bench.main.start_again();
    let main = bench.main.recorded("scan");
    assert_eq!(program.ask("image 0"), "0");
    while bench.main.recorded("image") == 2 {
        let sync = program.ask("sync");
        assert!(begun.elapsed() < Duration::from_secs(120), "the device does not go back: {sync}");
        assert_eq!(program.ask("image 0"), "0");
    }
    assert_eq!([bench.main.recorded("scan"), bench.standby.recorded("scan")], [main, so_far]);
    bench.standby.start_again();
    bench.books(&mut program, [main, so_far + 8]);
    assert_eq!(program.ask("sync"), "0");
    assert_eq!(program.ask("image 7"), "0");
    bench.books(&mut program, [main + 7, so_far + 8]);
    assert_eq!(program.ask("shutdown"), "0");
}

#[test]
fn each_server_books_what_was_counted_under_its_own_license() {
    each_server_books_its_own(["main", "standby"]);
}

#[test]
fn also_where_their_items_have_one_name() {
    each_server_books_its_own(["item", "item"]);
}

#[test]
fn what_was_counted_under_a_key_that_was_replaced_is_booked() {
    let mut bench = Bench::new(["main", "standby"]);
    let mut program = bench.program();
    assert_eq!(program.ask("image 3"), "0");
    bench.books(&mut program, [3, 0]);
    assert_eq!(program.ask("image 4"), "0");
    bench.main.rotate_key();
    bench.books(&mut program, [7, 0]);
    // It continues with the new key, in the segment that it has.
    assert_eq!(program.ask("image 5"), "0");
    bench.books(&mut program, [12, 0]);
    assert_eq!(program.ask("sync"), "0");
    // A program that starts now knows only the new key. The counts of the previous program belong
    // to the old key.
    assert_eq!(program.ask("image 6"), "0");
    program.kill();
    let mut next = bench.program();
    assert_eq!(next.ask("image 1"), "0");
    bench.books(&mut next, [19, 0]);
    assert_eq!(next.ask("shutdown"), "0");
}

#[test]
fn what_a_replaced_key_had_acknowledged_comes_again_to_a_server_that_was_put_back() {
    let mut bench = Bench::new(["main", "standby"]);
    bench.main.keep_data();
    let mut program = bench.program();
    assert_eq!(program.ask("image 3"), "0");
    bench.books(&mut program, [3, 0]);
    // The device rests: it has nothing to report.
    assert_eq!(program.ask("shutdown"), "0");
    bench.main.put_back();
    bench.main.rotate_key();
    let mut next = bench.program();
    bench.books(&mut next, [3, 0]);
    assert_eq!(next.ask("shutdown"), "0");
}
