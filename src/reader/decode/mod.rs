//! Decoding: the way from a picture, through the settings, to barcodes that may be shown.
//!
//! ```text
//! image_file (png_file, jpeg_file, gif_file, tiff_file), bitmap, pixels ──▶ gray: shades, by one conversion
//!     ──▶ search (region after region, within the time) ──▶ zxing (the engine)
//!     ──▶ filters ──▶ decoding, frames (count, then show)
//! settings, settings_table, profile, templates, template_in, template_out, specification: how
//! without_effect: what is set and does nothing
//! ```

mod bitmap;
mod bitmap_runs;
mod code_39;
mod decoding;
mod details;
mod engine;
mod fax_rows;
mod filters;
mod frames;
mod gif_file;
mod gray;
mod image_file;
mod jpeg_file;
mod jpeg_head;
mod jpeg_tables;
mod orientation;
mod pages;
mod pixels;
mod png_file;
mod product_key;
mod profile;
pub mod reading_error;
mod resample;
mod search;
mod settings;
mod settings_table;
mod specification;
mod template_in;
mod template_out;
mod templates;
mod tiff_directory;
mod tiff_file;
mod tiff_page;
mod tiff_rows;
mod tiff_shades;
mod without_effect;
mod zxing;

pub use bitmap::{BitmapHeader, HEADER_BYTES as BITMAP_HEADER_BYTES};
pub use decoding::{Decoding, Outcome, Picture};
pub use engine::{DecodeEngine, Decoded, Details, Effort, GrayImage, Rectangle, Search};
pub(super) use frames::Frames;
pub use frames::{FrameOptions, Listeners, OnError, OnResults};
pub use image_file::{for_each_page, load_gray, read_file};
pub use orientation::Orientation;
pub use pixels::PixelLayout;
pub use product_key::license_with_key;
pub use profile::Profile;

pub use search::{Found, read_page};
pub use settings::{RECOGNIZED, Region, SETTINGS_WORDS, Settings};
pub use template_in::text_of_file;
pub use templates::{Conflict, Profiles};
pub use zxing::ZxingEngine;
