//! The epochs: the ids of the states that the data has been in, from one restore to the next.
//!
//! Clients note the epoch beside the totals that the server acknowledged. A restored backup may
//! have forgotten some of them. Its new epoch makes the clients send all their totals again, so
//! that no spent count becomes available again.
//!
//! | an epoch begins | by whom |
//! | --- | --- |
//! | with the tables | – |
//! | with the restore of a backup | the operator |
//! | after PostgreSQL was restored, or a standby was promoted | the operator: `seatmeterd new-epoch` |
//! | when a device, or the server's own last answer, proves that the data was put back | the server itself |
//! | when the database is in another cluster of PostgreSQL than before | the server itself |

use std::collections::HashMap;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::slot::SLOT_SECONDS;

use super::{Sql, access, alerts, audit, time, values};
use crate::error::{Error, Refusal};
use crate::operator::commands::{Actor, ROLLBACK, ROLLBACK_YEAR};
use crate::policy::history;
use crate::policy::{Candidate, Claim};
use crate::random::fresh_id;
use crate::receipt::Receipt;
use crate::utc;

/// The value that stands for the instant until a server accepts requests for the first time after a
/// restore.
const NOT_BEGUN: u64 = i64::MAX as u64;

/// The time, in seconds, within which the server is careful only once by itself. Two servers with
/// one key would otherwise never grant anything to a new device.
const CAREFUL_AGAIN: u64 = 3_600;

/// The reason why an epoch has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Cause {
    /// The data was created.
    Created,
    /// A backup was restored.
    Restored,
    /// The operator has said so.
    Operator,
    /// A device has proved that the data was put back.
    Rollback,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Restored => "restored",
            Self::Operator => "operator",
            Self::Rollback => ROLLBACK,
        }
    }

    /// Return the action in the audit log, if the cause is one.
    fn action(self) -> Option<&'static str> {
        match self {
            Self::Created => None,
            Self::Restored => Some("restore from backup"),
            Self::Operator => Some("begin new epoch"),
            Self::Rollback => Some("notice that the data was put back"),
        }
    }
}

/// The current epoch of the data.
pub(super) struct CurrentEpoch {
    /// The number of the epoch.
    number: u64,
    /// The id of the epoch, 32 hexadecimal digits.
    pub(super) id: String,
    /// Whether the server has begun the epoch by itself.
    is_rollback: bool,
    /// The instant until which other devices may hold what was forgotten, Unix seconds.
    careful_until: u64,
    /// The other epochs of which this batch has asked.
    others: HashMap<String, history::EpochKind>,
}

/// The statement that reads the current epoch.
pub(super) const CURRENT: &str =
    "SELECT number, epoch, cause, careful_until FROM epoch ORDER BY number DESC LIMIT 1";

/// Read the current epoch.
pub(super) fn current(sql: &dyn Sql) -> Result<CurrentEpoch, Error> {
    let row = sql.row(CURRENT, &[])?;
    let mut row = row.ok_or_else(|| Error::Store("the epoch has gone".to_owned()))?;
    let (number, id) = (row.take(0)?, row.take(1)?);
    let is_rollback = row.take::<String>(2)? == Cause::Rollback.name();
    let careful_until = row.take(3)?;
    Ok(CurrentEpoch { number, id, is_rollback, careful_until, others: HashMap::new() })
}

/// Begin another epoch, with this id. It must be a transaction.
pub(in crate::store) fn renew(
    sql: &dyn Sql,
    epoch: &str,
    cause: Cause,
    now: u64,
) -> Result<(), Error> {
    let number = current(sql)?.number.saturating_add(1);
    let now = now.max(time::recorded(sql)?.newest_at);
    insert(sql, (number, epoch, cause), now, NOT_BEGUN)?;
    note(sql, cause, "command line", epoch, "", now)
}

/// Begin another epoch, because the data has come into another cluster of PostgreSQL.
pub(in crate::store) fn renew_after_move(
    sql: &dyn Sql,
    epoch: &str,
    detail: &str,
    now: u64,
) -> Result<(), Error> {
    let number = current(sql)?.number.saturating_add(1);
    let now = now.max(time::recorded(sql)?.newest_at);
    insert(sql, (number, epoch, Cause::Restored), now, NOT_BEGUN)?;
    note(sql, Cause::Restored, "server", epoch, detail, now)
}

