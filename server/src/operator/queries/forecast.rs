//! The forecast: the day on which a quota or budget will be used up.
//!
//! The basis is the last 28 days that are over, by weekday: each coming Monday is expected to use
//! as much as the Mondays of the basis did on average. With fewer than 7 days there is no forecast,
//! because a weekday would be missing. A quota of seats is not consumed but occupied, so there the
//! amount of a day is the change of the highest number of seats from the day before.
//!
//! All numbers are whole twelfths: a weekday has one to four days in the basis, so each average is
//! exact.

use serde::Serialize;
use utoipa::ToSchema;

use super::date;

/// The number of days in the basis.
pub const BASIS_DAYS: u32 = 28;

/// The smallest number of days in a basis.
pub const BASIS_DAYS_MIN: u32 = 7;

/// The number of days that a forecast looks ahead at most.
const AHEAD_DAYS_MAX: u32 = 3_660;

/// The least common multiple of 1 to 4, the numbers of days of one weekday in a basis.
const PARTS: i128 = 12;

/// A forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Forecast {
    /// The date on which the quota or budget will be used up. Absent when the item or its license
    /// year ends before, or when the basis is too short.
    pub used_up_on: Option<String>,
    /// The date on which the grace will be used up, too, and requests are refused.
    pub refused_on: Option<String>,
    /// The first day of the basis.
    pub basis_from: Option<String>,
    /// The last day of the basis.
    pub basis_to: Option<String>,
    /// The number of days of the basis.
    pub basis_days: u32,
    /// The amount that was used in the basis; for seats, the rise of their number. A fall is
    /// negative.
    #[schema(value_type = i64)]
    pub basis_amount: i128,
    /// The sentence that says how the forecast came about, or why there is none.
    pub reason: String,
}

/// The basis of a forecast.
#[derive(Clone, Debug)]
pub struct Course<'a> {
    /// The amounts of days, by day; a day that is missing had none.
    pub amounts: &'a [(u32, i128)],
    /// The first day of which anything is known; `None` when there is none.
    pub first_day: Option<u32>,
    /// Today, which is not over.
    pub today: u32,
    /// The amount that is used now.
    pub used: u64,
    /// The quota or budget.
    pub quota: u64,
    /// The growth of the budget at the end of each day.
    pub growth_per_day: u64,
    /// The amount above the quota at which requests are refused.
    pub grace: u64,
    /// The last day that matters: that of the item's end, or of its license year's.
    pub last_day: u32,
}

impl Course<'_> {
    /// Return the forecast.
    #[must_use]
    pub fn forecast(&self) -> Forecast {
        let last = self.today.saturating_sub(1);
        let first = self.first_day.map(|day| day.max(self.today.saturating_sub(BASIS_DAYS)));
        let days = first.map_or(0, |first| self.today.saturating_sub(first));
        let (Some(first), true) = (first, days >= BASIS_DAYS_MIN) else {
            return Forecast::none(format!(
                "no forecast: it needs {BASIS_DAYS_MIN} days that are over, and there are {days}"
            ));
        };
        let of_basis = || self.amounts.iter().filter(|(day, _)| (first..=last).contains(day));
        let amount: i128 = of_basis().map(|(_, amount)| amount).sum();
        let mut averages = [0_i128; 7];
        for (weekday, average) in averages.iter_mut().enumerate() {
            let is_it = |day: &u32| *day as usize % 7 == weekday;
            let sum: i128 =
                of_basis().filter(|(day, _)| is_it(day)).map(|(_, amount)| amount).sum();
            let count = (first..=last).filter(is_it).count() as i128;
            // The count is 1 to 4, so nothing is rounded.
            *average = sum * PARTS / count.max(1);
        }
        let (used_up, refused) = self.reach(&averages);
        Forecast {
            used_up_on: used_up.map(date),
            refused_on: refused.map(date),
            basis_from: Some(date(first)),
            basis_to: Some(date(last)),
            basis_days: days,
            basis_amount: amount,
            reason: self.reason(used_up, days, amount),
        }
    }

    fn reason(&self, used_up: Option<u32>, days: u32, amount: i128) -> String {
        let basis = format!("by weekday, from {amount} in the last {days} days");
        match used_up {
            Some(day) if day == self.today && self.used >= self.quota => {
                format!("used up already; {basis}")
            }
            Some(_) => basis,
            None => format!("not used up before {}; {basis}", date(self.last_day)),
        }
    }

    /// Return the days on which the quota, and the quota with its grace, are reached.
    fn reach(&self, averages: &[i128; 7]) -> (Option<u32>, Option<u32>) {
        let amount_today: i128 =
            self.amounts.iter().filter(|(day, _)| *day == self.today).map(|(_, one)| one).sum();
        let mut used = i128::from(self.used) * PARTS;
        let (mut used_up, mut refused) = (None, None);
        let last = self.last_day.min(self.today.saturating_add(AHEAD_DAYS_MAX));
        for day in self.today..=last {
            let average = averages[day as usize % 7];
            // Work of today is already in the used amount.
            used += match day == self.today {
                true if average > 0 => (average - amount_today * PARTS).max(0),
                true => 0,
                false => average,
            };
            let grown = u128::from(self.growth_per_day) * u128::from(day - self.today);
            let quota = i128::from(self.quota).saturating_add(grown as i128);
            if used >= quota * PARTS {
                used_up.get_or_insert(day);
            }
            if used >= quota.saturating_add(self.grace.into()) * PARTS {
                refused.get_or_insert(day);
                break;
            }
        }
        (used_up, refused)
    }
}

