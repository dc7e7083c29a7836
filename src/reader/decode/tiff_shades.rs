//! The conversion of a TIFF page's samples to shades, row by row.

use super::gray::{
    Ground, brightness_of_inks, eight_bits, luminance, multiplied_on_paper, on_paper,
};
use super::tiff_page::{Alpha, Color, TiffPage};

/// Unpack the samples of a row to 8 bits each. Samples that are indexes of colors are not scaled.
pub(super) fn samples_of_8_bits<'a>(
    page: &TiffPage<'_>,
    is_little: bool,
    row: &[u8],
    into: impl Iterator<Item = &'a mut u8>,
) {
    let is_number = page.color == Color::Palette;
    match page.bits {
        8 => into.zip(row).for_each(|(to, sample)| *to = *sample),
        // The high byte is the first in a big-endian file.
        16 => {
            into.zip(row.chunks_exact(2)).for_each(|(to, word)| *to = word[usize::from(is_little)])
        }
        1 if !is_number => {
            into.enumerate()
                .for_each(|(i, to)| *to = 0_u8.wrapping_sub(row[i / 8] >> (7 - i % 8) & 1));
        }
        bits => into.enumerate().for_each(|(i, to)| {
            let sample = bits_at(row, i * bits, bits);
            *to = if is_number { sample as u8 } else { eight_bits(sample, bits as u32) };
        }),
    }
}

/// Convert a row of single bits, the usual kind of scanned pages.
pub(super) fn row_of_bits(is_white_zero: bool, row: &[u8], to: &mut [u8]) {
    let turn = if is_white_zero { 255 } else { 0 };
    for (to, byte) in to.chunks_mut(8).zip(row) {
        let byte = byte ^ turn;
        to.iter_mut()
            .zip((0..8).rev())
            .for_each(|(to, at)| *to = 0_u8.wrapping_sub(byte >> at & 1));
    }
}

/// Return bits of a row, the highest of each byte first; at most 16.
fn bits_at(row: &[u8], at: usize, bits: usize) -> u16 {
    let byte = |i: usize| u32::from(row.get(at / 8 + i).copied().unwrap_or(0));
    let word = byte(0) << 16 | byte(1) << 8 | byte(2);
    // At most 16 bits are left.
    (word << (8 + at % 8) >> (32 - bits)) as u16
}

/// Convert a row of pixels of `samples` samples each.
pub(super) fn row_of_shades(
    page: &TiffPage<'_>,
    palette: &[u8],
    pixels: &[u8],
    samples: usize,
    to: &mut [u8],
) {
    // The common kinds avoid a check of each pixel's number of samples.
    match (page.color, samples) {
        (Color::Gray { is_white_zero }, 1) => {
            let turn = if is_white_zero { 255 } else { 0 };
            to.iter_mut().zip(pixels).for_each(|(to, sample)| *to = sample ^ turn);
            return;
        }
        (Color::Rgb, 3) => {
            let pixels = pixels.as_chunks::<3>().0;
            to.iter_mut().zip(pixels).for_each(|(to, [r, g, b])| *to = luminance(*r, *g, *b));
            return;
        }
        _ => {}
    }
    let pixels = pixels.chunks_exact(samples);
    match page.color {
        Color::Gray { is_white_zero: true } => shades(page, pixels, to, |pixel| 255 - pixel[0]),
        Color::Gray { is_white_zero: false } | Color::Brightness { .. } | Color::Lab => {
            shades(page, pixels, to, |pixel| pixel[0]);
        }
        Color::Rgb => shades(page, pixels, to, |pixel| luminance(pixel[0], pixel[1], pixel[2])),
        Color::Palette => {
            shades(page, pixels, to, |pixel| {
                palette.get(usize::from(pixel[0])).copied().unwrap_or(0)
            });
        }
        Color::Inks => {
            shades(page, pixels, to, |pixel| {
                brightness_of_inks([pixel[0], pixel[1], pixel[2], pixel[3]])
            });
        }
    }
}

#[inline(always)]
fn shades<'a>(
    page: &TiffPage<'_>,
    pixels: impl Iterator<Item = &'a [u8]>,
    to: &mut [u8],
    shade: impl Fn(&[u8]) -> u8,
) {
    let behind = page.color.samples();
    let pairs = to.iter_mut().zip(pixels);
    match page.alpha {
        Alpha::None => pairs.for_each(|(to, pixel)| *to = shade(pixel)),
        Alpha::Apart => pairs.for_each(|(to, pixel)| *to = on_paper(shade(pixel), pixel[behind])),
        Alpha::OnBlack => {
            pairs.for_each(|(to, pixel)| *to = Ground::Black.under(shade(pixel), pixel[behind]));
        }
        Alpha::Multiplied => {
            pairs.for_each(|(to, pixel)| *to = multiplied_on_paper(shade(pixel), pixel[behind]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_any_number_of_bits_are_taken_from_where_they_are() {
        let row = [0b1010_1100, 0b0101_0011, 0b1111_0000];
        assert_eq!(
            (bits_at(&row, 0, 4), bits_at(&row, 4, 12), bits_at(&row, 3, 2)),
            (0b1010, 0b1100_0101_0011, 1)
        );
        assert_eq!((bits_at(&row, 7, 16), bits_at(&row, 20, 12)), (0b0010_1001_1111_1000, 0));
    }
}
