//! Reporting what was counted: by any process of the device, for all of them.
//!
//! What is sent are totals that are on the disk already, so that neither a repeated report nor a power cut
//! can make device and server disagree:
//!
//! ```text
//! read the totals ─▶ make the segment durable ─▶ send ─▶ note what is recorded ─▶ remove what is done with
//! ```

use std::path::Path;

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
use crate::usage::{SEGMENT_ENDING, Segment, Total};

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

/// Reports every segment in the folder that has something new to say.
///
/// # Errors
/// When a segment cannot be made durable, or the server cannot be reached or trusted: what is not
/// acknowledged stays for the next time.
pub fn report(
    servers: &Servers<'_>,
    folder: &Path,
    device: &Device,
    key: &PublicKey,
    deadline: Deadline,
) -> Result<Reported> {
    let segments = open_segments(folder)?;
    let mut reported = Reported::default();
    let mut batch: Vec<(&Segment, Vec<Total>)> = Vec::new();
    let mut batched = 0;
    for segment in &segments {
        let news: Vec<Total> =
            segment.totals().into_iter().filter(|t| t.acknowledged < t.usage.total).collect();
        if news.is_empty() {
            continue;
        }
        segment.make_durable().map_err(|e| Error::state(folder, "make usage durable in", &e))?;
        for piece in news.chunks(TOTALS_MAX) {
            if batched + piece.len() > TOTALS_MAX || batch.len() == SEGMENTS_MAX {
                send(servers, device, key, deadline, &std::mem::take(&mut batch), &mut reported)?;
                batched = 0;
            }
            batched += piece.len();
            batch.push((segment, piece.to_vec()));
        }
    }
    if !batch.is_empty() {
        send(servers, device, key, deadline, &batch, &mut reported)?;
    }
    for segment in &segments {
        // A segment that cannot be removed now is tried again by the next round.
        reported.removed += usize::from(segment.remove_if_done().unwrap_or(false));
    }
    Ok(reported)
}

fn open_segments(folder: &Path) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(segments),
        entries => entries.map_err(|e| Error::state(folder, "list", &e))?,
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != SEGMENT_ENDING) {
            continue;
        }
        match Segment::open(&path) {
            Ok(segment) => segments.push(segment),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                // Damaged: kept for whoever wants to look, and out of the way.
                let _ = crate::state::set_aside(&path);
            }
            // Removed by another process a moment ago, or not ours to read.
            Err(_) => {}
        }
    }
    Ok(segments)
}

fn send(
    servers: &Servers<'_>,
    device: &Device,
    key: &PublicKey,
    deadline: Deadline,
    batch: &[(&Segment, Vec<Total>)],
    reported: &mut Reported,
) -> Result<()> {
    let request = UsageReport {
        protocol: PROTOCOL_VERSION,
        device: device_facts(device),
        segments: batch
            .iter()
            .map(|(segment, totals)| SegmentReport {
                segment_id: segment.header().segment_id.clone(),
                license_id: segment.header().license_id.clone(),
                totals: totals.iter().map(|total| total.usage).collect(),
            })
            .collect(),
    };
    let answer: UsageAnswer = servers.ask(USAGE_PATH, &request, deadline, |answer| {
        if !answer.is_success() {
            return Err(answer.refusal(Some(key)));
        }
        answer.verify(key)?;
        answer.read()
    })?;
    for (segment, totals) in batch {
        if answer.recorded.contains(&segment.header().segment_id) {
            for total in totals {
                segment.acknowledge(total.entry, total.usage.total);
            }
            reported.totals += totals.len();
        } else {
            reported.refused += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Scripted, Step};
    use super::*;
    use crate::clock::test_support::HandClock;
    use crate::usage::{Counter, SlotEntries};
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
            let servers = Servers { transport: &self.transport, clock: &clock, urls: &urls };
            let deadline = Deadline::after(&clock, Duration::from_secs(10));
            let device = Device { uuid: LICENSE.into() };
            report(&servers, self.folder.path(), &device, self.key.public(), deadline)
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
        assert_eq!(
            bench.report().unwrap_err().code,
            seatmeter_protocol::error_code::ErrorCode::FAILED_TO_REACH_SERVER
        );
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
}
