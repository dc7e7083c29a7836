use std::path::{Path, PathBuf};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{Problem, TOTALS_MAX, UsageKind};
use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::{PublicKey, Signed, SigningKey};

use super::round::files;
use super::{Reported, Reporting, report};
use crate::clock::test_support::HandClock;
use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::Result;
use crate::license::ServerRecord;
use crate::license::test_support as license_support;
use crate::sync::exchange::Servers;
use crate::sync::scripted::{RunningFile, Scripted, Step};
use crate::usage::{
    Attribution, Counter, Durable, SEGMENT_ENDING, Segment, SlotEntries, attribution,
};

const LICENSE: &str = "00112233445566778899aabbccddeeff";

/// Return the result of a first report.
fn reported(totals: usize, removed: usize, refused: usize) -> Reported {
    Reported { totals, removed, refused, ..Reported::default() }
}

struct Bench {
    folder: tempfile::TempDir,
    transport: Scripted,
    key: SigningKey,
    /// The key that must sign the answers.
    signer: SigningKey,
    durable: Durable,
    notes: crate::os::locks::Mutex<Vec<String>>,
}

impl Bench {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let key = || SigningKey::from_seed(&hex::encode([1; 32])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let transport = Scripted::new(key(), steps);
        Self {
            folder,
            transport,
            key: key(),
            signer: key(),
            durable: Durable::default(),
            notes: crate::os::locks::Mutex::default(),
        }
    }

    fn counter(&self) -> Counter {
        Counter::new(self.folder.path().to_owned(), attribution(LICENSE, LICENSE))
    }

    fn report(&self) -> Result<Reported> {
        self.report_after_grant("")
    }

    fn report_after_grant(&self, epoch: &str) -> Result<Reported> {
        self.report_by(&HandClock::at(0), epoch)
    }

    fn report_by(&self, clock: &dyn Clock, epoch: &str) -> Result<Reported> {
        let urls = ["http://main".to_owned()];
        let servers = Servers { transport: &self.transport, clock, urls: &urls, known_key: None };
        let deadline = Deadline::after(clock, Duration::from_secs(10));
        self.durable.begin_round();
        let reported = report(&Reporting {
            device: &Device::with_former(LICENSE, OTHER),
            record: &ServerRecord::at(&self.folder.path().join("none")),
            servers: &servers,
            folder: self.folder.path(),
            key: self.key.public(),
            signer: self.signer.public(),
            epoch,
            store: None,
            durable: &self.durable,
            is_ours: true,
            deadline,
        });
        let lines =
            reported.notes.iter().map(|note| format!("{} {}", note.path.display(), note.what));
        self.notes.lock().extend(lines);
        let Reported { totals, removed, refused, again, .. } = reported.into_result()?;
        Ok(Reported { totals, removed, refused, again, ..Reported::default() })
    }

    /// Return the number of files that are still to be reported or swept away.
    fn files(&self) -> usize {
        let is_kept = |path: &PathBuf| path.extension().is_none_or(|e| e == "acknowledged");
        files(self.folder.path()).unwrap().iter().filter(|path| !is_kept(path)).count()
    }

    /// Return the totals of the nth request.
    fn sent(&self, n: usize) -> Vec<u64> {
        let asked = self.transport.asked.lock();
        let totals = asked[n].1["segments"][0]["totals"].as_array().unwrap();
        totals.iter().filter_map(|total| total["total"].as_u64()).collect()
    }
}

#[test]
fn nothing_to_say_is_not_said() {
    let bench = Bench::new([]);
    assert_eq!(bench.report().unwrap(), Reported::default());
}

#[test]
fn what_a_dead_process_left_behind_is_reported_and_removed() {
    let bench = Bench::new([Step::RecordAll]);
    let counter = bench.counter();
    counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
    drop(counter);
    assert_eq!(bench.report().unwrap(), reported(1, 1, 0));
    assert_eq!((bench.sent(0), bench.files()), (vec![3], 0));
}

#[test]
fn the_holder_of_a_key_that_was_replaced_acknowledges_nothing() {
    let mut bench = Bench::new([Step::RecordAll, Step::RecordAll]);
    bench.signer = SigningKey::from_seed(&hex::encode([2; 32])).unwrap();
    let counter = bench.counter();
    counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
    drop(counter);
    assert_eq!(bench.report().unwrap_err().code, ErrorCode::LICENSE_SYNC_FAILED);
    bench.signer = SigningKey::from_seed(&hex::encode([1; 32])).unwrap();
    assert_eq!(bench.report().unwrap(), reported(1, 1, 0));
}

