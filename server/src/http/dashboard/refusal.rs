//! Refusals: who was refused, when, why, and what to do.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use seatmeter_protocol::license::DAY_SECONDS;

use super::Page;
use super::form::Chosen;
use super::frame::{Frame, Visitor, encode, grouped, page};
use super::messages::column;
use super::table::Table;
use crate::http::Web;
use crate::operator::queries::date;
use crate::operator::queries::refusals::RefusalsQuery;
use crate::operator::queries::sheet::Sheets;

/// The number of days that the page shows unless it is asked for others.
const DAYS: u32 = 30;

/// The number of rows of a page.
const ROWS_MAX: u32 = 200;

/// The page.
#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage {
    frame: Frame,
    filters: Vec<Filter>,
    refused: String,
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

/// Show refusals.
pub(super) async fn refusals(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let since = query.some("since").unwrap_or_else(|| since(visitor.now));
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
        tables: sums.into_iter().chain([rows]).collect(),
        next: found
            .next
            .map(|next| format!("{address}&since={}&after={}", encode(&since), encode(&next))),
        frame: Frame::new(&visitor, "/refusals", t.refusals),
    })
}
