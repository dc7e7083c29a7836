//! A session: one way of being licensed, from its parameters to its grant.
//!
//! ```text
//!             no usable grant on disk                       refused, unreachable
//!  opened ───────────────────────────▶ asks a server ──────────────────────────▶ error; readers get it, too
//!     │                                      │ granted
//!     │ usable grant on disk                 ▼
//!     └─────────────────────────────────▶ licensed ◀──▶ renewed and reported by the keeper
//! ```

mod renewal;
mod reporting;
mod schedule;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::signature::PublicKey;

use crate::clock::{Clock, Deadline, DeviceClock};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::files::{folder_made_if_missing, sync_folder};
use crate::license::{Basis, Credentials, Grant, GrantStore, ServerNotice, Users, Validity};
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::os::Published;
use crate::os::locks::Mutex;
use crate::parameters::Parameters;
use crate::seats::pool_name;
use crate::state::StateDirectory;
use crate::status::{Origin, Status, Trouble};
use crate::sync::{Servers, Transport};
use crate::usage::{Durable, oldest_unsent};

/// Bound for a first contact: all servers together.
pub const FIRST_CONTACT_BOUND: Duration = Duration::from_secs(10);

/// Where things come from that a test wants in its hands.
#[derive(Clone, Copy)]
pub struct Dependencies {
    /// Time, of the state directory.
    pub clock: &'static DeviceClock,
    /// The network.
    pub transport: &'static dyn Transport,
    /// Has the background do its work now.
    pub wake: fn(),
}

/// One way of being licensed. Lives as long as the process.
pub struct Session {
    name: String,
    state: StateDirectory,
    device: Mutex<Device>,
    store: GrantStore,
    dependencies: Dependencies,
    /// What its program presents to be licensed.
    credentials: Credentials,
    parameters: Published<Parameters>,
    /// All that it was ever initialized with: one that comes again is not kept twice.
    all_parameters: Mutex<Vec<&'static Parameters>>,
    licensed: Published<Licensed>,
    /// The license that was granted for the credentials, by which the next renewal is due.
    basis: Mutex<Option<Basis>>,
    /// Why the server does not accept the credentials any more.
    refused: Mutex<Option<Error>>,
    /// Closed, and not initialized since: nobody works under it.
    is_closed: AtomicBool,
    /// Everything was reported when it was closed: there is nothing to be done for it any more.
    is_settled: AtomicBool,
    /// Rounds of the keeper that failed one after the other.
    failures: AtomicU32,
    /// The epoch that the server has named with its last grant or refusal, until a report has taken
    /// notice.
    heard_epoch: Mutex<String>,
    contact: Mutex<Contact>,
    /// What time it was when this was last looked at, Unix seconds: to notice when it leaps.
    latest_at: AtomicU64,
    /// This process's place among those that work under the item.
    users: Mutex<Option<Users>>,
    /// What this process knows to be on the disk of what was counted on this device.
    durable: Durable,
    /// What was said of segments.
    said: Mutex<BTreeSet<String>>,
    /// Whether the last look has found no grant on the disk.
    is_grant_missing: AtomicBool,
}

/// How the last talks with a server went.
#[derive(Default)]
struct Contact {
    /// When one has answered last, Unix seconds; 0: not in this process.
    at: u64,
    /// The monotonic clock at that moment.
    order_ms: u64,
    /// Its URL.
    server: String,
    /// What failed in the last round.
    trouble: Option<Trouble>,
}

impl Session {
    /// Learns who the device is. Talks to nobody.
    ///
    /// # Errors
    /// When the state directory cannot be used.
    pub fn open(
        parameters: Parameters,
        state: StateDirectory,
        dependencies: Dependencies,
    ) -> Result<Self> {
        let device = Device::load_or_create(&state, parameters.uuid_method)?;
        let name = parameters.grant_name();
        let store = GrantStore::new(&state, &name);
        let session = Self {
            name,
            state,
            device: Mutex::new(device),
            store,
            dependencies,
            credentials: Credentials::of(&parameters),
            parameters: Published::absent(),
            all_parameters: Mutex::default(),
            licensed: Published::absent(),
            basis: Mutex::default(),
            refused: Mutex::default(),
            is_closed: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            heard_epoch: Mutex::default(),
            contact: Mutex::default(),
            latest_at: AtomicU64::new(0),
            users: Mutex::default(),
            durable: Durable::default(),
            said: Mutex::default(),
            is_grant_missing: AtomicBool::new(false),
        };
        session.use_parameters(parameters);
        Ok(session)
    }

    /// The name of its grant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the session of these parameters in this state directory. Other credentials
    /// have a session of their own, so that one that is refused takes nothing from one that is
    /// licensed.
    pub fn is_for(&self, parameters: &Parameters, state_path: &Path) -> bool {
        self.name == parameters.grant_name()
            && self.credentials.are_of(parameters)
            && self.state.path() == state_path
    }

