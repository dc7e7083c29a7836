//! The checked operations of an operator: the code behind both the command line and the admin API.

pub mod commands;

pub use commands::IssuedFile;

use seatmeter_protocol::item_check::LIST_MAX;
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use seatmeter_protocol::signature::random_bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::require_code;
use crate::operator::commands::{Change, CodeItems, Listing, View};
use crate::password;
use crate::policy::charge_way::per_domain::Domains;
use crate::policy::select::access::Validation;
use crate::random::no_random;

/// The prefix of all tokens of the admin API, by which people and scanners recognize a token.
const TOKEN_PREFIX: &str = "seatmeter_";

/// The access rules of a handshake code.
///
/// A misspelled field name is an error: a field that is not named is cleared, and with a misspelled
/// name this would happen silently.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// The session password; absent when the code needs none.
    pub session_password: Option<String>,
    /// The facts that must match.
    pub validation: Validation,
}

impl Licensing {
    /// Make a handshake code without items.
    ///
    /// # Errors
    /// Fails when the code is malformed or exists already, or when the organization is unknown.
    pub async fn make_code(
        &self,
        code: String,
        organization_id: String,
        actor: &str,
    ) -> Result<(), Error> {
        require_code(&code)?;
        self.change(Change::MakeCode { handshake_code: code, organization_id }, actor).await
    }

    /// Set the items of a code.
    ///
    /// # Errors
    /// Fails when the code or an item is unknown, or they belong to different organizations.
    pub async fn set_items(
        &self,
        handshake_code: String,
        items: CodeItems,
        actor: &str,
    ) -> Result<(), Error> {
        require_list("items", &items.item_ids)?;
        self.change(Change::SetItems { handshake_code, items }, actor).await
    }

    /// Set who may use a code.
    ///
    /// # Errors
    /// Fails when the code is unknown, a text is too long, or a domain is not a website's or is a
    /// public suffix.
    pub async fn set_access(
        &self,
        handshake_code: String,
        access: Access,
        actor: &str,
    ) -> Result<(), Error> {
        let Access { session_password, validation } = access;
        require_list("website domains", &validation.website_domains)?;
        Domains::listed(&validation.website_domains)
            .map_err(|why| Error::bad_request(format!("the access {why}")))?;
        require_list("application ids", &validation.application_ids)?;
        require_list("process names", &validation.process_names)?;
        if let Some(path) = validation.process_names.iter().find(|name| name.contains('/')) {
            return Err(Error::bad_request(format!(
                "{path:?} is a path, which no process has as its name; write what follows the \
                 last /"
            )));
        }
        let password_hash = match session_password {
            Some(password) => {
                require_name("the session password", &password)?;
                Some(password::hash(&password)?)
            }
            None => None,
        };
        self.change(Change::SetAccess { handshake_code, password_hash, validation }, actor).await
    }

    /// Give a device another name.
    ///
    /// # Errors
    /// Fails when the device is unknown, or the name is empty or too long.
    pub async fn rename_device(
        &self,
        device_uuid: String,
        name: String,
        actor: &str,
    ) -> Result<(), Error> {
        require_name("the device's name", &name)?;
        self.change(Change::RenameDevice { device_uuid, name }, actor).await
    }

    /// Make a token for the admin API, and return it. The token is not stored, and cannot be shown
    /// again.
    ///
    /// # Errors
    /// Fails when a token with this name exists or existed.
    pub async fn make_token(&self, name: String, actor: &str) -> Result<String, Error> {
        require_name("the token's name", &name)?;
        let id = hex::encode(random_bytes::<4>().ok_or_else(no_random)?);
        let secret = hex::encode(random_bytes::<32>().ok_or_else(no_random)?);
        let token = format!("{TOKEN_PREFIX}{id}_{secret}");
        let token_hash = format!("{id} {}", password::hash(&token)?);
        self.change(Change::MakeToken { name, token_hash }, actor).await?;
        Ok(token)
    }

    /// Return the name of this token; `None` when it is unknown or revoked.
    ///
    /// # Errors
    /// Fails when the tokens cannot be read, or too many checks are waiting.
    pub async fn token_owner(&self, token: &str) -> Result<Option<String>, Error> {
        let parts = token.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let Some((id, _)) = parts.filter(|_| token.len() <= TEXT_BYTES_MAX) else {
            return Ok(None);
        };
        // Hashing is expensive, so only a known id starts it; somebody who guesses tokens must not
        // cause this work.
        for (name, kept) in self.store.token_hashes().await? {
            if let Some((kept_id, hash)) = kept.split_once(' ')
                && kept_id == id
                && password::TOKENS.is_right(token.to_owned(), hash.to_owned()).await?
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Carry out a change that needs no check of its own.
    ///
    /// # Errors
    /// Fails when a named thing is unknown or in the wrong state.
    pub async fn change(&self, change: Change, actor: &str) -> Result<(), Error> {
        self.store.change(change, self.actor(actor)).await
    }

    /// Read a list.
    ///
    /// # Errors
    /// Fails when the list cannot be read.
    pub async fn look(&self, view: View) -> Result<Listing, Error> {
        self.store.look(view, self.clock.unix_seconds()).await
    }
}

fn require_name(what: &str, name: &str) -> Result<(), Error> {
    if !name.is_empty() && name.len() <= TEXT_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "{what} has 1 to {TEXT_BYTES_MAX} bytes and no control characters"
    )))
}

fn require_list(what: &str, list: &[String]) -> Result<(), Error> {
    if list.len() > LIST_MAX {
        return Err(Error::bad_request(format!(
            "{} {what} are more than the {LIST_MAX} allowed",
            list.len()
        )));
    }
    list.iter().try_for_each(|text| require_name(&format!("each of the {what}"), text))
}
