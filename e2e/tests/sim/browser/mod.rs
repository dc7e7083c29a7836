//! Browsers: each is one profile on one origin, with its storage and the pages that are open.
//!
//! A model of the client in `bindings/web/src`, file by file, because a world must follow from its
//! seed. It speaks the wire of the protocol crate with the server of the world. A page is carried
//! out in one thread; what JavaScript lets happen between two of its steps happens here at the
//! same places: other pages count while a request is on its way, and a renderer is killed before
//! and after each transaction and each request.
//!
//! | file | follows |
//! | --- | --- |
//! | `tab.rs` | `license.js` |
//! | `session.rs`, `asking.rs` | `session.js` |
//! | `reports.rs`, `counter.rs`, `store.rs`, `grant.rs`, `clock.rs`, `pause.rs`, `requests.rs`, `server.rs`, `errors.rs` | the file of that name |
//!
//! The witness is outside of the model: what a page was told of each piece of work, in [`Told`].

mod asking;
mod clock;
mod constants;
mod counter;
mod errors;
mod grant;
mod pause;
mod profile;
mod reports;
mod requests;
mod server;
mod session;
mod store;
mod tab;

use std::rc::Rc;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use seatmeter::fault_injection::disk::Disk;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::{PublicKey, SigningKey, digest_hex};
use seatmeter_protocol::slot::slot_of;

use crate::books::{Counter, UNDATED_SLOT};
use crate::net::{MAIN, Net, STANDBY};
use crate::time::{MachineClock, Time};
pub(crate) use counter::Piece;
pub(crate) use errors::{Failure, Halt, Outcome};
pub(crate) use grant::Grant;
use store::{Content, Device, Store};
pub(crate) use tab::Tab;

/// Most pages of a profile that are open at the same time.
pub(crate) const TABS_MAX: usize = 3;

/// The milliseconds for which a page waits for its first license.
const TIMEOUT_MS: i64 = 10_000;

/// A page that is stopped for fewer seconds keeps no other page from its round.
const WAITS_MIN: u64 = 30;

/// A page whose slot begins less than so many seconds before is near another slot: the clock of
/// another page, which dates what it reports, may still be in the slot before.
const NEAR_SECONDS: u64 = 15;

/// What a page asks for.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) handshake_code: String,
    charge_way: ChargeWay,
    root_key: Option<PublicKey>,
    servers: [&'static str; 2],
    timeout_ms: i64,
    origin: &'static str,
}

impl Options {
    /// Return the name of a license in the storage.
    fn name(&self) -> String {
        format!("{}, {}", self.handshake_code, self.root_key.is_some())
    }

    /// Return the host of the page.
    fn host(&self) -> &str {
        let host = self.origin.split_once("://").map_or(self.origin, |(_, rest)| rest);
        host.split(':').next().unwrap_or_default()
    }
}

/// What a page was told of its work.
pub(crate) enum Told {
    /// It is counted, at this time of the page, and under this grant.
    Counted { counts: Vec<(Counter, u64)>, ms: i64, grant: Box<Grant> },
    /// It is refused, at this time of the page, and under this grant.
    Refused { code: ErrorCode, ms: i64, grant: Box<Grant> },
    /// Nothing: the page died, or nobody waited for it. It may be counted or not.
    Nothing(Vec<(Counter, u64)>),
}

/// What the pages of a profile do while the next request is on its way.
pub(crate) struct Meanwhile {
    pub(crate) works: Vec<Vec<Piece>>,
    /// Whether they do it after the server has answered.
    pub(crate) is_answered: bool,
    /// The seconds for which the page that asks is stopped.
    pub(crate) stopped_for: u64,
}

/// A profile on an origin.
pub(crate) struct Browser {
    pub(super) machine: usize,
    net: Weak<Mutex<Net>>,
    pub(crate) clock: &'static MachineClock,
    time: Arc<Time>,
    pub(super) origin: &'static str,
    pub(crate) options: Options,
    store: Store,
    /// The pages that are open, without the one that acts.
    pub(crate) tabs: Vec<Tab>,
    pub(crate) told: Vec<Told>,
    pub(crate) meanwhile: Option<Meanwhile>,
    is_turn_taken: bool,
    /// Whether the page that has the turn is stopped.
    is_stopped: bool,
    /// How often a page has waited in vain for its turn, or was stopped while an answer waited.
    pub(crate) waits: u32,
    /// The storage as it was when it was kept.
    kept: Option<Content>,
    newest_put_back: Option<u32>,
    /// The serial of the newest license that was stored when the user last cleared the storage.
    newest_cleared: Option<u32>,
    /// How often the profile was left without an identity.
    pub(crate) clears: u32,
    is_used: bool,
}

