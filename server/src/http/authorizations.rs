//! The authorization requests. `POST /v1/authorizations` asks whether this device may use the
//! product; `POST /v1/authorization-checks` asks whether it would be allowed to.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use seatmeter_protocol::message::{
    AUTHORIZATION_CHECKS_PATH, AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest,
};

use super::Web;
use super::answer::{SignWith, answer};
use super::body::parse;
use super::proof::proof;
use crate::error::Error;
use crate::licensing::require_text;

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new()
        .route(AUTHORIZATIONS_PATH, post(authorize))
        .route(AUTHORIZATION_CHECKS_PATH, post(check))
}

async fn authorize(State(web): State<Arc<Web>>, headers: HeaderMap, body: Bytes) -> Response {
    let outcome = decide(&web, &headers, &body).await;
    // A device accepts a grant only with the key that its license file names.
    let key = outcome.as_ref().ok().map(|granted| SignWith(granted.local_license.key_id.clone()));
    let mut response = answer(outcome);
    if let Some(key) = key {
        response.extensions_mut().insert(key);
    }
    response
}

/// Cost and refuse the same as the authorization, but grant nothing.
async fn check(State(web): State<Arc<Web>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(match admit(&web, &headers, &body).await {
        Ok(request) => {
            let proof = proof(AUTHORIZATION_CHECKS_PATH, &headers, &body);
            web.licensing.check(request, &proof).await
        }
        Err(error) => Err(error),
    })
}

async fn decide(web: &Web, headers: &HeaderMap, body: &[u8]) -> Result<AuthorizationAnswer, Error> {
    let request = admit(web, headers, body).await?;
    web.licensing.authorize(request, &proof(AUTHORIZATIONS_PATH, headers, body)).await
}

async fn admit(web: &Web, headers: &HeaderMap, body: &[u8]) -> Result<AuthorizationRequest, Error> {
    let request: AuthorizationRequest = parse(headers, body)?;
    let (name, code) = if request.handshake_code.is_empty() {
        ("organization_id", &request.organization_id)
    } else {
        ("handshake_code", &request.handshake_code)
    };
    // A text that cannot be a code gets no bucket, and appears in no message.
    require_text(name, code)?;
    web.limits.code(code)?;
    web.require_in_charge().await?;
    Ok(request)
}
