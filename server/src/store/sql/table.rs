//! Tables with rows that are read and written many at a time.
//!
//! A batch of reports needs some rows of each report, and it must not request them one by one from
//! an engine at the other end of a socket. Therefore a table is described here, and each engine has
//! its own way to look up many keys at once.

use super::{Row, Sql, Value};
use crate::error::Error;

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Integer,
    Text,
    Bytes,
    /// A whole number that is added to the one of an existing row.
    Sum,
    /// A whole number that replaces the one of an existing row if it is higher.
    Highest,
    /// A whole number that an existing row keeps.
    FirstInteger,
    /// A text that an existing row keeps.
    FirstText,
}

/// A table, or an index of it: the columns that are looked up, and those that are wanted. For
/// writing, the columns that are looked up must be the table's whole key.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) key: &'static [(&'static str, Kind)],
    /// The comparison of the last column of the key with the value that is looked up.
    pub(in crate::store) last: &'static str,
    pub(in crate::store) rest: &'static [(&'static str, Kind)],
}

impl Table {
    /// Return the columns in the order of the rows: first those of the key.
    pub(in crate::store) fn columns(&self) -> impl Iterator<Item = &(&'static str, Kind)> {
        self.key.iter().chain(self.rest)
    }

    /// Return the names of the columns, each with `prefix` before it.
    pub(in crate::store) fn names(&self, prefix: &str) -> String {
        join(self.columns().map(|(name, _)| format!("{prefix}{name}")), ", ")
    }

    /// Return the condition that a row has this key. `left` and `right` write a column of the row,
    /// and the value that is looked up for it, by the column's number and name.
    pub(in crate::store) fn is_it(
        &self,
        left: impl Fn(&str) -> String,
        right: impl Fn(usize, &str) -> String,
    ) -> String {
        let last = self.key.len();
        let part = |(number, (name, _)): (usize, &(&str, Kind))| {
            let compares = if number == last { self.last } else { "=" };
            format!("{} {compares} {}", left(name), right(number, name))
        };
        join((1..).zip(self.key).map(part), " AND ")
    }

    /// Return the clause by which an inserted row replaces an existing row.
    pub(in crate::store) fn on_conflict(&self) -> String {
        let key = join(self.key.iter().map(|(name, _)| (*name).to_owned()), ", ");
        if self.rest.is_empty() {
            return format!("ON CONFLICT ({key}) DO NOTHING");
        }
        let rest = self.rest.iter().filter_map(|(name, kind)| self.merged(name, *kind));
        format!("ON CONFLICT ({key}) DO UPDATE SET {}", join(rest, ", "))
    }

    /// Return how a column of an existing row changes; `None` when it stays.
    fn merged(&self, name: &str, kind: Kind) -> Option<String> {
        let known = format!("{}.{name}", self.name);
        Some(match kind {
            Integer | Text | Bytes => format!("{name} = excluded.{name}"),
            Kind::Sum => format!("{name} = {known} + excluded.{name}"),
            Kind::Highest => format!(
                "{name} = CASE WHEN excluded.{name} > {known} THEN excluded.{name} ELSE {known} END"
            ),
            Kind::FirstInteger | Kind::FirstText => return None,
        })
    }

