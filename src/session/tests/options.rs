//! What a server tells of the item in use.

use super::*;

/// An answer to a report that records everything and tells this of the item.
fn told(meter: Meter) -> Step {
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
    bench.transport.then(told(excess(MeterState::Within)));
    session.keep();
    assert_eq!(bench.transport.asked.lock().len(), 2, "there was no hurry");
    count(&session, 1);
    bench.transport.then(told(excess(MeterState::Overused)));
    bench.then_refuses(ErrorCode::QUOTA_EXCEEDED);
    session.keep();
    let licensed = session.licensed().unwrap();
    assert_eq!(licensed.check().unwrap_err().code, ErrorCode::QUOTA_EXCEEDED);
    assert_eq!(licensed.idle_seats(), -1);
    assert!(session.use_stored_grant().unwrap().is_none(), "another process does not begin with it either");
    // It goes on asking, and goes on working as soon as there is a place.
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
        session.sync(Deadline::after(session.world.clock, Duration::from_secs(5))).unwrap_err();
        let outcome = session.licensed().unwrap().check().map_err(|error| error.code);
        assert_eq!(outcome, if ends { Err(code) } else { Ok(()) }, "{code}");
        assert_eq!(session.status().stopped, ends.then_some(code), "{code}");
    }
}

#[test]
fn what_one_process_hears_stops_the_others_of_the_device() {
    let bench = Bench::new(2);
    let (hears, other) = (bench.licensed_session("CODE"), bench.session("CODE"));
    other.initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND).unwrap();
    bench.then_refuses(ErrorCode::REVOKED);
    hears.sync(Deadline::after(hears.world.clock, Duration::from_secs(5))).unwrap_err();
    assert!(other.licensed().unwrap().check().is_ok(), "it has not looked yet");
    bench.then_refuses(ErrorCode::REVOKED);
    other.keep();
    assert_eq!(other.licensed().unwrap().check().unwrap_err().code, ErrorCode::REVOKED);
}
