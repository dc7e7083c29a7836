//! Searching one page: region after region, within the time that the settings give.
//!
//! The engine cannot be interrupted. So before each pass it is estimated how long that may take; a page for which
//! there is not enough time is searched at a smaller size, and the caller is told that not all of it was searched.

use std::time::{Duration, Instant};

use super::engine::{DecodeEngine, Decoded, Effort, GrayImage, Rectangle, Search};
use super::filters;
use super::gray::require_room;
use super::profile::Profile;
use super::reading_error::{BARCODE_FORMAT_INVALID, CUSTOM_REGION_INVALID, explained};
use super::resample::{shrunk, turned};
use crate::error::{Error, Result};

/// How long the engine takes for a pixel, about: what `bench_decoding` shows for photographs, on one core of its own.
const NANOSECONDS_A_PIXEL: u64 = 20;

/// Linear symbologies, PDF417 and Micro PDF417: of these the engine reads dark ones on light alone.
const DARK_ALONE: u32 = 0x0213_ffff | 0x0008_0000;

/// By how many degrees a page is turned for further passes: between 0 and 90, which the engine looks at itself.
const TURNS: [i32; 2] = [30, 60];

/// What is in a page.
#[derive(Debug, Default)]
pub struct Found {
    /// The barcodes that are given out.
    pub barcodes: Vec<Decoded>,
    /// The time was over before all was searched.
    pub is_cut_short: bool,
    /// Why not all pages could be read.
    pub failure: Option<Error>,
}

/// Memory a pixel that searching takes: a turned picture is nearly twice as large as the one that is searched, and so is
/// the engine's black and white of it; then there are its smaller copies.
const SEARCHED_PIXEL_BYTES: usize = 5;

/// Reads one page.
///
/// # Errors
/// -10001 when there is not enough memory, -10009 when no format can be read, -10010 when the regions lie outside, or what the engine says.
pub fn read_page(engine: &mut dyn DecodeEngine, profile: &Profile, image: &GrayImage<'_>) -> Result<Found> {
    let settings = profile.settings();
    let (formats, formats_2) = settings.formats();
    if !engine.reads(formats, formats_2) {
        return Err(explained(BARCODE_FORMAT_INVALID));
    }
    require_room((image.width, image.height), SEARCHED_PIXEL_BYTES)?;
    let parts = parts(profile, image)?;
    let mut hunt = Hunt::new(engine, profile, image);
    for (name, part) in &parts {
        hunt.pass(name, *part, 0)?;
    }
    if hunt.search.effort == Effort::Full && formats & DARK_ALONE != 0 {
        for (name, part) in &parts {
            hunt.inverted_pass(name, *part)?;
        }
    }
    if settings.resists_deformation() {
        for (turn, (name, part)) in TURNS.iter().flat_map(|turn| parts.iter().map(move |part| (turn, part))) {
            hunt.pass(name, *part, *turn)?;
        }
    }
    Ok(hunt.end())
}

/// Names and places of the regions; one without a place for the whole page.
fn parts(profile: &Profile, image: &GrayImage<'_>) -> Result<Vec<(String, Option<Rectangle>)>> {
    let regions = profile.regions();
    if regions.is_empty() {
        return Ok(vec![(String::new(), None)]);
    }
    let within =
        regions.iter().filter_map(|region| Some((region.name.clone(), Some(region.within(image).ok()?))));
    let parts: Vec<_> = within.collect();
    if parts.is_empty() { Err(explained(CUSTOM_REGION_INVALID)) } else { Ok(parts) }
}

struct Hunt<'a> {
    engine: &'a mut dyn DecodeEngine,
    profile: &'a Profile,
    image: &'a GrayImage<'a>,
    search: Search,
    end: Option<Instant>,
    found: Found,
}

impl<'a> Hunt<'a> {
    fn new(engine: &'a mut dyn DecodeEngine, profile: &'a Profile, image: &'a GrayImage<'a>) -> Self {
        let settings = profile.settings();
        let mut search = settings.search();
        if filters::drop_nothing_more(settings) {
            search.count_max = u32::try_from(settings.expected_count()).unwrap_or(0);
        }
        let timeout = settings.timeout_ms();
        let end = (timeout > 0).then(|| Instant::now() + Duration::from_millis(timeout));
        Self { engine, profile, image, search, end, found: Found::default() }
    }

    /// Searches a part, turned by some degrees, unless there is enough already.
    fn pass(&mut self, name: &str, part: Option<Rectangle>, turn: i32) -> Result<()> {
        let expected = self.profile.settings().expected_count();
        // A turned page is only for one that has too little.
        let enough = if turn == 0 && expected == 0 { usize::MAX } else { expected.max(1) };
        if self.found.barcodes.len() >= enough {
            return Ok(());
        }
        let whole = Rectangle { left: 0, top: 0, width: self.image.width, height: self.image.height };
        let area = part.unwrap_or(whole);
        let Some(factor) = self.factor(area, turn) else {
            self.found.is_cut_short = true;
            return Ok(());
        };
        let barcodes = if factor > 1 {
            self.found.is_cut_short = true;
            let (small, place) = shrunk(self.image, area, factor);
            place.back(self.engine.decode(&small, &self.search)?)
        } else if turn != 0 {
            let (turned, place) = turned(self.image, area, turn);
            place.back(self.engine.decode(&turned, &self.search)?)
        } else {
            self.engine.decode(self.image, &Search { part, ..self.search })?
        };
        self.take(barcodes, name);
        Ok(())
    }

    /// Searches a part for light symbols on dark that the engine does not find by itself, unless there is enough already.
    fn inverted_pass(&mut self, name: &str, part: Option<Rectangle>) -> Result<()> {
        let enough = self.profile.settings().expected_count().max(1);
        let whole = Rectangle { left: 0, top: 0, width: self.image.width, height: self.image.height };
        if self.found.barcodes.len() >= enough || self.factor(part.unwrap_or(whole), 0) != Some(1) {
            return Ok(());
        }
        let pixels = self.image.pixels.iter().map(|shade| !shade).collect::<Vec<u8>>().into();
        let inverted = GrayImage { width: self.image.width, height: self.image.height, pixels };
        let formats = self.search.formats & DARK_ALONE;
        let search = Search { part, formats, formats_2: 0, ..self.search };
        let barcodes = self.engine.decode(&inverted, &search)?;
        self.take(barcodes, name);
        Ok(())
    }

    /// By what to shrink so that the time is enough; `None` when it is over, or too short for a turned page.
    fn factor(&self, area: Rectangle, turn: i32) -> Option<u32> {
        let Some(end) = self.end else { return Some(1) };
        let left =
            u64::try_from(end.saturating_duration_since(Instant::now()).as_nanos()).unwrap_or(u64::MAX);
        let pixels = u64::from(area.width) * u64::from(area.height);
        let needed = pixels * NANOSECONDS_A_PIXEL * if turn == 0 { 1 } else { 2 };
        if needed <= left {
            return Some(1);
        }
        if left == 0 || turn != 0 {
            return None;
        }
        // The root of the ratio; sides are at most 32 768, so it fits.
        let factor = (needed as f64 / left as f64).sqrt().ceil() as u32;
        (factor < area.width.min(area.height)).then_some(factor)
    }

    fn take(&mut self, barcodes: Vec<Decoded>, region: &str) {
        let settings = self.profile.settings();
        for mut barcode in barcodes {
            let known = &self.found.barcodes;
            if filters::is_wanted(&barcode, settings, self.image)
                && !known.iter().any(|other| filters::is_same(other, &barcode))
            {
                region.clone_into(&mut barcode.region);
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
