//! `GET /metrics`: the page that Prometheus scrapes.
//!
//! At the addresses of the server, it needs a token with the role viewer that is bound to no
//! organization. An address of its own (`--metrics-listen`) needs none, and has nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::source;
use super::{Web, admin, health};
use crate::error::Error;
use crate::metrics::{self, Server};
use crate::problem::ProblemKind;

/// The path of the page.
pub const METRICS_PATH: &str = "/metrics";

/// Return the page for those who show a token.
pub(super) fn router() -> Router<Arc<Web>> {
    Router::new().route(METRICS_PATH, get(for_callers))
}

/// Return the page alone, for an address of its own.
pub fn open_router(web: Arc<Web>) -> Router {
    Router::new().route(METRICS_PATH, get(for_all)).with_state(web)
}

async fn for_all(State(web): State<Arc<Web>>) -> Response {
    page(&web).await
}

async fn for_callers(State(web): State<Arc<Web>>, request: Request) -> Response {
    match require_viewer(&web, request).await {
        Ok(()) => page(&web).await,
        Err(error) => admin::access::nothing_here(error),
    }
}

async fn require_viewer(web: &Web, request: Request) -> Result<(), Error> {
    let source = source(web, &request);
    web.admit(source)?;
    let caller = admin::access::reader(web, source, request).await?;
    match caller.organization_id {
        None => Ok(()),
        Some(organization_id) => Err(Error::of(
            ProblemKind::OtherOrganization,
            format!(
                "metrics are those of the whole server, and you are bound to the organization \
                 \"{organization_id}\""
            ),
        )),
    }
}

async fn page(web: &Web) -> Response {
    let licensing = &web.licensing;
    let snapshot = web.metrics.snapshot.get(licensing).await;
    let is_standby_active = match &web.main_server {
        Some(main) => Some(main.require_down().await.is_ok()),
        None => None,
    };
    let server = Server {
        is_ready: snapshot.is_ok() && health::state(web).await.0,
        is_standby_active,
        queue_length: licensing.store.waiting(),
        certificate_ends_at: web.tls.as_ref().map(|tls| tls.ends_at()),
        commits: licensing.store.commit_times(),
        clock_behind_seconds: licensing.clock.ahead_of_machine(),
    };
    if let Err(error) = &snapshot {
        tracing::warn!(%error, "metrics are without items and devices");
    }
    match metrics::write(web.metrics.clone(), snapshot.ok(), server) {
        Ok(text) => {
            let headers = [(CONTENT_TYPE, metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
            (headers, text).into_response()
        }
        Err(error) => Error::Internal(format!("a metric has no text: {error}")).into_response(),
    }
}
