//! The planner: the outcome of recorded usage under another license option or another N.
//!
//! [`usage_file`] reads an export row by row, and [`history`] keeps the facts that the rules need.
//! One replay for each kind of option then runs through these facts in order of time with the
//! functions of [`crate::policy`]: the planner has no rules of its own. The size of a history grows
//! with devices and days, not with rows.
//!
//! An export contains slots, not seconds. Therefore every device of a slot comes at the start of
//! the slot, in the order in which the export first names the devices.

pub mod concurrent;
pub mod history;
pub mod metered;
pub mod seats;
pub mod usage_file;

use serde::Serialize;

/// The outcome with one quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The name of what is counted, in the plural: devices, servers, instances, scans, or pages of
    /// a module.
    pub what: String,
    /// The quota N.
    pub quota: u64,
    /// The greatest number at a time: in one slot, or holding a seat. For scans and pages, the
    /// total use.
    pub peak: u64,
    /// The slot in which the peak was first reached.
    pub peak_slot: Option<u32>,
    /// The number of refusals: devices that would not have been served, once for each slot. For
    /// scans and pages, the number of those that would not have been counted.
    pub refused: u64,
    /// The slot of the first refusal.
    pub first_refused_slot: Option<u32>,
    /// The smallest N without a refusal.
    pub smallest_quota: u64,
    /// The overuse budgets, for the concurrent charge ways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<YearOutcome>,
}

/// The outcome for the overuse budget of one license year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct YearOutcome {
    /// The number of the license year; 0 for the first.
    pub year: u32,
    /// The first instant of the license year, Unix seconds.
    pub starts_at: u64,
    /// The excess of all slots of the history in this year.
    pub excess: u64,
    /// The budget at the year's last slot with usage.
    pub budget: u64,
    /// The slot after which the excess was first above the budget.
    pub ran_out_after_slot: Option<u32>,
}
