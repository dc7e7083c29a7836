//! How a page asks for a license, and what it does with the answer, by the rules of
//! `bindings/web/src/session.js`.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest};
use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::{PublicKey, random_id};

use super::Browser;
use super::errors::{
    ASKS_OTHER, ENDS, Failure, Outcome, TAKES_FRESH_UUID, caught, fail, malformed,
};
use super::grant::{DAY_SECONDS, Grant, verify};
use super::reports::note_server;
use super::requests::{Known, authorization_of};
use super::server::{Answer, Sender, post};
use super::store::{LicenseRow, Notice, ServerRow};
use super::tab::{Message, Tab};

fn written(content: &AuthorizationRequest) -> Vec<u8> {
    serde_json::to_vec(content).expect("a request has a JSON form")
}

impl Tab {
    /// Ask for an authorization, from the first server that decides.
    pub(super) fn ask(&mut self, profile: &mut Browser, ms: i64, needed: u64) -> Outcome<()> {
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

    /// Refuse a server that was given an older file, or whose clock is far before the file.
    fn require_no_older_file(&self, profile: &Browser, grant: &Grant, time: u64) -> Outcome<()> {
        let newest = profile.store.read(|on| on.issues.get(&grant.file_id).copied())?;
        if newest.is_some_and(|newest| newest > grant.file_issued_at) {
            return fail(ErrorCode::LICENSE_SYNC_FAILED, "the license file is older than before");
        }
        if time + DAY_SECONDS < grant.file_issued_at {
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
}
