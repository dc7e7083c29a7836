//! Authorizations over HTTP: grants, and every refusal that there is.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{Generation, LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::Signed;

use seatmeter_protocol::slot::slot_of;
use std::sync::Barrier;

use crate::support::*;

const DAY: u64 = 86_400;

#[test]
fn a_grant_carries_what_the_device_needs_to_trust_it() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let device = id();
    let answer: AuthorizationAnswer =
        server.post(AUTHORIZATIONS_PATH, &request(&device, 4)).unwrap();
    assert_eq!(&answer.root_key, vendor().public());
    let file: LicenseFile = answer.license_file.open(&answer.root_key).unwrap();
    assert_eq!(file.items, [item("instances", 4)]);
    let license: LocalLicense = answer.local_license.open(&file.server_key).unwrap();
    assert_eq!(
        license,
        LocalLicense {
            version: 1,
            license_id: license.license_id.clone(),
            serial: u32::try_from(START - 1_577_836_800).unwrap(),
            item_id: "instances".into(),
            handshake_code: CODE.into(),
            device_uuid: device.clone(),
            charge_way: ChargeWay::ConcurrentInstance,
            seats: 4,
            issued_at: START,
            valid_until: START + 7 * DAY,
            item_expires_at: EXPIRY,
            device_key: device_key(&device).public().clone(),
            generation: Generation { branch: 1, step: 1 },
            epoch: answer.epoch.clone(),
            allowances: Vec::new(),
        }
    );
    assert_eq!(license.license_id.len(), 32);
}

#[test]
fn a_request_names_code_or_organization_or_both() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    server.import(&license_file("other", vec![item("others", 4)]), Some("OTHER-CODE")).unwrap();
    server.import(&license_file("codeless", vec![item("unused", 4)]), None).unwrap();
    let ask = |code: &str, organization: &str| {
        let mut asked = request(&id(), 1);
        asked.handshake_code = code.into();
        asked.organization_id = organization.into();
        server
            .authorize(&asked)
            .map(|license| license.handshake_code)
            .map_err(|p| (p.status, p.code))
    };
    assert_eq!(ask(CODE, ""), Ok(CODE.into()));
    assert_eq!(ask("", "acme"), Ok(CODE.into()));
    assert_eq!(ask(CODE, "acme"), Ok(CODE.into()));
    assert_eq!(ask("", "other"), Ok("OTHER-CODE".into()));
    assert_eq!(ask("", ""), Err((403, ErrorCode::NO_HANDSHAKE_CODE)));
    assert_eq!(ask("TYPO", ""), Err((404, ErrorCode::HANDSHAKE_CODE_UNKNOWN)));
    assert_eq!(ask("", "nobody"), Err((403, ErrorCode::ORGANIZATION_UNKNOWN)));
    assert_eq!(ask("", "codeless"), Err((403, ErrorCode::ORGANIZATION_UNKNOWN)));
    assert_eq!(ask(CODE, "other"), Err((403, ErrorCode::HANDSHAKE_CODE_OF_OTHER_ORGANIZATION)));
}

#[test]
fn seats_are_asked_for_from_one_to_n() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let over = (403, ErrorCode::INSTANCE_COUNT_OVER_LIMIT);
    assert_eq!(server.refusal(&request(&id(), 0)), over);
    assert_eq!(server.refusal(&request(&id(), 5)), over);
    assert_eq!(server.refusal(&request(&id(), u32::MAX)), over);
    assert_eq!(server.authorize(&request(&id(), 1)).unwrap().seats, 1);
    assert_eq!(server.authorize(&request(&id(), 4)).unwrap().seats, 4);
    let problem = server.authorize(&request(&id(), 5)).unwrap_err();
    let expected = ProblemNumbers { requested: 5, quota: 4, ..ProblemNumbers::default() };
    assert_eq!(problem.numbers, Some(Box::new(expected)));
}

