//! Commands that another user runs than the one as whom the server serves.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::cli::{Served, seatmeterd, stdout};

const SERVER: u32 = 12_011;
const OPERATOR: u32 = 12_012;
const TEAM: u32 = 12_060;

/// Whether this process can become another user.
fn can_become_another() -> bool {
    let is_root = nix_is_root();
    if !is_root {
        skip();
    }
    is_root
}

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip() {
    eprintln!("SKIPPED: becoming another user needs root");
}

/// The same command as another user, who is in the team.
fn run_as(user: u32, mut command: Command) -> std::process::Output {
    command.uid(user).gid(TEAM).output().unwrap()
}

fn all_are(data: &Path, is: impl Fn(&std::fs::Metadata) -> bool) {
    for entry in std::fs::read_dir(data).unwrap().flatten() {
        let of = entry.metadata().unwrap();
        assert!(is(&of), "{}: {}:{} {:o}", entry.path().display(), of.uid(), of.gid(), of.mode());
    }
}

/// A place for data directories that every user can reach.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    place
}

fn directory(place: &Path, name: &str, owner: u32, group: u32, mode: u32) -> std::path::PathBuf {
    let path = place.join(name);
    std::fs::create_dir(&path).unwrap();
    chown(&path, Some(owner), Some(group)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

#[test]
fn what_root_makes_in_the_data_directory_of_the_servers_user_is_that_users() {
    if !can_become_another() {
        return;
    }
    let place = place();
    let home = directory(place.path(), "home", SERVER, SERVER, 0o755);
    let data = home.join("new/data");
    stdout(&data, &["init", "--demo"]);
    assert_eq!(std::fs::metadata(&data).unwrap().mode() & 0o7777, 0o700);
    let backup = home.join("backup");
    stdout(&data, &["key", "rotate"]);
    stdout(&data, &["backup", backup.to_str().unwrap()]);
    let restored = home.join("restored");
    stdout(&restored, &["restore", backup.to_str().unwrap()]);
    for folder in [&home, &data, &restored, &home.join("new")] {
        all_are(folder, |of| of.uid() == SERVER && (of.is_dir() || of.mode() & 0o7777 == 0o600));
    }
    // The server works as its user, and commands of root beside it.
    for folder in [&data, &restored] {
        let mut command =
            seatmeterd(folder, &["serve", "--listen", "127.0.0.1:0", "--log", "warn"]);
        command.uid(SERVER).gid(SERVER);
        let served = Served::run(command);
        stdout(folder, &["handshake", "new", "MORE", "--organization", "demo"]);
        all_are(folder, |of| of.uid() == SERVER);
        drop(served);
        let audit = run_as(SERVER, seatmeterd(folder, &["audit"]));
        assert!(
            audit.status.success() && String::from_utf8_lossy(&audit.stdout).contains("MORE"),
            "{audit:?}"
        );
    }
}

#[test]
fn operators_of_a_group_share_a_data_directory_with_the_server() {
    if !can_become_another() {
        return;
    }
    let place = place();
    for mode in [0o2770, 0o770] {
        let data = directory(place.path(), &format!("{mode:o}"), SERVER, TEAM, mode);
        for (user, arguments) in [
            (OPERATOR, &["init", "--demo"][..]),
            (SERVER, &["key", "rotate"]),
            (OPERATOR, &["key", "rotate"]),
            (0, &["key", "rotate"]),
            (SERVER, &["audit"]),
        ] {
            let output = run_as(user, seatmeterd(&data, arguments));
            assert!(output.status.success(), "{user} {arguments:?}: {output:?}");
            all_are(&data, |of| of.gid() == TEAM && of.mode() & 0o7777 == 0o660);
        }
    }
}

#[test]
fn a_file_of_another_user_is_named_with_its_owner_and_the_command_that_mends_it() {
    if !can_become_another() {
        return;
    }
    let place = place();
    let data = directory(place.path(), "data", SERVER, SERVER, 0o700);
    stdout(&data, &["init", "--demo"]);
    for name in ["server.key", "seatmeter.db"] {
        chown(data.join(name), Some(0), Some(0)).unwrap();
        let refused = run_as(SERVER, seatmeterd(&data, &["audit"]));
        let sentence = String::from_utf8_lossy(&refused.stderr).into_owned();
        for part in [name, "belongs to user root (0)", "sudo chown -R 12011"] {
            assert!(sentence.contains(part), "{part} is not in {sentence}");
        }
        let command = sentence.split('"').nth(1).unwrap().replace("sudo ", "");
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        assert!(run_as(SERVER, seatmeterd(&data, &["audit"])).status.success());
    }
}

#[test]
fn a_key_that_its_directory_does_not_share_is_still_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stdout(&data, &["init"]);
    let key = data.join("server.key");
    for (directory, mode) in [(0o700, 0o640), (0o755, 0o660), (0o2770, 0o664)] {
        std::fs::set_permissions(&data, PermissionsExt::from_mode(directory)).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        assert!(
            crate::cli::failure(&data, &["key", "show"]).contains("chmod 600"),
            "{directory:o} {mode:o}"
        );
    }
}
