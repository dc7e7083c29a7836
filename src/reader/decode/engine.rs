//! The decode engine as a trait, so that another engine can replace the built-in one.

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

/// The effort of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// Upright symbols, dark on light, as large as they are.
    Fast,
    /// Turned, inverted and small symbols, too.
    #[default]
    Full,
}

/// The parameters of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Symbologies of the first format word, as bits.
    pub formats: u32,
    /// Symbologies of the second format word, as bits.
    pub formats_2: u32,
    /// The effort of the search.
    pub effort: Effort,
    /// Whether to use one threshold for the whole picture instead of one for each part of it.
    pub one_threshold: bool,
    /// The number of barcodes after which to stop; 0 for all.
    pub count_max: u32,
    /// The part of the picture to search; `None` for all of it.
    pub part: Option<Rectangle>,
}

/// The default searches for every symbology that has a bit, rotated, inverted and scaled.
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
    /// The characters of the content, unchanged: with control characters, and without characters
    /// that are only displayed.
    pub text: String,
    /// The content as it was encoded.
    pub bytes: Vec<u8>,
    /// Corners in the order of the symbol itself: top left, top right, bottom right, bottom left.
    pub corners: [(i32, i32); 4],
    /// Whether the corners are in percent of the picture instead of pixels.
    pub is_in_percent: bool,
    /// The rotation of the symbol, in degrees.
    pub angle: i32,
    /// Whether the symbol is mirrored.
    pub is_mirrored: bool,
    /// The confidence of the result, 1 to 100.
    pub confidence: i32,
    /// The page, counted from 0.
    pub page: u32,
    /// The region of the settings in which it was found; empty if there is none.
    pub region: String,
    /// The size of a module in pixels; 0 when it is unknown.
    pub module_pixels: i32,
    /// Details that only its symbology has.
    pub details: Details,
}

/// Details of a symbology beyond text and place. Unknown numbers are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Details {
    /// No details.
    #[default]
    None,
    /// A linear symbol.
    Linear {
        /// Characters that mark the start.
        start: Vec<u8>,
        /// Characters that mark the end.
        stop: Vec<u8>,
        /// Check characters.
        check: Vec<u8>,
    },
    /// A QR code of any kind.
    Qr {
        /// Rows and columns of modules.
        size: (i32, i32),
        /// The level of error correction: `L`, `M`, `Q` or `H`.
        level: char,
        /// The version, 1 to 40.
        version: i32,
        /// The model, 1 or 2.
        model: i32,
        /// The structured append: position, number of symbols, and parity.
        append: Option<(i32, i32, u8)>,
    },
    /// A PDF417 symbol.
    Pdf417,
    /// A Data Matrix symbol.
    DataMatrix {
        /// Rows and columns of modules.
        size: (i32, i32),
        /// The number of regions, vertically and horizontally.
        regions: (i32, i32),
    },
    /// An Aztec symbol.
    Aztec {
        /// Rows and columns of modules.
        size: (i32, i32),
        /// The number of layers.
        layers: i32,
    },
}

/// A decoder that finds barcodes in pictures.
pub trait DecodeEngine: Send {
    /// Return the barcodes of a picture. Their corners refer to the whole picture, even if only a
    /// part was searched.
    ///
    /// # Errors
    /// Fails when the picture cannot be processed. A picture without barcodes is no error.
    fn decode(&mut self, image: &GrayImage<'_>, search: &Search) -> Result<Vec<Decoded>>;

    /// Return whether the engine reads any of these symbologies.
    fn reads(&self, formats: u32, formats_2: u32) -> bool;
}
