//! The checked operations of an operator: the code behind both the command line and the admin API.

pub mod access;
pub mod alerts;
pub mod commands;
pub mod import;
pub mod queries;
pub mod secret;

pub use commands::IssuedFile;

use seatmeter_protocol::item_check::LIST_MAX;
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::By;
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::require_code;
use crate::operator::commands::{Change, CodeItems, Listing, View};
use crate::operator::secret::Secret;
use crate::password;
use crate::policy::charge_way::per_domain::Domains;
use crate::policy::select::access::Validation;
use crate::store::{self, Question};

/// The access rules of a handshake code.
///
/// A misspelled field name is an error: a field that is not named is cleared, and with a misspelled
/// name this would happen silently.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// The session password; absent when the code needs none.
    #[schema(value_type = Option<String>)]
    pub session_password: Option<Secret>,
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
        by: impl Into<By>,
    ) -> Result<(), Error> {
        require_code(&code)?;
        self.change(Change::MakeCode { handshake_code: code, organization_id }, by).await
    }

    /// Set the items of a code.
    ///
    /// # Errors
    /// Fails when the code or an item is unknown, or they belong to different organizations.
    pub async fn set_items(
        &self,
        handshake_code: String,
        items: CodeItems,
        by: impl Into<By>,
    ) -> Result<(), Error> {
        require_list("items", &items.item_ids)?;
        self.change(Change::SetItems { handshake_code, items }, by).await
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
        by: impl Into<By>,
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
                require_name("the session password", password.expose())?;
                Some(password::hash(password.expose())?)
            }
            None => None,
        };
        self.change(Change::SetAccess { handshake_code, password_hash, validation }, by).await
    }

    /// Give a device another name.
    ///
    /// # Errors
    /// Fails when the device is unknown, or the name is empty or too long.
    pub async fn rename_device(
        &self,
        device_uuid: String,
        name: String,
        by: impl Into<By>,
    ) -> Result<(), Error> {
        require_name("the device's name", &name)?;
        self.change(Change::RenameDevice { device_uuid, name }, by).await
    }

    /// Carry out a change that needs no check of its own.
    ///
    /// # Errors
    /// Fails when a named thing is unknown or in the wrong state.
    pub async fn change(&self, change: Change, by: impl Into<By>) -> Result<(), Error> {
        let By { actor, organization_id } = by.into();
        let change = match organization_id {
            Some(organization_id) => Change::Within { organization_id, change: Box::new(change) },
            None => change,
        };
        self.store.change(change, self.actor(&actor)).await
    }

    /// Answer a question from one snapshot of the data. `owner` is the organization to which the
    /// caller is bound.
    ///
    /// # Errors
    /// Fails as the question does, or when too many questions wait.
    pub async fn ask<Q: Question>(
        &self,
        question: Q,
        owner: Option<String>,
    ) -> Result<Q::Answer, Error> {
        store::ask(&*self.store, question, owner, self.clock.unix_seconds()).await
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
