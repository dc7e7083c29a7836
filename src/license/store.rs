//! The grants on disk, and the vendor's key by which they are checked.
//!
//! A library with a compiled-in root key believes no other key. A library without one trusts the
//! key of the first answer under each grant name, stores it, and then believes no other key for
//! that name. So two vendors' products can share a device.

use std::fs::DirEntry;
use std::path::PathBuf;
use std::sync::Arc;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::{AuthorizationAnswer, Meter, ProblemNumbers};
use seatmeter_protocol::signature::{PublicKey, Signed};
use serde::{Deserialize, Serialize};

use super::grant::{Grant, TrustedRoots, built_in_root_keys};
use super::issues::Issues;
use super::presented::{Basis, Credentials, Presented};
use super::server_notice::ServerNotice;
use crate::clock::Stamp;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fault_injection::kill_points::kill_point;
use crate::log::{Level, say};
use crate::seats::{newest_grant, pool_name};
use crate::state::{FramedFile, Kind, Loaded, StateDirectory};

/// The highest number by which a seat pool can know a grant; the number above it means that the
/// pool has moved.
const GRANT_NUMBER_MAX: u32 = u32::MAX - 1;

/// The stored grant of one name.
#[derive(Debug)]
pub struct GrantStore {
    name: String,
    /// The folder of the seat pools.
    seats: PathBuf,
    grant: FramedFile,
    root_key: FramedFile,
    notice: FramedFile,
    /// The last grant that was given back: counts under it may still have to be reported.
    given_back: FramedFile,
    issues: Issues,
}

/// The content of a grant's file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    answer: AuthorizationAnswer,
    #[serde(default)]
    presented: Presented,
    /// The number of the grant, see [`Grant::number`].
    #[serde(default)]
    number: u32,
    /// The stamp of the grant, see [`Grant::stamp`].
    #[serde(default)]
    stamp: Stamp,
}

/// The result of an accepted answer.
#[derive(Debug)]
pub struct Accepted {
    /// The grant that is on the disk now.
    pub grant: Arc<Grant>,
    /// The server notice that came with it.
    pub notice: ServerNotice,
    /// The license by which the grant serves this program.
    pub basis: Basis,
    /// Whether the grant is that of another process, which was faster.
    pub is_overtaken: bool,
}

/// The most attempts to replace a file that other processes change after it was read. More changes
/// than this mean that something is wrong with the disk.
const ACCEPT_TRIES_MAX: u32 = 64;

impl GrantStore {
    /// Return the store of this grant name (see [`crate::parameters::Parameters::grant_name`]).
    pub fn new(state: &StateDirectory, name: &str) -> Self {
        let file = |ending: &str, kind| {
            FramedFile::new(state.licenses().join(format!("{name}.{ending}")), kind)
        };
        Self {
            name: name.to_owned(),
            seats: state.seats(),
            grant: file("grant", Kind::Grant),
            root_key: file("root-key", Kind::RootKey),
            notice: file("notice", Kind::ServerNotice),
            given_back: file("given-back", Kind::Grant),
            issues: Issues::of(&state.licenses()),
        }
    }

    /// Return every grant of a state directory.
    pub fn all(state: &StateDirectory) -> Vec<Self> {
        let files = std::fs::read_dir(state.licenses()).into_iter().flatten().flatten();
        let named = |file: DirEntry| {
            let name = file.file_name().into_string().ok()?;
            Some(Self::new(state, name.strip_suffix(".grant")?))
        };
        files.filter_map(named).collect()
    }

    /// Return the name of the grant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Return the stored grant, if there is one and it can be believed. Otherwise the file is set
    /// aside.
    ///
    /// # Errors
    /// Fails if files cannot be read or set aside.
    pub fn load(&self, device: &Device) -> Result<Option<Arc<Grant>>> {
        let Loaded::Content(Stored { answer, number, stamp, .. }) = self.grant.load()? else {
            return Ok(None);
        };
        let Some(root) = self.known_root(&answer)? else { return Ok(None) };
        if let Ok(file) = answer.license_file.peek::<LicenseFile>()
            && self.issues.has_replaced_key(&root, &file)
        {
            self.grant.set_aside()?;
            return Ok(None);
        }
        match Grant::verify(&answer, &root, device) {
            Ok(grant) => Ok(Some(Arc::new(Grant { number, stamp, ..grant }))),
            Err(_) => {
                self.grant.set_aside()?;
                Ok(None)
            }
        }
    }

