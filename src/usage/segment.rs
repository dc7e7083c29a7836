//! A segment: a mapped file with the totals that one process has counted under one local licence.
//!
//! ```text
//! offset      bytes
//! 0x000        8     magic "SMSEGMT\0"
//! 0x008        4     version: 1
//! 0x00c        4     number of entries
//! 0x010       16     segment id
//! 0x020       16     id of the local licence under which it was counted
//! 0x030       16     device UUID
//! 0x040        8     when it was begun, Unix seconds
//! 0x048        8     check over 0x000 … 0x048
//! 0x1000 + 32·i      entry i
//!   0x00       4     slot
//!   0x04       4     kind (1 scan, 2 page, 3 image); 0: the entry is free. Written last
//!   0x08       4     what: symbology or module
//!   0x0c       4     check over the three above
//!   0x10       8     total: only ever grows
//!   0x18       8     acknowledged: what the server has recorded, ≤ total
//! ```
//!
//! The owner holds a lock on the file as long as it lives; who gets the lock has proof that the owner is
//! dead, and may remove the file once everything in it is acknowledged. Anybody may read totals and raise
//! acknowledgements. Entries are filled from the front and never moved, and no two have the same counter: the
//! server keeps one total for each.
//!
//! | entry | kind | check | total | acknowledged |
//! |---|---|---|---|---|
//! | free | 0 | any | 0 | 0 |
//! | counting | set | right | t | < t |
//! | all recorded | set | right | t | = t |
//! | damaged | 0, unknown or set | any, or wrong where kind is set | more than 0 | any |
//!
//! A damaged entry is not reported, and its file is set aside instead of removed. So is a total that no server
//! could record, and one below what is acknowledged.
//!
//! A file is made under another name, `….new`, and gets its own when it is whole. One that a killed process left
//! unfinished is swept away by the next report: who gets its lock knows that nobody is finishing it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::message::{UsageKind, UsageTotal};
use seatmeter_protocol::signature::random_id;

use crate::error::{Error, Result};
use crate::kill_points::kill_point;
use crate::memory::{FileLock, MappedFile};
use crate::state::{private_file, set_aside};

const MAGIC: u64 = u64::from_le_bytes(*b"SMSEGMT\0");
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 0x1000;
const ENTRY_BYTES: usize = 32;

/// Entries of a new segment: 68 KiB of file. A full segment is followed by another, so this bounds nothing.
const ENTRIES: u32 = 2048;

/// What a file may claim; one that claims more is not believed.
const ENTRIES_MAX: u32 = 1 << 20;

/// What a server can record. An entry that claims more is damaged: it must not hold up the others.
const TOTAL_MAX: u64 = i64::MAX as u64;

/// How often a file is begun anew that a report has swept away while it was made.
const CREATE_ATTEMPTS: u32 = 5;

/// The ending of files that are still being made.
pub const UNFINISHED_ENDING: &str = "new";

/// The ending of segment files.
pub const ENDING: &str = "segment";

/// Who counted, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random id, 32 hexadecimal digits.
    pub segment_id: String,
    /// The local licence, 32 hexadecimal digits.
    pub license_id: String,
    /// The device, 32 hexadecimal digits.
    pub device_uuid: String,
    /// When it was begun, Unix seconds.
    pub begun_at: u64,
}

/// A total with what of it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Number of the entry.
    pub entry: u32,
    /// The counter.
    pub usage: UsageTotal,
    /// What the server has recorded of it.
    pub acknowledged: u64,
}

/// A segment, open.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    header: SegmentHeader,
    entries: u32,
    mapped: MappedFile,
    /// Held by the owner, or by whoever has found the owner dead.
    lock: Option<FileLock>,
}

