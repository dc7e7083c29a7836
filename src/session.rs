//! A session: one way of being licensed, from its parameters to its grant.
//!
//! ```text
//!             no usable grant on disk                       refused, unreachable
//!  opened ───────────────────────────▶ asks a server ──────────────────────────▶ error; readers get it, too
//!     │                                      │ granted
//!     │ usable grant on disk                 ▼
//!     └─────────────────────────────────▶ licensed ◀──▶ renewed and reported by the keeper
//! ```

use std::fs::DirEntry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{EndedLicense, ItemStanding};
use seatmeter_protocol::signature::{PublicKey, random_bytes};
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of, slot_start};

use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{GrantStore, Users, Validity};
use crate::licensed::{Licensed, pool_name};
use crate::log::{Level, say};
use crate::memory::{FileLock, Published};
use crate::parameters::Parameters;
use crate::state::{StateDirectory, private_file, sync_folder};
use crate::status::{Origin, Status, Trouble};
use crate::sync::{Reported, Reporting, Servers, Transport, authorize, report, report_end};
use crate::usage::oldest_unsent;

/// Bound for a first contact: all servers together.
pub const FIRST_CONTACT_BOUND: Duration = Duration::from_secs(10);

/// Bound for one round of the keeper.
const ROUND_BOUND: Duration = Duration::from_secs(20);

/// Pauses after failed rounds double from the first to the second.
const RETRY_FIRST_SECONDS: u64 = 2;
const RETRY_LAST_SECONDS: u64 = 60;

/// Rounds of many devices are spread over this part of a slot.
const JITTER_SECONDS: u64 = 30;

/// Where things come from that a test wants in its hands.
#[derive(Clone, Copy)]
pub struct World {
    /// Time.
    pub clock: &'static dyn Clock,
    /// The network.
    pub transport: &'static dyn Transport,
    /// Has the background do its work now.
    pub wake: fn(),
}

/// One way of being licensed. Lives as long as the process.
pub struct Session {
    name: String,
    state: StateDirectory,
    device: Device,
    store: GrantStore,
    world: World,
    parameters: Published<Parameters>,
    /// All that it was ever initialised with: one that comes again is not kept twice.
    all_parameters: Mutex<Vec<&'static Parameters>>,
    licensed: Published<Licensed>,
    /// Rounds of the keeper that failed one after the other.
    failures: AtomicU32,
    /// When the grant was last renewed by this process, Unix seconds.
    renewed_at: AtomicU64,
    /// The epoch that the server has named then, until a report has taken notice.
    granted_epoch: Mutex<String>,
    contact: Mutex<Contact>,
    /// This process's place among those that work under the item.
    users: Mutex<Option<Users>>,
}

/// How the last talks with a server went.
#[derive(Default)]
struct Contact {
    /// When one has answered last, Unix seconds; 0: not in this process.
    at: u64,
    /// Its URL.
    server: String,
    /// What failed in the last round.
    trouble: Option<Trouble>,
}

impl Session {
    /// Opens the state directory and learns who the device is. Talks to nobody.
    ///
    /// # Errors
    /// When the state directory cannot be used.
    pub fn open(parameters: Parameters, state_path: PathBuf, world: World) -> Result<Self> {
        let state = StateDirectory::open(state_path)?;
        let device = Device::load_or_create(&state, parameters.uuid_method)?;
        let name = parameters.grant_name();
        let store = GrantStore::new(&state, &name);
        let session = Self {
            name,
            state,
            device,
            store,
            world,
            parameters: Published::absent(),
            all_parameters: Mutex::default(),
            licensed: Published::absent(),
            failures: AtomicU32::new(0),
            renewed_at: AtomicU64::new(0),
            granted_epoch: Mutex::default(),
            contact: Mutex::default(),
            users: Mutex::default(),
        };
        session.use_parameters(parameters);
        Ok(session)
    }

