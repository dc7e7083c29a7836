//! Counters: what is counted where, and what becomes of the segments.

use super::*;
#[cfg(feature = "kill-points")]
use crate::fault_injection::disk::{Disk, Hang, play};
use crate::usage::{Total, attribution, power_cut};
use std::collections::HashMap;
use std::path::Path;

const LICENSE: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";

fn counter(folder: &Path) -> Counter {
    Counter::new(folder.to_owned(), attribution(LICENSE, LICENSE))
}

fn segments(folder: &Path) -> Vec<Segment> {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    files.map(|file| Segment::open(&file.path()).unwrap()).collect()
}

/// Return what a server would have recorded in the end: the largest total of each segment's
/// counter.
fn billed(folder: &Path) -> HashMap<(u32, UsageKind, u32), u64> {
    let mut recorded: HashMap<_, u64> = HashMap::new();
    for (number, segment) in segments(folder).iter().enumerate() {
        for Total { usage, .. } in segment.totals() {
            let total = recorded.entry((number, usage.slot, usage.kind, usage.what)).or_default();
            *total = usage.total.max(*total);
        }
    }
    let mut sums = HashMap::new();
    for ((_, slot, kind, what), total) in recorded {
        *sums.entry((slot, kind, what)).or_default() += total;
    }
    sums
}

#[test]
fn what_is_counted_for_another_uuid_goes_into_other_segments_and_nothing_of_before_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    counter.count(&mut mine, 1, &[(UsageKind::Scan, 1, 2)]).unwrap();
    counter.count_as(attribution(OTHER, OTHER));
    counter.count(&mut mine, 1, &[(UsageKind::Scan, 1, 1)]).unwrap();
    counter.count(&mut mine, 2, &[(UsageKind::Scan, 1, 5)]).unwrap();
    let by_whom = segments(folder.path()).into_iter().map(|segment| {
        let sum: u64 = segment.totals().iter().map(|total| total.usage.total).sum();
        let Attribution { license_id, device_uuid, .. } = segment.header().attribution.clone();
        (device_uuid, license_id, sum)
    });
    let mut by_whom: Vec<_> = by_whom.collect();
    by_whom.sort();
    let expected = [(LICENSE, LICENSE, 3), (OTHER, OTHER, 5)];
    assert_eq!(
        by_whom,
        expected.map(|(device, license, sum)| (device.to_owned(), license.to_owned(), sum))
    );
}

#[test]
fn counts_go_into_the_slot_of_the_work_whoever_counts() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut counting = [SlotEntries::default(), SlotEntries::default()];
    for slot in [1, 2, 2, 1] {
        for mine in &mut counting {
            counter
                .count(mine, slot, &[(UsageKind::Scan, 4, 1), (UsageKind::Image, 0, 1)])
                .unwrap();
        }
    }
    let sums = billed(folder.path());
    assert_eq!(sums[&(1, UsageKind::Scan, 4)], 4);
    assert_eq!(sums[&(2, UsageKind::Scan, 4)], 4);
    assert_eq!(sums[&(2, UsageKind::Image, 0)], 4);
}

#[test]
fn many_counters_fill_many_segments_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    let mut expected: HashMap<(u32, UsageKind, u32), u64> = HashMap::new();
    for step in 0..9_000_u32 {
        let (slot, what) = (step / 9, step % 9);
        counter.count(&mut mine, slot, &[(UsageKind::Scan, what, 2)]).unwrap();
        *expected.entry((slot, UsageKind::Scan, what)).or_default() += 2;
    }
    assert!(segments(folder.path()).len() > 4);
    assert_eq!(billed(folder.path()), expected);
}

#[test]
fn nothing_is_made_before_the_first_count_and_an_unwritable_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "no folder").unwrap();
    let counter = counter(&folder.path().join("file"));
    let error =
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 1, 1)]).unwrap_err();
    assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
}

#[test]
fn threads_that_count_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let counter = &counter;
            scope.spawn(move || {
                let mut mine = SlotEntries::default();
                for step in 0..2_000 {
                    let work = [(UsageKind::Scan, thread % 2, 1), (UsageKind::Image, 0, 1)];
                    counter.count(&mut mine, step / 100, &work).unwrap();
                }
            });
        }
    });
    let sums = billed(folder.path());
    let total = |kind| sums.iter().filter(|((_, k, _), _)| *k == kind).map(|(_, n)| n).sum::<u64>();
    assert_eq!((total(UsageKind::Scan), total(UsageKind::Image)), (8_000, 8_000));
}

