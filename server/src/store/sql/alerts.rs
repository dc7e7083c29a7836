//! Alerts: each threshold fires once, until it is re-armed or has recovered.
//!
//! An alert and its event are written in one transaction. If a batch or a change has caused the
//! alert, this is the transaction of the cause. The alert's key decides which of several servers is
//! first.

use std::collections::{BTreeMap, BTreeSet};

use super::table::AUTHORIZATION_HOUR;
use super::{Row, Sql, Value, values};
use crate::alert::{Alert, AlertKind, PERCENTS, percents};
use crate::error::Error;
use crate::operator::queries::conditions::{Authorizations, REFUSED_HOURS, Reading, Stands};
use crate::operator::queries::refusals::HOUR_SECONDS;
use crate::store::sql::access::{require_done, unknown};

/// The columns of an alert, in the order of [`read`].
pub(super) const COLUMNS: &str = "kind, subject, what, level, organization_id, detail";

/// The time for which events are kept, in seconds: 13 months, as refusals.
const KEPT_SECONDS: u64 = 396 * 86_400;

/// Read an alert from a row that begins with [`COLUMNS`].
pub(super) fn read(row: &mut Row) -> Result<Alert, Error> {
    Ok(Alert {
        kind: AlertKind::named(&row.take::<String>(0)?)?,
        subject: row.take(1)?,
        what: row.take(2)?,
        level: row.take(3)?,
        organization_id: row.take(4)?,
        detail: row.take(5)?,
    })
}

/// Fire an alert, unless it has fired already.
pub(in crate::store) fn fire(sql: &dyn Sql, alert: &Alert, now: u64) -> Result<(), Error> {
    let Alert { kind, subject, what, level, organization_id, detail } = alert;
    let id = alert.id();
    let first = sql.execute(
        "INSERT INTO alert (alert_id, kind, subject, what, level, organization_id, fired_at,
                            recovered_at, muted_until, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, 0, ?8) ON CONFLICT (alert_id) DO NOTHING",
        values![&id, kind.name(), subject, what, *level, organization_id, now, detail],
    )?;
    let again = match first {
        0 => sql.execute(
            "UPDATE alert SET fired_at = ?2, recovered_at = NULL, detail = ?3
              WHERE alert_id = ?1 AND recovered_at IS NOT NULL",
            values![&id, now, detail],
        )?,
        _ => 0,
    };
    if first + again > 0 { tell(sql, "fired", alert, now) } else { Ok(()) }
}

/// Write the event of an alert, unless the alert is muted.
fn tell(sql: &dyn Sql, event: &str, alert: &Alert, now: u64) -> Result<(), Error> {
    let Alert { kind, subject, detail, .. } = alert;
    let id = alert.id();
    let muted = "SELECT 1 FROM alert WHERE alert_id = ?1 AND muted_until > ?2";
    if sql.exists(muted, values![&id, now])? {
        return Ok(());
    }
    // The transaction may still fail. Then the line comes again with the next attempt.
    tracing::warn!(kind = kind.name(), subject, event, "{detail}");
    write_event(sql, &alert.event_id(event, now), event, alert, now)
}

/// Write an event, unless it is written.
fn write_event(
    sql: &dyn Sql,
    event_id: &str,
    event: &str,
    alert: &Alert,
    now: u64,
) -> Result<(), Error> {
    let Alert { kind, subject, what, level, organization_id, detail } = alert;
    sql.execute(
        "INSERT INTO alert_event (event_id, at, event, alert_id, kind, subject, what, level,
                                  organization_id, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (event_id) DO NOTHING",
        values![
            event_id,
            now,
            event,
            &alert.id(),
            kind.name(),
            subject,
            what,
            *level,
            organization_id,
            detail
        ],
    )?;
    Ok(())
}

/// Fire what is reached, and note that these alerts have recovered.
pub(in crate::store) fn note(
    sql: &dyn Sql,
    reached: &[Alert],
    recovered: &[String],
    now: u64,
) -> Result<(), Error> {
    reached.iter().try_for_each(|alert| fire(sql, alert, now))?;
    for id in recovered {
        let query = format!(
            "UPDATE alert SET recovered_at = ?2 WHERE alert_id = ?1 AND recovered_at IS NULL
             RETURNING {COLUMNS}"
        );
        if let Some(mut row) = sql.row(&query, values![id, now])? {
            tell(sql, "recovered", &read(&mut row)?, now)?;
        }
    }
    Ok(())
}

