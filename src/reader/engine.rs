//! What decodes: a trait, so that another engine can take the place of the built-in one.

use crate::error::Result;

/// A picture in shades of grey, 0 black, 255 white, row by row without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrayImage {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` bytes.
    pub pixels: Vec<u8>,
}

/// A barcode that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Number of the symbology, as in the C API's first format word; 0 when it has none there.
    pub format: u32,
    /// Name of the symbology.
    pub format_name: String,
    /// Content as text.
    pub text: String,
    /// Content as it was encoded.
    pub bytes: Vec<u8>,
    /// Corners in pixels: top left, top right, bottom right, bottom left, as the symbol itself stands.
    pub corners: [(i32, i32); 4],
    /// How far the symbol is turned, in degrees.
    pub angle: i32,
    /// Whether it was seen as in a mirror.
    pub is_mirrored: bool,
}

/// Finds barcodes in pictures.
pub trait DecodeEngine: Send {
    /// All barcodes of a picture.
    ///
    /// # Errors
    /// When the picture cannot be processed; a picture without barcodes is no error.
    fn decode(&mut self, image: &GrayImage) -> Result<Vec<Decoded>>;
}
