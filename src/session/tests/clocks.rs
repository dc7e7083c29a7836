//! Tests of wrong clocks.

use super::*;

#[test]
fn a_clock_set_back_does_not_stretch_a_license() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    bench.pass(8 * DAY_SECONDS);
    bench.transport.then(Step::Silence);
    session.keep();
    for _ in 0..2 {
        bench.reboot_at(NOW + DAY_SECONDS);
        bench.transport.then(Step::Silence);
        let error = initialize(&bench.session("CODE")).unwrap_err();
        assert_eq!(error.code, ErrorCode::FAILED_TO_REACH_SERVER);
    }
    bench.reboot_at(NOW + 9 * DAY_SECONDS);
    bench.transport.set_time(NOW + 9 * DAY_SECONDS);
    bench.then_grants();
    initialize(&bench.session("CODE")).unwrap();
}

#[test]
fn one_start_far_in_the_future_costs_nothing_for_good() {
    let bench = Bench::new(2);
    bench.licensed_session("CODE").keep();
    bench.reboot_at(NOW + 3650 * DAY_SECONDS);
    bench.transport.then(Step::Silence);
    let session = bench.session("CODE");
    assert!(initialize(&session).is_err());
    bench.transport.then(Step::Silence);
    session.keep();
    // The wall clock is still wrong when the server can be reached again.
    let (wrong, right) = (bench.clock.unix_seconds(), NOW + 60);
    bench.clock.set_wall(right * 1000);
    bench.then_grants();
    bench.clock.set_wall(wrong * 1000);
    bench.transport.set_time(right);
    initialize(&session).unwrap();
    count(&session, 1);
    let usage = StateDirectory::open(bench.state.path().to_owned()).unwrap().usage();
    let oldest = oldest_unsent(&usage.join(Bench::parameters("CODE").grant_name())).unwrap();
    assert!(
        (NOW - 180..=right).contains(&oldest),
        "work is in the slot in which it was done: {oldest}"
    );
}

#[test]
fn a_program_that_begins_goes_by_the_time_that_another_one_was_told() {
    let bench = Bench::new(2);
    bench.clock.set_wall((NOW + 24) * 1000);
    bench.licensed_session("CODE");
    assert_eq!(bench.session("CODE").clock().unix_seconds(), NOW);
}

/// Return a session whose server's clock is this far ahead when it grants, and right again
/// afterwards.
fn granted_ahead(bench: &Bench, ahead: u64) -> Session {
    let session = bench.session("CODE");
    bench.transport.set_time(NOW + ahead);
    bench.then_grants_from(item(), move |local| {
        local.issued_at = NOW + ahead;
        local.valid_until =
            local.valid_until.saturating_add(ahead).min(local.item_expires_at + 7 * DAY_SECONDS);
    });
    initialize(&session).unwrap();
    count(&session, 1);
    bench.transport.set_time(NOW);
    session
}

#[test]
fn a_server_that_was_ahead_is_forgotten_with_the_next_word_by_all_programs_of_the_device() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let other = bench.session("CODE");
    initialize(&other).unwrap();
    bench.transport.set_time(NOW + 400 * DAY_SECONDS);
    bench.then_refuses(ErrorCode::EXPIRED);
    bench.then_refuses(ErrorCode::EXPIRED);
    for session in [&session, &other] {
        assert!(session.sync(Deadline::after(bench.clock, Duration::from_secs(5))).is_err());
        assert_eq!(session.licensed().unwrap().check().unwrap_err().code, ErrorCode::EXPIRED);
    }
    bench.pass(60);
    bench.then_grants();
    session.sync(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap();
    count(&session, 1);
    bench.transport.then(Step::Silence);
    bench.transport.then(Step::Silence);
    let _ = other.sync(Deadline::after(bench.clock, Duration::from_secs(5)));
    count(&other, 1);
    let third = bench.session("CODE");
    initialize(&third).unwrap();
    count(&third, 1);
    assert_eq!(third.clock().unix_seconds(), NOW + 60);
}

#[test]
fn a_program_whose_keeper_rests_dates_its_grant_by_what_another_program_has_heard() {
    let bench = Bench::new(2);
    let session = granted_ahead(&bench, 2 * DAY_SECONDS);
    let other = bench.session("CODE");
    initialize(&other).unwrap();
    bench.pass(60);
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::Silence);
    session.keep();
    let valid_until = || other.licensed().unwrap().grant().local.valid_until;
    assert_eq!(valid_until(), NOW + 9 * DAY_SECONDS, "it has heard nothing yet");
    other.watch();
    assert_eq!(valid_until(), NOW + 7 * DAY_SECONDS);
}

