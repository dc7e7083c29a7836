//! The license server of a world: the real core over the store in memory, and a naive model that
//! judges each answer.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use seatmeter::sync::RawAnswer;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, Problem, SegmentRefusal,
    UsageAnswer, UsageReport,
};
use seatmeter_protocol::request_auth::{Proof, RequestFacts};
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, Signed, SigningKey, batch};
use seatmeter_server::error::Error;
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::{Licensing, RequestProof};
use seatmeter_server::operator::commands::{Change, CodeItems};
use seatmeter_server::policy::select::access::Validation;
use seatmeter_server::store::sqlite::InlineStore;

use crate::books::{Books, Counter, rows, text};
use crate::compared::Compared;
use crate::model::{DAY, Model, SLOT};
use crate::plain::Plain;
use crate::plan::{Code, Version, Versions};
use crate::time::{START, ServerClock, Time};

pub(crate) const CODE: &str = "SIM";

/// The code that has only the second item, if there is one.
pub(crate) const SECOND_CODE: &str = "SIM-2";

const ORGANIZATION: &str = "simulated";

/// A request as the server sees it.
pub(crate) struct Asked<'a> {
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
    /// The versions of both sides.
    pub(crate) versions: Versions,
    pub(crate) nonce: &'a str,
    pub(crate) proof: &'a Proof,
    pub(crate) key_id: Option<&'a str>,
    /// Whether there are copies of the machine that asks.
    pub(crate) is_copied: bool,
}

/// The fields that requests did not have in the first version.
const LATER_IN_REQUESTS: [&str; 2] = ["needed", "ended"];
const LATER_IN_ANSWERS: [&str; 5] = ["meters", "standings", "numbers", "allowances", "any_program"];

impl Asked<'_> {
    /// Return the proof of who sends the request: of the bytes that the device sent.
    fn proof(&self) -> RequestProof {
        let facts = RequestFacts::new(self.path, self.nonce, self.body);
        RequestProof { facts, proof: Some(self.proof.clone()), site: None }
    }

    /// Return the request as a device of that version sends it.
    fn said(&self) -> Vec<u8> {
        as_said_by(self.versions.devices, self.body, &LATER_IN_REQUESTS)
    }
}

/// Return a document as a version sends it: an older version has fewer fields, a newer version has
/// more fields wherever it can.
fn as_said_by(version: Version, body: &[u8], later: &[&str]) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.to_vec();
    };
    match version {
        Version::This => return body.to_vec(),
        Version::Older => {
            let fields = document.as_object_mut().expect("documents are objects");
            fields.retain(|name, _| !later.contains(&name.as_str()));
            // The document is a problem. Grants and reports have had these fields from the
            // beginning.
            if fields.contains_key("code") {
                fields.remove("epoch");
            }
        }
        Version::Newer => say_more(&mut document),
    }
    serde_json::to_vec(&document).expect("it is JSON")
}

fn say_more(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(say_more);
            fields.insert("of_the_future".into(), serde_json::json!({ "more": [1, null, "x"] }));
            if let Some(serde_json::Value::Array(meters)) = fields.get_mut("meters") {
                let (moons, full) = ("moons", "full");
                meters.push(serde_json::json!(
                    { "of": moons, "module": 0, "quota": 1, "used": 2, "grace": 0, "state": full }
                ));
            }
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(say_more),
        _ => {}
    }
}

pub(crate) struct Server {
    licensing: Licensing,
    pub(crate) store: Arc<InlineStore>,
    compared: Arc<Compared>,
    pub(crate) time: Arc<ServerClock>,
    vendor: SigningKey,
    pub(crate) is_up: bool,
    pub(crate) model: Model,
    /// The second item, if there is one. Then answers are not judged: the model knows only one
    /// item.
    pub(crate) second: Option<Model>,
    /// The backup: both stores and the model.
    backup: Option<(Vec<u8>, Option<Plain>, Model)>,
    issues: u64,
    /// The counts that a restored server could not book, by device, segment and counter.
    pub(crate) unbooked: BTreeMap<(String, String, Counter), u64>,
    /// The largest allowance that each device ever had under a strict item. It includes allowances
    /// that a restored server has forgotten.
    pub(crate) promised: BTreeMap<(String, u32), u64>,
    /// Whether the data is put back without a word, as by a snapshot, and not restored.
    pub(crate) is_put_back: bool,
    /// The epoch of data that was put back, until the server has noticed it.
    unnoticed: Option<String>,
}

