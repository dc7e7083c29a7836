//! Rules of the whole tree: the order of the folders, the use of the kernel, the width of lines,
//! and the paths that pages name.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::{files_in, root};

const WIDTH: usize = 100;

/// The crates with ordered folders, as the page names them.
const CRATES: [&str; 3] = ["src", "server/src", "protocol/src"];

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Return the path of a file within the tree.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let files = files_in(&root().join(folder), "rs");
    assert!(files.len() > 10, "{folder} has only {} files", files.len());
    files
}

/// Return the floors of a crate, the highest first, as docs/design.md lists them after "CRATE:".
fn floors(folder: &str) -> Vec<Vec<String>> {
    let page = text(&root().join("docs/design.md"));
    let start =
        page.find(&format!("\n{folder}: ")).unwrap_or_else(|| panic!("no floors: {folder}"));
    let rest = &page[start + folder.len() + 3..];
    let end = rest.find("\n\n").into_iter().chain(rest.find("\n```")).min().unwrap();
    let floor = |names: &str| names.split(',').map(|name| name.trim().to_owned()).collect();
    rest[..end].replace('\n', " ").split('>').map(floor).collect()
}

/// Return the part to which a file belongs: its folder or, at the top, the file itself. The
/// commands of operators are a floor of their own.
fn part_of(path: &str) -> String {
    for floor in OWN_FLOORS {
        if path.starts_with(&floor.replace("::", "/")) {
            return floor.to_owned();
        }
    }
    path.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

/// The parts of a folder that have a floor of their own.
const OWN_FLOORS: [&str; 2] = ["operator::commands", "operator::queries"];

/// Return the code of a file without its comments and its tests.
fn product_code(path: &Path) -> String {
    let whole = text(path);
    let code = whole.split("#[cfg(test)]\nmod tests").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

fn is_of_tests(path: &str) -> bool {
    ["tests", "checker", "test_support"].iter().any(|word| path.contains(word))
}

#[test]
fn no_folder_imports_from_one_that_is_not_below_it() {
    for folder in CRATES {
        let floors = floors(folder);
        let mut heights = BTreeMap::new();
        for (depth, names) in floors.iter().enumerate() {
            heights.extend(names.iter().map(|name| (name.as_str(), depth)));
        }
        for path in sources(folder) {
            let within = path.strip_prefix(root().join(folder)).unwrap().display().to_string();
            let part = part_of(&within);
            if is_of_tests(&within) || ["lib", "main"].contains(&part.as_str()) {
                continue;
            }
            let code = product_code(&path);
            assert!(!code.contains("use crate::{"), "{within}: one `use` for each folder");
            for rest in code.split("crate::").skip(1) {
                let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
                let mut other: String = rest.chars().take_while(|c| is_of_name(*c)).collect();
                if let Some(floor) = OWN_FLOORS.iter().find(|floor| rest.starts_with(**floor)) {
                    (*floor).clone_into(&mut other);
                }
                let (Some(mine), Some(theirs)) =
                    (heights.get(part.as_str()), heights.get(other.as_str()))
                else {
                    assert!(heights.contains_key(part.as_str()), "{folder}/{part} has no floor");
                    continue;
                };
                assert!(
                    other == part || mine < theirs,
                    "{folder}/{within} imports from {other}, which is not below {part}"
                );
            }
        }
    }
}

#[test]
fn the_kernel_is_named_in_os_and_in_the_c_layer_alone() {
    for path in sources("src") {
        let name = name(&path);
        let may = ["src/os/", "src/capi/"].iter().any(|folder| name.starts_with(folder));
        assert!(
            may || is_of_tests(&name) || !product_code(&path).contains("libc::"),
            "{name} names libc: what only the kernel gives belongs in src/os"
        );
    }
}

/// Return whether a line may be wider: a drawing or a table of a comment, or data that cannot be
/// broken.
fn may_be_wide(line: &str) -> bool {
    let line = line.trim_start();
    let comment = line.strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim());
    match comment {
        Some(comment) => {
            comment.starts_with('|')
                || comment.contains("  ")
                || comment.contains(['▶', '─', '…', '┐', '+'])
        }
        // rustfmt breaks all other code.
        None => line.contains(['"', '#', '(']),
    }
}

#[test]
fn no_line_of_prose_or_code_is_wider_than_100_columns() {
    let mut wide = Vec::new();
    for folder in ["src", "server", "protocol", "e2e", "tests", "dbr", "benches", "examples"] {
        for path in files_in(&root().join(folder), "rs") {
            for (number, line) in text(&path).lines().enumerate() {
                if line.chars().count() > WIDTH && !may_be_wide(line) {
                    wide.push(format!("{}:{}", name(&path), number + 1));
                }
            }
        }
    }
    assert!(wide.is_empty(), "these lines are wider than {WIDTH} columns: {wide:#?}");
}

/// The pages for people.
fn pages() -> Vec<PathBuf> {
    let mut pages = files_in(&root().join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page)));
    pages
}

