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
//! acknowledgements. Entries are filled from the front and never moved.
//!
//! | entry | kind | check | total | acknowledged |
//! |---|---|---|---|---|
//! | free | 0 | any | 0 | 0 |
//! | counting | set | right | t | < t |
//! | all recorded | set | right | t | = t |
//! | damaged | set | wrong | ignored | ignored |

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::message::{UsageKind, UsageTotal};
use seatmeter_protocol::signature::random_id;

use crate::error::{Error, Result};
use crate::memory::{FileLock, MappedFile};
use crate::state::private_file;

const MAGIC: u64 = u64::from_le_bytes(*b"SMSEGMT\0");
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 0x1000;
const ENTRY_BYTES: usize = 32;

/// Entries of a new segment: 68 KiB of file. A full segment is followed by another, so this bounds nothing.
const ENTRIES: u32 = 2048;

/// What a file may claim; one that claims more is not believed.
const ENTRIES_MAX: u32 = 1 << 20;

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
        let segment_id = random_id()
            .ok_or_else(|| Error::state(folder, "name a file in", &io::ErrorKind::Other.into()))?;
        let path = folder.join(format!("{segment_id}.{ENDING}"));
        let header = SegmentHeader {
            segment_id,
            license_id: license_id.to_owned(),
            device_uuid: device_uuid.to_owned(),
            begun_at,
        };
        let temporary = path.with_extension("new");
        let made =
            make_file(&temporary, &header).and_then(|made| fs::rename(&temporary, &path).map(|()| made));
        let (mapped, lock) = made.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::state(&path, "count into", &e)
        })?;
        Ok(Self { path, header, entries: ENTRIES, mapped, lock: Some(lock) })
    }

    /// Opens a segment of any process. Takes its lock if the owner is dead.
    ///
    /// # Errors
    /// A file that cannot be opened (kept as `io::Error`), or that is not a whole segment
    /// (`InvalidData`, with the reason).
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = || private_file(path, OpenOptions::new().read(true).write(true));
        let file = open()?;
        let length = file.metadata()?.len();
        if length < HEADER_BYTES as u64 {
            return Err(damaged("it is shorter than its header"));
        }
        let head = MappedFile::open(file, HEADER_BYTES)?;
        let (header, entries) = read_header(&head)?;
        let whole = HEADER_BYTES + entries as usize * ENTRY_BYTES;
        if length < whole as u64 {
            return Err(damaged("it is cut short"));
        }
        let mapped = MappedFile::open(open()?, whole)?;
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

    /// Takes the next free entry for this counter, starting at 0. For the owner only, one at a time.
    /// `None` when the segment is full.
    pub fn add_entry(&self, slot: u32, kind: UsageKind, what: u32) -> Option<u32> {
        let entry = (0..self.entries).find(|entry| self.word32(*entry, 0x04).load(Ordering::Relaxed) == 0)?;
        self.word32(entry, 0x00).store(slot, Ordering::Relaxed);
        self.word32(entry, 0x08).store(what, Ordering::Relaxed);
        self.word32(entry, 0x0c).store(entry_check(slot, kind.number(), what), Ordering::Relaxed);
        // Last, so that a process killed before this leaves a free entry.
        self.word32(entry, 0x04).store(u32::from(kind.number()), Ordering::Release);
        Some(entry)
    }

    /// Counts `n` more into an entry. It is in shared memory when this returns.
    pub fn count(&self, entry: u32, n: u64) {
        self.total(entry).fetch_add(n, Ordering::Relaxed);
    }

    /// All counters with something in them.
    pub fn totals(&self) -> Vec<Total> {
        (0..self.entries).map_while(|entry| self.read_entry(entry)).flatten().collect()
    }

    /// `None`: free, and so are all behind it. `Some(None)`: damaged or still 0.
    fn read_entry(&self, entry: u32) -> Option<Option<Total>> {
        let kind_number = self.word32(entry, 0x04).load(Ordering::Acquire);
        if kind_number == 0 {
            return None;
        }
        let slot = self.word32(entry, 0x00).load(Ordering::Relaxed);
        let what = self.word32(entry, 0x08).load(Ordering::Relaxed);
        let check = self.word32(entry, 0x0c).load(Ordering::Relaxed);
        let total = self.total(entry).load(Ordering::Relaxed);
        let acknowledged = self.acknowledged(entry).load(Ordering::Relaxed);
        let kind = u8::try_from(kind_number).ok().and_then(UsageKind::from_number);
        Some(
            kind.filter(|kind| check == entry_check(slot, kind.number(), what) && total > 0)
                .map(|kind| Total { entry, usage: UsageTotal { slot, kind, what, total }, acknowledged }),
        )
    }

    /// Notes that the server has recorded this much. Never lowers what was noted before.
    pub fn acknowledge(&self, entry: u32, total: u64) {
        self.acknowledged(entry).fetch_max(total, Ordering::Relaxed);
    }

    /// Blocks until all that was counted is on the disk.
    ///
    /// # Errors
    /// What the disk says; then nothing may be reported yet.
    pub fn make_durable(&self) -> io::Result<()> {
        self.mapped.make_durable()
    }

    /// Removes a segment whose owner is dead or is the caller, once all of it is acknowledged; says whether
    /// it did.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove_if_done(&self) -> io::Result<bool> {
        let done = self.is_held() && self.totals().iter().all(|t| t.acknowledged >= t.usage.total);
        if done {
            match fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                // Gone already: another process adopted it just before.
                _ => {}
            }
        }
        Ok(done)
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

