//! A session: one way of being licensed, from its parameters to its grant.
//!
//! ```text
//!             no usable grant on disk                       refused, unreachable
//!  opened ───────────────────────────▶ asks a server ──────────────────────────▶ error; readers get it, too
//!     │                                      │ granted
//!     │ usable grant on disk                 ▼
//!     └─────────────────────────────────▶ licensed ◀──▶ renewed and reported by the keeper
//! ```

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::signature::random_bytes;
use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of, slot_start};

use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{GrantStore, Validity};
use crate::licensed::Licensed;
use crate::memory::{FileLock, Published};
use crate::parameters::Parameters;
use crate::state::{StateDirectory, private_file};
use crate::sync::{Reported, Servers, Transport, authorize, report};

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
    licensed: Published<Licensed>,
    /// Rounds of the keeper that failed one after the other.
    failures: AtomicU32,
    /// When the grant was last renewed by this process, Unix seconds.
    renewed_at: AtomicU64,
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
            licensed: Published::absent(),
            failures: AtomicU32::new(0),
            renewed_at: AtomicU64::new(0),
        };
        session.parameters.publish_new(parameters);
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

    /// Gets licensed: at once from a grant on disk that is good for these parameters, else from a server.
    ///
    /// # Errors
    /// The server's refusal, or that none could be reached.
    pub fn initialize(&self, parameters: Parameters, bound: Duration) -> Result<()> {
        let parameters = match self.parameters.get() {
            Some(known) if *known == parameters => known,
            _ => self.parameters.publish_new(parameters),
        };
        let enough = self.use_stored_grant()?.is_some_and(|licensed| licensed.has_seats(parameters.seats));
        if enough { Ok(()) } else { self.renew(Deadline::after(self.world.clock, bound)) }
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
        let grant = authorize(
            &self.servers(parameters),
            parameters,
            &self.device,
            &self.store,
            known_key.as_ref(),
            deadline,
        )?;
        self.adopt(grant)?;
        self.renewed_at.store(self.world.clock.unix_seconds(), Ordering::Relaxed);
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

    /// One round of the keeper: renews when that is due, reports what there is; says when to come again.
    pub fn keep(&self) -> Duration {
        let deadline = Deadline::after(self.world.clock, ROUND_BOUND);
        let renewed = if self.is_renewal_due() { self.renew(deadline) } else { Ok(()) };
        let reported = self.report(deadline).map(|_| ());
        match renewed.and(reported) {
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

    /// Reports what this device has counted under this session's grant. When another process of the device
    /// is at it, waits for that, within the bound.
    ///
    /// # Errors
    /// When the server cannot be reached or trusted, or the disk fails: nothing is lost by it.
    pub fn report(&self, deadline: Deadline) -> Result<Reported> {
        let parameters = self.known_parameters()?;
        let Some(licensed) = self.licensed() else { return Ok(Reported::default()) };
        let _lead = self.lead(deadline)?;
        let folder = self.usage_folder()?;
        report(&self.servers(parameters), &folder, &licensed.server_key(), deadline)
    }

    /// The last report, and the end of this process's part: its seats and segments are given up.
    ///
    /// # Errors
    /// As [`Self::report`]; seats and segments are given up in any case.
    pub fn close(&self, deadline: Deadline) -> Result<Reported> {
        let Some(licensed) = self.licensed() else { return Ok(Reported::default()) };
        licensed.close();
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

    fn servers(&self, parameters: &'static Parameters) -> Servers<'_> {
        Servers { transport: self.world.transport, clock: self.world.clock, urls: &parameters.servers }
    }

    fn known_parameters(&self) -> Result<&'static Parameters> {
        self.parameters.get().ok_or_else(|| ErrorCode::NO_LICENSE.into())
    }

    fn usage_folder(&self) -> Result<PathBuf> {
        let folder = self.state.usage().join(&self.name);
        std::fs::create_dir_all(&folder).map_err(|e| Error::state(&folder, "make", &e))?;
        Ok(folder)
    }
}

/// How often a process looks whether it is its turn.
const LEAD_POLL: Duration = Duration::from_millis(10);

/// A random time below this many seconds, so that devices do not come all at once.
fn jitter(seconds: u64) -> Duration {
    let random = random_bytes::<8>().map_or(0, u64::from_le_bytes);
    Duration::from_millis(random % (seconds * 1000))
}
