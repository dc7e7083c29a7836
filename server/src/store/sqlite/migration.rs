//! The migration of the tables by numbered scripts, forward only.
//!
//! The number of the last script that ran is SQLite's `user_version`. All missing scripts run in
//! one transaction that is exclusive from its start. Therefore two processes cannot run the same
//! script, and a kill in between leaves the old version intact.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::Error;

/// All scripts; the number of a script is its place, counted from 1.
const SCRIPTS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_tables.sql")];

/// Run the scripts that have not yet run on this database.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    // Nothing is written to a database that is current, so that a server starts on a full disk.
    if version(connection)? == SCRIPTS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version = version(&transaction)?;
    if version > SCRIPTS.len() {
        return Err(Error::Setup(format!(
            "the database is of version {version}, this seatmeterd knows versions up to {}. Use \
             the newer \
             seatmeterd that wrote it.",
            SCRIPTS.len()
        )));
    }
    for script in &SCRIPTS[version..] {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "user_version", SCRIPTS.len() as i64)?;
    Ok(transaction.commit()?)
}

/// Refuse a database with tables of a version other than that of this program.
pub(super) fn require_current(connection: &Connection) -> Result<(), Error> {
    let version = version(connection)?;
    if version == SCRIPTS.len() {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "the database is of version {version}, this seatmeterd reads version {}. Run \"seatmeterd \
         init\" on \
         the data directory to bring an older one up to date, or use a newer seatmeterd.",
        SCRIPTS.len()
    )))
}

fn version(connection: &Connection) -> Result<usize, Error> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_again_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("INSERT INTO organization VALUES ('a', 'A', NULL, 'k')", []).unwrap();
        migrate(&mut connection).unwrap();
        let rows: u32 =
            connection.query_row("SELECT count(*) FROM organization", [], |r| r.get(0)).unwrap();
        assert_eq!((rows, version(&connection).unwrap()), (1, SCRIPTS.len()));
        require_current(&connection).unwrap();
    }

    #[test]
    fn a_database_of_a_newer_version_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 1 + SCRIPTS.len() as i64).unwrap();
        assert!(migrate(&mut connection).unwrap_err().to_string().contains("newer"));
        assert!(require_current(&connection).is_err());
        let tables: u32 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).unwrap();
        assert_eq!(tables, 0);
    }
}
