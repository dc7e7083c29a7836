//! Reporting what was counted: by any process of the device, for all of them.
//!
//! What is sent are totals that are on the disk already, so that neither a repeated report nor a
//! power cut can make device and server disagree:
//!
//! ```text
//! read the totals ─▶ make the segment durable ─▶ send ─▶ note what is recorded ─▶ remove what is done with
//! ```

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::message::{
    EndedLicense, ItemStanding, SEGMENTS_MAX, SegmentRefusal, SegmentReport, TOTALS_MAX,
    USAGE_PATH, UsageAnswer, UsageReport,
};
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::authorize::device_facts;
use super::exchange::Servers;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result, Stage};
use crate::fault_injection::kill_points::kill_point;
use crate::files::{is_draft, is_no_file, sweep, sync_folder};
use crate::state::{FramedFile, Kind, Loaded};
use crate::usage::{
    Acknowledged, Archive, Durable, SEGMENT_ENDING, Segment, Total, UNFINISHED_ENDING,
};

/// What a round of reporting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Counters that the server has recorded now.
    pub totals: usize,
    /// Segments that were done with and removed.
    pub removed: usize,
    /// Segments that the server could not book; they are kept.
    pub refused: usize,
    /// Whether everything was told once more, to a server that names another epoch than before.
    pub again: bool,
}

impl std::ops::AddAssign for Reported {
    fn add_assign(&mut self, more: Self) {
        self.totals += more.totals;
        self.removed += more.removed;
        self.refused += more.refused;
        self.again |= more.again;
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
    /// The epoch that the server has named with its latest grant or refusal, or empty.
    pub epoch: &'a str,
    /// Reads what the device holds from the server, for one that was restored from before it gave
    /// that.
    pub held: &'a dyn Fn() -> Option<Signed>,
    /// Hears how far the items are used.
    pub heard: &'a dyn Fn(&ItemStanding),
    /// What is on the disk.
    pub durable: &'a Durable,
    /// Hears, by the file, what people should know of segments that were refused, set aside or left
    /// alone.
    pub notes: &'a dyn Fn(&Path, &str),
    /// Whether what does not name its server is this one's.
    pub is_ours: bool,
    /// Hears of other servers that are named, by what they have not recorded yet, or are to be told
    /// again.
    pub other: &'a dyn Fn(&PublicKey),
    /// When it must be done.
    pub deadline: Deadline,
}

/// Reports every segment in the folder that has something new to say; and everything that the
/// device remembers to a server that may have forgotten it, which names another epoch than before.
///
/// One segment is open at a time: a device that was offline for months has thousands, and the
/// descriptors are the host's.
///
/// # Errors
/// When a segment cannot be read or made durable (the others are reported nevertheless), when the
/// disk is so slow that the time is over before all are durable, or the server cannot be reached or
/// trusted: what is not acknowledged stays for the next time.
pub fn report(with: &Reporting<'_>) -> Result<Reported> {
    let known = epoch_file(with.folder, with.key);
    let mut round = Round {
        with,
        known: &known,
        archive: Archive::new(with.folder),
        heard: with.epoch.to_owned(),
        is_epoch_lost: false,
        is_again: false,
        for_sending: half_of(with),
        batch: Vec::new(),
        batched: 0,
        reported: Reported::default(),
    };
    round.is_epoch_lost = !known.path().exists() && round.has_acknowledged();
    let mut outcome = round.report_segments()?;
    let heard = round.heard.clone();
    if heard.is_empty() {
        return outcome.map(|()| round.reported);
    }
    match known.load::<String>()? {
        Loaded::Content(epoch) if epoch == heard => {}
        // Where nothing was ever told to it, nothing has to be told again.
        Loaded::Absent if !round.is_epoch_lost && !with.is_ours => {}
        Loaded::Absent if !round.is_epoch_lost => known.store(&heard)?,
        Loaded::Content(_) | Loaded::Absent | Loaded::SetAside { .. } => {
            outcome = round.report_again()?;
            known.store(&round.heard)?;
        }
    }
    outcome.map(|()| round.reported)
}

/// Tells a server which of its local licenses this device has ended. A server that does not hear of
/// it lets them end by themselves.
///
/// # Errors
/// When the server cannot be reached or trusted.
pub fn report_end(
    servers: &Servers<'_>,
    device: &Device,
    key: &PublicKey,
    ended: Vec<EndedLicense>,
    deadline: Deadline,
) -> Result<()> {
    let device = device_facts(device);
    let request = UsageReport { protocol: PROTOCOL_VERSION, device, segments: Vec::new(), ended };
    servers.ask(USAGE_PATH, &request, deadline, |answer| {
        if !answer.is_success() {
            return Err(answer.refusal(Some(key)));
        }
        answer.verify(key)
    })
}

/// Keeps the epoch in which a server was told everything that the folder has for it.
pub fn epoch_file(folder: &Path, server: &PublicKey) -> FramedFile {
    FramedFile::new(folder.join(format!("epoch-{}", server.id())), Kind::Epoch)
}

/// Half of the time that is left.
fn half_of(with: &Reporting<'_>) -> Duration {
    with.deadline.remaining(with.servers.clock) / 2
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
fn cannot_open(path: &Path, cause: &io::Error, note: impl Fn(&str)) -> Result<()> {
    match cause.kind() {
        // Damaged, or no file at all: kept for whoever wants to look, and out of the way.
        _ if is_no_file(cause) => {
            if let Ok(Some(aside)) = Segment::set_aside_damaged(path) {
                note(&format!("cannot be used ({cause}); it is kept as {}", aside.display()));
            }
            Ok(())
        }
        // Another user's; a newer library's. They will report it.
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
            note(&format!("is left to the program that wrote it ({cause})"));
            Ok(())
        }
        // Removed by another process a moment ago.
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::state(path, "read", cause)),
    }
}

