//! Accidents of a server's machine: damaged pages, full disks, lost files, wrong permissions. Each
//! is seen by readiness, or refused with the command that mends it.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::*;

use crate::cli::{Served, failure, seatmeterd, stdout, try_authorize_demo};
use crate::support::*;

/// Bound on every wait.
const PATIENCE: Duration = Duration::from_secs(60);

fn demo() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo"]);
    (folder, data)
}

/// The status of readiness, and its detail where it is a problem.
fn ready(address: SocketAddr) -> (u16, String) {
    let answer = Request::new("GET", "/readyz").send(address);
    let detail = if answer.status == 200 { String::new() } else { answer.problem().detail };
    (answer.status, detail)
}

/// Wait until the server is not ready; give the reason.
fn not_ready(address: SocketAddr) -> String {
    let begun = Instant::now();
    loop {
        let (status, detail) = ready(address);
        if status == 503 {
            return detail;
        }
        assert!(begun.elapsed() < PATIENCE, "it stays ready");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Overwrite the first page of a table, when no process has the database open.
fn damage(data: &Path, table: &str) {
    let path = data.join("seatmeter.db");
    let page: u64 = {
        let database = rusqlite::Connection::open(&path).unwrap();
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let query = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        database.query_row(query, [table], |row| row.get(0)).unwrap()
    };
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xab; 1_000], (page - 1) * 4_096).unwrap();
}

#[test]
fn a_damaged_page_makes_a_server_not_ready_and_a_check_names_it() {
    let (_folder, data) = demo();
    assert!(stdout(&data, &["check"]).contains("the data is whole"));
    damage(&data, "usage_day");
    let server = Served::start(&data);
    let (status, detail) = ready(server.address);
    assert_eq!(status, 503, "it is seen with the start");
    assert!(detail.contains("seatmeterd check") && detail.contains("restore"), "{detail}");
    let found = failure(&data, &["check"]);
    assert!(found.contains("broken in the data"), "{found}");
}

#[test]
fn a_page_that_is_damaged_later_is_seen_while_the_server_runs() {
    let (_folder, data) = demo();
    let server = Served::start(&data);
    assert_eq!(ready(server.address).0, 200);
    damage(&data, "year_excess");
    assert!(not_ready(server.address).contains("damaged"));
}

