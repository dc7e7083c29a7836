//! Several users, and programs that have more rights than their user. Root starts the children as
//! real other users.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, run};
use seatmeter_e2e::server::Server;

const ADA: u32 = 12_001;
const BOB: u32 = 12_002;
const TEAM: u32 = 12_050;
static GROUPS: [u32; 1] = [TEAM];
const ROOT: u32 = 0;

/// A program that every user may run, and a folder for directories of all kinds.
struct Device {
    server: Server,
    tool: Program,
    seats: Program,
}

impl Device {
    /// Return `None` if this process cannot become another user.
    fn new() -> Option<Self> {
        // SAFETY: asks for a number.
        if unsafe { libc::geteuid() } != 0 {
            skip("becoming another user needs root");
            return None;
        }
        let [tool, seats] = ["tests/c/device_tool.c", "tests/c/seat_tool.c"].map(Program::compile);
        for program in [&tool, &seats] {
            fs::set_permissions(
                program.state().parent().unwrap(),
                PermissionsExt::from_mode(0o755),
            )
            .unwrap();
        }
        Some(Self { server: Server::with_demo_license(), tool, seats })
    }

    /// Make a state directory with this owner, group and mode.
    fn directory(&self, name: &str, owner: u32, group: u32, mode: u32) -> PathBuf {
        let path = self.tool.state().with_file_name(name);
        fs::create_dir(&path).unwrap();
        give(&path, owner, group, mode);
        path
    }

    fn program(&self, user: u32, umask: u32, state: &Path) -> Dialogue {
        Dialogue::start(self.command(&self.tool, user, umask, state))
    }

    fn command(&self, program: &Program, user: u32, umask: u32, state: &Path) -> Command {
        let mut command = program.command(self.server.url());
        command.env("SEATMETER_STATE_DIR", state).current_dir("/");
        become_user(&mut command, user, umask);
        command
    }

    /// Return the answer of a program that asks for a license.
    fn init(&self, user: u32, state: &Path) -> String {
        self.program(user, 0o022, state).ask("init")
    }
}

/// Each user has a group of his own, and is in the team.
fn become_user(command: &mut Command, user: u32, umask: u32) {
    let become_it = move || {
        // SAFETY: numbers, and a list that lives as long as the program, in a child that has made
        // nothing yet.
        unsafe {
            let is_done = user == ROOT
                || libc::setgroups(1, GROUPS.as_ptr()) == 0
                    && libc::setgid(user) == 0
                    && libc::setuid(user) == 0;
            libc::umask(umask);
            if is_done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        }
    };
    // SAFETY: only system calls that may be made after a fork.
    unsafe { command.pre_exec(become_it) };
}

