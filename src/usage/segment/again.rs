//! A segment that is made again from the archive, because a server that has forgotten it does not
//! record it now: its license file is missing there, or its clock is behind.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use seatmeter_protocol::slot::SLOT_SECONDS;

use super::carry::unfinished;
use super::file::{Made, fill_file, id_words, until_made};
use super::{Acknowledged, Attribution, ENDING, Filed, Segment, SegmentHeader};
use crate::fault_injection::disk::{self, Use};
use crate::os::locks::Mutex;

impl Segment {
    /// Make the file of a segment again, with these totals and nothing acknowledged. Return `None`
    /// if the file is there.
    ///
    /// # Errors
    /// Fails if the file cannot be made, or if what is archived is no segment.
    pub fn make_again(folder: &Path, archived: &Acknowledged) -> io::Result<Option<Self>> {
        let Acknowledged { device_uuid, server, segment } = archived;
        // The id becomes a part of a path.
        id_words(&segment.segment_id)?;
        let path = folder.join(format!("{}.{ENDING}", segment.segment_id));
        if path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        let first_slot = segment.totals.iter().map(|total| total.slot).min().unwrap_or(0);
        let header = SegmentHeader {
            segment_id: segment.segment_id.clone(),
            attribution: Attribution {
                license_id: segment.license_id.clone(),
                device_uuid: device_uuid.clone(),
                server: server.clone(),
            },
            begun_at: u64::from(first_slot) * SLOT_SECONDS,
        };
        // As long as it must be: there may be thousands.
        let entries = u32::try_from(segment.totals.len()).map_err(io::Error::other)?;
        let draft = unfinished(&path);
        let Made { mapped, lock, identity } = until_made(|| fill_file(&draft, &header, entries))?;
        let filed = Filed { path: path.clone(), header, identity, lock: Some(lock) };
        let made = Self { entries, mapped, filed: Mutex::new(filed), filled: Mutex::default() };
        for (entry, total) in (0..entries).zip(&segment.totals) {
            made.fill(entry, total.slot, total.kind, total.what);
            made.total(entry).store(total.total, Ordering::Release);
        }
        let named = disk::allows(Use::Rename).and_then(|()| fs::rename(&draft, &path));
        named.inspect_err(|_| _ = fs::remove_file(&draft))?;
        Ok(Some(made))
    }
}