#[test]
fn a_check_sees_what_no_page_shows() {
    let (_folder, data) = demo();
    let database = rusqlite::Connection::open(data.join("seatmeter.db")).unwrap();
    database.execute_batch("INSERT INTO item_held VALUES ('nothing', 7)").unwrap();
    let output = seatmeterd(&data, &["check"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("seats that are held of item \"nothing\""), "{text}");
    database.execute_batch("DELETE FROM item_held WHERE item_id = 'nothing'").unwrap();
    database.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM license_file").unwrap();
    let output = seatmeterd(&data, &["check"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("table license_item refers to a row that is missing"), "{text}");
}

#[test]
fn a_key_that_license_files_name_and_is_gone_makes_a_server_not_ready() {
    let (_folder, data) = demo();
    let server = Served::start(&data);
    let key = data.join("server.key");
    let away = data.join("away");
    fs::rename(&key, &away).unwrap();
    assert!(not_ready(server.address).contains("log"), "its own key is gone");
    fs::rename(&away, &key).unwrap();
    drop(server);
    stdout(&data, &["key", "rotate"]);
    let server = Served::start(&data);
    assert_eq!(ready(server.address).0, 200);
    let replaced = fs::read_dir(&data)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("server-"));
    let replaced = replaced.unwrap();
    fs::rename(&replaced, &away).unwrap();
    let detail = not_ready(server.address);
    assert!(detail.contains("server key") && detail.contains("backup"), "{detail}");
    assert!(failure(&data, &["check"]).contains("broken in the data"));
    fs::rename(&away, &replaced).unwrap();
    let begun = Instant::now();
    while ready(server.address).0 != 200 {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[test]
fn a_main_server_whose_disk_is_full_leads_to_the_standby() {
    let (_folder, data) = demo();
    let main = Served::start_to_be_limited(&data);
    let (_other, copy) = demo();
    let mut command = seatmeterd(&copy, &["serve", "--listen", "127.0.0.1:0", "--log", "off"]);
    command.args(["--standby", "--peer", &format!("http://{}", main.address)]);
    let standby = Served::run(command);
    let refused = try_status(standby.address);
    assert_eq!(refused, (503, ErrorCode::STANDBY_NOT_READY), "the main server is in charge");
    main.limit_files("1");
    let (status, detail) = {
        let detail = not_ready(main.address);
        (503, detail)
    };
    assert_eq!(status, 503);
    assert!(detail.contains("room") || detail.contains("database"), "{detail}");
    let begun = Instant::now();
    while try_authorize_or_refusal(standby.address).is_none() {
        assert!(begun.elapsed() < PATIENCE, "the standby does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn asked() -> AuthorizationRequest {
    AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&id(), 1) }
}

fn try_status(address: SocketAddr) -> (u16, ErrorCode) {
    let body = serde_json::to_vec(&asked()).unwrap();
    let answer =
        Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id()).send(address);
    match answer.status {
        200 => (200, ErrorCode::OK),
        status => (status, answer.problem().code),
    }
}

fn try_authorize_or_refusal(address: SocketAddr) -> Option<()> {
    (try_status(address).0 == 200).then_some(())
}

/// Run a command in a mount namespace of its own, with a small disk on this folder. `None`, and a
/// line, where that is not permitted.
fn on_small_disk(folder: &Path, size: &str, then: &str) -> Option<Command> {
    let script = format!("mount -t tmpfs -o mode=700,size={size} tmpfs \"$1\" || exit 77\n{then}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command.arg(folder).arg(env!("CARGO_BIN_EXE_seatmeterd")).stdin(Stdio::null());
    let can = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .args(["mount -t tmpfs tmpfs /mnt", "sh"])
        .stderr(Stdio::null())
        .status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no mount namespace is permitted here, so there is no disk to fill");
        return None;
    }
    Some(command)
}

#[test]
fn a_directory_on_fuse_is_refused_before_anything_is_made_there() {
    let folder = tempfile::tempdir().unwrap();
    let (real, seen) = (folder.path().join("real"), folder.path().join("seen"));
    [&real, &seen].iter().for_each(|place| fs::create_dir(place).unwrap());
    let backup = folder.path().join("backup");
    let local = folder.path().join("local");
    stdout(&local, &["init", "--demo"]);
    stdout(&local, &["backup", backup.to_str().unwrap()]);
    // The program behind the mount ends with it.
    let script = "bindfs \"$1\" \"$2\" || exit 77\n\"$3\" init --demo --data \"$2/data\"\n\
                  \"$3\" serve --listen 127.0.0.1:0 --data \"$2/data\"\n\
                  \"$3\" restore \"$4\" --data \"$2/data\"\numount \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(&real).arg(&seen).arg(env!("CARGO_BIN_EXE_seatmeterd")).arg(&backup);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: bindfs or a mount namespace is not there, so there is no FUSE to try");
        return;
    }
    assert_eq!(errors.matches("is on FUSE").count(), 3, "{errors}");
    assert!(errors.contains("Use a data directory on a local disk"), "{errors}");
    assert_eq!(fs::read_dir(&real).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_first_start_on_a_full_disk_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let fill = "head -c 4M /dev/zero > \"$1/filled\" 2>&-\nmkdir \"$1/data\"\n\
                exec \"$2\" serve --listen 127.0.0.1:0 --data \"$1/data\"";
    let Some(mut command) = on_small_disk(folder.path(), "1m", fill) else { return };
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("disk is full") || errors.contains("No space left"), "{errors}");
    assert!(errors.contains("make room"), "{errors}");
}

