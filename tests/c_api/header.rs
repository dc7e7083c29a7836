//! cbindgen makes `include/seatmeter.h` from `src/capi`, with the error numbers of the protocol.
//! The header is true: each function documents the codes that it returns, each number has a
//! sentence, and the README's program compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, run};
use seatmeter_e2e::server::Server;
use seatmeter_protocol::error_code::ErrorCode;
use serde_json::json;

#[test]
#[allow(clippy::disallowed_methods, reason = "a test asks how it was called")]
fn the_committed_header_is_the_generated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let fixed = config.after_includes.unwrap_or_default();
    config.after_includes = Some(fixed + &error_numbers());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["license.rs", "reader.rs", "count.rs", "status.rs", "information.rs"] {
        builder = builder.with_src(root.join("src/capi").join(file));
    }
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    // For a C reader, Rust's "safety" section says what is expected of the pointers.
    let generated = String::from_utf8(generated).unwrap().replace("# Safety\n * ", "Pointers: ");
    let path = root.join("include/seatmeter.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "include/seatmeter.h is not what src/capi says: run UPDATE_HEADER=1 cargo test \
         --workspace --test c_api header"
    );
}

fn error_numbers() -> String {
    let errors = seatmeter_protocol::error_code::ERRORS.iter().filter(|entry| entry.code.0 != 0);
    errors
        .map(|entry| {
            let message = entry.message.to_str().unwrap();
            format!("/** {message} */\n#define SM_ERR_{} ({})\n", entry.name, entry.code)
        })
        .collect()
}

/// Return the guide's table of error codes, which stands between two comments.
fn table_of_errors() -> String {
    let errors = seatmeter_protocol::error_code::ERRORS.iter().filter(|entry| entry.code.0 != 0);
    let rows = errors.map(|entry| {
        format!("| {} | {} | {} |\n", entry.code, entry.name, entry.message.to_str().unwrap())
    });
    format!(
        "| code | name | meaning, and what to do |\n| --- | --- | --- |\n{}",
        rows.collect::<String>()
    )
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test asks how it was called")]
fn the_guide_lists_every_error_number_with_its_sentence() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/errors.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- errors -->\n").unwrap();
    let (listed, after) = rest.split_once("<!-- end of errors -->").unwrap();
    let table = table_of_errors();
    if std::env::var_os("UPDATE_HEADER").is_some() {
        let whole = format!("{before}<!-- errors -->\n{table}<!-- end of errors -->{after}");
        return std::fs::write(&path, whole).unwrap();
    }
    assert!(
        listed == table,
        "docs/guide/errors.md is old: run UPDATE_HEADER=1 cargo test --workspace --test c_api header"
    );
}

/// Return the numbers with five digits in a text, as the documentation writes them.
fn numbers(text: &str) -> BTreeSet<i32> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '-'));
    parts
        .filter(|part| part.len() == 6 && part.starts_with('-'))
        .map(|part| part.parse().unwrap())
        .collect()
}

#[test]
fn every_number_that_a_header_declares_has_a_sentence() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut declared = BTreeSet::new();
    for name in ["seatmeter.h", "dbr/DynamsoftBarcodeReader.h", "dbr/DynamsoftCommon.h"] {
        declared.extend(numbers(&std::fs::read_to_string(include.join(name)).unwrap()));
    }
    assert!(declared.len() > 85, "{} numbers are declared", declared.len());
    let unknown: Vec<_> =
        declared.into_iter().filter(|number| ErrorCode(*number).entry().is_none()).collect();
    assert!(unknown.is_empty(), "SM_GetErrorString does not know {unknown:?}");
}

/// The codes that a function documents, and those that it was seen to return.
#[derive(Default)]
struct Codes {
    documented: BTreeSet<i32>,
    /// Whether it may also return the result of the last InitLicenseFromDLS.
    as_initialized: bool,
    observed: BTreeSet<i32>,
}

/// The words that stand for every refusal of a server in the documentation.
const REFUSALS: &str = "-20100 to -20151";

