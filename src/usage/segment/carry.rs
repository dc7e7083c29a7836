//! Carrying a segment whose file has lost its name into a new file, while threads count into it.
//!
//! Somebody may delete the file, rename it or a folder above it, put a copy in its place, or mount
//! something over it. The counting threads then continue to count into a file that nobody will ever
//! read. The owner checks this once a second, and before each report.
//!
//! ```text
//! copy the content ─▶ write it to an unfinished file ─▶ map this file for the counting threads
//! ─▶ add what they have counted meanwhile ─▶ give the file its name
//! ```
//!
//! The new file has the same id and the same totals, or greater ones. The server keeps the largest
//! total of each counter of a segment. So nothing is billed twice, even if the old file is
//! reported, or returns under its name. A file that has the name meanwhile is replaced if it is the
//! same segment's, which never contains more than is counted here; else it is set aside.
//!
//! | the process is killed | the counts |
//! |---|---|
//! | before the new file has the name | are lost, as they would be without this: the file is gone |
//! | after that | are in the new file |
//!
//! Acknowledgements are carried, too. If the server has forgotten, a reporter takes them back and
//! reports again, perhaps at this moment and by the old file. So the reporter checks whether the
//! file has lost its name *after* it took the acknowledgements back. The owner checks whether they
//! were taken back *after* the new file has the name. At least one of the two sees what the other
//! has done.
//!
//! A file that was cut short has lost everything beyond its end. It is set aside as damaged, and
//! the counters restart at 0 in a segment with its own id: under the old id, the server would take
//! the new counts as recorded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use seatmeter_protocol::signature::random_id;

use super::file::{ENTRIES, Made, fill_file, until_made};
use super::{
    ENDING, ENTRY_BYTES, Filed, HEADER_BYTES, Segment, SegmentHeader, Standing, UNFINISHED_ENDING,
};
use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::fault_injection::kill_points::kill_point;
use crate::files::{private_file, set_aside};
use crate::os::MappedFile;
use crate::os::errors;

/// The repair of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Carried {
    /// The file was created again, with all counts.
    Whole {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file was cut short: the counts since the last report are lost.
    Cut {
        /// The path of the file.
        path: PathBuf,
    },
}

/// The offsets of the words that identify an entry.
const IDENTITY: [usize; 2] = [0x00, 0x08];
const TOTAL: usize = 0x10;
const ACKNOWLEDGED: usize = 0x18;

impl Segment {
    /// Check whether the name still means the file that is counted into, and carry it into a new
    /// one if not. Only the owner calls this, from one thread at a time; other threads may count
    /// meanwhile.
    ///
    /// # Errors
    /// Fails if the new file cannot be created. The counts are still in memory, and the next check
    /// tries again.
    pub fn check_file(&self) -> Result<Option<Carried>> {
        let standing = self.standing();
        if standing == Standing::Same {
            return Ok(None);
        }
        let path = self.path();
        let outcome = match standing {
            Standing::Short(_) => self.begin_anew(),
            _ => match self.mapped.copy() {
                // The file was cut short before it lost its name.
                Err(e) if errors::is_of_lost_memory(&e) => self.begin_anew(),
                Err(e) => Err(e),
                Ok(before) => self.carry(&before),
            },
        };
        outcome.map(Some).map_err(|e| Error::state(&path, "carry the counts in", &e))
    }

    /// Carry everything into a new file of the same name; `seen` is the content that was read.
    fn carry(&self, seen: &[u8]) -> io::Result<Carried> {
        let (path, header) = (self.path(), self.header());
        let unfinished = unfinished(&path);
        let Made { mapped, lock, identity } = until_made(|| make_unfinished(&unfinished, &header))?;
        for at in (HEADER_BYTES..seen.len()).step_by(8) {
            mapped.word64(at).store(word(seen, at), Ordering::Relaxed);
        }
        kill_point("carry: filled");
        let before = {
            let _filled = self.filled.lock();
            let before =
                self.mapped.replace(mapped).inspect_err(|_| _ = fs::remove_file(&unfinished))?;
            self.entries().for_each(|entry| self.catch_up(entry, seen, &before));
            before
        };
        kill_point("carry: under those who count");
        let filed = Filed { path: path.clone(), header, identity, lock: Some(lock) };
        let former = std::mem::replace(&mut *self.filed.lock(), filed);
        self.take_name(&unfinished, &path)?;
        kill_point("carry: renamed");
        for entry in self.entries() {
            if before.word64(entry + ACKNOWLEDGED).load(Ordering::Acquire)
                < word(seen, entry + ACKNOWLEDGED)
            {
                self.mapped.word64(entry + ACKNOWLEDGED).store(0, Ordering::Release);
            }
        }
        // The old file's lock is released only here, so that no process takes the file for a dead
        // process's.
        drop(former);
        Ok(Carried::Whole { path })
    }

    /// Return the offsets of the entries.
    fn entries(&self) -> impl Iterator<Item = usize> + use<> {
        (HEADER_BYTES..self.mapped.len()).step_by(ENTRY_BYTES)
    }

