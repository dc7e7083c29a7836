//! The checks before each page, and the headers of every answer of the dashboard.
//!
//! | check | stops |
//! | --- | --- |
//! | a session of a user; without one, the login page | strangers |
//! | the role of a form, by [`super::FORMS`] | viewers who send a form by hand |
//! | `Origin` and `Sec-Fetch-Site`, and the field `csrf_token` of each form | pages of other sites |
//! | `Content-Security-Policy` without inline scripts and styles, `frame-ancestors 'none'` | injected markup; frames around a page |
//!
//! A page with a secret in it is compressed. The known attack on that (BREACH) needs requests of
//! another site that carry the session, which `SameSite=Strict` stops.

use std::io::Write;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::FORMS;
use super::form::Fields;
use super::frame::{ErrorPage, Language, Visitor, encode, page};
use crate::error::Error;
use crate::http::Web;
use crate::http::admin::access::{CurrentSession, Source, by_session, require_no_token_in_url};
use crate::http::admin::csrf;
use crate::http::answer::{ShownProblem, Unadmitted, bounded, deadline, source, timed_out};
use crate::problem::ProblemKind;

type Server = State<std::sync::Arc<Web>>;

/// The content that a browser may load for a page: files of this server, and nothing inside the
/// page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; object-src 'none'";

/// The longest page that is compressed in one piece.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// The shortest answer that is worth compressing.
const COMPRESSED_FROM_BYTES: usize = 1_024;

/// Accept a request of somebody who has logged in, for a page or a form that the role allows.
pub(super) async fn admit(State(web): Server, request: Request, next: Next) -> Response {
    let (deadline, source) = (deadline(), source(&web, &request));
    let (mut parts, body) = request.into_parts();
    let seen = async {
        web.admit(source)?;
        parts.extensions.insert(Source(source.map(|source| source.address)));
        require_no_token_in_url(&parts)?;
        visitor(&web, &parts).await
    };
    let seen = tokio::time::timeout_at(deadline, seen).await.unwrap_or_else(|_| Err(timed_out()));
    let headers = parts.headers.clone();
    let (visitor, session) = match seen {
        Ok(Some(seen)) => seen,
        Ok(None) => return finish(&headers, log_in_first(&parts)).await,
        Err(error) => {
            return finish(&headers, as_page(None, &headers, error.into_response())).await;
        }
    };
    let admitted = require_role(&parts, &visitor).map_err(Unadmitted::AtOnce);
    parts.extensions.insert(visitor.clone());
    parts.extensions.insert(session);
    let request = Request::from_parts(parts, body);
    let (_, response) = bounded(&web, request, next, admitted, deadline).await;
    finish(&headers, as_page(Some(&visitor), &headers, response)).await
}

