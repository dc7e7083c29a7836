//! A session: one way of being licensed, from its parameters to its grant.
//!
//! ```text
//!             no usable grant on disk                       refused, unreachable
//!  opened ───────────────────────────▶ asks a server ──────────────────────────▶ error, for readers, too
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
use crate::license::{
    Basis, Credentials, Grant, GrantStore, ServerNotice, TrustedRoots, Users, Validity, covers,
};
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::os::Published;
use crate::os::locks::{BASIS, CONTACT, DEVICE, Mutex, USERS};
use crate::parameters::Parameters;
use crate::seats::pool_name;
use crate::state::StateDirectory;
use crate::status::{Origin, Status, Trouble};
use crate::sync::{Servers, Transport};
use crate::usage::{Durable, oldest_unsent};

/// The bound for a first contact, with all servers together.
pub const FIRST_CONTACT_BOUND: Duration = Duration::from_secs(10);

/// The outside resources that a test wants to control.
#[derive(Clone, Copy)]
pub struct Dependencies {
    /// The clock of the state directory.
    pub clock: &'static DeviceClock,
    /// The network.
    pub transport: &'static dyn Transport,
    /// The function that makes the keeper do its work now.
    pub wake: fn(),
}

/// A way of being licensed. It lives as long as the process.
pub struct Session {
    name: String,
    state: StateDirectory,
    device: Mutex<Device, DEVICE>,
    store: GrantStore,
    dependencies: Dependencies,
    /// The credentials that its program presents for a license.
    credentials: Credentials,
    parameters: Published<Parameters>,
    /// All parameters with which it was ever initialized: equal ones are stored once.
    all_parameters: Mutex<Vec<&'static Parameters>>,
    licensed: Published<Licensed>,
    /// The license that was granted for the credentials; it decides when the next renewal is due.
    basis: Mutex<Option<Basis>, BASIS>,
    /// The reason why the server does not accept the credentials any more.
    refused: Mutex<Option<Error>>,
    /// Whether it was closed and not initialized since: no program works under it.
    is_closed: AtomicBool,
    /// Whether everything was reported when it was closed: then nothing is left to do.
    is_settled: AtomicBool,
    /// The number of rounds of the keeper that failed in succession.
    failures: AtomicU32,
    /// The epoch that the server has named with its last grant or refusal, until a report has used
    /// it.
    heard_epoch: Mutex<String>,
    contact: Mutex<Contact, CONTACT>,
    /// The time of the last check, in Unix seconds: it shows when the time leaps.
    latest_at: AtomicU64,
    /// The membership of this process among those that work under the item.
    users: Mutex<Option<Users>, USERS>,
    /// Whether a server has answered a report by which the device must ask for its license.
    must_ask: AtomicBool,
    /// Licenses that are not in use any more, and whose segments some reader still has.
    left: Mutex<Vec<&'static Licensed>>,
    /// The counts of this device that this process knows to be on the disk.
    durable: Durable,
    /// The lines about segments that were logged.
    said: Mutex<BTreeSet<String>>,
    /// Whether the last check has found no grant on the disk.
    is_grant_missing: AtomicBool,
}

/// The outcome of the last requests to a server.
#[derive(Default)]
struct Contact {
    /// The time of the last answer, in Unix seconds; 0 if this process got none.
    at: u64,
    /// The monotonic clock at that moment.
    order_ms: u64,
    /// The URL of that server.
    server: String,
    /// The failure of the last round.
    trouble: Option<Trouble>,
}

