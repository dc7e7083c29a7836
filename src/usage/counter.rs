//! The counting of one process under one local licence: finds the right entry of the right segment.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;

use super::segment::Segment;
use crate::error::{Error, Result};

/// Where a process counts. Segments are begun at the first count, and when one is full.
#[derive(Debug)]
pub struct Counter {
    folder: PathBuf,
    license_id: String,
    device_uuid: String,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    segments: Vec<Arc<Segment>>,
    slot: u32,
    /// The entries of the current slot: few, so searched from the front.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: UsageKind,
    what: u32,
    segment: Arc<Segment>,
    number: u32,
}

impl Current {
    fn find(&self, kind: UsageKind, what: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == kind && entry.what == what)
    }
}

impl Counter {
    /// Counts into segments in this folder.
    pub fn new(folder: PathBuf, license_id: String, device_uuid: String) -> Self {
        Self { folder, license_id, device_uuid, current: Mutex::default() }
    }

    /// Counts all of `work` or, on an error, nothing of it. It is in shared memory when this returns.
    ///
    /// # Errors
    /// When a segment has to be begun and cannot: disk full, no permission.
    pub fn count(&self, now: u64, work: &[(UsageKind, u32, u64)]) -> Result<()> {
        let slot = seatmeter_protocol::slot::slot_of(now);
        let mut current = self.current.lock();
        if current.slot != slot {
            current.slot = slot;
            current.entries.clear();
        }
        // All entries first: counting into an entry that is there cannot fail.
        for (kind, what, _) in work {
            if current.find(*kind, *what).is_none() {
                let entry = self.new_entry(&mut current, slot, *kind, *what, now)?;
                current.entries.push(entry);
            }
        }
        for (kind, what, n) in work {
            if let Some(entry) = current.find(*kind, *what) {
                entry.segment.count(entry.number, *n);
            }
        }
        Ok(())
    }

    /// Lets go of all segments: from now on they are a dead process's. For the end of a session.
    pub fn close(&self) {
        *self.current.lock() = Current::default();
    }

    fn new_entry(
        &self,
        current: &mut Current,
        slot: u32,
        kind: UsageKind,
        what: u32,
        now: u64,
    ) -> Result<Entry> {
        for _ in 0..2 {
            if let Some(segment) = current.segments.last()
                && let Some(number) = segment.add_entry(slot, kind, what)
            {
                return Ok(Entry { kind, what, segment: segment.clone(), number });
            }
            let segment = Segment::create(&self.folder, &self.license_id, &self.device_uuid, now)?;
            current.segments.push(Arc::new(segment));
        }
        Err(Error::new(ErrorCode::UNKNOWN, "a new usage segment has no room"))
    }

    #[cfg(test)]
    fn segments(&self) -> Vec<Arc<Segment>> {
        self.current.lock().segments.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const LICENSE: &str = "00112233445566778899aabbccddeeff";

    fn counter(folder: &std::path::Path) -> Counter {
        Counter::new(folder.to_owned(), LICENSE.into(), LICENSE.into())
    }

    fn sums(counter: &Counter) -> HashMap<(u32, UsageKind, u32), u64> {
        let mut sums = HashMap::new();
        for segment in counter.segments() {
            for total in segment.totals() {
                *sums.entry((total.usage.slot, total.usage.kind, total.usage.what)).or_default() +=
                    total.usage.total;
            }
        }
        sums
    }

    #[test]
    fn counts_go_into_the_slot_of_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let counter = counter(folder.path());
        for now in [359, 360, 361, 359] {
            counter.count(now, &[(UsageKind::Scan, 4, 1), (UsageKind::Image, 0, 1)]).unwrap();
        }
        let sums = sums(&counter);
        assert_eq!(sums[&(1, UsageKind::Scan, 4)], 2);
        assert_eq!(sums[&(2, UsageKind::Scan, 4)], 2);
        assert_eq!(sums[&(2, UsageKind::Image, 0)], 2);
    }

    #[test]
    fn many_counters_fill_many_segments_and_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let counter = counter(folder.path());
        let mut expected: HashMap<(u32, UsageKind, u32), u64> = HashMap::new();
        for step in 0..9_000_u32 {
            let (slot, what) = (step / 9, step % 9);
            counter.count(u64::from(slot) * 180, &[(UsageKind::Scan, what, 2)]).unwrap();
            *expected.entry((slot, UsageKind::Scan, what)).or_default() += 2;
        }
        assert!(counter.segments().len() > 4);
        assert_eq!(sums(&counter), expected);
    }

    #[test]
    fn nothing_is_made_before_the_first_count_and_an_unwritable_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let counter = counter(&folder.path().join("gone"));
        assert!(counter.segments().is_empty());
        let error = counter.count(0, &[(UsageKind::Scan, 1, 1)]).unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
    }
}
