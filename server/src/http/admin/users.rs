//! The people who log in to the admin API.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Asked, By, Done, Server, done, list};
use crate::access::{Role, UserRow};
use crate::operator::commands::{Change, View};
use crate::operator::secret::Secret;

/// A user to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// The name of the user.
    name: String,
    /// The role of the user.
    role: Role,
    /// The organization to which the user is bound. Without one, the user is good for all.
    #[serde(default)]
    organization_id: Option<String>,
    /// The password, at least 12 characters.
    #[schema(value_type = String)]
    password: Secret,
}

/// A password to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The password, at least 12 characters.
    #[schema(value_type = String)]
    password: Secret,
}

/// A role to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRole {
    /// The new role of the user.
    role: Role,
}

/// List users
#[utoipa::path(get, path = "/users", responses((status = 200, body = Vec<UserRow>)))]
pub(super) async fn users(State(web): Server, Extension(by): By) -> Response {
    list(&web, &by, View::Users).await
}

/// Make a user
#[utoipa::path(post, path = "/users", request_body = NewUser,
    responses((status = 200, body = Done)))]
pub(super) async fn make_user(
    State(web): Server,
    Extension(by): By,
    Asked(NewUser { name, role, organization_id, password }): Asked<NewUser>,
) -> Response {
    done(web.licensing.make_user(name, role, organization_id, password, &by).await)
}

/// Remove a user, and end the user's sessions
#[utoipa::path(delete, path = "/users/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Done)))]
pub(super) async fn remove_user(
    State(web): Server,
    Extension(by): By,
    Path(name): Path<String>,
) -> Response {
    done(web.licensing.change(Change::RemoveUser { name }, &by).await)
}

/// Set the role of a user, also for the user's sessions
#[utoipa::path(put, path = "/users/{name}/role", params(("name" = String, Path)),
    request_body = NewRole, responses((status = 200, body = Done)))]
pub(super) async fn set_role(
    State(web): Server,
    Extension(by): By,
    Path(name): Path<String>,
    Asked(NewRole { role }): Asked<NewRole>,
) -> Response {
    done(web.licensing.change(Change::SetRole { name, role }, &by).await)
}

/// Set the password of a user, and end the user's sessions
#[utoipa::path(put, path = "/users/{name}/password", params(("name" = String, Path)),
    request_body = NewPassword, responses((status = 200, body = Done)))]
pub(super) async fn set_password(
    State(web): Server,
    Extension(by): By,
    Path(name): Path<String>,
    Asked(NewPassword { password }): Asked<NewPassword>,
) -> Response {
    done(web.licensing.set_password(name, password, &by).await)
}