impl Server {
    /// Make the main server. `is_alone` means that the standby has no data of its own.
    pub(crate) fn new(
        item: LicenseItem,
        second: Option<LicenseItem>,
        is_alone: bool,
        time: Arc<Time>,
    ) -> Self {
        Self::with_key("2", item, second, is_alone, time)
    }

    /// Make a standby with data of its own.
    pub(crate) fn apart(item: &LicenseItem, time: Arc<Time>) -> Self {
        Self::with_key(
            "3",
            LicenseItem { item_id: "standby".into(), ..item.clone() },
            None,
            false,
            time,
        )
    }

    fn with_key(
        digit: &str,
        item: LicenseItem,
        second: Option<LicenseItem>,
        is_alone: bool,
        time: Arc<Time>,
    ) -> Self {
        let is_judged = is_alone && second.is_none();
        let time = ServerClock::of(time);
        let store = Arc::new(InlineStore::new().expect("there is memory"));
        let compared = Arc::new(Compared::new(store.clone(), epoch_of(&store), is_judged));
        let keys = Keyring::new(key(digit), Vec::new());
        let licensing = Licensing { store: compared.clone(), keys, clock: time.clone() };
        let model = Model::new(item);
        let mut server = Self {
            licensing,
            store,
            compared,
            time,
            vendor: key("1"),
            is_up: true,
            model,
            second: second.map(Model::new),
            backup: None,
            issues: 0,
            unbooked: BTreeMap::new(),
            promised: BTreeMap::new(),
            is_put_back: false,
            unnoticed: None,
        };
        server.import();
        if server.second.is_some() {
            let (handshake_code, organization_id) =
                (SECOND_CODE.to_owned(), ORGANIZATION.to_owned());
            let items = CodeItems { item_ids: vec!["second".to_owned()], own_order: false };
            let make = Change::MakeCode { handshake_code: handshake_code.clone(), organization_id };
            for change in [make, Change::SetItems { handshake_code, items }] {
                server.change(change).expect("organization and item are there");
            }
        }
        server
    }

    /// Return whether the data was put back, and no device has shown it yet.
    pub(crate) fn is_unaware(&self) -> bool {
        self.unnoticed.as_ref().is_some_and(|epoch| *epoch == epoch_of(&self.store))
    }

    /// Return whether answers are judged. The model and the plain store know only one item, and the
    /// main server must have it for itself.
    pub(crate) fn is_judged(&self) -> bool {
        self.compared.plain.lock().is_some()
    }

    /// Return the server's key.
    pub(crate) fn key(&self) -> PublicKey {
        self.licensing.keys.current().public().clone()
    }

