//! The tests that `docs/host-contract.md` names exist.

use std::collections::BTreeSet;
use std::path::Path;

/// Return the names of the test functions in all source files below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line == "#[test]" {
                    let name = lines.by_ref().find_map(|line| line.strip_prefix("fn ")).unwrap();
                    found.insert(name.split('(').next().unwrap().to_owned());
                }
            }
        }
    }
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = seatmeter_e2e::root();
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_below(&root.join(folder), &mut known);
    }
    let page = std::fs::read_to_string(root.join("docs/host-contract.md")).unwrap();
    let promises: Vec<_> = page.split("\n### ").skip(1).collect();
    assert!(promises.len() > 40, "{} promises were found", promises.len());
    for promise in promises {
        // The next part of the page has a heading of its own.
        let promise = promise.split("\n## ").next().unwrap();
        let (title, _) = promise.split_once('\n').unwrap();
        let (_, held_by) =
            promise.split_once("\nHeld by ").unwrap_or_else(|| panic!("no test holds: {title}"));
        let names: Vec<_> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds: {title}");
        for name in names {
            assert!(known.contains(name), "there is no test {name}");
        }
    }
}
