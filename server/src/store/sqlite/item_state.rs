//! How an item stands for a device: the narrow place through which the licence rules see the database.

use rusqlite::{Connection, params};

use super::stored;
use crate::error::Error;
use crate::policy::ItemState;

/// Reads it, in the transaction of the decision.
pub(super) fn item_state(
    connection: &Connection,
    item_id: &str,
    device_uuid: &str,
    now: u64,
) -> Result<ItemState, Error> {
    let state = connection
        .prepare_cached(
            "SELECT (SELECT max(seats_asked) FROM local_license AS running
                      WHERE running.item_id = ?1 AND running.device_uuid = ?2 AND running.valid_until > ?3),
                    (SELECT newest_serial FROM device WHERE item_id = ?1 AND device_uuid = ?2)",
        )?
        .query_row(params![item_id, device_uuid, stored(now)], |row| {
            Ok(ItemState {
                running_seats: row.get::<_, Option<u32>>(0)?.unwrap_or(0),
                newest_serial: row.get::<_, Option<u32>>(1)?.unwrap_or(0),
            })
        })?;
    Ok(state)
}
