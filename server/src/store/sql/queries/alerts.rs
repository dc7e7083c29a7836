//! The alerts, the changes since the last check, and the events that wait for delivery.

use std::collections::{BTreeMap, HashSet};

use super::{item_ids, status, values};
use crate::alert::{Alert, AlertKind};
use crate::error::Error;
use crate::operator::queries::alerts::{
    AlertCheck, AlertCheckQuery, AlertRow, Alerts, AlertsQuery, Deliveries, DeliveriesQuery,
    DeliveryRow, DueQuery, EventRow, ItemPercents,
};
use crate::operator::queries::conditions::{
    Reading, Stands, of_authorizations, of_backup, of_item, of_server,
};
use crate::operator::queries::rows;
use crate::operator::queries::status::ItemState;
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::Row;
use crate::store::sql::alerts::{self, Thresholds};

/// The number of items that are read at once.
const ITEMS_AT_ONCE: usize = 1_000;

impl Question for AlertsQuery {
    type Answer = Alerts;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Alerts, Error> {
        let mut found = Vec::new();
        let query =
            "SELECT kind, subject, what, level, organization_id, detail, alert_id, fired_at,
                            recovered_at, muted_until
                       FROM alert ORDER BY fired_at DESC, alert_id";
        for mut row in from.sql().query(query, &[])? {
            let Alert { kind, subject, what, level, organization_id, detail } =
                alerts::read(&mut row)?;
            let recovered_at: Option<u64> = row.take(8)?;
            let is_wanted = from.owner.is_none_or(|owner| owner == organization_id)
                && !(self.firing && recovered_at.is_some())
                && self.kind.is_none_or(|wanted| wanted == kind)
                && self.subject.as_ref().is_none_or(|wanted| *wanted == subject);
            if !is_wanted {
                continue;
            }
            let muted_until: u64 = row.take(9)?;
            found.push(AlertRow {
                alert_id: row.take(6)?,
                kind,
                subject,
                what,
                level,
                organization_id,
                fired_at: row.take(7)?,
                recovered_at,
                muted_until: (muted_until > from.now).then_some(muted_until),
                detail,
            });
        }
        let thresholds = Thresholds::load(from.sql())?;
        // The caller may see the items of one organization alone.
        let seen: Option<HashSet<String>> = match from.owner {
            Some(_) => Some(item_ids(from, None)?.into_iter().collect()),
            None => None,
        };
        let item_percents = thresholds
            .of_items()
            .filter(|(item_id, _)| seen.as_ref().is_none_or(|seen| seen.contains(*item_id)))
            .map(|(item_id, own)| ItemPercents {
                item_id: item_id.to_owned(),
                percents: own.to_vec(),
            })
            .collect();
        let percents = thresholds.of("").to_vec();
        Ok(Alerts { at: from.now, alerts: found, percents, item_percents })
    }
}

impl Question for AlertCheckQuery {
    type Answer = AlertCheck;

    fn answer(&self, from: &Snapshot<'_>) -> Result<AlertCheck, Error> {
        let sql = from.sql();
        let mut readings = of_server(&self.facts, from.now);
        readings.extend(of_backup(status::server(from)?.backup_at, from.now));
        for counts in alerts::authorizations(sql, from.now)? {
            readings.extend(of_authorizations(&counts));
        }
        let thresholds = Thresholds::load(sql)?;
        let mut unreadable = HashSet::new();
        for ids in item_ids(from, None)?.chunks(ITEMS_AT_ONCE) {
            from.require_time()?;
            for item in status::items(from, ids)? {
                if item.state == ItemState::NotReady {
                    unreadable.insert(item.item_id.clone());
                }
                readings.extend(of_item(&item, thresholds.of(&item.item_id), from.now));
            }
        }
        let mut standing = alerts::standing(sql)?;
        // Until its license file is imported again, nobody can tell how an item stands.
        standing.retain(|(_, _, subject)| !unreadable.contains(subject));
        Ok(changes(readings, standing, &self.facts.host))
    }
}

/// Compare what is reached with the alerts that stand.
fn changes(
    readings: Vec<Reading>,
    standing: Vec<(String, AlertKind, String)>,
    host: &str,
) -> AlertCheck {
    let seen: HashSet<String> = readings.iter().map(|reading| reading.alert.id()).collect();
    let stands: HashSet<&str> = standing.iter().map(|(id, ..)| id.as_str()).collect();
    let is_new = |reading: &Reading| {
        reading.stands == Stands::Reached && !stands.contains(reading.alert.id().as_str())
    };
    let reached = readings.into_iter().filter(is_new).map(|reading| reading.alert).collect();
    let has_recovered = |(id, kind, subject): &&(String, AlertKind, String)| {
        let is_seen_here = !kind.is_of_one_server() || subject == host;
        is_seen_here && !kind.is_of_the_past() && !seen.contains(id)
    };
    let recovered = standing.iter().filter(has_recovered).map(|(id, ..)| id.clone()).collect();
    AlertCheck { reached, recovered }
}