    /// Return the license by which the stored grant serves a program with these credentials. If
    /// this is `None`, the server is asked first.
    pub fn basis(&self, of: &Credentials, now: u64) -> Option<Basis> {
        self.grant.peek::<Stored>()?.presented.basis(of, now)
    }

    /// Note that the server has refused these credentials. If the disk does not take the note, the
    /// next program gets the refusal from the server.
    pub fn withdraw(&self, of: &Credentials) {
        for _ in 0..ACCEPT_TRIES_MAX {
            let Some(stored) = self.grant.peek::<Stored>() else { return };
            let mut without = stored.clone();
            without.presented.withdraw(of);
            match self.grant.store_over(Some(&stored), &without) {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => return say(Level::Warning, format_args!("{error}")),
            }
        }
    }

    /// Return the key of the server that has granted under this name, even if the grant is not
    /// valid any more. This changes nothing, because a library of another vendor may call it.
    pub fn server_key(&self, device: &Device) -> Option<PublicKey> {
        let answer: AuthorizationAnswer = self.grant.peek().or_else(|| self.given_back.peek())?;
        let root = built_in_root(&answer)
            .ok()?
            .or_else(|| self.root_key.peek())
            .or_else(|| own_root(&answer))?;
        Grant::verify(&answer, &root, device).ok().map(|grant| grant.server_key)
    }

    /// Return the vendor's root keys under which grants of this name are checked. This changes
    /// nothing.
    pub fn trusted_roots(&self) -> TrustedRoots {
        TrustedRoots::new(|| {
            let granted = || self.grant.peek().as_ref().and_then(own_root);
            self.root_key.peek().or_else(granted)
        })
    }

    /// Return the local license as the server has signed it, to show it to that server again. The
    /// server checks it itself.
    pub fn held(&self) -> Option<Signed> {
        self.grant.peek().map(|answer: AuthorizationAnswer| answer.local_license)
    }

    /// Return the local license that the device holds.
    pub fn held_license(&self) -> Option<LocalLicense> {
        self.held()?.peek().ok()
    }

    /// Return the ids of all strict items in the license file of the grant.
    pub fn strict_items(&self) -> Vec<String> {
        let answer: Option<AuthorizationAnswer> = self.grant.peek();
        let file = answer.and_then(|answer| answer.license_file.peek::<LicenseFile>().ok());
        let items = file.map(|file| file.items).unwrap_or_default();
        items.into_iter().filter(|item| item.strict).map(|item| item.item_id).collect()
    }

    /// Return whether no grant is on the disk.
    pub fn is_missing(&self) -> bool {
        matches!(self.grant.path().try_exists(), Ok(false))
    }

    /// Return the lock file that decides which process may request a grant of this name.
    pub fn turn(&self) -> PathBuf {
        self.grant.path().with_extension("turn")
    }

    /// Return the last server notice about the item.
    pub fn notice(&self) -> Option<ServerNotice> {
        self.notice.peek()
    }

    /// Return the last server notice about this license. `None` means that the note is missing: it
    /// may have been the end of the license.
    pub fn notice_of(&self, license: &LocalLicense) -> Option<ServerNotice> {
        let is_of = |notice: &ServerNotice| {
            notice.grant_name == self.name && notice.license_id == license.license_id
        };
        self.notice().filter(is_of)
    }

    /// Store how far the item is used, as the server says at this time.
    pub fn note_meters(&self, at: u64, meters: Vec<Meter>) {
        // A missing note stays missing: it may have contained a refusal.
        if let Some(notice) = self.held_license().and_then(|license| self.notice_of(&license)) {
            // A refusal is valid until the next grant.
            self.store_notice(&ServerNotice { at, meters, ..notice });
        }
    }

