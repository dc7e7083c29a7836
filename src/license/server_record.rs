//! What the device knows of each license server, whichever program of the device has heard it.
//!
//! A device has one history with a server. Each license is a step of it, and the next request, by
//! whatever program, must show the newest one: a device that shows an older one looks like another
//! installation with the same key. The file of a server also has the report keys that were agreed
//! on with it, by client UUID.
//!
//! The file is found by the key of the server, or by the address at which it answered: a program
//! without a license knows no key yet. A license is shown at an address at which its server has
//! answered before, or by a program that works with that server.

use std::collections::BTreeMap;
use std::path::Path;

use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::request_auth::ReportKey;
use seatmeter_protocol::signature::{PublicKey, Signed, digest_hex, random_id};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::state::{FramedFile, Kind, Loaded, StateDirectory};

/// The most addresses that are remembered of one server, the most report keys, and the most
/// licenses.
const REMEMBERED_MAX: usize = 16;

/// The most attempts to replace a file that other processes change after it was read.
const TRIES_MAX: u32 = 64;

const ENDING: &str = "server";

/// The record of one server.
#[derive(Debug)]
pub struct ServerRecord {
    file: FramedFile,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// The base URLs at which the server has answered, latest last.
    urls: Vec<String>,
    /// The newest license.
    newest: Option<Signed>,
    /// The newest report key of each client UUID of the device.
    report_keys: BTreeMap<String, ReportKey>,
    /// The receipt in the last answer.
    #[serde(default)]
    receipt: String,
    /// The last local licenses, each in its newest form, latest last. Work may be reported again
    /// long after its license was replaced by another.
    #[serde(default)]
    licenses: Vec<Signed>,
}

/// What the device shows of a server with a request to it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The newest license under the client UUID of the request.
    pub newest: Option<Signed>,
    /// The receipt in the server's last answer, or empty.
    pub receipt: String,
}

impl ServerRecord {
    /// Return the record of the server with this key.
    pub fn of(state: &StateDirectory, key: &PublicKey) -> Self {
        Self::at(&state.licenses().join(format!("{}.{ENDING}", key.id())))
    }

    pub(crate) fn at(path: &Path) -> Self {
        Self { file: FramedFile::new(path.to_owned(), Kind::Server) }
    }

    /// Return what to show at this base URL, of the server that has answered there.
    pub fn shown_at(state: &StateDirectory, url: &str, uuid: &str) -> Shown {
        let files = std::fs::read_dir(state.licenses()).into_iter().flatten().flatten();
        let records = files.map(|file| file.path());
        let records = records.filter(|path| path.extension().is_some_and(|found| found == ENDING));
        let contents = records.filter_map(|path| Self::at(&path).file.peek::<Content>());
        let here = contents.filter(|content| content.urls.iter().any(|known| known == url));
        let issued_at =
            |content: &Content| content.newest_of(uuid).map(|(_, local)| local.issued_at);
        here.max_by_key(issued_at).unwrap_or_default().shown(uuid)
    }

    /// Return what to show with a report under this UUID, and the report key.
    pub fn known(&self, uuid: &str) -> (Shown, Option<ReportKey>) {
        let mut content = self.file.peek::<Content>().unwrap_or_default();
        let report_key = content.report_keys.remove(uuid);
        (content.shown(uuid), report_key)
    }

    /// Return the license with this id, in the newest form that was noted.
    pub fn license(&self, license_id: &str) -> Option<Signed> {
        let content = self.file.peek::<Content>().unwrap_or_default();
        content.licenses.into_iter().find(|license| id_of(license) == license_id)
    }

    /// Note a license that the server gave at this base URL, the report key that was agreed on
    /// with it, and the receipt. What another process got with a later license meanwhile stays.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn note(
        &self,
        url: &str,
        license: &Signed,
        report_key: &ReportKey,
        receipt: &str,
    ) -> Result<()> {
        let Ok(local) = license.peek::<LocalLicense>() else { return Ok(()) };
        self.change(|content| {
            content.urls.retain(|known| known != url);
            content.urls.push(url.to_owned());
            let surplus = content.urls.len().saturating_sub(REMEMBERED_MAX);
            content.urls.drain(..surplus);
            if content.take_newer(license, &local) {
                if content.report_keys.len() == REMEMBERED_MAX {
                    content.report_keys.clear();
                }
                content.report_keys.insert(local.device_uuid.clone(), report_key.clone());
                receipt.clone_into(&mut content.receipt);
            }
            content.licenses.retain(|known| id_of(known) != local.license_id);
            content.licenses.push(license.clone());
            let surplus = content.licenses.len().saturating_sub(REMEMBERED_MAX);
            content.licenses.drain(..surplus);
        })
    }

    /// Note a stored license before it is shown to the server. The process that got it may have
    /// been killed before it noted it here; from now on the server knows that the device has it,
    /// and takes an older one for a copy's.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn note_shown(&self, license: &Signed) -> Result<()> {
        let Ok(local) = license.peek::<LocalLicense>() else { return Ok(()) };
        self.change(|content| {
            content.take_newer(license, &local);
        })
    }

    /// Note the receipt in an answer of the server to a request that has shown this one. A receipt
    /// that another process got meanwhile stays: this process may have been stopped, and what the
    /// other one was told has no other proof.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn note_receipt(&self, receipt: &str, shown: &str) -> Result<()> {
        self.change(|content| {
            if content.receipt == shown {
                receipt.clone_into(&mut content.receipt);
            }
        })
    }

    /// Change the content, with what other processes write meanwhile.
    fn change(&self, change: impl Fn(&mut Content)) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let seen = match self.file.load::<Content>()? {
                Loaded::Content(seen) => Some(seen),
                Loaded::Absent | Loaded::SetAside { .. } => None,
            };
            let mut content = seen.clone().unwrap_or_default();
            change(&mut content);
            if seen.as_ref() == Some(&content) {
                return Ok(());
            }
            if self.file.store_over(seen.as_ref(), &content)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Content {
    fn shown(self, uuid: &str) -> Shown {
        let newest = self.newest_of(uuid).map(|(newest, _)| newest);
        Shown { newest, receipt: self.receipt }
    }

    /// Take this license if it is newer than the known one. Return whether it is.
    fn take_newer(&mut self, license: &Signed, local: &LocalLicense) -> bool {
        let known = self.newest_of(&local.device_uuid);
        let is_newer = known.is_none_or(|(_, known)| known.generation < local.generation);
        if is_newer {
            self.newest = Some(license.clone());
        }
        is_newer
    }

    fn newest_of(&self, uuid: &str) -> Option<(Signed, LocalLicense)> {
        let newest = self.newest.clone()?;
        let local: LocalLicense = newest.peek().ok()?;
        (local.device_uuid == uuid).then_some((newest, local))
    }
}

