//! The facts in a TIFF directory about the pixels of a page, checked.

use super::fax_rows::Fax;
use super::gray::{SIDE_PIXELS_MAX, require_size};
use super::tiff_directory::Directory;
use crate::error::{Error, Result};

/// Most samples of a pixel: inks, colors, and what programs add.
const SAMPLES_MAX: u64 = 32;

mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const STRIP_ROWS: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const PLANES: u16 = 284;
    pub(super) const GROUP_3_OPTIONS: u16 = 292;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const INK_SET: u16 = 332;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const SUBSAMPLING: u16 = 530;
}

/// The compression of the pixel data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Fax(Fax),
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

/// The meaning of the samples of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Gray {
        is_white_zero: bool,
    },
    Rgb,
    Palette,
    Inks,
    /// Brightness and two colors. Blocks of so many pixels across and down share the colors.
    Brightness {
        across: usize,
        down: usize,
    },
    /// Lightness and two colors.
    Lab,
}

impl Color {
    /// Return the number of samples that it needs.
    pub(super) fn samples(self) -> usize {
        match self {
            Self::Gray { .. } | Self::Palette => 1,
            Self::Rgb | Self::Brightness { .. } | Self::Lab => 3,
            Self::Inks => 4,
        }
    }
}

/// The meaning of a sample after the colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    /// No alpha, or an unknown meaning.
    None,
    /// Alpha by which the colors are multiplied.
    Multiplied,
    /// Alpha by which the colors are not multiplied.
    Apart,
    /// Alpha by which the colors are not multiplied; the picture is put on black.
    OnBlack,
}

/// A page of a TIFF file.
pub(super) struct TiffPage<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) packing: Packing,
    pub(super) color: Color,
    pub(super) alpha: Alpha,
    pub(super) bits: usize,
    pub(super) samples: usize,
    pub(super) are_planes_apart: bool,
    pub(super) is_lowest_bit_first: bool,
    pub(super) is_predicted: bool,
    /// Red, green and blue of each color, one after the other, with 16 bits each.
    pub(super) color_map: Vec<u64>,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    /// Width and height of a strip or tile in pixels.
    pub(super) chunk: (usize, usize),
    pub(super) offsets: Vec<u64>,
    pub(super) lengths: Vec<u64>,
}

impl<'a> TiffPage<'a> {
    /// Read a directory.
    ///
    /// # Errors
    /// Fails with the entry that is invalid, or that this library does not support.
    pub(super) fn of(directory: &Directory<'a>) -> Result<Self> {
        let side = |tag| u32::try_from(directory.number(tag, 0)).unwrap_or(u32::MAX);
        let (width, height) = (side(tag::WIDTH), side(tag::HEIGHT));
        require_size((width, height))?;
        let samples = directory.number(tag::SAMPLES, 1);
        if !(1..=SAMPLES_MAX).contains(&samples) {
            return Err(unread(format!("a pixel has {samples} samples")));
        }
        let samples = samples as usize;
        let color = color(directory)?;
        if samples < color.samples() {
            return Err(unread(format!(
                "a pixel has {samples} samples, which is too few for its colors"
            )));
        }
        let is_tiled = directory.numbers(tag::TILE_OFFSETS).is_some();
        let chunk = chunk(directory, is_tiled, (width as usize, height as usize))?;
        let (offsets, lengths) = if is_tiled {
            (tag::TILE_OFFSETS, tag::TILE_BYTES)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTES)
        };
        let offsets = directory
            .numbers(offsets)
            .ok_or_else(|| unread("it does not say where its pixels are"))?;
        let packing = packing(directory)?;
        Ok(Self {
            width: width as usize,
            height: height as usize,
            packing,
            color,
            alpha: alpha(directory, color, samples),
            bits: bits(directory, packing)?,
            samples,
            are_planes_apart: directory.number(tag::PLANES, 1) == 2 && samples > 1,
            is_lowest_bit_first: directory.number(tag::FILL_ORDER, 1) == 2,
            is_predicted: is_predicted(directory, packing)?,
            color_map: directory.numbers(tag::COLOR_MAP).unwrap_or_default(),
            jpeg_tables: directory.bytes(tag::JPEG_TABLES),
            chunk,
            offsets,
            lengths: directory.numbers(lengths).unwrap_or_default(),
        })
    }
}

fn chunk(
    directory: &Directory<'_>,
    is_tiled: bool,
    (width, height): (usize, usize),
) -> Result<(usize, usize)> {
    if !is_tiled {
        let rows = directory.number(tag::STRIP_ROWS, u64::MAX);
        return Ok((width, usize::try_from(rows).unwrap_or(height).clamp(1, height)));
    }
    let side = |tag| {
        let most = u64::from(SIDE_PIXELS_MAX) + 16;
        let side = directory.number(tag, 0);
        let is_possible = (1..=most).contains(&side);
        is_possible
            .then_some(side as usize)
            .ok_or_else(|| unread(format!("its tiles have a side of {side} pixels")))
    };
    Ok((side(tag::TILE_WIDTH)?, side(tag::TILE_HEIGHT)?))
}

