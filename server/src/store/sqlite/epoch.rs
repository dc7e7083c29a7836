//! Which life of the data this is.
//!
//! Clients note the epoch beside what was acknowledged. A restored backup may have forgotten some of that;
//! its new epoch tells them to send all their totals again, so that nothing that was spent comes back.

use rusqlite::{Connection, params};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::slot::SLOT_SECONDS;

use super::stored;
use crate::error::{Error, Refusal};
use crate::policy::{Candidate, Claim};
use crate::utc;

/// The epoch, 32 hexadecimal digits.
pub(super) fn epoch(connection: &Connection) -> Result<String, Error> {
    Ok(connection.prepare_cached("SELECT epoch FROM epoch")?.query_row([], |row| row.get(0))?)
}

/// Begins another life after a restore.
pub(super) fn renew(connection: &Connection, now: u64) -> Result<(), Error> {
    connection.execute(
        "UPDATE epoch SET epoch = lower(hex(randomblob(16))), careful_until = ?1",
        params![stored(now.saturating_add(SLOT_SECONDS))],
    )?;
    connection.execute(
        "INSERT INTO audit (at, actor, action, subject, detail)
         SELECT ?1, 'cli', 'restore from backup', epoch, '' FROM epoch",
        params![stored(now)],
    )?;
    Ok(())
}

/// Soon after a restore, only what a device shows that it holds is granted: others may hold what this server
/// has forgotten, and need a slot to say so.
pub(super) fn careful(
    connection: &Connection,
    claim: &Claim,
    held: Option<&LocalLicense>,
    candidates: &mut Vec<Candidate>,
) -> Result<(), Error> {
    let until: u64 =
        connection.prepare_cached("SELECT careful_until FROM epoch")?.query_row([], |row| row.get(0))?;
    if claim.now >= until {
        return Ok(());
    }
    if let Some(held) = held
        && claim.seats <= held.seats.max(1)
    {
        candidates.retain(|candidate| candidate.item.item_id == held.item_id);
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::STANDBY_NOT_READY,
        format!(
            "this server was restored from a backup just now, and until {} grants only what a device shows that \
             it holds; try again then",
            utc::text(until)
        ),
    )
    .into())
}