fn id_of(license: &Signed) -> String {
    license.peek::<LocalLicense>().map_or_else(|_| String::new(), |local| local.license_id)
}

/// Return the id of the device's first contact under this UUID, a new one if there is none. The
/// device repeats it to each server that has not given it a license yet, so that the server knows a
/// lost answer from another installation with the same key. It is one for all servers, because two
/// addresses may lead to the same data. It stays: a server accepts it no more after the device has
/// shown its first license.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn first_contact(state: &StateDirectory, uuid: &str) -> Result<String> {
    let mut name = digest_hex(uuid.as_bytes());
    name.truncate(16);
    let path = state.licenses().join(format!("{name}.first-contact"));
    let file = FramedFile::new(path, Kind::FirstContact);
    let new = random_id().unwrap_or_default();
    for _ in 0..2 {
        if let Loaded::Content(id) = file.load::<String>()? {
            return Ok(id);
        }
        if file.store_new(&new)? {
            break;
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::test_support::{key, local};
    use seatmeter_protocol::license::Generation;
    use seatmeter_protocol::request_auth::Agreement;

    fn license(branch: u32, step: u32) -> Signed {
        let local = LocalLicense { generation: Generation { branch, step }, ..local() };
        Signed::seal(&local, &key(2)).unwrap()
    }

    fn report_key() -> ReportKey {
        let (one, other) = (Agreement::begin().unwrap(), Agreement::begin().unwrap());
        one.of_device(other.share(), "d").unwrap()
    }

    #[test]
    fn the_newest_license_of_all_programs_is_shown_where_its_server_answered() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let record = ServerRecord::of(&state, key(2).public());
        let uuid = local().device_uuid;
        let keys = [report_key(), report_key(), report_key()];
        record.note("http://main", &license(1, 2), &keys[0], "1").unwrap();
        record.note("http://other-name", &license(1, 3), &keys[1], "2").unwrap();
        record.note("http://main", &license(1, 1), &keys[2], "overtaken").unwrap();
        assert_eq!(
            record.known(&uuid).0.newest,
            Some(license(1, 3)),
            "an overtaken answer changes nothing"
        );
        assert!(record.known(&uuid).1 == Some(keys[1].clone()));
        for url in ["http://main", "http://other-name"] {
            let shown = ServerRecord::shown_at(&state, url, &uuid);
            assert_eq!((shown.newest, shown.receipt.as_str()), (Some(license(1, 3)), "2"), "{url}");
        }
        let of_another = ServerRecord::shown_at(&state, "http://another-vendor", &uuid);
        assert_eq!((of_another.newest, of_another.receipt.as_str()), (None, ""));
        for (receipt, shown) in [("4", "2"), ("of a stopped process", "2")] {
            record.note_receipt(receipt, shown).unwrap();
            assert_eq!(record.known(&uuid).0.receipt, "4");
        }
        assert_eq!(record.known("another").0.newest, None);
        record.note("http://main", &license(2, 3), &keys[2], "5").unwrap();
        assert_eq!(record.known(&uuid).0.newest, Some(license(2, 3)), "a later branch is newer");
        record.note_shown(&license(2, 2)).unwrap();
        assert_eq!(
            record.known(&uuid).0.newest,
            Some(license(2, 3)),
            "an older one changes nothing"
        );
        record.note_shown(&license(2, 4)).unwrap();
        assert_eq!(record.known(&uuid).0.newest, Some(license(2, 4)), "it is shown from now on");
    }

    #[test]
    fn each_of_the_last_licenses_is_kept_in_its_newest_form() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let record = ServerRecord::of(&state, key(2).public());
        let report_key = report_key();
        let with_id = |id: usize, step| {
            let generation = Generation { branch: 1, step };
            let local = LocalLicense { license_id: id.to_string(), generation, ..local() };
            Signed::seal(&local, &key(2)).unwrap()
        };
        for id in 0..REMEMBERED_MAX + 1 {
            record.note("http://main", &with_id(id, 1), &report_key, "").unwrap();
        }
        record.note("http://main", &with_id(1, 2), &report_key, "").unwrap();
        assert_eq!(record.license("0"), None, "it is the oldest of too many");
        assert_eq!(record.license("1"), Some(with_id(1, 2)));
        assert_eq!(record.license("2"), Some(with_id(2, 1)));
    }

    #[test]
    fn a_first_contact_keeps_its_id_and_another_uuid_has_another() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let id = |uuid| first_contact(&state, uuid).unwrap();
        let first = id("u");
        assert_eq!((first.len(), id("u")), (32, first.clone()));
        assert_ne!(id("v"), first);
    }
}
