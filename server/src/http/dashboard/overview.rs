//! The first page: how each item and the server stand, and what needs attention.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::alert::{self, AlertPart};
use super::chart::{self, Svg};
use super::form::Chosen;
use super::frame::{Frame, Visitor, encode, grouped, minute, page};
use super::messages::{self, Messages};
use crate::error::Error;
use crate::http::{Web, health};
use crate::operator::queries::status::{
    ItemState, ItemStatus, MeterStatus, ServerStatus, Status, StatusQuery,
};
use crate::operator::queries::year::RecentQuery;
use crate::policy::select::item_choice::name;

/// The number of items of a page.
const ITEMS_MAX: u32 = 50;

/// The number of days of a small curve.
const DAYS: u32 = 30;

/// The age of a backup that needs attention, in seconds.
const BACKUP_SECONDS_MAX: u64 = 7 * 86_400;

/// The time before an item's end that needs attention, in seconds.
const EXPIRY_SECONDS: u64 = 30 * 86_400;

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    items: Vec<ItemCard>,
    attention: Vec<Attention>,
    /// The first open alerts, and the number of all of them.
    alerts: Vec<AlertPart>,
    alerts_open: usize,
    server: Facts,
    key_id: String,
    next: Option<String>,
}

/// Something that needs attention.
struct Attention {
    to: String,
    what: String,
    text: String,
}

/// The facts about the server on the page.
struct Facts {
    is_ready: bool,
    not_ready: String,
    backup: String,
    version: String,
    database: String,
    queue: String,
    standby: Option<&'static str>,
}

/// The card of an item on the page.
pub(super) struct ItemCard {
    pub(super) item_id: String,
    pub(super) to: String,
    pub(super) organization: String,
    pub(super) option: String,
    pub(super) state: &'static str,
    /// The class of the state's color.
    pub(super) tone: &'static str,
    pub(super) not_ready: Option<String>,
    pub(super) expires: String,
    pub(super) expires_machine: String,
    pub(super) days_left: Option<u64>,
    pub(super) meters: Vec<MeterBar>,
    pub(super) held: Option<String>,
    pub(super) active_now: Option<String>,
    pub(super) next_free: Option<String>,
    pub(super) spark: Option<Svg>,
    pub(super) spark_peak: String,
}

/// The used part of a quota.
pub(super) struct MeterBar {
    pub(super) noun: String,
    pub(super) used: String,
    pub(super) quota: String,
    pub(super) grace: Option<String>,
    pub(super) set_aside: Option<String>,
    pub(super) percent: String,
    pub(super) bar: Svg,
    pub(super) used_up_on: Option<String>,
    pub(super) refused_on: Option<String>,
    pub(super) basis: String,
}

impl MeterBar {
    /// Make the bar of a meter.
    pub(super) fn new(t: &'static Messages, meter: &MeterStatus) -> Self {
        let MeterStatus { used, quota, grace, forecast, .. } = meter;
        // Rounded down, as 100 % must mean that nothing is left.
        let percent = u128::from(*used) * 100 / u128::from((*quota).max(1));
        Self {
            noun: messages::noun(t, meter),
            used: grouped(*used),
            quota: grouped(*quota),
            grace: (*grace > 0).then(|| grouped(*grace)),
            set_aside: meter.set_aside.map(grouped),
            percent: format!("{percent}\u{202f}%"),
            bar: chart::meter(*used, *quota, *grace),
            used_up_on: forecast.used_up_on.clone(),
            refused_on: forecast.refused_on.clone(),
            basis: forecast.reason.clone(),
        }
    }
}

impl ItemCard {
    /// Make the card of an item.
    pub(super) fn new(t: &'static Messages, item: &ItemStatus, now: u64, days: &[u64]) -> Self {
        let option = item.option.map(|way| messages::word(t, &name(&way).replace('_', "-")));
        let holds = item
            .meters
            .iter()
            .any(|meter| meter.of == seatmeter_protocol::message::Metered::Devices);
        Self {
            item_id: item.item_id.clone(),
            to: format!("/dashboard/items/{}", encode(&item.item_id)),
            organization: item.organization_id.clone(),
            option: option.unwrap_or_default(),
            state: messages::state(t, item.state),
            tone: tone(item.state),
            not_ready: item.not_ready.clone(),
            expires: if item.expires_at == 0 { String::new() } else { minute(item.expires_at) },
            expires_machine: crate::utc::text(item.expires_at),
            days_left: (item.expires_at > now).then(|| (item.expires_at - now) / 86_400),
            meters: item.meters.iter().map(|meter| MeterBar::new(t, meter)).collect(),
            held: (item.held > 0 && !holds).then(|| grouped(item.held)),
            active_now: item.active_now.map(grouped),
            next_free: item.next_free_at.map(minute),
            spark: days.iter().any(|value| *value > 0).then(|| chart::sparkline(days)),
            spark_peak: grouped(days.iter().copied().max().unwrap_or(0)),
        }
    }
}

