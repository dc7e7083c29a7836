//! A round of reporting: which segments are sent, in which order, and what is noted of the answers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{
    SEGMENTS_MAX, SegmentRefusal, SegmentReport, TOTALS_MAX, UsageAnswer,
};
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::signature::PublicKey;

use super::reported::Reported;
use super::request::{Sent, is_unknown, send};
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result, Stage};
use crate::fault_injection::kill_points::kill_point;
use crate::files::{is_draft, is_no_file, sweep, sync_folder};
use crate::license::{GrantStore, ServerRecord};
use crate::state::{FramedFile, Kind, Loaded};
use crate::sync::exchange::{Answer, Servers};
use crate::usage::{
    Acknowledged, Archive, Durable, SEGMENT_ENDING, Segment, Total, UNFINISHED_ENDING,
};

/// The inputs of a round of reporting.
pub struct Reporting<'a> {
    /// The device, whose keys prove the reports.
    pub device: &'a Device,
    /// The record of the server under whose grants the work was counted.
    pub record: &'a ServerRecord,
    /// The servers that get the report.
    pub servers: &'a Servers<'a>,
    /// The folder of the segments.
    pub folder: &'a Path,
    /// The key of the server under whose grants the work was counted.
    pub key: &'a PublicKey,
    /// The key that must sign the answers: `key`, or what the vendor has replaced it by. Who has
    /// stolen a key must not make counts disappear.
    pub signer: &'a PublicKey,
    /// The epoch that the server has named with its latest grant or refusal, or empty.
    pub epoch: &'a str,
    /// The store of the grant under which the work was counted, if the server has given it. A
    /// server that was restored to a time before that needs to see the license.
    pub store: Option<&'a GrantStore>,
    /// The record of which counts are on the disk.
    pub durable: &'a Durable,
    /// Whether the grant of this folder is from this server.
    pub is_ours: bool,
    /// The deadline of the round.
    pub deadline: Deadline,
}

/// Report every segment in the folder that has new totals. If the server names another epoch than
/// before, it may have forgotten: then report everything that the device remembers.
///
/// One segment is open at a time: a device that was offline for months has thousands of them, and
/// the descriptors belong to the host.
///
/// The result has an error if a segment cannot be read or made durable; the others are reported
/// nevertheless. It has one that ended the round if the disk is so slow that the time is over
/// before all are durable, or if the server cannot be reached or trusted. Counts that are not
/// acknowledged stay for the next time.
pub fn report(with: &Reporting<'_>) -> Reported {
    let known = epoch_file(with.folder, with.key);
    let mut round = Round {
        with,
        known: &known,
        archive: Archive::new(with.folder),
        heard: with.epoch.to_owned(),
        has_heard_several: false,
        is_first_again: true,
        is_epoch_lost: false,
        is_again: false,
        has_unproved: false,
        for_sending: half_of(with),
        batch: Vec::new(),
        batched: 0,
        reported: Reported::default(),
    };
    round.is_epoch_lost = !known.path().exists() && round.has_acknowledged();
    if let Err(error) = round.run() {
        round.reported.first_error = Some(error);
    }
    round.reported
}

/// Return the file with the epoch in which a server got everything that the folder has for it.
pub fn epoch_file(folder: &Path, server: &PublicKey) -> FramedFile {
    FramedFile::new(folder.join(format!("epoch-{}", server.id())), Kind::Epoch)
}

/// The note in the place of an epoch while no server has got everything.
const NO_EPOCH: &str = "";

/// Return half of the remaining time.
fn half_of(with: &Reporting<'_>) -> Duration {
    with.deadline.remaining(with.servers.clock) / 2
}

pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.map_err(|e| Error::state(folder, "list", &e))?;
            Ok(entries.flatten().map(|entry| entry.path()).collect())
        }
    }
}

/// The new totals of one segment.
struct News {
    /// The UUID under which the work was counted. It differs from the reporting device's UUID if
    /// the device has had to take another one since.
    device_uuid: String,
    segment: SegmentReport,
    /// The segment and its totals; `None` if the segment is gone and these are from the archive.
    source: Option<(PathBuf, Vec<Total>)>,
}

/// Return whether the server does not know the license of a segment.
fn lacks_licenses(answer: &UsageAnswer) -> bool {
    answer.refused.iter().any(|refused| refused.code == SegmentFault::LicenseUnknown)
}