/// Read an event from a row that begins with the columns of an alert.
fn event(row: &mut Row) -> Result<EventRow, Error> {
    let Alert { kind, subject, what, level, organization_id, detail } = alerts::read(row)?;
    Ok(EventRow {
        event_id: row.take(6)?,
        at: row.take(7)?,
        event: row.take(8)?,
        alert_id: row.take(9)?,
        kind,
        subject,
        what,
        level,
        organization_id,
        detail,
        deliveries: Vec::new(),
    })
}

impl Question for DeliveriesQuery {
    type Answer = Deliveries;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Deliveries, Error> {
        let limit = rows(self.limit)?;
        let query =
            "SELECT kind, subject, what, level, organization_id, detail, event_id, at, event,
                            alert_id
                       FROM alert_event ORDER BY at DESC, event_id LIMIT ?1";
        let of_owner =
            "SELECT kind, subject, what, level, organization_id, detail, event_id, at, event,
                            alert_id
                       FROM alert_event WHERE organization_id = ?2
                      ORDER BY organization_id, at DESC, event_id LIMIT ?1";
        let found = match from.owner {
            Some(owner) => from.sql().query(of_owner, values![limit as u64, owner])?,
            None => from.sql().query(query, values![limit as u64])?,
        };
        let mut events = Vec::with_capacity(found.len());
        for mut row in found {
            events.push(event(&mut row)?);
        }
        for event in &mut events {
            event.deliveries = deliveries(from, &event.event_id)?;
        }
        Ok(Deliveries { events })
    }
}

fn deliveries(from: &Snapshot<'_>, event_id: &str) -> Result<Vec<DeliveryRow>, Error> {
    let mut found = Vec::new();
    for channel in crate::alert::CHANNELS {
        let query = "SELECT state, attempts, next_at, last_at, last_error FROM alert_delivery
                      WHERE channel = ?1 AND event_id = ?2";
        let Some(mut row) = from.sql().row(query, values![channel, event_id])? else { continue };
        let state: String = row.take(0)?;
        let next_at = (state == "waiting").then(|| row.take(2)).transpose()?;
        let last_at: u64 = row.take(3)?;
        found.push(DeliveryRow {
            channel: channel.to_owned(),
            state,
            attempts: row.take(1)?,
            next_at,
            last_at: (last_at > 0).then_some(last_at),
            last_error: row.take(4)?,
        });
    }
    Ok(found)
}

impl Question for DueQuery {
    type Answer = Vec<(EventRow, u32)>;

    /// Return events that were never tried or whose next attempt is due, with the number of
    /// attempts, the oldest first.
    fn answer(&self, from: &Snapshot<'_>) -> Result<Self::Answer, Error> {
        let mut found: BTreeMap<(u64, String), (EventRow, u32)> = BTreeMap::new();
        let tried_again = "SELECT kind, subject, what, level, organization_id, detail,
                            alert_event.event_id, at, event, alert_id, attempts
               FROM alert_delivery JOIN alert_event USING (event_id)
              WHERE state = 'waiting' AND next_at <= ?1 AND channel = ?2 ORDER BY next_at LIMIT ?3";
        let never_tried =
            "SELECT kind, subject, what, level, organization_id, detail, event_id, at,
                            event, alert_id, CAST(0 AS BIGINT)
               FROM alert_event
              WHERE at >= ?1 AND (?2 <> 'webhook' OR kind <> 'summary')
                AND NOT EXISTS (SELECT 1 FROM alert_delivery
                    WHERE alert_delivery.channel = ?2
                      AND alert_delivery.event_id = alert_event.event_id)
              ORDER BY at LIMIT ?3";
        for (query, first) in [(tried_again, from.now), (never_tried, self.since)] {
            for mut row in from.sql().query(query, values![first, self.channel, self.limit])? {
                let event = event(&mut row)?;
                let attempts = row.take(10)?;
                found.insert((event.at, event.event_id.clone()), (event, attempts));
            }
        }
        Ok(found.into_values().take(self.limit as usize).collect())
    }
}
