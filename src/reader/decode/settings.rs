//! The settings of a reader: numbers. One table lists the place, the allowed values and the default
//! of each.
//!
//! `PublicRuntimeSettings` of the DBR API consists of numbers of four bytes without gaps, so the
//! settings are kept as the API returns them: as an array. Templates name the same settings; both
//! use the table in `settings_table.rs`.

use seatmeter_protocol::error_code::ErrorCode;

use super::engine::{Effort, GrayImage, Rectangle, Search};
use super::reading_error::{CUSTOM_REGION_INVALID, explained};
use super::settings_table::{Entry, Kind, TABLE, word};
use super::specification::Specification;
use crate::error::{Error, Result};

/// Count of the numbers in `PublicRuntimeSettings`, with those that are reserved.
pub const SETTINGS_WORDS: usize = 178;

/// The value `TP_BARCODE_RECOGNIZED`: the last phase.
pub const RECOGNIZED: i32 = 0x20;

const SCAN_DIRECTLY: i32 = 0x10;
const ONED_FAST_SCAN: i32 = 0x100;
const THRESHOLD: i32 = 4;

/// The settings of a reader that a program can set by numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    words: [i32; SETTINGS_WORDS],
}

impl Default for Settings {
    fn default() -> Self {
        let mut words = [0; SETTINGS_WORDS];
        for entry in TABLE {
            words[entry.at..][..entry.first.len()].copy_from_slice(entry.first);
        }
        Self { words }
    }
}

