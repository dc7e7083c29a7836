//! Tokens, people and their sessions: how each is made and recognized.
//!
//! | what | is kept as | because |
//! | --- | --- | --- |
//! | a token, the id of a session | SHA-256 | 256 random bits cannot be guessed, so a check may be fast |
//! | a password of a person | argon2id | people choose what can be guessed, so a check must be slow |
//!
//! A token or session is looked up in the store at each request. There is no cache, so what was
//! revoked, has ended or was removed stops at once, on every server of the database.

use std::collections::HashMap;

use parking_lot::Mutex;
use seatmeter_protocol::signature::{digest_hex, random_bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{require_name, secret::Secret};
use crate::access::{By, Caller, Known, Role, SessionLimits, TokenFacts};
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::{Change, View};
use crate::password;
use crate::random::no_random;
use crate::store::{NewSession, Shown};

/// The prefix of all tokens of the admin API, by which people and scanners recognize a token.
pub const TOKEN_PREFIX: &str = "seatmeter_";

/// The least number of characters in a person's password.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;

/// The interval at which the use of a token or session is recorded.
const NOTE_SECONDS: u64 = 60;

/// The greatest number of tokens and sessions with a use that is remembered as recorded.
const NOTED_MAX: usize = 4_096;

impl Caller {
    /// Return a view of the caller's organization alone, if the caller is bound to one.
    #[must_use]
    pub fn view(&self, view: View) -> View {
        match self.organization_id.clone() {
            Some(organization_id) => View::Within { organization_id, view: Box::new(view) },
            None => view,
        }
    }
}

/// The uses of tokens and sessions that were recorded a moment ago, so that a caller with many
/// requests does not cause as many writes. It decides nothing about who gets in.
#[derive(Debug, Default)]
pub struct NotedUses(Mutex<HashMap<String, u64>>);

impl NotedUses {
    /// Return whether the use must be recorded now. `interval` is in seconds.
    fn is_due(&self, digest: &str, used_at: u64, now: u64, interval: u64) -> bool {
        if now.saturating_sub(used_at) < interval && used_at != 0 {
            return false;
        }
        let mut noted = self.0.lock();
        if noted.get(digest).is_some_and(|at| now.saturating_sub(*at) < interval) {
            return false;
        }
        if noted.len() >= NOTED_MAX {
            noted.clear();
        }
        noted.insert(digest.to_owned(), now);
        true
    }
}

/// A token to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The name of the token, for the audit log. Without one, the token gets a random name.
    #[serde(default)]
    pub name: Option<String>,
    /// The role of the token.
    pub role: Role,
    /// The organization to which the token is bound. Without one, the token is good for all
    /// organizations of the caller who makes it.
    #[serde(default)]
    pub organization_id: Option<String>,
    /// The end of the token, Unix seconds. Without one, the token is good until it is revoked.
    #[serde(default)]
    pub expires_at: Option<u64>,
}

/// A token that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MadeToken {
    /// The name of the token.
    pub name: String,
    /// The token itself. It is not stored, and cannot be shown again.
    pub token: String,
}

/// Return the form in which a token or the id of a session is kept.
#[must_use]
pub fn digest(secret: &str) -> String {
    digest_hex(secret.as_bytes())
}

/// Return 256 random bits as hexadecimal digits.
///
/// # Errors
/// Fails when the system has no random numbers.
pub fn random_secret() -> Result<String, Error> {
    random_bytes::<32>().map(hex::encode).ok_or_else(no_random)
}

impl Licensing {
    /// Make a token for the admin API. The token is not stored, and cannot be shown again.
    ///
    /// # Errors
    /// Fails when a token with this name exists or existed, when there is no such organization, or
    /// when the end has passed.
    pub async fn make_token(&self, new: NewToken, by: impl Into<By>) -> Result<MadeToken, Error> {
        let by = by.into();
        let name = match new.name {
            Some(name) => name,
            None => {
                let chance = random_bytes::<4>().ok_or_else(no_random)?;
                format!("{}-{}", new.role, hex::encode(chance))
            }
        };
        require_name("the token's name", &name)?;
        let now = self.clock.unix_seconds();
        if let Some(end) = new.expires_at.filter(|end| *end <= now) {
            return Err(Error::bad_request(format!(
                "the token would have ended at {}, which has passed. Name a later end",
                crate::utc::text(end)
            )));
        }
        let token = format!("{TOKEN_PREFIX}{}", random_secret()?);
        let facts = TokenFacts {
            name: name.clone(),
            digest: digest(&token),
            role: new.role,
            organization_id: new.organization_id.or_else(|| by.organization_id.clone()),
            expires_at: new.expires_at,
        };
        self.change(Change::MakeToken(facts), by).await?;
        Ok(MadeToken { name, token })
    }

