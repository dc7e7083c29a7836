//! A batch of requests that are decided and booked in memory.
//!
//! All rows that the requests need are looked up together, the requests run one after another on
//! the accounts in memory, and the changes are written together. For the engine, a batch is some
//! dozens of statements, however many requests are in it. For the rules, it is the same as one
//! request after another: each sees what those before it have booked.

use std::collections::{BTreeSet, HashMap};

use seatmeter_protocol::message::{DeviceFacts, EndedLicense, UsageAnswer};
use seatmeter_protocol::signature::PublicKey;

use super::ahead::{Named, texts};
use super::alerts::Attempts;
use super::booked_alerts::Booked;
use super::codes::Codes;
use super::epoch::{self, CurrentEpoch, RollbackProof};
use super::identity::Identities;
use super::refusals::Refusals;
use super::segments::{Owner, Owners, Segments};
use super::sequence::{Commits, Sequence};
use super::table::{IDENTITY, LICENSE};
use super::{Sql, Value, Wanted, authorization, segments, usage};
use crate::error::Error;
use crate::keyring::Keyring;
use crate::policy::select::admission::holder_name;
use crate::policy::select::item_choice::needs_state;
use crate::receipt::Receipt;
use crate::store::account::load::{Accounts, Place, Wanted as Concerned};
use crate::store::account::{License, load, save};
use crate::store::{Authorization, Decision, Report, ShownLicense};

/// A request that is decided or booked on the accounts of items.
pub(in crate::store) enum Request {
    /// Raise the recorded totals.
    Report(Report),
    /// Decide, and record the grant.
    Authorization(Authorization),
    /// Decide, and record nothing.
    Check(Authorization),
}

/// The answer to such a request.
#[derive(Clone)]
pub(in crate::store) enum Answer {
    /// The answer to a report.
    Recorded(UsageAnswer),
    /// The answer to an authorization or a check.
    Decided(Decision),
}

impl Answer {
    /// Return the answer to a report.
    pub(in crate::store) fn recorded(self) -> Result<UsageAnswer, Error> {
        match self {
            Self::Recorded(answer) => Ok(answer),
            Self::Decided(_) => Err(Error::Internal("a report was answered otherwise".to_owned())),
        }
    }

    /// Return the answer to an authorization or a check.
    pub(in crate::store) fn decided(self) -> Result<Decision, Error> {
        match self {
            Self::Decided(decision) => Ok(decision),
            Self::Recorded(_) => {
                Err(Error::Internal("an authorization was answered otherwise".to_owned()))
            }
        }
    }
}

/// Run these requests, in this order, as the next commit of the sequence. Return the outcome of
/// each.
///
/// # Errors
/// Fails when the database or this program has failed. Then no request may be recorded.
pub(in crate::store) fn run(
    sql: &dyn Sql,
    requests: &[&Request],
    sequence: &mut Sequence,
) -> Result<Vec<Result<Answer, Error>>, Error> {
    let mut batch = Batch::open(sql, requests, sequence)?;
    let mut outcomes = Vec::with_capacity(requests.len());
    for request in requests {
        let outcome = match request {
            Request::Report(report) => usage::record(sql, &mut batch, report).map(Answer::Recorded),
            Request::Authorization(asked) => {
                authorization::authorize(sql, &mut batch, asked).map(Answer::Decided)
            }
            Request::Check(asked) => {
                authorization::check(sql, &mut batch, asked).map(Answer::Decided)
            }
        };
        match outcome {
            Err(error @ (Error::Store(_) | Error::Internal(_))) => return Err(error),
            outcome => outcomes.push(outcome),
        }
    }
    batch.close(sql, sequence)?;
    sql.settle()?;
    Ok(outcomes)
}

/// All data that a batch of requests concerns.
pub(super) struct Batch<'a> {
    pub(super) epoch: CurrentEpoch,
    pub(super) codes: Codes,
    pub(super) identities: Identities,
    /// The licenses that are loaded, in the accounts of their items.
    pub(super) owners: Owners,
    pub(super) segments: Segments<'a>,
    pub(super) accounts: Accounts,
    commits: Commits,
    /// The receipt of the batch, with its epoch and the keys that it was made with: it is the same
    /// for nearly all requests.
    receipt: Option<(String, Keyring, String)>,
    pub(super) refusals: Refusals,
    pub(super) attempts: Attempts,
    /// The use of the items before the batch.
    booked: Booked,
}

