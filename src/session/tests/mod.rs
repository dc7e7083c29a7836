//! Tests of sessions with a clock that the test controls and a server that follows a script.

mod clocks;
mod clones;
mod credentials;
mod lost;
mod options;
mod stopped;

use std::sync::atomic::{AtomicU32, Ordering};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{
    CountAllowance, DAY_SECONDS, Generation, LicenseFile, LicenseItem, LocalLicense, PageQuotas,
};
use seatmeter_protocol::message::{ItemStanding, Meter, MeterState, Metered, Problem, UsageKind};
use seatmeter_protocol::signature::Signed;

use super::*;
use crate::clock::test_support::HandClock;
use crate::environment::Environment;
use crate::license::test_support::{NOW, answer, item, key, local};
use crate::parameters::RawParameters;
use crate::sync::Reported;
use crate::sync::scripted::{RunningFile, Scripted, Step};

/// A device, and a server that follows the script.
struct Bench {
    state: tempfile::TempDir,
    clock: &'static HandClock,
    transport: &'static Scripted,
    server: u8,
    /// The serial of the next grant.
    grants: AtomicU32,
}

/// The serial of the first grant. A server counts serials by the seconds since 2020.
const FIRST_SERIAL: u32 = 218_000_000;

fn problem(code: ErrorCode) -> String {
    serde_json::to_string(&Problem::new(403, code, "because")).unwrap()
}

impl Bench {
    fn new(server: u8) -> Self {
        let transport = Box::leak(Box::new(Scripted::new(key(server), [])));
        let clock = Box::leak(Box::new(HandClock::at(NOW)));
        Self {
            state: tempfile::tempdir().unwrap(),
            clock,
            transport,
            server,
            grants: AtomicU32::new(FIRST_SERIAL),
        }
    }

    fn parameters(handshake_code: &str) -> Parameters {
        let raw = RawParameters {
            main_server: "http://main".into(),
            handshake_code: handshake_code.into(),
            deployment_type: 1,
            charge_way: 10,
            uuid_generation_method: 1,
            max_buffer_days: 7,
            max_concurrent_instance_count: 1,
            products: 0xffff,
            ..RawParameters::default()
        };
        Parameters::understand(&raw, &Environment::default()).unwrap()
    }

    fn session(&self, handshake_code: &str) -> Session {
        let state = StateDirectory::open(self.state.path().to_owned()).unwrap();
        let clock = Box::leak(Box::new(DeviceClock::open(&state, self.clock)));
        let dependencies = Dependencies { clock, transport: self.transport, wake: || {} };
        Session::open(Self::parameters(handshake_code), state, dependencies).unwrap()
    }

    /// Let time pass for device and server.
    fn pass(&self, seconds: u64) {
        self.clock.pass(seconds * 1000);
        self.transport.set_time(self.clock.unix_seconds());
    }

    /// Return a session whose server grants.
    fn licensed_session(&self, handshake_code: &str) -> Session {
        let session = self.session(handshake_code);
        self.then_grants();
        session.initialize(Self::parameters(handshake_code), FIRST_CONTACT_BOUND).unwrap();
        session
    }

    /// Return a session that works with the grant on disk.
    fn session_of_stored(&self, handshake_code: &str) -> Session {
        let session = self.session(handshake_code);
        session.use_stored_grant().unwrap().expect("there is one that is good");
        session
    }

    /// Make the server grant the next request, for seven days.
    fn then_grants(&self) {
        self.then_grants_from(item(), |_| {});
    }

    /// Do the same for a code that is valid for executables of any name.
    fn then_grants_to_any_program(&self) {
        self.then_answers(item(), |_| {}, true);
    }

    fn then_grants_from(
        &self,
        item: LicenseItem,
        change: impl FnOnce(&mut LocalLicense) + Send + 'static,
    ) {
        self.then_answers(item, change, false);
    }