#[test]
fn what_an_item_does_not_cover_is_refused_by_name() {
    let server =
        TestServer::with_items(vec![LicenseItem { products: 0x1, ..item("instances", 4) }]);
    let ask = |change: &dyn Fn(&mut AuthorizationRequest)| {
        let mut asked = AuthorizationRequest { products: 0x1, ..request(&id(), 1) };
        change(&mut asked);
        server.authorize(&asked).map(|_| ()).map_err(|problem| problem.code)
    };
    assert_eq!(ask(&|_| {}), Ok(()));
    assert_eq!(ask(&|asked| asked.charge_way = Some(ChargeWay::ConcurrentInstance)), Ok(()));
    assert_eq!(ask(&|asked| asked.products = 0x3), Err(ErrorCode::PRODUCT_MISMATCH));
    for (way, _) in ChargeWay::ALL {
        if way != ChargeWay::ConcurrentInstance {
            assert_eq!(
                ask(&|asked| asked.charge_way = Some(way)),
                Err(ErrorCode::CHARGE_WAY_MISMATCH)
            );
        }
    }
    for (kind, _) in DeploymentType::ALL {
        let expected = match kind {
            DeploymentType::Server | DeploymentType::Desktop => Ok(()),
            _ => Err(ErrorCode::DEPLOYMENT_TYPE_MISMATCH),
        };
        assert_eq!(ask(&|asked| asked.deployment_type = kind), expected, "{kind:?}");
    }
}

/// Asks for a device of its own in each of many threads at once; how many were granted.
fn race(server: &TestServer, racers: usize, seats: u32) -> usize {
    let start = Barrier::new(racers);
    std::thread::scope(|scope| {
        let race = || {
            let asked = request(&id(), seats);
            start.wait();
            server.authorize(&asked).map(|_| ()).map_err(|problem| problem.code)
        };
        let racers: Vec<_> = (0..racers).map(|_| scope.spawn(race)).collect();
        let outcomes = racers.into_iter().map(|racer| racer.join().unwrap());
        let refusals = [ErrorCode::USED_UP, ErrorCode::QUOTA_EXCEEDED];
        outcomes
            .filter(|outcome| match outcome {
                Ok(()) => true,
                Err(code) => {
                    assert!(refusals.contains(code), "{code}");
                    false
                }
            })
            .count()
    })
}

#[test]
fn of_two_hundred_racing_clients_exactly_n_and_the_grace_get_a_seat() {
    let with = |charge_way| LicenseItem { charge_way, ..item("raced", 10) };
    for (item, expected) in [
        (with(ChargeWay::ClientDevice), 11),
        (with(ChargeWay::ActiveDevice), 11),
        (with(ChargeWay::Server), 10),
        (LicenseItem { strict: true, ..with(ChargeWay::BarcodeScan) }, 11),
    ] {
        let what = format!("{:?}", item.charge_way);
        let granted = race(&TestServer::with_items(vec![item]), 200, 1);
        if what == "BarcodeScan" {
            // Allowances, not seats: the sum is what has to be within 10 and the grace of 1.
            assert!((1..=expected).contains(&granted), "{what}: {granted}");
        } else {
            assert_eq!(granted, expected, "{what}");
        }
    }
}

#[test]
fn of_two_hundred_racing_clients_exactly_n_run_once_an_item_is_overused() {
    for (charge_way, seats, expected) in
        [(ChargeWay::ConcurrentDevice, 1, 10), (ChargeWay::ConcurrentInstance, 3, 3)]
    {
        let overuse_budget = Some(0);
        let server = TestServer::with_items(vec![LicenseItem {
            charge_way,
            overuse_budget,
            ..item("raced", 10)
        }]);
        // Eleven devices at once in one slot: an excess of one, with a budget of none.
        for _ in 0..11 {
            let license = server.authorize(&request(&id(), 1)).unwrap();
            let used = segment(&id(), &license.license_id, vec![scans(slot_of(START), 4, 1)]);
            server.report(&report(&license.device_uuid, vec![used]));
        }
        server.clock.set(START + 180);
        assert_eq!(race(&server, 200, seats), expected, "{charge_way:?}");
    }
}

#[test]
fn a_code_without_items_has_nothing_that_fits() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    server.wait(server.licensing.make_code("EMPTY".into(), "acme".into(), "test")).unwrap();
    let asked = AuthorizationRequest { handshake_code: "EMPTY".into(), ..request(&id(), 1) };
    assert_eq!(server.refusal(&asked), (403, ErrorCode::NO_ITEM_FITS));
}