/// The requests of a batch by their kinds.
struct Asked<'a> {
    reports: Vec<&'a Report>,
    authorizations: Vec<&'a Authorization>,
    /// The name under which each of these would hold seats.
    holders: Vec<String>,
}

/// A license that was looked up by its id.
struct Found {
    license_id: String,
    owner: Owner,
    license: License,
}

impl<'a> Batch<'a> {
    /// Look up all data. Items are locked first, so that their data stays true until the end of the
    /// transaction.
    fn open(
        sql: &dyn Sql,
        requests: &[&'a Request],
        sequence: &mut Sequence,
    ) -> Result<Self, Error> {
        let asked = Asked::of(requests);
        let acknowledged = sequence.begin_comparing();
        let mut receipts = asked.receipts();
        receipts.extend(&acknowledged);
        asked.expect_named(sql, sequence.with(&receipts))?;
        let mut epoch = epoch::current(sql)?;
        let commits = Commits::load(sql, sequence, &receipts)?;
        for own in acknowledged.iter().filter(|own| !commits.knows(own)) {
            if !epoch.of(sql, &own.epoch)?.is_past() {
                epoch.end_by(sql, &RollbackProof::by_server(own), *asked.times().end())?;
            }
        }
        let mut codes = Codes::load(sql, &asked.authorizations)?;
        let found = licenses(sql, &asked.license_ids())?;
        let items = asked.items(&codes, &found);
        sql.lock_items(&items)?;
        let (reports, authorizations) = (&asked.reports, &asked.authorizations);
        let mut identities = Identities::of_reports(sql, reports, authorizations)?;
        let changing = identities.changing(reports, authorizations);
        if !changing.is_empty() {
            sql.lock_devices(&changing.iter().copied().collect::<Vec<_>>())?;
        }
        let mut accounts = load::accounts(sql, items.iter().copied(), &asked.times())?;
        codes.note_not_ready(sql, &accounts)?;
        let places = asked.places(&codes, &found);
        let wanted = asked.wanted(&codes, &places, &accounts);
        sql.expect(&|| {
            let mut all = load::devices_expected(&accounts, &wanted);
            all.extend(segments::expected(&asked.reports, &places));
            all.push(Wanted::Rows(&IDENTITY, texts(changing.clone())));
            all
        })?;
        load::devices(sql, &mut accounts, &wanted)?;
        identities.load(sql, &changing, authorizations)?;
        let segments = Segments::load(sql, &asked.reports, &places)?;
        let mut owners = Owners::with_capacity(found.len());
        for Found { license_id, owner, license } in found {
            if let Some(account) = accounts.get_mut(&owner.item_id) {
                account.learn_license(&owner.device_uuid, &license_id, license);
            }
            owners.insert(license_id, owner);
        }
        let booked = Booked::before(&accounts, *asked.times().end());
        Ok(Self {
            epoch,
            codes,
            identities,
            segments,
            owners,
            accounts,
            commits,
            receipt: None,
            refusals: Refusals::default(),
            attempts: Attempts::default(),
            booked,
        })
    }

    /// Return whether this receipt is newer than the data.
    pub(super) fn has_forgotten(&self, receipt: &Receipt) -> bool {
        !self.commits.knows(receipt)
    }

    /// Begin another epoch if this receipt is newer than the data.
    pub(super) fn see_receipt(
        &mut self,
        sql: &dyn Sql,
        receipt: Option<&Receipt>,
        device_uuid: &str,
        now: u64,
    ) -> Result<(), Error> {
        let Some(receipt) = receipt.filter(|receipt| self.has_forgotten(receipt)) else {
            return Ok(());
        };
        // A restore that the server knows of has forgotten commits of the epochs before.
        if self.epoch.of(sql, &receipt.epoch)?.is_past() {
            return Ok(());
        }
        self.epoch.end_by(sql, &RollbackProof::by_receipt(receipt, device_uuid), now)
    }

    /// Return the receipt of the batch, and note that a device gets it.
    pub(super) fn receipt(&mut self, keys: &Keyring) -> String {
        let epoch = &self.epoch.id;
        let known = self.receipt.as_ref();
        if let Some((_, _, text)) =
            known.filter(|(of, by, _)| of == epoch && by.is_the_same_as(keys))
        {
            return text.clone();
        }
        let text = self.commits.receipt(epoch).to_text(keys);
        self.receipt = Some((epoch.clone(), keys.clone(), text.clone()));
        text
    }

    /// Return the license with this id, and its owner.
    pub(super) fn license(&self, license_id: &str) -> Option<(&Owner, &License)> {
        let owner = self.owners.get(license_id)?;
        let account = self.accounts.get(&owner.item_id)?;
        Some((owner, account.license(&owner.device_uuid, license_id)?))
    }

    /// Record a license that came with a report, if this server has signed and forgotten it.
    pub(super) fn remember(
        &mut self,
        shown: &ShownLicense,
        device: &DeviceFacts,
        device_key: &PublicKey,
    ) {
        let held = &shown.license;
        if held.device_key != *device_key {
            return;
        }
        let known = self.license(&held.license_id);
        if known.is_some_and(|(_, known)| known.serial >= held.serial) || !(shown.is_ours)() {
            return;
        }
        let Some(account) = self.accounts.get_mut(&held.item_id) else { return };
        account.remember(held, device, None);
        let owner = Owner { item_id: held.item_id.clone(), device_uuid: held.device_uuid.clone() };
        self.owners.insert(held.license_id.clone(), owner);
    }

    /// End the device's work under these licenses.
    pub(super) fn end(&mut self, device_uuid: &str, ended: &[EndedLicense], now: u64) {
        let mut all: Vec<&EndedLicense> = ended.iter().collect();
        // An allowance belongs to the newest grant, of whichever code. Therefore licenses end in
        // the order of their serials, and the allowance comes back with the last one.
        all.sort_by_key(|ended| ended.serial);
        for EndedLicense { license_id, serial, .. } in all {
            let Some(owner) = self.owners.get(license_id) else { continue };
            if let Some(account) = self.accounts.get_mut(&owner.item_id) {
                account.end_by_device(device_uuid, license_id, *serial, now);
            }
        }
    }

    /// Write all changes.
    fn close(mut self, sql: &dyn Sql, sequence: &mut Sequence) -> Result<(), Error> {
        self.commits.save(sql, sequence)?;
        self.segments.save(sql, &self.owners)?;
        save::save(sql, &mut self.accounts)?;
        self.identities.save(sql)?;
        self.refusals.save(sql)?;
        self.attempts.save(sql)?;
        self.booked.fire(sql, &self.accounts)
    }
}

impl<'a> Asked<'a> {
    fn of(requests: &[&'a Request]) -> Self {
        let mut asked =
            Self { reports: Vec::new(), authorizations: Vec::new(), holders: Vec::new() };
        for request in requests.iter().copied() {
            match request {
                Request::Report(report) => asked.reports.push(report),
                Request::Authorization(request) | Request::Check(request) => {
                    asked.holders.push(holder_name(&request.claim, &request.device.uuid));
                    asked.authorizations.push(request);
                }
            }
        }
        asked
    }

    fn expect_named(&self, sql: &dyn Sql, sequences: BTreeSet<&str>) -> Result<(), Error> {
        let named = Named {
            reports: &self.reports,
            authorizations: &self.authorizations,
            sequences,
            licenses: self.license_ids(),
        };
        named.expect(sql)
    }

    fn times(&self) -> std::ops::RangeInclusive<u64> {
        let reports = self.reports.iter().map(|report| report.now);
        let times = || reports.clone().chain(self.authorizations.iter().map(|one| one.claim.now));
        times().min().unwrap_or(0)..=times().max().unwrap_or(0)
    }

    fn receipts(&self) -> Vec<&'a Receipt> {
        let of_reports = self.reports.iter().filter_map(|report| report.receipt.as_ref());
        let others = self.authorizations.iter().filter_map(|one| one.receipt.as_ref());
        of_reports.chain(others).collect()
    }

