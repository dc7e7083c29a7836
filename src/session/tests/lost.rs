//! Tests of files in the state directory that are deleted under a running program, and of what is
//! durable when a server is silent.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::log::set_sink;
use crate::usage::power_cut;

/// An action on the state directory of a session.
type Harm = fn(&Session);

const HARMS: [(&str, Harm); 6] = [
    ("its segments deleted", |session| {
        let folder = session.state.usage().join(&session.name);
        fs::read_dir(folder)
            .unwrap()
            .flatten()
            .for_each(|file| fs::remove_file(file.path()).unwrap());
    }),
    ("usage deleted", |session| fs::remove_dir_all(session.state.usage()).unwrap()),
    ("licenses deleted", |session| fs::remove_dir_all(session.state.licenses()).unwrap()),
    ("seats deleted", |session| fs::remove_dir_all(session.state.seats()).unwrap()),
    ("all of it deleted", |session| fs::remove_dir_all(session.state.path()).unwrap()),
    ("all of it renamed", |session| {
        let aside = session.state.path().with_extension("aside");
        fs::rename(session.state.path(), &aside).unwrap();
    }),
];

#[test]
fn whatever_is_deleted_under_a_running_program_it_counts_reports_renews_and_is_initialized_again() {
    for (why, harm) in HARMS {
        let mut bench = Bench::new(2);
        // This is a directory of its own, which can be deleted as a whole.
        let parent = bench.state;
        bench.state = tempfile::Builder::new().tempdir_in(parent.path()).unwrap();
        let session = bench.licensed_session("CODE");
        let uuid = session.device().uuid().to_owned();
        count(&session, 3);
        harm(&session);
        count(&session, 4);
        session.watch();
        assert_eq!(session.device_uuid(), uuid, "{why}");
        bench.transport.then(Step::RecordAll);
        bench.report(&session).unwrap_or_else(|e| panic!("{why}: {e}"));
        assert_eq!(bench.transport.billed(), 7, "{why}");
        count(&session, 1);
        bench.transport.then(Step::RecordAll);
        bench.then_grants();
        session
            .sync(Deadline::after(bench.clock, Duration::from_secs(5)))
            .unwrap_or_else(|e| panic!("{why}: {e}"));
        session
            .initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND)
            .unwrap_or_else(|e| panic!("{why}: {e}"));
        assert_eq!(bench.transport.billed(), 8, "{why}");
        // Another program finds everything that it needs.
        let next = bench.session("CODE");
        assert_eq!(next.device().uuid().to_owned(), uuid, "{why}");
        next.initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND)
            .unwrap_or_else(|e| panic!("{why}: {e}"));
        drop(parent);
    }
}

#[test]
fn a_program_whose_grant_was_deleted_asks_for_it_at_once_and_goes_on_meanwhile() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    session.watch();
    fs::remove_file(session.store.turn().with_extension("grant")).unwrap();
    session.watch();
    count(&session, 1);
    let asked = bench.asked();
    bench.transport.then(Step::RecordAll);
    bench.then_grants();
    session.keep();
    assert_eq!(bench.asked(), asked + 2);
    assert!(!session.store.is_missing());
}

/// Return the names of the segments of which something is on the disk.
fn on_the_disk(disk: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(disk.path())
        .unwrap()
        .flatten()
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.ends_with(".segment"));
    names.sort();
    names
}

fn segments_of(sessions: &[Session]) -> Vec<String> {
    let folders = sessions.iter().map(|session| session.state.usage().join(&session.name));
    let files: Vec<PathBuf> = folders
        .flat_map(|folder| fs::read_dir(folder).unwrap().flatten().map(|file| file.path()))
        .collect();
    let is_segment = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "segment");
    let names = files
        .iter()
        .filter(is_segment)
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_round_makes_all_durable_before_it_sends_also_when_the_server_is_silent() {
    let (bench, disk) = (Bench::new(2), tempfile::tempdir().unwrap());
    let sessions = ["ONE", "TWO", "THREE"].map(|code| bench.licensed_session(code));
    // One of the segments is of a dead session.
    count(&bench.licensed_session("ONE"), 9);
    sessions.iter().for_each(|session| count(session, 3));
    power_cut::keep_copies_in(disk.path());
    let all = segments_of(&sessions);
    assert_eq!(all.len(), 4);
    bench.transport.then(Step::Silence);
    bench.report(&sessions[0]).unwrap_err();
    assert_eq!(on_the_disk(&disk), all);
}

