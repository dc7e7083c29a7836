//! Which life of the data this is.
//!
//! Clients note the epoch beside what was acknowledged. A restored backup may have forgotten some of that; its
//! new epoch tells them to send all their totals again, so that nothing that was spent comes back.

use rusqlite::Connection;

use crate::error::Error;

/// The epoch, 32 hexadecimal digits.
pub(super) fn epoch(connection: &Connection) -> Result<String, Error> {
    Ok(connection.prepare_cached("SELECT epoch FROM epoch")?.query_row([], |row| row.get(0))?)
}
