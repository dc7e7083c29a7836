//! `status`: how each item stands, when it will be used up, and how the server is.

use clap::Args;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::message::{MeterState, Metered};
use seatmeter_protocol::page_module::page_module_name;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::forecast::Forecast;
use super::sheet::{Cell, Sheet, Sheets};
use crate::policy::select::item_choice::name;
use crate::utc;

/// The query for the status of the items.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct StatusQuery {
    /// Only this item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// Only the items after this one: the "next" of the previous part
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// The greatest number of items: 1 to 10000 [default: 1000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The status of the server and its items at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// The instant, Unix seconds.
    pub at: u64,
    /// The server and its data.
    pub server: ServerStatus,
    /// The items, by id.
    pub items: Vec<ItemStatus>,
    /// The id to continue with; absent at the end.
    pub next: Option<String>,
}

/// The status of the server and its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerStatus {
    /// Whether the server is ready; absent when no running server was asked.
    pub ready: Option<bool>,
    /// The reason why it is not ready.
    pub not_ready: Option<String>,
    /// Whether it is a standby that serves now; absent when it has no main server, or when no
    /// running server was asked.
    pub standby_active: Option<bool>,
    /// The number of requests that wait for the database; absent when no running server was asked.
    pub queue_length: Option<u64>,
    /// The ids of the server keys that license files name.
    pub key_ids: Vec<String>,
    /// The id of the current epoch of the data.
    pub epoch: String,
    /// The number of the current epoch.
    pub epoch_number: u64,
    /// The time at which the epoch began, Unix seconds.
    pub epoch_begun_at: u64,
    /// The reason why the epoch began.
    pub epoch_cause: String,
    /// The time that the data has recorded, Unix seconds.
    pub recorded_at: u64,
    /// The time of the newest backup by `seatmeterd backup`, Unix seconds.
    pub backup_at: Option<u64>,
    /// The size of the database in bytes, as far as the engine reports it.
    pub database_bytes: Option<u64>,
    /// The end of the certificate that clients see, Unix seconds; absent when the server speaks no
    /// TLS, or when no running server was asked.
    pub certificate_ends_at: Option<u64>,
    /// The version of the program.
    pub version: String,
}

/// The state of an item, the worst of all that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// The item is in effect, and below its quotas.
    Within,
    /// A quota is reached, and its grace is not used up.
    InGrace,
    /// A quota with its grace is used up: requests are refused.
    UsedUp,
    /// The overuse budget is exceeded: only N run at a time.
    Overused,
    /// The item has not started.
    NotYetInEffect,
    /// The item has expired, and its grace of 7 days runs.
    ExpiryGrace,
    /// The item has expired.
    Expired,
    /// The item was revoked.
    Revoked,
    /// The license file of the item cannot be trusted.
    NotReady,
}

impl ItemState {
    /// Return the state as people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::InGrace => "in grace",
            Self::UsedUp => "used up",
            Self::Overused => "overused",
            Self::NotYetInEffect => "not yet in effect",
            Self::ExpiryGrace => "expired, in grace",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotReady => "not ready",
        }
    }

    /// Return the state of one meter.
    #[must_use]
    pub fn of_meter(state: MeterState) -> Self {
        match state {
            MeterState::Within | MeterState::Unknown => Self::Within,
            MeterState::InGrace => Self::InGrace,
            MeterState::UsedUp => Self::UsedUp,
            MeterState::Overused => Self::Overused,
        }
    }
}

/// The status of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemStatus {
    /// The id of the item.
    pub item_id: String,
    /// The organization that has bought the item.
    pub organization_id: String,
    /// The license file that contains the item.
    pub file_id: String,
    /// The license option: the charge way; absent when the item is not ready.
    #[schema(value_type = Option<String>)]
    pub option: Option<ChargeWay>,
    /// The quota N; 0 where the option has none, or one for each module.
    pub quota: u64,
    /// The state.
    pub state: ItemState,
    /// The reason why the item is not ready.
    pub not_ready: Option<String>,
    /// The start of the item, Unix seconds.
    pub starts_at: u64,
    /// The expiry of the item, Unix seconds.
    pub expires_at: u64,
    /// The time of the revocation, Unix seconds.
    pub revoked_at: Option<u64>,
    /// The use of each quota or budget.
    pub meters: Vec<MeterStatus>,
    /// The number of seats that are held now. Under the concurrent options, seats are held only
    /// while the item is overused.
    pub held: u64,
    /// The instant at which the next seat becomes free, if it is not renewed, Unix seconds.
    pub next_free_at: Option<u64>,
    /// The number of devices or instances that are active in the current slot, as far as they have
    /// reported; for the concurrent options.
    pub active_now: Option<u64>,
}

/// The use of a quota or budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeterStatus {
    /// The unit that is counted: scans, pages, devices, or the excess of this license year.
    #[schema(value_type = String)]
    pub of: Metered,
    /// The module of pages; 0 for everything else.
    pub module: u32,
    /// The name of the module; empty for everything else.
    pub module_name: String,
    /// The used amount.
    pub used: u64,
    /// The quota, or the overuse budget as far as it has grown.
    pub quota: u64,
    /// The amount above the quota that is still served.
    pub grace: u64,
    /// The amount of a strict item that devices may still count without asking, in addition to the
    /// used amount; absent when the item is not strict.
    pub set_aside: Option<u64>,
    /// The state of the meter.
    pub state: ItemState,
    /// The forecast of the day on which it will be used up.
    pub forecast: Forecast,
}