    /// Return the rows with these keys, in any order. `keys` lists key after key, each key only
    /// once.
    pub(in crate::store) fn find(
        &self,
        sql: &dyn Sql,
        keys: &[Value<'_>],
    ) -> Result<Vec<Row>, Error> {
        if keys.is_empty() { Ok(Vec::new()) } else { sql.find(self, keys) }
    }

    /// Delete the rows with these keys. `keys` lists key after key.
    pub(in crate::store) fn remove(&self, sql: &dyn Sql, keys: &[Value<'_>]) -> Result<(), Error> {
        if keys.is_empty() { Ok(()) } else { sql.remove(self, keys) }
    }

    /// Write these rows, and replace rows with the same keys. `rows` lists row after row, each key
    /// only once.
    pub(in crate::store) fn put(&self, sql: &dyn Sql, rows: &[Value<'_>]) -> Result<(), Error> {
        if rows.is_empty() { Ok(()) } else { sql.put(self, rows) }
    }
}

/// Join texts with `between` between them.
pub(in crate::store) fn join(texts: impl Iterator<Item = String>, between: &str) -> String {
    texts.collect::<Vec<_>>().join(between)
}

use Kind::{Bytes, Integer, Text};

/// Local licenses by their ids.
pub(in crate::store) const LICENSE: Table = Table {
    name: "local_license",
    key: &[("license_id", Text)],
    last: "=",
    rest: &[
        ("item_id", Text),
        ("device_uuid", Text),
        ("handshake_code", Text),
        ("serial", Integer),
        ("seats_asked", Integer),
        ("seats", Integer),
        ("issued_at", Integer),
        ("valid_until", Integer),
        ("holder", Text),
        ("begun_at", Integer),
    ],
};

/// The local licenses of a device under an item.
pub(in crate::store) const DEVICE_LICENSES: Table = Table {
    name: "local_license",
    key: &[("item_id", Text), ("device_uuid", Text)],
    last: "=",
    rest: &[
        ("license_id", Text),
        ("handshake_code", Text),
        ("serial", Integer),
        ("seats_asked", Integer),
        ("seats", Integer),
        ("issued_at", Integer),
        ("valid_until", Integer),
        ("holder", Text),
        ("begun_at", Integer),
    ],
};

pub(in crate::store) const LOCAL_LICENSE: Table = Table {
    name: "local_license",
    key: &[("item_id", Text), ("device_uuid", Text), ("license_id", Text)],
    last: "=",
    rest: &[
        ("handshake_code", Text),
        ("serial", Integer),
        ("seats_asked", Integer),
        ("seats", Integer),
        ("issued_at", Integer),
        ("valid_until", Integer),
        ("holder", Text),
        ("begun_at", Integer),
    ],
};

pub(in crate::store) const CODE: Table = Table {
    name: "handshake_code",
    key: &[("handshake_code", Text)],
    last: "=",
    rest: &[
        ("organization_id", Text),
        ("password_hash", Text),
        ("validation", Text),
        ("own_order", Integer),
    ],
};

/// The items of a handshake code.
pub(in crate::store) const CODE_ITEMS: Table = Table {
    name: "handshake_item",
    key: &[("handshake_code", Text)],
    last: "=",
    rest: &[("position", Integer), ("item_id", Text)],
};

pub(in crate::store) const ORGANIZATION: Table = Table {
    name: "organization",
    key: &[("organization_id", Text)],
    last: "=",
    rest: &[("default_handshake_code", Text)],
};

pub(in crate::store) const FILE: Table = Table {
    name: "license_file",
    key: &[("file_id", Text)],
    last: "=",
    rest: &[
        ("payload", Text),
        ("key_id", Text),
        ("signature", Text),
        ("root_key", Text),
        ("organization_id", Text),
    ],
};

/// The organizations of license files.
pub(in crate::store) const FILE_OWNER: Table = Table {
    name: "license_file",
    key: &[("file_id", Text)],
    last: "=",
    rest: &[("organization_id", Text)],
};

/// The identities of devices.
pub(in crate::store) const IDENTITY: Table = Table {
    name: "device_identity",
    key: &[("device_uuid", Text)],
    last: "=",
    rest: &[
        ("public_key", Text),
        ("branch", Integer),
        ("step", Integer),
        ("granted_step", Integer),
        ("branches", Integer),
        ("forks", Text),
        ("first_contact", Text),
        ("report_key", Text),
        ("prior_report_key", Text),
        ("last_heard_at", Integer),
        ("rolled_back_at", Integer),
        ("rollbacks", Integer),
        ("several_ways", Integer),
        ("first_granted_at", Integer),
    ],
};

pub(in crate::store) const COMMIT_SEQUENCE: Table = Table {
    name: "commit_sequence",
    key: &[("sequence_id", Text)],
    last: "=",
    rest: &[("number", Integer)],
};

/// The local licenses of a device under all items.
pub(in crate::store) const ALL_LICENSES: Table = Table {
    name: "local_license",
    key: &[("device_uuid", Text)],
    last: "=",
    rest: &[("item_id", Text), ("license_id", Text), ("valid_until", Integer)],
};

/// Segments by their ids alone.
pub(in crate::store) const SEGMENT_OWNER: Table = Table {
    name: "segment",
    key: &[("segment_id", Text)],
    last: "=",
    rest: &[("license_id", Text)],
};

pub(in crate::store) const SEGMENT: Table = Table {
    name: "segment",
    key: &[("item_id", Text), ("segment_id", Text)],
    last: "=",
    rest: &[
        ("license_id", Text),
        ("device_uuid", Text),
        ("handshake_code", Text),
        ("first_reported_at", Integer),
    ],
};

pub(in crate::store) const USAGE_DAY: Table = Table {
    name: "usage_day",
    key: &[("item_id", Text), ("day", Integer), ("segment_id", Text)],
    last: "=",
    rest: &[("totals", Bytes)],
};

pub(in crate::store) const USAGE_OLD: Table = Table {
    name: "usage_old",
    key: &[("item_id", Text), ("first_day", Integer), ("segment_id", Text)],
    last: "=",
    rest: &[("totals", Bytes)],
};

pub(in crate::store) const COMPACTED: Table = Table {
    name: "compacted",
    key: &[("item_id", Text)],
    last: "=",
    rest: &[("before_day", Integer)],
};

pub(in crate::store) const ACTIVE_DAY: Table = Table {
    name: "active_day",
    key: &[("item_id", Text), ("day", Integer), ("device_uuid", Text)],
    last: "=",
    rest: &[("slots", Bytes)],
};

pub(in crate::store) const ITEM: Table = Table {
    name: "license_item",
    key: &[("item_id", Text)],
    last: "=",
    rest: &[("file_id", Text), ("revoked_at", Integer)],
};

pub(in crate::store) const DEVICE: Table = Table {
    name: "device",
    key: &[("item_id", Text), ("device_uuid", Text)],
    last: "=",
    rest: &[
        ("friendly_name", Text),
        ("library_version", Text),
        ("newest_serial", Integer),
        ("first_seen_at", Integer),
        ("last_seen_at", Integer),
    ],
};

/// All numbers of seats that a device ever had.
pub(in crate::store) const DEVICE_SEATS: Table = Table {
    name: "device_seats",
    key: &[("item_id", Text), ("device_uuid", Text)],
    last: "=",
    rest: &[("from_slot", Integer), ("seats", Integer)],
};

pub(in crate::store) const DEVICE_SEAT: Table = Table {
    name: "device_seats",
    key: &[("item_id", Text), ("device_uuid", Text), ("from_slot", Integer)],
    last: "=",
    rest: &[("seats", Integer)],
};

pub(in crate::store) const SLOT_SUM: Table = Table {
    name: "slot_sum",
    key: &[("item_id", Text), ("slot", Integer)],
    last: "=",
    rest: &[("active", Integer)],
};

/// The slots of an item from one on.
pub(in crate::store) const SLOTS_FROM: Table = Table {
    name: "slot_sum",
    key: &[("item_id", Text), ("slot", Integer)],
    last: ">=",
    rest: &[("active", Integer)],
};

/// All license years of an item.
pub(in crate::store) const YEARS: Table = Table {
    name: "year_excess",
    key: &[("item_id", Text)],
    last: "=",
    rest: &[("year", Integer), ("excess", Integer)],
};

pub(in crate::store) const YEAR_EXCESS: Table = Table {
    name: "year_excess",
    key: &[("item_id", Text), ("year", Integer)],
    last: "=",
    rest: &[("excess", Integer)],
};

/// All use of an item.
pub(in crate::store) const USED: Table = Table {
    name: "item_used",
    key: &[("item_id", Text)],
    last: "=",
    rest: &[("kind", Integer), ("module", Integer), ("used", Integer)],
};

pub(in crate::store) const ITEM_USED: Table = Table {
    name: "item_used",
    key: &[("item_id", Text), ("kind", Integer), ("module", Integer)],
    last: "=",
    rest: &[("used", Integer)],
};

/// The amounts counted in a day, and its excess. New amounts are added to a row.
pub(in crate::store) const ITEM_DAY: Table = Table {
    name: "item_day",
    key: &[("item_id", Text), ("day", Integer), ("kind", Integer), ("module", Integer)],
    last: "=",
    rest: &[("amount", Kind::Sum)],
};

/// The highest number of seats held in a day.
pub(in crate::store) const ITEM_DAY_PEAK: Table =
    Table { rest: &[("amount", Kind::Highest)], ..ITEM_DAY };

/// The days of an item from one on.
pub(in crate::store) const DAYS_FROM: Table = Table {
    name: "item_day",
    key: &[("item_id", Text), ("day", Integer)],
    last: ">=",
    rest: &[("kind", Integer), ("module", Integer), ("amount", Integer)],
};

/// The name that a device gives itself, under each of its items.
pub(in crate::store) const DEVICES_BY_UUID: Table = Table {
    name: "device",
    key: &[("device_uuid", Text)],
    last: "=",
    rest: &[("friendly_name", Text), ("item_id", Text), ("last_seen_at", Integer)],
};

/// The name that an operator has given to a device.
pub(in crate::store) const DEVICE_NAME: Table = Table {
    name: "device_name",
    key: &[("device_uuid", Text)],
    last: "=",
    rest: &[("name", Text)],
};

/// Authorizations of an hour, to be added to those that are counted.
pub(in crate::store) const AUTHORIZATION_HOUR: Table = Table {
    name: "authorization_hour",
    key: &[("handshake_code", Text), ("hour", Integer)],
    last: "=",
    rest: &[("granted", Kind::Sum), ("refused", Kind::Sum)],
};

/// The times at which things were last done.
pub(in crate::store) const LAST_DONE: Table =
    Table { name: "last_done", key: &[("what", Text)], last: "=", rest: &[("at", Integer)] };

/// Refusals, to be added to those of the same hour.
pub(in crate::store) const REFUSAL: Table = Table {
    name: "refusal",
    key: &[
        ("item_id", Text),
        ("hour", Integer),
        ("device_uuid", Text),
        ("handshake_code", Text),
        ("code", Integer),
    ],
    last: "=",
    rest: &[
        ("refused", Kind::Sum),
        ("first_at", Kind::FirstInteger),
        ("first_detail", Kind::FirstText),
        ("first_numbers", Kind::FirstText),
        ("last_at", Integer),
        ("last_detail", Text),
        ("last_numbers", Text),
        ("last_asked", Text),
        ("device_name", Text),
    ],
};

pub(in crate::store) const SEAT_HOLDER: Table = Table {
    name: "seat_holder",
    key: &[("item_id", Text), ("holder", Text)],
    last: "=",
    rest: &[("device_uuid", Text), ("seats", Integer), ("held_until", Integer)],
};

/// The holders of an item whose end has passed at an instant.
pub(in crate::store) const ENDED_HOLDERS: Table = Table {
    name: "seat_holder",
    key: &[("item_id", Text), ("held_until", Integer)],
    last: "<=",
    rest: &[("device_uuid", Text), ("holder", Text), ("seats", Integer)],
};

/// The names under which a device holds seats. SQLite finds the names alone by their index; for the
/// rest of the rows, it would scan the item's key.
pub(in crate::store) const DEVICE_HOLDERS: Table = Table {
    name: "seat_holder",
    key: &[("item_id", Text), ("device_uuid", Text)],
    last: "=",
    rest: &[("holder", Text)],
};

pub(in crate::store) const ITEM_HELD: Table =
    Table { name: "item_held", key: &[("item_id", Text)], last: "=", rest: &[("seats", Integer)] };

/// The allowances of a device for all modules.
pub(in crate::store) const ALLOWANCES: Table = Table {
    name: "allowance",
    key: &[("item_id", Text), ("device_uuid", Text)],
    last: "=",
    rest: &[
        ("module", Integer),
        ("serial", Integer),
        ("allowed", Integer),
        ("used", Integer),
        ("lost", Integer),
        ("lost_at", Integer),
    ],
};

pub(in crate::store) const ALLOWANCE: Table = Table {
    name: "allowance",
    key: &[("item_id", Text), ("device_uuid", Text), ("module", Integer)],
    last: "=",
    rest: &[
        ("serial", Integer),
        ("allowed", Integer),
        ("used", Integer),
        ("lost", Integer),
        ("lost_at", Integer),
    ],
};

/// The sums of the allowances of all devices, for all modules.
pub(in crate::store) const ALLOWED: Table = Table {
    name: "item_allowed",
    key: &[("item_id", Text)],
    last: "=",
    rest: &[("module", Integer), ("allowed", Integer), ("devices", Integer)],
};

pub(in crate::store) const ITEM_ALLOWED: Table = Table {
    name: "item_allowed",
    key: &[("item_id", Text), ("module", Integer)],
    last: "=",
    rest: &[("allowed", Integer), ("devices", Integer)],
};
