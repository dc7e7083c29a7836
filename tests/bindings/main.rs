//! The modules of other languages. Each plays the same scenario, `bindings/scenario.txt`, against a
//! real server. Python programs that fork, or that work in many processes, keep exact counts and
//! seats. Each language also has programs for its own matters: mistakes in arguments, and what may
//! happen while a call waits.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod coverage;
mod readmes;

use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, image, run};
use seatmeter_e2e::server::Server;

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {}", why.trim());
}

fn library() -> PathBuf {
    seatmeter_e2e::build_folder().join("libseatmeter.so")
}

/// Return the words of the command that plays the scenario in a language; none if its tools are
/// missing.
fn player(language: &str) -> Option<Vec<String>> {
    let script = seatmeter_e2e::root().join("scripts/bindings.sh");
    let folder = seatmeter_e2e::build_folder().join("../bindings");
    let made = run(Command::new(script).arg(language).arg(folder));
    match made.code {
        Some(0) => Some(made.stdout.lines().map(str::to_owned).collect()),
        Some(3) => {
            skip(&made.stderr);
            None
        }
        _ => panic!("{language}: {}{}", made.stdout, made.stderr),
    }
}

/// Return a command on a device, without other variables of the environment.
fn on_device(words: &[String], state: &Path, server: &str) -> Command {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("SEATMETER_LIBRARY", library())
        .env("SEATMETER_STATE_DIR", state)
        .env("SEATMETER_SERVER", server);
    command
}

/// Write a PNG that ends below the second of its four barcodes, as if copying it had stopped.
fn cut_picture(folder: &Path) -> String {
    let whole = image::open(image("four_barcodes.png")).unwrap().into_luma8();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, whole.width(), whole.height());
    encoder.set_color(png::ColorType::Grayscale);
    // The file is not compressed, so that its middle is the middle of the picture.
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header().unwrap().write_image_data(whole.as_raw()).unwrap();
    bytes.truncate(bytes.len() * 52 / 100);
    let path = folder.join("cut.png");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Draw a QR code whose content is no text, and return the path of the picture.
fn binary_picture(folder: &Path) -> String {
    let code = zxingcpp::create(zxingcpp::BarcodeFormat::QRCode).from_slice(b"A\0B\xff").unwrap();
    let drawn = code.to_image_with(&zxingcpp::write().scale(4).add_quiet_zones(true)).unwrap();
    let (width, height) = (drawn.width().cast_unsigned(), drawn.height().cast_unsigned());
    let path = folder.join("binary.png");
    image::GrayImage::from_raw(width, height, drawn.data()).unwrap().save(&path).unwrap();
    path.display().to_string()
}

fn plays_the_scenario(start: impl Fn(&Server) -> Command) {
    let server = Server::with_demo_license();
    let picture = image("four_barcodes.png").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let cut_picture = cut_picture(folder.path());
    let binary_picture = binary_picture(folder.path());
    let mut programs = ["a", "b"].map(|name| (name, Some(Dialogue::start(start(&server)))));
    let text =
        std::fs::read_to_string(seatmeter_e2e::root().join("bindings/scenario.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let ca = seatmeter_e2e::root().join("tests/certificates/ca.pem").display().to_string();
    let known = [
        ("$SERVER", server.url()),
        ("$PICTURE", &picture),
        ("$CUT_PICTURE", &cut_picture),
        ("$BINARY_PICTURE", &binary_picture),
        ("$CA", &ca),
        ("$VERSION", env!("CARGO_PKG_VERSION")),
    ];
    let mut count = 0;
    for line in lines {
        let line =
            known.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value));
        let (order, expected) = line.split_once(" = ").unwrap_or((&line, ""));
        let (who, what) = order.trim().split_once(' ').unwrap();
        let place = |name: &str| ["a", "b"].iter().position(|known| *known == name).unwrap();
        let answer = match who {
            "server" => server.recorded(what).to_string(),
            "kill" => {
                programs[place(what)].1 = None;
                String::new()
            }
            name => programs[place(name)].1.as_mut().unwrap().ask(what),
        };
        assert_eq!(answer, expected, "{order}");
        count += 1;
    }
    assert!(count > 40, "{count} lines");
}

fn plays_in(language: &str) {
    let Some(words) = player(language) else { return };
    let device = tempfile::tempdir().unwrap();
    let state = device.path().join("state");
    plays_the_scenario(|server| on_device(&words, &state, server.url()));
}

#[test]
fn cpp_plays_the_scenario() {
    let program = Program::compile("bindings/cpp/scenario_17.cpp");
    plays_the_scenario(|server| program.command(server.url()));
}

#[test]
fn python_plays_the_scenario() {
    plays_in("python");
}

