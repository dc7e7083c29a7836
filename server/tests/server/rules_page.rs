//! `docs/rules.md` has a section for each charge way, and each section that a scenario names.

use std::collections::BTreeSet;
use std::path::Path;

use seatmeter_protocol::charge_way::ChargeWay;

/// Return a text file of the project, by its path from the root.
fn text(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// Return the numbers of the page's sections.
fn sections(page: &str) -> BTreeSet<u32> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    headings.filter_map(|heading| heading.split_once(". ")?.0.parse().ok()).collect()
}

/// Return the numbers that follow `RULES §` in a scenario.
fn named(scenario: &str) -> BTreeSet<u32> {
    let after = scenario.split("RULES §").skip(1);
    after
        .map(|rest| rest.chars().map_while(|c| c.to_digit(10)).fold(0, |n, d| 10 * n + d))
        .collect()
}

#[test]
fn each_scenario_plays_a_section_that_the_page_of_the_rules_has() {
    let sections = sections(&text("docs/rules.md"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let named = named(&std::fs::read_to_string(&path).unwrap());
        let missing: Vec<_> = named.difference(&sections).collect();
        assert!(
            missing.is_empty(),
            "{} names sections {missing:?}, which are not there",
            path.display()
        );
        played.extend(named);
    }
    // Devices play seats on a device (3) and usage reports (6): the families tests/seats and
    // tests/usage.
    let unplayed: Vec<_> = sections.difference(&played).copied().collect();
    assert_eq!(unplayed, [3, 6], "sections that no scenario names");
}

#[test]
fn the_page_of_the_rules_has_a_heading_for_each_charge_way() {
    let page = text("docs/rules.md");
    let headings: Vec<_> = page.lines().filter(|line| line.starts_with("### Per ")).collect();
    for (way, number) in ChargeWay::ALL {
        let number = format!("({number})");
        assert!(
            headings.iter().any(|heading| heading.contains(&number)),
            "no heading has {way:?} {number}"
        );
    }
}