    /// Whether this is the session of these parameters in this state directory.
    pub fn is_for(&self, parameters: &Parameters, state_path: &std::path::Path) -> bool {
        self.name == parameters.grant_name() && self.state.path() == state_path
    }

    /// The parameters it was last initialised with, and where its state is. Readable in a forked child.
    pub fn origin(&self) -> Option<(&'static Parameters, &std::path::Path)> {
        Some((self.parameters.get()?, self.state.path()))
    }

    /// What the device may do, once that is known.
    pub fn licensed(&self) -> Option<&'static Licensed> {
        self.licensed.get()
    }

    fn use_parameters(&self, parameters: Parameters) -> &'static Parameters {
        let mut all = self.all_parameters.lock();
        let known = all.iter().copied().find(|known| **known == parameters).unwrap_or_else(|| {
            let new: &'static Parameters = Box::leak(Box::new(parameters));
            all.push(new);
            new
        });
        self.parameters.publish(known);
        known
    }

    /// Gets licensed: at once from a grant on disk that is good for these parameters, else from a server.
    ///
    /// # Errors
    /// The server's refusal, or that none could be reached.
    pub fn initialize(&self, parameters: Parameters, bound: Duration) -> Result<()> {
        let parameters = self.use_parameters(parameters);
        let enough = self.use_stored_grant()?.is_some_and(|licensed| licensed.has_seats(parameters.seats));
        if enough {
            return Ok(());
        }
        let deadline = Deadline::after(self.world.clock, bound);
        let outcome = self.renew(deadline);
        if outcome.as_ref().is_err_and(|e| e.code != ErrorCode::FAILED_TO_REACH_SERVER) {
            // Whatever the server thinks of going on, what was counted so far is its. If that fails, too, then the
            // refusal is what the caller has to hear of.
            let _ = self.report(deadline);
        }
        outcome
    }

    /// Uses the grant on disk, if it is good now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn use_stored_grant(&self) -> Result<Option<&'static Licensed>> {
        let Some(grant) = self.store.load(&self.device.uuid)? else { return Ok(None) };
        if self.store.told().is_some_and(|told| told.stops().is_some()) {
            return Ok(None);
        }
        match grant.validity(self.world.clock.unix_seconds()) {
            Validity::Good | Validity::Grace => self.adopt(grant).map(Some),
            Validity::Stale | Validity::Expired => Ok(None),
        }
    }

    fn renew(&self, deadline: Deadline) -> Result<()> {
        let parameters = self.known_parameters()?;
        let known_key = self.licensed().map(|licensed| licensed.server_key());
        let needed = self.licensed().map_or(0, Licensed::needed);
        let servers = self.servers(parameters, self.server_key());
        let outcome =
            authorize(&servers, parameters, &self.device, &self.store, known_key.as_ref(), needed, deadline);
        self.note_contact(servers.answered.into_inner());
        self.hear();
        let grant = outcome?;
        let epoch = grant.epoch.clone();
        self.adopt(grant)?;
        self.hear();
        self.renewed_at.store(self.world.clock.unix_seconds(), Ordering::Relaxed);
        *self.granted_epoch.lock() = epoch;
        Ok(())
    }

    /// Puts a grant into use: into the pool and the counter that are there, or into new ones when the item
    /// is another than before.
    fn adopt(&self, grant: std::sync::Arc<crate::license::Grant>) -> Result<&'static Licensed> {
        self.join_users(&grant.local.item_id)?;
        if let Some(licensed) = self.licensed()
            && licensed.renew(&grant)
        {
            return Ok(licensed);
        }
        let World { clock, wake, .. } = self.world;
        let licensed = Licensed::new(grant, &self.state.seats(), self.usage_folder()?, clock, wake)?;
        Ok(self.licensed.publish_new(licensed))
    }

    fn join_users(&self, item_id: &str) -> Result<()> {
        let path = self.state.seats().join(format!("{}.users", pool_name(item_id)));
        let mut users = self.users.lock();
        if users.as_ref().is_none_or(|users| users.path() != path) {
            *users = Some(Users::new(path));
        }
        users.as_ref().map_or(Ok(()), Users::join)
    }

    /// Takes notice of what the server has told this device, by whichever process it was heard.
    fn hear(&self) {
        if let (Some(licensed), Some(told)) = (self.licensed(), self.store.told()) {
            licensed.hear(&told);
        }
    }

    fn note_contact(&self, server: String) {
        if !server.is_empty() {
            let mut contact = self.contact.lock();
            (contact.at, contact.server) = (self.world.clock.unix_seconds(), server);
        }
    }

    /// One round of the keeper: renews when that is due, reports what there is; says when to come again.
    pub fn keep(&self) -> Duration {
        let deadline = Deadline::after(self.world.clock, ROUND_BOUND);
        match self.round(false, deadline) {
            Ok(()) => {
                self.failures.store(0, Ordering::Relaxed);
                self.until_next_slot()
            }
            Err(_) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
                Duration::from_secs((RETRY_FIRST_SECONDS << failures).min(RETRY_LAST_SECONDS)) + jitter(2)
            }
        }
    }

    /// Renews and reports now.
    ///
    /// # Errors
    /// What failed of it; the other was done nevertheless.
    pub fn sync(&self, deadline: Deadline) -> Result<()> {
        self.round(true, deadline)
    }

    /// Reports first: the server decides about the renewal by what it knows, and a device that has told everything
    /// gets the most.
    fn round(&self, is_asked_for: bool, deadline: Deadline) -> Result<()> {
        let reported = self.report(deadline).map(|_| ());
        self.hear();
        let is_due = is_asked_for || self.is_renewal_due() || self.is_overtaken();
        let renewed = if is_due { self.renew(deadline) } else { Ok(()) };
        let outcome = renewed.and(reported);
        self.note_outcome(&outcome);
        outcome
    }

    /// Remembers what failed, and says it: once, however often it fails in the same way.
    fn note_outcome(&self, outcome: &Result<()>) {
        let mut contact = self.contact.lock();
        let before = contact.trouble.take();
        let Err(error) = outcome else { return };
        if before.is_none_or(|trouble| trouble.error.code != error.code || trouble.error.stage != error.stage)
        {
            say(Level::Warning, format_args!("{error}"));
        }
        contact.trouble = Some(Trouble { at: self.world.clock.unix_seconds(), error: error.clone() });
    }

    /// How the device stands under this session.
    pub fn status(&self) -> Status {
        let mut status = Status { told: self.store.told().unwrap_or_default(), ..Status::default() };
        if let Some(licensed) = self.licensed() {
            licensed.describe(&mut status);
        }
        status.oldest_unsent_at = oldest_unsent(&self.state.usage().join(&self.name));
        let contact = self.contact.lock();
        (status.contact_at, status.server) = (contact.at, contact.server.clone());
        status.trouble.clone_from(&contact.trouble);
        let is_away = contact.trouble.as_ref().is_some_and(|trouble| is_silence(trouble.error.code));
        status.origin = if contact.at == 0 || is_away { Origin::Cache } else { Origin::Server };
        status
    }

    /// A grant that came from the disk is renewed at once, one from a server after half of its time.
    fn is_renewal_due(&self) -> bool {
        let renewed_at = self.renewed_at.load(Ordering::Relaxed);
        let Some(licensed) = self.licensed() else { return true };
        let half_life = licensed.valid_until().saturating_sub(renewed_at) / 2;
        renewed_at == 0
            || licensed.wants_renewal()
            || self.world.clock.unix_seconds() >= renewed_at + half_life
    }

    /// Whether the item is authorised by the slot since this device's grant was given, which goes on for longer.
    fn is_overtaken(&self) -> bool {
        let soon = self.world.clock.unix_seconds().saturating_add(2 * SLOT_SECONDS);
        let is_long = |licensed: &Licensed| licensed.stopped().is_none() && licensed.valid_until() > soon;
        self.licensed().is_some_and(is_long) && self.store.told().is_some_and(|told| told.is_overused())
    }

    fn until_next_slot(&self) -> Duration {
        let now = self.world.clock.unix_seconds();
        let next = slot_start(slot_of(now).saturating_add(1));
        Duration::from_secs(next.saturating_sub(now).clamp(1, SLOT_SECONDS)) + jitter(JITTER_SECONDS)
    }

    /// Reports what this device has counted under grants of this session's server: its own, and those that
    /// programs have asked for in other ways and may never ask for again. When another process of the device is
    /// at it, waits for that, within the bound.
    ///
    /// # Errors
    /// When the server cannot be reached or trusted, or the disk fails: nothing is lost by it.
    pub fn report(&self, deadline: Deadline) -> Result<Reported> {
        let parameters = self.known_parameters()?;
        let Some(key) = self.server_key() else { return Ok(Reported::default()) };
        let _lead = self.lead(deadline)?;
        let servers = self.servers(parameters, Some(key.clone()));
        let epoch = self.granted_epoch.lock().clone();
        let mut all = Reported::default();
        for (folder, store) in self.usage_folders_of(&key)? {
            all += report(&Reporting {
                servers: &servers,
                folder: &folder,
                key: &key,
                epoch: &epoch,
                held: &|| store.held(),
                heard: &|standing| self.note_standing(&store, standing),
                deadline,
            })?;
        }
        self.hear();
        self.note_contact(servers.answered.into_inner());
        self.granted_epoch.lock().clear();
        if all.totals > 0 {
            say(Level::Info, format_args!("reported {} totals of what was counted", all.totals));
        }
        Ok(all)
    }

    /// Folders of usage under grants of this server, with the grants: another server could not book it, and it is
    /// none of its business.
    fn usage_folders_of(&self, key: &PublicKey) -> Result<Vec<(PathBuf, GrantStore)>> {
        let usage = self.state.usage();
        let entries = std::fs::read_dir(&usage).map_err(|e| Error::state(&usage, "list", &e))?;
        let ours = |entry: DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let store = GrantStore::new(&self.state, &name);
            let is_ours = name == self.name || store.server_key(&self.device.uuid).as_ref() == Some(key);
            is_ours.then(|| (entry.path(), store))
        };
        Ok(entries.flatten().filter_map(ours).collect())
    }

    fn note_standing(&self, store: &GrantStore, standing: &ItemStanding) {
        let is_of = |grant: &LocalLicense| grant.item_id == standing.item_id;
        if store.held().and_then(|held| held.peek().ok()).is_some_and(|grant: LocalLicense| is_of(&grant)) {
            store.note_meters(self.world.clock.unix_seconds(), standing.meters.clone());
        }
    }

    /// The last report, and the end of this process's part: its seats and segments are given up, and, when it was the
    /// last one, what the device holds from the server for as long as it works.
    ///
    /// # Errors
    /// As [`Self::report`]; seats and segments are given up in any case.
    pub fn close(&self, deadline: Deadline) -> Result<Reported> {
        let Some(licensed) = self.licensed() else { return self.report(deadline) };
        licensed.close();
        let ended = self.give_up(licensed)?;
        let reported = self.report(deadline)?;
        if let (Some(key), false) = (self.server_key().or(Some(licensed.server_key())), ended.is_empty()) {
            let servers = self.servers(self.known_parameters()?, Some(key.clone()));
            report_end(&servers, &self.device, &key, ended, deadline)?;
        }
        Ok(reported)
    }

    /// What the server is to be told of: the grants of the item, if they end with the last process that works under
    /// them. They are off the disk before it is told, so that nobody begins with what was given back.
    fn give_up(&self, licensed: &Licensed) -> Result<Vec<EndedLicense>> {
        let users = self.users.lock().take();
        let Some(_alone) = users.map(|users| users.leave()).transpose()?.flatten() else {
            return Ok(Vec::new());
        };
        let grant = licensed.grant();
        let told = self.store.told();
        let ends = grant.local.charge_way == ChargeWay::Server
            || grant.item.strict
            || told.is_some_and(|told| told.is_overused());
        if !ends || licensed.stopped().is_some() {
            return Ok(Vec::new());
        }
        licensed.stop();
        let mut ended = Vec::new();
        for (_, store) in self.usage_folders_of(&licensed.server_key())? {
            let held: Option<LocalLicense> = store.held().and_then(|held| held.peek().ok());
            let Some(held) = held.filter(|held| held.item_id == grant.local.item_id) else { continue };
            store.discard()?;
            ended.push(EndedLicense { license_id: held.license_id, serial: held.serial });
        }
        Ok(ended)
    }

    /// Waits for its turn to talk to the server: one process of the device at a time.
    fn lead(&self, deadline: Deadline) -> Result<FileLock> {
        let path = self.state.path().join("sync.lock");
        let failed = |e: &std::io::Error| Error::state(&path, "lock", e);
        loop {
            let options = &mut std::fs::OpenOptions::new();
            let file = private_file(&path, options.create(true).truncate(false).read(true).write(true))
                .map_err(|e| failed(&e))?;
            if let Some(lock) = FileLock::try_lock(file).map_err(|e| failed(&e))? {
                return Ok(lock);
            }
            if deadline.remaining(self.world.clock).is_zero() {
                return Err(Error::new(
                    ErrorCode::LICENSE_SYNC_FAILED,
                    "another process of this device is still talking to the license server: try again later",
                ));
            }
            std::thread::sleep(LEAD_POLL);
        }
    }

    /// The key of the server that has granted last.
    fn server_key(&self) -> Option<PublicKey> {
        let in_use = self.licensed().map(|licensed| licensed.server_key());
        in_use.or_else(|| self.store.server_key(&self.device.uuid))
    }

    fn servers(&self, parameters: &'static Parameters, known_key: Option<PublicKey>) -> Servers<'_> {
        Servers {
            transport: self.world.transport,
            clock: self.world.clock,
            urls: &parameters.servers,
            known_key,
            answered: Mutex::default(),
        }
    }

    fn known_parameters(&self) -> Result<&'static Parameters> {
        self.parameters.get().ok_or_else(|| ErrorCode::NO_LICENSE.into())
    }

    fn usage_folder(&self) -> Result<PathBuf> {
        let folder = self.state.usage().join(&self.name);
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder)
                .and_then(|()| sync_folder(&folder))
                .map_err(|e| Error::state(&folder, "make", &e))?;
        }
        Ok(folder)
    }
}

