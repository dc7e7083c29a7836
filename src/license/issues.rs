//! The newest issue of each license file that this device has seen.
//!
//! A vendor issues a file again to renew items, to sell less, or to name another server's key after
//! a theft. A device that has heard of the later issue accepts no earlier one from any server. It
//! works no more under a license of a key that the later issue replaces, and lets no holder of that
//! key acknowledge its reports.

use std::collections::BTreeMap;
use std::path::Path;

use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::signature::PublicKey;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::state::{FramedFile, Kind, Loaded, StateDirectory};

/// The most files that are remembered; of more, those that were issued first are forgotten.
const FILES_MAX: usize = 256;

/// The most attempts to replace the file when other processes change it after it was read.
const TRIES_MAX: u32 = 64;

/// The most replaced keys that are remembered of a file; of more, the first are forgotten.
const FORMER_KEYS_MAX: usize = 16;

/// The note of the newest issues.
#[derive(Debug)]
pub(super) struct Issues {
    file: FramedFile,
}

/// The newest issue of a license file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Issue {
    issued_at: u64,
    server_key: PublicKey,
    /// The keys that earlier issues named, latest last.
    #[serde(default)]
    former_keys: Vec<PublicKey>,
}

impl Issue {
    /// Return the note of an issue that comes after another.
    fn after(file: &LicenseFile, known: Option<&Self>) -> Self {
        let mut former_keys = known.map_or_else(Vec::new, |known| {
            let mut keys = known.former_keys.clone();
            keys.push(known.server_key.clone());
            keys
        });
        former_keys.retain(|key| *key != file.server_key);
        former_keys.dedup();
        let surplus = former_keys.len().saturating_sub(FORMER_KEYS_MAX);
        former_keys.drain(..surplus);
        Self { issued_at: file.issued_at, server_key: file.server_key.clone(), former_keys }
    }
}

type Known = BTreeMap<String, Issue>;

impl Issues {
    /// Return the note in this folder of licenses.
    pub(super) fn of(licenses: &Path) -> Self {
        Self { file: FramedFile::new(licenses.join("newest.issues"), Kind::Issues) }
    }

    /// Check that no later issue of the file is known. This verifies no signature.
    ///
    /// # Errors
    /// Returns the reason in a sentence.
    pub(super) fn check(
        &self,
        root: &PublicKey,
        file: &LicenseFile,
    ) -> std::result::Result<(), String> {
        match self.known(root, file) {
            Some(known) if known.issued_at > file.issued_at => Err(format!(
                "the license server has an old issue of the vendor's license file \"{}\": ask its \
                 operator to import the newest one",
                file.file_id
            )),
            _ => Ok(()),
        }
    }

    /// Return whether a later issue of the file names another key of its server.
    pub(super) fn has_replaced_key(&self, root: &PublicKey, file: &LicenseFile) -> bool {
        self.known(root, file).is_some_and(|known| {
            known.issued_at > file.issued_at && known.server_key != file.server_key
        })
    }

    /// Return the key that has replaced this one in a later issue of each file that named it, if
    /// there is one.
    pub(super) fn successor(&self, key: &PublicKey) -> Option<PublicKey> {
        successor_in(&self.file.peek()?, key).cloned()
    }

    /// Return the keys that this one has replaced.
    fn predecessors(&self, key: &PublicKey) -> Vec<PublicKey> {
        let known = self.file.peek::<Known>().unwrap_or_default();
        let of_key = known.values().filter(|issue| issue.server_key == *key);
        let former = of_key.flat_map(|issue| &issue.former_keys);
        former.filter(|former| successor_in(&known, former) == Some(key)).cloned().collect()
    }

