//! The planner: what another option or another N would have meant for the usage that is recorded.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use clap::ValueEnum;

use super::Page;
use super::form::Chosen;
use super::frame::{Frame, Visitor, grouped, page};
use super::messages::{column, word};
use super::refusal::Filter;
use super::table::Table;
use crate::error::Error;
use crate::http::Web;
use crate::operator::queries::plan::{PlanOption, PlanQuery};
use crate::operator::queries::sheet::Sheets;

/// The page.
#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    options: Vec<(String, String, bool)>,
    fields: Vec<Filter>,
    answer: Option<Answer>,
}

/// The outcome.
struct Answer {
    devices: String,
    rows: String,
    outcomes: Vec<Outcome>,
    table: Table,
}

/// The outcome with one quota, as a sentence of numbers.
struct Outcome {
    what: String,
    quota: String,
    refused: String,
    is_enough: bool,
    smallest: String,
}

/// Show the planner, with an outcome if a quota was named.
pub(super) async fn plan(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let chosen = query.some("option").unwrap_or_else(|| "per-concurrent-device".to_owned());
    let option = PlanOption::from_str(&chosen, true)
        .map_err(|_| Error::bad_request(format!("there is no license option \"{chosen}\"")))?;
    let answer = match query.number("quota")? {
        None => None,
        Some(quota) => {
            let asked = PlanQuery {
                option,
                quota,
                seats_per_device: query.number("seats_per_device")?,
                overuse_budget: query.number("overuse_budget")?,
                overuse_growth_per_day: 0,
                window_days: query.number("window_days")?,
                starts: None,
                item: query.some("item"),
                from: query.some("from"),
                to: query.some("to"),
            };
            let found = web.licensing.ask(asked, visitor.owner()).await;
            let found = found.map_err(crate::operator::queries::asked)?;
            let mut sheet = found.sheets().into_iter().next().unwrap_or_default();
            // Here "what" names a unit, and not a symbology as elsewhere.
            if let Some(first) = sheet.columns.first_mut() {
                *first = "unit";
            }
            let source = format!("/plan?{}", query.address_without(&["done"]));
            Some(Answer {
                devices: grouped(i128::try_from(found.devices).unwrap_or(i128::MAX)),
                rows: grouped(found.rows),
                outcomes: found
                    .outcomes
                    .iter()
                    .map(|outcome| Outcome {
                        what: word(t, &outcome.what),
                        quota: grouped(outcome.quota),
                        refused: grouped(outcome.refused),
                        is_enough: outcome.refused == 0,
                        smallest: grouped(outcome.smallest_quota),
                    })
                    .collect(),
                table: Table::new(t, t.planner, &sheet).or_else(t.nothing_used).from(source),
            })
        }
    };
    let options = PlanOption::value_variants().iter().map(|one| {
        let name = one.name();
        (name.clone(), word(t, &name), *one == option)
    });
    let field = |name: &'static str, kind| Filter {
        name,
        label: column(t, if name == "item" { "item_id" } else { name }),
        value: query.get(name).to_owned(),
        kind,
    };
    page(&PlanPage {
        options: options.collect(),
        fields: vec![
            field("quota", "number"),
            field("item", "text"),
            field("seats_per_device", "number"),
            field("overuse_budget", "number"),
            field("window_days", "number"),
            field("from", "text"),
            field("to", "text"),
        ],
        answer,
        frame: Frame::new(&visitor, "/plan", t.planner),
    })
}