impl Segment {
    /// Begins a new segment in this folder. The caller is its owner.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be made: then nothing was counted.
    pub fn create(folder: &Path, license_id: &str, device_uuid: &str, begun_at: u64) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let segment_id = random_id()
                .ok_or_else(|| Error::state(folder, "name a file in", &io::ErrorKind::Other.into()))?;
            let path = folder.join(format!("{segment_id}.{ENDING}"));
            let header = SegmentHeader {
                segment_id,
                license_id: license_id.to_owned(),
                device_uuid: device_uuid.to_owned(),
                begun_at,
            };
            match make_file(&path, &header) {
                Ok((mapped, lock)) => {
                    return Ok(Self { path, header, entries: ENTRIES, mapped, lock: Some(lock) });
                }
                // A report has swept it away before it was locked.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::NotFound)
                        && attempt < CREATE_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(e) => return Err(Error::state(&path, "count into", &e)),
            }
        }
    }

    /// Removes a file that was to become a segment, if nobody is at it any more.
    ///
    /// # Errors
    /// When it cannot be opened or removed.
    pub fn sweep_unfinished(path: &Path) -> io::Result<()> {
        let file = private_file(path, OpenOptions::new().read(true).write(true))?;
        if let Some(_lock) = FileLock::try_lock(file)? {
            kill_point("sweep: locked");
            // If it was finished just before, then it has its own name by now, and this one is gone.
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Renames a file that is not a whole segment out of the way, unless its owner lives and counts into it.
    ///
    /// # Errors
    /// When it cannot be opened or renamed.
    pub fn set_aside_damaged(path: &Path) -> io::Result<()> {
        let file = private_file(path, OpenOptions::new().read(true).write(true))?;
        if let Some(_lock) = FileLock::try_lock(file)? {
            kill_point("set aside: before");
            set_aside(path)?;
            kill_point("set aside: renamed");
        }
        Ok(())
    }

    /// Opens a segment of any process. Takes its lock if the owner is dead.
    ///
    /// # Errors
    /// A file that cannot be opened (kept as `io::Error`), that is not a whole segment (`InvalidData`, with the
    /// reason), or that is of a newer version (`Unsupported`).
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
        Ok(Self { path: path.to_owned(), header, entries, mapped, lock: FileLock::try_lock(open()?)? })
    }

    /// Who counted, and for what.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Whether this process holds the segment's lock: as its owner, or because the owner is dead.
    pub fn is_held(&self) -> bool {
        self.lock.is_some()
    }

    /// The entry of this counter: the one that it has, or the next free one, starting at 0. For the owner only,
    /// one at a time. `None` when the segment is full.
    pub fn entry(&self, slot: u32, kind: UsageKind, what: u32) -> Option<u32> {
        for entry in 0..self.entries {
            let kind_number = self.word32(entry, 0x04).load(Ordering::Relaxed);
            // Looked at closer only where it may be the one: this runs over all that the segment has counted.
            let is_candidate = kind_number == 0
                || kind_number == u32::from(kind.number())
                    && self.word32(entry, 0x00).load(Ordering::Relaxed) == slot
                    && self.word32(entry, 0x08).load(Ordering::Relaxed) == what;
            match is_candidate.then(|| self.state_of(entry)) {
                Some(State::Free) => {
                    self.fill(entry, slot, kind, what);
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
        // Last, so that a process killed before this leaves a free entry.
        self.word32(entry, 0x04).store(u32::from(kind.number()), Ordering::Release);
        kill_point("entry: filled");
    }

    /// Counts `n` more into an entry. It is in shared memory when this returns.
    pub fn count(&self, entry: u32, n: u64) {
        self.total(entry).fetch_add(n, Ordering::Relaxed);
    }

    /// All counters with something in them.
    pub fn totals(&self) -> Vec<Total> {
        (0..self.entries).filter_map(|entry| self.read_entry(entry)).collect()
    }

    /// `None`: free, damaged, or still 0.
    fn read_entry(&self, entry: u32) -> Option<Total> {
        let State::Counting((slot, kind, what)) = self.state_of(entry) else { return None };
        // In this order: what is acknowledged was counted before.
        let acknowledged = self.acknowledged(entry).load(Ordering::Acquire);
        let total = self.total(entry).load(Ordering::Relaxed);
        (total > 0).then_some(Total { entry, usage: UsageTotal { slot, kind, what, total }, acknowledged })
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

    /// Notes that the server has recorded this much. Never lowers what was noted before.
    pub fn acknowledge(&self, entry: u32, total: u64) {
        self.acknowledged(entry).fetch_max(total, Ordering::Release);
        kill_point("report: one counter acknowledged");
    }

    /// Blocks until all that was counted is on the disk.
    ///
    /// # Errors
    /// What the disk says; then nothing may be reported yet.
    pub fn make_durable(&self) -> io::Result<()> {
        #[cfg(test)]
        power_cut::keep_copy(&self.path);
        self.mapped.make_durable()
    }

    /// Takes a segment whose owner is dead, or is the caller, out of the way once all of it is acknowledged;
    /// says whether it did. What is damaged cannot be acknowledged: such a file is kept, under another name.
    ///
    /// # Errors
    /// When the file cannot be removed or renamed.
    pub fn remove_if_done(&self) -> io::Result<bool> {
        let done = self.is_held() && self.totals().iter().all(|t| t.acknowledged >= t.usage.total);
        if !done {
            return Ok(false);
        }
        kill_point("remove: before");
        let is_damaged = |entry| matches!(self.state_of(entry), State::Damaged);
        let gone = if (0..self.entries).any(is_damaged) {
            set_aside(&self.path).map(|_| ())
        } else {
            fs::remove_file(&self.path)
        };
        match gone {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            // Gone already: another process adopted it just before.
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

/// What an entry is, as in the table above.
enum State {
    Free,
    Counting((u32, UsageKind, u32)),
    Damaged,
}

fn make_file(path: &Path, header: &SegmentHeader) -> io::Result<(MappedFile, FileLock)> {
    let unfinished = path.with_extension(UNFINISHED_ENDING);
    let made = fill_file(&unfinished, header).and_then(|made| {
        fs::rename(&unfinished, path)?;
        kill_point("create: renamed");
        Ok(made)
    });
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    made
}

fn fill_file(path: &Path, header: &SegmentHeader) -> io::Result<(MappedFile, FileLock)> {
    let file = private_file(path, OpenOptions::new().create_new(true).read(true).write(true))?;
    kill_point("create: made");
    let own = private_file(path, OpenOptions::new().read(true).write(true))?;
    let lock = FileLock::try_lock(own)?.ok_or(io::ErrorKind::ResourceBusy)?;
    kill_point("create: locked");
    let mapped = MappedFile::create(&file, HEADER_BYTES + ENTRIES as usize * ENTRY_BYTES)?;
    mapped.word64(0x00).store(MAGIC, Ordering::Relaxed);
    mapped.word32(0x08).store(VERSION, Ordering::Relaxed);
    mapped.word32(0x0c).store(ENTRIES, Ordering::Relaxed);
    for (offset, id) in [(0x10, &header.segment_id), (0x20, &header.license_id), (0x30, &header.device_uuid)]
    {
        let (low, high) = id_words(id)?;
        mapped.word64(offset).store(low, Ordering::Relaxed);
        mapped.word64(offset + 8).store(high, Ordering::Relaxed);
    }
    mapped.word64(0x40).store(header.begun_at, Ordering::Relaxed);
    mapped.word64(0x48).store(header_check(&mapped), Ordering::Relaxed);
    kill_point("create: header written");
    Ok((mapped, lock))
}

fn read_header(mapped: &MappedFile) -> io::Result<(SegmentHeader, u32)> {
    let word = |offset| mapped.word64(offset).load(Ordering::Relaxed);
    if word(0x00) != MAGIC {
        return Err(damaged("it is not a segment"));
    }
    let version = mapped.word32(0x08).load(Ordering::Relaxed);
    if version > VERSION {
        // A newer library's, which will report it. Who is older must not judge it.
        let reason = format!("its version is {version}, this library knows {VERSION}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    let entries = mapped.word32(0x0c).load(Ordering::Relaxed);
    if word(0x48) != header_check(mapped) || entries > ENTRIES_MAX {
        return Err(damaged("its header is damaged"));
    }
    let id = |offset| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&word(offset).to_le_bytes());
        bytes[8..].copy_from_slice(&word(offset + 8).to_le_bytes());
        hex::encode(bytes)
    };
    let header = SegmentHeader {
        segment_id: id(0x10),
        license_id: id(0x20),
        device_uuid: id(0x30),
        begun_at: word(0x40),
    };
    Ok((header, entries))
}

fn id_words(id: &str) -> io::Result<(u64, u64)> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(id, &mut bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{id} is not 32 hexadecimal digits"))
    })?;
    let bits = u128::from_le_bytes(bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves, on purpose")]
    Ok((bits as u64, (bits >> 64) as u64))
}

fn header_check(mapped: &MappedFile) -> u64 {
    (0..0x48)
        .step_by(8)
        .fold(0x5ea7_3e7e, |check, offset| mix(check ^ mapped.word64(offset).load(Ordering::Relaxed)))
}

fn entry_check(slot: u32, kind: u8, what: u32) -> u32 {
    let mixed = mix(mix(u64::from(slot) << 32 | u64::from(what)) ^ u64::from(kind));
    #[expect(clippy::cast_possible_truncation, reason = "a check of 32 bits is enough for damage")]
    let check = mixed as u32;
    check
}

/// Spreads every bit over the whole word: the finaliser of MurmurHash3 (public domain). Against damage, not
/// against forgers: whoever can write the file can write the check.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// A disk as a power cut would leave it: of each segment what was in it when it was last made durable.
#[cfg(test)]
pub(crate) mod power_cut {
    use std::cell::RefCell;
    use std::fs;
    use std::path::{Path, PathBuf};

    thread_local! {
        static DISK: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    }

    /// From now on this thread keeps copies here.
    pub(crate) fn keep_copies_in(folder: &Path) {
        DISK.set(Some(folder.to_owned()));
    }

    pub(super) fn keep_copy(path: &Path) {
        if let Some(disk) = DISK.with_borrow(Clone::clone) {
            // What is there now is on the disk when the call that follows returns; what comes later may not be.
            fs::copy(path, disk.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const LICENSE: &str = "00112233445566778899aabbccddeeff";
    const DEVICE: &str = "ffeeddccbbaa99887766554433221100";

    fn new_segment(folder: &Path) -> Segment {
        Segment::create(folder, LICENSE, DEVICE, 7).unwrap()
    }

    #[test]
    fn what_one_counts_another_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mine = new_segment(folder.path());
        let entry = mine.entry(10, UsageKind::Scan, 4).unwrap();
        mine.count(entry, 3);
        mine.count(entry, 2);
        let seen = Segment::open(&mine.path).unwrap();
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
        let path = mine.path.clone();
        let seen = Segment::open(&path).unwrap();
        seen.acknowledge(entry, 3);
        assert!(!seen.remove_if_done().unwrap(), "the owner may count more");
        drop(mine);
        let adopted = Segment::open(&path).unwrap();
        assert!(adopted.is_held());
        adopted.count(entry, 1);
        assert!(!adopted.remove_if_done().unwrap(), "something is not acknowledged");
        adopted.acknowledge(entry, 4);
        assert!(adopted.remove_if_done().unwrap());
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
        let path = mine.path.clone();
        drop(mine);
        let good = fs::read(&path).unwrap();
        for length in [0, 1, 0x48, HEADER_BYTES - 1, HEADER_BYTES, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Segment::open(&path).is_err(), "cut to {length}");
        }
        // 0x48 bytes of header, its check, and nothing between.
        for offset in 0..0x50 {
            let mut bytes = good.clone();
            bytes[offset] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(Segment::open(&path).is_err(), "byte {offset}");
        }
        let mut bytes = good;
        bytes[HEADER_BYTES + ENTRY_BYTES] ^= 1; // the slot of the second entry
        fs::write(&path, bytes).unwrap();
        let slots: Vec<u32> = Segment::open(&path).unwrap().totals().iter().map(|t| t.usage.slot).collect();
        assert_eq!(slots, [0, 2]);
    }

    /// The bytes of a segment with an acknowledged counter in each of three slots, changed by `damage`.
    fn damaged_segment(folder: &Path, damage: impl FnOnce(&mut [u8])) -> PathBuf {
        let mine = new_segment(folder);
        for slot in 0..3 {
            let entry = mine.entry(slot, UsageKind::Scan, 1).unwrap();
            mine.count(entry, 7);
            mine.acknowledge(entry, 7);
        }
        let path = mine.path.clone();
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
            assert!(adopted.remove_if_done().unwrap());
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
        let path = mine.path.clone();
        Segment::set_aside_damaged(&path).unwrap();
        assert!(path.exists());
        drop(mine);
        Segment::set_aside_damaged(&path).unwrap();
        assert!(!path.exists());
    }
}
