//! The files of a machine: what a power cut leaves, what is lost, what is counted in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use seatmeter::license::GrantStore;
use seatmeter::state::StateDirectory;
use seatmeter::sync::epoch_file;
use seatmeter::usage::{SEGMENT_ENDING, Segment, Total};
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::signature::PublicKey;

use super::Machine;
use crate::books::Counter;
use crate::plan::Loss;

/// The offset of the boot id in the file of allowances, by the table in src/usage/allowance.rs.
const BOOT_OFFSET: usize = 0x18;

impl Machine {
    /// Restore every file to its last durable state.
    pub(crate) fn lose_power(&mut self) {
        self.reboot();
        self.leave_durable(&self.folder);
    }

    /// Leave only what is durable in the folder of this machine, or in a copy of it.
    fn leave_durable(&self, folder: &Path) {
        for file in segments_in(folder) {
            match fs::read(self.disk.join(name(&file))) {
                Ok(durable) => fs::write(&file, durable).expect("there is room"),
                Err(_) => fs::remove_file(&file).expect("it was just listed"),
            }
        }
        for file in list(&folder.join("seats")).into_iter().filter(|file| has_ending(file, "spent"))
        {
            let Ok(mut durable) = fs::read(self.disk.join(name(&file))) else { continue };
            durable[BOOT_OFFSET..BOOT_OFFSET + 8]
                .copy_from_slice(&(1 + self.clock.boots.load(Relaxed)).to_le_bytes());
            fs::write(&file, durable).expect("there is room");
        }
    }

    /// Make this machine a copy of another machine, on which nothing runs. Only the disk is copied.
    pub(crate) fn copy(&mut self, other: &Self) {
        copy_folder(&other.folder, &self.folder);
        copy_folder(&other.disk, &self.disk);
        for file in other.segment_files() {
            for disk in [&self.disk, &other.disk] {
                fs::copy(&file, disk.join(name(&file))).expect("there is room");
            }
        }
        self.clock.copy(other.clock);
        self.parameters = other.parameters.clone();
        self.granted = other.granted.clone();
        (self.items, self.codes) = (other.items.clone(), other.codes.clone());
        self.clock.boots.store(other.clock.boots.load(Relaxed) + 100, Relaxed);
    }

    /// Keep the state of the disk, as a snapshot of a virtual machine does.
    pub(crate) fn take_snapshot(&mut self) {
        if !self.is_used() {
            return;
        }
        let kept = self.folder.with_extension("kept");
        let _ = fs::remove_dir_all(&kept);
        copy_folder(&self.folder, &kept.join("state"));
        copy_folder(&self.disk, &kept.join("disk"));
        self.leave_durable(&kept.join("state"));
        self.snapshot = Some(self.granted.clone());
    }

    /// Put the disk back to its snapshot, and start the machine. Nothing runs on it. Return whether
    /// there is a snapshot.
    pub(crate) fn put_back(&mut self) -> bool {
        let Some(granted) = self.snapshot.clone() else { return false };
        self.reboot();
        let kept = self.folder.with_extension("kept");
        for (from, to) in [("state", &self.folder), ("disk", &self.disk)] {
            let _ = fs::remove_dir_all(to);
            copy_folder(&kept.join(from), to);
        }
        self.granted = granted;
        self.newest_put_back = Some(self.newest_serial());
        true
    }

    /// Return whether the machine was ever put back to a snapshot.
    pub(crate) fn was_put_back(&self) -> bool {
        self.newest_put_back.is_some()
    }

    /// Return whether a license is one that the machine had before it was put back: it may work
    /// under it a second time.
    pub(crate) fn is_unheld(&self, license: &LocalLicense) -> bool {
        self.newest_put_back.is_some_and(|newest| license.serial <= newest)
    }

    /// Return the serial of the newest license on the disk; 0 for none.
    pub(crate) fn newest_serial(&self) -> u32 {
        let Ok(state) = StateDirectory::open(self.folder.clone()) else { return 0 };
        let held = GrantStore::all(&state).into_iter().filter_map(|store| store.held_license());
        held.map(|license| license.serial).max().unwrap_or(0)
    }

    pub(crate) fn usage_folders(&self) -> Vec<PathBuf> {
        list(&self.folder.join("usage"))
    }

    pub(crate) fn segment_files(&self) -> Vec<PathBuf> {
        segments_in(&self.folder)
    }