impl Browser {
    pub(crate) fn new(
        machine: usize,
        net: Weak<Mutex<Net>>,
        clock: &'static MachineClock,
        time: Arc<Time>,
        origin: &'static str,
        charge_way: ChargeWay,
    ) -> Self {
        let vendor = crate::server::vendor_key();
        let options = Options {
            handshake_code: crate::server::CODE.into(),
            charge_way,
            root_key: machine.is_multiple_of(2).then_some(vendor),
            servers: [MAIN, STANDBY],
            timeout_ms: TIMEOUT_MS,
            origin,
        };
        Self {
            machine,
            net,
            clock,
            time,
            origin,
            options,
            store: Store::new(),
            tabs: Vec::new(),
            told: Vec::new(),
            meanwhile: None,
            is_turn_taken: false,
            is_stopped: false,
            waits: 0,
            kept: None,
            newest_put_back: None,
            newest_cleared: None,
            clears: 0,
            is_used: false,
        }
    }

    fn net(&self) -> Arc<Mutex<Net>> {
        self.net.upgrade().expect("pages end before their world")
    }

    /// Open a page; return whether it has begun with a license.
    pub(crate) fn open(&mut self) -> Outcome<()> {
        self.is_used = true;
        let mut tab = Tab::open(self)?;
        match tab.begin(self) {
            Ok(()) => self.tabs.push(tab),
            Err(halt) => {
                self.is_turn_taken = false;
                self.deliver();
                return Err(halt);
            }
        }
        self.deliver();
        Ok(())
    }

    /// Let a page do something. One that is killed in it is gone.
    pub(crate) fn act<T>(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut Tab, &mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        let mut tab = self.tabs.remove(number);
        let outcome = tab.wake(self).and_then(|()| act(&mut tab, self));
        let outcome = outcome.and_then(|done| tab.round_if_wanted(self).map(|()| done));
        self.meanwhile = None;
        match outcome {
            Err(Halt::Killed) => self.die(tab),
            _ => self.tabs.insert(number, tab),
        }
        self.deliver();
        outcome
    }

    /// Let the pages hear what one of them has said. Only a page that is stopped hears it later.
    fn deliver(&mut self) {
        let cut_off = self.store.cut_off.take();
        for number in 0..self.tabs.len() {
            let mut tab = self.tabs.remove(number);
            // A page that cannot read what has changed does so in its next round.
            let _ = tab.read_mail(self);
            self.tabs.insert(number, tab);
        }
        self.store.cut_off = cut_off;
    }

    /// End a page as a killed renderer ends: its lock is free, and what it had not stored is gone.
    fn die(&mut self, mut tab: Tab) {
        self.is_turn_taken = false;
        let images = std::mem::take(&mut tab.images);
        self.forget(images);
    }

    pub(crate) fn kill(&mut self, number: usize) {
        let tab = self.tabs.remove(number);
        self.die(tab);
    }

    pub(crate) fn kill_all(&mut self) {
        self.store.cut_off = None;
        while !self.tabs.is_empty() {
            self.kill(0);
        }
    }

    /// Let a page close itself.
    pub(crate) fn close(&mut self, number: usize) -> Outcome<()> {
        let mut tab = self.tabs.remove(number);
        let outcome = tab.wake(self).and_then(|()| tab.close(self));
        self.die(tab);
        self.deliver();
        outcome
    }

    pub(crate) fn work(&mut self, number: usize, work: &[Piece]) -> Outcome<()> {
        self.act(number, |tab, profile| profile.do_work(tab, work))
    }

    pub(crate) fn hide(&mut self, number: usize) -> Outcome<()> {
        self.act(number, Tab::hide)
    }

    pub(crate) fn sync(&mut self, number: usize) -> Outcome<()> {
        self.act(number, Tab::sync)
    }

    /// Let the timer of a page fire; return its failure, and the milliseconds to the next round.
    pub(crate) fn keep(&mut self, number: usize) -> Outcome<(Option<Failure>, u64)> {
        self.act(number, |tab, profile| tab.timed_round(profile, session::Round::default()))
    }

