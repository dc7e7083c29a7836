//! Backup under load, and restore elsewhere: old clients go on, and what was spent stays spent.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::backup;
use seatmeter_server::data_dir::DataDir;
use seatmeter_server::store::sqlite::SqliteStore;
use seatmeter_server::store::{Location, UsageFilter, UsageReader};

use crate::cli::{Served, authorize_demo, failure, seatmeterd, stdout};
use crate::support::*;

fn billed(data: &Path) -> u64 {
    let mut billed = 0;
    UsageReader::open(&data.join("seatmeter.db"))
        .unwrap()
        .for_each(UsageFilter::ALL, |row| {
            billed += u64::try_from(row.total).unwrap();
            Ok(())
        })
        .unwrap();
    billed
}

#[test]
fn a_backup_under_load_is_restored_elsewhere_and_spent_usage_stays_spent() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, file) =
        (folder.path().join("old"), folder.path().join("new"), folder.path().join("backup"));
    stdout(&old, &["init", "--demo"]);
    let server = Served::start(&old);
    let device = id();
    let (key, license) = authorize_demo(server.address, &device);
    let segment_id = id();
    let send = |address, total| {
        let counted = vec![scans(slot_now(), 0x20, total)];
        let sent = report(&device, vec![segment(&segment_id, &license.license_id, counted)]);
        post::<UsageAnswer>(address, &key, USAGE_PATH, &sent).unwrap()
    };
    let epoch = send(server.address, 1).epoch;

    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for total in 2.. {
                send(server.address, total);
                acknowledged.store(total, Ordering::SeqCst);
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let before = acknowledged.load(Ordering::SeqCst);
        stdout(&old, &["backup", file.to_str().unwrap()]);
        done.store(true, Ordering::SeqCst);
        stdout(&new, &["restore", file.to_str().unwrap()]);
        assert!(billed(&new) >= before, "what was acknowledged before the backup is in it");
    });
    let spent = acknowledged.load(Ordering::SeqCst);
    server.kill();

    let server = Served::start(&new);
    // The client sees another epoch with its next report, and sends its totals again.
    let answer = send(server.address, spent);
    assert_ne!(answer.epoch, epoch);
    assert_eq!(answer.recorded, std::slice::from_ref(&segment_id));
    assert_eq!(billed(&new), spent);
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn a_backup_is_private_replaces_nothing_and_is_restored_into_an_empty_directory_only() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
    let name = file.to_str().unwrap();
    let fails = |arguments: &[&str], data: &Path| {
        let Output { status, stderr, .. } = seatmeterd(data, arguments).output().unwrap();
        assert_eq!(status.code(), Some(1));
        String::from_utf8(stderr).unwrap()
    };
    assert!(fails(&["backup", name], &data).contains("init"));
    stdout(&data, &["init", "--demo"]);
    assert!(fails(&["restore", name], &data).contains("not empty"));
    stdout(&data, &["backup", name]);
    assert_eq!(mode(&file), 0o600);
    assert!(fails(&["backup", name], &data).contains("there already"));
    let (restored, letter) = (folder.path().join("restored"), folder.path().join("letter"));
    stdout(&restored, &["restore", name]);
    assert_eq!(mode(&restored.join("server.key")), 0o600);
    assert_eq!(mode(&restored.join("seatmeter.db")), 0o600);
    let key = |data: &Path| std::fs::read(data.join("server.key")).unwrap();
    assert_eq!(key(&restored), key(&data));
    std::fs::write(&letter, "Dear Sir or Madam").unwrap();
    let other = folder.path().join("other");
    assert!(fails(&["restore", letter.to_str().unwrap()], &other).contains("not a backup"));
    assert!(!other.join("server.key").exists());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("draft")), "{left:?}");
}

#[test]
fn an_operator_who_put_the_files_back_says_so_with_a_new_epoch() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init", "--demo"]);
    let epochs = || -> Vec<serde_json::Value> {
        serde_json::from_str(&stdout(folder.path(), &["epochs"])).unwrap()
    };
    assert_eq!((epochs().len(), &epochs()[0]["cause"]), (1, &"created".into()));
    assert!(stdout(folder.path(), &["new-epoch"]).contains("has begun"));
    assert_eq!((epochs().len(), &epochs()[0]["cause"]), (2, &"operator".into()));
    assert!(stdout(folder.path(), &["audit"]).contains("begin new epoch"));
}

