//! What the vendor and the operator do: import, change, back up, restore.

use std::sync::Arc;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::signature::Signed;
use seatmeter_server::error::Error;
use seatmeter_server::operator::commands::{Change, CodeItems};
use seatmeter_server::operator::queries::alerts::AlertCheckQuery;
use seatmeter_server::operator::queries::conditions::ServerFacts;
use seatmeter_server::policy::select::access::Validation;

use super::{CODE, ORGANIZATION, Server, epoch_of, now};
use crate::books::{number, rows, text};
use crate::model::SLOT;
use crate::plain::Plain;
use crate::plan::{Code, Edit};
use crate::time::{START, Time};

impl Server {
    /// Import the vendor's license file with the items as the models have them.
    pub(super) fn import(&mut self) {
        let server_key = self.key();
        let file = LicenseFile {
            version: 1,
            // A later issue of a file with another key would replace the key of the first one.
            file_id: format!("file-of-{}", server_key.id()),
            organization_id: ORGANIZATION.into(),
            organization_name: "Simulated".into(),
            server_key,
            issued_at: START + self.issues,
            items: self.models().map(|model| model.item.clone()).collect(),
            unknown_items: Vec::new(),
        };
        let envelope = Signed::seal(&file, &self.vendor).expect("a license file has a JSON form");
        let code = (self.issues == 0).then(|| CODE.to_owned());
        let root = self.vendor.public().clone();
        now(self.licensing.import(envelope, root, code, "sim")).expect("the license file is sound");
        self.issues += 1;
        if std::mem::take(&mut self.model.is_edited) {
            // What was re-armed meanwhile fires with the next check, at most 10 minutes later.
            self.check_alerts();
        }
    }

    /// Import the file as the vendor has signed it, if somebody has edited it.
    pub(crate) fn mend(&mut self) {
        if self.model.is_edited {
            self.import();
        }
    }

    /// Return a server with the same key, and a copy of the data. From now on, each may take the
    /// licenses of the other for a rollback of its own.
    pub(crate) fn copy(&mut self, time: Arc<Time>) -> Self {
        self.compared.leave_postgres();
        let snapshot = self.store.snapshot().expect("there is memory");
        let plain = self.compared.plain.lock().clone();
        self.model.restores += 1;
        let mut copy = Self::with_key("2", self.model.item.clone(), None, true, time);
        copy.compared.leave_postgres();
        copy.store.put_back(&snapshot).expect("the copy is sound");
        *copy.compared.plain.lock() = plain;
        copy.model = self.model.clone();
        (copy.issues, copy.raises) = (self.issues, self.raises);
        if self.time.was_ahead() {
            copy.accept_clock();
        }
        copy.promised = self.promised.clone();
        let epoch = Some(epoch_of(&self.store));
        (self.unnoticed, copy.unnoticed) = (epoch.clone(), epoch);
        copy
    }

    /// Import the newest issue of the license file that another server has.
    pub(crate) fn follow_issue(&mut self, other: &Self) {
        if self.issues < other.issues {
            self.issues = other.issues - 1;
            self.raises = other.raises;
            self.model.item = other.model.item.clone();
            self.import();
        }
    }

    /// Edit the database as an operator may who has its file.
    pub(crate) fn edit(&mut self, edit: Edit) {
        self.compared.leave_postgres();
        let mut plain = self.compared.plain.lock();
        match edit {
            Edit::Quota => {
                let read = "SELECT payload FROM license_file";
                let mut file: serde_json::Value =
                    serde_json::from_str(&text(&rows(&self.store, read)[0][0]))
                        .expect("it is JSON");
                for item in file["items"].as_array_mut().expect("a file has items") {
                    item["quota"] = (item["quota"].as_u64().unwrap_or(0) * 10 + 1).into();
                }
                let payload = file.to_string().replace('\'', "''");
                self.store.edit(&format!("UPDATE license_file SET payload = '{payload}'"))
            }
            Edit::Holders => {
                self.model.holds.clear();
                plain.iter_mut().for_each(Plain::forget_holders);
                self.store.edit("DELETE FROM seat_holder; UPDATE item_held SET seats = 0")
            }
        }
        .expect("the tables are there");
        if edit == Edit::Quota {
            self.model.is_edited = true;
            plain.iter_mut().for_each(|plain| plain.is_edited = true);
        }
    }

    pub(crate) fn raise_quota(&mut self, more: u64) {
        let item = &mut self.model.item;
        match (&mut item.page_quotas, item.charge_way) {
            (Some(quotas), _) => quotas.core += more,
            (None, ChargeWay::BarcodeScan) => item.quota += more,
            (None, ChargeWay::Domain) => return,
            _ => item.quota += more.div_ceil(25),
        }
        self.raises += 1;
        self.import();
    }

