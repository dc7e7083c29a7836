//! What the tests start from: a server in this process on a free port, a clock that is set by hand,
//! and a client that speaks just enough HTTP.

mod messages;
mod request;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::{Agreement, KeyShare, ReportKey, RequestFacts};
use seatmeter_protocol::signature::{
    AnswerFacts, PublicKey, Signed, SigningKey, digest_hex, random_id,
};
use seatmeter_server::access::Role;
use seatmeter_server::clock::Clock;
use seatmeter_server::http::{self, Web};
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::Licensing;
use seatmeter_server::operator::access::NewToken;
use seatmeter_server::store::{Location, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use messages::*;
pub(crate) use request::*;

/// When the tests' items start, and the tests begin.
pub(crate) const START: u64 = 1_800_000_000;
/// When they expire.
pub(crate) const EXPIRY: u64 = START + 365 * 86_400;
/// The handshake code over all items of [`TestServer::with_items`]; default of organization `acme`.
pub(crate) const CODE: &str = "ACME-CODE";

/// Bound on every wait of a test.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&format!("{n:02x}").repeat(32)).unwrap()
}

pub(crate) fn vendor() -> SigningKey {
    key(1)
}

pub(crate) fn server_key() -> SigningKey {
    key(2)
}

pub(crate) fn id() -> String {
    random_id().unwrap()
}

/// The key of the device with this UUID.
pub(crate) fn device_key(uuid: &str) -> SigningKey {
    SigningKey::from_seed(&digest_hex(uuid.as_bytes())).unwrap()
}

/// A half of an agreement on a report key, as a device begins one.
pub(crate) fn key_share() -> KeyShare {
    Agreement::begin().unwrap().share().clone()
}

pub(crate) fn item(item_id: &str, quota: u64) -> LicenseItem {
    LicenseItem::new(item_id, ChargeWay::ConcurrentInstance, quota, START, EXPIRY)
}

pub(crate) fn license_file(organization_id: &str, items: Vec<LicenseItem>) -> LicenseFile {
    LicenseFile {
        version: 1,
        file_id: format!("file-of-{organization_id}"),
        organization_id: organization_id.into(),
        organization_name: format!("{organization_id} incorporated"),
        server_key: server_key().public().clone(),
        issued_at: START,
        items,
        unknown_items: Vec::new(),
    }
}

/// The variable that holds the URL of a PostgreSQL server: the stores of the tests are there, if it
/// is set.
pub(crate) const POSTGRES: &str = "SEATMETER_TEST_POSTGRES";

/// A place for a store of its own: in this folder, or on the PostgreSQL server of [`POSTGRES`].
#[allow(
    clippy::disallowed_methods,
    reason = "a run of the tests is told by its environment where the stores are"
)]
pub(crate) fn new_location(folder: &std::path::Path) -> Location {
    let Ok(url) = std::env::var(POSTGRES) else {
        return Location::File(folder.join("seatmeter.db"));
    };
    let name = format!("t{}", id());
    let mut client =
        postgres::Client::connect(&url.replace("/DB", "/postgres"), postgres::NoTls).unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    Location::Url(url.replace("/DB", &format!("/{name}")))
}

/// The one number that a query gives.
pub(crate) fn number(location: &Location, query: &str) -> u64 {
    let number: i64 = match location {
        Location::File(path) => {
            let database = rusqlite::Connection::open(path).unwrap();
            database.query_row(query, [], |row| row.get(0)).unwrap()
        }
        Location::Url(url) => {
            let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
            client.query_one(query, &[]).unwrap().get(0)
        }
    };
    number.try_into().unwrap()
}

/// Changes a database by hand.
pub(crate) fn execute(location: &Location, statement: &str) {
    match location {
        Location::File(path) => {
            rusqlite::Connection::open(path).unwrap().execute_batch(statement).unwrap()
        }
        Location::Url(url) => {
            postgres::Client::connect(url, postgres::NoTls)
                .unwrap()
                .batch_execute(statement)
                .unwrap();
        }
    }
}

/// A server in this process; it stops when it is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) location: Location,
    pub(crate) licensing: Arc<Licensing>,
    pub(crate) web: Arc<Web>,
    /// The newest license of each device, which it shows with its next request.
    newest: Mutex<HashMap<String, Signed>>,
    runtime: tokio::runtime::Runtime,
}

impl TestServer {
    /// With organization `acme`, these items and [`CODE`].
    pub(crate) fn with_items(items: Vec<LicenseItem>) -> Self {
        let server = Self::empty();
        server.import(&license_file("acme", items), Some(CODE)).unwrap();
        server
    }

    /// Without any license.
    pub(crate) fn empty() -> Self {
        Self::with_web(|web| Web { open_to_loopback: true, ..web })
    }

    /// With other limits or another role than usual.
    pub(crate) fn with_web(change: impl FnOnce(Web) -> Web) -> Self {
        Self::with_keys(Keyring::new(server_key(), vec![]), change)
    }