/// The codes that no program of this test can cause, and the tests that show them.
const SHOWN_ELSEWHERE: [(i32, &str); 8] = [
    (-10000, "a fork at a bad moment: tests/seats/fork.rs"),
    (-10001, "too little memory: tests/host/limits.rs"),
    (-20002, "full_disk.rs of tests/usage, state_directory.rs of tests/device"),
    (
        -20003,
        "an answer that cannot be trusted, a license that was not renewed for days: \
         src/session/tests",
    ),
    (-20004, "an answer for another device: src/license/store.rs"),
    (-20005, "a system without random numbers: src/device.rs"),
    (-20111, "a clock that passes an expiry: src/license/grant.rs, src/session/tests"),
    (-20130, "an overuse budget that is exceeded: src/session/tests/options.rs"),
];

/// The codes of single functions when a server dies or issues a license again, or when two threads
/// call at the same time (tests/host).
const SHOWN_BY_SESSIONS: [(&str, i32); 5] = [
    ("SM_Shutdown", -20200),
    ("SM_Sync", -20008),
    ("InitLicenseFromDLS", -20009),
    ("SM_Sync", -20009),
    ("SM_Shutdown", -20009),
];

#[test]
fn each_function_documents_every_code_that_it_returns_and_returns_what_it_documents() {
    let mut all = documented();
    for (function, code) in observed() {
        let codes =
            all.get_mut(&function).unwrap_or_else(|| panic!("{function} is not in the header"));
        codes.observed.insert(code);
    }
    let initialized = all["InitLicenseFromDLS"].observed.clone();
    assert!(initialized.iter().any(|code| (-20151..=-20100).contains(code)), "{initialized:?}");
    for (function, codes) in &all {
        assert!(!codes.observed.is_empty(), "no scenario calls {function}");
        let may = |code: &&i32| {
            codes.documented.contains(code) || (codes.as_initialized && initialized.contains(code))
        };
        let undocumented: Vec<_> = codes.observed.iter().filter(|code| !may(code)).collect();
        assert!(
            undocumented.is_empty(),
            "{function} returns {undocumented:?}, which it does not document"
        );
        let is_shown = |code: &&i32| {
            codes.observed.contains(code)
                || SHOWN_ELSEWHERE.iter().any(|(other, _)| other == *code)
                || SHOWN_BY_SESSIONS.contains(&(function, **code))
                || (-20151..=-20100).contains(*code)
        };
        let never: Vec<_> = codes.documented.iter().filter(|code| !is_shown(code)).collect();
        assert!(never.is_empty(), "{function} documents {never:?}, which no scenario has seen");
    }
}

/// Return the codes that each function of the header documents.
fn documented() -> BTreeMap<String, Codes> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/seatmeter.h");
    let header = std::fs::read_to_string(path).unwrap();
    let mut texts = BTreeMap::new();
    for (comment, rest) in header.split("/**").skip(1).filter_map(|part| part.split_once("*/")) {
        let Some((name, _)) =
            rest.trim_start().strip_prefix("int ").and_then(|rest| rest.split_once('('))
        else {
            continue;
        };
        let lines: Vec<&str> =
            comment.lines().map(|line| line.trim_start_matches([' ', '*'])).collect();
        let text = lines.join(" ");
        let (_, returns) = text
            .split_once("Returns ")
            .unwrap_or_else(|| panic!("{name} does not say what it returns"));
        // This function returns a number of seats.
        if name != "GetIdleInstancesCount" {
            texts.insert(name.to_owned(), returns.split("Pointers:").next().unwrap().to_owned());
        }
    }
    assert!(texts.len() > 15, "{} functions were found", texts.len());
    let of = |text: &str| {
        let mut codes = numbers(text);
        if text.contains(REFUSALS) {
            codes.extend((-20151..=-20100).filter(|code| ErrorCode(*code).entry().is_some()));
        }
        codes.insert(0);
        (codes, text.contains("the InitLicenseFromDLS that failed"))
    };
    let resolve = |text: &String| {
        let (mut documented, mut as_initialized) = of(text);
        for (_, other) in texts.iter().filter(|(name, _)| {
            text.contains(&format!("as {name};")) || text.contains(&format!("as {name}."))
        }) {
            let (codes, too) = of(other);
            documented.extend(codes);
            as_initialized |= too;
        }
        Codes { documented, as_initialized, observed: BTreeSet::new() }
    };
    texts.iter().map(|(name, text)| (name.clone(), resolve(text))).collect()
}

