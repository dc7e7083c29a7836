//! The library from C and C++. Every program in `tests/c` and `c_examples` is compiled without a
//! warning and run, also under valgrind.

use seatmeter_e2e::program::{Program, Run, image, run};
use seatmeter_e2e::server::{DEMO_CODE, Server};

/// The address of a server that does not exist, for programs that need none.
const NOWHERE: &str = "http://127.0.0.1:1";

fn assert_good(what: &str, run: &Run) {
    assert!(run.code == Some(0), "{what} ended with {:?}\n{}{}", run.code, run.stdout, run.stderr);
}

/// Run a program directly and under valgrind, each time with a fresh state directory.
fn runs_twice(source: &str, server: &str, arguments: &[&std::path::Path]) {
    let program = Program::compile(source);
    assert_good(source, &run(program.command(server).args(arguments)));
    if program.state().exists() {
        std::fs::remove_dir_all(program.state()).unwrap();
    }
    assert_good(
        &format!("{source} under valgrind"),
        &run(program.command_under_valgrind(server).args(arguments)),
    );
}

#[test]
fn layouts_are_the_recorded_ones() {
    runs_twice("tests/c/layouts.c", NOWHERE, &[]);
    let _ = Program::compile("tests/c/layouts.cpp");
}

#[test]
fn bad_input_has_its_code_and_a_sentence() {
    runs_twice("tests/c/bad_input.c", NOWHERE, &[]);
}

#[test]
fn what_the_server_refuses_is_explained() {
    runs_twice("tests/c/bad_code.c", Server::with_demo_license().url(), &[]);
}

#[test]
fn seats_are_taken_and_given_back() {
    runs_twice("tests/c/seats.c", Server::with_demo_license().url(), &[]);
}

#[test]
fn readers_that_outlive_a_shutdown_hold_no_seat() {
    let server = Server::with_demo_license();
    runs_twice("tests/c/after_shutdown.c", server.url(), &[]);
    assert_eq!(server.recorded("scan"), 2 * 4);
}

#[test]
fn the_status_tells_how_things_stand_and_a_sync_makes_it_so() {
    let server = Server::with_demo_license();
    runs_twice("tests/c/status.c", server.url(), &[std::path::Path::new(server.url())]);
    assert_eq!(server.recorded("scan"), 2 * 3);
    assert_eq!(server.recorded("page"), 2);
}

#[test]
fn a_program_whose_server_is_away_runs_and_its_status_says_from_cache() {
    let mut server = Server::with_demo_license();
    let licensed = Program::compile("tests/c/seats.c");
    assert_good("with the server", &run(&mut licensed.command(server.url())));
    server.kill();
    let offline = Program::compile("tests/c/status_offline.c");
    let log = offline.state().with_file_name("log");
    let mut command = offline.command(server.url());
    command.env("SEATMETER_STATE_DIR", licensed.state()).env("SEATMETER_LOG", &log);
    assert_good("without the server", &run(&mut command));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("info: licensed\n") && log.contains("warning: no answer from"), "{log}");
}

#[test]
fn an_application_says_who_it_is_and_the_server_knows_its_process_and_device_by_name() {
    let server = Server::with_demo_license();
    let access = ["handshake", "access", DEMO_CODE, "--website-domain", "shop.example"];
    let program = Program::compile("tests/c/who_asks.c");
    let ask = |domain: &str, code: &str| {
        assert_good(domain, &run(program.command(server.url()).args([domain, code])));
    };
    // The compiled program is called "program".
    server.operate(&[&access[..], &["--process-name", "another"]].concat());
    ask("shop.example", "-20114");
    server.operate(&[&access[..], &["--process-name", "program"]].concat());
    ask("evil.example", "-20103");
    ask("www.shop.example", "0");
    assert!(server.operate(&["device", "list"]).contains("till 7"));
}

#[test]
fn an_old_client_goes_on_at_a_server_that_was_restored_elsewhere() {
    let server = Server::with_demo_license();
    let snippet = Program::compile("c_examples/documented_snippet.cpp");
    assert_good("snippet", &run(snippet.command(server.url()).arg(image("four_barcodes.png"))));
    let leftovers = Program::compile("c_examples/report_leftovers.c");
    let at = |server: &Server| {
        let mut command = leftovers.command(server.url());
        run(command.env("SEATMETER_STATE_DIR", snippet.state()))
    };
    let server = server.moved();
    assert_good("the rest is reported", &at(&server));
    assert_eq!(server.recorded("scan"), 4);
    let server = server.moved();
    assert_good("nothing is left", &at(&server));
    assert_eq!(server.recorded("scan"), 4, "what was spent stays spent");
}

