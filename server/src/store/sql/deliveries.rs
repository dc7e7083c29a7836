//! The deliveries of events: each channel has a row for each event that it has tried.
//!
//! Before a server delivers events, it takes them: it moves the next attempt ahead. Thus no other
//! server of this database delivers them at the same time, and if this one dies, they are tried
//! again.

use super::access::unknown;
use super::table::LAST_DONE;
use super::{Sql, values};
use crate::alert::CHANNELS;
use crate::error::Error;
use crate::operator::queries::alerts::WebhookOffQuery;
use crate::store::reading::{Question, Snapshot};
use crate::store::{DeliveryOutcome, TakeDeliveries};

/// The greatest number of bytes that are kept of an error.
const ERROR_BYTES_MAX: usize = 500;

/// Take events. Return the ids of those that nobody else has taken.
pub(in crate::store) fn take(sql: &dyn Sql, take: &TakeDeliveries) -> Result<Vec<String>, Error> {
    let TakeDeliveries { channel, event_ids, now, until } = take;
    let mut taken = Vec::new();
    for id in event_ids {
        let first = sql.execute(
            "INSERT INTO alert_delivery (channel, event_id, state, attempts, next_at, last_at,
                                         last_error)
             VALUES (?1, ?2, 'waiting', 1, ?3, ?4, '')
             ON CONFLICT (channel, event_id) DO NOTHING",
            values![*channel, id, *until, *now],
        )?;
        let again = match first {
            0 => sql.execute(
                "UPDATE alert_delivery SET attempts = attempts + 1, next_at = ?3, last_at = ?4
                  WHERE channel = ?1 AND event_id = ?2 AND state = 'waiting' AND next_at <= ?4",
                values![*channel, id, *until, *now],
            )?,
            _ => 0,
        };
        if first + again > 0 {
            taken.push(id.clone());
        }
    }
    Ok(taken)
}

/// Record the outcome of a delivery.
pub(in crate::store) fn note(sql: &dyn Sql, outcome: &DeliveryOutcome) -> Result<(), Error> {
    let DeliveryOutcome { channel, event_ids, now, error, next_at } = outcome;
    let state = match (error, next_at) {
        (None, _) => "done",
        (Some(_), Some(_)) => "waiting",
        (Some(_), None) => "given_up",
    };
    let mut why = error.clone().unwrap_or_default();
    super::refusals::truncate(&mut why, ERROR_BYTES_MAX);
    for id in event_ids {
        sql.execute(
            "UPDATE alert_delivery SET state = ?3, next_at = ?4, last_at = ?5, last_error = ?6
              WHERE channel = ?1 AND event_id = ?2",
            values![*channel, id, state, next_at.unwrap_or(0), *now, &why],
        )?;
    }
    Ok(())
}

/// The prefix of the rows, among what was done last, of webhooks that are off.
const OFF: &str = "webhook off: ";

/// Return the name of a webhook that is off, among what was done last.
pub(super) fn off(id: &str) -> String {
    format!("{OFF}{id}")
}

/// Let all webhooks be posted to again.
pub(super) fn enable(sql: &dyn Sql) -> Result<(), Error> {
    sql.execute("DELETE FROM last_done WHERE what LIKE 'webhook off: %'", &[])?;
    Ok(())
}

impl Question for WebhookOffQuery {
    type Answer = bool;

    fn answer(&self, from: &Snapshot<'_>) -> Result<bool, Error> {
        Ok(!LAST_DONE.find(from.sql(), values![&off(&self.id)])?.is_empty())
    }
}

/// Deliver an event once more, by the channels that have tried it.
pub(super) fn replay(sql: &dyn Sql, event_id: &str, now: u64) -> Result<(), Error> {
    if !sql.exists("SELECT 1 FROM alert_event WHERE event_id = ?1", values![event_id])? {
        return Err(unknown("event", event_id));
    }
    let mut told = 0;
    for channel in CHANNELS {
        told += sql.execute(
            "UPDATE alert_delivery SET state = 'waiting', attempts = 0, next_at = ?3
              WHERE channel = ?1 AND event_id = ?2",
            values![channel, event_id, now],
        )?;
    }
    // An event that no channel has tried waits for every channel: without a row, an old event would
    // not be tried.
    let never = if told == 0 { &CHANNELS[..] } else { &[] };
    for channel in never {
        sql.execute(
            "INSERT INTO alert_delivery (channel, event_id, state, attempts, next_at, last_at,
                                         last_error)
             VALUES (?1, ?2, 'waiting', 0, ?3, 0, '')",
            values![*channel, event_id, now],
        )?;
    }
    Ok(())
}