#[test]
fn totals_are_sent_and_not_differences_and_only_when_they_have_grown() {
    let bench = Bench::new([Step::RecordAll, Step::RecordAll]);
    let counter = bench.counter();
    for _ in 0..2 {
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
        assert_eq!(bench.report().unwrap().totals, 1);
        assert_eq!(bench.report().unwrap().totals, 0, "quiet when nothing has changed");
    }
    assert_eq!((bench.sent(0), bench.sent(1)), (vec![3], vec![6]));
}

#[test]
fn a_lost_answer_makes_the_same_totals_go_again() {
    let bench = Bench::new([Step::RecordAllAndLoseAnswer, Step::RecordAll]);
    drop({
        let counter = bench.counter();
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
        counter
    });
    assert_eq!(bench.report().unwrap_err().code, ErrorCode::FAILED_TO_REACH_SERVER);
    assert_eq!(bench.files(), 1, "kept until acknowledged");
    assert_eq!(bench.report().unwrap().removed, 1);
    assert_eq!((bench.sent(0), bench.sent(1)), (vec![3], vec![3]));
}

#[test]
fn a_damaged_segment_is_set_aside_and_the_others_are_reported() {
    let bench = Bench::new([Step::RecordAll]);
    std::fs::write(bench.folder.path().join("torn.segment"), b"SMSE").unwrap();
    let counter = bench.counter();
    counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
    assert_eq!(bench.report().unwrap().totals, 1);
    assert!(bench.folder.path().join("torn.segment.damaged-1").exists());
    let notes = bench.notes.lock();
    let told = |part| notes[0].contains(part);
    assert!(
        notes.len() == 1 && told("torn.segment cannot be used") && told("torn.segment.damaged-1"),
        "{notes:?}"
    );
}

#[test]
fn more_than_fits_into_one_report_goes_in_several() {
    let bench = Bench::new([Step::RecordAll, Step::RecordAll, Step::RecordAll]);
    let counter = bench.counter();
    let count = u32::try_from(TOTALS_MAX * 2 + 10).unwrap();
    for slot in 0..count {
        counter.count(&mut SlotEntries::default(), slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
    }
    drop(counter);
    let reported = bench.report().unwrap();
    assert_eq!(reported.totals, TOTALS_MAX * 2 + 10);
    assert_eq!((bench.transport.asked.lock().len(), bench.files()), (3, 0));
}

const OTHER: &str = "ffeeddccbbaa99887766554433221100";

/// Count scans as a process that then dies.
fn count_and_die(bench: &Bench, n: u64) {
    let counter = bench.counter();
    counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, n)]).unwrap();
}

#[test]
fn what_is_counted_while_a_report_is_under_way_goes_with_the_next() {
    let bench = Bench::new([]);
    let counter = std::sync::Arc::new(bench.counter());
    let count = {
        let counter = counter.clone();
        move || counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap()
    };
    count();
    bench.transport.then(Step::During(Box::new(count)));
    assert_eq!(bench.report().unwrap().totals, 1);
    bench.transport.then(Step::RecordAll);
    assert_eq!(bench.report().unwrap().totals, 1);
    assert_eq!((bench.sent(0), bench.sent(1)), (vec![1], vec![2]));
}

#[test]
fn an_answer_to_an_earlier_report_acknowledges_nothing() {
    let bench = Bench::new([Step::RecordAllAndLoseAnswer, Step::Replay(0), Step::RecordAll]);
    count_and_die(&bench, 3);
    assert!(bench.report().is_err());
    count_and_die(&bench, 5);
    let error = bench.report().unwrap_err();
    assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED, "late, and signed for another request");
    assert_eq!(bench.files(), 2);
    assert_eq!(bench.report().unwrap().removed, 2);
    assert_eq!(bench.transport.billed(), 8);
}

#[test]
fn a_request_that_arrives_twice_is_billed_once() {
    let bench = Bench::new([Step::RecordAllTwice]);
    count_and_die(&bench, 3);
    assert_eq!(bench.report().unwrap().removed, 1);
    assert_eq!(bench.transport.billed(), 3);
}

