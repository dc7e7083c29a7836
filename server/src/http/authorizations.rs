//! `POST /v1/authorizations`: may this device use the product?

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use seatmeter_protocol::message::AUTHORIZATIONS_PATH;

use super::answer::answer;
use super::body::parse;
use crate::licensing::Licensing;

pub(super) fn router() -> Router<Arc<Licensing>> {
    Router::new().route(AUTHORIZATIONS_PATH, post(authorize))
}

async fn authorize(State(licensing): State<Arc<Licensing>>, headers: HeaderMap, body: Bytes) -> Response {
    match parse(&headers, &body) {
        Ok(request) => answer(licensing.authorize(request).await),
        Err(error) => answer::<()>(Err(error)),
    }
}
