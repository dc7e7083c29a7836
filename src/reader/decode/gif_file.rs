//! GIF files, picture by picture. A page is what a viewer shows at that time: the picture on top of
//! the remains of the pictures before it.

use std::io::{Chain, Cursor, Read};
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, DisposalMethod, MemoryLimit};
use seatmeter_protocol::error_code::ErrorCode;

use super::gray::{
    Canvas, MEMORY_BYTES_MAX, WHITE, luminance, require_room, require_size, reserve,
};
use super::image_file::{PAGES_MAX, Page};
use crate::error::{Error, Result};

/// The end marker of a file. Some programs omit it; a second one does no harm.
const TRAILER: &[u8] = b";";

type File<'a> = Chain<Cursor<&'a [u8]>, &'static [u8]>;

/// Call `found` with each picture, until it says `false`.
///
/// # Errors
/// -10012 when the file is damaged, cut short or too large, -10001 when there is not enough memory,
/// or the error that `found` returns.
pub(super) fn for_each_page(file: &[u8], found: Page<'_>) -> Result<()> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    if let Some(limit) = NonZeroU64::new(MEMORY_BYTES_MAX) {
        options.set_memory_limit(MemoryLimit::Bytes(limit));
    }
    let mut decoder =
        options.read_info(Cursor::new(file).chain(TRAILER)).map_err(|e| unreadable(0, &e))?;
    // A screen without pixels gets the size of its first picture.
    let size = (u32::from(decoder.width()).max(1), u32::from(decoder.height()).max(1));
    // The factor 2 covers a picture's own pixels, and the saved pixels that may be restored.
    let mut canvas = Canvas::new(size, 2)?;
    let mut indices = Vec::new();
    for page in 0..PAGES_MAX {
        let leaving = match next_picture(&mut decoder, &mut canvas, &mut indices, page)? {
            Some(leaving) => leaving,
            None if page == 0 => {
                return Err(Error::new(
                    ErrorCode::IMAGE_READ_FAILED,
                    "the GIF file has no picture",
                ));
            }
            None => return Ok(()),
        };
        if !found(page, canvas.copied()?)? {
            return Ok(());
        }
        // Before the first picture there was nothing that could be restored.
        if page > 0 || !matches!(leaving, Leaving::Restore(..)) {
            leaving.dispose(&mut canvas);
        }
    }
    Ok(())
}

/// The disposal of a picture when its time is over.
enum Leaving {
    /// The picture stays.
    Stay,
    /// The picture's place becomes white.
    Blank(Rectangle),
    /// The earlier content of the picture's place is restored.
    Restore(Rectangle, Vec<u8>),
}

#[derive(Clone, Copy)]
struct Rectangle {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Leaving {
    fn dispose(self, canvas: &mut Canvas) {
        match self {
            Self::Stay => {}
            Self::Blank(place) => place.rows(canvas).for_each(|row| row.fill(WHITE)),
            Self::Restore(place, pixels) => {
                let rows = pixels.chunks_exact(place.width.max(1));
                place.rows(canvas).zip(rows).for_each(|(row, before)| row.copy_from_slice(before));
            }
        }
    }
}

impl Rectangle {
    /// Return the parts of the canvas's rows that are in this place.
    fn rows<'a>(&self, canvas: &'a mut Canvas) -> impl Iterator<Item = &'a mut [u8]> {
        let (left, width) = (self.left, self.width);
        canvas.rows().skip(self.top).take(self.height).map(move |row| &mut row[left..][..width])
    }

    /// Return the part of this place that lies on the canvas.
    fn within(self, (width, height): (usize, usize)) -> Self {
        let (left, top) = (self.left.min(width), self.top.min(height));
        Self {
            left,
            top,
            width: self.width.min(width - left),
            height: self.height.min(height - top),
        }
    }
}

/// Draw the next picture. Return its disposal, or `None` when there is no further picture.
fn next_picture(
    decoder: &mut Decoder<File<'_>>,
    canvas: &mut Canvas,
    indices: &mut Vec<u8>,
    page: u32,
) -> Result<Option<Leaving>> {
    let Some(frame) = decoder.next_frame_info().map_err(|e| unreadable(page, &e))? else {
        return Ok(None);
    };
    let (dispose, transparent) = (frame.dispose, frame.transparent);
    let [left, top, width, height] =
        [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let size = (width as u32, height as u32);
    if width == 0 || height == 0 {
        return Ok(Some(Leaving::Stay));
    }
    require_size(size)?;
    let length = width * height;
    if indices.len() < length {
        require_room(size, 1)?;
        reserve(indices, length - indices.len())?;
        indices.resize(length, 0);
    }
    decoder.read_into_buffer(&mut indices[..length]).map_err(|e| unreadable(page, &e))?;
    let colors = decoder.palette().map_err(|e| unreadable(page, &e))?;
    let shades: Vec<u8> =
        colors.as_chunks::<3>().0.iter().map(|[r, g, b]| luminance(*r, *g, *b)).collect();
    let (whole_width, whole_height) = canvas.size();
    if page == 0 && (left + width > whole_width || top + height > whole_height) {
        // Viewers make the screen as large as its first picture, and crop the later ones.
        let whole = (whole_width.max(left + width) as u32, whole_height.max(top + height) as u32);
        *canvas = Canvas::new(whole, 2)?;
    }
    let place = Rectangle { left, top, width, height }.within(canvas.size());
    let leaving = match dispose {
        DisposalMethod::Background => Leaving::Blank(place),
        DisposalMethod::Previous => {
            Leaving::Restore(place, place.rows(canvas).flat_map(|row| &*row).copied().collect())
        }
        DisposalMethod::Any | DisposalMethod::Keep => Leaving::Stay,
    };
    for (row, from) in place.rows(canvas).zip(indices.chunks_exact(width)) {
        for (pixel, index) in row.iter_mut().zip(from) {
            if Some(*index) != transparent {
                *pixel = shades.get(usize::from(*index)).copied().unwrap_or(0);
            }
        }
    }
    Ok(Some(leaving))
}

fn unreadable(page: u32, error: &DecodingError) -> Error {
    let which = page + 1;
    let message = match error {
        DecodingError::UnexpectedEof => format!("the GIF file is cut short in its picture {which}"),
        DecodingError::Io(e) => format!("the GIF file is cut short in its picture {which}: {e}"),
        error => format!("the GIF file is damaged in its picture {which}: {error}"),
    };
    Error::new(ErrorCode::IMAGE_READ_FAILED, message)
}
