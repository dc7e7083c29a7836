//! Charts as SVG. Colors come from the style sheet, because a page has no styles of its own.
//!
//! A chart is drawn for the eye. A table beside it says the same to everybody else, so the drawing
//! itself is hidden from screen readers.

use std::fmt::Write as _;

/// The width of a chart in units; the style sheet scales it.
const WIDTH: f64 = 960.0;

/// The height of a chart in units.
const HEIGHT: f64 = 220.0;

/// The room for the numbers of the axis.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 22.0;
const TOP: f64 = 10.0;

/// A drawing that is written into a page as it is.
#[derive(Debug)]
pub(super) struct Svg(String);

impl std::fmt::Display for Svg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Svg {}

impl askama::FastWritable for Svg {
    fn write_into(
        &self,
        dest: &mut dyn std::fmt::Write,
        _: &dyn askama::Values,
    ) -> askama::Result<()> {
        Ok(dest.write_str(&self.0)?)
    }
}

impl From<String> for Svg {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A line across a chart, with its name.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    /// The height.
    pub(super) at: u64,
    /// The name, which is escaped.
    pub(super) name: String,
}

/// A text below a chart.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The number of the value above it.
    pub(super) at: usize,
    /// The text, which is escaped.
    pub(super) text: String,
}

/// The frame of a chart: how values become places.
struct Plane {
    count: usize,
    top: u64,
}

impl Plane {
    fn new(values: &[u64], limits: &[Limit]) -> Self {
        let highest = values.iter().copied().chain(limits.iter().map(|limit| limit.at)).max();
        Self { count: values.len().max(2), top: round_up(highest.unwrap_or(0).max(1)) }
    }

    fn x(&self, at: usize) -> f64 {
        LEFT + (WIDTH - LEFT - 8.0) * at as f64 / (self.count - 1) as f64
    }

    fn y(&self, value: u64) -> f64 {
        let part = value as f64 / self.top as f64;
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * part.min(1.0)
    }

    fn begin(&self, limits: &[Limit], marks: &[Mark]) -> String {
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-hidden=\"true\" \
             focusable=\"false\">"
        );
        for step in 0..=4_u64 {
            let value = (u128::from(self.top) * u128::from(step) / 4) as u64;
            let y = self.y(value);
            // A text cannot fail to grow.
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value)
            );
        }
        for mark in marks {
            let _ = write!(
                svg,
                "<text class=\"axis\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                self.x(mark.at),
                HEIGHT - 4.0,
                mark.text
            );
        }
        for (number, Limit { at, name }) in limits.iter().enumerate() {
            let y = self.y(*at);
            let _ = write!(
                svg,
                "<line class=\"limit limit{number}\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" \
                 y2=\"{y:.1}\"/><text class=\"limit-name\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{name}</text>",
                WIDTH - 4.0,
                (y - 5.0).max(11.0)
            );
        }
        svg
    }
}

/// Draw values as bars from the left to the right. What is above the limit stands out.
pub(super) fn bars(values: &[u64], limit: Option<Limit>, marks: &[Mark]) -> Svg {
    let limits: Vec<Limit> = limit.into_iter().collect();
    let plane = Plane::new(values, &limits);
    let mut svg = plane.begin(&limits, marks);
    let width = ((WIDTH - LEFT) / plane.count as f64 * 0.9).max(0.8);
    let zero = plane.y(0);
    let quota = limits.first().map_or(u64::MAX, |limit| limit.at);
    let (mut within, mut above) = (String::new(), String::new());
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        let (x, bound) = (plane.x(at), plane.y((*value).min(quota)));
        let _ = write!(within, "M{x:.1} {zero:.1}V{bound:.1}");
        if *value > quota {
            let _ = write!(above, "M{x:.1} {bound:.1}V{:.1}", plane.y(*value));
        }
    }
    let _ = write!(
        svg,
        "<path class=\"within\" stroke-width=\"{width:.2}\" d=\"{within}\"/><path class=\"above\" \
         stroke-width=\"{width:.2}\" d=\"{above}\"/></svg>"
    );
    Svg(svg)
}

/// Draw values as a curve with the area below it.
pub(super) fn curve(values: &[u64], limits: &[Limit], marks: &[Mark]) -> Svg {
    let plane = Plane::new(values, limits);
    let mut svg = plane.begin(limits, marks);
    let line = path(values, |at| plane.x(at), |value| plane.y(value));
    if let Some(last) = values.len().checked_sub(1) {
        let (begin, end, zero) = (plane.x(0), plane.x(last), plane.y(0));
        let _ = write!(
            svg,
            "<path class=\"area\" d=\"{line}L{end:.1} {zero:.1}L{begin:.1} {zero:.1}Z\"/>\
             <path class=\"line\" d=\"{line}\"/>"
        );
    }
    svg.push_str("</svg>");
    Svg(svg)
}

