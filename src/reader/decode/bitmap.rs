//! Bitmaps of Windows and OS/2: a header, colors, and pixels from the lowest row up. They come in
//! memory (a DIB) and, with 14 bytes in front, as a BMP file.
//!
//! | bits a pixel | a pixel is |
//! |---|---|
//! | 1, 4, 8 | the number of a color; 4 and 8 also in runs (`bitmap_runs.rs`) |
//! | 16 | 5 bits each of red, green and blue, or as the masks say |
//! | 24 | blue, green, red |
//! | 32 | blue, green, red and a byte that is ignored, or as the masks say, which may include alpha |
//!
//! Bitmaps that contain a whole JPEG or PNG file are made for printers, and refused.

use seatmeter_protocol::error_code::ErrorCode;

use super::bitmap_runs::Runs;
use super::engine::GrayImage;
use super::gray::{Canvas, Ground, eight_bits, luminance, require_size};
use super::reading_error::{BPP_NOT_SUPPORTED, DIB_BUFFER_INVALID, explained};
use crate::error::{Error, Result};

/// Bytes of the header that are always present in memory.
pub const HEADER_BYTES: usize = 40;

/// The largest size of a header of this kind, BITMAPV5HEADER, in bytes.
const HEADER_BYTES_MAX: usize = 124;

/// The size of BITMAPCOREHEADER of OS/2 in bytes. It occurs only in files: in memory it would be
/// shorter than the bytes that a caller promises.
const CORE_HEADER_BYTES: usize = 12;

/// The size of BITMAPFILEHEADER in bytes.
const FILE_HEADER_BYTES: usize = 14;

/// The content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapHeader {
    width: usize,
    height: usize,
    is_top_down: bool,
    bits: usize,
    packing: Packing,
    color_bytes: usize,
    colors: usize,
    colors_at: usize,
    pixels_at: usize,
    run_bytes: usize,
}

/// The layout of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Runs,
    /// Masks for red, green, blue and, if there is a fourth, alpha.
    Masks(usize),
}

impl BitmapHeader {
    /// Read a header in memory.
    ///
    /// # Errors
    /// -10018 when the bytes cannot be a header, -10007 for another number of bits a pixel.
    pub fn understand(header: &[u8; HEADER_BYTES]) -> Result<Self> {
        let header_bytes = usize::try_from(number(header, 0)).unwrap_or(usize::MAX);
        if !(HEADER_BYTES..=HEADER_BYTES_MAX).contains(&header_bytes) {
            return Err(explained(DIB_BUFFER_INVALID));
        }
        let understood = Self::of_fields(header_bytes, header)?;
        if understood.packing == Packing::Runs && understood.run_bytes == 0 {
            return Err(Error::new(
                DIB_BUFFER_INVALID,
                "biSizeImage is 0: a bitmap of runs must say its length",
            ));
        }
        Ok(understood)
    }