#[test]
fn who_counts_beside_others_has_a_segment_of_his_own_and_who_comes_after_them_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let work = [(UsageKind::Scan, 4, 1)];
    for _ in 0..10 {
        counter.count(&mut SlotEntries::default(), 1, &work).unwrap();
    }
    assert_eq!(segments(folder.path()).len(), 1);
    let mut at_once: Vec<SlotEntries> = (0..10).map(|_| SlotEntries::default()).collect();
    at_once.iter_mut().for_each(|mine| counter.count(mine, 1, &work).unwrap());
    assert_eq!(segments(folder.path()).len(), LANES);
    assert_eq!(billed(folder.path())[&(1, UsageKind::Scan, 4)], 20);
}

#[test]
fn whoever_comes_late_to_a_slot_counts_into_the_counter_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let work = [(UsageKind::Scan, 4, 1)];
    // Two threads meet at the edge of a slot, or a clock was set back a little.
    for slot in [1, 2, 1, 2, 1] {
        counter.count(&mut SlotEntries::default(), slot, &work).unwrap();
    }
    let billed = billed(folder.path());
    assert_eq!(billed[&(1, UsageKind::Scan, 4)], 3);
    assert_eq!(billed[&(2, UsageKind::Scan, 4)], 2);
}

#[test]
fn a_full_segment_is_let_go_while_the_process_lives() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    for slot in 0..9_000 {
        counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
    }
    assert_eq!(counter.check_files().carried, []);
    let segments = segments(folder.path());
    assert_eq!(segments.iter().filter(|segment| !segment.is_held()).count(), 1, "the one in use");
    assert!(segments.len() > 4);
}

#[test]
fn a_segment_in_use_is_looked_at_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    counter.count(&mut mine, 1, &[(UsageKind::Scan, 4, 1)]).unwrap();
    for _ in 0..3 {
        assert_eq!(counter.check_files().carried, []);
    }
    std::fs::remove_file(segments(folder.path())[0].path()).unwrap();
    assert_eq!(counter.check_files().carried.len(), 1);
}

#[test]
fn the_next_segment_is_there_before_the_present_one_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    for slot in 0..2_000 {
        counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
    }
    assert_eq!(segments(folder.path()).len(), 1);
    counter.check_files();
    counter.check_files();
    assert_eq!(segments(folder.path()).len(), 2);
    for slot in 2_000..3_000 {
        counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
    }
    assert_eq!(segments(folder.path()).len(), 2, "who counts has made none");
    counter.close();
    let let_go = segments(folder.path()).iter().filter(|segment| segment.is_held()).count();
    assert_eq!(let_go, 1, "the second is there as long as somebody is at it");
}

#[test]
fn the_next_segment_is_made_when_less_than_a_quarter_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    let mut slots = 0_u32..;
    let mut count = || {
        let work = [(UsageKind::Scan, 4, 1)];
        counter.count(&mut mine, slots.next().unwrap(), &work).unwrap();
        counter.lanes.iter().filter_map(|lane| Some(lane.lock().segment.as_ref()?.room())).min()
    };
    while count() != Some(ROOM_MIN) {}
    counter.check_files();
    assert_eq!(segments(folder.path()).len(), 1);
    count();
    counter.check_files();
    assert_eq!(segments(folder.path()).len(), 2);
}

#[test]
fn who_catches_up_counts_at_once_for_the_new_license() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    let mut count = |is_up_to_date: bool| {
        if is_up_to_date {
            counter.catch_up(&mut mine);
        }
        counter.count(&mut mine, 1, &[(UsageKind::Scan, 1, 1)]).unwrap();
    };
    (0..2).for_each(|_| count(true));
    assert_eq!(segments(folder.path()).len(), 1, "nothing has changed");
    counter.count_as(attribution(OTHER, OTHER));
    count(false);
    assert_eq!(segments(folder.path()).len(), 1);
    (0..2).for_each(|_| count(true));
    let of_other = segments(folder.path()).into_iter().filter(|segment| {
        segment.header().attribution.license_id == OTHER && segment.totals()[0].usage.total == 2
    });
    assert_eq!(of_other.count(), 1);
}

