//! Every license option, tested with the real server and C programs.

use std::io::Write;
use std::process::Stdio;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, image};
use seatmeter_e2e::server::Server;
use serde_json::{Value, json};

/// A server with one item, and a program that can play many devices.
struct Bench {
    server: Server,
    tool: Program,
    charge_way: i32,
}

const CLIENT_DEVICE: i32 = 1;
const SCANS: i32 = 2;
const CONCURRENT_DEVICE: i32 = 3;
const DOMAIN: i32 = 6;
const ACTIVE_DEVICE: i32 = 8;
const SERVER: i32 = 9;
const INSTANCES: i32 = 10;
const PAGES: i32 = 20;

const USED_UP: &str = "-20120";

impl Bench {
    fn new(charge_way: i32, name: &str, settings: Value) -> Self {
        let deployment_types = if [INSTANCES, SERVER].contains(&charge_way) {
            vec!["server"]
        } else {
            vec!["server", "desktop"]
        };
        let mut item = json!({
            "item_id": "item", "charge_way": name, "deployment_types": deployment_types, "products": 0xffff,
        });
        item.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let server = Server::with_items(&json!([item]));
        Self { server, tool: Program::compile("tests/c/option_tool.c"), charge_way }
    }

    /// Start a process on the device of this name.
    fn process(&self, device: &str) -> Dialogue {
        let mut command = self.tool.command(self.server.url());
        command.env(
            "SEATMETER_STATE_DIR",
            self.tool.state().with_file_name(format!("state-{device}")),
        );
        Dialogue::start(command)
    }

    /// Start a process that asks for a license, and return its answer.
    fn asks(&self, device: &str, rest: &str) -> (Dialogue, String) {
        let mut process = self.process(device);
        let outcome = process.ask(&format!("init {} {rest}", self.charge_way));
        (process, outcome)
    }

