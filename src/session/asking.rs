//! Asking for a grant: whose turn it is, and what a server's word does to the device.

use std::path::Path;
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::rehearsal::has_bug;

use super::Session;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kill_points::kill_point;
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::memory::FileLock;
use crate::state::lock_file;
use crate::sync::authorize;

/// How often a process looks whether it is its turn.
const TURN_POLL: Duration = Duration::from_millis(10);

impl Session {
    /// Asks for a grant when it is this process's turn, unless it `is_done` by then: another may have got one.
    pub(super) fn renew(&self, deadline: Deadline, is_done: impl Fn() -> Result<bool>) -> Result<()> {
        // Whoever has waited for half of his time goes on without: the other is waiting for a server that is silent,
        // and the caller is to hear of that, not of the waiting.
        let half = Deadline::after(self.world.clock, deadline.remaining(self.world.clock) / 2);
        let _turn = self.turn(&self.store.turn(), half);
        self.reload_device();
        if is_done()? {
            return Ok(());
        }
        match self.ask(deadline) {
            // Only one who has a server's key has believed that it was this server.
            Err(e)
                if e.code == ErrorCode::DEVICE_CLONED
                    && self.server_key().is_some()
                    && !has_bug("clone: refusal ignored") =>
            {
                self.take_fresh_uuid(deadline)?;
                self.ask(deadline)
            }
            outcome => outcome,
        }
    }

    fn ask(&self, deadline: Deadline) -> Result<()> {
        let parameters = self.known_parameters()?;
        let known_key = self.server_key();
        let servers = self.servers(parameters, known_key.clone());
        let needed = self.licensed().map_or(0, Licensed::needed);
        let device = self.device();
        let outcome =
            authorize(&servers, parameters, &device, &self.store, known_key.as_ref(), needed, deadline);
        self.note_contact(servers.answered.into_inner());
        let epoch = servers.epoch.into_inner();
        if !epoch.is_empty() {
            *self.heard_epoch.lock() = epoch;
        }
        self.hear();
        self.adopt(outcome?)?;
        self.hear();
        Ok(())
    }

    /// Who the device is, as another process or session may have found it out since.
    pub(super) fn reload_device(&self) -> Device {
        let mut device = self.device.lock();
        *device = device.reloaded(&self.state);
        device.clone()
    }

    /// Another installation goes on under the UUID of this one. Whoever asks for another grant hears the same: the first of
    /// them takes the fresh UUID, and the others follow.
    pub(super) fn take_fresh_uuid(&self, deadline: Deadline) -> Result<()> {
        let copied = self.device().uuid;
        let _turn = self.turn(&self.state.device_turn(), deadline)?;
        let device = self.reload_device();
        if device.uuid != copied {
            return Ok(());
        }
        say(
            Level::Warning,
            format_args!("this installation is a copy of another one: it takes a UUID of its own"),
        );
        let fresh = device.take_fresh_uuid(&self.state)?;
        *self.device.lock() = fresh;
        kill_point("clone: fresh UUID stored");
        Ok(())
    }

    /// Waits for this process's turn to talk to a server: one of the device at a time, each for the lock of this file.
    pub(super) fn turn(&self, path: &Path, deadline: Deadline) -> Result<FileLock> {
        let failed = |e: &std::io::Error| Error::state(path, "lock", e);
        loop {
            let file = lock_file(path).map_err(|e| failed(&e))?;
            if let Some(lock) = FileLock::try_lock(file).map_err(|e| failed(&e))? {
                return Ok(lock);
            }
            if deadline.remaining(self.world.clock).is_zero() {
                return Err(Error::new(
                    ErrorCode::LICENSE_SYNC_FAILED,
                    "another process of this device is still talking to the license server: try again later",
                ));
            }
            std::thread::sleep(TURN_POLL);
        }
    }
}
