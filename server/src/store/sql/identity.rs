//! The identities of the devices of a batch: the key of their first contact, their one history with
//! this server, and their report keys.
//!
//! A UUID that is not known is bound to the key that comes with it. From then on, the UUID without
//! the key is worth nothing.

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{Generation, LocalLicense};
use seatmeter_protocol::request_auth::{Proof, ReportKey};
use seatmeter_protocol::signature::PublicKey;

use super::batch::Batch;
use super::epoch::{CurrentEpoch, RollbackProof};
use super::table::{ALL_LICENSES, IDENTITY};
use super::{Row, Sql, Value, values};
use crate::error::{Error, Refusal};
use crate::policy::history::{
    self, Finding, HEARD_PRECISION, History, Known, Next, Relation, Shown,
};
use crate::policy::report_bounds;
use crate::store::account::Kept;
use crate::store::{Authorization, Report, ShownLicense};

/// The identity of a device, which is the same under all items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    public_key: PublicKey,
    history: History,
    first_contact: String,
    report_key: Option<ReportKey>,
    prior_report_key: Option<ReportKey>,
    last_heard_at: u64,
    /// The instant of the last rollback of the device, Unix seconds; 0 for none.
    pub(super) rolled_back_at: u64,
    rollbacks: u64,
    /// Whether programs of the device ask with different credentials, so that each may work under a
    /// license of its own.
    pub(super) has_several_ways: bool,
    /// The instant of the first grant to the device, Unix seconds; 0 if it may be forgotten.
    first_granted_at: u64,
}

impl Identity {
    fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            history: History::default(),
            first_contact: String::new(),
            report_key: None,
            prior_report_key: None,
            last_heard_at: 0,
            rolled_back_at: 0,
            rollbacks: 0,
            has_several_ways: false,
            first_granted_at: 0,
        }
    }

    fn read(row: &mut Row) -> Result<Self, Error> {
        let damaged = |what: &str| Error::Store(format!("the {what} of a device is damaged"));
        let key = |text: String, what| match text.as_str() {
            "" => Ok(None),
            _ => ReportKey::try_from(text).map(Some).map_err(|_| damaged(what)),
        };
        Ok(Self {
            public_key: row.take::<String>(1)?.parse().map_err(|_| damaged("key"))?,
            history: History {
                shown: Generation { branch: row.take(2)?, step: row.take(3)? },
                granted_step: row.take(4)?,
                branches: row.take(5)?,
                forks: serde_json::from_str(&row.take::<String>(6)?)
                    .map_err(|_| damaged("history"))?,
            },
            first_contact: row.take(7)?,
            report_key: key(row.take(8)?, "report key")?,
            prior_report_key: key(row.take(9)?, "report key")?,
            last_heard_at: row.take(10)?,
            rolled_back_at: row.take(11)?,
            rollbacks: row.take(12)?,
            has_several_ways: row.take(13)?,
            first_granted_at: row.take(14)?,
        })
    }

    fn report_key(&self, id: &str) -> Option<&ReportKey> {
        let keys = [&self.report_key, &self.prior_report_key];
        keys.into_iter().flatten().find(|key| key.id() == id)
    }

    /// Return the first slot in which the device may have counted.
    pub(super) fn first_slot(&self, now: u64) -> u32 {
        report_bounds::first_slot(self.first_granted_at, now)
    }

    fn is_to_be_noted(&self, now: u64) -> bool {
        now >= self.last_heard_at.saturating_add(HEARD_PRECISION) || self.is_granted_ahead(now)
    }

    /// Return whether the first grant is still to come: a clock that was ahead has dated it.
    fn is_granted_ahead(&self, now: u64) -> bool {
        self.first_granted_at > now
    }
}

/// The devices of a batch, as far as they are known.
#[derive(Default)]
pub(super) struct Identities {
    known: BTreeMap<String, Kept<Identity>>,
    /// The local licenses of the devices that show none: item, id and end of each.
    licenses: BTreeMap<String, Vec<(String, String, u64)>>,
}

impl Identities {
    /// Look up the devices of the reports, to see which of them will change.
    pub(super) fn of_reports(
        sql: &dyn Sql,
        reports: &[&Report],
        authorizations: &[&Authorization],
    ) -> Result<Self, Error> {
        let mut identities = Self::default();
        identities.find(sql, &(&reporting(reports) - &asking(authorizations)))?;
        Ok(identities)
    }