/// What one segment has to say.
struct News {
    /// Who has counted, which is not who reports when the device has had to take another UUID
    /// since.
    device_uuid: String,
    segment: SegmentReport,
    /// The segment and its totals; `None` when it is gone, and this is from the archive.
    source: Option<(PathBuf, Vec<Total>)>,
}

/// One round of reporting.
struct Round<'a> {
    with: &'a Reporting<'a>,
    /// Keeps the epoch in which the server was told everything.
    known: &'a FramedFile,
    archive: Archive,
    /// The epoch that the server has named last.
    heard: String,
    /// Whether the note of the epoch is gone though something was acknowledged: nobody knows in
    /// which life of the server's data that was.
    is_epoch_lost: bool,
    /// Whether everything is told once more.
    is_again: bool,
    /// What is left of the time when what is durable by then is sent: half of what there was when
    /// the last was sent.
    for_sending: Duration,
    /// Segments of one device, at most as much as a report may hold.
    batch: Vec<News>,
    /// Totals in it.
    batched: usize,
    reported: Reported,
}

impl Round<'_> {
    /// Reports what is new. The outer error ends the round, the inner one is of some segments
    /// alone.
    fn report_segments(&mut self) -> Result<Result<()>> {
        let mut outcome = Ok(());
        for path in files(self.with.folder)? {
            match path.extension().and_then(OsStr::to_str) {
                Some(SEGMENT_ENDING) => match Segment::open(&path) {
                    Ok(segment) => outcome = outcome.and(self.add(&path, &segment)?),
                    Err(e) => {
                        let note = |line: &str| (self.with.notes)(&path, line);
                        outcome = outcome.and(cannot_open(&path, &e, note));
                    }
                },
                // Tried again by the next round, as everything that only takes up room.
                Some(UNFINISHED_ENDING) => drop(Segment::sweep_unfinished(&path)),
                _ if is_draft(&path) => drop(sweep(&path)),
                _ => {}
            }
        }
        self.send()?;
        Ok(outcome)
    }

    /// Whether this server has acknowledged anything that is remembered.
    fn has_acknowledged(&self) -> bool {
        let archived = self.archive.read().into_iter().flatten();
        let is_this =
            |server: Option<&PublicKey>| server.map_or(self.with.is_ours, |of| of == self.with.key);
        let mut archived = archived.filter(|of| is_this(of.server.as_ref()));
        if archived.next().is_some() {
            return true;
        }
        let is_segment =
            |path: &PathBuf| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING);
        let segments = files(self.with.folder).unwrap_or_default().into_iter().filter(is_segment);
        segments.flat_map(|path| Segment::open(&path)).any(|segment| {
            is_this(segment.header().whose.server.as_ref())
                && segment.totals().iter().any(|total| total.acknowledged > 0)
        })
    }

    /// Reports everything that the device remembers.
    fn report_again(&mut self) -> Result<Result<()>> {
        (self.is_again, self.reported.again) = (true, true);
        let is_segment =
            |path: &PathBuf| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING);
        let segments = files(self.with.folder)?.into_iter().filter(is_segment);
        for segment in segments.flat_map(|path| Segment::open(&path)) {
            if self.is_for_this(segment.header().whose.server.as_ref()) {
                segment.forget_acknowledgements();
            }
        }
        let archived =
            self.archive.read().map_err(|e| Error::state(self.with.folder, "list", &e))?;
        for Acknowledged { device_uuid, server, segment } in archived {
            if self.is_for_this(server.as_ref()) {
                self.take_up(News { device_uuid, segment, source: None })?;
            }
        }
        self.report_segments()
    }

    /// Whether it is the server of this round that was named; tells of another one.
    fn is_for_this(&self, server: Option<&PublicKey>) -> bool {
        match server {
            Some(server) if server != self.with.key => {
                (self.with.other)(server);
                false
            }
            Some(_) => true,
            None => self.with.is_ours,
        }
    }

    /// Takes up what a segment has to say. The outer error ends the round, the inner one is of this
    /// segment alone.
    fn add(&mut self, path: &Path, segment: &Segment) -> Result<Result<()>> {
        let all = segment.totals();
        let totals: Vec<Total> =
            all.iter().filter(|t| t.acknowledged < t.usage.total).copied().collect();
        if totals.is_empty() {
            self.remove_if_done(segment);
            return Ok(Ok(()));
        }
        if !self.is_for_this(segment.header().whose.server.as_ref()) {
            return Ok(Ok(()));
        }
        kill_point("report: totals read");
        if self.with.deadline.remaining(self.with.servers.clock) <= self.for_sending {
            self.send()?;
            self.for_sending = half_of(self.with);
        }
        if self.for_sending.is_zero() {
            let why = "no time was left to report everything: the rest goes with the next report";
            return Err(Error::unreachable(Stage::Connect, why));
        }
        if let Err(e) = self.with.durable.ensure(path, segment, &all) {
            return Ok(Err(Error::state(path, "make durable what was counted in", &e)));
        }
        kill_point("report: durable");
        for piece in totals.chunks(TOTALS_MAX) {
            self.take_up(News {
                device_uuid: segment.header().whose.device_uuid.clone(),
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
        let device = Device::with_uuid(&first.device_uuid);
        // Their names, too, once for all: a file that a power cut takes away had better not be
        // known to the server.
        sync_folder(&self.with.folder.join("any"))
            .map_err(|e| Error::state(self.with.folder, "make durable", &e))?;
        kill_point("report: names durable");
        let mut segments: Vec<SegmentReport> =
            batch.iter().map(|news| news.segment.clone()).collect();
        if self.is_again
            && let Some(first) = segments.first_mut()
        {
            first.local_license = (self.with.held)();
        }
        let device = device_facts(&device);
        let request =
            UsageReport { protocol: PROTOCOL_VERSION, device, segments, ended: Vec::new() };
        kill_point("report: before the request");
        let with = self.with;
        let answer: UsageAnswer =
            with.servers.ask(USAGE_PATH, &request, with.deadline, |answer| {
                if !answer.is_success() {
                    return Err(answer.refusal(Some(with.key)));
                }
                answer.verify(with.key)?;
                answer.tell_time(with.servers.clock);
                answer.read()
            })?;
        kill_point("report: answered");
        if !answer.epoch.is_empty() {
            // Before anything is taken for recorded: else nobody would know by which life of the
            // server's data. One that is lost stays so until everything was told again.
            if !self.is_epoch_lost && !self.known.path().exists() {
                self.known.store(&answer.epoch)?;
            }
            self.heard = answer.epoch;
        }
        for news in &batch {
            if answer.recorded.contains(&news.segment.segment_id) {
                self.acknowledge(news);
            } else {
                self.reported.refused += 1;
                self.note_refused(news, &answer.refused);
            }
        }
        answer.standings.iter().for_each(with.heard);
        Ok(())
    }

    fn note_refused(&self, news: &News, refused: &[SegmentRefusal]) {
        let id = &news.segment.segment_id;
        let reason = refused
            .iter()
            .find(|refusal| refusal.segment_id == *id)
            .map(|refusal| refusal.reason.as_str());
        let why = reason.unwrap_or("no reason was given");
        let path = news
            .source
            .as_ref()
            .map_or_else(|| self.with.folder.join(id), |(path, _)| path.clone());
        (self.with.notes)(
            &path,
            &format!("is not recorded by the license server ({why}); it is kept"),
        );
    }

    /// Notes what is recorded of a segment. One that cannot be opened any more says it all again
    /// next time.
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
        self.reported.removed +=
            usize::from(segment.remove_if_done(&self.archive).unwrap_or(false));
    }
}
