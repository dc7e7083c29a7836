//! Alerts: their kinds, thresholds and identities.
//!
//! ```text
//!            reached                     no longer near
//! (no row) ───────────▶ firing ────────────────────────▶ recovered
//!     ▲                  │  ▲                              │  │
//!     │                  │  └───────── reached ────────────┘  │
//!     └──────────────────┴──────────── re-armed ──────────────┘
//! ```

use clap::ValueEnum;
use seatmeter_protocol::signature::digest_hex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

/// The thresholds in percent, unless an operator has set others.
pub const PERCENTS: [u32; 3] = [60, 80, 100];

/// The greatest number of thresholds of an item.
const PERCENTS_MAX: usize = 10;

/// The channel by mail.
pub const MAIL: &str = "mail";
/// The channel by webhook.
pub const WEBHOOK: &str = "webhook";

/// All channels by which events are delivered.
pub const CHANNELS: [&str; 2] = [MAIL, WEBHOOK];

/// The number of hexadecimal digits in the id of an alert or event.
const ID_DIGITS: usize = 24;

/// The kind of an alert.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum AlertKind {
    /// A quota has reached a threshold; the level is in percent
    Quota,
    /// The overuse budget has reached a threshold; the level is in percent
    Budget,
    /// The overuse budget is exceeded: only N run at a time
    Overused,
    /// The share of refused authorizations under a handshake code; the level is in percent
    Refused,
    /// An item expires; the level is in days
    Expiry,
    /// A quota or budget will be used up; the level is in days
    Forecast,
    /// The machine's clock is behind the server's time
    Clock,
    /// The disk of the data is nearly full
    Disk,
    /// The server is not ready
    NotReady,
    /// The data was put back to an earlier state
    RolledBack,
    /// Two servers use one key
    TwoServers,
    /// The standby serves, because its main server is down
    StandbyActive,
    /// The newest backup is old; the level is in days
    BackupOld,
    /// The server's certificate ends; the level is in days
    CertificateEnds,
    /// An operator has tried whether alerts arrive
    Test,
    /// The summary of a week or month
    Summary,
}

impl AlertKind {
    /// Return the name of the kind, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Budget => "budget",
            Self::Overused => "overused",
            Self::Refused => "refused",
            Self::Expiry => "expiry",
            Self::Forecast => "forecast",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::NotReady => "not_ready",
            Self::RolledBack => "rolled_back",
            Self::TwoServers => "two_servers",
            Self::StandbyActive => "standby_active",
            Self::BackupOld => "backup_old",
            Self::CertificateEnds => "certificate_ends",
            Self::Test => "test",
            Self::Summary => "summary",
        }
    }

    /// Read the name of a kind.
    ///
    /// # Errors
    /// Fails when there is no such kind.
    pub fn named(name: &str) -> Result<Self, Error> {
        let kinds = Self::value_variants().iter().copied();
        kinds
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::Store(format!("\"{name}\" is no kind of alert")))
    }

    /// Return whether the alert is about one server of several on a database. The other servers
    /// cannot see whether it has recovered.
    #[must_use]
    pub fn is_of_one_server(self) -> bool {
        matches!(
            self,
            Self::Clock | Self::Disk | Self::NotReady | Self::StandbyActive | Self::CertificateEnds
        )
    }

    /// Return whether the level of the alert is a number of days.
    #[must_use]
    pub fn is_in_days(self) -> bool {
        matches!(self, Self::Expiry | Self::Forecast | Self::BackupOld | Self::CertificateEnds)
    }

    /// Return whether the alert ends only when an operator re-arms it, because it reports a past
    /// event.
    #[must_use]
    pub fn is_of_the_past(self) -> bool {
        matches!(self, Self::RolledBack | Self::TwoServers | Self::Test | Self::Summary)
    }
}

/// A threshold of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The kind.
    pub kind: AlertKind,
    /// The item, handshake code or server.
    pub subject: String,
    /// The unit that is counted, with the module for pages; often empty.
    pub what: String,
    /// The threshold, in the unit of the kind; 0 when there is only one.
    pub level: u32,
    /// The organization that the subject belongs to; empty for the whole server.
    pub organization_id: String,
    /// A description of the event, with the numbers, and the remedy.
    pub detail: String,
}

impl Alert {
    /// Return the id, which is the same on every server.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { kind, subject, what, level, .. } = self;
        short_digest(&format!("{}\n{subject}\n{what}\n{level}", kind.name()))
    }

    /// Return the id of an event of this alert.
    #[must_use]
    pub fn event_id(&self, event: &str, at: u64) -> String {
        short_digest(&format!("{}\n{event}\n{at}", self.id()))
    }
}

pub(crate) fn short_digest(text: &str) -> String {
    let mut digest = digest_hex(text.as_bytes());
    digest.truncate(ID_DIGITS);
    digest
}

/// Read thresholds, as they stand in the database and on the command line.
///
/// # Errors
/// Fails when they are no numbers from 1 to 1000 in percent.
pub fn percents(text: &str) -> Result<Vec<u32>, Error> {
    let no = || {
        Error::bad_request(format!(
            "\"{text}\" are no thresholds: write 1 to {PERCENTS_MAX} numbers from 1 to 1000 in \
             percent with commas between them, such as 60,80,100"
        ))
    };
    let parse = |part: &str| part.trim().parse().ok().filter(|p| (1..=1_000).contains(p));
    let percents: Option<Vec<u32>> = text.split(',').map(parse).collect();
    let mut percents = percents.filter(|all| all.len() <= PERCENTS_MAX).ok_or_else(no)?;
    percents.sort_unstable();
    percents.dedup();
    Ok(percents)
}

/// Write thresholds as [`percents`] reads them.
#[must_use]
pub fn written(percents: &[u32]) -> String {
    percents.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_by_the_name_that_json_has() {
        for kind in AlertKind::value_variants() {
            assert_eq!(AlertKind::named(kind.name()).unwrap(), *kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!(AlertKind::named("nothing").is_err());
    }

    #[test]
    fn thresholds_are_sorted_and_bounded() {
        assert_eq!(percents("80, 60,80").unwrap(), [60, 80]);
        assert_eq!(written(&percents("100,5").unwrap()), "5,100");
        for bad in ["", "0", "1001", "a", "60;80", "1,2,3,4,5,6,7,8,9,10,11"] {
            assert!(percents(bad).unwrap_err().to_string().contains("60,80,100"), "{bad}");
        }
    }
}
