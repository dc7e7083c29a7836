//! The check that the database can be written, and that its license files can be trusted.

use super::{Sql, files, values};
use crate::error::Error;
use crate::random::fresh_id;

/// Write something that the engine makes durable. Return a sentence for each license file that
/// cannot be trusted.
pub(in crate::store) fn ready(sql: &dyn Sql) -> Result<Vec<String>, Error> {
    write_and_forget(sql)?;
    files::not_ready(sql)
}

/// Write a row that no other transaction sees, because it is deleted before this one ends; the
/// engine still makes the transaction durable. The row has a fresh key, so that servers which are
/// checked at the same time never wait for each other.
fn write_and_forget(sql: &dyn Sql) -> Result<(), Error> {
    let nobody = fresh_id()?;
    sql.execute("INSERT INTO compacted (item_id, before_day) VALUES (?1, 0)", values![&nobody])?;
    sql.execute("DELETE FROM compacted WHERE item_id = ?1", values![&nobody])?;
    Ok(())
}