/// A round of reporting.
struct Round<'a> {
    with: &'a Reporting<'a>,
    /// The file with the epoch in which the server got everything.
    known: &'a FramedFile,
    archive: Archive,
    /// The epoch that the server has named last.
    heard: String,
    /// Whether the answers to what is reported once more name several epochs.
    has_heard_several: bool,
    /// Whether nothing that is reported once more is answered yet.
    is_first_again: bool,
    /// Whether the note of the epoch is gone although something was acknowledged: the epoch of that
    /// acknowledgement is then unknown.
    is_epoch_lost: bool,
    /// Whether everything is reported once more.
    is_again: bool,
    /// Whether something was recorded whose receipt the disk did not take.
    has_unproved: bool,
    /// The remaining time at which the segments that are durable by then are sent: half of the time
    /// that remained at the last sending.
    for_sending: Duration,
    /// The segments of one device, at most as many as a report may contain.
    batch: Vec<News>,
    /// The number of totals in the batch.
    batched: usize,
    reported: Reported,
}

impl Round<'_> {
    /// Report what is new, and report everything again to a server that may have forgotten. Errors
    /// about some segments only are noted in the result.
    ///
    /// # Errors
    /// Fails if the round cannot go on.
    fn run(&mut self) -> Result<()> {
        self.report_segments()?;
        let (known, heard) = (self.known, self.heard.clone());
        if heard.is_empty() {
            return Ok(());
        }
        match known.load::<String>()? {
            Loaded::Content(epoch) if epoch == heard => Ok(()),
            // If the server never got anything, nothing must be reported again.
            Loaded::Absent if !self.is_epoch_lost && !self.with.is_ours => Ok(()),
            Loaded::Absent if !self.is_epoch_lost => known.store(&heard),
            Loaded::Content(_) | Loaded::Absent | Loaded::SetAside { .. } => {
                // The segments with errors are tried again, too.
                self.reported.first_error = None;
                self.report_again()?;
                // Of two servers with one key, none has got everything; nor has one that did not
                // get a segment, of which the disk may still say that the one before has it. The
                // next round tries again.
                let has_failed = self.reported.first_error.is_some() || self.has_unproved;
                let is_whole = !self.has_heard_several && !has_failed;
                let told = if is_whole { &self.heard } else { NO_EPOCH };
                known.store(&told.to_owned())
            }
        }
    }

    /// Report what is new. An error about some segments only does not end the round.
    fn report_segments(&mut self) -> Result<()> {
        for path in files(self.with.folder)? {
            match path.extension().and_then(OsStr::to_str) {
                Some(SEGMENT_ENDING) => match Segment::open(&path) {
                    Ok(segment) => self.add(&path, &segment)?,
                    Err(e) => self.pass_by(&path, &e),
                },
                // If this fails, the next round tries again, as with all files that only take up
                // space.
                Some(UNFINISHED_ENDING) => drop(Segment::sweep_unfinished(&path)),
                _ if is_draft(&path) => drop(sweep(&path)),
                _ => {}
            }
        }
        self.send()
    }

    /// Handle a file that is not a readable segment.
    fn pass_by(&mut self, path: &Path, cause: &io::Error) {
        match cause.kind() {
            // The file is damaged, or is not a file at all: it is renamed out of the way and kept
            // for people to examine.
            _ if is_no_file(cause) => {
                if let Ok(Some(aside)) = Segment::set_aside_damaged(path) {
                    let aside = aside.display();
                    self.reported
                        .note(path, format!("cannot be used ({cause}); it is kept as {aside}"));
                }
            }
            // The file is another user's or a newer library's, which will report it.
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
                self.reported.note(path, format!("is left to the program that wrote it ({cause})"));
            }
            // Another process has removed the file a moment ago.
            io::ErrorKind::NotFound => {}
            _ => self.note_error(Error::state(path, "read", cause)),
        }
    }

    /// Note an error about some segments only. The first one is kept.
    fn note_error(&mut self, error: Error) {
        self.reported.first_error.get_or_insert(error);
    }

    /// Return whether this server has acknowledged anything that the device remembers.
    fn has_acknowledged(&self) -> bool {
        let archived = self.archive.read().into_iter().flatten();
        let mut archived = archived.filter(|of| of.server == *self.with.key);
        if archived.next().is_some() {
            return true;
        }
        let is_segment =
            |path: &PathBuf| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING);
        let segments = files(self.with.folder).unwrap_or_default().into_iter().filter(is_segment);
        segments.flat_map(|path| Segment::open(&path)).any(|segment| {
            segment.header().attribution.server == *self.with.key
                && segment.totals().iter().any(|total| total.acknowledged > 0)
        })
    }

    /// Report everything that the device remembers.
    fn report_again(&mut self) -> Result<()> {
        (self.is_again, self.reported.again) = (true, true);
        let is_segment =
            |path: &PathBuf| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING);
        let segments = files(self.with.folder)?.into_iter().filter(is_segment);
        for path in segments {
            match Segment::open(&path) {
                Ok(segment) if self.is_for_this(&segment.header().attribution.server) => {
                    segment.forget_acknowledgements();
                }
                Ok(_) => {}
                Err(error) => self.pass_by(&path, &error),
            }
        }
        let archived =
            self.archive.read().map_err(|e| Error::state(self.with.folder, "list", &e))?;
        for Acknowledged { device_uuid, server, segment } in archived {
            if self.is_for_this(&server) {
                self.take_up(News { device_uuid, segment, source: None })?;
            }
        }
        self.report_segments()
    }

    /// Return whether the named server is the server of this round. If it is another one, note its
    /// key.
    fn is_for_this(&mut self, server: &PublicKey) -> bool {
        let is_this = server == self.with.key;
        if !is_this {
            self.reported.other_servers.insert(server.clone());
        }
        is_this
    }

    /// Add the new totals of a segment. An error about this segment only does not end the round.
    fn add(&mut self, path: &Path, segment: &Segment) -> Result<()> {
        let all = segment.totals();
        let totals: Vec<Total> =
            all.iter().filter(|t| t.acknowledged < t.usage.total).copied().collect();
        if totals.is_empty() {
            self.remove_if_done(segment);
            return Ok(());
        }
        if !self.is_for_this(&segment.header().attribution.server) {
            return Ok(());
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
            self.note_error(Error::state(path, "make durable the counts in", &e));
            return Ok(());
        }
        kill_point("report: durable");
        for piece in totals.chunks(TOTALS_MAX) {
            self.take_up(News {
                device_uuid: segment.header().attribution.device_uuid.clone(),
                segment: segment.header().report(piece.iter().map(|total| total.usage).collect()),
                source: Some((path.to_owned(), piece.to_vec())),
            })?;
        }
        Ok(())
    }

    /// Put new totals into the batch; send the batch first if they do not fit.
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

    /// Send the batch, and note what the server has recorded of it.
    fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batched = 0;
        let Some(first) = batch.first() else { return Ok(()) };
        let uuid = first.device_uuid.clone();
        // The files' names are made durable, too, once for all: the server should not know a file
        // that a power cut removes.
        sync_folder(&self.with.folder.join("any"))
            .map_err(|e| Error::state(self.with.folder, "make durable", &e))?;
        kill_point("report: names durable");
        kill_point("report: before the request");
        let with = self.with;
        let read = |answer: &Answer| {
            if !answer.is_success() {
                return Err(answer.refusal(Some(with.signer)));
            }
            answer.verify(with.signer)?;
            answer.tell_time(with.servers.clock);
            answer.read()
        };
        let ask = |segments: Vec<SegmentReport>| {
            let content = (uuid.as_str(), segments, Vec::new());
            send(with.servers, with.device, with.record, content, with.deadline, read)
        };
        let segments = || batch.iter().map(|news| news.segment.clone()).collect();
        let shown = || self.with_licenses(segments());
        let mut sent = ask(if self.is_again { shown() } else { segments() });
        // A restored server learns by the licenses what it has forgotten: of this device, its seat,
        // too. Nobody asks for a license under a former UUID; an unknown device asks under its own.
        let is_former = uuid != with.device.uuid();
        let has_forgotten = is_former && is_unknown(&sent.answered)
            || sent.answered.value.as_ref().is_ok_and(lacks_licenses);
        if has_forgotten && !self.is_again {
            let shown = shown();
            if shown.iter().any(|segment| segment.local_license.is_some()) {
                sent = ask(shown);
            }
        }
        let Sent { answered, is_receipt_kept } = sent;
        if !answered.server.is_empty() {
            self.reported.server.clone_from(&answered.server);
        }
        let is_left = is_former && is_unknown(&answered);
        self.reported.must_ask |= !is_former && is_unknown(&answered);
        let answer = match answered.value {
            // What a former UUID has counted stays, and does not hold up the rest.
            Err(error) if is_left => {
                self.note_error(error);
                return Ok(());
            }
            value => value?,
        };
        kill_point("report: answered");
        self.reported.must_ask |= answer.is_diverged;
        if !answer.epoch.is_empty() {
            self.note_epoch(&answer.epoch)?;
            self.heard = answer.epoch;
        }
        self.reported.standings.extend(answer.standings);
        if !is_receipt_kept {
            // Everything is sent again, until the disk takes a receipt.
            self.has_unproved = true;
            return Ok(());
        }
        for news in &batch {
            if answer.recorded.contains(&news.segment.segment_id) {
                self.acknowledge(news);
            } else {
                self.reported.refused += 1;
                self.note_refused(news, &answer.refused);
                self.keep_refused(news);
            }
        }
        Ok(())
    }

    /// Note the epoch of an answer before anything is taken as recorded in it.
    fn note_epoch(&mut self, epoch: &str) -> Result<()> {
        if self.is_again {
            let is_first = std::mem::replace(&mut self.is_first_again, false);
            self.has_heard_several |= !is_first && self.heard != epoch;
        }
        // Otherwise the epoch of these records would be unknown. A lost note stays lost until
        // everything was reported again.
        if !self.is_epoch_lost && !self.known.path().exists() {
            return self.known.store(&epoch.to_owned());
        }
        match self.known.peek::<String>() {
            // A server of the noted epoch does not have what this one records: it may be another
            // one with the same key, and answer again.
            Some(noted) if noted != epoch && noted != NO_EPOCH => {
                self.known.store(&NO_EPOCH.to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Return these segments with the licenses under which they were counted, each once, for a
    /// server that may have forgotten them.
    fn with_licenses(&self, mut segments: Vec<SegmentReport>) -> Vec<SegmentReport> {
        let held = self.with.store.and_then(GrantStore::held);
        let held_id = held.as_ref().and_then(|held| held.peek::<LocalLicense>().ok());
        let held_id = held_id.map(|held| held.license_id);
        let mut shown = BTreeSet::new();
        for segment in &mut segments {
            if !shown.insert(segment.license_id.clone()) {
                continue;
            }
            let is_held = held_id.as_ref() == Some(&segment.license_id);
            segment.local_license = match is_held {
                true => held.clone(),
                false => self.with.record.license(&segment.license_id),
            };
        }
        segments
    }

    fn note_refused(&mut self, news: &News, refused: &[SegmentRefusal]) {
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
        self.reported
            .note(&path, format!("is not recorded by the license server ({why}); it is kept"));
    }

    /// Keep what is refused when everything is reported once more: the server may record it later,
    /// for example when its license file is imported again. What was in the archive becomes a
    /// segment, which is reported as any other.
    fn keep_refused(&mut self, news: &News) {
        let with = self.with;
        if let Some((path, _)) = &news.source {
            // On the disk it may still be acknowledged, as it was by the server before.
            let kept = match self.is_again {
                true => Segment::open(path).and_then(|segment| segment.make_durable()),
                false => Ok(()),
            };
            if let Err(error) = kept {
                self.note_error(Error::state(path, "make durable the counts in", &error));
            }
            return;
        }
        let archived = Acknowledged {
            device_uuid: news.device_uuid.clone(),
            server: with.key.clone(),
            segment: SegmentReport { local_license: None, ..news.segment.clone() },
        };
        let kept = Segment::make_again(with.folder, &archived).and_then(|made| {
            let Some(segment) = made else { return Ok(()) };
            let path = segment.path();
            with.durable.ensure(&path, &segment, &segment.totals())?;
            sync_folder(&path)
        });
        if let Err(error) = kept {
            self.note_error(Error::state(with.folder, "keep what is refused in", &error));
        }
    }

    /// Note what is recorded of a segment. A segment that cannot be opened any more is reported
    /// again next time.
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

    /// Remove a segment if it is complete. If this fails now, the next round tries again.
    fn remove_if_done(&mut self, segment: &Segment) {
        self.reported.removed +=
            usize::from(segment.remove_if_done(&self.archive).unwrap_or(false));
    }
}
