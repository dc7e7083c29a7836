//! The operator's API under `/admin/v1`: who may use it, and the methods of [`crate::operator`]
//! that its paths call.
//!
//! A request shows a token (`Authorization: Bearer seatmeter_…`), or comes from a program on this
//! machine ([`super::loopback`]) if the server is configured to accept that. The OpenAPI document
//! is generated from the handlers, and served at `/admin/v1/openapi.json`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Unadmitted, answer, bounded, catch_panics, deadline, source, timed_out};
use super::body::parse;
use super::proxy::Source;
use super::{Web, loopback};
use crate::correction::IssuedCorrection;
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::{
    AuditRow, Change, CodeItems, CodeRow, DeviceRow, EpochRow, ItemRow, OrganizationRow, TokenRow,
    View,
};
use crate::operator::{Access, IssuedFile};

/// The path prefix of the API.
pub const ADMIN_PATH: &str = "/admin/v1";

#[derive(OpenApi)]
#[openapi(info(
    title = "seatmeterd admin API",
    description = "What an operator can do and see. Errors are problem details (RFC 9457)."
))]
struct Document;

/// The user of the API, for the audit log.
#[derive(Clone)]
struct Operator(String);

/// An answer without content.
#[derive(Serialize, ToSchema)]
struct Done {
    /// The value is always true.
    done: bool,
}

/// A license file, with the handshake code to make for it.
#[derive(Deserialize, ToSchema)]
struct ImportRequest {
    /// The file as `seatmeterd license-file sign` writes it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    file: IssuedFile,
    /// A handshake code to make for all items of the file, as the organization's default code.
    #[serde(default)]
    handshake_code: Option<String>,
}

/// A vendor's correction.
#[derive(Deserialize, ToSchema)]
struct CorrectRequest {
    /// The correction as `seatmeterd vendor correct` writes it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    correction: IssuedCorrection,
}

/// A handshake code to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCode {
    /// The code.
    handshake_code: String,
    /// The organization that owns the code.
    organization_id: String,
}

/// The default code of an organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DefaultCode {
    /// The code.
    handshake_code: String,
}

/// The item from which a device is released.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// The id of the item with the seats that the device gives back.
    item_id: String,
}

/// A name for a device or token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// The name.
    name: String,
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct NewToken {
    /// The token itself. It is not stored, and cannot be shown again.
    token: String,
}

/// The filter of the list of devices.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct DeviceQuery {
    /// The item of the wanted devices.
    item_id: Option<String>,
    /// The item of the device after which the list begins. Set it and `after_device` to those of
    /// the last row of the previous part.
    after_item: Option<String>,
    /// The UUID of the device after which the list begins; see `after_item`.
    after_device: Option<String>,
}

/// The filter of the audit log.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// The number of the line before which the list begins: the last `audit_id` of the previous
    /// part.
    before: Option<u64>,
}

type Server = State<Arc<Web>>;
type By = Extension<Operator>;

/// Return the routes with their document.
fn routes() -> OpenApiRouter<Arc<Web>> {
    let api = OpenApiRouter::new()
        .routes(routes!(organizations))
        .routes(routes!(set_default_code))
        .routes(routes!(import))
        .routes(routes!(correct))
        .routes(routes!(items))
        .routes(routes!(revoke_item))
        .routes(routes!(codes, make_code))
        .routes(routes!(set_items))
        .routes(routes!(set_access))
        .routes(routes!(devices))
        .routes(routes!(release_device))
        .routes(routes!(rename_device))
        .routes(routes!(audit))
        .routes(routes!(epochs))
        .routes(routes!(tokens, make_token))
        .routes(routes!(revoke_token));
    OpenApiRouter::with_openapi(Document::openapi()).nest(ADMIN_PATH, api)
}

/// Return the OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

pub(super) fn router(web: &Arc<Web>) -> Router<Arc<Web>> {
    let (router, document) = routes().split_for_parts();
    let document = Arc::new(document);
    router
        .route(
            &format!("{ADMIN_PATH}/openapi.json"),
            axum::routing::get(move || async move { Json(document.as_ref().clone()) }),
        )
        .layer(catch_panics())
        .layer(axum::middleware::from_fn_with_state(web.clone(), admit))
}

/// Accept a request that shows a token, or that comes from a program on this machine if this is
/// enough.
async fn admit(State(web): Server, request: Request, next: Next) -> Response {
    let deadline = deadline();
    let source = source(&web, &request);
    let (mut parts, body) = request.into_parts();
    let operator = tokio::time::timeout_at(deadline, operator(&web, source, &parts)).await;
    let admitted = operator.unwrap_or_else(|_| Err(timed_out())).map(|operator| {
        parts.extensions.insert(operator);
    });
    let request = Request::from_parts(parts, body);
    let (_, mut response) =
        bounded(&web, request, next, admitted.map_err(Unadmitted::AtOnce), deadline).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    as_problem(response)
}

