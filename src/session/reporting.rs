//! Reports for all programs of the device that count under grants of one server.

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
use crate::license::{GrantStore, ServerRecord, predecessors, successor};
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::os::locks::REPORT_TURN;
use crate::sync::{Reported, Reporting, epoch_file, report, report_end};

/// Return whether a server, which has this key now, has begun an epoch in which it did not get
/// everything again that it had recorded under a former key.
fn is_untold(folder: &Path, former: &PublicKey, key: &PublicKey) -> bool {
    let told = |key| epoch_file(folder, key).peek::<String>();
    let newest = told(key).filter(|epoch| !epoch.is_empty());
    newest.is_some() && told(former).is_some_and(|told| Some(told) != newest)
}

impl Session {
    /// Report what this device has counted under grants of this session's server. These include
    /// grants that programs have requested in other ways and may never request again. If another
    /// process of the device is reporting, wait for it for half of the time, then report beside it.
    ///
    /// # Errors
    /// Fails if the server cannot be reached or trusted, or if the disk fails: nothing is lost
    /// then. A failure for one license does not hold up the others; the first error is returned.
    pub fn report(&self, deadline: Deadline) -> Result<Reported> {
        let parameters = self.known_parameters()?;
        if let Some(licensed) = self.licensed() {
            licensed.check_files();
        }
        // This comes before the turn, which another process may hold all the time, and before
        // anything is sent.
        self.make_all_durable(deadline);
        let Some(key) = self.server_key() else { return Ok(Reported::default()) };
        let turn = self.turn(&self.report_turn(&key), REPORT_TURN, deadline)?;
        let signer = self.signer_for(&key);
        let servers = self.servers(parameters, Some(signer.clone()));
        let (device, record) = (self.device(), ServerRecord::of(&self.state, &key));
        let epoch = self.heard_epoch.lock().clone();
        let mut all = Reported::default();
        let mut outcome = Ok(());
        let former = predecessors(&self.state, &key);
        let mut elsewhere = BTreeSet::new();
        for (folder, store) in self.usage_folders()? {
            let reported = report(&Reporting {
                device: &device,
                record: &record,
                servers: &servers,
                folder: &folder,
                key: &key,
                signer: &signer,
                epoch: &epoch,
                store: Some(&store),
                durable: &self.durable,
                is_ours: self.is_ours(&store, &key),
                deadline,
            });
            // What the server has said before an error holds, too.
            reported.standings.iter().for_each(|standing| self.note_standing(standing, &key));
            self.note_segments(&reported.notes);
            self.must_ask.fetch_or(reported.must_ask, Ordering::Relaxed);
            // What other programs have counted for other servers is for themselves to send there,
            // unless the other server was this one, before its key was replaced.
            let is_own = store.name() == self.name;
            let others = reported.other_servers.iter();
            let others = others.filter(|other| is_own || former.contains(other));
            let untold = former.iter().filter(|former| is_untold(&folder, former, &key));
            elsewhere.extend(others.chain(untold).map(|other| (folder.clone(), other.clone())));
            match reported.into_result() {
                Ok(reported) => all.add(&reported),
                Err(error) => {
                    let is_silent = error.code == ErrorCode::FAILED_TO_REACH_SERVER;
                    outcome = outcome.and(Err(error));
                    // The others are of the same server, and are reported when it answers again.
                    if is_silent {
                        break;
                    }
                }
            }
        }
        self.hear();
        outcome?;
        self.note_contact(all.server.clone());
        {
            // A thread that has asked for a license meanwhile may have heard another one.
            let mut heard = self.heard_epoch.lock();
            if *heard == epoch {
                heard.clear();
            }
        }
        // A process that waits for another server's turn keeps no process waiting for this one's.
        drop(turn);
        for (folder, other) in elsewhere {
            // Under a former key, it is the same server, with the same epoch.
            let epoch = match former.contains(&other) {
                true => epoch_file(&folder, &key).peek().unwrap_or_default(),
                false => String::new(),
            };
            all.add(&self.report_to_another(&folder, &other, &epoch, deadline)?);
        }
        if all.totals > 0 {
            say(Level::Info, format_args!("reported {} totals of what was counted", all.totals));
        }
        Ok(all)
    }