    /// The parameters it was last initialized with, and where its state is. Readable in a forked
    /// child.
    pub fn origin(&self) -> Option<(&'static Parameters, &Path)> {
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

    /// Whether this is its state directory.
    pub fn is_in(&self, state: &StateDirectory) -> bool {
        self.state == *state
    }

    /// The clock of its state directory, for other sessions there.
    pub fn clock(&self) -> &'static DeviceClock {
        self.dependencies.clock
    }

    /// Gets licensed: at once from a grant on disk that is good for these parameters, else from a
    /// server.
    ///
    /// # Errors
    /// The server's refusal, or that none could be reached.
    pub fn initialize(&self, parameters: Parameters, bound: Duration) -> Result<()> {
        self.is_settled.store(false, Ordering::Release);
        self.is_closed.store(false, Ordering::Release);
        let parameters = self.use_parameters(parameters);
        let has_enough = || {
            Ok(self
                .use_stored_grant()?
                .is_some_and(|licensed| licensed.has_seats(parameters.seats)))
        };
        if has_enough()? {
            return Ok(());
        }
        let deadline = Deadline::after(self.dependencies.clock, bound);
        let outcome = self.renew(deadline, has_enough);
        if outcome.as_ref().is_err_and(|e| e.code != ErrorCode::FAILED_TO_REACH_SERVER) {
            // Whatever the server thinks of going on, what was counted so far is its. If that
            // fails, too, then the refusal is what the caller has to hear of.
            let _ = self.report(deadline);
        }
        outcome
    }

