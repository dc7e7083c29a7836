//! `alert list`: the alerts that have fired or recovered, and the deliveries of their events.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};
use crate::alert::{Alert, AlertKind};
use crate::operator::queries::conditions::ServerFacts;

/// The query for the alerts.
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
    /// The unit that is counted, with the module for pages; often empty.
    pub what: String,
    /// The threshold: percent or days; 0 when there is only one.
    pub level: u32,
    /// The organization that the subject belongs to; empty for the whole server.
    pub organization_id: String,
    /// The time at which it fired, Unix seconds.
    pub fired_at: u64,
    /// The time at which it recovered, Unix seconds; absent while it stands.
    pub recovered_at: Option<u64>,
    /// The end of the time for which it is muted, Unix seconds; absent when it is not muted.
    pub muted_until: Option<u64>,
    /// A description of the event, and the remedy.
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

/// The query for thresholds that are reached and have not fired, and for alerts that have
/// recovered.
#[derive(Clone, Debug)]
pub struct AlertCheckQuery {
    /// The facts about the asking server.
    pub facts: ServerFacts,
}

/// The changes since the last check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertCheck {
    /// The thresholds that are reached and have not fired.
    pub reached: Vec<Alert>,
    /// The ids of the alerts that have recovered.
    pub recovered: Vec<String>,
}

/// The query for the deliveries of events.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveriesQuery {
    /// The greatest number of deliveries: 1 to 10000 [default: 1000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The events and their deliveries, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deliveries {
    /// The events.
    pub events: Vec<EventRow>,
}

/// An event that is delivered.
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
    /// The unit that is counted, with the module for pages; often empty.
    pub what: String,
    /// The threshold.
    pub level: u32,
    /// The organization that the subject belongs to; empty for the whole server.
    pub organization_id: String,
    /// A description of the event, and the remedy.
    pub detail: String,
    /// The deliveries: one for each channel.
    pub deliveries: Vec<DeliveryRow>,
}

/// The delivery of an event by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryRow {
    /// The channel: mail or webhook.
    pub channel: String,
    /// The state: waiting, done or given_up.
    pub state: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The time of the next attempt, Unix seconds; absent when there is none.
    pub next_at: Option<u64>,
    /// The time of the last attempt, Unix seconds; absent when there was none.
    pub last_at: Option<u64>,
    /// The error of the last attempt; empty when it succeeded.
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

/// The query whether a webhook is off, because its receiver wants no events.
#[derive(Clone, Debug)]
pub struct WebhookOffQuery {
    /// The id of the webhook.
    pub id: String,
}

/// The query for the events that wait for delivery by this channel.
#[derive(Clone, Debug)]
pub struct DueQuery {
    /// The channel: mail or webhook.
    pub channel: &'static str,
    /// The earliest instant of an event that was never tried and is still delivered, Unix seconds.
    pub since: u64,
    /// The greatest number of events.
    pub limit: u32,
}