#[test]
fn an_answer_that_lists_what_was_never_sent_acknowledges_nothing_else() {
    let recorded = serde_json::json!({ "recorded": [OTHER] }).to_string();
    let bench = Bench::new([Step::Answer(200, recorded), Step::RecordAll]);
    count_and_die(&bench, 3);
    assert_eq!(bench.report().unwrap(), reported(0, 0, 1));
    assert_eq!(bench.report().unwrap(), reported(1, 1, 0));
}

#[test]
fn a_refused_segment_stays_and_the_others_go() {
    let bench = Bench::new([Step::RecordAllBut(1), Step::RecordAll]);
    for n in [1, 2, 4] {
        count_and_die(&bench, n);
    }
    assert_eq!(bench.report().unwrap(), reported(2, 2, 1));
    assert_eq!(bench.files(), 1);
    let told = bench.notes.lock().join("");
    assert!(told.contains(".segment is not recorded by the license server (because)"), "{told}");
    assert_eq!(bench.report().unwrap(), reported(1, 1, 0));
    assert_eq!(bench.transport.billed(), 7);
}

#[test]
fn two_processes_that_report_at_once_bill_once() {
    let steps = || (0..40).map(|_| Step::RecordAll);
    let (bench, live) = (Bench::new(steps()), 20);
    for n in 1..=live {
        count_and_die(&bench, n);
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| bench.report().unwrap());
        }
    });
    assert_eq!((bench.transport.billed(), bench.files()), (live * (live + 1) / 2, 0));
}

#[test]
fn what_was_counted_under_an_earlier_uuid_is_reported_under_it() {
    let bench = Bench::new([Step::RecordAll, Step::RecordAll]);
    count_and_die(&bench, 3);
    let earlier = Counter::new(bench.folder.path().to_owned(), attribution(LICENSE, OTHER));
    earlier.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
    drop(earlier);
    assert_eq!(bench.report().unwrap().removed, 2);
    let asked = bench.transport.asked.lock();
    let mut devices: Vec<_> =
        asked.iter().map(|(_, body)| body["device"]["uuid"].clone()).collect();
    devices.sort_by_key(ToString::to_string);
    assert_eq!(devices, [LICENSE, OTHER]);
}

#[test]
fn a_segment_that_cannot_be_read_does_not_hold_up_the_others() {
    let bench = Bench::new([Step::RecordAll]);
    let _busy = RunningFile::at(&bench.folder.path().join("odd.segment"));
    count_and_die(&bench, 3);
    assert_eq!(bench.report().unwrap_err().code, ErrorCode::LICENSE_BUFFER_FAILED);
    assert_eq!((bench.transport.billed(), bench.files()), (3, 1));
}

#[test]
fn what_is_no_file_in_the_place_of_a_segment_is_set_aside() {
    let folder = |path: &Path| std::fs::create_dir(path).unwrap();
    let link = |path: &Path| std::os::unix::fs::symlink("/nowhere/at all", path).unwrap();
    for make in [folder, link] as [fn(&Path); 2] {
        let bench = Bench::new([Step::RecordAll]);
        make(&bench.folder.path().join("odd.segment"));
        count_and_die(&bench, 3);
        bench.report().unwrap();
        assert_eq!(bench.transport.billed(), 3);
        bench.folder.path().join("odd.segment").symlink_metadata().unwrap_err();
        bench.folder.path().join("odd.segment.damaged-1").symlink_metadata().unwrap();
    }
}

#[test]
fn a_file_that_a_killed_process_left_unfinished_is_swept_away() {
    let bench = Bench::new([]);
    std::fs::write(bench.folder.path().join(format!("{OTHER}.new")), b"").unwrap();
    assert_eq!(bench.report().unwrap(), Reported::default());
    assert_eq!(bench.files(), 0);
}

#[test]
fn months_of_segments_take_few_descriptors_of_the_host() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (sender, during) = std::sync::mpsc::channel();
    let counted = Box::new(move || sender.send(open()).unwrap());
    let bench = Bench::new([Step::During(counted), Step::RecordAll]);
    for _ in 0..300 {
        count_and_die(&bench, 1);
    }
    let before = open();
    assert_eq!(bench.report().unwrap().removed, 300);
    // Other tests of this process open some files, too, but not hundreds.
    assert!(during.recv().unwrap() < before + 100);
    assert_eq!(bench.transport.billed(), 300);
}

/// A clock that advances a tenth of a second at each reading, as on a disk that is slow to make
/// durable.
struct SlowDisk(HandClock);

