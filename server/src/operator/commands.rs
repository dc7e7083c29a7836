//! The changes and lists of an operator, defined once for the command line and the admin API.
//!
//! Every [`Change`] is one transaction, which also writes a line of the audit log. A [`View`] is a
//! list for people and programs. Secrets come in as hashes and are never returned.

use clap::ValueEnum;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::{PublicKey, Signed};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Role, TokenFacts, TokenRow, UserRow};
use crate::correction::Correction;
use crate::error::Error;
use crate::policy::select::access::Validation;
use seatmeter_protocol::message::TEXT_BYTES_MAX;

/// The greatest number of rows in one list. Lists that may be longer can be read in parts.
pub const ROWS_MAX: u32 = 10_000;

/// A license file in the form in which a vendor hands it over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuedFile {
    /// The vendor's root key.
    pub root_key: PublicKey,
    /// The license file, signed with the root key.
    pub license_file: Signed,
}

/// A license file with a checked signature.
#[derive(Clone, Debug)]
pub struct Import {
    /// The content of the file.
    pub file: LicenseFile,
    /// The file as it was signed.
    pub envelope: Signed,
    /// The key that has signed the file.
    pub root_key: PublicKey,
    /// The handshake code to make with the file.
    pub handshake_code: Option<String>,
    /// Whether this code becomes the organization's default code, also when there is one. Without a
    /// default code, it becomes the default code in any case.
    pub make_default: bool,
    /// The instant of the import, Unix seconds.
    pub now: u64,
}

/// A vendor's correction with a checked signature.
#[derive(Clone, Debug)]
pub struct Correct {
    /// The content of the correction.
    pub correction: Correction,
    /// The correction as it was signed.
    pub envelope: Signed,
    /// The key that has signed the correction.
    pub root_key: PublicKey,
}

/// A change by an operator.
#[derive(Clone, Debug)]
pub enum Change {
    /// Import a license file with a checked signature.
    Import(Box<Import>),
    /// Set what is used of an item, as the vendor says.
    Correct(Box<Correct>),
    /// Make a handshake code without items.
    MakeCode {
        /// The code.
        handshake_code: String,
        /// The organization that owns the code.
        organization_id: String,
    },
    /// Set the code that an organization uses when it names none.
    SetDefaultCode {
        /// The organization.
        organization_id: String,
        /// The code, which must belong to the organization.
        handshake_code: String,
    },
    /// Delete a code that is not its organization's default code. Usage under it stays.
    DeleteCode {
        /// The code.
        handshake_code: String,
    },
    /// Delete an organization without license files, and its codes.
    DeleteOrganization {
        /// The organization.
        organization_id: String,
    },
    /// Take a device out of the lists, and end what it was granted. Its key and its usage stay.
    DeleteDevice {
        /// The device.
        device_uuid: String,
    },
    /// Set the items of a code, and their order.
    SetItems {
        /// The code.
        handshake_code: String,
        /// The items.
        items: CodeItems,
    },
    /// Set who may use a code.
    SetAccess {
        /// The code.
        handshake_code: String,
        /// The hash of the session password; `None` removes the password.
        password_hash: Option<String>,
        /// The facts that must match.
        validation: Validation,
    },
    /// End what a device was granted from an item, so that its seats are free.
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
    /// Revoke an item: nothing more is granted from it.
    RevokeItem {
        /// The item.
        item_id: String,
    },
    /// Sign with another key from now on. The file of the key exists already.
    UseKey {
        /// The id of the key.
        key_id: String,
    },
    /// Let an alert fire again.
    RearmAlert {
        /// The id of the alert.
        alert_id: String,
    },
    /// Tell nothing of an alert until an instant.
    MuteAlert {
        /// The id of the alert.
        alert_id: String,
        /// The instant, Unix seconds; 0 to unmute the alert.
        until: u64,
    },
    /// Try whether alerts arrive.
    TestAlerts,
    /// Set the thresholds at which alerts fire.
    SetThresholds {
        /// The item; `None` for all items without their own.
        item_id: Option<String>,
        /// The thresholds in percent.
        percents: Vec<u32>,
    },
    /// Post no more events, because the receiver of the webhook wants none.
    DisableWebhook {
        /// The id of the webhook.
        id: String,
    },
    /// Post events again.
    EnableWebhook,
    /// Tell an event once more.
    ReplayEvent {
        /// The id of the event.
        event_id: String,
    },
    /// Record that a backup was made.
    NoteBackup {
        /// The name of the file.
        file: String,
    },
    /// Take the clock of the author's machine as right, although the recorded time is ahead of it.
    AcceptClock,
    /// Make a token for the admin API.
    MakeToken(TokenFacts),
    /// Revoke a token for the admin API.
    RevokeToken {
        /// The name of the token.
        name: String,
    },
    /// Make a user of the admin API.
    MakeUser {
        /// The name of the user.
        name: String,
        /// The hash of the user's password.
        password_hash: String,
        /// The role of the user.
        role: Role,
        /// The organization to which the user is bound; `None` for all.
        organization_id: Option<String>,
    },
    /// Set the password of a user, and end the user's sessions.
    SetPassword {
        /// The name of the user.
        name: String,
        /// The hash of the password.
        password_hash: String,
    },
    /// Give a user another role. It holds from the next request of the user's sessions.
    SetRole {
        /// The name of the user.
        name: String,
        /// The new role of the user.
        role: Role,
    },
    /// Remove a user, and end the user's sessions.
    RemoveUser {
        /// The name of the user.
        name: String,
    },
    /// Make a change only if it concerns nothing but this organization.
    Within {
        /// The organization.
        organization_id: String,
        /// The change.
        change: Box<Change>,
    },
}