fn insert(
    sql: &dyn Sql,
    (number, epoch, cause): (u64, &str, Cause),
    now: u64,
    careful_until: u64,
) -> Result<(), Error> {
    sql.execute(
        "INSERT INTO epoch (number, epoch, begun_at, cause, careful_until)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        values![number, epoch, now, cause.name(), careful_until],
    )?;
    // A session that had ended may be in the data that was put back.
    access::end_all_sessions(sql)
}

fn note(
    sql: &dyn Sql,
    cause: Cause,
    actor: &str,
    subject: &str,
    detail: &str,
    now: u64,
) -> Result<(), Error> {
    let Some(action) = cause.action() else { return Ok(()) };
    audit::add(sql, &Actor { name: actor.to_owned(), now }, action, subject, detail)
}

/// Record that a server accepts requests, so that devices which hold something forgotten can show
/// it from now on. If several servers share a database, the first one starts that time, and the
/// others find it started. An end that is further ahead than one slot is brought near: a
/// clock that was ahead has written it, or somebody has edited the database.
pub(in crate::store) fn serving(sql: &dyn Sql, now: u64) -> Result<(), Error> {
    sql.execute(
        "UPDATE epoch SET careful_until = ?1 WHERE number = (SELECT max(number) FROM epoch) AND \
         careful_until > ?1",
        values![now.saturating_add(SLOT_SECONDS)],
    )?;
    Ok(())
}

/// The proof that the data was put back.
pub(super) struct RollbackProof {
    /// The epoch of what the device shows.
    epoch: String,
    /// The proof that the device shows, for people.
    detail: String,
}

impl RollbackProof {
    /// Describe a license that is newer than the data.
    pub(super) fn by_license(license: &LocalLicense) -> Self {
        let LocalLicense { generation, device_uuid, issued_at, epoch, .. } = license;
        Self {
            epoch: epoch.clone(),
            detail: format!(
                "device {device_uuid} shows a license by this server's key of {} (branch {}, step \
                 {}), which the data does not know",
                utc::text(*issued_at),
                generation.branch,
                generation.step
            ),
        }
    }

    /// Describe a commit that this server has acknowledged, and that the data does not have.
    pub(super) fn by_server(acknowledged: &Receipt) -> Self {
        Self {
            epoch: acknowledged.epoch.clone(),
            detail: format!(
                "this server has acknowledged what the data does not have since the database was \
                 connected again (commit {} of sequence {})",
                acknowledged.number, acknowledged.sequence_id
            ),
        }
    }

    /// Describe a receipt that is newer than the data.
    pub(super) fn by_receipt(receipt: &Receipt, device_uuid: &str) -> Self {
        Self {
            epoch: receipt.epoch.clone(),
            detail: format!(
                "device {device_uuid} has a receipt by this server's key of what the data does \
                 not know (commit {} of sequence {})",
                receipt.number, receipt.sequence_id
            ),
        }
    }
}

impl CurrentEpoch {
    /// Return the relation of the epoch in which a license was granted to this one.
    pub(super) fn of(&mut self, sql: &dyn Sql, epoch: &str) -> Result<history::EpochKind, Error> {
        if epoch == self.id {
            return Ok(history::EpochKind::Current);
        }
        if let Some(known) = self.others.get(epoch) {
            return Ok(*known);
        }
        let is_in = |table| sql.exists(table, values![epoch]);
        let kind = if is_in("SELECT 1 FROM epoch WHERE epoch = ?1")? {
            history::EpochKind::Earlier
        } else if is_in("SELECT 1 FROM foreign_epoch WHERE epoch = ?1")? {
            history::EpochKind::Foreign
        } else {
            history::EpochKind::Unknown
        };
        self.others.insert(epoch.to_owned(), kind);
        Ok(kind)
    }