impl Clock for SlowDisk {
    fn wall_ms(&self) -> u64 {
        self.0.wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.0.boot_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.pass(100);
        self.0.monotonic_ms()
    }
}

#[test]
fn on_a_slow_disk_what_is_durable_goes_in_time_and_the_rest_with_the_next_reports() {
    let bench = Bench::new((0..100).map(|_| Step::RecordAll));
    for _ in 0..300 {
        count_and_die(&bench, 1);
    }
    let clock = SlowDisk(HandClock::at(0));
    let error = bench.report_by(&clock, "").unwrap_err();
    assert_eq!(error.code, ErrorCode::FAILED_TO_REACH_SERVER);
    let billed = bench.transport.billed();
    assert!((20..200).contains(&billed), "what the time sufficed for: {billed}");
    assert_eq!(bench.files() as u64, 300 - billed);
    let rounds = (0..20).take_while(|_| bench.report_by(&clock, "").is_err()).count();
    assert!(rounds < 20);
    assert_eq!((bench.transport.billed(), bench.files()), (300, 0));
}

#[test]
fn a_restored_server_is_told_everything_again() {
    let bench = Bench::new([]);
    bench.transport.begin_epoch("first");
    count_and_die(&bench, 3);
    let counter = bench.counter();
    for (slot, n) in [(0, 5), (1, 7)] {
        counter.count(&mut SlotEntries::default(), slot, &[(UsageKind::Scan, 4, n)]).unwrap();
    }
    bench.transport.then(Step::RecordAll);
    assert_eq!(bench.report().unwrap(), reported(3, 1, 0));
    assert_eq!(bench.transport.billed(), 15);

    bench.transport.begin_epoch("second");
    assert_eq!(bench.transport.billed(), 0);
    counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 4, 1)]).unwrap();
    // The answer to new totals shows that the server may have forgotten. If an answer is lost then,
    // the device still reports again.
    for step in [Step::RecordAll, Step::Silence] {
        bench.transport.then(step);
    }
    assert!(bench.report().is_err());
    for _ in 0..3 {
        bench.transport.then(Step::RecordAll);
    }
    bench.report().unwrap();
    assert_eq!(
        bench.transport.billed(),
        16,
        "those that are gone, those that rest, those that grow"
    );
    assert_eq!(bench.report().unwrap(), Reported::default(), "and quiet again");
}

#[cfg(feature = "kill-points")]
#[test]
fn a_restored_server_has_not_got_everything_while_a_segment_cannot_be_made_durable() {
    use super::epoch_file;
    use crate::fault_injection::disk::{Disk, play};
    let mut failed = 0;
    for failing in 1..8 {
        let bench = Bench::new([Step::RecordAll]);
        bench.transport.begin_epoch("first");
        let counter = bench.counter();
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 5)]).unwrap();
        bench.report().unwrap();
        bench.transport.begin_epoch("second");
        for _ in 0..3 {
            bench.transport.then(Step::RecordAll);
        }
        play(Disk::FailsOnce(failing));
        let told = bench.report_after_grant("second");
        play(Disk::Sound);
        failed += u32::from(told.is_err());
        // A power cut now would bring back what the server before has acknowledged.
        let noted = epoch_file(bench.folder.path(), bench.key.public()).peek::<String>();
        assert!(
            noted.as_deref() != Some("second") || bench.transport.billed() == 5,
            "use {failing} fails"
        );
        bench.report_after_grant("second").unwrap();
        assert_eq!(bench.transport.billed(), 5, "use {failing} has failed");
    }
    assert!(failed > 1, "{failed} uses of the disk failed");
}

/// Note the license under which the device counts in the record of the server, and return it.
fn note_license(bench: &Bench) -> Signed {
    let local = LocalLicense { license_id: LICENSE.into(), ..license_support::local() };
    let license = Signed::seal(&local, &bench.key).unwrap();
    let agree = || Agreement::begin().unwrap();
    let report_key = agree().of_device(agree().share(), LICENSE).unwrap();
    let record = ServerRecord::at(&bench.folder.path().join("none"));
    record.note("http://main", &license, &report_key, "").unwrap();
    license
}

/// The answer of a server that does not know the license of the first segment.
fn license_is_unknown(request: &serde_json::Value) -> (u16, String) {
    let refused = serde_json::json!([{
        "segment_id": request["segments"][0]["segment_id"], "code": "license_unknown",
        "reason": "there is no such license",
    }]);
    (200, serde_json::json!({ "recorded": [], "refused": refused }).to_string())
}

