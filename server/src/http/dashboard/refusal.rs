//! Refusals: who was refused, when, why, and what to do.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use seatmeter_protocol::license::DAY_SECONDS;

use super::Page;
use super::chart::{self, Mark, Svg};
use super::form::Chosen;
use super::frame::{Frame, Visitor, encode, grouped, page};
use super::messages::column;
use super::table::Table;
use crate::http::Web;
use crate::operator::queries::refusals::{HOUR_SECONDS, HOURS_MAX, Refusals, RefusalsQuery};
use crate::operator::queries::sheet::Sheets;
use crate::operator::queries::{date, instant};

/// The number of days that the page shows unless it is asked for others.
const DAYS: u32 = 30;

/// The number of dates that have room below a chart.
const MARKS_MAX: usize = 8;

/// The number of rows of a page.
const ROWS_MAX: u32 = 200;

/// The page.
#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage {
    frame: Frame,
    filters: Vec<Filter>,
    refused: String,
    /// The refusals by hour, and the same as a table.
    hours: Option<Svg>,
    hour_table: Table,
    tables: Vec<Table>,
    next: Option<String>,
}

/// A field of a filter.
pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) kind: &'static str,
}

/// Return the first day of the page, as a date.
pub(super) fn since(now: u64) -> String {
    let today = u32::try_from(now / DAY_SECONDS).unwrap_or(u32::MAX);
    date(today.saturating_sub(DAYS))
}

/// Draw the refusals of each hour, as far back as their sums go; `None` when there are none.
fn hours(found: &Refusals, since: u64, until: u64) -> Option<Svg> {
    let last = found.by_hour.last()?.hour_at.max(until.saturating_sub(1)) / HOUR_SECONDS;
    let oldest = last.saturating_sub(HOURS_MAX as u64 - 1);
    let first = (since / HOUR_SECONDS).max(oldest);
    let mut values = vec![0_u64; usize::try_from(last.saturating_sub(first) + 1).ok()?];
    for sum in &found.by_hour {
        let at = (sum.hour_at / HOUR_SECONDS).checked_sub(first);
        if let Some(value) = at.and_then(|at| values.get_mut(usize::try_from(at).ok()?)) {
            *value = value.saturating_add(sum.refused);
        }
    }
    // A mark for each midnight, or for so many that their texts have room.
    let days = values.len().div_ceil(24).div_ceil(MARKS_MAX).max(1) as u64;
    let is_marked = |hour: u64| hour.is_multiple_of(24) && (hour / 24).is_multiple_of(days);
    let mark = |at: usize| {
        let hour = first + at as u64;
        let day = u32::try_from(hour / 24).unwrap_or(u32::MAX);
        is_marked(hour).then(|| Mark { at, text: date(day) })
    };
    let marks: Vec<Mark> = (0..values.len()).filter_map(mark).collect();
    Some(chart::bars(&values, None, &marks))
}

/// Show refusals.
pub(super) async fn refusals(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let since = query.some("since").unwrap_or_else(|| since(visitor.now));
    let until = query.some("until").map(|until| instant(&until)).transpose()?;
    let until = until.unwrap_or(visitor.now).min(visitor.now);
    let asked = RefusalsQuery {
        since: Some(since.clone()),
        until: query.some("until"),
        item: query.some("item"),
        code: query.some("code"),
        device: query.some("device"),
        number: query.number("number")?,
        after: query.some("after"),
        limit: Some(ROWS_MAX),
    };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    let address = query.address_without(&["after", "since", "done"]);
    let source = format!("/refusals?since={}&{address}", encode(&since));
    let source = source.trim_end_matches('&');
    let mut sheets = found.sheets().into_iter();
    let rows = sheets.next().unwrap_or_default();
    let rows = Table::new(t, t.refusals, &rows).or_else(t.no_refusals).from(source);
    let hour_table = Table::new(t, t.by_hour, &found.hour_sheet()).only_json(source);
    let sums = sheets.next().map(|sheet| Table::new(t, t.by_number, &sheet));
    let filter = |name: &'static str, column_name: &str, kind| Filter {
        name,
        label: column(t, column_name),
        value: if name == "since" { since.clone() } else { query.get(name).to_owned() },
        kind,
    };
    page(&RefusalsPage {
        filters: vec![
            filter("since", "since", "text"),
            filter("until", "until", "text"),
            filter("item", "item_id", "text"),
            filter("code", "handshake_code", "text"),
            filter("device", "device", "text"),
            filter("number", "code", "text"),
        ],
        refused: grouped(found.refused),
        hours: hours(&found, instant(&since)?, until),
        hour_table,
        tables: sums.into_iter().chain([rows]).collect(),
        next: found
            .next
            .map(|next| format!("{address}&since={}&after={}", encode(&since), encode(&next))),
        frame: Frame::new(&visitor, "/refusals", t.refusals),
    })
}
