//! Tests of stored licenses: each serves a program that presents what it was granted for, and
//! includes the server notices.

use seatmeter_protocol::charge_way::ChargeWay;

use super::*;
use crate::parameters::Settings;

/// The credentials that a program presents.
#[derive(Clone, Copy)]
struct Shows {
    password: &'static str,
    site: &'static str,
    application: &'static str,
    program: &'static str,
}

const RIGHT: Shows = Shows { password: "right", site: "", application: "", program: "app" };

fn parameters(shows: Shows) -> Parameters {
    let Shows { password, site, application, program } = shows;
    let settings = Settings {
        website_domain: site.into(),
        application_id: application.into(),
        ..Settings::default()
    };
    let plain = Bench::parameters("CODE");
    Parameters { session_password: password.into(), settings, program: program.into(), ..plain }
}

/// Return a session of a new program of the device, which is not initialized yet.
fn program(bench: &Bench, shows: Shows) -> Session {
    let session = bench.session("CODE");
    Session::open(parameters(shows), session.state.clone(), session.dependencies).unwrap()
}

fn begin(session: &Session, shows: Shows) -> Result<()> {
    session.initialize(parameters(shows), FIRST_CONTACT_BOUND)
}

fn licensed_program(bench: &Bench, shows: Shows) -> Session {
    let session = program(bench, shows);
    bench.then_grants();
    begin(&session, shows).unwrap();
    session
}

fn code(outcome: Result<()>) -> ErrorCode {
    outcome.unwrap_err().code
}

fn others() -> [(Shows, ErrorCode); 5] {
    [
        (Shows { password: "wrong", ..RIGHT }, ErrorCode::SESSION_PASSWORD_WRONG),
        (Shows { password: "", ..RIGHT }, ErrorCode::SESSION_PASSWORD_WRONG),
        (Shows { site: "other.com", ..RIGHT }, ErrorCode::DOMAIN_MISMATCH),
        (Shows { application: "other", ..RIGHT }, ErrorCode::VALIDATION_FIELD_MISMATCH),
        (Shows { program: "tool", ..RIGHT }, ErrorCode::VALIDATION_FIELD_MISMATCH),
    ]
}

#[test]
fn a_stored_license_serves_at_once_a_program_that_presents_what_it_was_granted_for() {
    let bench = Bench::new(2);
    licensed_program(&bench, RIGHT);
    let asked = bench.asked();
    begin(&program(&bench, RIGHT), RIGHT).unwrap();
    assert_eq!(bench.asked(), asked);
}

#[test]
fn with_other_credentials_the_server_is_asked_first_and_its_refusal_ends_nothing_of_others() {
    for (other, refusal) in others() {
        let bench = Bench::new(2);
        let first = licensed_program(&bench, RIGHT);
        let second = program(&bench, other);
        bench.transport.then(Step::Silence);
        assert_eq!(
            code(begin(&second, other)),
            ErrorCode::FAILED_TO_REACH_SERVER,
            "without a server"
        );
        // A new grant name has no key yet, and then nothing is reported.
        bench.then_refuses(refusal);
        assert_eq!(code(begin(&second, other)), refusal);
        assert!(second.licensed().is_none());
        // The keeper of the first continues, even with a renewal, and its next start succeeds.
        first.keep();
        first.licensed().unwrap().check().unwrap();
        let asked = bench.asked();
        begin(&program(&bench, RIGHT), RIGHT).unwrap();
        assert_eq!(bench.asked(), asked);
    }
}

