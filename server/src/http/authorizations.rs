//! The authorization requests. `POST /v1/authorizations` asks whether this device may use the
//! product; `POST /v1/authorization-checks` asks whether it would be allowed to.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use seatmeter_protocol::message::{
    AUTHORIZATION_CHECKS_PATH, AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest,
};
use serde::Serialize;

use super::Web;
use super::answer::{Asker, SignWith, answer};
use super::body::parse;
use super::browser::take_website;
use super::limit::{Left, LeftOfCode};
use super::proof::proof;
use super::proxy::Source;
use crate::error::Error;
use crate::licensing::require_text;

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new()
        .route(AUTHORIZATIONS_PATH, post(authorize))
        .route(AUTHORIZATION_CHECKS_PATH, post(check))
}

async fn authorize(
    State(web): State<Arc<Web>>,
    source: Option<Extension<Source>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let proof = proof(AUTHORIZATIONS_PATH, &headers, &body, source);
    let ask = |request| web.licensing.authorize(request, &proof);
    // A device accepts a grant only with the key that its license file names.
    let key = |granted: &AuthorizationAnswer| Some(granted.local_license.key_id.clone());
    let count = |outcome: &_| web.metrics.authorized(outcome);
    respond(&web, &headers, &body, ask, count, key).await
}

/// Cost and refuse the same as the authorization, but grant nothing.
async fn check(
    State(web): State<Arc<Web>>,
    source: Option<Extension<Source>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let proof = proof(AUTHORIZATION_CHECKS_PATH, &headers, &body, source);
    let ask = |request| web.licensing.check(request, &proof);
    respond(&web, &headers, &body, ask, |_| (), |_| None).await
}

/// Ask with the request in this body if it is admitted. `count` gets the outcome, and `key` returns
/// the id of the key that must sign the answer.
async fn respond<T: Serialize, F: Future<Output = Result<T, Error>>>(
    web: &Web,
    headers: &HeaderMap,
    body: &[u8],
    ask: impl FnOnce(AuthorizationRequest) -> F,
    count: impl FnOnce(&Result<T, Error>),
    key: impl FnOnce(&T) -> Option<String>,
) -> Response {
    let mut request = match parse::<AuthorizationRequest>(headers, body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let (asker, mut left) = (asker(&request), None);
    let admitted = admit(web, &request, &mut left).await;
    let outcome = match admitted.and_then(|()| take_website(&mut request, headers)) {
        Ok(()) => ask(request).await,
        Err(error) => Err(error),
    };
    count(&outcome);
    let key = outcome.as_ref().ok().and_then(key);
    let mut response = limited(left, asker.note(answer(outcome)));
    if let Some(key) = key {
        response.extensions_mut().insert(SignWith(key));
    }
    response
}

/// Note on an answer what is left of its handshake code's limit.
fn limited(left: Option<Left>, mut response: Response) -> Response {
    if let Some(left) = left {
        response.extensions_mut().insert(LeftOfCode(left));
    }
    response
}

/// Return the name of the field that says for whom the request asks, and its value.
fn named(request: &AuthorizationRequest) -> (&'static str, &str) {
    match request.handshake_code.is_empty() {
        true => ("organization_id", &request.organization_id),
        false => ("handshake_code", &request.handshake_code),
    }
}

fn asker(request: &AuthorizationRequest) -> Asker {
    Asker { device: request.device.uuid.clone(), code: named(request).1.to_owned() }
}

async fn admit(
    web: &Web,
    request: &AuthorizationRequest,
    left: &mut Option<Left>,
) -> Result<(), Error> {
    let (name, code) = named(request);
    // A text that cannot be a code gets no bucket, and appears in no message.
    require_text(name, code)?;
    let taken = web.limits.code(code);
    *left = taken.as_ref().map_or_else(|refused| refused.left, |left| Some(*left));
    taken?;
    web.require_in_charge().await
}
