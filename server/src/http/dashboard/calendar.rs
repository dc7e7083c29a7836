//! A year as a calendar of its days: a column for each week, a row for each weekday, and a color
//! for how high the day was.

use std::fmt::Write as _;

use jiff::civil::{Date, Weekday};

use super::chart::Svg;
use super::frame::encode;
use super::messages::Messages;
use crate::operator::queries::year::Year;

/// The size of a day with the gap after it.
const STEP: u32 = 17;

/// The size of a day.
const DAY: u32 = 14;

/// The room for the names of months.
const TOP: u32 = 16;

/// Draw the peaks of a year. Each day links to its slots.
pub(super) fn calendar(t: &'static Messages, year: &Year) -> Svg {
    let quota = year.quota.unwrap_or(0);
    let height = TOP + 7 * STEP;
    let begin = year.from.parse::<Date>().ok();
    let before = begin.map_or(0, |date| row(date.weekday()));
    let width = (year.days.len() as u32 + before).div_ceil(7) * STEP;
    let mut svg = format!(
        "<svg class=\"calendar\" viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\" \
         focusable=\"false\">"
    );
    for (number, day) in year.days.iter().enumerate() {
        let place = number as u32 + before;
        let (x, y) = (place / 7 * STEP, TOP + place % 7 * STEP);
        let level = level(day.peak, quota, year.peak);
        let date = day.date.parse::<Date>().ok();
        // A text cannot fail to grow.
        if let Some(date) = date.filter(|date| date.day() == 1 && x + 2 * STEP < width) {
            let month = t.months[usize::from(date.month().unsigned_abs()) - 1];
            let _ = write!(svg, "<text class=\"axis\" x=\"{x}\" y=\"11\">{month}</text>");
        }
        let _ = write!(
            svg,
            "<a href=\"/dashboard/items/{}?date={}#day\" tabindex=\"-1\"><rect class=\"l{level}\" \
             x=\"{x}\" y=\"{y}\" width=\"{DAY}\" height=\"{DAY}\" rx=\"2\"/><title>{}: {}</title>\
             </a>",
            encode(&year.item_id),
            day.date,
            day.date,
            day.peak
        );
    }
    svg.push_str("</svg>");
    svg.into()
}

fn row(weekday: Weekday) -> u32 {
    weekday.to_monday_zero_offset().unsigned_abs().into()
}

/// Return the color of a day: 0 for nothing, 1 to 4 up to the quota, and 5 above it.
fn level(peak: u64, quota: u64, highest: u64) -> u64 {
    let whole = if quota > 0 { quota } else { highest };
    match peak {
        0 => 0,
        peak if quota > 0 && peak > quota => 5,
        peak => (u128::from(peak) * 4).div_ceil(u128::from(whole.max(1))).clamp(1, 4) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_above_the_quota_has_a_color_of_its_own() {
        let levels: Vec<u64> = [0, 1, 5, 10, 11].map(|peak| level(peak, 10, 20)).into();
        assert_eq!(levels, [0, 1, 2, 4, 5]);
        assert_eq!([level(1, 0, 8), level(8, 0, 8)], [1, 4], "without a quota, by the highest");
    }
}
