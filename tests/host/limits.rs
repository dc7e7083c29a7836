//! Hosts with too few descriptors, too little address space or memory.

use seatmeter_e2e::program::{Program, image, run};
use seatmeter_e2e::server::Server;

use super::output_of;

fn program() -> Program {
    Program::compile("tests/c/host_limits.c")
}

#[test]
fn a_host_without_standard_descriptors_that_prints_on_harms_nothing() {
    let server = Server::with_demo_license();
    let program = program();
    output_of(program.command(server.url()).arg("closed").arg(image("four_barcodes.png")));
    assert_eq!(server.recorded("scan"), 20 * 5);
    let damaged = std::fs::read_dir(program.state())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"));
    assert_eq!(damaged.count(), 0);
}

#[test]
fn a_host_that_closes_all_descriptors_and_opens_its_own_keeps_those_and_is_served_on() {
    let server = Server::with_demo_license();
    output_of(program().command(server.url()).arg("taken").arg(image("four_barcodes.png")));
    assert_eq!(server.recorded("scan"), 3 + 5);
}

#[test]
fn too_few_descriptors_are_an_error_and_when_there_are_enough_it_works() {
    let server = Server::with_demo_license();
    output_of(program().command(server.url()).arg("descriptors").arg(image("four_barcodes.png")));
}

#[test]
fn too_little_address_space_is_an_error_and_when_there_is_enough_it_works() {
    let server = Server::with_demo_license();
    let program = program();
    let (mut worked, mut refused) = (0, 0);
    for mib in [0, 1, 2, 4, 8, 16, 18, 20, 24, 32, 64, 128, 256] {
        // Each program starts without a license.
        let _ = std::fs::remove_dir_all(program.state());
        let mut command = program.command(server.url());
        let run = run(command.arg("memory").arg(image("four_barcodes.png")).arg(mib.to_string()));
        assert!(run.code == Some(0), "{mib} MiB: {:?}\n{}{}", run.code, run.stdout, run.stderr);
        worked += usize::from(run.stdout.trim() == "0");
        refused += usize::from(run.stdout.trim() == "-10001");
    }
    assert!(worked > 0 && refused > 0, "{worked} worked, {refused} were refused");
}

#[test]
fn a_picture_that_the_memory_is_too_little_for_is_an_error() {
    let server = Server::with_demo_license();
    let program = program();
    let file = program.state().with_file_name("large.png");
    image::GrayImage::from_pixel(6000, 6000, image::Luma([255])).save(&file).unwrap();
    let outcome = |kind: &str, mib: &str| {
        output_of(program.command(server.url()).arg(kind).arg(&file).arg(mib))
    };
    let little = [
        ("picture", &["1", "20", "40", "90", "200"][..]),
        // Removing the white space takes as much memory again, and then comes the decoded file.
        ("text", &["1", "20", "40", "90"]),
        ("frame", &["1", "20"]),
    ];
    for (kind, mibs) in little {
        for mib in mibs {
            assert_eq!(outcome(kind, mib).trim(), "-10001", "{kind}, {mib} MiB");
        }
    }
    assert_eq!(outcome("picture", "2000").trim(), "0");
    assert_eq!(outcome("text", "2000").trim(), "-10006", "it is no picture");
    assert_eq!(outcome("frame", "2000").trim(), "0");
}

#[test]
fn a_picture_of_which_its_decoder_would_print_a_line_is_an_error_and_no_line() {
    let server = Server::with_demo_license();
    let program = program();
    let file = program.state().with_file_name("text.tif");
    // The file has one entry: the width, as a text of 2 GiB.
    let entry = b"\x00\x01\x02\x00\xff\xff\xff\x7f\x08\x00\x00\x00";
    let bytes = [&b"II*\x00\x08\x00\x00\x00\x01\x00"[..], entry, &[0; 4]].concat();
    std::fs::write(&file, bytes).unwrap();
    let run = run(program.command(server.url()).arg("picture").arg(&file).arg("2000"));
    assert_eq!((run.code, run.stdout.trim(), run.stderr.as_str()), (Some(0), "-10013", ""));
}
