//! A store that keeps rows and no sums: it adds up what a decision needs each time. It decides by
//! the server's own policy, but shares no line with the statements of the SQL store, with which it
//! is compared (`compared.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{DAY_SECONDS, Generation, LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    EndedLicense, HOLDERS_MAX, Holder, ItemStanding, SegmentRefusal, SegmentReport, UsageAnswer,
    UsageKind, UsageReport,
};
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::signature::{PublicKey, digest_hex};
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of, slot_start};
use seatmeter_server::error::Refusal;
use seatmeter_server::operator::commands::Change;
use seatmeter_server::policy::history::{
    self, HEARD_PRECISION, History, Known, Life, Next, Place, Shown, Told,
};
use seatmeter_server::policy::holders::{Hold, Occupied};
use seatmeter_server::policy::overuse::{OveruseRule, excess};
use seatmeter_server::policy::running::runs_until;
use seatmeter_server::policy::select::access;
use seatmeter_server::policy::select::access::Validation;
use seatmeter_server::policy::select::admission::{Used, holder_name, meters};
use seatmeter_server::policy::select::item_choice::NoItem;
use seatmeter_server::policy::strict_allowance::Allowance;
use seatmeter_server::policy::validity::next_serial;
use seatmeter_server::policy::window::seat_until;
use seatmeter_server::policy::{self, Admitted, Candidate, Claim, ItemState, Order};
use seatmeter_server::receipt::Receipt;
use seatmeter_server::store::Authorization;

use crate::books::Counter;
use crate::seats_by_slot::SeatsBySlot;

/// A local license.
#[derive(Clone)]
struct License {
    device: String,
    serial: u32,
    seats_asked: u32,
    valid_until: u64,
    holder: String,
}

/// What is known of a device.
#[derive(Clone)]
struct Identity {
    key: PublicKey,
    history: History,
    first_contact: String,
    heard_at: u64,
    rolled_back_at: u64,
    /// The instant of the first grant; 0 if it may be forgotten.
    first_granted_at: u64,
}

/// A report with the licenses that it shows, as far as they are the server's.
pub(crate) struct Reported<'a> {
    pub(crate) report: &'a UsageReport,
    pub(crate) newest: Option<&'a LocalLicense>,
    /// Whether the newest license is the server's.
    pub(crate) is_newest_ours: bool,
    pub(crate) receipt: Option<&'a Receipt>,
    pub(crate) vouched: &'a [LocalLicense],
    pub(crate) now: u64,
}

/// The rows of one item under one code.
#[derive(Clone, Default)]
pub(crate) struct Plain {
    epoch: String,
    careful_until: u64,
    item: Option<LicenseItem>,
    is_revoked: bool,
    is_listed: bool,
    validation: Validation,
    /// The serial of the newest license of each device.
    devices: BTreeMap<String, u32>,
    licenses: BTreeMap<String, License>,
    /// The holds by holder: the device, and its hold.
    holders: BTreeMap<String, (String, Hold)>,
    identities: BTreeMap<String, Identity>,
    /// The epochs of before, and those of licenses that the data did not know.
    lives: BTreeSet<String>,
    /// The instants at which devices have proved that the data was put back.
    rollbacks: Vec<u64>,
    /// Whether the epoch began by such a proof.
    is_rollback: bool,
    /// The number of the last commit of each sequence.
    commits: BTreeMap<String, u64>,
    /// The license of each segment.
    segments: BTreeMap<String, String>,
    usage: BTreeMap<(String, Counter), u64>,
    /// The number that each device counts as, by the first slot in which it applies.
    seats: BTreeMap<String, SeatsBySlot>,
    active: BTreeMap<u32, BTreeMap<String, u32>>,
    excess: BTreeMap<u32, u64>,
    allowances: BTreeMap<(String, u32), Allowance>,
}

/// The result of an authorization: the grant, the license id, the place in the history.
pub(crate) type Granted = (Admitted, String, Generation);

