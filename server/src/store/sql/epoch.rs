//! Which life of the data this is.
//!
//! Clients note the epoch beside what was acknowledged. A restored backup may have forgotten some
//! of that; its new epoch tells them to send all their totals again, so that nothing that was spent
//! comes back.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::slot::SLOT_SECONDS;

use super::{Sql, values};
use crate::error::{Error, Refusal};
use crate::policy::{Candidate, Claim};
use crate::utc;

/// Stands in the place of an instant until a server serves for the first time after a restore.
const NOT_BEGUN: u64 = i64::MAX as u64;

/// The life of the data that goes on now.
pub(super) struct Life {
    /// The epoch, 32 hexadecimal digits.
    pub(super) epoch: String,
    /// Until when others may hold what was forgotten.
    careful_until: u64,
}

/// Reads it.
pub(super) fn life(sql: &dyn Sql) -> Result<Life, Error> {
    let row = sql.row("SELECT epoch, careful_until FROM epoch WHERE only_row = 1", &[])?;
    let mut row = row.ok_or_else(|| Error::Store("the epoch has gone".to_owned()))?;
    Ok(Life { epoch: row.take(0)?, careful_until: row.take(1)? })
}

/// Begins another life, with this id, after a restore.
pub(in crate::store) fn renew(sql: &dyn Sql, epoch: &str, now: u64) -> Result<(), Error> {
    sql.execute(
        "UPDATE epoch SET epoch = ?1, careful_until = ?2 WHERE only_row = 1",
        values![epoch, NOT_BEGUN],
    )?;
    sql.execute(
        "INSERT INTO audit (audit_id, at, actor, action, subject, detail)
         VALUES ((SELECT coalesce(max(audit_id), 0) + 1 FROM audit), ?1, 'cli', 'restore from \
         backup', ?2, '')",
        values![now, epoch],
    )?;
    Ok(())
}

/// A server serves: whoever holds what was forgotten can say so from now on. Of several servers on
/// one database, the first one begins that time, and the others find it begun.
pub(in crate::store) fn serving(sql: &dyn Sql, now: u64) -> Result<(), Error> {
    sql.execute(
        "UPDATE epoch SET careful_until = ?1 WHERE only_row = 1 AND careful_until = ?2",
        values![now.saturating_add(SLOT_SECONDS), NOT_BEGUN],
    )?;
    Ok(())
}

/// Soon after a restore, only what a device shows that it holds is granted: others may hold what
/// this server has forgotten, and need a slot to say so.
pub(super) fn careful(
    life: &Life,
    claim: &Claim,
    held: Option<&LocalLicense>,
    candidates: &mut Vec<Candidate>,
) -> Result<(), Error> {
    let until = life.careful_until;
    if claim.now >= until {
        return Ok(());
    }
    let is_of = |candidate: &Candidate, held: &LocalLicense| candidate.item.item_id == held.item_id;
    if let Some(held) = held.filter(|held| holds(held, claim))
        && candidates.iter().any(|candidate| is_of(candidate, held))
    {
        candidates.retain(|candidate| is_of(candidate, held));
        return Ok(());
    }
    let how_long = match until {
        NOT_BEGUN => format!("for the first {SLOT_SECONDS} s"),
        until => format!("until {}", utc::text(until)),
    };
    Err(Refusal::new(
        ErrorCode::STANDBY_NOT_READY,
        format!(
            "this server was restored from a backup just now, and {how_long} grants only what a \
             device shows that \
             it holds; try again then"
        ),
    )
    .into())
}

/// Whether a device that shows this license holds by it what is asked for.
fn holds(held: &LocalLicense, claim: &Claim) -> bool {
    let has_enough = held.charge_way != ChargeWay::ConcurrentInstance || claim.seats <= held.seats;
    has_enough && claim.now < held.valid_until
}
