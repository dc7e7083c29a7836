//! The surroundings that the library must leave alone or must not depend on: memory, locale,
//! environment, working directory, umask, rounding.

use std::path::Path;
use std::process::Command;

use seatmeter_e2e::program::{Program, image};
use seatmeter_e2e::server::Server;

use super::{output_of, skip};

/// Make a locale in a folder of the test, as the system has them elsewhere.
fn make_locale(folder: &Path, language: &str) -> bool {
    let made = Command::new("localedef")
        .args(["-i", language, "-f", "UTF-8"])
        .arg(folder.join(format!("{language}.UTF-8")))
        .output();
    made.is_ok_and(|made| made.status.success())
}

#[test]
fn memory_does_not_grow_with_readers_nor_with_lives_of_the_library() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_surroundings.c");
    output_of(program.command(server.url()).arg("memory"));
}

#[test]
fn locale_environment_directory_umask_and_rounding_stay_as_they_are() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_surroundings.c");
    output_of(program.command(server.url()).arg("C").arg(image("four_barcodes.png")));
}

#[test]
fn texts_numbers_and_settings_read_alike_in_every_locale() {
    let server = Server::with_demo_license();
    let program = Program::compile("tests/c/host_surroundings.c");
    let folder = tempfile::tempdir().unwrap();
    let told_in = |locale: &str| {
        let mut command = program.command(server.url());
        command.env("LOCPATH", folder.path()).arg(locale).arg(image("four_barcodes.png"));
        output_of(&mut command)
    };
    let plain = told_in("C");
    assert!(plain.contains("QR_CODE") && plain.contains("license"), "{plain}");
    for language in ["de_DE", "tr_TR"] {
        if !make_locale(folder.path(), language) {
            skip(&format!(
                "localedef cannot make {language} (Debian, Ubuntu: apt-get install locales)"
            ));
            continue;
        }
        assert_eq!(told_in(&format!("{language}.UTF-8")), plain, "{language}");
    }
}
