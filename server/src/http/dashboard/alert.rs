//! Alerts: the open ones and the past ones, their deliveries, and the rules.

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};

use super::Page;
use super::form::{Chosen, Fields, Posted};
use super::frame::{Frame, Visitor, done, encode, grouped, minute, page};
use super::messages::kinds::{self, Rule};
use super::messages::{self, Messages};
use crate::alert::{AlertKind, percents, written};
use crate::alerts::summary::Period;
use crate::error::Error;
use crate::http::Web;
use crate::operator::alerts::WITHOUT_END;
use crate::operator::commands::Change;
use crate::operator::queries::alerts::{
    AlertRow, Alerts, AlertsQuery, DeliveriesQuery, DeliveryRow, EventRow,
};
use crate::utc;

/// The number of alerts, and of events, of a page.
const ROWS_MAX: usize = 50;

/// The number of open alerts on the overview.
const FIRST_MAX: usize = 9;

/// The page.
#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    frame: Frame,
    /// The address of the page with its parts, for a refresh.
    here: String,
    open: Part<AlertPart>,
    past: Part<AlertPart>,
    events: Part<EventPart>,
    channels: Option<Channels>,
    rules: Vec<Rule>,
    thresholds: Vec<Threshold>,
    percents: String,
    is_bound: bool,
}

/// The rows of one page of a list.
struct Part<T> {
    rows: Vec<T>,
    /// The number of all rows; empty where it is not known.
    count: String,
    /// The number of the next page.
    next: Option<usize>,
}

/// An alert.
pub(super) struct AlertPart {
    alert_id: String,
    pub(super) kind: &'static str,
    pub(super) subject: String,
    pub(super) to: String,
    pub(super) what: String,
    pub(super) level: String,
    is_muted: bool,
    muted_until: Option<String>,
    fired: String,
    fired_machine: String,
    recovered: Option<String>,
    detail: String,
}

/// An event, and its deliveries.
struct EventPart {
    event_id: String,
    at: String,
    at_machine: String,
    event: String,
    kind: &'static str,
    subject: String,
    to: String,
    level: String,
    deliveries: Vec<DeliveryPart>,
}

/// The delivery of an event by one channel.
struct DeliveryPart {
    channel: String,
    state: String,
    tone: &'static str,
    attempts: u32,
    next: Option<String>,
    error: String,
}

/// The channels by which alerts are delivered, without secrets.
struct Channels {
    mail: Option<MailPart>,
    webhook: Option<String>,
    is_webhook_off: bool,
    summary: Option<&'static str>,
    hides_devices: bool,
}

/// The way by mail.
struct MailPart {
    server: String,
    sender: String,
    recipients: Vec<String>,
}

/// The thresholds of an item.
struct Threshold {
    item_id: String,
    to: String,
    percents: String,
}

/// Show alerts.
pub(super) async fn alerts(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let found = web.licensing.ask(AlertsQuery::default(), visitor.owner()).await?;
    let (open, past): (Vec<_>, Vec<_>) =
        found.alerts.iter().partition(|alert| alert.recovered_at.is_none());
    let alert = |alert: &&AlertRow| AlertPart::new(t, alert);
    page(&AlertsPage {
        here: format!("/dashboard/alerts?{}", query.address_without(&["done"])),
        open: Part::of(&open, number(&query, "open")?, alert),
        past: Part::of(&past, number(&query, "past")?, alert),
        events: events(&web, &visitor, number(&query, "events")?).await?,
        channels: channels(&web, &visitor).await?,
        rules: kinds::rules(t, &found.percents),
        thresholds: thresholds(&found),
        percents: written(&found.percents),
        is_bound: visitor.owner().is_some(),
        frame: Frame::new(&visitor, "/alerts", t.alerts),
    })
}

/// Return the first open alerts, and how many there are, for the overview.
pub(super) async fn first(web: &Web, visitor: &Visitor) -> Result<(Vec<AlertPart>, usize), Error> {
    let asked = AlertsQuery { firing: true, ..AlertsQuery::default() };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    // An operator knows the alerts that are muted.
    let mut told: Vec<_> =
        found.alerts.iter().filter(|alert| alert.muted_until.is_none()).collect();
    // If several thresholds of one thing are reached, show only the worst: the highest share, or
    // the fewest days.
    let level = |alert: &&AlertRow| match alert.kind.is_in_days() {
        true => i64::from(alert.level),
        false => -i64::from(alert.level),
    };
    told.sort_by_key(level);
    let mut seen = HashSet::new();
    told.retain(|alert| seen.insert((alert.kind.name(), &alert.subject, &alert.what)));
    let first = told.iter().take(FIRST_MAX).map(|alert| AlertPart::new(visitor.t(), alert));
    Ok((first.collect(), found.alerts.len()))
}

/// Return the number of a page of a list: 1 for the first.
fn number(query: &Fields, name: &str) -> Result<usize, Error> {
    Ok(query.number::<u16>(name)?.map_or(1, usize::from).max(1))
}

impl<T> Part<T> {
    fn of<R>(rows: &[R], number: usize, part: impl Fn(&R) -> T) -> Self {
        let begin = (number - 1).saturating_mul(ROWS_MAX).min(rows.len());
        let end = begin.saturating_add(ROWS_MAX).min(rows.len());
        Self {
            rows: rows[begin..end].iter().map(part).collect(),
            count: grouped(rows.len() as u64),
            next: (end < rows.len()).then_some(number + 1),
        }
    }
}

