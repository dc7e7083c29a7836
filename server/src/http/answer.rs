//! The form in which answers leave the server: JSON, problem details as in RFC 9457, and a
//! signature.
//!
//! [`sign`] wraps the handlers of the client API. It reads the body, because the signature covers
//! its digest. Whatever happens inside — a grant, a refusal, a panic, a timeout — the answer is
//! signed over that body and the request's nonce. An answer that cannot be bound to a request is
//! signed over what exists. It has no nonce when that was missing or malformed, and no body when
//! that was not read to its end. A client does not accept such an answer for its request, but can
//! show it to a person.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    BODY_BYTES_MAX, KEY_ID_HEADER, NONCE_HEADER, Problem, SIGNATURE_HEADER, TIME_HEADER,
};
use seatmeter_protocol::signature::AnswerFacts;
use serde::Serialize;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

use super::body::ReadBody;
use super::proxy::Source;
use super::{Web, body, listen, told};
use crate::error::Error;
use crate::licensing::Licensing;
use crate::log_lines::{Line, Weight};
use crate::problem::ProblemKind;

/// The longest time that a request may take, from its head to its answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// The longest time that the body of a refused request may take to arrive.
const REFUSED_TIME_MAX: Duration = Duration::from_secs(1);

/// The number of hexadecimal digits in a nonce.
const NONCE_DIGITS: usize = 32;

pub(super) const JSON: &str = "application/json";
const PROBLEM_JSON: &str = "application/problem+json";

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let mut response = json(problem.status, PROBLEM_JSON, &problem);
        response.extensions_mut().insert(ShownProblem(problem));
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Failed(self));
        response
    }
}

/// The reason of an answer, for the log.
#[derive(Clone, Debug)]
pub(super) struct Failed(pub(super) Error);

/// The sender of a request, as the request names it, for the log.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// The UUID of the device.
    pub(super) device: String,
    /// The handshake code or organization; empty where a request names none.
    pub(super) code: String,
}

impl Asker {
    /// Note who has asked, if something was refused.
    pub(super) fn note(self, mut response: Response) -> Response {
        if response.extensions().get::<Failed>().is_some() {
            response.extensions_mut().insert(self);
        }
        response
    }
}

/// Log every request that is not granted, with who has sent it.
pub(super) async fn log(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let address = source(&web, &request).map(|source| source.address);
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    if let Some(Failed(error)) = response.extensions_mut().remove() {
        let asker = response.extensions_mut().remove::<Asker>();
        let line = line(&error, asker, told(&uri).to_owned());
        let status = response.status().as_u16();
        web.lines.note(Line { address, status, ..line });
    }
    response
}

fn line(error: &Error, asker: Option<Asker>, path: String) -> Line {
    let problem = error.problem();
    // Strangers invent codes: only codes that exist distinguish kinds of refusals.
    let (weight, has_code) = match error {
        Error::Refused(refusal) => {
            let invented = [
                ErrorCode::HANDSHAKE_CODE_UNKNOWN,
                ErrorCode::ORGANIZATION_UNKNOWN,
                ErrorCode::PROTOCOL_MISMATCH,
            ];
            (Weight::Refusal, !invented.contains(&refusal.code))
        }
        Error::BadRequest { .. }
        | Error::Of { .. }
        | Error::Standby(_)
        | Error::NotFresh(_)
        | Error::Unproven(_) => (Weight::Refusal, false),
        Error::Busy | Error::TooMany { .. } | Error::LoginSlowed { .. } => (Weight::Load, false),
        _ => (Weight::Failure, false),
    };
    let detail = match error {
        Error::Refused(refusal) => refusal.detail.clone(),
        other => other.to_string(),
    };
    let (device, code) = asker.map_or((None, None), |asker| {
        (Some(asker.device), Some(asker.code).filter(|code| has_code && !code.is_empty()))
    });
    let number = problem.code.0;
    Line { weight, status: 0, number, code, device, address: None, path, detail }
}
/// The problem of a response, for a layer that shows it in another form.
#[derive(Clone, Debug)]
pub(super) struct ShownProblem(pub(super) Problem);

/// Convert a handler's outcome to a response.
pub(super) fn answer<T: Serialize>(outcome: Result<T, Error>) -> Response {
    match outcome {
        Ok(value) => json(200, JSON, &value),
        Err(error) => error.into_response(),
    }
}

