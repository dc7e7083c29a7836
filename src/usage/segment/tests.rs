use std::fs::File;

use super::file::{ENTRIES, ENTRIES_MAX, fill_file};
use super::test_support::attribution;
use super::*;

const LICENSE: &str = "00112233445566778899aabbccddeeff";
const DEVICE: &str = "ffeeddccbbaa99887766554433221100";

fn new_segment(folder: &Path) -> Segment {
    Segment::create(folder, &attribution(LICENSE, DEVICE), 7).unwrap()
}

#[test]
fn what_one_counts_another_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    let entry = mine.entry(10, UsageKind::Scan, 4).unwrap();
    mine.count(entry, 3);
    mine.count(entry, 2);
    let seen = Segment::open(&mine.path()).unwrap();
    assert_eq!(seen.header(), mine.header());
    assert!(!seen.is_held(), "the owner lives");
    let usage = UsageTotal { slot: 10, kind: UsageKind::Scan, what: 4, total: 5 };
    assert_eq!(seen.totals(), [Total { entry, usage, acknowledged: 0 }]);
}

#[test]
fn a_segment_goes_when_its_owner_is_gone_and_all_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    let entry = mine.entry(10, UsageKind::Scan, 4).unwrap();
    mine.count(entry, 3);
    let path = mine.path();
    let seen = Segment::open(&path).unwrap();
    seen.acknowledge(entry, 3);
    assert!(
        !seen.remove_if_done(&Archive::new(folder.path())).unwrap(),
        "the owner may count more"
    );
    drop(mine);
    let adopted = Segment::open(&path).unwrap();
    assert!(adopted.is_held());
    adopted.count(entry, 1);
    assert!(
        !adopted.remove_if_done(&Archive::new(folder.path())).unwrap(),
        "something is not acknowledged"
    );
    adopted.acknowledge(entry, 4);
    assert!(adopted.remove_if_done(&Archive::new(folder.path())).unwrap());
    assert!(!path.exists());
}

#[test]
fn acknowledgements_never_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    let entry = mine.entry(1, UsageKind::Image, 0).unwrap();
    mine.count(entry, 9);
    mine.acknowledge(entry, 9);
    mine.acknowledge(entry, 4);
    assert_eq!(mine.totals()[0].acknowledged, 9);
}

#[test]
fn a_full_segment_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    for slot in 0..ENTRIES {
        let entry = mine.entry(slot, UsageKind::Scan, 1).unwrap();
        mine.count(entry, 1);
    }
    assert_eq!(mine.entry(ENTRIES, UsageKind::Scan, 1), None);
    assert_eq!(mine.totals().len(), ENTRIES as usize);
}

#[test]
fn damage_is_refused_or_skipped_and_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    for slot in 0..3 {
        let entry = mine.entry(slot, UsageKind::Scan, 1).unwrap();
        mine.count(entry, 1);
    }
    let path = mine.path();
    drop(mine);
    let good = fs::read(&path).unwrap();
    for length in [0, 1, 0x48, HEADER_BYTES - 1, HEADER_BYTES, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(Segment::open(&path).is_err(), "cut to {length}");
    }
    for (length, why) in [(HEADER_BYTES - 1, "its header"), (good.len() - 1, "cut short")] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(Segment::open(&path).unwrap_err().to_string().contains(why));
    }
    fs::write(&path, [&good[..], b"more"].concat()).unwrap();
    assert_eq!(Segment::open(&path).unwrap().totals().len(), 3, "what follows means nothing");
    // The range is 0x48 bytes of header and its check, with nothing between.
    for offset in 0..0x50 {
        let mut bytes = good.clone();
        bytes[offset] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(Segment::open(&path).is_err(), "byte {offset}");
    }
    let mut bytes = good;
    bytes[HEADER_BYTES + ENTRY_BYTES] ^= 1; // the slot of the second entry
    fs::write(&path, bytes).unwrap();
    let slots: Vec<u32> =
        Segment::open(&path).unwrap().totals().iter().map(|t| t.usage.slot).collect();
    assert_eq!(slots, [0, 2]);
}

