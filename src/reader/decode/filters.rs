//! The selection of the engine's results, their order and their units. Results that are dropped
//! here are not counted.

use super::engine::{Decoded, GrayImage};
use super::settings::Settings;
use super::specification::Specification;
use super::zxing::ITF;

const BY_CONFIDENCE: i32 = 1;
const BY_POSITION: i32 = 2;
const BY_FORMAT: i32 = 4;

/// The lowest confidence that the engine gives: two lines of a linear symbol without a check digit.
const LEAST_CONFIDENCE: i32 = 60;

/// The requirements in a part of a picture.
pub(super) struct Asked<'a> {
    pub(super) settings: &'a Settings,
    /// Both format words.
    pub(super) formats: (u32, u32),
    /// The requirements on barcodes of some formats. The first one that names a barcode's format
    /// counts.
    pub(super) specifications: Vec<&'a Specification>,
}

impl Asked<'_> {
    /// Return whether a barcode meets the requirements.
    pub(super) fn is_wanted(&self, barcode: &Decoded, image: &GrayImage<'_>) -> bool {
        let (formats, formats_2) = self.formats;
        let settings = self.settings;
        let own = self.specifications.iter().find(|one| one.is_for(barcode));
        let confidence_min =
            own.and_then(|one| one.confidence_min).unwrap_or(settings.confidence_min());
        let distance_min =
            own.and_then(|one| one.border_distance_min).unwrap_or(settings.border_distance_min());
        let length = barcode.text.chars().count();
        let is_long_enough = match own.filter(|one| !one.text_lengths.0.is_empty()) {
            Some(one) => one.text_lengths.hold(i32::try_from(length).unwrap_or(i32::MAX)),
            None => length >= settings.text_length_min(),
        };
        (barcode.format & formats) | (barcode.format_2 & formats_2) != 0
            && barcode.confidence >= confidence_min
            && is_long_enough
            && is_off_the_border(barcode, distance_min, image)
            && own.is_none_or(|one| one.is_met_by(barcode))
    }

    /// Return whether the engine may stop by itself when it has enough barcodes, because none of
    /// them will be dropped.
    pub(super) fn drops_nothing_more(&self) -> bool {
        self.specifications.is_empty()
            && self.settings.text_length_min() <= 1
            && self.settings.confidence_min() <= LEAST_CONFIDENCE
            && self.settings.border_distance_min() == 0
    }
}

fn is_off_the_border(barcode: &Decoded, distance: i32, image: &GrayImage<'_>) -> bool {
    let (width, height) = (image.width.cast_signed(), image.height.cast_signed());
    distance == 0
        || barcode.corners.iter().all(|(x, y)| {
            *x >= distance && *y >= distance && *x < width - distance && *y < height - distance
        })
}

/// Drop parts of an ITF symbol that were read as a symbol. ITF has no check digit, so any part of a
/// symbol is a valid symbol, too.
pub(super) fn drop_fragments(barcodes: &mut Vec<Decoded>) {
    let whole: Vec<Decoded> = barcodes.iter().filter(|one| one.format == ITF).cloned().collect();
    if whole.len() < 2 {
        return;
    }
    barcodes.retain(|part| {
        let is_part_of = |other: &Decoded| {
            other.bytes.len() > part.bytes.len()
                && other.bytes.windows(part.bytes.len()).any(|window| window == part.bytes)
                && is_within(part, other)
        };
        part.format != ITF || !whole.iter().any(is_part_of)
    });
}

/// Return whether one result lies within the reach of the other. The corners of a result are those
/// of the lines in which it was read, not of its bars.
fn is_within(inner: &Decoded, outer: &Decoded) -> bool {
    let middle =
        |of: fn(&(i32, i32)) -> i32| inner.corners.iter().map(of).map(i64::from).sum::<i64>() / 4;
    let [(left, top), (right, bottom), ..] = outer.corners;
    let reach = i64::from((right - left).abs().max((bottom - top).abs())) / 2;
    let covers = |of: fn(&(i32, i32)) -> i32, at: i64| {
        let bounds = outer.corners.iter().map(of).map(i64::from);
        bounds.clone().min().is_some_and(|least| least - reach <= at)
            && bounds.max().is_some_and(|most| at <= most + reach)
    };
    covers(|corner| corner.0, middle(|corner| corner.0))
        && covers(|corner| corner.1, middle(|corner| corner.1))
}

/// Return whether two results are one barcode, seen in two regions or in two passes.
pub(super) fn is_same(a: &Decoded, b: &Decoded) -> bool {
    let center = |barcode: &Decoded| {
        let sum = barcode.corners.iter().fold((0_i64, 0_i64), |(x, y), corner| {
            (x + i64::from(corner.0), y + i64::from(corner.1))
        });
        (sum.0 / 4, sum.1 / 4)
    };
    let ((ax, ay), (bx, by)) = (center(a), center(b));
    let [(left, top), _, (right, bottom), _] = a.corners;
    let reach = i64::from((right - left).abs().max((bottom - top).abs())).max(8) / 2;
    a.format == b.format
        && a.bytes == b.bytes
        && (ax - bx).abs() <= reach
        && (ay - by).abs() <= reach
}

