//! Access: the token, session or place of a request, and the role of its caller.
//!
//! | shown | who it is |
//! | --- | --- |
//! | `Authorization: Bearer seatmeter_…` | the token's name, role and organization |
//! | the cookie of a session | the user; a change also needs a CSRF token ([`super::csrf`]) |
//! | nothing, from a program on this machine | an administrator, if the server accepts that ([`super::loopback`]) |
//!
//! The first one that is shown decides: if it is not valid, no later row applies instead.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::login_limit::LoginLimit;
use super::{Server, csrf, loopback, roles, session};
use crate::access::{Caller, Role, SessionLimits, Who};
use crate::error::Error;
use crate::http::Web;
use crate::http::answer::{ShownProblem, Unadmitted, bounded, deadline, source, timed_out};
use crate::http::proxy;
use crate::operator::access::{NotedUses, TOKEN_PREFIX};
use crate::problem::ProblemKind;

/// The settings and the memory of the admin API.
#[derive(Debug, Default)]
pub struct AccessControl {
    /// The ends of sessions.
    pub sessions: SessionLimits,
    /// Whether the cookies of sessions are for TLS alone, although the server does not speak it.
    pub secure_cookies: bool,
    /// The bounds on wrong logins.
    pub logins: LoginLimit,
    pub(super) noted: NotedUses,
    checks: AtomicU64,
}

impl AccessControl {
    /// Return these settings, with an empty memory.
    #[must_use]
    pub fn new(sessions: SessionLimits, secure_cookies: bool) -> Self {
        Self { sessions, secure_cookies, ..Self::default() }
    }

    pub(super) fn count_check(&self) {
        self.checks.fetch_add(1, Ordering::Relaxed);
    }

    /// Return how many passwords of logins were checked.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }
}

/// The source address of a request, as it counts for the limits.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Source(pub(in crate::http) Option<IpAddr>);

/// The session that a request has shown.
#[derive(Clone, Debug)]
pub(in crate::http) struct CurrentSession {
    pub(in crate::http) id: String,
    pub(in crate::http) begun_at: u64,
}

/// Accept a request whose caller has the role that its operation needs.
pub(super) async fn admit(State(web): Server, request: Request, next: Next) -> Response {
    let deadline = deadline();
    let source = source(&web, &request);
    let counted = web.admit(source);
    let left = counted.as_ref().map_or_else(|refused| refused.left, |left| *left);
    let (mut parts, body) = request.into_parts();
    let access = async {
        counted?;
        require_access(&web, source, &mut parts).await
    };
    let asked = tokio::time::timeout_at(deadline, access).await;
    let admitted = asked.unwrap_or_else(|_| Err(timed_out())).map_err(Unadmitted::AtOnce);
    let request = Request::from_parts(parts, body);
    let (_, response) = bounded(&web, request, next, admitted, deadline).await;
    let mut response = as_problem(response);
    web.limits.describe(left, &mut response);
    response
}

/// Refuse a request whose caller may not use its operation. Otherwise, note the caller in it.
async fn require_access(
    web: &Web,
    source: Option<proxy::Source>,
    request: &mut Parts,
) -> Result<(), Error> {
    request.extensions.insert(Source(source.map(|source| source.address)));
    require_no_token_in_url(request)?;
    let matched = request.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(route) = roles::find(&request.method, matched) else {
        let detail = format!("{} is not possible at this path", request.method);
        return Err(Error::of(ProblemKind::MethodNotAllowed, detail));
    };
    if route.role.is_none() {
        return csrf::require_own_page(request);
    }
    let (caller, session) = caller(web, source, request).await?;
    if let Some(session) = session {
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            csrf::require_own_page(request)?;
            csrf::require_token(&request.headers, &session.id)?;
        }
        request.extensions.insert(session);
    }
    route.require(caller.role)?;
    request.extensions.insert(caller);
    Ok(())
}