fn make_file(path: &Path, header: &SegmentHeader) -> io::Result<(MappedFile, FileLock)> {
    let file = private_file(path, OpenOptions::new().create_new(true).read(true).write(true))?;
    let mapped = MappedFile::create(file.try_clone()?, HEADER_BYTES + ENTRIES as usize * ENTRY_BYTES)?;
    let lock = FileLock::try_lock(file)?.ok_or(io::ErrorKind::ResourceBusy)?;
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
    Ok((mapped, lock))
}

fn read_header(mapped: &MappedFile) -> io::Result<(SegmentHeader, u32)> {
    let word = |offset| mapped.word64(offset).load(Ordering::Relaxed);
    if word(0x00) != MAGIC {
        return Err(damaged("it is not a segment"));
    }
    let version = mapped.word32(0x08).load(Ordering::Relaxed);
    if version != VERSION {
        return Err(damaged(&format!("its version is {version}, this library knows {VERSION}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    const LICENSE: &str = "00112233445566778899aabbccddeeff";
    const DEVICE: &str = "ffeeddccbbaa99887766554433221100";

    fn new_segment(folder: &Path) -> Segment {
        Segment::create(folder, LICENSE, DEVICE, 7).unwrap()
    }

    #[test]
    fn what_one_counts_another_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mine = new_segment(folder.path());
        let entry = mine.add_entry(10, UsageKind::Scan, 4).unwrap();
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
        let entry = mine.add_entry(10, UsageKind::Scan, 4).unwrap();
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
        let entry = mine.add_entry(1, UsageKind::Image, 0).unwrap();
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
            let entry = mine.add_entry(slot, UsageKind::Scan, 1).unwrap();
            mine.count(entry, 1);
        }
        assert_eq!(mine.add_entry(ENTRIES, UsageKind::Scan, 1), None);
        assert_eq!(mine.totals().len(), ENTRIES as usize);
    }

    #[test]
    fn damage_is_refused_or_skipped_and_never_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mine = new_segment(folder.path());
        for slot in 0..3 {
            let entry = mine.add_entry(slot, UsageKind::Scan, 1).unwrap();
            mine.count(entry, 1);
        }
        let path = mine.path.clone();
        drop(mine);
        let good = fs::read(&path).unwrap();
        for length in [0, 1, 0x48, HEADER_BYTES - 1, HEADER_BYTES, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Segment::open(&path).is_err(), "cut to {length}");
        }
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
}
