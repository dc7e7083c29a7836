//! The operator's queries: those of [`crate::operator::queries`], as JSON or, with `?format=csv`,
//! as CSV.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::Uri;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::Web;
use super::super::answer::answer;
use super::super::health;
use super::{By, Server};
use crate::access::Caller;
use crate::error::Error;
use crate::operator::commands::DeviceRow;
use crate::operator::queries::day::{Day, DayQuery};
use crate::operator::queries::devices::DevicesQuery;
use crate::operator::queries::domains::{DomainHosts, DomainsQuery};
use crate::operator::queries::explain::{ExplainQuery, Explanation};
use crate::operator::queries::holders::{Holders, HoldersQuery};
use crate::operator::queries::plan::{Plan, PlanQuery};
use crate::operator::queries::refusals::{Refusals, RefusalsQuery};
use crate::operator::queries::sheet::Sheets;
use crate::operator::queries::status::{Status, StatusQuery};
use crate::operator::queries::usage::{Usage, UsageQuery};
use crate::operator::queries::year::{Year, YearQuery};
use crate::problem::ProblemKind;
use crate::store::Question;

/// The parameter that chooses the form of an answer.
const FORMAT: &str = "format";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Csv,
}

/// A question with the form of its answer.
pub(super) struct Wanted<Q>(pub(super) Q, pub(super) Form);

impl<Q: DeserializeOwned> FromRequestParts<Arc<Web>> for Wanted<Q> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Response> {
        parse(&parts.uri)
            .map_err(|why| Error::of(ProblemKind::MalformedAddress, why).into_response())
    }
}

/// Read a question and the form of its answer from an address.
fn parse<Q: DeserializeOwned>(uri: &Uri) -> Result<Wanted<Q>, String> {
    let mut form = Form::Json;
    let mut rest: Vec<&str> = Vec::new();
    for part in uri.query().unwrap_or_default().split('&') {
        match part.split_once('=') {
            Some((FORMAT, "json")) => form = Form::Json,
            Some((FORMAT, "csv")) => form = Form::Csv,
            Some((FORMAT, other)) => {
                return Err(format!("there is no format {other:?}: write json or csv"));
            }
            _ => rest.push(part),
        }
    }
    let rest: Uri = format!("/?{}", rest.join("&")).parse().map_err(|_| "not an address")?;
    let query = Query::<Q>::try_from_uri(&rest).map_err(|refusal| refusal.body_text())?;
    Ok(Wanted(query.0, form))
}

/// Ask the store, and answer in this form.
pub(super) async fn respond<Q>(web: &Web, by: &Caller, question: Q, form: Form) -> Response
where
    Q: Question,
    Q::Answer: Serialize + Sheets,
{
    let found = web.licensing.ask(question, by.organization_id.clone()).await;
    shown(found, form)
}

fn shown<A: Serialize + Sheets>(found: Result<A, Error>, form: Form) -> Response {
    match (found, form) {
        (found, Form::Json) => answer(found),
        (Err(error), Form::Csv) => error.into_response(),
        (Ok(found), Form::Csv) => csv(&found),
    }
}

fn csv(found: &impl Sheets) -> Response {
    let mut body = Vec::new();
    if let Some(sheet) = found.sheets().first()
        && let Err(error) = sheet.write_csv(&mut body)
    {
        return Error::Internal(format!("an answer has no CSV form: {error}")).into_response();
    }
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"seatmeter.csv\""),
    ];
    (headers, body).into_response()
}

/// Show how the server and each item stand, with forecasts
#[utoipa::path(get, path = "/status", params(StatusQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Status)))]
pub(super) async fn status(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<StatusQuery>,
) -> Response {
    let mut found = web.licensing.ask(query, by.organization_id.clone()).await;
    if let Ok(status) = &mut found {
        health::complete(&web, &mut status.server).await;
    }
    shown(found, form)
}

/// List who holds seats now, and who was refused in the current slot
#[utoipa::path(get, path = "/holders", params(HoldersQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Holders)))]
pub(super) async fn holders(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<HoldersQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// List refusals by hour, item, device, handshake code and number, newest hour first
#[utoipa::path(get, path = "/refusals", params(RefusalsQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Refusals)))]
pub(super) async fn refusals(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<RefusalsQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// Sum recorded usage by anything, down to the slot
#[utoipa::path(get, path = "/usage", params(UsageQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Usage)))]
pub(super) async fn usage(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<UsageQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// Show the 480 slots of a day, and the devices of one of them
#[utoipa::path(get, path = "/items/{item_id}/day",
    params(("item_id" = String, Path), DayQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Day)))]
pub(super) async fn day(
    State(web): Server,
    Extension(by): By,
    Path(item_id): Path<String>,
    Wanted(query, form): Wanted<DayQuery>,
) -> Response {
    respond(&web, &by, DayQuery { item_id, ..query }, form).await
}

/// Show the peak and the sum of each day of a year
#[utoipa::path(get, path = "/items/{item_id}/year",
    params(("item_id" = String, Path), YearQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Year)))]
pub(super) async fn year(
    State(web): Server,
    Extension(by): By,
    Path(item_id): Path<String>,
    Wanted(query, form): Wanted<YearQuery>,
) -> Response {
    respond(&web, &by, YearQuery { item_id, ..query }, form).await
}

/// Explain a device: what it holds, what it was told, and what it would be told now
#[utoipa::path(get, path = "/devices/{device}/explanation",
    params(("device" = String, Path), ExplainQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Explanation)))]
pub(super) async fn explain(
    State(web): Server,
    Extension(by): By,
    Path(device): Path<String>,
    Wanted(_, form): Wanted<ExplainQuery>,
) -> Response {
    respond(&web, &by, ExplainQuery { device }, form).await
}

/// List devices, by item and UUID, up to 10000 at once
#[utoipa::path(get, path = "/devices", params(DevicesQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Vec<DeviceRow>)))]
pub(super) async fn devices(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<DevicesQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// Replay recorded usage under another license option or another N
#[utoipa::path(get, path = "/plan", params(PlanQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = Plan)))]
pub(super) async fn plan(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<PlanQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

/// List the hosts under which items are used, and those that were refused
#[utoipa::path(get, path = "/domains", params(DomainsQuery, ("format" = Option<String>, Query)),
    responses((status = 200, body = DomainHosts)))]
pub(super) async fn domains(
    State(web): Server,
    Extension(by): By,
    Wanted(query, form): Wanted<DomainsQuery>,
) -> Response {
    respond(&web, &by, query, form).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(address: &str) -> Result<(Option<String>, Form), String> {
        let Wanted(query, form): Wanted<StatusQuery> = parse(&address.parse().unwrap())?;
        Ok((query.item, form))
    }

    #[test]
    fn the_form_is_chosen_beside_the_question() {
        assert_eq!(parsed("/status"), Ok((None, Form::Json)));
        assert_eq!(parsed("/status?format=csv"), Ok((None, Form::Csv)));
        assert_eq!(
            parsed("/status?item=a%20b&format=csv"),
            Ok((Some("a b".to_owned()), Form::Csv))
        );
        assert!(parsed("/status?format=xml").unwrap_err().contains("xml"));
        assert!(parsed("/status?itme=a").unwrap_err().contains("itme"));
    }
}