    /// Return the devices that will change. They are locked together, so that they are locked in
    /// one order, and before [`Self::load`].
    pub(super) fn changing<'r>(
        &self,
        reports: &[&'r Report],
        authorizations: &[&'r Authorization],
    ) -> BTreeSet<&'r str> {
        let changing = reports.iter().filter(|report| self.is_changed_by(report));
        let mut all = asking(authorizations);
        all.extend(changing.map(|one| &*one.report.device.uuid));
        all
    }

    /// Load the devices that will change, which are locked now.
    pub(super) fn load(
        &mut self,
        sql: &dyn Sql,
        changing: &BTreeSet<&str>,
        authorizations: &[&Authorization],
    ) -> Result<(), Error> {
        self.find(sql, changing)?;
        let showing_none = authorizations
            .iter()
            .filter(|request| newest(request).is_none())
            .map(|request| &*request.device.uuid)
            .filter(|uuid| self.known.contains_key(*uuid));
        let keys: BTreeSet<&str> = showing_none.collect();
        let keys: Vec<Value<'_>> = keys.into_iter().map(Value::Text).collect();
        for mut row in ALL_LICENSES.find(sql, &keys)? {
            let license = (row.take(1)?, row.take(2)?, row.take(3)?);
            self.licenses.entry(row.take(0)?).or_default().push(license);
        }
        Ok(())
    }

    fn find(&mut self, sql: &dyn Sql, uuids: &BTreeSet<&str>) -> Result<(), Error> {
        let keys: Vec<Value<'_>> = uuids.iter().map(|uuid| Value::Text(uuid)).collect();
        for mut row in IDENTITY.find(sql, &keys)? {
            let identity = Identity::read(&mut row)?;
            self.known.insert(row.take(0)?, Kept::read(identity));
        }
        Ok(())
    }

    /// Return whether a report changes what is known of its device.
    fn is_changed_by(&self, report: &Report) -> bool {
        let Some(known) = self.get(&report.report.device.uuid) else { return true };
        let place = |shown: &ShownLicense| known.history.place(shown.license.generation);
        known.is_to_be_noted(report.now)
            || report
                .newest
                .as_ref()
                .is_some_and(|shown| matches!(place(shown), Relation::Granted | Relation::Newer))
    }

    /// Return what is known of a device.
    pub(super) fn get(&self, uuid: &str) -> Option<&Identity> {
        self.known.get(uuid).map(|known| &known.value)
    }

    fn set(&mut self, uuid: &str, identity: Identity) {
        match self.known.get_mut(uuid) {
            Some(known) => known.set(identity),
            None => {
                self.known.insert(uuid.to_owned(), Kept::new(identity));
            }
        }
    }

    /// Write all changes.
    pub(super) fn save(&self, sql: &dyn Sql) -> Result<(), Error> {
        let text = |key: &Option<ReportKey>| key.clone().map_or_else(String::new, String::from);
        let mut texts = Vec::new();
        let changed = || self.known.iter().filter(|(_, known)| known.is_changed);
        for (_, Kept { value, .. }) in changed() {
            let forks = serde_json::to_string(&value.history.forks)
                .map_err(|e| Error::Internal(format!("a history has no JSON form: {e}")))?;
            let keys = [text(&value.report_key), text(&value.prior_report_key)];
            texts.push((value.public_key.to_string(), forks, keys));
        }
        let mut rows: Vec<Value<'_>> = Vec::new();
        for ((uuid, Kept { value, .. }), (public_key, forks, keys)) in changed().zip(&texts) {
            rows.extend_from_slice(values![
                uuid,
                public_key,
                value.history.shown.branch,
                value.history.shown.step,
                value.history.granted_step,
                value.history.branches,
                forks,
                &value.first_contact,
                &keys[0],
                &keys[1],
                value.last_heard_at,
                value.rolled_back_at,
                value.rollbacks,
                value.has_several_ways,
                value.first_granted_at
            ]);
        }
        IDENTITY.put(sql, &rows)
    }
}

/// Return the devices of these requests.
pub(super) fn asking<'r>(requests: &[&'r Authorization]) -> BTreeSet<&'r str> {
    requests.iter().map(|one| &*one.device.uuid).collect()
}

/// Return the devices of these reports.
pub(super) fn reporting<'r>(reports: &[&'r Report]) -> BTreeSet<&'r str> {
    reports.iter().map(|one| &*one.report.device.uuid).collect()
}

/// Return the newest license that a device shows with a request for another.
fn newest(request: &Authorization) -> Option<&LocalLicense> {
    let place = |license: &&LocalLicense| {
        let Generation { branch, step } = license.generation;
        (branch, step)
    };
    request.held.iter().chain(&request.newest).max_by_key(place)
}

