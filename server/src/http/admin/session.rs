//! Sessions: people log in with name and password, and show a cookie from then on.
//!
//! | | |
//! | --- | --- |
//! | id | 256 random bits, a new one for each login, kept as SHA-256 in the database |
//! | cookie | `HttpOnly`, `SameSite=Strict`, `Path=/`, and `Secure` over TLS or if the operator says so |
//! | end | without a request for 30 minutes, and 12 hours after the login; settings |
//! | also ended by | a logout, another login with this cookie, a new password, the removal of the user, a restore |

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::header::{CONTENT_TYPE, COOKIE as COOKIE_HEADER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{CurrentSession, Source};
use super::{By, Done, Server, csrf, done};
use crate::access::{Caller, Role, Who};
use crate::error::Error;
use crate::http::Web;
use crate::http::answer::{JSON, answer};
use crate::http::listen::Client;
use crate::operator::access::{digest, is_secret};
use crate::operator::secret::Secret;
use crate::password;
use crate::problem::ProblemKind;

/// The name of the cookie with the id of a session.
pub(super) const COOKIE: &str = "seatmeter_session";

const FORM: &str = "application/x-www-form-urlencoded";

/// Name and password of a user, as JSON or as a form.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct Login {
    /// The name of the user.
    pub(in crate::http) name: String,
    /// The password of the user.
    #[schema(value_type = String)]
    pub(in crate::http) password: Secret,
}

/// The caller of the API.
#[derive(Serialize, ToSchema)]
pub(super) struct Identity {
    /// The way in which the caller has shown who it is: `user`, `token` or `loopback`.
    kind: &'static str,
    /// The name of the user or token.
    name: String,
    /// The role of the caller.
    role: Role,
    /// The organization to which the caller is bound; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
    /// The value for the header `X-CSRF-Token`; absent without a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
    /// The end of the session without another request, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_ends_at: Option<u64>,
    /// The end of the session in any case, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
}

/// Log in with name and password; the answer sets the cookie of a new session
#[utoipa::path(post, path = "/session", request_body(content(
    (Login = "application/json"), (Login = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = Identity)))]
pub(super) async fn log_in(State(web): Server, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let head = parts.clone();
    let begun = async {
        let login = read(Request::from_parts(parts, body), &web).await?;
        begin(&web, &head, login).await
    };
    match begun.await {
        Ok((caller, session)) => {
            let identity = identity(&web, &caller, Some(&session));
            keep(&web, &head, answer(Ok(identity)), &session)
        }
        Err(error) => error.into_response(),
    }
}

/// Check name and password, and begin a session. A session that the request shows ends.
///
/// # Errors
/// Fails when name or password are wrong, or too many of them came.
pub(in crate::http) async fn begin(
    web: &Web,
    request: &Parts,
    login: Login,
) -> Result<(Caller, CurrentSession), Error> {
    let source = request.extensions.get::<Source>().and_then(|source| source.0);
    let name = login.name.clone();
    let id = authenticate(web, login, source).await?;
    // A session that somebody else may have planted in this browser ends here.
    if let Ok(Some(before)) = shown(&request.headers) {
        web.licensing.store.end_session(digest(&before)).await?;
    }
    let known = web.licensing.session_caller(&id, web.access.sessions, &web.access.noted).await?;
    let known = known.ok_or_else(login_failed)?;
    tracing::info!(user = ?name, ?source, "a user has logged in");
    Ok((known.caller, CurrentSession { begun_at: known.begun_at, id }))
}

/// Let the browser keep a session.
pub(in crate::http) fn keep(
    web: &Web,
    request: &Parts,
    response: Response,
    session: &CurrentSession,
) -> Response {
    let is_secure = web.access.secure_cookies || is_encrypted(request);
    with_cookie(response, &session.id, web.access.sessions.total_seconds, is_secure)
}

/// End a session, and let the browser forget it.
///
/// # Errors
/// Fails when the store cannot be written.
pub(in crate::http) async fn end(
    web: &Web,
    request: &Parts,
    response: Response,
    session: &CurrentSession,
) -> Result<Response, Error> {
    let is_secure = web.access.secure_cookies || is_encrypted(request);
    web.licensing.store.end_session(digest(&session.id)).await?;
    Ok(with_cookie(response, "", 0, is_secure))
}

/// Return who the caller is, with the CSRF token of a session
#[utoipa::path(get, path = "/session", responses((status = 200, body = Identity)))]
pub(super) async fn who_am_i(
    State(web): Server,
    Extension(by): By,
    session: Option<Extension<CurrentSession>>,
) -> Response {
    answer(Ok(identity(&web, &by, session.as_deref())))
}

