//! The time that the database has recorded: the server's time never goes back behind it.

use super::{Sql, values};
use crate::error::Error;
use crate::server_time::RecordedTime;
use crate::utc;

/// Return the recorded time.
pub(in crate::store) fn recorded(sql: &dyn Sql) -> Result<RecordedTime, Error> {
    let row = sql.row("SELECT newest_at, accepted FROM server_time WHERE only_row = 1", &[])?;
    let mut row = row.ok_or_else(|| Error::Store("the recorded time has gone".to_owned()))?;
    Ok(RecordedTime { newest_at: row.take(0)?, accepted: row.take(1)? })
}

/// Raise the recorded time, and return it. A server that has not yet noticed an acceptance still
/// has the time from before, which must not come back.
pub(in crate::store) fn note(sql: &dyn Sql, time: RecordedTime) -> Result<RecordedTime, Error> {
    sql.execute(
        "UPDATE server_time SET newest_at = ?1
          WHERE only_row = 1 AND newest_at < ?1 AND accepted = ?2",
        values![time.newest_at, time.accepted],
    )?;
    recorded(sql)
}

/// Take the machine's clock as right, although the recorded time may be ahead of it. Return the
/// detail for the audit log. A running server may be ahead of what is recorded, and follows, too.
pub(in crate::store) fn accept(sql: &dyn Sql, now: u64) -> Result<String, Error> {
    let RecordedTime { newest_at, .. } = recorded(sql)?;
    sql.execute(
        "UPDATE server_time SET newest_at = ?1, accepted = accepted + 1 WHERE only_row = 1",
        values![now],
    )?;
    // A first license that was dated ahead does not tell since when its device counts.
    sql.execute(
        "UPDATE device_identity SET first_granted_at = 0 WHERE first_granted_at > ?1",
        values![now],
    )?;
    Ok(match newest_at.checked_sub(now) {
        Some(later) => format!("{} had been recorded, {later} s later", utc::text(newest_at)),
        None => format!("{} had been recorded, which is not later", utc::text(newest_at)),
    })
}
