//! `seatmeterd doctor`, on devices and at servers in all conditions: what it says, what it advises, and its exit code.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

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
        let device =
            Self { server: Server::with_demo_license(), program: Program::compile("tests/c/device_tool.c") };
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
        // Where columns are is not the matter here.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&run.stdout).contains(&words(line)), "{line:?} is missing in\n{}", run.stdout);
    }
}

#[test]
fn a_device_in_order_is_told_so_and_scripts_see_it() {
    let device = Device::new();
    let run = device.doctor(&["--server", device.server.url()]);
    says(&run, 0, &["ok state", "ok permissions", "ok device", "ok licence", "ok seats", "0 of 2 in use"]);
    says(&run, 0, &["3 counts are not reported yet", "ok lookup 127.0.0.1", "ok connect", "ok HTTP"]);
    says(&run, 0, &["ok signature", "ok clock", "all is well"]);
    // It has taken nothing and changed nothing.
    assert!(device.server.operate(&["device", "list"]).matches("\"device_uuid\"").count() == 1);
    assert_eq!(device.server.recorded("scan"), 0);
}

#[test]
fn a_server_that_is_down_is_named_with_its_stage_and_how_long_programs_work_on() {
    let mut device = Device::new();
    device.server.kill();
    let run = device.doctor(&["--server", device.server.url()]);
    says(&run, 1, &["BROKEN connect", "start the server", "ok meanwhile programs work on with the licence"]);
    assert!(run.stderr.contains("broken on this device: 1"), "{}", run.stderr);
    let run = device.doctor(&["--server", "http://name.that.does.not.exist.invalid"]);
    says(&run, 1, &["BROKEN lookup name.that.does.not.exist.invalid", "check the URL, and DNS"]);
    says(&device.doctor(&[]), 0, &["warning server not looked for", "name it with --server", "warnings: 1"]);
    says(&device.doctor(&["--server", "gopher://x"]), 1, &["BROKEN server", "http://license.example:48080"]);
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
        says(&run, 1, &["BROKEN HTTP status 200, and not as a license server answers"]);
        let run = device.doctor(&["--server", &format!("http://{address}")]);
        says(&run, 1, &["BROKEN answer no whole answer"]);
    });
    let run = device.doctor(&["--server", &device.server.url().replace("http://", "https://")]);
    says(&run, 1, &["BROKEN TLS", "speaks no TLS: name the server with http://"]);
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for unfit in ["missing.pem", "README.md"] {
        let file = here.join("tests/certificates").join(unfit);
        let run = device.doctor(&["--server", device.server.url(), "--ca-file", file.to_str().unwrap()]);
        says(&run, 1, &["BROKEN CA file", unfit, "certificates in PEM form"]);
    }
    let other = Server::with_demo_license();
    let run = device.doctor(&["--server", other.url()]);
    says(&run, 0, &["warning signature it is not the server that has granted the licence"]);
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
        let run = doctor_amid(variables, &device.program.state(), &["--server", device.server.url()]);
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
    let licenses = fs::read_dir(state.join("licenses")).unwrap().flatten().map(|entry| entry.path());
    let grant = licenses.into_iter().find(|path| path.extension().is_some_and(|e| e == "grant")).unwrap();
    fs::write(&grant, "torn").unwrap();
    let run = device.doctor(&[]);
    says(&run, 1, &["warning licence", "cannot be used: it has 4 bytes", "BROKEN licence there is none"]);
    fs::rename(&grant, grant.with_extension("grant.damaged-1")).unwrap();
    says(&device.doctor(&[]), 1, &["warning damage 1 damaged files were set aside"]);
    says(&doctor(&state.join("nowhere"), &[]), 1, &["BROKEN state", "--state-dir"]);
}

#[test]
fn the_seats_alone_can_be_asked_for() {
    let device = Device::new();
    assert!(device.server.doctor_seats(&device.program.state()).contains("0 of 2 seats in use, 2 free"));
}
