//! `plan` and `domains`: the real program, on what it has exported itself.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::*;
use seatmeter_protocol::slot::{SLOTS_PER_DAY, slot_of, slot_start};
use seatmeter_server::error::Error;
use seatmeter_server::planner::history::History;
use seatmeter_server::planner::seats;
use seatmeter_server::planner::usage_file::Row;
use seatmeter_server::store::Decision;

use crate::cli::{Served, authorize_demo, stdout};
use crate::store;
use crate::support::*;

/// Commands that need no data directory.
fn seatmeterd(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_was_exported_can_be_replayed_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    stdout(data, &["init", "--demo"]);
    let server = Served::start(data);
    let slot = slot_now();
    for slots in [3, 5] {
        let device = id();
        let (key, license) = authorize_demo(server.address, &device);
        let totals = (slot..slot + slots).map(|slot| scans(slot, 0x20, 10)).collect();
        let sent = report(&device, vec![segment(&id(), &license.license_id, totals)]);
        let answer: UsageAnswer = post(server.address, &key, USAGE_PATH, &sent).unwrap();
        assert_eq!(answer.recorded.len(), 1);
    }
    // Without a file, the data itself is replayed.
    let told = stdout(data, &["plan", "--option", "per-barcode-scan", "--quota", "100", "--json"]);
    let own: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(own["outcomes"][0]["peak"], 80, "{own}");
    let none = ["--from", "2020-01-01", "--to", "2020-01-02"];
    let told =
        stdout(data, &[&["plan", "--option", "per-domain", "--quota", "1"], &none[..]].concat());
    assert!(told.contains("no usage"), "{told}");
    let exported = stdout(data, &["usage", "export", "--format", "csv", "--seats"]);
    let lines: Vec<&str> = exported.lines().collect();
    assert!(lines[0].ends_with(",total,seats"), "{exported}");
    // x of each device in its slots.
    assert!(lines[1..].iter().all(|line| line.ends_with(",10,4")), "{exported}");
    for format in ["csv", "json"] {
        let file = data.join(format);
        std::fs::write(&file, stdout(data, &["usage", "export", "--format", format])).unwrap();
        let file = file.to_str().unwrap();
        let plan = |more: &[&str]| {
            let output = seatmeterd(&[&["plan", "--json", "--usage", file][..], more].concat());
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
        };
        let devices =
            plan(&["--option", "per-concurrent-device", "--quota", "1", "--overuse-budget", "1"]);
        let outcome = &devices["outcomes"][0];
        // Excess 1 in each of three slots; above a budget of 1 after the second.
        assert_eq!((&outcome["peak"], &outcome["refused"]), (&2.into(), &1.into()), "{devices}");
        assert_eq!(outcome["years"][0]["ran_out_after_slot"], slot + 1, "{devices}");
        assert_eq!(outcome["smallest_quota"], 2, "{devices}");
        let scans = plan(&["--option", "per-barcode-scan", "--quota", "100"]);
        assert_eq!(scans["outcomes"][0]["peak"], 80, "{scans}");
        assert_eq!(scans["outcomes"][0]["refused"], 0, "{scans}");
    }
}

/// Ask a store for a license at each of these visits, and return the number of those it refused.
fn refused_by_a_server(item: &LicenseItem, visits: &BTreeSet<(u32, u32)>) -> u64 {
    let server = TestServer::empty();
    server.import(&license_file("acme", vec![item.clone()]), Some(CODE)).unwrap();
    let mut refused = 0;
    for (slot, device) in visits {
        let device = format!("{device:032x}");
        let mut asked = store::authorization(&device, &id());
        asked.claim.now = slot_start(*slot);
        asked.device_key = device_key("one key is enough").public().clone();
        match server.wait(server.licensing.store.authorize(asked)) {
            Ok(Decision::Granted(_)) => {}
            Ok(other) => panic!("{device} in slot {slot}: {other:?}"),
            Err(Error::Refused(_)) => refused += 1,
            Err(error) => panic!("{device} in slot {slot}: {error}"),
        }
    }
    refused
}

/// One history replayed, and lived through by devices that ask a server: no rule may be in one of
/// the two alone.
#[test]
fn the_planner_refuses_as_many_as_a_server_does() {
    let first = slot_of(START) + 1;
    let day = u32::try_from(SLOTS_PER_DAY).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for way in [ChargeWay::ClientDevice, ChargeWay::ActiveDevice, ChargeWay::Server] {
        let visits: BTreeSet<_> =
            (0..150).map(|_| (first + random.u32(..6 * day), random.u32(..25))).collect();
        let mut history = History::default();
        for (slot, device) in &visits {
            let device_uuid = format!("{device:032x}");
            let (kind, item_id) = (UsageKind::Image, "item".to_owned());
            let row = Row { item_id, device_uuid, kind, what: 0, slot: *slot, total: 1 };
            history.add(&row).unwrap();
        }
        let plain = LicenseItem::new("item", way, 12, START, EXPIRY);
        let item = LicenseItem { window_days: Some(1), ..plain };
        let planned = seats::replay(&history, &item).refused;
        assert!(planned > 0, "{way:?}: a history without refusals shows nothing");
        assert_eq!(refused_by_a_server(&item, &visits), planned, "{way:?}");
    }
}

#[test]
fn a_host_is_explained_and_a_wrong_one_named() {
    let output = seatmeterd(&["domains", "explain", "https://shop.example.co.uk/"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("counts as  example.co.uk"));
    let output = seatmeterd(&["domains", "explain", "1.2.3.4.5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an IPv4 address"));
    let output =
        seatmeterd(&["plan", "--usage", "/nowhere", "--option", "per-server", "--quota", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere"));
}
