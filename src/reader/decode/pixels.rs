//! Pixels in memory, in every format of the DBR API, as shades of gray.
//!
//! | number | a pixel | in memory, lowest address first |
//! |---|---|---|
//! | 0, 1 | 1 bit | the highest bit of a byte is the leftmost pixel; 0 is black (1: white) |
//! | 2 | 1 byte | gray |
//! | 3 | 1 byte | gray, followed by color at half the size, which is ignored |
//! | 4, 5 | 2 bytes | blue in the low 5 bits, then green (6 bits, 5), then red |
//! | 6, 12 | 3 bytes | blue green red (12: red green blue) |
//! | 7, 10 | 4 bytes | blue green red alpha (10: red green blue alpha) |
//! | 8 | 3 × 2 bytes | as 6, each with the low byte first |
//! | 9, 11 | 4 × 2 bytes | as 7 and 10, each with the low byte first |
//!
//! The names of the API list the channels from the highest address to the lowest.
//!
//! Alpha is ignored, as in the engine, because many programs leave any value there. If all pixels
//! have the same color, only alpha can show something. The picture is then put on white paper, or
//! on black if its color is white.

use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use super::gray::{Ground, SIDE_PIXELS_MAX, WHITE, eight_bits, luminance, require_room};
use super::orientation::Orientation;
use crate::error::{Error, Result};

/// The layout of pixels in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLayout {
    width: usize,
    height: usize,
    stride: usize,
    format: i32,
    orientation: Orientation,
}

impl PixelLayout {
    /// Check the numbers of a caller. A stride of 0 means that rows have no gaps.
    ///
    /// # Errors
    /// -10038, with a message that names the invalid number.
    pub fn new(width: i32, height: i32, stride: i32, format: i32) -> Result<Self> {
        let side = |name: &str, value: i32| {
            u32::try_from(value)
                .ok()
                .filter(|pixels| (1..=SIDE_PIXELS_MAX).contains(pixels))
                .ok_or_else(|| {
                    invalid(format!(
                        "{name} is {value}; pictures have 1 to {SIDE_PIXELS_MAX} pixels a side"
                    ))
                })
        };
        let (width, height) = (side("width", width)? as usize, side("height", height)? as usize);
        let row = row_bytes(width, format)
            .ok_or_else(|| invalid(format!("format {format} is not one of ImagePixelFormat")))?;
        let stride = match usize::try_from(stride) {
            Ok(0) => row,
            Ok(stride) if stride >= row => stride,
            _ => {
                return Err(invalid(format!(
                    "stride is {stride}; a row of this picture has {row} bytes"
                )));
            }
        };
        Ok(Self { width, height, stride, format, orientation: Orientation::default() })
    }

    /// Set how far the picture must be turned clockwise to stand upright.
    ///
    /// # Errors
    /// -10063 when that is not 0, 90, 180 or 270.
    pub fn turned(self, degrees: i32) -> Result<Self> {
        Ok(Self { orientation: Orientation::new(degrees, self.width, self.height)?, ..self })
    }

    /// Return the orientation of the picture.
    pub(super) fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// Return the number of bytes that are read: the last row needs no gap after it.
    pub fn bytes(&self) -> usize {
        self.stride * (self.height - 1) + self.row_bytes()
    }

    fn row_bytes(&self) -> usize {
        row_bytes(self.width, self.format).unwrap_or(0)
    }

    /// Return the shades of gray. They are borrowed if the pixels already are shades.
    ///
    /// # Errors
    /// -10012 when there are too few bytes, -10001 when there is not enough memory.
    pub fn gray<'a>(&self, bytes: &'a [u8]) -> Result<GrayImage<'a>> {
        let Some(bytes) = bytes.get(..self.bytes()) else {
            let message =
                format!("the picture has {} bytes, it must have {}", bytes.len(), self.bytes());
            return Err(Error::new(ErrorCode::IMAGE_READ_FAILED, message));
        };
        // Both fit: see `new`.
        let (width, height) = (self.width as u32, self.height as u32);
        let is_gray = matches!(self.format, 2 | 3);
        if is_gray && self.stride == self.width {
            return Ok(GrayImage { width, height, pixels: bytes.into() });
        }
        require_room((width, height), 1)?;
        let mut gray = Vec::with_capacity(self.width * self.height);
        for row in bytes.chunks(self.stride) {
            self.convert_row(&row[..self.row_bytes()], &mut gray);
        }
        if let Some(alpha) = self.high_byte_of_alpha()
            && gray.iter().all(|shade| *shade == gray[0])
        {
            let pixel_bytes = alpha + 1;
            let rows = bytes.chunks(self.stride).map(|row| &row[..self.row_bytes()]);
            let alphas =
                rows.flat_map(|row| row.chunks_exact(pixel_bytes)).map(|pixel| pixel[alpha]);
            // White on white paper would be invisible.
            let ground = if gray[0] == WHITE { Ground::Black } else { Ground::White };
            gray.iter_mut()
                .zip(alphas)
                .for_each(|(shade, alpha)| *shade = ground.under(*shade, alpha));
        }
        Ok(GrayImage { width, height, pixels: gray.into() })
    }

    /// Return the place of alpha in a pixel that has it: the last byte is its high byte.
    fn high_byte_of_alpha(&self) -> Option<usize> {
        match self.format {
            7 | 10 => Some(3),
            9 | 11 => Some(7),
            _ => None,
        }
    }

    fn convert_row(&self, row: &[u8], gray: &mut Vec<u8>) {
        match self.format {
            0 | 1 => {
                let white = u8::from(self.format == 0);
                gray.extend(
                    (0..self.width)
                        .map(|x| if row[x / 8] >> (7 - x % 8) & 1 == white { 255 } else { 0 }),
                );
            }
            4 => each(row, gray, |[low, high]| {
                let pixel = u16::from_le_bytes([low, high]);
                luminance(
                    eight_bits(pixel >> 11, 5),
                    eight_bits(pixel >> 5 & 63, 6),
                    eight_bits(pixel & 31, 5),
                )
            }),
            5 => each(row, gray, |[low, high]| {
                let pixel = u16::from_le_bytes([low, high]);
                luminance(
                    eight_bits(pixel >> 10 & 31, 5),
                    eight_bits(pixel >> 5 & 31, 5),
                    eight_bits(pixel & 31, 5),
                )
            }),
            6 => each(row, gray, |[b, g, r]| luminance(r, g, b)),
            7 => each(row, gray, |[b, g, r, _]| luminance(r, g, b)),
            8 => each(row, gray, |[_, b, _, g, _, r]| luminance(r, g, b)),
            9 => each(row, gray, |[_, b, _, g, _, r, _, _]| luminance(r, g, b)),
            10 => each(row, gray, |[r, g, b, _]| luminance(r, g, b)),
            11 => each(row, gray, |[_, r, _, g, _, b, _, _]| luminance(r, g, b)),
            12 => each(row, gray, |[r, g, b]| luminance(r, g, b)),
            _ => gray.extend_from_slice(row),
        }
    }
}

