//! The part of a device in one page: its identity, its license, and whose turn it is to talk, by
//! the rules of `bindings/web/src/session.js`.

use std::collections::BTreeMap;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, MeterState,
};
use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::{PublicKey, random_id};

use super::Browser;
use super::errors::{
    ASKS_OTHER, ENDS, Failure, Halt, Outcome, TAKES_FRESH_UUID, caught, fail, malformed,
};
use super::grant::{Grant, slot_of, verify};
use super::reports::{Receiver, give_back, note_server, report, tidy};
use super::requests::{Known, authorization_of, stopped_by};
use super::server::{Answer, Sender, post};
use super::store::{Content, Device, LicenseRow, Notice, ServerRow};
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

fn written(content: &AuthorizationRequest) -> Vec<u8> {
    serde_json::to_vec(content).expect("a request has a JSON form")
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
    fn use_row(&mut self, profile: &mut Browser, row: LicenseRow) -> Outcome<()> {
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
        if let Some(grant) = &self.grant {
            let (key, urls) = (grant.server_key.clone(), profile.options.servers.to_vec());
            let to = Receiver { key_id: grant.key_id.clone(), key, urls };
            self.report_to(profile, &to, ms)?;
        }
        let servers: Vec<ServerRow> =
            profile.store.read(|on| on.servers.values().cloned().collect())?;
        for ServerRow { key_id, key, urls, .. } in servers {
            if Some(&key_id) != own.as_ref() {
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

    fn change_rows(
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

    /// Ask for an authorization, from the first server that decides.
    fn ask(&mut self, profile: &mut Browser, ms: i64, needed: u64) -> Outcome<()> {
        let ends = self.clock.monotonic_ms() + ms;
        let Err(error) = caught(self.ask_any(profile, ends, needed))? else { return Ok(()) };
        let is_over = TAKES_FRESH_UUID.contains(&error.code)
            && error.is_believed.is_some_and(|is_believed| is_believed || self.grant.is_none());
        if !is_over {
            self.note_refusal(profile, &error)?;
            return Err(error.into());
        }
        self.take_fresh_identity(profile)?;
        let Err(error) = caught(self.ask_any(profile, ends, needed))? else { return Ok(()) };
        self.note_refusal(profile, &error)?;
        Err(error.into())
    }

    fn ask_any(&mut self, profile: &mut Browser, ends: i64, needed: u64) -> Outcome<()> {
        let mut last: Option<Failure> = None;
        let servers = profile.options.servers;
        for (n, url) in servers.into_iter().enumerate() {
            // Each server gets its part of the time that is left.
            let left = i64::try_from(servers.len() - n).unwrap_or(1);
            let ms = (ends - self.clock.monotonic_ms()) / left;
            match caught(self.ask_one(profile, url, ms.max(1), needed))? {
                Ok(()) => return Ok(()),
                Err(error) if !ASKS_OTHER.contains(&error.code) => return Err(error.into()),
                Err(error) => {
                    let is_silence = error.code == ErrorCode::FAILED_TO_REACH_SERVER;
                    last = Some(last.filter(|_| is_silence).unwrap_or(error));
                }
            }
        }
        Err(last.expect("there are servers").into())
    }

    fn ask_one(
        &mut self,
        profile: &mut Browser,
        url: &'static str,
        ms: i64,
        needed: u64,
    ) -> Outcome<()> {
        let (device, name) = (self.device.clone(), self.name.clone());
        let known = profile.store.write(|on| {
            let is_of =
                |server: &&ServerRow| server.uuid == device.uuid && server.urls.contains(&url);
            let at_url = on.servers.values().find(is_of).cloned();
            let is_known = at_url.is_some();
            // Another URL may lead to the server of the license: a standby with the same data.
            let of_license = || {
                let key_id = on.licenses.get(&name)?.key_id.clone();
                on.servers.get(&(device.uuid.clone(), key_id)).cloned()
            };
            let server = at_url.or_else(of_license);
            let first = on.first.entry(device.uuid.clone());
            let first = first
                .or_insert_with(|| random_id().expect("the seed gives random numbers"))
                .clone();
            let is_held = |row: &&LicenseRow| {
                row.uuid == device.uuid
                    && server.as_ref().is_some_and(|server| server.key_id == row.key_id)
            };
            let held = on.licenses.get(&name).filter(is_held);
            let first = if is_known { String::new() } else { first };
            Known { held: held.map(|row| row.local_license.clone()), server, first }
        })?;
        let agreement = Agreement::begin().expect("the system has random numbers");
        let share = agreement.share();
        let mut content = authorization_of(&profile.options, &device, &known, share, needed);
        let server = known.server.as_ref().map(|server| (server.key_id.as_str(), &server.key));
        let sender = Sender { key: &device.key, report_key: None, server };
        let mut answer =
            post(self, profile, url, AUTHORIZATIONS_PATH, written(&content), &sender, ms)?;
        if !answer.is_ok
            && let Some(challenge) = answer.challenge()
        {
            content.challenge = Some(challenge);
            answer = post(self, profile, url, AUTHORIZATIONS_PATH, written(&content), &sender, ms)?;
        }
        if answer.is_ok {
            let known = known.server.filter(|server| server.key_id == answer.key_id);
            return self.accept(profile, url, known.as_ref(), &answer, agreement);
        }
        if answer.is_believed {
            self.hear(profile, answer.time)?;
            let text = |field: &str| answer.body[field].as_str().unwrap_or_default().to_owned();
            let (epoch, receipt) = (text("epoch"), text("receipt"));
            let key_id = server.map_or("", |(key_id, _)| key_id);
            note_server(&mut profile.store, &device.uuid, key_id, &epoch, &receipt)?;
        }
        Err(answer.refusal().into())
    }

    fn accept(
        &mut self,
        profile: &mut Browser,
        url: &'static str,
        known: Option<&ServerRow>,
        answer: &Answer,
        agreement: Agreement,
    ) -> Outcome<()> {
        let body: AuthorizationAnswer =
            serde_json::from_slice(answer.bytes()).map_err(malformed)?;
        let root = self.root.clone().unwrap_or_else(|| body.root_key.clone());
        let (file, local) = (&body.license_file, &body.local_license);
        let grant = verify(file, local, &root, &self.device, &profile.options)?;
        if answer.key_id != grant.key_id || !answer.is_by(&grant.server_key) {
            return fail(ErrorCode::LICENSE_SYNC_FAILED, "it is not the server of the vendor");
        }
        self.require_no_older_file(profile, &grant, answer.time)?;
        let uuid = self.device.uuid.clone();
        let agreed = agreement.of_device(&body.key_share, &uuid);
        let report_key = agreed.map_err(|why| {
            Failure::new(ErrorCode::LICENSE_SYNC_FAILED, format!("key_share: {why}"))
        })?;
        self.hear(profile, answer.time)?;
        note_server(&mut profile.store, &uuid, &grant.key_id, &body.epoch, &body.receipt)?;
        let others = known.into_iter().flat_map(|known| &known.urls).filter(|other| **other != url);
        let server = ServerRow {
            uuid: uuid.clone(),
            key_id: grant.key_id.clone(),
            key: grant.server_key.clone(),
            urls: std::iter::once(url).chain(others.copied()).collect(),
            newest: body.local_license.clone(),
            receipt: body.receipt,
            epoch: body.epoch,
            report_key,
        };
        let row = LicenseRow {
            name: self.name.clone(),
            uuid,
            key_id: grant.key_id.clone(),
            item: grant.item.item_id.clone(),
            license_file: body.license_file,
            local_license: body.local_license,
            notice: Notice { meters: body.meters, refusal: None },
            asked_at: self.clock.wall_ms(),
        };
        self.store_grant(profile, url, &grant, server, row.clone(), &root)?;
        self.root = Some(root);
        self.use_row(profile, row)?;
        self.has_renewed = true;
        profile.tell_others(&Message::Changed { name: self.name.clone() });
        self.adopt();
        Ok(())
    }

    fn store_grant(
        &self,
        profile: &mut Browser,
        url: &str,
        grant: &Grant,
        server: ServerRow,
        row: LicenseRow,
        root: &PublicKey,
    ) -> Outcome<()> {
        let stores_root = profile.options.root_key.is_none() && self.root.is_none();
        profile.store.write(|on| {
            on.devices.insert(self.device.uuid.clone(), self.device.clone());
            on.servers.insert((server.uuid.clone(), server.key_id.clone()), server);
            on.licenses.insert(row.name.clone(), row);
            // The server at this URL has another key now, or another data directory.
            for other in on.servers.values_mut().filter(|other| other.key_id != grant.key_id) {
                other.urls.retain(|known| *known != url);
            }
            on.issues.insert(grant.file_id.clone(), grant.file_issued_at);
            if stores_root {
                on.root = Some(root.clone());
            }
        })
    }

    /// Refuse a server that was given an older file, or whose clock is before the file.
    fn require_no_older_file(&self, profile: &Browser, grant: &Grant, time: u64) -> Outcome<()> {
        let newest = profile.store.read(|on| on.issues.get(&grant.file_id).copied())?;
        if newest.is_some_and(|newest| newest > grant.file_issued_at) {
            return fail(ErrorCode::LICENSE_SYNC_FAILED, "the license file is older than before");
        }
        if time < grant.file_issued_at {
            return fail(ErrorCode::LICENSE_SYNC_FAILED, "the server's time is before its file");
        }
        Ok(())
    }

    fn note_refusal(&mut self, profile: &mut Browser, error: &Failure) -> Outcome<()> {
        let Some(own) = self.row.as_ref() else { return Ok(()) };
        if error.is_believed != Some(true) || !ENDS.contains(&error.code) {
            return Ok(());
        }
        let (name, item) = (own.name.clone(), own.item.clone());
        let is_revoked = error.code == ErrorCode::REVOKED;
        self.change_rows(profile, |row| {
            let is_meant = row.name == name || is_revoked && row.item == item;
            if is_meant {
                row.notice.refusal = Some(error.clone());
            }
            is_meant
        })
    }

    /// Take another identity: the counts so far stay with the one under which they were made.
    fn take_fresh_identity(&mut self, profile: &mut Browser) -> Outcome<()> {
        let (left, made) = (self.device.uuid.clone(), super::make_device());
        let made_uuid = made.uuid.clone();
        self.device = profile.store.write(|on| {
            // Another page may have done it.
            if let Some(other) = on.device().filter(|device| device.uuid != left) {
                return other.clone();
            }
            on.devices.insert(made_uuid.clone(), made.clone());
            on.device = Some(made_uuid);
            made
        })?;
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
