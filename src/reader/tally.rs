//! What a reader counts: the barcodes of images and frames, each different one once.

use std::sync::atomic::{AtomicU32, Ordering};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;

use crate::error::{Error, Result};
use crate::licensed::Licensed;
use crate::usage::{Barcode, Repeats, SlotEntries, Work, for_each_unique};

/// The forget time of a new reader.
pub const FORGET_MS_DEFAULT: u32 = 3000;

/// The longest forget time.
pub const FORGET_MS_MAX: u32 = 600_000;

/// A reader's counting. Small until the first frame of a sequence is counted.
#[derive(Debug, Default)]
pub struct Tally {
    entries: SlotEntries,
    repeats: Option<Box<Repeats>>,
    /// Kept for its memory.
    work: Vec<Work>,
    /// Hashes of the barcodes of a frame that count, likewise.
    fresh: Vec<u64>,
}

/// The forget time of a reader; 0 switches the memory across frames off.
#[derive(Debug)]
pub struct ForgetTime(AtomicU32);

impl Default for ForgetTime {
    fn default() -> Self {
        Self(AtomicU32::new(FORGET_MS_DEFAULT))
    }
}

impl ForgetTime {
    /// Sets it.
    ///
    /// # Errors
    /// -10038 when it is out of range.
    pub fn set(&self, ms: i32) -> Result<()> {
        let in_range = u32::try_from(ms).ok().filter(|ms| *ms <= FORGET_MS_MAX);
        let ms = in_range.ok_or_else(|| {
            let message = format!("a forget time of {ms} ms; it can be 0 to {FORGET_MS_MAX}");
            Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message)
        })?;
        self.0.store(ms, Ordering::Relaxed);
        Ok(())
    }

    fn ms(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    /// Counts one still image; gives the number of different barcodes.
    ///
    /// # Errors
    /// When the licence is no longer good, or the count cannot be kept: then nothing was counted.
    pub fn image(&mut self, licensed: &Licensed, barcodes: &[Barcode<'_>]) -> Result<u64> {
        let moment = licensed.moment()?;
        let counted = list_work(&mut self.work, barcodes, |_| true);
        licensed.count(&mut self.entries, moment.slot, &self.work)?;
        Ok(counted)
    }

    /// Counts one frame of a sequence: barcodes that were counted within the forget time do not count.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn frame(
        &mut self,
        licensed: &Licensed,
        barcodes: &[Barcode<'_>],
        forget: &ForgetTime,
    ) -> Result<u64> {
        let moment = licensed.moment()?;
        let forget_ms = forget.ms();
        let Self { entries, repeats, work, fresh } = self;
        let repeats = match repeats {
            Some(repeats) => repeats,
            None => repeats.insert(Box::new(Repeats::new().ok_or(ErrorCode::UNKNOWN)?)),
        };
        fresh.clear();
        let counted = list_work(work, barcodes, |barcode| {
            let hash = repeats.hash(barcode);
            let counts = repeats.is_fresh(hash, moment.monotonic_ms, forget_ms);
            if counts {
                fresh.push(hash);
            }
            counts
        });
        licensed.count(entries, moment.slot, work)?;
        // After the count: a barcode that could not be counted has to count the next time.
        for hash in fresh {
            repeats.note(*hash, moment.monotonic_ms, forget_ms);
        }
        Ok(counted)
    }

    /// Counts scans that the caller has made unique himself.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn scans(&mut self, licensed: &Licensed, format: u32, n: u64) -> Result<()> {
        let slot = licensed.moment()?.slot;
        licensed.count(&mut self.entries, slot, &[(UsageKind::Scan, format, n)])
    }
}

/// Lists the work of one image: itself, and its different barcodes that count; gives their number.
#[inline]
fn list_work(
    work: &mut Vec<Work>,
    barcodes: &[Barcode<'_>],
    mut counts: impl FnMut(&Barcode<'_>) -> bool,
) -> u64 {
    work.clear();
    work.push((UsageKind::Image, 0, 1));
    let mut counted = 0;
    for_each_unique(barcodes, |barcode| {
        if !counts(barcode) {
            return;
        }
        counted += 1;
        match work.iter_mut().find(|(kind, what, _)| *kind == UsageKind::Scan && *what == barcode.format) {
            Some((_, _, n)) => *n += 1,
            None => work.push((UsageKind::Scan, barcode.format, 1)),
        }
    });
    counted
}