    fn license_ids(&self) -> BTreeSet<&'a str> {
        let mut ids = BTreeSet::new();
        for Report { report, shown, .. } in self.reports.iter().copied() {
            ids.extend(report.segments.iter().map(|segment| segment.license_id.as_str()));
            ids.extend(report.ended.iter().map(|ended| ended.license_id.as_str()));
            ids.extend(shown.iter().map(|shown| shown.license.license_id.as_str()));
        }
        ids
    }

    /// Return the ids of all items that the requests concern, in order.
    fn items<'b>(&'b self, codes: &'b Codes, found: &'b [Found]) -> Vec<&'b str> {
        let found = found.iter().map(|found| found.owner.item_id.as_str());
        let mut items: BTreeSet<&'b str> = found.collect();
        for report in self.reports.iter().copied() {
            items.extend(report.shown.iter().map(|shown| shown.license.item_id.as_str()));
        }
        for request in self.authorizations.iter().copied() {
            items.extend(request.held.as_ref().map(|held| held.item_id.as_str()));
            items.extend(codes.items_of(request).map(String::as_str));
        }
        items.into_iter().collect()
    }

    /// Return where licenses belong, also those that the batch itself may grant or remember.
    fn places<'b>(&'b self, codes: &'b Codes, found: &'b [Found]) -> Places<'b> {
        let found = found.iter().map(|found| (found.license_id.as_str(), found)).collect();
        let mut places = Places { found, possible: HashMap::new() };
        for ShownLicense { license, .. } in self.reports.iter().flat_map(|report| &report.shown) {
            places.add(&license.license_id, &license.item_id, &license.device_uuid);
        }
        for request in self.authorizations.iter().copied() {
            let uuid = &request.device.uuid;
            for item_id in codes.items_of(request) {
                places.add(&request.license_id, item_id, uuid);
            }
            if let Some(held) = &request.held {
                places.add(&held.license_id, &held.item_id, uuid);
            }
        }
        places
    }

    /// Return the devices and slots that the requests concern.
    fn wanted<'b>(
        &'b self,
        codes: &'b Codes,
        places: &Places<'b>,
        accounts: &Accounts,
    ) -> Concerned<'b> {
        let mut wanted = Concerned::default();
        for report in &self.reports {
            want_report(&mut wanted, report, places, accounts);
        }
        for (request, holder) in self.authorizations.iter().zip(&self.holders) {
            let uuid = &request.device.uuid;
            for item_id in codes.items_of(request) {
                let account = accounts.get(item_id);
                if account.is_some_and(|account| needs_state(&request.claim, &account.item)) {
                    wanted.whole(item_id, uuid, holder);
                }
            }
            if let Some(held) = &request.held {
                wanted.whole(&held.item_id, uuid, holder);
                wanted.whole(&held.item_id, uuid, uuid);
            }
        }
        wanted
    }
}