/// The reason why nothing is granted.
#[derive(Debug)]
pub(crate) enum No {
    Refused(Refusal),
    /// The request must prove that it is sent now.
    NotFresh,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Identity {
    fn new(key: &PublicKey) -> Self {
        Self {
            key: key.clone(),
            history: History::default(),
            first_contact: String::new(),
            heard_at: 0,
            rolled_back_at: 0,
            first_granted_at: 0,
        }
    }
}

impl Plain {
    /// Make an empty store with this epoch.
    pub(crate) fn new(epoch: String) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Carry out a change by the vendor or the operator, as far as the simulation has it.
    pub(crate) fn change(&mut self, change: &Change, now: u64) {
        match change {
            Change::Import(import) => {
                self.item = import.file.items.first().cloned();
                self.is_listed |= import.handshake_code.is_some();
            }
            Change::SetItems { items, .. } => self.is_listed = !items.item_ids.is_empty(),
            Change::SetAccess { validation, .. } => self.validation = validation.clone(),
            Change::RevokeItem { .. } => self.is_revoked = true,
            Change::ReleaseDevice { device_uuid, .. } => self.release(device_uuid, now),
            other => unreachable!("{other:?} is not simulated"),
        }
    }

    fn release(&mut self, device: &str, now: u64) {
        self.holders.retain(|_, (of, _)| of != device);
        for ((of, _), allowance) in &mut self.allowances {
            if of == device {
                *allowance = allowance.given_back(allowance.serial);
            }
        }
        let licenses = self.licenses.values_mut().filter(|license| license.device == device);
        licenses.for_each(|license| license.valid_until = license.valid_until.min(now));
    }

    /// Decide one authorization. A refused request leaves no trace.
    pub(crate) fn authorize(&mut self, request: &Authorization) -> Result<Granted, No> {
        let before = self.clone();
        let epoch = self.epoch.clone();
        self.decide(request).map_err(|no| {
            // What a device has proved is kept.
            let after = std::mem::replace(self, before);
            self.keep_life(after);
            match no {
                No::Refused(refusal) => No::Refused(Refusal { epoch, ..refusal }),
                No::NotFresh => No::NotFresh,
            }
        })
    }

    fn keep_life(&mut self, after: Self) {
        self.epoch = after.epoch;
        self.careful_until = after.careful_until;
        self.lives = after.lives;
        self.rollbacks = after.rollbacks;
        self.is_rollback = after.is_rollback;
    }

    /// Note a receipt of the server that is simulated.
    pub(crate) fn note_receipt(&mut self, text: &str) {
        let mut parts = text.split('.').skip(1);
        if let (Some(sequence), Some(number)) = (parts.next(), parts.next()) {
            let number = number.parse().expect("it is a number");
            self.commits.insert(sequence.to_owned(), number);
        }
    }

    /// Notice by a receipt that the data was put back.
    fn see_receipt(&mut self, receipt: Option<&Receipt>, now: u64) {
        let Some(receipt) = receipt else { return };
        let is_known =
            self.commits.get(&receipt.sequence_id).is_some_and(|last| receipt.number <= *last);
        if !is_known && !self.lives.contains(&receipt.epoch) {
            self.end_life(&receipt.epoch, &receipt.to_string(), now);
        }
    }

    fn decide(&mut self, request: &Authorization) -> Result<Granted, No> {
        let (claim, uuid) = (&request.claim, &request.device.uuid);
        if self.identities.get(uuid).is_some_and(|known| known.key != request.device_key) {
            return Err(Refusal::new(ErrorCode::DEVICE_NOT_MATCH, "another key").into());
        }
        self.see_receipt(request.receipt.as_ref(), claim.now);
        access::may_use(&request.validation, &self.validation)?;
        let holder = holder_name(claim, uuid);
        let now = claim.now;
        let next = self.follow_history(request)?;
        if next.must_be_fresh && !request.is_fresh {
            return Err(No::NotFresh);
        }
        if let Some(held) = &request.held {
            self.remember(held, Some(&holder));
            self.take_name(held, &holder);
        }
        self.holders.retain(|_, (_, hold)| hold.until > now || !self.is_listed);
        let mut candidates = self.candidates(uuid, &holder, now);
        let lost_at = match next.told {
            Told::DeviceRolledBack => now,
            _ => self.identities.get(uuid).map_or(0, |known| known.rolled_back_at).min(now),
        };
        let lost = if lost_at == 0 { 0 } else { next_serial(0, lost_at) };
        let used = candidates.iter_mut().flat_map(|candidate| &mut candidate.state.used);
        used.filter(|used| used.own.serial < lost)
            .for_each(|used| used.own.used = used.own.allowed);
        self.careful(claim, request.held.as_ref(), &mut candidates)?;
        let grant = policy::decide(claim, &candidates, Order::ByRule)
            .map_err(|no| self.explained(no, &holder))?;
        let item = candidates.swap_remove(grant.candidate).item;
        let license_id = self.remember_grant(request, &holder, &item, &grant);
        let generation = next.generation;
        self.note_identity(request, next);
        Ok((grant, license_id, generation))
    }

