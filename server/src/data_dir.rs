//! The data directory, with the server's key, its database and the demo vendor's key.
//!
//! ```text
//! DIR/                    0700 (or 2770: then what is in it 0660, for the group)
//!   server.key            0600  seed of the server's signing key; license files are bound to this key
//!   server-ID.key         0600  a key that was replaced, and still signs what belongs to its license files
//!   seatmeter.db (-wal…)  0600  the database
//!   seatmeterd.lock       0600  held by the one server that serves from here
//!   demo-vendor.key       0600  only after `init --demo`
//! ```
//!
//! `init` makes the key before the database. A database without a key has therefore lost it. A new
//! key would be worthless for the license files in the database, so the missing key is an error,
//! and is never repaired by making another one.

mod files;
mod key_file;
mod place;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seatmeter_protocol::signature::{PublicKey, SigningKey};

use self::files::{cannot, cannot_use, sync_name};
use crate::error::Error;
use crate::keyring::Keyring;
use crate::sharing;

/// The file of the key in use.
const SERVER_KEY: &str = "server.key";

/// The file of the database.
const DATABASE: &str = "seatmeter.db";

/// The file that is locked by the one server that serves from here, or by a restore.
const LOCK: &str = "seatmeterd.lock";

pub use self::files::{exists, publish_file, sync_file, touch_private};
pub use self::key_file::{read_key, read_or_make_key, read_secret, write_new_secret};
pub use crate::sharing::DRAFT;

/// The number of attempts to take a lock that another process has, and the pause between them.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Return whether a file with this name in the data directory is one of the server's keys.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let id = name.strip_prefix("server-").and_then(|rest| rest.strip_suffix(".key"));
    name == SERVER_KEY
        || id.is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A data directory; making this value reads and writes nothing.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// The lock that makes this process the only server on the directory, for as long as the lock
/// lives.
#[derive(Debug)]
pub struct ServerLock {
    _directory: File,
    _file: File,
}

impl DataDir {
    /// Return the directory at this path, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Return the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Return the path of the server's key.
    #[must_use]
    pub fn server_key_path(&self) -> PathBuf {
        self.path.join(SERVER_KEY)
    }

    /// Return the path of a key that was replaced.
    fn replaced_key_path(&self, id: &str) -> PathBuf {
        self.path.join(format!("server-{id}.key"))
    }