/// Whether an error means that no server of ours has spoken.
fn is_silence(code: ErrorCode) -> bool {
    code == ErrorCode::FAILED_TO_REACH_SERVER || code == ErrorCode::LICENSE_SYNC_FAILED
}

/// How often a process looks whether it is its turn.
const LEAD_POLL: Duration = Duration::from_millis(10);

/// A random time below this many seconds, so that devices do not come all at once.
fn jitter(seconds: u64) -> Duration {
    let random = random_bytes::<8>().map_or(0, u64::from_le_bytes);
    Duration::from_millis(random % (seconds * 1000))
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::license::{DAY_SECONDS, LicenseFile};
    use seatmeter_protocol::message::{AuthorizationAnswer, Meter, MeterState, Metered, Problem, UsageKind};
    use seatmeter_protocol::signature::Signed;

    use super::*;
    use crate::clock::test_support::HandClock;
    use crate::environment::Environment;
    use crate::license::test_support::{NOW, answer, item, key, local};
    use crate::parameters::RawParameters;
    use crate::state::{FramedFile, Kind};
    use crate::sync::scripted::{Scripted, Step};

    /// One device, and one server that does what the script says.
    struct Bench {
        state: tempfile::TempDir,
        clock: &'static HandClock,
        transport: &'static Scripted,
        server: u8,
    }

    impl Bench {
        fn new(server: u8) -> Self {
            let transport = Box::leak(Box::new(Scripted::new(key(server), [])));
            let clock = Box::leak(Box::new(HandClock::at(NOW)));
            Self { state: tempfile::tempdir().unwrap(), clock, transport, server }
        }

        fn parameters(handshake_code: &str) -> Parameters {
            let raw = RawParameters {
                main_server: "http://main".into(),
                handshake_code: handshake_code.into(),
                deployment_type: 1,
                charge_way: 10,
                uuid_generation_method: 1,
                max_buffer_days: 7,
                max_concurrent_instance_count: 1,
                products: 0xffff,
                ..RawParameters::default()
            };
            Parameters::understand(&raw, &Environment::default()).unwrap()
        }

        fn session(&self, handshake_code: &str) -> Session {
            let world = World { clock: self.clock, transport: self.transport, wake: || {} };
            Session::open(Self::parameters(handshake_code), self.state.path().to_owned(), world).unwrap()
        }

        /// A session whose server grants.
        fn licensed_session(&self, handshake_code: &str) -> Session {
            let session = self.session(handshake_code);
            let mut local = local();
            (local.license_id, local.device_uuid) = ("1".repeat(32), session.device.uuid.clone());
            let mut answer = answer(item(), &local);
            let file: LicenseFile = answer.license_file.peek().unwrap();
            let file = LicenseFile { server_key: key(self.server).public().clone(), ..file };
            answer.license_file = Signed::seal(&file, &key(1)).unwrap();
            answer.local_license = Signed::seal(&local, &key(self.server)).unwrap();
            self.then_answers(&answer);
            session.initialize(Self::parameters(handshake_code), FIRST_CONTACT_BOUND).unwrap();
            session
        }

        /// The same grant once more.
        fn then_grants(&self, session: &Session) {
            let path = session.state.licenses().join(format!("{}.grant", session.name));
            let answer: AuthorizationAnswer = FramedFile::new(path, Kind::Grant).peek().unwrap();
            self.then_answers(&answer);
        }

        fn then_answers(&self, answer: &AuthorizationAnswer) {
            self.transport.then(Step::Answer(200, serde_json::to_string(answer).unwrap()));
        }

        fn report(&self, session: &Session) -> Result<Reported> {
            session.report(Deadline::after(self.clock, Duration::from_secs(5)))
        }
    }

    fn count(session: &Session, pages: u64) {
        let licensed = session.licensed().unwrap();
        licensed.count_without_reader(&[(UsageKind::Page, 1, pages)]).unwrap();
    }

    #[test]
    fn what_was_counted_before_a_licence_expired_is_reported_after_it() {
        let bench = Bench::new(2);
        count(&bench.licensed_session("CODE"), 3);
        bench.clock.set_ms((NOW + 30 * DAY_SECONDS) * 1000);
        let refusal = serde_json::to_string(&Problem::new(403, ErrorCode::EXPIRED, "because")).unwrap();
        bench.transport.then(Step::Answer(403, refusal));
        bench.transport.then(Step::RecordAll);
        let error = bench.session("CODE").initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND);
        assert_eq!(error.unwrap_err().code, ErrorCode::EXPIRED);
        assert_eq!(bench.transport.billed(), 3);
    }

    #[test]
    fn what_was_counted_under_another_code_of_the_same_server_is_reported() {
        let bench = Bench::new(2);
        count(&bench.licensed_session("OLD"), 3);
        let session = bench.licensed_session("NEW");
        count(&session, 1);
        bench.transport.then(Step::RecordAll);
        bench.transport.then(Step::RecordAll);
        bench.report(&session).unwrap();
        assert_eq!(bench.transport.billed(), 4);
    }

    #[test]
    fn what_was_counted_for_another_server_is_none_of_this_ones_business() {
        let one = Bench::new(2);
        count(&one.licensed_session("THEIRS"), 3);
        let other = Bench { state: one.state, ..Bench::new(5) };
        let session = other.licensed_session("OURS");
        count(&session, 1);
        other.transport.then(Step::RecordAll);
        other.report(&session).unwrap();
        assert_eq!(other.transport.billed(), 1);
    }

    /// An answer to a report that records everything and tells this of the item.
    fn told(meter: Meter) -> Step {
        Step::RecordAllAnd(vec![ItemStanding { item_id: "item-1".into(), meters: vec![meter] }])
    }

    fn excess(state: MeterState) -> Meter {
        Meter { of: Metered::Excess, module: 0, quota: 10, used: 11, grace: 0, state }
    }

    fn refusal(code: ErrorCode) -> Step {
        Step::Answer(403, serde_json::to_string(&Problem::new(403, code, "because")).unwrap())
    }

    #[test]
    fn a_device_of_an_overused_item_asks_at_once_and_stops_when_it_gets_no_place() {
        let bench = Bench::new(2);
        let session = bench.licensed_session("CODE");
        count(&session, 1);
        bench.transport.then(told(excess(MeterState::Within)));
        session.keep();
        assert_eq!(bench.transport.asked.lock().len(), 2, "there was no hurry");
        count(&session, 1);
        bench.transport.then(told(excess(MeterState::Overused)));
        bench.transport.then(refusal(ErrorCode::QUOTA_EXCEEDED));
        session.keep();
        let licensed = session.licensed().unwrap();
        assert_eq!(licensed.check().unwrap_err().code, ErrorCode::QUOTA_EXCEEDED);
        assert_eq!(licensed.idle_seats(), -1);
        assert!(
            session.use_stored_grant().unwrap().is_none(),
            "another process does not begin with it either"
        );
        // It goes on asking, and goes on working as soon as there is a place.
        bench.then_grants(&session);
        session.keep();
        assert!(licensed.check().is_ok());
        assert!(session.use_stored_grant().unwrap().is_some());
    }

    #[test]
    fn a_revoked_item_ends_at_the_next_contact_and_other_refusals_end_nothing() {
        for (code, ends) in [
            (ErrorCode::REVOKED, true),
            (ErrorCode::USED_UP, true),
            (ErrorCode::SESSION_PASSWORD_WRONG, false),
            (ErrorCode::STANDBY_NOT_READY, false),
        ] {
            let bench = Bench::new(2);
            let session = bench.licensed_session("CODE");
            bench.transport.then(refusal(code));
            session.sync(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap_err();
            let outcome = session.licensed().unwrap().check().map_err(|error| error.code);
            assert_eq!(outcome, if ends { Err(code) } else { Ok(()) }, "{code}");
            assert_eq!(session.status().stopped, ends.then_some(code), "{code}");
        }
    }

    #[test]
    fn what_one_process_hears_stops_the_others_of_the_device() {
        let bench = Bench::new(2);
        let (hears, other) = (bench.licensed_session("CODE"), bench.session("CODE"));
        other.initialize(Bench::parameters("CODE"), FIRST_CONTACT_BOUND).unwrap();
        bench.transport.then(refusal(ErrorCode::REVOKED));
        hears.sync(Deadline::after(bench.clock, Duration::from_secs(5))).unwrap_err();
        assert!(other.licensed().unwrap().check().is_ok(), "it has not looked yet");
        bench.transport.then(refusal(ErrorCode::REVOKED));
        other.keep();
        assert_eq!(other.licensed().unwrap().check().unwrap_err().code, ErrorCode::REVOKED);
    }
}
