//! What the server remembers, behind one trait.
//!
//! Each method is one transaction: it reads what a decision needs, lets [`crate::policy`] decide,
//! and writes the outcome. An answer comes only once the transaction is durable. The methods give
//! futures, so that no caller blocks a thread while it waits; a store that has too much waiting
//! answers [`Error::Busy`].

mod account;
mod day_totals;
mod group;
mod location;
pub mod postgres;
mod queue;
mod sql;
pub mod sqlite;
pub mod statements;
mod usage_reader;

use std::pin::Pin;

use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    DeviceFacts, Meter, UsageAnswer, UsageKind, UsageReport, ValidationFacts,
};
use seatmeter_protocol::signature::{PublicKey, Signed};

use crate::error::Error;
use crate::keyring::Keyring;
use crate::operator::commands::{Actor, Change, Listing, View};
use crate::policy::{Admitted, Claim};

pub use location::{Location, Opened};
pub use sql::{Field, Keys};
pub use usage_reader::UsageReader;

/// The store's answer, once it is durable.
pub type Reply<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// What the server remembers.
pub trait Store: Send + Sync + 'static {
    /// Decides an authorization, and remembers it when it is granted.
    fn authorize(&self, request: Authorization) -> Reply<Decision>;

    /// Decides an authorization as [`Self::authorize`] does, and remembers nothing of it.
    fn check(&self, request: Authorization) -> Reply<Decision>;

    /// Raises the recorded totals to those of the report. `shown` are local licenses that came with
    /// it.
    fn record(&self, report: UsageReport, shown: Vec<ShownLicense>, now: u64)
    -> Reply<UsageAnswer>;

    /// Carries out what an operator wants, with a line in the audit log.
    fn change(&self, change: Change, by: Actor) -> Reply<()>;

    /// Reads a list.
    fn look(&self, view: View, now: u64) -> Reply<Listing>;

    /// Name and hash of every token of the admin API that is not revoked.
    fn token_hashes(&self) -> Reply<Vec<(String, String)>>;

    /// What is known of an organization; `None` when there is no such one.
    fn organization(&self, organization_id: String) -> Reply<Option<Organization>>;

    /// Takes notice that devices can be heard: after a restore, the time to hear what they hold
    /// begins with the first notice.
    fn serving(&self, now: u64) -> Reply<()>;

    /// Lets go of some of what no rule needs any more; whether there is more. To be called now and
    /// then.
    fn tidy(&self, now: u64) -> Reply<bool>;

    /// Answers once the store has written something, and made that durable.
    fn ready(&self) -> Reply<()>;
}

/// A local license that came with a report. It matters only to a store that has forgotten it; so
/// its signature is checked when it does, and not with every report.
pub struct ShownLicense {
    /// What it says.
    pub license: LocalLicense,
    /// Whether this server has signed that for the device that shows it.
    pub is_ours: Box<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for ShownLicense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ShownLicense").field(&self.license).finish()
    }
}

/// A request for an authorization, in the words of the rules.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The handshake code that is named, or empty.
    pub handshake_code: String,
    /// The organization that is named, or empty.
    pub organization_id: String,
    /// Who asks.
    pub device: DeviceFacts,
    /// What is asked for.
    pub claim: Claim,
    /// The hash of the session password that the request was found to know.
    pub proven_hash: Option<String>,
    /// Facts of the application.
    pub validation: ValidationFacts,
    /// The local license that the device holds, when this server has signed it for this device.
    pub held: Option<LocalLicense>,
    /// Which of the device's ways of asking this is, or empty.
    pub scope: String,
    /// Id of the local license, if the device has none to renew.
    pub license_id: String,
    /// The server's keys: what they cannot sign is not granted.
    pub keys: Keyring,
}

/// What an authorization came to, when it was not refused.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is granted.
    Granted(Box<Granted>),
    /// The handshake code has a session password with this hash: prove first that the request knows
    /// it.
    ProvePassword(String),
}

/// A granted authorization.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The handshake code that was used.
    pub handshake_code: String,
    /// Id of the local license: a renewal keeps it.
    pub license_id: String,
    /// The item that it is granted from.
    pub item: LicenseItem,
    /// The license file that the item stands in.
    pub license_file: Signed,
    /// The key that has signed the license file.
    pub root_key: PublicKey,
    /// Id of the server's key that the license file names.
    pub server_key_id: String,
    /// What the device gets.
    pub grant: Admitted,
    /// The generation that it goes on from, or empty.
    pub parent: String,
    /// Which life of the store this is.
    pub epoch: String,
    /// How far the item is used.
    pub meters: Vec<Meter>,
    /// Whether the code is good for programs of any name.
    pub any_program: bool,
}

/// A licensee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its name.
    pub name: String,
    /// Its default handshake code.
    pub default_handshake_code: Option<String>,
}

/// Which usage is asked for.
#[derive(Clone, Copy, Debug)]
pub struct UsageFilter {
    /// First slot.
    pub from_slot: u32,
    /// First slot that is not asked for any more.
    pub until_slot: Option<u32>,
}

impl UsageFilter {
    /// All there is.
    pub const ALL: Self = Self { from_slot: 0, until_slot: None };
}

/// One counter of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentTotal {
    /// The device.
    pub device_uuid: String,
    /// The segment.
    pub segment_id: String,
    /// The slot.
    pub slot: u32,
    /// Kind of work.
    pub kind: UsageKind,
    /// Symbology or module.
    pub what: u32,
    /// How much.
    pub total: u64,
}

/// What one device did under one handshake code and item in one slot: one counter, over all
/// segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The handshake code.
    pub handshake_code: String,
    /// The item.
    pub item_id: String,
    /// The device.
    pub device_uuid: String,
    /// The device's name for people, or empty.
    pub friendly_name: String,
    /// The slot.
    pub slot: u32,
    /// Kind of work.
    pub kind: UsageKind,
    /// Symbology or module.
    pub what: u32,
    /// How much. Wider than one counter: it is a sum.
    pub total: u128,
}
