//! What decodes: a trait, so that another engine can take the place of the built-in one.

use std::borrow::Cow;

use crate::error::Result;

/// A picture in shades of gray, 0 black, 255 white, row by row without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrayImage<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` bytes.
    pub pixels: Cow<'a, [u8]>,
}

/// A part of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Leftmost column.
    pub left: u32,
    /// Topmost row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// How much is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// Upright symbols, dark on light, as large as they are.
    Fast,
    /// Turned, inverted and small ones too.
    #[default]
    Full,
}

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Symbologies of the first format word, as bits.
    pub formats: u32,
    /// Symbologies of the second format word, as bits.
    pub formats_2: u32,
    /// How much is tried.
    pub effort: Effort,
    /// One threshold for the whole picture instead of one for each part of it.
    pub one_threshold: bool,
    /// Stop when there are so many; 0 for all.
    pub count_max: u32,
    /// The part of the picture to look in; else all of it.
    pub part: Option<Rectangle>,
}

/// Every symbology that has a bit, rotated, inverted and scaled.
impl Default for Search {
    fn default() -> Self {
        Self {
            formats: u32::MAX,
            formats_2: 0,
            effort: Effort::Full,
            one_threshold: false,
            count_max: 0,
            part: None,
        }
    }
}

/// A barcode that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Number of the symbology, as in the C API's first format word; 0 when it has none there.
    pub format: u32,
    /// Number of the symbology in the second format word; 0 when it has one in the first.
    pub format_2: u32,
    /// Name of the symbology.
    pub format_name: String,
    /// The characters of the content, as they are: control characters too, and nothing that is only
    /// shown.
    pub text: String,
    /// Content as it was encoded.
    pub bytes: Vec<u8>,
    /// Corners: top left, top right, bottom right, bottom left, as the symbol itself stands.
    pub corners: [(i32, i32); 4],
    /// Corners are in percent of the picture and not in pixels.
    pub is_in_percent: bool,
    /// How far the symbol is turned, in degrees.
    pub angle: i32,
    /// Whether it was seen as in a mirror.
    pub is_mirrored: bool,
    /// How certain it is, 1 to 100.
    pub confidence: i32,
    /// The page, from 0.
    pub page: u32,
    /// The region of the settings in which it was found, or empty.
    pub region: String,
    /// Pixels of a module; 0 when that is not known.
    pub module_pixels: i32,
    /// What its symbology has more.
    pub details: Details,
}

/// What a symbology has more than text and place. Numbers that are not known are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Details {
    /// Nothing.
    #[default]
    None,
    /// A linear symbol.
    Linear {
        /// Characters that say where it starts.
        start: Vec<u8>,
        /// Characters that say where it ends.
        stop: Vec<u8>,
        /// Characters that check the others.
        check: Vec<u8>,
    },
    /// A QR code of any kind.
    Qr {
        /// Rows and columns of modules.
        size: (i32, i32),
        /// `L`, `M`, `Q` or `H`.
        level: char,
        /// 1 to 40.
        version: i32,
        /// 1 or 2.
        model: i32,
        /// Place in, number of and parity of a structured append.
        append: Option<(i32, i32, u8)>,
    },
    /// A PDF417 symbol.
    Pdf417,
    /// A Data Matrix symbol.
    DataMatrix {
        /// Rows and columns of modules.
        size: (i32, i32),
        /// How many regions there are, one below the other and side by side.
        regions: (i32, i32),
    },
    /// An Aztec symbol.
    Aztec {
        /// Rows and columns of modules.
        size: (i32, i32),
        /// Layers.
        layers: i32,
    },
}

/// Finds barcodes in pictures.
pub trait DecodeEngine: Send {
    /// The barcodes of a picture; their corners are those of the whole picture, also where a part
    /// was searched.
    ///
    /// # Errors
    /// When the picture cannot be processed; a picture without barcodes is no error.
    fn decode(&mut self, image: &GrayImage<'_>, search: &Search) -> Result<Vec<Decoded>>;

    /// Whether it reads any of these symbologies.
    fn reads(&self, formats: u32, formats_2: u32) -> bool;
}
