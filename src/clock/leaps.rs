//! Times that were believed and set back.
//!
//! A server whose clock was ahead sets the dates of what it signs too late. When the next server
//! time sets the device's time back, the device remembers by how much. It then reads such dates as
//! what they should have been:
//!
//! ```text
//!            to ──────────── true time continues ──────────▶
//!             │◀── too late by from − to ──▶│
//!  … a date in this range, ahead of the present … from
//! ```
//!
//! A date in that range that is not ahead of the present comes from a right clock that has reached
//! it since. So a date that was once found to be too late is remembered by itself, for the day when
//! the present reaches it.

use serde::{Deserialize, Serialize};

/// The milliseconds by which a date may be ahead of the present and still be taken as now.
pub(super) const AHEAD_MS_MAX: i64 = 60_000;

/// The most leaps that are remembered, and the most dates.
const LEAPS_MAX: usize = 8;
const DATES_MAX: usize = 32;

/// A leap back, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leap {
    /// The device's time before the leap.
    pub(super) from_ms: i64,
    /// The time after the leap.
    pub(super) to_ms: i64,
}

impl Leap {
    fn back_ms(self) -> i64 {
        self.from_ms.saturating_sub(self.to_ms)
    }
}

/// The latest leaps, and the dates that were found to be too late, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Leaps {
    leaps: Vec<Leap>,
    /// The pairs of a date and what it should have been.
    dates: Vec<Leap>,
}

impl Leaps {
    /// Note that the time was set back, if the step is large enough to matter.
    pub(super) fn note(&mut self, from_ms: i64, to_ms: i64) {
        let leap = Leap { from_ms, to_ms };
        if leap.back_ms() <= AHEAD_MS_MAX {
            return;
        }
        // If one of two servers is ahead, each change of the server is a leap like the previous
        // one.
        match self.leaps.last_mut() {
            Some(last)
                if last.back_ms().abs_diff(leap.back_ms()) <= AHEAD_MS_MAX.unsigned_abs() =>
            {
                last.from_ms = last.from_ms.max(from_ms);
                last.to_ms = last.from_ms.saturating_sub(leap.back_ms());
            }
            _ => self.leaps.push(leap),
        }
        keep_latest(&mut self.leaps, LEAPS_MAX);
    }

    fn remember(&mut self, date: Leap) {
        if self.known(date.from_ms).is_none() {
            self.dates.push(date);
            keep_latest(&mut self.dates, DATES_MAX);
        }
    }

    fn known(&self, date_ms: i64) -> Option<i64> {
        self.dates.iter().find(|date| date.from_ms == date_ms).map(|date| date.to_ms)
    }

    /// Take over the leaps and dates that another process has noted and this one does not know.
    pub(super) fn merge(&mut self, others: &Self) {
        if others.leaps.iter().any(|leap| !self.leaps.contains(leap)) {
            let own = std::mem::take(&mut self.leaps);
            self.leaps.clone_from(&others.leaps);
            own.into_iter().for_each(|leap| self.note(leap.from_ms, leap.to_ms));
        }
        others.dates.iter().for_each(|date| self.remember(*date));
    }

    /// Return what a date that a server has signed should have been; `None` when it is right, or
    /// when no leap explains it.
    pub(super) fn corrected(&mut self, date_ms: i64, now_ms: i64) -> Option<i64> {
        if let Some(known) = self.known(date_ms) {
            return Some(known);
        }
        if date_ms <= now_ms.saturating_add(AHEAD_MS_MAX) {
            return None;
        }
        let is_of_it = |leap: &Leap| {
            date_ms > leap.to_ms && date_ms <= leap.from_ms.saturating_add(AHEAD_MS_MAX)
        };
        // Take the latest leap that explains it: the ranges of greater leaps contain those of
        // smaller ones.
        let first = self.leaps.iter().rposition(is_of_it)?;
        // A date from before a leap is also from before all later leaps.
        let back_ms =
            self.leaps[first..].iter().fold(0_i64, |sum, leap| sum.saturating_add(leap.back_ms()));
        let corrected = date_ms.saturating_sub(back_ms);
        self.remember(Leap { from_ms: date_ms, to_ms: corrected });
        Some(corrected)
    }