#[test]
fn an_item_works_from_its_start_to_the_end_of_its_grace() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let device = id();
    for (now, expected) in [
        (START - 1, Err(ErrorCode::NOT_YET_IN_EFFECT)),
        (START, Ok(START + 7 * DAY)),
        (EXPIRY - 1, Ok(EXPIRY - 1 + 7 * DAY)),
        (EXPIRY, Ok(EXPIRY + 7 * DAY)),
        (EXPIRY + 1, Ok(EXPIRY + 7 * DAY)),
        (EXPIRY + 7 * DAY - 1, Ok(EXPIRY + 7 * DAY)),
        (EXPIRY + 7 * DAY, Err(ErrorCode::EXPIRED)),
    ] {
        server.clock.set(now);
        let outcome = server.authorize(&request(&device, 1));
        let got = outcome.map(|license| license.valid_until).map_err(|problem| problem.code);
        assert_eq!(got, expected, "at {now}");
    }
}

#[test]
fn a_device_has_the_highest_of_its_running_authorizations() {
    let server = TestServer::with_items(vec![item("instances", 8)]);
    let device = id();
    let seats = |now, asked| {
        server.clock.set(now);
        server.authorize(&request(&device, asked)).unwrap().seats
    };
    assert_eq!(seats(START, 5), 5);
    assert_eq!(seats(START + 1, 2), 5);
    assert_eq!(seats(START + 2, 8), 8);
    // The request for 8 runs for 7 days from START + 2; what was granted because of it does not
    // extend it.
    assert_eq!(seats(START + 6 * DAY, 2), 8);
    assert_eq!(seats(START + 7 * DAY + 1, 2), 8);
    assert_eq!(seats(START + 7 * DAY + 2, 2), 2);
    assert_eq!(
        server.authorize(&request(&id(), 1)).unwrap().seats,
        1,
        "another device is not concerned"
    );
}

#[test]
fn serials_grow_even_when_the_clock_goes_back() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let device = id();
    server.clock.set(START + 1_000);
    let first = server.authorize(&request(&device, 1)).unwrap();
    server.clock.set(START);
    let second = server.authorize(&request(&device, 1)).unwrap();
    assert_eq!(second.serial, first.serial + 1);
    assert_eq!(second.license_id, first.license_id, "a renewal keeps its id");
    assert_ne!(second.generation, first.generation);
}

#[test]
fn racing_authorizations_of_one_device_make_one_device() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let device = id();
    // All show the same: the first contact of one device, repeated.
    let asked = &request(&device, 2);
    let mut serials: Vec<u32> = std::thread::scope(|scope| {
        let ask = || {
            let answer: AuthorizationAnswer =
                server.post_as_it_is(AUTHORIZATIONS_PATH, asked).unwrap();
            answer.local_license.peek::<LocalLicense>().unwrap().serial
        };
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 16, "every grant has its own serial");
    assert_eq!(server.number("SELECT count(*) FROM device"), 1);
    let newest = server.number("SELECT max(newest_serial) FROM device");
    assert_eq!(Some(newest), serials.last().map(|serial| u64::from(*serial)));
}

#[test]
fn a_refused_request_leaves_no_trace() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    server.refusal(&request(&id(), 5));
    assert_eq!(server.number("SELECT count(*) FROM device"), 0);
}

#[test]
fn a_license_file_is_imported_once_and_only_when_it_is_right() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let error = |file: &LicenseFile| server.import(file, None).unwrap_err().to_string();
    let good = || license_file("other", vec![item("others", 4)]);
    assert!(error(&license_file("acme", vec![item("more", 4)])).contains("already"));
    assert!(error(&license_file("other", vec![item("instances", 4)])).contains("already"));
    assert!(
        error(&LicenseFile { server_key: key(9).public().clone(), ..good() }).contains("server")
    );
    assert!(error(&license_file("other", vec![])).contains("0 items"));
    assert!(error(&license_file("other", vec![item("a", 4), item("a", 4)])).contains("twice"));
    assert!(error(&license_file("other", vec![item("a", 0)])).contains("permits nothing"));
    let ends_first = LicenseItem { expires_at: START, ..item("a", 4) };
    assert!(error(&license_file("other", vec![ends_first])).contains("before it starts"));
    let long_offline = LicenseItem { offline_days: 366, ..item("a", 4) };
    assert!(error(&license_file("other", vec![long_offline])).contains("offline"));
    let mut newer = serde_json::to_value(good()).unwrap();
    newer["items"][0]["item_id"] = "hours".into();
    newer["items"][0]["charge_way"] = "hour".into();
    let error_of_newer = error(&serde_json::from_value(newer).unwrap());
    assert!(
        error_of_newer.contains(r#"item "hours" has the charge way "hour""#),
        "{error_of_newer}"
    );
    assert!(error_of_newer.contains("install a newer seatmeterd"), "{error_of_newer}");
    assert!(server.import(&good(), Some(CODE)).unwrap_err().to_string().contains(CODE));
    // None of the failures left anything behind.
    server.import(&good(), Some("OTHER-CODE")).unwrap();
}

