//! The holders of an item's seats, as a refusal lists them.

use seatmeter_protocol::message::{HOLDERS_MAX, Holder};

use super::{Sql, values};
use crate::error::Error;

/// A holder with the name under which it holds its seats.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) holder: Holder,
}

/// The number of digits of a UUID by which people tell a device that has no name.
const UUID_DIGITS: usize = 4;

/// Return the first holders of seats other than this one, ordered by the end of their hold. Their
/// UUIDs are for the operator alone.
pub(super) fn list(sql: &dyn Sql, item_id: &str, name: &str) -> Result<Vec<Named>, Error> {
    let rows = sql.query(
        "SELECT seat_holder.device_uuid, coalesce(device_name.name, device.friendly_name, ''),
                seat_holder.seats, seat_holder.held_until, seat_holder.holder
           FROM seat_holder
           LEFT JOIN device ON device.item_id = seat_holder.item_id
                           AND device.device_uuid = seat_holder.device_uuid
           LEFT JOIN device_name ON device_name.device_uuid = seat_holder.device_uuid
          WHERE seat_holder.item_id = ?1 AND seat_holder.holder <> ?2
          ORDER BY seat_holder.held_until, seat_holder.holder LIMIT ?3",
        // Read one row more, because the device itself may be one of these holders.
        values![item_id, name, HOLDERS_MAX as u64 + 1],
    )?;
    rows.into_iter()
        .map(|mut row| {
            let (mut name, mut uuid): (String, String) = (row.take(1)?, row.take(0)?);
            if name.is_empty() {
                uuid.truncate(UUID_DIGITS);
                name = uuid;
            }
            let holder = Holder { name, seats: row.take(2)?, until: row.take(3)? };
            Ok(Named { name: row.take(4)?, holder })
        })
        .collect()
}
