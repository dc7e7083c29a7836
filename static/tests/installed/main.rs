//! The project as it is installed: its files, its service, and the projects of customers that find
//! it by pkg-config and by CMake.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod files;
mod image;
mod pages;
mod projects;
mod service;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use seatmeter_e2e::program::{Run, run};
use seatmeter_e2e::server::binary;
use seatmeter_e2e::{build_folder, root};

/// The version that is installed.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Return the version of the library's name, `0` in `libseatmeter.so.0`.
fn major() -> &'static str {
    VERSION.split('.').next().unwrap()
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {}", why.trim());
}

/// Return whether this tool is here; say so if it is not.
fn has(tool: &str, package: &str) -> bool {
    let is_there = ["/usr/bin", "/bin", "/usr/sbin"].map(|folder| Path::new(folder).join(tool));
    let is_there = is_there.iter().any(|path| path.exists());
    if !is_there {
        skip(&format!("{tool} is missing (apt-get install {package})"));
    }
    is_there
}

/// Return a fresh folder beside what is built.
fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Return the archive that cargo has built last; its name has a hash.
fn newest_archive() -> PathBuf {
    let files = fs::read_dir(build_folder()).unwrap().map(|entry| entry.unwrap().path());
    let archives = files.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libseatmeter_static") && name.ends_with(".a")
    });
    archives.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

/// Return a folder with what `make build` puts into `target/release`, from the build of the tests.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = fresh_folder("built");
        let library = build_folder().join("libseatmeter.so");
        let made = run(Command::new(root().join("scripts/static.sh")).args([
            &newest_archive(),
            &library,
            &folder.join("libseatmeter.a"),
        ]));
        assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
        for name in ["libseatmeter.so", "libDynamsoftBarcodeReader.so"] {
            strip(&build_folder().join(name), &folder.join(name));
        }
        for name in ["seatmeterd", "seatmeter-doctor"] {
            let program = binary().with_file_name(name);
            assert!(program.exists(), "{program:?}: run cargo build --workspace --bins");
            strip(&program, &folder.join(name));
        }
        folder
    })
}

/// Copy a file without its debugging aids, which are most of a build for tests.
fn strip(from: &Path, to: &Path) {
    let made = run(Command::new("strip").arg("--strip-debug").arg("-o").args([to, from]));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
}

/// Return a folder with programs of these names that must not be needed by an installation.
fn forbidden() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = fresh_folder("forbidden");
        for name in ["cargo", "rustc", "cc", "c++", "cmake", "apt-get", "curl", "sudo"] {
            let path = folder.join(name);
            fs::write(&path, "#!/bin/sh\necho \"$0 was started\" >&2\nexit 99\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    })
}

/// Run make where nothing can be built or downloaded.
fn make(arguments: &[&str]) -> Run {
    let mut command = Command::new("make");
    command
        .args(["--no-print-directory", "-C"])
        .arg(root())
        .args(arguments)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", forbidden().display()));
    run(&mut command)
}

/// Run make with what is built, and demand that it succeeds.
fn make_well(arguments: &[&str]) -> Run {
    let built = format!("BUILT={}", built().display());
    let made = make(&[arguments, &[&built]].concat());
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
    made
}

/// Return a prefix in which the project is installed.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = fresh_folder("prefix");
        make_well(&["install", &format!("PREFIX={}", prefix.display())]);
        prefix
    })
}
