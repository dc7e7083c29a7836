//! A vendor's correction of a total that cannot be right.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::signature::{Signed, SigningKey};
use seatmeter_server::correction::{Correction, IssuedCorrection};
use seatmeter_server::error::Error;

use crate::cli::{failure, stdout};
use crate::support::*;

const SLOT: u32 = (START / 180) as u32;

fn scans_item(strict: bool) -> LicenseItem {
    LicenseItem {
        strict,
        ..LicenseItem::new("scans", ChargeWay::BarcodeScan, 1_000, START, EXPIRY)
    }
}

/// A server of which a device has used up the item with one report.
fn used_up(strict: bool) -> (TestServer, String, LocalLicense) {
    let server = TestServer::with_items(vec![scans_item(strict), item("instances", 4)]);
    let device = id();
    let asked = asked(&device);
    let license = server.authorize(&asked).unwrap();
    count(&server, &device, &license, SLOT, 9_000_000);
    assert_eq!(server.refusal(&asked).1, ErrorCode::USED_UP);
    (server, device, license)
}

fn asked(device: &str) -> seatmeter_protocol::message::AuthorizationRequest {
    seatmeter_protocol::message::AuthorizationRequest {
        charge_way: Some(ChargeWay::BarcodeScan),
        ..request(device, 1)
    }
}

fn count(server: &TestServer, device: &str, license: &LocalLicense, slot: u32, total: u64) {
    let sent = segment(&id(), &license.license_id, vec![scans(slot, 2, total)]);
    assert_eq!(server.report(&report(device, vec![sent])).recorded.len(), 1);
}

fn correction(used: u64) -> Correction {
    Correction {
        version: 1,
        correction_id: id(),
        organization_id: "acme".into(),
        item_id: "scans".into(),
        module: 0,
        used,
        reason: "a bent device".into(),
        issued_at: START,
    }
}

fn apply(server: &TestServer, correction: &Correction, key: &SigningKey) -> Result<(), Error> {
    let signed = Signed::seal(correction, key).unwrap();
    let issued = IssuedCorrection { root_key: key.public().clone(), correction: signed };
    server.wait(server.licensing.correct(issued, "ann"))
}

fn used(server: &TestServer) -> u64 {
    server.number("SELECT used FROM item_used WHERE item_id = 'scans'")
}

#[test]
fn an_item_that_counts_as_used_up_is_set_right_and_later_reports_add_to_it() {
    for strict in [false, true] {
        let (server, device, license) = used_up(strict);
        apply(&server, &correction(400), &vendor()).unwrap();
        assert_eq!(used(&server), 400);
        server.authorize(&asked(&id())).unwrap();
        count(&server, &device, &license, SLOT + 1, 5);
        assert_eq!(used(&server), 405);
        // The history tells what was reported.
        let mut total = 0;
        let all = seatmeter_server::store::UsageFilter::ALL;
        let reader = server.location.read_usage().unwrap();
        let add = |row: seatmeter_server::store::UsageRow| {
            total += row.total;
            Ok(())
        };
        reader.for_each(all, add).unwrap();
        assert_eq!(total, 9_000_005);
        let line = "SELECT count(*) FROM audit WHERE action = 'correct item' AND subject = \
            'scans' AND detail LIKE 'used 400 instead of 9000000, correction %: a bent device'";
        assert_eq!(server.number(line), 1);
    }
}

#[test]
fn a_correction_is_applied_once_and_never_after_a_later_one() {
    let (server, ..) = used_up(false);
    let first = correction(400);
    let later = Correction { issued_at: START + 10, ..correction(300) };
    apply(&server, &later, &vendor()).unwrap();
    let told = apply(&server, &later, &vendor()).unwrap_err().to_string();
    assert!(told.contains("was applied already"), "{told}");
    let told = apply(&server, &first, &vendor()).unwrap_err().to_string();
    assert!(told.contains("one that was issued at"), "{told}");
    assert_eq!(used(&server), 300);
}

