//! Every statement about a license item names the item, so that the tables can be spread over
//! machines by it. The exceptions are listed with their reasons.

use std::collections::BTreeSet;

use seatmeter_e2e::postgres::Cluster;

use crate::on_postgres::or_skip;
use crate::plans::of_postgres;

const TABLES: &str = include_str!("../../migrations/postgres/0001_tables.sql");

/// Statements that do not name the item, by a part of their text, and why. A sharded engine asks
/// all shards for them.
const EXCEPTIONS: [(&str, &str); 12] = [
    ("count(DISTINCT device_uuid)", "scrapes count the devices of all items"),
    ("percents FROM alert_threshold", "a check of alerts is about all items"),
    ("local_license WHERE license_id", "a report names licenses, and need not show them"),
    ("found.license_id = wanted.license_id", "the same"),
    ("segment WHERE segment_id", "a segment that moves to another item is noticed"),
    ("found.segment_id = wanted.segment_id", "the same"),
    ("local_license WHERE device_uuid", "a device shows no license, and may have one of any item"),
    ("found.device_uuid = wanted.device_uuid", "the same"),
    ("FROM refusal WHERE device_", "an operator asks why a device was refused, under any item"),
    ("segment.device_uuid = $1 AND usage_day.day", "an operator asks about the clock of a device"),
    ("SELECT item_id, device_uuid, from_slot, seats FROM device_seats", "an export reads all"),
    ("FROM device WHERE device_uuid", "an operator names a device of whichever items"),
];

/// Return the tables whose key begins with the item. License items themselves are few, and would be
/// on every shard.
fn tables_of_items() -> BTreeSet<&'static str> {
    let is_by_item = |table: &&str| {
        let text = table.split(");").next().unwrap_or_default();
        text.contains("PRIMARY KEY (item_id,") || text.contains("item_id TEXT NOT NULL PRIMARY KEY")
    };
    let tables = TABLES.split("CREATE TABLE ").skip(1).filter(is_by_item);
    tables
        .filter_map(|table| table.split(' ').next())
        .filter(|name| *name != "license_item")
        .collect()
}

/// Return the words of a statement.
fn words(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

/// Return the tables of items that a statement is about, if it does not name the item.
fn names_no_item(statement: &str, tables: &BTreeSet<&str>) -> bool {
    let all = words(statement);
    if !all.iter().any(|word| tables.contains(word)) {
        return false;
    }
    let condition = match statement {
        // The rows that are written have the item in their first column.
        insert if insert.starts_with("INSERT") => insert,
        other => other.find(" WHERE ").or(other.find(" ON ")).map_or("", |at| &other[at..]),
    };
    let column = |word: &&str| word.rsplit('.').next() == Some("item_id");
    !words(condition).iter().any(column)
}

#[test]
fn every_statement_about_an_item_names_it_or_says_why_not() {
    let cluster = or_skip!(Cluster::start(false));
    let tables = tables_of_items();
    assert!(tables.len() > 12 && tables.contains("usage_day"), "{tables:?}");
    assert!(names_no_item("SELECT 1 FROM device WHERE device_uuid = $1", &tables));
    assert!(names_no_item("DELETE FROM device AS found USING x WHERE found.seats = 1", &tables));
    assert!(!names_no_item("SELECT 1 FROM device WHERE device.item_id = $1", &tables));
    let statements = of_postgres(&cluster);
    let offenders: Vec<_> = statements
        .iter()
        .filter(|statement| names_no_item(statement, &tables))
        .filter(|statement| !EXCEPTIONS.iter().any(|(part, _)| statement.contains(part)))
        .collect();
    assert!(offenders.is_empty(), "{offenders:#?}");
}
