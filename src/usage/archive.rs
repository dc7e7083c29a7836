//! The archive of what a server has acknowledged and no segment contains any more. It serves a
//! server that forgets.
//!
//! A server that is restored from a backup does not know what it has acknowledged since. So before
//! a process removes a segment, it writes here what the segment had counted. Each segment is one
//! line of JSON, and each day of work has a file.
//!
//! ```text
//! <day>.acknowledged      day: slot of the latest work / 480, of the newest 31 days
//! {"device_uuid":"…","server":"…","segment":{"segment_id":"…","license_id":"…","totals":[…]}}
//! ```
//!
//! A torn or damaged line is skipped. Only the process that reports for the device uses these
//! files.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use seatmeter_protocol::message::SegmentReport;
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::slot::SLOTS_PER_DAY;
use serde::{Deserialize, Serialize};

use crate::fault_injection::disk::{self, Use};
use crate::files::{file_made_if_missing, private_file, sync_folder};

/// The ending of the files' names.
pub(super) const ENDING: &str = "acknowledged";

/// The most days of work that are kept; an older backup cannot be restored from here. The files are
/// counted, not the days by the clock, so that a clock that was wrong for a while costs one day at
/// most.
const DAYS_MAX: usize = 31;

/// The most bytes of all files together; beyond this, the oldest day is removed.
const BYTES_MAX: u64 = 8 << 20;

/// A segment that is completely acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The device that had counted.
    pub device_uuid: String,
    /// The key of the server that has recorded it.
    pub server: PublicKey,
    /// The totals that the segment had counted.
    pub segment: SegmentReport,
}

/// The archive in one usage folder.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// Return the archive in this folder. No file is opened yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Write a segment down before it is removed. A segment that comes twice does no harm.
    ///
    /// # Errors
    /// Returns the error of the disk. The segment must then stay.
    pub fn add(&self, acknowledged: &Acknowledged) -> io::Result<()> {
        let Some(day) = acknowledged
            .segment
            .totals
            .iter()
            .map(|total| u64::from(total.slot) / SLOTS_PER_DAY)
            .max()
        else {
            return Ok(());
        };
        // The ten digits make names sort as days do.
        let path = self.folder.join(format!("{day:010}.{ENDING}"));
        let is_new = !path.exists();
        disk::allows(Use::Grow)?;
        let mut file = file_made_if_missing(&path, OpenOptions::new().append(true))?;
        let mut line = serde_json::to_vec(acknowledged)?;
        line.push(b'\n');
        // A line that was torn by a kill must not spoil the next one.
        line.insert(0, b'\n');
        file.write_all(&line)?;
        // The segment is removed next: a power cut must not leave neither of the two.
        disk::allows(Use::Sync)?;
        file.sync_data()?;
        if is_new {
            sync_folder(&path)?;
            self.prune()?;
        }
        Ok(())
    }

    /// Return everything in the archive, oldest day first.
    ///
    /// # Errors
    /// Returns the error of the disk.
    pub fn read(&self) -> io::Result<impl Iterator<Item = Acknowledged> + use<>> {
        let files = self
            .days()?
            .into_iter()
            .filter_map(|path| private_file(&path, OpenOptions::new().read(true)).ok());
        let lines = files.flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok));
        Ok(lines.filter_map(|line| serde_json::from_slice(&line).ok()))
    }

    fn days(&self) -> io::Result<Vec<PathBuf>> {
        let files = fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        let mut days: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect();
        days.sort();
        Ok(days)
    }

    fn prune(&self) -> io::Result<()> {
        let days = self.days()?;
        let mut bytes = 0;
        for (newer, day) in days.iter().rev().enumerate() {
            bytes += fs::metadata(day)?.len();
            if newer >= DAYS_MAX || newer > 0 && bytes > BYTES_MAX {
                fs::remove_file(day)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::message::{UsageKind, UsageTotal};

    use super::*;

    const DAY: u32 = SLOTS_PER_DAY as u32;

    fn acknowledged(slot: u32, total: u64) -> Acknowledged {
        let segment = SegmentReport {
            segment_id: "1".repeat(32),
            license_id: "2".repeat(32),
            local_license: None,
            totals: vec![UsageTotal { slot, kind: UsageKind::Scan, what: 4, total }],
        };
        let server = PublicKey::from_bytes([7; 32]);
        Acknowledged { device_uuid: "3".repeat(32), server, segment }
    }

    fn all(archive: &Archive) -> Vec<Acknowledged> {
        archive.read().unwrap().collect()
    }

    #[test]
    fn what_is_written_down_is_there_with_the_oldest_day_first() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path());
        let (old, new) = (acknowledged(3 * DAY, 1), acknowledged(20 * DAY, 2));
        archive.add(&new).unwrap();
        archive.add(&old).unwrap();
        archive.add(&new).unwrap();
        assert_eq!(all(&archive), [old, new.clone(), new]);
    }

    #[test]
    fn a_torn_line_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path());
        archive.add(&acknowledged(0, 1)).unwrap();
        let path = &archive.days().unwrap()[0];
        let whole = fs::read(path).unwrap();
        for length in 0..whole.len() {
            fs::write(path, &whole[..length]).unwrap();
            archive.add(&acknowledged(1, 2)).unwrap();
            assert!(all(&archive).contains(&acknowledged(1, 2)), "cut to {length}");
        }
    }

    #[test]
    fn thirty_one_days_are_kept_and_no_more_than_fits() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path());
        for day in 0..40 {
            archive.add(&acknowledged(day * DAY, 1)).unwrap();
        }
        assert_eq!(all(&archive).len(), DAYS_MAX);
        assert_eq!(all(&archive)[0], acknowledged(9 * DAY, 1));
        for day in archive.days().unwrap() {
            let half = usize::try_from(BYTES_MAX / 2).unwrap();
            fs::write(day, vec![b' '; half]).unwrap();
        }
        archive.add(&acknowledged(50 * DAY, 1)).unwrap();
        assert_eq!(archive.days().unwrap().len(), 2, "the newest, and one of half the size");
    }

    #[test]
    fn a_day_has_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path());
        for slot in [3 * DAY, 3 * DAY + 1, 4 * DAY - 1] {
            archive.add(&acknowledged(slot, 1)).unwrap();
        }
        assert_eq!(archive.days().unwrap().len(), 1);
    }

    #[test]
    fn the_last_byte_that_fits_is_kept_and_so_is_the_newest_day_whatever_its_size() {
        let add = |days: &[(u32, u64)], day: u32| {
            let folder = tempfile::tempdir().unwrap();
            let archive = Archive::new(folder.path());
            for (day, bytes) in days {
                let path = folder.path().join(format!("{day:010}.{ENDING}"));
                fs::File::create(path).unwrap().set_len(*bytes).unwrap();
            }
            archive.add(&acknowledged(day * DAY, 1)).unwrap();
            let days = archive.days().unwrap();
            (days.len(), fs::metadata(&days[days.len() - 1]).unwrap().len())
        };
        let (_, line) = add(&[], 50);
        assert_eq!(add(&[(49, BYTES_MAX - line)], 50), (2, line));
        assert_eq!(add(&[(49, BYTES_MAX - line + 1)], 50), (1, line));
        assert_eq!(add(&[(60, BYTES_MAX + 1)], 50), (1, BYTES_MAX + 1));
    }
}