/// Accept a request for a page that needs no session: the login, and what pages are made of.
pub(super) async fn admit_anybody(State(web): Server, request: Request, next: Next) -> Response {
    let (deadline, source) = (deadline(), source(&web, &request));
    let (mut parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    parts.extensions.insert(Source(source.map(|source| source.address)));
    let admitted = web
        .admit(source)
        .map_err(Error::from)
        .and_then(|_| require_no_token_in_url(&parts))
        .and_then(|()| match parts.method == Method::POST {
            true => csrf::require_own_page(&parts),
            false => Ok(()),
        })
        .map_err(Unadmitted::AtOnce);
    let request = Request::from_parts(parts, body);
    let (_, response) = bounded(&web, request, next, admitted, deadline).await;
    finish(&headers, as_page(None, &headers, response)).await
}

/// Read the form of a request, and refuse one that did not come from a page of its session.
pub(super) async fn require_form(
    State(web): Server,
    session: axum::Extension<CurrentSession>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let read = async {
        csrf::require_own_page(&parts)?;
        let fields = Fields::read(Request::from_parts(parts.clone(), body), &web).await?;
        if !csrf::is_token(fields.get("csrf_token"), &session.id) {
            let detail = "the form is of another session: load the page again, and repeat it";
            return Err(Error::of(ProblemKind::CsrfToken, detail));
        }
        Ok(fields)
    };
    match read.await {
        Ok(fields) => {
            parts.extensions.insert(fields);
            next.run(Request::from_parts(parts, Body::empty())).await
        }
        Err(error) => error.into_response(),
    }
}

/// Return who sends a request, with the session; `None` for somebody who has to log in.
async fn visitor(web: &Web, request: &Parts) -> Result<Option<(Visitor, CurrentSession)>, Error> {
    let seen = match by_session(web, request).await {
        Err(Error::Of { kind: ProblemKind::Unauthenticated, .. }) | Ok(None) => return Ok(None),
        seen => seen?,
    };
    Ok(seen.map(|(caller, session)| {
        let visitor = Visitor {
            caller,
            csrf: csrf::token(&session.id),
            language: Language::of(&request.headers),
            now: web.licensing.clock.unix_seconds(),
            address: address(request).to_owned(),
        };
        (visitor, session)
    }))
}

/// Refuse a form that the role of its sender does not allow.
fn require_role(request: &Parts, visitor: &Visitor) -> Result<(), Error> {
    if [Method::GET, Method::HEAD].contains(&request.method) {
        return Ok(());
    }
    let matched = request.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let form = FORMS.iter().find(|(path, _)| *path == matched);
    let Some((path, needed)) = form.filter(|_| request.method == Method::POST) else {
        let detail = format!("{} is not possible at this path", request.method);
        return Err(Error::of(ProblemKind::MethodNotAllowed, detail));
    };
    if visitor.caller.role >= *needed {
        return Ok(());
    }
    let detail =
        format!("POST {path} needs the role {needed}, and you are {}", visitor.caller.role);
    Err(Error::of(ProblemKind::RoleRequired, detail))
}

/// Send a browser to the login page, and from there back to this page.
fn log_in_first(request: &Parts) -> Response {
    let next = address(request);
    let to = match request.method == Method::GET && next != super::DASHBOARD_PATH {
        true => format!("/dashboard/login?next={}", encode(next)),
        false => "/dashboard/login".to_owned(),
    };
    Redirect::to(&to).into_response()
}

fn address(request: &Parts) -> &str {
    request.uri.path_and_query().map_or("", |path| path.as_str())
}

/// Show an error as a page.
fn as_page(visitor: Option<&Visitor>, headers: &HeaderMap, mut response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let is_page = response.headers().get(CONTENT_TYPE);
    if is_page.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return response;
    }
    let (title, detail) = match response.extensions_mut().remove::<ShownProblem>() {
        Some(ShownProblem(problem)) => (problem.title, problem.detail),
        None => (ProblemKind::of_status(status.as_u16()).title().to_owned(), status.to_string()),
    };
    let shown = page(&ErrorPage::new(visitor, Language::of(headers), title, detail));
    let Ok(shown) = shown else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Response::from_parts(parts, shown.into_body())
}

/// Give an answer the headers of the dashboard, and compress it.
async fn finish(request: &HeaderMap, mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // A form names its own page as its origin only if the page may tell it.
        (REFERRER_POLICY, "same-origin"),
        (VARY, "accept-encoding, accept-language, cookie"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let accepts = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !accepts.split(',').any(|coding| coding.trim().split(';').next() == Some("gzip")) {
        return response;
    }
    compressed(response).await
}

async fn compressed(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, PAGE_BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if bytes.len() < COMPRESSED_FROM_BYTES || parts.headers.contains_key(CONTENT_ENCODING) {
        return Response::from_parts(parts, Body::from(bytes));
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // A vector takes all bytes.
    let Ok(compressed) = encoder.write_all(&bytes).and_then(|()| encoder.finish()) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from(compressed))
}