    fn then_answers(
        &self,
        item: LicenseItem,
        change: impl FnOnce(&mut LocalLicense) + Send + 'static,
        any_program: bool,
    ) {
        let (server, now, serial) =
            (self.server, self.clock.unix_seconds(), self.grants.fetch_add(1, Ordering::Relaxed));
        self.transport.then(Step::Reply(Box::new(move |request| {
            let mut local = LocalLicense {
                license_id: format!("{serial:032x}"),
                serial,
                device_uuid: request["device"]["uuid"].as_str().unwrap().to_owned(),
                device_key: request["device_key"]
                    .as_str()
                    .map_or_else(|| local().device_key, |key| key.parse().unwrap()),
                generation: Generation { branch: 1, step: serial + 1 },
                issued_at: now,
                valid_until: (now + 7 * DAY_SECONDS).min(item.grace_ends_at()),
                item_expires_at: item.expires_at,
                ..local()
            };
            change(&mut local);
            let mut answer = answer(item, &local);
            let file: LicenseFile = answer.license_file.peek().unwrap();
            let file = LicenseFile { server_key: key(server).public().clone(), ..file };
            answer.license_file = Signed::seal(&file, &key(1)).unwrap();
            answer.local_license = Signed::seal(&local, &key(server)).unwrap();
            answer.any_program = any_program;
            (200, serde_json::to_string(&answer).unwrap())
        })));
    }

    fn then_refuses(&self, code: ErrorCode) {
        self.transport.then(Step::Answer(403, problem(code)));
    }

    /// Return the UUIDs that the device has used in requests to this path, from the nth on.
    fn uuids_in(&self, path: &str, from: usize) -> Vec<String> {
        let asked = self.transport.asked.lock();
        let ours = asked.iter().skip(from).filter(|(url, _)| url.ends_with(path));
        ours.map(|(_, body)| body["device"]["uuid"].as_str().unwrap().to_owned()).collect()
    }

    fn asked(&self) -> usize {
        self.transport.asked.lock().len()
    }

    /// Start the machine again, with its clock at this time.
    fn reboot_at(&self, wall_seconds: u64) {
        self.clock.reboot(0);
        self.clock.set_wall(wall_seconds * 1000);
    }

    fn report(&self, session: &Session) -> Result<Reported> {
        session.report(Deadline::after(self.clock, Duration::from_secs(5)))
    }
}

fn pages_item() -> LicenseItem {
    let page_quotas = Some(PageQuotas { core: 100, ocr: 100, ..PageQuotas::default() });
    LicenseItem { charge_way: ChargeWay::Page, quota: 0, page_quotas, ..item() }
}

fn count(session: &Session, pages: u64) {
    let licensed = session.licensed().unwrap();
    licensed.count_without_reader(&[(UsageKind::Page, 1, pages)]).unwrap();
}

#[test]
fn what_was_counted_before_a_license_expired_is_reported_after_it() {
    let bench = Bench::new(2);
    count(&bench.licensed_session("CODE"), 3);
    bench.pass(30 * DAY_SECONDS);
    bench.then_refuses(ErrorCode::EXPIRED);
    bench.transport.then(Step::RecordAll);
    let error = bench.session("CODE").initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND);
    assert_eq!(error.unwrap_err().code, ErrorCode::EXPIRED);
    assert_eq!(bench.transport.billed(), 3);
}

#[test]
fn what_was_counted_under_another_code_of_the_same_server_is_reported() {
    let bench = Bench::new(2);
    count(&bench.licensed_session("OLD"), 3);
    let session = bench.licensed_session("NEW");
    count(&session, 1);
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::RecordAll);
    bench.report(&session).unwrap();
    assert_eq!(bench.transport.billed(), 4);
}

#[test]
fn what_cannot_be_reported_of_one_license_does_not_hold_up_the_others() {
    let bench = Bench::new(2);
    let sessions = ["ONE", "OTHER"].map(|code| bench.licensed_session(code));
    let mut busy = Vec::new();
    for session in &sessions {
        count(session, 3);
        busy.push(RunningFile::at(&session.state.usage().join(&session.name).join("odd.segment")));
        bench.transport.then(Step::RecordAll);
    }
    let error = bench.report(&sessions[0]).unwrap_err();
    assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
    assert_eq!(bench.transport.billed(), 6);
}

#[test]
fn what_was_counted_for_another_server_is_none_of_this_ones_business() {
    let one = Bench::new(2);
    count(&one.licensed_session("THEIRS"), 3);
    let other = Bench { state: one.state, ..Bench::new(5) };
    let session = other.licensed_session("OURS");
    count(&session, 1);
    other.transport.then(Step::RecordAll);
    other.report(&session).unwrap();
    assert_eq!(other.transport.billed(), 1);
}

fn initialize(session: &Session) -> Result<()> {
    session.initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND)
}

