//! Requests for a grant: which process sends them, and how the server's answer changes the device.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seatmeter_protocol::error_code::{DeviceAction, ErrorCode};
use seatmeter_protocol::message::{LOST_MAX, LostAllowance};
use seatmeter_protocol::signature::PublicKey;

use super::Session;
use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fault_injection::kill_points::kill_point;
use crate::files::lock_file;
use crate::license::{Accepted, Grant, GrantStore, ServerRecord, Shown};
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::os::FileLock;
use crate::os::locks::{DEVICE_TURN, GRANT_TURN, Held, Mutex, Rank};
use crate::seats::pool_name;
use crate::sync::{Answered, LicenseRequest, authorize};
use crate::usage::lost_of;

/// The interval at which a process checks whether it is its turn.
const TURN_POLL: Duration = Duration::from_millis(10);

/// The turn of this process among those of the device: a locked file.
pub(super) struct Turn {
    _lock: FileLock,
    _held: Held,
}

/// The result of a request for a grant.
pub(super) struct RequestOutcome {
    pub(super) outcome: Result<()>,
    /// Whether another process has got a grant meanwhile: the answer is not about that grant.
    is_overtaken: bool,
    /// The server that has refused, if only other programs of the device know its key.
    refused_by: Option<PublicKey>,
}

impl RequestOutcome {
    fn takes_fresh_uuid(&self) -> bool {
        self.outcome.as_ref().is_err_and(|e| e.code.action() == DeviceAction::TakesFreshUuid)
    }
}

impl Session {
    /// Request a grant when it is this process's turn, unless it `is_done` by then: another process
    /// may have got one.
    pub(super) fn renew(
        &self,
        deadline: Deadline,
        is_done: impl Fn() -> Result<bool>,
    ) -> Result<()> {
        let _turn = self.turn(&self.store.turn(), GRANT_TURN, deadline);
        self.reload_device();
        if is_done()? {
            return Ok(());
        }
        let mut asked = self.ask(deadline)?;
        let is_cloned = asked.takes_fresh_uuid();
        if let Some(key) = asked.refused_by.take().filter(|_| is_cloned) {
            // Other programs of this device work with this server, at another address.
            asked = self.ask_knowing(Some(key), deadline)?;
        }
        if asked.is_overtaken {
            if is_done()? {
                return Ok(());
            }
            // Ask once more, with the license that the other process got: the answer was about the
            // previous one.
            asked = self.ask(deadline)?;
        }
        match asked.outcome {
            Err(e)
                if e.code.action() == DeviceAction::TakesFreshUuid
                    && !asked.is_overtaken
                    && (asked.refused_by.is_some() || self.may_take_fresh_uuid()) =>
            {
                self.take_fresh_uuid(deadline)?;
                self.ask(deadline)?.outcome
            }
            outcome => outcome,
        }
    }

    /// Return whether a refusal of the identity is believed. A process with a server's key has
    /// verified that it came from this server. A device without any license has nothing to lose by
    /// a fresh UUID.
    fn may_take_fresh_uuid(&self) -> bool {
        self.server_key().is_some() || GrantStore::all(&self.state).is_empty()
    }

    /// Return what to show under this UUID of the server with this key: as recorded by any program
    /// of the device, or else the license in memory.
    fn shown_of(&self, key: Option<&PublicKey>, uuid: &str) -> Shown {
        let recorded = key.map(|key| ServerRecord::of(&self.state, key).known(uuid).0);
        let Shown { newest, receipt } = recorded.unwrap_or_default();
        let in_memory = || self.licensed().map(|licensed| licensed.grant().signed.clone());
        Shown { newest: newest.or_else(in_memory), receipt }
    }

    /// Return what a device with this UUID has lost of the allowances of its strict items, also of
    /// those under which it does not work now: the server may choose them again.
    fn lost_allowances(&self, uuid: &str) -> Vec<LostAllowance> {
        let seats = self.state.seats();
        let known: BTreeSet<String> =
            GrantStore::all(&self.state).iter().flat_map(GrantStore::strict_items).collect();
        let of_item = |item_id: String| {
            let lost = lost_of(&seats, &pool_name(&item_id), uuid).into_iter();
            lost.map(move |(module, lost)| LostAllowance { item_id: item_id.clone(), module, lost })
        };
        known.into_iter().flat_map(of_item).take(LOST_MAX).collect()
    }

    /// Note a stored grant's license in the record of its server before it is shown. If the disk
    /// does not take it, it is tried again with the next request.
    fn record_shown(&self, grant: &Grant) {
        let record = ServerRecord::of(&self.state, &grant.server_key);
        if let Err(error) = record.note_shown(&grant.signed) {
            say(Level::Warning, format_args!("{error}"));
        }
    }

    pub(super) fn ask(&self, deadline: Deadline) -> Result<RequestOutcome> {
        self.ask_knowing(self.server_key(), deadline)
    }

