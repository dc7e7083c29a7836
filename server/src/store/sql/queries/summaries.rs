//! The data of the summaries of a week or month.

use std::collections::BTreeMap;

use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::page_module::page_module_name;

use super::{item_ids, status, values};
use crate::error::Error;
use crate::operator::queries::summaries::SummariesQuery;
use crate::operator::queries::summaries::{ItemSummary, event_id};
use crate::store::account::{EXCESS_KIND, SEATS_KIND};
use crate::store::reading::{Question, Snapshot};

/// The number of items that are read at once.
const ITEMS_AT_ONCE: usize = 1_000;

impl Question for SummariesQuery {
    type Answer = BTreeMap<String, Vec<ItemSummary>>;

    /// Return the items of each organization whose summary is not written yet.
    fn answer(&self, from: &Snapshot<'_>) -> Result<Self::Answer, Error> {
        let mut wanted = BTreeMap::new();
        let owners = "SELECT organization_id FROM organization ORDER BY organization_id";
        for mut row in from.sql().query(owners, &[])? {
            let id: String = row.take(0)?;
            let event = event_id(&id, self.from, self.until);
            let is_written = "SELECT 1 FROM alert_event WHERE event_id = ?1";
            if !from.sql().exists(is_written, values![&event])? {
                wanted.insert(id, Vec::new());
            }
        }
        if wanted.is_empty() {
            return Ok(wanted);
        }
        for ids in item_ids(from, None)?.chunks(ITEMS_AT_ONCE) {
            from.require_time()?;
            for status in status::items(from, ids)? {
                if let Some(items) = wanted.get_mut(&status.organization_id) {
                    let counted = self.counted(from, &status.item_id)?;
                    let refused = self.refused(from, &status.item_id)?;
                    items.push(ItemSummary { status, counted, refused });
                }
            }
        }
        wanted.retain(|_, items| !items.is_empty());
        Ok(wanted)
    }
}

impl SummariesQuery {
    /// Return what was counted under an item, each with its unit.
    fn counted(&self, from: &Snapshot<'_>, item_id: &str) -> Result<Vec<String>, Error> {
        let rows = from.sql().query(
            "SELECT kind, module, CAST(sum(amount) AS BIGINT), max(amount) FROM item_day
              WHERE item_id = ?1 AND day >= ?2 AND day < ?3 GROUP BY kind, module
              ORDER BY kind, module",
            values![item_id, self.from, self.until],
        )?;
        let mut counted = Vec::new();
        for mut row in rows {
            let (kind, module): (u8, u32) = (row.take(0)?, row.take(1)?);
            let (sum, peak): (i64, i64) = (row.take(2)?, row.take(3)?);
            counted.push(match kind {
                EXCESS_KIND => format!("{sum} excess"),
                SEATS_KIND => format!("{peak} seats at the highest"),
                kind if kind == UsageKind::Scan.number() => format!("{sum} scans"),
                kind if kind == UsageKind::Page.number() => {
                    format!("{sum} pages {}", page_module_name(module))
                }
                _ => format!("{sum} images"),
            });
        }
        Ok(counted)
    }

    fn refused(&self, from: &Snapshot<'_>, item_id: &str) -> Result<u64, Error> {
        let refused: Option<Option<u64>> = from.sql().value(
            "SELECT CAST(sum(refused) AS BIGINT) FROM refusal
              WHERE item_id = ?1 AND hour >= ?2 AND hour < ?3",
            values![item_id, u64::from(self.from) * 24, u64::from(self.until) * 24],
        )?;
        Ok(refused.flatten().unwrap_or(0))
    }
}