impl Session {
    /// Open a session and load the device's identity. This sends nothing to a server.
    ///
    /// # Errors
    /// Fails if the state directory cannot be used.
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
            device: Mutex::ranked(device),
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
            must_ask: AtomicBool::new(false),
            left: Mutex::default(),
            durable: Durable::default(),
            said: Mutex::default(),
            is_grant_missing: AtomicBool::new(false),
        };
        session.use_parameters(parameters);
        Ok(session)
    }

    /// Return the name of its grant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Return whether this is the session of these parameters in this state directory. Other
    /// credentials have a session of their own, so that a refused session takes nothing from a
    /// licensed one.
    pub fn is_for(&self, parameters: &Parameters, state_path: &Path) -> bool {
        self.name == parameters.grant_name()
            && self.credentials.are_of(parameters)
            && self.state.path() == state_path
    }

    /// Return the parameters of its last initialization and its state directory. A forked child can
    /// read them.
    pub fn origin(&self) -> Option<(&'static Parameters, &Path)> {
        Some((self.parameters.get()?, self.state.path()))
    }

    /// Return the license of the device in this session, after it was granted.
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

    /// Return whether this is its state directory.
    pub fn is_in(&self, state: &StateDirectory) -> bool {
        self.state == *state
    }

    /// Return the clock of its state directory, for other sessions there.
    pub fn clock(&self) -> &'static DeviceClock {
        self.dependencies.clock
    }

    /// License the session: at once from a grant on disk that is valid for these parameters, else
    /// from a server.
    ///
    /// # Errors
    /// Returns the server's refusal, or an error that no server could be reached.
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
            // Even if the server refuses a new grant, it must get what was counted so far. If that
            // fails, too, the caller must see the refusal.
            let _ = self.report(deadline);
        }
        outcome
    }

    /// Use the grant on disk if it is valid now: by its dates, by what this program presents, and
    /// by all server notices since. If a server notice is missing, the server is asked first.
    ///
    /// # Errors
    /// Fails if the grant cannot be read.
    pub fn use_stored_grant(&self) -> Result<Option<&'static Licensed>> {
        let Some(grant) = self.store.load(&self.reload_device())? else { return Ok(None) };
        let Some(notice) =
            self.store.notice_of(&grant.local).filter(|notice| notice.stops().is_none())
        else {
            return Ok(None);
        };
        // Another process may have learned since that a server's clock was ahead when it gave this
        // grant.
        self.dependencies.clock.catch_up();
        let dated = self.dependencies.clock.dated_since(grant.local.issued_at, &grant.stamp);
        let grant =
            if dated < grant.local.issued_at { Arc::new(grant.dated(dated)) } else { grant };
        let now = self.dependencies.clock.unix_seconds();
        let Some(basis) = self.stored_basis(now) else { return Ok(None) };
        // A program of another version, edition or website may have got it.
        if covers(&grant.item, self.known_parameters()?).is_err() {
            return Ok(None);
        }
        match grant.validity(now) {
            Validity::Good | Validity::Grace => self.adopt(grant, &notice, basis).map(Some),
            Validity::Stale | Validity::Expired => Ok(None),
        }
    }

    /// Return the license by which the stored grant serves what this program presents.
    fn stored_basis(&self, now: u64) -> Option<Basis> {
        let basis = self.store.basis(&self.credentials, now).map(|basis| self.dated(basis));
        basis.filter(|basis| now < basis.valid_until)
    }

    /// Return the basis with the date that it should have: the server's clock may have been ahead
    /// when it granted.
    fn dated(&self, basis: Basis) -> Basis {
        basis.dated(self.dependencies.clock.signed_at(basis.issued_at).min(basis.issued_at))
    }

    fn device(&self) -> Device {
        self.device.lock().clone()
    }

    /// Put a grant into use: in the existing pool and counter, or in new ones if the item has
    /// changed. Readers change to the new ones with their next use.
    fn adopt(
        &self,
        grant: Arc<Grant>,
        notice: &ServerNotice,
        basis: Basis,
    ) -> Result<&'static Licensed> {
        // Only one thread at a time does this: the keeper and an initialization may each have got a
        // grant of another item.
        let mut users = self.users.lock();
        // The membership is kept only beside a license in use, because nothing checks its file
        // otherwise, and it must be that of the license in use if this fails.
        let joined = self.join_users(users.as_ref(), &grant.local.item_id)?;
        *self.basis.lock() = Some(basis);
        *self.refused.lock() = None;
        let before = self.licensed();
        if let Some(licensed) = before
            && licensed.renew(&grant)
        {
            licensed.hear(notice);
            *users = joined.or(users.take());
            return Ok(licensed);
        }
        let Dependencies { clock, wake, .. } = self.dependencies;
        let licensed =
            Licensed::new(grant, &self.state.seats(), self.usage_folder()?, clock, wake)?;
        *users = joined.or(users.take());
        // This comes before anybody can work under it, because a module may be used up.
        licensed.hear(notice);
        if let Some(before) = before {
            licensed.follows(before);
        }
        let licensed = self.licensed.publish_new(licensed);
        if let Some(before) = before {
            before.leave();
            self.left.lock().push(before);
        }
        Ok(licensed)
    }

    /// Join the users of an item: those of `current`, if it is the item in use, else others, which
    /// are returned.
    fn join_users(&self, current: Option<&Users>, item_id: &str) -> Result<Option<Users>> {
        let path = self.state.seats().join(format!("{}.users", pool_name(item_id)));
        if let Some(users) = current.filter(|users| users.path() == path) {
            users.join()?;
            return Ok(None);
        }
        let users = Users::new(path);
        users.join()?;
        Ok(Some(users))
    }

    /// Apply what this device has learned since, whichever process received it: a server notice,
    /// that the grant was given back, and the end of the grant's time. Programs that hold seats and
    /// count nothing learn of that end in no other way.
    fn hear(&self) {
        let Some(licensed) = self.licensed() else { return };
        self.follow_clock(licensed);
        let license = &licensed.grant().local;
        let refused = self.refused.lock().clone();
        if self.store.has_given_back(license) {
            licensed.stop();
        } else if let Some(why) = refused {
            licensed.refuse(why);
        } else if let Some(notice) = self.store.notice_of(license) {
            licensed.hear(&notice);
        }
        let _ = licensed.check();
    }

    /// Apply a leap of the time that a server's time has caused.
    fn follow_clock(&self, licensed: &Licensed) {
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
                self.follow_clock(licensed);
            }
        }
    }

    /// Remember what failed, and log it. The same failure is logged only once, however often it
    /// repeats.
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

    /// Return the device's status under this session.
    pub fn status(&self) -> Status {
        let mut status = Status {
            notice: self.store.notice().unwrap_or_default(),
            root_keys: self.trusted_roots(),
            ..Status::default()
        };
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

    /// Return the vendor's root keys that this session trusts.
    pub fn trusted_roots(&self) -> TrustedRoots {
        self.store.trusted_roots()
    }

    /// Return the key of the server that gave the last grant.
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

/// Return whether the failure may pass soon without any action: no known server has answered, or it
/// was too busy to decide.
pub fn is_passing(code: ErrorCode) -> bool {
    is_silence(code) || code == ErrorCode::STANDBY_NOT_READY
}

/// Return whether an error means that no known server has answered.
fn is_silence(code: ErrorCode) -> bool {
    code == ErrorCode::FAILED_TO_REACH_SERVER || code == ErrorCode::LICENSE_SYNC_FAILED
}