    fn of_fields(header_bytes: usize, header: &[u8; HEADER_BYTES]) -> Result<Self> {
        let invalid = || explained(DIB_BUFFER_INVALID);
        let width = u32::try_from(number(header, 4)).map_err(|_| invalid())?;
        let height = number(header, 8).unsigned_abs();
        require_size((width, height))
            .map_err(|error| Error::new(DIB_BUFFER_INVALID, error.message))?;
        let bits = usize::from(u16::from_le_bytes([header[14], header[15]]));
        if !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(explained(BPP_NOT_SUPPORTED));
        }
        let packing = match (number(header, 16), bits) {
            (0, _) => Packing::Plain,
            (1, 8) | (2, 4) => Packing::Runs,
            (3, 16 | 32) => Packing::Masks(if header_bytes >= 56 { 4 } else { 3 }),
            (6, 16 | 32) => Packing::Masks(4),
            (4, _) => {
                return Err(Error::new(
                    DIB_BUFFER_INVALID,
                    "a bitmap that holds a JPEG file is not read",
                ));
            }
            (5, _) => {
                return Err(Error::new(
                    DIB_BUFFER_INVALID,
                    "a bitmap that holds a PNG file is not read",
                ));
            }
            (kind, _) => {
                let message =
                    format!("a bitmap of {bits} bits a pixel with compression {kind} is not read");
                return Err(Error::new(DIB_BUFFER_INVALID, message));
            }
        };
        let possible = if bits <= 8 { 1 << bits } else { 256 };
        let colors = match usize::try_from(number(header, 32)).map_err(|_| invalid())? {
            0 if bits <= 8 => possible,
            colors if colors <= possible => colors,
            _ => return Err(invalid()),
        };
        // Longer headers contain the masks.
        let mask_bytes = match packing {
            Packing::Masks(count) if header_bytes == HEADER_BYTES => 4 * count,
            _ => 0,
        };
        let colors_at = header_bytes + mask_bytes;
        Ok(Self {
            width: width as usize,
            height: height as usize,
            is_top_down: number(header, 8) < 0,
            bits,
            packing,
            color_bytes: 4,
            colors,
            colors_at,
            pixels_at: colors_at + 4 * colors,
            run_bytes: usize::try_from(number(header, 20)).unwrap_or(0),
        })
    }

    /// Return the number of bytes from the header's start to the last pixel.
    pub fn bytes(&self) -> usize {
        match self.packing {
            Packing::Runs => self.pixels_at + self.run_bytes,
            _ => self.pixels_at + self.row_bytes() * self.height,
        }
    }

    fn row_bytes(&self) -> usize {
        (self.width * self.bits).div_ceil(32) * 4
    }

    /// Return the picture. `bytes` must begin with the header.
    ///
    /// # Errors
    /// -10012 when there are too few bytes, -10001 when there is not enough memory.
    pub fn gray(&self, bytes: &[u8]) -> Result<GrayImage<'static>> {
        let colors = bytes.get(self.colors_at..).ok_or_else(cut_short)?;
        let colors = &colors[..colors.len().min(self.colors * self.color_bytes)];
        let colors: Vec<u8> = colors
            .chunks_exact(self.color_bytes)
            .map(|color| luminance(color[2], color[1], color[0]))
            .collect();
        let pixels = bytes.get(self.pixels_at..).ok_or_else(cut_short)?;
        let mut canvas = Canvas::new((self.width as u32, self.height as u32), 0)?;
        match self.packing {
            Packing::Runs => {
                let runs = Runs { bytes: pixels, is_of_nibbles: self.bits == 4, colors: &colors };
                let mut rows: Vec<&mut [u8]> = canvas.rows().collect();
                if !self.is_top_down {
                    rows.reverse();
                }
                runs.fill(&mut rows).ok_or_else(cut_short)?;
            }
            Packing::Masks(count) => {
                let channels = self.channels(bytes, count)?;
                let mut on =
                    Some(if channels[3].is_some() { Ground::White } else { Ground::Opaque });
                // Many programs declare an alpha channel and leave it 0. Their bitmap must not
                // become an empty picture.
                while let Some(ground) = on {
                    self.fill(&mut canvas, pixels, |x, row| {
                        masked_on(ground, &channels, pixel_of(row, x, self.bits))
                    })?;
                    on =
                        ground.next().filter(|_| channels[3].is_some() && canvas.is_of_one_shade());
                }
            }
            Packing::Plain => self.fill_plain(&mut canvas, pixels, &colors)?,
        }
        Ok(canvas.done())
    }

    fn fill_plain(&self, canvas: &mut Canvas, pixels: &[u8], colors: &[u8]) -> Result<()> {
        let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or(0);
        match self.bits {
            1 => self.fill(canvas, pixels, |x, row| color(row[x / 8] >> (7 - x % 8) & 1)),
            4 => self.fill(canvas, pixels, |x, row| color(row[x / 2] >> (4 - x % 2 * 4) & 15)),
            8 => self.fill(canvas, pixels, |x, row| color(row[x])),
            16 => {
                let channels = [0x7c00, 0x3e0, 0x1f, 0].map(Channel::of_mask);
                self.fill(canvas, pixels, |x, row| masked(&channels, pixel_of(row, x, 16)))
            }
            24 => self.fill(canvas, pixels, |x, row| {
                luminance(row[3 * x + 2], row[3 * x + 1], row[3 * x])
            }),
            _ => self.fill(canvas, pixels, |x, row| {
                luminance(row[4 * x + 2], row[4 * x + 1], row[4 * x])
            }),
        }
    }

    fn fill(
        &self,
        canvas: &mut Canvas,
        pixels: &[u8],
        shade: impl Fn(usize, &[u8]) -> u8,
    ) -> Result<()> {
        let mut rows = pixels.chunks(self.row_bytes());
        let mut fill_row = |row: &mut [u8]| {
            // The padding of the last row may be missing.
            let from =
                rows.next().filter(|from| from.len() >= (self.width * self.bits).div_ceil(8))?;
            row.iter_mut().enumerate().for_each(|(x, pixel)| *pixel = shade(x, from));
            Some(())
        };
        let filled = if self.is_top_down {
            canvas.rows().try_for_each(&mut fill_row)
        } else {
            canvas.rows().rev().try_for_each(&mut fill_row)
        };
        filled.ok_or_else(cut_short)
    }

    /// Return the positions of the colors in a pixel, and of alpha if there is some.
    fn channels(&self, bytes: &[u8], count: usize) -> Result<[Option<Channel>; 4]> {
        let masks = bytes.get(HEADER_BYTES..HEADER_BYTES + 4 * count).ok_or_else(cut_short)?;
        let mut channels = [None; 4];
        for (channel, mask) in channels.iter_mut().zip(masks.as_chunks::<4>().0) {
            *channel = Channel::of_mask(u32::from_le_bytes(*mask));
        }
        Ok(channels)
    }
}