fn json(status: u16, content_type: &'static str, value: &impl Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Read the body, let the handler answer within its time, and sign the answer.
pub(super) async fn sign(
    State(web): State<Arc<Web>>,
    mut request: Request,
    next: Next,
) -> Response {
    let nonce = nonce(&request);
    let asked =
        Asked { nonce: nonce.clone().unwrap_or_default(), known_key: known_key(request.headers()) };
    let source = source(&web, &request);
    let admitted = web.admit(source);
    let left = admitted.as_ref().map_or_else(|refused| refused.left, |left| *left);
    if let Some(source) = source {
        request.extensions_mut().insert(source);
    }
    let admitted = match (admitted, nonce) {
        (Err(too_many), _) => Err(Unadmitted::AtOnce(too_many.into())),
        (Ok(_), Err(error)) => Err(Unadmitted::WithBody(error)),
        (Ok(_), Ok(_)) => Ok(()),
    };
    let (body, response) = bounded(&web, request, next, admitted, deadline()).await;
    let mut response = signed(&web.licensing, &body.bytes, &asked, response).await;
    web.limits.describe(left, &mut response);
    response
}

/// Return the source of a request; it is unknown only in a test without a network.
pub(super) fn source(web: &Web, request: &Request) -> Option<Source> {
    let client = request.extensions().get::<listen::Client>();
    let peer = client
        .map(|client| client.address.ip())
        .or_else(|| Some(request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip()))?;
    let mut source = web.proxies.source(peer, request.headers());
    source.is_forwarded |= client.is_some_and(|client| client.is_announced);
    Some(source)
}

/// Return the instant by which a request must have its answer when its head has just come.
pub(super) fn deadline() -> Instant {
    Instant::now() + REQUEST_TIME_MAX
}

/// The reason why a request has no handler.
pub(super) enum Unadmitted {
    /// The client may not ask, or not now.
    AtOnce(Error),
    /// The request is not one that can be answered.
    WithBody(Error),
}

impl Unadmitted {
    fn error(self) -> Error {
        match self {
            Self::AtOnce(error) | Self::WithBody(error) => error,
        }
    }
}

/// Read the body within its bounds. If the request is admitted, let the handler answer within its
/// time.
///
/// A request that is refused at once is not read, unless its body is small. A client accepts only
/// an answer that is bound to its body, and a small body is usually there already.
pub(super) async fn bounded(
    web: &Web,
    request: Request,
    next: Next,
    admitted: Result<(), Unadmitted>,
    mut deadline: Instant,
) -> (ReadBody, Response) {
    let (parts, body) = request.into_parts();
    let share = web.bodies.begin();
    if let Err(Unadmitted::AtOnce(error)) = &admitted {
        if !body::is_small(&body, &share) {
            return (ReadBody::none(), error.clone().into_response());
        }
        deadline = deadline.min(Instant::now() + REFUSED_TIME_MAX);
    }
    let read = tokio::time::timeout_at(deadline, body::read(body, share))
        .await
        .unwrap_or_else(|_| Err(body_timed_out()));
    match (read, admitted) {
        (Ok(body), Err(refused)) => (body, refused.error().into_response()),
        (Err(_), Err(refused)) => (ReadBody::none(), refused.error().into_response()),
        (Err(error), Ok(())) => (ReadBody::none(), error.into_response()),
        (Ok(body), Ok(())) => {
            let request = Request::from_parts(parts, Body::from(body.bytes.clone()));
            let response = tokio::time::timeout_at(deadline, next.run(request)).await;
            (body, response.unwrap_or_else(|_| timed_out().into_response()))
        }
    }
}

async fn signed(
    licensing: &Licensing,
    request_body: &[u8],
    asked: &Asked,
    response: Response,
) -> Response {
    let (mut parts, body) = response.into_parts();
    // The server's own answers are completely in memory already; the bound is there because every
    // read has one.
    let Ok(body) = axum::body::to_bytes(body, 2 * BODY_BYTES_MAX).await else {
        tracing::error!("an answer could not be read back for signing");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let server_time = licensing.clock.unix_seconds();
    let named = parts.extensions.get::<SignWith>().map(|key| &key.0).or(asked.known_key.as_ref());
    let key = named.and_then(|id| licensing.keys.with_id(id)).unwrap_or(licensing.keys.current());
    let key_id = key.public().id();
    let nonce = &asked.nonce;
    let facts = AnswerFacts {
        request_body,
        nonce,
        status: parts.status.as_u16(),
        server_time,
        key_id: &key_id,
    };
    let signature = licensing.keys.sign(facts.leaf(&body), key).await;
    parts.headers.insert(TIME_HEADER, HeaderValue::from(server_time));
    for (name, value) in [(KEY_ID_HEADER, &key_id), (SIGNATURE_HEADER, &signature)] {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                parts.headers.insert(name, value);
            }
            Err(error) => tracing::error!(%error, name, "a header cannot be written"),
        }
    }
    Response::from_parts(parts, Body::from(body))
}

/// The id of the key with which an answer must be signed when the requester does not choose it.
#[derive(Clone, Debug)]
pub(super) struct SignWith(pub(super) String);

/// The facts of a request that its answer's signature depends on.
struct Asked {
    nonce: String,
    /// The id of the server key that the requester knows.
    known_key: Option<String>,
}

fn known_key(headers: &HeaderMap) -> Option<String> {
    headers.get(KEY_ID_HEADER)?.to_str().ok().map(str::to_owned)
}

/// Return the nonce of a request. A page that CORS lets send no header has it in the query.
fn nonce(request: &Request) -> Result<String, Error> {
    let in_query = || request.uri().query()?.strip_prefix("nonce=");
    let header = request.headers().get(NONCE_HEADER).and_then(|value| value.to_str().ok());
    let text = match request.method() {
        &Method::GET => header.or_else(in_query),
        _ => header,
    };
    let text = text.unwrap_or("");
    if text.len() == NONCE_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(text.to_owned());
    }
    let detail = format!("header {NONCE_HEADER} must hold {NONCE_DIGITS} hexadecimal digits");
    Err(Error::of(ProblemKind::MalformedHeader, detail))
}

fn body_timed_out() -> Error {
    let detail = format!("the body did not arrive within {} s", REQUEST_TIME_MAX.as_secs());
    Error::BadRequest { status: 408, detail }
}

pub(super) fn timed_out() -> Error {
    Error::Store(format!("a request was not answered within {} s", REQUEST_TIME_MAX.as_secs()))
}

/// Turn a panic of a handler into problem details.
pub(super) fn catch_panics()
-> CatchPanicLayer<impl tower_http::catch_panic::ResponseForPanic<ResponseBody = Body>> {
    CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without text");
        Error::Internal(format!("a handler panicked: {what}")).into_response()
    })
}