#[test]
fn node_plays_the_scenario() {
    plays_in("node");
}

#[test]
fn java_plays_the_scenario() {
    plays_in("java");
}

#[test]
fn go_plays_the_scenario() {
    plays_in("go");
}

/// Return the words of the command that runs one of a language's own programs; none if its tools
/// are missing.
fn program(language: &str, name: &str) -> Option<Vec<String>> {
    let mut words = player(language)?;
    let player = words.pop()?;
    // In Go every program is a file of its own, beside the player.
    if language == "go" {
        words.push(Path::new(&player).with_file_name(name).display().to_string());
        return Some(words);
    }
    // In Java the player is the name of a class, and so is every other program.
    let path = seatmeter_e2e::root().join("bindings").join(language).join("tests").join(name);
    words.push(if language == "java" { name.to_owned() } else { path.display().to_string() });
    Some(words)
}

/// Run a program, and check that the server has recorded what the program says it has counted,
/// which must be `least` at least.
fn counts_exactly(language: &str, name: &str, argument: &str, least: u64) {
    let Some(mut words) = program(language, name) else { return };
    words.push(argument.to_owned());
    let server = Server::with_demo_license();
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, &device.path().join("state"), server.url()));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let counted: u64 = run.stdout.trim().parse().unwrap();
    assert!(counted >= least, "{counted}");
    assert_eq!(server.recorded("scan"), counted);
}

#[test]
fn python_that_forks_keeps_exact_counts_and_seats() {
    counts_exactly("python", "forks.py", "200", 100);
}

#[test]
fn python_in_many_processes_keeps_exact_counts_and_seats() {
    counts_exactly("python", "processes.py", "40", 100);
}

#[test]
fn python_that_is_interrupted_while_it_waits_or_decodes_loses_no_seat() {
    let picture = image("four_barcodes.png").display().to_string();
    counts_exactly("python", "interrupted.py", &picture, 1);
}

#[test]
fn what_c_would_cut_is_an_error_of_python() {
    counts_exactly("python", "arguments.py", "", 1);
}

#[test]
fn what_is_no_text_no_int_or_no_bytes_is_an_error_of_node_and_what_is_bytes_is_counted_whole() {
    counts_exactly("node", "arguments.js", "", 1);
}

#[test]
fn node_reads_files_while_many_readers_wait() {
    counts_exactly("node", "waiting.js", "", 1);
}

#[test]
fn node_does_without_the_decoder() {
    let Some(words) = program("node", "no_decoder.js") else { return };
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, device.path(), "http://127.0.0.1:1"));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn errors_of_python_use_the_words_of_python() {
    counts_messages("python", "words.py");
}

#[test]
fn errors_of_node_use_the_words_of_node() {
    counts_messages("node", "words.js");
}

#[test]
fn errors_of_java_use_the_words_of_java() {
    counts_messages("java", "Messages");
}

#[test]
fn errors_of_go_use_the_words_of_go() {
    counts_messages("go", "words");
}

#[test]
fn errors_of_cpp_use_the_words_of_cpp() {
    let server = Server::with_demo_license();
    let run = run(&mut Program::compile("bindings/cpp/tests/words_17.cpp").command(server.url()));
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "14\n"), "{}", run.stderr);
}

/// Run a program that checks messages, and check how many it says there were.
fn counts_messages(language: &str, name: &str) {
    let Some(words) = program(language, name) else { return };
    let server = Server::with_demo_license();
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, &device.path().join("state"), server.url()));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.trim().parse::<u64>().unwrap() > 5, "{}", run.stdout);
}

#[test]
fn a_library_that_is_not_found_names_what_to_set() {
    let programs =
        [("python", "words.py"), ("node", "words.js"), ("java", "Messages"), ("go", "words")];
    for (language, name) in programs {
        let Some(words) = program(language, name) else { continue };
        let device = tempfile::tempdir().unwrap();
        let mut command = on_device(&words, device.path(), "http://127.0.0.1:1");
        let run = run(command.env("SEATMETER_LIBRARY", "/no/such/libseatmeter.so"));
        assert_ne!(run.code, Some(0), "{language}");
        let message =
            "Set the environment variable SEATMETER_LIBRARY to the path of libseatmeter.so";
        assert!(run.stderr.contains(message), "{language}: {}", run.stderr);
        assert!(run.stderr.contains("/no/such/libseatmeter.so"), "{language}: {}", run.stderr);
    }
}

#[test]
fn java_counts_a_list_that_grows_as_one_that_is_whole() {
    counts_exactly("java", "Growing", "", 100);
}

#[test]
fn a_text_that_c_would_cut_is_an_error_of_java() {
    counts_exactly("java", "Arguments", "", 2);
}
