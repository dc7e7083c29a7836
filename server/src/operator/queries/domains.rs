//! `domains list`: the hosts under which an item is used, by domain, and the hosts that were
//! refused.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};
use crate::policy::charge_way::host::{CountsAs, Host, Listed};

/// The query for the hosts under which items are used.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct DomainsQuery {
    /// Only this item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// Also say whether the items may be used under this host: a host such as shop.example.com, or
    /// a URL
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
}

/// The hosts by item and domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DomainHosts {
    /// The hosts, by item and domain.
    pub hosts: Vec<HostRow>,
    /// The hosts that were refused, in the time for which refusals are kept.
    pub refused: Vec<RefusedHost>,
    /// Whether the items may be used under the host that was asked about.
    pub explained: Option<HostExplanation>,
}

/// The domain that a host counts as, and the items that may be used under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HostExplanation {
    /// The host, as it is compared.
    pub host: String,
    /// The domain that it counts as.
    pub counts_as: String,
    /// The reason why it counts as this domain.
    pub because: String,
    /// The items for domains, each with the decision.
    pub items: Vec<HostDecision>,
}

/// Whether an item may be used under a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HostDecision {
    /// The item.
    pub item_id: String,
    /// Whether it may be used.
    pub is_allowed: bool,
    /// The reason, in the words that the program would get.
    pub detail: String,
}

impl HostExplanation {
    /// Explain what a host counts as, without items.
    ///
    /// # Errors
    /// Returns why the text is not a host, as a clause for a sentence.
    pub fn of(text: &str) -> Result<Self, String> {
        let host = Host::parse(text).map_err(|why| why.to_string())?;
        let nothing = "nothing: an item cannot list it, and no item covers it";
        Ok(Self {
            host: host.as_text().to_owned(),
            counts_as: host.domain().unwrap_or(nothing).to_owned(),
            because: because(&host),
            items: Vec::new(),
        })
    }
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
        if let Some(explained) = &self.explained {
            let HostExplanation { host, counts_as, because, items } = explained;
            hosts.notes.push(format!("{host} counts as {counts_as}: {because}"));
            hosts.notes.extend(items.iter().map(|item| item.detail.clone()));
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

fn because(host: &Host) -> String {
    match host.counts_as() {
        CountsAs::Domain { registrable, suffix, listed } => format!(
            "the public suffix is {suffix} ({}); {registrable} is that and one label more, and \
             all hosts below it are \
             the same domain",
            place(*listed)
        ),
        CountsAs::Suffix(listed) => {
            format!(
                "it is a public suffix itself ({}): each name below it is a domain of its own",
                place(*listed)
            )
        }
        CountsAs::IpAddress => "it is an IP address, which is only equal to itself".to_owned(),
        CountsAs::Localhost => "localhost is only equal to itself".to_owned(),
        CountsAs::OneLabel => {
            "a name of one label that is no public suffix is only equal to itself".to_owned()
        }
    }
}

fn place(listed: Listed) -> &'static str {
    match listed {
        Listed::Icann => "of a registry, by the Public Suffix List",
        Listed::Private => {
            "of a host with many tenants, by the private section of the Public Suffix List"
        }
        Listed::Added => "of a host with many tenants, by this program's own list",
        Listed::Nowhere => "the last label, as the Public Suffix List has no rule for it",
    }
}
