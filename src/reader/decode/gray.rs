//! The one conversion to shades of gray, for pictures of every source.
//!
//! | colors | shade |
//! |---|---|
//! | red, green, blue | `(306·R + 601·G + 117·B + 512) / 1024`: ITU-R BT.601, as the engine itself converts |
//! | samples of fewer than 8 bits | `sample · 255 / (2^bits − 1)`, rounded down |
//! | samples of more than 8 bits | the 8 highest bits |
//! | cyan, magenta, yellow, black | each color is `(255 − ink) · (255 − black) / 255`, rounded |
//! | with alpha | `(shade · alpha + 255 · (255 − alpha)) / 255`, rounded: on white paper |
//!
//! If the picture on white paper has only one shade, alpha is ignored: the bars may be holes in
//! white paper, or the program may have left alpha at 0. If that has only one shade, too, as with
//! white bars on a transparent ground, the picture is put on black.
//!
//! JPEG files have brightness and two colors. They are converted to red, green and blue first, as
//! everywhere else: the brightness alone would give another shade if the colors exceed the range of
//! red, green and blue.

use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use crate::error::{Error, Result};
use crate::os::has_room_for;

/// Longest side of a picture in pixels.
pub(super) const SIDE_PIXELS_MAX: u32 = 32_768;

/// Most bytes of memory for one picture. It is less in a fuzzer, which would otherwise spend most
/// of its time on pictures that claim all of it.
pub(super) const MEMORY_BYTES_MAX: u64 = if cfg!(fuzzing) { 4 << 20 } else { 512 << 20 };

/// Memory of a decoder beyond the part that grows with the picture, in bytes.
const ROOM_BYTES: usize = 4 << 20;

/// The shade of white paper.
pub(super) const WHITE: u8 = 255;

/// The ground on which a picture with alpha is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// White paper.
    White,
    /// No ground: alpha is ignored.
    Opaque,
    /// A black ground.
    Black,
}

impl Ground {
    /// Return the ground to try next when the picture on this one has only one shade.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::White => Some(Self::Opaque),
            Self::Opaque => Some(Self::Black),
            Self::Black => None,
        }
    }

    /// Return the visible shade on this ground.
    #[inline(always)]
    pub(super) fn under(self, shade: u8, alpha: u8) -> u8 {
        match self {
            Self::White => on_paper(shade, alpha),
            Self::Opaque => shade,
            Self::Black => mean(shade, alpha, 0),
        }
    }
}

/// Return the brightness of a color.
#[inline(always)]
pub(super) fn luminance(r: u8, g: u8, b: u8) -> u8 {
    // At most 255: the factors sum up to 1024.
    ((306 * u32::from(r) + 601 * u32::from(g) + 117 * u32::from(b) + 512) >> 10) as u8
}

/// Return the visible shade on white paper.
#[inline(always)]
pub(super) fn on_paper(shade: u8, alpha: u8) -> u8 {
    mean(shade, alpha, WHITE)
}

/// Return the visible shade on white paper for a shade that is premultiplied by its alpha.
#[inline(always)]
pub(super) fn multiplied_on_paper(shade: u8, alpha: u8) -> u8 {
    shade.saturating_add(WHITE - alpha)
}

/// Return the brightness of four inks on white paper.
#[inline(always)]
pub(super) fn brightness_of_inks([c, m, y, k]: [u8; 4]) -> u8 {
    let color = |ink: u8| mean(255 - ink, 255 - k, 0);
    luminance(color(c), color(m), color(y))
}

#[inline(always)]
fn mean(value: u8, weight: u8, other: u8) -> u8 {
    let [value, weight, other] = [value, weight, other].map(u32::from);
    // At most 255: a mean of two bytes.
    ((value * weight + other * (255 - weight) + 127) / 255) as u8
}

/// Return a sample of 1 to 16 bits as one of 8.
#[inline(always)]
pub(super) fn eight_bits(sample: u16, bits: u32) -> u8 {
    // At most 255 in both cases.
    if bits >= 8 {
        (sample >> (bits - 8)) as u8
    } else {
        (u32::from(sample) * 255 / ((1 << bits) - 1)) as u8
    }
}

/// A picture that is being read. Pixels that were not read yet are white.
pub(super) struct Canvas {
    width: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// Make a canvas. `more_pixel_bytes` is what the decoder needs for each pixel in addition to
    /// it.
    ///
    /// # Errors
    /// -10012 when the picture has no pixels or too many, -10001 when there is not enough memory.
    pub(super) fn new((width, height): (u32, u32), more_pixel_bytes: usize) -> Result<Self> {
        require_size((width, height))?;
        require_room((width, height), 1 + more_pixel_bytes)?;
        let count = width as usize * height as usize;
        let mut pixels = Vec::new();
        reserve(&mut pixels, count)?;
        pixels.resize(count, WHITE);
        Ok(Self { width: width as usize, pixels })
    }

