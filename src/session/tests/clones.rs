//! Tests of copied installations, and of which answers about them are believed.

use super::*;
use crate::license::ServerRecord;
use seatmeter_protocol::message::AuthorizationRequest;

#[test]
fn what_is_not_signed_revokes_nothing_and_clones_nobody() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    for code in [ErrorCode::REVOKED, ErrorCode::DEVICE_CLONED] {
        bench.pass(6 * 3600);
        let uuid = session.device().uuid().to_owned();
        bench.transport.then(Step::Unsigned(403, problem(code)));
        session.keep();
        session.licensed().unwrap().check().unwrap();
        assert_eq!(session.device().uuid().to_owned(), uuid);
    }
}

#[test]
fn a_copied_installation_takes_a_fresh_uuid_while_it_runs_and_loses_nothing() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let licensed = session.licensed().unwrap();
    let seat = licensed.take_seat().unwrap();
    count(&session, 3);
    let old = session.device().uuid().to_owned();
    let from = bench.asked();
    bench.pass(6 * 3600);
    bench.transport.then(Step::RecordAll);
    bench.then_refuses(ErrorCode::DEVICE_CLONED);
    // The server grants a device that is new to it fewer seats.
    bench.then_grants_from(item(), |local| local.seats = 2);
    session.keep();
    let fresh = session.device().uuid().to_owned();
    assert_ne!(fresh, old);
    assert_eq!(bench.uuids_in("authorizations", from), [old.clone(), fresh.clone()]);
    assert_eq!(
        bench.uuids_in("usage", from),
        [old],
        "what was counted before is reported as it was counted"
    );
    assert_eq!(bench.transport.billed(), 3);

    // The program continues with its reader and the seats of the new grant, and counts under the
    // new UUID.
    assert!(std::ptr::eq(session.licensed().unwrap(), licensed));
    assert_eq!(licensed.idle_seats(), 1);
    seat.into_iter().for_each(|seat| licensed.give_seat(seat));
    bench.pass(180);
    count(&session, 2);
    let from = bench.asked();
    bench.transport.then(Step::RecordAll);
    session.keep();
    assert_eq!(bench.uuids_in("usage", from), [&*fresh]);
    assert_eq!(bench.transport.billed(), 5);

    // Another program of the device, which does not know this yet, asks under the new UUID as well.
    let other = bench.session("CODE");
    assert_eq!(other.device().uuid().to_owned(), fresh);
    initialize(&other).unwrap();
}

#[test]
fn two_programs_that_hear_of_the_copy_take_one_fresh_uuid() {
    let bench = Bench::new(2);
    let sessions = ["CODE", "OTHER"].map(|code| bench.licensed_session(code));
    bench.pass(6 * 3600);
    let old = sessions[0].device().uuid().to_owned();
    let other = &sessions[1];
    // The second one gets the answer while the first has its turn.
    bench.then_refuses(ErrorCode::DEVICE_CLONED);
    bench.then_grants();
    sessions[0].keep();
    let fresh = sessions[0].device().uuid().to_owned();
    assert_ne!(fresh, old);
    assert_eq!(other.device().uuid().to_owned(), old);
    other.take_fresh_uuid(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap();
    assert_eq!(other.device().uuid().to_owned(), fresh);
    // The grants of both stay valid.
    for code in ["CODE", "OTHER"] {
        let next = bench.session(code);
        initialize(&next).unwrap();
    }
}

#[test]
fn a_copy_that_gets_no_license_of_its_own_works_on_with_what_it_has() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    bench.pass(6 * 3600);
    bench.then_refuses(ErrorCode::DEVICE_CLONED);
    bench.transport.then(Step::Silence);
    session.keep();
    session.licensed().unwrap().check().unwrap();
    let next = bench.session("CODE");
    initialize(&next).unwrap();
    bench.then_grants();
    next.keep();
    assert_eq!(next.licensed().unwrap().grant().local.device_uuid, next.device().uuid().to_owned());
}

#[test]
fn programs_that_ask_for_different_things_have_one_history_with_a_server() {
    let bench = Bench::new(2);
    let first = bench.licensed_session("CODE").licensed().unwrap().grant();
    bench.licensed_session("OTHER");
    let asked = bench.transport.asked.lock();
    let requests: Vec<AuthorizationRequest> =
        asked.iter().map(|(_, body)| serde_json::from_value(body.clone()).unwrap()).collect();
    assert_eq!(
        (requests[0].newest_license.is_some(), requests[0].first_contact.len()),
        (false, 32)
    );
    let shown: LocalLicense = requests[1].newest_license.as_ref().unwrap().peek().unwrap();
    assert_eq!(shown, first.local);
    assert_eq!((requests[1].held_license.is_some(), requests[1].first_contact.len()), (false, 0));
}

/// Return a session of a program that knows the server by an address at which it has not answered.
fn session_at_another_address(bench: &Bench, code: &str) -> (Session, Parameters) {
    let mut parameters = Bench::parameters(code);
    parameters.servers = vec!["http://another-name".into()];
    let state = StateDirectory::open(bench.state.path().to_owned()).unwrap();
    let clock = Box::leak(Box::new(DeviceClock::open(&state, bench.clock)));
    let dependencies = Dependencies { clock, transport: bench.transport, wake: || {} };
    (Session::open(parameters.clone(), state, dependencies).unwrap(), parameters)
}

#[test]
fn a_main_server_that_was_away_is_shown_the_receipt_of_the_one_that_stood_in_for_it() {
    let bench = Bench::new(2);
    let grant = bench.licensed_session("CODE").licensed().unwrap().grant();
    let state = StateDirectory::open(bench.state.path().to_owned()).unwrap();
    ServerRecord::of(&state, &grant.server_key).note_receipt("of the last report", "").unwrap();
    let (session, parameters) = session_at_another_address(&bench, "CODE");
    session.initialize(parameters, FIRST_CONTACT_BOUND).unwrap();
    bench.pass(6 * 3600);
    bench.then_grants();
    session.keep();
    let asked = bench.transport.asked.lock();
    let request: AuthorizationRequest =
        serde_json::from_value(asked.last().unwrap().1.clone()).unwrap();
    assert_eq!(request.receipt, "of the last report");
}

#[test]
fn a_program_that_finds_the_server_at_another_address_shows_what_the_device_has_from_it() {
    let bench = Bench::new(2);
    let first = bench.licensed_session("CODE").licensed().unwrap().grant();
    let (session, parameters) = session_at_another_address(&bench, "OTHER");
    bench.then_refuses(ErrorCode::DEVICE_CLONED);
    bench.then_grants();
    session.initialize(parameters, FIRST_CONTACT_BOUND).unwrap();
    let asked = bench.transport.asked.lock();
    let shown = |n: usize| {
        let request: AuthorizationRequest = serde_json::from_value(asked[n].1.clone()).unwrap();
        request.newest_license
    };
    assert_eq!((shown(1), shown(2)), (None, Some(first.signed.clone())));
    assert_eq!(asked[2].1["device"]["uuid"], first.local.device_uuid);
}
