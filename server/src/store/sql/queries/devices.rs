//! The devices under the items, and which device is meant by a name.

use std::collections::BTreeSet;

use super::{NAME, item_ids, own_codes, require_code, values};
use crate::error::Error;
use crate::operator::commands::{DeviceRow, DeviceState, ROWS_MAX};
use crate::operator::queries::devices::{DeviceMeant, DevicesQuery};
use crate::operator::queries::instant;
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::Row;

/// The greatest number of devices that a name may mean.
const MEANT_MAX: usize = 100;

/// The number of digits of a UUID.
const UUID_DIGITS: usize = 32;

/// A text that is after every text with the same beginning.
const LAST: char = '\u{10ffff}';

impl Question for DevicesQuery {
    type Answer = Vec<DeviceRow>;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Vec<DeviceRow>, Error> {
        let limit = match self.limit {
            None => ROWS_MAX as usize,
            limit => crate::operator::queries::rows(limit)?,
        };
        if let Some(code) = &self.code {
            require_code(from, code)?;
        }
        let (after_item, after_device) = match (&self.after_item, &self.after_device) {
            (Some(item), Some(device)) => (item.as_str(), device.as_str()),
            (None, None) => ("", ""),
            _ => return Err(Error::bad_request("name after_item and after_device, or neither")),
        };
        let offline_since = self.offline_since.as_deref().map(instant).transpose()?;
        let mut found = Vec::new();
        for item_id in item_ids(from, self.item_id.as_deref())? {
            if found.len() >= limit || item_id.as_str() < after_item {
                continue;
            }
            let after = if item_id == after_item { after_device } else { "" };
            self.of_item(from, &item_id, after, offline_since, limit, &mut found)?;
        }
        Ok(found)
    }
}

