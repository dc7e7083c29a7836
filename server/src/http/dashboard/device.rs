//! Devices: the list, and one device with everything that the server knows of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use seatmeter_protocol::license::DAY_SECONDS;

use super::Page;
use super::chart::{self, Svg};
use super::form::{Chosen, Posted};
use super::frame::{Frame, Visitor, done, encode, minute, page};
use super::messages::{self, column};
use super::refusal::Filter;
use super::table::Table;
use crate::error::Error;
use crate::http::Web;
use crate::operator::commands::{Change, DeviceState};
use crate::operator::queries::devices::DevicesQuery;
use crate::operator::queries::explain::{DeviceExplanation, ExplainQuery};
use crate::operator::queries::sheet::Sheets;
use crate::operator::queries::usage::UsageQuery;
use crate::operator::queries::{date, rows};
use crate::shown::line;

/// The number of devices of a page.
const ROWS_MAX: u32 = 100;

/// The number of days of the history of a device.
const DAYS: u32 = 30;

/// The page with the list.
#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    frame: Frame,
    filters: Vec<Filter>,
    state: String,
    never_reported: bool,
    table: Table,
    next: Option<String>,
}

/// Show devices.
pub(super) async fn devices(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let asked = DevicesQuery {
        item_id: query.some("item_id"),
        name: query.some("name"),
        uuid: query.some("uuid"),
        code: query.some("code"),
        state: match query.get("state") {
            "running" => Some(DeviceState::Running),
            "ended" => Some(DeviceState::Ended),
            _ => None,
        },
        offline_since: query.some("offline_since"),
        never_reported: query.has("never_reported"),
        after_item: query.some("after_item"),
        after_device: query.some("after_device"),
        limit: Some(ROWS_MAX),
    };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    let address = query.address_without(&["after_item", "after_device", "done"]);
    let last = found.last().filter(|_| found.len() >= rows(Some(ROWS_MAX)).unwrap_or(0));
    let next = last.map(|row| {
        let (item, device) = (encode(&row.item_id), encode(&row.device_uuid));
        format!("{address}&after_item={item}&after_device={device}")
    });
    let sheet = found.sheets().into_iter().next().unwrap_or_default();
    let filter = |name: &'static str, column_name: &str| Filter {
        name,
        label: column(t, column_name),
        value: query.get(name).to_owned(),
        kind: "text",
    };
    page(&DevicesPage {
        filters: vec![
            filter("name", "name"),
            filter("uuid", "device_uuid"),
            filter("item_id", "item_id"),
            filter("code", "handshake_code"),
            filter("offline_since", "offline_since"),
        ],
        state: query.get("state").to_owned(),
        never_reported: query.has("never_reported"),
        table: Table::new(t, t.devices, &sheet)
            .or_else(t.no_devices)
            .from(format!("/devices?{address}")),
        next,
        frame: Frame::new(&visitor, "/devices", t.devices),
    })
}

/// The page of one device, or of several with the same name.
#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    devices: Vec<DevicePart>,
}

/// A device.
struct DevicePart {
    device_uuid: String,
    path: String,
    /// The path of the same explanation in the admin API, below `/admin/v1`.
    explanation: String,
    /// The name as it is, for the form.
    name: String,
    /// The name as a reader can see it.
    name_shown: String,
    last_heard: Option<String>,
    first_granted: Option<String>,
    clock: Option<String>,
    rollbacks: u64,
    last_told: String,
    holds: Vec<Held>,
    runs: Vec<Run>,
    tables: Vec<Table>,
    history: Option<Svg>,
    history_table: Table,
}

/// A license that a device has.
struct Held {
    item_id: String,
    item_to: String,
    handshake_code: String,
    is_running: bool,
    seats: u64,
    since: String,
    valid_until: String,
    seats_until: Option<String>,
}

/// The answer that the device would get now.
struct Run {
    handshake_code: String,
    is_granted: bool,
    detail: String,
    assumption: String,
}

/// Show a device: explain it.
pub(super) async fn device(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(device): Path<String>,
) -> Page {
    let asked = ExplainQuery { device: device.clone() };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    let mut devices = Vec::new();
    for one in &found.devices {
        devices.push(part(&web, &visitor, one).await?);
    }
    let title = match &*found.devices {
        [one] if !one.name.is_empty() => line(&one.name).into_owned(),
        _ => device,
    };
    page(&DevicePage { frame: Frame::new(&visitor, "/devices", title), devices })
}

