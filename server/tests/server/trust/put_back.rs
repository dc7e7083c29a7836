//! An operator with yesterday's database: data that was put back is noticed, and nothing else is
//! taken for it.

use super::*;

/// Return a device, and a server whose data was put back to before its last two licenses.
fn two_licenses_behind() -> (TestServer, Installation) {
    let server = instances();
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    let snapshot = Snapshot::of(&server);
    device.ask(&server).unwrap();
    device.ask(&server).unwrap();
    snapshot.put_back(&server);
    (server, device)
}

#[test]
fn the_first_device_that_proves_it_shows_that_the_data_was_put_back() {
    for by_report in [false, true] {
        let server = instances();
        let (mut first, mut second, mut late) =
            (Installation::new(), Installation::new(), Installation::new());
        let epoch = first.ask(&server).unwrap().epoch;
        second.ask(&server).unwrap();
        let snapshot = Snapshot::of(&server);
        first.ask(&server).unwrap();
        first.ask(&server).unwrap();
        second.ask(&server).unwrap();
        second.ask(&server).unwrap();
        late.ask(&server).unwrap();
        snapshot.put_back(&server);
        assert_eq!(rollbacks(&server), 0);
        let begun = if by_report {
            let signed = first.counted(5).signed_by(&device_key(&first.uuid));
            outcome(signed, &server).unwrap().epoch
        } else {
            first.ask(&server).unwrap().epoch
        };
        assert_ne!(begun, epoch, "all totals come again");
        assert_eq!(rollbacks(&server), 1);
        // Nobody is a copy for it, nobody loses his seat, and the others begin no further epoch.
        for device in [&mut first, &mut second, &mut late] {
            device.asked.held_license.clone_from(&device.newest);
            assert_eq!(device.ask(&server).unwrap().epoch, begun);
        }
        assert_eq!(rollbacks(&server), 1);
        let new = Installation::new().ask(&server).unwrap_err();
        assert_eq!(new.code, ErrorCode::STANDBY_NOT_READY, "{}", new.detail);
        assert!(new.detail.contains("put back"), "{}", new.detail);
        server.clock.set(START + 180);
        Installation::new().ask(&server).unwrap();
        let audit = Request::json("GET", "/admin/v1/audit", "").send(server.address);
        let audit = String::from_utf8(audit.body).unwrap();
        assert!(audit.contains("\"actor\":\"server\""), "{audit}");
        assert!(audit.contains("was put back"), "{audit}");
    }
}

#[test]
fn data_that_was_put_back_to_before_reports_alone_is_noticed_and_nothing_is_lost() {
    let server = TestServer::with_items(vec![LicenseItem::new(
        "scans",
        ChargeWay::BarcodeScan,
        1_000,
        START,
        EXPIRY,
    )]);
    let used = || server.number("SELECT coalesce(max(used), 0) FROM item_used WHERE kind = 1");
    let (mut first, mut second) = (Installation::new(), Installation::new());
    for device in [&mut first, &mut second] {
        let epoch = device.ask(&server).unwrap().epoch;
        device.receipt = device.report(&server, 1).unwrap().receipt;
        assert!(device.receipt.starts_with(&epoch), "{}", device.receipt);
    }
    let snapshot = Snapshot::of(&server);
    for device in [&mut first, &mut second] {
        device.receipt = device.report(&server, 5).unwrap().receipt;
    }
    assert_eq!(used(), 10);
    snapshot.put_back(&server);
    assert_eq!((used(), rollbacks(&server)), (2, 0));
    // A receipt of nobody's proves nothing.
    let real = std::mem::replace(&mut first.receipt, "e.s.9.00".into());
    first.report(&server, 1).unwrap();
    assert_eq!(rollbacks(&server), 0);
    first.receipt = real;
    let begun = first.report(&server, 6).unwrap().epoch;
    assert_eq!(rollbacks(&server), 1);
    // What the others have is of a life that is known now.
    let answer = second.report(&server, 5).unwrap();
    assert_eq!((answer.epoch, rollbacks(&server)), (begun, 1));
    assert_eq!(used(), 11);
    second.receipt = answer.receipt;
    second.report(&server, 6).unwrap();
    assert_eq!((used(), rollbacks(&server)), (12, 1));
}

