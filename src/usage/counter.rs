//! The counting of one process under one local license. It finds the right entry of the right
//! segment.
//!
//! A frequent user keeps the entries of the current slot ([`SlotEntries`]). A count is then one
//! atomic addition. A lock is taken only for an entry that this user has not used in this slot.
//!
//! Two threads that count at once into one word of memory slow each other down several times over,
//! because the processors pass the word to and fro. So there are several lanes, each with a segment
//! of its own. A new user takes the lane with the fewest users. Readers that follow one another, or
//! that work one at a time, all use the first lane.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{TOTAL_MAX, UsageKind};
use seatmeter_protocol::slot::slot_start;

use super::durable::Durable;
use super::segment::{Attribution, Carried, Segment};
use crate::error::{Error, Result};
use crate::fault_injection::kill_points::kill_point;
use crate::os::locks::{LANE, Mutex, RwLock};
use crate::os::{FoundWord, Undisturbed};

/// A piece of work: its kind, its symbology or module, and its amount.
pub type Work = (UsageKind, u32, u64);

/// The counter of a process. A segment is begun at the first count, and when the previous one is
/// full.
#[derive(Debug)]
pub struct Counter {
    folder: PathBuf,
    attribution: RwLock<Attribution>,
    /// The number of changes of `attribution`.
    changes: AtomicU32,
    lanes: [Arc<Lane>; LANES],
    /// Every segment into which a thread may still count, even if it is full: their files are
    /// checked. The next check drops a segment that has no users any more.
    begun: Mutex<Vec<Arc<Segment>>>,
}

/// The result of a check of the files.
#[derive(Debug, Default)]
pub struct CheckedFiles {
    /// The files that were restored.
    pub carried: Vec<Carried>,
    /// The error if counts could not be carried into a new file: they are still in memory, and the
    /// next check tries again.
    pub failed: Option<Error>,
}

/// The number of lanes. More threads than this at once share lanes, and each lane in use costs a
/// file.
const LANES: usize = 4;

/// A lane, which some users of the counter share. The counter and each of these users hold a
/// reference to it.
type Lane = Mutex<Current, LANE>;

/// The segments into which a lane counts at the moment.
#[derive(Debug, Default)]
struct Current {
    /// The segment with free entries. A full one lives as long as a thread counts into it. It is
    /// then reported and removed like a dead process's, so that a program that runs for years does
    /// not collect files.
    segment: Option<Arc<Segment>>,
    /// The segment that follows, created before it is needed, so that a count does not wait for the
    /// disk.
    next: Option<Arc<Segment>>,
    entries: SlotEntries,
}

/// The number of free entries below which a lane's next segment is created.
const ROOM_MIN: usize = 512;

/// The most that one call may count of anything.
const WORK_MAX: u64 = u32::MAX as u64;

/// The total from which an entry is full. A server refuses a total above [`TOTAL_MAX`], and each
/// thread that counts into an entry may add to it once more before it knows that the entry is full.
const FULL: u64 = WORK_MAX;
const _: () = assert!(FULL + 3 * WORK_MAX < TOTAL_MAX);

/// The entries of one slot, kept by one user of the counter.
#[derive(Debug, Default)]
pub struct SlotEntries {
    lane: Option<Arc<Lane>>,
    slot: u32,
    /// The number of changes of `attribution` at the time of [`Counter::catch_up`].
    changes: u32,
    /// The entries: few, so that they are searched from the front.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: UsageKind,
    what: u32,
    total: FoundWord<Segment>,
}

impl SlotEntries {
    #[inline]
    fn find(&self, kind: UsageKind, what: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == kind && entry.what == what)
    }

    fn has_full(&self) -> bool {
        self.entries.iter().any(|entry| entry.total.load(Ordering::Relaxed) >= FULL)
    }

    #[inline]
    fn begin_slot(&mut self, slot: u32) {
        if self.slot != slot {
            self.slot = slot;
            self.entries.clear();
        }
    }
}

impl Counter {
    /// Return a counter that counts into segments in this folder.
    pub fn new(folder: PathBuf, attribution: Attribution) -> Self {
        Self {
            folder,
            attribution: RwLock::new(attribution),
            changes: AtomicU32::new(0),
            lanes: Default::default(),
            begun: Mutex::default(),
        }
    }