#[test]
fn a_restore_that_was_cut_off_is_no_beginning_and_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
    stdout(&data, &["init", "--demo"]);
    stdout(&data, &["backup", file.to_str().unwrap()]);
    // As it is after the keys, before the database has its name.
    let cut_off = folder.path().join("restored");
    std::fs::create_dir(&cut_off).unwrap();
    std::fs::copy(data.join("server.key"), cut_off.join("server.key")).unwrap();
    for draft in [
        "seatmeter.db.draft-1",
        "seatmeter.db.draft-1-journal",
        "server-0123456789abcdef.key.draft-2",
    ] {
        std::fs::write(cut_off.join(draft), "half").unwrap();
    }
    for command in [&["init"][..], &["serve", "--listen", "127.0.0.1:0"], &["audit"]] {
        let sentence = failure(&cut_off, command);
        assert!(sentence.contains("restore FILE"), "{command:?}: {sentence}");
    }
    let letter = folder.path().join("letter");
    std::fs::write(&letter, "Dear Sir or Madam").unwrap();
    for (backup, code) in [(&letter, Some(1)), (&file, Some(0)), (&file, Some(1))] {
        let restored =
            seatmeterd(&cut_off, &["restore", backup.to_str().unwrap()]).output().unwrap();
        assert_eq!(restored.status.code(), code, "{backup:?}: {restored:?}");
    }
    let mut left: Vec<_> =
        std::fs::read_dir(&cut_off).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["seatmeter.db", "seatmeterd.lock", "server.key"]);
    assert!(stdout(&cut_off, &["audit"]).contains("restore from backup"));
}

/// A server that was restored from a backup of `server`, at its time.
fn restored(server: &TestServer, now: u64) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    // The backup takes the key file with it.
    std::fs::write(server.folder.path().join("server.key"), "02".repeat(32)).unwrap();
    std::fs::set_permissions(
        server.folder.path().join("server.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let file = folder.path().join("backup");
    backup::backup(&DataDir::new(server.folder.path()), &file).unwrap();
    let data = tempfile::tempdir().unwrap();
    backup::restore(&file, &DataDir::new(data.path()), now).unwrap();
    let store = SqliteStore::open(&data.path().join("seatmeter.db")).unwrap();
    let restored = TestServer::on_store(data, std::sync::Arc::new(store));
    restored.clock.set(now);
    restored
}

/// … and that serves.
fn serving(restored: TestServer, now: u64) -> TestServer {
    restored.wait(restored.licensing.store.serving(now)).unwrap();
    restored
}

#[test]
fn for_one_slot_a_restored_server_grants_only_what_devices_show_that_they_hold() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let later = serving(restored(&server, START), START);
    // Granted after the backup: the restored server does not know it.
    let device = id();
    let answer: AuthorizationAnswer =
        server.post(AUTHORIZATIONS_PATH, &request(&device, 3)).unwrap();
    let held: LocalLicense = answer.local_license.open(server_key().public()).unwrap();
    let with = |seats, held: Option<&AuthorizationAnswer>| AuthorizationRequest {
        held_license: held.map(|answer| answer.local_license.clone()),
        ..request(&device, seats)
    };
    let refusal = |asked: &AuthorizationRequest| later.authorize(asked).unwrap_err();
    let problem = refusal(&with(3, None));
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY);
    assert!(problem.detail.contains("2027-01-15T08:03:00Z"), "{}", problem.detail);
    assert_eq!((problem.status, problem.kind.as_str()), (503, "/problems/not-ready"));
    assert_eq!(problem.epoch.len(), 32);
    assert_ne!(problem.epoch, held.epoch, "who is refused hears of the restore");
    assert_eq!(
        refusal(&with(4, Some(&answer))).code,
        ErrorCode::STANDBY_NOT_READY,
        "more than it holds"
    );
    let other_device = AuthorizationRequest {
        held_license: Some(answer.local_license.clone()),
        ..request(&id(), 1)
    };
    assert_eq!(refusal(&other_device).code, ErrorCode::STANDBY_NOT_READY, "what another holds");
    let renewed = later.authorize(&with(3, Some(&answer))).unwrap();
    assert_eq!(renewed.seats, 3);
    assert!(renewed.serial > held.serial);
    later.clock.set(START + 179);
    assert_eq!(refusal(&request(&id(), 3)).code, ErrorCode::STANDBY_NOT_READY);
    later.clock.set(START + 180);
    assert_eq!(later.authorize(&request(&id(), 4)).unwrap().seats, 4);
}

