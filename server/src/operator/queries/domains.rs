//! `domains list`: the hosts under which an item is used, by domain, and the hosts that were
//! refused.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};

/// Under which hosts are the items used?
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct DomainsQuery {
    /// Only this item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
}

/// The hosts by item and domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DomainHosts {
    /// The hosts, by item and domain.
    pub hosts: Vec<HostRow>,
    /// The hosts that were refused, in the time for which refusals are kept.
    pub refused: Vec<RefusedHost>,
}

/// A host under which an item is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct HostRow {
    /// The item.
    pub item_id: String,
    /// The domain that the host counts as.
    pub domain: String,
    /// The host.
    pub host: String,
    /// The number of browsers with a license that runs.
    pub devices: u64,
    /// The time of the newest license, Unix seconds.
    pub last_granted_at: u64,
}

/// A host that was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct RefusedHost {
    /// The item; empty where no item was chosen.
    pub item_id: String,
    /// The host, as the program has named it.
    pub host: String,
    /// The number of the error.
    pub code: i32,
    /// The number of refusals.
    pub refused: u64,
    /// The time of the last refusal, Unix seconds.
    pub last_at: u64,
    /// The sentence of the last refusal.
    pub detail: String,
}

impl Sheets for DomainHosts {
    fn sheets(&self) -> Vec<Sheet> {
        let row = |row: &HostRow| {
            vec![
                Cell::from(&row.item_id),
                Cell::from(&row.domain),
                Cell::from(&row.host),
                Cell::from(row.devices),
                Cell::Instant(row.last_granted_at),
            ]
        };
        let refused = |row: &RefusedHost| {
            vec![
                Cell::from(&row.item_id),
                Cell::from(&row.host),
                Cell::Number(row.code.into()),
                Cell::from(row.refused),
                Cell::Instant(row.last_at),
                Cell::from(&row.detail),
            ]
        };
        let mut hosts = Sheet {
            columns: vec!["item_id", "domain", "host", "devices", "last_granted"],
            rows: self.hosts.iter().map(row).collect(),
            ..Sheet::default()
        };
        if self.hosts.is_empty() {
            hosts.notes.push("no host was seen".to_owned());
        }
        if self.refused.is_empty() {
            return vec![hosts];
        }
        let refused = Sheet {
            title: "refused".to_owned(),
            columns: vec!["item_id", "host", "code", "refused", "last_at", "detail"],
            rows: self.refused.iter().map(refused).collect(),
            ..Sheet::default()
        };
        vec![hosts, refused]
    }
}