#[test]
fn what_a_program_has_counted_is_durable_also_while_another_one_has_the_turn_to_report() {
    let (bench, disk) = (Bench::new(2), tempfile::tempdir().unwrap());
    let sessions = [bench.licensed_session("ONE")];
    count(&sessions[0], 3);
    power_cut::keep_copies_in(disk.path());
    let turn = sessions[0]
        .state
        .path()
        .join(format!("sync-{}.lock", sessions[0].server_key().unwrap().id()));
    let file = crate::files::lock_file(&turn).unwrap();
    let _other = crate::os::FileLock::try_lock(file).unwrap().unwrap();
    let _ = sessions[0].report(Deadline::after(bench.clock, Duration::ZERO));
    assert_eq!(on_the_disk(&disk), segments_of(&sessions));
}

#[test]
fn why_a_segment_is_refused_or_set_aside_and_what_was_repaired_is_said_once() {
    let bench = Bench::new(2);
    let session = bench.licensed_session("CODE");
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = said.clone();
    set_sink(Some(Box::new(move |_, line: &str| sink.lock().push(line.to_owned())))).unwrap();
    count(&session, 3);
    let folder = session.state.usage().join(&session.name);
    fs::write(folder.join("torn.segment"), "torn").unwrap();
    for _ in 0..2 {
        bench.transport.then(Step::RecordAllBut(0));
        bench.report(&session).unwrap();
    }
    fs::remove_file(session.state.seats().join("item-1.pool")).unwrap();
    let seat = session.licensed().unwrap().take_seat().unwrap();
    session.watch();
    session.watch();
    crate::log::settle(Duration::from_secs(60));
    set_sink(None).unwrap();
    // Other tests log lines meanwhile.
    let mine = session.state.path().to_str().unwrap().to_owned();
    let lines: Vec<String> =
        said.lock().iter().filter(|line| line.contains(&mine)).cloned().collect();
    let times = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(times("torn.segment cannot be used"), 1, "{lines:?}");
    assert_eq!(times("is not recorded by the license server (because)"), 1, "{lines:?}");
    assert_eq!(times("item-1.pool was deleted or replaced while in use"), 1, "{lines:?}");
    assert_eq!(seat.map(|seat| session.licensed().unwrap().give_seat(seat)), Some(()));
}

// The membership of a start that failed stayed on the lost file, which nothing checks without a
// license. The last of the other programs then took itself for the last of all.
#[cfg(feature = "kill-points")]
#[test]
fn a_program_whose_first_start_failed_keeps_its_license_when_another_program_ends() {
    use crate::fault_injection::disk::{Disk, play};

    let mut failed = 0;
    for fails_at in 1..=12 {
        let bench = Bench::new(2);
        let first = bench.session("CODE");
        let strict = LicenseItem { strict: true, ..pages_item() };
        bench.then_grants_from(strict, |local| {
            (local.charge_way, local.seats) = (ChargeWay::Page, 0);
            local.allowances = vec![CountAllowance { module: 1, allowed: 100, used: 0 }];
        });
        initialize(&first).unwrap();
        drop(first);

        let session = bench.session("CODE");
        play(Disk::FailsOnce(fails_at));
        let outcome = session.use_stored_grant();
        play(Disk::Sound);
        failed += u32::from(outcome.is_err());
        for file in fs::read_dir(session.state.seats()).unwrap().flatten() {
            fs::remove_file(file.path()).unwrap();
        }
        session.watch();
        initialize(&session).unwrap();

        let other = bench.session_of_stored("CODE");
        other.close(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap();
        session.watch();
        count(&session, 1);
    }
    assert!(failed > 0, "no start has failed");
}