impl DevicesQuery {
    fn of_item(
        &self,
        from: &Snapshot<'_>,
        item_id: &str,
        after: &str,
        offline_since: Option<u64>,
        limit: usize,
        found: &mut Vec<DeviceRow>,
    ) -> Result<(), Error> {
        let wanted = self.uuid.as_deref().unwrap_or("");
        let (first, last) = (after.max(wanted), format!("{wanted}{LAST}"));
        let Some(name) = &self.name else {
            return self.of_range(
                from,
                item_id,
                (first, &last),
                after,
                offline_since,
                limit,
                found,
            );
        };
        // A part of a name is in no index. The database looks at names alone and hands over those
        // that may fit, which costs a small part of handing over all of them.
        let (name, mut begin) = (name.to_lowercase(), first.to_owned());
        let pattern = pattern(&name);
        let mut before = after.to_owned();
        loop {
            let mut fitting: Vec<String> = Vec::new();
            let wanted = limit.saturating_sub(found.len());
            let range = values![item_id, &begin, &last, &pattern];
            from.for_each_until(&names_query(), range, &mut |mut row| {
                let (uuid, own): (String, String) = (row.take(0)?, row.take(1)?);
                if uuid != before && own.to_lowercase().contains(&name) {
                    fitting.push(uuid);
                }
                Ok(fitting.len() < wanted)
            })?;
            for uuid in &fitting {
                let range = (uuid.as_str(), &*format!("{uuid}{LAST}"));
                self.of_range(from, item_id, range, after, offline_since, limit, found)?;
            }
            from.require_time()?;
            match fitting.pop() {
                Some(newest) if fitting.len() + 1 >= wanted && found.len() < limit => {
                    begin.clone_from(&newest);
                    before = newest;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Find the devices of an item in a range of UUIDs; the name is not looked at.
    #[expect(clippy::too_many_arguments, reason = "it is one step of a search with as many terms")]
    fn of_range(
        &self,
        from: &Snapshot<'_>,
        item_id: &str,
        (first, last): (&str, &str),
        after: &str,
        offline_since: Option<u64>,
        limit: usize,
        found: &mut Vec<DeviceRow>,
    ) -> Result<(), Error> {
        let range = values![from.now, item_id, first, last, self.code.as_deref().unwrap_or("")];
        from.for_each_until(&query(), range, &mut |mut row| {
            let (device, has_code, has_reported) = read(item_id, &mut row)?;
            let is_wanted = device.device_uuid != after
                && (self.code.is_none() || has_code)
                && self.state.is_none_or(|state| state == device.state)
                && offline_since.is_none_or(|since| device.heard_at() < since)
                && !(self.never_reported && has_reported);
            if is_wanted {
                found.push(device);
            }
            Ok(found.len() < limit)
        })
    }
}

impl DeviceRow {
    /// Return when the server last heard of the device, as far as it knows.
    fn heard_at(&self) -> u64 {
        self.last_heard_at.unwrap_or(0).max(self.last_seen_at)
    }
}

/// Return the query for the devices of an item in a range of UUIDs. Each row is read by the key, so
/// a part of the list costs the same wherever it is.
fn query() -> String {
    let running = "FROM local_license AS running
             WHERE running.item_id = device.item_id AND running.device_uuid = device.device_uuid
               AND running.valid_until > ?1";
    let identity = "FROM device_identity WHERE device_identity.device_uuid = device.device_uuid";
    format!(
        "SELECT device.device_uuid, {NAME}, device.library_version,
                coalesce((SELECT max(running.seats) {running}), 0),
                coalesce((SELECT max(running.valid_until) {running}), 0),
                device.first_seen_at, device.last_seen_at,
                coalesce((SELECT rollbacks {identity}), 0),
                coalesce((SELECT rolled_back_at {identity}), 0),
                (SELECT last_heard_at {identity}),
                CASE WHEN EXISTS (SELECT 1 FROM local_license AS known
                  WHERE known.item_id = device.item_id AND known.device_uuid = device.device_uuid
                    AND known.handshake_code = ?5) THEN 1 ELSE 0 END,
                CASE WHEN EXISTS (SELECT 1 FROM segment
                  WHERE segment.device_uuid = device.device_uuid
                    AND segment.item_id = device.item_id) THEN 1 ELSE 0 END
           FROM device
          WHERE device.item_id = ?2 AND device.device_uuid >= ?3 AND device.device_uuid < ?4
          ORDER BY device.item_id, device.device_uuid"
    )
}

/// Return the query for the devices of an item in a range of UUIDs whose names may fit a pattern.
fn names_query() -> String {
    format!(
        "SELECT device.device_uuid, {NAME} FROM device
          WHERE device.item_id = ?1 AND device.device_uuid >= ?2 AND device.device_uuid < ?3
            AND lower({NAME}) LIKE ?4 ESCAPE '!'
          ORDER BY device.item_id, device.device_uuid"
    )
}

/// Return a pattern for LIKE that fits every name which contains this text in lower case, and few
/// others. Databases disagree about the lower case of letters beyond ASCII, so any character may
/// stand in their place.
fn pattern(lower: &str) -> String {
    let mut pattern = String::with_capacity(lower.len() + 2);
    pattern.push('%');
    for character in lower.chars() {
        match character {
            '%' | '_' | '!' => pattern.extend(['!', character]),
            // The Kelvin sign has the lower case k. The dotted capital i has two characters, and in
            // Turkish the plain one has another lower case.
            'i' => pattern.push('%'),
            'k' => pattern.push('_'),
            character if character.is_ascii() => pattern.push(character),
            _ => pattern.push('%'),
        }
    }
    pattern.push('%');
    pattern
}

/// Read a device, whether it has a license of the code, and whether it has reported.
fn read(item_id: &str, row: &mut Row) -> Result<(DeviceRow, bool, bool), Error> {
    let valid_until: u64 = row.take(4)?;
    let device = DeviceRow {
        item_id: item_id.to_owned(),
        device_uuid: row.take(0)?,
        name: row.take(1)?,
        library_version: row.take(2)?,
        seats: row.take(3)?,
        valid_until,
        state: if valid_until > 0 { DeviceState::Running } else { DeviceState::Ended },
        first_seen_at: row.take(5)?,
        last_seen_at: row.take(6)?,
        last_heard_at: row.take(9)?,
        rollbacks: row.take(7)?,
        rolled_back_at: Some(row.take(8)?).filter(|at| *at > 0),
    };
    Ok((device, row.take(10)?, row.take(11)?))
}

/// Return the UUIDs of the devices that a person means: by the UUID, its beginning, or the name.
///
/// # Errors
/// Fails when no device is meant, or too many are.
pub(super) fn meant(from: &Snapshot<'_>, device: &str) -> Result<BTreeSet<String>, Error> {
    let mut found = by_uuid(from, device)?;
    if found.is_empty() {
        found = by_name(from, device)?;
    }
    if found.is_empty() {
        found = by_refusal(from, device)?;
    }
    match found.len() {
        0 => Err(Error::not_found(format!(
            "there is no device \"{device}\": write its UUID, the beginning of it, or its whole \
             name, as \"device list\" shows them"
        ))),
        count if count > MEANT_MAX => Err(Error::bad_request(format!(
            "more than {MEANT_MAX} devices are called \"{device}\": write more digits of the UUID"
        ))),
        _ => Ok(found),
    }
}

/// Keep the devices that have something from an item which the caller may see.
fn seen(from: &Snapshot<'_>, rows: Vec<Row>) -> Result<BTreeSet<String>, Error> {
    let own: Option<BTreeSet<String>> = match from.owner {
        Some(_) => Some(item_ids(from, None)?.into_iter().collect()),
        None => None,
    };
    let mut found = BTreeSet::new();
    for mut row in rows {
        let (uuid, item_id): (String, String) = (row.take(0)?, row.take(1)?);
        if own.as_ref().is_none_or(|own| own.contains(&item_id)) {
            found.insert(uuid);
        }
    }
    Ok(found)
}

fn by_uuid(from: &Snapshot<'_>, begin: &str) -> Result<BTreeSet<String>, Error> {
    if begin.is_empty() || !begin.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(BTreeSet::new());
    }
    let (begin, end) = (begin.to_lowercase(), format!("{}g", begin.to_lowercase()));
    let rows = from.sql().query(
        "SELECT device_uuid, item_id FROM device WHERE device_uuid >= ?1 AND device_uuid < ?2
          ORDER BY device_uuid LIMIT ?3",
        values![&begin, &end, 10 * MEANT_MAX as u64],
    )?;
    seen(from, rows)
}

fn by_name(from: &Snapshot<'_>, name: &str) -> Result<BTreeSet<String>, Error> {
    let rows = from.sql().query(
        "SELECT device_uuid, item_id FROM device
          WHERE device_uuid IN (SELECT device_uuid FROM device_name WHERE name = ?1)
             OR friendly_name = ?1 AND NOT EXISTS
                (SELECT 1 FROM device_name WHERE device_name.device_uuid = device.device_uuid)
          ORDER BY device_uuid LIMIT ?2",
        values![name, 10 * MEANT_MAX as u64],
    )?;
    seen(from, rows)
}

/// Return the devices that never got anything, and are known by their refusals alone.
fn by_refusal(from: &Snapshot<'_>, device: &str) -> Result<BTreeSet<String>, Error> {
    let is_uuid =
        device.len() == UUID_DIGITS && device.bytes().all(|byte| byte.is_ascii_hexdigit());
    let query = match is_uuid {
        true => {
            "SELECT device_uuid, item_id, handshake_code FROM refusal WHERE device_uuid = ?1
              ORDER BY device_uuid, hour LIMIT ?2"
        }
        false => {
            "SELECT device_uuid, item_id, handshake_code FROM refusal
              WHERE device_name = ?1 AND device_uuid <> '' LIMIT ?2"
        }
    };
    let rows = from.sql().query(query, values![device, 100 * MEANT_MAX as u64])?;
    let (items, codes) = match from.owner {
        Some(_) => (Some(item_ids(from, None)?), own_codes(from)?),
        None => (None, None),
    };
    let mut found = BTreeSet::new();
    for mut row in rows {
        let (uuid, item, code): (String, String, String) =
            (row.take(0)?, row.take(1)?, row.take(2)?);
        let is_seen = match item.is_empty() {
            true => codes.as_ref().is_none_or(|codes| codes.contains(&code)),
            false => items.as_ref().is_none_or(|items| items.contains(&item)),
        };
        if is_seen {
            found.insert(uuid);
        }
    }
    Ok(found)
}

impl Question for DeviceMeant {
    type Answer = String;

    fn answer(&self, from: &Snapshot<'_>) -> Result<String, Error> {
        let found = meant(from, &self.0)?;
        if found.len() > 1 {
            let all = found.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::conflict(format!(
                "\"{}\" is the name of {} devices: write the UUID of one of {all}",
                self.0,
                found.len()
            )));
        }
        found.into_iter().next().ok_or_else(|| Error::Internal("no device is meant".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_contains_the_text_whatever_a_database_holds_for_lower_case() {
        for (text, expected) in [
            ("", "%%"),
            ("desk 7", "%des_ 7%"),
            ("till", "%t%ll%"),
            ("100%_!", "%100!%!_!!%"),
            ("\u{e4}rzte", "%%rzte%"),
        ] {
            assert_eq!(pattern(text), expected);
        }
    }
}