#[test]
fn a_server_starts_on_a_full_disk_and_is_not_ready_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let fill = "\"$2\" init --demo --data \"$1/data\" >&2\n\
                head -c 64k /dev/zero > \"$1/rest\"\n\
                head -c 64M /dev/zero > \"$1/filled\" 2>&-\nrm \"$1/rest\"\n\
                exec \"$2\" serve --listen 127.0.0.1:0 --data \"$1/data\" --log off";
    let Some(command) = on_small_disk(folder.path(), "8m", fill) else { return };
    let server = Served::run(command);
    let detail = not_ready(server.address);
    assert!(detail.contains("room"), "{detail}");
    let inside = format!("/proc/{}/root{}/filled", server.id(), folder.path().display());
    fs::remove_file(inside).unwrap();
    let begun = Instant::now();
    while ready(server.address).0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "there is room again");
    }
    assert!(try_authorize_demo(server.address, &id()).is_some());
}

#[test]
fn a_second_server_does_not_start_when_the_lock_file_was_removed() {
    let (_folder, data) = demo();
    let server = Served::start(&data);
    fs::remove_file(data.join("seatmeterd.lock")).unwrap();
    let refused = failure(&data, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.contains("another seatmeterd serves"), "{refused}");
    drop(server);
    drop(Served::start(&data));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_is_open_to_others_is_closed_or_refused() {
    let (_folder, data) = demo();
    let mode = || fs::metadata(&data).unwrap().mode() & 0o7777;
    for (open, closed) in [(0o755, 0o750), (0o701, 0o700), (0o2775, 0o2770)] {
        set_mode(&data, open);
        stdout(&data, &["item", "list"]);
        assert_eq!(mode(), closed, "{open:o}");
    }
    set_mode(&data, 0o777);
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["item", "list"],
        &["key", "rotate"],
        &["check"],
        &["init"],
    ] {
        let refused = failure(&data, command);
        assert!(refused.contains(&format!("chmod 700 {}", data.display())), "{refused}");
    }
    assert_eq!(mode(), 0o777, "what may have been put there is looked at first");
    set_mode(&data, 0o1777);
    assert!(failure(&data, &["init"]).contains("seatmeterd-data"));
    set_mode(&data, 0o700);
    stdout(&data, &["item", "list"]);
}

#[test]
fn a_file_of_another_user_is_named_with_the_command_that_mends_it() {
    use std::os::unix::process::CommandExt;
    const SERVER: u32 = 12_021;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("SKIPPED: becoming another user needs root");
        return;
    }
    let (folder, data) = demo();
    set_mode(folder.path(), 0o755);
    for entry in fs::read_dir(&data).unwrap().flatten() {
        std::os::unix::fs::chown(entry.path(), Some(SERVER), Some(SERVER)).unwrap();
    }
    std::os::unix::fs::chown(&data, Some(SERVER), Some(SERVER)).unwrap();
    for name in ["server.key", "seatmeter.db", "seatmeterd.lock"] {
        let path = data.join(name);
        fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        set_mode(&path, 0o600);
        let mut serve = seatmeterd(&data, &["serve", "--listen", "127.0.0.1:0"]);
        let output = serve.uid(SERVER).gid(SERVER).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("chown") && errors.contains(name), "{name}: {errors}");
        std::os::unix::fs::chown(&path, Some(SERVER), Some(SERVER)).unwrap();
    }
    // A rotation by root leaves all files to the owner of the directory.
    stdout(&data, &["key", "rotate"]);
    for entry in fs::read_dir(&data).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().uid(), SERVER, "{}", entry.path().display());
    }
}

