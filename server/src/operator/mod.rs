//! What an operator does, checked: the code behind both the command line and the admin API.

pub mod commands;

use seatmeter_protocol::item_check::LIST_MAX;
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use seatmeter_protocol::signature::{PublicKey, Signed, random_bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::require_code;
use crate::operator::commands::{Change, CodeItems, Listing, View};
use crate::password;
use crate::policy::charge_way::per_domain::Domains;
use crate::policy::select::access::Validation;
use crate::random::no_random;

/// What tokens of the admin API begin with, so that people and scanners know one when they see it.
const TOKEN_PREFIX: &str = "seatmeter_";

/// A license file as a vendor hands it over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuedFile {
    /// The vendor's root key.
    pub root_key: PublicKey,
    /// The license file, signed with it.
    pub license_file: Signed,
}

/// Who may use a handshake code.
///
/// A misspelt name is an error: what is not named is taken away, and would be without a word.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// The session password; absent when none is to be asked for.
    pub session_password: Option<String>,
    /// What must match.
    pub validation: Validation,
}

impl Licensing {
    /// Makes a handshake code, with items when some are named.
    ///
    /// # Errors
    /// When the code cannot be one or is there already, or the organization is unknown.
    pub async fn make_code(
        &self,
        code: String,
        organization_id: String,
        actor: &str,
    ) -> Result<(), Error> {
        require_code(&code)?;
        self.change(Change::MakeCode { handshake_code: code, organization_id }, actor).await
    }

    /// Says to which items a code leads.
    ///
    /// # Errors
    /// When code or item is unknown, or they belong to different organizations.
    pub async fn set_items(
        &self,
        handshake_code: String,
        items: CodeItems,
        actor: &str,
    ) -> Result<(), Error> {
        require_list("items", &items.item_ids)?;
        self.change(Change::SetItems { handshake_code, items }, actor).await
    }

    /// Says who may use a code.
    ///
    /// # Errors
    /// When the code is unknown, a text is too long, or a domain is no website's or everybody's.
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

    /// Gives a device another name.
    ///
    /// # Errors
    /// When the device is unknown, or the name is empty or too long.
    pub async fn rename_device(
        &self,
        device_uuid: String,
        name: String,
        actor: &str,
    ) -> Result<(), Error> {
        require_name("the device's name", &name)?;
        self.change(Change::RenameDevice { device_uuid, name }, actor).await
    }

    /// Makes a token for the admin API, and gives it: it is not kept, and cannot be shown again.
    ///
    /// # Errors
    /// When there is or was one of that name.
    pub async fn make_token(&self, name: String, actor: &str) -> Result<String, Error> {
        require_name("the token's name", &name)?;
        let id = hex::encode(random_bytes::<4>().ok_or_else(no_random)?);
        let secret = hex::encode(random_bytes::<32>().ok_or_else(no_random)?);
        let token = format!("{TOKEN_PREFIX}{id}_{secret}");
        let token_hash = format!("{id} {}", password::hash(&token)?);
        self.change(Change::MakeToken { name, token_hash }, actor).await?;
        Ok(token)
    }

    /// Who shows this token, if anybody may.
    ///
    /// # Errors
    /// When the tokens cannot be read, or too many wait to be checked.
    pub async fn token_owner(&self, token: &str) -> Result<Option<String>, Error> {
        let parts = token.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let Some((id, _)) = parts.filter(|_| token.len() <= TEXT_BYTES_MAX) else {
            return Ok(None);
        };
        // Hashing is dear: whoever guesses must not make the server do it.
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

    /// Carries out a change that needs no check of its own.
    ///
    /// # Errors
    /// When what it names is unknown, or is not as it must be.
    pub async fn change(&self, change: Change, actor: &str) -> Result<(), Error> {
        self.store.change(change, self.actor(actor)).await
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When it cannot be read.
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
