//! Pictures made smaller, turned or richer in contrast, and the conversion of found places back to
//! the original picture.

use super::engine::{Decoded, GrayImage, Rectangle};
use super::gray::reserve;
use crate::error::Result;

/// The difference between the darkest and the lightest shade of a flat picture. With fewer shades
/// there is only paper and its noise, and with more the engine needs no help.
const FLAT_SHADES: std::ops::Range<u8> = 16..64;

const WHITE: u8 = 255;

/// The conversion from a derived picture to the original: `x' = x·cos − y·sin + dx` and so on,
/// times a factor.
pub(super) struct WayBack {
    cos: f64,
    sin: f64,
    offset: (f64, f64),
    turn: i32,
}

impl WayBack {
    fn point(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x * self.cos - y * self.sin + self.offset.0, x * self.sin + y * self.cos + self.offset.1)
    }

    /// Convert the places of barcodes to the original picture.
    pub(super) fn back(&self, mut barcodes: Vec<Decoded>) -> Vec<Decoded> {
        for barcode in &mut barcodes {
            barcode.corners = barcode.corners.map(|(x, y)| {
                let (x, y) = self.point((f64::from(x), f64::from(y)));
                // A place lies within a picture, whose sides fit by far.
                (x.round() as i32, y.round() as i32)
            });
            barcode.angle = (barcode.angle + self.turn).rem_euclid(360);
        }
        barcodes
    }
}

/// Return a part of a picture at a smaller size: the mean of each `factor` by `factor` pixels.
pub(super) fn shrunk(
    image: &GrayImage<'_>,
    part: Rectangle,
    factor: u32,
) -> (GrayImage<'static>, WayBack) {
    let (width, height) = (part.width / factor, part.height / factor);
    let mut pixels = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let (left, top) = (part.left + x * factor, part.top + y * factor);
            let rows = (top..top + factor).map(|y| row(image, y, left, factor));
            let sum: u64 = rows.flatten().map(|pixel| u64::from(*pixel)).sum();
            // A mean of bytes fits into a byte.
            pixels.push((sum / (u64::from(factor) * u64::from(factor))) as u8);
        }
    }
    let offset = (f64::from(part.left), f64::from(part.top));
    let way = WayBack { cos: f64::from(factor), sin: 0.0, offset, turn: 0 };
    (GrayImage { width, height, pixels: pixels.into() }, way)
}

