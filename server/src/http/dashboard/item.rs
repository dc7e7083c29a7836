//! A license item: what is used, by day and by slot, who holds its seats, and what was refused.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use jiff::civil::Date;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::slot::slot_start;

use super::Page;
use super::calendar::calendar;
use super::chart::{self, Limit, Mark, Svg};
use super::form::{Chosen, Fields};
use super::frame::{Frame, Visitor, done, encode, grouped, minute, page};
use super::messages::{self, Messages};
use super::overview::{self, ItemCard};
use super::table::Table;
use crate::error::Error;
use crate::http::Web;
use crate::operator::commands::Change;
use crate::operator::queries::day::{Day, DayQuery};
use crate::operator::queries::domains::DomainsQuery;
use crate::operator::queries::holders::HoldersQuery;
use crate::operator::queries::refusals::RefusalsQuery;
use crate::operator::queries::sheet::Sheets;
use crate::operator::queries::status::{ItemStatus, StatusQuery};
use crate::operator::queries::usage::UsageQuery;
use crate::operator::queries::year::{Year, YearQuery};
use crate::operator::queries::{date, day};
use crate::policy::license_year::LicenseYear;

/// The number of holders and refusals on the page. The rest is on the pages of their own.
const ROWS_MAX: u32 = 100;

/// The days for which usage is shown by symbology or module.
const WHAT_DAYS: u32 = 366;

/// The page.
#[derive(Template)]
#[template(path = "item.html")]
struct ItemPage {
    frame: Frame,
    item: ItemCard,
    starts: String,
    file_id: String,
    is_revoked: bool,
    plan: String,
    year: Option<YearPart>,
    day: Option<DayPart>,
    tables: Vec<Table>,
    /// The form that explains a host; `None` for other options than domains.
    host: Option<HostPart>,
}

/// A host, and whether the item may be used under it.
struct HostPart {
    asked: String,
    counts_as: Option<String>,
    because: String,
    is_allowed: bool,
    detail: String,
}

/// The year of an item.
struct YearPart {
    caption: String,
    chart: Svg,
    calendar: Option<Svg>,
    burn_down: Option<Svg>,
    peak: Option<String>,
    table: Table,
    zoom: String,
}

/// The day of an item.
struct DayPart {
    date: String,
    before: String,
    after: Option<String>,
    chart: Svg,
    has_use: bool,
    is_kept_by_slot: bool,
    peak: String,
    peak_at: Option<String>,
    total: String,
    unit: &'static str,
    excess: Option<String>,
    table: Table,
    devices: Option<Table>,
    slot_at: String,
    zoom: String,
}

/// Show an item.
pub(super) async fn item(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(item_id): Path<String>,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let asked = StatusQuery { item: Some(item_id.clone()), ..StatusQuery::default() };
    let found = overview::status(&web, &visitor, asked).await?;
    let Some(status) = found.items.first() else {
        return Err(Error::not_found(format!("there is no item \"{item_id}\"")));
    };
    let mut tables = Vec::new();
    let (mut year, mut day, mut host) = (None, None, None);
    if let Some(option) = status.option {
        let found = YearQuery { item_id: item_id.clone(), year: query.some("year") };
        let found = web.licensing.ask(found, visitor.owner()).await?;
        year = Some(year_part(t, &found, status, visitor.now));
        if has_days(option) {
            day = Some(day_part(&web, &visitor, &item_id, &query).await?);
        }
        tables = parts(&web, &visitor, &item_id, option).await?;
        if option == ChargeWay::Domain {
            host = Some(host_part(&web, &visitor, &item_id, query.get("host")).await?);
        }
    }
    page(&ItemPage {
        starts: minute(status.starts_at),
        file_id: status.file_id.clone(),
        is_revoked: status.revoked_at.is_some(),
        plan: encode(&item_id),
        item: ItemCard::new(t, status, found.at, &[]),
        year,
        day,
        tables,
        host,
        frame: Frame::new(&visitor, "", item_id),
    })
}

/// Revoke an item, if its name was written to confirm it.
pub(super) async fn revoke(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(item_id): Path<String>,
    super::form::Posted(form): super::form::Posted,
) -> Page {
    if form.get("confirm") != item_id {
        let detail = format!(
            "\"{}\" is not the id of the item: write {item_id} to revoke it. Nothing was changed",
            form.get("confirm")
        );
        return Err(Error::bad_request(detail));
    }
    let to = format!("/items/{}", encode(&item_id));
    web.licensing.change(Change::RevokeItem { item_id }, &visitor.caller).await?;
    done(&to, "revoked")
}

fn has_days(option: ChargeWay) -> bool {
    option.is_concurrent() || option.is_metered()
}

