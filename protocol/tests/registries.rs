//! The tables of `docs/wire.md` that are made from the tables of the code.
//!
//! `UPDATE_WIRE=1 cargo test -p seatmeter-protocol --test registries` writes them anew.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

mod page;

use page::Page;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::{DeviceAction, ERRORS, ErrorEntry};
use seatmeter_protocol::license_module::LICENSE_MODULES;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::page_module::{PAGE_MODULE_MAX, PAGE_MODULES};
use seatmeter_protocol::product::{PRODUCTS, PRODUCTS_ALL};
use seatmeter_protocol::segment_refusal::SEGMENT_FAULTS;
use seatmeter_protocol::symbology::SYMBOLOGIES;
use serde::Serialize;

/// Return a table in Markdown.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.map(str::to_owned)) + &line(&head.map(|_| "---".to_owned()));
    text.extend(rows.into_iter().map(|cells| line(&cells)));
    text
}

fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

/// Return the name of a value on the wire.
fn name(value: impl Serialize) -> String {
    code(serde_json::to_value(value).unwrap().as_str().unwrap())
}

fn yes_or_no(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

/// Return whether the grant ends with this number, what a client does with it, and when it asks
/// again.
fn action(entry: &ErrorEntry) -> [String; 3] {
    let (ends, does, again) = match entry.action {
        DeviceAction::PassesBy => ("no", "shows it", "in the next slot"),
        DeviceAction::AsksOther => ("no", "asks the other server", "after 2 s, doubling to 60 s"),
        DeviceAction::EndsGrant => ("yes, for every program", "stops work", "in the next slot"),
        DeviceAction::EndsForProgram => {
            ("for the program that asked", "stops work of this program", "in the next slot")
        }
        DeviceAction::TakesFreshUuid => (
            "no",
            "takes a fresh UUID and key (status 403, and not of a report)",
            "at once, under these",
        ),
    };
    [ends, does, again].map(str::to_owned)
}

fn errors() -> String {
    let of_server = ERRORS.iter().filter(|entry| !entry.code.statuses().is_empty());
    let rows = of_server.map(|entry| {
        let statuses: Vec<_> = entry.code.statuses().iter().map(u16::to_string).collect();
        let [ends, does, again] = action(entry);
        let reports = yes_or_no(entry.code.refuses_reports());
        let (number, statuses) = (entry.code.to_string(), statuses.join(", "));
        let signed = "yes".to_owned();
        [number, entry.name.to_owned(), statuses, signed, reports, ends, does, again]
    });
    let head = [
        "number",
        "name",
        "status",
        "signed",
        "also for reports",
        "ends the grant",
        "the client",
        "it asks again",
    ];
    table(head, rows)
}

fn kinds() -> String {
    let row = |kind: UsageKind, what: &str, counted: &str| {
        [name(kind), kind.number().to_string(), what.to_owned(), counted.to_owned()]
    };
    let rows = [UsageKind::Scan, UsageKind::Page, UsageKind::Image].map(|kind| match kind {
        UsageKind::Scan => row(kind, "number of the symbology", "different barcodes: symbology and content. The same one twice in an image is one"),
        UsageKind::Page => row(kind, "number of the page module", "pages of the module"),
        UsageKind::Image => row(kind, "0", "images and frames that were decoded, with or without a barcode. They make a device active in the slot, and are not billed"),
    });
    table(["kind", "number in exports", "`what`", "a total counts"], rows)
}

fn segments() -> String {
    let rows = SEGMENT_FAULTS.iter().map(|entry| {
        let others = yes_or_no(entry.records_other_slots);
        [code(entry.code), entry.meaning.to_owned(), others, yes_or_no(entry.may_pass)]
    });
    table(["code", "meaning", "the other slots are recorded", "may pass"], rows)
}

fn products() -> String {
    let rows = PRODUCTS.map(|(name, bit)| [bit.to_string(), code(name)]);
    let all = [[PRODUCTS_ALL.to_string(), "all, also those that are still to come".to_owned()]];
    table(["bits", "product"], rows.into_iter().chain(all))
}

#[test]
fn the_registries_of_the_page_are_those_of_the_code() {
    let mut page = Page::open();
    page.part("errors", &errors());
    let rows = ChargeWay::ALL.map(|(way, number)| {
        let usual: Vec<_> = way.usual_deployment_types().iter().map(name).collect();
        [name(way), number.to_string(), usual.join(" ")]
    });
    page.part("charge ways", &table(["name", "number in C", "usual deployment types"], rows));
    let rows = DeploymentType::ALL.map(|(kind, number)| [name(kind), number.to_string()]);
    page.part("deployment types", &table(["name", "number in C"], rows));
    page.part("products", &products());
    let rows = LICENSE_MODULES.map(|(name, number)| [code(name), number.to_string()]);
    page.part("modules", &table(["name", "number in C"], rows));
    let rows = PAGE_MODULES
        .map(|(name, number)| [number.to_string(), code(name), code(name.to_lowercase())]);
    page.part(
        "page modules",
        &table(["number", "name in `modules`", "key in `page_quotas`"], rows),
    );
    assert_eq!(PAGE_MODULE_MAX, 63, "the page says so");
    page.part("kinds", &kinds());
    let rows = SYMBOLOGIES.map(|(name, number)| [number.to_string(), code(name)]);
    page.part("symbologies", &table(["number", "name"], rows));
    page.part("segments", &segments());
    page.close("registries");
}

/// Return the names of the JSON files in a folder of this crate, without their ending.
fn files(folder: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name());
    files.filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned())).collect()
}

#[test]
fn the_page_lists_every_schema_and_every_file_of_vectors() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md"));
    let (_, list) = page.as_ref().unwrap().split_once("## Schemas and test vectors").unwrap();
    let (schemas, vectors) = (files("schema"), files("tests/vectors"));
    assert!(schemas.len() > 10 && vectors.len() > 10);
    for name in schemas.iter().filter(|name| *name != "openapi") {
        assert!(list.contains(&format!("`{name}`")), "{name}");
    }
    for name in vectors {
        assert!(list.contains(&format!("| `{name}.json` |")), "{name}");
    }
}