/// Return the caller of a request, and the session that it shows.
async fn caller(
    web: &Web,
    source: Option<proxy::Source>,
    request: &Parts,
) -> Result<(Caller, Option<CurrentSession>), Error> {
    if let Some(shown) = request.headers.get(AUTHORIZATION) {
        return Ok((by_token(web, shown).await?, None));
    }
    if let Some((caller, session)) = by_session(web, request).await? {
        return Ok((caller, Some(session)));
    }
    let is_here = |source: proxy::Source| source.address.is_loopback();
    if let Some(source) = source.filter(|source| web.open_to_loopback && is_here(*source)) {
        loopback::require_program(request, source.is_forwarded)?;
        return Ok((Caller { who: Who::Loopback, role: Role::Admin, organization_id: None }, None));
    }
    Err(unauthenticated(
        "show a token of \"seatmeterd token create\" as Authorization: Bearer TOKEN, or log in",
    ))
}

/// Return the caller of a request with a session; `None` when it shows none.
///
/// # Errors
/// Fails when the session has ended, or there are several.
pub(in crate::http) async fn by_session(
    web: &Web,
    request: &Parts,
) -> Result<Option<(Caller, CurrentSession)>, Error> {
    let Some(id) = session::shown(&request.headers)? else { return Ok(None) };
    let (sessions, noted) = (web.access.sessions, &web.access.noted);
    let known = web.licensing.session_caller(&id, sessions, noted).await?;
    let known = known.ok_or_else(|| unauthenticated("the session has ended: log in again"))?;
    let session = CurrentSession { id, begun_at: known.begun_at };
    Ok(Some((known.caller, session)))
}

/// Return the caller of a request that only reads, at a path outside of this API.
pub(in crate::http) async fn reader(
    web: &Web,
    source: Option<proxy::Source>,
    request: Request,
) -> Result<Caller, Error> {
    let (parts, _) = request.into_parts();
    require_no_token_in_url(&parts)?;
    let (caller, _) = caller(web, source, &parts).await?;
    Ok(caller)
}

async fn by_token(web: &Web, shown: &HeaderValue) -> Result<Caller, Error> {
    let parts = shown.to_str().ok().and_then(|shown| shown.split_once(' '));
    let Some((_, token)) = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(unauthenticated("the header Authorization must be: Bearer TOKEN"));
    };
    let caller = web.licensing.token_caller(token.trim(), &web.access.noted).await?;
    caller.ok_or_else(|| {
        unauthenticated(
            "the token is unknown, revoked or at its end; make one with \"seatmeterd token create\"",
        )
    })
}

fn unauthenticated(detail: &str) -> Error {
    Error::of(ProblemKind::Unauthenticated, detail)
}

/// Refuse a request with a token in its URL, where logs and histories keep it.
pub(in crate::http) fn require_no_token_in_url(request: &Parts) -> Result<(), Error> {
    let query = request.uri.query().unwrap_or("");
    let is_named = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or("").to_ascii_lowercase();
        ["token", "access_token", "api_key", "apikey", "password"].contains(&name.as_str())
    });
    if !is_named && !holds_token(query) && !holds_token(request.uri.path()) {
        return Ok(());
    }
    let detail = "the URL of the request contains a token or password. URLs are logged on their \
        way: revoke it, and send the new one as Authorization: Bearer TOKEN";
    Err(Error::of(ProblemKind::TokenInUrl, detail))
}

/// Return whether a text contains a token.
pub(in crate::http) fn holds_token(text: &str) -> bool {
    text.split(TOKEN_PREFIX)
        .skip(1)
        .any(|rest| rest.len() >= 64 && rest.bytes().take(64).all(|byte| byte.is_ascii_hexdigit()))
}

/// Give every error the form of this API: problem details without the number of a license rule.
/// This includes refusals by axum itself, such as for a path that is not UTF-8.
fn as_problem(mut response: Response) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        response = match response.extensions().get::<ShownProblem>() {
            Some(ShownProblem(problem)) => {
                let body = roles::without_number(problem).to_string();
                let (mut parts, _) = response.into_parts();
                parts.headers.remove(axum::http::header::CONTENT_LENGTH);
                Response::from_parts(parts, body.into())
            }
            None if is_json(&response) => response,
            None => {
                let detail = "the path or query of the request cannot be understood";
                let kind = match status {
                    StatusCode::BAD_REQUEST => ProblemKind::MalformedAddress,
                    status => ProblemKind::of_status(status.as_u16()),
                };
                return as_problem(Error::of(kind, detail).into_response());
            }
        };
    }
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json"))
}

/// Give an error the form of this API where no operation is at its path.
pub(in crate::http) fn nothing_here(error: Error) -> Response {
    as_problem(error.into_response())
}
