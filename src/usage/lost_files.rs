//! Files that are deleted, renamed, replaced or cut short while they are counted into.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;

use super::{Archive, Carried, Counter, SEGMENT_ENDING, Segment, SlotEntries, attribution};

const ID: &str = "00112233445566778899aabbccddeeff";

/// A usage folder within a state directory, a counter in it, and a server.
struct Bench {
    state: tempfile::TempDir,
    counter: Counter,
    mine: SlotEntries,
    performed: u64,
    /// The server's records: the largest total of each segment's counter.
    recorded: BTreeMap<(String, u32), u64>,
}

impl Bench {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let counter = Counter::new(state.path().join("usage/name"), attribution(ID, ID));
        let mut bench = Self {
            state,
            counter,
            mine: SlotEntries::default(),
            performed: 0,
            recorded: BTreeMap::new(),
        };
        bench.count(1, 5);
        bench.count(2, 7);
        bench
    }

    fn usage(&self) -> PathBuf {
        self.state.path().join("usage/name")
    }

    fn count(&mut self, slot: u32, n: u64) {
        self.counter.count(&mut self.mine, slot, &[(UsageKind::Scan, 4, n)]).unwrap();
        self.performed += n;
    }

    fn segments(&self) -> Vec<Segment> {
        let files =
            fs::read_dir(self.usage()).into_iter().flatten().flatten().map(|entry| entry.path());
        let named =
            files.filter(|path| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING));
        named.filter_map(|path| Segment::open(&path).ok()).collect()
    }

    fn file(&self) -> PathBuf {
        self.segments()[0].path()
    }

    /// Report what is in the folder, as any process of the device does.
    fn report(&mut self) {
        for segment in self.segments() {
            for total in segment.totals() {
                let counter = (segment.header().segment_id, total.usage.slot);
                let recorded = self.recorded.entry(counter).or_default();
                *recorded = total.usage.total.max(*recorded);
                segment.acknowledge(total.entry, total.usage.total);
            }
            let _ = segment.remove_if_done(&Archive::new(&self.usage()));
        }
        assert!(self.billed() <= self.performed, "billed twice");
    }

    fn billed(&self) -> u64 {
        self.recorded.values().sum()
    }

    /// Check the files, count more, and end: everything must then be billed exactly once.
    fn must_bill_all(mut self, why: &str) {
        let checked = self.counter.check_files();
        assert!(checked.failed.is_none(), "{why}: {checked:?}");
        assert_eq!(checked.carried.len(), 1, "{why}");
        assert_eq!(self.counter.check_files().carried, [], "{why}: it was carried once for all");
        self.report();
        assert_eq!(self.billed(), self.performed, "{why}: all that was counted is there again");
        self.count(2, 3);
        self.count(3, 1);
        self.report();
        self.counter.close();
        self.mine = SlotEntries::default();
        self.report();
        assert_eq!(self.billed(), self.performed, "{why}");
        assert_eq!(self.segments().len(), 0, "{why}: and nothing is left of it");
    }
}

/// An action on a file, or on a folder above it.
type Harm = fn(&Path);

fn moved(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.moved", path.file_name().unwrap().display()))
}

const HARMS: [(&str, Harm); 9] = [
    ("deleted", |file| fs::remove_file(file).unwrap()),
    ("renamed", |file| fs::rename(file, moved(file)).unwrap()),
    ("renamed to another segment", |file| {
        fs::rename(file, file.with_file_name(format!("{ID}.{SEGMENT_ENDING}"))).unwrap();
    }),
    ("replaced by a copy", |file| {
        fs::copy(file, moved(file)).unwrap();
        fs::rename(moved(file), file).unwrap();
    }),
    ("replaced by something else", |file| {
        fs::remove_file(file).unwrap();
        fs::write(file, "something else").unwrap();
    }),
    ("replaced by a folder", |file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    }),
    ("its folder deleted", |file| fs::remove_dir_all(file.parent().unwrap()).unwrap()),
    ("the folder above deleted", |file| {
        fs::remove_dir_all(file.ancestors().nth(2).unwrap()).unwrap()
    }),
    ("the folder above renamed and made again", |file| {
        let usage = file.ancestors().nth(2).unwrap();
        fs::rename(usage, moved(usage)).unwrap();
        fs::create_dir(usage).unwrap();
    }),
];

#[test]
fn whatever_happens_to_the_name_of_a_file_what_is_counted_into_it_is_billed_once() {
    for (why, harm) in HARMS {
        let mut bench = Bench::new();
        harm(&bench.file());
        // Counting continues between the harm and the check.
        bench.count(2, 2);
        bench.must_bill_all(why);
        let mut bench = Bench::new();
        bench.report();
        bench.count(2, 1);
        harm(&bench.file());
        bench.count(1, 2);
        bench.must_bill_all(&format!("{why}, after a report"));
    }
}

