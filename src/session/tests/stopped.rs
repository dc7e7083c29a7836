//! Tests of processes that a debugger or their container stops in mid-request. The others continue
//! beside them, and they do no harm when they wake.

use super::*;
use crate::files::lock_file;
use crate::os::FileLock;

/// A clock that moves when somebody waits: every wait ends without real time.
struct Patience(&'static HandClock);

impl Clock for Patience {
    fn wall_ms(&self) -> u64 {
        self.0.wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.0.boot_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms()
    }

    fn boot(&self) -> crate::clock::Boot {
        self.0.boot()
    }

    fn wait(&self, time: Duration) {
        self.0.pass(u64::try_from(time.as_millis()).unwrap());
    }
}

/// Return a licensed program whose clock moves while it waits.
fn patient(bench: &Bench) -> Session {
    let session = bench.licensed_session("CODE");
    let clock = Box::leak(Box::new(Patience(bench.clock)));
    let clock = Box::leak(Box::new(DeviceClock::open(&session.state, clock)));
    let dependencies = Dependencies { clock, ..session.dependencies };
    let session =
        Session::open(Bench::parameters("CODE"), session.state.clone(), dependencies).unwrap();
    initialize(&session).unwrap();
    session
}

/// Make a session report and renew while a stopped process holds every turn.
fn sync_beside_a_stopped_one(session: &Session) {
    let turns =
        [session.store.turn(), session.report_turn(key(2).public()), session.state.device_turn()];
    let _held = turns.map(|path| FileLock::try_lock(lock_file(&path).unwrap()).unwrap().unwrap());
    session.sync(Deadline::after(session.dependencies.clock, Duration::from_secs(20))).unwrap();
}

#[test]
fn a_stopped_process_keeps_nobody_from_reporting_and_renewing() {
    let bench = Bench::new(2);
    let session = patient(&bench);
    count(&session, 3);
    bench.transport.then(Step::RecordAll);
    bench.then_grants();
    let serial = session.licensed().unwrap().grant().local.serial;
    sync_beside_a_stopped_one(&session);
    assert_eq!(bench.transport.billed(), 3);
    assert!(session.licensed().unwrap().grant().local.serial > serial);
}

#[test]
fn a_stopped_process_keeps_no_copy_from_taking_a_fresh_uuid() {
    let bench = Bench::new(2);
    let session = patient(&bench);
    let before = session.device().uuid().to_owned();
    bench.then_refuses(ErrorCode::DEVICE_CLONED);
    bench.then_grants();
    sync_beside_a_stopped_one(&session);
    assert_ne!(session.device().uuid().to_owned(), before);
}

/// Renew in another process of the device while the answer to a request of the first is on its way.
fn renewed_meanwhile(bench: &'static Bench, answer: (u16, Option<ErrorCode>)) {
    let other = bench.session("CODE");
    bench.transport.then(Step::Meanwhile(Box::new(move || {
        bench.then_grants();
        // The first has the turn: this one proceeds beside it.
        other.ask(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap().outcome.unwrap();
    })));
    match answer {
        (_, Some(code)) => bench.then_refuses(code),
        _ => bench.then_grants(),
    }
}

fn leaked(server: u8) -> &'static Bench {
    Box::leak(Box::new(Bench::new(server)))
}

#[test]
fn a_grant_that_comes_after_anothers_takes_nothing_from_the_disk() {
    let bench = leaked(2);
    let session = bench.licensed_session("CODE");
    bench.pass(6 * 3600);
    renewed_meanwhile(bench, (200, None));
    session.keep();
    let newest = session.store.held().unwrap();
    let serials: Vec<u32> = [FIRST_SERIAL + 1, FIRST_SERIAL + 2].into();
    let held: LocalLicense = newest.peek().unwrap();
    assert!(serials.contains(&held.serial), "{}", held.serial);
    assert_eq!(session.licensed().unwrap().grant().local, held, "and it is the one that is in use");
}

#[test]
fn a_process_that_wakes_with_a_license_of_before_is_no_copy_and_ends_nothing() {
    for code in [ErrorCode::DEVICE_CLONED, ErrorCode::REVOKED, ErrorCode::SESSION_PASSWORD_WRONG] {
        let bench = leaked(2);
        let session = bench.licensed_session("CODE");
        let uuid = session.device().uuid().to_owned();
        bench.pass(6 * 3600);
        renewed_meanwhile(bench, (403, Some(code)));
        session.keep();
        assert_eq!(session.device().uuid().to_owned(), uuid, "{code:?}");
        session.licensed().unwrap().check().unwrap();
        initialize(&bench.session("CODE")).unwrap();
    }
}

#[test]
fn an_answer_from_before_a_long_stop_is_not_believed() {
    let bench = leaked(2);
    let session = bench.licensed_session("CODE");
    let before = session.licensed().unwrap().grant().local.serial;
    bench.pass(6 * 3600);
    // The answer was in the socket while the process was stopped for a day.
    bench.transport.then(Step::Meanwhile(Box::new(|| bench.clock.pass(86_400_000))));
    bench.then_refuses(ErrorCode::REVOKED);
    session.keep();
    session.licensed().unwrap().check().unwrap();
    assert_eq!(session.licensed().unwrap().grant().local.serial, before);
    assert_eq!(session.status().origin, Origin::Cache);
    let (now, wall) = (session.dependencies.clock.unix_seconds(), bench.clock.unix_seconds());
    assert!(now + 5 >= wall, "its time is of before, too");
}

#[test]
fn an_answer_from_before_a_short_stop_counts_and_does_not_set_the_clock_back() {
    let bench = leaked(2);
    let session = bench.licensed_session("CODE");
    let before = session.licensed().unwrap().grant().local.serial;
    bench.pass(6 * 3600);
    bench.transport.then(Step::Meanwhile(Box::new(|| bench.clock.pass(14_000))));
    bench.then_grants();
    session.keep();
    assert!(session.licensed().unwrap().grant().local.serial > before);
    assert_eq!(session.dependencies.clock.unix_seconds(), bench.clock.unix_seconds());
}
