//! Clocks that are wrong.

use super::*;

#[test]
fn a_clock_set_back_does_not_stretch_a_licence() {
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
    assert!((NOW - 180..=right).contains(&oldest), "work is in the slot in which it was done: {oldest}");
}

#[test]
fn a_program_that_begins_goes_by_the_time_that_another_one_was_told() {
    let bench = Bench::new(2);
    bench.clock.set_wall((NOW + 24) * 1000);
    bench.licensed_session("CODE");
    assert_eq!(bench.session("CODE").clock().unix_seconds(), NOW);
}
