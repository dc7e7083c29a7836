//! The data that the server stores, behind one trait.
//!
//! Each method is one transaction: it reads what a decision needs, lets [`crate::policy`] decide,
//! and writes the outcome. An answer comes only once the transaction is durable. The methods return
//! futures, so that no caller blocks a thread while it waits. A store with too many waiting
//! requests answers [`Error::Busy`].

mod account;
mod audit_reader;
mod check;
mod day_totals;
mod group;
mod location;
pub mod postgres;
mod queue;
pub mod reading;
mod sql;
pub mod sqlite;
pub mod statements;
mod usage_reader;

use std::pin::Pin;
use std::sync::Arc;

use seatmeter_protocol::license::{Generation, LicenseItem, LocalLicense};
use seatmeter_protocol::message::{
    DeviceFacts, Meter, UsageAnswer, UsageKind, UsageReport, ValidationFacts,
};
use seatmeter_protocol::request_auth::{Proof, ReportKey, RequestFacts};
use seatmeter_protocol::signature::{PublicKey, Signed};

use crate::access::{Known, SessionLimits};
use crate::alert::Alert;
use crate::error::Error;
use crate::histogram::Counted;
use crate::keyring::Keyring;
use crate::operator::commands::{Actor, Change, Listing, View};
use crate::operator::queries::alerts::AlertCheck;
use crate::policy::{Admitted, Claim};
use crate::receipt::Receipt;
use crate::server_time::{RecordedTime, ServerClock};

pub use audit_reader::AuditReader;
pub use check::{Checked, check, faults};
pub use location::{Location, Opened};
pub use reading::{Question, ReadWork, Snapshot, ask};
pub use sql::{BillFrame, Field, Keys};
pub use usage_reader::{SeatsOfDevices, UsageReader};

/// The store's answer, which comes once the transaction is durable.
pub type Reply<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Record the server's time, and learn what other servers and operators have recorded.
///
/// # Errors
/// Fails when the store cannot be written.
pub async fn exchange_time(store: &dyn Store, clock: &ServerClock) -> Result<(), Error> {
    clock.learn(store.note_time(clock.to_record()).await?);
    Ok(())
}