    /// Return the model of each item.
    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        std::iter::once(&self.model).chain(&self.second)
    }

    /// Import the vendor's license file with the items as the models have them.
    fn import(&mut self) {
        let file = LicenseFile {
            version: 1,
            file_id: "file".into(),
            organization_id: ORGANIZATION.into(),
            organization_name: "Simulated".into(),
            server_key: self.licensing.keys.current().public().clone(),
            issued_at: START + self.issues,
            items: self.models().map(|model| model.item.clone()).collect(),
            unknown_items: Vec::new(),
        };
        let envelope = Signed::seal(&file, &self.vendor).expect("a license file has a JSON form");
        let code = (self.issues == 0).then(|| CODE.to_owned());
        let root = self.vendor.public().clone();
        now(self.licensing.import(envelope, root, code, "sim")).expect("the license file is sound");
        self.issues += 1;
    }

    pub(crate) fn raise_quota(&mut self, more: u64) {
        let item = &mut self.model.item;
        match (&mut item.page_quotas, item.charge_way) {
            (Some(quotas), _) => quotas.core += more,
            (None, ChargeWay::BarcodeScan) => item.quota += more,
            (None, ChargeWay::Domain) => return,
            _ => item.quota += more.div_ceil(25),
        }
        self.import();
    }

    pub(crate) fn change(&mut self, change: Change) -> Result<(), Error> {
        now(self.licensing.change(change, "sim"))
    }

    pub(crate) fn revoke(&mut self) {
        if !self.model.is_revoked {
            let revoked = self.change(Change::RevokeItem { item_id: "item".into() });
            revoked.expect("the item is there");
            self.model.is_revoked = true;
        }
    }

    pub(crate) fn change_code(&mut self, code: Code) {
        let mut item_ids: Vec<String> =
            self.models().map(|model| model.item.item_id.clone()).collect();
        match code {
            Code::Nothing => item_ids.clear(),
            Code::Second => _ = item_ids.remove(0),
            Code::Item | Code::Others => {}
        }
        let items = CodeItems { item_ids, own_order: false };
        let application_ids =
            if code == Code::Others { vec!["another".to_owned()] } else { Vec::new() };
        let validation = Validation { application_ids, ..Validation::default() };
        let handshake_code = CODE.to_owned();
        let changes = [
            Change::SetItems { handshake_code: handshake_code.clone(), items },
            Change::SetAccess { handshake_code, password_hash: None, validation },
        ];
        changes
            .into_iter()
            .for_each(|change| self.change(change).expect("code and item are there"));
        self.model.code = code;
    }

    pub(crate) fn release(&mut self, uuid: &str) {
        let items: Vec<String> = self.models().map(|model| model.item.item_id.clone()).collect();
        for item_id in items {
            let change = Change::ReleaseDevice { item_id, device_uuid: uuid.into() };
            if self.change(change).is_ok() {
                self.model.release(uuid, self.time.now());
            }
        }
    }

    pub(crate) fn tidy(&self) {
        while now(self.licensing.store.tidy(self.time.now())).expect("the store is sound") {}
    }

    pub(crate) fn back_up(&mut self) {
        let snapshot = self.store.snapshot().expect("there is memory");
        self.backup = Some((snapshot, self.compared.plain.lock().clone(), self.model.clone()));
    }

    /// Restore the backup and lose everything since; return whether there was a backup.
    pub(crate) fn restore(&mut self) -> bool {
        let Some((snapshot, plain, model)) = &self.backup else { return false };
        let at = self.time.now();
        self.compared.leave_postgres();
        if self.is_put_back {
            self.store.put_back(snapshot).expect("the backup is sound");
            self.compared.plain.lock().clone_from(plain);
            self.unnoticed = Some(epoch_of(&self.store));
        } else {
            self.store.restore(snapshot, at).expect("the backup is sound");
            let plain = plain.as_ref().map(|plain| plain.restored(epoch_of(&self.store), at));
            *self.compared.plain.lock() = plain;
        }
        let (item, is_revoked, code) =
            (self.model.item.clone(), self.model.is_revoked, self.model.code);
        let websites = self.model.websites.clone();
        let careful_until = if self.is_put_back { model.careful_until } else { at + SLOT };
        self.model = model.restored(careful_until, self.model.restores + 1);
        self.model.websites = websites;
        // The vendor and the operator repeat their changes since the backup.
        self.model.item = item;
        self.import();
        self.change_code(code);
        if is_revoked {
            self.revoke();
        }
        true
    }

    /// Answer a request, and let the model judge the answer.
    ///
    /// # Errors
    /// Fails with the rule that the answer breaks.
    pub(crate) fn answer(&mut self, asked: &Asked<'_>) -> Result<RawAnswer, String> {
        let outcome = if asked.path == AUTHORIZATIONS_PATH {
            self.authorize(asked)?.map(|answer| serde_json::to_vec(&answer))
        } else {
            self.record(asked)?.map(|answer| serde_json::to_vec(&answer))
        };
        if let Some(difference) = self.compared.difference.lock().take() {
            return Err(difference);
        }
        let (status, body) = match outcome {
            Ok(body) => (200, body),
            Err(error) => {
                let problem = error.problem();
                (problem.status, serde_json::to_vec(&problem))
            }
        };
        Ok(self.signed(asked, status, body.expect("answers have a JSON form")))
    }

    /// Return the standby's answer while the main server is up.
    pub(crate) fn not_in_charge(&self, asked: &Asked<'_>) -> RawAnswer {
        let problem = Problem::new(503, ErrorCode::STANDBY_NOT_READY, "the main server is up");
        self.signed(asked, 503, serde_json::to_vec(&problem).expect("problems have a JSON form"))
    }

    fn authorize(
        &mut self,
        asked: &Asked<'_>,
    ) -> Result<Result<AuthorizationAnswer, Error>, String> {
        let request: AuthorizationRequest =
            serde_json::from_slice(&asked.said()).map_err(|e| e.to_string())?;
        if !self.is_judged() {
            return self.authorize_unjudged(asked, request);
        }
        let at = self.time.now();
        let before = self.model.clone();
        let held: Option<LocalLicense> =
            request.held_license.as_ref().and_then(|held| held.peek().ok());
        let mut books = Books::of(&self.store);
        if let Some(held) = held.filter(|held| held.device_uuid == request.device.uuid) {
            let was_forgotten = self.model.see(&held, at);
            self.model.see_allowance(&held, &books);
            if was_forgotten {
                books.bring_back(&held);
            }
        }
        self.model.asks(&request.device.uuid, &request.validation.website_domain);
        let verdict =
            self.model.verdict(&books, &request.device.uuid, request.seats, at, asked.is_copied);
        let epoch = epoch_of(&self.store);
        let outcome = now(self.licensing.authorize(request.clone(), &asked.proof()));
        let careful_until = self.see_epoch(&epoch, at)?;
        match &outcome {
            Ok(answer) => {
                let granted: LocalLicense =
                    answer.local_license.peek().map_err(|e| e.to_string())?;
                self.model.granted(&verdict, &granted, at)?;
                self.promise(&granted);
            }
            Err(Error::Refused(refusal)) => {
                let is_careful = refusal.code == ErrorCode::STANDBY_NOT_READY && at < careful_until;
                if !is_careful {
                    verdict.allows(refusal.code)?;
                }
                // A refused request leaves no trace but that the data was put back.
                self.model = before;
                self.model.careful_until = careful_until;
            }
            Err(Error::NotFresh(_)) => {
                self.model = before;
                self.model.careful_until = careful_until;
            }
            Err(other) => return Err(format!("the server fails at an authorization: {other}")),
        }
        Ok(outcome)
    }

    /// See whether the server has begun an epoch since this one, as it does when a device proves
    /// that the data was put back. Return the end of the time in which it grants only what devices
    /// show.
    fn see_epoch(&mut self, before: &str, at: u64) -> Result<u64, String> {
        if epoch_of(&self.store) != before {
            if self.model.restores == 0 {
                return Err("the server begins an epoch, but was never put back".to_owned());
            }
            self.model.careful_until = self.model.careful_until.max(at + SLOT);
        }
        Ok(self.model.careful_until)
    }

    fn authorize_unjudged(
        &self,
        asked: &Asked<'_>,
        request: AuthorizationRequest,
    ) -> Result<Result<AuthorizationAnswer, Error>, String> {
        match now(self.licensing.authorize(request, &asked.proof())) {
            Err(error) if !matches!(error, Error::Refused(_) | Error::NotFresh(_)) => {
                Err(format!("the server fails at an authorization: {error}"))
            }
            outcome => Ok(outcome),
        }
    }

    fn record(&mut self, asked: &Asked<'_>) -> Result<Result<UsageAnswer, Error>, String> {
        let report: UsageReport =
            serde_json::from_slice(&asked.said()).map_err(|e| e.to_string())?;
        let at = self.time.now();
        for segment in &report.segments {
            let held: Option<LocalLicense> =
                segment.local_license.as_ref().and_then(|held| held.peek().ok());
            if let Some(held) = held.filter(|held| held.device_uuid == report.device.uuid) {
                self.model.see(&held, at);
                self.model.see_allowance(&held, &Books::of(&self.store));
            }
        }
        let before = Books::of(&self.store);
        let epoch = epoch_of(&self.store);
        let outcome = now(self.licensing.record(report.clone(), asked.proof()));
        self.see_epoch(&epoch, at)?;
        self.model.see_work(&report.device.uuid, &before, &Books::of(&self.store));
        match &outcome {
            Ok(answer) => {
                // A device that expects another server does not accept this answer.
                let is_meant =
                    asked.key_id.is_some_and(|id| self.licensing.keys.with_id(id).is_some());
                let mut refused = answer.refused.iter();
                let is_too_early =
                    |refused: &&SegmentRefusal| !has_slots_ahead(&report, refused, at);
                if let Some(refused) = refused.find(is_too_early)
                    && self.model.restores == 0
                    && is_meant
                {
                    return Err(format!("a segment is refused for no reason: {}", refused.reason));
                }
                if is_meant {
                    self.note_unbooked(&report, answer);
                }
                self.model.recorded(&report, answer, &before, at);
            }
            // The server may have forgotten the report key: then the device signs.
            Err(Error::Refused(refusal))
                if refusal.code == ErrorCode::DEVICE_NOT_MATCH
                    && matches!(asked.proof, Proof::Tag { .. }) => {}
            Err(other) => return Err(format!("the server fails at a report: {other}")),
        }
        Ok(outcome)
    }

    fn promise(&mut self, granted: &LocalLicense) {
        for allowance in &granted.allowances {
            let key = (granted.device_uuid.clone(), allowance.module);
            let promised = self.promised.entry(key).or_default();
            *promised = allowance.allowed.max(*promised);
        }
    }

    fn note_unbooked(&mut self, report: &UsageReport, answer: &UsageAnswer) {
        let is_refused =
            |id: &String| answer.refused.iter().any(|refused| refused.segment_id == *id);
        for segment in report.segments.iter().filter(|segment| is_refused(&segment.segment_id)) {
            for usage in &segment.totals {
                let counter = (usage.slot, usage.kind.number(), usage.what);
                let key = (report.device.uuid.clone(), segment.segment_id.clone(), counter);
                let known = self.unbooked.entry(key).or_default();
                *known = usage.total.max(*known);
            }
        }
    }

    /// Sign an answer as src/http/answer.rs of the server does.
    fn signed(&self, asked: &Asked<'_>, status: u16, body: Vec<u8>) -> RawAnswer {
        let body = as_said_by(asked.versions.servers, &body, &LATER_IN_ANSWERS);
        let keys = &self.licensing.keys;
        let key = asked.key_id.and_then(|id| keys.with_id(id)).unwrap_or(keys.current());
        let (key_id, server_time) = (key.public().id(), self.time.now());
        let facts = AnswerFacts {
            request_body: asked.body,
            nonce: asked.nonce,
            status,
            server_time,
            key_id: &key_id,
        };
        let signature = with_others(&facts, &body, key);
        RawAnswer {
            status,
            server_time: Some(server_time),
            key_id: Some(key_id),
            signature: Some(signature),
            retry_after: None,
            body,
        }
    }
}

