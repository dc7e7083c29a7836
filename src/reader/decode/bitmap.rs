//! A bitmap in memory as Windows knows it: a BITMAPINFOHEADER, colours, and pixels from the lowest row up.

use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use super::image_file::{SIDE_PIXELS_MAX, require_room};
use super::pixels::luminance;
use super::reading_error::{BPP_NOT_SUPPORTED, DIB_BUFFER_INVALID, explained};
use crate::error::{Error, Result};

/// Bytes of the header that are always there.
pub const HEADER_BYTES: usize = 40;

/// The longest header of this kind, BITMAPV5HEADER.
const HEADER_BYTES_MAX: usize = 124;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapHeader {
    width: usize,
    height: usize,
    is_top_down: bool,
    bits: usize,
    is_565: bool,
    colors: usize,
    colors_at: usize,
    pixels_at: usize,
}

impl BitmapHeader {
    /// Understands a header.
    ///
    /// # Errors
    /// -10018 when it cannot be one, -10007 for another number of bits a pixel.
    pub fn understand(header: &[u8; HEADER_BYTES]) -> Result<Self> {
        let number = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let invalid = || explained(DIB_BUFFER_INVALID);
        let side = |pixels: u32| (1..=SIDE_PIXELS_MAX).contains(&pixels).then_some(pixels as usize);
        let header_bytes = usize::try_from(number(0)).map_err(|_| invalid())?;
        if !(HEADER_BYTES..=HEADER_BYTES_MAX).contains(&header_bytes) {
            return Err(invalid());
        }
        let width = u32::try_from(number(4)).ok().and_then(side).ok_or_else(invalid)?;
        let height = side(number(8).unsigned_abs()).ok_or_else(invalid)?;
        let bits = usize::from(u16::from_le_bytes([header[14], header[15]]));
        if !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(explained(BPP_NOT_SUPPORTED));
        }
        // Uncompressed, or uncompressed with masks that say where the colours are.
        let has_masks = match number(16) {
            0 => false,
            3 if bits >= 16 => true,
            _ => return Err(Error::new(DIB_BUFFER_INVALID, "a compressed bitmap is not read")),
        };
        let possible = if bits <= 8 { 1 << bits } else { 256 };
        let colors = match usize::try_from(number(32)).map_err(|_| invalid())? {
            0 if bits <= 8 => possible,
            colors if colors <= possible => colors,
            _ => return Err(invalid()),
        };
        let mask_bytes = if has_masks && header_bytes == HEADER_BYTES { 12 } else { 0 };
        let colors_at = header_bytes + mask_bytes;
        Ok(Self {
            width,
            height,
            is_top_down: number(8) < 0,
            bits,
            // Without masks 16 bits are 5 of each; with masks, in practice, they are 5, 6 and 5.
            is_565: has_masks && bits == 16,
            colors,
            colors_at,
            pixels_at: colors_at + 4 * colors,
        })
    }

    /// Bytes from the header's start to the last pixel.
    pub fn bytes(&self) -> usize {
        self.pixels_at + self.row_bytes() * self.height
    }

    fn row_bytes(&self) -> usize {
        (self.width * self.bits).div_ceil(32) * 4
    }

    /// Shades of grey. `bytes` begin with the header.
    ///
    /// # Errors
    /// -10012 when there are too few bytes.
    pub fn gray(&self, bytes: &[u8]) -> Result<GrayImage<'static>> {
        let colors = bytes.get(self.colors_at..self.pixels_at);
        let (Some(colors), Some(pixels)) = (colors, bytes.get(self.pixels_at..self.bytes())) else {
            return Err(Error::new(ErrorCode::IMAGE_READ_FAILED, "the bitmap is cut short"));
        };
        let colors: Vec<u8> =
            colors.as_chunks::<4>().0.iter().map(|[b, g, r, _]| luminance(*r, *g, *b)).collect();
        require_room((self.width as u32, self.height as u32), 1)?;
        let mut gray = Vec::with_capacity(self.width * self.height);
        let rows = pixels.chunks_exact(self.row_bytes());
        if self.is_top_down {
            rows.for_each(|row| self.convert_row(row, &colors, &mut gray));
        } else {
            rows.rev().for_each(|row| self.convert_row(row, &colors, &mut gray));
        }
        // Both fit: see `understand`.
        Ok(GrayImage { width: self.width as u32, height: self.height as u32, pixels: gray.into() })
    }

    fn convert_row(&self, row: &[u8], colors: &[u8], gray: &mut Vec<u8>) {
        let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or(0);
        gray.extend((0..self.width).map(|x| match self.bits {
            1 => color(row[x / 8] >> (7 - x % 8) & 1),
            4 => color(row[x / 2] >> (4 - x % 2 * 4) & 15),
            8 => color(row[x]),
            16 => {
                let pixel = u16::from_le_bytes([row[2 * x], row[2 * x + 1]]);
                let [r, g] = if self.is_565 { [pixel >> 8, pixel >> 3] } else { [pixel >> 7, pixel >> 2] };
                // The highest bits of each: eight bits, of which the lowest three or two do not matter.
                luminance((r & 0xf8) as u8, (g & 0xf8) as u8, (pixel << 3 & 0xf8) as u8)
            }
            24 => luminance(row[3 * x + 2], row[3 * x + 1], row[3 * x]),
            _ => luminance(row[4 * x + 2], row[4 * x + 1], row[4 * x]),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(width: i32, height: i32, bits: u16, colors: i32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[0] = 40;
        header[4..8].copy_from_slice(&width.to_le_bytes());
        header[8..12].copy_from_slice(&height.to_le_bytes());
        header[14..16].copy_from_slice(&bits.to_le_bytes());
        header[32..36].copy_from_slice(&colors.to_le_bytes());
        header
    }

    fn shades(header: [u8; HEADER_BYTES], rest: &[u8]) -> Vec<u8> {
        let understood = BitmapHeader::understand(&header).unwrap();
        let bytes = [&header[..], rest].concat();
        assert_eq!(understood.bytes(), bytes.len());
        understood.gray(&bytes).unwrap().pixels.into_owned()
    }

    #[test]
    fn rows_stand_from_the_lowest_up_unless_the_height_is_negative() {
        let palette = [0, 0, 0, 0, 255, 255, 255, 0];
        let rows = [&palette[..], &[0x80, 0, 0, 0], &[0, 0, 0, 0]].concat();
        assert_eq!(shades(header(1, 2, 1, 0), &rows), [0, 255]);
        assert_eq!(shades(header(1, -2, 1, 0), &rows), [255, 0]);
    }

    #[test]
    fn each_number_of_bits_is_read() {
        let white = 255;
        assert_eq!(shades(header(1, 1, 4, 2), &[0, 0, 0, 0, 255, 255, 255, 0, 0x10, 0, 0, 0]), [white]);
        assert_eq!(shades(header(1, 1, 8, 1), &[255, 255, 255, 0, 0, 0, 0, 0]), [white]);
        assert_eq!(shades(header(1, 1, 24, 0), &[255, 255, 255, 0]), [white]);
        assert_eq!(shades(header(1, 1, 32, 0), &[0, 0, 255, 0]), [luminance(255, 0, 0)]);
        assert_eq!(shades(header(1, 1, 16, 0), &[0, 0x7c, 0, 0]), [luminance(0xf8, 0, 0)]);
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        for bad in [header(0, 1, 8, 0), header(1, 0, 8, 0), header(-1, 1, 8, 0), header(1, 1, 8, 257)] {
            assert_eq!(BitmapHeader::understand(&bad).unwrap_err().code, DIB_BUFFER_INVALID);
        }
        assert_eq!(BitmapHeader::understand(&header(1, 1, 2, 0)).unwrap_err().code, BPP_NOT_SUPPORTED);
        assert_eq!(BitmapHeader::understand(&[0; HEADER_BYTES]).unwrap_err().code, DIB_BUFFER_INVALID);
        let mut compressed = header(1, 1, 8, 0);
        compressed[16] = 1;
        assert_eq!(BitmapHeader::understand(&compressed).unwrap_err().code, DIB_BUFFER_INVALID);
    }
}