/// Read a BMP file.
///
/// # Errors
/// -10012 when it is damaged or of a kind that is not read, -10001 when there is not enough memory.
pub(super) fn gray_of_file(file: &[u8]) -> Result<GrayImage<'static>> {
    let unreadable = |error: Error| match error.code {
        ErrorCode::NO_MEMORY => error,
        _ => Error::new(
            ErrorCode::IMAGE_READ_FAILED,
            format!("the BMP file cannot be read: {}", error.message),
        ),
    };
    let bytes = file.get(FILE_HEADER_BYTES..).ok_or_else(cut_short)?;
    let mut header = file_header(bytes).map_err(unreadable)?;
    let pixels_at = u32::from_le_bytes([10, 11, 12, 13].map(|at| file[at])) as usize;
    // The file gives the place of the pixels; other data may lie between the colors and the pixels.
    header.pixels_at = pixels_at
        .checked_sub(FILE_HEADER_BYTES)
        .filter(|at| *at >= header.colors_at)
        .unwrap_or(header.pixels_at);
    header.colors = header.colors.min((header.pixels_at - header.colors_at) / header.color_bytes);
    header.gray(bytes).map_err(unreadable)
}

fn file_header(bytes: &[u8]) -> Result<BitmapHeader> {
    let size = u32::from_le_bytes(*bytes.first_chunk().ok_or_else(cut_short)?) as usize;
    if size == CORE_HEADER_BYTES {
        let core: [u8; CORE_HEADER_BYTES] = *bytes.first_chunk().ok_or_else(cut_short)?;
        let mut header = [0; HEADER_BYTES];
        // Convert sides of 16 bits to 32 bits; what follows is the same.
        header[4..6].copy_from_slice(&core[4..6]);
        header[8..10].copy_from_slice(&core[6..8]);
        header[12..16].copy_from_slice(&core[8..12]);
        let mut understood = BitmapHeader::of_fields(CORE_HEADER_BYTES, &header)?;
        understood.color_bytes = 3;
        understood.pixels_at = understood.colors_at + 3 * understood.colors;
        return Ok(understood);
    }
    if !(HEADER_BYTES..=HEADER_BYTES_MAX).contains(&size) {
        let message = format!("it has a header of {size} bytes, which no known kind has");
        return Err(Error::new(ErrorCode::IMAGE_READ_FAILED, message));
    }
    BitmapHeader::of_fields(size, bytes.first_chunk().ok_or_else(cut_short)?)
}

fn number(header: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]))
}

fn cut_short() -> Error {
    Error::new(ErrorCode::IMAGE_READ_FAILED, "the bitmap is cut short")
}

/// The bits of a pixel that are one color.
#[derive(Clone, Copy)]
struct Channel {
    shift: u32,
    bits: u32,
}

impl Channel {
    fn of_mask(mask: u32) -> Option<Self> {
        let shift = mask.trailing_zeros();
        (mask != 0).then(|| Self { shift, bits: 32 - mask.leading_zeros() - shift })
    }

    #[inline(always)]
    fn of(self, pixel: u32) -> u8 {
        let sample = pixel >> self.shift & (u32::MAX >> (32 - self.bits));
        // At most 16 bits are left in each case.
        let too_many = self.bits.saturating_sub(16);
        eight_bits((sample >> too_many) as u16, self.bits - too_many)
    }
}

#[inline(always)]
fn masked(channels: &[Option<Channel>; 4], pixel: u32) -> u8 {
    let color = |at: usize| channels[at].map_or(0, |channel| channel.of(pixel));
    luminance(color(0), color(1), color(2))
}

fn masked_on(ground: Ground, channels: &[Option<Channel>; 4], pixel: u32) -> u8 {
    ground.under(masked(channels, pixel), channels[3].map_or(255, |channel| channel.of(pixel)))
}

