//! Tokens of the admin API.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{Asked, By, Done, Server, done, list};
use crate::access::TokenRow;
use crate::http::answer::answer;
use crate::operator::access::{MadeToken, NewToken};
use crate::operator::commands::{Change, View};

/// List tokens, without the tokens themselves
#[utoipa::path(get, path = "/tokens", responses((status = 200, body = Vec<TokenRow>)))]
pub(super) async fn tokens(State(web): Server, Extension(by): By) -> Response {
    list(&web, &by, View::Tokens).await
}

/// Make a token; it is shown once
#[utoipa::path(post, path = "/tokens", request_body = NewToken,
    responses((status = 200, body = MadeToken)))]
pub(super) async fn make_token(
    State(web): Server,
    Extension(by): By,
    Asked(new): Asked<NewToken>,
) -> Response {
    answer(web.licensing.make_token(new, &by).await)
}

/// Revoke a token; it stops at once
#[utoipa::path(delete, path = "/tokens/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Done)))]
pub(super) async fn revoke_token(
    State(web): Server,
    Extension(by): By,
    Path(name): Path<String>,
) -> Response {
    done(web.licensing.change(Change::RevokeToken { name }, &by).await)
}
