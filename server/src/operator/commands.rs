//! What an operator can do and see: one list for the command line and the admin API.
//!
//! Every [`Change`] is one transaction, and leaves a line in the audit log within it. A [`View`] is
//! a list for people and programs. Secrets come in as hashes, and never go out.

use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::{PublicKey, Signed};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::policy::select::access::Validation;
use seatmeter_protocol::message::TEXT_BYTES_MAX;

/// Most rows of one list. Of those that may be longer, a later part can be asked for.
pub const ROWS_MAX: u32 = 10_000;

/// A license file whose signature was checked.
#[derive(Clone, Debug)]
pub struct Import {
    /// What it says.
    pub file: LicenseFile,
    /// As it was signed.
    pub envelope: Signed,
    /// The key that has signed it.
    pub root_key: PublicKey,
    /// The handshake code to make with it.
    pub handshake_code: Option<String>,
    /// When, Unix seconds.
    pub now: u64,
}

/// Something that an operator changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Take in a license file whose signature was checked.
    Import(Box<Import>),
    /// Make a handshake code, as yet without items.
    MakeCode {
        /// The code.
        handshake_code: String,
        /// Who owns it.
        organization_id: String,
    },
    /// Say which code an organization uses when it names none.
    SetDefaultCode {
        /// The organization.
        organization_id: String,
        /// One of its codes.
        handshake_code: String,
    },
    /// Say to which items a code leads, in which order.
    SetItems {
        /// The code.
        handshake_code: String,
        /// The items.
        items: CodeItems,
    },
    /// Say who may use a code.
    SetAccess {
        /// The code.
        handshake_code: String,
        /// The hash of the session password; `None` takes it away.
        password_hash: Option<String>,
        /// What must match.
        validation: Validation,
    },
    /// End what a device was granted from an item: its seats are free.
    ReleaseDevice {
        /// The item.
        item_id: String,
        /// The device.
        device_uuid: String,
    },
    /// Give a device another name.
    RenameDevice {
        /// The device.
        device_uuid: String,
        /// The name.
        name: String,
    },
    /// Grant nothing more from an item.
    RevokeItem {
        /// The item.
        item_id: String,
    },
    /// Sign with another key from now on. Its file is there.
    UseKey {
        /// Id of the key.
        key_id: String,
    },
    /// Let somebody use the admin API.
    MakeToken {
        /// A name for it.
        name: String,
        /// The hash of the secret.
        token_hash: String,
    },
    /// Take that back.
    RevokeToken {
        /// Its name.
        name: String,
    },
}

/// Who changes something, and when.
#[derive(Clone, Debug)]
pub struct Actor {
    /// `cli:USER` or `token:NAME`, or `loopback`.
    pub name: String,
    /// Unix seconds.
    pub now: u64,
}

/// The items of a handshake code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeItems {
    /// Ids of the items.
    pub item_ids: Vec<String>,
    /// Whether they are to be used in this order. Otherwise the one that expires soonest is used
    /// first.
    #[serde(default)]
    pub own_order: bool,
}

/// Something that an operator looks at.
#[derive(Clone, Debug)]
pub enum View {
    /// Licensees.
    Organizations,
    /// License items.
    Items,
    /// Handshake codes.
    Codes,
    /// Devices, by item and UUID; those of one item, if it is named.
    Devices {
        /// The item.
        item_id: Option<String>,
        /// Only those after this one: its item, and its UUID.
        after: Option<(String, String)>,
    },
    /// Who changed what, newest first.
    Audit {
        /// Only lines from before the one of this number.
        before: Option<u64>,
    },
    /// Tokens of the admin API.
    Tokens,
}

/// A licensee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganizationRow {
    /// Its id.
    pub organization_id: String,
    /// Its name.
    pub name: String,
    /// The code that it uses when it names none.
    pub default_handshake_code: Option<String>,
}

/// A license item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemRow {
    /// The license file that it stands in.
    pub file_id: String,
    /// Who bought it.
    pub organization_id: String,
    /// When it was revoked, Unix seconds.
    pub revoked_at: Option<u64>,
    /// As the vendor wrote it.
    #[schema(value_type = Object)]
    pub item: LicenseItem,
}

/// A handshake code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CodeRow {
    /// The code.
    pub handshake_code: String,
    /// Who owns it.
    pub organization_id: String,
    /// Whether a session password is asked for.
    pub has_password: bool,
    /// What must match.
    pub validation: Validation,
    /// Whether the items are used in their order.
    pub own_order: bool,
    /// Ids of the items, in order.
    pub item_ids: Vec<String>,
}

/// A device under an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceRow {
    /// The item.
    pub item_id: String,
    /// The device.
    pub device_uuid: String,
    /// Its name.
    pub name: String,
    /// Version of its library.
    pub library_version: String,
    /// Seats that it has now.
    pub seats: u32,
    /// Until when it may go on without contact, Unix seconds.
    pub valid_until: u64,
    /// When it was last authorized, Unix seconds.
    pub last_seen_at: u64,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditRow {
    /// Its number.
    pub audit_id: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More of it.
    pub detail: String,
}

/// A token of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// When it was made, Unix seconds.
    pub made_at: u64,
    /// When it was revoked, Unix seconds.
    pub revoked_at: Option<u64>,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Listing {
    /// Licensees.
    Organizations(Vec<OrganizationRow>),
    /// License items.
    Items(Vec<ItemRow>),
    /// Handshake codes.
    Codes(Vec<CodeRow>),
    /// Devices.
    Devices(Vec<DeviceRow>),
    /// The audit log.
    Audit(Vec<AuditRow>),
    /// Tokens.
    Tokens(Vec<TokenRow>),
}

impl Listing {
    /// What to look at for the rest, if this part of a list is a full one.
    #[must_use]
    pub fn rest(&self, view: &View) -> Option<View> {
        match (self, view) {
            (Self::Devices(rows), View::Devices { item_id, .. }) => {
                let last = rows.get(ROWS_MAX as usize - 1)?;
                let after = Some((last.item_id.clone(), last.device_uuid.clone()));
                Some(View::Devices { item_id: item_id.clone(), after })
            }
            (Self::Audit(rows), View::Audit { .. }) => {
                let last = rows.get(ROWS_MAX as usize - 1)?;
                Some(View::Audit { before: Some(last.audit_id) })
            }
            _ => None,
        }
    }

    /// Puts the rest of the same list behind it.
    pub fn append(&mut self, rest: Self) {
        match (self, rest) {
            (Self::Devices(rows), Self::Devices(rest)) => rows.extend(rest),
            (Self::Audit(rows), Self::Audit(rest)) => rows.extend(rest),
            _ => {}
        }
    }
}

/// Refuses what cannot be a handshake code.
///
/// # Errors
/// Which characters a code has.
pub fn require_code(code: &str) -> Result<(), Error> {
    if !code.is_empty()
        && code.len() <= TEXT_BYTES_MAX
        && code.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "a handshake code has 1 to {TEXT_BYTES_MAX} visible ASCII characters and no spaces"
    )))
}