#[test]
fn a_license_that_has_ended_holds_nothing_on_a_restored_server() {
    let one = LicenseItem {
        window_days: Some(1),
        ..LicenseItem::new("one", ChargeWay::ClientDevice, 1, START, EXPIRY)
    };
    let server = TestServer::with_items(vec![one]);
    let ask = |server: &TestServer, device: &str, held: Option<&AuthorizationAnswer>| {
        let held_license = held.map(|answer| answer.local_license.clone());
        let request = request(device, 1);
        server.post::<AuthorizationAnswer>(
            AUTHORIZATIONS_PATH,
            &AuthorizationRequest { held_license, ..request },
        )
    };
    let (before, after) = (id(), id());
    let ended = ask(&server, &before, None).unwrap();
    let later = restored(&server, START);
    // Its window ends, and another device gets the seat, of which the backup does not know.
    server.clock.set(START + 86_400);
    let held = ask(&server, &after, None).unwrap();
    later.clock.set(START + 86_500);
    let later = serving(later, START + 86_500);
    assert_eq!(ask(&later, &before, Some(&ended)).unwrap_err().code, ErrorCode::STANDBY_NOT_READY);
    ask(&later, &after, Some(&held)).unwrap();
}

#[test]
fn seats_that_an_item_does_not_count_keep_nobody_from_a_restored_server() {
    let scans = LicenseItem::new("scans", ChargeWay::BarcodeScan, 100, START, EXPIRY);
    let server = TestServer::with_items(vec![scans]);
    let asked = request(&id(), 3);
    let answer: AuthorizationAnswer = server.post(AUTHORIZATIONS_PATH, &asked).unwrap();
    let later = serving(restored(&server, START), START);
    let mut shows = AuthorizationRequest { held_license: Some(answer.local_license), ..asked };
    assert!(later.authorize(&shows).is_ok());
    let other =
        LicenseFile { file_id: "other".into(), ..license_file("other", vec![item("other", 4)]) };
    later.import(&other, Some("OTHER")).unwrap();
    shows.handshake_code = "OTHER".into();
    assert_eq!(
        later.authorize(&shows).unwrap_err().code,
        ErrorCode::STANDBY_NOT_READY,
        "by another code"
    );
}

#[test]
fn the_slot_after_a_restore_begins_with_the_first_server_that_serves() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let later = restored(&server, START);
    let refusal = || later.authorize(&request(&id(), 1)).unwrap_err();
    later.clock.set(START + 5_000);
    let problem = refusal();
    assert_eq!(problem.code, ErrorCode::STANDBY_NOT_READY, "nobody could be heard yet");
    assert!(problem.detail.contains("for the first 180 s"), "{}", problem.detail);
    later.wait(later.licensing.store.serving(START + 5_000)).unwrap();
    later.clock.set(START + 5_179);
    assert_eq!(refusal().code, ErrorCode::STANDBY_NOT_READY);
    // Another server, or this one once more.
    later.wait(later.licensing.store.serving(START + 5_179)).unwrap();
    later.clock.set(START + 5_180);
    later.authorize(&request(&id(), 1)).unwrap();
}