    /// Note the issue of a file whose signature was verified.
    ///
    /// # Errors
    /// Fails if the note cannot be written.
    pub(super) fn note(&self, root: &PublicKey, file: &LicenseFile) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let seen = match self.file.load::<Known>()? {
                Loaded::Content(seen) => Some(seen),
                Loaded::Absent | Loaded::SetAside { .. } => None,
            };
            let mut known = seen.clone().unwrap_or_default();
            let earlier = known.get(&name(root, file));
            if earlier.is_some_and(|earlier| earlier.issued_at >= file.issued_at) {
                return Ok(());
            }
            let issue = Issue::after(file, earlier);
            known.insert(name(root, file), issue);
            if known.len() > FILES_MAX
                && let Some(oldest) = known.iter().min_by_key(|(_, issue)| issue.issued_at)
            {
                let oldest = oldest.0.clone();
                known.remove(&oldest);
            }
            if self.file.store_over(seen.as_ref(), &known)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn known(&self, root: &PublicKey, file: &LicenseFile) -> Option<Issue> {
        self.file.peek::<Known>()?.remove(&name(root, file))
    }
}

fn successor_in<'a>(known: &'a Known, key: &PublicKey) -> Option<&'a PublicKey> {
    let is_named = known.values().any(|issue| issue.server_key == *key);
    let mut later = known.values().filter(|issue| issue.former_keys.contains(key));
    later.next().map(|issue| &issue.server_key).filter(|_| !is_named)
}

/// Return the key that has replaced this server key in a later issue of each license file that
/// named it, as far as this device has heard; `None` if it is not replaced.
#[must_use]
pub fn successor(state: &StateDirectory, key: &PublicKey) -> Option<PublicKey> {
    Issues::of(&state.licenses()).successor(key)
}

/// Return the keys that this server key has replaced, as far as this device has heard.
#[must_use]
pub fn predecessors(state: &StateDirectory, key: &PublicKey) -> Vec<PublicKey> {
    Issues::of(&state.licenses()).predecessors(key)
}

/// Return the name of a file. Two vendors may use the same id.
fn name(root: &PublicKey, file: &LicenseFile) -> String {
    format!("{} {}", root.id(), file.file_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::test_support::{answer, item, key, local};

    fn issue(issued_at: u64, server: u8) -> LicenseFile {
        let file: LicenseFile = answer(item(), &local()).license_file.peek().unwrap();
        LicenseFile { issued_at, server_key: key(server).public().clone(), ..file }
    }

    #[test]
    fn an_old_issue_is_refused_and_the_key_that_a_later_one_replaces_is_believed_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let issues = Issues::of(folder.path());
        let root = key(1);
        let root = root.public();
        assert_eq!(issues.check(root, &issue(5, 2)), Ok(()));
        issues.note(root, &issue(7, 2)).unwrap();
        issues.note(root, &issue(6, 3)).unwrap();
        for (issued_at, server, is_good, is_replaced) in
            [(7, 2, true, false), (8, 3, true, false), (6, 2, false, false), (6, 3, false, true)]
        {
            let issue = issue(issued_at, server);
            assert_eq!(issues.check(root, &issue).is_ok(), is_good, "{issued_at} {server}");
            assert_eq!(issues.has_replaced_key(root, &issue), is_replaced, "{issued_at} {server}");
        }
        assert_eq!(issues.check(key(4).public(), &issue(1, 2)), Ok(()), "another vendor's file");
    }

    #[test]
    fn a_replaced_key_has_a_successor_unless_another_file_still_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let issues = Issues::of(folder.path());
        let (root, of_another) = (key(1), key(7));
        let (root, of_another) = (root.public(), of_another.public());
        let successor = |n| issues.successor(key(n).public());
        issues.note(root, &issue(5, 2)).unwrap();
        assert_eq!(successor(2), None);
        issues.note(root, &issue(6, 3)).unwrap();
        issues.note(root, &issue(7, 3)).unwrap();
        issues.note(root, &issue(8, 4)).unwrap();
        let newest = Some(key(4).public().clone());
        assert_eq!([successor(2), successor(3), successor(4)], [newest.clone(), newest, None]);
        issues.note(of_another, &issue(1, 3)).unwrap();
        assert_eq!(successor(3), None, "the server still has it for another vendor");
        issues.note(root, &issue(9, 2)).unwrap();
        assert_eq!(successor(2), None, "it is named again");
    }
}