#[test]
fn a_server_that_does_not_know_a_license_is_shown_it_at_once() {
    let bench = Bench::new([Step::Reply(Box::new(license_is_unknown)), Step::RecordAll]);
    let license = note_license(&bench);
    count_and_die(&bench, 3);
    assert_eq!(bench.report().unwrap(), reported(1, 1, 0));
    let shown = |n: usize| {
        bench.transport.asked.lock()[n].1["segments"][0]["local_license"]["payload"].clone()
    };
    assert_eq!((shown(0), shown(1)), (serde_json::Value::Null, license.payload.into()));
}

#[test]
fn a_license_that_the_device_has_lost_is_not_asked_for_twice_in_a_round() {
    let bench = Bench::new([Step::Reply(Box::new(license_is_unknown))]);
    count_and_die(&bench, 3);
    assert_eq!(bench.report().unwrap().refused, 1);
    assert_eq!((bench.transport.asked.lock().len(), bench.files()), (1, 1));
}

#[test]
fn a_restored_server_is_shown_licenses_that_the_device_no_longer_works_under() {
    let bench = Bench::new([Step::RecordAll]);
    bench.transport.begin_epoch("first");
    count_and_die(&bench, 3);
    bench.report().unwrap();
    let license = note_license(&bench);
    bench.transport.begin_epoch("second");
    bench.transport.then(Step::RecordAll);
    bench.report_after_grant("second").unwrap();
    let asked = bench.transport.asked.lock();
    let shown = &asked.last().unwrap().1["segments"][0]["local_license"];
    assert_eq!(shown["payload"], license.payload.as_str(), "it may have forgotten it");
}

#[test]
fn what_a_restored_server_refuses_of_the_archive_is_sent_until_it_is_recorded() {
    let bench = Bench::new([Step::RecordAll]);
    bench.transport.begin_epoch("first");
    count_and_die(&bench, 3);
    bench.report().unwrap();
    assert_eq!(bench.files(), 0, "the segment is in the archive");
    // The license file of the restored server is missing.
    bench.transport.begin_epoch("second");
    bench.transport.then(Step::RecordAllBut(0));
    assert_eq!(bench.report_after_grant("second").unwrap().refused, 1);
    assert_eq!((bench.transport.billed(), bench.files()), (0, 1));
    bench.transport.then(Step::RecordAll);
    assert_eq!(bench.report().unwrap().removed, 1);
    assert_eq!((bench.transport.billed(), bench.files()), (3, 0));
    assert_eq!(bench.report().unwrap(), Reported::default(), "and quiet again");
}

#[test]
fn a_former_uuid_that_the_server_does_not_know_holds_up_nothing_else() {
    let bench = Bench::new([]);
    let earlier = Counter::new(bench.folder.path().to_owned(), attribution(LICENSE, OTHER));
    earlier.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
    drop(earlier);
    count_and_die(&bench, 3);
    for _ in 0..2 {
        bench.transport.then(Step::Reply(Box::new(|request| {
            if request["device"]["uuid"] == OTHER {
                let unknown = Problem::new(403, ErrorCode::DEVICE_NOT_MATCH, "unknown");
                return (403, serde_json::to_string(&unknown).unwrap());
            }
            let id = &request["segments"][0]["segment_id"];
            (200, serde_json::json!({ "recorded": [id] }).to_string())
        })));
    }
    assert_eq!(bench.report().unwrap_err().code, ErrorCode::DEVICE_NOT_MATCH);
    assert_eq!(bench.files(), 1, "what the former UUID has counted is kept");
    bench.transport.then(Step::RecordAll);
    assert_eq!(bench.report().unwrap().removed, 1);
}

#[test]
fn a_device_whose_note_of_the_epoch_is_lost_tells_everything_again() {
    let bench = Bench::new([Step::RecordAll]);
    bench.transport.begin_epoch("first");
    count_and_die(&bench, 3);
    bench.report().unwrap();
    let note = files(bench.folder.path()).unwrap().into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("epoch-"))
    });
    std::fs::remove_file(note.unwrap()).unwrap();
    // The server was restored meanwhile, which the lost note would have shown.
    bench.transport.begin_epoch("second");
    count_and_die(&bench, 1);
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::Silence);
    assert!(bench.report().is_err());
    bench.transport.then(Step::RecordAll);
    bench.report_after_grant("second").unwrap();
    assert_eq!(bench.transport.billed(), 4);
    assert_eq!(bench.report().unwrap(), Reported::default(), "and quiet again");
}

