//! `seatmeterd doctor reset`: a device is made new, and nothing of it or of others is lost.

use std::fs;

use seatmeter_e2e::dialogue::Dialogue;

use super::{Device, says};

#[test]
fn what_belongs_to_others_is_not_reset() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path();
    let reset = || {
        let mut command = seatmeter_e2e::server::doctor_command(&[], state, &["reset"]);
        seatmeter_e2e::program::run(&mut command)
    };
    for name in ["device", "device.rs", "clock", "clock_build.log", "sync-all"] {
        fs::write(state.join(name), "of others").unwrap();
    }
    fs::create_dir(state.join("licenses")).unwrap();
    fs::write(state.join("licenses/MIT"), "of others").unwrap();
    let run = reset();
    assert!(run.code == Some(1) && run.stderr.contains("nothing to reset"), "{run:?}");
    // They also stay beside a state.
    for name in ["usage", "seats"] {
        fs::create_dir(state.join(name)).unwrap();
    }
    assert_eq!(reset().code, Some(0));
    for name in ["device.rs", "clock_build.log", "sync-all"] {
        assert!(state.join(name).exists(), "{name}");
    }
}

fn signal(process: u32, signal: i32) {
    // SAFETY: the process is a child of this test, which has not waited for it.
    assert_eq!(unsafe { libc::kill(process.cast_signed(), signal) }, 0);
}

#[test]
fn a_device_is_reset_when_nobody_uses_it_and_nothing_of_it_is_lost() {
    let device = Device::new();
    let state = device.program.state();
    let reset = |more: &[&str]| device.doctor(&[&["reset"][..], more].concat());
    let start = || Dialogue::start(device.program.command(device.server.url()));
    let uuid_of = |program: &mut Dialogue| program.ask("uuid");
    let mut program = start();
    assert!(program.ask("init").starts_with('0'));
    let old = uuid_of(&mut program);
    // A program uses it, with a seat or without one.
    let run = reset(&[]);
    assert!(run.code == Some(1) && run.stderr.contains("programs use"), "{run:?}");
    // Otherwise a report of the program could come before its end, and nothing would wait.
    signal(device.server.pid(), libc::SIGSTOP);
    assert_eq!(program.ask("count 2"), "0");
    let run = reset(&["--with-unreported"]);
    assert!(run.code == Some(1) && run.stderr.contains("(pid "), "{run:?}");
    program.kill();
    let run = reset(&[]);
    assert!(run.code == Some(1) && run.stderr.contains("counts wait to be reported"), "{run:?}");
    assert!(run.stderr.contains("--with-unreported") && state.join("device").exists(), "{run:?}");
    let run = reset(&["--with-unreported"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.contains("are not reported") && run.stdout.contains("device release"),
        "{run:?}"
    );
    let aside = fs::read_dir(&state).unwrap().flatten().map(|entry| entry.path()).next().unwrap();
    assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("reset-"));
    let run = reset(&[]);
    assert!(run.code == Some(1) && run.stderr.contains("nothing to reset"), "{run:?}");
    signal(device.server.pid(), libc::SIGCONT);
    let mut program = start();
    assert!(program.ask("init").starts_with('0'));
    assert_ne!(uuid_of(&mut program), old, "a new device");
    assert_eq!(program.ask("end"), "0");
    // The state that was set aside is reported as its note says.
    let mut command = device.program.command(device.server.url());
    command.env("SEATMETER_STATE_DIR", &aside);
    let mut program = Dialogue::start(command);
    assert!(program.ask("init").starts_with('0') && program.ask("sync").starts_with('0'));
    assert_eq!((uuid_of(&mut program), device.server.recorded("scan")), (old, 5));
    program.kill();
    says(&device.doctor(&["--server", device.server.url()]), 0, &["ok device", "ok license"]);
    // If nothing waits to be reported, `reset` needs no option.
    let mut program = start();
    assert!(program.ask("init").starts_with('0') && program.ask("sync").starts_with('0'));
    assert_eq!(program.ask("end"), "0");
    let run = reset(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
}
