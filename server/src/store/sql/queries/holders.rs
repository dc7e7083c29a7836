//! The present holders of seats, and the devices that were refused in the current slot.

use std::collections::BTreeSet;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::{NAME, item_ids, names, require_code, values};
use crate::error::Error;
use crate::operator::queries::holders::{HolderRow, Holders, HoldersQuery, RefusedNow};
use crate::operator::queries::refusals::HOUR_SECONDS;
use crate::operator::queries::rows;
use crate::store::account::load::accounts;
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::Row;

/// The greatest number of devices that are listed as refused in the current slot.
const REFUSED_MAX: u64 = 1_000;

/// The separator between item and holder in the place of a list.
const SEPARATOR: char = '/';

impl Question for HoldersQuery {
    type Answer = Holders;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Holders, Error> {
        let limit = rows(self.limit)?;
        if let Some(code) = &self.code {
            require_code(from, code)?;
        }
        let ids = item_ids(from, self.item.as_deref())?;
        let after = self.after.as_deref().map(|after| after.split_once(SEPARATOR));
        let (after_item, after_holder) = match after {
            None => ("", ""),
            Some(Some(place)) => place,
            Some(None) => {
                return Err(Error::bad_request("\"after\" is not the \"next\" of a part"));
            }
        };
        let mut listed: Vec<(String, HolderRow)> = Vec::new();
        for item_id in ids.iter().filter(|id| id.as_str() >= after_item) {
            let holder = if item_id == after_item { after_holder } else { "" };
            self.of_item(from, item_id, holder, limit + 1, &mut listed)?;
            if listed.len() > limit {
                break;
            }
        }
        let next = (listed.len() > limit).then(|| {
            let (holder, row) = &listed[limit - 1];
            format!("{}{SEPARATOR}{holder}", row.item_id)
        });
        listed.truncate(limit);
        Ok(Holders {
            at: from.now,
            slot: slot_of(from.now),
            holders: listed.into_iter().map(|(_, row)| row).collect(),
            refused: refused_now(from, &ids, self.code.as_deref())?,
            next,
        })
    }
}

impl HoldersQuery {
    /// List the holders of an item, each with the name under which it holds seats.
    fn of_item(
        &self,
        from: &Snapshot<'_>,
        item_id: &str,
        after: &str,
        limit: usize,
        listed: &mut Vec<(String, HolderRow)>,
    ) -> Result<(), Error> {
        let now = from.now;
        let accounts = accounts(from.sql(), [item_id], &(now..=now))?;
        let Some(account) = accounts.get(item_id) else { return Ok(()) };
        let with_seats = "SELECT 1 FROM seat_holder WHERE item_id = ?1 AND held_until > ?2 LIMIT 1";
        let way = account.item.charge_way;
        let is_limited = way.has_window()
            || way.is_concurrent() && from.sql().exists(with_seats, values![item_id, now])?;
        let (source, order) = match (is_limited, way) {
            (true, _) => (LIMITED, "held.place"),
            (false, ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance)
            | (false, ChargeWay::Domain) => (RUNNING, "held.device_uuid, held.place"),
            // Scans and pages have no seats.
            (false, _) => return Ok(()),
        };
        let query = format!(
            "SELECT held.holder, held.device_uuid, held.seats, held.until, held.place,
                    coalesce((SELECT handshake_code FROM local_license
                      WHERE local_license.item_id = ?1
                        AND local_license.device_uuid = held.device_uuid
                      ORDER BY serial DESC LIMIT 1), ''),
                    (SELECT min(begun_at) FROM local_license
                      WHERE local_license.item_id = ?1
                        AND local_license.device_uuid = held.device_uuid AND valid_until > ?2),
                    {NAME}, device.library_version,
                    (SELECT last_heard_at FROM device_identity
                      WHERE device_identity.device_uuid = held.device_uuid)
               FROM {source}
               LEFT JOIN device ON device.item_id = ?1 AND device.device_uuid = held.device_uuid
              ORDER BY {order}"
        );
        from.for_each_until(&query, values![item_id, now, after], &mut |mut row| {
            let place = row.take(4)?;
            let row = read(item_id, &mut row)?;
            if self.code.as_ref().is_none_or(|code| *code == row.handshake_code) {
                listed.push((place, row));
            }
            Ok(listed.len() < limit)
        })
    }
}

/// Holders of seats that are limited now.
const LIMITED: &str = "(SELECT holder, device_uuid, seats, held_until AS until, holder AS place
                 FROM seat_holder
                WHERE item_id = ?1 AND held_until > ?2 AND holder > ?3) AS held";

/// Devices that run while the seats are not limited. A UUID has 32 digits.
const RUNNING: &str = "(SELECT holder, device_uuid, CASE WHEN seats = 0 THEN 1 ELSE seats END
                      AS seats, valid_until AS until, device_uuid || license_id AS place
                 FROM local_license
                WHERE item_id = ?1 AND valid_until > ?2 AND device_uuid >= substr(?3, 1, 32)
                  AND device_uuid || license_id > ?3) AS held";

fn read(item_id: &str, row: &mut Row) -> Result<HolderRow, Error> {
    let (holder, device_uuid): (String, String) = (row.take(0)?, row.take(1)?);
    let origin = holder.strip_prefix(&device_uuid).and_then(|rest| rest.strip_prefix('@'));
    let name: Option<String> = row.take(7)?;
    let version: Option<String> = row.take(8)?;
    Ok(HolderRow {
        item_id: item_id.to_owned(),
        origin: origin.map(str::to_owned),
        seats: row.take(2)?,
        until: row.take(3)?,
        handshake_code: row.take(5)?,
        since: row.take(6)?,
        name: name.unwrap_or_default(),
        library_version: version.unwrap_or_default(),
        last_heard_at: row.take(9)?,
        device_uuid,
    })
}

/// List the devices that were refused in the current slot.
fn refused_now(
    from: &Snapshot<'_>,
    item_ids: &[String],
    code: Option<&str>,
) -> Result<Vec<RefusedNow>, Error> {
    let begin = slot_start(slot_of(from.now));
    let query = "SELECT device_uuid, handshake_code, code, last_at, last_detail, device_name
           FROM refusal
          WHERE item_id = ?1 AND hour >= ?2 AND last_at >= ?3
          ORDER BY last_at, device_uuid, code LIMIT ?4";
    let mut refused = Vec::new();
    for item_id in item_ids {
        let left = REFUSED_MAX.saturating_sub(refused.len() as u64);
        for mut row in
            from.sql().query(query, values![item_id, begin / HOUR_SECONDS, begin, left])?
        {
            let found = RefusedNow {
                item_id: item_id.clone(),
                device_uuid: row.take(0)?,
                handshake_code: row.take(1)?,
                code: super::refusals::number(row.take(2)?),
                at: row.take(3)?,
                detail: row.take(4)?,
                name: row.take(5)?,
            };
            if code.is_none_or(|code| code == found.handshake_code) {
                refused.push(found);
            }
        }
    }
    let uuids: BTreeSet<String> = refused.iter().map(|row| row.device_uuid.clone()).collect();
    let names = names(from.sql(), &uuids)?;
    for row in &mut refused {
        if let Some(name) = names.get(&row.device_uuid) {
            row.name.clone_from(name);
        }
    }
    Ok(refused)
}
