//! The unit of systemd, the user of the service, and its configuration.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use seatmeter_e2e::program::run;

use crate::{has, prefix, skip};

/// The worst grade that the unit may get; 10 is a service without any restriction.
const EXPOSURE_MAX: f64 = 2.0;

fn unit() -> String {
    prefix().join("lib/systemd/system/seatmeterd.service").display().to_string()
}

#[test]
fn the_service_is_hardened() {
    if !has("systemd-analyze", "systemd") {
        return;
    }
    let graded = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &unit()])
        .env("LC_ALL", "C.UTF-8"));
    let line = graded.stdout.lines().find(|line| line.contains("Overall exposure level"));
    let line = line.unwrap_or_else(|| panic!("{}{}", graded.stdout, graded.stderr));
    let words = line.rsplit(": ").next().unwrap();
    let exposure: f64 = words.split_whitespace().next().unwrap().parse().unwrap();
    assert!(exposure <= EXPOSURE_MAX, "{}", graded.stdout);
}

#[test]
fn the_service_starts_the_installed_program_with_a_configuration_that_is_good() {
    let unit = fs::read_to_string(unit()).unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let [program, "serve", "--config", file] = words[..] else { panic!("{command}") };
    let checked =
        run(Command::new(program).args(["config", "check", "--config", file]).env_clear());
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let data = checked.stdout.lines().find(|line| line.starts_with("data ")).unwrap();
    assert!(data.contains("\"/var/lib/seatmeterd\""), "{data}");
    assert!(unit.contains("\nStateDirectory=seatmeterd\n"), "{unit}");
}

#[test]
fn the_user_of_the_service_is_made_and_owns_its_data() {
    if !has("systemd-sysusers", "systemd") || !has("systemd-tmpfiles", "systemd") {
        return;
    }
    if run(Command::new("id").arg("-u")).stdout.trim() != "0" {
        return skip("only root can make users");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    for (kind, tool, more) in [
        ("sysusers.d", "systemd-sysusers", None),
        ("tmpfiles.d", "systemd-tmpfiles", Some("--create")),
    ] {
        let file = prefix().join("lib").join(kind).join("seatmeterd.conf");
        let made = run(Command::new(tool)
            .arg(format!("--root={}", folder.path().display()))
            .args(more)
            .arg(file));
        assert_eq!(made.code, Some(0), "{tool}: {}{}", made.stdout, made.stderr);
    }
    let users = fs::read_to_string(folder.path().join("etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("seatmeterd:")).unwrap();
    assert!(user.ends_with(":/var/lib/seatmeterd:/usr/sbin/nologin"), "{user}");
    let data = fs::metadata(folder.path().join("var/lib/seatmeterd")).unwrap();
    assert_eq!(data.mode() & 0o7777, 0o700);
    assert_eq!(user.split(':').nth(2).unwrap(), data.uid().to_string());
}
