//! The signed export: what a vendor can check with nothing but his root key.

use std::path::Path;
use std::process::Command;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::{Signed, SigningKey};
use seatmeter_server::keyring::Keyring;
use seatmeter_server::operator::IssuedFile;
use seatmeter_server::store::{UsageFilter, UsageRow};
use seatmeter_server::usage_bill::{
    ExportedItem, ExportedTotal, ExportedUse, SignedExport, UsageExport,
};
use serde_json::Value;

use crate::cli::{failure, stdout};
use crate::support::*;

/// A server with an item of scans, of which a device has reported 5.
fn counted() -> TestServer {
    let scans_item = LicenseItem::new("scans", ChargeWay::BarcodeScan, 100, START, EXPIRY);
    let server = TestServer::with_items(vec![scans_item]);
    let device = id();
    let license = server.authorize(&request(&device, 1)).unwrap();
    let slot = (START / 180) as u32;
    let sent = segment(&id(), &license.license_id, vec![scans(slot, 2, 3), scans(slot + 1, 2, 2)]);
    assert_eq!(server.report(&report(&device, vec![sent])).recorded.len(), 1);
    server
}

/// The export of all usage, as the command makes it.
fn export(server: &TestServer) -> UsageExport {
    let reader = server.location.read_usage().unwrap();
    let frame = reader.bill_frame(None).unwrap();
    let mut total = 0;
    let add = |row: UsageRow| {
        total += row.total;
        Ok(())
    };
    reader.for_each(UsageFilter::ALL, add).unwrap();
    UsageExport {
        version: 1,
        exported_at: START,
        from_slot: 0,
        until_slot: None,
        epoch: frame.epoch,
        epochs_begun: frame.epochs_begun,
        audit_head: frame.audit_head,
        license_files: frame.files.iter().map(|(envelope, _)| envelope.clone()).collect(),
        items: frame.items,
        totals: vec![ExportedTotal {
            handshake_code: CODE.into(),
            item_id: "scans".into(),
            kind: UsageKind::Scan,
            what: 2,
            total: total.try_into().unwrap(),
        }],
    }
}

fn files(export: &UsageExport) -> Vec<LicenseFile> {
    export.license_files.iter().map(|signed| signed.peek().unwrap()).collect()
}

fn seal(export: &UsageExport, key: SigningKey) -> SignedExport {
    SignedExport::seal(export, &files(export), &Keyring::new(key, vec![])).unwrap()
}

fn verify(signed: &SignedExport) -> Result<UsageExport, String> {
    signed.verify(&[vendor().public().clone()], &[]).map(|verified| verified.export)
}

#[test]
fn an_export_has_items_totals_epochs_and_the_head_of_the_audit_log() {
    let server = counted();
    let signed = seal(&export(&server), server_key());
    let verified = verify(&signed).unwrap();
    let used = vec![ExportedUse { kind: UsageKind::Scan, module: 0, used: 5 }];
    let item = ExportedItem {
        item_id: "scans".into(),
        file_id: "file-of-acme".into(),
        revoked_at: None,
        used,
    };
    assert_eq!((&verified.items, verified.totals[0].total), (&vec![item], 5));
    let heads = "SELECT audit_id FROM audit_head";
    assert_eq!(verified.audit_head.audit_id, server.number(heads));
    assert_eq!((verified.epoch.len(), verified.epochs_begun), (32, 0));
}

#[test]
fn a_report_that_comes_in_the_middle_of_an_export_is_in_none_of_its_sums() {
    let server = counted();
    let reader = server.location.read_usage().unwrap();
    let frame = reader.bill_frame(None).unwrap();
    let device = id();
    let license = server.authorize(&request(&device, 1)).unwrap();
    let more = segment(&id(), &license.license_id, vec![scans((START / 180) as u32, 2, 7)]);
    assert_eq!(server.report(&report(&device, vec![more])).recorded.len(), 1);
    let mut total = 0;
    let add = |row: UsageRow| {
        total += row.total;
        Ok(())
    };
    reader.for_each(UsageFilter::ALL, add).unwrap();
    assert_eq!((frame.items[0].used[0].used, total), (5, 5));
    assert_eq!(
        server.location.read_usage().unwrap().bill_frame(None).unwrap().items[0].used[0].used,
        12
    );
}

