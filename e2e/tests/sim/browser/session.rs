//! The part of a device in one page: its identity, its license, and whose turn it is to talk, by
//! the rules of `bindings/web/src/session.js`.

use std::collections::BTreeMap;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::MeterState;

use super::Browser;
use super::errors::{Failure, Halt, Outcome, caught, fail};
use super::grant::{Grant, slot_of, verify};
use super::reports::{Receiver, give_back, report, tidy};
use super::requests::stopped_by;
use super::store::{Content, Device, LicenseRow, ServerRow};
use super::tab::{Message, Tab};

pub(super) const ROUND_MS: i64 = 20_000;

/// A license of more seconds from now on was granted by a clock that was ahead.
pub(super) const AHEAD_SECONDS: u64 = 60;

/// What a round is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(super) is_asked_for: bool,
    pub(super) is_first: bool,
    pub(super) keepalive: bool,
    pub(super) needed: u64,
}

/// Do work when it is this page's turn. Web Locks give the turn to one page at a time, and take it
/// from one that has died. One that is stopped has it as long as it is stopped.
pub(super) fn turn<T>(
    tab: &mut Tab,
    profile: &mut Browser,
    ms: i64,
    work: impl FnOnce(&mut Tab, &mut Browser) -> Outcome<T>,
) -> Outcome<T> {
    if profile.is_turn_taken {
        profile.waits += 1;
        if profile.is_stopped {
            profile.time.pass(u64::try_from(ms).unwrap_or(0));
        }
        return fail(ErrorCode::FAILED_TO_REACH_SERVER, "another page has been talking");
    }
    profile.is_turn_taken = true;
    let outcome = work(tab, profile);
    profile.is_turn_taken = false;
    outcome
}

/// Store again what a cleared storage has lost.
pub(super) fn heal(
    on: &mut Content,
    device: &Device,
    had: &BTreeMap<String, Device>,
    server: Option<&ServerRow>,
    row: Option<&LicenseRow>,
) {
    on.device.get_or_insert_with(|| device.uuid.clone());
    // What waits may be of an identity before this one.
    for device in had.values().chain([device]) {
        on.devices.entry(device.uuid.clone()).or_insert_with(|| device.clone());
    }
    if let Some(server) = server {
        let key = (server.uuid.clone(), server.key_id.clone());
        on.servers.entry(key).or_insert_with(|| server.clone());
    }
    if let Some(row) = row {
        on.licenses.entry(row.name.clone()).or_insert_with(|| row.clone());
    }
}

impl Tab {
    pub(super) fn load_stored(&mut self, profile: &mut Browser) -> Outcome<()> {
        let (row, root) =
            profile.store.read(|on| (on.licenses.get(&self.name).cloned(), on.root.clone()))?;
        self.root = profile.options.root_key.clone().or(root);
        let Some(row) = row.filter(|row| row.uuid == self.device.uuid) else { return Ok(()) };
        if self.root.is_some() {
            // It may be of another vendor, or damaged: the server is asked.
            let _ = caught(self.use_row(profile, row))?;
        }
        Ok(())
    }

    /// Use a stored license, with what the server has said since.
    pub(super) fn use_row(&mut self, profile: &mut Browser, row: LicenseRow) -> Outcome<()> {
        let known = self.row.as_ref().map(|row| &row.local_license.payload);
        if known != Some(&row.local_license.payload) {
            let Some(root) = self.root.clone() else {
                return fail(ErrorCode::LICENSE_SYNC_FAILED, "no root key is known yet");
            };
            let options = &profile.options;
            let (file, local) = (&row.license_file, &row.local_license);
            self.grant = Some(verify(file, local, &root, &self.device, options)?);
            self.had.insert(self.device.uuid.clone(), self.device.clone());
        }
        if let Some(grant) = &self.grant {
            self.clock.is_at_least(grant.local.issued_at);
        }
        self.notice = row.notice.clone();
        let key_id = self.grant.as_ref().map(|grant| grant.key_id.clone()).unwrap_or_default();
        let key = (row.uuid.clone(), key_id);
        self.row = Some(row);
        self.server = profile.store.read(|on| on.servers.get(&key).cloned())?;
        Ok(())
    }

    /// Return why the server lets this device count nothing, or no pages of this module.
    pub(super) fn stops(&self, module: u32) -> Option<Failure> {
        stopped_by(&self.notice, module)
    }

