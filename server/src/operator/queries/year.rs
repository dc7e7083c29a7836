//! `year`: the peak and the sum of each day.

use clap::Args;
use seatmeter_protocol::charge_way::ChargeWay;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};

/// The query for the use of an item in a year.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct YearQuery {
    /// The item
    #[serde(skip)]
    #[param(ignore)]
    pub item_id: String,
    /// The year, such as 2026 [default: the 366 days up to today]
    pub year: Option<String>,
}

/// The days of a year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Year {
    /// The item.
    pub item_id: String,
    /// The license option: the charge way.
    #[schema(value_type = String)]
    pub option: ChargeWay,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// The unit of the days: devices, instances, seats, scans or pages.
    pub unit: String,
    /// N; absent for pages, which have one for each module.
    pub quota: Option<u64>,
    /// The days, those without usage as well.
    pub days: Vec<YearDay>,
    /// The highest peak.
    pub peak: u64,
    /// The first day with this peak.
    pub peak_on: Option<String>,
    /// The sum of what was counted.
    pub total: u64,
    /// The sum of the excess.
    pub excess: u64,
}

/// A day of a year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct YearDay {
    /// The date.
    pub date: String,
    /// The highest number of one slot under the concurrent options; of seats held under the options
    /// for devices and servers. Scans and pages have none.
    pub peak: u64,
    /// The sum of scans or pages of the day; 0 under the other options.
    pub total: u64,
    /// The excess of the day, as it was set against the budget.
    pub excess: u64,
}

/// The query for the use of these items in the last days. Items that do not exist for the caller
/// are left out.
#[derive(Clone, Debug)]
pub struct RecentQuery {
    /// The items.
    pub item_ids: Vec<String>,
    /// The number of days up to today.
    pub days: u32,
}

/// The last days of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The item.
    pub item_id: String,
    /// The unit of the days, as in [`Year`].
    pub unit: String,
    /// The peaks of the days for options that hold seats or have N in a slot, and the sums of the
    /// days for the others.
    pub days: Vec<u64>,
}

impl Sheets for Year {
    fn sheets(&self) -> Vec<Sheet> {
        let row = |day: &YearDay| {
            vec![
                Cell::from(&day.date),
                Cell::from(day.peak),
                Cell::from(self.quota),
                Cell::from(day.total),
                Cell::from(day.excess),
            ]
        };
        let has_use = |day: &&YearDay| day.peak > 0 || day.total > 0 || day.excess > 0;
        let mut notes = Vec::new();
        match &self.peak_on {
            Some(date) => notes.push(format!("peak {} {} on {date}", self.peak, self.unit)),
            None if self.total == 0 => notes.push("nothing was used in this time".to_owned()),
            None => {}
        }
        vec![Sheet {
            title: format!("item {}, {} to {}, UTC", self.item_id, self.from, self.to),
            columns: vec!["date", "peak", "quota", "total", "excess"],
            rows: self.days.iter().filter(has_use).map(row).collect(),
            total: vec![
                "total".into(),
                Cell::Empty,
                Cell::Empty,
                self.total.into(),
                self.excess.into(),
            ],
            notes,
        }]
    }
}