    /// Ask, and show what the device has from the server with this key.
    fn ask_knowing(
        &self,
        shown_to: Option<PublicKey>,
        deadline: Deadline,
    ) -> Result<RequestOutcome> {
        let parameters = self.known_parameters()?;
        let known_key = self.server_key();
        let servers = self.servers(parameters, known_key.clone());
        let device = self.device();
        // A grant that cannot be believed is set aside, and not shown to the server.
        if let Some(grant) = self.store.load(&device)? {
            self.record_shown(&grant);
        }
        let shown = self.store.held();
        let (store, credentials) = (&self.store, &self.credentials);
        let needed = self.licensed().map_or(0, Licensed::needed);
        let lost = self.lost_allowances(device.uuid());
        let license_request = LicenseRequest {
            state: &self.state,
            device: &device,
            store,
            credentials,
            shown,
            of_server: self.shown_of(shown_to.as_ref(), device.uuid()),
            needed,
            lost,
            refused_by: Mutex::default(),
        };
        let Answered { value: outcome, server, epoch } =
            authorize(&servers, parameters, &license_request, known_key.as_ref(), deadline);
        self.must_ask.store(false, Ordering::Relaxed);
        self.note_contact(server);
        if !epoch.is_empty() {
            *self.heard_epoch.lock() = epoch;
        }
        let is_overtaken = match &outcome {
            Ok(accepted) => accepted.is_overtaken,
            Err(error) => {
                // Another program of the device may have gone on meanwhile, also with other
                // credentials: the answer is about what was the newest license before.
                let is_overtaken = self.store.held() != license_request.shown
                    || error.code.action() == DeviceAction::TakesFreshUuid
                        && self.shown_of(shown_to.as_ref(), device.uuid()).newest
                            != license_request.of_server.newest;
                // Any host can refuse: without a known key, the answer does not prove that it came
                // from the server.
                if known_key.is_some() && !is_overtaken {
                    self.note_refusal(error);
                }
                is_overtaken
            }
        };
        self.hear();
        let outcome = match outcome {
            Ok(Accepted { grant, notice, basis, .. }) => {
                self.adopt(grant, &notice, basis).map(|_| ())
            }
            Err(error) => Err(error),
        };
        self.hear();
        let refused_by = license_request.refused_by.into_inner();
        Ok(RequestOutcome { outcome, is_overtaken, refused_by })
    }

    /// Apply a refusal of this program's credentials, or of an item under which other programs
    /// work, too.
    fn note_refusal(&self, why: &Error) {
        if why.code.action() == DeviceAction::EndsForProgram {
            self.store.withdraw(&self.credentials);
            *self.refused.lock() = Some(why.clone());
        } else if why.code == ErrorCode::REVOKED
            && let (Some(held), Some(key)) = (self.store.held_license(), self.server_key())
        {
            let now = self.dependencies.clock.unix_seconds();
            for store in
                self.stores_of(&held.item_id, &key).filter(|store| store.name() != self.name)
            {
                store.note_refusal(now, why, true, None);
            }
        }
    }

    /// Return the grants of this device that are from one item of the server with this key,
    /// whatever credentials they were granted for.
    pub(super) fn stores_of(
        &self,
        item_id: &str,
        key: &PublicKey,
    ) -> impl Iterator<Item = GrantStore> {
        let device = self.device();
        GrantStore::all(&self.state).into_iter().filter(move |store| {
            store.held_license().is_some_and(|held| held.item_id == item_id)
                && store.server_key(&device).as_ref() == Some(key)
        })
    }

    /// Reload the device's identity, which another process or session may have changed since.
    pub(super) fn reload_device(&self) -> Device {
        let mut device = self.device.lock();
        *device = device.reloaded(&self.state);
        device.clone()
    }

    /// Take a fresh UUID, because another installation continues under this one. Every program that
    /// requests a grant gets the same answer: the first one takes the fresh UUID, and the others
    /// follow.
    pub(super) fn take_fresh_uuid(&self, deadline: Deadline) -> Result<()> {
        let copied = self.device().uuid().to_owned();
        let _turn = self.turn(&self.state.device_turn(), DEVICE_TURN, deadline)?;
        let device = self.reload_device();
        if device.uuid() != copied {
            return Ok(());
        }
        say(
            Level::Warning,
            format_args!(
                "another installation has the UUID of this one: it takes a UUID of its own"
            ),
        );
        let fresh = device.take_fresh_uuid(&self.state)?;
        *self.device.lock() = fresh;
        kill_point("clone: fresh UUID stored");
        Ok(())
    }

    /// Wait for this process's turn to talk to a server. One process of the device talks at a time,
    /// under the lock of this file. Return `None` after half of the remaining time: the other
    /// process may be waiting for a silent server, or a debugger may have stopped it for hours.
    /// This process then proceeds beside it. Two that ask at once do no harm: a process replaces a
    /// file on disk only if it has seen its content, and totals may be reported twice.
    ///
    /// # Errors
    /// Fails if the file cannot be locked.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn turn(&self, path: &Path, rank: Rank, deadline: Deadline) -> Result<Option<Turn>> {
        let held = Held::waited_for(rank);
        let failed = |e: &std::io::Error| Error::state(path, "lock", e);
        let half = Deadline::after(
            self.dependencies.clock,
            deadline.remaining(self.dependencies.clock) / 2,
        );
        loop {
            let file = lock_file(path).map_err(|e| failed(&e))?;
            if let Some(lock) = FileLock::try_lock(file).map_err(|e| failed(&e))? {
                return Ok(Some(Turn { _lock: lock, _held: held }));
            }
            // A canceled process fails at its next request.
            if half.remaining(self.dependencies.clock).is_zero()
                || self.dependencies.transport.is_canceled()
            {
                return Ok(None);
            }
            self.dependencies.clock.wait(TURN_POLL);
        }
    }
}