    /// Return its width and height.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.pixels.len() / self.width)
    }

    /// Return the pixels of a row.
    pub(super) fn row(&mut self, y: usize) -> &mut [u8] {
        &mut self.pixels[y * self.width..][..self.width]
    }

    /// Return the rows.
    pub(super) fn rows(&mut self) -> impl DoubleEndedIterator<Item = &mut [u8]> {
        self.pixels.chunks_exact_mut(self.width)
    }

    /// Return all pixels.
    pub(super) fn pixels(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Return whether all pixels have the same shade.
    pub(super) fn is_of_one_shade(&self) -> bool {
        self.pixels.iter().all(|shade| *shade == self.pixels[0])
    }

    /// Return a copy of the canvas as a picture.
    ///
    /// # Errors
    /// -10001 when there is not enough memory for a copy.
    pub(super) fn copied(&self) -> Result<GrayImage<'static>> {
        let mut pixels = Vec::new();
        reserve(&mut pixels, self.pixels.len())?;
        pixels.extend_from_slice(&self.pixels);
        Ok(Self { width: self.width, pixels }.done())
    }

    /// Return the picture.
    pub(super) fn done(self) -> GrayImage<'static> {
        // Both fit: see `new`.
        let height = (self.pixels.len() / self.width) as u32;
        GrayImage { width: self.width as u32, height, pixels: self.pixels.into() }
    }
}

/// Check the size of a picture.
///
/// # Errors
/// -10012 when it has no pixels, or more than this library reads.
pub(super) fn require_size((width, height): (u32, u32)) -> Result<()> {
    let is_possible = |side: u32| (1..=SIDE_PIXELS_MAX).contains(&side);
    if is_possible(width)
        && is_possible(height)
        && u64::from(width) * u64::from(height) <= MEMORY_BYTES_MAX
    {
        return Ok(());
    }
    let message = if width == 0 || height == 0 {
        format!("the picture has {width} by {height} pixels: there is nothing to read")
    } else {
        format!(
            "the picture has {width} by {height} pixels, which is larger than {SIDE_PIXELS_MAX} a \
             side or {} in all",
            MEMORY_BYTES_MAX
        )
    };
    Err(Error::new(ErrorCode::IMAGE_READ_FAILED, message))
}

/// Check that there is memory for a picture with so many bytes a pixel. Without the check the
/// decoder would abort the process when an allocation fails, or the kernel would kill it.
///
/// # Errors
/// -10001 when there is not that much memory left.
pub(super) fn require_room((width, height): (u32, u32), pixel_bytes: usize) -> Result<()> {
    let bytes = (width as usize).saturating_mul(height as usize).saturating_mul(pixel_bytes);
    if has_room_for(bytes.saturating_add(ROOM_BYTES)) {
        return Ok(());
    }
    let message = format!(
        "there is not enough memory for a picture of {width} by {height} pixels: reading it takes \
         {} MiB",
        bytes.div_ceil(1 << 20)
    );
    Err(Error::new(ErrorCode::NO_MEMORY, message))
}

/// Grow a buffer by so many bytes without aborting the process.
///
/// # Errors
/// -10001 when there is not that much memory left.
pub(super) fn reserve(buffer: &mut Vec<u8>, bytes: usize) -> Result<()> {
    let is_there = buffer.capacity() - buffer.len() >= bytes || has_room_for(bytes);
    if !is_there {
        return Err(no_memory(bytes));
    }
    buffer.try_reserve_exact(bytes).map_err(|_| no_memory(bytes))
}

fn no_memory(bytes: usize) -> Error {
    Error::new(ErrorCode::NO_MEMORY, format!("there is not enough memory for {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_have_the_brightness_that_the_engine_gives_them() {
        for (color, shade) in [
            ([0, 0, 0], 0),
            ([255, 255, 255], 255),
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([0, 0, 200], 23),
        ] {
            assert_eq!(luminance(color[0], color[1], color[2]), shade, "{color:?}");
        }
    }

    #[test]
    fn what_is_transparent_is_white_paper() {
        assert_eq!((on_paper(0, 0), on_paper(0, 255), on_paper(100, 255)), (255, 0, 100));
        assert_eq!(on_paper(0, 128), 127);
        assert_eq!((multiplied_on_paper(0, 0), multiplied_on_paper(0, 255)), (255, 0));
        assert_eq!(multiplied_on_paper(200, 0), 255, "more than its alpha allows");
    }

    #[test]
    fn inks_darken_white_paper() {
        assert_eq!(brightness_of_inks([0; 4]), 255);
        assert_eq!(
            (brightness_of_inks([0, 0, 0, 255]), brightness_of_inks([255, 255, 255, 0])),
            (0, 0)
        );
        assert_eq!(brightness_of_inks([0, 255, 255, 0]), luminance(255, 0, 0));
        assert_eq!(brightness_of_inks([0, 0, 0, 128]), 127);
    }

    #[test]
    fn samples_of_any_number_of_bits_reach_from_black_to_white() {
        for bits in 1..=16 {
            let most = ((1_u32 << bits) - 1) as u16;
            assert_eq!((eight_bits(0, bits), eight_bits(most, bits)), (0, 255), "{bits} bits");
        }
        assert_eq!(
            (eight_bits(1, 2), eight_bits(0x80ff, 16), eight_bits(0x800, 12)),
            (85, 0x80, 0x80)
        );
    }

    #[test]
    fn a_picture_without_pixels_or_with_too_many_is_refused() {
        for size in [(0, 1), (1, 0), (SIDE_PIXELS_MAX + 1, 1), (SIDE_PIXELS_MAX, SIDE_PIXELS_MAX)] {
            let Err(error) = Canvas::new(size, 0) else { panic!("{size:?} was taken") };
            assert_eq!(error.code, ErrorCode::IMAGE_READ_FAILED);
        }
        assert!(Canvas::new((SIDE_PIXELS_MAX, 1), 0).is_ok());
    }
}