#[test]
fn a_server_that_starts_begins_the_slot_after_a_restore() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, file) =
        (folder.path().join("old"), folder.path().join("new"), folder.path().join("backup"));
    stdout(&old, &["init", "--demo"]);
    stdout(&old, &["backup", file.to_str().unwrap()]);
    stdout(&new, &["restore", file.to_str().unwrap()]);
    let database = Location::File(new.join("seatmeter.db"));
    let has_begun = || {
        number(
            &database,
            "SELECT careful_until < 9223372036854775807 FROM epoch ORDER BY number DESC LIMIT 1",
        ) == 1
    };
    assert!(!has_begun());
    let server = Served::start(&new);
    let asked = AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(&id(), 1) };
    let begun = std::time::Instant::now();
    while !has_begun() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it does not begin");
        let body = serde_json::to_vec(&asked).unwrap();
        let request = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
        assert_eq!(request.send(server.address).problem().code, ErrorCode::STANDBY_NOT_READY);
    }
}

#[test]
fn usage_under_a_grant_that_a_restored_server_has_forgotten_is_booked_by_its_own_signature() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let later = restored(&server, START);
    let device = id();
    let answer: AuthorizationAnswer =
        server.post(AUTHORIZATIONS_PATH, &request(&device, 3)).unwrap();
    let license: LocalLicense = answer.local_license.open(server_key().public()).unwrap();
    let send = |held: Option<seatmeter_protocol::signature::Signed>| {
        let mut segment = segment(&id(), &license.license_id, vec![scans(10_000_001, 2, 5)]);
        segment.local_license = held;
        later.try_report(&report(&device, vec![segment]))
    };
    let unproven = |held| {
        let problem = send(held).unwrap_err();
        assert_eq!(problem.code, ErrorCode::DEVICE_NOT_MATCH);
        assert!(problem.detail.contains("does not know the device"), "{}", problem.detail);
    };
    unproven(None);
    let mut forged = answer.local_license.clone();
    forged.payload = forged.payload.replace("\"seats\":3", "\"seats\":4");
    unproven(Some(forged));
    assert_eq!(send(Some(answer.local_license.clone())).unwrap().recorded.len(), 1);
    assert_eq!(send(None).unwrap().recorded.len(), 1, "it is remembered");
    assert_eq!(billed(later.folder.path()), 10);
}

#[test]
fn a_request_from_before_a_restore_that_arrives_late_makes_no_copy_of_who_has_gone_on() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let device = id();
    let shows = |held: Option<&AuthorizationAnswer>| AuthorizationRequest {
        held_license: held.map(|answer| answer.local_license.clone()),
        ..request(&device, 1)
    };
    let ask = |server: &TestServer, held: Option<&AuthorizationAnswer>| -> AuthorizationAnswer {
        server.post(AUTHORIZATIONS_PATH, &shows(held)).unwrap()
    };
    let first = ask(&server, None);
    let second = ask(&server, Some(&first));
    let later = restored(&server, START);
    let third = ask(&later, Some(&second));
    let fourth = ask(&later, Some(&third));
    ask(&later, Some(&first));
    ask(&later, Some(&fourth));
    let error = later
        .post_as_it_is::<AuthorizationAnswer>(AUTHORIZATIONS_PATH, &shows(Some(&third)))
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::DEVICE_CLONED, "copies are still told apart");
}

#[test]
fn the_seats_of_grants_that_were_forgotten_are_noted_in_whichever_order_they_come_back() {
    for five_comes_first in [true, false] {
        let server = TestServer::with_items(vec![item("instances", 10)]);
        let later = serving(restored(&server, START), START);
        let device = id();
        let mut grants = [(START, 5), (START + 180, 8)].map(|(at, seats)| {
            server.clock.set(at);
            server
                .post::<AuthorizationAnswer>(AUTHORIZATIONS_PATH, &request(&device, seats))
                .unwrap()
        });
        if !five_comes_first {
            grants.reverse();
        }
        later.clock.set(START + 360);
        let slot = slot_of(START + 180);
        let segments = grants.map(|grant| {
            let license: LocalLicense = grant.local_license.open(server_key().public()).unwrap();
            let counted = segment(&id(), &license.license_id, vec![scans(slot, 2, 1)]);
            SegmentReport { local_license: Some(grant.local_license), ..counted }
        });
        assert_eq!(later.report(&report(&device, segments.to_vec())).recorded.len(), 2);
        assert_eq!(later.number(&format!("SELECT active FROM slot_sum WHERE slot = {slot}")), 8);
    }
}