/// Return the paths in backticks that name a file of the tree, with a folder and an ending.
fn named_paths(page: &str) -> Vec<&str> {
    let spans = page.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| {
        // Capitals mean a name that the reader chooses.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let is_open = span.contains("NAME") || span.contains("NN_");
        let endings = [".rs", ".md", ".c", ".cpp", ".sh", ".h", ".toml", ".txt", ".patch"];
        span.contains('/')
            && span.chars().all(is_plain)
            && !is_open
            && !span.starts_with(['/', '.'])
            && endings.iter().any(|ending| span.ends_with(ending))
    };
    spans.filter(is_path).collect()
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let (mut count, mut missing) = (0, Vec::new());
    for page in pages() {
        for path in named_paths(&text(&page)) {
            // A page about one part may name files relative to the folder of the part.
            let from = ["", "src", "server/src", "protocol/src", "docs", "tests", "e2e", "include"];
            let is_there = from.iter().any(|folder| root().join(folder).join(path).exists());
            if !is_there {
                missing.push(format!("{}: {path}", name(&page)));
            }
            count += 1;
        }
    }
    assert!(missing.is_empty(), "these are not there: {missing:#?}");
    assert!(count > 50, "only {count} paths were found");
}

#[test]
fn the_design_page_says_why_each_dependency_is_there() {
    let page = text(&root().join("docs/design.md"));
    let section = page.split("\n## Dependencies\n").nth(1).expect("docs/design.md names them");
    let section = section.split("\n## ").next().unwrap();
    let (mut count, mut missing) = (0, Vec::new());
    for package in ["", "protocol", "server", "e2e", "dbr", "dbr/name", "static"] {
        let manifest = text(&root().join(package).join("Cargo.toml"));
        for table in manifest.split("\n[").filter(|table| {
            ["dependencies]", "dev-dependencies]", "build-dependencies]"]
                .iter()
                .any(|name| table.starts_with(name))
        }) {
            let lines = table.lines().skip(1).filter(|line| line.contains('='));
            for line in lines.filter(|line| !line.starts_with(['#', ' '])) {
                let name = line.split([' ', '.', '=']).next().unwrap();
                if name.starts_with("seatmeter") {
                    continue;
                }
                if !section.contains(&format!("`{name}`")) {
                    missing.push(format!("{package}/Cargo.toml: {name}"));
                }
                count += 1;
            }
        }
    }
    assert!(missing.is_empty(), "docs/design.md does not say why these are there: {missing:#?}");
    assert!(count > 60, "only {count} dependencies were found");
}

/// Return what a call of `cargo test` in a page or a script selects: a test program, or `None` for
/// the tests inside the crates, and the filter, which may be empty.
fn selected(call: &str) -> Option<(Option<&str>, &str)> {
    let words: Vec<&str> = call.split_whitespace().collect();
    let at = words.iter().position(|word| ["--test", "--lib"].contains(word))?;
    let (program, rest) = match words[at] {
        "--test" => (Some(*words.get(at + 1)?), &words[at + 2..]),
        _ => (None, &words[at + 1..]),
    };
    let is_name = |word: &&&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    let end = rest.iter().rposition(|word| word.starts_with('-')).map_or(0, |last| last + 1);
    let filter = rest.iter().take(1).chain(&rest[end..]).find(is_name);
    Some((program, filter.copied().unwrap_or_default()))
}

/// Return the module paths of files below `folder`, each with the names of the functions in it.
fn modules(folder: &Path) -> Vec<String> {
    let files = if folder.is_dir() { files_in(folder, "rs") } else { vec![folder.into()] };
    let path = |file: &Path| {
        let within = file.strip_prefix(folder).unwrap().with_extension("");
        within.display().to_string().trim_end_matches("/mod").replace('/', "::")
    };
    let names = |file: &Path| {
        let code = text(file);
        let names = code.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        names.fold(String::new(), |all, name| format!("{all} {name}"))
    };
    files.iter().map(|file| format!("{}::{}", path(file), names(file))).collect()
}