    /// Count under this license and UUID from now on. The work goes into segments of their own, as
    /// soon as a counter of a new slot is needed. Work that was counted before, or is just being
    /// counted, stays under the previous license and UUID.
    pub fn count_as(&self, attribution: Attribution) {
        *self.attribution.write() = attribution;
        self.leave_lanes();
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Check whether the files' names still mean these files, and carry the counts into new files
    /// if they do not. Create the segments that will soon be needed. Counting continues meanwhile
    /// and never waits for this. Call this from one thread at a time.
    pub fn check_files(&self) -> CheckedFiles {
        let mut checked = CheckedFiles::default();
        let begun = self.begun.lock().clone();
        for segment in &begun {
            match segment.check_file() {
                Ok(carried) => checked.carried.extend(carried),
                Err(error) => checked.failed = Some(error),
            }
        }
        if checked.failed.is_none() {
            self.prepare();
            self.let_go(begun);
        }
        checked
    }

    /// Make durable what was counted here and is not acknowledged. The report gives the error of
    /// what fails.
    pub fn make_durable(&self, durable: &Durable) {
        let begun = self.begun.lock().clone();
        begun.iter().for_each(|segment| durable.ensure_what_is_new(&segment.path(), segment));
    }

    /// Drop the segments into which no thread counts any more.
    fn let_go(&self, looked_at: Vec<Arc<Segment>>) {
        // A checked segment has one reference here and one in the list.
        let is_used = |segment: &Arc<Segment>| {
            !looked_at.iter().any(|seen| Arc::ptr_eq(seen, segment))
                || Arc::strong_count(segment) > 2
        };
        self.begun.lock().retain(is_used);
        // The segments are unmapped here, where no lock is held.
        drop(looked_at);
    }

    /// Create the next segment of each lane whose current one is nearly full.
    fn prepare(&self) {
        for lane in &self.lanes {
            let changes = self.changes.load(Ordering::Acquire);
            let is_wanted = |current: &Current| {
                current.next.is_none()
                    && current.segment.as_ref().is_some_and(|one| one.room() < ROOM_MIN)
            };
            if !is_wanted(&lane.lock()) {
                continue;
            }
            let attribution = self.attribution.read().clone();
            // The lock is released before the disk is used: a count may wait for the lock.
            let slot = lane.lock().entries.slot;
            // If this fails, the count that needs the segment creates it, or returns the error.
            let Ok(next) = Segment::create(&self.folder, &attribution, slot_start(slot)) else {
                return;
            };
            let next = Arc::new(next);
            self.begun.lock().push(next.clone());
            let mut current = lane.lock();
            if is_wanted(&current) && self.changes.load(Ordering::Acquire) == changes {
                current.next = Some(next);
            }
        }
    }

    /// Drop the caller's own entries if they are from before [`Self::count_as`]. Callers use this
    /// if they must not keep their entries to the end of the slot.
    pub fn catch_up(&self, mine: &mut SlotEntries) {
        let changes = self.changes.load(Ordering::Acquire);
        if mine.changes != changes {
            mine.changes = changes;
            mine.entries.clear();
        }
    }

    /// Count all of `work` in this slot or, on an error, nothing of it. The counts are in shared
    /// memory when this returns. `mine` are the caller's own entries.
    ///
    /// # Errors
    /// Fails if a segment must be begun and cannot be, because the disk is full or permission is
    /// missing. Fails if `work` is more than 4 294 967 295.
    #[inline(always)]
    pub fn count(&self, mine: &mut SlotEntries, slot: u32, work: &[Work]) -> Result<()> {
        if let Some((_, _, n)) = work.iter().find(|(_, _, n)| *n > WORK_MAX) {
            return Err(too_much(*n));
        }
        mine.begin_slot(slot);
        // All entries come first: counting into an existing entry cannot fail.
        for (kind, what, _) in work {
            if mine.find(*kind, *what).is_none() {
                self.find_entry(mine, slot, *kind, *what)?;
            }
        }
        kill_point("count: before");
        let mut is_full = false;
        for (kind, what, n) in work {
            if let Some(entry) = mine.find(*kind, *what) {
                is_full |= entry.total.fetch_add(*n, Ordering::Relaxed) >= FULL;
                kill_point("count: between two counters");
            }
        }
        kill_point("count: after");
        if is_full {
            Self::leave_full(mine);
        }
        Ok(())
    }

    /// Drop all segments: from now on they count as a dead process's. This ends a session.
    pub fn close(&self) {
        self.leave_lanes();
        let begun = std::mem::take(&mut *self.begun.lock());
        drop(begun);
    }

    /// Return whether it has let go of all segments.
    pub fn has_let_go(&self) -> bool {
        self.begun.lock().is_empty()
    }

    /// Count into other segments from now on. The previous ones are checked as long as a thread may
    /// count into them.
    pub fn begin_segments(&self) {
        self.leave_lanes();
    }

    fn leave_lanes(&self) {
        for lane in &self.lanes {
            let left = std::mem::take(&mut *lane.lock());
            // Unmap without the lock: other threads may need it to count.
            drop(left);
        }
    }

    /// Take no entry of this slot again that is full. The lane's next count begins a segment.
    #[cold]
    fn leave_full(mine: &mut SlotEntries) {
        mine.entries.clear();
        let Some(lane) = &mine.lane else { return };
        let mut current = lane.lock();
        // Another thread may have done so already.
        if current.entries.has_full() {
            let left = (std::mem::take(&mut current.entries), current.segment.take());
            // The segment is unmapped without the lock.
            drop(current);
            drop(left);
        }
    }

    fn emptiest_lane(&self) -> Arc<Lane> {
        let emptiest = self.lanes.iter().min_by_key(|lane| Arc::strong_count(lane));
        emptiest.unwrap_or(&self.lanes[0]).clone()
    }

    #[cold]
    fn find_entry(
        &self,
        mine: &mut SlotEntries,
        slot: u32,
        kind: UsageKind,
        what: u32,
    ) -> Result<()> {
        let lane = mine.lane.get_or_insert_with(|| self.emptiest_lane());
        let entry = self.entry(lane, slot, kind, what).or_else(|error| {
            // The disk may be full, and another lane may have free entries.
            let elsewhere = self.lanes.iter().find_map(|other| {
                let entry = self.entry(other, slot, kind, what).ok()?;
                lane.clone_from(other);
                Some(entry)
            });
            elsewhere.ok_or(error)
        })?;
        mine.entries.push(entry);
        Ok(())
    }

    fn entry(&self, lane: &Lane, slot: u32, kind: UsageKind, what: u32) -> Result<Entry> {
        let mut current = lane.lock();
        current.entries.begin_slot(slot);
        if let Some(known) = current.entries.find(kind, what) {
            return Ok(known.clone());
        }
        let entry = self.new_entry(&mut current, slot, kind, what)?;
        current.entries.entries.push(entry.clone());
        Ok(entry)
    }

    fn new_entry(
        &self,
        current: &mut Current,
        slot: u32,
        kind: UsageKind,
        what: u32,
    ) -> Result<Entry> {
        let Current { segment, next, .. } = current;
        for _ in 0..2 {
            if let Some(segment) = segment
                && let Some(number) = segment.entry(slot, kind, what)
            {
                return Ok(Entry { kind, what, total: segment.counting(number) });
            }
            // A thread of the host does this in the middle of a count.
            let _undisturbed = Undisturbed::hold();
            let begun_at = slot_start(slot);
            let attribution = self.attribution.read().clone();
            *segment = match next.take() {
                Some(next) => Some(next),
                None => {
                    let made = Arc::new(Segment::create(&self.folder, &attribution, begun_at)?);
                    self.begun.lock().push(made.clone());
                    Some(made)
                }
            };
        }
        Err(Error::new(ErrorCode::UNKNOWN, "a new usage segment has no room"))
    }
}

#[cold]
fn too_much(n: u64) -> Error {
    let message = format!("one call cannot count {n}: count at most {WORK_MAX} at once");
    Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message)
}

#[cfg(test)]
mod tests;
