//! `plan` and `domains`: the real program, on what it has exported itself.

use std::process::{Command, Output, Stdio};

use seatmeter_protocol::message::*;

use crate::cli::{Served, authorize_demo, stdout};
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