impl MeterStatus {
    /// Return what is counted, for people.
    #[must_use]
    pub fn noun(&self) -> String {
        match self.of {
            Metered::Scans => "scans".to_owned(),
            Metered::Pages => format!("pages {}", page_module_name(self.module)),
            Metered::Devices => "seats".to_owned(),
            Metered::Excess => "excess".to_owned(),
            Metered::Unknown => "unknown".to_owned(),
        }
    }
}

impl Sheets for Status {
    fn sheets(&self) -> Vec<Sheet> {
        let columns = vec![
            "item_id",
            "option",
            "of",
            "used",
            "quota",
            "grace",
            "set_aside",
            "state",
            "held",
            "next_free",
            "expires",
            "used_up_on",
            "refused_on",
            "basis",
        ];
        let mut notes = Vec::new();
        if self.items.is_empty() {
            notes.push("no license yet: give the key of this server to your vendor".to_owned());
        }
        if let Some(next) = &self.next {
            notes.push(format!("there are more items: continue with --after {next}"));
        }
        let items = Sheet {
            columns,
            rows: self.items.iter().flat_map(rows).collect(),
            notes,
            ..Sheet::default()
        };
        vec![items, self.server.sheet(self.at)]
    }
}

fn rows(item: &ItemStatus) -> Vec<Vec<Cell>> {
    let option = item.option.map(|way| name(&way).replace('_', "-"));
    let row = |meter: Option<&MeterStatus>| {
        let forecast = meter.map(|meter| &meter.forecast);
        let state = if item.state > ItemState::Overused {
            item.state
        } else {
            meter.map_or(item.state, |meter| meter.state)
        };
        vec![
            Cell::from(&item.item_id),
            Cell::from(option.clone()),
            Cell::from(meter.map(MeterStatus::noun)),
            Cell::from(meter.map(|meter| meter.used)),
            Cell::from(meter.map(|meter| meter.quota)),
            Cell::from(meter.map(|meter| meter.grace)),
            Cell::from(meter.and_then(|meter| meter.set_aside)),
            Cell::from(state.words()),
            Cell::from(item.held),
            Cell::instant(item.next_free_at),
            Cell::instant((item.expires_at > 0).then_some(item.expires_at)),
            Cell::from(forecast.and_then(|forecast| forecast.used_up_on.clone())),
            Cell::from(forecast.and_then(|forecast| forecast.refused_on.clone())),
            Cell::from(forecast.map(|forecast| forecast.reason.clone())),
        ]
    };
    match item.meters.as_slice() {
        [] => vec![row(None)],
        meters => meters.iter().map(|meter| row(Some(meter))).collect(),
    }
}

impl ServerStatus {
    fn sheet(&self, at: u64) -> Sheet {
        let ready = match (self.ready, &self.not_ready) {
            (Some(true), _) => "yes".to_owned(),
            (Some(false), why) => format!("no: {}", why.as_deref().unwrap_or("see its log")),
            (None, _) => "not asked: GET /readyz of the running server says it".to_owned(),
        };
        let mut rows = vec![
            vec!["time".into(), utc::text(at).into()],
            vec!["ready".into(), ready.into()],
            vec!["version".into(), Cell::from(&self.version)],
            vec!["keys".into(), self.key_ids.join(", ").into()],
            vec![
                "epoch".into(),
                format!(
                    "{} ({}), since {} ({})",
                    self.epoch_number,
                    self.epoch,
                    utc::text(self.epoch_begun_at),
                    self.epoch_cause
                )
                .into(),
            ],
        ];
        let backup = self.backup_at.map_or_else(
            || "none by seatmeterd backup".to_owned(),
            |backup| {
                let hours = at.saturating_sub(backup) / 3_600;
                format!("{}, {hours} h ago", utc::text(backup))
            },
        );
        rows.push(vec!["backup".into(), backup.into()]);
        if let Some(bytes) = self.database_bytes {
            rows.push(vec!["database".into(), format!("{} KiB", bytes >> 10).into()]);
        }
        if let Some(ends_at) = self.certificate_ends_at {
            let days = ends_at.saturating_sub(at) / 86_400;
            let text = match ends_at > at {
                true => format!("ends {}, in {days} days", utc::text(ends_at)),
                false => format!("has ended {}", utc::text(ends_at)),
            };
            rows.push(vec!["certificate".into(), text.into()]);
        }
        if let Some(active) = self.standby_active {
            let role = if active { "serves, because the main server is down" } else { "waits" };
            rows.push(vec!["standby".into(), role.into()]);
        }
        if let Some(queue) = self.queue_length {
            rows.push(vec!["waiting requests".into(), queue.to_string().into()]);
        }
        Sheet { columns: vec!["server", "value"], rows, ..Sheet::default() }
    }
}
