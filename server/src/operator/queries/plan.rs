//! `plan`: the outcome of recorded usage under another license option or another N.

use clap::{Args, ValueEnum};
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::item_check::{QUOTA_MAX, check_item};
use seatmeter_protocol::license::{LicenseItem, SEATS_MAX};
use seatmeter_protocol::page_module::PAGE_MODULES;
use seatmeter_protocol::slot::slot_start;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};
use crate::error::Error;
use crate::planner::concurrent::Trial;
use crate::planner::history::History;
use crate::planner::{Outcome, concurrent, metered, seats};
use crate::utc;

/// The query for the effect that another option would have had.
#[derive(Args, Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct PlanQuery {
    /// The license option to try
    #[arg(long, value_enum)]
    #[param(inline)]
    pub option: PlanOption,
    /// The quota N; for pages, the same for each module
    #[arg(long, value_name = "N")]
    pub quota: u64,
    /// Seats that each device requests, because usage does not contain them; for concurrent
    /// instances
    #[arg(long, value_name = "X")]
    pub seats_per_device: Option<u32>,
    /// Overuse budget of a license year; for the concurrent options [default: 1000·N]
    #[arg(long, value_name = "SLOTS")]
    pub overuse_budget: Option<u64>,
    /// Growth of the overuse budget; for the concurrent options
    #[arg(long, value_name = "SLOTS", default_value_t = 0)]
    #[serde(default)]
    pub overuse_growth_per_day: u64,
    /// Days for which a device keeps its seat; for devices and servers [default: 90; servers: 1]
    #[arg(long, value_name = "DAYS")]
    pub window_days: Option<u32>,
    /// Start of the first license year, such as 2026-11-25 [default: with the first slot of the
    /// usage]
    #[arg(long, value_name = "TIME")]
    pub starts: Option<String>,
    /// Only the usage of this license item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// Only slots that begin at or after this time
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only slots that begin before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// A license option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PlanOption {
    /// Unique barcodes
    #[value(name = "per-barcode-scan")]
    #[serde(rename = "per-barcode-scan")]
    BarcodeScan,
    /// Pages of each module
    #[value(name = "per-page")]
    #[serde(rename = "per-page")]
    Page,
    /// Devices within a window
    #[value(name = "per-client-device")]
    #[serde(rename = "per-client-device")]
    ClientDevice,
    /// Servers within a window
    #[value(name = "per-server")]
    #[serde(rename = "per-server")]
    Server,
    /// Unlimited use under a domain
    #[value(name = "per-domain")]
    #[serde(rename = "per-domain")]
    Domain,
    /// Devices active in the same slot
    #[value(name = "per-concurrent-device")]
    #[serde(rename = "per-concurrent-device")]
    ConcurrentDevice,
    /// Instances alive in the same slot
    #[value(name = "per-concurrent-instance")]
    #[serde(rename = "per-concurrent-instance")]
    ConcurrentInstance,
}

impl PlanOption {
    fn charge_way(self) -> ChargeWay {
        match self {
            Self::BarcodeScan => ChargeWay::BarcodeScan,
            Self::Page => ChargeWay::Page,
            Self::ClientDevice => ChargeWay::ClientDevice,
            Self::Server => ChargeWay::Server,
            Self::Domain => ChargeWay::Domain,
            Self::ConcurrentDevice => ChargeWay::ConcurrentDevice,
            Self::ConcurrentInstance => ChargeWay::ConcurrentInstance,
        }
    }

    /// Return the name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The usage that was tried, and the outcome for each quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Plan {
    /// The option.
    pub option: String,
    /// The number of devices.
    pub devices: usize,
    /// The number of rows of usage.
    pub rows: u64,
    /// The first slot with usage.
    pub first_slot: Option<u32>,
    /// The last slot with usage.
    pub last_slot: Option<u32>,
    /// The outcomes.
    #[schema(value_type = Vec<Object>)]
    pub outcomes: Vec<Outcome>,
}

impl PlanQuery {
    /// Replay a history of this many rows.
    ///
    /// # Errors
    /// Fails when such an item makes no sense.
    pub fn replay(&self, history: &History, rows: u64) -> Result<Plan, Error> {
        let item = self.trial(history)?;
        Ok(Plan {
            option: self.option.name(),
            devices: history.device_count(),
            rows,
            first_slot: history.span().map(|(first, _)| first),
            last_slot: history.span().map(|(_, last)| last),
            outcomes: self.outcomes(item, history),
        })
    }

