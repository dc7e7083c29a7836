//! Handshake codes.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Asked, By, Done, Server, done, list};
use crate::operator::Access;
use crate::operator::commands::{Change, CodeItems, CodeRow, View};

/// A handshake code to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCode {
    /// The code.
    handshake_code: String,
    /// The organization that owns the code.
    organization_id: String,
}

/// List handshake codes
#[utoipa::path(get, path = "/handshake-codes", responses((status = 200, body = Vec<CodeRow>)))]
pub(super) async fn codes(State(web): Server, Extension(by): By) -> Response {
    list(&web, &by, View::Codes).await
}

/// Make a handshake code without items
#[utoipa::path(post, path = "/handshake-codes", request_body = NewCode,
    responses((status = 200, body = Done)))]
pub(super) async fn make_code(
    State(web): Server,
    Extension(by): By,
    Asked(NewCode { handshake_code, organization_id }): Asked<NewCode>,
) -> Response {
    done(web.licensing.make_code(handshake_code, organization_id, &by).await)
}

/// Set the items of a handshake code, and their order
#[utoipa::path(put, path = "/handshake-codes/{handshake_code}/items",
    params(("handshake_code" = String, Path)), request_body = CodeItems,
    responses((status = 200, body = Done)))]
pub(super) async fn set_items(
    State(web): Server,
    Extension(by): By,
    Path(handshake_code): Path<String>,
    Asked(items): Asked<CodeItems>,
) -> Response {
    done(web.licensing.set_items(handshake_code, items, &by).await)
}

/// Set who may use a handshake code: session password and validation fields
#[utoipa::path(put, path = "/handshake-codes/{handshake_code}/access",
    params(("handshake_code" = String, Path)), request_body = Access,
    responses((status = 200, body = Done)))]
pub(super) async fn set_access(
    State(web): Server,
    Extension(by): By,
    Path(handshake_code): Path<String>,
    Asked(access): Asked<Access>,
) -> Response {
    done(web.licensing.set_access(handshake_code, access, &by).await)
}

/// Delete a handshake code that is not the default code of its organization
#[utoipa::path(delete, path = "/handshake-codes/{handshake_code}",
    params(("handshake_code" = String, Path)), responses((status = 200, body = Done)))]
pub(super) async fn delete_code(
    State(web): Server,
    Extension(by): By,
    Path(handshake_code): Path<String>,
) -> Response {
    done(web.licensing.change(Change::DeleteCode { handshake_code }, &by).await)
}
