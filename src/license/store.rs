//! Grants on disk, and which vendor's key they are checked against.
//!
//! A library with a compiled-in root key believes nothing else. One without trusts the key of the first
//! answer under each grant name, stores it, and from then on believes nothing else for that name; so two
//! vendors' products can share a device.

use std::path::PathBuf;
use std::sync::Arc;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{AuthorizationAnswer, Meter, ProblemNumbers};
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::grant::{Grant, compiled_root_key};
use super::told::Told;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kill_points::kill_point;
use crate::log::{Level, say};
use crate::state::{FramedFile, Kind, Loaded, StateDirectory};

/// The stored grant of one name.
#[derive(Debug)]
pub struct GrantStore {
    name: String,
    grant: FramedFile,
    root_key: FramedFile,
    told: FramedFile,
    /// The grant that was given back last: what was counted under it may still have to be reported.
    given_back: FramedFile,
}

impl GrantStore {
    /// The grant of this name (see [`crate::parameters::Parameters::grant_name`]).
    pub fn new(state: &StateDirectory, name: &str) -> Self {
        let file =
            |ending: &str, kind| FramedFile::new(state.licenses().join(format!("{name}.{ending}")), kind);
        Self {
            name: name.to_owned(),
            grant: file("grant", Kind::Grant),
            root_key: file("root-key", Kind::RootKey),
            told: file("told", Kind::Told),
            given_back: file("given-back", Kind::Grant),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stored grant, if there is one and it is to be believed. One that is not is set aside.
    ///
    /// # Errors
    /// When files cannot be read or set aside.
    pub fn load(&self, device: &Device) -> Result<Option<Arc<Grant>>> {
        let Loaded::Content(answer) = self.grant.load::<AuthorizationAnswer>()? else { return Ok(None) };
        let Some(root) = self.known_root()? else { return Ok(None) };
        match Grant::verify(&answer, &root, device) {
            Ok(grant) => Ok(Some(Arc::new(grant))),
            Err(_) => {
                self.grant.set_aside()?;
                Ok(None)
            }
        }
    }

    /// The key of the server that has granted under this name, good or not any more. Changes nothing, for it
    /// may be asked by a library of another vendor.
    pub fn server_key(&self, device: &Device) -> Option<PublicKey> {
        let answer: AuthorizationAnswer = self.grant.peek().or_else(|| self.given_back.peek())?;
        let root = compiled_root_key().ok()?.or_else(|| self.root_key.peek())?;
        Grant::verify(&answer, &root, device).ok().map(|grant| grant.server_key)
    }

    /// The local licence as the server has signed it, to show it that server again. It checks it itself.
    pub fn held(&self) -> Option<Signed> {
        self.grant.peek().map(|answer: AuthorizationAnswer| answer.local_license)
    }

    /// Whether no grant is on the disk.
    pub fn is_missing(&self) -> bool {
        matches!(self.grant.path().try_exists(), Ok(false))
    }

    /// The file whose lock says whose turn it is to ask for a grant of this name.
    pub fn turn(&self) -> PathBuf {
        self.grant.path().with_extension("turn")
    }

    /// What the server has last told of the item's use.
    pub fn told(&self) -> Option<Told> {
        self.told.peek()
    }

    /// Keeps how far the item is used, as the server tells it at this time.
    pub fn note_meters(&self, at: u64, meters: Vec<Meter>) {
        // A refusal stands until the next grant.
        self.note_told(&Told { at, meters, ..self.told().unwrap_or_default() });
    }

    /// Keeps what a refusal says; one that ends the grant does so from now on.
    pub fn note_refusal(&self, at: u64, why: &Error, ends: bool, numbers: Option<ProblemNumbers>) {
        let mut told = Told { at, refused_with: numbers, ..self.told().unwrap_or_default() };
        if ends {
            (told.refusal, told.refused_because) = (Some(why.code), why.message.clone());
        }
        self.note_told(&told);
    }

    /// Gives the grant up: it was given back. Whose it was stays known, for what is not reported yet.
    ///
    /// # Errors
    /// When its file cannot be moved out of the way.
    pub fn discard(&self) -> Result<()> {
        self.grant.move_to(&self.given_back)
    }

    /// Whether this licence, or a later one of the same item, was given back by whichever program was the last to work under
    /// it, and there is none since.
    pub fn has_given_back(&self, license: &LocalLicense) -> bool {
        let local = |answer: AuthorizationAnswer| answer.local_license.peek::<LocalLicense>().ok();
        let is_of_same = |given: &LocalLicense| {
            given.item_id == license.item_id && given.device_uuid == license.device_uuid
        };
        // Mostly there is none, and then the grant need not be read: this is asked in every round.
        let given_back = self.given_back.peek().and_then(local).filter(is_of_same);
        given_back.is_some_and(|given| given.serial >= license.serial) && self.held().is_none()
    }

    // A full disk is no reason to fail: whatever is decided by it is decided again at the next contact.
    fn note_told(&self, told: &Told) {
        if let Err(error) = self.told.store(told) {
            say(Level::Warning, format_args!("{error}"));
        }
    }

    /// Checks an answer and keeps it.
    ///
    /// # Errors
    /// When it is not to be believed, or cannot be written.
    pub fn accept(&self, answer: &AuthorizationAnswer, device: &Device) -> Result<Arc<Grant>> {
        let known = self.known_root()?;
        let grant = Grant::verify(answer, known.as_ref().unwrap_or(&answer.root_key), device)?;
        // A new one for a UUID of before would be of no use.
        if grant.local.device_uuid != device.uuid {
            return Err(ErrorCode::DEVICE_NOT_MATCH.into());
        }
        if known.is_none() && !self.root_key.store_new(&answer.root_key)? {
            // Another process was first: its key is the one to believe.
            let root = self.known_root()?.ok_or_else(|| {
                Error::new(
                    ErrorCode::LICENSE_BUFFER_FAILED,
                    format!("{} disappeared while it was read", self.root_key.path().display()),
                )
            })?;
            Grant::verify(answer, &root, device)?;
        }
        kill_point("grant: root key stored");
        self.grant.store(answer)?;
        kill_point("grant: stored");
        self.note_told(&Told { at: grant.local.issued_at, meters: answer.meters.clone(), ..Told::default() });
        Ok(Arc::new(grant))
    }

    fn known_root(&self) -> Result<Option<PublicKey>> {
        if let Some(key) = compiled_root_key()? {
            return Ok(Some(key));
        }
        Ok(match self.root_key.load()? {
            Loaded::Content(key) => Some(key),
            Loaded::Absent | Loaded::SetAside { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::test_support::{answer, item, key, local};
    use super::*;
    use seatmeter_protocol::license::LicenseFile;

    fn device() -> Device {
        Device::with_uuid("d".repeat(32))
    }

    #[test]
    fn an_accepted_grant_is_there_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        assert!(GrantStore::new(&state, "a").load(&device()).unwrap().is_none());
        GrantStore::new(&state, "a").accept(&answer(item(), &local()), &device()).unwrap();
        let grant = GrantStore::new(&state, "a").load(&device()).unwrap().unwrap();
        assert_eq!(grant.local, local());
        assert!(GrantStore::new(&state, "b").load(&device()).unwrap().is_none());
    }

    #[test]
    fn the_first_vendor_key_is_the_only_one_believed_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let store = GrantStore::new(&state, "a");
        let good = answer(item(), &local());
        store.accept(&good, &device()).unwrap();
        let file: LicenseFile = good.license_file.peek().unwrap();
        let forged = AuthorizationAnswer {
            root_key: key(9).public().clone(),
            license_file: Signed::seal(&file, &key(9)).unwrap(),
            ..good
        };
        let error = store.accept(&forged, &device()).unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED);
        assert!(GrantStore::new(&state, "other").accept(&forged, &device()).is_ok());
    }

    #[test]
    fn a_grant_of_another_device_is_set_aside_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let store = GrantStore::new(&state, "a");
        store.accept(&answer(item(), &local()), &device()).unwrap();
        assert!(store.load(&Device::with_uuid("another")).unwrap().is_none());
        let kept = std::fs::read_dir(state.licenses()).unwrap();
        assert!(kept.flatten().any(|e| e.file_name().to_string_lossy().contains("damaged")));
    }
}