fn year_part(t: &'static Messages, year: &Year, status: &ItemStatus, now: u64) -> YearPart {
    let marks: Vec<Mark> = year
        .days
        .iter()
        .enumerate()
        .filter_map(|(at, day)| {
            let date: Date = day.date.parse().ok()?;
            let text = t.months[usize::from(date.month().unsigned_abs()) - 1].to_owned();
            (date.day() == 1).then_some(Mark { at, text })
        })
        .collect();
    let is_metered = status.option.is_some_and(ChargeWay::is_metered);
    let is_concurrent = status.option.is_some_and(ChargeWay::is_concurrent);
    let chart = match is_metered {
        true => cumulative(t, year, status, &marks),
        false => {
            let peaks: Vec<u64> = year.days.iter().map(|day| day.peak).collect();
            let limits = year.quota.map(|at| Limit { at, name: "N".to_owned() });
            let grace = status.meters.first().filter(|meter| meter.grace > 0 && !is_concurrent);
            let grace = grace.map(|meter| Limit {
                at: meter.quota.saturating_add(meter.grace),
                name: format!("N + {}", t.grace),
            });
            match is_concurrent {
                true => chart::bars(&peaks, limits, &marks),
                false => {
                    let limits: Vec<Limit> = limits.into_iter().chain(grace).collect();
                    chart::curve(&peaks, &limits, &marks)
                }
            }
        }
    };
    let caption = match (is_metered, is_concurrent) {
        (true, _) => t.used_so_far,
        (_, true) => t.peaks_of_days,
        _ => t.seats_of_days,
    };
    let path = format!("/items/{}/year", encode(&year.item_id));
    let sheet = year.sheets().into_iter().next().unwrap_or_default();
    YearPart {
        caption: format!("{caption}, {} \u{2013} {}", year.from, year.to),
        chart,
        calendar: is_concurrent.then(|| calendar(t, year)),
        burn_down: is_concurrent.then(|| burn_down(t, year, status, now, &marks)).flatten(),
        peak: year
            .peak_on
            .as_ref()
            .map(|on| format!("{} {} {}", grouped(year.peak), messages::word(t, &year.unit), on)),
        table: Table::new(t, t.days, &sheet).or_else(t.nothing_used).from(&*path),
        zoom: format!("/admin/v1{path}"),
    }
}

/// Draw what is used so far, day by day, against the quota and its grace. The curve ends at what
/// the status says, and goes back from there day by day.
fn cumulative(t: &'static Messages, year: &Year, status: &ItemStatus, marks: &[Mark]) -> Svg {
    let used: u64 = status.meters.iter().map(|meter| meter.used).fold(0, u64::saturating_add);
    let mut rest = used;
    let mut values: Vec<u64> = Vec::with_capacity(year.days.len());
    for day in year.days.iter().rev() {
        values.push(rest);
        rest = rest.saturating_sub(day.total);
    }
    values.reverse();
    // Pages have a quota for each module, so one line would say nothing.
    let limits = match &*status.meters {
        [meter] if meter.grace > 0 => vec![
            Limit { at: meter.quota, name: "N".to_owned() },
            Limit { at: meter.quota.saturating_add(meter.grace), name: format!("N + {}", t.grace) },
        ],
        [meter] => vec![Limit { at: meter.quota, name: "N".to_owned() }],
        _ => Vec::new(),
    };
    chart::curve(&values, &limits, marks)
}

/// Draw what was left of the overuse budget on each day of this license year.
fn burn_down(
    t: &'static Messages,
    year: &Year,
    status: &ItemStatus,
    now: u64,
    marks: &[Mark],
) -> Option<Svg> {
    let meter = status.meters.first()?;
    let begins = LicenseYear::of(status.starts_at, now).starts_at / DAY_SECONDS;
    let begins = date(u32::try_from(begins).ok()?);
    let first = year.days.iter().position(|day| day.date >= begins).unwrap_or(0);
    let days = &year.days[first..];
    let mut used = meter.used;
    let mut left: Vec<u64> = Vec::with_capacity(days.len());
    for day in days.iter().rev() {
        left.push(meter.quota.saturating_sub(used));
        used = used.saturating_sub(day.excess);
    }
    left.reverse();
    let marks: Vec<Mark> = marks
        .iter()
        .filter(|mark| mark.at >= first)
        .map(|mark| Mark { at: mark.at - first, text: mark.text.clone() })
        .collect();
    let budget = Limit { at: meter.quota, name: t.budget.to_owned() };
    Some(chart::curve(&left, &[budget], &marks))
}

