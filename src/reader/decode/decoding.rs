//! Decoding under the license: read, decode, filter, count, and only then show.
//!
//! Without a license or seat the picture is decoded, too, but nothing is counted, and every text is
//! masked with `*`. Users of this API see that decoding would work, and what is missing.

use std::borrow::Cow;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use seatmeter_protocol::error_code::ErrorCode;

use super::bitmap::BitmapHeader;
use super::engine::{DecodeEngine, Decoded, Details, GrayImage};
use super::gray::reserve;
use super::image_file::{FILE_BYTES_MAX, for_each_page, read_file};
use super::orientation::Orientation;
use super::pixels::PixelLayout;
use super::profile::Profile;
use super::reading_error::{RECOGNITION_TIMEOUT, explained};
use super::search::{Found, read_page};
use super::templates::Profiles;
use super::zxing::ZxingEngine;
use crate::error::{Error, Result};
use crate::reader::Reader;
use crate::usage::Barcode;

/// Padding is optional, as in data URLs.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The engine, its settings, and the outcome of its last call.
pub struct Decoding {
    engine: Box<dyn DecodeEngine>,
    profiles: Profiles,
    outcome: Outcome,
}

/// The outcome of a decode call.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The barcodes; masked when the reader had no right to read them.
    pub barcodes: Vec<Decoded>,
    /// The reason why they are masked, why there are none, or why there may be more.
    pub failure: Option<Error>,
    /// Whether they are masked.
    pub is_masked: bool,
    /// The orientation of the picture, if the caller stated it.
    pub orientation: Orientation,
}

