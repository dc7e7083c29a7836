//! A program carries the library under the name of the DBR API in its folder, alone, and runs.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use seatmeter_e2e::program::run;
use seatmeter_e2e::server::Server;

const NAME: &str = "libDynamsoftBarcodeReader.so";

fn exported(library: &str) -> BTreeSet<String> {
    let path = seatmeter_e2e::build_folder().join(library);
    let names = run(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(path)).stdout;
    names.lines().filter_map(|line| line.split(['@', ' ']).next()).map(str::to_owned).collect()
}

fn dynamic_section(file: &Path) -> String {
    run(Command::new("readelf").args(["-d", "-W"]).arg(file)).stdout
}

/// A folder with the library and a program that is linked with it, and finds it there.
fn folder_with_program(more: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(seatmeter_e2e::build_folder().join(NAME), folder.path().join(NAME)).unwrap();
    link(folder.path(), more);
    folder
}

fn link(folder: &Path, more: &[&str]) {
    let root = seatmeter_e2e::root();
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-Wall", "-Werror", "-I"]).arg(root.join("include/dbr9"));
    compiler.arg(root.join("tests/c/dbr9_license.c")).arg("-o").arg(folder.join("program"));
    let compiled = run(compiler
        .arg("-L")
        .arg(folder)
        .args(["-lDynamsoftBarcodeReader", "-Wl,-rpath,$ORIGIN"])
        .args(more));
    assert_eq!(compiled.code, Some(0), "{}", compiled.stderr);
}

fn runs(folder: &Path) {
    let server = Server::with_demo_license();
    let mut command = Command::new(folder.join("program"));
    command
        .env_clear()
        .env("SEATMETER_STATE_DIR", folder.join("state"))
        .env("SEATMETER_SERVER", server.url());
    let run = run(&mut command);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn it_has_its_own_name_and_exports_what_libseatmeter_exports() {
    let section = dynamic_section(&seatmeter_e2e::build_folder().join(NAME));
    assert!(section.contains(&format!("Library soname: [{NAME}]")), "{section}");
    assert!(section.contains("NODELETE") && !section.contains("[libseatmeter"), "{section}");
    let names = exported(NAME);
    assert!(names.contains("DBR_InitLicense") && names.contains("SM_CreateReader"), "{names:?}");
    assert_eq!(names, exported("libseatmeter.so"));
}

#[test]
fn alone_in_the_folder_of_a_program_it_is_enough() {
    let folder = folder_with_program(&[]);
    assert!(dynamic_section(&folder.path().join("program")).contains(&format!("[{NAME}]")));
    runs(folder.path());
}

/// What the page says to do, as it stands there.
fn recipe(mark: &str) -> String {
    let page = std::fs::read_to_string(seatmeter_e2e::root().join("docs/migrating.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.into_iter().find(|block| block.contains(mark)).unwrap().to_owned()
}

#[test]
fn a_build_that_names_the_library_for_pdf_has_it_by_the_recipe() {
    let folder = folder_with_program(&[]);
    let script = recipe("libDynamicPdf.so");
    let made = run(Command::new("sh").args(["-e", "-c", &script]).current_dir(folder.path()));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    link(folder.path(), &["-Wl,--no-as-needed", "-lDynamicPdf"]);
    assert!(dynamic_section(&folder.path().join("program")).contains("[libDynamicPdf.so]"));
    runs(folder.path());
}

#[test]
fn it_needs_no_newer_glibc_than_the_library_of_the_other_name() {
    let library = seatmeter_e2e::build_folder().join("libDynamsoftBarcodeReader.so");
    let output = Command::new("objdump").arg("-T").arg(library).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // From 2.35 on; tests/c_api/symbols.rs of the other library reads all versions.
    assert!(text.contains("GLIBC_2.34"), "{text}");
    let too_new: Vec<_> = text
        .lines()
        .filter(|line| line.contains("hypot") && !line.contains("GLIBC_2.2.5"))
        .collect();
    assert!(too_new.is_empty() || cfg!(not(target_arch = "x86_64")), "{too_new:?}");
}
