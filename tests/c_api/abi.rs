//! The binary interface is the recorded one, and the check notices if it is not.

use std::path::Path;
use std::process::Command;

use seatmeter_e2e::program::{Run, run};

fn check(include: &Path) -> Run {
    run(Command::new(seatmeter_e2e::root().join("scripts/abi.sh")).arg("check").arg(include))
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn is_skipped(run: &Run) -> bool {
    if run.code == Some(3) {
        eprintln!("SKIPPED: {}", run.stderr.trim());
    }
    run.code == Some(3)
}

/// Run the check with headers in which one text is replaced by another.
fn check_changed(header: &str, from: &str, to: &str) -> Run {
    let include = seatmeter_e2e::root().join("include");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dbr")).unwrap();
    let headers = ["seatmeter.h", "dbr/DynamsoftBarcodeReader.h", "dbr/DynamsoftCommon.h"];
    for name in headers {
        let mut text = std::fs::read_to_string(include.join(name)).unwrap();
        if name == header {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    check(folder.path())
}

#[test]
fn the_binary_interface_is_the_recorded_one() {
    let run = check(&seatmeter_e2e::root().join("include"));
    assert!(is_skipped(&run) || run.code == Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn what_would_break_a_compiled_program_is_found_and_what_is_added_is_not() {
    let (ours, theirs) = ("seatmeter.h", "dbr/DynamsoftBarcodeReader.h");
    let shutdown = "int SM_Shutdown(int timeoutMs);";
    if is_skipped(&check_changed(ours, shutdown, &format!("{shutdown}\nint SM_New(int what);"))) {
        return;
    }
    for (header, from, to, breaks) in [
        (ours, shutdown, "int SM_Shutdown(int timeoutMs);\nint SM_New(int what);", false),
        (ours, "} SM_Status;", "  int more;\n} SM_Status;", false),
        (ours, shutdown, "", true),
        (ours, shutdown, "int SM_Shutdown(int64_t timeoutMs);", true),
        (ours, shutdown, "void SM_Shutdown(int timeoutMs);", true),
        (ours, "  char reserved[52];", "  char reserved[48];", true),
        (ours, "  int seatsHeld;\n", "", true),
        (ours, "} SM_Holder;", "  int more;\n} SM_Holder;", true),
        (theirs, "  int isDPM;\n  int isMirrored;", "  int isMirrored;\n  int isDPM;", true),
    ] {
        let run = check_changed(header, from, to);
        assert_eq!(run.code != Some(0), breaks, "{from} -> {to}: {}{}", run.stdout, run.stderr);
    }
}