/// Return whether a program asks with other credentials than the one that got the newest license.
pub(super) fn is_another_way(request: &Authorization) -> bool {
    request.newest.is_some()
}

/// Refuse a request that is signed by another key than the one that came with the UUID at first.
pub(super) fn require_key(batch: &Batch<'_>, request: &Authorization) -> Result<(), Refusal> {
    match batch.identities.get(&request.device.uuid) {
        Some(known) if known.public_key != request.device_key => Err(unproven(
            "the request is signed by another key than the one that came with its UUID at first: \
             this installation must take a fresh UUID, and loses nothing",
        )),
        _ => Ok(()),
    }
}

/// Decide about the next license of the device. If the device shows that the data was put back,
/// begin another epoch.
pub(super) fn follow(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    request: &Authorization,
    is_kept: bool,
) -> Result<Next, Error> {
    let (uuid, now) = (&request.device.uuid, request.claim.now);
    let unknown = History::default();
    let known = batch.identities.get(uuid);
    let newest = newest(request);
    let history = known.map_or(&unknown, |known| &known.history);
    let shown = newest.map(|license| shown(sql, &mut batch.epoch, license, history, now));
    let is_forgotten = request.receipt.as_ref().is_some_and(|seen| batch.has_forgotten(seen));
    let shown = shown.transpose()?.map(|shown| Shown { is_forgotten, ..shown });
    let is_same_contact = known.is_some_and(|known| {
        !known.first_contact.is_empty() && known.first_contact == request.first_contact
    });
    let known = Known {
        history,
        heard_at: known.map_or(0, |known| known.last_heard_at),
        runs: newest.is_none() && runs(batch, uuid, now),
        is_same_contact,
    };
    let next = history::next(known, shown, now)?;
    if let (true, Finding::ServerRolledBack, Some(proof)) = (is_kept, next.finding, newest) {
        batch.epoch.end_by(sql, &RollbackProof::by_license(proof), now)?;
    }
    Ok(next)
}

/// Return what a license shows. The epoch in which it was granted matters only to one that does not
/// continue the history. The receipt is not looked at.
fn shown(
    sql: &dyn Sql,
    current: &mut CurrentEpoch,
    license: &LocalLicense,
    history: &History,
    now: u64,
) -> Result<Shown, Error> {
    let epoch = match history.place(license.generation) {
        Relation::Newer | Relation::Earlier | Relation::Left => current.of(sql, &license.epoch)?,
        Relation::Newest | Relation::Granted => history::EpochKind::Current,
    };
    let runs = license.valid_until > now;
    Ok(Shown { generation: license.generation, epoch, runs, is_forgotten: false })
}

/// Return whether a license of the device runs, with what this batch has done.
fn runs(batch: &Batch<'_>, uuid: &str, now: u64) -> bool {
    let stored = batch.identities.licenses.get(uuid).into_iter().flatten();
    let mut ends = stored.map(|(item_id, license_id, end)| {
        let account = batch.accounts.get(item_id);
        account
            .and_then(|account| account.license(uuid, license_id))
            .map_or(*end, |known| known.valid_until)
    });
    ends.any(|end| end > now)
        || batch.accounts.values().any(|account| account.has_running(uuid, now))
}

/// Record a grant.
pub(super) fn note_grant(batch: &mut Batch<'_>, request: &Authorization, next: Next) {
    let (uuid, now) = (&request.device.uuid, request.claim.now);
    let known = batch.identities.get(uuid).cloned();
    let mut identity = known.unwrap_or_else(|| {
        // A device that shows a license was granted it before this data knows.
        let first_granted_at = if newest(request).is_none() { now } else { 0 };
        Identity { first_granted_at, ..Identity::new(request.device_key.clone()) }
    });
    // A later time was that of a clock that was ahead.
    identity.first_granted_at = identity.first_granted_at.min(now);
    identity.history = next.history;
    if newest(request).is_none() {
        identity.first_contact.clone_from(&request.first_contact);
        identity.has_several_ways = false;
    }
    identity.has_several_ways |= is_another_way(request);
    if let Some(key) = &request.report_key {
        identity.prior_report_key = identity.report_key.replace(key.clone());
    }
    if next.finding == Finding::DeviceRolledBack {
        identity.rolled_back_at = now;
        identity.rollbacks = identity.rollbacks.saturating_add(1);
        tracing::warn!(device = %uuid, "a device was restored to an earlier state");
    } else {
        identity.last_heard_at = identity.last_heard_at.max(now);
    }
    batch.identities.set(uuid, identity);
}

