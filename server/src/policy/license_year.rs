//! License years: the first runs from the item's start to its first anniversary, and so on.
//!
//! An anniversary is the same date and time of day, UTC. The anniversary of a 29 February is the
//! 28th in years that have no 29th. The instant of the anniversary belongs to the new year. An
//! instant before the start counts to the first year, because the slot in which an item starts may
//! have begun a little earlier.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// A license year of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LicenseYear {
    /// The number of the year; 0 for the first.
    pub index: u32,
    /// The first instant of the year, Unix seconds.
    pub starts_at: u64,
    /// The first instant of the next year, Unix seconds.
    pub ends_at: u64,
}

impl LicenseYear {
    /// Return the license year that holds an instant.
    #[must_use]
    pub fn of(item_starts_at: u64, at: u64) -> Self {
        let Some((start, instant)) = utc(item_starts_at).zip(utc(at.max(item_starts_at))) else {
            // An instant beyond the calendar, in the year 10 000, belongs to one endless year.
            return Self { index: 0, starts_at: item_starts_at, ends_at: u64::MAX };
        };
        let mut index = u32::try_from(instant.year() - start.year()).unwrap_or(0);
        // The anniversary of this calendar year is still to come.
        if index > 0 && anniversary(&start, index).is_none_or(|begins| begins > at) {
            index -= 1;
        }
        Self {
            index,
            starts_at: anniversary(&start, index).unwrap_or(item_starts_at),
            ends_at: anniversary(&start, index + 1).unwrap_or(u64::MAX),
        }
    }
}

fn utc(unix_seconds: u64) -> Option<Zoned> {
    let instant = Timestamp::from_second(i64::try_from(unix_seconds).ok()?).ok()?;
    Some(instant.to_zoned(TimeZone::UTC))
}

fn anniversary(start: &Zoned, years: u32) -> Option<u64> {
    let instant = start.checked_add(i64::from(years).years()).ok()?;
    u64::try_from(instant.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap()
    }

    fn index(start: u64, at: u64) -> u32 {
        LicenseYear::of(start, at).index
    }

    #[test]
    fn a_year_ends_on_the_second_of_the_anniversary() {
        let start = seconds("2026-03-01T12:00:00Z");
        for (at, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-03-01T11:59:59Z", 0),
            ("2026-03-01T12:00:00Z", 0),
            ("2027-03-01T11:59:59Z", 0),
            ("2027-03-01T12:00:00Z", 1),
            ("2027-03-01T12:00:01Z", 1),
            // 2028 has a 29 February, thus 366 days.
            ("2028-03-01T11:59:59Z", 1),
            ("2028-03-01T12:00:00Z", 2),
        ] {
            assert_eq!(index(start, seconds(at)), expected, "{at}");
        }
    }

    #[test]
    fn a_leap_day_has_an_anniversary_each_year() {
        let start = seconds("2028-02-29T00:00:00Z");
        for (at, expected) in [
            ("2029-02-27T23:59:59Z", 0),
            ("2029-02-28T00:00:00Z", 1),
            ("2032-02-28T23:59:59Z", 3),
            ("2032-02-29T00:00:00Z", 4),
        ] {
            assert_eq!(index(start, seconds(at)), expected, "{at}");
        }
    }

    #[test]
    fn beyond_the_calendar_a_year_has_no_end() {
        assert_eq!(LicenseYear::of(u64::MAX, 5).ends_at, u64::MAX);
        assert_eq!(LicenseYear::of(5, u64::MAX).ends_at, u64::MAX);
    }

    proptest! {
        #[test]
        fn years_lie_side_by_side(start in 0..4_000_000_000_u64, after in 0..4_000_000_000_u64) {
            let year = LicenseYear::of(start, start + after);
            prop_assert!(year.starts_at <= start + after && start + after < year.ends_at);
            prop_assert_eq!(LicenseYear::of(start, year.starts_at), year);
            prop_assert_eq!(LicenseYear::of(start, year.ends_at - 1), year);
            let next = LicenseYear::of(start, year.ends_at);
            prop_assert_eq!((next.index, next.starts_at), (year.index + 1, year.ends_at));
        }
    }
}