    /// Return the item to try.
    fn trial(&self, history: &History) -> Result<LicenseItem, Error> {
        let Self { option, overuse_budget, overuse_growth_per_day, window_days, .. } = self;
        if self.seats_per_device.is_some() && *option != PlanOption::ConcurrentInstance {
            return Err(Error::Setup(
                "--seats-per-device belongs to --option per-concurrent-instance.".into(),
            ));
        }
        if self.seats_per_device.is_some_and(|seats| !(1..=SEATS_MAX).contains(&seats)) {
            return Err(Error::Setup(format!("seats per device are 1 to {SEATS_MAX}.")));
        }
        if !(1..=QUOTA_MAX).contains(&self.quota) {
            return Err(Error::Setup(format!("the quota is 1 to {QUOTA_MAX}.")));
        }
        let start = match &self.starts {
            Some(written) => utc::slot_at_or_after(written)?,
            None => history.span().map_or(0, |(first, _)| first),
        };
        let item = LicenseItem {
            overuse_budget: *overuse_budget,
            overuse_growth_per_day: *overuse_growth_per_day,
            window_days: *window_days,
            ..LicenseItem::new("plan", option.charge_way(), self.quota, slot_start(start), u64::MAX)
        };
        // Pages have a quota for each module, and domains have none; N is not that of the item.
        let checked = match option {
            PlanOption::Page | PlanOption::Domain => {
                LicenseItem { charge_way: ChargeWay::BarcodeScan, ..item.clone() }
            }
            _ => item.clone(),
        };
        check_item(&checked)
            .map_err(|why| Error::Setup(format!("such an item is invalid: it {why}.")))?;
        Ok(item)
    }

    fn outcomes(&self, item: LicenseItem, history: &History) -> Vec<Outcome> {
        let quota = self.quota;
        match self.option {
            PlanOption::BarcodeScan => {
                vec![metered::replay(history.scans(), "scans".to_owned(), quota)]
            }
            PlanOption::Page => PAGE_MODULES
                .iter()
                .zip(history.pages())
                .map(|((name, _), pages)| metered::replay(pages, format!("{name} pages"), quota))
                .collect(),
            PlanOption::ClientDevice | PlanOption::Server => vec![seats::replay(history, &item)],
            PlanOption::Domain => vec![under_a_domain(history, quota)],
            PlanOption::ConcurrentDevice => {
                vec![concurrent::replay(history, &Trial { item, what: "devices", seats: 1 })]
            }
            PlanOption::ConcurrentInstance => {
                let seats = self.seats_per_device.unwrap_or(1);
                vec![concurrent::replay(history, &Trial { item, what: "instances", seats })]
            }
        }
    }
}

/// Return the outcome under a domain: nothing is refused, whatever N is.
fn under_a_domain(history: &History, quota: u64) -> Outcome {
    let busiest = history.active().iter().fold((None, 0), |(slot, most), (at, devices)| {
        if devices > most { (Some(at), devices) } else { (slot, most) }
    });
    Outcome {
        what: "devices".to_owned(),
        quota,
        peak: busiest.1,
        peak_slot: busiest.0,
        refused: 0,
        first_refused_slot: None,
        smallest_quota: 0,
        years: Vec::new(),
    }
}

impl Sheets for Plan {
    fn sheets(&self) -> Vec<Sheet> {
        let row = |outcome: &Outcome| {
            vec![
                Cell::from(&outcome.what),
                Cell::from(outcome.quota),
                Cell::from(outcome.peak),
                Cell::instant(outcome.peak_slot.map(slot_start)),
                Cell::from(outcome.refused),
                Cell::instant(outcome.first_refused_slot.map(slot_start)),
                Cell::from(outcome.smallest_quota),
            ]
        };
        vec![Sheet {
            title: self.option.clone(),
            columns: vec![
                "what",
                "quota",
                "peak",
                "peak_at",
                "refused",
                "first_refused_at",
                "smallest_quota",
            ],
            rows: self.outcomes.iter().map(row).collect(),
            ..Sheet::default()
        }]
    }
}