    /// Return whether there is a license under which work is allowed.
    pub(super) fn may_work(&self) -> bool {
        let is_valid = |grant: &Grant| grant.ended_at(self.clock.seconds()).is_none();
        self.grant.as_ref().is_some_and(is_valid) && self.stops(0).is_none()
    }

    /// Get a license for a page that has none, within the time that the caller grants.
    pub(super) fn first(&mut self, profile: &mut Browser) -> Outcome<()> {
        let ms = profile.options.timeout_ms;
        turn(self, profile, ms, |tab, profile| {
            // Another page may have got it meanwhile.
            tab.reload(profile)?;
            if tab.may_work() {
                return Ok(());
            }
            let Err(error) = caught(tab.ask(profile, ms, 0))? else { return Ok(()) };
            // What was counted before is owed all the same.
            if error.code != ErrorCode::FAILED_TO_REACH_SERVER {
                let _ = caught(tab.report(profile, ms))?;
            }
            Err(error.into())
        })?;
        self.stops(0).map_or(Ok(()), |stopped| Err(stopped.into()))
    }

    /// Report, and renew if that is due, when it is this page's turn.
    pub(super) fn round(&mut self, profile: &mut Browser, round: Round) -> Outcome<()> {
        let outcome = turn(self, profile, ROUND_MS, |tab, profile| tab.talk(profile, round));
        match &outcome {
            Err(Halt::Failed(failure)) => self.last_error = Some(failure.clone()),
            Err(Halt::Killed) => {}
            Ok(()) => self.last_error = None,
        }
        outcome
    }

