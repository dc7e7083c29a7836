//! A license of one page: what it may do, what it counts, and when it talks to the server, by the
//! rules of `bindings/web/src/license.js`.

use std::collections::{BTreeMap, VecDeque};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::signature::PublicKey;

use super::Browser;
use super::clock::PageClock;
use super::counter::{Counter, IMAGES_MS, Piece};
use super::errors::{Failure, Halt, Outcome, caught};
use super::grant::{Grant, SLOT_SECONDS, slot_of};
use super::pause::{jitter, pause_after};
use super::session::{Round, heal};
use super::store::{Content, Device, LicenseRow, Notice, ServerRow};
use crate::books::Counter as Counted;

pub(super) const JITTER_MS: u64 = 30_000;
pub(super) const CHECK_MS: i64 = 1_000;
pub(super) const FAILURES_MAX: u32 = 6;

/// What a page says to the others of its profile.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A server has told the time, at this instant of the wall clock.
    Time { time: u64, at: i64 },
    /// What is stored for a set of credentials has changed.
    Changed { name: String },
}

/// A page with a license.
pub(crate) struct Tab {
    pub(crate) name: String,
    pub(crate) clock: PageClock,
    pub(crate) device: Device,
    /// The identities to which the page has had licenses.
    pub(super) had: BTreeMap<String, Device>,
    pub(super) server: Option<ServerRow>,
    pub(super) row: Option<LicenseRow>,
    pub(super) root: Option<PublicKey>,
    pub(super) grant: Option<Grant>,
    pub(super) notice: Notice,
    pub(super) last_error: Option<Failure>,
    pub(super) is_diverged: bool,
    pub(super) has_renewed: bool,
    pub(super) is_tidied: bool,
    pub(super) begun_at: i64,
    pub(super) counter: Counter,
    checked_until: i64,
    stopped: Option<Failure>,
    /// The grant at the last look, less than a second ago while the page works.
    looked_at: Option<Grant>,
    has_leapt: bool,
    failures: u32,
    /// Whether a check has asked for a round.
    wants_round: bool,
    pub(super) mail: VecDeque<Message>,
    /// The images that were shown to the page and may not be stored yet.
    pub(super) images: Vec<(Counted, u64)>,
    /// The server's words at the last look, with the page's time and the time since its start.
    pub(crate) seen: (u32, i64, i64),
}

impl Tab {
    /// Open the session of a page, with the identity of the profile.
    pub(super) fn open(profile: &mut Browser) -> Outcome<Self> {
        let stored = profile.store.read(|on| on.clock)?;
        let clock = PageClock::new(profile.clock, stored.unwrap_or_default());
        let device = match profile.store.read(|on| on.device().cloned())? {
            Some(device) => device,
            None => {
                let made = super::make_device();
                profile.store.write(|on| {
                    // Another page may have made one meanwhile.
                    if let Some(device) = on.device() {
                        return device.clone();
                    }
                    on.devices.insert(made.uuid.clone(), made.clone());
                    on.device = Some(made.uuid.clone());
                    made
                })?
            }
        };
        let (begun_at, seen) = (clock.wall_ms(), (0, clock.ms(), clock.monotonic_ms()));
        Ok(Self {
            name: profile.options.name(),
            clock,
            device,
            had: BTreeMap::new(),
            server: None,
            row: None,
            root: None,
            grant: None,
            notice: Notice::default(),
            last_error: None,
            is_diverged: false,
            has_renewed: false,
            is_tidied: false,
            begun_at,
            counter: Counter::new(),
            checked_until: 0,
            stopped: None,
            looked_at: None,
            has_leapt: false,
            failures: 0,
            wants_round: false,
            mail: VecDeque::new(),
            images: Vec::new(),
            seen,
        })
    }

    /// Get the license of the page, and begin its rounds.
    pub(super) fn begin(&mut self, profile: &mut Browser) -> Outcome<()> {
        self.load_stored(profile)?;
        let is_stored = self.may_work();
        self.adopt();
        // A license that is stored serves at once, and is refreshed beside the page's work.
        if !is_stored {
            self.first(profile)?;
        }
        self.adopt();
        let first = Round { is_asked_for: true, is_first: true, ..Round::default() };
        self.timed_round(profile, first).map(|_| ())
    }