fn color(directory: &Directory<'_>) -> Result<Color> {
    Ok(match directory.number(tag::PHOTOMETRIC, 1) {
        0 => Color::Gray { is_white_zero: true },
        1 => Color::Gray { is_white_zero: false },
        2 => Color::Rgb,
        3 => Color::Palette,
        5 if directory.number(tag::INK_SET, 1) == 1 => Color::Inks,
        5 => return Err(unread("its inks are not cyan, magenta, yellow and black")),
        6 => {
            let factors = directory.numbers(tag::SUBSAMPLING).unwrap_or_else(|| vec![2, 2]);
            match factors[..] {
                [across @ (1 | 2 | 4), down @ (1 | 2 | 4)] => {
                    Color::Brightness { across: across as usize, down: down as usize }
                }
                _ => {
                    return Err(unread(format!(
                        "its colors are sampled by the factors {factors:?}"
                    )));
                }
            }
        }
        8 | 9 => Color::Lab,
        4 => return Err(unread("it is a mask for another picture")),
        32_803 => return Err(unread("it is a raw picture of a camera, with a color filter")),
        other => {
            return Err(unread(format!(
                "its colors are of kind {other} (PhotometricInterpretation)"
            )));
        }
    })
}

fn packing(directory: &Directory<'_>) -> Result<Packing> {
    let name = match directory.number(tag::COMPRESSION, 1) {
        1 => return Ok(Packing::Plain),
        2 => return Ok(Packing::Fax(Fax::Huffman { align: 8 })),
        3 => {
            let options = directory.number(tag::GROUP_3_OPTIONS, 0);
            if options & 2 != 0 {
                return Err(unread(
                    "its rows are not compressed, though fax compression is said (T4Options)",
                ));
            }
            return Ok(Packing::Fax(Fax::Group3 { is_2d: options & 1 != 0 }));
        }
        4 => return Ok(Packing::Fax(Fax::Group4)),
        5 => return Ok(Packing::Lzw),
        7 => return Ok(Packing::Jpeg),
        8 | 32_946 => return Ok(Packing::Deflate),
        32_771 => return Ok(Packing::Fax(Fax::Huffman { align: 16 })),
        32_773 => return Ok(Packing::PackBits),
        6 => "JPEG of the old kind",
        9 | 10 | 34_661 => "JBIG",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        34_887 => "LERC",
        34_925 => "LZMA",
        50_000 => "Zstandard",
        50_001 => "WebP",
        50_002 => "JPEG XL",
        32_809 => "ThunderScan",
        other => {
            return Err(unread(format!(
                "it is compressed in way {other} (Compression), which is not read"
            )));
        }
    };
    Err(unread(format!(
        "it is compressed by {name}, which is not read: save it with LZW, Deflate or Group 4"
    )))
}

fn bits(directory: &Directory<'_>, packing: Packing) -> Result<usize> {
    let bits = directory.numbers(tag::BITS).unwrap_or_else(|| vec![1]);
    let first = bits.first().copied().unwrap_or(1);
    if bits.iter().any(|other| *other != first) {
        return Err(unread(format!("its samples have different numbers of bits: {bits:?}")));
    }
    let kinds = directory.numbers(tag::SAMPLE_FORMAT).unwrap_or_default();
    if let Some(kind) = kinds.iter().find(|kind| !matches!(kind, 1 | 4)) {
        let name = match kind {
            2 => "signed numbers",
            3 => "floating point numbers",
            _ => "complex numbers",
        };
        return Err(unread(format!("its samples are {name} of {first} bits, which are not read")));
    }
    match (packing, first) {
        (Packing::Fax(_), 1) => Ok(1),
        (Packing::Fax(_), _) => {
            Err(unread(format!("its samples have {first} bits, and fax compression 1")))
        }
        (Packing::Jpeg, 8) => Ok(8),
        (Packing::Jpeg, _) => Err(unread(format!("its samples have {first} bits; JPEG needs 8"))),
        (_, 1..=16) => Ok(first as usize),
        _ => Err(unread(format!("its samples have {first} bits; 1 to 16 are supported"))),
    }
}

fn alpha(directory: &Directory<'_>, color: Color, samples: usize) -> Alpha {
    let extra = directory.numbers(tag::EXTRA_SAMPLES).unwrap_or_default();
    match (samples > color.samples(), extra.first()) {
        (true, Some(1)) => Alpha::Multiplied,
        (true, Some(2)) => Alpha::Apart,
        // Some programs do not declare what the fourth sample is.
        (true, None) if color == Color::Rgb && samples == 4 => Alpha::Apart,
        _ => Alpha::None,
    }
}

fn is_predicted(directory: &Directory<'_>, packing: Packing) -> Result<bool> {
    // A predictor has no meaning for other compressions.
    if !matches!(packing, Packing::Lzw | Packing::Deflate) {
        return Ok(false);
    }
    match (directory.number(tag::PREDICTOR, 1), directory.number(tag::BITS, 1)) {
        (1, _) => Ok(false),
        (2, 8 | 16) => Ok(true),
        (kind, bits) => Err(unread(format!(
            "it is predicted in way {kind} with {bits} bits, which is not read"
        ))),
    }
}

/// Return an error of a page; the caller adds the file.
pub(super) fn unread(message: impl Into<String>) -> Error {
    Error::new(super::reading_error::TIFF_READ_FAILED, message.into())
}