/// Turn refusals by axum itself, such as for a path that is not UTF-8, into problem details like
/// all others.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_ours =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let detail = "the path or query of the request cannot be understood".to_owned();
    Error::BadRequest { status: status.as_u16(), detail }.into_response()
}

async fn operator(web: &Web, source: Option<Source>, request: &Parts) -> Result<Operator, Error> {
    web.admit(source)?;
    let shown = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = shown.and_then(|text| text.strip_prefix("Bearer ")).map(str::trim) else {
        if web.open_to_loopback && source.is_some_and(|source| source.is_this_machine()) {
            loopback::require_program(request)?;
            return Ok(Operator("loopback".to_owned()));
        }
        return Err(unauthorized(
            "show a token of \"seatmeterd token new\" as Authorization: Bearer TOKEN",
        ));
    };
    match web.licensing.token_owner(token).await? {
        Some(name) => Ok(Operator(format!("token: {name}"))),
        None => Err(unauthorized(
            "the token is unknown or revoked; make one with \"seatmeterd token new\"",
        )),
    }
}

fn unauthorized(detail: &str) -> Error {
    Error::BadRequest { status: 401, detail: detail.to_owned() }
}

async fn list(licensing: &Licensing, view: View) -> Response {
    answer(licensing.look(view).await)
}

fn done(outcome: Result<(), Error>) -> Response {
    answer(outcome.map(|()| Done { done: true }))
}

/// The body of a request, parsed into the type that its handler takes.
struct Asked<T>(T);

impl<T: serde::de::DeserializeOwned> FromRequest<Arc<Web>> for Asked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, web).await.map_err(IntoResponse::into_response)?;
        parse(&headers, &body).map(Self).map_err(IntoResponse::into_response)
    }
}

/// The query of a request, parsed into the type that its handler takes. A misspelled name is
/// refused, because it would return another list than intended.
struct Chosen<T>(T);

impl<T: serde::de::DeserializeOwned> FromRequestParts<Arc<Web>> for Chosen<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let query = Query::from_request_parts(parts, web).await;
        query
            .map(|Query(query)| Self(query))
            .map_err(|e| Error::bad_request(e.body_text()).into_response())
    }
}

/// List licensees
#[utoipa::path(get, path = "/organizations", responses((status = 200, body = Vec<OrganizationRow>)))]
async fn organizations(State(web): Server) -> Response {
    list(&web.licensing, View::Organizations).await
}

/// Set the handshake code that an organization uses when it names none
#[utoipa::path(put, path = "/organizations/{organization_id}/default-handshake-code",
    params(("organization_id" = String, Path)), request_body = DefaultCode,
    responses((status = 200, body = Done)))]
async fn set_default_code(
    State(web): Server,
    Extension(by): By,
    Path(organization_id): Path<String>,
    Asked(DefaultCode { handshake_code }): Asked<DefaultCode>,
) -> Response {
    done(
        web.licensing
            .change(Change::SetDefaultCode { organization_id, handshake_code }, &by.0)
            .await,
    )
}

/// Import a license file
#[utoipa::path(post, path = "/license-files", request_body = ImportRequest,
    responses((status = 200, body = Done)))]
async fn import(
    State(web): Server,
    Extension(by): By,
    Asked(ImportRequest { file, handshake_code }): Asked<ImportRequest>,
) -> Response {
    done(web.licensing.import(file.license_file, file.root_key, handshake_code, &by.0).await)
}

/// Apply a vendor's correction of what is used of an item
#[utoipa::path(post, path = "/corrections", request_body = CorrectRequest,
    responses((status = 200, body = Done)))]
async fn correct(
    State(web): Server,
    Extension(by): By,
    Asked(CorrectRequest { correction }): Asked<CorrectRequest>,
) -> Response {
    done(web.licensing.correct(correction, &by.0).await)
}

/// List license items
#[utoipa::path(get, path = "/items", responses((status = 200, body = Vec<ItemRow>)))]
async fn items(State(web): Server) -> Response {
    list(&web.licensing, View::Items).await
}

/// Revoke an item: nothing more is granted from it
#[utoipa::path(post, path = "/items/{item_id}/revoke", params(("item_id" = String, Path)),
    responses((status = 200, body = Done)))]
async fn revoke_item(
    State(web): Server,
    Extension(by): By,
    Path(item_id): Path<String>,
) -> Response {
    done(web.licensing.change(Change::RevokeItem { item_id }, &by.0).await)
}

