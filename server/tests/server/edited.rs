//! License files in a database that its operator has edited: only what the vendor has signed
//! counts.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::message::*;
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::signature::Signed;
use seatmeter_server::operator::commands::{ItemRow, Listing, View};

use crate::support::*;

const OTHER_CODE: &str = "OTHER-CODE";

/// A server with an item of 4 instances for each of two organizations; the files of the first are
/// then edited.
fn two_organizations() -> TestServer {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    server.import(&license_file("other", vec![item("others", 4)]), Some(OTHER_CODE)).unwrap();
    server
}

fn other(seats: u32) -> AuthorizationRequest {
    AuthorizationRequest { handshake_code: OTHER_CODE.into(), ..request(&id(), seats) }
}

fn items(server: &TestServer) -> Vec<ItemRow> {
    let Listing::Items(items) = server.wait(server.licensing.look(View::Items)).unwrap() else {
        panic!("another list")
    };
    items
}

/// A statement that puts this signed file in the place of that of `acme`.
fn put(envelope: &Signed, root_key: &str) -> String {
    format!(
        "UPDATE license_file SET payload = '{}', key_id = '{}', signature = '{}', root_key = \
         '{root_key}' WHERE file_id = 'file-of-acme'",
        envelope.payload, envelope.key_id, envelope.signature
    )
}

fn raised() -> LicenseFile {
    license_file("acme", vec![item("instances", 400)])
}

#[test]
fn a_file_that_was_edited_makes_its_items_not_ready_and_all_others_go_on() {
    let stranger = key(9);
    let resigned = Signed::seal(&raised(), &stranger).unwrap();
    let vendor_key = vendor().public().to_string();
    let of_other = license_file("other", vec![item("instances", 400)]);
    for (edit, why) in [
        (
            "UPDATE license_file SET payload = replace(payload, '\"quota\":4', '\"quota\":400') \
             WHERE file_id = 'file-of-acme'"
                .to_owned(),
            "signature of the license file is wrong",
        ),
        (
            "UPDATE license_file SET signature = replace(signature, '0', '1') WHERE file_id = \
             'file-of-acme'"
                .to_owned(),
            "signature of the license file is wrong",
        ),
        (
            "UPDATE license_file SET signature = 'x' WHERE file_id = 'file-of-acme'".to_owned(),
            "malformed",
        ),
        (
            format!(
                "UPDATE license_file SET root_key = '{}' WHERE file_id = 'file-of-acme'",
                stranger.public()
            ),
            "since its first file",
        ),
        (put(&resigned, &stranger.public().to_string()), "since its first file"),
        (put(&resigned, &vendor_key), "signed by key"),
        (
            put(&Signed::seal(&of_other, &vendor()).unwrap(), &vendor_key),
            "it is file \"file-of-other\" of organization \"other\", in the place of another",
        ),
    ] {
        let server = two_organizations();
        let device = id();
        let license = server.authorize(&request(&device, 1)).unwrap();
        execute(&server.location, &edit);

        let problem = server.authorize(&request(&id(), 1)).unwrap_err();
        assert_eq!((problem.status, problem.code), (503, ErrorCode::STANDBY_NOT_READY), "{edit}");
        for part in ["item \"instances\"", "license file \"file-of-acme\"", why, "imports the file"]
        {
            assert!(problem.detail.contains(part), "{part}: {}", problem.detail);
        }
        assert_eq!(server.authorize(&other(4)).unwrap().seats, 4);

        // Nothing is booked by the edited file, and nothing is lost: the device keeps it.
        let slot = START as u32 / 180;
        let sent = segment(&id(), &license.license_id, vec![scans(slot, 2, 5)]);
        let refused = server.report(&report(&device, vec![sent.clone()])).refused;
        assert_eq!(refused[0].code, SegmentFault::ItemNotReady);
        assert!(refused[0].reason.contains("its license file cannot be trusted"), "{refused:?}");

        let ready = Request::new("GET", "/readyz").send(server.address);
        let ready_body = ready.json::<serde_json::Value>();
        let told = ready_body["license_files_not_ready"].as_array().unwrap();
        assert_eq!((ready.status, told.len()), (200, 1));
        assert!(told[0].as_str().unwrap().starts_with("license file \"file-of-acme\""), "{told:?}");
        let items = items(&server);
        let instances = items.iter().find(|row| row.item_id == "instances").unwrap();
        assert!(instances.item.is_none() && instances.not_ready.as_ref().unwrap().contains(why));
        let others = items.iter().find(|row| row.item_id == "others").unwrap();
        assert!(others.not_ready.is_none() && others.item.as_ref().unwrap().quota == 4);

        // The file as the vendor signed it is the remedy, also the same issue.
        server.import(&license_file("acme", vec![item("instances", 4)]), None).unwrap();
        assert_eq!(server.authorize(&request(&device, 4)).unwrap().seats, 4);
        assert_eq!(server.report(&report(&device, vec![sent])).recorded.len(), 1);
        let ready = Request::new("GET", "/healthz").send(server.address);
        assert_eq!(ready.status, 200);
        let replaced = "SELECT count(*) FROM audit WHERE detail LIKE 'in the place of one%'";
        assert_eq!(server.number(replaced), 1);
    }
}

