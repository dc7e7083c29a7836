//! The browser client: its rules and the wire vectors in Node, and pages in real browsers against
//! the real server. The tests themselves are in `bindings/web/tests`; each file runs here as one.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::path::PathBuf;
use std::process::Command;

use seatmeter_e2e::program::run;

/// The longest module that a page may have to load, compressed by Brotli, as servers of pages do.
const COMPRESSED_BYTES_MAX: usize = 12 * 1000;

/// Print the length of a file, compressed.
const COMPRESS: &str = "const zlib = require('node:zlib'), fs = require('node:fs'); \
    console.log(zlib.brotliCompressSync(fs.readFileSync(process.argv[1])).length)";

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {}", why.trim());
}

fn found(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
    folders.iter().map(|folder| PathBuf::from(folder).join(program)).find(|path| path.exists())
}

/// Return Node; none if there is none with WebCrypto.
fn node() -> Option<PathBuf> {
    let node = found("node").filter(|node| {
        let version = run(Command::new(node).arg("--version")).stdout;
        let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
        major.parse::<u32>().is_ok_and(|major| major >= 20)
    });
    if node.is_none() {
        skip("node 20 or newer is missing (apt-get install nodejs)");
    }
    node
}

/// Return the folder with the package and the tools; none if they cannot be made.
fn built() -> Option<PathBuf> {
    let script = seatmeter_e2e::root().join("scripts/bindings.sh");
    let folder = seatmeter_e2e::build_folder().join("../bindings");
    let made = run(Command::new(script).arg("web").arg(folder));
    match made.code {
        Some(0) => Some(PathBuf::from(made.stdout.trim())),
        Some(3) => {
            skip(&made.stderr);
            None
        }
        _ => panic!("{}{}", made.stdout, made.stderr),
    }
}

fn run_tests(node: &PathBuf, file: &str, settings: &[(&str, PathBuf)]) {
    let path = seatmeter_e2e::root().join("bindings/web/tests").join(file);
    let mut command = Command::new(node);
    command.args(["--test", "--test-reporter=tap"]).arg(&path).envs(settings.iter().cloned());
    let run = run(&mut command);
    assert_eq!(run.code, Some(0), "{file}:\n{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("# fail 0"), "{file}:\n{}", run.stdout);
}

fn run_in(file: &str, variable: &'static str, browsers: &[&str]) {
    let (Some(node), Some(built)) = (node(), built()) else { return };
    let Some(browser) = browsers.iter().find_map(|name| found(name)) else {
        return skip(&format!(
            "none of {browsers:?} is installed (apt-get install {})",
            browsers[0]
        ));
    };
    let server = seatmeter_e2e::server::binary().to_owned();
    let settings = [("SEATMETERD", server), ("SEATMETER_WEB", built), (variable, browser)];
    run_tests(&node, &format!("browser/{file}"), &settings);
}

fn run_in_chromium(file: &str) {
    run_in(file, "CHROMIUM", &["chromium-headless-shell", "chromium", "google-chrome"]);
}

#[test]
fn the_wire_vectors_pass_in_javascript() {
    let Some(node) = node() else { return };
    run_tests(&node, "wire.test.mjs", &[]);
}

#[test]
fn the_rules_that_need_no_browser_hold() {
    let Some(node) = node() else { return };
    run_tests(&node, "rules.test.mjs", &[]);
}

#[test]
fn pages_in_a_real_browser_obey_the_rules() {
    run_in_chromium("pages.test.mjs");
}

#[test]
fn what_is_confirmed_to_a_page_is_billed_once() {
    run_in_chromium("counts.test.mjs");
}

#[test]
fn the_time_of_a_page_is_what_its_server_says() {
    run_in_chromium("clocks.test.mjs");
}

#[test]
fn a_page_believes_its_server_and_nobody_on_the_way() {
    run_in_chromium("trust.test.mjs");
}

#[test]
fn firefox_is_a_device_that_counts() {
    run_in("firefox.test.mjs", "FIREFOX", &["firefox-esr", "firefox"]);
}

#[test]
fn the_committed_module_is_what_its_sources_make_and_small() {
    let committed = seatmeter_e2e::root().join("bindings/web/seatmeter.js");
    let Some(built) = built() else { return };
    let made = std::fs::read(built.join("seatmeter.js")).unwrap();
    let Some(node) = node() else { return };
    let compressed = run(Command::new(node).args(["-e", COMPRESS]).arg(&committed));
    let bytes: usize = compressed.stdout.trim().parse().unwrap();
    assert!(bytes <= COMPRESSED_BYTES_MAX, "{bytes} bytes, compressed");
    assert!(
        std::fs::read(&committed).unwrap() == made,
        "run \"make bindings\" and copy {}/seatmeter.js to bindings/web",
        built.display()
    );
}