/// List handshake codes
#[utoipa::path(get, path = "/handshake-codes", responses((status = 200, body = Vec<CodeRow>)))]
async fn codes(State(web): Server) -> Response {
    list(&web.licensing, View::Codes).await
}

/// Make a handshake code without items
#[utoipa::path(post, path = "/handshake-codes", request_body = NewCode,
    responses((status = 200, body = Done)))]
async fn make_code(
    State(web): Server,
    Extension(by): By,
    Asked(NewCode { handshake_code, organization_id }): Asked<NewCode>,
) -> Response {
    done(web.licensing.make_code(handshake_code, organization_id, &by.0).await)
}

/// Set the items of a handshake code, and their order
#[utoipa::path(put, path = "/handshake-codes/{handshake_code}/items",
    params(("handshake_code" = String, Path)), request_body = CodeItems,
    responses((status = 200, body = Done)))]
async fn set_items(
    State(web): Server,
    Extension(by): By,
    Path(handshake_code): Path<String>,
    Asked(items): Asked<CodeItems>,
) -> Response {
    done(web.licensing.set_items(handshake_code, items, &by.0).await)
}

/// Set who may use a handshake code: session password and validation fields
#[utoipa::path(put, path = "/handshake-codes/{handshake_code}/access",
    params(("handshake_code" = String, Path)), request_body = Access,
    responses((status = 200, body = Done)))]
async fn set_access(
    State(web): Server,
    Extension(by): By,
    Path(handshake_code): Path<String>,
    Asked(access): Asked<Access>,
) -> Response {
    done(web.licensing.set_access(handshake_code, access, &by.0).await)
}

/// List devices, by item and UUID, up to 10000 at once
#[utoipa::path(get, path = "/devices", params(DeviceQuery), responses((status = 200, body = Vec<DeviceRow>)))]
async fn devices(State(web): Server, Chosen(query): Chosen<DeviceQuery>) -> Response {
    let after = match (query.after_item, query.after_device) {
        (Some(item_id), Some(device_uuid)) => Some((item_id, device_uuid)),
        (None, None) => None,
        _ => {
            return Error::bad_request("name after_item and after_device, or neither")
                .into_response();
        }
    };
    list(&web.licensing, View::Devices { item_id: query.item_id, after }).await
}

/// End what a device was granted from an item
#[utoipa::path(post, path = "/devices/{device_uuid}/release", params(("device_uuid" = String, Path)),
    request_body = Release, responses((status = 200, body = Done)))]
async fn release_device(
    State(web): Server,
    Extension(by): By,
    Path(device_uuid): Path<String>,
    Asked(Release { item_id }): Asked<Release>,
) -> Response {
    done(web.licensing.change(Change::ReleaseDevice { item_id, device_uuid }, &by.0).await)
}

/// Give a device another name
#[utoipa::path(put, path = "/devices/{device_uuid}/name", params(("device_uuid" = String, Path)),
    request_body = Name, responses((status = 200, body = Done)))]
async fn rename_device(
    State(web): Server,
    Extension(by): By,
    Path(device_uuid): Path<String>,
    Asked(Name { name }): Asked<Name>,
) -> Response {
    done(web.licensing.rename_device(device_uuid, name, &by.0).await)
}

/// List the audit log, newest first, up to 10000 lines at once
#[utoipa::path(get, path = "/audit", params(AuditQuery), responses((status = 200, body = Vec<AuditRow>)))]
async fn audit(State(web): Server, Chosen(query): Chosen<AuditQuery>) -> Response {
    list(&web.licensing, View::Audit { before: query.before }).await
}

/// List the epochs of the data, newest first
#[utoipa::path(get, path = "/epochs", responses((status = 200, body = Vec<EpochRow>)))]
async fn epochs(State(web): Server) -> Response {
    list(&web.licensing, View::Epochs).await
}

/// List tokens
#[utoipa::path(get, path = "/tokens", responses((status = 200, body = Vec<TokenRow>)))]
async fn tokens(State(web): Server) -> Response {
    list(&web.licensing, View::Tokens).await
}

/// Make a token
#[utoipa::path(post, path = "/tokens", request_body = Name, responses((status = 200, body = NewToken)))]
async fn make_token(
    State(web): Server,
    Extension(by): By,
    Asked(Name { name }): Asked<Name>,
) -> Response {
    answer(web.licensing.make_token(name, &by.0).await.map(|token| NewToken { token }))
}

/// Revoke a token
#[utoipa::path(delete, path = "/tokens/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Done)))]
async fn revoke_token(State(web): Server, Extension(by): By, Path(name): Path<String>) -> Response {
    done(web.licensing.change(Change::RevokeToken { name }, &by.0).await)
}