#[test]
fn what_another_key_has_signed_or_what_fits_no_item_corrects_nothing() {
    let (server, ..) = used_up(false);
    type Edit = &'static dyn Fn(&mut Correction);
    let edits: [(Edit, &str); 6] = [
        (&|of| of.item_id = "nothing".into(), "no item \"nothing\""),
        (&|of| of.item_id = "instances".into(), "not charged by scans or pages"),
        (&|of| of.module = 4, "no quota for module 4"),
        (&|of| of.organization_id = "other".into(), "organization \"acme\""),
        (&|of| of.used = u64::MAX, "more than can be recorded"),
        (&|of| of.reason = String::new(), "its reason is empty"),
    ];
    for (edit, why) in edits {
        let mut of = correction(1);
        edit(&mut of);
        let told = apply(&server, &of, &vendor()).unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }
    let told = apply(&server, &correction(1), &key(9)).unwrap_err().to_string();
    assert!(told.contains("but item \"scans\" is of root key"), "{told}");
    // The operator changes what the vendor has signed, or signs it with another kind of document.
    let mut signed = Signed::seal(&correction(400), &vendor()).unwrap();
    signed.payload = signed.payload.replace("\"used\":400", "\"used\":4");
    let issued = IssuedCorrection { root_key: vendor().public().clone(), correction: signed };
    let told = server.wait(server.licensing.correct(issued, "ann")).unwrap_err().to_string();
    assert!(told.contains("signature of the license correction is wrong"), "{told}");
    assert_eq!(used(&server), 9_000_000);
}

#[test]
fn the_admin_api_applies_a_correction() {
    let (server, ..) = used_up(false);
    let correction = Signed::seal(&correction(7), &vendor()).unwrap();
    let issued = IssuedCorrection { root_key: vendor().public().clone(), correction };
    let body = serde_json::to_string(&issued).unwrap();
    let post = || Request::json("POST", "/admin/v1/corrections", &body).send(server.address);
    assert_eq!((post().status, used(&server), post().status), (200, 7, 409));
}

#[test]
fn commands_sign_a_correction_and_import_it_like_a_license_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = folder.path().join("data");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let vendor_key = file("vendor.key");
    run(&["vendor", "keygen", "--key", &vendor_key]);
    stdout(&data, &["init"]);
    let server = stdout(&data, &["key", "show"]);
    let new = ["license-file", "new", "--organization", "acme", "--server-key", server.trim()];
    let draft = run(&[&new[..], &["--charge-way", "page", "--pages", "ocr=10"]].concat());
    let draft_value: serde_json::Value = serde_json::from_str(&draft).unwrap();
    let item_id = draft_value["items"][0]["item_id"].as_str().unwrap();
    std::fs::write(file("draft"), &draft).unwrap();
    std::fs::write(
        file("license"),
        run(&["license-file", "sign", &file("draft"), "--key", &vendor_key]),
    )
    .unwrap();
    stdout(&data, &["license-file", "import", &file("license")]);
    let signed = run(&[
        "vendor",
        "correct",
        "--organization",
        "acme",
        "--item",
        item_id,
        "--module",
        "ocr",
        "--used",
        "3",
        "--reason",
        "a bent device",
        "--key",
        &vendor_key,
    ]);
    std::fs::write(file("correction"), signed).unwrap();
    let code = ["license-file", "import", &file("correction"), "--handshake-code", "X"];
    assert!(failure(&data, &code).contains("leave out --handshake-code"));
    stdout(&data, &["license-file", "import", &file("correction")]);
    let again = failure(&data, &["license-file", "import", &file("correction")]);
    assert!(again.contains("was applied already"), "{again}");
    let audit = stdout(&data, &["audit", "list"]);
    assert!(audit.contains("correct item") && audit.contains("OCR used 3 instead of 0"), "{audit}");
}
