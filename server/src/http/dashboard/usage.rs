//! Usage: what was counted, grouped by anything, down to the slot.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use seatmeter_protocol::license::DAY_SECONDS;

use super::Page;
use super::form::Chosen;
use super::frame::{Frame, Visitor, encode, grouped, page};
use super::messages::{column, word};
use super::refusal::Filter;
use super::table::Table;
use crate::http::Web;
use crate::operator::queries::date;
use crate::operator::queries::sheet::Sheets;
use crate::operator::queries::usage::{KindOfUsage, UsageQuery, kind_name};

/// The number of rows of a page.
const ROWS_MAX: u32 = 500;

/// The number of days that the page shows unless it is asked for others.
const DAYS: u32 = 30;

/// The page.
#[derive(Template)]
#[template(path = "usage.html")]
struct UsagePage {
    frame: Frame,
    groups: Vec<Choice>,
    times: Vec<Choice>,
    kinds: Vec<Choice>,
    filters: Vec<Filter>,
    peaks: bool,
    totals: Vec<(String, String)>,
    table: Table,
    next: Option<String>,
}

/// Something that can be chosen.
struct Choice {
    value: &'static str,
    label: String,
    is_chosen: bool,
}

/// Show usage.
pub(super) async fn usage(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let mut by: Vec<String> = query.all("by").into_iter().filter(|one| !one.is_empty()).collect();
    by.extend(query.some("time"));
    if by.is_empty() {
        by = vec!["item".to_owned(), "kind".to_owned()];
    }
    let today = u32::try_from(visitor.now / DAY_SECONDS).unwrap_or(u32::MAX);
    let from = query.some("from").unwrap_or_else(|| date(today.saturating_sub(DAYS)));
    let kind = match query.get("kind") {
        "scan" => Some(KindOfUsage::Scan),
        "page" => Some(KindOfUsage::Page),
        "image" => Some(KindOfUsage::Image),
        _ => None,
    };
    let after: Option<u64> = query.number("after")?;
    let asked = UsageQuery {
        by: Some(by.join(",")),
        from: Some(from.clone()),
        to: query.some("to"),
        item: query.some("item"),
        code: query.some("code"),
        device: query.some("device"),
        kind,
        peaks: query.has("peaks"),
        after,
        limit: Some(ROWS_MAX),
    };
    let found = web.licensing.ask(asked, visitor.owner()).await?;
    let rest = query.address_without(&["by", "time", "from", "after", "done", "peaks"]);
    let peaks = if query.has("peaks") { "&peaks=true" } else { "" };
    let source = format!("/usage?by={}&from={}{peaks}&{rest}", by.join(","), encode(&from));
    let sheet = found.sheets().into_iter().next().unwrap_or_default();
    let choice = |value: &'static str, label: String| Choice {
        value,
        label,
        is_chosen: by.iter().any(|chosen| chosen == value),
    };
    let filter = |name: &'static str, column_name: &str| Filter {
        name,
        label: column(t, column_name),
        value: if name == "from" { from.clone() } else { query.get(name).to_owned() },
        kind: "text",
    };
    let kinds = ["scan", "page", "image"].map(|value| Choice {
        value,
        label: word(t, value),
        is_chosen: query.get("kind") == value,
    });
    page(&UsagePage {
        groups: ["code", "item", "device", "kind", "what"]
            .map(|value| choice(value, word(t, value)))
            .into(),
        times: ["slot", "hour", "day", "week", "month"]
            .map(|value| choice(value, word(t, value)))
            .into(),
        kinds: kinds.into(),
        filters: vec![
            filter("from", "from"),
            filter("to", "to"),
            filter("item", "item_id"),
            filter("code", "handshake_code"),
            filter("device", "device"),
        ],
        peaks: query.has("peaks"),
        totals: found
            .totals
            .iter()
            .map(|sum| {
                let total = grouped(i128::try_from(sum.total).unwrap_or(i128::MAX));
                (word(t, &format!("{}s", kind_name(sum.kind))), total)
            })
            .collect(),
        table: Table::new(t, t.usage, &sheet)
            .or_else(t.nothing_used)
            .from(source.trim_end_matches('&')),
        next: found
            .next
            .map(|next| format!("{}&after={next}", query.address_without(&["after", "done"]))),
        frame: Frame::new(&visitor, "/usage", t.usage),
    })
}