#[test]
fn every_test_that_a_page_or_a_script_names_is_there() {
    let mut pages =
        [files_in(&root().join("docs"), "md"), files_in(&root().join("scripts"), "sh")].concat();
    pages.extend(["README.md", "CONTRIBUTING.md", "Makefile"].map(|page| root().join(page)));
    let (mut count, mut missing) = (0, Vec::new());
    for page in pages {
        let text = text(&page);
        for rest in text.split("cargo test ").skip(1) {
            let call = rest.split(['`', '\n', '"', ')']).next().unwrap();
            // Two spaces begin an explanation.
            let call = call.split("  ").next().unwrap();
            let Some((program, filter)) = selected(call) else { continue };
            let places = match program {
                Some(program) => ["tests", "server/tests", "protocol/tests", "e2e/tests"]
                    .map(|folder| root().join(folder).join(program))
                    .into_iter()
                    .flat_map(|place| [place.with_extension("rs"), place])
                    .filter(|place| place.exists())
                    .collect(),
                None => CRATES.map(|folder| root().join(folder)).to_vec(),
            };
            let mut modules = places.iter().flat_map(|place| modules(place));
            if !modules.any(|module| module.contains(filter)) {
                missing.push(format!("{}: cargo test {call}", name(&page)));
            }
            count += 1;
        }
    }
    assert!(missing.is_empty(), "these are not there: {missing:#?}");
    assert!(count > 30, "only {count} calls were found");
}

/// Return the commands of a script, or those in the blocks and between the backticks of a page.
fn commands(text: &str, is_page: bool) -> Vec<&str> {
    if !is_page {
        return text.lines().map(str::trim).collect();
    }
    let parts = text.split("```").enumerate();
    let commands = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split('`').skip(1).step_by(2).collect::<Vec<_>>(),
        _ => part.lines().map(str::trim).collect(),
    });
    commands.collect()
}

fn targets(makefile: &str) -> Vec<&str> {
    makefile.lines().filter_map(|line| line.strip_prefix(".PHONY: ")).collect()
}

#[test]
fn every_target_that_a_page_or_a_script_names_is_there() {
    let makefile = text(&root().join("Makefile"));
    let targets = targets(&makefile);
    let mut files = [pages(), files_in(&root().join("scripts"), "sh")].concat();
    files.extend(["CHANGELOG.md", ".ci/run"].map(|file| root().join(file)));
    let (mut count, mut missing) = (0, Vec::new());
    for file in files {
        let text = text(&file);
        for call in commands(&text, name(&file).ends_with(".md")) {
            let Some(words) = call.strip_prefix("make ") else { continue };
            // Two spaces or a sharp begin an explanation; a value in quotes may have spaces.
            let words = words.split("  ").next().unwrap();
            let words: String = words.split('"').step_by(2).collect();
            for word in words.split_whitespace().take_while(|word| *word != "#") {
                let is_target = !word.contains('=') && !word.starts_with(['-', '>']);
                if is_target && !targets.contains(&word) {
                    missing.push(format!("{}: {call}", name(&file)));
                }
                count += usize::from(is_target);
            }
        }
    }
    assert!(missing.is_empty(), "these are not there: {missing:#?}");
    assert!(count > 60, "only {count} were found");
}

#[test]
fn make_help_names_every_target() {
    let makefile = text(&root().join("Makefile"));
    let targets = targets(&makefile);
    assert!(targets.len() > 20, "{targets:?}");
    let help = Command::new("make")
        .args(["--no-print-directory", "help"])
        .current_dir(root())
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let named: Vec<_> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(named, targets);
}

#[test]
fn every_module_has_the_version_of_the_library() {
    let version = env!("CARGO_PKG_VERSION");
    for (path, line) in [
        ("bindings/python/pyproject.toml", format!("version = \"{version}\"")),
        ("bindings/node/package.json", format!("\"version\": \"{version}\"")),
        ("bindings/web/package.json", format!("\"version\": \"{version}\"")),
    ] {
        let file = text(&root().join(path));
        assert!(file.contains(&line), "{path} has another version than Cargo.toml: {version}");
    }
}
