//! `usage`: what was counted, grouped by anything, down to the slot.

use std::fmt;

use clap::{Args, ValueEnum};
use jiff::ToSpan;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::page_module::page_module_name;
use seatmeter_protocol::slot::{SLOTS_PER_DAY, slot_start};
use seatmeter_protocol::symbology::symbology_name;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};
use super::{civil, date, day};
use crate::error::Error;

/// The query for the recorded usage.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct UsageQuery {
    /// What makes a row, with commas between: code, item, device, kind, what, and one of slot,
    /// hour, day, week, month [default: item,kind]
    #[arg(long, value_name = "LIST")]
    pub by: Option<String>,
    /// Only slots that begin at or after this time: 2026-11-25 or 2026-11-25T06:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only slots that begin before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only usage of this item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// Only usage under this handshake code
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only usage of this device: its UUID, the beginning of it, or its name
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Only this kind of usage
    #[arg(long, value_enum)]
    #[param(inline)]
    pub kind: Option<KindOfUsage>,
    /// Also find the highest slot of each row
    #[arg(long)]
    pub peaks: bool,
    /// The number of rows to leave out: the "next" of the previous part
    #[arg(long, value_name = "N")]
    pub after: Option<u64>,
    /// The greatest number of rows: 1 to 10000 [default: 1000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// A kind of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum KindOfUsage {
    /// Unique barcodes
    Scan,
    /// Pages
    Page,
    /// Images
    Image,
}

impl KindOfUsage {
    /// Return the kind as the protocol has it.
    #[must_use]
    pub fn of_protocol(self) -> UsageKind {
        match self {
            Self::Scan => UsageKind::Scan,
            Self::Page => UsageKind::Page,
            Self::Image => UsageKind::Image,
        }
    }
}

/// The key of a row of an answer about usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// The handshake code.
    pub code: bool,
    /// The item.
    pub item: bool,
    /// The device.
    pub device: bool,
    /// The kind of work.
    pub kind: bool,
    /// The symbology or module.
    pub what: bool,
    /// The unit of time, if there is one.
    pub time: Option<TimeUnit>,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// A slot of 180 s.
    Slot,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, which begins on Monday.
    Week,
    /// A month of the calendar.
    Month,
}

/// The number of slots in an hour.
const SLOTS_PER_HOUR: u32 = 20;

impl TimeUnit {
    /// Return the first slot of the unit that holds a slot.
    #[must_use]
    pub fn begin(self, slot: u32) -> u32 {
        let per_day = SLOTS_PER_DAY as u32;
        let day = slot / per_day;
        let first_day = match self {
            Self::Slot => return slot,
            Self::Hour => return slot - slot % SLOTS_PER_HOUR,
            Self::Day => day,
            // 1970 began on a Thursday, three days after a Monday.
            Self::Week => day.saturating_sub((day + 3) % 7),
            Self::Month => match civil(day) {
                Some(date) => day - (u32::from(date.day().unsigned_abs()) - 1),
                None => day,
            },
        };
        first_day * per_day
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slot => "slot",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

impl Grouping {
    /// Read a list such as `item,kind,day`.
    ///
    /// # Errors
    /// Fails with a word that is not one of them, or with two units of time.
    pub fn parse(list: &str) -> Result<Self, Error> {
        let mut grouping = Self::default();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let unit = match word {
                "code" => &mut grouping.code,
                "item" => &mut grouping.item,
                "device" => &mut grouping.device,
                "kind" => &mut grouping.kind,
                "what" | "symbology" | "module" => {
                    grouping.kind = true;
                    &mut grouping.what
                }
                _ => {
                    grouping.add_time(word)?;
                    continue;
                }
            };
            *unit = true;
        }
        Ok(grouping)
    }

    fn add_time(&mut self, word: &str) -> Result<(), Error> {
        let unit = match word {
            "slot" => TimeUnit::Slot,
            "hour" => TimeUnit::Hour,
            "day" => TimeUnit::Day,
            "week" => TimeUnit::Week,
            "month" => TimeUnit::Month,
            _ => {
                return Err(Error::bad_request(format!(
                    "usage cannot be grouped by \"{word}\": write some of code, item, device, \
                     kind, what, and one of slot, hour, day, week, month"
                )));
            }
        };
        match self.time.replace(unit) {
            Some(other) if other != unit => Err(Error::bad_request(format!(
                "usage is grouped by one unit of time, not by {other} and {unit}"
            ))),
            _ => Ok(()),
        }
    }
}

/// The recorded usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// The rows, in the order of their keys.
    pub rows: Vec<UsageSum>,
    /// The sums of all rows by kind, also of those beyond this part.
    pub totals: Vec<KindSum>,
    /// The number of rows to leave out to continue; absent at the end.
    pub next: Option<u64>,
}

/// The sum of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KindSum {
    /// The kind.
    #[schema(value_type = String)]
    pub kind: UsageKind,
    /// The sum.
    #[schema(value_type = u64)]
    pub total: u128,
}

/// A sum of usage. A field that does not make a row is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageSum {
    /// The handshake code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_code: Option<String>,
    /// The item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// The UUID of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_uuid: Option<String>,
    /// The name of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// The kind of work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<UsageKind>,
    /// The number of the symbology or module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<u32>,
    /// The name of the symbology or module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_name: Option<String>,
    /// The begin of the unit of time, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins_at: Option<u64>,
    /// The sum.
    #[schema(value_type = u64)]
    pub total: u128,
    /// The highest sum of one slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub peak: Option<u128>,
    /// The first slot with this sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_slot: Option<u32>,
}