/// The picture to decode.
#[derive(Clone, Copy, Debug)]
pub enum Picture<'a> {
    /// An image file.
    File(&'a Path),
    /// An image file in memory.
    Bytes(&'a [u8]),
    /// An image file in base64, as text.
    Base64(&'a [u8]),
    /// Pixels in memory.
    Pixels(PixelLayout, &'a [u8]),
    /// A bitmap, with its header.
    Bitmap(BitmapHeader, &'a [u8]),
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            engine: Box::new(ZxingEngine),
            profiles: Profiles::default(),
            outcome: Outcome::default(),
        }
    }
}

impl Outcome {
    fn of(barcodes: Vec<Decoded>) -> Self {
        Self { barcodes, ..Self::default() }
    }

    /// Return the outcome of a picture that could not be read.
    pub(super) fn unread(failure: Error) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    /// Return the barcodes with masked texts, because the reader has no right to read them.
    pub(super) fn masked(barcodes: Vec<Decoded>, failure: Error) -> Self {
        Self {
            barcodes: masked(barcodes),
            failure: Some(failure),
            is_masked: true,
            ..Self::default()
        }
    }

    /// Return the barcodes of a search after `count` has counted them.
    pub(super) fn counted(found: Found, count: impl FnOnce(&[Barcode<'_>]) -> Result<u64>) -> Self {
        let barcodes = found.barcodes;
        let keys: Vec<Barcode<'_>> =
            barcodes.iter().map(|b| Barcode { format: b.format, bytes: &b.bytes }).collect();
        match count(&keys) {
            Ok(_) if found.failure.is_some() => {
                Self { failure: found.failure, ..Self::of(barcodes) }
            }
            Ok(_) if found.is_cut_short => {
                Self { failure: Some(explained(RECOGNITION_TIMEOUT)), ..Self::of(barcodes) }
            }
            Ok(_) => Self::of(barcodes),
            Err(failure) => Self::masked(barcodes, failure),
        }
    }
}

impl Reader {
    /// Decode a picture with the settings in use, or with those of a template. The outcome is kept
    /// until the next call.
    ///
    /// # Errors
    /// -10036 for an unknown template; the license's error; the picture's error; -10026 when the
    /// time was too short.
    pub fn decode(&self, picture: Picture<'_>, template: &str) -> Result<()> {
        let licensed = self.licensed();
        let mut slot = self.decoding.lock();
        let Decoding { engine, profiles, outcome } = &mut **slot.get_or_insert_default();
        // Clear the last outcome first, so that it is never taken for the outcome of this call.
        *outcome = Outcome::default();
        let found =
            profiles.named(template).and_then(|profile| search(&mut **engine, profile, picture));
        *outcome = match (licensed, found) {
            (Ok(_), Err(failure)) => Outcome::unread(failure),
            (Err(_), Err(failure))
                if failure.code == super::reading_error::TEMPLATE_NAME_INVALID =>
            {
                Outcome::unread(failure)
            }
            (Err(failure), found) => {
                Outcome::masked(found.map(|found| found.barcodes).unwrap_or_default(), failure)
            }
            (Ok(_), Ok(found)) => Outcome::counted(found, |barcodes| self.count_image(barcodes)),
        };
        if let Picture::Pixels(layout, _) = picture {
            outcome.orientation = layout.orientation();
        }
        outcome.failure.clone().map_or(Ok(()), Err)
    }

    /// Call `show` with the outcome of the last decode call.
    pub fn with_outcome<T>(&self, show: impl FnOnce(&Outcome) -> T) -> T {
        match self.decoding.lock().as_ref() {
            Some(decoding) => show(&decoding.outcome),
            None => show(&Outcome::default()),
        }
    }

    /// Call `change` with the settings and templates.
    pub fn with_profiles<T>(&self, change: impl FnOnce(&mut Profiles) -> T) -> T {
        change(&mut self.decoding.lock().get_or_insert_default().profiles)
    }
}

/// Search all pages of a picture.
fn search(engine: &mut dyn DecodeEngine, profile: &Profile, picture: Picture<'_>) -> Result<Found> {
    match picture {
        Picture::File(path) => search_file(engine, profile, &read_file(path)?),
        Picture::Bytes(bytes) => search_file(engine, profile, bytes),
        Picture::Base64(text) => search_file(engine, profile, &from_base64(text)?),
        Picture::Pixels(layout, bytes) => search_image(engine, profile, &layout.gray(bytes)?),
        Picture::Bitmap(header, bytes) => search_image(engine, profile, &header.gray(bytes)?),
    }
}

/// Search all pages of a file. An unreadable page does not affect the others: their barcodes are
/// returned, with the error.
fn search_file(engine: &mut dyn DecodeEngine, profile: &Profile, bytes: &[u8]) -> Result<Found> {
    let mut all = Found::default();
    let read = for_each_page(bytes, &mut |number, image| {
        if !profile.pages.include(number) {
            return Ok(true);
        }
        let mut page = search_image(engine, profile, &image)?;
        page.barcodes.iter_mut().for_each(|barcode| barcode.page = number);
        all.barcodes.append(&mut page.barcodes);
        all.is_cut_short |= page.is_cut_short;
        Ok(true)
    });
    match read {
        Err(failure) if all.barcodes.is_empty() => Err(failure),
        read => Ok(Found { failure: read.err(), ..all }),
    }
}

/// Search one picture.
pub(super) fn search_image(
    engine: &mut dyn DecodeEngine,
    profile: &Profile,
    image: &GrayImage<'_>,
) -> Result<Found> {
    // A program that stops before recognition gets no barcodes, so there is nothing to count.
    if profile.settings().is_recognizing() {
        read_page(engine, profile, image)
    } else {
        Ok(Found::default())
    }
}

fn from_base64(text: &[u8]) -> Result<Vec<u8>> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::new(ErrorCode::IMAGE_READ_FAILED, "the text has more than 1 GiB"));
    }
    // The content of a data URL follows the comma, which base64 itself does not use.
    let content = text.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let content = without_white_space(content)?;
    let mut file = Vec::new();
    reserve(&mut file, base64::decoded_len_estimate(content.len()))?;
    BASE64.decode_vec(&*content, &mut file).map_err(|e| {
        Error::new(ErrorCode::IMAGE_READ_FAILED, format!("the text is not base64: {e}"))
    })?;
    Ok(file)
}

fn without_white_space(text: &[u8]) -> Result<Cow<'_, [u8]>> {
    if !text.iter().any(u8::is_ascii_whitespace) {
        return Ok(text.into());
    }
    let mut rest = Vec::new();
    reserve(&mut rest, text.len())?;
    rest.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    Ok(rest.into())
}

fn masked(mut barcodes: Vec<Decoded>) -> Vec<Decoded> {
    for barcode in &mut barcodes {
        barcode.text = "*".repeat(barcode.text.chars().count());
        barcode.bytes = barcode.text.clone().into_bytes();
        if matches!(barcode.details, Details::Linear { .. }) {
            // Check digits, and start and stop characters, are part of the text.
            barcode.details =
                Details::Linear { start: Vec::new(), stop: Vec::new(), check: Vec::new() };
        }
    }
    barcodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_have_white_space_a_data_url_in_front_and_no_padding() {
        for text in ["aGVsbG8h", "aGVs\r\nbG8h ", "data:image/png;base64,aGVsbG8h"] {
            assert_eq!(from_base64(text.as_bytes()).unwrap(), b"hello!");
        }
        assert_eq!(from_base64(b"aGVsbG8").unwrap(), b"hello");
        assert_eq!(from_base64(b"aGVsbG8=").unwrap(), b"hello");
        for text in [&b"a*b"[..], b"a\xffb"] {
            assert_eq!(from_base64(text).unwrap_err().code, ErrorCode::IMAGE_READ_FAILED);
        }
    }
}
