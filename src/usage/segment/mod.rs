//! A segment: a mapped file with the totals that one process has counted under one local license.
//!
//! ```text
//! offset      bytes
//! 0x000        8     magic "SMSEGMT\0"
//! 0x008        4     version: 1
//! 0x00c        4     number of entries
//! 0x010       16     segment id
//! 0x020       16     id of the local license of the counts
//! 0x030       16     device UUID
//! 0x040        8     time at which it was begun, Unix seconds
//! 0x048       32     key of the server that has given this license
//! 0x068        8     check over 0x000 … 0x068
//! 0x1000 + 32·i      entry i
//!   0x00       4     slot
//!   0x04       4     kind (1 scan, 2 page, 3 image); 0: the entry is free. Written last
//!   0x08       4     what: symbology or module
//!   0x0c       4     check over the three above
//!   0x10       8     total: it never decreases
//!   0x18       8     acknowledged: total that the server has recorded, ≤ total
//! ```
//!
//! The owner holds a lock on the file as long as it lives. A process that gets the lock knows that
//! the owner is dead, and may remove the file once everything in it is acknowledged. Any process
//! may read totals and raise acknowledgements. Entries are filled from the front and never moved.
//! No two entries have the same counter: the server keeps one total for each.
//!
//! | entry | kind | check | total | acknowledged |
//! |---|---|---|---|---|
//! | free | 0 | any | 0 | 0 |
//! | counting | set | right | t | < t |
//! | all recorded | set | right | t | = t |
//! | damaged | 0, unknown or set | any, or wrong where kind is set | more than 0 | any |
//!
//! A damaged entry is not reported, and its file is set aside instead of removed. The same holds
//! for a total that no server could record, and for a total below what is acknowledged.
//!
//! A file that loses its name while it is counted into is carried into a new one (`carry.rs`).
//!
//! A file is created under another name, `….new`, and gets its own when it is whole. If a killed
//! process leaves a file unfinished, the next report sweeps it away: the process that gets its lock
//! knows that no other process is finishing it.

mod again;
mod carry;
mod file;
#[cfg(any(test, feature = "kill-points"))]
pub mod power_cut;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::message::{SegmentReport, UsageKind, UsageTotal};
use seatmeter_protocol::signature::{PublicKey, random_id};

pub use self::carry::Carried;
use self::file::{ENTRIES, Made, damaged, make_file, mix, read_header, until_made};
use super::archive::{Acknowledged, Archive};
use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::fault_injection::kill_points::kill_point;
use crate::files::{FileIdentity, Standing, is_no_file, private_file, set_aside};
use crate::log::{Level, say};
use crate::os::locks::Mutex;
use crate::os::{FileLock, FoundWord, MappedFile};

const HEADER_BYTES: usize = 0x1000;
const ENTRY_BYTES: usize = 32;

/// The largest total that a server can record. An entry that claims more is damaged: it must not
/// hold up the others.
const TOTAL_MAX: u64 = i64::MAX as u64;

/// The most attempts to create a file that a report sweeps away meanwhile.
const CREATE_ATTEMPTS: u32 = 5;

/// The ending of files that are still being written.
pub const UNFINISHED_ENDING: &str = "new";

/// The ending of segment files.
pub const ENDING: &str = "segment";

/// The local license, device and server of some counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The id of the local license, 32 hexadecimal digits.
    pub license_id: String,
    /// The UUID of the device, 32 hexadecimal digits.
    pub device_uuid: String,
    /// The key of the server that has given the license: only that server gets the counts.
    pub server: PublicKey,
}

/// The identity of a segment, and the license and device of its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The random id of the segment, 32 hexadecimal digits.
    pub segment_id: String,
    /// The local license and the device.
    pub attribution: Attribution,
    /// The time at which the segment was begun, Unix seconds.
    pub begun_at: u64,
}

impl SegmentHeader {
    /// Return a report of these totals.
    pub fn report(&self, totals: Vec<UsageTotal>) -> SegmentReport {
        SegmentReport {
            segment_id: self.segment_id.clone(),
            license_id: self.attribution.license_id.clone(),
            local_license: None,
            totals,
        }
    }
}

/// A total, and what of it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The number of the entry.
    pub entry: u32,
    /// The counter and its total.
    pub usage: UsageTotal,
    /// The total that the server has recorded.
    pub acknowledged: u64,
}