#[test]
fn a_stored_license_is_used_at_once_and_nobody_is_asked() {
    let bench = Bench::new(2);
    bench.licensed_session("CODE");
    let asked = bench.asked();
    let session = bench.session("CODE");
    initialize(&session).unwrap();
    assert_eq!(bench.asked(), asked);
    assert_eq!(session.status().origin, Origin::Cache);
    bench.then_grants();
    session.keep();
    assert_eq!(session.status().origin, Origin::Server);
}

#[test]
fn a_program_tells_what_it_needs_of_a_strict_item_until_one_allows_it() {
    let bench = Bench::new(2);
    let session = bench.session("CODE");
    let then_allows = |allowed| {
        let strict = LicenseItem { strict: true, ..pages_item() };
        bench.then_grants_from(strict, move |local| {
            (local.charge_way, local.seats) = (ChargeWay::Page, 0);
            local.allowances = vec![CountAllowance { module: 1, allowed, used: 0 }];
        });
    };
    let needed = || bench.transport.asked.lock().last().unwrap().1["needed"].as_u64();
    then_allows(20);
    initialize(&session).unwrap();
    assert_eq!(needed(), None);
    let pages = |n| session.licensed().unwrap().count_without_reader(&[(UsageKind::Page, 1, n)]);
    assert_eq!(pages(50).unwrap_err().code, ErrorCode::USED_UP);
    // The server has another item for that.
    bench.then_grants_from(LicenseItem { item_id: "other".into(), ..item() }, |local| {
        local.item_id = "other".into();
    });
    session.keep();
    assert_eq!(needed(), Some(50));
    for _ in 0..2 {
        pages(50).unwrap();
        bench.pass(6 * 3600);
        bench.transport.then(Step::RecordAll);
        bench.then_grants_from(LicenseItem { item_id: "other".into(), ..item() }, |local| {
            local.item_id = "other".into();
        });
        session.keep();
        assert_eq!(needed(), Some(50), "the strict item may still have less");
    }
    bench.pass(6 * 3600);
    then_allows(100);
    session.keep();
    assert_eq!(needed(), Some(50));
    pages(50).unwrap();
    bench.pass(6 * 3600);
    bench.transport.then(Step::RecordAll);
    then_allows(105);
    session.keep();
    assert_eq!(needed(), None);
}

#[test]
fn a_license_is_good_offline_to_its_last_second_and_heals_at_the_next_contact() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    bench.pass(7 * DAY_SECONDS - 1);
    bench.transport.then(Step::Silence);
    session.keep();
    assert_eq!(session.status().validity, Some(Validity::Good));
    assert_eq!(session.status().origin, Origin::Cache);
    session.licensed().unwrap().check().unwrap();
    bench.pass(1);
    assert_eq!(
        session.licensed().unwrap().check().unwrap_err().code,
        ErrorCode::LICENSE_SYNC_FAILED
    );
    assert_eq!(session.licensed().unwrap().idle_seats(), -1);
    bench.then_grants();
    session.keep();
    session.licensed().unwrap().check().unwrap();
    assert!(session.status().trouble.is_none());
}

#[test]
fn a_grant_is_renewed_early_in_its_life_and_once() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let asked = bench.asked();
    for _ in 0..3 {
        assert!(session.keep() <= Duration::from_secs(180 + 30));
    }
    assert_eq!(bench.asked(), asked, "a grant that is fresh needs no renewal");
    bench.pass(6 * 3600);
    bench.then_grants();
    session.keep();
    session.keep();
    assert_eq!(bench.asked(), asked + 1);
}

#[test]
fn a_grant_for_one_slot_is_renewed_within_it() {
    let bench = Bench::new(2);
    let session = bench.session("CODE");
    let for_one_slot = |bench: &Bench| {
        let until = bench.clock.unix_seconds() + 180;
        bench.then_grants_from(item(), move |local| local.valid_until = until);
    };
    for_one_slot(&bench);
    initialize(&session).unwrap();
    for _ in 0..20 {
        let pause = session.keep();
        // At least half a minute is left before its end, for another attempt.
        assert!(pause <= Duration::from_secs(150), "{pause:?}");
        bench.pass(pause.as_secs());
        session.licensed().unwrap().check().unwrap();
        for_one_slot(&bench);
    }
}

#[test]
fn a_renewal_that_becomes_due_while_a_round_ends_is_not_left_to_the_next_slot() {
    let bench = Bench::new(2);
    let session = bench.session("CODE");
    let until = bench.clock.unix_seconds() + 180;
    bench.then_grants_from(item(), move |local| local.valid_until = until);
    initialize(&session).unwrap();
    // The license may become due at any second: the round began in the previous one.
    for _ in 0..120 {
        bench.pass(1);
        let now = bench.clock.unix_seconds();
        let pause = session.until_next_round(now - 1);
        assert!(
            now + pause.as_secs() <= until - 30,
            "{pause:?} at {now}, of a license until {until}"
        );
    }
}

