//! The server on the wire: which path leads where, and the bounds that hold for every request.
//!
//! ```text
//! POST /v1/authorizations  authorizations.rs ┐ inside `answer`: body read and bounded, time limit,
//! POST /v1/usage           usage.rs          ┘ panics caught, answer signed
//! GET  /healthz /readyz    health.rs           unsigned: for load balancers
//! anything else                                problem 404 or 405
//! ```

pub mod answer;
mod authorizations;
mod body;
mod health;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use crate::error::Error;
use crate::licensing::Licensing;

/// The whole server as one service.
pub fn router(licensing: Arc<Licensing>) -> Router {
    let client_api = authorizations::router()
        .merge(usage::router())
        .layer(answer::catch_panics())
        .layer(axum::middleware::from_fn_with_state(licensing.clone(), answer::sign));
    client_api
        .merge(health::router())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(licensing)
}

/// Serves until `stop` is ready, then lets the requests that run come to their end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    licensing: Arc<Licensing>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    axum::serve(listener, router(licensing))
        .with_graceful_shutdown(stop)
        .await
        .map_err(|e| Error::Setup(format!("the server cannot go on: {e}")))
}

async fn not_found(uri: Uri) -> Response {
    Error::BadRequest { status: 404, detail: format!("there is nothing at {}", uri.path()) }.into_response()
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let detail = format!("{method} is not possible at {}", uri.path());
    Error::BadRequest { status: 405, detail }.into_response()
}
