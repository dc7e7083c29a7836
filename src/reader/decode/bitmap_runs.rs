//! Pixels of a bitmap in runs (`BI_RLE8`, `BI_RLE4`).
//!
//! | bytes | meaning |
//! |---|---|
//! | n, color | n pixels of the color; of nibbles, both colors in turn |
//! | 0, 0 | the row is over |
//! | 0, 1 | the bitmap is over |
//! | 0, 2, x, y | so many pixels to the right and rows on |
//! | 0, n, colors | n pixels as they stand, filled up to an even number of bytes |
//!
//! Pixels that are left out have the first color. Some programs forget the end mark of the bitmap.
//! It counts as present when the last row was reached.

/// The runs, and the shades of the colors to which they refer.
pub(super) struct Runs<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_of_nibbles: bool,
    pub(super) colors: &'a [u8],
}

impl Runs<'_> {
    /// Fill rows, the lowest first; `None` when the runs end before the last row.
    pub(super) fn fill(&self, rows: &mut [&mut [u8]]) -> Option<()> {
        let shade = |index: u8| self.colors.get(usize::from(index)).copied().unwrap_or(0);
        rows.iter_mut().for_each(|row| row.fill(shade(0)));
        let (mut x, mut y) = (0_usize, 0_usize);
        let mut bytes = self.bytes;
        while y < rows.len() {
            let Some(([count, what], rest)) = bytes.split_first_chunk() else {
                return (y + 1 == rows.len()).then_some(());
            };
            bytes = rest;
            match (*count, *what) {
                (0, 0) => (x, y) = (0, y + 1),
                (0, 1) => return Some(()),
                (0, 2) => {
                    let ([right, on], rest) = bytes.split_first_chunk()?;
                    (x, y, bytes) = (x + usize::from(*right), y + usize::from(*on), rest);
                }
                (0, count) => {
                    let length = if self.is_of_nibbles {
                        usize::from(count).div_ceil(2)
                    } else {
                        count.into()
                    };
                    let (colors, rest) = bytes.split_at_checked(length)?;
                    self.put(rows[y], x, count, |i| shade(self.color(colors, usize::from(i))));
                    x += usize::from(count);
                    bytes = rest.get(length % 2..).unwrap_or(&[]);
                }
                (count, colors) => {
                    self.put(rows[y], x, count, |i| shade(self.color(&[colors], usize::from(i))));
                    x += usize::from(count);
                }
            }
        }
        Some(())
    }

    /// Return color `i` of a list, which begins again after its end. A color is a byte, or a nibble
    /// where the bitmap has nibbles.
    fn color(&self, colors: &[u8], i: usize) -> u8 {
        if self.is_of_nibbles {
            colors[(i / 2) % colors.len()] >> (4 - i % 2 * 4) & 15
        } else {
            colors[i % colors.len()]
        }
    }

    fn put(&self, row: &mut [u8], x: usize, count: u8, shade: impl Fn(u8) -> u8) {
        // Pixels beyond the row are dropped.
        let pixels = row.get_mut(x..).unwrap_or(&mut []);
        pixels.iter_mut().zip(0..count).for_each(|(pixel, i)| *pixel = shade(i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORS: [u8; 4] = [10, 11, 12, 13];

    fn filled(is_of_nibbles: bool, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut pixels = [0; 8];
        let mut rows: Vec<&mut [u8]> = pixels.chunks_mut(4).collect();
        Runs { bytes, is_of_nibbles, colors: &COLORS }.fill(&mut rows)?;
        Some(pixels.to_vec())
    }

    #[test]
    fn each_kind_of_run_is_read() {
        assert_eq!(
            filled(false, &[4, 1, 0, 0, 3, 2, 0, 1]).unwrap(),
            [11, 11, 11, 11, 12, 12, 12, 10]
        );
        assert_eq!(
            filled(false, &[0, 3, 1, 2, 3, 0, 0, 1]).unwrap(),
            [11, 12, 13, 10, 10, 10, 10, 10]
        );
        assert_eq!(
            filled(false, &[1, 1, 0, 2, 2, 1, 1, 3, 0, 1]).unwrap(),
            [11, 10, 10, 10, 10, 10, 10, 13]
        );
        assert_eq!(
            filled(true, &[3, 0x12, 0, 3, 0x12, 0x30, 0, 1]).unwrap()[..4],
            [11, 12, 11, 11]
        );
    }

    #[test]
    fn runs_may_lack_their_end_in_the_last_row_alone() {
        assert_eq!(filled(false, &[4, 1, 0, 0, 4, 2]).unwrap(), [11, 11, 11, 11, 12, 12, 12, 12]);
        assert_eq!(filled(false, &[4, 1, 0, 0]).unwrap()[4..], [10; 4]);
        assert_eq!(filled(false, &[4, 1]), None);
        assert_eq!(filled(false, &[]), None);
    }

    #[test]
    fn what_lies_outside_is_dropped() {
        assert_eq!(filled(false, &[255, 1, 0, 0, 0, 2, 255, 0, 9, 2, 0, 1]).unwrap()[..4], [11; 4]);
        assert_eq!(filled(false, &[0, 2, 0, 255]).unwrap(), [10; 8]);
    }
}