/// Draw values as a small curve without an axis.
pub(super) fn sparkline(values: &[u64]) -> Svg {
    let top = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = 120.0 / values.len().saturating_sub(1).max(1) as f64;
    let line = path(values, |at| at as f64 * step, |value| 26.0 - 24.0 * (value as f64 / top));
    let mut svg = "<svg class=\"spark\" viewBox=\"0 0 120 28\" aria-hidden=\"true\" \
                   focusable=\"false\" preserveAspectRatio=\"none\">"
        .to_owned();
    if !values.is_empty() {
        let _ = write!(
            svg,
            "<path class=\"area\" d=\"{line}L120 28L0 28Z\"/><path class=\"line\" d=\"{line}\"/>"
        );
    }
    svg.push_str("</svg>");
    Svg(svg)
}

/// Draw what is used of a quota with its grace, as a bar.
pub(super) fn meter(used: u64, quota: u64, grace: u64) -> Svg {
    let whole = quota.saturating_add(grace).max(used).max(1) as f64;
    let at = |value: u64| 400.0 * value as f64 / whole;
    let (within, above) = (at(used.min(quota)), at(used.saturating_sub(quota)));
    let mut svg = "<svg class=\"meter\" viewBox=\"0 0 400 10\" preserveAspectRatio=\"none\" \
                   aria-hidden=\"true\" focusable=\"false\">\
                   <rect class=\"whole\" width=\"400\" height=\"10\"/>"
        .to_owned();
    if grace > 0 {
        let _ = write!(
            svg,
            "<rect class=\"grace\" x=\"{:.2}\" width=\"{:.2}\" height=\"10\"/>",
            at(quota),
            at(grace)
        );
    }
    let _ = write!(svg, "<rect class=\"used\" width=\"{within:.2}\" height=\"10\"/>");
    if above > 0.0 {
        let _ = write!(
            svg,
            "<rect class=\"over\" x=\"{within:.2}\" width=\"{above:.2}\" height=\"10\"/>"
        );
    }
    let _ = write!(
        svg,
        "<rect class=\"mark\" x=\"{:.2}\" width=\"2\" height=\"10\"/></svg>",
        (at(quota) - 1.0).max(0.0)
    );
    Svg(svg)
}

fn path(values: &[u64], x: impl Fn(usize) -> f64, y: impl Fn(u64) -> f64) -> String {
    let mut line = String::with_capacity(values.len() * 12);
    for (at, value) in values.iter().enumerate() {
        let _ = write!(line, "{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, x(at), y(*value));
    }
    line
}

/// Return the smallest round number that is not below this one.
fn round_up(value: u64) -> u64 {
    let mut unit: u64 = 1;
    while let Some(next) = unit.checked_mul(10).filter(|next| *next <= value) {
        unit = next;
    }
    let good = [1, 2, 4, 5, 8, 10].into_iter().filter_map(|times| unit.checked_mul(times));
    // Four steps of a small number would fall between whole numbers.
    good.chain([u64::MAX]).find(|round| *round >= value).unwrap_or(value).max(4)
}

/// Return a number for an axis, with a letter for thousands and more.
fn short(value: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let unit = units.into_iter().find(|(unit, _)| {
        value >= *unit * 10 || value >= *unit && value.is_multiple_of(*unit / 10)
    });
    match unit {
        Some((unit, letter)) if value.is_multiple_of(unit) => format!("{}{letter}", value / unit),
        Some((unit, letter)) => format!("{:.1}{letter}", value as f64 / unit as f64),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (value, round) in [(1, 4), (4, 4), (7, 8), (11, 20), (96, 100), (4_100, 5_000)] {
            assert_eq!(round_up(value), round, "{value}");
        }
        assert!(round_up(u64::MAX) == u64::MAX);
        assert_eq!(
            [short(0), short(999), short(2_500), short(3_000_000)],
            ["0", "999", "2.5k", "3M"]
        );
    }

    #[test]
    fn what_is_above_the_limit_is_drawn_apart() {
        let limit = Limit { at: 2, name: "N".into() };
        let svg = bars(&[0, 1, 3], Some(limit.clone()), &[]).to_string();
        let above = svg.split("class=\"above\"").nth(1).unwrap();
        assert_eq!(above.matches('M').count(), 1, "{svg}");
        let within = bars(&[0, 1, 2], Some(limit), &[]).to_string();
        assert!(within.contains("class=\"above\"") && within.ends_with("d=\"\"/></svg>"));
    }

    #[test]
    fn every_chart_has_numbers_only_whatever_is_drawn() {
        for values in [vec![], vec![0], vec![u64::MAX, 0, 1]] {
            for svg in [curve(&values, &[], &[]), bars(&values, None, &[]), sparkline(&values)] {
                let svg = svg.to_string();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
        for (used, quota, grace) in [(0, 0, 0), (5, 0, 0), (u64::MAX, 1, u64::MAX)] {
            let svg = meter(used, quota, grace).to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
