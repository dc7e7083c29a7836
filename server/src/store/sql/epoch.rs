//! The epoch: the id of the current life of the data.
//!
//! Clients note the epoch beside the totals that the server acknowledged. A restored backup may
//! have forgotten some of them. Its new epoch makes the clients send all their totals again, so
//! that no spent count becomes available again.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::slot::SLOT_SECONDS;

use super::{Sql, audit, time, values};
use crate::error::{Error, Refusal};
use crate::operator::commands::Actor;
use crate::policy::{Candidate, Claim};
use crate::utc;

/// The value that stands for the instant until a server accepts requests for the first time after a
/// restore.
const NOT_BEGUN: u64 = i64::MAX as u64;

/// The current life of the data.
pub(super) struct Life {
    /// The epoch, as 32 hexadecimal digits.
    pub(super) epoch: String,
    /// The instant until which other devices may hold what was forgotten, Unix seconds.
    careful_until: u64,
}

/// Read the current life.
pub(super) fn life(sql: &dyn Sql) -> Result<Life, Error> {
    let row = sql.row("SELECT epoch, careful_until FROM epoch WHERE only_row = 1", &[])?;
    let mut row = row.ok_or_else(|| Error::Store("the epoch has gone".to_owned()))?;
    Ok(Life { epoch: row.take(0)?, careful_until: row.take(1)? })
}

/// Begin another life, with this id, after a restore. It must be a transaction.
pub(in crate::store) fn renew(sql: &dyn Sql, epoch: &str, now: u64) -> Result<(), Error> {
    sql.execute(
        "UPDATE epoch SET epoch = ?1, careful_until = ?2, begun = begun + 1 WHERE only_row = 1",
        values![epoch, NOT_BEGUN],
    )?;
    let now = now.max(time::recorded(sql)?.newest_at);
    audit::add(sql, &Actor { name: "cli".to_owned(), now }, "restore from backup", epoch, "")
}

/// Record that a server accepts requests, so that devices which hold something forgotten can show
/// it from now on. If several servers share a database, the first one starts that time, and the
/// others find it started. An end that is further ahead than one slot is brought near, whoever
/// wrote it: a clock that was ahead, or somebody who edited the database.
pub(in crate::store) fn serving(sql: &dyn Sql, now: u64) -> Result<(), Error> {
    sql.execute(
        "UPDATE epoch SET careful_until = ?1 WHERE only_row = 1 AND careful_until > ?1",
        values![now.saturating_add(SLOT_SECONDS)],
    )?;
    Ok(())
}

/// Restrict grants soon after a restore: a device is granted only what it shows that it holds.
/// Other devices may hold what this server has forgotten, and need a slot to show it.
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
        until if until > claim.now.saturating_add(SLOT_SECONDS) => {
            format!("for the first {SLOT_SECONDS} s")
        }
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

/// Return whether a device that shows this license holds by it what it requests.
fn holds(held: &LocalLicense, claim: &Claim) -> bool {
    let has_enough = held.charge_way != ChargeWay::ConcurrentInstance || claim.seats <= held.seats;
    has_enough && claim.now < held.valid_until
}