#[test]
fn a_server_that_was_left_for_its_copy_hears_what_the_copy_has_recorded() {
    let bench = Bench::new([Step::RecordAll]);
    bench.transport.begin_epoch("first");
    count_and_die(&bench, 3);
    bench.report().unwrap();
    // Another server with the same key records more, and goes before it has got the rest.
    bench.transport.begin_epoch("second");
    count_and_die(&bench, 1);
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::Silence);
    assert!(bench.report().is_err());
    bench.transport.begin_epoch("first");
    bench.transport.then(Step::RecordAll);
    bench.report_after_grant("first").unwrap();
    assert_eq!(bench.transport.billed(), 4);
}

#[test]
fn while_two_servers_answer_in_turn_neither_is_taken_to_know_everything() {
    let bench = Bench::new([]);
    bench.transport.begin_epoch("first");
    for _ in 0..300 {
        count_and_die(&bench, 1);
    }
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::RecordAll);
    bench.report().unwrap();
    // Everything is told again in two requests, of which another server gets the second.
    bench.transport.then(Step::RecordAll);
    bench.transport.then(Step::RecordAllIn("second"));
    bench.report_after_grant("third").unwrap();
    bench.transport.begin_epoch("second");
    for _ in 0..2 {
        bench.transport.then(Step::RecordAll);
    }
    bench.report_after_grant("second").unwrap();
    assert_eq!(bench.transport.billed(), 300);
}

#[test]
fn a_device_that_was_cut_off_in_its_first_report_hears_of_a_restore_all_the_same() {
    let bench = Bench::new([Step::RecordAll, Step::Silence]);
    bench.transport.begin_epoch("first");
    for _ in 0..300 {
        count_and_die(&bench, 1);
    }
    assert!(bench.report().is_err(), "of two requests the second is not answered");
    bench.transport.begin_epoch("second");
    for _ in 0..3 {
        bench.transport.then(Step::RecordAll);
    }
    bench.report().unwrap();
    assert_eq!(bench.transport.billed(), 300);
}

#[test]
fn a_device_with_nothing_new_hears_of_the_restore_with_its_next_grant() {
    let bench = Bench::new([Step::RecordAll]);
    bench.transport.begin_epoch("first");
    count_and_die(&bench, 3);
    bench.report().unwrap();
    bench.transport.begin_epoch("second");
    for _ in 0..2 {
        bench.transport.then(Step::RecordAll);
        bench.report_after_grant("second").unwrap();
        assert_eq!(bench.transport.billed(), 3);
        assert_eq!(bench.transport.asked.lock().len(), 2, "once");
    }
}

#[test]
fn after_a_power_cut_the_device_is_never_behind_the_server() {
    let bench = Bench::new([]);
    let disk = tempfile::tempdir().unwrap();
    crate::usage::power_cut::keep_copies_in(disk.path());
    let counter = bench.counter();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut mine = SlotEntries::default();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                counter.count(&mut mine, 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
            }
        });
        for _ in 0..200 {
            bench.transport.then(Step::RecordAll);
            bench.report().unwrap();
            // The power is cut now: the device finds this state.
            let segments = std::fs::read_dir(disk.path()).unwrap().flatten();
            let left: u64 = segments
                .flat_map(|file| Segment::open(&file.path()).unwrap().totals())
                .map(|total| total.usage.total)
                .sum();
            let billed = bench.transport.billed();
            assert!(billed <= left, "billed {billed}, left on the disk {left}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn what_another_server_has_recorded_stays_so_when_this_one_names_another_epoch() {
    let bench = Bench::new([]);
    let other = PublicKey::from_bytes([7; 32]);
    let theirs = Counter::new(
        bench.folder.path().to_owned(),
        Attribution { server: other, ..attribution(LICENSE, LICENSE) },
    );
    theirs.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
    let segment = || {
        let files = files(bench.folder.path()).unwrap().into_iter();
        let mut segments =
            files.filter(|path| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING));
        Segment::open(&segments.next().unwrap()).unwrap()
    };
    segment().acknowledge(0, 2);
    for epoch in ["one", "two"] {
        bench.report_after_grant(epoch).unwrap();
        assert_eq!(segment().totals()[0].acknowledged, 2, "nothing of it is this server's");
    }
    assert_eq!(bench.transport.asked.lock().len(), 0);
}
