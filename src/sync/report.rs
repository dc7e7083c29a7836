//! Reporting what was counted: by any process of the device, for all of them.
//!
//! What is sent are totals that are on the disk already, so that neither a repeated report nor a power cut
//! can make device and server disagree:
//!
//! ```text
//! read the totals ─▶ make the segment durable ─▶ send ─▶ note what is recorded ─▶ remove what is done with
//! ```

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::message::{
    SEGMENTS_MAX, SegmentReport, TOTALS_MAX, USAGE_PATH, UsageAnswer, UsageReport,
};
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::authorize::device_facts;
use super::exchange::Servers;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kill_points::kill_point;
use crate::state::{FramedFile, Kind, Loaded, sync_folder};
use crate::usage::{Acknowledged, Archive, SEGMENT_ENDING, Segment, Total, UNFINISHED_ENDING};

/// What a round of reporting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Counters that the server has recorded now.
    pub totals: usize,
    /// Segments that were done with and removed.
    pub removed: usize,
    /// Segments that the server could not book; they are kept.
    pub refused: usize,
}

impl std::ops::AddAssign for Reported {
    fn add_assign(&mut self, more: Self) {
        self.totals += more.totals;
        self.removed += more.removed;
        self.refused += more.refused;
    }
}

/// What a round of reporting works with.
pub struct Reporting<'a> {
    /// Whom to tell.
    pub servers: &'a Servers<'a>,
    /// Where the segments are.
    pub folder: &'a Path,
    /// The key of the server under whose grants they were counted.
    pub key: &'a PublicKey,
    /// The epoch that the server has named with its latest grant, or empty.
    pub epoch: &'a str,
    /// Reads what the device holds from the server, for one that was restored from before it gave that.
    pub held: &'a dyn Fn() -> Option<Signed>,
    /// When it must be done.
    pub deadline: Deadline,
}

/// Reports every segment in the folder that has something new to say; and everything that the device remembers to
/// a server that may have forgotten it, which names another epoch than before.
///
/// One segment is open at a time: a device that was offline for months has thousands, and the descriptors are
/// the host's.
///
/// # Errors
/// When a segment cannot be read or made durable (the others are reported nevertheless), or the server cannot be
/// reached or trusted: what is not acknowledged stays for the next time.
pub fn report(with: &Reporting<'_>) -> Result<Reported> {
    let mut round = Round {
        with,
        archive: Archive::new(with.folder),
        heard: with.epoch.to_owned(),
        is_again: false,
        batch: Vec::new(),
        batched: 0,
        reported: Reported::default(),
    };
    let mut outcome = round.report_segments()?;
    let known = FramedFile::new(with.folder.join("epoch"), Kind::Epoch);
    let heard = round.heard.clone();
    if heard.is_empty() {
        return outcome.map(|()| round.reported);
    }
    match known.load::<String>()? {
        Loaded::Content(epoch) if epoch == heard => {}
        Loaded::Absent => known.store(&heard)?,
        Loaded::Content(_) | Loaded::SetAside { .. } => {
            outcome = round.report_again()?;
            known.store(&heard)?;
        }
    }
    outcome.map(|()| round.reported)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.map_err(|e| Error::state(folder, "list", &e))?;
            Ok(entries.flatten().map(|entry| entry.path()).collect())
        }
    }
}

/// What becomes of a file that is not a segment that we can read.
fn cannot_open(path: &Path, cause: &io::Error) -> Result<()> {
    match cause.kind() {
        // Damaged: kept for whoever wants to look, and out of the way.
        io::ErrorKind::InvalidData => {
            let _ = Segment::set_aside_damaged(path);
            Ok(())
        }
        // Removed by another process a moment ago; another user's; a newer library's, which will report it.
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Ok(()),
        _ => Err(Error::state(path, "read", cause)),
    }
}

/// What one segment has to say.
struct News {
    /// Who has counted, which is not who reports when the device has had to take another UUID since.
    device_uuid: String,
    segment: SegmentReport,
    /// The segment and its totals; `None` when it is gone, and this is from the archive.
    source: Option<(PathBuf, Vec<Total>)>,
}

/// One round of reporting.
struct Round<'a> {
    with: &'a Reporting<'a>,
    archive: Archive,
    /// The epoch that the server has named last.
    heard: String,
    /// Whether everything is told once more.
    is_again: bool,
    /// Segments of one device, at most as much as a report may hold.
    batch: Vec<News>,
    /// Totals in it.
    batched: usize,
    reported: Reported,
}