    /// Do work in a page, and note what the page is told.
    fn do_work(&mut self, tab: &mut Tab, work: &[Piece]) -> Outcome<()> {
        let Some(grant) = tab.grant().cloned().map(Box::new) else { return Ok(()) };
        let ms = tab.clock.ms();
        let slot = self.noted_slot(ms);
        let counted: Vec<Piece> =
            work.iter().filter(|(kind, ..)| *kind != UsageKind::Image).copied().collect();
        let outcome = match counted[..] {
            [pages] if pages.0 == UsageKind::Page => tab.count_pages(self, &pages),
            _ => tab.count_image(self, &counted),
        };
        let counts: Vec<(Counter, u64)> =
            counted.iter().map(|(kind, what, n)| ((slot, kind.number(), *what), *n)).collect();
        match &outcome {
            Ok(()) => self.told.push(Told::Counted { counts, ms, grant }),
            Err(Halt::Failed(failure)) => {
                let (code, ms) = (failure.code, tab.clock.ms());
                let grant = tab.looked_at().cloned().map_or(grant, Box::new);
                self.told.push(Told::Refused { code, ms, grant });
                return Ok(());
            }
            Err(Halt::Killed) => {
                // The page was told nothing. Work is done that the storage has.
                let slot = u32::try_from(ms / 180_000).unwrap_or(0);
                let is_stored = |((_, kind, what), _): &(Counter, u64)| {
                    let kind = UsageKind::from_number(*kind);
                    kind.is_some_and(|kind| {
                        tab.counter.is_exceeded(&self.store.content, (slot, kind, *what))
                    })
                };
                let counts = counts.into_iter().filter(is_stored).collect();
                self.told.push(Told::Counted { counts, ms, grant });
            }
        }
        outcome
    }

    /// Return the slot under which work is noted. What a page counts ahead of the time is dated
    /// when it is reported.
    fn noted_slot(&self, ms: i64) -> u32 {
        let near = self.time.now().saturating_sub(NEAR_SECONDS);
        let slot = u32::try_from(ms / 180_000).unwrap_or(0);
        // A page whose clock is behind dates what another page has counted by that clock.
        let is_behind = self.tabs.iter().any(|tab| tab.clock.seconds() < near);
        if slot > slot_of(near) || is_behind { UNDATED_SLOT } else { slot }
    }

    /// Note an image that was shown to a page.
    fn note_image(&mut self, tab: &Tab, ms: i64) -> Option<(Counter, u64)> {
        let grant = tab.grant().cloned().map(Box::new)?;
        let image = ((self.noted_slot(ms), UsageKind::Image.number(), 0), 1);
        self.told.push(Told::Counted { counts: vec![image], ms, grant });
        Some(image)
    }

    fn forget(&mut self, images: Vec<(Counter, u64)>) {
        if !images.is_empty() {
            self.told.push(Told::Nothing(images));
        }
    }

    /// Let the pages do what they do while a request is on its way: the page that asks, and others.
    fn meanwhile(&mut self, tab: &mut Tab, is_answered: bool) -> Outcome<()> {
        let Some(meanwhile) = self.meanwhile.take_if(|one| one.is_answered == is_answered) else {
            return Ok(());
        };
        self.is_stopped = meanwhile.stopped_for > WAITS_MIN;
        for (number, work) in meanwhile.works.iter().enumerate() {
            match number % (1 + self.tabs.len()) {
                0 if self.is_stopped => {}
                0 => self.do_work(tab, work)?,
                other => {
                    let mut other_tab = self.tabs.remove(other - 1);
                    // One that is stopped or killed in the middle is another event.
                    let cut_off = self.store.cut_off.take();
                    let done = other_tab
                        .wake(self)
                        .and_then(|()| self.do_work(&mut other_tab, work))
                        .and_then(|()| match self.is_stopped {
                            false => Ok(()),
                            true => {
                                other_tab.timed_round(self, session::Round::default()).map(|_| ())
                            }
                        });
                    self.store.cut_off = cut_off;
                    self.tabs.insert(other - 1, other_tab);
                    done?;
                }
            }
        }
        self.is_stopped = false;
        self.time.pass(meanwhile.stopped_for * 1000);
        Ok(())
    }

    /// Say something to the other pages. They hear it when they wake.
    fn tell_others(&mut self, message: &tab::Message) {
        self.tabs.iter_mut().for_each(|tab| tab.mail.push_back(message.clone()));
    }

    pub(crate) fn cut_off(&mut self, visits: u32) {
        self.store.cut_off = Some(visits);
    }

    pub(crate) fn has_cut_off(&self) -> bool {
        self.store.cut_off.is_some()
    }

    /// Let nothing happen any more.
    pub(crate) fn restore(&mut self) {
        (self.store.cut_off, self.store.health) = (None, Disk::Sound);
    }

    pub(crate) fn set_health(&mut self, health: Disk) {
        self.store.health = health;
    }

    pub(crate) fn health(&self) -> Disk {
        self.store.health
    }
}

/// Make the identity of a device: a key, and the UUID that follows from it.
fn make_device() -> Device {
    let (key, _) = SigningKey::generate().expect("the seed gives random numbers");
    let uuid = digest_hex(key.public().as_bytes())[..32].to_owned();
    Device { uuid, key: Rc::new(key) }
}