#[test]
fn owners_in_cpp_give_back_what_they_hold() {
    runs_twice("tests/c/owners_17.cpp", Server::with_demo_license().url(), &[]);
}

#[test]
fn a_log_function_in_cpp_is_there_to_the_very_end() {
    runs_twice("tests/c/log_at_exit_17.cpp", Server::with_demo_license().url(), &[]);
}

#[test]
fn each_different_barcode_of_an_image_is_counted_once() {
    let server = Server::with_demo_license();
    runs_twice("tests/c/counting.c", server.url(), &[]);
    assert_eq!(server.recorded("scan"), 2 * 6);
    assert_eq!(server.recorded("image"), 2 * 4);
}

#[test]
fn pictures_are_read_through_the_dbr_api() {
    let server = Server::with_demo_license();
    let pictures = image("");
    runs_twice("tests/c/dbr_reading.c", server.url(), &[&pictures]);
    // Three scans: one_qr.jpg, same_qr_twice.png (one code), one_qr.png. Nothing is counted without
    // a license or a seat.
    assert_eq!(server.recorded("scan"), 2 * 3);
}

#[test]
fn the_own_decoder_example_works() {
    let server = Server::with_demo_license();
    runs_twice("c_examples/own_decoder.c", server.url(), &[]);
    assert_eq!(server.recorded("scan"), 2 * 2);
}

#[test]
fn the_documented_snippet_reads_four_barcodes_and_the_server_records_four_scans() {
    let server = Server::with_demo_license();
    let snippet = Program::compile("c_examples/documented_snippet.cpp");
    let first = run(snippet.command(server.url()).arg(image("four_barcodes.png")));
    assert_good("the snippet", &first);
    for line in [
        "idle seats before: 4",
        "idle seats during: 3",
        "idle seats after: 4",
        "QR_CODE: https://example.org/ticket/4711",
        "EAN_13: 4006381333931",
        "CODE_128: SN-2026-000042",
        "DATAMATRIX: LOT 7, BOX 12",
    ] {
        assert!(
            first.stdout.lines().any(|l| l == line),
            "{line:?} is missing in\n{}",
            first.stdout
        );
    }
    // The snippet ends without a last report. The next program of the device reports what it has
    // left.
    let leftovers = Program::compile("c_examples/report_leftovers.c");
    let second = run(leftovers.command(server.url()).env("SEATMETER_STATE_DIR", snippet.state()));
    assert_good("the second program", &second);
    assert_eq!(server.recorded("scan"), 4);
    assert_eq!(server.recorded("image"), 1);
    assert!(server.usage_for_people().contains("4 scans"), "{}", server.usage_for_people());
    let mut left: Vec<_> = walk(&snippet.state().join("usage"));
    left.retain(|path| {
        path.extension().is_some_and(|ending| ending == "segment" || ending == "new")
    });
    assert!(left.is_empty(), "what is acknowledged is removed: {left:?}");
}

#[test]
fn the_snippet_says_what_is_wrong() {
    let server = Server::with_demo_license();
    let snippet = Program::compile("c_examples/documented_snippet.cpp");
    let missing = run(snippet.command(server.url()).arg("no_such_picture.png"));
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("-10005"), "{}", missing.stderr);
    let unreachable = Program::compile("c_examples/documented_snippet.cpp");
    let unreachable = run(unreachable.command(NOWHERE).arg(image("one_qr.png")));
    assert!(unreachable.stderr.contains("-20200"), "{}", unreachable.stderr);
}

#[test]
fn a_program_starts_from_the_stored_license_when_the_server_is_away() {
    let mut server = Server::with_demo_license();
    let snippet = Program::compile("c_examples/documented_snippet.cpp");
    let picture = image("four_barcodes.png");
    assert_good("with the server", &run(snippet.command(server.url()).arg(&picture)));
    server.kill();
    let offline = run(snippet.command(server.url()).arg(&picture));
    assert_good("without the server", &offline);
    assert!(offline.stdout.contains("idle seats before: 4"), "{}", offline.stdout);
    server.start_again();
    let leftovers = Program::compile("c_examples/report_leftovers.c");
    assert_good(
        "later",
        &run(leftovers.command(server.url()).env("SEATMETER_STATE_DIR", snippet.state())),
    );
    assert_eq!(server.recorded("scan"), 8, "what was counted offline is recorded, once");
}

#[test]
fn the_standby_serves_when_the_main_server_is_away() {
    let server = Server::with_demo_license();
    let snippet = Program::compile("c_examples/documented_snippet.cpp");
    let run = run(snippet
        .command(NOWHERE)
        .env("SEATMETER_STANDBY_SERVER", server.url())
        .arg(image("four_barcodes.png")));
    assert_good("with the standby", &run);
}

/// Return all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
