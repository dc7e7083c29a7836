//! A disk that a test can fill: a small tmpfs in a mount namespace of its own. The test runs again
//! in a process there, which is told by the environment where the disk is.
#![allow(clippy::disallowed_methods, reason = "the inner process is told by the environment")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DISK: &str = "SMALL_DISK";

/// Return the place of the disk, if this process is the one that was started for it.
pub(crate) fn place() -> Option<PathBuf> {
    std::env::var_os(DISK).map(Into::into)
}

/// Run this test again with a disk of that size. Where no mount namespace is permitted, say that
/// the test was skipped.
pub(crate) fn run_with(size: &str, test: &str) {
    let place = tempfile::tempdir().unwrap();
    let permitted = unshared(place.path(), "16k").arg("true").output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no mount namespace is permitted here, so there is no disk to fill");
        return;
    }
    let output = unshared(place.path(), size)
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(DISK, place.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Return a command to which a program in the namespace is added.
fn unshared(place: &Path, size: &str) -> Command {
    // SAFETY: asks for a number.
    let namespace = if unsafe { libc::geteuid() } == 0 { "-m" } else { "-rm" };
    let mount = format!("mount -t tmpfs -o size={size} none \"$1\" && shift && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args([namespace, "sh", "-c", &mount, "sh"]).arg(place);
    command
}