    /// Use the grant on disk, if it is good now: in its time, for what this program presents, and
    /// by all that the server has said since. Where that is not known, the server is asked first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn use_stored_grant(&self) -> Result<Option<&'static Licensed>> {
        let Some(grant) = self.store.load(&self.reload_device())? else { return Ok(None) };
        let Some(told) = self.store.told_of(&grant.local).filter(|told| told.stops().is_none())
        else {
            return Ok(None);
        };
        // Another process may have heard since that a server's clock was ahead when it gave this.
        self.dependencies.clock.catch_up();
        let dated = self.dependencies.clock.dated_since(grant.local.issued_at, &grant.stamp);
        let grant =
            if dated < grant.local.issued_at { Arc::new(grant.dated(dated)) } else { grant };
        let now = self.dependencies.clock.unix_seconds();
        let Some(basis) = self.stored_basis(now) else { return Ok(None) };
        match grant.validity(now) {
            Validity::Good | Validity::Grace => self.adopt(grant, &told, basis).map(Some),
            Validity::Stale | Validity::Expired => Ok(None),
        }
    }

    /// By which license the stored grant serves what this program presents.
    fn stored_basis(&self, now: u64) -> Option<Basis> {
        let basis = self.store.basis(&self.credentials, now).map(|basis| self.dated(basis));
        basis.filter(|basis| now < basis.valid_until)
    }

    /// With the date that it should have: the server's clock may have been ahead when it was
    /// granted.
    fn dated(&self, basis: Basis) -> Basis {
        basis.dated(self.dependencies.clock.signed_at(basis.issued_at).min(basis.issued_at))
    }

    fn device(&self) -> Device {
        self.device.lock().clone()
    }

    /// Put a grant into use: into the pool and the counter that are there, or into new ones when
    /// the item is another than before. Readers move to that one with their next use.
    fn adopt(
        &self,
        grant: Arc<Grant>,
        told: &ServerNotice,
        basis: Basis,
    ) -> Result<&'static Licensed> {
        // One at a time: the keeper and an initialization may have got a grant of another item
        // each.
        let mut users = self.users.lock();
        self.join_users(&mut users, &grant.local.item_id)?;
        *self.basis.lock() = Some(basis);
        *self.refused.lock() = None;
        let before = self.licensed();
        if let Some(licensed) = before
            && licensed.renew(&grant)
        {
            licensed.hear(told);
            return Ok(licensed);
        }
        let Dependencies { clock, wake, .. } = self.dependencies;
        let licensed =
            Licensed::new(grant, &self.state.seats(), self.usage_folder()?, clock, wake)?;
        // Before anybody can work under it: a module may be used up.
        licensed.hear(told);
        let licensed = self.licensed.publish_new(licensed);
        if let Some(before) = before {
            before.close();
        }
        Ok(licensed)
    }

    fn join_users(&self, users: &mut Option<Users>, item_id: &str) -> Result<()> {
        let path = self.state.seats().join(format!("{}.users", pool_name(item_id)));
        if users.as_ref().is_none_or(|users| users.path() != path) {
            *users = Some(Users::new(path));
        }
        users.as_ref().map_or(Ok(()), Users::join)
    }

    /// Takes notice of what the server has told this device, by whichever process it was heard;
    /// that the grant was given back since; and of the end of the grant's time, of which programs
    /// that hold seats and count nothing hear in no other way.
    fn hear(&self) {
        let Some(licensed) = self.licensed() else { return };
        self.heed_clock(licensed);
        let license = &licensed.grant().local;
        let refused = self.refused.lock().clone();
        if self.store.has_given_back(license) {
            licensed.stop();
        } else if let Some(why) = refused {
            licensed.refuse(why);
        } else if let Some(told) = self.store.told_of(license) {
            licensed.hear(&told);
        }
        let _ = licensed.check();
    }

    /// Takes notice of a leap of the time, which the word of a server makes.
    fn heed_clock(&self, licensed: &Licensed) {
        let clock = self.dependencies.clock;
        licensed.redate(|date, stamp| clock.dated_since(date, stamp));
        let mut basis = self.basis.lock();
        *basis = basis.map(|basis| self.dated(basis));
        drop(basis);
        let now = clock.unix_seconds();
        let before = self.latest_at.swap(now, Ordering::Relaxed);
        if before > 0 && before.abs_diff(now) > DAY_SECONDS {
            licensed.begin_segments();
        }
    }

    fn note_contact(&self, server: String) {
        if !server.is_empty() {
            let mut contact = self.contact.lock();
            (contact.at, contact.server) = (self.dependencies.clock.unix_seconds(), server);
            contact.order_ms = self.dependencies.clock.monotonic_ms();
            drop(contact);
            if let Some(licensed) = self.licensed() {
                self.heed_clock(licensed);
            }
        }
    }

    /// Remembers what failed, and says it: once, however often it fails in the same way.
    fn note_outcome(&self, outcome: &Result<()>) {
        let mut contact = self.contact.lock();
        let before = contact.trouble.take();
        let Err(error) = outcome else { return };
        if before.is_none_or(|trouble| {
            trouble.error.code != error.code || trouble.error.stage != error.stage
        }) {
            say(Level::Warning, format_args!("{error}"));
        }
        contact.trouble =
            Some(Trouble { at: self.dependencies.clock.unix_seconds(), error: error.clone() });
    }

    /// How the device stands under this session.
    pub fn status(&self) -> Status {
        let mut status =
            Status { told: self.store.told().unwrap_or_default(), ..Status::default() };
        if let Some(licensed) = self.licensed() {
            licensed.describe(&mut status);
        }
        status.oldest_unsent_at = oldest_unsent(&self.state.usage().join(&self.name));
        let contact = self.contact.lock();
        (status.contact_at, status.server) = (contact.at, contact.server.clone());
        status.contact_order_ms = contact.order_ms;
        status.trouble.clone_from(&contact.trouble);
        let is_away =
            contact.trouble.as_ref().is_some_and(|trouble| is_silence(trouble.error.code));
        status.origin = if contact.at == 0 || is_away { Origin::Cache } else { Origin::Server };
        status
    }

    /// The key of the server that has granted last.
    fn server_key(&self) -> Option<PublicKey> {
        let in_use = self.licensed().map(|licensed| licensed.server_key());
        in_use.or_else(|| self.store.server_key(&self.device()))
    }

    fn servers(
        &self,
        parameters: &'static Parameters,
        known_key: Option<PublicKey>,
    ) -> Servers<'_> {
        Servers {
            transport: self.dependencies.transport,
            clock: self.dependencies.clock,
            urls: &parameters.servers,
            known_key,
            answered: Mutex::default(),
            epoch: Mutex::default(),
        }
    }

    fn known_parameters(&self) -> Result<&'static Parameters> {
        self.parameters.get().ok_or_else(|| ErrorCode::NO_LICENSE.into())
    }

    fn usage_folder(&self) -> Result<PathBuf> {
        let folder = self.state.usage().join(&self.name);
        if !folder.is_dir() {
            disk::allows(Use::Grow)
                .and_then(|()| folder_made_if_missing(&self.state.usage()))
                .and_then(|()| folder_made_if_missing(&folder))
                .and_then(|()| sync_folder(&folder))
                .map_err(|e| Error::state(&folder, "make", &e))?;
        }
        Ok(folder)
    }
}

/// Whether what failed may be over in a moment, and without anybody doing something: no server of
/// ours has spoken, or it was too busy to decide.
pub fn is_passing(code: ErrorCode) -> bool {
    is_silence(code) || code == ErrorCode::STANDBY_NOT_READY
}

/// Whether an error means that no server of ours has spoken.
fn is_silence(code: ErrorCode) -> bool {
    code == ErrorCode::FAILED_TO_REACH_SERVER || code == ErrorCode::LICENSE_SYNC_FAILED
}