#[test]
fn one_snapshot_that_is_put_back_again_and_again_is_noticed_each_time() {
    let server = instances();
    let mut devices = [Installation::new(), Installation::new()];
    let mut ask = |server: &TestServer| {
        let epochs = devices.each_mut().map(|device| {
            device.asked.held_license.clone_from(&device.newest);
            device.ask(server).unwrap();
            device.ask(server).unwrap().epoch
        });
        assert_eq!(epochs[0], epochs[1], "the second device begins no further epoch");
        epochs[0].clone()
    };
    let mut seen = vec![ask(&server)];
    let snapshot = Snapshot::of(&server);
    ask(&server);
    for round in 1..4_u64 {
        snapshot.put_back(&server);
        server.clock.set(START + round);
        // From the second time on, the devices show an epoch of which the data does not know.
        let epoch = ask(&server);
        assert_eq!(rollbacks(&server), 1, "the data knows of this one alone");
        assert!(!seen.contains(&epoch));
        seen.push(epoch);
    }
    assert_eq!(server.number("SELECT count(*) FROM foreign_epoch"), 1);
}

#[test]
fn a_check_or_a_forged_or_an_expired_license_proves_no_rollback() {
    let (server, mut device) = two_licenses_behind();
    let shows =
        AuthorizationRequest { newest_license: device.newest.clone(), ..device.asked.clone() };
    server.post_as_it_is::<AuthorizationCheck>(AUTHORIZATION_CHECKS_PATH, &shows).unwrap();
    assert_eq!(rollbacks(&server), 0, "a check leaves nothing");
    // The user forges a later step: the signature is checked before it is believed.
    let mut forged = device.copy();
    let text = forged.newest.as_mut().unwrap();
    text.payload = text.payload.replace("\"step\":3", "\"step\":9");
    outcome(forged.counted(1).signed_by(&device_key(&device.uuid)), &server).unwrap();
    assert_eq!(rollbacks(&server), 0);
    server.clock.set(START + 30 * DAY);
    assert_eq!(code(device.ask(&server)), place(1, 4));
    assert_eq!(rollbacks(&server), 0, "it was away for long");
}

#[test]
fn a_second_rollback_within_a_year_is_told_as_two_servers_with_one_key() {
    let server = instances();
    let told = || -> serde_json::Value {
        server.number("SELECT count(*) FROM epoch");
        let answer = Request::new("GET", "/readyz").send(server.address);
        serde_json::from_slice(&answer.body).unwrap()
    };
    assert_eq!(told()["rollbacks_noticed"], 0);
    let mut device = Installation::new();
    device.ask(&server).unwrap();
    // A copy of the server grants meanwhile: each sees licenses of the other.
    for (round, word) in [(1_u64, "put back"), (2, "two servers")] {
        let here = Snapshot::of(&server);
        device.ask(&server).unwrap();
        device.ask(&server).unwrap();
        here.put_back(&server);
        for table in TABLES {
            execute(&server.location, &format!("DROP TABLE old_{table}"));
        }
        server.clock.set(START + round * 7_200);
        device.asked.held_license.clone_from(&device.newest);
        device.ask(&server).unwrap();
        assert_eq!(rollbacks(&server), round);
        let fired = |kind: &str| {
            server.number(&format!("SELECT count(*) FROM alert_event WHERE kind = '{kind}'"))
        };
        assert_eq!((fired("rolled_back"), fired("two_servers")), (round, round - 1));
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let told = told();
        assert_eq!(told["rollbacks_noticed"], round);
        assert!(told["warning"].as_str().unwrap().contains(word), "{told}");
    }
}

#[test]
fn licenses_of_a_restored_server_are_no_rollback_and_keys_are_never_forgotten() {
    let (server, mut device) = two_licenses_behind();
    // The operator says so.
    server.location.renew_epoch(&id(), START).unwrap();
    device.asked.held_license.clone_from(&device.newest);
    assert_eq!(code(device.ask(&server)), place(1, 4));
    assert_eq!(rollbacks(&server), 0);
    // A device that the data has forgotten comes back with its own key alone.
    execute(&server.location, "DELETE FROM device_identity");
    let problem = outcome(device.counted(1).signed_by(&key(9)), &server).unwrap_err();
    assert_eq!(problem.code, ErrorCode::DEVICE_NOT_MATCH);
    outcome(device.counted(1).signed_by(&device_key(&device.uuid)), &server).unwrap();
    assert_eq!(server.number("SELECT count(*) FROM device_identity"), 1);
    assert_eq!(server.number("SELECT step FROM device_identity"), 4);
}