    /// Read what the other pages have said, and do what is overdue.
    pub(super) fn wake(&mut self, profile: &mut Browser) -> Outcome<()> {
        self.read_mail(profile)?;
        let is_due = self.clock.ms() - self.counter.image_since >= IMAGES_MS;
        if self.counter.has_images() && is_due {
            let _ = caught(self.flush(profile))?;
        }
        Ok(())
    }

    pub(super) fn read_mail(&mut self, profile: &mut Browser) -> Outcome<()> {
        while let Some(message) = self.mail.pop_front() {
            self.hear_tab(profile, message)?;
        }
        Ok(())
    }

    /// Return the grant under which the page works.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// Return the grant at which the page has looked last: it may have got another one since.
    pub(super) fn looked_at(&self) -> Option<&Grant> {
        self.looked_at.as_ref()
    }

    /// Return why no work is allowed, and why the last contact failed.
    pub(crate) fn standing(&self) -> (Option<Failure>, Option<Failure>) {
        (self.why_stopped(0), self.last_error.clone())
    }

    pub(super) fn flush(&mut self, profile: &mut Browser) -> Outcome<()> {
        let (device, had) = (&self.device, &self.had);
        let (server, row) = (self.server.as_ref(), self.row.as_ref());
        let heal = |on: &mut Content| heal(on, device, had, server, row);
        let outcome = self.counter.flush_images(&mut profile.store, &self.clock, &heal);
        self.images_end(profile, outcome)
    }

    /// Note what has become of the images that were shown to the page.
    fn images_end(&mut self, profile: &mut Browser, outcome: Outcome<()>) -> Outcome<()> {
        let is_kept = match &outcome {
            Ok(()) => true,
            Err(Halt::Failed(failure)) => failure.code == ErrorCode::USED_UP,
            // Who is killed has stored them or not.
            Err(Halt::Killed) => false,
        };
        let images = std::mem::take(&mut self.images);
        if !is_kept {
            profile.forget(images);
        }
        outcome
    }

    fn add(&mut self, profile: &mut Browser, work: &[Piece], ms: i64) -> Outcome<()> {
        let (device, had) = (&self.device, &self.had);
        let (server, row) = (self.server.as_ref(), self.row.as_ref());
        let heal = |on: &mut Content| heal(on, device, had, server, row);
        let outcome = self.counter.add(work, ms, &mut profile.store, &self.clock, &heal);
        self.images_end(profile, outcome)
    }

    /// Count a still picture with these barcodes.
    pub(super) fn count_image(&mut self, profile: &mut Browser, scans: &[Piece]) -> Outcome<()> {
        let ms = self.require(0)?;
        self.counter.image(ms);
        let image = profile.note_image(self, ms);
        self.images.extend(image);
        if scans.is_empty() { Ok(()) } else { self.count(profile, scans, ms) }
    }

    pub(super) fn count_pages(&mut self, profile: &mut Browser, pages: &Piece) -> Outcome<()> {
        let ms = self.require(pages.1)?;
        self.count(profile, &[*pages], ms)
    }

    /// Return the time, or fail with the reason why no work is allowed.
    fn require(&mut self, module: u32) -> Outcome<i64> {
        let ms = self.clock.ms();
        if ms >= self.checked_until {
            self.check(ms);
        }
        let of_module = || (module > 0).then(|| self.why_stopped(module)).flatten();
        match self.stopped.clone().or_else(of_module) {
            Some(stopped) => Err(stopped.into()),
            None => Ok(ms),
        }
    }

    fn check(&mut self, ms: i64) {
        let has_leapt = self.clock.has_leapt();
        let is_new = self.look() || has_leapt && !self.has_leapt;
        self.checked_until = ms + CHECK_MS;
        self.has_leapt = has_leapt;
        // The server knows the time, and may renew what has ended.
        self.wants_round |= is_new;
    }

    /// Look whether work is allowed; return whether it has just ended.
    fn look(&mut self) -> bool {
        self.looked_at.clone_from(&self.grant);
        let why = self.why_stopped(0);
        let was = std::mem::replace(&mut self.stopped, why);
        let code = |failure: &Option<Failure>| failure.as_ref().map(|failure| failure.code);
        self.stopped.is_some() && code(&self.stopped) != code(&was)
    }

