//! The operator's API under `/admin/v1`: the methods of [`crate::operator`] that its paths call.
//!
//! ```text
//! request ─▶ access.rs: token, session or loopback ─▶ role of the caller, by roles.rs ─▶ handler
//! ```
//!
//! [`roles::ROUTES`] has the role that each operation needs. A route that is missing there cannot
//! be reached. The OpenAPI document is generated from the handlers and this table, and served at
//! `/admin/v1/openapi.json`. A caller that is bound to an organization reads and changes only what
//! belongs to it: lists go through [`list`], changes take the caller as their author.

pub mod access;
mod alerts;
mod codes;
pub(in crate::http) mod csrf;
mod devices;
mod licenses;
pub mod login_limit;
mod loopback;
mod queries;
mod records;
pub mod roles;
pub(in crate::http) mod session;
mod tokens;
mod users;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::answer::{answer, catch_panics};
use super::body::parse;
use crate::access::Caller;
use crate::error::Error;
use crate::operator::commands::View;
use crate::problem::ProblemKind;

/// The path prefix of the API.
pub const ADMIN_PATH: &str = "/admin/v1";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seatmeterd admin API",
        description = "What an operator can do and see. Errors are problem details (RFC 9457); \
                       docs/problems.md lists their types. x-required-role is the lowest role that \
                       may use an operation: viewer, operator or admin."
    ),
    modifiers(&Schemes),
    components(schemas(ProblemDetails))
)]
struct Document;

/// The ways to show who calls.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            roles::TOKEN_SCHEME,
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
        let cookie = ApiKeyValue::with_description(
            session::COOKIE,
            "A session of a user. Requests that change something also need the header \
             X-CSRF-Token.",
        );
        components.add_security_scheme(
            roles::SESSION_SCHEME,
            SecurityScheme::ApiKey(ApiKey::Cookie(cookie)),
        );
    }
}

/// An error of the admin API, as RFC 9457 problem details.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes in the document what crate::problem writes")]
struct ProblemDetails {
    /// The kind of problem, one of docs/problems.md.
    r#type: String,
    /// The kind of problem, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The description of this occurrence, and what to do.
    detail: String,
}

/// An answer without content.
#[derive(Serialize, ToSchema)]
struct Done {
    /// The value is always true.
    done: bool,
}

type Server = State<Arc<Web>>;
type By = Extension<Caller>;

/// Return the routes with their document.
fn routes() -> OpenApiRouter<Arc<Web>> {
    let api = OpenApiRouter::new()
        .routes(routes!(licenses::organizations))
        .routes(routes!(licenses::set_default_code))
        .routes(routes!(licenses::import))
        .routes(routes!(licenses::correct))
        .routes(routes!(licenses::items))
        .routes(routes!(licenses::revoke_item))
        .routes(routes!(codes::codes, codes::make_code))
        .routes(routes!(codes::delete_code))
        .routes(routes!(licenses::delete_organization))
        .routes(routes!(devices::delete_device))
        .routes(routes!(codes::set_items))
        .routes(routes!(codes::set_access))
        .routes(routes!(queries::status))
        .routes(routes!(queries::holders))
        .routes(routes!(queries::refusals))
        .routes(routes!(queries::usage))
        .routes(routes!(queries::day))
        .routes(routes!(queries::year))
        .routes(routes!(queries::explain))
        .routes(routes!(queries::plan))
        .routes(routes!(queries::domains))
        .routes(routes!(queries::devices))
        .routes(routes!(devices::release_device))
        .routes(routes!(devices::rename_device))
        .routes(routes!(alerts::alerts))
        .routes(routes!(alerts::test_alerts))
        .routes(routes!(alerts::mute_alert))
        .routes(routes!(alerts::rearm_alert))
        .routes(routes!(alerts::set_thresholds))
        .routes(routes!(alerts::events))
        .routes(routes!(alerts::replay_event))
        .routes(routes!(alerts::enable_webhook))
        .routes(routes!(records::audit))
        .routes(routes!(records::epochs))
        .routes(routes!(tokens::tokens, tokens::make_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(users::users, users::make_user))
        .routes(routes!(users::remove_user))
        .routes(routes!(users::set_password))
        .routes(routes!(users::set_role))
        .routes(routes!(session::log_in, session::who_am_i, session::log_out));
    OpenApiRouter::with_openapi(Document::openapi()).nest(ADMIN_PATH, api)
}

/// Return the OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().into_openapi();
    roles::describe(&mut document);
    document
}

pub(super) fn router(web: &Arc<Web>) -> Router<Arc<Web>> {
    let (router, _) = routes().split_for_parts();
    let document = Arc::new(document());
    router
        .route(
            &format!("{ADMIN_PATH}{}", roles::DOCUMENT_PATH),
            axum::routing::get(move || async move { Json(document.as_ref().clone()) }),
        )
        .layer(catch_panics())
        .layer(axum::middleware::from_fn_with_state(web.clone(), access::admit))
}

/// Answer with a list, or with the part of it that the caller may see.
async fn list(web: &Web, by: &Caller, view: View) -> Response {
    answer(web.licensing.look(by.view(view)).await)
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
            .map_err(|e| Error::of(ProblemKind::MalformedAddress, e.body_text()).into_response())
    }
}
