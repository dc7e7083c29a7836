//! A record of which counts are on the disk. Nothing is made durable twice, and everything is
//! durable before it is sent.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::segment::{ENDING, Segment, Total};
use crate::files::{FileIdentity, sync_folder};
use crate::os::locks::Mutex;

/// The counts that this process knows to be on the disk.
#[derive(Debug, Default)]
pub struct Durable {
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// The state of a file when it was last made durable. Totals only grow: so the same sum means the
/// same totals.
#[derive(Debug)]
struct Known {
    identity: FileIdentity,
    sum: u64,
    /// The reason why the file could not be made durable in this round. It is not tried again
    /// within the round: after a disk has failed once, the kernel reports success the next time.
    failure: Option<(io::ErrorKind, String)>,
}

impl Durable {
    /// Begin a new round: what has failed is tried again.
    pub fn begin_round(&self) {
        self.known.lock().retain(|_, known| known.failure.is_none());
    }

    /// Make these totals of a segment durable, unless they are.
    ///
    /// # Errors
    /// Returns the error of the disk in this round, new or remembered. The totals must not be sent
    /// then.
    pub fn ensure(&self, path: &Path, segment: &Segment, totals: &[Total]) -> io::Result<()> {
        let sum = totals.iter().fold(0_u64, |sum, total| sum.wrapping_add(total.usage.total));
        let identity = segment.identity();
        if let Some(known) = self.known.lock().get(path).filter(|known| known.identity == identity)
        {
            match &known.failure {
                Some((kind, why)) => return Err(io::Error::new(*kind, why.clone())),
                None if known.sum == sum => return Ok(()),
                None => {}
            }
        }
        let outcome = segment.make_durable();
        let failure = outcome.as_ref().err().map(|e| (e.kind(), e.to_string()));
        self.known.lock().insert(path.to_owned(), Known { identity, sum, failure });
        outcome
    }

    /// Make everything in a usage folder durable that is not acknowledged, as far as time allows.
    /// The report gives the error of what fails.
    pub fn ensure_all(&self, folder: &Path, is_late: impl Fn() -> bool) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        let files: Vec<PathBuf> =
            files.filter(|path| path.extension().and_then(OsStr::to_str) == Some(ENDING)).collect();
        self.known.lock().retain(|path, _| path.parent() != Some(folder) || files.contains(path));
        for path in files {
            if is_late() {
                return;
            }
            let Ok(segment) = Segment::open(&path) else { continue };
            self.ensure_what_is_new(&path, &segment);
        }
        // The files' names must be durable, too.
        let _ = sync_folder(&folder.join("any"));
    }

    /// Do the same as [`Self::ensure`], if anything in the segment is not acknowledged.
    pub(super) fn ensure_what_is_new(&self, path: &Path, segment: &Segment) {
        let totals = segment.totals();
        if totals.iter().any(|total| total.acknowledged < total.usage.total) {
            let _ = self.ensure(path, segment, &totals);
        }
    }
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::message::UsageKind;

    use super::*;
    #[cfg(feature = "kill-points")]
    use crate::fault_injection::disk::{Disk, play};
    use crate::usage::{attribution, power_cut};

    const ID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn what_has_not_changed_is_not_made_durable_again_and_another_file_is() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        power_cut::keep_copies_in(disk.path());
        let writes = |durable: &Durable| {
            durable.begin_round();
            durable.ensure_all(folder.path(), || false);
            let copies: Vec<_> = std::fs::read_dir(disk.path()).unwrap().flatten().collect();
            copies.iter().for_each(|copy| std::fs::remove_file(copy.path()).unwrap());
            copies.len()
        };
        let durable = Durable::default();
        let segment = Segment::create(folder.path(), &attribution(ID, ID), 0).unwrap();
        let entry = segment.entry(1, UsageKind::Scan, 4).unwrap();
        assert_eq!(writes(&durable), 0, "nothing is in it");
        segment.count(entry, 3);
        assert_eq!((writes(&durable), writes(&durable)), (1, 0));
        segment.count(entry, 1);
        assert_eq!((writes(&durable), writes(&durable)), (1, 0));
        let copy = folder.path().join("copy");
        std::fs::copy(segment.path(), &copy).unwrap();
        std::fs::rename(copy, segment.path()).unwrap();
        assert_eq!((writes(&durable), writes(&durable)), (1, 0), "another file");
        segment.acknowledge(entry, 4);
        segment.check_file().unwrap();
        assert_eq!(writes(&durable), 0, "the server has it");
    }

    #[cfg(feature = "kill-points")]
    #[test]
    fn what_has_failed_is_tried_again_in_the_next_round_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let segment = Segment::create(folder.path(), &attribution(ID, ID), 0).unwrap();
        let entry = segment.entry(1, UsageKind::Scan, 4).unwrap();
        segment.count(entry, 3);
        let durable = Durable::default();
        let ensure = |segment: &Segment| {
            durable.ensure(&segment.path(), segment, &segment.totals()).map_err(|e| e.kind())
        };
        play(Disk::Dead);
        let failed = ensure(&segment);
        play(Disk::Sound);
        let why = failed.unwrap_err();
        assert_eq!(ensure(&segment), Err(why), "after a failure, the kernel reports success");
        segment.count(entry, 1);
        assert_eq!(ensure(&segment), Err(why));
        durable.begin_round();
        assert_eq!(ensure(&segment), Ok(()));
        durable.begin_round();
        play(Disk::Dead);
        let known = ensure(&segment);
        play(Disk::Sound);
        assert_eq!(known, Ok(()), "the disk is not asked for what it has");
    }

    #[test]
    fn a_late_call_makes_nothing_durable_and_no_file_is_remembered_that_is_gone() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let durable = Durable::default();
        let remembered = || durable.known.lock().len();
        let segments = folders.each_ref().map(|folder| {
            let segment = Segment::create(folder.path(), &attribution(ID, ID), 0).unwrap();
            segment.count(segment.entry(1, UsageKind::Scan, 4).unwrap(), 3);
            std::fs::write(folder.path().join("another.file"), "no segment").unwrap();
            segment
        });
        durable.ensure_all(folders[0].path(), || true);
        assert_eq!(remembered(), 0);
        folders.iter().for_each(|folder| durable.ensure_all(folder.path(), || false));
        assert_eq!(remembered(), 2);
        std::fs::remove_file(segments[0].path()).unwrap();
        durable.ensure_all(folders[1].path(), || false);
        assert_eq!(remembered(), 2, "another folder's are looked at when its turn comes");
        durable.ensure_all(folders[0].path(), || false);
        assert_eq!(remembered(), 1);
    }
}
