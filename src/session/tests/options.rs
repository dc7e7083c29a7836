//! Tests of server notices about the item in use.

use seatmeter_protocol::charge_way::DeploymentType;

use super::*;

/// Return an answer to a report that records everything and contains this meter of the item.
fn notice(meter: Meter) -> Step {
    Step::RecordAllAnd(vec![ItemStanding { item_id: "item-1".into(), meters: vec![meter] }])
}

fn excess(state: MeterState) -> Meter {
    Meter { of: Metered::Excess, module: 0, quota: 10, used: 11, grace: 0, state }
}

#[test]
fn a_device_of_an_overused_item_asks_at_once_and_stops_when_it_gets_no_place() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    count(&session, 1);
    bench.transport.then(notice(excess(MeterState::Within)));
    session.keep();
    assert_eq!(bench.transport.asked.lock().len(), 2, "there was no hurry");
    count(&session, 1);
    bench.transport.then(notice(excess(MeterState::Overused)));
    bench.then_refuses(ErrorCode::QUOTA_EXCEEDED);
    session.keep();
    let licensed = session.licensed().unwrap();
    assert_eq!(licensed.check().unwrap_err().code, ErrorCode::QUOTA_EXCEEDED);
    assert_eq!(licensed.idle_seats(), -1);
    assert!(
        session.use_stored_grant().unwrap().is_none(),
        "another process does not begin with it either"
    );
    // The session continues to ask, and works again as soon as the server grants again.
    bench.then_grants();
    session.keep();
    assert!(licensed.check().is_ok());
    assert!(session.use_stored_grant().unwrap().is_some());
}

#[test]
fn a_refusal_that_ends_a_license_does_so_at_the_next_contact_and_others_end_nothing() {
    for (code, ends) in [
        (ErrorCode::REVOKED, true),
        (ErrorCode::USED_UP, true),
        (ErrorCode::SESSION_PASSWORD_WRONG, true),
        (ErrorCode::DOMAIN_MISMATCH, true),
        (ErrorCode::VALIDATION_FIELD_MISMATCH, true),
        (ErrorCode::DEPLOYMENT_TYPE_MISMATCH, false),
        (ErrorCode::STANDBY_NOT_READY, false),
    ] {
        let bench = Bench::new(2);
        let session = bench.licensed_session("CODE");
        bench.then_refuses(code);
        session
            .sync(Deadline::after(session.dependencies.clock, Duration::from_secs(5)))
            .unwrap_err();
        let outcome = session.licensed().unwrap().check().map_err(|error| error.code);
        assert_eq!(outcome, if ends { Err(code) } else { Ok(()) }, "{code}");
        assert_eq!(session.status().stopped, ends.then_some(code), "{code}");
    }
}

/// A licensee may run the server: a license that the vendor has issued for phones does not serve a
/// server.
#[test]
fn a_license_of_an_item_for_other_deployment_types_is_not_believed() {
    let instances =
        |kinds: &[DeploymentType]| LicenseItem { deployment_types: kinds.to_vec(), ..item() };
    let domain =
        LicenseItem { charge_way: ChargeWay::Domain, ..instances(&[DeploymentType::Desktop]) };
    for (item, is_believed) in [
        (instances(&[DeploymentType::Server]), true),
        (instances(&[DeploymentType::Mobile, DeploymentType::Server]), true),
        (instances(&[DeploymentType::Mobile]), false),
        (domain, false),
    ] {
        let bench = Bench::new(2);
        let session = bench.session("CODE");
        let charge_way = item.charge_way;
        bench.then_grants_from(item, move |local| local.charge_way = charge_way);
        let outcome = session.initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND);
        if is_believed {
            outcome.unwrap();
            continue;
        }
        let error = outcome.unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED, "{error}");
        assert!(error.message.contains("deploymentType 1 was asked for"), "{error}");
        assert!(session.use_stored_grant().unwrap().is_none(), "nor is it kept");
    }
}

#[test]
fn a_desktop_believes_a_license_for_servers_where_only_servers_are_charged() {
    for (way, seats, is_believed) in [
        (ChargeWay::ConcurrentInstance, 1, true),
        (ChargeWay::Server, 0, true),
        (ChargeWay::Domain, 0, false),
    ] {
        let bench = Bench::new(2);
        let session = bench.session("CODE");
        let item = LicenseItem { charge_way: way, ..item() };
        bench.then_grants_from(item, move |local| (local.charge_way, local.seats) = (way, seats));
        let desktop = Parameters {
            deployment_type: DeploymentType::Desktop,
            charge_way: None,
            ..Bench::parameters("CODE")
        };
        let outcome = session.initialize(desktop, FIRST_CONTACT_BOUND);
        assert_eq!(outcome.is_ok(), is_believed, "{way:?}: {outcome:?}");
    }
}

#[test]
fn what_one_process_hears_stops_the_others_of_the_device() {
    let bench = Bench::new(2);
    let (hears, other) = (bench.licensed_session("CODE"), bench.session("CODE"));
    other.initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND).unwrap();
    bench.then_refuses(ErrorCode::REVOKED);
    hears.sync(Deadline::after(hears.dependencies.clock, Duration::from_secs(5))).unwrap_err();
    assert!(other.licensed().unwrap().check().is_ok(), "it has not looked yet");
    bench.then_refuses(ErrorCode::REVOKED);
    other.keep();
    assert_eq!(other.licensed().unwrap().check().unwrap_err().code, ErrorCode::REVOKED);
}
