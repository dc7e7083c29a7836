//! The DBR API is complete: all names of its table are declared, exported and described in
//! `docs/dbr-compat.md`. Each header compiles alone, in any order, and twice.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use seatmeter_e2e::program::{Program, run};

fn text(path: &str) -> String {
    std::fs::read_to_string(seatmeter_e2e::root().join(path)).unwrap()
}

/// Return every word of a text that begins like a function of the API.
fn functions<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words
        .filter(|word| word.starts_with("DBR_") && *word != "DBR_API" && *word != "DBR_OK")
        .map(str::to_owned)
        .collect()
}

fn listed() -> BTreeSet<String> {
    functions(text("tests/c/dbr_signatures.c").lines().filter(|line| line.contains("HAS(")))
}

#[test]
fn what_is_listed_is_declared_and_nothing_else() {
    let header = text("include/dbr/DynamsoftBarcodeReader.h");
    let declarations = header.lines().filter(|line| line.starts_with("DBR_API "));
    let first_lines = declarations.map(|line| line.split('(').next().unwrap());
    assert_eq!(functions(first_lines), listed());
}

#[test]
fn what_is_listed_is_told_about_with_how_far_it_works() {
    let table = text("docs/dbr-compat.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `DBR_")).collect();
    let names = rows.iter().map(|row| row.split('|').nth(1).unwrap());
    assert_eq!(functions(names), listed());
    for row in rows {
        let state = row.split('|').nth(2).unwrap().trim();
        assert!(["works", "partly", "defined error"].contains(&state), "{row}");
    }
}

#[test]
fn what_is_listed_has_its_type_and_is_exported() {
    let program = Program::compile("tests/c/dbr_signatures.c");
    assert_eq!(run(&mut program.command("http://127.0.0.1:1")).code, Some(0));
}

/// Return the functions with an output parameter: a pointer or an array whose target is not const.
fn functions_that_give(header: &str) -> BTreeSet<String> {
    let text = text(header).replace('\n', " ");
    let declarations = text.split(';').filter_map(|declaration| declaration.rsplit_once('('));
    declarations
        .filter(|(_, parameters)| parameters.split(',').any(gives))
        .filter_map(|(name, _)| name.rsplit([' ', '*']).next().map(str::to_owned))
        .filter(|name| {
            name.starts_with("DBR_") || name.starts_with("SM_") || name.starts_with("Init")
        })
        // These free what their parameter refers to.
        .filter(|name| !name.starts_with("DBR_Free"))
        .collect()
}

fn gives(parameter: &str) -> bool {
    let words = |parts: &[&str]| parts.iter().any(|part| parameter.contains(part));
    let is_place = parameter.contains('*') || parameter.contains('[');
    // Readers, the user data of callbacks, and parameters that are only read.
    let is_read = words(&[
        "const char *",
        "const unsigned char *",
        "const ImageData *",
        "const HANDLE",
        "void *",
    ]) || words(&[
        "const struct",
        "const IntermediateResultArray",
        "pBufferBytes",
        "transformationMatrix",
    ]) || words(&["void*", "struct SM_Reader *reader"]);
    is_place && !is_read
}

#[test]
fn every_function_that_gives_something_is_driven_into_an_error_by_the_test_of_what_it_gives_then() {
    let program = text("tests/c/out_parameters.c");
    let mut names = functions_that_give("include/dbr/DynamsoftBarcodeReader.h");
    names.extend(functions_that_give("include/seatmeter.h"));
    assert!(
        names.contains("DBR_GetIntermediateResults") && names.contains("SM_CreateReader"),
        "{names:?}"
    );
    for name in names {
        assert!(
            program.contains(&format!("{name}(")),
            "{name} gives something, and its errors are not tested"
        );
    }
}

fn compiles(folder: &str, language: &str, standard: &str, headers: &[&str]) {
    let include = seatmeter_e2e::root().join("include");
    let mut compiler = Command::new("cc");
    compiler.args([
        "-x",
        language,
        &format!("-std={standard}"),
        "-fsyntax-only",
        "-Wall",
        "-Wextra",
    ]);
    compiler
        .args(["-Wpedantic", "-Werror", "-I"])
        .arg(include.join(folder))
        .arg("-I")
        .arg(&include)
        .arg("-");
    let mut child = compiler.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = headers.iter().map(|header| format!("#include \"{header}\"\n")).collect();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{lines}int main(void) {{ return 0; }}\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{folder} {standard} {headers:?}: {message}");
}

#[test]
fn headers_stand_alone_in_any_order_and_twice() {
    let (reader, common, own) = ("DynamsoftBarcodeReader.h", "DynamsoftCommon.h", "seatmeter.h");
    for (language, standard) in [
        ("c", "c99"),
        ("c", "c11"),
        ("c", "gnu17"),
        ("c++", "c++11"),
        ("c++", "c++14"),
        ("c++", "c++20"),
    ] {
        for headers in [
            &[reader][..],
            &[common],
            &[reader, common],
            &[common, reader, common, reader],
            &[own, reader],
            &[reader, own],
        ] {
            compiles("dbr", language, standard, headers);
            compiles("dbr9", language, standard, headers);
        }
    }
}
