//! The search of one page: region after region, within the time that the settings give.
//!
//! The engine cannot be interrupted. So the time of each pass is estimated before it starts. If the
//! remaining time is too short, the page is searched at a smaller size, and the caller learns that
//! the search was not complete.

use std::time::{Duration, Instant};

use super::engine::{DecodeEngine, Decoded, Effort, GrayImage, Rectangle, Search};
use super::filters::{self, Asked};
use super::gray::require_room;
use super::profile::Profile;
use super::reading_error::{BARCODE_FORMAT_INVALID, CUSTOM_REGION_INVALID, explained};
use super::resample::{shrunk, stretched, turned};
use super::settings::Region;
use crate::error::{Error, Result};

/// The engine's approximate time for a pixel, as `benches/decoding.rs` measures it for photographs
/// on a core of its own.
const NANOSECONDS_A_PIXEL: u64 = 20;

/// Linear symbologies, PDF417 and Micro PDF417. The engine reads these only dark on light.
const DARK_ALONE: u32 = 0x0213_ffff | 0x0008_0000;

/// Degrees by which a page is turned for further passes. The engine itself covers 0 and 90, and
/// these lie between.
const TURNS: [i32; 2] = [30, 60];

/// The results of a page.
#[derive(Debug, Default)]
pub struct Found {
    /// The barcodes that are returned.
    pub barcodes: Vec<Decoded>,
    /// Whether the time was over before the search was complete.
    pub is_cut_short: bool,
    /// The reason why not all pages could be read.
    pub failure: Option<Error>,
}

/// Memory a pixel for the search, in bytes. A turned picture is nearly twice as large as the
/// searched one, and so is the engine's black and white copy of it. The engine's smaller copies are
/// added.
const SEARCHED_PIXEL_BYTES: usize = 5;

/// Search one page.
///
/// # Errors
/// -10001 when there is not enough memory, -10009 when no format can be read, -10010 when the
/// regions lie outside, or the error of the engine.
pub fn read_page(
    engine: &mut dyn DecodeEngine,
    profile: &Profile,
    image: &GrayImage<'_>,
) -> Result<Found> {
    let settings = profile.settings();
    require_room((image.width, image.height), SEARCHED_PIXEL_BYTES)?;
    let parts = readable(parts(profile, image)?, engine)?;
    let timeout = settings.timeout_ms();
    let end = (timeout > 0).then(|| Instant::now() + Duration::from_millis(timeout));
    let found = all_passes(Hunt::new(engine, profile, image, end), &parts)?;
    if !found.barcodes.is_empty() || found.is_cut_short {
        return Ok(found);
    }
    // The engine cannot distinguish shades that differ by less than 24.
    match stretched(image)? {
        Some(image) => all_passes(Hunt::new(engine, profile, &image, end), &parts),
        None => Ok(found),
    }
}

/// Search all parts of a page.
fn all_passes(mut hunt: Hunt<'_>, parts: &[Part<'_>]) -> Result<Found> {
    let settings = hunt.profile.settings();
    for part in parts {
        hunt.pass(part, 0)?;
    }
    if settings.search().effort == Effort::Full {
        for part in parts.iter().filter(|part| part.asked.formats.0 & DARK_ALONE != 0) {
            hunt.inverted_pass(part)?;
        }
    }
    if settings.resists_deformation() {
        for (turn, part) in TURNS.iter().flat_map(|turn| parts.iter().map(move |part| (turn, part)))
        {
            hunt.pass(part, *turn)?;
        }
    }
    Ok(hunt.end())
}

/// A part of the page, and the requirements there.
struct Part<'a> {
    /// The name of the region, or empty.
    name: String,
    /// Its place; `None` for the whole page.
    area: Option<Rectangle>,
    asked: Asked<'a>,
    /// Number of barcodes to find here; 0 for all.
    expected_count: usize,
}

impl<'a> Part<'a> {
    /// Return the whole page, or the region of the settings.
    fn of_settings(profile: &'a Profile, area: Option<Rectangle>) -> Self {
        let settings = profile.settings();
        // The last specification counts.
        let specifications = profile.specifications.iter().rev().collect();
        let asked = Asked { settings, formats: settings.formats(), specifications };
        Self { name: String::new(), area, asked, expected_count: 0 }
    }

    /// Return a region of a template, whose values precede the settings.
    fn of_region(profile: &'a Profile, region: &'a Region, area: Rectangle) -> Self {
        let mut part = Self::of_settings(profile, Some(area));
        region.name.clone_into(&mut part.name);
        let (formats, formats_2) = part.asked.formats;
        part.asked.formats =
            (region.formats[0].unwrap_or(formats), region.formats[1].unwrap_or(formats_2));
        part.asked.specifications.splice(0..0, region.specifications.iter().rev());
        part.expected_count = region.expected_count.unwrap_or(0);
        part
    }
}

/// Return the parts to search: a single part without a place if it is the whole page.
fn parts<'a>(profile: &'a Profile, image: &GrayImage<'_>) -> Result<Vec<Part<'a>>> {
    if profile.regions.is_empty() {
        let area = profile.settings().region().map(|region| region.within(image)).transpose()?;
        return Ok(vec![Part::of_settings(profile, area)]);
    }
    let within =
        profile.regions.iter().filter_map(|region| Some((region, region.within(image).ok()?)));
    let parts: Vec<_> =
        within.map(|(region, area)| Part::of_region(profile, region, area)).collect();
    if parts.is_empty() { Err(explained(CUSTOM_REGION_INVALID)) } else { Ok(parts) }
}

