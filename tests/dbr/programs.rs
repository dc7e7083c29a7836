//! Programs written for the DBR API, as its documentation shows them: compiled without a warning,
//! linked and run, also under valgrind.

use std::path::Path;

use seatmeter_e2e::program::{Program, Run, image, run};
use seatmeter_e2e::server::Server;

use crate::made_pictures;

fn assert_good(what: &str, run: &Run) {
    assert!(run.code == Some(0), "{what} ended with {:?}\n{}{}", run.code, run.stdout, run.stderr);
}

/// Run a program directly and under valgrind, each time with a fresh state directory.
fn runs_twice(source: &str, server: &Server, arguments: &[&Path]) -> String {
    let program = Program::compile(source);
    let first = run(program.command(server.url()).args(arguments));
    assert_good(source, &first);
    std::fs::remove_dir_all(program.state()).unwrap();
    assert_good(
        &format!("{source} under valgrind"),
        &run(program.command_under_valgrind(server.url()).args(arguments)),
    );
    first.stdout
}

#[test]
fn a_picture_is_read_in_every_form_in_which_it_can_come() {
    let made = made_pictures::pictures();
    runs_twice("tests/c/dbr_pictures.c", &Server::with_demo_license(), &[&image(""), made.path()]);
}

#[test]
fn settings_templates_and_filters_have_the_effect_that_the_table_says() {
    let made = made_pictures::pictures();
    runs_twice("tests/c/dbr_settings.c", &Server::with_demo_license(), &[made.path()]);
}

#[test]
fn frames_are_read_on_a_thread_and_count_once_within_the_forget_time() {
    let server = Server::with_demo_license();
    let made = made_pictures::pictures();
    let program = Program::compile("tests/c/dbr_frames.cpp");
    assert_good("frames", &run(program.command(server.url()).arg(made.path())));
    assert_good(
        "frames under valgrind",
        &run(program.command_under_valgrind(server.url()).arg(made.path())),
    );
    // The second program reports what the first has left, and a third what the second has left.
    let leftovers = Program::compile("c_examples/report_leftovers.c");
    assert_good(
        "leftovers",
        &run(leftovers.command(server.url()).env("SEATMETER_STATE_DIR", program.state())),
    );
    // One scan for ten frames, and three without a forget time.
    assert_eq!(server.recorded("scan"), 2 * (1 + 3));
}

#[test]
fn the_class_works_as_its_documentation_uses_it() {
    let made = made_pictures::pictures();
    let output = runs_twice("tests/c/dbr_class.cpp", &Server::with_demo_license(), &[made.path()]);
    for line in ["QR_CODE: https://example.org/ticket/4711", "EAN_13: 4006381333931"] {
        assert!(output.lines().any(|l| l == line), "{line} is missing in\n{output}");
    }
}

#[test]
fn a_license_is_had_by_one_text_in_the_form_of_8_and_in_that_of_9() {
    runs_twice("tests/c/dbr_license.c", &Server::with_demo_license(), &[]);
    runs_twice("tests/c/dbr9_license.c", &Server::with_demo_license(), &[]);
}

#[test]
fn a_program_that_goes_on_without_a_server_gets_the_reason_from_every_call_that_needs_a_license() {
    runs_twice("tests/c/dbr_unreachable.c", &Server::with_demo_license(), &[&image("")]);
}

#[test]
fn an_old_key_that_is_registered_as_a_code_licenses_a_program_as_it_is() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/dbr9_key.c");
    let init = |key: &str| run(program.command(server.url()).arg(key)).stdout;
    let key = "t0068NQAAAJq+/AbCd==";
    assert_eq!(init(key), "-20101\n");
    server.operate(&["handshake", "new", key, "--organization", "demo"]);
    let codes = server.operate(&["handshake", "list"]);
    let item = codes.split('"').find(|text| text.starts_with("demo-instances-")).unwrap();
    server.operate(&["handshake", "items", key, item]);
    assert_eq!(init(key), "0\n");
    // {"organizationID": "demo"}, whose default code is the old key.
    server.operate(&["organization", "default-code", "demo", key]);
    assert_eq!(init("DLS2eyJvcmdhbml6YXRpb25JRCI6ICJkZW1vIn0="), "0\n");
}

#[test]
fn a_program_for_9_tells_how_its_picture_stands_and_gets_places_in_the_upright_picture() {
    let made = made_pictures::pictures();
    runs_twice("tests/c/dbr9_image_data.c", &Server::with_demo_license(), &[made.path()]);
}

#[test]
fn a_program_for_9_reads_files_and_frames_as_its_documentation_says() {
    let made = made_pictures::pictures();
    let output = runs_twice("tests/c/dbr9_class.cpp", &Server::with_demo_license(), &[made.path()]);
    for line in ["EAN_13: 4006381333931", "unique: QR_CODE"] {
        assert!(output.lines().any(|l| l == line), "{line} is missing in\n{output}");
    }
}

#[test]
fn what_a_function_gives_is_empty_after_an_error() {
    runs_twice("tests/c/out_parameters.c", &Server::with_demo_license(), &[]);
}

#[test]
fn one_reader_a_thread_reads_what_one_alone_reads() {
    let made = made_pictures::pictures();
    runs_twice("tests/c/dbr_threads.cpp", &Server::with_demo_license(), &[made.path()]);
}
