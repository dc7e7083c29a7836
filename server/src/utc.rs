//! Instants as people write and read them, always in UTC.

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, tz};
use seatmeter_protocol::slot::SLOT_SECONDS;

use crate::error::Error;

/// Return an instant as `2026-11-25T06:00:00Z`. An instant beyond the year 9999 is written as its
/// number of seconds.
#[must_use]
pub fn text(unix_seconds: u64) -> String {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{unix_seconds} s after 1970"), |instant| instant.to_string())
}

fn malformed(written: &str) -> Error {
    Error::Setup(format!(
        "\"{written}\" is not a time. Write a date such as 2026-11-25, or an instant such as \
         2026-11-25T06:00:00Z."
    ))
}

/// Return the first slot that begins at or after the instant that a person wrote.
///
/// # Errors
/// Fails as [`seconds`] does.
pub fn slot_at_or_after(written: &str) -> Result<u32, Error> {
    u32::try_from(seconds(written)?.div_ceil(SLOT_SECONDS)).map_err(|_| malformed(written))
}

/// Return the instant that a person wrote, in Unix seconds: `2026-11-25` (its midnight),
/// `2026-11-25T06:00:00Z`, or with an offset other than Z.
///
/// # Errors
/// Fails when the text is neither, or lies before 1970.
pub fn seconds(written: &str) -> Result<u64, Error> {
    let seconds = written
        .parse::<Timestamp>()
        .or_else(|_| {
            let midnight: DateTime = written.parse::<Date>()?.into();
            Ok::<_, jiff::Error>(midnight.to_zoned(tz::TimeZone::UTC)?.timestamp())
        })
        .map_err(|_| malformed(written))?
        .as_second();
    u64::try_from(seconds).map_err(|_| malformed(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_795_586_400), "2026-11-25T06:00:00Z");
        assert_eq!(text(u64::MAX), format!("{} s after 1970", u64::MAX));
    }

    #[test]
    fn a_date_means_its_midnight_and_an_instant_itself() {
        let midnight = slot_at_or_after("2026-11-25").unwrap();
        assert_eq!(u64::from(midnight) % seatmeter_protocol::slot::SLOTS_PER_DAY, 0);
        assert_eq!(slot_at_or_after("2026-11-25T00:00:00Z").unwrap(), midnight);
        assert_eq!(slot_at_or_after("2026-11-25T00:00:01Z").unwrap(), midnight + 1);
        assert_eq!(slot_at_or_after("2026-11-25T01:00:00+01:00").unwrap(), midnight);
    }

    #[test]
    fn what_is_no_time_is_named() {
        for bad in ["", "yesterday", "2026-13-01", "1969-12-31"] {
            let message = slot_at_or_after(bad).unwrap_err().to_string();
            assert!(message.contains(&format!("\"{bad}\"")), "{message}");
        }
    }
}
