//! `seatmeterd doctor` on devices and with servers in all conditions: its findings, its advice, and
//! its exit code.
#![allow(
    clippy::disallowed_methods,
    reason = "an inner process is told by the environment what to do"
)]

mod reset;
mod users;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, Run};
use seatmeter_e2e::server::{Server, doctor, doctor_amid};

/// A device whose program is licensed, has counted 3 scans, and was killed.
struct Device {
    server: Server,
    program: Program,
}

impl Device {
    fn new() -> Self {
        let device = Self {
            server: Server::with_demo_license(),
            program: Program::compile("tests/c/device_tool.c"),
        };
        let mut program = Dialogue::start(device.program.command(device.server.url()));
        assert!(program.ask("init").starts_with('0'));
        assert_eq!(program.ask("count 3"), "0");
        program.kill();
        device
    }

    fn doctor(&self, arguments: &[&str]) -> Run {
        doctor(&self.program.state(), arguments)
    }
}

fn says(run: &Run, code: i32, lines: &[&str]) {
    assert_eq!(run.code, Some(code), "{run:?}");
    for line in lines {
        // The width of the columns does not matter here.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words(&run.stdout).contains(&words(line)),
            "{line:?} is missing in\n{}",
            run.stdout
        );
    }
}

#[test]
fn a_device_in_order_is_told_so_and_scripts_see_it() {
    let device = Device::new();
    // The program may have been killed during its first report.
    let recorded = device.server.recorded("scan");
    let run = device.doctor(&["--server", device.server.url()]);
    says(
        &run,
        0,
        &["ok state", "ok permissions", "ok device", "ok license", "ok seats", "0 of 2 in use"],
    );
    says(
        &run,
        0,
        &["3 counts are not reported yet", "ok lookup 127.0.0.1", "ok connect", "ok HTTP"],
    );
    says(&run, 0, &["ok signature", "ok clock", "all is well"]);
    // The doctor takes no seat and changes nothing.
    assert!(device.server.operate(&["device", "list"]).matches("\"device_uuid\"").count() == 1);
    assert_eq!(device.server.recorded("scan"), recorded);
}

#[test]
fn a_server_that_is_down_is_named_with_its_stage_and_how_long_programs_work_on() {
    let mut device = Device::new();
    device.server.kill();
    let run = device.doctor(&["--server", device.server.url()]);
    says(
        &run,
        1,
        &["BROKEN connect", "start the server", "ok meanwhile programs work on with the license"],
    );
    assert!(run.stderr.contains("broken on this device: 1"), "{}", run.stderr);
    let run = device.doctor(&["--server", "http://name.that.does.not.exist.invalid"]);
    says(&run, 1, &["BROKEN lookup name.that.does.not.exist.invalid", "check the URL, and DNS"]);
    says(
        &device.doctor(&[]),
        0,
        &["warning server not checked", "name it with --server", "warnings: 1"],
    );
    says(
        &device.doctor(&["--server", "gopher://x"]),
        1,
        &["BROKEN server", "http://license.example:48080"],
    );
}