    /// Make a user of the admin API.
    ///
    /// # Errors
    /// Fails when there is a user of this name, when there is no such organization, or when the
    /// password is too short.
    pub async fn make_user(
        &self,
        name: String,
        role: Role,
        organization_id: Option<String>,
        password: Secret,
        by: impl Into<By>,
    ) -> Result<(), Error> {
        require_name("the user's name", &name)?;
        let password_hash = password_hash(&password)?;
        self.change(Change::MakeUser { name, password_hash, role, organization_id }, by).await
    }

    /// Set the password of a user, and end the user's sessions.
    ///
    /// # Errors
    /// Fails when there is no such user, or the password is too short.
    pub async fn set_password(
        &self,
        name: String,
        password: Secret,
        by: impl Into<By>,
    ) -> Result<(), Error> {
        let password_hash = password_hash(&password)?;
        self.change(Change::SetPassword { name, password_hash }, by).await
    }

    /// Return who has shown this token; `None` when it is unknown, revoked or at its end.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub async fn token_caller(
        &self,
        token: &str,
        noted: &NotedUses,
    ) -> Result<Option<Caller>, Error> {
        if !is_token(token) {
            return Ok(None);
        }
        let (shown, now) = (Shown::Token(digest(token)), self.clock.unix_seconds());
        let Some(known) = self.store.caller(shown.clone(), now).await? else { return Ok(None) };
        self.note_use(shown, known.used_at, now, NOTE_SECONDS, noted);
        Ok(Some(known.caller))
    }

    /// Return who has shown the id of this session, with its times; `None` when there is no such
    /// session, or it has ended.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub async fn session_caller(
        &self,
        id: &str,
        limits: SessionLimits,
        noted: &NotedUses,
    ) -> Result<Option<Known>, Error> {
        let (shown, now) = (Shown::Session(digest(id)), self.clock.unix_seconds());
        let known = self.store.caller(shown.clone(), now).await?;
        let good = known.filter(|known| now < limits.end(known.begun_at, known.used_at));
        let Some(known) = good else { return Ok(None) };
        // The recorded use must never be so old that a session in use ends.
        let interval = NOTE_SECONDS.min(limits.idle_seconds / 10);
        self.note_use(shown, known.used_at, now, interval, noted);
        Ok(Some(known))
    }

    /// Record the use of a token or session, if this is due. Nobody waits for it: a disk that is
    /// full must not keep an operator out.
    fn note_use(&self, shown: Shown, used_at: u64, now: u64, interval: u64, noted: &NotedUses) {
        if noted.is_due(shown.digest(), used_at, now, interval) {
            drop(self.store.note_use(shown, now));
        }
    }

    /// Begin a session for a user with the password that has this hash, and return its id.
    ///
    /// # Errors
    /// Fails when the password was changed or the user was removed meanwhile: `None`, or when the
    /// store cannot be written.
    pub async fn begin_session(
        &self,
        name: String,
        password_hash: String,
        limits: SessionLimits,
    ) -> Result<Option<String>, Error> {
        let id = random_secret()?;
        let session = NewSession { digest: digest(&id), name, password_hash, limits };
        let begun = self.store.begin_session(session, self.clock.unix_seconds()).await?;
        Ok(begun.then_some(id))
    }
}

/// Return whether a text has the form of a token.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(TOKEN_PREFIX).is_some_and(is_secret)
}

/// Return whether a text has the form of 256 random bits.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    text.len() == 64
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn password_hash(password: &Secret) -> Result<String, Error> {
    require_password(password)?;
    password::hash(password.expose())
}

/// Refuse a password that is too short, too long, or that nobody can type.
///
/// # Errors
/// Returns the rule for passwords, without the password.
pub fn require_password(password: &Secret) -> Result<(), Error> {
    require_name("the password", password.expose())?;
    if password.expose().chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(Error::bad_request(format!(
            "the password has fewer than {PASSWORD_CHARACTERS_MIN} characters. Choose a longer one"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_a_token_is_noted_once_a_minute_in_bounded_memory() {
        let noted = NotedUses::default();
        let due = |used_at, now| noted.is_due("a", used_at, now, 60);
        assert!(due(0, 1_000), "never used");
        assert!(!due(0, 1_001), "the write may still be on its way");
        assert!(!due(1_000, 1_059));
        assert!(due(1_000, 1_060));
        for n in 0..2 * NOTED_MAX {
            noted.is_due(&n.to_string(), 0, 5_000, 60);
        }
        assert!(noted.0.lock().len() <= NOTED_MAX);
    }
}
