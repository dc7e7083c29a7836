//! Backup into one file, and restore from this file.
//!
//! ```text
//! backup file 0600 = a copy of the database, taken as one transaction while the server runs
//!                  + table backup_key: the server's keys, without which its license files are void
//! ```
//!
//! A restore begins a new epoch: clients then send their totals again. For the first slot in which
//! the server accepts requests, it grants only what devices show that they hold. The file is
//! secret, like the key in it.

use std::path::{Path, PathBuf};

use crate::data_dir::{self, DRAFT, DataDir};
use crate::error::Error;
use crate::store::sqlite;

/// Write a backup of this data directory. A server may serve from the directory meanwhile.
///
/// # Errors
/// Fails when the file exists already, or cannot be written completely: then none is left.
pub fn backup(dir: &DataDir, file: &Path) -> Result<(), Error> {
    dir.require_initialized()?;
    let keys = key_files(dir)?;
    if data_dir::exists(file)? {
        return Err(Error::Setup(format!(
            "{} is there already. Choose another name: a backup never replaces one.",
            file.display()
        )));
    }
    let draft = beside(file)?;
    // The file is created empty and private before the secret is written to it; SQLite keeps the
    // mode.
    data_dir::touch_private(&draft)?;
    let written = sqlite::copy_with_keys(&dir.database_path(), &draft, &keys)
        .and_then(|()| data_dir::publish_file(&draft, file));
    let _ = std::fs::remove_file(&draft);
    written
}

/// Create a data directory from a backup, with a new epoch.
///
/// # Errors
/// Fails when the directory has anything in it, except what an interrupted restore has left, or
/// when the file is not a backup.
pub fn restore(file: &Path, dir: &DataDir, now: u64) -> Result<(), Error> {
    require_free(dir)?;
    dir.create()?;
    let _lock = dir.lock()?;
    // Another restore may have used the directory in the meantime.
    require_free(dir)?;
    dir.clear()?;
    let draft = beside(&dir.database_path())?;
    let restored = sqlite::restore_copy(file, &draft, now).and_then(|keys| {
        // The keys are written first, because a database without them would count as having lost
        // them.
        for (name, seed) in keys {
            if !data_dir::is_key_name(&name) {
                return Err(Error::Setup(format!(
                    "the backup has a key of the wrong name {name:?}."
                )));
            }
            data_dir::write_new_secret(&dir.path().join(name), &seed)?;
        }
        data_dir::publish_file(&draft, &dir.database_path())
    });
    if restored.is_err() && dir.is_free().is_ok_and(|is_free| is_free) {
        let _ = dir.clear();
    }
    let _ = std::fs::remove_file(&draft);
    restored
}

fn require_free(dir: &DataDir) -> Result<(), Error> {
    if dir.is_free()? {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "{} is not empty. A backup is restored into an empty directory, so that nothing is lost \
         by it.",
        dir.path().display()
    )))
}

/// Return name and content of every key file.
fn key_files(dir: &DataDir) -> Result<Vec<(String, String)>, Error> {
    let mut paths = dir.replaced_key_paths()?;
    paths.push(dir.server_key_path());
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, data_dir::read_secret(path)?))
    };
    paths.iter().map(read).collect()
}

fn beside(file: &Path) -> Result<PathBuf, Error> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!("{DRAFT}{}", crate::random::fresh_id()?));
    Ok(file.with_file_name(name))
}
