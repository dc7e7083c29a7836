//! What the summary of a week or month contains.

use super::status::ItemStatus;
use crate::alert::short_digest;

/// What was done in a period, for the summaries that are not written yet?
#[derive(Clone, Copy, Debug)]
pub struct SummariesQuery {
    /// The first day of the period, counted from 1970.
    pub from: u32,
    /// The first day after it.
    pub until: u32,
}

/// What was done under an item in a period.
#[derive(Clone, Debug)]
pub struct ItemSummary {
    /// How the item stands now.
    pub status: ItemStatus,
    /// What was counted, with its unit: such as `1200 scans`.
    pub counted: Vec<String>,
    /// How many authorizations were refused.
    pub refused: u64,
}

/// Return the id of the event of a summary.
#[must_use]
pub fn event_id(organization_id: &str, from: u32, until: u32) -> String {
    short_digest(&format!("summary\n{organization_id}\n{from}\n{until}"))
}