/// The storage of the server.
pub trait Store: Send + Sync + 'static {
    /// Decide an authorization, and record it when it is granted.
    fn authorize(&self, request: Authorization) -> Reply<Decision>;

    /// Decide an authorization as [`Self::authorize`] does, but record nothing.
    fn check(&self, request: Authorization) -> Reply<Decision>;

    /// Raise the recorded totals to those of the report.
    fn record(&self, report: Report) -> Reply<UsageAnswer>;

    /// Carry out a change by an operator, with a line in the audit log.
    fn change(&self, change: Change, by: Actor) -> Reply<()>;

    /// Do this work on a connection that only reads, within one transaction; see [`ask`]. It does
    /// not wait for the requests that write.
    fn read(&self, _: ReadWork) -> Reply<()> {
        let none = "this store answers no questions";
        Box::pin(std::future::ready(Err(Error::Internal(none.to_owned()))))
    }

    /// Return the number of requests that wait; `None` for a store in which none does.
    fn waiting(&self) -> Option<u64> {
        None
    }

    /// Return how long transactions took; `None` for a store that does not measure it.
    fn commit_times(&self) -> Option<Counted> {
        None
    }

    /// Fire alerts that are reached, and note those that have recovered, each with its event.
    fn note_alerts(&self, _: AlertCheck, _now: u64) -> Reply<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Write summaries, each by the id of its event, unless they are written.
    fn note_summaries(&self, _: Vec<(String, Alert)>, _now: u64) -> Reply<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Take events for delivery by one channel. Return the ids of those that nobody else has taken.
    fn take_deliveries(&self, _: TakeDeliveries) -> Reply<Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Record the outcome of the delivery of these events.
    fn note_deliveries(&self, _: DeliveryOutcome) -> Reply<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Read a list.
    fn look(&self, view: View, now: u64) -> Reply<Listing>;

    /// Return who has shown a token or session of the admin API; `None` when it is unknown, revoked
    /// or, for a token, at its end. A store without tokens and users knows nobody; so do the next
    /// four methods.
    fn caller(&self, _: Shown, _: u64) -> Reply<Option<Known>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Record the use of a token or session.
    fn note_use(&self, _: Shown, _: u64) -> Reply<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Return the hash of a user's password; `None` when there is no such user.
    fn password_hash(&self, _: String) -> Reply<Option<String>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Begin a session. The answer is `false` when the password is no longer the one that was
    /// checked.
    fn begin_session(&self, _: NewSession, _: u64) -> Reply<bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// End a session.
    fn end_session(&self, _digest: String) -> Reply<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Return the data of an organization; `None` when there is no such organization.
    fn organization(&self, organization_id: String) -> Reply<Option<Organization>>;

    /// Record that the server accepts requests from devices. After a restore, the time for devices
    /// to show what they hold begins with the first call.
    fn serving(&self, now: u64) -> Reply<()>;

    /// Delete some data that no rule needs any more. Return whether there is more to delete. The
    /// server calls this from time to time.
    fn tidy(&self, now: u64) -> Reply<bool>;

    /// Raise the recorded time of the server, and return what is recorded. A store that records no
    /// time returns the given one.
    fn note_time(&self, time: RecordedTime) -> Reply<RecordedTime> {
        Box::pin(std::future::ready(Ok(time)))
    }

    /// Begin to look for damage, now and again and again. A server calls this once.
    ///
    /// # Errors
    /// Fails when the system has no thread for it.
    fn look_for_damage(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Check that nothing is known to be damaged, and that there is room on the disk. This blocks.
    ///
    /// # Errors
    /// Fails with a sentence that says what to do.
    fn probe(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Return whether a commit waits for a synchronous standby; `None` for a store that has none.
    fn has_standby(&self) -> Reply<Option<bool>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Return the ids of the server keys that license files name.
    fn keys_named(&self) -> Reply<Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Answer once the store has written something and made it durable. Return a sentence for each
    /// license file that cannot be trusted.
    fn ready(&self) -> Reply<Vec<String>>;
}

/// Events to be taken.
#[derive(Clone, Debug)]
pub struct TakeDeliveries {
    /// The channel: mail or webhook.
    pub channel: &'static str,
    /// The ids of the events.
    pub event_ids: Vec<String>,
    /// The instant, Unix seconds.
    pub now: u64,
    /// The instant until which nobody else takes them, Unix seconds.
    pub until: u64,
}

/// The outcome of a delivery of events.
#[derive(Clone, Debug)]
pub struct DeliveryOutcome {
    /// The channel: mail or webhook.
    pub channel: &'static str,
    /// The ids of the events.
    pub event_ids: Vec<String>,
    /// The instant, Unix seconds.
    pub now: u64,
    /// The error; `None` after a success.
    pub error: Option<String>,
    /// The instant of the next attempt, Unix seconds; `None` when there is none.
    pub next_at: Option<u64>,
}

/// The credential of a caller of the admin API, as its SHA-256.
#[derive(Clone, Debug)]
pub enum Shown {
    /// A token.
    Token(String),
    /// The id of a session.
    Session(String),
}

impl Shown {
    /// Return the SHA-256.
    #[must_use]
    pub fn digest(&self) -> &str {
        match self {
            Self::Token(digest) | Self::Session(digest) => digest,
        }
    }
}

/// A session to begin.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The SHA-256 of the session's id.
    pub digest: String,
    /// The name of the user.
    pub name: String,
    /// The hash of the password that was checked.
    pub password_hash: String,
    /// The ends of sessions.
    pub limits: SessionLimits,
}

/// A report of a device, with the proof of who sends it.
#[derive(Debug)]
pub struct Report {
    /// The content of the report.
    pub report: UsageReport,
    /// The proof of who sends it.
    pub proof: ReportProof,
    /// The newest local license that the device has, if it shows one.
    pub newest: Option<ShownLicense>,
    /// The local licenses of its segments.
    pub shown: Vec<ShownLicense>,
    /// The last receipt that the device has from this server.
    pub receipt: Option<Receipt>,
    /// The server's keys.
    pub keys: Keyring,
    /// The instant at which the report came, Unix seconds.
    pub now: u64,
}

/// The proof of who sends a report. An HMAC is checked where the report key is at hand. A signature
/// takes much longer, and was checked before if the report shows a license with the key of the
/// device.
#[derive(Clone, Debug)]
pub struct ReportProof {
    /// The facts of the request that the proof covers.
    pub facts: RequestFacts,
    /// The proof; `None` when there is none.
    pub proof: Option<Proof>,
    /// The key that has signed the request, if it is known already.
    pub signed_by: Option<PublicKey>,
}

