//! `POST /v1/usage`: what has been used.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use seatmeter_protocol::message::USAGE_PATH;

use super::answer::answer;
use super::body::parse;
use crate::licensing::Licensing;

pub(super) fn router() -> Router<Arc<Licensing>> {
    Router::new().route(USAGE_PATH, post(record))
}

async fn record(State(licensing): State<Arc<Licensing>>, headers: HeaderMap, body: Bytes) -> Response {
    match parse(&headers, &body) {
        Ok(report) => answer(licensing.record(report).await),
        Err(error) => answer::<()>(Err(error)),
    }
}
