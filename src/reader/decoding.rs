//! Decoding a file under the licence: read, decode, count, and only then show.
//!
//! Without a licence or seat the picture is decoded all the same, nothing is counted, and every text is
//! masked with `*`: users of this API see that it would work, and what is missing.

use std::path::Path;

use super::engine::{DecodeEngine, Decoded};
use super::zxing::ZxingEngine;
use super::{Reader, load_gray};
use crate::error::{Error, Result};
use crate::usage::Barcode;

/// The engine and what its last call gave.
pub struct Decoding {
    engine: Box<dyn DecodeEngine>,
    outcome: Outcome,
}

/// What a decode call gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The barcodes; masked when there was no right to read them.
    pub barcodes: Vec<Decoded>,
    /// Why they are masked, or why there are none.
    pub failure: Option<Error>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { engine: Box::new(ZxingEngine), outcome: Outcome::default() }
    }
}

impl Reader {
    /// Decodes a file; what it gave is kept until the next call.
    ///
    /// # Errors
    /// The licence's error first, then the file's.
    pub fn decode_file(&self, path: &Path) -> Result<()> {
        let licensed = self.licensed();
        let mut slot = self.decoding.lock();
        let decoding = slot.get_or_insert_default();
        let decoded = load_gray(path).and_then(|image| decoding.engine.decode(&image));
        decoding.outcome = match (licensed, decoded) {
            (Err(failure), decoded) => {
                Outcome { barcodes: masked(decoded.unwrap_or_default()), failure: Some(failure) }
            }
            (Ok(_), Err(failure)) => Outcome { barcodes: Vec::new(), failure: Some(failure) },
            (Ok(_), Ok(barcodes)) => {
                let found: Vec<Barcode<'_>> =
                    barcodes.iter().map(|b| Barcode { format: b.format, bytes: &b.bytes }).collect();
                match self.count_image(&found) {
                    Ok(_) => Outcome { barcodes, failure: None },
                    Err(failure) => Outcome { barcodes: masked(barcodes), failure: Some(failure) },
                }
            }
        };
        decoding.outcome.failure.clone().map_or(Ok(()), Err)
    }

    /// What the last decode call gave.
    pub fn outcome(&self) -> Outcome {
        self.decoding.lock().as_ref().map(|decoding| decoding.outcome.clone()).unwrap_or_default()
    }
}

fn masked(mut barcodes: Vec<Decoded>) -> Vec<Decoded> {
    for barcode in &mut barcodes {
        barcode.text = "*".repeat(barcode.text.chars().count());
        barcode.bytes = barcode.text.clone().into_bytes();
    }
    barcodes
}