    /// Return the paths of all keys that were replaced.
    ///
    /// # Errors
    /// Fails when the directory cannot be listed.
    pub fn replaced_key_paths(&self) -> Result<Vec<PathBuf>, Error> {
        let entries =
            std::fs::read_dir(&self.path).map_err(|e| cannot_use("list", &self.path, &e))?;
        let is_key = |name: &str| name != SERVER_KEY && is_key_name(name);
        let mut paths: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_key))
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// Read all of the server's keys.
    ///
    /// # Errors
    /// Fails when a key cannot be read, is not a key, or others may read it.
    pub fn keyring(&self) -> Result<Keyring, Error> {
        let current = read_key(&self.server_key_path())?;
        let replaced = self
            .replaced_key_paths()?
            .iter()
            .map(|path| read_key(path))
            .collect::<Result<_, _>>()?;
        Ok(Keyring::new(current, replaced))
    }

    /// Make a new key, and a copy of the one in use, so that a rename can put the new key in place.
    ///
    /// ```text
    /// prepare_key ─▶ the store names the key in use, and its audit log the author ─▶ finish_rotation
    /// ```
    ///
    /// The store's transaction decides: before it, nothing has changed; after it, every start
    /// finishes the rotation.
    ///
    /// # Errors
    /// Fails when a file cannot be read or written; then nothing has changed.
    pub fn prepare_key(&self) -> Result<PublicKey, Error> {
        let path = self.server_key_path();
        let old = read_key(&path)?;
        let kept = self.replaced_key_path(&old.public().id());
        if !exists(&kept)? {
            write_new_secret(&kept, &read_secret(&path)?)?;
        }
        let (new, seed) = SigningKey::generate().map_err(|e| Error::Setup(e.to_string()))?;
        write_new_secret(&self.next_key_path(&new.public().id()), &format!("{seed}\n"))?;
        Ok(new.public().clone())
    }

    /// Put the key in place that the store names as in use, if it is not there yet. `key_in_use` is
    /// `None` when the key was never rotated.
    ///
    /// # Errors
    /// Fails when the key cannot be put in place.
    pub fn finish_rotation(&self, key_in_use: Option<&str>) -> Result<(), Error> {
        let Some(id) = key_in_use else { return Ok(()) };
        let (next, path) = (self.next_key_path(id), self.server_key_path());
        if !exists(&next)? {
            return Ok(());
        }
        std::fs::rename(&next, &path).map_err(|e| cannot("write", &path, &e))?;
        sync_name(&path)
    }

    fn next_key_path(&self, id: &str) -> PathBuf {
        self.path.join(format!("next-{id}"))
    }

    /// Return the path of the demo vendor's root key.
    #[must_use]
    pub fn demo_vendor_key_path(&self) -> PathBuf {
        self.path.join("demo-vendor.key")
    }

    /// Return the path of the database.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Create the directory, for the owner of its parent. An existing directory is not changed.
    ///
    /// # Errors
    /// Fails when it cannot be created.
    pub fn create(&self) -> Result<(), Error> {
        sharing::make_directory(&self.path)
            .map_err(|e| cannot_use("make the directory", &self.path, &e))
    }

    /// Return whether the directory is empty or missing, as at a first start.
    ///
    /// # Errors
    /// Fails when it cannot be listed.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.names()?.is_empty())
    }

    /// Refuse a directory that `init` or `restore` has not finished.
    ///
    /// # Errors
    /// Fails when key or database is missing; the message says which command to run.
    pub fn require_initialized(&self) -> Result<(), Error> {
        self.refuse_half_restored()?;
        let key = exists(&self.server_key_path())?;
        let database = exists(&self.database_path())?;
        match (key, database) {
            (true, true) => Ok(()),
            (false, true) => Err(self.lost_key()),
            (true, false) => Err(Error::Setup(format!(
                "{0} is missing, but the server's key is there. If there was a database, restore \
                 it from a backup; a \
                 new one knows no licenses, and nothing of what was used. If there never was one, \
                 run \
                 \"seatmeterd init --data {1}\".",
                self.database_path().display(),
                self.path.display()
            ))),
            _ => Err(Error::Setup(format!(
                "{0} is not an initialized data directory. Run \"seatmeterd init --data {0}\" \
                 first (add --demo \
                 for a license to try out).",
                self.path.display()
            ))),
        }
    }

    /// Refuse a directory with an interrupted restore: a database created there now would lack
    /// everything in the backup.
    ///
    /// # Errors
    /// Fails when there is one; the message says which command to run.
    pub fn refuse_half_restored(&self) -> Result<(), Error> {
        if exists(&self.database_path())? || !has_draft_of_database(&self.names()?) {
            return Ok(());
        }
        Err(Error::Setup(format!(
            "a restore into {0} was cut off. Run \"seatmeterd restore FILE --data {0}\" again.",
            self.path.display()
        )))
    }

    /// Return whether the directory is empty, missing, or has only the remains of an interrupted
    /// restore.
    ///
    /// # Errors
    /// Fails when it cannot be listed.
    pub fn is_free(&self) -> Result<bool, Error> {
        let names = self.names()?;
        let is_left = |name: &str| name.contains(DRAFT) || is_key_name(name);
        let was_cut_off = has_draft_of_database(&names);
        Ok(names.iter().all(|name| name == LOCK || was_cut_off && is_left(name)))
    }

    /// Remove the remains of an interrupted restore. The caller must hold the lock of a directory
    /// that is free.
    ///
    /// # Errors
    /// Fails when a file cannot be removed.
    pub fn clear(&self) -> Result<(), Error> {
        let mut names = self.names()?;
        names.retain(|name| name != LOCK);
        // The keys are removed first, because the draft identifies them as remains of a restore.
        names.sort_by_key(|name| name.contains(DRAFT));
        for path in names.iter().map(|name| self.path.join(name)) {
            std::fs::remove_file(&path).map_err(|e| cannot("remove", &path, &e))?;
        }
        Ok(())
    }

    /// Return the names of everything in the directory; none when the directory does not exist.
    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(cannot_use("list", &self.path, &e)),
        };
        Ok(entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }

    /// Refuse a directory without a key.
    ///
    /// # Errors
    /// Fails when there is none; the message says which command to run.
    pub fn require_key(&self) -> Result<(), Error> {
        if exists(&self.server_key_path())? {
            return Ok(());
        }
        Err(Error::Setup(format!(
            "{0} has no server key. Run \"seatmeterd init --data {0} --database URL\" for the \
             first server of a \
             database, or copy the key files of another one there.",
            self.path.display()
        )))
    }

    /// Return the error for a database with a lost server key.
    #[must_use]
    pub fn lost_key(&self) -> Error {
        Error::Setup(format!(
            "{} is missing, but there is a database beside it whose license files are bound to \
             that key. \
             Restore the key from a backup.",
            self.server_key_path().display()
        ))
    }

    /// Lock the directory for this server. The lock is on a file, and on the directory itself: a
    /// file may be removed while a server runs.
    ///
    /// # Errors
    /// Fails when another server has it, or it cannot be locked.
    pub fn lock(&self) -> Result<ServerLock, Error> {
        let directory = File::open(&self.path).map_err(|e| cannot_use("open", &self.path, &e))?;
        self.take(&directory, &self.path)?;
        let path = self.path.join(LOCK);
        touch_private(&path)?;
        let file =
            OpenOptions::new().write(true).open(&path).map_err(|e| cannot("open", &path, &e))?;
        self.take(&file, &path)?;
        Ok(ServerLock { _directory: directory, _file: file })
    }

    /// Return whether a server, or a restore, has the directory.
    ///
    /// # Errors
    /// Fails when that cannot be determined.
    pub fn is_locked(&self) -> Result<bool, Error> {
        let directory = File::open(&self.path).map_err(|e| cannot_use("open", &self.path, &e))?;
        // A shared lock does not conflict with that of another process that only looks.
        match directory.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(cannot_use("lock", &self.path, &e)),
        }
    }

    fn take(&self, file: &File, path: &Path) -> Result<(), Error> {
        let mut taken = file.try_lock();
        for _ in 0..LOCK_ATTEMPTS {
            if !matches!(taken, Err(TryLockError::WouldBlock)) {
                break;
            }
            // A doctor that looks holds the lock for an instant.
            std::thread::sleep(LOCK_PAUSE);
            taken = file.try_lock();
        }
        match taken {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(Error::Setup(format!(
                "another seatmeterd serves from {}, or restores into it. Stop it first, or give \
                 this one another \
                 --data directory.",
                self.path.display()
            ))),
            Err(TryLockError::Error(e)) => Err(cannot("lock", path, &e)),
        }
    }
}