#[test]
fn a_changed_byte_of_an_export_is_refused_wherever_it_is() {
    let signed = seal(&export(&counted()), server_key());
    let text = signed.usage_export.as_bytes();
    for i in 0..text.len() {
        let mut forged = text.to_vec();
        forged[i] ^= 1;
        let Ok(usage_export) = String::from_utf8(forged) else { continue };
        let forged = SignedExport { usage_export, ..signed.clone() };
        assert!(verify(&forged).is_err(), "byte {i}");
    }
    let raised = signed.usage_export.replace("\"total\":5", "\"total\":4");
    let told = verify(&SignedExport { usage_export: raised, ..signed.clone() }).unwrap_err();
    assert!(told.contains("signature of the usage export is wrong"), "{told}");
    let cut = signed.usage_export[..signed.usage_export.len() - 9].to_owned();
    let told = verify(&SignedExport { usage_export: cut, ..signed }).unwrap_err();
    assert!(told.contains("cannot be read"), "{told}");
}

#[test]
fn an_export_of_another_server_or_of_another_vendor_is_named_as_such() {
    let server = counted();
    let made = export(&server);
    // Another server signs what it has no license file for.
    let mut stranger = seal(&made, server_key());
    let by_other = Signed::seal(&made, &key(7)).unwrap();
    stranger.signatures[0].key_id.clone_from(&by_other.key_id);
    stranger.signatures[0].signature.clone_from(&by_other.signature);
    let told = verify(&stranger).unwrap_err();
    assert!(told.contains("another server has made it") && told.contains(&by_other.key_id));
    // It takes the id of the right key.
    stranger.signatures[0].key_id = server_key().public().id();
    let told = verify(&stranger).unwrap_err();
    assert!(told.contains("signature of the usage export is wrong"), "{told}");
    // A signature of another kind of document by the right key.
    let mut other_kind = seal(&made, server_key());
    let file = Signed::seal(&files(&made)[0], &server_key()).unwrap();
    other_kind.signatures[0].signature = file.signature;
    assert!(verify(&other_kind).unwrap_err().contains("signature of the usage export is wrong"));
    // The operator brings a license file that a root key of his own has signed.
    let own = Signed::seal(&files(&made)[0], &key(8)).unwrap();
    let forged = UsageExport { license_files: vec![own], ..made.clone() };
    let told = verify(&seal(&forged, server_key())).unwrap_err();
    assert!(told.contains("root key") && told.contains("none of those given"), "{told}");
    // Usage of an item that no file permits.
    let mut forged = made;
    forged.items.clear();
    let told = verify(&seal(&forged, server_key())).unwrap_err();
    assert!(told.contains("\"scans\" stands in no license file"), "{told}");
}

#[test]
fn an_export_with_an_older_issue_than_the_vendor_has_is_refused() {
    let server = counted();
    let signed = seal(&export(&server), server_key());
    let mut file = files(&export(&server)).remove(0);
    let against = |file: &LicenseFile| {
        let license_file = Signed::seal(file, &vendor()).unwrap();
        let own = IssuedFile { root_key: vendor().public().clone(), license_file };
        signed.verify(&[vendor().public().clone()], &[own]).map(|_| ())
    };
    assert_eq!(against(&file), Ok(()));
    file.issued_at += 1;
    let told = against(&file).unwrap_err();
    assert!(told.contains("older issue of license file \"file-of-acme\""), "{told}");
    file.file_id = "another".into();
    assert!(against(&file).unwrap_err().contains("nothing of license file \"another\""));
}

