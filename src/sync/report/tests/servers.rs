//! What a server is told that may have forgotten: one that was restored, or a copy.

use super::*;

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
    use super::super::epoch_file;
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