/// The author of a change, and its time.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The author as `command line: USER`, `token: NAME`, `user: NAME` or `loopback`.
    pub name: String,
    /// The time of the change, Unix seconds.
    pub now: u64,
}

/// The items of a handshake code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeItems {
    /// The ids of the items.
    pub item_ids: Vec<String>,
    /// Whether the items are used in this order. Otherwise the item that expires soonest is used
    /// first.
    #[serde(default)]
    pub own_order: bool,
}

/// A list that an operator reads.
#[derive(Clone, Debug)]
pub enum View {
    /// The licensees.
    Organizations,
    /// The license items.
    Items,
    /// The handshake codes.
    Codes,
    /// The lines of the audit log, newest first.
    Audit {
        /// The number of the line before which the list begins.
        before: Option<u64>,
    },
    /// The tokens of the admin API.
    Tokens,
    /// The users of the admin API.
    Users,
    /// The epochs of the data, newest first.
    Epochs,
    /// The part of a list that belongs to this organization.
    Within {
        /// The organization.
        organization_id: String,
        /// The list.
        view: Box<View>,
    },
}

/// A licensee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganizationRow {
    /// The id of the licensee.
    pub organization_id: String,
    /// The name of the licensee.
    pub name: String,
    /// The code that the licensee uses when it names none.
    pub default_handshake_code: Option<String>,
}

/// A license item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemRow {
    /// The id of the item.
    pub item_id: String,
    /// The id of the license file that contains the item.
    pub file_id: String,
    /// The organization that has bought the item.
    pub organization_id: String,
    /// The time of the revocation, Unix seconds.
    pub revoked_at: Option<u64>,
    /// The reason why nothing is granted from the item: the license file in the database is not as
    /// the vendor signed it.
    pub not_ready: Option<String>,
    /// The item as the vendor signed it; absent when the item is not ready.
    #[schema(value_type = Option<Object>)]
    pub item: Option<LicenseItem>,
}

/// A handshake code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CodeRow {
    /// The code.
    pub handshake_code: String,
    /// The organization that owns the code.
    pub organization_id: String,
    /// Whether the code has a session password.
    pub has_password: bool,
    /// The facts that must match.
    pub validation: Validation,
    /// Whether the items are used in their order.
    pub own_order: bool,
    /// The ids of the items, in order.
    pub item_ids: Vec<String>,
}

/// The state of a device under an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It has a license that runs
    Running,
    /// Its licenses have ended
    Ended,
}