#[test]
fn it_begins_other_segments_and_lets_go_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    counter.count(&mut mine, 1, &[(UsageKind::Scan, 1, 1)]).unwrap();
    counter.begin_segments();
    counter.count(&mut mine, 2, &[(UsageKind::Scan, 1, 1)]).unwrap();
    assert_eq!(segments(folder.path()).len(), 2);
    assert!(!counter.has_let_go());
    counter.close();
    assert!(counter.has_let_go());
}

#[test]
fn what_it_has_counted_can_be_made_durable() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    power_cut::keep_copies_in(disk.path());
    let counter = counter(folder.path());
    counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 1, 1)]).unwrap();
    let copies = || std::fs::read_dir(disk.path()).unwrap().count();
    assert_eq!(copies(), 0);
    counter.make_durable(&Durable::default());
    assert_eq!(copies(), 1);
}

#[cfg(feature = "kill-points")]
#[test]
fn a_segment_that_was_prepared_for_the_license_of_before_gets_no_counts() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    let mut count = |slots: std::ops::Range<u32>| {
        for slot in slots {
            counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
        }
    };
    count(0..2_000);
    let hang: &'static Hang = Box::leak(Box::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            play(Disk::Hangs(hang));
            counter.prepare();
        });
        hang.await_one();
        counter.count_as(attribution(OTHER, OTHER));
        count(2_000..4_000);
        hang.let_go();
    });
    count(4_000..6_000);
    let of_before = segments(folder.path())
        .into_iter()
        .filter(|segment| segment.header().attribution.license_id == LICENSE);
    assert_eq!(of_before.map(|segment| segment.totals().len()).sum::<usize>(), 2_000);
}

#[cfg(feature = "kill-points")]
#[test]
fn who_prepares_a_segment_on_a_disk_that_hangs_keeps_no_count_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    for slot in 0..2_000 {
        counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
    }
    let hang: &'static Hang = Box::leak(Box::default());
    let are_free = std::thread::scope(|scope| {
        scope.spawn(|| {
            play(Disk::Hangs(hang));
            counter.prepare();
        });
        hang.await_one();
        let are_free = counter.lanes.iter().all(|lane| lane.try_lock().is_some());
        hang.let_go();
        are_free
    });
    assert!(are_free, "a count in a new slot needs its lane");
    assert_eq!(segments(folder.path()).len(), 2);
}

#[test]
fn a_number_above_the_largest_of_one_call_is_refused_and_counts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut mine = SlotEntries::default();
    counter.count(&mut mine, 1, &[(UsageKind::Scan, 4, WORK_MAX)]).unwrap();
    for n in [WORK_MAX + 1, u64::MAX] {
        let work = [(UsageKind::Image, 0, 1), (UsageKind::Scan, 4, n)];
        let error = counter.count(&mut mine, 1, &work).unwrap_err();
        assert_eq!(error.code, ErrorCode::PARAMETER_VALUE_INVALID);
    }
    assert_eq!(billed(folder.path()), HashMap::from([((1, UsageKind::Scan, 4), WORK_MAX)]));
}

#[test]
fn however_much_is_counted_in_a_slot_no_total_is_above_what_a_server_records() {
    let folder = tempfile::tempdir().unwrap();
    let counter = counter(folder.path());
    let mut counting = [SlotEntries::default(), SlotEntries::default(), SlotEntries::default()];
    for _ in 0..10 {
        for mine in &mut counting {
            let work = [(UsageKind::Image, 0, 1), (UsageKind::Scan, 4, WORK_MAX)];
            counter.count(mine, 1, &work).unwrap();
            counter.count(mine, 1, &[(UsageKind::Scan, 8, 1)]).unwrap();
        }
        counter.check_files();
    }
    let sums = billed(folder.path());
    assert_eq!(sums[&(1, UsageKind::Scan, 4)], 30 * WORK_MAX);
    assert_eq!(sums[&(1, UsageKind::Scan, 8)], 30);
    assert_eq!(sums[&(1, UsageKind::Image, 0)], 30);
    let totals = segments(folder.path()).into_iter().flat_map(|segment| segment.totals());
    assert!(totals.map(|total| total.usage.total).all(|total| total <= TOTAL_MAX));
}