impl Round<'_> {
    /// Reports what is new. The outer error ends the round, the inner one is of some segments alone.
    fn report_segments(&mut self) -> Result<Result<()>> {
        let mut outcome = Ok(());
        for path in files(self.with.folder)? {
            match path.extension().and_then(OsStr::to_str) {
                Some(SEGMENT_ENDING) => match Segment::open(&path) {
                    Ok(segment) => outcome = outcome.and(self.add(&path, &segment)?),
                    Err(e) => outcome = outcome.and(cannot_open(&path, &e)),
                },
                // Tried again by the next round, as everything that only takes up room.
                Some(UNFINISHED_ENDING) => drop(Segment::sweep_unfinished(&path)),
                _ => {}
            }
        }
        self.send()?;
        Ok(outcome)
    }

    /// Reports everything that the device remembers.
    fn report_again(&mut self) -> Result<Result<()>> {
        self.is_again = true;
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING);
        let segments = files(self.with.folder)?.into_iter().filter(is_segment);
        segments.flat_map(|path| Segment::open(&path)).for_each(|segment| segment.forget_acknowledgements());
        let archived = self.archive.read().map_err(|e| Error::state(self.with.folder, "list", &e))?;
        for Acknowledged { device_uuid, segment } in archived {
            self.take_up(News { device_uuid, segment, source: None })?;
        }
        self.report_segments()
    }

    /// Takes up what a segment has to say. The outer error ends the round, the inner one is of this segment
    /// alone.
    fn add(&mut self, path: &Path, segment: &Segment) -> Result<Result<()>> {
        let totals: Vec<Total> =
            segment.totals().into_iter().filter(|t| t.acknowledged < t.usage.total).collect();
        if totals.is_empty() {
            self.remove_if_done(segment);
            return Ok(Ok(()));
        }
        kill_point("report: totals read");
        if let Err(e) = segment.make_durable() {
            return Ok(Err(Error::state(path, "make durable what was counted in", &e)));
        }
        kill_point("report: durable");
        for piece in totals.chunks(TOTALS_MAX) {
            self.take_up(News {
                device_uuid: segment.header().device_uuid.clone(),
                segment: segment.header().report(piece.iter().map(|total| total.usage).collect()),
                source: Some((path.to_owned(), piece.to_vec())),
            })?;
        }
        Ok(Ok(()))
    }

    /// Puts news into the batch; sends it first when they do not fit.
    fn take_up(&mut self, news: News) -> Result<()> {
        let totals = news.segment.totals.len();
        let is_full = self.batched + totals > TOTALS_MAX || self.batch.len() == SEGMENTS_MAX;
        if is_full || self.batch.last().is_some_and(|last| last.device_uuid != news.device_uuid) {
            self.send()?;
        }
        self.batched += totals;
        self.batch.push(news);
        Ok(())
    }

    /// Sends what was taken up, and notes what the server has recorded of it.
    fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batched = 0;
        let Some(first) = batch.first() else { return Ok(()) };
        let device = Device { uuid: first.device_uuid.clone() };
        // Their names, too, once for all: a file that a power cut takes away had better not be known to the server.
        sync_folder(&self.with.folder.join("any"))
            .map_err(|e| Error::state(self.with.folder, "make durable", &e))?;
        kill_point("report: names durable");
        let mut segments: Vec<SegmentReport> = batch.iter().map(|news| news.segment.clone()).collect();
        if self.is_again
            && let Some(first) = segments.first_mut()
        {
            first.local_license = (self.with.held)();
        }
        let request = UsageReport { protocol: PROTOCOL_VERSION, device: device_facts(&device), segments };
        kill_point("report: before the request");
        let with = self.with;
        let answer: UsageAnswer = with.servers.ask(USAGE_PATH, &request, with.deadline, |answer| {
            if !answer.is_success() {
                return Err(answer.refusal(Some(with.key)));
            }
            answer.verify(with.key)?;
            answer.read()
        })?;
        kill_point("report: answered");
        for news in &batch {
            if answer.recorded.contains(&news.segment.segment_id) {
                self.acknowledge(news);
            } else {
                self.reported.refused += 1;
            }
        }
        if !answer.epoch.is_empty() {
            self.heard = answer.epoch;
        }
        Ok(())
    }

    /// Notes what is recorded of a segment. One that cannot be opened any more says it all again next time.
    fn acknowledge(&mut self, news: &News) {
        self.reported.totals += news.segment.totals.len();
        let Some((path, totals)) = &news.source else { return };
        let Ok(segment) = Segment::open(path) else { return };
        for total in totals {
            segment.acknowledge(total.entry, total.usage.total);
        }
        kill_point("report: acknowledged");
        self.remove_if_done(&segment);
    }

    /// A segment that cannot be removed now is tried again by the next round.
    fn remove_if_done(&mut self, segment: &Segment) {
        self.reported.removed += usize::from(segment.remove_if_done(&self.archive).unwrap_or(false));
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Scripted, Step};
    use super::*;
    use crate::clock::test_support::HandClock;
    use crate::usage::{Counter, SlotEntries};
    use seatmeter_protocol::error_code::ErrorCode;
    use seatmeter_protocol::message::UsageKind;
    use seatmeter_protocol::signature::SigningKey;
    use std::time::Duration;

    const LICENSE: &str = "00112233445566778899aabbccddeeff";

    struct Bench {
        folder: tempfile::TempDir,
        transport: Scripted,
        key: SigningKey,
    }

    impl Bench {
        fn new(steps: impl IntoIterator<Item = Step>) -> Self {
            let key = || SigningKey::from_seed(&hex::encode([1; 32])).unwrap();
            let folder = tempfile::tempdir().unwrap();
            Self { folder, transport: Scripted::new(key(), steps), key: key() }
        }

        fn counter(&self) -> Counter {
            Counter::new(self.folder.path().to_owned(), LICENSE.into(), LICENSE.into())
        }

        fn report(&self) -> Result<Reported> {
            self.report_after_grant("")
        }

        fn report_after_grant(&self, epoch: &str) -> Result<Reported> {
            let clock = HandClock::at(0);
            let urls = ["http://main".to_owned()];
            let servers = Servers { transport: &self.transport, clock: &clock, urls: &urls, known_key: None };
            let deadline = Deadline::after(&clock, Duration::from_secs(10));
            report(&Reporting {
                servers: &servers,
                folder: self.folder.path(),
                key: self.key.public(),
                epoch,
                held: &|| None,
                deadline,
            })
        }

        /// Files that are still to be reported, or swept away.
        fn files(&self) -> usize {
            let is_kept = |path: &PathBuf| path.extension().is_none_or(|e| e == "acknowledged");
            files(self.folder.path()).unwrap().iter().filter(|path| !is_kept(path)).count()
        }

        /// The totals of the nth request.
        fn sent(&self, n: usize) -> Vec<u64> {
            let asked = self.transport.asked.lock();
            let totals = asked[n].1["segments"][0]["totals"].as_array().unwrap();
            totals.iter().filter_map(|total| total["total"].as_u64()).collect()
        }
    }

    #[test]
    fn nothing_to_say_is_not_said() {
        let bench = Bench::new([]);
        assert_eq!(bench.report().unwrap(), Reported::default());
    }

    #[test]
    fn what_a_dead_process_left_behind_is_reported_and_removed() {
        let bench = Bench::new([Step::RecordAll]);
        let counter = bench.counter();
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
        drop(counter);
        assert_eq!(bench.report().unwrap(), Reported { totals: 1, removed: 1, refused: 0 });
        assert_eq!((bench.sent(0), bench.files()), (vec![3], 0));
    }

    #[test]
    fn totals_are_sent_and_not_differences_and_only_when_they_have_grown() {
        let bench = Bench::new([Step::RecordAll, Step::RecordAll]);
        let counter = bench.counter();
        for _ in 0..2 {
            counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
            assert_eq!(bench.report().unwrap().totals, 1);
            assert_eq!(bench.report().unwrap().totals, 0, "quiet when nothing has changed");
        }
        assert_eq!((bench.sent(0), bench.sent(1)), (vec![3], vec![6]));
    }

    #[test]
    fn a_lost_answer_makes_the_same_totals_go_again() {
        let bench = Bench::new([Step::RecordAllAndLoseAnswer, Step::RecordAll]);
        drop({
            let counter = bench.counter();
            counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 3)]).unwrap();
            counter
        });
        assert_eq!(bench.report().unwrap_err().code, ErrorCode::FAILED_TO_REACH_SERVER);
        assert_eq!(bench.files(), 1, "kept until acknowledged");
        assert_eq!(bench.report().unwrap().removed, 1);
        assert_eq!((bench.sent(0), bench.sent(1)), (vec![3], vec![3]));
    }

    #[test]
    fn a_damaged_segment_is_set_aside_and_the_others_are_reported() {
        let bench = Bench::new([Step::RecordAll]);
        std::fs::write(bench.folder.path().join("torn.segment"), b"SMSE").unwrap();
        let counter = bench.counter();
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
        assert_eq!(bench.report().unwrap().totals, 1);
        assert!(bench.folder.path().join("torn.segment.damaged-1").exists());
    }

    #[test]
    fn more_than_fits_into_one_report_goes_in_several() {
        let bench = Bench::new([Step::RecordAll, Step::RecordAll, Step::RecordAll]);
        let counter = bench.counter();
        let count = u32::try_from(TOTALS_MAX * 2 + 10).unwrap();
        for slot in 0..count {
            counter.count(&mut SlotEntries::default(), slot, &[(UsageKind::Scan, 4, 1)]).unwrap();
        }
        drop(counter);
        let reported = bench.report().unwrap();
        assert_eq!(reported.totals, TOTALS_MAX * 2 + 10);
        assert_eq!((bench.transport.asked.lock().len(), bench.files()), (3, 0));
    }

    const OTHER: &str = "ffeeddccbbaa99887766554433221100";

    /// Counts scans as a process that then dies.
    fn count_and_die(bench: &Bench, n: u64) {
        let counter = bench.counter();
        counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, n)]).unwrap();
    }

    #[test]
    fn what_is_counted_while_a_report_is_under_way_goes_with_the_next() {
        let bench = Bench::new([]);
        let counter = std::sync::Arc::new(bench.counter());
        let count = {
            let counter = counter.clone();
            move || counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap()
        };
        count();
        bench.transport.then(Step::During(Box::new(count)));
        assert_eq!(bench.report().unwrap().totals, 1);
        bench.transport.then(Step::RecordAll);
        assert_eq!(bench.report().unwrap().totals, 1);
        assert_eq!((bench.sent(0), bench.sent(1)), (vec![1], vec![2]));
    }

    #[test]
    fn an_answer_to_an_earlier_report_acknowledges_nothing() {
        let bench = Bench::new([Step::RecordAllAndLoseAnswer, Step::Replay(0), Step::RecordAll]);
        count_and_die(&bench, 3);
        assert!(bench.report().is_err());
        count_and_die(&bench, 5);
        let error = bench.report().unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED, "late, and signed for another request");
        assert_eq!(bench.files(), 2);
        assert_eq!(bench.report().unwrap().removed, 2);
        assert_eq!(bench.transport.billed(), 8);
    }

    #[test]
    fn a_request_that_arrives_twice_is_billed_once() {
        let bench = Bench::new([Step::RecordAllTwice]);
        count_and_die(&bench, 3);
        assert_eq!(bench.report().unwrap().removed, 1);
        assert_eq!(bench.transport.billed(), 3);
    }

    #[test]
    fn an_answer_that_lists_what_was_never_sent_acknowledges_nothing_else() {
        let recorded = serde_json::json!({ "recorded": [OTHER] }).to_string();
        let bench = Bench::new([Step::Answer(200, recorded), Step::RecordAll]);
        count_and_die(&bench, 3);
        assert_eq!(bench.report().unwrap(), Reported { totals: 0, removed: 0, refused: 1 });
        assert_eq!(bench.report().unwrap(), Reported { totals: 1, removed: 1, refused: 0 });
    }

    #[test]
    fn a_refused_segment_stays_and_the_others_go() {
        let bench = Bench::new([Step::RecordAllBut(1), Step::RecordAll]);
        for n in [1, 2, 4] {
            count_and_die(&bench, n);
        }
        assert_eq!(bench.report().unwrap(), Reported { totals: 2, removed: 2, refused: 1 });
        assert_eq!(bench.files(), 1);
        assert_eq!(bench.report().unwrap(), Reported { totals: 1, removed: 1, refused: 0 });
        assert_eq!(bench.transport.billed(), 7);
    }

    #[test]
    fn two_processes_that_report_at_once_bill_once() {
        let steps = || (0..40).map(|_| Step::RecordAll);
        let (bench, live) = (Bench::new(steps()), 20);
        for n in 1..=live {
            count_and_die(&bench, n);
        }
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| bench.report().unwrap());
            }
        });
        assert_eq!((bench.transport.billed(), bench.files()), (live * (live + 1) / 2, 0));
    }

    #[test]
    fn what_was_counted_under_an_earlier_uuid_is_reported_under_it() {
        let bench = Bench::new([Step::RecordAll, Step::RecordAll]);
        count_and_die(&bench, 3);
        let earlier = Counter::new(bench.folder.path().to_owned(), LICENSE.into(), OTHER.into());
        earlier.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
        drop(earlier);
        assert_eq!(bench.report().unwrap().removed, 2);
        let asked = bench.transport.asked.lock();
        let mut devices: Vec<_> = asked.iter().map(|(_, body)| body["device"]["uuid"].clone()).collect();
        devices.sort_by_key(ToString::to_string);
        assert_eq!(devices, [LICENSE, OTHER]);
    }

    #[test]
    fn a_segment_that_cannot_be_read_does_not_hold_up_the_others() {
        let bench = Bench::new([Step::RecordAll]);
        std::fs::create_dir(bench.folder.path().join("odd.segment")).unwrap();
        count_and_die(&bench, 3);
        assert_eq!(bench.report().unwrap_err().code, ErrorCode::LICENSE_BUFFER_FAILED);
        assert_eq!((bench.transport.billed(), bench.files()), (3, 1));
    }

    #[test]
    fn a_file_that_a_killed_process_left_unfinished_is_swept_away() {
        let bench = Bench::new([]);
        std::fs::write(bench.folder.path().join(format!("{OTHER}.new")), b"").unwrap();
        assert_eq!(bench.report().unwrap(), Reported::default());
        assert_eq!(bench.files(), 0);
    }

    #[test]
    fn months_of_segments_take_few_descriptors_of_the_host() {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let (sender, during) = std::sync::mpsc::channel();
        let counted = Box::new(move || sender.send(open()).unwrap());
        let bench = Bench::new([Step::During(counted), Step::RecordAll]);
        for _ in 0..300 {
            count_and_die(&bench, 1);
        }
        let before = open();
        assert_eq!(bench.report().unwrap().removed, 300);
        // Other tests of this process open files, too: some, not hundreds.
        assert!(during.recv().unwrap() < before + 100);
        assert_eq!(bench.transport.billed(), 300);
    }

    #[test]
    fn a_restored_server_is_told_everything_again() {
        let bench = Bench::new([]);
        bench.transport.begin_epoch("first");
        count_and_die(&bench, 3);
        let counter = bench.counter();
        for (slot, n) in [(0, 5), (1, 7)] {
            counter.count(&mut SlotEntries::default(), slot, &[(UsageKind::Scan, 4, n)]).unwrap();
        }
        bench.transport.then(Step::RecordAll);
        assert_eq!(bench.report().unwrap(), Reported { totals: 3, removed: 1, refused: 0 });
        assert_eq!(bench.transport.billed(), 15);

        bench.transport.begin_epoch("second");
        assert_eq!(bench.transport.billed(), 0);
        counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 4, 1)]).unwrap();
        // The answer to what is new tells that the server may have forgotten; an answer that is lost then does not
        // make the device forget to tell.
        for step in [Step::RecordAll, Step::Silence] {
            bench.transport.then(step);
        }
        assert!(bench.report().is_err());
        for _ in 0..3 {
            bench.transport.then(Step::RecordAll);
        }
        bench.report().unwrap();
        assert_eq!(bench.transport.billed(), 16, "those that are gone, those that rest, those that grow");
        assert_eq!(bench.report().unwrap(), Reported::default(), "and quiet again");
    }

    #[test]
    fn a_device_with_nothing_new_hears_of_the_restore_with_its_next_grant() {
        let bench = Bench::new([Step::RecordAll]);
        bench.transport.begin_epoch("first");
        count_and_die(&bench, 3);
        bench.report().unwrap();
        bench.transport.begin_epoch("second");
        for _ in 0..2 {
            bench.transport.then(Step::RecordAll);
            bench.report_after_grant("second").unwrap();
            assert_eq!(bench.transport.billed(), 3);
            assert_eq!(bench.transport.asked.lock().len(), 2, "once");
        }
    }

    #[test]
    fn after_a_power_cut_the_device_is_never_behind_the_server() {
        let bench = Bench::new([]);
        let disk = tempfile::tempdir().unwrap();
        crate::usage::power_cut::keep_copies_in(disk.path());
        let counter = bench.counter();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut mine = SlotEntries::default();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    counter.count(&mut mine, 0, &[(UsageKind::Scan, 4, 1)]).unwrap();
                }
            });
            for _ in 0..200 {
                bench.transport.then(Step::RecordAll);
                bench.report().unwrap();
                // The power is cut now: this is what the device finds.
                let segments = std::fs::read_dir(disk.path()).unwrap().flatten();
                let left: u64 = segments
                    .flat_map(|file| Segment::open(&file.path()).unwrap().totals())
                    .map(|total| total.usage.total)
                    .sum();
                let billed = bench.transport.billed();
                assert!(billed <= left, "billed {billed}, left on the disk {left}");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