/// A device under an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceRow {
    /// The id of the item.
    pub item_id: String,
    /// The UUID of the device.
    pub device_uuid: String,
    /// The name of the device.
    pub name: String,
    /// The version of the device's library.
    pub library_version: String,
    /// The number of seats that the device has now.
    pub seats: u32,
    /// The end of the time in which the device may work without contact, Unix seconds.
    pub valid_until: u64,
    /// Whether the device has a license that runs.
    pub state: DeviceState,
    /// The time at which the device was first authorized, Unix seconds.
    pub first_seen_at: u64,
    /// The time at which the device was last authorized, or has last reported to the hour, Unix
    /// seconds.
    pub last_seen_at: u64,
    /// The time at which the server last heard of the device under any item, Unix seconds.
    pub last_heard_at: Option<u64>,
    /// The number of times that the device came back in an earlier state.
    pub rollbacks: u64,
    /// The time at which it last was, Unix seconds; absent when it never was.
    pub rolled_back_at: Option<u64>,
}

/// An epoch of the data: between two restores, or two rollbacks that were noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EpochRow {
    /// The number of the epoch; the highest is the current one.
    pub number: u64,
    /// The id of the epoch.
    pub epoch: String,
    /// The time at which it began, Unix seconds.
    pub begun_at: u64,
    /// The reason why it began: `created`, `restored`, `operator` (new-epoch) or `rollback` (a
    /// device has proved that the data was put back).
    pub cause: String,
}

/// The cause of an epoch that the server has begun by itself.
pub const ROLLBACK: &str = "rollback";

/// The time, in seconds, within which a second rollback means that two servers use one key.
pub const ROLLBACK_YEAR: u64 = 365 * 86_400;

impl EpochRow {
    /// Return how many rollbacks the server has noticed within a year, and what they mean.
    #[must_use]
    pub fn rollbacks(rows: &[Self], now: u64) -> (usize, Option<&'static str>) {
        let since = now.saturating_sub(ROLLBACK_YEAR);
        let is_one = |row: &&Self| row.cause == ROLLBACK && row.begun_at > since;
        let noticed = rows.iter().filter(is_one).count();
        let meaning = match noticed {
            0 => None,
            1 => Some(
                "the data of this server was put back to an earlier state: seatmeterd epochs \
                 says when; restore backups with seatmeterd restore, or run seatmeterd new-epoch",
            ),
            _ => Some(
                "two servers use the key of this one, or its data was put back again and again: \
                 seatmeterd epochs says when. Stop all servers with this key but one",
            ),
        };
        (noticed, meaning)
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditRow {
    /// The number of the line.
    pub audit_id: u64,
    /// The time of the change, Unix seconds.
    pub at: u64,
    /// The author of the change.
    pub actor: String,
    /// The kind of the change.
    pub action: String,
    /// The name of the changed thing.
    pub subject: String,
    /// The details of the change.
    pub detail: String,
    /// The organization that the change concerns; empty when it concerns the whole server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization_id: String,
    /// The hash over the line before and this line; see [`crate::audit_chain`].
    pub hash: String,
}

/// The rows of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Listing {
    /// The licensees.
    Organizations(Vec<OrganizationRow>),
    /// The license items.
    Items(Vec<ItemRow>),
    /// The handshake codes.
    Codes(Vec<CodeRow>),
    /// The lines of the audit log.
    Audit(Vec<AuditRow>),
    /// The tokens.
    Tokens(Vec<TokenRow>),
    /// The users.
    Users(Vec<UserRow>),
    /// The epochs of the data.
    Epochs(Vec<EpochRow>),
}

impl Listing {
    /// Return the view of the rest, if this part of a list is full.
    #[must_use]
    pub fn rest(&self, view: &View) -> Option<View> {
        match (self, view) {
            (Self::Audit(rows), View::Audit { .. }) => {
                let last = rows.get(ROWS_MAX as usize - 1)?;
                Some(View::Audit { before: Some(last.audit_id) })
            }
            _ => None,
        }
    }

    /// Append the rest of the same list.
    pub fn append(&mut self, rest: Self) {
        if let (Self::Audit(rows), Self::Audit(rest)) = (self, rest) {
            rows.extend(rest);
        }
    }
}

/// Refuse a text that cannot be a handshake code.
///
/// # Errors
/// Returns the rule for the characters of a code.
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