#[test]
fn the_password_of_the_database_is_shown_nowhere() {
    let (folder, data) = demo();
    let secret = "s3cr3t-of-the-database";
    for url in [
        format!("postgres://me:{secret}@127.0.0.1:1/db"),
        format!("mysql://me:{secret}@127.0.0.1:1/db"),
        format!("postgres://me:{secret}@127.0.0.1:notaport/db"),
        format!("postgres://me@127.0.0.1:1/db?password={secret}&nonsense=1"),
        format!("me:{secret}@host"),
    ] {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["item", "list"]] {
            let output = seatmeterd(&data, command).args(["--database", &url]).output().unwrap();
            assert!(!output.status.success());
            let all = [output.stdout, output.stderr].concat();
            let all = String::from_utf8(all).unwrap();
            assert!(!all.contains(secret), "{all}");
            let by_variable =
                seatmeterd(&data, command).env("SEATMETERD_DATABASE", &url).output().unwrap();
            let all = String::from_utf8([by_variable.stdout, by_variable.stderr].concat()).unwrap();
            assert!(!all.contains(secret), "{all}");
        }
    }
    // On the command line, every user can read it.
    let url = format!("postgres://me:{secret}@127.0.0.1:1/db");
    let shown = seatmeterd(&data, &["serve", "--database", &url]).output().unwrap();
    assert!(String::from_utf8(shown.stderr).unwrap().contains("cmdline"));
    let file = folder.path().join("password");
    fs::write(&file, secret).unwrap();
    set_mode(&file, 0o644);
    let mut command =
        seatmeterd(&data, &["item", "list", "--database", "postgres://me@127.0.0.1:1/db"]);
    let output = command.arg("--database-password-file").arg(&file).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("chmod 600"));
}

#[test]
fn the_doctor_knows_what_can_be_wrong_with_a_data_directory() {
    let (_folder, data) = demo();
    let doctor = || {
        let output = seatmeterd(&data, &["doctor", "data", "--full"]).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code() == Some(0), text)
    };
    let says = |is_good: bool, words: &str| {
        let (good, text) = doctor();
        assert!(good == is_good && text.contains(words), "{words}: {text}");
    };
    says(true, "all is well");
    let server = Served::start(&data);
    says(true, "one serves from here");
    drop(server);
    set_mode(&data, 0o755);
    says(true, "chmod 750");
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o755, "it changes nothing");
    set_mode(&data, 0o777);
    says(false, "chmod 700");
    set_mode(&data, 0o700);
    set_mode(&data.join("server.key"), 0o644);
    says(false, "chmod 600");
    set_mode(&data.join("server.key"), 0o600);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        std::os::unix::fs::chown(data.join("seatmeter.db"), Some(12_099), None).unwrap();
        says(false, "chown");
        std::os::unix::fs::chown(data.join("seatmeter.db"), Some(0), None).unwrap();
    }
    damage(&data, "usage_day");
    says(false, "BROKEN   database");
    fs::rename(data.join("server.key"), data.join("away")).unwrap();
    says(false, "backup");
}

