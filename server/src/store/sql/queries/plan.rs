//! The replay of recorded usage under another option.

use super::item_ids;
use crate::error::Error;
use crate::operator::queries::asked;
use crate::operator::queries::plan::{Plan, PlanQuery};
use crate::planner::history::History;
use crate::planner::usage_file::Row;
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::recorded;
use crate::store::{UsageFilter, UsageRow};
use crate::utc;

impl Question for PlanQuery {
    type Answer = Plan;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Plan, Error> {
        let filter = UsageFilter {
            from_slot: self.from.as_deref().map_or(Ok(0), utc::slot_at_or_after).map_err(asked)?,
            until_slot: self.to.as_deref().map(utc::slot_at_or_after).transpose().map_err(asked)?,
        };
        let (mut history, mut rows) = (History::default(), 0);
        for item_id in item_ids(from, self.item.as_deref())? {
            recorded::for_each_in(from, Some(&item_id), filter, &mut |row: UsageRow| {
                rows += 1;
                let row = Row {
                    item_id: row.item_id,
                    device_uuid: row.device_uuid,
                    kind: row.kind,
                    what: row.what,
                    slot: row.slot,
                    total: row.total,
                };
                history.add(&row).map_err(|why| Error::bad_request(format!("usage: {why}")))
            })?;
        }
        from.require_time()?;
        self.replay(&history, rows).map_err(asked)
    }
}