/// A local license that came with a report. Only a store that has forgotten this license needs it,
/// so its signature is checked in that case alone, and not with every report.
pub struct ShownLicense {
    /// The content of the license.
    pub license: LocalLicense,
    /// Whether this server has signed the license for the device that shows it.
    pub is_ours: Box<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for ShownLicense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ShownLicense").field(&self.license).finish()
    }
}

/// A request for an authorization, in the terms of the rules.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The handshake code in the request, or empty.
    pub handshake_code: String,
    /// The organization in the request, or empty.
    pub organization_id: String,
    /// The device that makes the request.
    pub device: DeviceFacts,
    /// The request itself, as the rules see it.
    pub claim: Claim,
    /// The hash of the session password that the request has proved to know.
    pub proven_hash: Option<String>,
    /// Whether the request was found to have a wrong session password, and is refused for it.
    pub has_wrong_password: bool,
    /// The facts of the application that the validation fields are compared with.
    pub validation: ValidationFacts,
    /// The local license that the device holds, when this server has signed it for this device.
    pub held: Option<LocalLicense>,
    /// The newest local license that the device has from this server, if it is another one.
    pub newest: Option<LocalLicense>,
    /// The key of the device, by which the request is signed.
    pub device_key: PublicKey,
    /// The id of the device's first contact, or empty.
    pub first_contact: String,
    /// The report key that device and server have agreed on; `None` for a check.
    pub report_key: Option<ReportKey>,
    /// The id of the local license if the device has none to renew.
    pub license_id: String,
    /// The last receipt that the device has from this server.
    pub receipt: Option<Receipt>,
    /// Whether the request is known to be sent now, and not earlier.
    pub is_fresh: bool,
    /// The server's keys: a license that they cannot sign is not granted.
    pub keys: Keyring,
}

/// The outcome of an authorization that was not refused.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The authorization is granted.
    Granted(Box<Granted>),
    /// The handshake code has a session password with this hash: the request must first prove that
    /// it knows the password.
    ProvePassword(String),
    /// The request would end something if it were an old one that arrives late: it must first prove
    /// that it is sent now.
    ProveFresh,
}

/// A granted authorization.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The handshake code that was used.
    pub handshake_code: String,
    /// The id of the local license: a renewal keeps it.
    pub license_id: String,
    /// The item from which the license is granted.
    pub item: Arc<LicenseItem>,
    /// The license file that contains the item.
    pub license_file: Arc<Signed>,
    /// The key that has signed the license file.
    pub root_key: PublicKey,
    /// The id of the server key that the license file names.
    pub server_key_id: String,
    /// The outcome of the decision for the device.
    pub grant: Admitted,
    /// The place of the license in the history of the device.
    pub generation: Generation,
    /// The epoch of the store.
    pub epoch: String,
    /// The meters that show how far the item is used.
    pub meters: Vec<Meter>,
    /// Whether programs of any name may use the code.
    pub any_program: bool,
    /// The receipt for the device.
    pub receipt: String,
}

/// A licensee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// The name of the licensee.
    pub name: String,
    /// The licensee's default handshake code.
    pub default_handshake_code: Option<String>,
}

/// The range of usage to read.
#[derive(Clone, Copy, Debug)]
pub struct UsageFilter {
    /// The first slot.
    pub from_slot: u32,
    /// The first slot after the range; `None` for no end.
    pub until_slot: Option<u32>,
}

impl UsageFilter {
    /// The filter that lets everything through.
    pub const ALL: Self = Self { from_slot: 0, until_slot: None };
}

/// The total of one counter of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentTotal {
    /// The UUID of the device.
    pub device_uuid: String,
    /// The id of the segment.
    pub segment_id: String,
    /// The number of the slot.
    pub slot: u32,
    /// The kind of work.
    pub kind: UsageKind,
    /// The symbology or module.
    pub what: u32,
    /// The counted total.
    pub total: u64,
}

/// The work of one device under one handshake code and item in one slot: one counter, summed over
/// all segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The handshake code.
    pub handshake_code: String,
    /// The id of the item.
    pub item_id: String,
    /// The UUID of the device.
    pub device_uuid: String,
    /// The device's name for people, or empty.
    pub friendly_name: String,
    /// The number of the slot.
    pub slot: u32,
    /// The kind of work.
    pub kind: UsageKind,
    /// The symbology or module.
    pub what: u32,
    /// The counted total. It is wider than one counter because it is a sum.
    pub total: u128,
}
