//! The work that a reader counts: the barcodes of images and frames, each different one once.

use std::sync::atomic::{AtomicU32, Ordering};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;

use crate::error::{Error, Result};
use crate::licensed::Licensed;
use crate::usage::{Barcode, DuplicateFilter, SlotEntries, Work, for_each_unique};

/// The forget time of a new reader.
pub const FORGET_MS_DEFAULT: u32 = 3000;

/// The longest forget time.
pub const FORGET_MS_MAX: u32 = 600_000;

/// The counter of a reader's work. It is small until the first frame of a sequence is counted.
#[derive(Debug, Default)]
pub struct BarcodeCounter {
    entries: SlotEntries,
    duplicates: Option<Box<DuplicateFilter>>,
    /// The list of work, kept to reuse its memory.
    work: Vec<Work>,
    /// Hashes of the barcodes of a frame that count, kept to reuse the memory.
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
    /// Set the forget time.
    ///
    /// # Errors
    /// -10038 when it is out of range.
    pub fn set(&self, ms: i32) -> Result<()> {
        let in_range = u32::try_from(ms).ok().filter(|ms| *ms <= FORGET_MS_MAX);
        let ms = in_range.ok_or_else(|| {
            let message = format!("the forget time is {ms} ms; it can be 0 to {FORGET_MS_MAX}");
            Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message)
        })?;
        self.0.store(ms, Ordering::Relaxed);
        Ok(())
    }

    /// Return whether this is the forget time of a new reader.
    pub fn is_default(&self) -> bool {
        self.ms() == FORGET_MS_DEFAULT
    }

    pub(in crate::reader) fn ms(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl BarcodeCounter {
    /// Forget the slot entries: they belong to another license, to closed segments, or to the
    /// parent process. Keep the duplicate filter, because the barcodes counted a short while ago
    /// belong to the reader.
    pub fn begin_anew(&mut self) {
        self.entries = SlotEntries::default();
    }

    /// Count one still image; return the number of different barcodes.
    ///
    /// # Errors
    /// Fails when the license is no longer valid, or the count cannot be kept. Then nothing was
    /// counted.
    pub fn image(&mut self, licensed: &Licensed, barcodes: &[Barcode<'_>]) -> Result<u64> {
        let moment = licensed.moment()?;
        if let [barcode] = barcodes {
            licensed.count(&mut self.entries, moment.slot, &[IMAGE, scan_of(barcode)])?;
            return Ok(1);
        }
        let counted = list_work(&mut self.work, barcodes, |_| true);
        licensed.count(&mut self.entries, moment.slot, &self.work)?;
        Ok(counted)
    }

    /// Count one frame of a sequence. Barcodes that were counted within the forget time do not
    /// count.
    ///
    /// # Errors
    /// Fails as [`Self::image`] does.
    pub fn frame(
        &mut self,
        licensed: &Licensed,
        barcodes: &[Barcode<'_>],
        forget: &ForgetTime,
    ) -> Result<u64> {
        let moment = licensed.moment()?;
        let forget_ms = forget.ms();
        let Self { entries, duplicates, work, fresh } = self;
        let duplicates = match duplicates {
            Some(duplicates) => duplicates,
            None => duplicates.insert(Box::new(DuplicateFilter::new().ok_or(ErrorCode::UNKNOWN)?)),
        };
        if let [barcode] = barcodes {
            // A frame usually has one barcode, which needs no list.
            let hash = duplicates.hash(barcode);
            if !duplicates.counts(hash, moment.monotonic_ms, forget_ms) {
                return licensed.count(entries, moment.slot, &[IMAGE]).map(|()| 0);
            }
            let outcome = licensed.count(entries, moment.slot, &[IMAGE, scan_of(barcode)]);
            if outcome.is_err() {
                duplicates.take_back(hash);
            }
            return outcome.map(|()| 1);
        }
        fresh.clear();
        let counted = list_work(work, barcodes, |barcode| {
            let hash = duplicates.hash(barcode);
            let counts = duplicates.counts(hash, moment.monotonic_ms, forget_ms);
            if counts {
                fresh.push(hash);
            }
            counts
        });
        let outcome = licensed.count(entries, moment.slot, work);
        if outcome.is_err() {
            fresh.iter().for_each(|hash| duplicates.take_back(*hash));
        }
        outcome.map(|()| counted)
    }

    /// Count scans that the caller has made unique.
    ///
    /// # Errors
    /// Fails as [`Self::image`] does.
    pub fn scans(&mut self, licensed: &Licensed, format: u32, n: u64) -> Result<()> {
        let slot = licensed.moment()?.slot;
        licensed.count(&mut self.entries, slot, &[(UsageKind::Scan, format, n)])
    }
}

/// The work that every image counts as, with or without barcodes.
const IMAGE: Work = (UsageKind::Image, 0, 1);

fn scan_of(barcode: &Barcode<'_>) -> Work {
    (UsageKind::Scan, barcode.format, 1)
}

/// List the work of one image: the image itself, and its different barcodes that count. Return
/// their number.
#[inline]
fn list_work(
    work: &mut Vec<Work>,
    barcodes: &[Barcode<'_>],
    mut counts: impl FnMut(&Barcode<'_>) -> bool,
) -> u64 {
    work.clear();
    work.push(IMAGE);
    let mut counted = 0;
    for_each_unique(barcodes, |barcode| {
        if !counts(barcode) {
            return;
        }
        counted += 1;
        match work
            .iter_mut()
            .find(|(kind, what, _)| *kind == UsageKind::Scan && *what == barcode.format)
        {
            Some((_, _, n)) => *n += 1,
            None => work.push(scan_of(barcode)),
        }
    });
    counted
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of};

    use super::*;
    use crate::clock::test_support::HandClock;
    use crate::device::Device;
    use crate::license::Grant;
    use crate::license::test_support::{NOW, answer, item, key, local};
    use crate::usage::Segment;

    const A: Barcode<'static> = Barcode { format: 0x20, bytes: b"A" };
    const B: Barcode<'static> = Barcode { format: 0x20, bytes: b"B" };
    const OTHER_A: Barcode<'static> = Barcode { format: 1, bytes: b"A" };

    struct Bench {
        folder: tempfile::TempDir,
        clock: &'static HandClock,
        licensed: Licensed,
        counter: BarcodeCounter,
        forget: ForgetTime,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock: &'static HandClock = Box::leak(Box::new(HandClock::at(NOW)));
            let mut local = local();
            local.license_id = "1".repeat(32);
            let answer = answer(item(), &local);
            let device = Device::with_uuid(&local.device_uuid);
            let grant = Grant::verify(&answer, key(1).public(), &device).unwrap();
            let usage = folder.path().join("usage");
            std::fs::create_dir(&usage).unwrap();
            let licensed = Licensed::new(grant.into(), folder.path(), usage, clock, || {}).unwrap();
            Self {
                folder,
                clock,
                licensed,
                counter: BarcodeCounter::default(),
                forget: ForgetTime::default(),
            }
        }

        fn usage(&self) -> PathBuf {
            self.folder.path().join("usage")
        }

        /// Set the clock to this many milliseconds after the start.
        fn at_ms(&self, ms: u64) {
            self.clock.set_ms(NOW * 1000 + ms);
        }

        fn image(&mut self, barcodes: &[Barcode<'_>]) -> u64 {
            self.counter.image(&self.licensed, barcodes).unwrap()
        }

        fn frame(&mut self, barcodes: &[Barcode<'_>]) -> u64 {
            self.counter.frame(&self.licensed, barcodes, &self.forget).unwrap()
        }

        fn counted(&self, kind: UsageKind) -> u64 {
            self.counted_by_slot(kind).iter().map(|(_, total)| total).sum()
        }

        fn counted_by_slot(&self, kind: UsageKind) -> Vec<(u32, u64)> {
            let files = |folder: &Path| std::fs::read_dir(folder).unwrap().flatten();
            let totals =
                files(&self.usage()).flat_map(|file| Segment::open(&file.path()).unwrap().totals());
            totals.filter(|t| t.usage.kind == kind).map(|t| (t.usage.slot, t.usage.total)).collect()
        }
    }

    #[test]
    fn one_scan_is_one_unique_barcode_of_an_image() {
        let mut bench = Bench::new();
        for (barcodes, counted) in
            [(&[A, A][..], 1), (&[A, B], 2), (&[A, OTHER_A], 2), (&[A, B, OTHER_A, A], 3), (&[], 0)]
        {
            assert_eq!(bench.image(barcodes), counted);
            assert_eq!(bench.frame(&[]), 0);
        }
        assert_eq!(bench.counted(UsageKind::Scan), 8);
        assert_eq!(bench.counted(UsageKind::Image), 10, "images without a barcode are images");
    }

    #[test]
    fn two_images_are_two_jobs() {
        let mut bench = Bench::new();
        assert_eq!((bench.image(&[A]), bench.image(&[A])), (1, 1));
        assert_eq!(bench.frame(&[A]), 1, "nor does an image make a frame forget to count");
        assert_eq!(bench.image(&[A]), 1);
        assert_eq!(bench.counted(UsageKind::Scan), 4);
    }

    #[test]
    fn a_barcode_of_a_sequence_counts_again_when_the_forget_time_has_passed_since_it_was_counted() {
        for (seen_at, counted) in [(2_999, 0), (3_000, 1), (3_001, 1)] {
            let mut bench = Bench::new();
            assert_eq!(bench.frame(&[A, A]), 1);
            bench.at_ms(1_500);
            assert_eq!(
                bench.frame(&[A, B]),
                1,
                "being seen does not make it younger, and B is new"
            );
            bench.at_ms(seen_at);
            assert_eq!(bench.frame(&[A]), counted, "at {seen_at} ms");
        }
    }

    #[test]
    fn a_forget_time_of_0_switches_the_memory_across_frames_off() {
        let mut bench = Bench::new();
        bench.forget.set(0).unwrap();
        for _ in 0..3 {
            assert_eq!(bench.frame(&[A, A]), 1, "within a frame it is one all the same");
        }
        bench.forget.set(600_000).unwrap();
        assert_eq!(bench.frame(&[A]), 0, "it was counted a moment ago");
        bench.at_ms(599_999);
        assert_eq!(bench.frame(&[A]), 0);
        bench.at_ms(600_000);
        assert_eq!(bench.frame(&[A]), 1);
        for ms in [-1, 600_001, i32::MAX] {
            assert_eq!(bench.forget.set(ms).unwrap_err().code, ErrorCode::PARAMETER_VALUE_INVALID);
        }
    }

    #[test]
    fn work_counts_in_the_slot_in_which_it_is_done() {
        let mut bench = Bench::new();
        assert_eq!(NOW % SLOT_SECONDS, 0, "the start is a slot's");
        for ms in [0, 179_999, 180_000, 359_999, 360_000] {
            bench.at_ms(ms);
            bench.image(&[A]);
        }
        let first = slot_of(NOW);
        assert_eq!(
            bench.counted_by_slot(UsageKind::Scan),
            [(first, 2), (first + 1, 2), (first + 2, 1)]
        );
    }

    #[test]
    fn a_barcode_that_could_not_be_counted_counts_the_next_time_and_once() {
        let mut bench = Bench::new();
        std::fs::remove_dir(bench.usage()).unwrap();
        std::os::unix::fs::symlink("nowhere", bench.usage()).unwrap();
        for _ in 0..2 {
            let error = bench.counter.frame(&bench.licensed, &[A], &bench.forget).unwrap_err();
            assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
        }
        std::fs::remove_file(bench.usage()).unwrap();
        assert_eq!((bench.frame(&[A]), bench.frame(&[A])), (1, 0));
        assert_eq!(bench.counted(UsageKind::Scan), 1);
    }
}