#[test]
fn a_renewal_for_fewer_seats_is_for_fewer_seats() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let licensed = session.licensed().unwrap();
    assert_eq!(licensed.idle_seats(), 4);
    bench.pass(6 * 3600);
    bench.then_grants_from(item(), |local| local.seats = 2);
    session.keep();
    assert_eq!(licensed.idle_seats(), 2);
    bench.then_grants();
    let next = bench.session("CODE");
    initialize(&next).unwrap();
    assert_eq!(next.licensed().unwrap().idle_seats(), 2, "also for the next program");
}

#[test]
fn a_program_whose_report_is_answered_by_another_server_asks_that_one_for_a_license() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    count(&session, 3);
    let asked = bench.asked();
    bench.transport.then(Step::Unsigned(200, "{}".into()));
    bench.then_grants();
    session.keep();
    let all = bench.transport.asked.lock();
    let paths: Vec<_> =
        all.iter().skip(asked).map(|(url, _)| url.rsplit('/').next().unwrap()).collect();
    assert_eq!(paths, ["usage", "authorizations"]);
}

#[test]
fn the_program_that_asks_for_most_seats_gets_them_back_after_one_that_asks_for_fewer() {
    let bench = Bench::new(2);
    let asking = |seats| Parameters { seats, ..Bench::parameters("CODE") };
    let (more, fewer) = (bench.licensed_session("CODE"), bench.session("CODE"));
    more.initialize(asking(4), FIRST_CONTACT_BOUND).unwrap();
    fewer.initialize(asking(2), FIRST_CONTACT_BOUND).unwrap();
    bench.pass(6 * 3600);
    bench.then_grants_from(item(), |local| local.seats = 2);
    fewer.keep();
    bench.then_grants();
    let asked = bench.asked();
    more.keep();
    assert_eq!(bench.transport.asked.lock()[asked].1["seats"], 4);
    more.keep();
    fewer.keep();
    assert_eq!(bench.asked(), asked + 1, "then all have what they have asked for");
    for session in [more, fewer] {
        assert_eq!(session.licensed().unwrap().idle_seats(), 4);
    }
}

#[test]
fn a_program_that_counts_nothing_hears_of_the_end_of_its_license() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let licensed = session.licensed().unwrap();
    bench.pass(7 * DAY_SECONDS + 1);
    bench.transport.then(Step::Silence);
    session.keep();
    assert_eq!(licensed.idle_seats(), -1);
    assert!(licensed.take_seat_at_once().is_none());
    assert_eq!(licensed.take_seat().unwrap_err().code, ErrorCode::LICENSE_SYNC_FAILED);
    // The status alone is enough.
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    bench.pass(7 * DAY_SECONDS + 1);
    assert_eq!(session.status().seats_idle, -1);
    bench.then_grants();
    session.keep();
    assert_eq!(session.status().seats_idle, 4);
}

#[test]
fn a_renewal_from_another_item_takes_the_place_of_the_first() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let first = session.licensed().unwrap();
    let _seat = first.take_seat().unwrap();
    let closings = first.closings();
    count(&session, 2);
    bench.pass(6 * 3600);
    bench.transport.then(Step::RecordAll);
    let other = LicenseItem { item_id: "item-2".into(), ..item() };
    bench.then_grants_from(other, |local| local.item_id = "item-2".into());
    session.keep();
    let second = session.licensed().unwrap();
    assert!(!std::ptr::eq(first, second));
    assert_ne!(first.closings(), closings, "its readers are to take a seat of the other");
    assert!(first.holders().is_empty() && second.holders().is_empty());
    count(&session, 3);
    bench.pass(180);
    bench.transport.then(Step::RecordAll);
    session.keep();
    assert_eq!(bench.transport.billed(), 5);
}

#[test]
fn a_server_that_is_busy_is_asked_again_soon() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    bench.pass(6 * 3600);
    bench.then_refuses(ErrorCode::STANDBY_NOT_READY);
    assert!(session.keep() <= Duration::from_secs(4));
}