#[test]
fn a_password_that_was_changed_stops_the_programs_that_have_the_old_one_and_no_other() {
    let bench = Bench::new(2);
    let old = licensed_program(&bench, RIGHT);
    let new_password = Shows { password: "new", ..RIGHT };
    let new = licensed_program(&bench, new_password);
    // The program with the new password renews. The other one must not live on that renewal.
    bench.pass(6 * 3600);
    bench.then_grants();
    new.keep();
    bench.then_refuses(ErrorCode::SESSION_PASSWORD_WRONG);
    old.keep();
    assert_eq!(
        old.licensed().unwrap().check().unwrap_err().code,
        ErrorCode::SESSION_PASSWORD_WRONG
    );
    assert_eq!(old.status().stopped, Some(ErrorCode::SESSION_PASSWORD_WRONG));
    new.keep();
    new.licensed().unwrap().check().unwrap();
    // The program stays stopped without a server, and at the next start, too.
    bench.transport.then(Step::Silence);
    assert_eq!(code(begin(&program(&bench, RIGHT), RIGHT)), ErrorCode::FAILED_TO_REACH_SERVER);
    bench.pass(180);
    bench.transport.then(Step::Silence);
    old.keep();
    assert!(old.licensed().unwrap().check().is_err());
    begin(&program(&bench, new_password), new_password).unwrap();
    // The operator restores the old password.
    bench.then_grants();
    old.sync(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap();
    old.licensed().unwrap().check().unwrap();
}

#[test]
fn a_refusal_that_is_not_signed_takes_no_license_away() {
    let bench = Bench::new(2);
    let session = licensed_program(&bench, RIGHT);
    bench.pass(6 * 3600);
    bench.transport.then(Step::Unsigned(403, problem(ErrorCode::SESSION_PASSWORD_WRONG)));
    session.keep();
    session.licensed().unwrap().check().unwrap();
    begin(&program(&bench, RIGHT), RIGHT).unwrap();
}

#[test]
fn a_code_that_is_good_for_any_executable_serves_all_of_them_at_once() {
    let bench = Bench::new(2);
    let session = program(&bench, RIGHT);
    bench.then_grants_to_any_program();
    begin(&session, RIGHT).unwrap();
    let tool = Shows { program: "tool", ..RIGHT };
    let asked = bench.asked();
    begin(&program(&bench, tool), tool).unwrap();
    assert_eq!(bench.asked(), asked);
    let wrong = Shows { password: "wrong", ..tool };
    bench.then_refuses(ErrorCode::SESSION_PASSWORD_WRONG);
    assert_eq!(code(begin(&program(&bench, wrong), wrong)), ErrorCode::SESSION_PASSWORD_WRONG);
}

const OCR: u32 = 4;

fn meters(state: MeterState) -> Vec<Meter> {
    vec![Meter { of: Metered::Pages, module: OCR, quota: 5, used: 6, grace: 0, state }]
}

fn count_ocr(session: &Session) -> Result<()> {
    session.licensed().unwrap().count_without_reader(&[(UsageKind::Page, OCR, 1)])
}

/// Return a device whose first program has learned from a report that a module is used up.
fn used_up_module() -> (Bench, Session) {
    let bench = Bench::new(2);
    let session = bench.session("CODE");
    bench.then_grants_from(pages_item(), |local| {
        (local.charge_way, local.seats) = (ChargeWay::Page, 0)
    });
    initialize(&session).unwrap();
    count_ocr(&session).unwrap();
    let standing = ItemStanding { item_id: item().item_id, meters: meters(MeterState::UsedUp) };
    bench.transport.then(Step::RecordAllAnd(vec![standing]));
    bench.report(&session).unwrap();
    (bench, session)
}

#[test]
fn a_used_up_module_binds_a_program_that_starts_later() {
    let (bench, first) = used_up_module();
    assert_eq!(count_ocr(&first).unwrap_err().code, ErrorCode::USED_UP);
    let second = bench.session("CODE");
    initialize(&second).unwrap();
    assert_eq!(count_ocr(&second).unwrap_err().code, ErrorCode::USED_UP);
    count(&second, 1);
}

#[test]
fn what_is_told_is_known_under_every_grant_of_the_item() {
    let bench = Bench::new(2);
    let grants = |code: &'static str| {
        let session = bench.session(code);
        bench.then_grants_from(pages_item(), |local| {
            (local.charge_way, local.seats) = (ChargeWay::Page, 0)
        });
        session.initialize(Bench::parameters(code), FIRST_CONTACT_BOUND).unwrap();
        session
    };
    let (one, _other) = (grants("ONE"), grants("OTHER"));
    count_ocr(&one).unwrap();
    let standing = ItemStanding { item_id: item().item_id, meters: meters(MeterState::UsedUp) };
    bench.transport.then(Step::RecordAllAnd(vec![standing]));
    bench.report(&one).unwrap();
    let next = bench.session("OTHER");
    next.initialize(Bench::parameters("OTHER"), FIRST_CONTACT_BOUND).unwrap();
    assert_eq!(count_ocr(&next).unwrap_err().code, ErrorCode::USED_UP);
    bench.pass(6 * 3600);
    bench.then_refuses(ErrorCode::REVOKED);
    one.keep();
    bench.transport.then(Step::Silence);
    let last = bench.session("OTHER");
    let outcome = last.initialize(Bench::parameters("OTHER"), FIRST_CONTACT_BOUND);
    assert_eq!(code(outcome), ErrorCode::FAILED_TO_REACH_SERVER);
}

