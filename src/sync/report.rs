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
use seatmeter_protocol::signature::PublicKey;

use super::authorize::device_facts;
use super::exchange::Servers;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kill_points::kill_point;
use crate::state::sync_folder;
use crate::usage::{SEGMENT_ENDING, Segment, SegmentHeader, Total, UNFINISHED_ENDING};

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

/// Reports every segment in the folder that has something new to say.
///
/// One segment is open at a time: a device that was offline for months has thousands, and the descriptors are
/// the host's.
///
/// # Errors
/// When a segment cannot be read or made durable (the others are reported nevertheless), or the server cannot be
/// reached or trusted: what is not acknowledged stays for the next time.
pub fn report(servers: &Servers<'_>, folder: &Path, key: &PublicKey, deadline: Deadline) -> Result<Reported> {
    let mut round =
        Round { servers, key, deadline, batch: Vec::new(), batched: 0, reported: Reported::default() };
    let mut outcome = Ok(());
    for path in files(folder)? {
        match path.extension().and_then(OsStr::to_str) {
            Some(SEGMENT_ENDING) => match Segment::open(&path) {
                Ok(segment) => outcome = outcome.and(round.add(&path, &segment)?),
                Err(e) => outcome = outcome.and(cannot_open(&path, &e)),
            },
            // Tried again by the next round, as everything that only takes up room.
            Some(UNFINISHED_ENDING) => drop(Segment::sweep_unfinished(&path)),
            _ => {}
        }
    }
    round.send()?;
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
    path: PathBuf,
    header: SegmentHeader,
    totals: Vec<Total>,
}

/// One round of reporting.
struct Round<'a> {
    servers: &'a Servers<'a>,
    key: &'a PublicKey,
    deadline: Deadline,
    /// Segments of one device, at most as much as a report may hold.
    batch: Vec<News>,
    /// Totals in it.
    batched: usize,
    reported: Reported,
}

impl Round<'_> {
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
            let is_full = self.batched + piece.len() > TOTALS_MAX || self.batch.len() == SEGMENTS_MAX;
            let device_uuid = &segment.header().device_uuid;
            if is_full || self.batch.last().is_some_and(|last| last.header.device_uuid != *device_uuid) {
                self.send()?;
            }
            self.batched += piece.len();
            let header = segment.header().clone();
            self.batch.push(News { path: path.to_owned(), header, totals: piece.to_vec() });
        }
        Ok(Ok(()))
    }

    /// Sends what was taken up, and notes what the server has recorded of it.
    fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batched = 0;
        let Some(first) = batch.first() else { return Ok(()) };
        // Their names, too, once for all: a file that a power cut takes away had better not be known to the server.
        sync_folder(&first.path).map_err(|e| Error::state(&first.path, "make durable", &e))?;
        kill_point("report: names durable");
        // Who has counted, which is not who reports when the device has had to take another UUID since.
        let device = Device { uuid: first.header.device_uuid.clone() };
        let request = UsageReport {
            protocol: PROTOCOL_VERSION,
            device: device_facts(&device),
            segments: batch
                .iter()
                .map(|news| SegmentReport {
                    segment_id: news.header.segment_id.clone(),
                    license_id: news.header.license_id.clone(),
                    local_license: None,
                    totals: news.totals.iter().map(|total| total.usage).collect(),
                })
                .collect(),
        };
        kill_point("report: before the request");
        let answer: UsageAnswer = self.servers.ask(USAGE_PATH, &request, self.deadline, |answer| {
            if !answer.is_success() {
                return Err(answer.refusal(Some(self.key)));
            }
            answer.verify(self.key)?;
            answer.read()
        })?;
        kill_point("report: answered");
        for news in &batch {
            if answer.recorded.contains(&news.header.segment_id) {
                self.acknowledge(news);
            } else {
                self.reported.refused += 1;
            }
        }
        Ok(())
    }

    /// Notes what is recorded of a segment. One that cannot be opened any more says it all again next time.
    fn acknowledge(&mut self, news: &News) {
        self.reported.totals += news.totals.len();
        let Ok(segment) = Segment::open(&news.path) else { return };
        for total in &news.totals {
            segment.acknowledge(total.entry, total.usage.total);
        }
        kill_point("report: acknowledged");
        self.remove_if_done(&segment);
    }

    /// A segment that cannot be removed now is tried again by the next round.
    fn remove_if_done(&mut self, segment: &Segment) {
        self.reported.removed += usize::from(segment.remove_if_done().unwrap_or(false));
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
            let clock = HandClock::at(0);
            let urls = ["http://main".to_owned()];
            let servers = Servers { transport: &self.transport, clock: &clock, urls: &urls, known_key: None };
            let deadline = Deadline::after(&clock, Duration::from_secs(10));
            report(&servers, self.folder.path(), self.key.public(), deadline)
        }

        fn files(&self) -> usize {
            std::fs::read_dir(self.folder.path()).unwrap().count()
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

    /// A server that was restored knows less than it has acknowledged. What still grows is told to it whole; of
    /// what does not, the device believes it recorded.
    #[test]
    fn a_restored_server_learns_again_what_still_grows() {
        let bench = Bench::new([Step::RecordAll, Step::RecordAll]);
        let counter = bench.counter();
        for (slot, n) in [(0, 3), (1, 5)] {
            counter.count(&mut SlotEntries::default(), slot, &[(UsageKind::Scan, 4, n)]).unwrap();
        }
        bench.report().unwrap();
        assert_eq!(bench.transport.billed(), 8);
        bench.transport.restore_to_nothing();
        counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 4, 1)]).unwrap();
        bench.report().unwrap();
        assert_eq!(
            bench.transport.billed(),
            6,
            "slot 1 whole; slot 0 not, until devices hear of the restore"
        );
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