async fn day_part(
    web: &Web,
    visitor: &Visitor,
    item_id: &str,
    query: &Fields,
) -> Result<DayPart, Error> {
    let asked = DayQuery {
        item_id: item_id.to_owned(),
        date: query.some("date"),
        slot: query.some("slot"),
    };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    let (t, number) = (visitor.t(), day(&found.date)?);
    let values: Vec<u64> =
        found.slots.iter().map(|slot| u64::try_from(slot.count).unwrap_or(u64::MAX)).collect();
    let marks: Vec<Mark> = (0..=24)
        .step_by(3)
        .map(|hour| Mark { at: (hour * 20).min(479), text: format!("{hour:02}:00") })
        .collect();
    let limit = found.quota.map(|at| Limit { at, name: "N".to_owned() });
    let is_over = number >= u32::try_from(visitor.now / DAY_SECONDS).unwrap_or(u32::MAX);
    let path = format!("/items/{}/day?date={}", encode(item_id), found.date);
    let mut sheets = found.sheets().into_iter();
    let slots = sheets.next().unwrap_or_default();
    Ok(DayPart {
        before: date(number.saturating_sub(1)),
        after: (!is_over).then(|| date(number + 1)),
        chart: chart::bars(&values, limit, &marks),
        has_use: found.peak_slot.is_some(),
        is_kept_by_slot: found.is_kept_by_slot,
        peak: grouped(i128::try_from(found.peak).unwrap_or(i128::MAX)),
        peak_at: found.peak_slot.map(|slot| minute(slot_start(slot))),
        total: grouped(i128::try_from(found.total).unwrap_or(i128::MAX)),
        unit: messages::word_of(t, &found.unit),
        excess: found.quota.map(|_| grouped(found.excess)),
        table: Table::new(t, t.slots, &slots).or_else(t.nobody_worked).from(&*path),
        devices: devices(t, &found, sheets.next().unwrap_or_default(), &path),
        slot_at: found.slot.map_or_else(String::new, |slot| minute(slot_start(slot))),
        zoom: format!("/admin/v1{path}"),
        date: found.date,
    })
}

fn devices(
    t: &'static Messages,
    found: &Day,
    sheet: crate::operator::queries::sheet::Sheet,
    path: &str,
) -> Option<Table> {
    let slot = found.slot?;
    let caption = format!("{} {}", t.devices_in_slot, minute(slot_start(slot)));
    Some(Table::new(t, caption, &sheet).from(format!("{path}&slot={slot}")))
}

/// Explain a host, if one is asked about. What is no host is explained, too.
async fn host_part(
    web: &Web,
    visitor: &Visitor,
    item_id: &str,
    host: &str,
) -> Result<HostPart, Error> {
    let mut part = HostPart {
        asked: host.to_owned(),
        counts_as: None,
        because: String::new(),
        is_allowed: false,
        detail: String::new(),
    };
    if host.is_empty() {
        return Ok(part);
    }
    let asked = DomainsQuery { item: Some(item_id.to_owned()), host: Some(host.to_owned()) };
    match web.licensing.ask(asked, visitor.owner()).await {
        Ok(found) => {
            let Some(explained) = found.explained else { return Ok(part) };
            part.counts_as = Some(explained.counts_as);
            part.because = explained.because;
            if let Some(decided) = explained.items.into_iter().next() {
                (part.is_allowed, part.detail) = (decided.is_allowed, decided.detail);
            }
        }
        Err(Error::BadRequest { detail, .. }) => part.detail = detail,
        Err(error) => return Err(error),
    }
    Ok(part)
}

/// Return the tables of an item: holders, what was counted, hosts, and refusals.
async fn parts(
    web: &Web,
    visitor: &Visitor,
    item_id: &str,
    option: ChargeWay,
) -> Result<Vec<Table>, Error> {
    let (t, id) = (visitor.t(), encode(item_id));
    let item = Some(item_id.to_owned());
    let mut tables = Vec::new();
    let ask = HoldersQuery { item: item.clone(), limit: Some(ROWS_MAX), ..HoldersQuery::default() };
    if !option.is_metered() {
        let found = web.licensing.ask(ask, visitor.owner()).await?;
        let captions = [t.holders, t.refused_now];
        for (sheet, caption) in found.sheets().iter().zip(captions) {
            let table = Table::new(t, caption, sheet).or_else(t.nobody_holds);
            tables.push(table.from(format!("/holders?item={id}")));
        }
    } else {
        let today = u32::try_from(visitor.now / DAY_SECONDS).unwrap_or(u32::MAX);
        let from = date(today.saturating_sub(WHAT_DAYS));
        let ask = UsageQuery {
            by: Some("what".to_owned()),
            item: item.clone(),
            from: Some(from.clone()),
            ..UsageQuery::default()
        };
        let found = web.licensing.ask(ask, visitor.owner()).await?;
        for sheet in &found.sheets() {
            let table = Table::new(t, t.by_what, sheet).or_else(t.nothing_used);
            tables.push(table.from(format!("/usage?by=what&item={id}&from={from}")));
        }
    }
    if option == ChargeWay::Domain {
        let found = web
            .licensing
            .ask(DomainsQuery { item: item.clone(), host: None }, visitor.owner())
            .await?;
        for (sheet, caption) in found.sheets().iter().zip([t.hosts, t.refused_hosts]) {
            let table = Table::new(t, caption, sheet).or_else(t.no_hosts);
            tables.push(table.from(format!("/domains?item={id}")));
        }
    }
    let ask = RefusalsQuery {
        item,
        since: Some(super::refusal::since(visitor.now)),
        limit: Some(ROWS_MAX / 5),
        ..RefusalsQuery::default()
    };
    let since = super::refusal::since(visitor.now);
    let found = web.licensing.ask(ask, visitor.owner()).await?;
    if let Some(sheet) = found.sheets().first() {
        let table = Table::new(t, t.refusals, sheet).or_else(t.no_refusals);
        tables.push(table.from(format!("/refusals?item={id}&since={since}")));
    }
    Ok(tables)
}
