//! Access: users, and tokens of programs.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::form::{Fields, Posted};
use super::frame::{Frame, Visitor, done, minute, page};
use super::messages::{self, Messages};
use crate::access::{Role, TokenRow, UserRow};
use crate::error::Error;
use crate::http::Web;
use crate::operator::access::NewToken;
use crate::operator::commands::{Change, Listing, View};
use crate::utc;

/// The page.
#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    /// The users; `None` for somebody who is bound to an organization.
    users: Option<Vec<UserPart>>,
    tokens: Vec<TokenPart>,
    organizations: Vec<String>,
    roles: Vec<(&'static str, &'static str)>,
}

/// A user.
struct UserPart {
    name: String,
    role: &'static str,
    organization: String,
    made: String,
    password_set: String,
}

/// A token.
struct TokenPart {
    name: String,
    role: &'static str,
    organization: String,
    made: String,
    expires: String,
    used: String,
    revoked: Option<String>,
}

/// Show users and tokens.
pub(super) async fn access(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let t = visitor.t();
    let look = |view: View| web.licensing.look(visitor.caller.view(view));
    let (Listing::Tokens(tokens), Listing::Organizations(organizations)) =
        (look(View::Tokens).await?, look(View::Organizations).await?)
    else {
        return Err(Error::Internal("a list was answered otherwise".to_owned()));
    };
    // Users are those of the whole server.
    let users = match visitor.owner() {
        Some(_) => None,
        None => match look(View::Users).await? {
            Listing::Users(users) => Some(users),
            _ => return Err(Error::Internal("a list was answered otherwise".to_owned())),
        },
    };
    page(&AccessPage {
        users: users.map(|users| users.iter().map(|row| user_part(t, row)).collect()),
        tokens: tokens.iter().map(|row| token_part(t, row)).collect(),
        organizations: organizations.into_iter().map(|one| one.organization_id).collect(),
        roles: Role::ALL.map(|role| (role.name(), messages::role(t, role))).into(),
        frame: Frame::new(&visitor, "/access", t.access),
    })
}

fn user_part(t: &'static Messages, row: &UserRow) -> UserPart {
    UserPart {
        name: row.name.clone(),
        role: messages::role(t, row.role),
        organization: row.organization_id.clone().unwrap_or_else(|| t.all.to_owned()),
        made: minute(row.made_at),
        password_set: minute(row.password_set_at),
    }
}

fn token_part(t: &'static Messages, row: &TokenRow) -> TokenPart {
    TokenPart {
        name: row.name.clone(),
        role: messages::role(t, row.role),
        organization: row.organization_id.clone().unwrap_or_else(|| t.all.to_owned()),
        made: minute(row.made_at),
        expires: row.expires_at.map_or_else(|| t.never.to_owned(), minute),
        used: row.last_used_at.map_or_else(|| t.never.to_owned(), minute),
        revoked: row.revoked_at.map(minute),
    }
}

/// The page with a new token.
#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    frame: Frame,
    name: String,
    token: String,
}

/// Make a token, and show it once.
pub(super) async fn make_token(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let expires_at = form.some("expires").map(|written| utc::seconds(&written)).transpose();
    let new = NewToken {
        name: form.some("name"),
        role: role(&form)?,
        organization_id: form.some("organization"),
        expires_at: expires_at.map_err(crate::operator::queries::asked)?,
    };
    let made = web.licensing.make_token(new, &visitor.caller).await?;
    let frame = Frame::new(&visitor, "/access", visitor.t().new_token);
    page(&TokenPage { frame, name: made.name, token: made.token })
}

fn role(form: &Fields) -> Result<Role, Error> {
    let written = form.get("role");
    written.parse().map_err(|_| Error::bad_request(format!("\"{written}\" is no role")))
}

/// Revoke a token.
pub(super) async fn revoke_token(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let change = Change::RevokeToken { name: form.raw("name").to_owned() };
    web.licensing.change(change, &visitor.caller).await?;
    done("/access", "revoked")
}

/// Make a user.
pub(super) async fn make_user(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let (name, role) = (form.get("name").to_owned(), role(&form)?);
    let (bound, password) = (form.some("organization"), form.secret("password"));
    web.licensing.make_user(name, role, bound, password, &visitor.caller).await?;
    done("/access", "made")
}

/// Remove a user.
pub(super) async fn remove_user(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let change = Change::RemoveUser { name: form.raw("name").to_owned() };
    web.licensing.change(change, &visitor.caller).await?;
    done("/access", "deleted")
}

/// Set the password of a user.
pub(super) async fn set_password(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let name = form.raw("name").to_owned();
    web.licensing.set_password(name, form.secret("password"), &visitor.caller).await?;
    done("/access", "changed")
}
