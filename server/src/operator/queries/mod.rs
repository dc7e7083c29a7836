//! The operator's queries: one file for each query, with the form of its answer.
//!
//! The command line, the admin API and the dashboard ask the same questions and show the same
//! answers. Each answer has a stable JSON form, and [`sheet::Sheets`], from which tables for people
//! and CSV are written. The statements are in `store/sql/queries`; one snapshot of the data
//! answers a question.

pub mod alerts;
pub mod audit;
pub mod conditions;
pub mod day;
pub mod devices;
pub mod domains;
pub mod explain;
pub mod forecast;
pub mod gauges;
pub mod holders;
pub mod plan;
pub mod refusals;
pub mod sheet;
pub mod status;
pub mod summaries;
pub mod usage;
pub mod year;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use seatmeter_protocol::license::DAY_SECONDS;

use crate::error::Error;
use crate::utc;

/// The number of rows in an answer, unless the question says otherwise.
pub const ROWS_DEFAULT: u32 = 1_000;

/// The greatest number of rows in an answer. The rest comes with `after`.
pub const ROWS_MAX: u32 = 10_000;

/// Return the number of rows that a question wants.
///
/// # Errors
/// Fails when it is 0 or above [`ROWS_MAX`].
pub fn rows(limit: Option<u32>) -> Result<usize, Error> {
    match limit.unwrap_or(ROWS_DEFAULT) {
        limit @ 1..=ROWS_MAX => Ok(limit as usize),
        limit => Err(Error::bad_request(format!(
            "the limit {limit} is not possible: write a number from 1 to {ROWS_MAX}, and ask for \
             the rest with \"after\""
        ))),
    }
}

/// Return the instant that a person wrote, in Unix seconds.
///
/// # Errors
/// Fails when it is not a time.
pub fn instant(written: &str) -> Result<u64, Error> {
    utc::seconds(written).map_err(asked)
}

/// Convert an error about what a person wrote into one about the question, which the API shows.
pub fn asked(error: Error) -> Error {
    match error {
        Error::Setup(why) => Error::bad_request(why.trim_end_matches('.')),
        other => other,
    }
}

/// Return the day that a person wrote as a date, counted from 1970.
///
/// # Errors
/// Fails when it is not a date.
pub fn day(written: &str) -> Result<u32, Error> {
    let no = || Error::bad_request(format!("\"{written}\" is not a date such as 2026-11-25"));
    let date: Date = written.parse().map_err(|_| no())?;
    let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| no())?.timestamp().as_second();
    let day = u64::try_from(midnight).map_err(|_| no())? / DAY_SECONDS;
    u32::try_from(day).map_err(|_| no())
}

/// Return the date of a day.
#[must_use]
pub fn date(day: u32) -> String {
    civil(day).map_or_else(|| format!("day {day} after 1970"), |date| date.to_string())
}

/// Return a day as a date of the calendar; `None` beyond it.
#[must_use]
pub fn civil(day: u32) -> Option<Date> {
    let seconds = i64::from(day) * DAY_SECONDS as i64;
    Some(Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_the_same() {
        for (text, number) in [("1970-01-01", 0), ("2026-11-25", 20_782), ("2028-02-29", 21_243)] {
            assert_eq!(day(text).unwrap(), number, "{text}");
            assert_eq!(date(number), text);
        }
        for bad in ["", "2026-02-30", "yesterday", "1969-12-31", "2026-11-25T06:00:00Z"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_bounded() {
        assert_eq!((rows(None).unwrap(), rows(Some(7)).unwrap()), (1_000, 7));
        assert!(rows(Some(0)).is_err() && rows(Some(10_001)).is_err());
    }
}