/// Run every scenario. Each line that a program prints has a function and a code.
fn observed() -> Vec<(String, i32)> {
    let program = Program::compile("tests/c/codes.c");
    let fresh = |server: &str, name: &str| {
        let mut command = program.command(server);
        command.env("SEATMETER_STATE_DIR", program.state().with_file_name(name));
        command
    };
    let mut lines = Vec::new();
    let mut keep = |mut command: Command| {
        let run = run(&mut command);
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        lines.extend(run.stdout.lines().map(str::to_owned));
    };
    let scenario = |mut command: Command, arguments: &[&str]| {
        command.args(arguments);
        command
    };
    keep(scenario(fresh("http://127.0.0.1:1", "plain"), &["plain"]));
    let demo = Server::with_demo_license();
    keep(scenario(fresh(demo.url(), "seats"), &["seats"]));
    for (deployment, charge_way) in [("6", "0"), ("2", "2")] {
        keep(scenario(fresh(demo.url(), "asks"), &["asks", deployment, charge_way]));
    }
    let scans = json!([{ "item_id": "item", "charge_way": "barcode_scan", "quota": 1, "products": 0xffff,
                         "deployment_types": ["server"] }]);
    let used_up = Server::with_items(&scans);
    lines.extend(counts(fresh(used_up.url(), "used-up"), || ()));
    let revoked = Server::with_items(
        &json!([{ "item_id": "item", "charge_way": "barcode_scan", "quota": 1000,
                                               "products": 0xffff, "deployment_types": ["server"] }]),
    );
    lines.extend(counts(fresh(revoked.url(), "revoked"), || {
        revoked.operate(&["item", "revoke", "item", "--yes"]);
    }));
    let pairs = lines.iter().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(function, code)| (function.to_owned(), code.parse().unwrap())).collect()
}

/// Let a program count under its license, then change that license, and let the program count
/// again.
fn counts(mut command: Command, happens: impl FnOnce()) -> Vec<String> {
    command.arg("counts");
    let mut program = Dialogue::start(command);
    let mut lines = Vec::new();
    loop {
        let line = program.hear();
        if line == "ready 0" {
            break;
        }
        lines.push(line);
    }
    happens();
    program.tell("go on");
    loop {
        let line = program.hear();
        let is_last = line.starts_with("SM_Shutdown ");
        lines.push(line);
        if is_last {
            return lines;
        }
    }
}

/// The program names neither a deployment type nor a charge way, and runs under the demo license.
#[test]
fn the_program_of_the_readme_works_as_it_is_printed() {
    let server = Server::with_demo_license();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("readme.c");
    // Only the address is replaced.
    let program = readme_program().replace("http://127.0.0.1:48080", server.url());
    assert!(program.contains(server.url()));
    std::fs::write(&source, program).unwrap();
    let program = Program::compile(source.to_str().unwrap());
    let run = run(&mut program.command("http://127.0.0.1:1"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(server.recorded("scan"), 1);
}

fn readme_program() -> String {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```c\n").expect("the README has a program");
    let (program, _) = rest.split_once("```").unwrap();
    assert!(
        program.contains("#include <seatmeter.h>") && program.contains("int main"),
        "{program}"
    );
    program.to_owned()
}

/// The README's program, compiled in either language with all warnings.
#[test]
fn the_program_of_the_readme_compiles_without_a_warning_as_c_and_as_cpp() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = &readme_program();
    let folder = tempfile::tempdir().unwrap();
    // The same program with a text that may be changed, as programs of the DBR API write it.
    let changeable = program.replace("= \"DEMO-4-SEATS\"", "= changeable");
    let changeable = changeable
        .replace("int main(void) {", "static char changeable[] = \"C\";\nint main(void) {");
    assert_ne!(&changeable, program);
    for (name, text) in [("as_printed", program), ("changeable", &changeable)] {
        for (compiler, standard, ending) in [("cc", "c99", "c"), ("c++", "c++17", "cpp")] {
            let source = folder.path().join(format!("{name}.{ending}"));
            std::fs::write(&source, text).unwrap();
            let mut command = Command::new(compiler);
            command
                .arg(format!("-std={standard}"))
                .arg("-I")
                .arg(root.join("include"))
                .arg("-fsyntax-only");
            command
                .args(["-Wall", "-Wextra", "-Wpedantic", "-Wwrite-strings", "-Werror"])
                .arg(source);
            let run = run(&mut command);
            assert_eq!(run.code, Some(0), "{name}, {standard}: {}", run.stderr);
        }
    }
}