/// A part of a picture to search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its name in a template, or empty.
    pub name: String,
    /// The places of the top, left, right and bottom side.
    pub sides: [i32; 4],
    /// Whether the sides are in percent of the picture instead of pixels.
    pub is_in_percent: bool,
    /// Each format word, if it is not that of the settings.
    pub(super) formats: [Option<u32>; 2],
    /// Number of barcodes to find here; `None` for the number in the settings, 0 for all.
    pub(super) expected_count: Option<usize>,
    /// The requirements on barcodes of some formats here.
    pub(super) specifications: Vec<Specification>,
    /// Keys that the library does not know, kept to be written out again.
    pub(super) rest: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// Make the settings from the numbers of a program.
    ///
    /// # Errors
    /// -10038 for an invalid value, -10010 for an invalid region.
    pub fn checked(words: [i32; SETTINGS_WORDS]) -> Result<Self> {
        for entry in TABLE {
            for value in &words[entry.at..][..entry.count] {
                entry.check(*value)?;
            }
        }
        let settings = Self { words };
        settings.region().map_or(Ok(()), |region| region.check())?;
        Ok(settings)
    }

    /// Return the numbers as the API returns them.
    pub fn words(&self) -> &[i32; SETTINGS_WORDS] {
        &self.words
    }

    pub(super) fn values(&self, entry: &Entry) -> &[i32] {
        &self.words[entry.at..][..entry.count]
    }

    pub(super) fn values_mut(&mut self, entry: &Entry) -> &mut [i32] {
        &mut self.words[entry.at..][..entry.count]
    }

    /// Return the region; `None` for the whole picture.
    pub fn region(&self) -> Option<Region> {
        let [top, left, right, bottom, percent] =
            [0, 1, 2, 3, 4].map(|i| self.words[word::REGION + i]);
        let is_whole = top == 0
            && left == 0
            && ((right == 0 && bottom == 0) || (percent == 1 && right == 100 && bottom == 100));
        (!is_whole).then(|| Region {
            sides: [top, left, right, bottom],
            is_in_percent: percent != 0,
            ..Region::default()
        })
    }

    pub(super) fn set_region(&mut self, region: &Region) {
        self.words[word::REGION..][..4].copy_from_slice(&region.sides);
        self.words[word::REGION + 4] = i32::from(region.is_in_percent);
    }

    /// Return the modes that are not skipped.
    fn modes(&self, at: usize) -> impl Iterator<Item = &i32> {
        self.words[at..at + 8].iter().filter(|mode| **mode != 0)
    }

    /// Return whether only the fast ways to locate a barcode are set.
    pub(super) fn is_fast_localization(&self) -> bool {
        self.modes(word::LOCALIZATION_MODES).count() > 0
            && self
                .modes(word::LOCALIZATION_MODES)
                .all(|mode| matches!(*mode, SCAN_DIRECTLY | ONED_FAST_SCAN))
    }

    /// Return the engine's parameters for these settings.
    pub fn search(&self) -> Search {
        let is_fast = self.words[word::DEBLUR_LEVEL] == 0 || self.is_fast_localization();
        Search {
            formats: self.formats().0,
            formats_2: self.formats().1,
            effort: if is_fast { Effort::Fast } else { Effort::Full },
            one_threshold: self.modes(word::BINARIZATION_MODES).next() == Some(&THRESHOLD),
            count_max: 0,
            part: None,
        }
    }

    /// Return both format words.
    pub fn formats(&self) -> (u32, u32) {
        (self.words[word::FORMATS].cast_unsigned(), self.words[word::FORMATS_2].cast_unsigned())
    }

    /// Return the milliseconds for a page; 0 for no limit.
    pub fn timeout_ms(&self) -> u64 {
        u64::try_from(self.words[word::TIMEOUT]).unwrap_or(0)
    }

    /// Return the number of barcodes to look for; 0 for all.
    pub fn expected_count(&self) -> usize {
        usize::try_from(self.words[word::EXPECTED_COUNT]).unwrap_or(0)
    }

    /// Return whether the decoder runs to its last phase.
    pub fn is_recognizing(&self) -> bool {
        self.words[word::TERMINATE_PHASE] >= RECOGNIZED
    }

    /// Return whether to search the turned picture, too, when too little is found.
    pub fn resists_deformation(&self) -> bool {
        self.words[word::DEFORMATION_MODES..][..8].iter().any(|mode| *mode != 0)
    }

    /// Return whether the program asks for intermediate results.
    pub fn wants_intermediate_results(&self) -> bool {
        self.words[word::INTERMEDIATE_TYPES] != 0
    }

    /// Return the smallest number of characters of a text.
    pub(super) fn text_length_min(&self) -> usize {
        usize::try_from(self.words[word::TEXT_LENGTH_MIN]).unwrap_or(0)
    }

    /// Return the lowest confidence of a result.
    pub(super) fn confidence_min(&self) -> i32 {
        self.words[word::CONFIDENCE_MIN]
    }

    /// Return the smallest distance to the border of the picture in pixels.
    pub(super) fn border_distance_min(&self) -> i32 {
        self.words[word::BORDER_DISTANCE]
    }

    /// Return the criteria by which results are sorted, the most important first.
    pub(super) fn order(&self) -> &[i32] {
        &self.words[word::ORDER_MODES..][..8]
    }

    /// Return whether corners are returned in percent.
    pub(super) fn is_in_percent(&self) -> bool {
        self.words[word::COORDINATE_TYPE] == 2
    }
}

impl Entry {
    /// Check one value.
    ///
    /// # Errors
    /// -10038, with a message that names the setting.
    pub(super) fn check(&self, value: i32) -> Result<()> {
        let is_possible = match self.kind {
            Kind::Number(min, max) => (min..=max).contains(&value),
            Kind::One(names) | Kind::OneMode(names) => {
                names.iter().any(|(_, known)| *known == value)
            }
            Kind::Modes(names) => value == 0 || names.iter().any(|(_, known)| *known == value),
            Kind::Bits(_) => true,
        };
        if is_possible {
            return Ok(());
        }
        let what = match self.kind {
            Kind::Number(min, max) => format!("it can be {min} to {max}"),
            Kind::One(names) | Kind::OneMode(names) | Kind::Modes(names) | Kind::Bits(names) => {
                let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                format!("it can be {}", names.join(", "))
            }
        };
        let message = format!("{} is {value}; {what}", self.name);
        Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message))
    }
}