    fn candidates(&self, uuid: &str, holder: &str, now: u64) -> Vec<Candidate> {
        let listed = self.item.iter().filter(|_| self.is_listed);
        listed
            .map(|item| Candidate {
                item: item.clone().into(),
                revoked: self.is_revoked,
                state: self.state(item, uuid, holder, now),
            })
            .collect()
    }

    fn careful(
        &self,
        claim: &Claim,
        held: Option<&LocalLicense>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Refusal> {
        if claim.now >= self.careful_until {
            return Ok(());
        }
        match held {
            Some(held)
                if holds(held, claim)
                    && candidates.iter().any(|one| one.item.item_id == held.item_id) =>
            {
                candidates.retain(|candidate| candidate.item.item_id == held.item_id);
                Ok(())
            }
            _ => Err(Refusal::new(ErrorCode::STANDBY_NOT_READY, "it was restored just now")),
        }
    }

    fn explained(&self, no: NoItem, holder: &str) -> Refusal {
        let mut refusal = no.refusal;
        if let Some(numbers) =
            refusal.numbers.as_mut().filter(|numbers| numbers.next_free_at.is_some())
        {
            let others = self.holders.iter().filter(|(name, _)| *name != holder);
            let mut others: Vec<_> = others
                .map(|(name, (device, hold))| (hold.until, name, device, hold.seats))
                .collect();
            others.sort();
            let others = others.into_iter().take(HOLDERS_MAX);
            numbers.holders = others
                .map(|(until, _, device, seats)| Holder {
                    name: device.chars().take(4).collect(),
                    seats,
                    until,
                })
                .collect();
        }
        refusal
    }

    fn state(&self, item: &LicenseItem, uuid: &str, holder: &str, now: u64) -> ItemState {
        let excess_of_year = self.excess_so_far(item, now);
        let is_overused = OveruseRule::of(item).is_overused(excess_of_year, now);
        let until = if is_overused { runs_until(now) } else { u64::MAX };
        let running = self.licenses.values().filter(|license| {
            license.device == uuid && license.valid_until > now && license.valid_until <= until
        });
        let others =
            self.holders.iter().filter(|(name, _)| *name != holder).map(|(_, (_, hold))| *hold);
        let others: Vec<Hold> = others.filter(|hold| hold.until > now).collect();
        let is_concurrent = is_concurrent(item);
        ItemState {
            running_seats: running
                .map(|license| license.seats_asked)
                .max()
                .filter(|_| is_concurrent)
                .unwrap_or(0),
            newest_serial: self.devices.get(uuid).copied().unwrap_or(0),
            occupied: match has_seats(item) || is_concurrent {
                true => Occupied {
                    by_others: others.iter().map(|hold| hold.seats).sum(),
                    own: self.holders.get(holder).map(|(_, hold)| *hold),
                    first_free_at: others.iter().map(|hold| hold.until).min(),
                },
                false => Occupied::default(),
            },
            excess_of_year,
            used: self.used(item, uuid),
        }
    }

    fn used(&self, item: &LicenseItem, uuid: &str) -> Vec<Used> {
        let kind =
            if item.charge_way == ChargeWay::Page { UsageKind::Page } else { UsageKind::Scan };
        let used_of = |module: u32| {
            let is_of = |counter: &Counter| {
                counter.1 == kind.number() && (kind == UsageKind::Scan || counter.2 == module)
            };
            self.usage
                .iter()
                .filter(|((_, counter), _)| is_of(counter))
                .map(|(_, total)| total)
                .sum()
        };
        let all = |module: u32| {
            let of_module = self.allowances.iter().filter(move |((_, of), _)| *of == module);
            of_module.map(|(_, allowance)| *allowance)
        };
        let modules = item.metered_quotas().into_iter().map(|(module, _)| module);
        modules
            .map(|module| {
                let used = Used { module, used: used_of(module), ..Used::default() };
                if !item.strict {
                    return used;
                }
                Used {
                    allowed: all(module).map(|allowance| allowance.allowed).sum(),
                    devices: all(module).filter(|allowance| allowance.unused() > 0).count() as u64,
                    own: self
                        .allowances
                        .get(&(uuid.to_owned(), module))
                        .copied()
                        .unwrap_or_default(),
                    ..used
                }
            })
            .collect()
    }

    /// Decide about the next license of the device, and notice that the data was put back.
    fn follow_history(&mut self, request: &Authorization) -> Result<Next, Refusal> {
        let (uuid, now) = (&request.device.uuid, request.claim.now);
        let newest =
            request.held.iter().chain(&request.newest).max_by_key(|license| license.generation);
        let shown = newest.map(|license| self.shown(license, now));
        let nothing = History::default();
        let known = self.identities.get(uuid);
        let known = Known {
            history: known.map_or(&nothing, |known| &known.history),
            heard_at: known.map_or(0, |known| known.heard_at),
            runs: self
                .licenses
                .values()
                .any(|license| license.device == *uuid && license.valid_until > now),
            is_same_contact: known.is_some_and(|known| {
                !known.first_contact.is_empty() && known.first_contact == request.first_contact
            }),
        };
        let next = history::next(known, shown, now)?;
        if let (Told::ServerRolledBack, Some(proof)) = (next.told, newest) {
            self.end_life(&proof.epoch, &facts_of(proof), now);
        }
        Ok(next)
    }

    fn shown(&self, license: &LocalLicense, now: u64) -> Shown {
        let life = match &license.epoch {
            epoch if *epoch == self.epoch => Life::Current,
            epoch if self.lives.contains(epoch) => Life::Earlier,
            _ => Life::Unknown,
        };
        Shown { generation: license.generation, life, runs: license.valid_until > now }
    }

    /// Begin another life, because something of this epoch is newer than the data.
    fn end_life(&mut self, of_epoch: &str, facts: &str, now: u64) {
        const HOUR: u64 = 3_600;
        let is_unknown = of_epoch != self.epoch && self.lives.insert(of_epoch.to_owned());
        if is_unknown && self.is_rollback && now < self.careful_until {
            return;
        }
        let year_ago = now.saturating_sub(365 * DAY_SECONDS);
        let latest = self.rollbacks.iter().copied().filter(|at| *at > year_ago).max();
        let is_careful = latest.is_none_or(|latest| now >= latest + HOUR);
        let facts = format!("{}\n{now}\n{facts}", self.epoch);
        let mut epoch = digest_hex(facts.as_bytes());
        epoch.truncate(32);
        self.lives.insert(std::mem::replace(&mut self.epoch, epoch));
        self.careful_until = if is_careful { now + SLOT_SECONDS } else { 0 };
        self.is_rollback = true;
        self.rollbacks.push(now);
    }

    fn note_identity(&mut self, request: &Authorization, next: Next) {
        let now = request.claim.now;
        let known = self.identities.entry(request.device.uuid.clone());
        let shows_none = request.held.is_none() && request.newest.is_none();
        let known = known.or_insert_with(|| Identity {
            first_granted_at: if shows_none { now } else { 0 },
            ..Identity::new(&request.device_key)
        });
        known.first_granted_at = known.first_granted_at.min(now);
        known.history = next.history;
        if request.held.is_none() && request.newest.is_none() {
            known.first_contact.clone_from(&request.first_contact);
        }
        match next.told {
            Told::DeviceRolledBack => known.rolled_back_at = now,
            _ => known.heard_at = known.heard_at.max(now),
        }
    }

    /// Take what a report tells of its device. Return whether another one has left it behind.
    fn hear(&mut self, reported: &Reported<'_>) -> bool {
        let (uuid, now) = (&reported.report.device.uuid, reported.now);
        let known = self.identities.get(uuid).cloned();
        let forgotten = reported.vouched.iter().filter(|_| known.is_none());
        let newest = reported.newest.into_iter().chain(forgotten);
        let newest = newest.max_by_key(|license| license.generation);
        let Some(mut known) = known.or_else(|| Some(Identity::new(&newest?.device_key))) else {
            return false;
        };
        let place = newest.map(|license| known.history.place(license.generation));
        match (place, newest) {
            (Some(Place::Left), _) => return true,
            (Some(Place::Granted), Some(newest)) if reported.is_newest_ours => {
                known.history.go_on(newest.generation);
            }
            (Some(Place::Newer), Some(newest))
                if reported.is_newest_ours || !self.identities.contains_key(uuid) =>
            {
                known.history.adopt(newest.generation);
                if history::newer(self.shown(newest, now)) == Told::ServerRolledBack {
                    self.end_life(&newest.epoch, &facts_of(newest), now);
                }
            }
            _ => {}
        }
        let is_to_be_noted = now >= known.heard_at + HEARD_PRECISION
            || matches!(place, Some(Place::Granted | Place::Newer));
        if is_to_be_noted && place != Some(Place::Earlier) {
            known.heard_at = known.heard_at.max(now);
        }
        self.identities.insert(uuid.clone(), known);
        false
    }

    /// Record a license that a restored server has forgotten and a device shows.
    fn remember(&mut self, held: &LocalLicense, holder: Option<&str>) {
        let known = self.licenses.get(&held.license_id);
        let (true, Some(item)) =
            (known.is_none_or(|known| known.serial < held.serial), self.item.clone())
        else {
            return;
        };
        let uuid = &held.device_uuid;
        let latest = self
            .licenses
            .values()
            .filter(|license| license.device == *uuid)
            .max_by_key(|one| one.serial);
        let holder =
            holder.map(str::to_owned).or(known.or(latest).map(|known| known.holder.clone()));
        let holder = holder.unwrap_or_else(|| uuid.clone());
        let newest = self.devices.entry(uuid.clone()).or_default();
        *newest = held.serial.max(*newest);
        let seats_asked = known_seats(self.licenses.get(&held.license_id), held);
        let license = License {
            device: uuid.clone(),
            serial: held.serial,
            seats_asked,
            valid_until: held.valid_until,
            holder: holder.clone(),
        };
        self.licenses.insert(held.license_id.clone(), license);
        if has_seats(&item) {
            let is_longer =
                self.holders.get(&holder).is_none_or(|(_, own)| own.until < held.valid_until);
            if is_longer {
                self.holders
                    .insert(holder, (uuid.clone(), Hold { seats: 1, until: held.valid_until }));
            }
        }
        if held.charge_way == ChargeWay::ConcurrentInstance {
            self.seats.entry(uuid.clone()).or_default().note_of_before(held.seats, held.issued_at);
        }
        for shown in &held.allowances {
            let own = self.allowances.entry((uuid.clone(), shown.module)).or_default();
            (own.serial, own.allowed) =
                (held.serial.max(own.serial), shown.allowed.max(own.allowed));
        }
    }

    fn take_name(&mut self, held: &LocalLicense, holder: &str) {
        let uuid = &held.device_uuid;
        if holder == uuid {
            return;
        }
        let licenses = self.licenses.values_mut();
        let nameless_ones =
            licenses.filter(|license| license.device == *uuid && license.holder == *uuid);
        nameless_ones.for_each(|license| holder.clone_into(&mut license.holder));
        let Some((_, nameless)) = self.holders.remove(uuid) else { return };
        if self.holders.get(holder).is_none_or(|(_, own)| own.until < nameless.until) {
            self.holders.insert(holder.to_owned(), (uuid.clone(), nameless));
        }
    }

    fn remember_grant(
        &mut self,
        request: &Authorization,
        holder: &str,
        item: &LicenseItem,
        grant: &Admitted,
    ) -> String {
        let (uuid, now) = (&request.device.uuid, request.claim.now);
        self.devices.insert(uuid.clone(), grant.serial);
        let has_instances = item.charge_way == ChargeWay::ConcurrentInstance;
        let renewed =
            self.licenses.iter().filter(|(_, license)| license.device == *uuid).filter(
                |(_, license)| !has_instances || license.seats_asked == request.claim.seats,
            );
        let renewed = renewed.max_by_key(|(_, license)| license.serial).map(|(id, _)| id.clone());
        let id = renewed.unwrap_or_else(|| request.license_id.clone());
        let license = License {
            device: uuid.clone(),
            serial: grant.serial,
            seats_asked: request.claim.seats,
            valid_until: grant.valid_until,
            holder: holder.to_owned(),
        };
        self.licenses.insert(id.clone(), license);
        if !has_instances {
            let others = self
                .licenses
                .iter_mut()
                .filter(|(other, own)| **other != id && own.device == *uuid);
            others.for_each(|(_, own)| own.valid_until = own.valid_until.min(now));
        }
        if let Some(hold) = grant.hold {
            self.holders.insert(holder.to_owned(), (uuid.clone(), hold));
        }
        if grant.seats > 0 {
            self.seats.entry(uuid.clone()).or_default().note(grant.seats, now);
        }
        for (module, allowance) in &grant.allowances {
            self.allowances.insert((uuid.clone(), *module), *allowance);
        }
        debug_assert!(self.item.as_ref().is_some_and(|own| own.item_id == item.item_id));
        id
    }

    /// Return the excess of the slots that have ended in the current license year.
    fn excess_so_far(&self, item: &LicenseItem, now: u64) -> u64 {
        if !is_concurrent(item) {
            return 0;
        }
        let year = OveruseRule::of(item).year(now);
        let running = self.active.keys().filter(|slot| **slot >= slot_of(now));
        let not_yet = running.filter(|slot| slot_start(**slot) < year.ends_at);
        let not_yet: u64 = not_yet.map(|slot| excess(self.active_in(*slot), item.quota)).sum();
        self.excess.get(&year.index).copied().unwrap_or(0).saturating_sub(not_yet)
    }

    fn active_in(&self, slot: u32) -> u64 {
        self.active
            .get(&slot)
            .map_or(0, |devices| devices.values().map(|count| u64::from(*count)).sum())
    }

    /// Record a report.
    pub(crate) fn record(&mut self, reported: &Reported<'_>) -> UsageAnswer {
        let &Reported { report, vouched, now, .. } = reported;
        self.see_receipt(reported.receipt, reported.now);
        let is_diverged = self.hear(reported);
        let mut answer =
            UsageAnswer { epoch: self.epoch.clone(), is_diverged, ..UsageAnswer::default() };
        vouched.iter().for_each(|license| self.remember(license, None));
        let uuid = &report.device.uuid;
        let (mut raised, mut holders, mut slots) =
            (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let granted_at = self.identities.get(uuid).map_or(0, |known| known.first_granted_at);
        let first = slot_of(granted_at.min(now).saturating_sub(DAY_SECONDS));
        let possible = first..=slot_of(now + DAY_SECONDS);
        let mut is_booked = false;
        for segment in &report.segments {
            let booked = self.record_segment(
                uuid,
                segment,
                &possible,
                &mut raised,
                &mut slots,
                &mut holders,
            );
            is_booked |= booked;
            let is_whole = segment.totals.iter().all(|total| possible.contains(&total.slot));
            if booked && is_whole {
                answer.recorded.push(segment.segment_id.clone());
            } else {
                answer.refused.push(SegmentRefusal {
                    segment_id: segment.segment_id.clone(),
                    code: SegmentFault::Unknown,
                    reason: String::new(),
                });
            }
        }
        if let (Some(item), true) = (self.item.clone(), is_booked) {
            self.settle(&item, uuid, &raised, &holders, &slots, now);
            let mut state = self.state(&item, uuid, "", now);
            if !has_seats(&item) {
                state.occupied = Occupied::default();
            }
            answer.standings.push(ItemStanding {
                item_id: item.item_id.clone(),
                meters: meters(&item, &state, now),
            });
        }
        report.ended.iter().for_each(|ended| self.end(uuid, ended, now));
        answer
    }

    /// Book what a segment has in the possible slots. Return whether it can be booked.
    fn record_segment(
        &mut self,
        uuid: &str,
        segment: &SegmentReport,
        possible: &RangeInclusive<u32>,
        raised: &mut BTreeMap<(u8, u32), u64>,
        slots: &mut BTreeSet<u32>,
        holders: &mut BTreeSet<String>,
    ) -> bool {
        let license = self.licenses.get(&segment.license_id);
        let Some(license) = license.filter(|license| license.device == uuid) else {
            return false;
        };
        let known = self
            .segments
            .entry(segment.segment_id.clone())
            .or_insert_with(|| segment.license_id.clone());
        if *known != segment.license_id {
            return false;
        }
        for total in segment.totals.iter().filter(|total| possible.contains(&total.slot)) {
            let counter = (total.slot, total.kind.number(), total.what);
            let known = self.usage.entry((segment.segment_id.clone(), counter)).or_default();
            if total.total > *known {
                let module = if total.kind == UsageKind::Page { total.what } else { 0 };
                *raised.entry((counter.1, module)).or_default() += total.total - *known;
                slots.insert(total.slot);
                holders.insert(license.holder.clone());
                *known = total.total;
            }
        }
        true
    }

    fn settle(
        &mut self,
        item: &LicenseItem,
        uuid: &str,
        raised: &BTreeMap<(u8, u32), u64>,
        holders: &BTreeSet<String>,
        slots: &BTreeSet<u32>,
        now: u64,
    ) {
        let kind =
            if item.charge_way == ChargeWay::Page { UsageKind::Page } else { UsageKind::Scan };
        for ((_, module), more) in
            raised.iter().filter(|((of, _), _)| item.strict && *of == kind.number())
        {
            let own = self.allowances.entry((uuid.to_owned(), *module)).or_default();
            *own = own.reported(own.used + more);
        }
        let come = slots.iter().filter(|slot| slot_start(**slot) <= now + DAY_SECONDS);
        for slot in come.filter(|_| is_concurrent(item)) {
            let has_instances = item.charge_way == ChargeWay::ConcurrentInstance;
            let count =
                self.seats.get(uuid).filter(|_| has_instances).map_or(1, |seats| seats.of(*slot));
            let before = excess(self.active_in(*slot), item.quota);
            let known = self.active.entry(*slot).or_default().entry(uuid.to_owned()).or_default();
            *known = count.max(*known);
            let more = excess(self.active_in(*slot), item.quota) - before;
            *self.excess.entry(OveruseRule::of(item).year(slot_start(*slot)).index).or_default() +=
                more;
        }
        for holder in holders.iter().filter(|_| has_seats(item)) {
            if let Some((_, own)) = self.holders.get_mut(holder).filter(|(_, own)| own.until > now)
            {
                own.until = own.until.max(seat_until(item, now));
            }
        }
    }

    fn end(&mut self, uuid: &str, ended: &EndedLicense, now: u64) {
        let license = self.licenses.get_mut(&ended.license_id);
        let Some(license) = license.filter(|own| own.device == uuid && own.serial == ended.serial)
        else {
            return;
        };
        license.valid_until = license.valid_until.min(now);
        let holder = license.holder.clone();
        let mut others =
            self.licenses.values().filter(|own| own.device == uuid && own.holder == holder);
        if others.any(|own| own.valid_until > now) {
            return;
        }
        self.holders.remove(&holder);
        for ((of, _), allowance) in &mut self.allowances {
            if of == uuid {
                *allowance = allowance.given_back(ended.serial);
            }
        }
    }

    /// Return the store after a restore: it has another epoch, and is careful for a slot.
    pub(crate) fn restored(&self, epoch: String, now: u64) -> Self {
        let mut lives = self.lives.clone();
        lives.insert(self.epoch.clone());
        let careful_until = now + SLOT_SECONDS;
        Self { epoch, lives, careful_until, is_rollback: false, ..self.clone() }
    }
}

/// Return whether a device that shows this license holds what it claims.
fn holds(held: &LocalLicense, claim: &Claim) -> bool {
    let has_enough = held.charge_way != ChargeWay::ConcurrentInstance || claim.seats <= held.seats;
    has_enough && claim.now < held.valid_until
}

fn known_seats(known: Option<&License>, held: &LocalLicense) -> u32 {
    known.map_or(held.seats, |known| known.seats_asked)
}

fn has_seats(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ClientDevice | ChargeWay::ActiveDevice | ChargeWay::Server)
}

fn is_concurrent(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance)
}

fn facts_of(license: &LocalLicense) -> String {
    format!("{}\n{:?}", license.license_id, license.generation)
}