#[test]
fn of_the_items_of_a_code_those_that_are_ready_are_granted() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let second =
        LicenseFile { file_id: "second".into(), ..license_file("acme", vec![item("more", 2)]) };
    server.import(&second, None).unwrap();
    let both = r#"{"item_ids":["instances","more"],"own_order":true}"#;
    let path = format!("/admin/v1/handshake-codes/{CODE}/items");
    assert_eq!(Request::json("PUT", &path, both).send(server.address).status, 200);
    execute(
        &server.location,
        "UPDATE license_file SET payload = payload || ' ' WHERE file_id = 'file-of-acme'",
    );
    assert_eq!(server.authorize(&request(&id(), 2)).unwrap().item_id, "more");
    let problem = server.authorize(&request(&id(), 3)).unwrap_err();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY, "the other item might have had seats");
}

#[test]
fn an_item_that_was_moved_to_another_file_is_not_in_it() {
    let server = two_organizations();
    execute(
        &server.location,
        "UPDATE license_item SET file_id = 'file-of-other' WHERE item_id = 'instances'",
    );
    let problem = server.authorize(&request(&id(), 1)).unwrap_err();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY);
    assert!(problem.detail.contains("as the vendor signed it has no such item"), "{problem:?}");
}

#[test]
fn what_somebody_edits_beside_the_server_counts_from_the_next_request_on() {
    let server = two_organizations();
    let ask = || server.authorize(&request(&id(), 1));
    ask().unwrap();
    for (edit, mend, code) in [
        (
            "UPDATE license_item SET revoked_at = 1 WHERE item_id = 'instances'",
            "UPDATE license_item SET revoked_at = NULL",
            ErrorCode::REVOKED,
        ),
        (
            "DELETE FROM handshake_item WHERE item_id = 'instances'",
            "INSERT INTO handshake_item SELECT handshake_code, 1, 'instances' FROM handshake_code \
             WHERE handshake_code <> 'OTHER-CODE'",
            ErrorCode::NO_ITEM_FITS,
        ),
    ] {
        execute(&server.location, edit);
        assert_eq!(ask().unwrap_err().code, code, "{edit}");
        execute(&server.location, mend);
        ask().unwrap();
    }
}

#[test]
fn what_a_file_permits_stands_nowhere_else_in_the_database() {
    let scans = LicenseItem::new(
        "scans",
        seatmeter_protocol::charge_way::ChargeWay::BarcodeScan,
        777_777,
        START,
        EXPIRY,
    );
    let server = TestServer::with_items(vec![scans]);
    server.authorize(&request(&id(), 1)).unwrap();
    let elsewhere = match &server.location {
        seatmeter_server::store::Location::File(path) => {
            let database = rusqlite::Connection::open(path).unwrap();
            let mut tables = database
                .prepare(
                    "SELECT name FROM sqlite_schema
                      WHERE type = 'table' AND name <> 'license_file'",
                )
                .unwrap();
            let names: Vec<String> =
                tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            names.into_iter().filter(|name| dump(&database, name).contains("777777")).collect()
        }
        // The tables have the same columns.
        seatmeter_server::store::Location::Url(_) => Vec::<String>::new(),
    };
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// Return all values of a table.
fn dump(database: &rusqlite::Connection, table: &str) -> String {
    let mut rows = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = rows.column_count();
    let mut text = String::new();
    let mut found = rows.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        for column in 0..columns {
            text.push_str(&format!("{:?} ", row.get_ref(column).unwrap()));
        }
    }
    text
}