/// Sign an answer in a batch with up to six answers to others. The nonce decides its place.
fn with_others(facts: &AnswerFacts<'_>, body: &[u8], key: &SigningKey) -> String {
    let number = facts.nonce.bytes().map(usize::from).sum::<usize>();
    let size = 1 + number % 7;
    let place = number / 7 % size;
    let leaf = |index: usize| {
        let other = AnswerFacts { nonce: &index.to_string(), ..facts.clone() };
        if index == place { facts.leaf(body) } else { other.leaf(body) }
    };
    batch::sign(&(0..size).map(leaf).collect::<Vec<_>>(), key).swap_remove(place)
}

/// Return whether a refused segment has slots that are more than a day ahead of the server: its
/// device has believed a server whose clock was ahead.
fn has_slots_ahead(report: &UsageReport, refused: &SegmentRefusal, at: u64) -> bool {
    let mut segments = report.segments.iter().filter(|one| one.segment_id == refused.segment_id);
    let last = (at + DAY) / SLOT;
    segments.any(|segment| segment.totals.iter().any(|total| u64::from(total.slot) > last))
}

fn key(digit: &str) -> SigningKey {
    SigningKey::from_seed(&digit.repeat(64)).expect("64 digits are a seed")
}

/// Return the epoch of the data.
pub(crate) fn epoch_of(store: &InlineStore) -> String {
    text(&rows(store, "SELECT epoch FROM epoch ORDER BY number DESC LIMIT 1")[0][0])
}

/// Return the output of a future that waits for nothing. It may let others go first, as the signer
/// of batches does: there are none.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..YIELDS_MAX {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
    }
    unreachable!("nothing in a simulated server waits")
}

/// More often than that, no request lets others go first.
const YIELDS_MAX: usize = 4;