fn want_report<'b>(
    wanted: &mut Concerned<'b>,
    Report { report, shown, .. }: &'b Report,
    places: &Places<'b>,
    accounts: &Accounts,
) {
    for segment in &report.segments {
        for place in places.of(&segment.license_id) {
            if let Some(account) = accounts.get(place.item_id) {
                wanted.report(account, place, segment.totals.iter().map(|counter| counter.slot));
            }
        }
    }
    for ended in &report.ended {
        if let Some(Found { owner, .. }) = places.found.get(ended.license_id.as_str()) {
            wanted.whole(&owner.item_id, &owner.device_uuid, &owner.device_uuid);
        }
    }
    for ShownLicense { license, .. } in shown {
        let known = places.found.get(license.license_id.as_str());
        if known.is_none_or(|known| known.license.serial < license.serial) {
            wanted.whole(&license.item_id, &license.device_uuid, &license.device_uuid);
        }
    }
}

/// The items and devices of licenses.
pub(super) struct Places<'b> {
    /// The licenses that the database has.
    found: HashMap<&'b str, &'b Found>,
    /// Items and devices to which other licenses may belong.
    possible: HashMap<&'b str, Vec<(&'b str, &'b str)>>,
}

impl<'b> Places<'b> {
    fn add(&mut self, license_id: &'b str, item_id: &'b str, device_uuid: &'b str) {
        if !self.found.contains_key(license_id) {
            self.possible.entry(license_id).or_default().push((item_id, device_uuid));
        }
    }

    /// Return where a license belongs or may belong.
    pub(super) fn of(&self, license_id: &str) -> impl Iterator<Item = Place<'b>> + use<'b, '_> {
        let found = self.found.get(license_id).map(|Found { owner, license, .. }| Place {
            item_id: &owner.item_id,
            device_uuid: &owner.device_uuid,
            name: &license.holder,
        });
        let possible = self.possible.get(license_id).into_iter().flatten();
        found.into_iter().chain(possible.map(|(item_id, device_uuid)| Place {
            item_id,
            device_uuid,
            name: device_uuid,
        }))
    }
}

/// Return the licenses with these ids.
fn licenses(sql: &dyn Sql, ids: &BTreeSet<&str>) -> Result<Vec<Found>, Error> {
    let keys: Vec<Value<'_>> = ids.iter().map(|id| Value::Text(id)).collect();
    let rows = LICENSE.find(sql, &keys)?.into_iter().map(|mut row| {
        let owner = Owner { item_id: row.take(1)?, device_uuid: row.take(2)? };
        Ok(Found { license_id: row.take(0)?, owner, license: License::read(&mut row, 3)? })
    });
    rows.collect()
}