/// Return whether there is a draft of a database, which is what an interrupted restore leaves: it
/// has written the database, but not yet renamed it.
fn has_draft_of_database(names: &[String]) -> bool {
    names.iter().any(|name| name.starts_with(DATABASE) && name.contains(DRAFT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path().join("data"));
        dir.create().unwrap();
        let path = dir.server_key_path();
        read_or_make_key(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_key(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        assert!(dir.require_initialized().unwrap_err().to_string().contains("seatmeterd init"));
        touch_private(&dir.database_path()).unwrap();
        assert!(dir.require_initialized().unwrap_err().to_string().contains("from a backup"));
    }

    #[test]
    fn a_lost_database_is_not_taken_for_a_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        read_or_make_key(&dir.server_key_path()).unwrap();
        let told = dir.require_initialized().unwrap_err().to_string();
        assert!(
            told.contains("seatmeter.db is missing") && told.contains("from a backup"),
            "{told}"
        );
    }

    #[test]
    fn a_key_that_was_replaced_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        let (first, _) = read_or_make_key(&dir.server_key_path()).unwrap();
        let rotate = || {
            let key = dir.prepare_key().unwrap();
            dir.finish_rotation(Some(&key.id())).unwrap();
            key
        };
        let second = rotate();
        let third = rotate();
        let keys = dir.keyring().unwrap();
        assert_eq!(keys.current().public(), &third);
        assert!(keys.holds(first.public()) && keys.holds(&second));
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            3,
            "nothing else is left behind"
        );
    }

    #[test]
    fn a_rotation_that_was_cut_off_is_finished_or_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        let (first, _) = read_or_make_key(&dir.server_key_path()).unwrap();
        let wanted = dir.prepare_key().unwrap();
        // The process died before the store recorded the key.
        dir.finish_rotation(None).unwrap();
        assert_eq!(dir.keyring().unwrap().current().public(), first.public());
        // The process died after that.
        dir.finish_rotation(Some(&wanted.id())).unwrap();
        dir.finish_rotation(Some(&wanted.id())).unwrap();
        assert_eq!(dir.keyring().unwrap().current().public(), &wanted);
    }

    #[test]
    fn one_directory_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        let lock = dir.lock().unwrap();
        assert!(dir.lock().unwrap_err().to_string().contains("another seatmeterd"));
        drop(lock);
        dir.lock().unwrap();
    }
}
