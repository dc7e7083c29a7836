//! The gauges for a scrape by Prometheus.

use super::values;
use super::{item_ids, status};
use crate::error::Error;
use crate::operator::commands::{ROLLBACK, ROLLBACK_YEAR};
use crate::operator::queries::gauges::{DeviceCounts, DeviceCountsQuery, Gauges, GaugesQuery};
use crate::store::reading::{Question, Snapshot};

/// The number of items that are read at once.
const ITEMS_AT_ONCE: usize = 1_000;

impl Question for GaugesQuery {
    type Answer = Gauges;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Gauges, Error> {
        let rollbacks: Option<u64> = from.sql().value(
            "SELECT count(*) FROM epoch WHERE cause = ?1 AND begun_at > ?2",
            values![ROLLBACK, from.now.saturating_sub(ROLLBACK_YEAR)],
        )?;
        let mut gauges = Gauges {
            at: from.now,
            server: status::server(from)?,
            rollbacks: rollbacks.unwrap_or(0),
            ..Gauges::default()
        };
        for ids in item_ids(from, None)?.chunks(ITEMS_AT_ONCE) {
            from.require_time()?;
            status::items(from, ids)?.iter().for_each(|item| gauges.add(item));
        }
        Ok(gauges)
    }
}

impl Question for DeviceCountsQuery {
    type Answer = DeviceCounts;

    fn answer(&self, from: &Snapshot<'_>) -> Result<DeviceCounts, Error> {
        let all: Option<u64> =
            from.sql().value("SELECT count(DISTINCT device_uuid) FROM device", &[])?;
        let running: Option<u64> = from.sql().value(
            "SELECT count(DISTINCT device_uuid) FROM local_license WHERE valid_until > ?1",
            values![from.now],
        )?;
        let running = running.unwrap_or(0);
        Ok(DeviceCounts { running, ended: all.unwrap_or(0).saturating_sub(running) })
    }
}