#[test]
fn a_session_that_was_closed_is_reported_and_not_renewed_until_it_is_initialized_again() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    count(&session, 3);
    bench.transport.then(Step::Silence);
    session.close(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap_err();
    let asked = bench.asked();
    bench.pass(6 * 3600);
    bench.transport.then(Step::RecordAll);
    session.keep();
    assert_eq!((bench.transport.billed(), bench.asked()), (3, asked + 1));
    initialize(&session).unwrap();
    bench.then_grants();
    session.keep();
    assert_eq!(bench.asked(), asked + 2);
}

#[test]
fn what_another_process_of_the_device_has_renewed_is_taken_over() {
    let bench = Bench::new(2);
    let (one, other) = (bench.licensed_session("CODE"), bench.session("CODE"));
    initialize(&other).unwrap();
    bench.then_grants();
    other.keep();
    bench.pass(6 * 3600);
    bench.then_grants();
    one.keep();
    let asked = bench.asked();
    other.keep();
    assert_eq!(bench.asked(), asked);
    let serials = [&one, &other].map(|session| session.licensed().unwrap().grant().local.serial);
    assert_eq!(serials, [FIRST_SERIAL + 2; 2]);
}

#[test]
fn the_grace_after_expiry_is_a_warning_and_its_end_is_the_end() {
    let bench = Bench::new(2);
    let session = bench.session("CODE");
    let item = LicenseItem {
        trial: true,
        ..LicenseItem::new("item-1", local().charge_way, 4, NOW, NOW + DAY_SECONDS)
    };
    bench.then_grants_from(item, |_| {});
    initialize(&session).unwrap();
    assert_eq!(session.status().validity, Some(Validity::Good));
    assert!(session.status().is_trial);
    bench.pass(DAY_SECONDS);
    assert_eq!(session.status().validity, Some(Validity::Grace));
    count(&session, 1);
    bench.pass(7 * DAY_SECONDS);
    assert_eq!(session.licensed().unwrap().check().unwrap_err().code, ErrorCode::EXPIRED);
}

#[test]
fn a_revoked_license_ends_at_the_next_contact_and_its_usage_is_reported() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    count(&session, 3);
    bench.pass(6 * 3600);
    bench.transport.then(Step::RecordAll);
    bench.then_refuses(ErrorCode::REVOKED);
    session.keep();
    assert_eq!(session.licensed().unwrap().check().unwrap_err().code, ErrorCode::REVOKED);
    assert_eq!(session.status().stopped, Some(ErrorCode::REVOKED));
    assert_eq!(bench.transport.billed(), 3);
    // The next program gets the same answer, and a new grant counts as new.
    bench.then_refuses(ErrorCode::REVOKED);
    assert_eq!(initialize(&bench.session("CODE")).unwrap_err().code, ErrorCode::REVOKED);
    bench.then_grants();
    session.keep();
    session.licensed().unwrap().check().unwrap();
    initialize(&bench.session("CODE")).unwrap();
}

#[test]
fn a_refusal_of_a_restored_server_has_everything_told_to_it_again() {
    let bench = Bench::new(2);
    bench.transport.begin_epoch("first");
    let session = bench.licensed_session("CODE");
    count(&session, 3);
    bench.transport.then(Step::RecordAll);
    bench.report(&session).unwrap();
    bench.transport.begin_epoch("second");
    let refusal =
        Problem { epoch: "second".into(), ..Problem::new(403, ErrorCode::EXPIRED, "because") };
    bench.pass(6 * 3600);
    bench.transport.then(Step::Answer(403, serde_json::to_string(&refusal).unwrap()));
    session.keep();
    assert_eq!(bench.transport.billed(), 0);
    bench.transport.then(Step::RecordAll);
    bench.report(&session).unwrap();
    assert_eq!(bench.transport.billed(), 3);
}

#[test]
fn what_was_counted_under_a_license_that_was_given_back_is_reported_though_there_is_no_new_one() {
    let bench = Bench::new(2);
    let session = bench.session("CODE");
    let item = LicenseItem { charge_way: ChargeWay::Server, ..item() };
    bench.then_grants_from(item, |local| (local.charge_way, local.seats) = (ChargeWay::Server, 0));
    initialize(&session).unwrap();
    count(&session, 3);
    bench.transport.then(Step::Silence);
    session.close(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap_err();
    bench.then_refuses(ErrorCode::REVOKED);
    bench.transport.then(Step::RecordAll);
    assert_eq!(initialize(&bench.session("CODE")).unwrap_err().code, ErrorCode::REVOKED);
    assert_eq!(bench.transport.billed(), 3);
}