/// Write summaries, each by the id of its event.
pub(in crate::store) fn note_summaries(
    sql: &dyn Sql,
    summaries: &[(String, Alert)],
    now: u64,
) -> Result<(), Error> {
    summaries.iter().try_for_each(|(id, alert)| write_event(sql, id, "summary", alert, now))
}

/// Fire those of these readings that are reached.
pub(in crate::store) fn fire_reached(
    sql: &dyn Sql,
    readings: Vec<Reading>,
    now: u64,
) -> Result<(), Error> {
    let reached = readings.into_iter().filter(|reading| reading.stands == Stands::Reached);
    reached.map(|reading| reading.alert).try_for_each(|alert| fire(sql, &alert, now))
}

/// Tell that the data was put back; the second time in a year, that two servers use one key.
pub(super) fn rolled_back(
    sql: &dyn Sql,
    epoch: &str,
    detail: &str,
    is_again: bool,
    now: u64,
) -> Result<(), Error> {
    let alert = |kind, subject: &str, detail: String| Alert {
        kind,
        subject: subject.to_owned(),
        what: String::new(),
        level: 0,
        organization_id: String::new(),
        detail,
    };
    let text = format!("the data of this server was put back to an earlier state: {detail}");
    fire(sql, &alert(AlertKind::RolledBack, epoch, text), now)?;
    if !is_again {
        return Ok(());
    }
    let text = "two servers use the key of this one, or its data was put back again and again: \
                \"seatmeterd epochs\" says when. Stop all servers with this key but one";
    fire(sql, &alert(AlertKind::TwoServers, "key", text.to_owned()), now)
}

/// Let an alert fire again.
pub(super) fn rearm(sql: &dyn Sql, alert_id: &str) -> Result<(), Error> {
    let rows = sql.execute("DELETE FROM alert WHERE alert_id = ?1", values![alert_id])?;
    require_done(rows, "alert", alert_id)
}

/// Tell nothing of an alert until this instant.
pub(super) fn mute(sql: &dyn Sql, alert_id: &str, until: u64) -> Result<(), Error> {
    let rows = sql.execute(
        "UPDATE alert SET muted_until = ?2 WHERE alert_id = ?1",
        values![alert_id, until],
    )?;
    require_done(rows, "alert", alert_id)
}

/// Write an event that tries the channels by which alerts are delivered.
pub(super) fn test(sql: &dyn Sql, by: &str, now: u64) -> Result<(), Error> {
    let alert = Alert {
        kind: AlertKind::Test,
        subject: "test".to_owned(),
        what: String::new(),
        level: 0,
        organization_id: String::new(),
        detail: format!("{by} has tried whether alerts arrive: nothing is wrong"),
    };
    tell(sql, "test", &alert, now)
}

/// Return the organization of an alert.
pub(super) fn owner(sql: &dyn Sql, alert_id: &str) -> Result<Option<String>, Error> {
    let query = "SELECT organization_id FROM alert WHERE alert_id = ?1";
    let owner: Option<String> = sql.value(query, values![alert_id])?;
    Ok(owner.filter(|owner| !owner.is_empty()))
}

/// Set the thresholds of an item; `None` for all items without their own.
pub(super) fn set_thresholds(
    sql: &dyn Sql,
    item_id: Option<&str>,
    percents: &str,
) -> Result<(), Error> {
    if let Some(item_id) = item_id
        && super::operation::owner_of_item(sql, item_id)?.is_none()
    {
        return Err(unknown("item", item_id));
    }
    sql.execute(
        "INSERT INTO alert_threshold (item_id, percents) VALUES (?1, ?2)
         ON CONFLICT (item_id) DO UPDATE SET percents = excluded.percents",
        values![item_id.unwrap_or(""), percents],
    )?;
    Ok(())
}

/// The thresholds of the items.
pub(in crate::store) struct Thresholds(BTreeMap<String, Vec<u32>>);

impl Thresholds {
    /// Read all that operators have set.
    pub(in crate::store) fn load(sql: &dyn Sql) -> Result<Self, Error> {
        Self::read(sql.query("SELECT item_id, percents FROM alert_threshold", &[])?)
    }

    /// Read those of one item, and those of all items without their own.
    pub(in crate::store) fn load_of(sql: &dyn Sql, item_id: &str) -> Result<Self, Error> {
        let query = "SELECT item_id, percents FROM alert_threshold WHERE item_id IN (?1, '')";
        Self::read(sql.query(query, values![item_id])?)
    }

