//! The dashboard in a real browser, Debian's Chromium. The tests themselves are in `pages.test.mjs`
//! and `alerts.test.mjs`; this program makes ready what they need, and says so when it cannot.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable with the database that is to be filled; then this program fills it, and ends.
const FILL: &str = "SEATMETER_FILL";

/// The begin of a line with a time that is measured, and decides nothing.
const MEASURED: &str = "# the first screen";

fn skip(why: &str) {
    say(&format!("SKIPPED: {}", why.trim()));
}

#[allow(clippy::print_stderr, reason = "a test says what did not run, and what it has measured")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn found(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}

/// Return the folder with the tools; none if they cannot be had.
fn tools(root: &Path) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-tools");
    let script = root.join("scripts/dashboard-tools.sh");
    let made = Command::new(script).arg(folder).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match made.status.code() {
        Some(0) => Some(PathBuf::from(said(&made.stdout))),
        Some(3) => {
            skip(&said(&made.stderr));
            None
        }
        _ => panic!("{}{}", said(&made.stdout), said(&made.stderr)),
    }
}

/// Write a program that fills a database with a year of use: it starts this one again.
fn filler(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("fill");
    let me = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\n{FILL}=\"$1\" exec {} --quiet --exact a_database_is_filled_when_asked\n",
        me.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the tests in the browser name the database so")]
fn a_database_is_filled_when_asked() {
    let Ok(path) = std::env::var(FILL) else { return };
    let database = rusqlite::Connection::open(path).unwrap();
    database.execute_batch(include_str!("year.sql")).unwrap();
}

#[test]
fn pages_in_a_real_browser_are_whole_and_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = ["chromium-headless-shell", "chromium", "google-chrome"];
    let Some(browser) = names.iter().find_map(|name| found(name)) else {
        return skip("no Chromium is installed (apt-get install chromium)");
    };
    let Some(tools) = tools(&root) else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = ["pages.test.mjs", "alerts.test.mjs"];
    let run = Command::new("node")
        .args(["--test", "--test-reporter=tap"])
        .args(files.map(|name| root.join("server/tests/dashboard").join(name)))
        .env("SEATMETERD", env!("CARGO_BIN_EXE_seatmeterd"))
        .env("CHROMIUM", browser)
        .env("DASHBOARD_TOOLS", tools)
        .env("DASHBOARD_FILL", filler(folder.path()))
        .env("DASHBOARD_SHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-shots"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && told.contains("# fail 0"), "{told}");
    told.lines().filter(|line| line.contains(MEASURED)).for_each(say);
}
