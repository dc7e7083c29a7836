//! `alert list`: which alerts have fired, which have recovered, and how their events were told.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};
use crate::alert::{Alert, AlertKind};
use crate::operator::queries::conditions::ServerFacts;

/// Which alerts are there?
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsQuery {
    /// Only alerts that have not recovered
    #[arg(long)]
    pub firing: bool,
    /// Only alerts of this kind
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<AlertKind>,
    /// Only alerts about this item, handshake code or server
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
}

/// The alerts at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Alerts {
    /// The instant, Unix seconds.
    pub at: u64,
    /// The alerts, those that fired last first.
    pub alerts: Vec<AlertRow>,
    /// The thresholds in percent of all items without their own.
    pub percents: Vec<u32>,
    /// The thresholds of the items that have their own, by id.
    pub item_percents: Vec<ItemPercents>,
}

/// The thresholds of an item that has its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemPercents {
    /// The id of the item.
    pub item_id: String,
    /// The thresholds in percent.
    pub percents: Vec<u32>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertRow {
    /// The id of the alert, by which it is muted and re-armed.
    pub alert_id: String,
    /// The kind.
    pub kind: AlertKind,
    /// The item, handshake code or server.
    pub subject: String,
    /// What is counted, and the module of pages; often empty.
    pub what: String,
    /// The threshold: percent or days; 0 when there is only one.
    pub level: u32,
    /// The organization that the subject belongs to; empty for the whole server.
    pub organization_id: String,
    /// The time at which it fired, Unix seconds.
    pub fired_at: u64,
    /// The time at which it recovered, Unix seconds; absent while it stands.
    pub recovered_at: Option<u64>,
    /// The end of the time in which nothing is told of it, Unix seconds; absent when it is told.
    pub muted_until: Option<u64>,
    /// What has happened, and what to do.
    pub detail: String,
}

impl Sheets for Alerts {
    fn sheets(&self) -> Vec<Sheet> {
        let columns = vec![
            "alert_id",
            "kind",
            "subject",
            "what",
            "level",
            "state",
            "fired",
            "recovered",
            "detail",
        ];
        let row = |alert: &AlertRow| {
            let state = match (alert.recovered_at, alert.muted_until) {
                (_, Some(_)) => "muted",
                (Some(_), None) => "recovered",
                (None, None) => "firing",
            };
            vec![
                Cell::from(&alert.alert_id),
                Cell::from(alert.kind.name()),
                Cell::from(&alert.subject),
                Cell::from(&alert.what),
                Cell::from(alert.level),
                Cell::from(state),
                Cell::Instant(alert.fired_at),
                Cell::instant(alert.recovered_at),
                Cell::from(&alert.detail),
            ]
        };
        let rows: Vec<_> = self.alerts.iter().map(row).collect();
        let percents = crate::alert::written(&self.percents);
        let mut notes = vec![format!("thresholds of items without their own: {percents} %")];
        notes.extend(self.item_percents.iter().map(|own| {
            let percents = crate::alert::written(&own.percents);
            format!("thresholds of item {}: {percents} %", own.item_id)
        }));
        if rows.is_empty() {
            notes.insert(0, "no alerts".to_owned());
        }
        vec![Sheet { columns, rows, notes, ..Sheet::default() }]
    }
}

/// Which thresholds are reached now that have not fired, and which alerts have recovered?
#[derive(Clone, Debug)]
pub struct AlertCheckQuery {
    /// What the asking server knows of itself.
    pub facts: ServerFacts,
}

/// What has changed since the last check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertCheck {
    /// The thresholds that are reached and have not fired.
    pub reached: Vec<Alert>,
    /// The ids of the alerts that have recovered.
    pub recovered: Vec<String>,
}

/// How are events told?
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveriesQuery {
    /// The greatest number of deliveries: 1 to 10000 [default: 1000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The events and how they were told, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deliveries {
    /// The events.
    pub events: Vec<EventRow>,
}

/// An event that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventRow {
    /// The id of the event; a webhook has it as its id.
    pub event_id: String,
    /// The time of the event, Unix seconds.
    pub at: u64,
    /// The event: fired, recovered, test or summary.
    pub event: String,
    /// The id of the alert.
    pub alert_id: String,
    /// The kind of the alert.
    pub kind: AlertKind,
    /// The item, handshake code or server.
    pub subject: String,
    /// What is counted, and the module of pages; often empty.
    pub what: String,
    /// The threshold.
    pub level: u32,
    /// The organization that the subject belongs to; empty for the whole server.
    pub organization_id: String,
    /// What has happened, and what to do.
    pub detail: String,
    /// How it was told: one for each way.
    pub deliveries: Vec<DeliveryRow>,
}

/// How an event is told in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryRow {
    /// The way: mail or webhook.
    pub channel: String,
    /// The state: waiting, done or given_up.
    pub state: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The time of the next attempt, Unix seconds; absent when there is none.
    pub next_at: Option<u64>,
    /// The time of the last attempt, Unix seconds; absent when there was none.
    pub last_at: Option<u64>,
    /// Why the last attempt failed; empty when it did not.
    pub last_error: String,
}

impl Sheets for Deliveries {
    fn sheets(&self) -> Vec<Sheet> {
        let columns = vec![
            "event_id", "at", "event", "kind", "subject", "level", "channel", "state", "attempts",
            "next", "error",
        ];
        let mut rows = Vec::new();
        for event in &self.events {
            let of_event = vec![
                Cell::from(&event.event_id),
                Cell::Instant(event.at),
                Cell::from(&event.event),
                Cell::from(event.kind.name()),
                Cell::from(&event.subject),
                Cell::from(event.level),
            ];
            let of_delivery = |delivery: &DeliveryRow| {
                vec![
                    Cell::from(&delivery.channel),
                    Cell::from(&delivery.state),
                    Cell::from(delivery.attempts),
                    Cell::instant(delivery.next_at),
                    Cell::from(&delivery.last_error),
                ]
            };
            let nowhere = || {
                vec![Cell::Empty, Cell::from("told nowhere"), Cell::Empty, Cell::Empty, Cell::Empty]
            };
            let told: Vec<Vec<Cell>> = match event.deliveries.as_slice() {
                [] => vec![nowhere()],
                deliveries => deliveries.iter().map(of_delivery).collect(),
            };
            rows.extend(told.into_iter().map(|told| [of_event.clone(), told].concat()));
        }
        vec![Sheet { columns, rows, ..Sheet::default() }]
    }
}

/// Is this webhook off, because its receiver wants no events?
#[derive(Clone, Debug)]
pub struct WebhookOffQuery {
    /// The id of the webhook.
    pub id: String,
}

/// Which events wait to be told in this way?
#[derive(Clone, Debug)]
pub struct DueQuery {
    /// The way: mail or webhook.
    pub channel: &'static str,
    /// The instant from which events are told that were never tried, Unix seconds.
    pub since: u64,
    /// The greatest number of events.
    pub limit: u32,
}