/// Return a flat picture with its shades spread from black to white; `None` for a picture that is
/// not flat.
///
/// # Errors
/// -10001 when there is not enough memory.
pub(super) fn stretched(image: &GrayImage<'_>) -> Result<Option<GrayImage<'static>>> {
    let (mut darkest, mut lightest) = (u8::MAX, u8::MIN);
    for row in image.pixels.chunks(image.width.max(1) as usize) {
        darkest = row.iter().fold(darkest, |least, shade| least.min(*shade));
        lightest = row.iter().fold(lightest, |most, shade| most.max(*shade));
        // Most pictures show within a few rows that they are not flat.
        if lightest.saturating_sub(darkest) >= FLAT_SHADES.end {
            return Ok(None);
        }
    }
    let shades = lightest.saturating_sub(darkest);
    if !FLAT_SHADES.contains(&shades) {
        return Ok(None);
    }
    let mut pixels = Vec::new();
    reserve(&mut pixels, image.pixels.len())?;
    // At most 255: the dividend is at most 255 times the divisor.
    let spread = |shade: &u8| (u32::from(shade - darkest) * 255 / u32::from(shades)) as u8;
    pixels.extend(image.pixels.iter().map(spread));
    Ok(Some(GrayImage { width: image.width, height: image.height, pixels: pixels.into() }))
}

fn row<'a>(image: &'a GrayImage<'_>, y: u32, left: u32, width: u32) -> &'a [u8] {
    let start = y as usize * image.width as usize + left as usize;
    &image.pixels[start..start + width as usize]
}

/// Return a part of a picture, turned by some degrees on a white ground that is large enough for
/// all of it.
pub(super) fn turned(
    image: &GrayImage<'_>,
    part: Rectangle,
    degrees: i32,
) -> (GrayImage<'static>, WayBack) {
    let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
    let (w, h) = (f64::from(part.width), f64::from(part.height));
    let (width, height) = ((w * cos + h * sin).ceil(), (w * sin + h * cos).ceil());
    // The center of the part becomes the center of the new picture.
    let center = (f64::from(part.left) + w / 2.0, f64::from(part.top) + h / 2.0);
    let offset = (
        center.0 - (width * cos - height * sin) / 2.0,
        center.1 - (width * sin + height * cos) / 2.0,
    );
    let way = WayBack { cos, sin, offset, turn: degrees };
    // At most 1.42 times a side of a picture.
    let (columns, rows) = (width as u32, height as u32);
    let mut pixels = Vec::with_capacity(columns as usize * rows as usize);
    for y in 0..rows {
        for x in 0..columns {
            pixels.push(between(image, part, way.point((f64::from(x) + 0.5, f64::from(y) + 0.5))));
        }
    }
    (GrayImage { width: columns, height: rows, pixels: pixels.into() }, way)
}

/// Return the shade at a point, from the four pixels around it.
fn between(image: &GrayImage<'_>, part: Rectangle, (x, y): (f64, f64)) -> u8 {
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let shade = |column: f64, row: f64| {
        let is_inside = column >= f64::from(part.left)
            && row >= f64::from(part.top)
            && column < f64::from(part.left + part.width)
            && row < f64::from(part.top + part.height);
        // Inside the part, both numbers are whole and not negative.
        let at = || row as usize * image.width as usize + column as usize;
        f64::from(if is_inside { image.pixels[at()] } else { WHITE })
    };
    let upper = shade(left, top) * (1.0 - fx) + shade(left + 1.0, top) * fx;
    let lower = shade(left, top + 1.0) * (1.0 - fx) + shade(left + 1.0, top + 1.0) * fx;
    // A mean of bytes fits into a byte.
    (upper * (1.0 - fy) + lower * fy) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_is_spread_from_black_to_white_and_no_other_is() {
        let of = |pixels: &[u8]| {
            let image = GrayImage { width: 2, height: 2, pixels: pixels.to_vec().into() };
            stretched(&image).unwrap().map(|image| image.pixels.into_owned())
        };
        assert_eq!(of(&[0, 23, 23, 0]), Some(vec![0, 255, 255, 0]));
        assert_eq!(of(&[192, 255, 223, 192]), Some(vec![0, 255, 125, 0]));
        assert_eq!(of(&[100, 100, 164, 100]), None, "the engine reads it as it is");
        assert_eq!(of(&[240, 255, 250, 245]), None, "noise of paper");
        assert_eq!(of(&[7; 4]), None);
    }

    #[test]
    fn the_way_back_leads_to_where_a_pixel_came_from() {
        let mut pixels = vec![WHITE; 40 * 30];
        pixels[20 * 40 + 10] = 0;
        let image = GrayImage { width: 40, height: 30, pixels: pixels.into() };
        let part = Rectangle { left: 4, top: 6, width: 30, height: 20 };
        for degrees in [30, 60] {
            let (turned, way) = turned(&image, part, degrees);
            let darkest = (0..turned.pixels.len()).min_by_key(|at| turned.pixels[*at]).unwrap();
            let x = (darkest % turned.width as usize) as f64 + 0.5;
            let y = (darkest / turned.width as usize) as f64 + 0.5;
            let (x, y) = way.point((x, y));
            assert!((x - 10.5).abs() < 1.0 && (y - 20.5).abs() < 1.0, "{degrees}: {x} {y}");
        }
        let (small, way) = shrunk(&image, part, 2);
        assert_eq!((small.width, small.height), (15, 10));
        assert_eq!(small.pixels[7 * 15 + 3], (255 * 3 / 4) as u8);
        assert_eq!(way.point((3.0, 7.0)), (10.0, 20.0));
    }
}
