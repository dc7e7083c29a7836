//! Whether the database can be written.

use super::{Sql, values};
use crate::error::Error;
use crate::random::fresh_id;

/// Writes a row that nobody sees, because it is gone before the transaction ends: the engine makes
/// that durable like everything else. It has a fresh key, so that servers that are asked at once
/// never wait for each other.
pub(in crate::store) fn write_and_forget(sql: &dyn Sql) -> Result<(), Error> {
    let nobody = fresh_id()?;
    sql.execute("INSERT INTO compacted (item_id, before_day) VALUES (?1, 0)", values![&nobody])?;
    sql.execute("DELETE FROM compacted WHERE item_id = ?1", values![&nobody])?;
    Ok(())
}