/// Check that the device itself has sent this report. Return its key.
pub(super) fn prove(batch: &Batch<'_>, report: &Report) -> Result<PublicKey, Refusal> {
    let proof = &report.proof;
    let known = batch.identities.get(&report.report.device.uuid);
    match (&proof.proof, known) {
        (None, _) => Err(unproven(
            "the report has no proof of who sends it: a header Seatmeter-Report-Tag or \
             Seatmeter-Device-Signature must come with it; update the library of this device",
        )),
        (Some(Proof::Tag { key_id, tag }), known) => {
            let known = known.and_then(|known| Some((known, known.report_key(key_id)?)));
            let Some((known, key)) = known else {
                return Err(unproven(
                    "the report key is not known here, for example because a backup was \
                     restored: the device has to sign the report with its own key",
                ));
            };
            if !proof.facts.has_tag(tag, key) {
                return Err(unproven(
                    "the tag of the report does not belong to it: the report was changed on its \
                     way, or another device sends it",
                ));
            }
            Ok(known.public_key.clone())
        }
        (Some(Proof::Signature(signature)), known) => {
            let own = known.map(|known| &known.public_key);
            let is_own = |key: &&PublicKey| {
                proof.signed_by.as_ref() == Some(key) || proof.facts.verify(signature, key).is_ok()
            };
            // Who has a license by this server's key for its own key is no stranger, even if one
            // has come with the same UUID first: to this server, or to another one with its key.
            let by_license = || {
                proof.signed_by.as_ref().filter(|key| {
                    let mut shown = report.newest.iter().chain(&report.shown);
                    shown.any(|shown| shown.license.device_key == **key && (shown.is_ours)())
                })
            };
            own.filter(is_own).or_else(by_license).cloned().ok_or_else(|| {
                unproven(if own.is_some() {
                    "the report is not signed by the key that came with its UUID at first: \
                     another device sends it, or it was changed on its way"
                } else {
                    "this server does not know the device, and the report shows no license by \
                     this server's key for the key that has signed it: the device has to ask for \
                     an authorization first"
                })
            })
        }
    }
}

/// Note the facts that a proven report shows about its device: its newest license, and that it is
/// alive. Return whether another installation has left it behind.
pub(super) fn hear(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    report: &Report,
    device_key: &PublicKey,
) -> Result<bool, Error> {
    let (uuid, now) = (&report.report.device.uuid, report.now);
    let known = batch.identities.get(uuid);
    // The UUID stays bound to the key that came with it at first.
    if known.is_some_and(|known| known.public_key != *device_key) {
        return Ok(false);
    }
    let history = known.map(|known| &known.history);
    let unknown = History::default();
    // The other licenses of a report stand for the newest one where the device is not known.
    let all = report.newest.iter().chain(report.shown.iter().filter(|_| known.is_none()));
    let newest = all
        .filter(|shown| shown.license.device_key == *device_key)
        .max_by_key(|shown| (shown.license.generation.branch, shown.license.generation.step));
    let place = newest.map(|shown| history.unwrap_or(&unknown).place(shown.license.generation));
    let is_newest = match place {
        Some(Relation::Left) => return Ok(true),
        Some(Relation::Earlier) => false,
        _ => true,
    };
    // Most reports end here, and change nothing.
    if known.is_some_and(|known| !known.is_to_be_noted(now))
        && !matches!(place, Some(Relation::Granted | Relation::Newer))
    {
        return Ok(false);
    }
    let known = known.cloned();
    let mut identity = known.unwrap_or_else(|| Identity::new(device_key.clone()));
    if is_newest {
        identity.last_heard_at = identity.last_heard_at.max(now);
    }
    if identity.is_granted_ahead(now) {
        identity.first_granted_at = 0;
    }
    match (place, newest) {
        (Some(Relation::Granted), Some(newest)) if (newest.is_ours)() => {
            identity.history.go_on(newest.license.generation);
        }
        (Some(Relation::Newer), Some(newest)) if (newest.is_ours)() => {
            let history = &identity.history;
            let shown = shown(sql, &mut batch.epoch, &newest.license, history, now)?;
            identity.history.adopt(newest.license.generation);
            if history::newer(shown) == Finding::ServerRolledBack {
                batch.epoch.end_by(sql, &RollbackProof::by_license(&newest.license), now)?;
            }
        }
        _ => {}
    }
    batch.identities.set(uuid, identity);
    Ok(false)
}

/// Make the refusal of a request that does not prove who sends it.
fn unproven(why: &str) -> Refusal {
    Refusal::new(ErrorCode::DEVICE_NOT_MATCH, why)
}
