//! The audit log as a chain: what an operator who edits his database leaves for others to see.

use seatmeter_server::audit_chain::{AuditHead, NO_HASH, hash};
use seatmeter_server::operator::commands::{AuditRow, Change, Listing, View};
use seatmeter_server::store::AuditReader;

use crate::cli::{failure, stdout};
use crate::support::*;

/// A server whose log has a line for the import and for each of these codes.
fn server_with_codes(codes: &[&str]) -> TestServer {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    for code in codes {
        server.wait(server.licensing.make_code((*code).into(), "acme".into(), "ann")).unwrap();
    }
    server
}

fn verify(server: &TestServer, wanted: Option<&AuditHead>) -> Result<AuditHead, String> {
    let wanted = wanted.map(|head| head.hash.clone());
    let reader = AuditReader::open(&server.location).unwrap();
    reader.verify(wanted).map_err(|e| e.to_string())
}

fn lines(server: &TestServer) -> Vec<AuditRow> {
    let view = View::Audit { before: None };
    let Listing::Audit(mut lines) = server.wait(server.licensing.look(view)).unwrap() else {
        panic!("another list")
    };
    lines.reverse();
    lines
}

#[test]
fn each_line_carries_the_hash_over_the_line_before_and_the_admin_api_shows_it() {
    let server = server_with_codes(&["ONE", "TWO"]);
    let answer = Request::json("GET", "/admin/v1/audit", "").send(server.address);
    let shown = answer.json::<Vec<serde_json::Value>>();
    let lines = lines(&server);
    assert_eq!(lines.len(), 3);
    let mut before = NO_HASH.to_owned();
    for (line, shown) in lines.iter().zip(shown.iter().rev()) {
        assert_eq!(line.hash, hash(&before, line));
        assert_eq!(shown["hash"], line.hash.as_str());
        before.clone_from(&line.hash);
    }
    let head = verify(&server, None).unwrap();
    assert_eq!(head, AuditHead { audit_id: 3, hash: before });
}

#[test]
fn a_change_that_is_refused_leaves_no_line_and_no_gap() {
    let server = server_with_codes(&["ONE"]);
    let again = server.licensing.make_code("ONE".into(), "acme".into(), "ann");
    server.wait(again).unwrap_err();
    server.wait(server.licensing.make_code("TWO".into(), "acme".into(), "ann")).unwrap();
    assert_eq!(verify(&server, None).unwrap().audit_id, 3);
}

#[test]
fn the_first_line_that_was_edited_in_the_database_is_named() {
    for (edit, told) in [
        ("UPDATE audit SET detail = 'organization other' WHERE audit_id = 2", "line 2 (make"),
        (
            "UPDATE audit SET actor = 'bob' WHERE audit_id = 3",
            "line 3 (make handshake code by bob)",
        ),
        ("UPDATE audit SET at = at + 1 WHERE audit_id = 1", "line 1 (import license file"),
        ("DELETE FROM audit WHERE audit_id = 2", "line 2 is missing"),
        ("DELETE FROM audit WHERE audit_id = 1", "line 1 is missing"),
        ("DELETE FROM audit WHERE audit_id = 4", "line 3 is the last one, but the head"),
        ("DELETE FROM audit", "line 0 is the last one, but the head"),
        (
            "DELETE FROM audit WHERE audit_id = 2; \
             UPDATE audit SET audit_id = 2 WHERE audit_id = 3; \
             UPDATE audit SET audit_id = 3 WHERE audit_id = 4; \
             UPDATE audit_head SET audit_id = 3",
            "line 2 (",
        ),
        (
            "INSERT INTO audit SELECT 5, at, 'eve', action, subject, detail, organization_id, hash FROM audit \
             WHERE audit_id = 4",
            "line 5 (make handshake code by eve)",
        ),
    ] {
        let server = server_with_codes(&["ONE", "TWO", "THREE"]);
        execute(&server.location, edit);
        let error = verify(&server, None).unwrap_err();
        assert!(error.starts_with("the audit log is broken: ") && error.contains(told), "{error}");
    }
}

#[test]
fn a_log_that_was_cut_together_with_its_head_is_noticed_by_a_head_noted_elsewhere() {
    let server = server_with_codes(&["ONE", "TWO"]);
    let head = verify(&server, None).unwrap();
    let before = lines(&server)[1].hash.clone();
    execute(
        &server.location,
        &format!(
            "DELETE FROM audit WHERE audit_id = 3; \
             UPDATE audit_head SET audit_id = 2, hash = '{before}'"
        ),
    );
    assert_eq!(verify(&server, None).unwrap().audit_id, 2, "the chain that is left is whole");
    let error = verify(&server, Some(&head)).unwrap_err();
    assert!(error.contains(&head.hash) && error.contains("removed from the end"), "{error}");
    // What is done afterwards continues the chain, and hides nothing.
    let revoke = Change::RevokeItem { item_id: "instances".into() };
    server.wait(server.licensing.change(revoke, "ann")).unwrap();
    assert!(verify(&server, Some(&head)).is_err());
}

#[test]
fn the_head_in_a_backup_shows_that_the_log_was_cut_since() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let backup = folder.path().join("backup");
    let backup = backup.to_str().unwrap();
    stdout(&data, &["init", "--demo"]);
    stdout(&data, &["token", "create", "ann", "--role", "admin"]);
    stdout(&data, &["backup", backup]);
    stdout(&data, &["token", "create", "bob", "--role", "admin"]);
    let told = stdout(&data, &["audit", "verify", "--backup", backup]);
    assert!(told.contains("whole") && told.contains("the line that was noted"), "{told}");
    let head = told.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(stdout(&data, &["audit", "list"]).lines().next().unwrap().ends_with(&head));
    assert!(stdout(&data, &["audit", "list", "--json"]).contains(&format!("\"hash\": \"{head}\"")));
    assert!(stdout(&data, &["audit", "verify", "--head", &head]).contains("whole"));
    // A restored server continues the chain of the backup.
    stdout(&other, &["restore", backup]);
    assert!(stdout(&other, &["audit", "verify", "--backup", backup]).contains("whole"));
    assert!(
        failure(&other, &["audit", "verify", "--head", &head]).contains("no line has the hash")
    );
    let database = seatmeter_server::store::Location::File(data.join("seatmeter.db"));
    execute(
        &database,
        "DELETE FROM audit WHERE audit_id > 1; \
         UPDATE audit_head SET audit_id = 1, hash = (SELECT hash FROM audit)",
    );
    assert!(stdout(&data, &["audit", "verify"]).contains("whole: 1 lines"));
    let told = failure(&data, &["audit", "verify", "--backup", backup]);
    assert!(told.contains("no line has the hash"), "{told}");
}
