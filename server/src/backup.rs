//! Backup into one file, and restore from it.
//!
//! ```text
//! backup file 0600 = a copy of the database, taken as one transaction while the server goes on
//!                  + table backup_key: the server's keys, without which its license files are void
//! ```
//!
//! A restore begins a new epoch: clients then send their totals again, and for the first slot in
//! which a server serves only what devices show that they hold is granted. The file is secret, like
//! the key in it.

use std::path::{Path, PathBuf};

use crate::data_dir::{self, DRAFT, DataDir};
use crate::error::Error;
use crate::store::sqlite;

/// Writes a backup of this data directory, also while a server serves from it.
///
/// # Errors
/// When the file is there already, or cannot be written whole: then none is left.
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
    // Empty and private before the secret comes in; SQLite keeps the mode.
    data_dir::touch_private(&draft)?;
    let written = sqlite::copy_with_keys(&dir.database_path(), &draft, &keys)
        .and_then(|()| data_dir::publish_file(&draft, file));
    let _ = std::fs::remove_file(&draft);
    written
}

/// Makes a data directory from a backup, with a new epoch.
///
/// # Errors
/// When there is something in the directory but what a restore has left that was cut off, or the
/// file is no backup.
pub fn restore(file: &Path, dir: &DataDir, now: u64) -> Result<(), Error> {
    require_free(dir)?;
    dir.create()?;
    let _lock = dir.lock()?;
    // Another restore may have had it meanwhile.
    require_free(dir)?;
    dir.clear()?;
    let draft = beside(&dir.database_path())?;
    let restored = sqlite::restore_copy(file, &draft, now).and_then(|keys| {
        // The keys first: a database without them would count as having lost them.
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

/// Name and content of every key file.
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
