//! Reading usage for the command line, while the server may be writing.

use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, Row, params};
use seatmeter_protocol::message::UsageKind;

use super::{connect, migration, unusable};
use crate::error::Error;
use crate::store::{UsageFilter, UsageRow};

/// A connection that cannot write.
#[derive(Debug)]
pub struct UsageReader {
    connection: Connection,
}

// A sum of counters may be greater than SQLite's integers, which would be an error: the two halves cannot.
const ROWS: &str = "
    SELECT segment.handshake_code, segment.item_id, segment.device_uuid,
           coalesce((SELECT name FROM device_name WHERE device_name.device_uuid = segment.device_uuid),
                    (SELECT friendly_name FROM device
                      WHERE device.item_id = segment.item_id AND device.device_uuid = segment.device_uuid), ''),
           usage.slot, usage.kind, usage.what, sum(usage.total >> 32), sum(usage.total & 0xffffffff)
      FROM usage JOIN segment USING (item_id, segment_id)
     WHERE usage.slot >= ?1 AND usage.slot < ?2
     GROUP BY segment.handshake_code, segment.item_id, segment.device_uuid, usage.slot, usage.kind, usage.what
     ORDER BY segment.handshake_code, segment.item_id, segment.device_uuid, usage.slot, usage.kind, usage.what";

impl UsageReader {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// When it cannot be opened, or its tables are of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| unusable(path, &e))?;
        migration::require_current(&connection)?;
        Ok(Self { connection })
    }

    /// Hands every counter to `each`: by handshake code, item, device, slot, kind, symbology or module.
    ///
    /// # Errors
    /// When the database cannot be read, or the first error of `each`.
    pub fn for_each(
        &self,
        filter: UsageFilter,
        mut each: impl FnMut(UsageRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let until = filter.until_slot.map_or(i64::MAX, i64::from);
        let mut statement = self.connection.prepare(ROWS)?;
        let mut rows = statement.query(params![filter.from_slot, until])?;
        while let Some(row) = rows.next()? {
            each(usage_row(row)?)?;
        }
        Ok(())
    }
}

fn usage_row(row: &Row<'_>) -> rusqlite::Result<UsageRow> {
    let kind: u8 = row.get(5)?;
    let half = |column| -> rusqlite::Result<u128> {
        let sum: i64 = row.get(column)?;
        u128::try_from(sum).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, sum))
    };
    Ok(UsageRow {
        handshake_code: row.get(0)?,
        item_id: row.get(1)?,
        device_uuid: row.get(2)?,
        friendly_name: row.get(3)?,
        slot: row.get(4)?,
        kind: UsageKind::from_number(kind).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(5, Type::Integer, "unknown kind of usage".into())
        })?,
        what: row.get(6)?,
        total: (half(7)? << 32) + half(8)?,
    })
}