impl Sheets for Usage {
    fn sheets(&self) -> Vec<Sheet> {
        let some = |is_there: fn(&UsageSum) -> bool| self.rows.iter().any(is_there);
        type Column = (&'static str, bool, fn(&UsageSum) -> Cell);
        let columns: [Column; 10] = [
            ("handshake_code", some(|row| row.handshake_code.is_some()), |row| {
                Cell::from(row.handshake_code.as_ref())
            }),
            ("item_id", some(|row| row.item_id.is_some()), |row| Cell::from(row.item_id.as_ref())),
            ("device_uuid", some(|row| row.device_uuid.is_some()), |row| {
                Cell::from(row.device_uuid.as_ref())
            }),
            ("device_name", some(|row| row.device_name.is_some()), |row| {
                Cell::from(row.device_name.as_ref())
            }),
            ("kind", some(|row| row.kind.is_some()), |row| Cell::from(row.kind.map(kind_name))),
            ("what", some(|row| row.what.is_some()), |row| Cell::from(row.what_name.as_ref())),
            ("begins_at", some(|row| row.begins_at.is_some()), |row| Cell::instant(row.begins_at)),
            ("total", true, |row| Cell::from(row.total)),
            ("peak", some(|row| row.peak.is_some()), |row| Cell::from(row.peak)),
            ("peak_slot_at", some(|row| row.peak_slot.is_some()), |row| {
                Cell::instant(row.peak_slot.map(slot_start))
            }),
        ];
        let shown: Vec<&Column> = columns.iter().filter(|(_, is_shown, _)| *is_shown).collect();
        let mut notes = Vec::new();
        if self.rows.is_empty() {
            notes.push("nothing recorded".to_owned());
        }
        for KindSum { kind, total } in &self.totals {
            notes.push(format!("total {total} {}s", kind_name(*kind)));
        }
        if let Some(next) = self.next {
            notes.push(format!("there are more rows: continue with --after {next}"));
        }
        vec![Sheet {
            columns: shown.iter().map(|(name, ..)| *name).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| shown.iter().map(|(.., cell)| cell(row)).collect())
                .collect(),
            notes,
            ..Sheet::default()
        }]
    }
}

/// Return the word for a kind.
#[must_use]
pub fn kind_name(kind: UsageKind) -> &'static str {
    match kind {
        UsageKind::Scan => "scan",
        UsageKind::Page => "page",
        UsageKind::Image => "image",
    }
}

/// Return the name of a symbology or module; images have neither.
#[must_use]
pub fn what_name(kind: UsageKind, what: u32) -> String {
    match kind {
        UsageKind::Scan => symbology_name(what),
        UsageKind::Page => page_module_name(what),
        UsageKind::Image => String::new(),
    }
}

/// Return the first day of a calendar year, and of the next one.
///
/// # Errors
/// Fails when it is not a year.
pub fn year_of(begin: &str) -> Result<(u32, u32), Error> {
    let no = || Error::bad_request(format!("\"{begin}\" is not a year such as 2026"));
    let first = day(&format!("{begin}-01-01")).map_err(|_| no())?;
    let date = civil(first).ok_or_else(no)?;
    let next = date.checked_add(1.year()).map_err(|_| no())?;
    Ok((first, day(&next.to_string()).map_err(|_| no())?))
}

/// Return the date on which a slot lies.
#[must_use]
pub fn date_of_slot(slot: u32) -> String {
    date(slot / SLOTS_PER_DAY as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(text: &str) -> u32 {
        crate::utc::slot_at_or_after(text).unwrap()
    }

    #[test]
    fn a_unit_of_time_begins_where_the_calendar_says() {
        let at = slot("2026-11-25T06:33:00Z");
        for (unit, begin) in [
            (TimeUnit::Slot, "2026-11-25T06:33:00Z"),
            (TimeUnit::Hour, "2026-11-25T06:00:00Z"),
            (TimeUnit::Day, "2026-11-25"),
            (TimeUnit::Week, "2026-11-23"),
            (TimeUnit::Month, "2026-11-01"),
        ] {
            assert_eq!(unit.begin(at), slot(begin), "{unit}");
            assert_eq!(unit.begin(slot(begin)), slot(begin), "{unit}");
        }
        assert_eq!(TimeUnit::Month.begin(slot("2028-02-29T23:57:00Z")), slot("2028-02-01"));
        assert_eq!(TimeUnit::Week.begin(slot("2026-11-29T23:57:00Z")), slot("2026-11-23"));
        assert_eq!(TimeUnit::Week.begin(slot("2026-11-30")), slot("2026-11-30"));
    }

    #[test]
    fn a_grouping_names_known_words_and_one_unit_of_time() {
        let found = Grouping::parse("item, what,day").unwrap();
        let expected = Grouping {
            item: true,
            kind: true,
            what: true,
            time: Some(TimeUnit::Day),
            ..Grouping::default()
        };
        assert_eq!(found, expected);
        assert!(Grouping::parse("item,colour").unwrap_err().to_string().contains("\"colour\""));
        assert!(Grouping::parse("day,week").is_err());
        assert_eq!(Grouping::parse("").unwrap(), Grouping::default());
    }

    #[test]
    fn a_year_has_its_days() {
        let (first, end) = year_of("2028").unwrap();
        assert_eq!(end - first, 366);
        assert!(year_of("28").is_err() && year_of("next").is_err());
    }
}