impl Region {
    /// # Errors
    /// -10010 when the region is empty, or its percentages exceed 100.
    pub(super) fn check(&self) -> Result<()> {
        let [top, left, right, bottom] = self.sides;
        let is_possible = 0 <= top && top < bottom && 0 <= left && left < right;
        let fits = !self.is_in_percent || (right <= 100 && bottom <= 100);
        if is_possible && fits {
            return Ok(());
        }
        let message = format!(
            "the region from {left}, {top} to {right}, {bottom} {}is empty or out of range",
            if self.is_in_percent { "percent " } else { "" }
        );
        Err(Error::new(CUSTOM_REGION_INVALID, message))
    }

    /// Return the region's place in this picture.
    ///
    /// # Errors
    /// -10010 when the region lies outside.
    pub(super) fn within(&self, image: &GrayImage<'_>) -> Result<Rectangle> {
        let pixels = |side: i32, length: u32, up: u64| {
            let side = u64::try_from(side).unwrap_or(0);
            let length = u64::from(length);
            let pixels = if self.is_in_percent { (side * length + up) / 100 } else { side };
            // The result is at most `length`, which fits.
            pixels.min(length) as u32
        };
        let [top, left, right, bottom] = self.sides;
        let (top, bottom) = (pixels(top, image.height, 0), pixels(bottom, image.height, 99));
        let (left, right) = (pixels(left, image.width, 0), pixels(right, image.width, 99));
        if top >= bottom || left >= right {
            return Err(explained(CUSTOM_REGION_INVALID));
        }
        Ok(Rectangle { left, top, width: right - left, height: bottom - top })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_settings_are_possible_ones() {
        let first = Settings::default();
        assert_eq!(Settings::checked(*first.words()).unwrap(), first);
        assert_eq!(
            first.search(),
            Search { formats: (-31_457_281_i32).cast_unsigned(), ..Search::default() }
        );
        assert_eq!(first.region(), None);
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        for (at, value, names) in [
            (word::TIMEOUT, -1, "Timeout"),
            (word::CONFIDENCE_MIN, 101, "MinResultConfidence"),
            (word::DEBLUR_LEVEL, 10, "DeblurLevel"),
            (word::BINARIZATION_MODES + 3, 3, "BinarizationModes"),
            (word::TERMINATE_PHASE, 3, "TerminatePhase"),
        ] {
            let mut words = *Settings::default().words();
            words[at] = value;
            let error = Settings::checked(words).unwrap_err();
            assert_eq!(error.code, ErrorCode::PARAMETER_VALUE_INVALID);
            assert!(error.message.contains(names), "{error}");
        }
    }

    #[test]
    fn a_region_is_cut_to_the_picture_and_must_not_be_empty() {
        let image = GrayImage { width: 200, height: 100, pixels: vec![0; 20_000].into() };
        let region = |sides, is_in_percent| Region { sides, is_in_percent, ..Region::default() };
        let half = region([0, 50, 100, 100], true).within(&image).unwrap();
        assert_eq!(half, Rectangle { left: 100, top: 0, width: 100, height: 100 });
        let cut = region([90, 10, 1000, 1000], false).within(&image).unwrap();
        assert_eq!(cut, Rectangle { left: 10, top: 90, width: 190, height: 10 });
        assert!(region([100, 0, 10, 200], false).within(&image).is_err());
        for sides in [[0, 10, 10, 5], [5, 0, 5, 5], [-1, 0, 5, 5], [0, 0, 101, 5]] {
            assert_eq!(region(sides, true).check().unwrap_err().code, CUSTOM_REGION_INVALID);
        }
    }

    #[test]
    fn speed_comes_before_effort_where_the_settings_say_so() {
        let mut settings = Settings::default();
        assert_eq!(settings.search().effort, Effort::Full);
        settings.words[word::DEBLUR_LEVEL] = 0;
        assert_eq!(settings.search().effort, Effort::Fast);
        settings = Settings::default();
        settings.words[word::LOCALIZATION_MODES..][..8].copy_from_slice(&[
            SCAN_DIRECTLY,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        assert_eq!(settings.search().effort, Effort::Fast);
    }
}
