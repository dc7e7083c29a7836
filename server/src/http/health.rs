//! `GET /healthz`: the process answers. `GET /readyz`: it can also write to its database.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::Web;
use super::answer::answer;
use crate::error::Error;

/// How long the store may take before the server counts as not ready.
const READY_TIME_MAX: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz() -> Response {
    answer(Ok(Health { status: "up" }))
}

async fn readyz(State(web): State<Arc<Web>>) -> Response {
    let store = tokio::time::timeout(READY_TIME_MAX, web.licensing.store.ready()).await;
    let outcome = store.unwrap_or_else(|_| {
        Err(Error::Store(format!("no answer from the database within {} s", READY_TIME_MAX.as_secs())))
    });
    answer(outcome.map(|()| Health { status: "ready" }))
}
