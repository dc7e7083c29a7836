//! A process that loads both libraries: they share the device as two processes would.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::process::Command;

use seatmeter_e2e::program::{Program, run};
use seatmeter_e2e::server::Server;

const PICTURE: &str = "c_examples/images/four_barcodes.png";

fn both() -> [std::path::PathBuf; 2] {
    ["libseatmeter.so", "libDynamsoftBarcodeReader.so"]
        .map(|name| seatmeter_e2e::build_folder().join(name))
}

/// Works with both, ends without a word, and lets the next process look.
fn seats_and_counts_are_whole(scope: &str) {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_two_names.c");
    let picture = seatmeter_e2e::root().join(PICTURE);
    let work = run(program.command(server.url()).arg("work").args(both()).arg(scope).arg(picture));
    assert_eq!(work.code, Some(0), "{}", work.stderr);
    let rest = run(program.command(server.url()).arg("rest").args(both()).arg(scope));
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    assert_eq!(work.stdout.trim(), server.recorded("scan").to_string());
}

#[test]
fn both_names_in_one_process_share_seats_and_lose_no_count() {
    seats_and_counts_are_whole("local");
}

#[test]
fn both_names_in_one_process_share_them_when_their_symbols_are_seen_by_all() {
    seats_and_counts_are_whole("global");
}

#[test]
fn a_program_that_is_linked_with_both_names_uses_the_first_for_everything() {
    for names in
        [["-lseatmeter", "-lDynamsoftBarcodeReader"], ["-lDynamsoftBarcodeReader", "-lseatmeter"]]
    {
        let folder = tempfile::tempdir().unwrap();
        let root = seatmeter_e2e::root();
        let libraries = folder.path().join("lib");
        std::fs::create_dir(&libraries).unwrap();
        for library in both() {
            std::fs::copy(&library, libraries.join(library.file_name().unwrap())).unwrap();
        }
        std::os::unix::fs::symlink("libseatmeter.so", libraries.join("libseatmeter.so.0")).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-std=c99", "-I"]).arg(root.join("include/dbr9"));
        compiler
            .arg(root.join("tests/c/dbr9_license.c"))
            .arg("-o")
            .arg(folder.path().join("program"));
        compiler.arg("-L").arg(&libraries).arg("-Wl,--no-as-needed").args(names);
        let compiled = run(compiler.arg("-Wl,-rpath,$ORIGIN/lib"));
        assert_eq!(compiled.code, Some(0), "{}", compiled.stderr);
        let server = Server::with_demo_license();
        let mut program = Command::new(folder.path().join("program"));
        program.env_clear().env("SEATMETER_STATE_DIR", folder.path().join("state"));
        let ran = run(program.env("SEATMETER_SERVER", server.url()));
        assert_eq!(ran.code, Some(0), "{names:?}: {}", ran.stderr);
    }
}