/// Return the bytes of a segment with an acknowledged counter in each of three slots, changed by
/// `damage`.
fn damaged_segment(folder: &Path, damage: impl FnOnce(&mut [u8])) -> PathBuf {
    let mine = new_segment(folder);
    for slot in 0..3 {
        let entry = mine.entry(slot, UsageKind::Scan, 1).unwrap();
        mine.count(entry, 7);
        mine.acknowledge(entry, 7);
    }
    let path = mine.path();
    drop(mine);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes[HEADER_BYTES + ENTRY_BYTES..]);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_counter_has_one_entry_however_often_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    let first = mine.entry(1, UsageKind::Scan, 4).unwrap();
    assert_ne!(mine.entry(2, UsageKind::Scan, 4).unwrap(), first);
    assert_eq!(mine.entry(1, UsageKind::Scan, 4).unwrap(), first);
}

#[test]
fn a_segment_with_damage_is_kept_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    for (offset, byte) in [(0x00, 9), (0x04, 0), (0x04, 77), (0x0c, 1), (0x10, 6), (0x17, 0xff)] {
        let path = damaged_segment(folder.path(), |entry| entry[offset] = byte);
        let adopted = Segment::open(&path).unwrap();
        let slots: Vec<u32> = adopted.totals().iter().map(|t| t.usage.slot).collect();
        assert_eq!(slots, [0, 2], "the others count, byte {offset:#x}");
        assert!(adopted.remove_if_done(&Archive::new(folder.path())).unwrap());
        assert!(!path.exists());
        let aside = PathBuf::from(format!("{}.damaged-1", path.display()));
        assert!(aside.exists(), "byte {offset:#x}");
    }
}

#[test]
fn a_damaged_entry_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged_segment(folder.path(), |entry| entry[0x04] = 0);
    let adopted = Segment::open(&path).unwrap();
    let entry = adopted.entry(9, UsageKind::Page, 1).unwrap();
    adopted.count(entry, 1);
    let total = adopted.totals().into_iter().find(|total| total.usage.slot == 9);
    assert_eq!(total.unwrap().usage.total, 1, "not with what the damaged one had counted");
}

#[test]
fn a_newer_librarys_segment_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged_segment(folder.path(), |_| {});
    let mut bytes = fs::read(&path).unwrap();
    bytes[0x08] = 2;
    fs::write(&path, bytes).unwrap();
    assert_eq!(Segment::open(&path).unwrap_err().kind(), io::ErrorKind::Unsupported);
}

#[test]
fn a_segment_names_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = PublicKey::from_bytes([7; 32]);
    let named = Attribution { server, ..attribution(LICENSE, DEVICE) };
    let path = Segment::create(folder.path(), &named, 7).unwrap().path();
    assert_eq!(Segment::open(&path).unwrap().header().attribution, named);
}

#[test]
fn an_unfinished_file_is_swept_away_and_one_in_the_making_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left.new");
    fs::write(&left, b"").unwrap();
    Segment::sweep_unfinished(&left).unwrap();
    assert!(!left.exists());
    fs::write(&left, b"").unwrap();
    let made = File::options().read(true).write(true).open(&left).unwrap();
    let _lock = FileLock::try_lock(made).unwrap().unwrap();
    Segment::sweep_unfinished(&left).unwrap();
    assert!(left.exists());
}

