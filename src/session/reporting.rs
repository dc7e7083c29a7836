//! Reporting, for all programs of the device that count under grants of one server.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
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
use crate::sync::{Reported, Reporting, epoch_file, report, report_end};

impl Session {
    /// Reports what this device has counted under grants of this session's server: its own, and
    /// those that programs have asked for in other ways and may never ask for again. When another
    /// process of the device is at it, waits for that, for half of the time; then it reports beside
    /// it.
    ///
    /// # Errors
    /// When the server cannot be reached or trusted, or the disk fails: nothing is lost by it. What
    /// fails for one license does not hold up the others; the first error is given.
    pub fn report(&self, deadline: Deadline) -> Result<Reported> {
        let parameters = self.known_parameters()?;
        if let Some(licensed) = self.licensed() {
            licensed.look();
        }
        // Before the turn, for it may be another's all the time, and before anything is sent.
        self.make_all_durable(deadline);
        let Some(key) = self.server_key() else { return Ok(Reported::default()) };
        let _turn = self.turn(&self.report_turn(&key), deadline)?;
        let servers = self.servers(parameters, Some(key.clone()));
        let epoch = self.heard_epoch.lock().clone();
        let mut all = Reported::default();
        let mut outcome = Ok(());
        let mut elsewhere = None;
        for (folder, store) in self.usage_folders()? {
            let is_ours = self.is_ours(&store, &key);
            let others = RefCell::new(BTreeSet::new());
            let reported = report(&Reporting {
                servers: &servers,
                folder: &folder,
                key: &key,
                epoch: &epoch,
                held: &|| store.held(),
                heard: &|standing| self.note_standing(standing, &key),
                durable: &self.durable,
                notes: &|path, what| self.note_segment(path, what),
                is_ours,
                other: &|other| _ = others.borrow_mut().insert(other.clone()),
                deadline,
            });
            match reported {
                Ok(reported) => {
                    all += reported;
                    if store.name() == self.name {
                        elsewhere = Some((folder, others.into_inner()));
                    }
                }
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
        if let Some((folder, others)) = elsewhere {
            // The same server may know them by a key of before.
            let epoch = if all.again {
                epoch_file(&folder, &key).peek().unwrap_or_default()
            } else {
                String::new()
            };
            for other in others {
                all += self.report_to_another(&folder, &other, &epoch, deadline)?;
            }
        }
        if all.totals > 0 {
            say(Level::Info, format_args!("reported {} totals of what was counted", all.totals));
        }
        Ok(all)
    }

    /// What this session has counted under licenses of another server, before or after this one's:
    /// of a standby with data of its own, or under a key that was replaced. That it cannot be told
    /// now is no trouble of this session's: it is told whenever one of the servers proves to be
    /// that one.
    fn report_to_another(
        &self,
        folder: &Path,
        key: &PublicKey,
        epoch: &str,
        deadline: Deadline,
    ) -> Result<Reported> {
        // It may be away for good: what else is to be done comes first.
        let deadline = Deadline::after(
            self.dependencies.clock,
            deadline.remaining(self.dependencies.clock) / 2,
        );
        let Ok(_turn) = self.turn(&self.report_turn(key), deadline) else {
            return Ok(Reported::default());
        };
        let reported = report(&Reporting {
            servers: &self.servers(self.known_parameters()?, Some(key.clone())),
            folder,
            key,
            epoch,
            held: &|| None,
            heard: &|_| {},
            durable: &self.durable,
            notes: &|path, what| self.note_segment(path, what),
            is_ours: false,
            other: &|_| {},
            deadline,
        });
        match reported {
            Err(error) if error.code == ErrorCode::LICENSE_BUFFER_FAILED => Err(error),
            reported => Ok(reported.unwrap_or_default()),
        }
    }

    pub(super) fn report_turn(&self, key: &PublicKey) -> PathBuf {
        self.state.path().join(format!("sync-{}.lock", key.id()))
    }

    /// Folders of usage, each with the grant under whose name it is.
    pub(super) fn usage_folders(&self) -> Result<Vec<(PathBuf, GrantStore)>> {
        let usage = self.state.usage();
        let entries = match std::fs::read_dir(&usage) {
            // Somebody has deleted it: it is made again by the next count.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(|e| Error::state(&usage, "list", &e))?,
        };
        let named = |entry: DirEntry| {
            // A file that stood in the place of a folder was set aside here.
            let name = entry.file_name().into_string().ok().filter(|_| entry.path().is_dir())?;
            Some((entry.path(), GrantStore::new(&self.state, &name)))
        };
        Ok(entries.flatten().filter_map(named).collect())
    }

    /// Whether what is counted under this grant is this server's business, as far as it does not
    /// name another one.
    fn is_ours(&self, store: &GrantStore, key: &PublicKey) -> bool {
        store.name() == self.name || store.server_key(&self.device()).as_ref() == Some(key)
    }

    /// Note how far an item is used beside each grant of it: programs that begin under another one
    /// are to know it, too.
    pub(super) fn note_standing(&self, standing: &ItemStanding, key: &PublicKey) {
        let now = self.dependencies.clock.unix_seconds();
        for store in self.stores_of(&standing.item_id, key) {
            store.note_meters(now, standing.meters.clone());
        }
    }

    /// The last report, and the end of this process's part: its seats and segments are given up,
    /// and, when it was the last one, what the device holds from the server for as long as it
    /// works.
    ///
    /// # Errors
    /// As [`Self::report`]; seats and segments are given up in any case.
    pub fn close(&self, deadline: Deadline) -> Result<Reported> {
        if self.is_closed.swap(true, Ordering::AcqRel) && self.is_settled() {
            return Ok(Reported::default());
        }
        let Some(licensed) = self.licensed() else { return self.report(deadline) };
        licensed.look();
        licensed.close();
        let ended = self.give_up(licensed)?;
        let reported = self.report(deadline)?;
        if let (Some(key), false) =
            (self.server_key().or(Some(licensed.server_key())), ended.is_empty())
        {
            let servers = self.servers(self.known_parameters()?, Some(key.clone()));
            report_end(&servers, &self.device(), &key, ended, deadline)?;
        }
        self.is_settled.store(true, Ordering::Release);
        Ok(reported)
    }

    /// What the server is to be told of: the grants of the item, if they end with the last process
    /// that works under them. They are off the disk before it is told, so that nobody begins with
    /// what was given back.
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
        licensed.forgo();
        let mut ended = Vec::new();
        let key = licensed.server_key();
        for (_, store) in
            self.usage_folders()?.into_iter().filter(|(_, store)| self.is_ours(store, &key))
        {
            let held: Option<LocalLicense> = store.held().and_then(|held| held.peek().ok());
            let Some(held) = held.filter(|held| held.item_id == grant.local.item_id) else {
                continue;
            };
            store.discard()?;
            ended.push(EndedLicense { license_id: held.license_id, serial: held.serial });
        }
        Ok(ended)
    }
}