    /// Lose files that the running programs use: segments, the spent part of allowances, the list
    /// of programs under an item, the identity of the device. Return the files that were moved
    /// away, each with its new place.
    pub(crate) fn lose(&self, loss: Loss) -> Vec<(PathBuf, PathBuf)> {
        let is_in_use =
            |file: &PathBuf| Segment::open(file).is_ok_and(|segment| !segment.is_held());
        let mut files: Vec<PathBuf> = self.segment_files().into_iter().filter(is_in_use).collect();
        let of_items = |file: &PathBuf| has_ending(file, "spent") || has_ending(file, "users");
        files.extend(list(&self.folder.join("seats")).into_iter().filter(of_items));
        files.push(self.folder.join("device"));
        files.retain(|file| file.exists());
        let aside = |file: &PathBuf| file.with_file_name(format!("{}.aside", name(file).display()));
        let moved: Vec<_> = files.iter().map(|file| (file.clone(), aside(file))).collect();
        for (file, aside) in &moved {
            match loss {
                Loss::Deleted => fs::remove_file(file),
                Loss::Renamed | Loss::AwayAndBack => fs::rename(file, aside),
                Loss::Copied => fs::copy(file, aside).and_then(|_| fs::rename(aside, file)),
            }
            .expect("it is there");
        }
        moved
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        self.segment_files().into_iter().filter_map(|file| Segment::open(&file).ok())
    }

    /// Return whether everything was reported to the server with this key in this epoch of its
    /// data.
    pub(crate) fn has_told_all(&self, server: &PublicKey, epoch: &str) -> bool {
        let known = |folder: PathBuf| epoch_file(&folder, server).peek::<String>();
        self.usage_folders()
            .into_iter()
            .all(|folder| known(folder).is_some_and(|known| known == epoch))
    }

    /// Return every total for a server with its acknowledged part, by segment and counter.
    pub(crate) fn totals(&self, server: &PublicKey) -> BTreeMap<(String, Counter), (u64, u64)> {
        let segments =
            self.segments().filter(|segment| segment.header().attribution.server == *server);
        let totals = segments.flat_map(|segment| {
            let id = segment.header().segment_id.clone();
            let totals = segment.totals().into_iter();
            totals.map(move |total| {
                let counter = (total.usage.slot, total.usage.kind.number(), total.usage.what);
                ((id.clone(), counter), (total.usage.total, total.acknowledged))
            })
        });
        totals.collect()
    }

    /// Return the counted work of each item; work under licenses that are unknown here is left out.
    pub(crate) fn counted_by_item(&self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        for segment in self.segments() {
            if let Some(item) = self.items.get(&segment.header().attribution.license_id) {
                let totals = segment.totals().into_iter().map(|total| total.usage.total);
                *counted.entry(item.clone()).or_default() += totals.sum::<u64>();
            }
        }
        counted
    }

    /// Return every total by segment and counter.
    pub(crate) fn counted_by_segment(&self) -> BTreeMap<(String, Counter), u64> {
        let mut counted = BTreeMap::new();
        for segment in self.segments() {
            for Total { usage, .. } in segment.totals() {
                let counter = (usage.slot, usage.kind.number(), usage.what);
                counted.insert((segment.header().segment_id.clone(), counter), usage.total);
            }
        }
        counted
    }

    /// Return every counter with its total.
    pub(crate) fn counted(&self) -> BTreeMap<Counter, u64> {
        let mut counted = BTreeMap::new();
        for segment in self.segments() {
            for Total { usage, .. } in segment.totals() {
                *counted.entry((usage.slot, usage.kind.number(), usage.what)).or_default() +=
                    usage.total;
            }
        }
        counted
    }
}

fn segments_in(folder: &Path) -> Vec<PathBuf> {
    let files = list(&folder.join("usage")).into_iter().flat_map(|folder| list(&folder));
    files.filter(|file| has_ending(file, SEGMENT_ENDING)).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

pub(super) fn name(file: &Path) -> &std::ffi::OsStr {
    file.file_name().expect("it was listed")
}

fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|found| found == ending)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("there is room");
    for entry in list(from) {
        let copy = to.join(name(&entry));
        if entry.is_dir() {
            copy_folder(&entry, &copy);
        } else {
            fs::copy(&entry, copy).expect("there is room");
        }
    }
}

/// Put the `device` file of one state directory into another.
pub(crate) fn bake_device(from: &Path, to: &Path) {
    let state = StateDirectory::open(to.to_owned()).expect("there is room");
    fs::copy(from.join("device"), state.path().join("device")).expect("there is room");
}