/// An open segment.
#[derive(Debug)]
pub struct Segment {
    entries: u32,
    mapped: MappedFile,
    filed: Mutex<Filed>,
    /// The entries that the owner has filled. While this is locked no entry is filled, and the
    /// mapping remains that of one file.
    filled: Mutex<Vec<Filled>>,
}

/// The path, the header, the identity and the lock of the file.
#[derive(Debug)]
struct Filed {
    path: PathBuf,
    header: SegmentHeader,
    identity: FileIdentity,
    /// The lock of the owner, or of a process that has found the owner dead.
    lock: Option<FileLock>,
}

/// An entry and its counter.
#[derive(Clone, Copy, Debug)]
struct Filled {
    entry: u32,
    slot: u32,
    kind: UsageKind,
    what: u32,
}

impl Segment {
    /// Begin a new segment in this folder. The caller is its owner.
    ///
    /// # Errors
    /// Fails if the disk is full or the file cannot be created. Nothing was counted then.
    pub fn create(folder: &Path, attribution: &Attribution, begun_at: u64) -> Result<Self> {
        let mut path = folder.to_owned();
        let made = until_made(|| {
            let segment_id = random_id().ok_or(io::ErrorKind::Other)?;
            path = folder.join(format!("{segment_id}.{ENDING}"));
            let header = SegmentHeader { segment_id, attribution: attribution.clone(), begun_at };
            let Made { mapped, lock, identity } = make_file(&path, &header)?;
            let filed = Filed { path: path.clone(), header, identity, lock: Some(lock) };
            Ok(Self {
                entries: ENTRIES,
                mapped,
                filed: Mutex::new(filed),
                filled: Mutex::default(),
            })
        });
        made.map_err(|e| Error::state(&path, "count into", &e))
    }

