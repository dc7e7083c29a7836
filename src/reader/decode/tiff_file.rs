//! TIFF files, read page by page, and each page strip by strip or tile by tile: only the shades of
//! a page are held in memory.
//!
//! The orientation that a page may declare is not applied: places are those of the pixels as they
//! are stored.

use std::borrow::Cow;

use seatmeter_protocol::error_code::ErrorCode;

use super::engine::GrayImage;
use super::gray::{Canvas, luminance, reserve};
use super::image_file::{PAGES_MAX, Page};
use super::jpeg_file::gray_of_stream;
use super::jpeg_head::Colors;
use super::reading_error::TIFF_READ_FAILED;
use super::tiff_directory::{Directory, TiffFile};
use super::tiff_page::{Alpha, Color, Packing, TiffPage, unread};
use super::tiff_rows::{Rows, highest_bit_first};
use super::tiff_shades::{row_of_bits, row_of_shades, samples_of_8_bits};
use crate::error::{Error, Result};

/// Call `found` with each page that can be read, until it says `false`.
///
/// # Errors
/// -10013 when a page cannot be read, -10001 when there is not enough memory for a page; both after
/// all other pages were given to `found`. An error of `found` is returned at once.
pub(super) fn for_each_page(bytes: &[u8], found: Page<'_>) -> Result<()> {
    let (file, mut at) = TiffFile::open(bytes).ok_or_else(|| failed("its head is damaged"))?;
    let mut seen = Vec::new();
    let mut failure = (at == 0).then(|| failed("it has no page"));
    while at != 0 {
        let number = seen.len() as u32;
        let mut fail = |error: Error| _ = failure.get_or_insert(of_page(number, error));
        if number == PAGES_MAX {
            fail(unread(format!("there are more than {PAGES_MAX} pages")));
            break;
        }
        if seen.contains(&at) {
            fail(unread("it is an earlier page again: the chain of pages has no end"));
            break;
        }
        seen.push(at);
        let Some(directory) = file.directory(at) else {
            fail(unread(
                "its directory lies outside of the file, or claims more than the file has",
            ));
            break;
        };
        match picture(&file, &directory) {
            Ok(picture) => {
                if !found(number, picture)? {
                    break;
                }
            }
            Err(error) => fail(error),
        }
        at = directory.next;
    }
    failure.map_or(Ok(()), Err)
}

fn failed(what: &str) -> Error {
    Error::new(TIFF_READ_FAILED, format!("the TIFF file cannot be read: {what}"))
}

fn of_page(number: u32, error: Error) -> Error {
    let code = if error.code == ErrorCode::NO_MEMORY { error.code } else { TIFF_READ_FAILED };
    Error::new(
        code,
        format!("page {} of the TIFF file cannot be read: {}", number + 1, error.message),
    )
}

fn picture(file: &TiffFile<'_>, directory: &Directory<'_>) -> Result<GrayImage<'static>> {
    let mut page = TiffPage::of(directory)?;
    // A JPEG strip is decoded as a whole, with its colors.
    let more = if page.packing == Packing::Jpeg { 3 } else { 0 };
    let mut canvas = Canvas::new((page.width as u32, page.height as u32), more)?;
    let across = page.width.div_ceil(page.chunk.0);
    let per_plane = across * page.height.div_ceil(page.chunk.1);
    let needed = if page.are_planes_apart { per_plane * page.samples } else { per_plane };
    if page.offsets.len() < needed {
        return Err(unread(format!("it has {} of {needed} strips or tiles", page.offsets.len())));
    }
    let palette = palette(&page)?;
    let draw = |page: &TiffPage<'_>, canvas: &mut Canvas| {
        (0..per_plane).try_for_each(|number| {
            let (left, top) = (number % across * page.chunk.0, number / across * page.chunk.1);
            Chunk { file, page, palette: &palette, number, per_plane, left, top }.draw(canvas)
        })
    };
    draw(&page, &mut canvas)?;
    if page.alpha != Alpha::None && canvas.is_of_one_shade() {
        let alpha = std::mem::replace(&mut page.alpha, Alpha::None);
        draw(&page, &mut canvas)?;
        // Colors that are multiplied by their alpha are on a black ground already.
        if alpha == Alpha::Apart && canvas.is_of_one_shade() {
            page.alpha = Alpha::OnBlack;
            draw(&page, &mut canvas)?;
        }
    }
    Ok(canvas.done())
}