#[test]
fn a_file_that_comes_back_is_the_same_segment_and_the_greater_total_holds() {
    let mut bench = Bench::new();
    let (file, aside) = (bench.file(), bench.state.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    bench.counter.check_files();
    bench.count(2, 10);
    bench.report();
    assert_eq!(bench.billed(), bench.performed);
    fs::rename(&aside, &file).unwrap();
    bench.count(2, 1);
    bench.report();
    bench.must_bill_all("it came back");
}

#[test]
fn threads_that_count_while_their_files_are_deleted_again_and_again_lose_nothing() {
    let bench = Bench::new();
    let is_over = AtomicBool::new(false);
    let counted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (counter, is_over) = (&bench.counter, &is_over);
                scope.spawn(move || {
                    let (mut mine, mut counted) = (SlotEntries::default(), 0);
                    while !is_over.load(Ordering::Relaxed) {
                        // The counters are new all the time: they are filled while the file is
                        // carried.
                        let slot = u32::try_from(counted / 50 % 200).unwrap();
                        counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
                        counted += 1;
                    }
                    counted
                })
            })
            .collect();
        for _ in 0..100 {
            bench.segments().iter().for_each(|segment| _ = fs::remove_file(segment.path()));
            assert!(bench.counter.check_files().failed.is_none());
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    bench.counter.check_files();
    let totals = bench
        .segments()
        .iter()
        .flat_map(Segment::totals)
        .map(|total| total.usage.total)
        .sum::<u64>();
    assert_eq!(totals, bench.performed + counted);
}

#[test]
fn what_was_acknowledged_stays_so_and_what_was_taken_back_too() {
    let mut bench = Bench::new();
    bench.report();
    let acknowledged = |bench: &Bench| {
        bench.segments()[0].totals().iter().map(|total| total.acknowledged).sum::<u64>()
    };
    fs::remove_file(bench.file()).unwrap();
    bench.counter.check_files();
    assert_eq!(acknowledged(&bench), 12);
    // A reporter has the previous file open and learns that the server has forgotten.
    let before = Segment::open(&bench.file()).unwrap();
    fs::remove_file(bench.file()).unwrap();
    before.forget_acknowledgements();
    bench.counter.check_files();
    assert_eq!(acknowledged(&bench), 0);
    bench.report();
    let before = Segment::open(&bench.file()).unwrap();
    fs::remove_file(bench.file()).unwrap();
    bench.counter.check_files();
    before.forget_acknowledgements();
    assert_eq!(acknowledged(&bench), 0, "in the new file, too");
}

#[test]
fn who_removes_a_file_that_was_moved_away_leaves_the_one_in_its_place() {
    let mut bench = Bench::new();
    bench.report();
    let file = bench.file();
    let copy = moved(&file);
    fs::copy(&file, &copy).unwrap();
    fs::rename(&copy, &file).unwrap();
    // The file has no owner, and all of it is acknowledged.
    let adopted = Segment::open(&file).unwrap();
    assert!(adopted.is_held());
    bench.counter.check_files();
    assert!(adopted.remove_if_done(&Archive::new(&bench.usage())).unwrap());
    assert!(file.exists(), "the living owner's");
}

#[test]
fn what_cannot_be_carried_is_kept_in_memory_until_it_can_be() {
    let mut bench = Bench::new();
    let usage = bench.state.path().join("usage");
    fs::remove_dir_all(&usage).unwrap();
    fs::write(&usage, "in the way").unwrap();
    for _ in 0..2 {
        let error = bench.counter.check_files().failed.unwrap();
        assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
        assert!(error.message.contains(usage.to_str().unwrap()), "{error}");
        bench.count(2, 1);
    }
    fs::remove_file(&usage).unwrap();
    bench.must_bill_all("the way is free");
}

#[test]
fn a_file_that_was_cut_short_is_lost_and_counting_goes_on_in_another() {
    for length in [0, 4096, 8192, 69_631] {
        let mut bench = Bench::new();
        bench.report();
        let recorded = bench.billed();
        let file = bench.file();
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length).unwrap();
        let checked = bench.counter.check_files();
        assert_eq!(checked.carried, [Carried::Cut { path: file.clone() }], "{length}");
        assert!(!file.exists(), "it is set aside");
        for slot in [1, 2, 3] {
            bench.counter.count(&mut bench.mine, slot, &[(UsageKind::Scan, 4, 2)]).unwrap();
        }
        bench.performed += 6;
        bench.counter.close();
        bench.report();
        assert_eq!(bench.billed(), recorded + 6, "cut to {length}");
    }
}