    /// Begin another epoch, because a device shows something of this server that is newer than the
    /// data. What the devices after this one show is of epochs that are known.
    pub(super) fn end_by(
        &mut self,
        sql: &dyn Sql,
        proof: &RollbackProof,
        now: u64,
    ) -> Result<(), Error> {
        if self.of(sql, &proof.epoch)? == history::EpochKind::Unknown {
            sql.execute(
                "INSERT INTO foreign_epoch (epoch, seen_at) VALUES (?1, ?2)",
                values![&proof.epoch, now],
            )?;
            self.others.insert(proof.epoch.clone(), history::EpochKind::Foreign);
            // Devices of one rollback may have licenses of several epochs.
            if self.is_rollback && now < self.careful_until {
                return Ok(());
            }
        }
        let (of_year, latest) = noticed(sql, now)?;
        let is_careful = latest.is_none_or(|latest| now >= latest.saturating_add(CAREFUL_AGAIN));
        // By chance, not by the proof: two servers with one key may see the same one in the same
        // second, and a device must not take what one of them has recorded for the other's.
        let id = fresh_id()?;
        let number = self.number.saturating_add(1);
        let careful_until = if is_careful { now.saturating_add(SLOT_SECONDS) } else { 0 };
        insert(sql, (number, &id, Cause::Rollback), now, careful_until)?;
        let again = if of_year > 0 { "; it is not the first time in a year" } else { "" };
        let detail = format!("{}{again}", proof.detail);
        tracing::error!(epoch = id, "the data of this server was put back: {detail}");
        note(sql, Cause::Rollback, "server", &id, &detail, now)?;
        alerts::rolled_back(sql, &id, &proof.detail, of_year > 0, now)?;
        let mut others = std::mem::take(&mut self.others);
        others.insert(std::mem::take(&mut self.id), history::EpochKind::Earlier);
        *self = Self { number, id, is_rollback: true, careful_until, others };
        Ok(())
    }
}

/// Return how many rollbacks the server has noticed within a year, and when the last one was.
fn noticed(sql: &dyn Sql, now: u64) -> Result<(u64, Option<u64>), Error> {
    let row = sql.row(
        "SELECT count(*), max(begun_at) FROM epoch WHERE cause = ?1 AND begun_at > ?2",
        values![ROLLBACK, now.saturating_sub(ROLLBACK_YEAR)],
    )?;
    let mut row = row.ok_or_else(|| Error::Store("a count has no row".to_owned()))?;
    Ok((row.take(0)?, row.take(1)?))
}

/// Restrict grants soon after a restore: a device is granted only what it shows that it holds.
/// Other devices may hold what this server has forgotten, and need a slot to show it.
pub(super) fn careful<'a>(
    epoch: &CurrentEpoch,
    claim: &Claim,
    mut shown: impl Iterator<Item = &'a LocalLicense>,
    candidates: &mut Vec<Candidate>,
) -> Result<(), Error> {
    let until = epoch.careful_until;
    if claim.now >= until {
        return Ok(());
    }
    let is_of = |candidate: &Candidate, held: &LocalLicense| candidate.item.item_id == held.item_id;
    let is_held = |held: &&LocalLicense| {
        holds(held, claim) && candidates.iter().any(|candidate| is_of(candidate, held))
    };
    if let Some(held) = shown.find(is_held) {
        candidates.retain(|candidate| is_of(candidate, held));
        return Ok(());
    }
    let how_long = match until {
        until if until > claim.now.saturating_add(SLOT_SECONDS) => {
            format!("for the first {SLOT_SECONDS} s")
        }
        until => format!("until {}", utc::text(until)),
    };
    let what = if epoch.is_rollback {
        "the data of this server was put back to an earlier state just now"
    } else {
        "this server was restored from a backup just now"
    };
    Err(Refusal::new(
        ErrorCode::STANDBY_NOT_READY,
        format!(
            "{what}, and {how_long} it grants only what a device shows that it holds; try again \
             then"
        ),
    )
    .into())
}

/// Return whether a device that shows this license holds by it what it requests.
fn holds(held: &LocalLicense, claim: &Claim) -> bool {
    let has_enough = held.charge_way != ChargeWay::ConcurrentInstance || claim.seats <= held.seats;
    has_enough && claim.now < held.valid_until
}