impl AlertPart {
    fn new(t: &'static Messages, alert: &AlertRow) -> Self {
        Self {
            alert_id: alert.alert_id.clone(),
            kind: kinds::kind(t, alert.kind),
            subject: alert.subject.clone(),
            to: to(alert.kind, &alert.subject),
            what: messages::word(t, &alert.what),
            level: kinds::level(t, alert.kind, alert.level),
            is_muted: alert.muted_until.is_some(),
            muted_until: alert.muted_until.filter(|until| *until < WITHOUT_END).map(minute),
            fired: minute(alert.fired_at),
            fired_machine: utc::text(alert.fired_at),
            recovered: alert.recovered_at.map(minute),
            detail: alert.detail.clone(),
        }
    }
}

/// Return the page about the subject of an alert.
fn to(kind: AlertKind, subject: &str) -> String {
    match kind {
        AlertKind::Quota
        | AlertKind::Budget
        | AlertKind::Overused
        | AlertKind::Expiry
        | AlertKind::Forecast => format!("/dashboard/items/{}", encode(subject)),
        AlertKind::Refused => format!("/dashboard/refusals?code={}", encode(subject)),
        AlertKind::Test | AlertKind::Summary => "/dashboard/alerts".to_owned(),
        _ => "/dashboard/server".to_owned(),
    }
}

async fn events(web: &Web, visitor: &Visitor, number: usize) -> Result<Part<EventPart>, Error> {
    let t = visitor.t();
    // Ask for one row more, which shows whether there is a next page.
    let limit = number.saturating_mul(ROWS_MAX).saturating_add(1);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(crate::operator::queries::ROWS_MAX);
    let asked = DeliveriesQuery { limit: Some(limit) };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    let mut part = Part::of(&found.events, number, |event| event_part(t, event));
    part.count.clear();
    Ok(part)
}

fn event_part(t: &'static Messages, event: &EventRow) -> EventPart {
    EventPart {
        event_id: event.event_id.clone(),
        at: minute(event.at),
        at_machine: utc::text(event.at),
        event: messages::word(t, &event.event),
        kind: kinds::kind(t, event.kind),
        subject: event.subject.clone(),
        to: to(event.kind, &event.subject),
        level: kinds::level(t, event.kind, event.level),
        deliveries: event.deliveries.iter().map(|one| delivery_part(t, one)).collect(),
    }
}

fn delivery_part(t: &'static Messages, delivery: &DeliveryRow) -> DeliveryPart {
    DeliveryPart {
        channel: messages::word(t, &delivery.channel),
        state: messages::word(t, &delivery.state),
        tone: match delivery.state.as_str() {
            "done" => "good",
            "waiting" => "warn",
            _ => "bad",
        },
        attempts: delivery.attempts,
        next: delivery.next_at.map(minute),
        error: delivery.last_error.clone(),
    }
}

/// Return the channels by which alerts are delivered; `None` for a caller who is bound to an
/// organization, because they are those of the whole server.
async fn channels(web: &Web, visitor: &Visitor) -> Result<Option<Channels>, Error> {
    if visitor.owner().is_some() {
        return Ok(None);
    }
    let (t, ways) = (visitor.t(), &web.ways);
    let mail = ways.mail.as_ref().map(|mail| MailPart {
        server: mail.server().to_owned(),
        sender: mail.sender(),
        recipients: mail.recipients(),
    });
    let is_webhook_off = match &ways.webhook {
        Some(webhook) => web.licensing.is_webhook_off(webhook.id()).await?,
        None => false,
    };
    Ok(Some(Channels {
        mail,
        webhook: ways.webhook.as_ref().map(|webhook| webhook.target()),
        is_webhook_off,
        summary: ways.summary.map(|period| match period {
            Period::Weekly => t.summary_weekly,
            Period::Monthly => t.summary_monthly,
        }),
        hides_devices: ways.hides_devices,
    }))
}

fn thresholds(found: &Alerts) -> Vec<Threshold> {
    let own = found.item_percents.iter().map(|own| Threshold {
        item_id: own.item_id.clone(),
        to: format!("/dashboard/items/{}", encode(&own.item_id)),
        percents: written(&own.percents),
    });
    own.collect()
}

/// Write an alert that tries the channels.
pub(super) async fn test(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    web.licensing.change(Change::TestAlerts, &visitor.caller).await?;
    done("/alerts#events", "tested")
}

/// Mute an alert until a date, or unmute it.
pub(super) async fn mute(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(alert_id): Path<String>,
    Posted(form): Posted,
) -> Page {
    if form.has("off") {
        web.licensing.mute_alert(alert_id, Some(0), &visitor.caller).await?;
        return done("/alerts", "unmuted");
    }
    let until = form.some("until").map(|written| utc::seconds(&written)).transpose();
    let until = until.map_err(crate::operator::queries::asked)?;
    web.licensing.mute_alert(alert_id, until, &visitor.caller).await?;
    done("/alerts", "muted")
}

/// Let an alert fire again.
pub(super) async fn rearm(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(alert_id): Path<String>,
) -> Page {
    web.licensing.change(Change::RearmAlert { alert_id }, &visitor.caller).await?;
    done("/alerts", "rearmed")
}

/// Set the thresholds of an item, or of all items without their own.
pub(super) async fn set_thresholds(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let percents = percents(form.get("percents"))?;
    web.licensing.set_thresholds(form.some("item_id"), &percents, &visitor.caller).await?;
    done("/alerts#rules", "changed")
}

/// Tell an event once more.
pub(super) async fn replay(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(event_id): Path<String>,
) -> Page {
    web.licensing.change(Change::ReplayEvent { event_id }, &visitor.caller).await?;
    done("/alerts#events", "replayed")
}

/// Post to a webhook again whose receiver has answered 410.
pub(super) async fn enable_webhook(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    web.licensing.change(Change::EnableWebhook, &visitor.caller).await?;
    done("/alerts#channels", "enabled")
}