#[test]
fn a_file_whose_owner_counts_into_it_is_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    let path = mine.path();
    Segment::set_aside_damaged(&path).unwrap();
    assert!(path.exists());
    drop(mine);
    Segment::set_aside_damaged(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_folder_or_a_link_with_the_name_of_a_segment_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("1.segment"), folder.path().join("2.segment"));
    fs::create_dir(&path).unwrap();
    std::os::unix::fs::symlink("1.segment", &link).unwrap();
    for path in [path, link] {
        let aside = Segment::set_aside_damaged(&path).unwrap().unwrap();
        assert!(path.symlink_metadata().is_err() && aside.symlink_metadata().is_ok());
        assert_eq!(Segment::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn who_only_reads_a_file_sees_what_its_counters_hold() {
    let folder = tempfile::tempdir().unwrap();
    let segment =
        Segment::create(folder.path(), &attribution(&"1".repeat(32), &"2".repeat(32)), 0).unwrap();
    for (slot, n) in [(7, 3), (9, 1 << 40)] {
        let entry = segment.entry(slot, UsageKind::Page, 4).unwrap();
        segment.count(entry, n);
        segment.acknowledge(entry, n / 2);
    }
    let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let read =
        seatmeter_protocol::segment_layout::read_segment(&std::fs::read(path).unwrap()).unwrap();
    let ours: Vec<_> =
        segment.totals().iter().map(|total| (total.usage, total.acknowledged)).collect();
    assert_eq!(
        read.iter().map(|counted| (counted.usage, counted.acknowledged)).collect::<Vec<_>>(),
        ours
    );
    assert_eq!(ours.len(), 2);
}

#[test]
fn a_header_that_claims_more_entries_than_any_library_makes_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let header = new_segment(folder.path()).header();
    let open = |entries| {
        let path = folder.path().join(format!("{entries}.new"));
        drop(fill_file(&path, &header, entries).unwrap());
        Segment::open(&path).map(|segment| segment.entries).ok()
    };
    assert_eq!(open(0), Some(0));
    assert_eq!(open(ENTRIES_MAX), Some(ENTRIES_MAX));
    assert_eq!(open(ENTRIES_MAX + 1), None);
}

#[test]
fn the_checks_change_with_each_bit() {
    assert_eq!((mix(0), mix(1)), (0, 0xb456_bcfc_34c2_cb2c));
    assert_eq!(mix(0x0123_4567_89ab_cdef), 0x87cb_fbfe_8902_2cea);
    for (slot, kind, what) in [(0, 0, 0), (10_000_000, 3, 0x0100_0000), (u32::MAX, 255, u32::MAX)] {
        let check = entry_check(slot, kind, what);
        for bit in 0..32 {
            assert_ne!(entry_check(slot ^ 1 << bit, kind, what), check);
            assert_ne!(entry_check(slot, kind, what ^ 1 << bit), check);
            assert_ne!(entry_check(slot, kind ^ 1 << (bit % 8), what), check);
        }
    }
}

#[test]
fn a_segment_of_the_archive_is_made_again_once_with_its_totals_and_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let total = |slot, total| UsageTotal { slot, kind: UsageKind::Scan, what: 4, total };
    let archived = |totals: Vec<UsageTotal>| Acknowledged {
        device_uuid: DEVICE.to_owned(),
        server: attribution(LICENSE, DEVICE).server,
        segment: SegmentReport {
            segment_id: "1".repeat(32),
            license_id: LICENSE.to_owned(),
            local_license: None,
            totals,
        },
    };
    let totals = vec![total(12, 5), total(10, 7)];
    let again = archived(totals.clone());
    let made = Segment::make_again(folder.path(), &again).unwrap().unwrap();
    let header = made.header();
    assert_eq!((header.begun_at, header.attribution), (10 * 180, attribution(LICENSE, DEVICE)));
    assert_eq!(made.totals().iter().map(|total| total.usage).collect::<Vec<_>>(), totals);
    assert!(made.totals().iter().all(|total| total.acknowledged == 0));
    assert!(Segment::make_again(folder.path(), &again).unwrap().is_none(), "it is there");
    let wrong = SegmentReport { segment_id: "../other".to_owned(), ..archived(totals).segment };
    let error = Segment::make_again(folder.path(), &Acknowledged { segment: wrong, ..again });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_file_that_was_swept_away_is_made_again_and_other_errors_are_told_at_once() {
    let tries = |kind: io::ErrorKind, fails: u32| {
        let mut calls = 0;
        let made = until_made(|| {
            calls += 1;
            if calls <= fails { Err(io::Error::from(kind)) } else { Ok(()) }
        });
        (made.is_ok(), calls)
    };
    for swept in [io::ErrorKind::ResourceBusy, io::ErrorKind::NotFound] {
        assert_eq!(tries(swept, CREATE_ATTEMPTS - 1), (true, CREATE_ATTEMPTS));
        assert_eq!(tries(swept, CREATE_ATTEMPTS), (false, CREATE_ATTEMPTS));
    }
    assert_eq!(tries(io::ErrorKind::StorageFull, 1), (false, 1));
}

#[cfg(feature = "kill-points")]
#[test]
fn a_segment_stays_until_the_archive_and_the_disk_have_taken_it() {
    use crate::fault_injection::disk::{Disk, play};
    let folder = tempfile::tempdir().unwrap();
    let mine = new_segment(folder.path());
    let entry = mine.entry(10, UsageKind::Scan, 4).unwrap();
    mine.count(entry, 3);
    mine.acknowledge(entry, 3);
    let archive = Archive::new(folder.path());
    // To grow the archive, to make it durable, and to remove the file.
    for nth in 1..=3 {
        play(Disk::FailsOnce(nth));
        let removed = mine.remove_if_done(&archive);
        play(Disk::Sound);
        assert!(removed.is_err(), "use {nth}");
        assert!(mine.path().exists(), "use {nth}");
    }
    assert!(mine.remove_if_done(&archive).unwrap());
    assert!(!mine.path().exists());
}