    /// Store what a refusal says. If it ends the grant, it does so from now on.
    pub fn note_refusal(&self, at: u64, why: &Error, ends: bool, numbers: Option<ProblemNumbers>) {
        let license = self.held_license();
        let known = match &license {
            Some(license) => self.notice_of(license),
            None => self.notice(),
        };
        if known.is_none() && license.is_some() && !ends {
            return;
        }
        let mut notice = ServerNotice { at, refused_with: numbers, ..known.unwrap_or_default() };
        notice.grant_name.clone_from(&self.name);
        notice.license_id = license.map(|license| license.license_id).unwrap_or_default();
        if ends {
            (notice.refusal, notice.refused_because) = (Some(why.code), why.message.clone());
        }
        self.store_notice(&notice);
    }

    /// Remove the grant, because it was given back. Its file stays under another name, so that its
    /// server is known for counts that are not reported yet.
    ///
    /// # Errors
    /// Fails if the file cannot be moved.
    pub fn discard(&self) -> Result<()> {
        self.grant.move_to(&self.given_back)
    }

    /// Return whether this license, or a later one of the same item, was given back and not
    /// replaced. The last program that worked under it gives it back.
    pub fn has_given_back(&self, license: &LocalLicense) -> bool {
        let local = |answer: AuthorizationAnswer| answer.local_license.peek::<LocalLicense>().ok();
        let is_of_same = |given: &LocalLicense| {
            given.item_id == license.item_id && given.device_uuid == license.device_uuid
        };
        // Usually there is none, and then the grant need not be read: this runs in every round.
        let given_back = self.given_back.peek().and_then(local).filter(is_of_same);
        given_back.is_some_and(|given| given.serial >= license.serial) && self.held().is_none()
    }

    // A full disk is no reason to fail: the next contact repeats every decision that depends on
    // this.
    fn store_notice(&self, notice: &ServerNotice) {
        if let Err(error) = self.notice.store(notice) {
            say(Level::Warning, format_args!("{error}"));
        }
    }

    /// Check an answer and store it. `shown` is the license that was sent to the server with the
    /// request. If another one is on the disk by now, another process was faster. Its grant stays,
    /// because the server expects to see that one next.
    ///
    /// # Errors
    /// Fails if the answer cannot be believed or stored.
    pub fn accept(
        &self,
        answer: &AuthorizationAnswer,
        device: &Device,
        shown: Option<&Signed>,
        by: &Credentials,
        stamp: &Stamp,
    ) -> Result<Accepted> {
        let ours = self.verify(answer, device)?;
        kill_point("grant: root key stored");
        for _ in 0..ACCEPT_TRIES_MAX {
            let seen = match self.grant.load::<Stored>()? {
                Loaded::Content(seen) => Some(seen),
                Loaded::Absent | Loaded::SetAside { .. } => None,
            };
            let is_shown = seen.as_ref().map(|seen| &seen.answer.local_license) == shown;
            let theirs = seen.as_ref().filter(|_| !is_shown).and_then(|seen| {
                let grant = self.verify(&seen.answer, device).ok()?;
                let stamp = seen.stamp.clone();
                Some((seen.answer.clone(), Grant { number: seen.number, stamp, ..grant }))
            });
            let is_overtaken = theirs.is_some();
            let number = self.next_number(seen.as_ref(), &ours);
            let (answer, grant) = theirs.unwrap_or_else(|| {
                (answer.clone(), Grant { number, stamp: stamp.clone(), ..ours.clone() })
            });
            let mut presented =
                seen.as_ref().map(|seen| seen.presented.clone()).unwrap_or_default();
            let basis = presented.grant(by, &ours.local, answer.any_program);
            let meters = answer.meters.clone();
            if self.grant.store_over(
                seen.as_ref(),
                &Stored { answer, presented, number: grant.number, stamp: grant.stamp.clone() },
            )? {
                kill_point("grant: stored");
                let known = if is_overtaken { self.notice_of(&grant.local) } else { None };
                let notice = known.unwrap_or_else(|| self.first_notice(&grant, meters));
                return Ok(Accepted { grant: Arc::new(grant), notice, basis, is_overtaken });
            }
        }
        Err(Error::state(self.grant.path(), "replace", &std::io::ErrorKind::ResourceBusy.into()))
    }