#[inline(always)]
fn pixel_of(row: &[u8], x: usize, bits: usize) -> u32 {
    let byte = |at: usize| u32::from(row.get(at).copied().unwrap_or(0));
    match bits {
        16 => byte(2 * x) | byte(2 * x + 1) << 8,
        _ => byte(4 * x) | byte(4 * x + 1) << 8 | byte(4 * x + 2) << 16 | byte(4 * x + 3) << 24,
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

    fn packed(mut header: [u8; HEADER_BYTES], packing: u8, bytes: u8) -> [u8; HEADER_BYTES] {
        (header[16], header[20]) = (packing, bytes);
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
        let (white, red) = (255, luminance(255, 0, 0));
        assert_eq!(
            shades(header(1, 1, 4, 2), &[0, 0, 0, 0, 255, 255, 255, 0, 0x10, 0, 0, 0]),
            [white]
        );
        assert_eq!(shades(header(1, 1, 8, 1), &[255, 255, 255, 0, 0, 0, 0, 0]), [white]);
        assert_eq!(shades(header(1, 1, 24, 0), &[255, 255, 255, 0]), [white]);
        assert_eq!(shades(header(1, 1, 32, 0), &[0, 0, 255, 0]), [red]);
        assert_eq!(shades(header(1, 1, 16, 0), &[0, 0x7c, 0, 0]), [red]);
    }

    #[test]
    fn masks_say_where_the_colors_are() {
        let masks = |masks: [u32; 4]| masks.map(u32::to_le_bytes).concat();
        let red = luminance(255, 0, 0);
        let of_565 = [&masks([0xf800, 0x7e0, 0x1f, 0])[..12], &[0, 0xf8, 0, 0]].concat();
        assert_eq!(shades(packed(header(1, 1, 16, 0), 3, 0), &of_565), [red]);
        let swapped = [&masks([0xff, 0xff00, 0x00ff_0000, 0])[..12], &[255, 0, 0, 0]].concat();
        assert_eq!(shades(packed(header(1, 1, 32, 0), 3, 0), &swapped), [red]);
        let with_alpha = masks([0xff, 0xff00, 0x00ff_0000, 0xff00_0000]);
        let clear_beside_black = [&with_alpha[..], &[0, 0, 0, 0, 0, 0, 0, 255]].concat();
        assert_eq!(shades(packed(header(2, 1, 32, 0), 6, 0), &clear_beside_black), [255, 0]);
        let unused_alpha = [&with_alpha[..], &[255, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(shades(packed(header(2, 1, 32, 0), 6, 0), &unused_alpha), [red, 0]);
    }

    #[test]
    fn runs_are_read_where_the_header_says_their_length() {
        let palette = [0, 0, 0, 0, 255, 255, 255, 0];
        let runs = [&palette[..], &[3, 1, 0, 1]].concat();
        assert_eq!(shades(packed(header(3, 1, 8, 2), 1, 4), &runs), [255; 3]);
        let error = BitmapHeader::understand(&packed(header(3, 1, 8, 2), 1, 0)).unwrap_err();
        assert_eq!(error.code, DIB_BUFFER_INVALID);
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        for bad in
            [header(0, 1, 8, 0), header(1, 0, 8, 0), header(-1, 1, 8, 0), header(1, 1, 8, 257)]
        {
            assert_eq!(BitmapHeader::understand(&bad).unwrap_err().code, DIB_BUFFER_INVALID);
        }
        assert_eq!(
            BitmapHeader::understand(&header(1, 1, 2, 0)).unwrap_err().code,
            BPP_NOT_SUPPORTED
        );
        assert_eq!(
            BitmapHeader::understand(&[0; HEADER_BYTES]).unwrap_err().code,
            DIB_BUFFER_INVALID
        );
        for (packing, names) in
            [(4, "JPEG"), (5, "PNG"), (9, "compression 9"), (2, "compression 2")]
        {
            let error =
                BitmapHeader::understand(&packed(header(1, 1, 8, 0), packing, 4)).unwrap_err();
            assert_eq!(error.code, DIB_BUFFER_INVALID);
            assert!(error.message.contains(names), "{error}");
        }
    }

    #[test]
    fn a_file_of_any_length_is_read_or_refused() {
        let head = [&b"BM"[..], &[0; 8], &[62, 0, 0, 0]].concat();
        let palette = [0, 0, 0, 0, 255, 255, 255, 0];
        let whole = [&head[..], &header(1, 2, 1, 2), &palette, &[0x80, 0, 0, 0, 0]].concat();
        assert_eq!(
            *gray_of_file(&whole).unwrap().pixels,
            [0, 255],
            "the last row needs no bytes that fill it up"
        );
        for end in 0..whole.len() {
            assert_eq!(
                gray_of_file(&whole[..end]).unwrap_err().code,
                ErrorCode::IMAGE_READ_FAILED,
                "{end}"
            );
        }
    }
}