/// What a terminal would obey, or a reader not see.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[test]
fn what_devices_call_themselves_moves_no_terminal() {
    let (folder, data) = demo();
    let nasty = "till\u{1b}[2J\u{9b}31m\u{202e}exe\u{2066}\u{7}\r\nBROKEN\u{2028}\u{61c}";
    let log = folder.path().join("log");
    let mut command = seatmeterd(&data, &["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    command.stderr(fs::File::create(&log).unwrap());
    let server = Served::run(command);
    let device = id();
    let mut asked =
        AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&device, 1) };
    asked.device.friendly_name = nasty.to_owned();
    asked.device.library_version = nasty.to_owned();
    asked.validation.process_name = nasty.to_owned();
    let body = serde_json::to_vec(&asked).unwrap();
    let post = |path: &str, body: &[u8]| {
        Request::post(path, body).header(NONCE_HEADER, &id()).send(server.address)
    };
    let answer = post(AUTHORIZATIONS_PATH, &body);
    assert_eq!(answer.status, 200);
    let granted: AuthorizationAnswer = answer.json();
    let license: serde_json::Value = serde_json::from_str(&granted.local_license.payload).unwrap();
    let license_id = license["license_id"].as_str().unwrap();
    let slot = u32::try_from(license["issued_at"].as_u64().unwrap() / 180).unwrap();
    let mut usage = report(&device, vec![segment(&id(), license_id, vec![scans(slot, 1, 3)])]);
    usage.device = asked.device.clone();
    post(USAGE_PATH, &serde_json::to_vec(&usage).unwrap());
    for code in [nasty, "DEMO\u{202e}"] {
        let refused = AuthorizationRequest { handshake_code: code.into(), ..asked.clone() };
        assert_ne!(post(AUTHORIZATIONS_PATH, &serde_json::to_vec(&refused).unwrap()).status, 200);
    }
    let mut shown = 0;
    for command in [
        &["device", "list"][..],
        &["usage", "show"],
        &["usage", "show", "--json"],
        &["usage", "export", "--format", "csv"],
        &["usage", "export", "--format", "json"],
        &["usage", "export", "--signed"],
        &["device", "rename", &device, nasty],
        &["audit", "list"],
        &["audit", "list", "--json"],
        &["item", "list"],
        &["handshake", "list"],
        &["organization", "list"],
        &["handshake", "new", nasty, "--organization", nasty],
        &["device", "release", nasty, "--item", nasty],
        &["token", "list"],
        &["epochs"],
        &["clock", "show"],
        &["check"],
    ] {
        let output = seatmeterd(&data, command).output().unwrap();
        // Lines of CSV end with two characters.
        let all = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let all = all.replace("\r\n", "\n");
        assert!(!all.contains(is_hidden), "{command:?}: {all:?}");
        assert!(!all.contains("\nBROKEN"), "{command:?}: {all:?}");
        shown += usize::from(all.contains("till"));
    }
    assert!(shown >= 3, "the name is shown by {shown} commands");
    drop(server);
    let logged = fs::read_to_string(&log).unwrap();
    assert!(!logged.contains(is_hidden) && !logged.contains("\nBROKEN"), "{logged:?}");
}

#[test]
fn the_password_of_the_database_comes_from_a_file_or_a_variable() {
    let Some(cluster) = seatmeter_e2e::postgres::Cluster::start(false) else {
        eprintln!("SKIPPED: PostgreSQL is not on this machine");
        return;
    };
    let url = cluster.url(&cluster.new_database());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let with_url = |command: &[&str]| {
        let mut command = seatmeterd(&data, command);
        command.args(["--database", &url]).env("HOME", folder.path());
        command
    };
    assert!(with_url(&["init"]).output().unwrap().status.success());
    cluster.sql("postgres", "ALTER USER seatmeter PASSWORD 'open sesame'");
    let hba = cluster.sql("postgres", "SHOW hba_file").trim().to_owned();
    let rule = "host all all all scram-sha-256";
    cluster.sql("postgres", &format!("COPY (SELECT '{rule}') TO '{hba}'"));
    cluster.sql("postgres", "SELECT pg_reload_conf()");
    let begun = Instant::now();
    while with_url(&["item", "list"]).output().unwrap().status.success() {
        assert!(begun.elapsed() < PATIENCE, "PostgreSQL still asks for no password");
    }
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        path
    };
    let (plain, pass) = (file("plain", "open sesame\n"), file("pass", "*:*:*:*:open sesame\n"));
    let is_let_in = |variable: &str, value: &std::ffi::OsStr| {
        with_url(&["item", "list"]).env(variable, value).output().unwrap().status.success()
    };
    assert!(is_let_in("SEATMETERD_DATABASE_PASSWORD_FILE", plain.as_os_str()));
    assert!(is_let_in("SEATMETERD_DATABASE_PASSWORD", "open sesame".as_ref()));
    assert!(is_let_in("PGPASSWORD", "open sesame".as_ref()));
    assert!(is_let_in("PGPASSFILE", pass.as_os_str()));
    assert!(!is_let_in("PGPASSWORD", "open barley".as_ref()));
    file(".pgpass", "*:*:*:*:open sesame\n");
    assert!(is_let_in("ANOTHER", "".as_ref()), "the usual file");
}