async fn part(web: &Web, visitor: &Visitor, one: &DeviceExplanation) -> Result<DevicePart, Error> {
    let t = visitor.t();
    let today = u32::try_from(visitor.now / DAY_SECONDS).unwrap_or(u32::MAX);
    let first = (today + 1).saturating_sub(DAYS);
    let asked = UsageQuery {
        by: Some("kind,day".to_owned()),
        device: Some(one.device_uuid.clone()),
        from: Some(date(first)),
        ..UsageQuery::default()
    };
    let usage = web.licensing.ask(asked, visitor.owner()).await?;
    let mut days = vec![0_u64; DAYS as usize];
    for row in &usage.rows {
        let day = row.begins_at.map_or(0, |at| at / DAY_SECONDS).checked_sub(first.into());
        let total = u64::try_from(row.total).unwrap_or(u64::MAX);
        if let Some(sum) = day.and_then(|day| days.get_mut(usize::try_from(day).ok()?)) {
            *sum = sum.saturating_add(total);
        }
    }
    let id = encode(&one.device_uuid);
    let sheet = usage.sheets().into_iter().next().unwrap_or_default();
    let source = format!("/usage?by=kind,day&device={id}&from={}", date(first));
    let captions = [t.refusals];
    let refusals = (!one.refusals.is_empty()).then(|| one.refusal_sheet());
    let explained = format!("/devices/{id}/explanation");
    Ok(DevicePart {
        path: format!("/dashboard/devices/{id}"),
        explanation: explained.clone(),
        device_uuid: one.device_uuid.clone(),
        name: one.name.clone(),
        name_shown: line(&one.name).into_owned(),
        last_heard: one.last_heard_at.map(minute),
        first_granted: one.first_granted_at.map(minute),
        clock: one.clock_ahead_seconds.map(|ahead| match ahead {
            0 => t.clock_is_right.to_owned(),
            ahead => format!("{} {}\u{202f}min", t.clock_is_ahead, ahead.div_ceil(60)),
        }),
        rollbacks: one.rollbacks,
        last_told: one.last_told.clone(),
        holds: held(one),
        runs: one
            .now
            .iter()
            .map(|run| Run {
                handshake_code: run.handshake_code.clone(),
                is_granted: run.is_granted,
                detail: run.detail.clone(),
                assumption: run.assumption.clone(),
            })
            .collect(),
        tables: refusals
            .iter()
            .zip(captions)
            .map(|(sheet, caption)| Table::new(t, caption, sheet).from(&*explained))
            .collect(),
        history: days.iter().any(|sum| *sum > 0).then(|| chart::bars(&days, None, &[])),
        history_table: Table::new(t, t.last_30_days, &sheet).or_else(t.nothing_used).from(source),
    })
}

fn held(one: &DeviceExplanation) -> Vec<Held> {
    let licenses = one.licenses.iter().map(|license| Held {
        item_id: license.item_id.clone(),
        item_to: format!("/dashboard/items/{}", encode(&license.item_id)),
        handshake_code: license.handshake_code.clone(),
        is_running: license.is_running,
        seats: license.holds_seats,
        since: minute(license.since),
        valid_until: minute(license.valid_until),
        seats_until: license.seats_until.map(minute),
    });
    licenses.collect()
}

/// Give a device another name.
pub(super) async fn rename(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(device): Path<String>,
    Posted(form): Posted,
) -> Page {
    let to = format!("/devices/{}", encode(&device));
    web.licensing.rename_device(device, form.get("name").to_owned(), &visitor.caller).await?;
    done(&to, "renamed")
}

/// End what a device was granted from an item.
pub(super) async fn release(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(device_uuid): Path<String>,
    Posted(form): Posted,
) -> Page {
    let to = format!("/devices/{}", encode(&device_uuid));
    let change = Change::ReleaseDevice { item_id: form.get("item_id").to_owned(), device_uuid };
    web.licensing.change(change, &visitor.caller).await?;
    done(&to, "released")
}

/// Take a device out of the lists.
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(device_uuid): Path<String>,
) -> Page {
    web.licensing.change(Change::DeleteDevice { device_uuid }, &visitor.caller).await?;
    done("/devices", messages::DELETED)
}
