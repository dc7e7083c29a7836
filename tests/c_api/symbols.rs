//! The library exports what its headers declare, and nothing else.

use std::collections::BTreeSet;
use std::process::Command;

fn library() -> std::path::PathBuf {
    seatmeter_e2e::build_folder().join("libseatmeter.so")
}

fn exported() -> BTreeSet<String> {
    let output =
        Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(library()).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter_map(|line| line.split(['@', ' ']).next()).map(str::to_owned).collect()
}

/// Return the names of functions at the start of a declaration: the word before the first bracket.
fn declared(header: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(seatmeter_e2e::root().join("include").join(header)).unwrap();
    let types = ["int ", "void ", "void *", "const char *", "DBR_API "];
    let declarations =
        text.lines().filter(|line| types.iter().any(|start| line.starts_with(start)));
    declarations
        .filter_map(|line| line.split('(').next()?.rsplit([' ', '*']).next().map(str::to_owned))
        .collect()
}

#[test]
fn exported_symbols_are_the_declared_names() {
    let mut names = declared("seatmeter.h");
    assert!(names.contains("InitLicenseFromDLS") && names.contains("SM_DestroyReader"));
    names.extend(declared("dbr/DynamsoftBarcodeReader.h"));
    assert_eq!(exported(), names);
}

#[test]
fn the_library_has_a_soname_and_is_never_unloaded() {
    let output = Command::new("readelf").args(["-d", "-W"]).arg(library()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Library soname: [libseatmeter.so.0]"), "{text}");
    assert!(text.contains("NODELETE"), "{text}");
}

#[test]
fn a_build_gives_the_library_the_name_by_which_programs_look_for_it() {
    // A program that runs with LD_LIBRARY_PATH=target/release needs the name.
    let mut make = Command::new("make");
    make.args(["--dry-run", "build"])
        .current_dir(seatmeter_e2e::root())
        .env_remove("CARGO_TARGET_DIR");
    let commands = String::from_utf8(make.output().unwrap().stdout).unwrap();
    let link = "ln -sf libseatmeter.so target/release/libseatmeter.so.0\n";
    assert!(commands.contains(link), "{commands}");
}

/// The newest glibc whose symbols the library may use; README.md names it.
const GLIBC_MINOR_MAX: u32 = 34;

#[test]
fn every_system_with_glibc_2_34_can_load_the_library() {
    let minor = |line: &str| {
        let version = line.split_once("GLIBC_2.")?.1;
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    let output = Command::new("objdump").arg("-T").arg(library()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let imported: Vec<_> = text.lines().filter_map(|line| Some((minor(line)?, line))).collect();
    assert!(imported.len() > 50, "{text}");
    let too_new: Vec<_> = imported.iter().filter(|(minor, _)| *minor > GLIBC_MINOR_MAX).collect();
    assert!(too_new.is_empty(), "{too_new:?}");
    let readme = std::fs::read_to_string(seatmeter_e2e::root().join("README.md")).unwrap();
    assert!(
        readme.contains(&format!("glibc 2.{GLIBC_MINOR_MAX}")),
        "README.md does not name the floor"
    );
}
