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
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::signature::{PublicKey, random_bytes};
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of, slot_start};

use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{GrantStore, Validity};
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::memory::{FileLock, Published};
use crate::parameters::Parameters;
use crate::state::{StateDirectory, private_file, sync_folder};
use crate::status::{Origin, Status, Trouble};
use crate::sync::{Reported, Reporting, Servers, Transport, authorize, report};
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
        match grant.validity(self.world.clock.unix_seconds()) {
            Validity::Good | Validity::Grace => self.adopt(grant).map(Some),
            Validity::Stale | Validity::Expired => Ok(None),
        }
    }

    fn renew(&self, deadline: Deadline) -> Result<()> {
        let parameters = self.known_parameters()?;
        let known_key = self.licensed().map(|licensed| licensed.server_key());
        let servers = self.servers(parameters, self.server_key());
        let outcome =
            authorize(&servers, parameters, &self.device, &self.store, known_key.as_ref(), deadline);
        self.note_contact(servers.answered.into_inner());
        let grant = outcome?;
        let epoch = grant.epoch.clone();
        self.adopt(grant)?;
        self.renewed_at.store(self.world.clock.unix_seconds(), Ordering::Relaxed);
        *self.granted_epoch.lock() = epoch;
        Ok(())
    }

    /// Puts a grant into use: into the pool and the counter that are there, or into new ones when the item
    /// is another than before.
    fn adopt(&self, grant: std::sync::Arc<crate::license::Grant>) -> Result<&'static Licensed> {
        if let Some(licensed) = self.licensed()
            && licensed.renew(&grant)
        {
            return Ok(licensed);
        }
        let licensed = Licensed::new(grant, &self.state.seats(), self.usage_folder()?, self.world.clock)?;
        Ok(self.licensed.publish_new(licensed))
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
        match self.round(self.is_renewal_due(), deadline) {
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

    fn round(&self, is_renewal_due: bool, deadline: Deadline) -> Result<()> {
        let renewed = if is_renewal_due { self.renew(deadline) } else { Ok(()) };
        let outcome = renewed.and(self.report(deadline).map(|_| ()));
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
        renewed_at == 0 || self.world.clock.unix_seconds() >= renewed_at + half_life
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
                deadline,
            })?;
        }
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

    /// The last report, and the end of this process's part: its seats and segments are given up.
    ///
    /// # Errors
    /// As [`Self::report`]; seats and segments are given up in any case.
    pub fn close(&self, deadline: Deadline) -> Result<Reported> {
        if let Some(licensed) = self.licensed() {
            licensed.close();
        }
        self.report(deadline)
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
    use seatmeter_protocol::message::{AuthorizationAnswer, Problem, UsageKind};
    use seatmeter_protocol::signature::Signed;

    use super::*;
    use crate::clock::test_support::HandClock;
    use crate::environment::Environment;
    use crate::license::test_support::{NOW, answer, item, key, local};
    use crate::parameters::RawParameters;
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
            let world = World { clock: self.clock, transport: self.transport };
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
}
