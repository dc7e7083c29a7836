//! The usage reports: `POST /v1/usage`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use seatmeter_protocol::message::{USAGE_PATH, UsageAnswer, UsageReport};

use super::Web;
use super::answer::{Asker, Failed, answer};
use super::body::parse;
use super::proof::proof;
use crate::error::Error;

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new().route(USAGE_PATH, post(record))
}

async fn record(State(web): State<Arc<Web>>, headers: HeaderMap, body: Bytes) -> Response {
    let report = match parse::<UsageReport>(&headers, &body) {
        Ok(report) => report,
        Err(error) => return error.into_response(),
    };
    let asker = Asker { device: report.device.uuid.clone(), code: String::new() };
    web.metrics.reported(&report, web.licensing.clock.unix_seconds());
    let outcome = book(&web, report, &headers, &body).await;
    web.metrics.recorded(&outcome);
    let refused = outcome.as_ref().ok().and_then(refused);
    let mut response = answer(outcome);
    if let Some(error) = refused {
        response.extensions_mut().insert(Failed(error));
    }
    asker.note(response)
}

/// Return what is refused of a report that is booked otherwise, for the log.
fn refused(answer: &UsageAnswer) -> Option<Error> {
    let first = answer.refused.first()?;
    Some(Error::bad_request(format!(
        "{} of {} segments of a report are refused; segment {}: {}",
        answer.refused.len(),
        answer.refused.len() + answer.recorded.len(),
        first.segment_id,
        first.reason
    )))
}

async fn book(
    web: &Web,
    report: UsageReport,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<UsageAnswer, Error> {
    web.require_to_book().await?;
    web.licensing.record(report, proof(USAGE_PATH, headers, body, None)).await
}
