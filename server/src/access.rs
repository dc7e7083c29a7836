//! The terms of access to the admin API: roles, callers, and the ends of sessions.

use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

/// A role of the admin API. Each role may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything but secrets
    Viewer,
    /// Changes handshake codes and devices
    Operator,
    /// Changes license files, keys, tokens and users
    Admin,
}

impl Role {
    /// All roles, the lowest one first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Return the name of the role.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = Error;

    /// Read a role from the database.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| Error::Store(format!("\"{name}\" is no role")))
    }
}

/// The kind of a caller, with the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A program that has shown the token of this name.
    Token(String),
    /// The person of this name, who has logged in.
    User(String),
    /// A program on this machine, which has shown nothing.
    Loopback,
}

/// The caller of the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The kind and name of the caller.
    pub who: Who,
    /// The role of the caller.
    pub role: Role,
    /// The organization to which the caller is bound; `None` for all.
    pub organization_id: Option<String>,
}

/// The author of a change, and the organization to which the author is bound.
#[derive(Clone, Debug)]
pub struct By {
    /// The author, for the audit log.
    pub actor: String,
    /// The organization to which the change is bound; `None` for all.
    pub organization_id: Option<String>,
}

/// A text names somebody with access to the data itself, who is bound to no organization.
impl From<&str> for By {
    fn from(actor: &str) -> Self {
        Self { actor: actor.to_owned(), organization_id: None }
    }
}

impl From<&String> for By {
    fn from(actor: &String) -> Self {
        Self::from(actor.as_str())
    }
}

impl From<&Caller> for By {
    fn from(caller: &Caller) -> Self {
        let actor = match &caller.who {
            Who::Token(name) => format!("token: {name}"),
            Who::User(name) => format!("user: {name}"),
            Who::Loopback => "loopback".to_owned(),
        };
        Self { actor, organization_id: caller.organization_id.clone() }
    }
}

/// The record of a token or session.
#[derive(Clone, Debug)]
pub struct Known {
    /// The caller.
    pub caller: Caller,
    /// The instant at which a session began, Unix seconds; 0 for a token.
    pub begun_at: u64,
    /// The last use that is recorded, Unix seconds; 0 when there was none.
    pub used_at: u64,
}

/// The ends of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// The time without a request after which a session ends, in seconds.
    pub idle_seconds: u64,
    /// The time after the login at which a session ends in any case, in seconds.
    pub total_seconds: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle_seconds: 30 * 60, total_seconds: 12 * 3_600 }
    }
}

impl SessionLimits {
    /// Return the instant at which a session ends if it is not used again.
    #[must_use]
    pub fn end(&self, begun_at: u64, used_at: u64) -> u64 {
        let idle = used_at.saturating_add(self.idle_seconds);
        idle.min(begun_at.saturating_add(self.total_seconds))
    }
}

/// A token to be made, with the digest in place of the token itself.
#[derive(Clone, Debug)]
pub struct TokenFacts {
    /// The name of the token.
    pub name: String,
    /// The SHA-256 of the token.
    pub digest: String,
    /// The role of the token.
    pub role: Role,
    /// The organization to which the token is bound; `None` for all.
    pub organization_id: Option<String>,
    /// The end of the token, Unix seconds; `None` for no end.
    pub expires_at: Option<u64>,
}

/// A token of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenRow {
    /// The name of the token.
    pub name: String,
    /// The role of the token.
    pub role: Role,
    /// The organization to which the token is bound; absent when it is good for all.
    pub organization_id: Option<String>,
    /// The time at which the token was made, Unix seconds.
    pub made_at: u64,
    /// The end of the token, Unix seconds; absent when it has none.
    pub expires_at: Option<u64>,
    /// The time of the last request with the token, Unix seconds, to the minute.
    pub last_used_at: Option<u64>,
    /// The time at which the token was revoked, Unix seconds.
    pub revoked_at: Option<u64>,
}

/// A user of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserRow {
    /// The name of the user.
    pub name: String,
    /// The role of the user.
    pub role: Role,
    /// The organization to which the user is bound; absent when the user sees all.
    pub organization_id: Option<String>,
    /// The time at which the user was made, Unix seconds.
    pub made_at: u64,
    /// The time at which the password was set, Unix seconds.
    pub password_set_at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_at_its_end_in_any_case() {
        let limits = SessionLimits { idle_seconds: 10, total_seconds: 100 };
        assert_eq!([limits.end(0, 0), limits.end(0, 50), limits.end(0, 95)], [10, 60, 100]);
    }
}