    /// Store the server notice that comes with a grant.
    fn first_notice(&self, grant: &Grant, meters: Vec<Meter>) -> ServerNotice {
        let notice = ServerNotice {
            at: grant.local.issued_at,
            meters,
            grant_name: self.name.clone(),
            license_id: grant.local.license_id.clone(),
            ..ServerNotice::default()
        };
        self.store_notice(&notice);
        notice
    }

    /// Check an answer under the vendor's key. If no key is known yet, the answer's key becomes the
    /// known one.
    ///
    /// # Errors
    /// Fails if the answer cannot be believed, or if the vendor's key cannot be stored.
    pub fn verify(&self, answer: &AuthorizationAnswer, device: &Device) -> Result<Grant> {
        let known = self.known_root(answer)?;
        let of_another = || {
            let message = "the license server has granted to another device: check its URL";
            Error::new(ErrorCode::LICENSE_SYNC_FAILED, message)
        };
        let grant = Grant::verify(answer, known.as_ref().unwrap_or(&answer.root_key), device)
            .map_err(|e| if e.code == ErrorCode::DEVICE_NOT_MATCH { of_another() } else { e })?;
        // A new grant for a former UUID would be useless.
        if grant.local.device_uuid != device.uuid() {
            return Err(of_another());
        }
        let root = known.clone().unwrap_or_else(|| answer.root_key.clone());
        // Its signature has just been verified.
        let file: LicenseFile = answer.license_file.peek().map_err(|e| untrusted(e.to_string()))?;
        self.issues.check(&root, &file).map_err(untrusted)?;
        if known.is_none() && !self.root_key.store_new(&answer.root_key)? {
            // Another process was first: its key is the known one.
            let root = self.known_root(answer)?.ok_or_else(|| {
                Error::new(
                    ErrorCode::LICENSE_BUFFER_FAILED,
                    format!("{} disappeared while it was read", self.root_key.path().display()),
                )
            })?;
            Grant::verify(answer, &root, device)?;
        }
        // If the disk does not take it, the next answer is noted.
        if let Err(error) = self.issues.note(&root, &file) {
            say(Level::Warning, format_args!("{error}"));
        }
        Ok(grant)
    }

    /// Return the number for a grant that was given just now. The number does not depend on the
    /// server's time or on its other grants: a grant of a server whose clock was ahead, or of
    /// another server, may be the older one.
    fn next_number(&self, seen: Option<&Stored>, grant: &Grant) -> u32 {
        let before = seen.map_or(0, |stored| stored.number);
        let known = newest_grant(&self.seats, &pool_name(&grant.local.item_id));
        before.max(known).saturating_add(1).min(GRANT_NUMBER_MAX)
    }

    /// Return the vendor's key by which this answer is checked, if one is known.
    fn known_root(&self, answer: &AuthorizationAnswer) -> Result<Option<PublicKey>> {
        if let Some(key) = built_in_root(answer)? {
            return Ok(Some(key));
        }
        if let Loaded::Content(key) = self.root_key.load()? {
            return Ok(Some(key));
        }
        // The file is lost or damaged. A stored grant was checked under its key, and contains it.
        let granted: Option<AuthorizationAnswer> =
            self.grant.peek().or_else(|| self.given_back.peek());
        let Some(root) = granted.as_ref().and_then(own_root) else { return Ok(None) };
        if self.root_key.store_new(&root)? { Ok(Some(root)) } else { Ok(self.root_key.peek()) }
    }
}

