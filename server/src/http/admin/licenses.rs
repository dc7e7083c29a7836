//! Organizations, license files and license items.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::answer::answer;
use super::{Asked, By, Done, Server, done, list};
use crate::correction::IssuedCorrection;
use crate::operator::IssuedFile;
use crate::operator::commands::{Change, ItemRow, OrganizationRow, View};
use crate::operator::import::Imported;

/// A license file, with the handshake code to make for it.
#[derive(Deserialize, ToSchema)]
pub(super) struct ImportRequest {
    /// The file as `seatmeterd license-file sign` writes it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    file: IssuedFile,
    /// A handshake code to make for all items of the file. It becomes the default code of an
    /// organization that has none.
    #[serde(default)]
    handshake_code: Option<String>,
    /// Whether the handshake code becomes the default code, also when there is one.
    #[serde(default)]
    make_default: bool,
}

/// A vendor's correction.
#[derive(Deserialize, ToSchema)]
pub(super) struct CorrectRequest {
    /// The correction as `seatmeterd vendor correct` writes it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    correction: IssuedCorrection,
}

/// The default code of an organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultCode {
    /// The code.
    handshake_code: String,
}

/// List licensees
#[utoipa::path(get, path = "/organizations", responses((status = 200, body = Vec<OrganizationRow>)))]
pub(super) async fn organizations(State(web): Server, Extension(by): By) -> Response {
    list(&web, &by, View::Organizations).await
}

/// Set the handshake code that an organization uses when it names none
#[utoipa::path(put, path = "/organizations/{organization_id}/default-handshake-code",
    params(("organization_id" = String, Path)), request_body = DefaultCode,
    responses((status = 200, body = Done)))]
pub(super) async fn set_default_code(
    State(web): Server,
    Extension(by): By,
    Path(organization_id): Path<String>,
    Asked(DefaultCode { handshake_code }): Asked<DefaultCode>,
) -> Response {
    done(
        web.licensing.change(Change::SetDefaultCode { organization_id, handshake_code }, &by).await,
    )
}

/// Import a license file
#[utoipa::path(post, path = "/license-files", request_body = ImportRequest,
    responses((status = 200, body = Imported)))]
pub(super) async fn import(
    State(web): Server,
    Extension(by): By,
    Asked(ImportRequest { file, handshake_code, make_default }): Asked<ImportRequest>,
) -> Response {
    answer(web.licensing.import_issued(file, handshake_code, make_default, &by).await)
}

/// Delete an organization that has no license files, and its handshake codes
#[utoipa::path(delete, path = "/organizations/{organization_id}",
    params(("organization_id" = String, Path)), responses((status = 200, body = Done)))]
pub(super) async fn delete_organization(
    State(web): Server,
    Extension(by): By,
    Path(organization_id): Path<String>,
) -> Response {
    done(web.licensing.change(Change::DeleteOrganization { organization_id }, &by).await)
}

/// Apply a vendor's correction of what is used of an item
#[utoipa::path(post, path = "/corrections", request_body = CorrectRequest,
    responses((status = 200, body = Done)))]
pub(super) async fn correct(
    State(web): Server,
    Extension(by): By,
    Asked(CorrectRequest { correction }): Asked<CorrectRequest>,
) -> Response {
    done(web.licensing.correct(correction, &by).await)
}

/// List license items
#[utoipa::path(get, path = "/items", responses((status = 200, body = Vec<ItemRow>)))]
pub(super) async fn items(State(web): Server, Extension(by): By) -> Response {
    list(&web, &by, View::Items).await
}

/// Revoke an item: nothing more is granted from it
#[utoipa::path(post, path = "/items/{item_id}/revoke", params(("item_id" = String, Path)),
    responses((status = 200, body = Done)))]
pub(super) async fn revoke_item(
    State(web): Server,
    Extension(by): By,
    Path(item_id): Path<String>,
) -> Response {
    done(web.licensing.change(Change::RevokeItem { item_id }, &by).await)
}