impl Forecast {
    fn none(reason: String) -> Self {
        Self {
            used_up_on: None,
            refused_on: None,
            basis_from: None,
            basis_to: None,
            basis_days: 0,
            basis_amount: 0,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::day;
    use super::*;

    /// A Monday.
    const TODAY: &str = "2026-11-30";

    fn course(
        amounts: &[(u32, i128)],
        first_day: Option<u32>,
        used: u64,
        quota: u64,
    ) -> Course<'_> {
        let today = day(TODAY).unwrap();
        Course {
            amounts,
            first_day,
            today,
            used,
            quota,
            growth_per_day: 0,
            grace: 0,
            last_day: today + 1_000,
        }
    }

    fn days(count: u32, amount: impl Fn(u32) -> i128) -> Vec<(u32, i128)> {
        let today = day(TODAY).unwrap();
        (today - count..today).map(|day| (day, amount(day))).collect()
    }

    #[test]
    fn a_steady_course_ends_when_its_rest_is_used() {
        let amounts = days(40, |_| 10);
        let first = Some(amounts[0].0);
        // 100 are left: 10 today, and 10 on each of the nine days after.
        let found = course(&amounts, first, 400, 500).forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-09"));
        assert_eq!((found.basis_days, found.basis_amount), (28, 280));
        assert_eq!(found.basis_from.as_deref(), Some("2026-11-02"));
        assert_eq!(found.basis_to.as_deref(), Some("2026-11-29"));
    }

    #[test]
    fn weekends_without_work_are_expected_again() {
        // 1970-01-01 was a Thursday, so days 2 and 3 modulo 7 are Saturday and Sunday.
        let amounts = days(28, |day| if [2, 3].contains(&(day % 7)) { 0 } else { 10 });
        let first = Some(amounts[0].0);
        // Monday to Friday use 50; the rest of 51 ends on the next Monday, not on Saturday.
        let found = course(&amounts, first, 449, 500).forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-07"));
        let found = course(&amounts, first, 450, 500).forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-04"));
    }

    #[test]
    fn fewer_than_seven_days_make_no_forecast() {
        let amounts = days(6, |_| 10);
        let found = course(&amounts, Some(amounts[0].0), 60, 100).forecast();
        assert_eq!((found.used_up_on.as_deref(), found.basis_days), (None, 0));
        assert!(found.reason.contains("7 days") && found.reason.contains("are 6"), "{found:?}");
        let amounts = days(7, |_| 10);
        let found = course(&amounts, Some(amounts[0].0), 70, 100).forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-02"));
        assert!(course(&[], None, 0, 100).forecast().used_up_on.is_none());
    }

    #[test]
    fn work_of_today_counts_once() {
        let mut amounts = days(28, |_| 10);
        let first = Some(amounts[0].0);
        amounts.push((day(TODAY).unwrap(), 4));
        // 6 more are expected today, then 10 a day: 16 end tomorrow.
        let found = course(&amounts, first, 284, 300).forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-01"));
        // A day with more than usual does not give anything back.
        amounts.last_mut().unwrap().1 = 30;
        let found = course(&amounts, first, 310, 330).forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-02"));
    }

    #[test]
    fn the_grace_ends_later_and_a_budget_grows() {
        let amounts = days(28, |_| 10);
        let first = Some(amounts[0].0);
        let found = Course { grace: 25, ..course(&amounts, first, 480, 500) }.forecast();
        assert_eq!(found.used_up_on.as_deref(), Some("2026-12-01"));
        assert_eq!(found.refused_on.as_deref(), Some("2026-12-04"));
        let growing = Course { growth_per_day: 5, ..course(&amounts, first, 480, 500) };
        // 490 of 500, 500 of 505, 510 of 510.
        assert_eq!(growing.forecast().used_up_on.as_deref(), Some("2026-12-02"));
        let faster = Course { growth_per_day: 10, ..course(&amounts, first, 480, 500) };
        let found = faster.forecast();
        assert!(found.used_up_on.is_none() && found.reason.contains("not used up"), "{found:?}");
    }

    #[test]
    fn nothing_is_used_up_after_the_end_or_without_use() {
        let amounts = days(28, |_| 10);
        let first = Some(amounts[0].0);
        let today = day(TODAY).unwrap();
        let ends = |last_day| Course { last_day, ..course(&amounts, first, 0, 100) }.forecast();
        assert!(ends(today + 8).used_up_on.is_none());
        assert_eq!(ends(today + 9).used_up_on.as_deref(), Some("2026-12-09"));
        let idle = days(28, |_| 0);
        assert!(course(&idle, Some(idle[0].0), 50, 100).forecast().used_up_on.is_none());
        let falling = days(28, |_| -1);
        assert!(course(&falling, Some(falling[0].0), 50, 100).forecast().used_up_on.is_none());
        let full = course(&idle, Some(idle[0].0), 100, 100).forecast();
        assert_eq!(full.used_up_on.as_deref(), Some(TODAY));
        assert!(full.reason.contains("already"), "{full:?}");
    }
}