/// Return the shades of the colors that samples refer to by index.
fn palette(page: &TiffPage<'_>) -> Result<Vec<u8>> {
    if page.color != Color::Palette {
        return Ok(Vec::new());
    }
    let count = 1_usize << page.bits;
    if page.bits > 8 || page.color_map.len() < 3 * count {
        let message = format!(
            "its samples of {} bits name colors, of which {} are there",
            page.bits,
            page.color_map.len() / 3
        );
        return Err(unread(message));
    }
    // Some programs write colors with 8 bits instead of 16.
    let shift = if page.color_map.iter().any(|value| *value > 255) { 8 } else { 0 };
    let color = |at: usize| (page.color_map[at] >> shift) as u8;
    Ok((0..count).map(|i| luminance(color(i), color(count + i), color(2 * count + i))).collect())
}

/// A strip or tile, once for each plane if the planes are separate.
struct Chunk<'a> {
    file: &'a TiffFile<'a>,
    page: &'a TiffPage<'a>,
    palette: &'a [u8],
    number: usize,
    per_plane: usize,
    left: usize,
    top: usize,
}

impl Chunk<'_> {
    fn draw(&self, canvas: &mut Canvas) -> Result<()> {
        match (self.page.packing, self.page.color) {
            (Packing::Jpeg, _) => self.draw_jpeg(canvas),
            (_, Color::Brightness { across, down })
                if (across, down) != (1, 1) && !self.page.are_planes_apart =>
            {
                self.draw_blocks(canvas, across, down)
            }
            _ => self.draw_rows(canvas),
        }
    }

    fn rows(&self) -> usize {
        self.page.chunk.1.min(self.page.height - self.top)
    }

    fn columns(&self) -> usize {
        self.page.chunk.0.min(self.page.width - self.left)
    }

    fn bytes(&self, plane: usize) -> Result<&[u8]> {
        let at = plane * self.per_plane + self.number;
        let bytes = self.file.bytes;
        let start = usize::try_from(self.page.offsets[at]).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).ok_or_else(|| self.unread("lies outside of the file"))?;
        // Without a length, the strip reaches to the end of the file at most.
        let length =
            self.page.lengths.get(at).copied().filter(|length| *length > 0).unwrap_or(u64::MAX);
        Ok(&rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))])
    }

    fn unread(&self, what: &str) -> Error {
        let Self { page, number, .. } = self;
        let kind = if page.chunk.0 == page.width { "strip" } else { "tile" };
        unread(format!("its {kind} {} of {} {what}", number + 1, self.per_plane))
    }

    /// Return the number of planes that determine the shade.
    fn planes(&self) -> usize {
        let page = self.page;
        match page.color {
            _ if !page.are_planes_apart => 1,
            _ if page.alpha != Alpha::None => page.color.samples() + 1,
            Color::Brightness { .. } | Color::Lab => 1,
            color => color.samples(),
        }
    }

    fn draw_rows(&self, canvas: &mut Canvas) -> Result<()> {
        let page = self.page;
        let planes = self.planes();
        let samples = if page.are_planes_apart { 1 } else { page.samples };
        let packed = (0..planes).map(|plane| highest_bit_first(page, self.bytes(plane)?));
        let packed = packed.collect::<Result<Vec<_>>>()?;
        let mut sources: Vec<Rows<'_>> = packed
            .iter()
            .map(|bytes| Rows::new(page, bytes, samples, self.file.is_little))
            .collect();
        let width = page.chunk.0;
        let mut row = vec![0; (width * samples * page.bits).div_ceil(8)];
        let of_bits = match page.color {
            Color::Gray { is_white_zero } if page.bits == 1 && page.samples == 1 => {
                Some(is_white_zero)
            }
            _ => None,
        };
        // Pixels whose bytes are all in one plane need not be combined.
        let are_whole = page.bits == 8 && planes == 1;
        let mut pixels = vec![0; if are_whole { 0 } else { width * samples * planes }];
        for y in 0..self.rows() {
            let to = &mut canvas.row(self.top + y)[self.left..][..self.columns()];
            for (plane, source) in sources.iter_mut().enumerate() {
                source.read(&mut row).ok_or_else(|| {
                    self.unread(&format!("is damaged or cut short in row {}", y + 1))
                })?;
                if let Some(is_white_zero) = of_bits {
                    row_of_bits(is_white_zero, &row, to);
                } else if !are_whole {
                    let into = pixels.iter_mut().skip(plane).step_by(planes);
                    samples_of_8_bits(page, self.file.is_little, &row, into);
                }
            }
            if of_bits.is_none() {
                let pixels = if are_whole { &row } else { &pixels };
                row_of_shades(page, self.palette, pixels, samples * planes, to);
            }
        }
        Ok(())
    }

    /// Draw blocks of pixels that share their colors: the brightness of each pixel, then the two
    /// colors.
    fn draw_blocks(&self, canvas: &mut Canvas, across: usize, down: usize) -> Result<()> {
        let page = self.page;
        if page.bits != 8 || page.samples != 3 {
            return Err(unread(format!(
                "its blocks have {} samples of {} bits",
                page.samples, page.bits
            )));
        }
        let packed = highest_bit_first(page, self.bytes(0)?)?;
        let mut source = Rows::new(page, &packed, 3, self.file.is_little);
        let block = across * down + 2;
        let mut row = vec![0; page.chunk.0.div_ceil(across) * block];
        for y in (0..self.rows()).step_by(down) {
            source
                .read(&mut row)
                .ok_or_else(|| self.unread(&format!("is damaged or cut short in row {}", y + 1)))?;
            for inner in 0..down.min(self.rows() - y) {
                let to = &mut canvas.row(self.top + y + inner)[self.left..][..self.columns()];
                for (x, shade) in to.iter_mut().enumerate() {
                    *shade = row[x / across * block + inner * across + x % across];
                }
            }
        }
        Ok(())
    }

    fn draw_jpeg(&self, canvas: &mut Canvas) -> Result<()> {
        let page = self.page;
        let told = match page.color {
            Color::Gray { .. } => None,
            Color::Rgb => Some(Colors::AsTheyAre),
            Color::Brightness { .. } => Some(Colors::Brightness),
            other => {
                return Err(unread(format!(
                    "it is compressed by JPEG with colors of kind {other:?}"
                )));
            }
        };
        if page.are_planes_apart || page.samples != page.color.samples() {
            return Err(unread("it is compressed by JPEG with separate planes or with alpha"));
        }
        let bytes = self.bytes(0)?;
        let stream: Cow<'_, [u8]> = match page.jpeg_tables {
            // The tables are a separate stream, so its end marker and the start marker of the strip
            // are removed.
            Some(tables) if tables.len() >= 4 && bytes.len() >= 2 => {
                let mut whole = Vec::new();
                reserve(&mut whole, tables.len() + bytes.len())?;
                whole.extend_from_slice(tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables));
                whole.extend_from_slice(&bytes[2..]);
                whole.into()
            }
            _ => bytes.into(),
        };
        let read = gray_of_stream(&stream, told).map_err(|error| {
            let of_strip = self.unread(&format!("is not read: {}", error.message));
            if error.code == ErrorCode::NO_MEMORY { error } else { of_strip }
        })?;
        if read.failure.is_some() {
            return Err(self.unread("is cut short"));
        }
        let (width, height) = (read.picture.width as usize, read.picture.height as usize);
        if width < self.columns() || height < self.rows() {
            return Err(
                self.unread(&format!("has {width} by {height} pixels, fewer than the page needs"))
            );
        }
        let is_inverted = page.color == Color::Gray { is_white_zero: true };
        for (y, row) in read.picture.pixels.chunks_exact(width).take(self.rows()).enumerate() {
            let to = &mut canvas.row(self.top + y)[self.left..][..self.columns()];
            to.iter_mut()
                .zip(row)
                .for_each(|(to, shade)| *to = if is_inverted { 255 - shade } else { *shade });
        }
        Ok(())
    }
}