    /// Return the message of the refusal that a program gets with this charge way, deployment type
    /// and number of seats.
    fn refusal(&self, asked: &str) -> String {
        let mut command = self.tool.command(self.server.url());
        command.env("SEATMETER_STATE_DIR", self.tool.state().with_file_name("state-refused"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "init {asked}").unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        format!("{} ({})", text(&output.stderr), text(&output.stdout))
    }

    /// Start a process that gets a license.
    fn licensed(&self, device: &str) -> Dialogue {
        let (process, outcome) = self.asks(device, "1 1");
        assert_eq!(outcome, "0");
        process
    }
}

#[test]
fn a_used_up_scan_quota_stops_counting_and_decoding_and_a_larger_one_starts_them_again() {
    let bench = Bench::new(SCANS, "barcode_scan", json!({ "quota": 20 }));
    let (mut a, mut b) = (bench.licensed("a"), bench.licensed("b"));
    assert_eq!(a.ask("idle"), i32::MAX.to_string());
    assert_eq!(a.ask("image 19"), "0");
    assert_eq!(a.ask("sync"), "0");
    assert_eq!(a.ask("status"), "1 0 1 19 20 1");
    assert_eq!(b.ask("image 1"), "0");
    assert_eq!(b.ask("sync"), "0");
    assert_eq!(b.ask("status"), "1 0 2 20 20 1", "the grace is visible");
    assert_eq!(a.ask("image 2"), "0");
    // The report shows the server that all is used. Then the server refuses the renewal.
    a.ask("sync");
    assert_eq!(a.ask("status"), "5 -20120 3 22 20 1");
    assert_eq!(a.ask("image 1"), USED_UP);
    let four = image("four_barcodes.png");
    assert_eq!(a.ask(&format!("decode {}", four.display())), USED_UP);
    assert_eq!(bench.server.recorded("scan"), 22, "nothing was counted any more");
    let (_, outcome) = bench.asks("c", "1 1");
    assert_eq!(outcome, USED_UP);
    // Another process of the device reads the refusal from the disk, and asks the server all the
    // same.
    let (_, outcome) = bench.asks("a", "1 1");
    assert_eq!(outcome, USED_UP);
    bench.server.reissue(&json!({ "quota": 100 }));
    assert_eq!(a.ask("sync"), "0");
    assert_eq!(a.ask("status"), "1 0 1 22 100 5");
    assert_eq!(a.ask("image 1"), "0");
}

/// Programs of the 8.x API leave the deployment type at desktop (2), and mostly the charge way at
/// auto (0).
#[test]
fn a_program_that_leaves_the_deployment_type_at_desktop_counts_as_a_server_where_only_servers_are_charged()
 {
    for (way, name) in [(INSTANCES, "concurrent_instance"), (SERVER, "server")] {
        let bench = Bench::new(way, name, json!({ "quota": 2 }));
        for charge_way in [0, way] {
            let mut process = bench.process(&format!("way-{charge_way}"));
            assert_eq!(
                process.ask(&format!("init {charge_way} 2 1")),
                "0",
                "{name}, chargeWay {charge_way}"
            );
            assert_eq!(process.ask("image 1"), "0");
            assert_eq!(process.ask("shutdown"), "0");
        }
        assert_eq!(bench.server.recorded("scan"), 2);
        let told = bench.refusal("0 6 1");
        assert!(
            told.contains("(-20108)") && told.contains("set deploymentType to 1 (server)"),
            "{told}"
        );
    }
}

#[test]
fn where_the_deployment_type_must_match_the_refusal_names_the_field_and_the_value() {
    let server_only = json!({ "quota": 20, "deployment_types": ["server"] });
    let bench = Bench::new(SCANS, "barcode_scan", server_only);
    for asked in ["0 2 1", "2 2 1"] {
        let told = bench.refusal(asked);
        assert!(told.contains("(-20108)"), "{told}");
        assert!(told.contains("deploymentType is 2 (desktop)"), "{told}");
        assert!(told.contains("set deploymentType to 1 (server)"), "{told}");
    }
    assert_eq!(bench.asks("a", "1 1").1, "0");
}

/// Check that two programs of one device share seats although only one of them names its deployment
/// type.
#[test]
fn a_desktop_and_a_server_on_one_device_share_its_seats() {
    let bench = Bench::new(INSTANCES, "concurrent_instance", json!({ "quota": 2 }));
    let (mut left_as_it_is, outcome) = bench.asks("a", "2 2");
    assert_eq!(outcome, "0");
    let (mut says_server, outcome) = bench.asks("a", "1 2");
    assert_eq!(outcome, "0");
    assert_eq!(left_as_it_is.ask("idle"), "0", "each holds one of two");
    assert_eq!(says_server.ask("idle"), "0");
}

#[test]
fn pages_stop_by_the_module() {
    let bench = Bench::new(PAGES, "page", json!({ "page_quotas": { "core": 10, "ocr": 10 } }));
    let mut process = bench.licensed("a");
    assert_eq!(process.ask("pages 4 11"), "0");
    assert_eq!(process.ask("sync"), "0");
    assert_eq!(process.ask("status"), "1 0 3 11 10 1");
    assert_eq!(process.ask("pages 4 1"), USED_UP);
    assert_eq!(process.ask("pages 1 1"), "0", "another module goes on");
    assert_eq!(process.ask("image 3"), "0", "barcodes are not pages");
    assert_eq!(process.ask("shutdown"), "0");
    assert_eq!((bench.server.recorded("page"), bench.server.recorded("scan")), (12, 3));
}

#[test]
fn client_devices_hold_their_seats_after_a_clean_end() {
    for (way, name) in [(CLIENT_DEVICE, "client_device"), (ACTIVE_DEVICE, "active_device")] {
        let bench = Bench::new(way, name, json!({ "quota": 1, "window_days": 30 }));
        let mut process = bench.licensed("a");
        assert_eq!(process.ask("image 1"), "0");
        assert_eq!(process.ask("shutdown"), "0");
        assert_eq!(bench.asks("b", "1 1").1, USED_UP);
        assert_eq!(bench.asks("a", "1 1").1, "0");
    }
}

#[test]
fn what_was_given_back_licenses_no_program_that_begins_again_without_a_server() {
    let mut bench = Bench::new(SERVER, "server", json!({ "quota": 1 }));
    let mut programs = [bench.licensed("a"), bench.licensed("a")];
    for program in &mut programs {
        assert_eq!(program.ask("shutdown"), "0");
    }
    bench.server.kill();
    for program in &mut programs {
        assert_eq!(program.ask(&format!("init {SERVER} 1 1")), "-20200");
        assert_eq!(program.ask("sync"), "-20200");
        assert_eq!(program.ask("pages 1 1"), "-20200");
    }
}

#[test]
fn a_server_gives_its_seat_back_when_its_last_process_ends() {
    let bench = Bench::new(SERVER, "server", json!({ "quota": 1 }));
    assert_eq!(bench.asks("a", "9 1").1, "-20108", "a phone is none");
    let (mut first, mut second) = (bench.licensed("a"), bench.licensed("a"));
    assert_eq!(first.ask("image 1"), "0");
    assert_eq!(first.ask("shutdown"), "0");
    assert_eq!(bench.asks("b", "1 1").1, USED_UP, "another process of the server works");
    assert_eq!(second.ask("image 1"), "0");
    assert_eq!(second.ask("shutdown"), "0");
    let mut other = bench.licensed("b");
    assert_eq!(
        second.ask("init 9 1 1"),
        USED_UP,
        "what was given back is not on the disk any more"
    );
    assert_eq!(other.ask("shutdown"), "0");
    assert_eq!(second.ask("init 9 1 1"), "0");
    assert_eq!(bench.server.recorded("scan"), 2);
}

#[test]
fn a_killed_server_keeps_its_seat_until_its_window_ends() {
    let bench = Bench::new(SERVER, "server", json!({ "quota": 1 }));
    bench.licensed("a").kill();
    assert_eq!(bench.asks("b", "1 1").1, USED_UP);
    let mut again = bench.licensed("a");
    assert_eq!(again.ask("shutdown"), "0", "the next process of the machine ends cleanly");
    assert_eq!(bench.asks("b", "1 1").1, "0");
}

#[test]
fn a_domain_is_matched_by_what_the_application_says() {
    let bench = Bench::new(DOMAIN, "domain", json!({ "domains": ["*.company.com"] }));
    assert_eq!(bench.asks("a", "1 1").1, "-20114");
    assert_eq!(bench.asks("a", "1 1 x.other.com").1, "-20114");
    let (mut process, outcome) = bench.asks("a", "1 1 https://Shop.Company.com");
    assert_eq!(outcome, "0");
    assert_eq!(process.ask("image 3"), "0");
}

#[test]
fn a_concurrent_item_refuses_nobody_within_its_budget() {
    let settings = json!({ "quota": 1, "overuse_budget": 0 });
    for (way, name) in
        [(CONCURRENT_DEVICE, "concurrent_device"), (INSTANCES, "concurrent_instance")]
    {
        let bench = Bench::new(way, name, settings.clone());
        let (mut a, mut b) = (bench.licensed("a"), bench.licensed("b"));
        for process in [&mut a, &mut b] {
            assert_eq!(process.ask("image 1"), "0");
            assert_eq!(process.ask("sync"), "0");
        }
        // Two were active in one slot, where no budget is left. But a slot counts only when it has
        // ended.
        assert_eq!(a.ask("status"), "1 0 1 0 0 0");
        assert_eq!(bench.asks("c", "1 1").1, "0");
        assert_eq!(a.ask("shutdown"), "0", "as long as it is free, nothing has to be given back");
    }
}

#[test]
fn a_strict_item_lets_devices_count_what_is_set_aside_for_them_even_offline() {
    let mut bench = Bench::new(SCANS, "barcode_scan", json!({ "quota": 200, "strict": true }));
    let (mut a, mut b) = (bench.licensed("a"), bench.licensed("b"));
    bench.server.kill();
    let count =
        |process: &mut Dialogue| (0..300).take_while(|_| process.ask("image 1") == "0").count();
    // There are 210 in all. The first device gets half of them, the second a quarter of the rest.
    let (of_a, of_b) = (count(&mut a), count(&mut b));
    assert_eq!((of_a, of_b), (105, 26));
    assert_eq!(a.ask("image 1"), USED_UP);
    bench.server.start_again();
    assert_eq!(a.ask("sync"), "0");
    assert_eq!(a.ask("image 5"), "0", "more was set aside");
    let rest = count(&mut a) + count(&mut b);
    for process in [&mut a, &mut b] {
        process.ask("shutdown");
    }
    let performed = (of_a + of_b + 5 + rest) as u64;
    assert!(performed <= 210, "{performed}");
    assert_eq!(bench.server.recorded("scan"), performed);
    // The unused part came back, so the next device gets all that is left.
    let mut c = bench.process("c");
    let outcome = c.ask("init 2 1 1");
    assert_eq!(outcome, if performed < 210 { "0" } else { USED_UP });
}
