//! Reporting, for all programs of the device that count under grants of one server.

use std::fs::DirEntry;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{EndedLicense, ItemStanding};
use seatmeter_protocol::signature::PublicKey;

use super::Session;
use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result};
use crate::license::GrantStore;
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::sync::{Reported, Reporting, report, report_end};

impl Session {
    /// Reports what this device has counted under grants of this session's server: its own, and those that
    /// programs have asked for in other ways and may never ask for again. When another process of the device is
    /// at it, waits for that, within the bound.
    ///
    /// # Errors
    /// When the server cannot be reached or trusted, or the disk fails: nothing is lost by it. What fails for one
    /// licence does not hold up the others; the first error is given.
    pub fn report(&self, deadline: Deadline) -> Result<Reported> {
        let parameters = self.known_parameters()?;
        let Some(key) = self.server_key() else { return Ok(Reported::default()) };
        let _turn = self.turn(&self.state.path().join(format!("sync-{}.lock", key.id())), deadline)?;
        let servers = self.servers(parameters, Some(key.clone()));
        let epoch = self.heard_epoch.lock().clone();
        let mut all = Reported::default();
        let mut outcome = Ok(());
        for (folder, store) in self.usage_folders_of(&key)? {
            let reported = report(&Reporting {
                servers: &servers,
                folder: &folder,
                key: &key,
                epoch: &epoch,
                held: &|| store.held(),
                heard: &|standing| self.note_standing(&store, standing),
                deadline,
            });
            match reported {
                Ok(reported) => all += reported,
                Err(error) => {
                    let is_silent = error.code == ErrorCode::FAILED_TO_REACH_SERVER;
                    outcome = outcome.and(Err(error));
                    // The others are of the same server, and have their turn when it speaks again.
                    if is_silent {
                        break;
                    }
                }
            }
        }
        self.hear();
        outcome?;
        self.note_contact(servers.answered.into_inner());
        self.heard_epoch.lock().clear();
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
        self.is_closed.store(true, Ordering::Release);
        let Some(licensed) = self.licensed() else { return self.report(deadline) };
        licensed.close();
        let ended = self.give_up(licensed)?;
        let reported = self.report(deadline)?;
        if let (Some(key), false) = (self.server_key().or(Some(licensed.server_key())), ended.is_empty()) {
            let servers = self.servers(self.known_parameters()?, Some(key.clone()));
            report_end(&servers, &self.device(), &key, ended, deadline)?;
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
        licensed.settle();
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
}
