//! The migration of the tables by numbered scripts, forward only.
//!
//! The row of `schema_version` holds the number of the script that ran last, and is locked while
//! others run. If several servers start at once, one of them migrates the tables, and the others
//! find them migrated.

use super::connection::PgConnection;
use super::finish;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::random::fresh_id;
use crate::store::sql::{Sql, values};

/// All scripts; the number of a script is its place, counted from 1.
const SCRIPTS: [&str; 1] = [include_str!("../../../migrations/postgres/0001_tables.sql")];

/// The statement that reads the version.
const VERSION: &str = "SELECT version FROM schema_version WHERE only_row = 1";

/// The number of attempts to create the first table, because two servers that do so at once can
/// conflict.
const ATTEMPTS: usize = 5;

/// Run the scripts that have not yet run on this database. Where all have run, this only reads, so
/// that the server's role needs no right to make tables.
pub(super) fn migrate(connection: &PgConnection) -> Result<(), Error> {
    if is_current(connection)? {
        return Ok(());
    }
    let table =
        "CREATE TABLE IF NOT EXISTS schema_version (only_row BIGINT PRIMARY KEY, version BIGINT \
         NOT NULL);
                 INSERT INTO schema_version VALUES (1, 0) ON CONFLICT (only_row) DO NOTHING";
    let mut made = Ok(());
    for _ in 0..ATTEMPTS {
        made = connection.batch(table);
        if made.is_ok() {
            break;
        }
    }
    made?;
    connection.batch("BEGIN")?;
    let outcome = run_missing(connection);
    finish(connection, outcome)
}

/// Return whether all scripts have run.
fn is_current(connection: &PgConnection) -> Result<bool, Error> {
    connection.batch("BEGIN READ ONLY")?;
    let sql: &dyn Sql = connection;
    let outcome = sql
        .exists("SELECT 1 WHERE to_regclass('schema_version') IS NOT NULL", &[])
        .and_then(|is_there| if is_there { version(sql, VERSION) } else { Ok(0) })
        .map(|version| version == SCRIPTS.len());
    finish(connection, outcome)
}

fn run_missing(connection: &PgConnection) -> Result<(), Error> {
    let version = version(connection, &format!("{VERSION} FOR UPDATE"))?;
    if version > SCRIPTS.len() {
        return Err(newer(version));
    }
    for script in &SCRIPTS[version..] {
        connection.batch(script)?;
    }
    let sql: &dyn Sql = connection;
    sql.execute(
        "UPDATE schema_version SET version = ?1 WHERE only_row = 1",
        values![SCRIPTS.len() as u64],
    )?;
    sql.execute(
        "INSERT INTO epoch (number, epoch, begun_at, cause, careful_until)
         VALUES (1, ?1, ?2, 'created', 0) ON CONFLICT (number) DO NOTHING",
        values![&fresh_id()?, SystemClock.unix_seconds()],
    )?;
    Ok(())
}

/// Refuse a database with tables of a version other than that of this program.
pub(super) fn require_current(connection: &PgConnection) -> Result<(), Error> {
    let version = version(connection, VERSION)?;
    match version {
        version if version == SCRIPTS.len() => Ok(()),
        version if version > SCRIPTS.len() => Err(newer(version)),
        _ => Err(Error::Setup(format!(
            "the tables are of version {version}, this seatmeterd reads version {}. Start the \
             server once to bring \
             them up to date.",
            SCRIPTS.len()
        ))),
    }
}

fn version(sql: &dyn Sql, query: &str) -> Result<usize, Error> {
    let version: Option<u32> = sql.value(query, &[])?;
    Ok(version.unwrap_or(0) as usize)
}

fn newer(version: usize) -> Error {
    Error::Setup(format!(
        "the database is of version {version}, this seatmeterd knows versions up to {}. Use the \
         newer seatmeterd \
         that wrote it.",
        SCRIPTS.len()
    ))
}
