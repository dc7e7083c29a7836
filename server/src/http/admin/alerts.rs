//! Alerts: which there are, and what an operator does about them.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::queries::{Wanted, respond};
use super::{Asked, By, Done, Server, done};
use crate::operator::commands::Change;
use crate::operator::queries::alerts::{Alerts, AlertsQuery, Deliveries, DeliveriesQuery};

/// The end of the time for which an alert is muted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mute {
    /// The end, Unix seconds; absent to mute the alert without an end, 0 to unmute it.
    until: Option<u64>,
}

/// The thresholds at which alerts about quotas and budgets fire.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Thresholds {
    /// The item; absent for all items without their own.
    item_id: Option<String>,
    /// The thresholds in percent.
    percents: Vec<u32>,
}

/// List alerts, those that fired last first
#[utoipa::path(get, path = "/alerts", params(AlertsQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Alerts)))]
pub(super) async fn alerts(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<AlertsQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// Tell an alert by all ways that are set up, to try them
#[utoipa::path(post, path = "/alerts/test", responses((status = 200, body = Done)))]
pub(super) async fn test_alerts(State(web): Server, Extension(by): By) -> Response {
    done(web.licensing.change(Change::TestAlerts, &by).await)
}

/// Tell nothing of an alert for a while
#[utoipa::path(post, path = "/alerts/{alert_id}/mute", params(("alert_id" = String, Path)),
    request_body = Mute, responses((status = 200, body = Done)))]
pub(super) async fn mute_alert(
    State(web): Server,
    Extension(by): By,
    Path(alert_id): Path<String>,
    Asked(Mute { until }): Asked<Mute>,
) -> Response {
    done(web.licensing.mute_alert(alert_id, until, &by).await)
}

/// Let an alert fire again
#[utoipa::path(post, path = "/alerts/{alert_id}/rearm", params(("alert_id" = String, Path)),
    responses((status = 200, body = Done)))]
pub(super) async fn rearm_alert(
    State(web): Server,
    Extension(by): By,
    Path(alert_id): Path<String>,
) -> Response {
    done(web.licensing.change(Change::RearmAlert { alert_id }, &by).await)
}

/// Set the thresholds at which alerts about quotas and budgets fire
#[utoipa::path(put, path = "/alert-thresholds", request_body = Thresholds,
    responses((status = 200, body = Done)))]
pub(super) async fn set_thresholds(
    State(web): Server,
    Extension(by): By,
    Asked(Thresholds { item_id, percents }): Asked<Thresholds>,
) -> Response {
    done(web.licensing.set_thresholds(item_id, &percents, &by).await)
}

/// List the events of alerts, newest first, and how they were told
#[utoipa::path(get, path = "/alert-events",
    params(DeliveriesQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Deliveries)))]
pub(super) async fn events(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<DeliveriesQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// Tell an event once more, by all ways that are set up
#[utoipa::path(post, path = "/alert-events/{event_id}/replay",
    params(("event_id" = String, Path)), responses((status = 200, body = Done)))]
pub(super) async fn replay_event(
    State(web): Server,
    Extension(by): By,
    Path(event_id): Path<String>,
) -> Response {
    done(web.licensing.change(Change::ReplayEvent { event_id }, &by).await)
}

/// Post events again to a webhook whose receiver has answered 410
#[utoipa::path(post, path = "/alert-webhook/enable", responses((status = 200, body = Done)))]
pub(super) async fn enable_webhook(State(web): Server, Extension(by): By) -> Response {
    done(web.licensing.change(Change::EnableWebhook, &by).await)
}