#[test]
fn a_grant_of_a_server_that_was_ahead_is_good_for_as_long_as_was_meant_and_renewed_at_once() {
    let bench = Bench::new(2);
    let session = granted_ahead(&bench, 2 * DAY_SECONDS);
    bench.pass(60);
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::Silence);
    session.keep();
    assert_eq!(bench.asked(), 3, "it has reported, and asked for a grant of today");
    for session in [session, bench.session("CODE")] {
        let _ = initialize(&session);
        assert_eq!(session.status().valid_until, NOW + 7 * DAY_SECONDS);
    }
    bench.pass(7 * DAY_SECONDS - 61);
    count(&bench.session_of_stored("CODE"), 1);
    bench.pass(1);
    bench.transport.then(Step::Silence);
    let error = initialize(&bench.session("CODE")).unwrap_err();
    assert_eq!(error.code, ErrorCode::FAILED_TO_REACH_SERVER, "it is over");
}

#[test]
fn after_a_start_without_contact_the_date_of_such_a_grant_does_not_make_it_the_time() {
    let bench = Bench::new(2);
    let session = granted_ahead(&bench, 2 * DAY_SECONDS);
    bench.pass(60);
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::Silence);
    session.keep();
    bench.reboot_at(NOW + 120);
    let session = bench.session_of_stored("CODE");
    assert_eq!(session.clock().unix_seconds(), NOW + 120);
    count(&session, 1);
}

#[test]
fn the_seats_are_those_of_the_grant_that_was_given_last() {
    let bench = Bench::new(2);
    let session = granted_ahead(&bench, 2 * DAY_SECONDS);
    assert_eq!(session.licensed().unwrap().idle_seats(), 4);
    // This is another server, or the same one with older data: its serials are lower.
    bench.grants.store(FIRST_SERIAL - 1_000_000, Ordering::Relaxed);
    bench.then_grants_from(item(), |local| local.seats = 2);
    let deadline = Deadline::after(bench.clock, Duration::from_secs(5));
    bench.transport.then(Step::RecordAll);
    session.renew(deadline, || Ok(false)).unwrap();
    assert_eq!(session.licensed().unwrap().idle_seats(), 2);
    let other = bench.session_of_stored("CODE");
    assert_eq!([&session, &other].map(|session| session.licensed().unwrap().idle_seats()), [2; 2]);
}

#[test]
fn work_before_and_after_a_leap_of_the_time_is_reported_apart() {
    let bench = Bench::new(2);
    let session = granted_ahead(&bench, 2 * DAY_SECONDS);
    bench.pass(60);
    bench.transport.then(Step::Silence);
    bench.then_grants();
    bench.transport.then(Step::Silence);
    let _ = session.sync(Deadline::after(bench.clock, Duration::from_secs(5)));
    count(&session, 1);
    // The server refuses work that is more than a day ahead, and books the rest.
    let folder = session.state.usage().join(&session.name);
    let segments = std::fs::read_dir(folder).unwrap().flatten();
    let segments: Vec<crate::usage::Segment> =
        segments.filter_map(|file| crate::usage::Segment::open(&file.path()).ok()).collect();
    let slots: Vec<Vec<u32>> = segments
        .iter()
        .map(|segment| segment.totals().iter().map(|total| total.usage.slot).collect())
        .collect();
    assert_eq!(slots.len(), 2, "{slots:?}");
    assert!(slots.iter().all(|slots| slots.len() == 1), "{slots:?}");
}

#[test]
fn what_failed_after_a_server_that_was_ahead_was_heard_is_still_told() {
    let bench = Bench::new(2);
    let session = granted_ahead(&bench, 2 * DAY_SECONDS);
    bench.pass(60);
    let status = session.status();
    assert!(status.contact_at > bench.clock.unix_seconds());
    assert!(
        status.contact_order_ms < bench.clock.monotonic_ms(),
        "the order comes from another clock"
    );
}

#[test]
fn a_grant_from_the_second_in_which_a_servers_clock_leaped_ahead_is_good_when_it_is_right_again() {
    let bench = Bench::new(2);
    // The server decides by the right time and signs the answer by the wrong one.
    bench.transport.set_time(NOW + 400 * DAY_SECONDS);
    let session = bench.licensed_session("CODE");
    assert_eq!(session.licensed().unwrap().check().unwrap_err().code, ErrorCode::EXPIRED);
    bench.transport.set_time(NOW);
    bench.then_grants();
    session.sync(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap();
    count(&session, 1);
    assert_eq!(session.licensed().unwrap().grant().local.issued_at, NOW);
}