#[test]
fn a_file_that_was_cut_short_before_it_was_deleted_is_lost_too() {
    let mut bench = Bench::new();
    bench.report();
    let recorded = bench.billed();
    let file = bench.file();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    fs::remove_file(&file).unwrap();
    let checked = bench.counter.check_files();
    assert_eq!(checked.carried, [Carried::Cut { path: file }]);
    bench.count(3, 2);
    bench.counter.close();
    bench.report();
    assert_eq!(bench.billed(), recorded + 2);
}

#[test]
fn another_segment_that_has_taken_the_name_of_a_file_is_kept() {
    let mut bench = Bench::new();
    let other = Bench::new();
    let (mine, theirs) = (bench.file(), other.file());
    let id = other.segments()[0].header().segment_id;
    other.counter.close();
    fs::rename(theirs, &mine).unwrap();
    bench.counter.check_files();
    bench.count(2, 1);
    let kept = fs::read_dir(bench.usage()).unwrap().flatten().filter_map(|file| {
        let segment = Segment::open(&file.path()).ok()?;
        Some((
            segment.header().segment_id == id,
            segment.totals().iter().map(|t| t.usage.total).sum(),
        ))
    });
    let mut kept: Vec<(bool, u64)> = kept.collect();
    kept.sort_unstable();
    assert_eq!(kept, [(false, 13), (true, 12)]);
}

/// The counts of a process that is killed while it carries them.
#[cfg(feature = "kill-points")]
mod killed {
    #![allow(
        clippy::disallowed_methods,
        reason = "an inner process is told by the environment what to do"
    )]

    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::fault_injection::kill_points::{CARRIES, arm};

    /// The counts before the file loses its name, and those between that and the check.
    const COUNTED: [(u32, u64); 3] = [(1, 5), (2, 7), (2, 2)];
    const PERFORMED: u64 = 14;

    /// Count, let the file lose its name, and die at a place of the carry. Without its environment
    /// variables this test does nothing.
    #[test]
    fn victim() {
        let number = |name: &str| std::env::var(name).map(|text| text.parse::<usize>().unwrap());
        let (Ok(harm), Ok(place)) = (number("CARRY_HARM"), number("CARRY_PLACE")) else { return };
        let folder = PathBuf::from(std::env::var_os("CARRY_FOLDER").unwrap());
        let counter = Counter::new(folder.clone(), attribution(ID, ID));
        let mut mine = SlotEntries::default();
        let mut count =
            |(slot, n)| counter.count(&mut mine, slot, &[(UsageKind::Scan, 4, n)]).unwrap();
        COUNTED[..2].iter().copied().for_each(&mut count);
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        HARMS[harm].1(&file);
        count(COUNTED[2]);
        arm(CARRIES[place], 1);
        panic!("it was not killed: {:?}", counter.check_files());
    }

    fn kill_one(folder: &Path, harm: usize, place: usize) {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["usage::lost_files::killed::victim", "--exact", "--quiet", "--test-threads=1"])
            .env("CARRY_HARM", harm.to_string())
            .env("CARRY_PLACE", place.to_string())
            .env("CARRY_FOLDER", folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert_eq!(status.unwrap().signal(), Some(9), "{} {}", HARMS[harm].0, CARRIES[place]);
    }

    #[test]
    fn a_process_that_dies_while_it_carries_counts_bills_none_twice_and_all_once_they_have_a_name()
    {
        for (harm, (harmed, _)) in HARMS.iter().enumerate() {
            for (place, name) in CARRIES.iter().enumerate() {
                let why = format!("{harmed}, killed at {name:?}");
                let state = tempfile::tempdir().unwrap();
                let folder = state.path().join("usage/name");
                kill_one(&folder, harm, place);
                let mut bench = Bench {
                    state,
                    counter: Counter::new(folder.clone(), attribution(ID, ID)),
                    mine: SlotEntries::default(),
                    performed: PERFORMED,
                    recorded: BTreeMap::new(),
                };
                bench.report();
                if *name == "carry: renamed" {
                    assert_eq!(bench.billed(), PERFORMED, "{why}");
                }
                // Another process of the device counts on, and sweeps what is left.
                let before = bench.billed();
                bench.performed = before;
                bench.count(3, 4);
                bench.report();
                assert_eq!(bench.billed(), before + 4, "{why}");
                for draft in fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
                    if draft.extension().is_some_and(|ending| ending == "new") {
                        Segment::sweep_unfinished(&draft).unwrap();
                        assert!(!draft.exists(), "{why}: nobody holds the draft");
                    }
                }
            }
        }
    }
}