#[test]
fn a_note_that_is_missing_beside_a_license_has_the_server_asked_before_work() {
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    let tear = |path: &Path| std::fs::write(path, "torn").unwrap();
    let copy = |path: &Path| {
        // The valid note of another grant name does not vouch for this one.
        let folder = path.parent().unwrap();
        let others = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let is_notice = |other: &PathBuf| other != path && other.extension() == path.extension();
        std::fs::copy(others.into_iter().find(is_notice).unwrap(), path).unwrap();
    };
    for harm in [remove as fn(&Path), tear, copy] {
        let bench = Bench::new(2);
        bench.licensed_session("OTHER");
        let first = bench.licensed_session("CODE");
        bench.pass(6 * 3600);
        bench.then_refuses(ErrorCode::REVOKED);
        first.keep();
        harm(&bench.state.path().join("licenses").join(format!("{}.notice", first.name)));
        // One of the running programs has received the notice. A notice about the item's use does
        // not undo it.
        first.note_standing(
            &ItemStanding { item_id: item().item_id, meters: Vec::new() },
            key(2).public(),
        );
        let second = bench.session("CODE");
        bench.transport.then(Step::Silence);
        assert_eq!(code(initialize(&second)), ErrorCode::FAILED_TO_REACH_SERVER);
        bench.then_refuses(ErrorCode::REVOKED);
        assert_eq!(code(initialize(&second)), ErrorCode::REVOKED);
        bench.then_grants();
        initialize(&second).unwrap();
        let asked = bench.asked();
        initialize(&bench.session("CODE")).unwrap();
        assert_eq!(bench.asked(), asked);
    }
}

#[test]
fn a_program_whose_notes_are_lost_while_it_works_asks_with_its_next_round() {
    for ending in ["notice", "grant"] {
        let bench = Bench::new(2);
        let session = bench.licensed_session("CODE");
        std::fs::remove_file(
            bench.state.path().join("licenses").join(format!("{}.{ending}", session.name)),
        )
        .unwrap();
        let asked = bench.asked();
        bench.then_grants();
        session.keep();
        session.keep();
        assert_eq!(bench.asked(), asked + 1, "{ending}");
    }
}

#[test]
fn a_lost_root_key_is_made_again_from_the_grant_and_a_copy_still_takes_a_fresh_uuid() {
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    let tear = |path: &Path| std::fs::write(path, "torn").unwrap();
    for harm in [remove as fn(&Path), tear] {
        let bench = Bench::new(2);
        let name = bench.licensed_session("CODE").name;
        let path = bench.state.path().join("licenses").join(format!("{name}.root-key"));
        harm(&path);
        let session = bench.session("CODE");
        let before = session.device().uuid().to_owned();
        initialize(&session).unwrap();
        assert!(path.is_file());
        harm(&path);
        bench.then_refuses(ErrorCode::DEVICE_CLONED);
        bench.then_grants();
        session.keep();
        assert_ne!(session.device().uuid().to_owned(), before);
        session.licensed().unwrap().check().unwrap();
    }
}
