//! Long random histories of counters and segments, compared with a naive model.
//!
//! The model is a map of what was counted. Processes count, die and begin anew, and clocks go back.
//! Reporters send to a server (another map, of maxima) and acknowledge, or die in between.
//! Sometimes a dead process's file is damaged. What the model loses by this is exactly the damaged
//! counter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use seatmeter_protocol::message::UsageKind;

use super::{Archive, Counter, Segment, SlotEntries, Total, attribution};

const ID: &str = "00112233445566778899aabbccddeeff";
const SEEDS: u64 = 40;
const STEPS: u64 = 400;
const PROCESSES: usize = 3;

type Key = (u32, UsageKind, u32);

/// The processes, the server and the model of one history.
struct History {
    folder: tempfile::TempDir,
    random: fastrand::Rng,
    processes: Vec<(Counter, SlotEntries)>,
    counted: HashMap<Key, u64>,
    /// The totals on the server, by segment and counter.
    billed: HashMap<(String, Key), u64>,
    slot: u32,
}

fn key(total: &Total) -> Key {
    (total.usage.slot, total.usage.kind, total.usage.what)
}

fn process(folder: &Path) -> (Counter, SlotEntries) {
    (Counter::new(folder.to_owned(), attribution(ID, ID)), SlotEntries::default())
}

impl History {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let processes = (0..PROCESSES).map(|_| process(folder.path())).collect();
        let random = fastrand::Rng::with_seed(seed);
        Self {
            folder,
            random,
            processes,
            counted: HashMap::new(),
            billed: HashMap::new(),
            slot: 100,
        }
    }

    fn step(&mut self) {
        match self.random.u32(..20) {
            0..10 => self.count(),
            10..12 => self.slot += 1,
            // The clock is set back.
            12 => self.slot -= self.random.u32(..4),
            13 => self.die(),
            14..18 => self.report(),
            18 => self.damage(),
            _ => self.check(),
        }
    }

    fn count(&mut self) {
        let number = self.random.usize(..3);
        let kind = [UsageKind::Scan, UsageKind::Page, UsageKind::Image][self.random.usize(..3)];
        let (what, n) = (self.random.u32(..3), self.random.u64(..5));
        // The slot is sometimes that of a late thread.
        let slot = self.slot - self.random.u32(..2);
        let (counter, mine) = &mut self.processes[number];
        counter.count(mine, slot, &[(kind, what, n), (UsageKind::Image, 9, 1)]).unwrap();
        *self.counted.entry((slot, kind, what)).or_default() += n;
        *self.counted.entry((slot, UsageKind::Image, 9)).or_default() += 1;
    }

    fn die(&mut self) {
        let number = self.random.usize(..3);
        self.processes[number] = process(self.folder.path());
    }

    fn files(&self) -> Vec<PathBuf> {
        let files =
            std::fs::read_dir(self.folder.path()).unwrap().flatten().map(|file| file.path());
        let mut segments: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
        segments.sort();
        segments
    }

    /// Report a segment to the server. The reporter may die before it acknowledges any or all
    /// counters. What it knows may be old by then.
    fn report(&mut self) {
        let files = self.files();
        if files.is_empty() {
            return;
        }
        let path = &files[self.random.usize(..files.len())];
        let segment = Segment::open(path).unwrap();
        let totals = segment.totals();
        for total in &totals {
            let name = (segment.header().segment_id.clone(), key(total));
            let known = self.billed.entry(name).or_default();
            *known = total.usage.total.max(*known);
        }
        drop(segment);
        if self.random.u32(..2) == 0 {
            self.count();
        }
        let acknowledged = self.random.usize(..=2 * totals.len());
        let segment = Segment::open(path).unwrap();
        for total in totals.iter().take(acknowledged) {
            segment.acknowledge(total.entry, total.usage.total);
        }
        segment.remove_if_done(&Archive::new(self.folder.path())).unwrap();
    }

    /// Damage a counter of a dead process. What the server knows of it stays billed; only the rest
    /// is lost.
    fn damage(&mut self) {
        let orphan = self.files().into_iter().find(|path| Segment::open(path).unwrap().is_held());
        let Some(path) = orphan else { return };
        let segment = Segment::open(&path).unwrap();
        let Some(total) = segment.totals().into_iter().next() else { return };
        let billed = self
            .billed
            .get(&(segment.header().segment_id.clone(), key(&total)))
            .copied()
            .unwrap_or(0);
        drop(segment);
        let mut bytes = std::fs::read(&path).unwrap();
        // Damage the check or the kind.
        let offset = [0x0c, 0x04][self.random.usize(..2)];
        bytes[0x1000 + 32 * total.entry as usize + offset] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
        *self.counted.get_mut(&key(&total)).unwrap() -= total.usage.total - billed;
    }

    /// Check that acknowledged ≤ billed ≤ counted holds for each counter.
    fn check(&self) {
        let mut sums: HashMap<Key, u64> = HashMap::new();
        for ((_, key), billed) in &self.billed {
            *sums.entry(*key).or_default() += billed;
        }
        for (key, billed) in sums {
            assert!(billed <= self.counted[&key], "{key:?}");
        }
        for path in self.files() {
            let segment = Segment::open(&path).unwrap();
            for total in segment.totals() {
                let name = (segment.header().segment_id.clone(), key(&total));
                assert!(total.acknowledged <= self.billed.get(&name).copied().unwrap_or(0));
            }
        }
    }

    /// End all processes and report everything: what is billed must be what was counted.
    fn finish(mut self) {
        for number in 0..PROCESSES {
            self.processes[number] = process(self.folder.path());
        }
        for path in self.files() {
            let segment = Segment::open(&path).unwrap();
            for total in segment.totals() {
                let name = (segment.header().segment_id.clone(), key(&total));
                let known = self.billed.entry(name).or_default();
                *known = total.usage.total.max(*known);
                segment.acknowledge(total.entry, total.usage.total);
            }
            assert!(segment.remove_if_done(&Archive::new(self.folder.path())).unwrap());
        }
        assert_eq!(self.files(), Vec::<PathBuf>::new());
        let mut sums: HashMap<Key, u64> = HashMap::new();
        for ((_, key), billed) in self.billed {
            *sums.entry(key).or_default() += billed;
        }
        self.counted.retain(|_, n| *n > 0);
        assert_eq!(sums, self.counted);
    }
}

#[test]
fn counters_agree_with_a_map_over_long_random_histories() {
    for seed in 0..SEEDS {
        let mut history = History::new(seed + 1);
        for _ in 0..STEPS {
            history.step();
        }
        history.finish();
    }
}
