//! The license server of a world: the real core over the store in memory, and a naive model that
//! judges each answer.

mod judged;
mod operator;
mod versions;
mod websites;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use seatmeter::sync::RawAnswer;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::{AUTHORIZATIONS_PATH, Problem};
use seatmeter_protocol::request_auth::{Proof, RequestFacts};
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, SigningKey, batch};
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::{Licensing, RequestProof};
use seatmeter_server::operator::commands::{Change, CodeItems};
use seatmeter_server::store::sqlite::InlineStore;

use crate::books::{Counter, number, rows, text};
use crate::compared::Compared;
use crate::model::Model;
use crate::plain::Plain;
use crate::plan::Versions;
use crate::time::{ServerClock, Time};
use versions::{LATER_IN_ANSWERS, LATER_IN_REQUESTS, as_said_by};

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
    /// The header `Origin` of the request.
    pub(crate) origin: Option<&'a str>,
    /// Whether there are copies of the machine that asks.
    pub(crate) is_copied: bool,
    /// Whether a stranger has sent it.
    pub(crate) is_forged: bool,
}

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

/// The tables with what the server knows of devices.
const TABLES_OF_DEVICES: [&str; 13] = [
    "device",
    "device_identity",
    "local_license",
    "segment",
    "usage_day",
    "item_used",
    "seat_holder",
    "item_held",
    "device_seats",
    "active_day",
    "year_excess",
    "allowance",
    "epoch",
];

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
    /// How often the vendor has sold more.
    pub(crate) raises: u64,
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
            raises: 0,
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

    /// Return whether the server knows the history of this device.
    pub(crate) fn knows(&self, uuid: &str) -> bool {
        let known = format!("SELECT 1 FROM device_identity WHERE device_uuid = '{uuid}'");
        !rows(&self.store, &known).is_empty()
    }

    /// Return id and serial of the newest license of a device.
    pub(crate) fn newest_license_of(&self, uuid: &str) -> Option<(String, u32)> {
        let newest = format!(
            "SELECT license_id, serial FROM local_license WHERE device_uuid = '{uuid}'
              ORDER BY serial DESC LIMIT 1"
        );
        let newest = rows(&self.store, &newest);
        newest.first().map(|row| (text(&row[0]), number(&row[1]) as u32))
    }

    /// Return all rows about devices, by table.
    pub(crate) fn rows_of_devices(&self) -> Vec<String> {
        let of = |table: &&str| {
            let all = rows(&self.store, &format!("SELECT * FROM {table} ORDER BY 1, 2"));
            format!("{table}: {all:?}")
        };
        TABLES_OF_DEVICES.iter().map(of).collect()
    }

    /// Return the model of each item.
    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        std::iter::once(&self.model).chain(&self.second)
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

/// Return the vendor's root key.
pub(crate) fn vendor_key() -> PublicKey {
    key("1").public().clone()
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
