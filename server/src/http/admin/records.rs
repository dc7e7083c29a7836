//! The server's records of itself: the audit log, and the epochs of its data.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::{By, Chosen, Server, list};
use crate::operator::commands::{AuditRow, EpochRow, View};

/// The filter of the audit log.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// The number of the line before which the list begins: the last `audit_id` of the previous
    /// part.
    before: Option<u64>,
}

/// List the audit log, newest first, up to 10000 lines at once
#[utoipa::path(get, path = "/audit", params(AuditQuery), responses((status = 200, body = Vec<AuditRow>)))]
pub(super) async fn audit(
    State(web): Server,
    Extension(by): By,
    Chosen(query): Chosen<AuditQuery>,
) -> Response {
    list(&web, &by, View::Audit { before: query.before }).await
}

/// List the epochs of the data, newest first
#[utoipa::path(get, path = "/epochs", responses((status = 200, body = Vec<EpochRow>)))]
pub(super) async fn epochs(State(web): Server, Extension(by): By) -> Response {
    list(&web, &by, View::Epochs).await
}
