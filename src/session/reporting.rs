//! Reporting, for all programs of the device that count under grants of one server.

use std::fs::DirEntry;
use std::path::PathBuf;

use seatmeter_protocol::signature::PublicKey;

use super::Session;
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::license::GrantStore;
use crate::log::{Level, say};
use crate::sync::{Reported, Reporting, report};

impl Session {
    /// Reports what this device has counted under grants of this session's server: its own, and those that
    /// programs have asked for in other ways and may never ask for again. When another process of the device is
    /// at it, waits for that, within the bound.
    ///
    /// # Errors
    /// When the server cannot be reached or trusted, or the disk fails: nothing is lost by it.
    pub fn report(&self, deadline: Deadline) -> Result<Reported> {
        let parameters = self.known_parameters()?;
        let Some(key) = self.server_key() else { return Ok(Reported::default()) };
        let _turn = self.turn(&self.state.path().join(format!("sync-{}.lock", key.id())), deadline)?;
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
            let is_ours = name == self.name || store.server_key(&self.device()).as_ref() == Some(key);
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
}