    fn why_stopped(&self, module: u32) -> Option<Failure> {
        let ended = || self.grant.as_ref()?.ended_at(self.clock.seconds());
        self.stops(module).or_else(ended)
    }

    fn count(&mut self, profile: &mut Browser, work: &[Piece], ms: i64) -> Outcome<()> {
        let Err(error) = caught(self.add(profile, work, ms))? else { return Ok(()) };
        let is_strict = self.grant.as_ref().is_some_and(|grant| grant.item.strict);
        if error.code != ErrorCode::USED_UP || !is_strict {
            return Err(error.into());
        }
        // The server may allow more: it knows what other devices have not used.
        let needed = work.iter().map(|(_, _, n)| n).sum();
        let _ = caught(self.round(profile, Round { needed, ..Round::default() }))?;
        self.adopt();
        match self.why_stopped(0) {
            Some(stopped) => Err(stopped.into()),
            None => self.add(profile, work, ms),
        }
    }

    /// Work under the license as it is now.
    pub(super) fn adopt(&mut self) {
        let Some(grant) = &self.grant else { return };
        self.counter.use_grant(grant);
        if self.counter.is_ahead(slot_of(self.clock.seconds())) {
            self.counter.begin();
        }
        self.checked_until = 0;
        self.look();
        self.has_renewed = false;
    }

    /// Carry out the round that a check has asked for.
    pub(super) fn round_if_wanted(&mut self, profile: &mut Browser) -> Outcome<()> {
        if !std::mem::take(&mut self.wants_round) {
            return Ok(());
        }
        self.timed_round(profile, Round::default()).map(|_| ())
    }

    /// Report and renew now.
    pub(super) fn sync(&mut self, profile: &mut Browser) -> Outcome<()> {
        self.flush(profile)?;
        self.round(profile, Round { is_asked_for: true, ..Round::default() })?;
        self.adopt();
        Ok(())
    }

    /// Have a round as the timer does; return its failure, and the milliseconds to the next one.
    pub(super) fn timed_round(
        &mut self,
        profile: &mut Browser,
        round: Round,
    ) -> Outcome<(Option<Failure>, u64)> {
        let flushed = caught(self.flush(profile))?;
        let outcome = match flushed {
            Ok(()) => caught(self.round(profile, round))?,
            Err(failure) => Err(failure),
        };
        let error = outcome.err();
        self.failures = match &error {
            None => 0,
            Some(failure) if is_passing(failure.code) => (self.failures + 1).min(FAILURES_MAX),
            Some(_) => 0,
        };
        self.adopt();
        let asked = error.as_ref().map_or(0, |failure| failure.retry_after);
        Ok((error, self.next_round(asked)))
    }

    /// Report, as a page does that is hidden.
    pub(super) fn hide(&mut self, profile: &mut Browser) -> Outcome<()> {
        let round = Round { keepalive: true, ..Round::default() };
        match self.timed_round(profile, round)?.0 {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Return the pause before the next round: until the next slot, spread over its first half
    /// minute; a renewal if that is earlier; a retry sooner.
    fn next_round(&self, asked: u64) -> u64 {
        if self.failures > 0 {
            return pause_after(self.failures, asked);
        }
        let ms = u64::try_from(self.clock.ms()).unwrap_or(0);
        let slot_ms = SLOT_SECONDS * 1000;
        let wait = slot_ms - ms % slot_ms + jitter(JITTER_MS);
        let due = self.grant.as_ref().map_or(0, Grant::renewal_due_at) * 1000;
        if due > ms { wait.min(due - ms) } else { wait }
    }

    /// Store and report what was counted, and end the page's part.
    pub(super) fn close(&mut self, profile: &mut Browser) -> Outcome<()> {
        let flushed = self.flush(profile);
        flushed?;
        self.end(profile)
    }
}

/// Return whether an error passes without anybody's help.
fn is_passing(code: ErrorCode) -> bool {
    PASSING.contains(&code)
}

pub(super) const PASSING: [ErrorCode; 4] = [
    ErrorCode::FAILED_TO_REACH_SERVER,
    ErrorCode::STANDBY_NOT_READY,
    ErrorCode::LICENSE_SYNC_FAILED,
    ErrorCode::LICENSE_BUFFER_FAILED,
];