    /// Note that a date is too late although no leap explains it, and note the date that it is
    /// taken as.
    pub(super) fn take_for(&mut self, date_ms: i64, should_be_ms: i64) {
        self.remember(Leap { from_ms: date_ms, to_ms: should_be_ms });
    }
}

fn keep_latest(leaps: &mut Vec<Leap>, count: usize) {
    let too_many = leaps.len().saturating_sub(count);
    leaps.drain(..too_many);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn a_date_of_a_server_that_was_ahead_is_read_as_it_should_have_been() {
        let mut leaps = Leaps::default();
        leaps.note(403 * DAY, 3 * DAY);
        assert_eq!(leaps.corrected(400 * DAY, 3 * DAY), Some(0));
        assert_eq!(leaps.corrected(2 * DAY, 3 * DAY), None, "a right one");
        assert_eq!(leaps.corrected(401 * DAY, 401 * DAY), None, "the present has come so far");
        assert_eq!(leaps.corrected(500 * DAY, 3 * DAY), None, "nobody knows");
    }

    #[test]
    fn a_date_that_was_too_late_stays_so_when_the_present_reaches_it() {
        let mut leaps = Leaps::default();
        leaps.note(403 * DAY, 3 * DAY);
        assert_eq!(leaps.corrected(400 * DAY, 3 * DAY), Some(0));
        assert_eq!(leaps.corrected(400 * DAY, 401 * DAY), Some(0));
        leaps.take_for(900 * DAY, 5 * DAY);
        let mut other = Leaps::default();
        other.merge(&leaps);
        assert_eq!(
            [other.corrected(900 * DAY, 0), other.corrected(400 * DAY, 0)],
            [Some(5 * DAY), Some(0)]
        );
    }

    #[test]
    fn leaps_that_follow_one_another_add_up() {
        let mut leaps = Leaps::default();
        leaps.note(400 * DAY, 2 * HOUR);
        leaps.note(3 * HOUR, HOUR);
        assert_eq!(leaps.corrected(400 * DAY - HOUR, HOUR), Some(-HOUR));
        assert_eq!(leaps.corrected(2 * HOUR + HOUR / 2, HOUR), Some(HOUR / 2));
    }

    #[test]
    fn what_was_dated_between_two_leaps_is_corrected_by_the_second_alone() {
        let mut leaps = Leaps::default();
        leaps.note(400 * DAY, 2 * HOUR);
        leaps.note(5 * HOUR, HOUR);
        assert_eq!(leaps.corrected(4 * HOUR, HOUR), Some(4 * HOUR - 4 * HOUR));
    }

    #[test]
    fn two_servers_that_differ_make_one_leap_however_often_they_take_turns() {
        let mut leaps = Leaps::default();
        for turn in 0..1000 {
            leaps.note((turn + 2) * HOUR + turn, turn * HOUR);
        }
        assert_eq!(leaps.leaps.len(), 1);
        assert_eq!(leaps.corrected(1001 * HOUR, 999 * HOUR), Some(999 * HOUR - 999));
        for other in 1..100 {
            leaps.note(other * 10 * DAY, 0);
        }
        assert_eq!(leaps.leaps.len(), LEAPS_MAX, "they are bounded");
    }

    #[test]
    fn what_another_process_has_noted_is_taken_over_once() {
        let mut one = Leaps::default();
        one.note(10 * DAY, 0);
        let mut other = Leaps::default();
        other.note(5 * HOUR, HOUR);
        other.merge(&one);
        let merged = other.clone();
        other.merge(&one);
        assert_eq!((other.leaps.len(), &other), (2, &merged));
    }
}