#[test]
fn an_issue_that_changes_the_charge_way_of_an_item_is_refused() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let anew = |charge_way| {
        let changed = LicenseItem { charge_way, ..item("instances", 4) };
        LicenseFile { issued_at: START + 1, ..license_file("acme", vec![changed]) }
    };
    let error = server.import(&anew(ChargeWay::ConcurrentDevice), None).unwrap_err().to_string();
    assert!(error.contains("concurrent_instance to concurrent_device"), "{error}");
    assert!(error.contains("item of another id"), "{error}");
    server.import(&anew(ChargeWay::ConcurrentInstance), None).unwrap();
}

#[test]
fn a_forged_license_file_is_not_imported() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let file = license_file("other", vec![item("others", 4)]);
    let mut envelope = Signed::seal(&file, &vendor()).unwrap();
    envelope.payload = envelope.payload.replace("\"quota\":4", "\"quota\":9");
    let outcome =
        server.wait(server.licensing.import(envelope, vendor().public().clone(), None, "test"));
    assert!(outcome.unwrap_err().to_string().contains("changed or forged"));
}

#[test]
fn a_check_says_what_an_authorization_would_say_and_leaves_nothing_behind() {
    let devices = LicenseItem { charge_way: ChargeWay::ClientDevice, ..item("devices", 1) };
    let server = TestServer::with_items(vec![item("instances", 4), devices]);
    let check = |request: &AuthorizationRequest| {
        server.post::<AuthorizationCheck>(AUTHORIZATION_CHECKS_PATH, request)
    };
    let for_device = |uuid: &str| AuthorizationRequest {
        charge_way: Some(ChargeWay::ClientDevice),
        ..request(uuid, 1)
    };
    // Any number of devices may ask for the one place: nobody gets it.
    for _ in 0..3 {
        let found = check(&for_device(&id())).unwrap();
        assert_eq!((found.item_id.as_str(), found.handshake_code.as_str()), ("devices", CODE));
        assert_eq!(found.valid_until, START + 7 * DAY);
    }
    let found = check(&request(&id(), 3)).unwrap();
    assert_eq!((found.item_id.as_str(), found.seats, found.epoch.len()), ("instances", 3, 32));
    let listed = number(&server.location, "SELECT COUNT(*) FROM local_license");
    assert_eq!(listed, 0, "no local license was remembered");
    // A refusal is that of an authorization, and the next check finds what was granted meanwhile.
    let of_instances = AuthorizationRequest {
        charge_way: Some(ChargeWay::ConcurrentInstance),
        ..request(&id(), 5)
    };
    assert_eq!(check(&of_instances).unwrap_err().code, ErrorCode::INSTANCE_COUNT_OVER_LIMIT);
    let holder = id();
    let held = server.authorize(&for_device(&holder)).unwrap();
    assert_eq!(check(&for_device(&id())).unwrap_err().code, ErrorCode::USED_UP);
    // The device's own history goes on as if nobody had asked.
    let answer: AuthorizationAnswer =
        server.post(AUTHORIZATIONS_PATH, &for_device(&holder)).unwrap();
    let asked = AuthorizationRequest {
        held_license: Some(answer.local_license.clone()),
        ..for_device(&holder)
    };
    for _ in 0..3 {
        assert_eq!(check(&asked).unwrap().item_id, held.item_id);
    }
    server.authorize(&asked).unwrap();
}