/// Return the parts that ask for a format that the engine reads.
fn readable<'a>(parts: Vec<Part<'a>>, engine: &dyn DecodeEngine) -> Result<Vec<Part<'a>>> {
    let is_readable = |part: &Part<'_>| engine.reads(part.asked.formats.0, part.asked.formats.1);
    let parts: Vec<_> = parts.into_iter().filter(is_readable).collect();
    if parts.is_empty() { Err(explained(BARCODE_FORMAT_INVALID)) } else { Ok(parts) }
}

struct Hunt<'a> {
    engine: &'a mut dyn DecodeEngine,
    profile: &'a Profile,
    image: &'a GrayImage<'a>,
    end: Option<Instant>,
    found: Found,
}

impl<'a> Hunt<'a> {
    fn new(
        engine: &'a mut dyn DecodeEngine,
        profile: &'a Profile,
        image: &'a GrayImage<'a>,
        end: Option<Instant>,
    ) -> Self {
        Self { engine, profile, image, end, found: Found::default() }
    }

    /// Return the engine's parameters for a part.
    fn search(&self, part: &Part<'_>) -> Search {
        let settings = self.profile.settings();
        let (formats, formats_2) = part.asked.formats;
        let mut search = Search { formats, formats_2, ..settings.search() };
        if part.asked.drops_nothing_more() {
            let counts = [settings.expected_count(), part.expected_count];
            let least = counts.into_iter().filter(|count| *count > 0).min();
            search.count_max = least.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        }
        search
    }

    /// Return whether enough barcodes of a part were found.
    fn is_full(&self, part: &Part<'_>) -> bool {
        let found =
            self.found.barcodes.iter().filter(|barcode| barcode.region == part.name).count();
        part.expected_count > 0 && found >= part.expected_count
    }

    /// Search a part, turned by some degrees, unless enough was found already.
    fn pass(&mut self, part: &Part<'_>, turn: i32) -> Result<()> {
        let expected = self.profile.settings().expected_count();
        // A turned page is searched only if too little was found.
        let enough = if turn == 0 && expected == 0 { usize::MAX } else { expected.max(1) };
        if self.found.barcodes.len() >= enough || self.is_full(part) {
            return Ok(());
        }
        let whole =
            Rectangle { left: 0, top: 0, width: self.image.width, height: self.image.height };
        let area = part.area.unwrap_or(whole);
        let Some(factor) = self.factor(area, turn) else {
            self.found.is_cut_short = true;
            return Ok(());
        };
        let search = self.search(part);
        let barcodes = if factor > 1 {
            self.found.is_cut_short = true;
            let (small, place) = shrunk(self.image, area, factor);
            place.back(self.engine.decode(&small, &search)?)
        } else if turn != 0 {
            let (turned, place) = turned(self.image, area, turn);
            place.back(self.engine.decode(&turned, &search)?)
        } else {
            self.engine.decode(self.image, &Search { part: part.area, ..search })?
        };
        self.take(barcodes, part);
        Ok(())
    }

    /// Search a part for light symbols on dark that the engine does not find by itself, unless
    /// enough was found already.
    fn inverted_pass(&mut self, part: &Part<'_>) -> Result<()> {
        let enough = self.profile.settings().expected_count().max(1);
        let whole =
            Rectangle { left: 0, top: 0, width: self.image.width, height: self.image.height };
        if self.found.barcodes.len() >= enough
            || self.factor(part.area.unwrap_or(whole), 0) != Some(1)
        {
            return Ok(());
        }
        let pixels = self.image.pixels.iter().map(|shade| !shade).collect::<Vec<u8>>().into();
        let inverted = GrayImage { width: self.image.width, height: self.image.height, pixels };
        let formats = part.asked.formats.0 & DARK_ALONE;
        let search = Search { part: part.area, formats, formats_2: 0, ..self.search(part) };
        let barcodes = self.engine.decode(&inverted, &search)?;
        self.take(barcodes, part);
        Ok(())
    }

    /// Return the factor by which to shrink the part so that the time is enough. `None` when the
    /// time is over, or too short for a turned page.
    fn factor(&self, area: Rectangle, turn: i32) -> Option<u32> {
        let Some(end) = self.end else { return Some(1) };
        let left = u64::try_from(end.saturating_duration_since(Instant::now()).as_nanos())
            .unwrap_or(u64::MAX);
        let pixels = u64::from(area.width) * u64::from(area.height);
        let needed = pixels * NANOSECONDS_A_PIXEL * if turn == 0 { 1 } else { 2 };
        if needed <= left {
            return Some(1);
        }
        if left == 0 || turn != 0 {
            return None;
        }
        // The factor is the root of the ratio; sides are at most 32 768, so it fits.
        let factor = (needed as f64 / left as f64).sqrt().ceil() as u32;
        (factor < area.width.min(area.height)).then_some(factor)
    }

    fn take(&mut self, barcodes: Vec<Decoded>, part: &Part<'_>) {
        for mut barcode in barcodes {
            let known = &self.found.barcodes;
            if part.asked.is_wanted(&barcode, self.image)
                && !known.iter().any(|other| filters::is_same(other, &barcode))
                && !self.is_full(part)
            {
                part.name.clone_into(&mut barcode.region);
                self.found.barcodes.push(barcode);
            }
        }
    }

    fn end(mut self) -> Found {
        let settings = self.profile.settings();
        let barcodes = &mut self.found.barcodes;
        filters::drop_fragments(barcodes);
        if settings.expected_count() > 0 {
            barcodes.truncate(settings.expected_count());
        }
        filters::sort(barcodes, settings);
        filters::give_unit(barcodes, settings, self.image);
        self.found
    }
}