fn row_bytes(width: usize, format: i32) -> Option<usize> {
    Some(match format {
        0 | 1 => width.div_ceil(8),
        2 | 3 => width,
        4 | 5 => width * 2,
        6 | 12 => width * 3,
        7 | 10 => width * 4,
        8 => width * 6,
        9 | 11 => width * 8,
        _ => return None,
    })
}

#[inline(always)]
fn each<const BYTES: usize>(row: &[u8], gray: &mut Vec<u8>, shade: impl Fn([u8; BYTES]) -> u8) {
    gray.extend(row.as_chunks::<BYTES>().0.iter().map(|pixel| shade(*pixel)));
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// Return the shades of a picture of two pixels, the first of the color, the second black, in a
    /// row with a gap at its end.
    fn shades(format: i32, pixels: &[u8]) -> Vec<u8> {
        let stride = pixels.len() as i32 + 3;
        let layout = PixelLayout::new(2, 1, stride, format).unwrap();
        let mut bytes = pixels.to_vec();
        bytes.extend([77; 3]);
        layout.gray(&bytes).unwrap().pixels.into_owned()
    }

    #[test]
    fn red_has_the_same_shade_in_every_format_of_colors() {
        let red = luminance(255, 0, 0);
        for (format, pixels) in [
            (4, &[0, 0xf8, 0, 0][..]),
            (5, &[0, 0x7c, 0, 0]),
            (6, &[0, 0, 255, 0, 0, 0]),
            (7, &[0, 0, 255, 255, 0, 0, 0, 255]),
            (8, &[0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0]),
            (9, &[0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255]),
            (10, &[255, 0, 0, 255, 0, 0, 0, 255]),
            (11, &[255, 255, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255]),
            (12, &[255, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(shades(format, pixels), [red, 0], "format {format}");
        }
    }

    #[test]
    fn alpha_is_looked_at_where_there_is_nothing_else_to_see() {
        for format in [7, 10] {
            assert_eq!(shades(format, &[0, 0, 0, 0, 0, 0, 0, 255]), [255, 0], "black on nothing");
            assert_eq!(shades(format, &[9, 9, 9, 0, 8, 8, 8, 255]), [9, 8], "colors differ");
        }
        for format in [9, 11] {
            assert_eq!(
                shades(format, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255]),
                [255, 0]
            );
        }
    }

    #[test]
    fn bits_are_read_from_the_highest_and_grey_is_grey() {
        assert_eq!(shades(0, &[0b1000_0000]), [255, 0]);
        assert_eq!(shades(1, &[0b0100_0000]), [255, 0]);
        assert_eq!(shades(2, &[9, 0]), [9, 0]);
        assert_eq!(shades(3, &[9, 0]), [9, 0]);
    }

    #[test]
    fn grey_without_gaps_is_not_copied() {
        let layout = PixelLayout::new(2, 2, 0, 2).unwrap();
        assert!(matches!(layout.gray(&[1, 2, 3, 4]).unwrap().pixels, Cow::Borrowed(_)));
    }

    #[test]
    fn numbers_that_cannot_be_are_named() {
        for (width, height, stride, format, names) in [
            (0, 1, 1, 2, "width"),
            (1, -1, 1, 2, "height"),
            (1, 40_000, 1, 2, "height"),
            (4, 1, 3, 2, "stride"),
            (1, 1, -1, 2, "stride"),
            (1, 1, 1, 13, "format"),
            (1, 1, 1, -1, "format"),
        ] {
            let error = PixelLayout::new(width, height, stride, format).unwrap_err();
            assert_eq!(error.code, ErrorCode::PARAMETER_VALUE_INVALID);
            assert!(error.message.contains(names), "{error}");
        }
        let layout = PixelLayout::new(2, 2, 4, 2).unwrap();
        assert_eq!(layout.bytes(), 6);
        assert!(layout.gray(&[0; 5]).is_err());
    }
}