    fn read(rows: Vec<Row>) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for mut row in rows {
            all.insert(row.take(0)?, percents(&row.take::<String>(1)?)?);
        }
        Ok(Self(all))
    }

    /// Return the items that have their own, with their thresholds.
    pub(in crate::store) fn of_items(&self) -> impl Iterator<Item = (&str, &[u32])> {
        let own = self.0.iter().filter(|(item_id, _)| !item_id.is_empty());
        own.map(|(item_id, percents)| (item_id.as_str(), percents.as_slice()))
    }

    /// Return the thresholds of an item.
    pub(in crate::store) fn of(&self, item_id: &str) -> &[u32] {
        let own = self.0.get(item_id).or_else(|| self.0.get(""));
        own.map_or(&PERCENTS, Vec::as_slice)
    }
}

/// The authorizations of a batch that were granted and refused, by handshake code and hour.
#[derive(Default)]
pub(super) struct Attempts(BTreeMap<(String, u64), (u64, u64)>);

impl Attempts {
    /// Count an authorization under a code that exists.
    pub(super) fn count(&mut self, handshake_code: &str, now: u64, is_granted: bool) {
        let key = (handshake_code.to_owned(), now / HOUR_SECONDS);
        let (granted, refused) = self.0.entry(key).or_default();
        if is_granted { *granted += 1 } else { *refused += 1 }
    }

    /// Add them to those of the same hours.
    pub(super) fn save(&self, sql: &dyn Sql) -> Result<(), Error> {
        let rows: Vec<Value<'_>> = self
            .0
            .iter()
            .flat_map(|((code, hour), (granted, refused))| {
                *values![code, *hour, *granted, *refused]
            })
            .collect();
        AUTHORIZATION_HOUR.put(sql, &rows)
    }
}

/// Return the authorizations of the last hours, by handshake code.
pub(super) fn authorizations(sql: &dyn Sql, now: u64) -> Result<Vec<Authorizations>, Error> {
    let rows = sql.query(
        "SELECT authorization_hour.handshake_code, organization_id,
                CAST(sum(granted) AS BIGINT), CAST(sum(refused) AS BIGINT)
           FROM handshake_code JOIN authorization_hour USING (handshake_code)
          WHERE hour > ?1 GROUP BY authorization_hour.handshake_code, organization_id",
        values![(now / HOUR_SECONDS).saturating_sub(REFUSED_HOURS)],
    )?;
    let read = |mut row: Row| {
        Ok(Authorizations {
            handshake_code: row.take(0)?,
            organization_id: row.take(1)?,
            granted: row.take(2)?,
            refused: row.take(3)?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Return the alerts that have fired and not recovered: their ids, kinds and subjects.
pub(super) fn standing(sql: &dyn Sql) -> Result<Vec<(String, AlertKind, String)>, Error> {
    let rows =
        sql.query("SELECT alert_id, kind, subject FROM alert WHERE recovered_at IS NULL", &[])?;
    let read =
        |mut row: Row| Ok((row.take(0)?, AlertKind::named(&row.take::<String>(1)?)?, row.take(2)?));
    rows.into_iter().map(read).collect()
}

/// Delete events and counts that are older than they are kept. Return how many.
pub(super) fn forget_old(sql: &dyn Sql, now: u64, rows: usize) -> Result<usize, Error> {
    let events = sql.query(
        "SELECT event_id FROM alert_event WHERE at < ?1 ORDER BY at LIMIT ?2",
        values![now.saturating_sub(KEPT_SECONDS), rows as u64],
    )?;
    let mut ids = BTreeSet::new();
    for mut row in events {
        ids.insert(row.take::<String>(0)?);
    }
    for id in &ids {
        for channel in crate::alert::CHANNELS {
            sql.execute(
                "DELETE FROM alert_delivery WHERE channel = ?1 AND event_id = ?2",
                values![channel, id],
            )?;
        }
        sql.execute("DELETE FROM alert_event WHERE event_id = ?1", values![id])?;
    }
    // Two more hours than are read, because several servers may have several clocks.
    let hour = (now / HOUR_SECONDS).saturating_sub(REFUSED_HOURS + 2);
    let counts = sql.execute(
        "DELETE FROM authorization_hour WHERE (handshake_code, hour) IN
            (SELECT handshake_code, hour FROM authorization_hour WHERE hour < ?1 LIMIT ?2)",
        values![hour, rows as u64],
    )?;
    Ok(ids.len() + counts)
}