#[test]
fn what_answers_and_is_no_license_server_is_told_from_one() {
    let device = Device::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for page in ["HTTP/1.1 200 OK\r\n\r\n<h1>Sign in</h1>", ""] {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(page.as_bytes());
            }
        });
        let run = device.doctor(&["--server", &format!("http://{address}")]);
        says(&run, 1, &["BROKEN HTTP status 200, which is not an answer of a license server"]);
        says(&run, 1, &["the login page of this network", "→ check the URL, or open a web page"]);
        let run = device.doctor(&["--server", &format!("http://{address}")]);
        says(&run, 1, &["BROKEN answer no whole answer"]);
    });
    let run = device.doctor(&["--server", &device.server.url().replace("http://", "https://")]);
    says(&run, 1, &["BROKEN TLS", "does not speak TLS: name the server with http://"]);
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for unfit in ["missing.pem", "README.md"] {
        let file = here.join("tests/certificates").join(unfit);
        let run =
            device.doctor(&["--server", device.server.url(), "--ca-file", file.to_str().unwrap()]);
        says(&run, 1, &["BROKEN CA file", unfit, "certificates in PEM form"]);
    }
    // Files that do not end are not waited for.
    let folder = tempfile::tempdir().unwrap();
    let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large.pem"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::File::create(&large).unwrap().set_len((1 << 20) + 1).unwrap();
    for unfit in [&*pipe, &*large, Path::new("/dev/zero"), Path::new("/proc/kmsg")] {
        let path = unfit.to_str().unwrap();
        let run = device.doctor(&["--server", device.server.url(), "--ca-file", path]);
        says(&run, 1, &["BROKEN CA file", path, "certificates in PEM form"]);
    }
    let secure = device.server.url().replace("http://", "https://");
    for unfit in [&*pipe, Path::new("/proc/kmsg")] {
        let path = unfit.to_str().unwrap();
        let run = doctor_amid(
            &[("SSL_CERT_FILE", path)],
            &device.program.state(),
            &["--server", &secure],
        );
        says(&run, 1, &["BROKEN TLS SSL_CERT_FILE", path, "cannot be used", "or unset it"]);
    }
    let other = Server::with_demo_license();
    let run = device.doctor(&["--server", other.url()]);
    says(&run, 0, &["warning signature it is not the server that has granted the license"]);
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for() {
    let device = Device::new();
    let state = device.program.state();
    for (folder, ending) in [("", "device"), ("licenses", ".grant"), ("seats", ".pool")] {
        let mut files = fs::read_dir(state.join(folder)).unwrap().flatten().map(|file| file.path());
        let path = files.find(|path| path.to_str().unwrap().ends_with(ending)).unwrap();
        let aside = state.with_file_name("aside");
        fs::rename(&path, &aside).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let run = device.doctor(&[]);
        assert!(run.stdout.contains("it is not a regular file"), "{ending}: {}", run.stdout);
        let run = doctor(&state, &["seats"]);
        assert!(run.code.is_some(), "{run:?}");
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_proxy_is_named_where_programs_go_through_it_and_nowhere_else() {
    let device = Device::new();
    let proxy = "http://user:secret@proxy.example:3128";
    let cases: [(&[(&str, &str)], bool); 6] = [
        (&[("HTTP_PROXY", proxy)], true),
        (&[("all_proxy", proxy)], true),
        (&[("HTTPS_PROXY", proxy)], false),
        (&[("HTTP_PROXY", proxy), ("NO_PROXY", "127.0.0.1")], false),
        (&[("HTTP_PROXY", proxy), ("no_proxy", "*")], false),
        (&[("HTTP_PROXY", "")], false),
    ];
    for (variables, named) in cases {
        let run =
            doctor_amid(variables, &device.program.state(), &["--server", device.server.url()]);
        assert_eq!(run.stdout.contains("the proxy http://proxy.example:3128"), named, "{run:?}");
        assert!(!run.stdout.contains("secret"), "{run:?}");
        assert_eq!(run.stdout.contains("warning  proxy"), named, "{run:?}");
    }
}

#[test]
fn a_state_directory_that_is_not_in_order_is_explained() {
    let device = Device::new();
    let state = device.program.state();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    says(&device.doctor(&[]), 0, &["warning permissions", "chmod 700"]);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let licenses =
        fs::read_dir(state.join("licenses")).unwrap().flatten().map(|entry| entry.path());
    let grant =
        licenses.into_iter().find(|path| path.extension().is_some_and(|e| e == "grant")).unwrap();
    fs::write(&grant, "torn").unwrap();
    let run = device.doctor(&[]);
    says(
        &run,
        1,
        &["warning license", "cannot be used: it has 4 bytes", "BROKEN license there is none"],
    );
    fs::rename(&grant, grant.with_extension("grant.damaged-1")).unwrap();
    says(&device.doctor(&[]), 1, &["warning damage 1 damaged files were set aside"]);
    says(&doctor(&state.join("nowhere"), &[]), 1, &["BROKEN state", "--state-dir"]);
}

#[test]
fn the_seats_alone_can_be_asked_for() {
    let device = Device::new();
    assert!(
        device.server.doctor_seats(&device.program.state()).contains("0 of 2 seats in use, 2 free")
    );
}

/// Return whether there is a line that begins with "ok" and this word.
fn says_ok(run: &Run, what: &str) -> bool {
    run.stdout
        .lines()
        .any(|line| line.starts_with("ok") && line.split_whitespace().nth(1) == Some(what))
}

/// Return the device's file with this ending in this folder.
fn file_of(device: &Device, folder: &str, ending: &str) -> PathBuf {
    let entries = fs::read_dir(device.program.state().join(folder))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    entries.into_iter().find(|path| path.extension().is_some_and(|e| e == ending)).unwrap()
}

#[test]
fn a_refused_device_is_told_the_refusal_with_its_number_and_its_sentence() {
    let device = Device::new();
    says(&device.doctor(&[]), 0, &["ok refusal none for"]);
    let items = device.server.operate(&["item", "list"]);
    let item = items.split('"').find(|word| word.starts_with("demo-instances-")).unwrap();
    device.server.operate(&["item", "revoke", item, "--yes"]);
    // The server shows it before the device has heard of it.
    let run = device.doctor(&["--server", device.server.url()]);
    says(
        &run,
        1,
        &["BROKEN licensing the server would refuse (code DEMO-4-SEATS) with -20113", "ok refusal"],
    );
    let mut program = Dialogue::start(device.program.command(device.server.url()));
    program.ask("init");
    assert!(program.ask("sync").starts_with("-20113"));
    program.kill();
    let run = device.doctor(&[]);
    says(&run, 1, &["BROKEN refusal the server refuses demo-instances-", "with -20113 since"]);
    assert!(!says_ok(&run, "refusal"), "{}", run.stdout);
    fs::remove_file(file_of(&device, "licenses", "notice")).unwrap();
    let run = device.doctor(&[]);
    says(
        &run,
        0,
        &[
            "warning refusal it is not known what the server has said about demo-instances-",
            "is missing",
        ],
    );
}

#[test]
fn the_server_is_asked_as_the_program_would_and_nothing_is_granted() {
    let device = Device::new();
    let with = |arguments: &[&str]| {
        device.doctor(&[&["--server", device.server.url()][..], arguments].concat())
    };
    says(
        &with(&[]),
        0,
        &["ok licensing the server would grant demo-instances-", "2 seats", "nothing was granted"],
    );
    let code = "DEMO-4-SEATS";
    says(&with(&["--handshake-code", code, "--seats", "4"]), 0, &["ok licensing", "4 seats"]);
    says(
        &with(&["--handshake-code", code, "--seats", "5"]),
        1,
        &["BROKEN licensing", "with -20008"],
    );
    says(&with(&["--handshake-code", "TYPO"]), 1, &["BROKEN licensing", "with -20101"]);
    // The library refuses such a code without asking a server, and ignores white space around one.
    for strange in ["A B", "A\u{200b}"] {
        says(&with(&["--handshake-code", strange]), 1, &["BROKEN licensing", "with -20001"]);
    }
    let spaced = format!(" {code} ");
    says(&with(&["--handshake-code", &spaced]), 0, &["ok licensing"]);
    says(&with(&["--organization", "demo", "--deployment-type", "server"]), 0, &["ok licensing"]);
    says(&with(&["--handshake-code", code, "--deployment-type", "mobile"]), 1, &["with -20108"]);
    says(&with(&["--handshake-code", code, "--charge-way", "domain"]), 1, &["BROKEN licensing"]);
    // The same is true where no program has run yet.
    let nowhere = tempfile::tempdir().unwrap();
    let as_server =
        ["--server", device.server.url(), "--handshake-code", code, "--deployment-type", "server"];
    let new = doctor(nowhere.path(), &as_server);
    says(&new, 1, &["ok licensing", "the signature was not checked", "note signature not checked"]);
    says(
        &doctor(nowhere.path(), &["--server", device.server.url()]),
        1,
        &["note licensing", "--handshake-code"],
    );
    // However often the doctor was asked, the device continues as the same one.
    let mut program = Dialogue::start(device.program.command(device.server.url()));
    assert!(program.ask("init").starts_with('0') && program.ask("sync").starts_with('0'));
    assert_eq!(device.server.operate(&["device", "list"]).matches("\"device_uuid\"").count(), 1);
    // The doctor does not know the session password, and does not count that as a fault of the
    // device.
    device.server.operate_with(&["handshake", "access", code, "--password"], "secret");
    says(&with(&[]), 0, &["note licensing", "with -20102", "SEATMETER_SESSION_PASSWORD"]);
    let run = doctor_amid(
        &[("SEATMETER_SESSION_PASSWORD", "secret")],
        &device.program.state(),
        &["--server", device.server.url()],
    );
    says(&run, 0, &["ok licensing"]);
    assert!(!run.stdout.contains("secret"));
}

#[test]
fn a_server_that_was_made_anew_or_restored_is_named() {
    let device = Device::new();
    let mut program = Dialogue::start(device.program.command(device.server.url()));
    assert!(program.ask("init").starts_with('0') && program.ask("sync").starts_with('0'));
    program.kill();
    says(
        &device.doctor(&["--server", device.server.url()]),
        0,
        &["ok epoch the server has the data"],
    );
    let Device { server, program } = device;
    let anew = Server::with_demo_license();
    let run = doctor(&program.state(), &["--server", anew.url()]);
    says(
        &run,
        0,
        &[
            "warning signature it is not the server",
            "its key is",
            "the license is of key",
            "made anew",
        ],
    );
    says(&run, 0, &["warning licensing it is not known whether the server would grant"]);
    let restored = server.moved();
    let run = doctor(&program.state(), &["--server", restored.url()]);
    says(
        &run,
        0,
        &["ok signature", "warning epoch the server's data is not what this device knew"],
    );
    let mut key_changed = restored;
    key_changed.kill();
    key_changed.operate(&["key", "rotate"]);
    key_changed.start_again();
    says(&doctor(&program.state(), &["--server", key_changed.url()]), 0, &["ok signature"]);
}

#[test]
fn whether_a_root_key_is_built_in_is_read_in_the_library_or_not_known() {
    let device = Device::new();
    says(
        &device.doctor(&[]),
        0,
        &["note library whether a vendor's root key", "is not known", "--library"],
    );
    let library = seatmeter_e2e::build_folder().join("libseatmeter.so");
    let run = device.doctor(&["--library", library.to_str().unwrap()]);
    match option_env!("SEATMETER_ROOT_KEY") {
        None => says(&run, 0, &["note library", "no root key is built in"]),
        Some(_) => says(&run, 0, &["ok library", "is built in"]),
    }
    says(
        &device.doctor(&["--library", "/etc/passwd"]),
        0,
        &["warning library /etc/passwd does not say"],
    );
    says(
        &device.doctor(&["--library", "/missing.so"]),
        0,
        &["warning library /missing.so cannot be read"],
    );
    // Without a root key nobody has checked whether the vendor signed the license.
    let key = file_of(&device, "licenses", "root-key");
    fs::remove_file(key).unwrap();
    says(
        &device.doctor(&[]),
        0,
        &["ok license", "whether its vendor has signed it was not checked"],
    );
}

#[test]
fn a_disk_without_room_is_found_by_writing_on_it() {
    const DISK: &str = "DOCTOR_DISK";
    let here = std::env::current_exe().unwrap();
    if let Some(disk) = std::env::var_os(DISK) {
        let state = Path::new(&disk).join("state");
        for folder in ["licenses", "seats", "usage"] {
            fs::create_dir_all(state.join(folder)).unwrap();
        }
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        says(&doctor(&state, &[]), 1, &["ok state", "warning disk", "KiB are free"]);
        let mut filling = fs::File::create(Path::new(&disk).join("filling")).unwrap();
        while filling.write_all(&[7; 4096]).is_ok() {}
        let run = doctor(&state, &[]);
        says(&run, 1, &["BROKEN state", "No space left", "make room"]);
        assert!(!says_ok(&run, "state"), "{}", run.stdout);
        let left = fs::read_dir(&state).unwrap().count();
        assert_eq!(left, 3, "the doctor leaves nothing behind");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // SAFETY: asks for a number.
    let namespace = if unsafe { libc::geteuid() } == 0 { "-m" } else { "-rm" };
    // The server is built before, because there is no room for it inside.
    drop(doctor(place.path(), &[]));
    let output = Command::new("unshare")
        .args([
            namespace,
            "sh",
            "-c",
            "mount -t tmpfs -o size=1m none \"$1\" || exit 77; shift; exec \"$@\"",
            "sh",
        ])
        .arg(place.path())
        .arg(here)
        .args(["doctor::a_disk_without_room_is_found_by_writing_on_it", "--exact", "--nocapture"])
        .env(DISK, place.path())
        .output();
    match output {
        Ok(output) if output.status.code() != Some(77) => {
            let (text, errors) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
        }
        _ => skip("no mount namespace is permitted here, so there is no disk to fill"),
    }
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}
