//! The contents of the summary of a week or month.

use super::status::ItemStatus;
use crate::alert::short_digest;

/// The query for the work of a period, for the summaries that are not written yet.
#[derive(Clone, Copy, Debug)]
pub struct SummariesQuery {
    /// The first day of the period, counted from 1970.
    pub from: u32,
    /// The first day after it.
    pub until: u32,
}

/// The work under an item in a period.
#[derive(Clone, Debug)]
pub struct ItemSummary {
    /// The present status of the item.
    pub status: ItemStatus,
    /// The counted amounts with their units, such as `1200 scans`.
    pub counted: Vec<String>,
    /// The number of refused authorizations.
    pub refused: u64,
}

/// Return the id of the event of a summary.
#[must_use]
pub fn event_id(organization_id: &str, from: u32, until: u32) -> String {
    short_digest(&format!("summary\n{organization_id}\n{from}\n{until}"))
}