    fn talk(&mut self, profile: &mut Browser, round: Round) -> Outcome<()> {
        self.reload(profile)?;
        // Another page may have asked since this one began.
        let asked_at = self.row.as_ref().map(|row| row.asked_at);
        let is_fresh = round.is_first && asked_at.is_some_and(|at| at >= self.begun_at);
        // The server decides about a renewal by what it knows, so that it gets the counts first.
        let mut failure: Option<Failure> = None;
        if !is_fresh || !self.clock.is_heard {
            failure = caught(self.report(profile, ROUND_MS))?.err();
        }
        let due_at = self.grant.as_ref().map_or(0, Grant::renewal_due_at);
        let issued_at = self.grant.as_ref().map_or(0, |grant| grant.local.issued_at);
        let is_due = self.clock.seconds() >= due_at
            // The clock of the server was ahead when it granted.
            || self.clock.seconds() + AHEAD_SECONDS < issued_at
            || self.stops(0).is_some()
            || self.is_diverged
            || !self.clock.is_heard
            || failure.is_some();
        // Where no server answers, none grants. Where another one answers, it must be asked.
        let is_silent =
            failure.as_ref().is_some_and(|why| why.code == ErrorCode::FAILED_TO_REACH_SERVER);
        let is_wanted = round.is_asked_for && !is_fresh || round.needed > 0 || is_due;
        if !round.keepalive && !is_silent && is_wanted {
            failure = caught(self.ask(profile, ROUND_MS, round.needed))?.err();
        }
        if self.clock.is_heard && !is_silent {
            let reported = caught(self.report(profile, ROUND_MS))?;
            failure = failure.or(reported.err());
        }
        if !std::mem::replace(&mut self.is_tidied, true) {
            tidy(&mut profile.store, self.clock.seconds())?;
        }
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn reload(&mut self, profile: &mut Browser) -> Outcome<()> {
        let (row, device) = profile
            .store
            .read(|on| (on.licenses.get(&self.name).cloned(), on.device().cloned()))?;
        let Some(device) = device else {
            let (server, row) = (self.server.as_ref(), self.row.as_ref());
            return profile.store.write(|on| heal(on, &self.device, &self.had, server, row));
        };
        self.device = device;
        match row.filter(|row| row.uuid == self.device.uuid && self.root.is_some()) {
            Some(row) => self.use_row(profile, row),
            None => Ok(()),
        }
    }

    /// Return the last slot that a count can have.
    pub(super) fn last_slot(&self) -> u32 {
        slot_of(if self.clock.is_heard { self.clock.seconds() } else { self.clock.heard_at })
    }

    /// Report to the server of the license, and to others for which this profile has counted.
    pub(super) fn report(&mut self, profile: &mut Browser, ms: i64) -> Outcome<()> {
        let own = self.grant.as_ref().map(|grant| grant.key_id.clone());
        let known = profile.options.servers.to_vec();
        if let Some(grant) = &self.grant {
            let (key, urls) = (grant.server_key.clone(), known.clone());
            let to = Receiver { key_id: grant.key_id.clone(), key, urls };
            self.report_to(profile, &to, ms)?;
        }
        let servers: Vec<ServerRow> =
            profile.store.read(|on| on.servers.values().cloned().collect())?;
        for ServerRow { key_id, key, mut urls, .. } in servers {
            if Some(&key_id) != own.as_ref() {
                // A page without a license may know another URL of that server.
                if own.is_none() {
                    urls.extend(&known);
                }
                // Nobody waits for a server that has granted nothing here.
                let to = Receiver { key_id, key, urls };
                let _ = caught(self.report_to(profile, &to, ms / 4))?;
            }
        }
        Ok(())
    }

    fn report_to(&mut self, profile: &mut Browser, to: &Receiver, ms: i64) -> Outcome<()> {
        let outcome = report(self, profile, to, ms)?;
        if self.grant.as_ref().is_some_and(|grant| grant.key_id == to.key_id) {
            self.is_diverged = outcome.is_diverged;
        }
        for standing in outcome.standings {
            self.change_rows(profile, |row| {
                let is_of_it = row.item == standing.item_id;
                if is_of_it {
                    row.notice.meters.clone_from(&standing.meters);
                }
                is_of_it
            })?;
        }
        outcome.failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Take the time of a signed answer, and pass it on.
    pub(super) fn hear(&mut self, profile: &mut Browser, time: u64) -> Outcome<()> {
        self.clock.hear(time);
        let stored = self.clock.stored();
        profile.store.write(|on| on.clock = Some(stored))?;
        profile.tell_others(&Message::Time { time, at: self.clock.wall_ms() });
        Ok(())
    }

    /// Hear what another page of the profile has said.
    pub(super) fn hear_tab(&mut self, profile: &mut Browser, message: Message) -> Outcome<()> {
        match message {
            Message::Time { time, at } => {
                let since = (self.clock.wall_ms() - at + 500) / 1000;
                self.clock.hear(time + u64::try_from(since).unwrap_or(0));
                self.adopt();
            }
            Message::Changed { name } if name == self.name => {
                if caught(self.reload(profile))?.is_ok() {
                    self.adopt();
                }
            }
            Message::Changed { .. } => {}
        }
        Ok(())
    }

    pub(super) fn change_rows(
        &mut self,
        profile: &mut Browser,
        mut change: impl FnMut(&mut LicenseRow) -> bool,
    ) -> Outcome<()> {
        let names: Vec<String> = profile.store.write(|on| {
            let rows = on.licenses.values_mut();
            rows.filter_map(|row| change(row).then(|| row.name.clone())).collect()
        })?;
        if names.contains(&self.name) {
            let row = profile.store.read(|on| on.licenses.get(&self.name).cloned())?;
            if let Some(row) = row.filter(|row| row.uuid == self.device.uuid) {
                self.use_row(profile, row)?;
            }
            self.adopt();
        }
        for name in names {
            profile.tell_others(&Message::Changed { name });
        }
        Ok(())
    }

    /// Send the last report. The last page gives back what the device holds only while it works.
    pub(super) fn end(&mut self, profile: &mut Browser) -> Outcome<()> {
        turn(self, profile, ROUND_MS, |tab, profile| tab.report(profile, ROUND_MS))?;
        let is_overused = self.notice.meters.iter().any(|one| one.state == MeterState::Overused);
        let Some(grant) = self.grant.clone() else { return Ok(()) };
        let is_alone = profile.tabs.iter().all(|other| other.name != self.name);
        if !(grant.item.strict || is_overused) || self.stops(0).is_some() || !is_alone {
            return Ok(());
        }
        turn(self, profile, ROUND_MS, |tab, profile| {
            // It leaves the storage first: no page may begin with what was given back.
            let name = tab.name.clone();
            let is_whole = profile.store.write(|on| {
                let is_whole = on.totals.values().all(|row| !row.is_unsent);
                if is_whole {
                    on.licenses.remove(&name);
                }
                is_whole
            })?;
            let server = tab.server.clone();
            match is_whole {
                true => give_back(tab, profile, &grant, server.as_ref(), ROUND_MS),
                false => Ok(()),
            }
        })
    }
}
