//! The summary of a week or month, one mail for each organization.
//!
//! A summary is an event, as those of alerts are: its id is made of organization and period, so it
//! is written once, whichever server of a database is first.

use clap::ValueEnum;
use seatmeter_protocol::license::DAY_SECONDS;

use crate::alert::{Alert, AlertKind};
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::queries::summaries::{ItemSummary, SummariesQuery, event_id};
use crate::operator::queries::{civil, date, day};
use crate::policy::select::item_choice::name;
use crate::utc;

/// The interval between two summaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Period {
    /// Each Monday, of the week that is over
    Weekly,
    /// On the first of each month, of the month that is over
    Monthly,
}

impl Period {
    /// Return the days of the last period that is over: the first one, and the first one after it.
    ///
    /// # Errors
    /// Fails beyond the calendar.
    pub fn last_over(self, now: u64) -> Result<(u32, u32), Error> {
        let today = u32::try_from(now / DAY_SECONDS).unwrap_or(u32::MAX);
        match self {
            Self::Weekly => {
                // The first day of 1970 was a Thursday.
                let monday = today.saturating_sub((today.saturating_add(3)) % 7);
                Ok((monday.saturating_sub(7), monday))
            }
            Self::Monthly => {
                let beyond = || Error::Internal(format!("day {today} is beyond the calendar"));
                let first = civil(today).ok_or_else(beyond)?.first_of_month();
                let before = first.yesterday().map_err(|_| beyond())?.first_of_month();
                Ok((day(&before.to_string())?, day(&first.to_string())?))
            }
        }
    }
}

/// Write the summaries of the last period that is over, unless they are written. Return the first
/// day after it.
///
/// # Errors
/// Fails when the data cannot be read or written.
pub async fn write_due(licensing: &Licensing, period: Period) -> Result<u32, Error> {
    let now = licensing.clock.unix_seconds();
    let (from, until) = period.last_over(now)?;
    let found = licensing.ask(SummariesQuery { from, until }, None).await?;
    let summaries: Vec<_> = found
        .into_iter()
        .map(|(organization_id, items)| {
            let alert = summary(&organization_id, from, until, &items);
            (event_id(&organization_id, from, until), alert)
        })
        .collect();
    if !summaries.is_empty() {
        licensing.store.note_summaries(summaries, now).await?;
    }
    Ok(until)
}

fn summary(organization_id: &str, from: u32, until: u32, items: &[ItemSummary]) -> Alert {
    let what = format!("{} to {}", date(from), date(until.saturating_sub(1)));
    let mut detail = format!("{organization_id}, {what}\n");
    for item in items {
        detail.push_str(&of_item(item));
    }
    Alert {
        kind: AlertKind::Summary,
        subject: organization_id.to_owned(),
        what,
        level: 0,
        organization_id: organization_id.to_owned(),
        detail,
    }
}

fn of_item(item: &ItemSummary) -> String {
    let ItemSummary { status, counted, refused } = item;
    let option = status.option.map_or_else(String::new, |way| format!(" ({})", name(&way)));
    let mut text = format!("\n{}{option}: {}\n", status.item_id, status.state.words());
    let counted = if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") };
    text.push_str(&format!("  in this time: {counted}; {refused} authorizations refused\n"));
    for meter in &status.meters {
        let (used, quota, noun) = (meter.used, meter.quota, meter.noun());
        text.push_str(&format!("  used now: {used} of {quota} {noun}"));
        if let Some(on) = &meter.forecast.used_up_on {
            text.push_str(&format!(", used up on {on}"));
        }
        text.push('\n');
    }
    text.push_str(&format!("  expires: {}\n", utc::text(status.expires_at)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_last_one_that_is_over() {
        let dates = |period: Period, today: &str| {
            let now = u64::from(day(today).unwrap()) * DAY_SECONDS + 3_600;
            let (from, until) = period.last_over(now).unwrap();
            (date(from), date(until))
        };
        let pair = |from: &str, until: &str| (from.to_owned(), until.to_owned());
        // The 30th of November 2026 is a Monday.
        assert_eq!(dates(Period::Weekly, "2026-11-29"), pair("2026-11-16", "2026-11-23"));
        assert_eq!(dates(Period::Weekly, "2026-11-30"), pair("2026-11-23", "2026-11-30"));
        assert_eq!(dates(Period::Monthly, "2026-11-30"), pair("2026-10-01", "2026-11-01"));
        assert_eq!(dates(Period::Monthly, "2027-01-01"), pair("2026-12-01", "2027-01-01"));
    }
}