/// Let the kernel refuse the command every change of owner, group and mode, as file systems without
/// owners and modes do.
fn refuse_changes(command: &mut Command) {
    const CALLS: [libc::c_long; 8] = [
        libc::SYS_chmod,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchmodat2,
        libc::SYS_chown,
        libc::SYS_fchown,
        libc::SYS_lchown,
        libc::SYS_fchownat,
    ];
    let step = |code: u32, on_match: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: on_match,
        jf: 0,
        k,
    };
    // The number of the system call is the first word of what the filter sees.
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (number, left) in CALLS.into_iter().zip((1..=8).rev()) {
        filter.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, left, number as u32));
    }
    let end = libc::BPF_RET | libc::BPF_K;
    filter.push(step(end, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(step(end, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    let refuse = move || {
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: numbers, and a filter that lives until the call returns.
        let is_done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
        };
        if is_done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: only system calls that may be made after a fork.
    unsafe { command.pre_exec(refuse) };
}

fn give(path: &Path, owner: u32, group: u32, mode: u32) {
    chown(path, Some(owner), Some(group)).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Return everything in a directory, with its owner, group and mode.
fn all_in(path: &Path) -> Vec<(PathBuf, u32, u32, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap().flatten() {
        let of = entry.path().symlink_metadata().unwrap();
        all.push((entry.path(), of.uid(), of.gid(), of.mode() & 0o7777));
        if of.is_dir() {
            all.extend(all_in(&entry.path()));
        }
    }
    all
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Let a program get a license, count, report and end.
fn live(mut program: Dialogue) {
    let answer = program.ask("init");
    assert!(answer.starts_with("0"), "{answer}");
    assert_eq!(program.ask("count 3"), "0");
    assert!(program.ask("sync").starts_with("0"));
    assert_eq!(program.ask("end"), "0");
}

#[test]
fn a_run_by_root_in_a_users_directory_leaves_the_user_all_files() {
    let Some(device) = Device::new() else { return };
    let state = device.directory("of-ada", ADA, ADA, 0o700);
    // The directory itself is among them, if root is the first to need it.
    for state in [state.clone(), state.join("made/by root")] {
        live(device.program(ROOT, 0o022, &state));
        for (path, uid, gid, mode) in all_in(&state) {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!((uid, gid, mode), (ADA, ADA, expected), "{}", path.display());
        }
        live(device.program(ADA, 0o022, &state));
        live(device.program(ROOT, 0o077, &state));
        live(device.program(ADA, 0o077, &state));
        assert!(all_in(&state).iter().all(|(_, uid, ..)| *uid == ADA));
    }
    assert_eq!(device.server.recorded("scan"), 24);
}

#[test]
fn two_users_of_a_group_directory_share_seats_and_counts_and_all_files() {
    let Some(device) = Device::new() else { return };
    // The directory hands down its group, or does not, or lies inside one that does.
    for (name, mode, inner) in [("2770", 0o2770, ""), ("770", 0o770, ""), ("2775", 0o2775, "state")]
    {
        let before = device.server.recorded("scan");
        let state = device.directory(name, ROOT, TEAM, mode).join(inner);
        live(device.program(ADA, 0o077, &state));
        // The second user uses all that the first has made. What the second replaces, the first
        // uses again.
        live(device.program(BOB, 0o022, &state));
        live(device.program(ROOT, 0o777, &state));
        live(device.program(ADA, 0o777, &state));
        for (path, _, gid, mode) in all_in(&state) {
            let expected = if path.is_dir() { 0o2770 } else { 0o660 };
            assert_eq!((gid, mode), (TEAM, expected), "{}", path.display());
        }
        assert_eq!(device.server.recorded("scan") - before, 12);
        // What one user has counted and could not report, the other reports.
        let mut ada = device.program(ADA, 0o077, &state);
        assert!(ada.ask("init").starts_with("0"));
        assert_eq!(ada.ask("count 5"), "0");
        ada.kill();
        live(device.program(BOB, 0o077, &state));
        assert_eq!(device.server.recorded("scan") - before, 20);
        let [mut ada, mut bob] = [ADA, BOB].map(|user| {
            let mut command = device.command(&device.seats, user, 0o077, &state);
            command.arg("2");
            let mut process = Dialogue::start(command);
            assert_eq!(process.hear(), "0");
            process
        });
        assert_eq!((ada.ask("take"), bob.ask("take")), ("0".into(), "0".into()));
        assert_eq!((ada.ask("take"), bob.ask("idle")), ("-20008".into(), "0".into()));
        ada.kill();
        assert_eq!((bob.ask("idle"), bob.ask("take")), ("1".into(), "0".into()));
    }
}

#[test]
fn a_group_directory_with_the_sticky_bit_is_refused_with_the_command_that_mends_it() {
    let Some(device) = Device::new() else { return };
    let state = device.directory("sticky", ADA, TEAM, 0o3770);
    live(device.program(ADA, 0o077, &state));
    live(device.program(ROOT, 0o077, &state));
    let before = all_in(&state);
    let answer = device.init(BOB, &state);
    assert!(answer.starts_with("-20002 "), "{answer}");
    assert!(answer.contains("mode 3770") && answer.contains("sticky bit"), "{answer}");
    assert_eq!(all_in(&state), before, "nothing was changed in it");
    let command = answer.split('"').nth(1).unwrap().replace("sudo ", "");
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    live(device.program(BOB, 0o077, &state));
    live(device.program(ADA, 0o077, &state));
}

#[test]
fn no_umask_makes_files_that_nobody_opens() {
    let Some(device) = Device::new() else { return };
    let state = device.directory("umask", ADA, ADA, 0o755);
    for umask in [0o777, 0o000, 0o277] {
        live(device.program(ADA, umask, &state));
        for (path, _, _, mode) in all_in(&state) {
            assert_eq!(
                mode,
                if path.is_dir() { 0o700 } else { 0o600 },
                "{umask:o}: {}",
                path.display()
            );
        }
    }
}

#[test]
fn where_owner_and_mode_cannot_be_changed_the_user_works_and_another_is_told_whose_the_files_are() {
    let Some(device) = Device::new() else { return };
    let program = |user, umask, state: &Path| {
        let mut command = device.command(&device.tool, user, umask, state);
        refuse_changes(&mut command);
        Dialogue::start(command)
    };
    let private = device.directory("fixed", ADA, ADA, 0o700);
    live(program(ADA, 0o022, &private));
    live(program(ADA, 0o077, &private.join("inner")));
    // The files are for their maker alone, and no other file can be made here.
    let shared = device.directory("fixed-shared", ROOT, TEAM, 0o2770);
    live(program(ADA, 0o022, &shared));
    let answer = program(BOB, 0o022, &shared).ask("init");
    assert!(answer.starts_with("-20002 "), "{answer}");
    assert!(answer.contains("belongs to user 12001") && answer.contains("sudo "), "{answer}");
    live(program(ADA, 0o022, &shared));
    // Nobody could open such files again.
    let closed = device.directory("fixed-closed", ADA, ADA, 0o700);
    let answer = program(ADA, 0o777, &closed).ask("init");
    assert!(answer.starts_with("-20002 "), "{answer}");
    assert!(answer.contains("Operation not permitted"), "{answer}");
}

#[test]
fn a_file_of_another_user_is_named_with_its_owner_and_the_command_that_mends_it() {
    let Some(device) = Device::new() else { return };
    let state = device.directory("mixed", ADA, ADA, 0o700);
    live(device.program(ADA, 0o022, &state));
    // An older version left them like this after a run with sudo.
    for name in ["device", "licenses", "seats"] {
        let path = state.join(name);
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        give(&path, ROOT, ROOT, mode);
        let answer = device.init(ADA, &state);
        assert!(answer.starts_with("-20002 "), "{answer}");
        for part in [path.to_str().unwrap(), "belongs to user root (0)", "sudo chown -R 12001"] {
            assert!(answer.contains(part), "{part} is not in {answer}");
        }
        // This is the command from the advice, unchanged.
        let command = answer.split('"').nth(1).unwrap().replace("sudo ", "");
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        live(device.program(ADA, 0o022, &state));
    }
    let pool = fs::read_dir(state.join("seats")).unwrap().flatten().map(|entry| entry.path());
    let pool = pool
        .into_iter()
        .find(|path| path.extension().is_some_and(|ending| ending == "pool"))
        .unwrap();
    give(&pool, ROOT, ROOT, 0o600);
    let answer = device.init(ADA, &state);
    assert!(answer.starts_with("-20002 ") && answer.contains("sudo chown -R 12001"), "{answer}");
    // A directory that belongs to another user from its root on.
    for (mode, name) in [(0o755, "strange"), (0o700, "closed")] {
        let foreign = device.directory(name, ROOT, ROOT, mode);
        let answer = device.init(ADA, &foreign);
        assert!(answer.starts_with("-20002 "), "{answer}");
        for part in [
            "belongs to user root (0)",
            "sudo chown -R 12001",
            "sudo chgrp -R GROUP",
            "SM_SetStateDirectory",
        ] {
            assert!(answer.contains(part), "{part} is not in {answer}");
        }
    }
}

#[test]
fn no_command_that_is_advised_changes_what_belongs_to_others() {
    let Some(device) = Device::new() else { return };
    let refusal = |state: &Path| {
        let answer = device.init(ADA, state);
        assert!(answer.starts_with("-20002 "), "{answer}");
        for change in ["chown -R", "chgrp -R", "chmod -R"] {
            assert!(!answer.contains(change), "{change} is in {answer}");
        }
        answer
    };
    let system = |name, mode| {
        let directory = device.directory(name, ROOT, ROOT, mode);
        fs::write(directory.join("passwords"), "of others").unwrap();
        directory
    };
    // A directory like /var/lib/seatmeter. The command creates it.
    let state = system("system", 0o755).join("of ada/state");
    let answer = refusal(&state);
    let command = answer.split('"').nth(1).unwrap().replace("sudo ", "");
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    live(device.program(ADA, 0o022, &state));
    // Directories like /root/.local/state, /var/lib itself, and /tmp.
    assert!(refusal(&system("home", 0o700).join("state")).contains("Run the program as root"));
    assert!(refusal(&system("whole", 0o755)).contains("files of others"));
    let common = system("common", 0o1777);
    let own = common.join("seatmeter");
    assert!(refusal(&common).contains(own.to_str().unwrap()));
    live(device.program(ADA, 0o022, &own));
    // The log is in a directory of other users, too.
    let log = common.with_file_name("system").join("log");
    let mut command = device.command(&device.tool, ADA, 0o022, &own);
    let mut program = Dialogue::start({
        command.env("SEATMETER_LOG", &log);
        command
    });
    assert!(program.ask("init").starts_with('0'));
    let status = program.ask("status");
    assert!(status.contains("belongs to user root") && !status.contains("-R"), "{status}");
}

#[test]
fn a_directory_of_another_user_in_which_everybody_writes_is_refused_with_the_reason() {
    let Some(device) = Device::new() else { return };
    for (user, owner, mode) in [(ADA, ROOT, 0o1777), (ROOT, ADA, 0o777), (ADA, BOB, 0o2777)] {
        let state = device.directory(&format!("open-{owner}-{mode:o}"), owner, TEAM, mode);
        let answer = device.init(user, &state);
        assert!(answer.starts_with("-20002 "), "{answer}");
        for part in ["everybody may write", &format!("mode {mode:o}"), "chmod g+s"] {
            assert!(answer.contains(part), "{part} is not in {answer}");
        }
        assert_eq!(all_in(&state), [], "nothing was made in it");
        // The command from the advice repairs it.
        let command =
            answer.split('"').nth(1).unwrap().replace("sudo ", "").replace("GROUP", "12050");
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        live(device.program(user, 0o022, &state));
    }
    // The mode of a directory concerns only its owner.
    let own = device.directory("own", ADA, ADA, 0o777);
    live(device.program(ADA, 0o022, &own));
}

#[test]
fn links_inside_the_state_directory_are_not_followed() {
    let Some(device) = Device::new() else { return };
    let target = device.directory("target", ROOT, ROOT, 0o700);
    for name in ["licenses", "seats", "usage"] {
        let state = device.directory(&format!("with-{name}"), ADA, ADA, 0o700);
        symlink(&target, state.join(name)).unwrap();
        let answer = device.init(ROOT, &state);
        assert!(answer.starts_with("-20002 ") && answer.contains("symbolic link"), "{answer}");
        assert_eq!(all_in(&target), [], "nothing was made behind the link");
    }
    let state = device.directory("with-files", ADA, ADA, 0o700);
    live(device.program(ADA, 0o022, &state));
    let secret = target.join("secret");
    fs::write(&secret, "of root").unwrap();
    let is_lock =
        |path: &Path| path.extension().is_some_and(|e| e == "lock" || e == "turn" || e == "users");
    for (path, ..) in
        all_in(&state).into_iter().filter(|(path, ..)| path.is_file() && !is_lock(path))
    {
        fs::remove_file(&path).unwrap();
        symlink(&secret, &path).unwrap();
    }
    for (path, ..) in all_in(&state).into_iter().filter(|(path, ..)| is_lock(path)) {
        fs::remove_file(&path).unwrap();
        fs::hard_link(&secret, &path).unwrap();
    }
    let mut program = device.program(ROOT, 0o022, &state);
    let answer = program.ask("init");
    assert!(answer.starts_with("0") || answer.starts_with("-20002 "), "{answer}");
    program.ask("count 1");
    program.ask("sync");
    drop(program);
    let of = secret.metadata().unwrap();
    assert_eq!(
        (of.uid(), of.mode() & 0o7777, fs::read_to_string(&secret).unwrap()),
        (ROOT, 0o644, "of root".into())
    );
    // The path of the directory itself may be a link.
    let link = state.with_file_name("link");
    symlink(device.directory("behind", ADA, ADA, 0o700), &link).unwrap();
    live(device.program(ADA, 0o022, &link));
}

#[test]
fn a_program_with_more_rights_than_its_user_reads_no_environment() {
    let Some(device) = Device::new() else { return };
    let place = device.directory("of-ada", ADA, ADA, 0o700);
    let own = device.directory("of-bob", BOB, BOB, 0o700);
    let compiled = Program::compile("tests/c/privileged.c");
    let program = device.tool.state().with_file_name("privileged");
    fs::copy(compiled.state().with_file_name("program"), &program).unwrap();
    fs::set_permissions(compiled.state().parent().unwrap(), PermissionsExt::from_mode(0o755))
        .unwrap();
    // A program of BOB, so that it has no directory of its own and does nothing outside this test.
    chown(&program, Some(BOB), Some(BOB)).unwrap();
    let server = device.server.url();
    let run_with_mode = |mode: u32, state: &Path| {
        fs::set_permissions(&program, PermissionsExt::from_mode(mode)).unwrap();
        let mut command = Command::new(&program);
        command
            .arg(device.server.url())
            .arg(state)
            .env_clear()
            .env("SEATMETER_STATE_DIR", place.join("state"))
            .env("SEATMETER_LOG", place.join("log"))
            .env("SEATMETER_SERVER", server)
            .env("HOME", &place)
            .env("XDG_STATE_HOME", &place);
        // No proxy listens there: a program that uses it gets no answer.
        if mode & 0o4000 != 0 {
            command.env("HTTP_PROXY", "http://127.0.0.1:1").env("SEATMETER_CA_FILE", "/missing");
        }
        become_user(&mut command, ADA, 0o022);
        let run = run(&mut command);
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let answers = run_with_mode(0o4755, &own.join("state"));
    assert!(answers[0].starts_with("-20002 "), "{answers:?}");
    assert!(
        answers[0].contains("more rights than its user")
            && answers[0].contains("SM_SetStateDirectory")
    );
    let without_server = &answers[1];
    assert!(
        without_server.contains("set mainServerURL: this program runs with more"),
        "{without_server}"
    );
    assert_eq!(answers[2].trim(), "0");
    assert_eq!(all_in(&place), [], "the user's environment has led to nothing");
    // The same program without special rights.
    let answers = run_with_mode(0o755, &place.join("other"));
    assert!(answers.iter().all(|answer| answer.trim() == "0"), "{answers:?}");
    for made in ["state/device", "log", "other/device"] {
        assert!(place.join(made).exists(), "{made}");
    }
}

#[test]
fn a_relative_state_directory_stays_where_it_was_wherever_the_program_goes() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/wanderer.c");
    let home = program.state().parent().unwrap().to_owned();
    let mut command = program.command(server.url());
    command
        .env("SEATMETER_STATE_DIR", "near")
        .env("SEATMETER_LOG", "near.log")
        .arg(home.join("elsewhere"));
    fs::create_dir(home.join("elsewhere")).unwrap();
    let run = run(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(home.join("near/device").exists());
    assert!(
        fs::read_to_string(home.join("near.log")).unwrap().matches(": licensed\n").count() == 3,
        "{run:?}"
    );
    assert_eq!(all_in(&home.join("elsewhere")), []);
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_and_is_named() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/device_tool.c");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink(folder.path().join("behind"), &link).unwrap();
    for log in [folder.path().join("missing/log"), folder.path().to_owned(), link] {
        let mut command = program.command(server.url());
        command.env("SEATMETER_LOG", &log);
        let mut program = Dialogue::start(command);
        assert!(program.ask("init").starts_with("0"));
        let status = program.ask("status");
        assert!(
            status.contains(log.to_str().unwrap()) && status.contains("SEATMETER_LOG"),
            "{status}"
        );
    }
    assert!(!folder.path().join("behind").exists(), "the link was not followed");
    let log = folder.path().join("log");
    let mut command = program.command(server.url());
    command.env("SEATMETER_LOG", &log);
    let mut program = Dialogue::start(command);
    assert!(program.ask("init").starts_with("0"));
    assert!(program.ask("status").ends_with("unsent 0"), "nothing failed");
    assert_eq!(log.metadata().unwrap().mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&log).unwrap();
    let time = text.split(' ').next().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{text}");
}
