//! A consistent copy of a database in use, and the restore from it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{connect, migration, unusable};
use crate::data_dir;
use crate::error::Error;
use crate::random::fresh_id;
use crate::store::sql::{self, Cause};

/// Copy the database as of one instant, and add the keys to the copy: names and contents of their
/// files.
///
/// # Errors
/// Fails when either file cannot be read or written.
pub fn copy_with_keys(
    database: &Path,
    copy: &Path,
    keys: &[(String, String)],
) -> Result<(), Error> {
    let source =
        connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| unusable(database, &e))?;
    migration::require_current(&source)?;
    source.execute("VACUUM INTO ?1", params![text(copy)?])?;
    let connection = open(copy)?;
    connection
        .execute_batch("CREATE TABLE backup_key (name TEXT NOT NULL, seed TEXT NOT NULL) STRICT")?;
    for (name, seed) in keys {
        connection.execute("INSERT INTO backup_key VALUES (?1, ?2)", [name, seed])?;
    }
    close(connection)?;
    data_dir::sync_file(copy)
}

/// Copy a backup to a new database with a new epoch. Return the keys that were in the backup.
///
/// # Errors
/// Fails when the file is not a backup, or cannot be read or written.
pub fn restore_copy(
    backup: &Path,
    database: &Path,
    now: u64,
) -> Result<Vec<(String, String)>, Error> {
    let no_backup = |why: &str| {
        Error::Setup(format!("{} is not a backup of seatmeterd: {why}.", backup.display()))
    };
    let source =
        connect(backup, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| unusable(backup, &e))?;
    let keys = read_keys(&source).map_err(|e| no_backup(&e.to_string()))?;
    if keys.is_empty() {
        return Err(no_backup("it has no key"));
    }
    let sound: String = source.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(no_backup(&format!("it is damaged, {sound}")));
    }
    data_dir::touch_private(database)?;
    source.execute("VACUUM INTO ?1", params![text(database)?])?;
    let mut connection = open(database)?;
    connection.execute_batch("DROP TABLE backup_key")?;
    migration::migrate(&mut connection)?;
    let transaction = connection.transaction()?;
    sql::renew_epoch(&*transaction, &fresh_id()?, Cause::Restored, now)?;
    transaction.commit()?;
    close(connection)?;
    data_dir::sync_file(database)?;
    Ok(keys)
}

/// Begin another epoch of the data in place. A server may run on it meanwhile.
///
/// # Errors
/// Fails when the database cannot be written.
pub fn renew_epoch(database: &Path, epoch: &str, now: u64) -> Result<(), Error> {
    let mut connection =
        connect(database, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| unusable(database, &e))?;
    migration::require_current(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    sql::renew_epoch(&*transaction, epoch, Cause::Operator, now)?;
    // A server that runs accepts requests already; another one begins when it starts.
    sql::serving(&*transaction, now)?;
    Ok(transaction.commit()?)
}

fn read_keys(backup: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = backup.prepare("SELECT name, seed FROM backup_key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Open a database without WAL, so that the file is complete by itself when it is closed.
fn open(path: &Path) -> Result<Connection, Error> {
    let connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| unusable(path, &e))?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(connection)
}

fn close(connection: Connection) -> Result<(), Error> {
    connection.close().map_err(|(_, e)| e.into())
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Setup(format!("the path {} is no UTF-8.", path.display())))
}