    /// With other keys, too.
    pub(crate) fn with_keys(keys: Keyring, change: impl FnOnce(Web) -> Web) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = new_location(folder.path());
        let store = location.open().unwrap().store;
        Self::start(folder, location, store, keys, change)
    }

    /// On the store in this folder.
    pub(crate) fn on_store(folder: tempfile::TempDir, store: Arc<dyn Store>) -> Self {
        let location = Location::File(folder.path().join("seatmeter.db"));
        let keys = Keyring::new(server_key(), vec![]);
        Self::start(folder, location, store, keys, |web| Web { open_to_loopback: true, ..web })
    }

    /// On a store that is there.
    pub(crate) fn start(
        folder: tempfile::TempDir,
        location: Location,
        store: Arc<dyn Store>,
        keys: Keyring,
        change: impl FnOnce(Web) -> Web,
    ) -> Self {
        let clock = ManualClock::at(START);
        let licensing = Arc::new(Licensing { store, keys, clock: clock.clone() });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let web = Arc::new(change(Web::new(licensing.clone())));
        runtime.spawn(http::serve(listener, web.clone(), std::future::pending()));
        let newest = Mutex::default();
        Self { address, clock, folder, location, licensing, web, newest, runtime }
    }

    pub(crate) fn import(
        &self,
        file: &LicenseFile,
        code: Option<&str>,
    ) -> Result<(), seatmeter_server::error::Error> {
        let envelope = Signed::seal(file, &vendor()).unwrap();
        let code = code.map(str::to_owned);
        self.runtime.block_on(self.licensing.import(
            envelope,
            vendor().public().clone(),
            code,
            "test",
        ))
    }

    /// Make a token with this name and role.
    pub(crate) fn token(&self, name: &str, role: Role) -> String {
        self.token_of(name, role, None, None)
    }

    /// Make a token that is bound to an organization, or has an end.
    pub(crate) fn token_of(
        &self,
        name: &str,
        role: Role,
        organization_id: Option<&str>,
        expires_at: Option<u64>,
    ) -> String {
        let (name, organization_id) = (Some(name.into()), organization_id.map(str::to_owned));
        let new = NewToken { name, role, organization_id, expires_at };
        self.wait(self.licensing.make_token(new, "test")).unwrap().token
    }

    /// Wait until a query gives this number, because a write for which nobody waits is on its way.
    pub(crate) fn until(&self, query: &str, wanted: u64) {
        let begun = std::time::Instant::now();
        while self.number(query) != wanted {
            assert!(begun.elapsed() < PATIENCE, "{query} is not {wanted}");
            std::thread::yield_now();
        }
    }

    /// Waits for what the server does on its own side.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The one number that a query of its database gives.
    pub(crate) fn number(&self, query: &str) -> u64 {
        number(&self.location, query)
    }

    /// Posts as a device does: signed, with the newest license that it has. Checks the answer's
    /// signature, and reads it.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let mut body = serde_json::to_value(body).unwrap();
        let uuid = body["device"]["uuid"].as_str().unwrap_or_default().to_owned();
        if path != USAGE_PATH && body.get("newest_license").is_none() {
            let newest = self.newest.lock().unwrap();
            body["newest_license"] = serde_json::to_value(newest.get(&uuid)).unwrap();
        }
        let answer: serde_json::Value = self.post_as_it_is(path, &body)?;
        if let Ok(granted) = serde_json::from_value::<AuthorizationAnswer>(answer.clone()) {
            self.newest.lock().unwrap().insert(uuid, granted.local_license);
        }
        Ok(serde_json::from_value(answer).unwrap())
    }

    /// Posts a signed request that shows what it shows.
    pub(crate) fn post_as_it_is<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        post(self.address, server_key().public(), path, body)
    }

    pub(crate) fn authorize(
        &self,
        request: &AuthorizationRequest,
    ) -> Result<LocalLicense, Problem> {
        let answer: AuthorizationAnswer = self.post(AUTHORIZATIONS_PATH, request)?;
        Ok(answer.local_license.open(server_key().public()).unwrap())
    }

    pub(crate) fn refusal(&self, request: &AuthorizationRequest) -> (u16, ErrorCode) {
        let problem = self.authorize(request).unwrap_err();
        (problem.status, problem.code)
    }

    pub(crate) fn try_report(&self, report: &UsageReport) -> Result<UsageAnswer, Problem> {
        self.post(USAGE_PATH, report)
    }

    pub(crate) fn report(&self, report: &UsageReport) -> UsageAnswer {
        self.try_report(report).unwrap()
    }
}

/// Post, and again with the challenge of the answer if there is one, as the library does.
pub(crate) fn post<T: DeserializeOwned>(
    address: SocketAddr,
    key: &PublicKey,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Problem> {
    match post_once(address, key, path, body) {
        Err(Problem { challenge: Some(challenge), .. }) => {
            let mut body = serde_json::to_value(body).unwrap();
            body["challenge"] = serde_json::to_value(challenge).unwrap();
            post_once(address, key, path, &body)
        }
        outcome => outcome,
    }
}

/// Post with a fresh nonce, signed by the key of the device in the body. Check the signature of the
/// answer against this key, and return the answer or the refusal.
pub(crate) fn post_once<T: DeserializeOwned>(
    address: SocketAddr,
    key: &PublicKey,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Problem> {
    let body = serde_json::to_vec(body).unwrap();
    let nonce = id();
    let answer = Request::post(path, &body).header(NONCE_HEADER, &nonce).send(address);
    answer.verify(&body, &nonce, key).unwrap();
    match answer.status {
        200 => Ok(answer.json()),
        _ => Err(answer.problem()),
    }
}