    /// Report what this session has counted under licenses of another server, before or after this
    /// one's. That is a standby with data of its own, or the same server under a replaced key. A
    /// failure here is no trouble of this session: the report is sent when one of the servers
    /// proves to be that one.
    fn report_to_another(
        &self,
        folder: &Path,
        key: &PublicKey,
        epoch: &str,
        deadline: Deadline,
    ) -> Result<Reported> {
        // The other server may be gone permanently, so half of the time stays for other work.
        let deadline = Deadline::after(
            self.dependencies.clock,
            deadline.remaining(self.dependencies.clock) / 2,
        );
        let Ok(_turn) = self.turn(&self.report_turn(key), REPORT_TURN, deadline) else {
            return Ok(Reported::default());
        };
        let signer = self.signer_for(key);
        let reported = report(&Reporting {
            device: &self.device(),
            record: &ServerRecord::of(&self.state, key),
            servers: &self.servers(self.known_parameters()?, Some(signer.clone())),
            folder,
            key,
            signer: &signer,
            epoch,
            store: None,
            durable: &self.durable,
            is_ours: false,
            deadline,
        });
        self.note_segments(&reported.notes);
        match reported.into_result() {
            Err(error) if error.code == ErrorCode::LICENSE_BUFFER_FAILED => Err(error),
            reported => Ok(reported.unwrap_or_default()),
        }
    }

    /// Return the key that must sign what the server with this key answers to a report.
    fn signer_for(&self, key: &PublicKey) -> PublicKey {
        successor(&self.state, key).unwrap_or_else(|| key.clone())
    }

    pub(super) fn report_turn(&self, key: &PublicKey) -> PathBuf {
        self.state.path().join(format!("sync-{}.lock", key.id()))
    }

    /// Return the usage folders, each with the grant of its name.
    pub(super) fn usage_folders(&self) -> Result<Vec<(PathBuf, GrantStore)>> {
        let usage = self.state.usage();
        let entries = match std::fs::read_dir(&usage) {
            // Somebody has deleted it: the next count creates it again.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(|e| Error::state(&usage, "list", &e))?,
        };
        let named = |entry: DirEntry| {
            // A file in the place of a folder was set aside here.
            let name = entry.file_name().into_string().ok().filter(|_| entry.path().is_dir())?;
            Some((entry.path(), GrantStore::new(&self.state, &name)))
        };
        Ok(entries.flatten().filter_map(named).collect())
    }

    /// Return whether this grant is from the server with this key, or is this session's.
    fn is_ours(&self, store: &GrantStore, key: &PublicKey) -> bool {
        store.name() == self.name || store.server_key(&self.device()).as_ref() == Some(key)
    }

    /// Note beside each grant of an item how far the item is used: programs that begin under
    /// another grant must know it, too.
    pub(super) fn note_standing(&self, standing: &ItemStanding, key: &PublicKey) {
        let now = self.dependencies.clock.unix_seconds();
        for store in self.stores_of(&standing.item_id, key) {
            store.note_meters(now, standing.meters.clone());
        }
    }

    /// Send the last report, and end this process's part: give up its seats and segments. If it was
    /// the last process, give back what the device holds from the server only while it works.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::report`]; seats and segments are given up in any case.
    pub fn close(&self, deadline: Deadline) -> Result<Reported> {
        if self.is_closed.swap(true, Ordering::AcqRel) && self.is_settled() {
            return Ok(Reported::default());
        }
        let Some(licensed) = self.licensed() else { return self.report(deadline) };
        licensed.check_files();
        self.check_left();
        self.let_go();
        let ended = self.give_up(licensed)?;
        let reported = self.report(deadline)?;
        // What the server has not booked yet is still of the allowance, and may be booked later.
        let gives_back =
            !ended.is_empty() && (reported.refused == 0 || !licensed.grant().item.strict);
        if let (Some(key), true) = (self.server_key().or(Some(licensed.server_key())), gives_back) {
            let signer = self.signer_for(&key);
            let servers = self.servers(self.known_parameters()?, Some(signer.clone()));
            let record = ServerRecord::of(&self.state, &key);
            report_end(&servers, &self.device(), &record, &signer, ended, deadline)?;
        }
        self.is_settled.store(true, Ordering::Release);
        Ok(reported)
    }

    /// Return the ended licenses for the server: the grants of the item, if they end with the last
    /// process that works under them. They are removed from the disk before the server gets this
    /// message, so that no program starts with what was given back.
    fn give_up(&self, licensed: &Licensed) -> Result<Vec<EndedLicense>> {
        let users = self.users.lock().take();
        let Some(_alone) = users.map(|users| users.leave()).transpose()?.flatten() else {
            return Ok(Vec::new());
        };
        licensed.settle();
        let grant = licensed.grant();
        let notice = self.store.notice();
        let ends = grant.local.charge_way == ChargeWay::Server
            || grant.item.strict
            || notice.is_some_and(|notice| notice.is_overused());
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
