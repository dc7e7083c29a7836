//! The doctor and several users: it says whose a directory is, who looked, and what was not looked
//! at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use seatmeter_e2e::program::Run;
use seatmeter_e2e::server::doctor_amid;

use super::{Device, file_of, says, says_ok, skip};

const ADA: u32 = 12_021;
const BOB: u32 = 12_022;
const TEAM: u32 = 12_070;

/// Run the doctor as this user, who is in the team.
fn doctor_as(user: u32, state: &Path) -> Run {
    let mut command = seatmeter_e2e::server::doctor_command(&[], state, &[]);
    seatmeter_e2e::program::run(command.uid(user).gid(TEAM))
}

fn give_all(path: &Path, owner: u32, group: u32, folder: u32, file: u32) {
    let mode = if path.is_dir() { folder } else { file };
    std::os::unix::fs::chown(path, Some(owner), Some(group)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give_all(&entry.path(), owner, group, folder, file);
    }
}

#[test]
fn whose_directory_it_is_who_looked_and_what_was_not_looked_at_is_said() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return skip("becoming another user needs root");
    }
    let device = Device::new();
    let state = device.program.state();
    fs::set_permissions(state.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    says(
        &device.doctor(&[]),
        0,
        &["ok user checked as user root (0), who owns the directory", "ok files"],
    );
    give_all(&state, ADA, TEAM, 0o2770, 0o660);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o3770)).unwrap();
    says(
        &doctor_as(ADA, &state),
        0,
        &["warning permissions", "has mode 3770: with the sticky bit", "→ run sudo chmod -t"],
    );
    give_all(&state, ADA, ADA, 0o700, 0o600);
    says(
        &doctor_as(ADA, &state),
        0,
        &["ok user checked as user 12021, who owns the directory", "ok files"],
    );
    let run = device.doctor(&[]);
    says(
        &run,
        0,
        &[
            "warning user checked as user root (0), who may do everything",
            "sudo -u 12021 seatmeterd doctor",
        ],
    );
    let run = doctor_as(BOB, &state);
    says(&run, 1, &["BROKEN state", "cannot be looked at", "belongs to user 12021"]);
    let command = format!("sudo chown -R 12022 {}\"", state.display());
    says(&run, 1, &[&command]);
    for what in ["user", "files", "state", "device", "license", "seats", "usage"] {
        assert!(!says_ok(&run, what), "{what}: {}", run.stdout);
    }
    // The directory can be listed, but nothing in it can be read.
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let run = doctor_as(BOB, &state);
    says(
        &run,
        1,
        &[
            "warning user checked as user 12022; the directory belongs to user 12021",
            "BROKEN state",
        ],
    );
    says(
        &run,
        1,
        &[
            "warning device",
            "cannot be read: Permission denied",
            "warning license",
            "warning usage",
        ],
    );
    for what in ["files", "state", "device", "license", "seats", "usage", "refusal"] {
        assert!(!says_ok(&run, what), "{what}: {}", run.stdout);
    }
    assert!(
        !run.stdout.contains("there is none on this device"),
        "that was not seen: {}",
        run.stdout
    );
    // These are the files of a run with sudo, which the owner cannot use.
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    give_all(&state.join("device"), 0, 0, 0o700, 0o600);
    for looker in [0, ADA] {
        let run = doctor_as(looker, &state);
        says(
            &run,
            1,
            &[
                "BROKEN files not for those who use the directory",
                "device belongs to user root (0)",
            ],
        );
        says(&run, 1, &["sudo chown -R 12021"]);
    }
    // The directory belongs to a group, and one file in it does not.
    give_all(&state, ADA, TEAM, 0o2770, 0o660);
    let run = doctor_as(BOB, &state);
    says(
        &run,
        0,
        &["ok user checked as user 12022, who shares the directory of user 12021 by group 12070"],
    );
    says(
        &run,
        0,
        &[
            "ok permissions user 12021, mode 2770: shared by group 12070",
            "for all who share the directory",
        ],
    );
    let pool = file_of(&device, "seats", "pool");
    give_all(&pool, ADA, TEAM, 0o2770, 0o600);
    let run = doctor_as(BOB, &state);
    says(
        &run,
        1,
        &["BROKEN files", ".pool belongs to user 12021, with mode 600", "g+rwX", "warning seats"],
    );
    assert!(!says_ok(&run, "seats"), "{}", run.stdout);
    fs::remove_file(&pool).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &pool).unwrap();
    says(
        &doctor_as(BOB, &state),
        1,
        &["BROKEN files", "is a symbolic link, which programs do not follow"],
    );
}

#[test]
fn a_user_without_a_word_is_looked_at_where_his_programs_have_their_state() {
    let home = tempfile::tempdir().unwrap();
    let asked = |variables: &[(&str, &str)]| {
        let mut command = seatmeter_e2e::server::doctor_command(variables, Path::new(""), &[]);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // SAFETY: asks for a number.
        if unsafe { libc::geteuid() } == 0 {
            command.uid(ADA).gid(ADA);
        }
        seatmeter_e2e::program::run(&mut command).stdout
    };
    let home_text = home.path().to_str().unwrap();
    assert!(asked(&[("HOME", home_text)]).contains(&format!("{home_text}/.local/state/seatmeter")));
    assert!(asked(&[("XDG_STATE_HOME", home_text)]).contains(&format!("{home_text}/seatmeter")));
}

#[test]
fn a_log_that_cannot_be_written_is_named() {
    let device = Device::new();
    let log = device.program.state().join("missing/log");
    let run =
        doctor_amid(&[("SEATMETER_LOG", log.to_str().unwrap())], &device.program.state(), &[]);
    says(&run, 0, &["warning log", "missing/log (SEATMETER_LOG) cannot be written"]);
}
