//! `docs/rules.md` points at functions and tests; they must be there.

use std::path::Path;

#[test]
fn what_the_page_of_the_rules_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/rules.md")).unwrap();
    let named: Vec<_> = page.split('`').filter_map(|text| text.split_once(".rs::")).collect();
    assert!(named.len() > 50, "{} names were found", named.len());
    for (file, name) in named {
        let file = match file.strip_prefix("policy/") {
            Some(policy) => format!("server/src/policy/{policy}.rs"),
            None => format!("{file}.rs"),
        };
        let source = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        let is_there = ["(", "<"].iter().any(|end| source.contains(&format!("fn {name}{end}")));
        assert!(is_there, "docs/rules.md names {name} of {file}, which is not there");
    }
}