#[test]
fn after_a_rotation_an_export_is_signed_by_every_key_that_its_files_name() {
    let keys = Keyring::new(key(3), vec![server_key()]);
    let server = TestServer::with_keys(keys.clone(), |web| web);
    server.import(&license_file("acme", vec![item("old", 1)]), Some(CODE)).unwrap();
    let new = LicenseFile {
        server_key: key(3).public().clone(),
        ..license_file("other", vec![item("new", 1)])
    };
    server.import(&new, None).unwrap();
    let made = UsageExport { totals: Vec::new(), ..export(&server) };
    let mut signed = SignedExport::seal(&made, &files(&made), &keys).unwrap();
    assert_eq!((signed.signatures.len(), verify(&signed).unwrap().items.len()), (2, 2));
    signed.signatures.pop();
    assert!(verify(&signed).is_err());
    let missing = Keyring::new(key(3), vec![]);
    assert!(SignedExport::seal(&made, &files(&made), &missing).is_err());
}

fn seatmeterd(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_seatmeterd")).args(arguments).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn commands_write_an_export_and_show_the_bill_to_the_vendor() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let data = file("data");
    stdout(&data, &["init"]);
    assert!(failure(&data, &["usage", "export", "--signed"]).contains("no license file"));
    let server = stdout(&data, &["key", "show"]);
    let vendor_key = write(&file("vendor.key"), &"01".repeat(32));
    std::fs::set_permissions(&vendor_key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let issued = |organization: &str, key: &str| {
        let new = ["license-file", "new", "--organization", organization, "--server-key"];
        let settings = ["--charge-way", "barcode-scan", "--quota", "100"];
        let (_, draft) = seatmeterd(&[&new[..], &[server.trim()], &settings].concat());
        let draft = write(&file(&format!("{organization}.draft")), &draft);
        let (is_signed, text) = seatmeterd(&["license-file", "sign", &draft, "--key", key]);
        assert!(is_signed, "{text}");
        write(&file(organization), &text)
    };
    let acme = issued("acme", &vendor_key);
    stdout(&data, &["license-file", "import", &acme]);
    let signed = stdout(&data, &["usage", "export", "--signed", "--from", "2026-11-01"]);
    let signed = write(&file("export"), &signed);
    let root_key = vendor().public().to_string();
    let check = |more: &[&str]| {
        let arguments = ["vendor", "verify-export", &signed, "--root-key", &root_key];
        seatmeterd(&[&arguments[..], more].concat())
    };
    let (is_good, bill) = check(&["--license-file", &acme]);
    assert!(is_good && bill.contains("usage from 2026-11-01T00:00:00Z"), "{bill}");
    for part in ["acme", "(barcode_scan, quota 100)", "no usage", "audit log up to line 1,"] {
        assert!(bill.contains(part), "{part}: {bill}");
    }
    let (is_good, json) = check(&["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(is_good && json["audit_head"]["audit_id"] == 1);
    let (is_good, told) =
        seatmeterd(&["vendor", "verify-export", &signed, "--root-key", &"ab".repeat(32)]);
    assert!(!is_good && told.contains("cannot be trusted") && told.contains("root key"), "{told}");
    stdout(&data, &["token", "create", "ann", "--role", "admin"]);
    assert!(stdout(&data, &["audit", "verify", "--export", &signed]).contains("whole"));

    // Another vendor's licenses are none of this vendor's business.
    let other_key = write(&file("other.key"), &"05".repeat(32));
    std::fs::set_permissions(&other_key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    stdout(&data, &["license-file", "import", &issued("other", &other_key)]);
    let told = failure(&data, &["usage", "export", "--signed"]);
    assert!(told.contains("several vendors") && told.contains("acme, other"), "{told}");
    let own = stdout(&data, &["usage", "export", "--signed", "--organization", "acme"]);
    assert!(!own.contains("other"), "{own}");
    let told = failure(&data, &["usage", "export", "--signed", "--organization", "nobody"]);
    assert!(told.contains("no organization \"nobody\""), "{told}");
}