fn untrusted(what: String) -> Error {
    Error::new(ErrorCode::LICENSE_SYNC_FAILED, what)
}

/// Return the built-in key that has signed the answer's license file; the first one if none has,
/// and `None` if the library was built without.
fn built_in_root(answer: &AuthorizationAnswer) -> Result<Option<PublicKey>> {
    let keys = built_in_root_keys()?;
    let signer = keys.iter().find(|key| key.id() == answer.license_file.key_id);
    Ok(signer.or(keys.first()).cloned())
}

/// Return the vendor's key that an answer names, if its signatures hold under that key.
fn own_root(answer: &AuthorizationAnswer) -> Option<PublicKey> {
    let file: LicenseFile = answer.license_file.open(&answer.root_key).ok()?;
    answer.local_license.open::<LocalLicense>(&file.server_key).ok()?;
    Some(answer.root_key.clone())
}

#[cfg(test)]
mod tests {
    use super::super::grant::test_support::{answer, item, key, local};
    use super::*;

    fn device() -> Device {
        Device::with_uuid("d".repeat(32))
    }

    fn nothing() -> Credentials {
        Credentials::for_test("", "")
    }

    #[test]
    fn an_accepted_grant_is_there_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        assert!(GrantStore::new(&state, "a").load(&device()).unwrap().is_none());
        GrantStore::new(&state, "a")
            .accept(&answer(item(), &local()), &device(), None, &nothing(), &Stamp::default())
            .unwrap();
        let grant = GrantStore::new(&state, "a").load(&device()).unwrap().unwrap();
        assert_eq!((&grant.local, grant.number), (&local(), 1));
        assert!(GrantStore::new(&state, "b").load(&device()).unwrap().is_none());
    }

    #[test]
    fn a_grant_that_was_given_later_has_the_higher_number_whatever_the_servers_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let ahead = LocalLicense { serial: 500, ..local() };
        let accept = |name: &str, local: &LocalLicense| {
            let store = GrantStore::new(&state, name);
            let shown = store.held();
            let accepted = store.accept(
                &answer(item(), local),
                &device(),
                shown.as_ref(),
                &nothing(),
                &Stamp::default(),
            );
            let grant = accepted.unwrap().grant;
            let pool = crate::seats::SeatPool::open(&state.seats(), "item-1").unwrap();
            assert!(pool.grant(local.seats, grant.number), "it is the newest");
            grant.number
        };
        assert_eq!(
            [("a", &ahead), ("a", &local()), ("b", &ahead), ("a", &local())]
                .map(|(n, l)| accept(n, l)),
            [1, 2, 3, 4]
        );
        std::fs::remove_file(state.seats().join("item-1.pool")).unwrap();
        assert_eq!(accept("a", &local()), 5, "nor does it matter whether there is a pool");
    }

    #[test]
    fn the_first_vendor_key_is_the_only_one_believed_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let store = GrantStore::new(&state, "a");
        let good = answer(item(), &local());
        store.accept(&good, &device(), None, &nothing(), &Stamp::default()).unwrap();
        let file: LicenseFile = good.license_file.peek().unwrap();
        let forged = AuthorizationAnswer {
            root_key: key(9).public().clone(),
            license_file: Signed::seal(&file, &key(9)).unwrap(),
            ..good
        };
        let error =
            store.accept(&forged, &device(), None, &nothing(), &Stamp::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED);
        assert!(
            GrantStore::new(&state, "other")
                .accept(&forged, &device(), None, &nothing(), &Stamp::default())
                .is_ok()
        );
    }

    #[test]
    fn a_grant_of_another_device_is_set_aside_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let store = GrantStore::new(&state, "a");
        store
            .accept(&answer(item(), &local()), &device(), None, &nothing(), &Stamp::default())
            .unwrap();
        assert!(store.load(&Device::with_uuid("another")).unwrap().is_none());
        let kept = std::fs::read_dir(state.licenses()).unwrap();
        assert!(kept.flatten().any(|e| e.file_name().to_string_lossy().contains("damaged")));
    }
}
