//! A full disk loses no count that was taken. The next count fails with the reason.
//!
//! Where no small disk can be made, the test says that it was skipped.

use std::path::Path;

use seatmeter::usage::{Attribution, Counter, Segment, SlotEntries};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::PublicKey;

use crate::small_disk;

const ID: &str = "00112233445566778899aabbccddeeff";

fn attribution() -> Attribution {
    let server = PublicKey::from_bytes([7; 32]);
    Attribution { license_id: ID.into(), device_uuid: ID.into(), server }
}

#[test]
fn a_full_disk_costs_no_count_and_is_explained() {
    match small_disk::place() {
        Some(disk) => count_on_a_full_disk(&disk),
        None => {
            small_disk::run_with("1m", "full_disk::a_full_disk_costs_no_count_and_is_explained")
        }
    }
}

fn count_on_a_full_disk(disk: &Path) {
    let counter = Counter::new(disk.to_owned(), attribution());
    let mut mine = SlotEntries::default();
    let work = [(UsageKind::Scan, 4, 1), (UsageKind::Image, 0, 1)];
    let mut counted = 0;
    let mut slot = 0;
    // Two counters a slot: the disk has room for some fifteen segments of 2 048.
    let error = loop {
        match counter.count(&mut mine, slot, &work) {
            Ok(()) => counted += 1,
            Err(error) => break error,
        }
        slot += 1;
        assert!(slot < 100_000, "the disk never fills");
    };
    assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
    assert_eq!(error.code.0, -20002);
    assert!(error.message.contains("No space left"), "{error}");
    assert!(error.message.contains(disk.to_str().unwrap()), "{error}");
    assert_eq!(billed(disk), [counted, counted], "what was taken is there, and nothing else");
    // A counter that already exists can still grow.
    counter.count(&mut SlotEntries::default(), slot - 1, &work).unwrap();
    assert!(counter.count(&mut mine, slot, &work).is_err(), "still full");
    // When space is freed, counting continues. A full segment has no owner any more after the next
    // check.
    assert!(counter.check_files().failed.is_none());
    let files = std::fs::read_dir(disk).unwrap().flatten().map(|entry| entry.path());
    let full = files
        .filter_map(|path| Some((Segment::open(&path).ok()?, path)))
        .find(|(s, _)| s.is_held());
    let (segment, path) = full.unwrap();
    let in_freed: u64 = segment.totals().iter().map(|total| total.usage.total).sum();
    drop(segment);
    std::fs::remove_file(path).unwrap();
    counter.count(&mut mine, slot, &work).unwrap();
    let [scans, images] = billed(disk);
    assert_eq!(scans + images + in_freed, 2 * (counted + 2));
}

/// Return the sums of scans and images in all segments.
fn billed(folder: &Path) -> [u64; 2] {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let totals: Vec<_> = files.flat_map(|path| Segment::open(&path).unwrap().totals()).collect();
    [UsageKind::Scan, UsageKind::Image].map(|kind| {
        totals.iter().filter(|total| total.usage.kind == kind).map(|total| total.usage.total).sum()
    })
}