/// Sort results as the settings say.
pub(super) fn sort(barcodes: &mut [Decoded], settings: &Settings) {
    let top_left = |barcode: &Decoded| {
        let top = barcode.corners.iter().map(|(_, y)| *y).min();
        let left = barcode.corners.iter().map(|(x, _)| *x).min();
        (top, left)
    };
    barcodes.sort_by(|a, b| {
        let by = |mode: &i32| match *mode {
            BY_CONFIDENCE => b.confidence.cmp(&a.confidence),
            BY_POSITION => top_left(a).cmp(&top_left(b)),
            BY_FORMAT => a.format_name.cmp(&b.format_name),
            _ => std::cmp::Ordering::Equal,
        };
        settings.order().iter().map(by).fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
}

/// Convert corners to the unit that the settings ask for.
pub(super) fn give_unit(barcodes: &mut [Decoded], settings: &Settings, image: &GrayImage<'_>) {
    if !settings.is_in_percent() {
        return;
    }
    let percent = |pixels: i32, length: u32| {
        let length = i64::from(length.max(1));
        i32::try_from((i64::from(pixels) * 100 + length / 2) / length).unwrap_or(0)
    };
    for barcode in barcodes {
        barcode.is_in_percent = true;
        barcode.corners =
            barcode.corners.map(|(x, y)| (percent(x, image.width), percent(y, image.height)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::decode::settings_table::word;

    fn settings(changes: &[(usize, i32)]) -> Settings {
        let mut words = *Settings::default().words();
        for (at, value) in changes {
            words[*at] = *value;
        }
        Settings::checked(words).unwrap()
    }

    fn barcode(format: u32, text: &str, x: i32, y: i32) -> Decoded {
        Decoded {
            format,
            text: text.into(),
            bytes: text.into(),
            corners: [(x, y), (x + 10, y), (x + 10, y + 10), (x, y + 10)],
            confidence: 80,
            ..Decoded::default()
        }
    }

    fn image() -> GrayImage<'static> {
        GrayImage { width: 200, height: 100, pixels: vec![0; 20_000].into() }
    }

    #[test]
    fn each_filter_drops_what_it_is_for() {
        let is_wanted = |barcode: &Decoded, settings: &Settings| {
            let asked = Asked { settings, formats: settings.formats(), specifications: Vec::new() };
            asked.is_wanted(barcode, &image())
        };
        let wanted =
            |changes: &[(usize, i32)]| is_wanted(&barcode(0x20, "12345", 5, 5), &settings(changes));
        assert!(wanted(&[]));
        assert!(!wanted(&[(word::FORMATS, 0x40)]) && wanted(&[(word::FORMATS, 0x60)]));
        assert!(!wanted(&[(word::CONFIDENCE_MIN, 81)]) && wanted(&[(word::CONFIDENCE_MIN, 80)]));
        assert!(!wanted(&[(word::TEXT_LENGTH_MIN, 6)]) && wanted(&[(word::TEXT_LENGTH_MIN, 5)]));
        assert!(!wanted(&[(word::BORDER_DISTANCE, 6)]) && wanted(&[(word::BORDER_DISTANCE, 5)]));
        let other = Decoded { format: 0, format_2: 1, ..barcode(0, "1", 5, 5) };
        assert!(!is_wanted(&other, &settings(&[])));
        assert!(is_wanted(&other, &settings(&[(word::FORMATS_2, 1)])));
    }

    #[test]
    fn the_order_is_that_of_the_settings() {
        let mut all =
            [barcode(1, "low", 0, 50), barcode(1, "right", 90, 10), barcode(1, "left", 10, 10)];
        sort(&mut all, &settings(&[]));
        assert_eq!(all.each_ref().map(|b| b.text.as_str()), ["left", "right", "low"]);
        for (barcode, name) in all.iter_mut().zip(["C", "A", "B"]) {
            barcode.format_name = name.into();
        }
        let by_format =
            [(word::ORDER_MODES, 4), (word::ORDER_MODES + 1, 0), (word::ORDER_MODES + 2, 0)];
        sort(&mut all, &settings(&by_format));
        assert_eq!(all.each_ref().map(|b| b.text.as_str()), ["right", "low", "left"]);
    }

    #[test]
    fn percent_are_of_the_picture() {
        let mut all = [barcode(1, "", 100, 50)];
        give_unit(&mut all, &settings(&[(word::COORDINATE_TYPE, 2)]), &image());
        assert_eq!(all[0].corners[0], (50, 50));
        assert!(all[0].is_in_percent);
    }

    #[test]
    fn the_same_content_elsewhere_is_another_barcode() {
        assert!(is_same(&barcode(1, "A", 0, 0), &barcode(1, "A", 3, 0)));
        assert!(!is_same(&barcode(1, "A", 0, 0), &barcode(1, "A", 50, 0)));
        assert!(!is_same(&barcode(1, "A", 0, 0), &barcode(1, "B", 0, 0)));
    }
}
