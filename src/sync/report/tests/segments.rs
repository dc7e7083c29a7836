//! What is sent of the segments, and what becomes of them.

use super::*;

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
