//! What recorded usage would have come to under another license option, or another N.
//!
//! [`usage_file`] reads an export row by row, [`history`] keeps of it what the rules ask about, and
//! one replay for each kind of option runs through that in order of time with the functions of
//! [`crate::policy`]: the planner has no rules of its own. What a history keeps grows with devices
//! and days, not with rows.
//!
//! An export knows slots, not seconds: every device of a slot comes at the slot's begin, in the
//! order in which the export names devices first.

pub mod concurrent;
pub mod history;
pub mod metered;
pub mod seats;
pub mod usage_file;

use serde::Serialize;

/// How one quota would have fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What is counted, in the plural: devices, servers, instances, scans, or pages of a module.
    pub what: String,
    /// N.
    pub quota: u64,
    /// The most at a time: in one slot, or holding a seat. For scans and pages what was used in
    /// all.
    pub peak: u64,
    /// The slot in which that was first reached.
    pub peak_slot: Option<u32>,
    /// Refusals: devices that would not have been served, once for each slot. For scans and pages
    /// those that would not have been counted.
    pub refused: u64,
    /// The slot of the first refusal.
    pub first_refused_slot: Option<u32>,
    /// The smallest N with no refusal.
    pub smallest_quota: u64,
    /// The overuse budgets; for the concurrent kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<YearOutcome>,
}

/// How the overuse budget of one license year would have fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct YearOutcome {
    /// 0 for the first.
    pub year: u32,
    /// First instant, Unix seconds.
    pub starts_at: u64,
    /// The excess of all slots of the history in it.
    pub excess: u64,
    /// The budget at its last slot with usage.
    pub budget: u64,
    /// The slot after which the excess was above the budget for the first time.
    pub ran_out_after_slot: Option<u32>,
}