/// Return the class of a state's color.
pub(super) fn tone(state: ItemState) -> &'static str {
    match state {
        ItemState::Within => "good",
        ItemState::InGrace | ItemState::ExpiryGrace | ItemState::NotYetInEffect => "warn",
        ItemState::UsedUp
        | ItemState::Overused
        | ItemState::Expired
        | ItemState::Revoked
        | ItemState::NotReady => "bad",
    }
}

/// Ask for the status of items and server, as a running server knows it.
pub(super) async fn status(
    web: &Web,
    visitor: &Visitor,
    query: StatusQuery,
) -> Result<Status, Error> {
    let mut found = web.licensing.ask(query, visitor.owner()).await?;
    health::complete(web, &mut found.server).await;
    Ok(found)
}

/// Show how everything stands.
pub(super) async fn overview(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let asked = StatusQuery { item: None, after: query.some("after"), limit: Some(ITEMS_MAX) };
    let found = status(&web, &visitor, asked).await?;
    let item_ids = found.items.iter().map(|item| item.item_id.clone()).collect();
    let recent = RecentQuery { item_ids, days: DAYS };
    let recent = web.licensing.ask(recent, visitor.owner()).await?;
    let days: HashMap<&str, &[u64]> =
        recent.iter().map(|one| (&*one.item_id, &*one.days)).collect();
    let card = |item: &ItemStatus| {
        let days = days.get(&*item.item_id).copied().unwrap_or_default();
        ItemCard::new(t, item, found.at, days)
    };
    let (alerts, alerts_open) = alert::first(&web, &visitor).await?;
    page(&OverviewPage {
        items: found.items.iter().map(card).collect(),
        attention: attention(t, &found),
        alerts,
        alerts_open,
        server: facts(t, &found.server, found.at),
        key_id: web.licensing.keys.current().public().to_string(),
        next: found.next.as_deref().map(encode),
        frame: Frame::new(&visitor, "", t.overview),
    })
}

/// Return what needs attention, the server first.
fn attention(t: &'static Messages, found: &Status) -> Vec<Attention> {
    let mut all = Vec::new();
    let mut add = |to: String, what: String, text: String| {
        all.push(Attention { to, what, text });
    };
    let server = &found.server;
    if server.ready == Some(false) {
        let why = server.not_ready.clone().unwrap_or_default();
        add("/dashboard/server".into(), t.server.to_owned(), format!("{}: {why}", t.not_ready));
    }
    if server.backup_at.is_none_or(|at| found.at.saturating_sub(at) > BACKUP_SECONDS_MAX) {
        add("/dashboard/server".into(), t.server.to_owned(), t.backup_is_old.to_owned());
    }
    for item in &found.items {
        let to = format!("/dashboard/items/{}", encode(&item.item_id));
        let soon = item.expires_at.saturating_sub(found.at);
        if item.state > ItemState::Within {
            add(to, item.item_id.clone(), messages::state(t, item.state).to_owned());
        } else if soon <= EXPIRY_SECONDS {
            let text = format!("{} {}", t.expires, minute(item.expires_at));
            add(to, item.item_id.clone(), text);
        }
    }
    all
}

fn facts(t: &'static Messages, server: &ServerStatus, now: u64) -> Facts {
    let standby =
        server.standby_active.map(|is| if is { t.standby_serves } else { t.standby_waits });
    Facts {
        is_ready: server.ready.unwrap_or(true),
        not_ready: server.not_ready.clone().unwrap_or_default(),
        backup: server.backup_at.map_or_else(
            || t.never.to_owned(),
            |at| format!("{} ({})", minute(at), hours(now.saturating_sub(at))),
        ),
        version: server.version.clone(),
        database: server
            .database_bytes
            .map_or_else(String::new, |bytes| format!("{} MiB", grouped(bytes.div_ceil(1 << 20)))),
        queue: server.queue_length.map_or_else(String::new, grouped),
        standby,
    }
}

fn hours(seconds: u64) -> String {
    format!("{}\u{202f}h", seconds / 3_600)
}