    /// Remove a file that was to become a segment, if no process is writing it any more.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or removed.
    pub fn sweep_unfinished(path: &Path) -> io::Result<()> {
        let file = private_file(path, OpenOptions::new().read(true).write(true))?;
        if let Some(_lock) = FileLock::try_lock(file)? {
            kill_point("sweep: locked");
            // If the file was finished just before, it has its own name by now, and this one is
            // gone.
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Rename a file that is not a whole segment out of the way, unless its owner lives and counts
    /// into it. Return its new name.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or renamed.
    pub fn set_aside_damaged(path: &Path) -> io::Result<Option<PathBuf>> {
        let file = match private_file(path, OpenOptions::new().read(true).write(true)) {
            // No process counts into a directory, a link or a pipe.
            Err(e) if is_no_file(&e) => return set_aside(path).map(Some),
            opened => opened?,
        };
        let Some(_lock) = FileLock::try_lock(file)? else { return Ok(None) };
        kill_point("set aside: before");
        let aside = set_aside(path)?;
        kill_point("set aside: renamed");
        Ok(Some(aside))
    }

    /// Open a segment of any process. Take its lock if the owner is dead.
    ///
    /// # Errors
    /// Returns the `io::Error` of a file that cannot be opened, `InvalidData` with the reason if it
    /// is not a whole segment, and `Unsupported` if it is of a newer version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = || private_file(path, OpenOptions::new().read(true).write(true));
        let file = open()?;
        let length = file.metadata()?.len();
        if length < HEADER_BYTES as u64 {
            return Err(damaged("it is shorter than its header"));
        }
        let (header, entries) = read_header(&MappedFile::open(&file, HEADER_BYTES)?)?;
        let whole = HEADER_BYTES + entries as usize * ENTRY_BYTES;
        if length < whole as u64 {
            return Err(damaged("it is cut short"));
        }
        let mapped = MappedFile::open(&file, whole)?;
        let lock = FileLock::try_lock(open()?)?;
        let filed =
            Filed { path: path.to_owned(), header, identity: FileIdentity::of(&file)?, lock };
        Ok(Self { entries, mapped, filed: Mutex::new(filed), filled: Mutex::default() })
    }

    /// Return the header of the segment.
    pub fn header(&self) -> SegmentHeader {
        self.filed.lock().header.clone()
    }

    /// Return the path of the file.
    pub fn path(&self) -> PathBuf {
        self.filed.lock().path.clone()
    }

    /// Return the identity of the file.
    pub fn identity(&self) -> FileIdentity {
        self.filed.lock().identity
    }

    /// Return what the file's name means now.
    fn standing(&self) -> Standing {
        let (path, identity) = {
            let filed = self.filed.lock();
            (filed.path.clone(), filed.identity)
        };
        Standing::of(&path, identity, self.mapped.len())
    }

    /// Return whether this process holds the segment's lock: as its owner, or because the owner is
    /// dead.
    pub fn is_held(&self) -> bool {
        self.filed.lock().lock.is_some()
    }

    /// Return the number of entries that the owner has not filled yet.
    pub fn room(&self) -> usize {
        (self.entries as usize).saturating_sub(self.filled.lock().len())
    }

    /// Return the entry of this counter: the existing one, or the next free one, which starts at 0.
    /// Only the owner calls this, from one thread at a time. Return `None` when the segment is
    /// full.
    pub fn entry(&self, slot: u32, kind: UsageKind, what: u32) -> Option<u32> {
        let mut filled = self.filled.lock();
        for entry in 0..self.entries {
            let kind_number = self.word32(entry, 0x04).load(Ordering::Relaxed);
            // An entry is compared closely only if it is a candidate: this runs over all that the
            // segment has counted.
            let is_candidate = kind_number == 0
                || kind_number == u32::from(kind.number())
                    && self.word32(entry, 0x00).load(Ordering::Relaxed) == slot
                    && self.word32(entry, 0x08).load(Ordering::Relaxed) == what;
            match is_candidate.then(|| self.state_of(entry)) {
                Some(State::Free) => {
                    self.fill(entry, slot, kind, what);
                    filled.push(Filled { entry, slot, kind, what });
                    return Some(entry);
                }
                Some(State::Counting(_)) => return Some(entry),
                Some(State::Damaged) | None => {}
            }
        }
        None
    }

    fn fill(&self, entry: u32, slot: u32, kind: UsageKind, what: u32) {
        self.word32(entry, 0x00).store(slot, Ordering::Relaxed);
        self.word32(entry, 0x08).store(what, Ordering::Relaxed);
        self.word32(entry, 0x0c).store(entry_check(slot, kind.number(), what), Ordering::Relaxed);
        kill_point("entry: before the kind");
        // The kind is written last, so that a process killed before this leaves a free entry.
        self.word32(entry, 0x04).store(u32::from(kind.number()), Ordering::Release);
        kill_point("entry: filled");
    }

    /// Count `n` more into an entry. They are in shared memory when this returns.
    #[cfg(test)]
    pub fn count(&self, entry: u32, n: u64) {
        self.total(entry).fetch_add(n, Ordering::Relaxed);
    }

    /// Return the total of an entry, for a caller that counts into it: each addition is in shared
    /// memory at once.
    pub fn counting(self: &Arc<Self>, entry: u32) -> FoundWord<Self> {
        FoundWord::new(self.clone(), |segment| segment.total(entry))
    }

    /// Return all counters that are not 0.
    pub fn totals(&self) -> Vec<Total> {
        (0..self.entries).filter_map(|entry| self.read_entry(entry)).collect()
    }

    /// Return the total of an entry; `None` when it is free, damaged, or still 0.
    fn read_entry(&self, entry: u32) -> Option<Total> {
        let State::Counting((slot, kind, what)) = self.state_of(entry) else { return None };
        // The order of the two reads matters: what is acknowledged was counted before.
        let acknowledged = self.acknowledged(entry).load(Ordering::Acquire);
        let total = self.total(entry).load(Ordering::Relaxed);
        (total > 0).then_some(Total {
            entry,
            usage: UsageTotal { slot, kind, what, total },
            acknowledged,
        })
    }

    fn state_of(&self, entry: u32) -> State {
        let kind_number = self.word32(entry, 0x04).load(Ordering::Acquire);
        let slot = self.word32(entry, 0x00).load(Ordering::Relaxed);
        let what = self.word32(entry, 0x08).load(Ordering::Relaxed);
        let check = self.word32(entry, 0x0c).load(Ordering::Relaxed);
        let acknowledged = self.acknowledged(entry).load(Ordering::Acquire);
        let total = self.total(entry).load(Ordering::Relaxed);
        if kind_number == 0 && total == 0 && acknowledged == 0 {
            return State::Free;
        }
        let kind = u8::try_from(kind_number).ok().and_then(UsageKind::from_number);
        match kind {
            Some(kind)
                if check == entry_check(slot, kind.number(), what)
                    && acknowledged <= total
                    && total <= TOTAL_MAX =>
            {
                State::Counting((slot, kind, what))
            }
            _ => State::Damaged,
        }
    }

    /// Note that the server has recorded this much. This never lowers what was noted before.
    pub fn acknowledge(&self, entry: u32, total: u64) {
        self.acknowledged(entry).fetch_max(total, Ordering::Release);
        kill_point("report: one counter acknowledged");
    }

    /// Block until all counts are on the disk.
    ///
    /// # Errors
    /// Returns the error of the disk. Nothing may be reported then.
    pub fn make_durable(&self) -> io::Result<()> {
        disk::allows(Use::Sync)?;
        #[cfg(any(test, feature = "kill-points"))]
        power_cut::keep_copy(&self.path());
        self.mapped.make_durable()
    }

    /// Take back all acknowledgements, because the server has forgotten. The process that reports
    /// calls this.
    pub fn forget_acknowledgements(&self) {
        (0..self.entries).for_each(|entry| self.acknowledged(entry).store(0, Ordering::Release));
        // The owner may just have carried the segment into another file: one of the two sees what
        // the other has done (`carry.rs`).
        if self.standing() == Standing::Lost
            && let Ok(carried) = Self::open(&self.path())
        {
            (0..carried.entries)
                .for_each(|entry| carried.acknowledged(entry).store(0, Ordering::Release));
        }
    }

    /// Remove a segment if its owner is dead or is the caller, and all of it is acknowledged. Note
    /// in the archive what it had counted. Return whether it was removed. Damaged entries cannot be
    /// acknowledged: such a file is kept, under another name.
    ///
    /// # Errors
    /// Fails if the archive cannot be written, or if the file cannot be removed or renamed.
    pub fn remove_if_done(&self, archive: &Archive) -> io::Result<bool> {
        let totals = self.totals();
        let is_acknowledged = |t: &Total| t.acknowledged >= t.usage.total;
        let done = self.is_held() && totals.iter().all(is_acknowledged);
        if !done {
            return Ok(false);
        }
        let SegmentHeader { attribution, .. } = self.header();
        archive.add(&Acknowledged {
            device_uuid: attribution.device_uuid,
            server: attribution.server,
            segment: self.header().report(totals.iter().map(|total| total.usage).collect()),
        })?;
        kill_point("remove: before");
        let is_damaged = |entry| matches!(self.state_of(entry), State::Damaged);
        let path = self.path();
        let gone = if self.standing() == Standing::Lost {
            // The file is gone already, or the name is that of a living owner's file, who has
            // carried the segment there.
            Ok(())
        } else if (0..self.entries).any(is_damaged) {
            set_aside(&path).map(|aside| tell_damaged(&path, &aside))
        } else {
            disk::allows(Use::Rename).and_then(|()| fs::remove_file(&path))
        };
        match gone {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            // The file is gone already: another process adopted it just before.
            _ => {}
        }
        kill_point("remove: removed");
        Ok(true)
    }

    fn word32(&self, entry: u32, offset: usize) -> &std::sync::atomic::AtomicU32 {
        self.mapped.word32(HEADER_BYTES + entry as usize * ENTRY_BYTES + offset)
    }

    fn total(&self, entry: u32) -> &AtomicU64 {
        self.mapped.word64(HEADER_BYTES + entry as usize * ENTRY_BYTES + 0x10)
    }

    fn acknowledged(&self, entry: u32) -> &AtomicU64 {
        self.mapped.word64(HEADER_BYTES + entry as usize * ENTRY_BYTES + 0x18)
    }
}

fn tell_damaged(path: &Path, aside: &Path) {
    let (path, aside) = (path.display(), aside.display());
    let line = format_args!(
        "some counters of {path} are damaged and cannot be reported; it is kept as {aside}"
    );
    say(Level::Warning, line);
}

/// The state of an entry, as in the table above.
enum State {
    Free,
    Counting((u32, UsageKind, u32)),
    Damaged,
}

fn entry_check(slot: u32, kind: u8, what: u32) -> u32 {
    let mixed = mix(mix(u64::from(slot) << 32 | u64::from(what)) ^ u64::from(kind));
    #[expect(clippy::cast_possible_truncation, reason = "a check of 32 bits is enough for damage")]
    let check = mixed as u32;
    check
}