    pub(crate) fn change(&mut self, change: Change) -> Result<(), Error> {
        now(self.licensing.change(change, "sim"))
    }

    /// Let the operator accept the clock, which was ahead before.
    fn accept_clock(&mut self) {
        self.change(Change::AcceptClock).expect("the store is sound");
    }

    /// Set by how much the clock is ahead. When it is set right, the operator accepts it.
    pub(crate) fn set_ahead(&mut self, seconds: u64) {
        let before = self.time.now();
        self.time.set_ahead(seconds);
        if self.time.now() < before {
            self.accept_clock();
        }
    }

    pub(crate) fn revoke(&mut self) {
        if !self.model.is_revoked {
            let revoked = self.change(Change::RevokeItem { item_id: "item".into() });
            revoked.expect("the item is there");
            self.model.is_revoked = true;
        }
    }

    pub(crate) fn change_code(&mut self, code: Code) {
        let mut item_ids: Vec<String> =
            self.models().map(|model| model.item.item_id.clone()).collect();
        match code {
            Code::Nothing => item_ids.clear(),
            Code::Second => _ = item_ids.remove(0),
            Code::Item | Code::Others => {}
        }
        let items = CodeItems { item_ids, own_order: false };
        let application_ids =
            if code == Code::Others { vec!["another".to_owned()] } else { Vec::new() };
        let validation = Validation { application_ids, ..Validation::default() };
        let handshake_code = CODE.to_owned();
        let changes = [
            Change::SetItems { handshake_code: handshake_code.clone(), items },
            Change::SetAccess { handshake_code, password_hash: None, validation },
        ];
        changes
            .into_iter()
            .for_each(|change| self.change(change).expect("code and item are there"));
        self.model.code = code;
    }

    pub(crate) fn release(&mut self, uuid: &str) {
        let items: Vec<String> = self.models().map(|model| model.item.item_id.clone()).collect();
        for item_id in items {
            let change = Change::ReleaseDevice { item_id, device_uuid: uuid.into() };
            if self.change(change).is_ok() {
                self.model.release(uuid, self.time.now());
            }
        }
    }

    /// Check the alerts, as a server does every 10 minutes.
    fn check_alerts(&self) {
        let question = AlertCheckQuery { facts: ServerFacts::default() };
        let found = now(self.licensing.ask(question, None)).expect("the store is sound");
        let noted = self.licensing.store.note_alerts(found, self.time.now());
        now(noted).expect("the store is sound");
    }

    /// Let all alerts fire again that did not fire in this second: nobody is so fast.
    pub(crate) fn rearm(&mut self) {
        let before = "SELECT alert_id, recovered_at IS NULL, fired_at FROM alert";
        for row in rows(&self.store, before) {
            let (alert_id, stood, fired_at) = (text(&row[0]), number(&row[1]), number(&row[2]));
            if fired_at >= self.time.now() {
                continue;
            }
            *self.model.rearmed.entry(alert_id.clone()).or_default() += stood;
            self.change(Change::RearmAlert { alert_id }).expect("the alert is there");
        }
        self.check_alerts();
    }

    pub(crate) fn tidy(&self) {
        self.check_alerts();
        while now(self.licensing.store.tidy(self.time.now())).expect("the store is sound") {}
    }

    pub(crate) fn back_up(&mut self) {
        let snapshot = self.store.snapshot().expect("there is memory");
        self.backup = Some((snapshot, self.compared.plain.lock().clone(), self.model.clone()));
    }

    /// Restore the backup and lose everything since; return whether there was a backup.
    pub(crate) fn restore(&mut self) -> bool {
        let Some((snapshot, plain, model)) = &self.backup else { return false };
        let at = self.time.now();
        self.compared.leave_postgres();
        if self.is_put_back {
            self.store.put_back(snapshot).expect("the backup is sound");
            self.compared.plain.lock().clone_from(plain);
            self.unnoticed = Some(epoch_of(&self.store));
        } else {
            self.store.restore(snapshot, at).expect("the backup is sound");
            let plain = plain.as_ref().map(|plain| plain.restored(epoch_of(&self.store), at));
            *self.compared.plain.lock() = plain;
        }
        let (item, is_revoked, code) =
            (self.model.item.clone(), self.model.is_revoked, self.model.code);
        let websites = self.model.websites.clone();
        let careful_until = if self.is_put_back { model.careful_until } else { at + SLOT };
        self.model = model.restored(careful_until, self.model.restores + 1);
        self.model.websites = websites;
        // The vendor and the operator repeat their changes since the backup.
        self.model.item = item;
        self.import();
        self.change_code(code);
        if is_revoked {
            self.revoke();
        }
        if self.time.was_ahead() {
            // The backup may have the time of then.
            self.accept_clock();
        }
        true
    }
}