    /// Bring an entry of the new file to the state that the old one has reached since it was read.
    fn catch_up(&self, entry: usize, seen: &[u8], before: &MappedFile) {
        let now = |at: usize| before.word64(entry + at).load(Ordering::Acquire);
        let mine = |at: usize| self.mapped.word64(entry + at);
        // The entry may have been filled meanwhile. Its kind is in the first word, and no thread
        // counts into it yet.
        for at in IDENTITY {
            mine(at).store(now(at), Ordering::Release);
        }
        mine(TOTAL)
            .fetch_add(now(TOTAL).wrapping_sub(word(seen, entry + TOTAL)), Ordering::Relaxed);
        mine(ACKNOWLEDGED).fetch_max(now(ACKNOWLEDGED), Ordering::Release);
    }

    /// Restart the counters at 0 in a segment of their own: the previous totals do not exist any
    /// more.
    fn begin_anew(&self) -> io::Result<Carried> {
        let former = self.path();
        let segment_id = random_id().ok_or(io::ErrorKind::Other)?;
        let header = SegmentHeader { segment_id, ..self.header() };
        let path = former.with_file_name(format!("{}.{ENDING}", header.segment_id));
        let unfinished = unfinished(&path);
        let Made { mapped, lock, identity } = until_made(|| make_unfinished(&unfinished, &header))?;
        {
            let filled = self.filled.lock();
            // The old mapping must not be read: beyond the end of the file, a read would kill the
            // process.
            self.mapped.replace(mapped).inspect_err(|_| _ = fs::remove_file(&unfinished))?;
            filled
                .iter()
                .for_each(|filled| self.fill(filled.entry, filled.slot, filled.kind, filled.what));
        }
        let filed = Filed { path: path.clone(), header, identity, lock: Some(lock) };
        *self.filed.lock() = filed;
        // The file may be gone by now; if it is not, the next report sets it aside.
        let _ = Self::set_aside_damaged(&former);
        self.take_name(&unfinished, &path)?;
        Ok(Carried::Cut { path: former })
    }

    /// Give an unfinished file its name.
    fn take_name(&self, unfinished: &Path, path: &Path) -> io::Result<()> {
        let named = clear_the_way(path, &self.header())
            .and_then(|()| disk::allows(Use::Rename))
            .and_then(|()| fs::rename(unfinished, path));
        if named.is_err() {
            let _ = fs::remove_file(unfinished);
        }
        named
    }
}

/// Set aside the file that has the name, unless it is the same segment's: that one contains no more
/// than is counted here.
fn clear_the_way(path: &Path, mine: &SegmentHeader) -> io::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let is_mine = private_file(path, fs::OpenOptions::new().read(true).write(true))
        .and_then(|file| MappedFile::open(&file, HEADER_BYTES))
        .and_then(|there| super::read_header(&there))
        .is_ok_and(|(there, _)| there.segment_id == mine.segment_id);
    if is_mine { Ok(()) } else { set_aside(path).map(|_| ()) }
}

fn make_unfinished(path: &Path, header: &SegmentHeader) -> io::Result<Made> {
    fill_file(path, header, ENTRIES).inspect_err(|_| _ = fs::remove_file(path))
}

/// Return a name that no other attempt uses, neither of this process nor of an earlier one.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.{UNFINISHED_ENDING}", random_id().unwrap_or_default()))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::message::UsageKind;

    use super::super::test_support::attribution;
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    /// A segment with three counters, of which one is acknowledged in part and one completely.
    fn counted(folder: &Path) -> (Segment, [u32; 3]) {
        let segment = Segment::create(folder, &attribution(ID, ID), 0).unwrap();
        let entries = [1, 2, 3].map(|slot| segment.entry(slot, UsageKind::Scan, 4).unwrap());
        for (entry, acknowledged) in entries.into_iter().zip([0, 3, 7]) {
            segment.count(entry, 7);
            segment.acknowledge(entry, acknowledged);
        }
        (segment, entries)
    }

    #[test]
    fn each_entry_is_carried_as_it_is_and_the_free_ones_stay_free() {
        let folder = tempfile::tempdir().unwrap();
        let (segment, entries) = counted(folder.path());
        let before = segment.totals();
        fs::remove_file(segment.path()).unwrap();
        assert!(matches!(segment.check_file(), Ok(Some(Carried::Whole { .. }))));
        assert_eq!(segment.totals(), before);
        assert_eq!(Segment::open(&segment.path()).unwrap().totals(), before);
        let next = segment.entry(4, UsageKind::Page, 1).unwrap();
        assert_eq!(next, entries[2] + 1);
        segment.count(next, 1);
        assert_eq!(segment.totals().last().map(|total| total.acknowledged), Some(0));
    }

    #[test]
    fn what_happens_to_the_old_file_while_it_is_carried_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (segment, [counting, acknowledged, taken_back]) = counted(folder.path());
        let seen = segment.mapped.copy().unwrap();
        segment.count(counting, 5);
        segment.acknowledge(acknowledged, 6);
        // The server has forgotten: a reporter has taken this back.
        segment.acknowledged(taken_back).store(0, Ordering::Release);
        fs::remove_file(segment.path()).unwrap();
        segment.carry(&seen).unwrap();
        let totals = segment.totals();
        let found = |entry| {
            let total = totals.iter().find(|total| total.entry == entry).unwrap();
            (total.usage.total, total.acknowledged)
        };
        assert_eq!(
            (found(counting), found(acknowledged), found(taken_back)),
            ((12, 0), (7, 6), (7, 0))
        );
    }
}