/// Log out: end the session
#[utoipa::path(delete, path = "/session", responses((status = 200, body = Done)))]
pub(super) async fn log_out(
    State(web): Server,
    session: Option<Extension<CurrentSession>>,
    request: Request,
) -> Response {
    let Some(Extension(session)) = session else {
        let detail = "the request shows no session that could end";
        return Error::bad_request(detail).into_response();
    };
    let (parts, _) = request.into_parts();
    end(&web, &parts, done(Ok(())), &session).await.unwrap_or_else(IntoResponse::into_response)
}

fn identity(web: &Web, caller: &Caller, session: Option<&CurrentSession>) -> Identity {
    let (kind, name) = match &caller.who {
        Who::User(name) => ("user", name.clone()),
        Who::Token(name) => ("token", name.clone()),
        Who::Loopback => ("loopback", "loopback".to_owned()),
    };
    let limits = web.access.sessions;
    Identity {
        kind,
        name,
        role: caller.role,
        organization_id: caller.organization_id.clone(),
        csrf_token: session.map(|session| csrf::token(&session.id)),
        idle_ends_at: session
            .map(|session| limits.end(session.begun_at, web.licensing.clock.unix_seconds())),
        ends_at: session.map(|session| session.begun_at.saturating_add(limits.total_seconds)),
    }
}

/// Read name and password. No error quotes the request, because it holds a password.
async fn read(request: Request, web: &Arc<Web>) -> Result<Login, Error> {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let login = match media_type.as_str() {
        JSON => {
            let body = Bytes::from_request(request, web).await.ok();
            body.and_then(|body| serde_json::from_slice(&body).ok())
        }
        FORM => Form::from_request(request, web).await.ok().map(|Form(login)| login),
        _ => {
            let detail = format!("a login has the content type {JSON} or {FORM}");
            return Err(Error::of(ProblemKind::ContentType, detail));
        }
    };
    login.ok_or_else(|| {
        let detail = "a login has the fields name and password, both of them texts";
        Error::of(ProblemKind::MalformedBody, detail)
    })
}

/// Check name and password, and begin a session. An unknown name costs what a known one costs, and
/// is answered alike.
async fn authenticate(
    web: &Web,
    login: Login,
    source: Option<std::net::IpAddr>,
) -> Result<String, Error> {
    if login.name.len() > TEXT_BYTES_MAX || login.password.expose().len() > TEXT_BYTES_MAX {
        return Err(Error::bad_request(format!(
            "name and password have at most {TEXT_BYTES_MAX} bytes each"
        )));
    }
    let Login { name, password } = login;
    let attempt = web.access.logins.begin(&name, source, Instant::now())?;
    let licensing = &web.licensing;
    let checked = async {
        let of_nobody = password::of_nobody()?;
        let hash = licensing.store.password_hash(name.clone()).await?;
        let is_known = hash.is_some();
        let hash = hash.unwrap_or(of_nobody);
        web.access.count_check();
        let is_right =
            password::LOGINS.is_right(password.expose().to_owned(), hash.clone()).await?;
        if !(is_right && is_known) {
            return Ok(None);
        }
        licensing.begin_session(name.clone(), hash, web.access.sessions).await
    };
    match checked.await {
        Ok(Some(id)) => {
            web.access.logins.succeeded(&attempt);
            Ok(id)
        }
        Ok(None) => {
            tracing::warn!(user = ?name, ?source, "a login failed");
            Err(login_failed())
        }
        Err(error) => {
            web.access.logins.undecided(&attempt);
            Err(error)
        }
    }
}

fn login_failed() -> Error {
    let detail = "there is no user with this name and password. An administrator of the machine \
        can set one with \"seatmeterd user create\" or \"seatmeterd user password\"";
    Error::of(ProblemKind::LoginFailed, detail)
}

/// Return the id of the session that a request shows, if it shows one.
///
/// # Errors
/// Fails when there are several cookies of this name: somebody else may have set one of them.
pub(in crate::http) fn shown(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut ids = Vec::new();
    for header in headers.get_all(COOKIE_HEADER) {
        let pairs = header.to_str().unwrap_or("").split(';');
        ids.extend(pairs.filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE).then(|| value.to_owned())
        }));
    }
    match ids.len() {
        0 => Ok(None),
        1 => Ok(ids.pop().filter(|id| is_secret(id)).or(Some(String::new()))),
        count => Err(Error::of(
            ProblemKind::Unauthenticated,
            format!("the request has {count} cookies {COOKIE}: remove them, and log in again"),
        )),
    }
}

/// Return whether a request came over TLS.
fn is_encrypted(request: &Parts) -> bool {
    request.extensions.get::<Client>().is_some_and(|client| client.is_tls)
}

fn with_cookie(mut response: Response, id: &str, seconds: u64, is_secure: bool) -> Response {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
