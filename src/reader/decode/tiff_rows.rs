//! The rows of a strip or tile of a TIFF page, one after the other. Only one row is held in memory.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use weezl::BitOrder;
use weezl::decode::{Configuration, Decoder as LzwDecoder};

use super::fax_rows::FaxRows;
use super::gray::reserve;
use super::tiff_page::{Packing, TiffPage};
use crate::error::Result;

/// A packed strip or tile.
pub(super) struct Rows<'a> {
    source: Source<'a>,
    /// The samples of a pixel in a row, if each is predicted from the previous pixel.
    predicted: Option<Predicted>,
}

#[derive(Clone, Copy)]
struct Predicted {
    samples: usize,
    bits: usize,
    is_little: bool,
}

enum Source<'a> {
    Plain(&'a [u8]),
    PackBits(PackBits<'a>),
    Deflate(Box<ZlibDecoder<&'a [u8]>>),
    Lzw(Box<Lzw<'a>>),
    Fax(Box<FaxRows<'a>>),
}

/// Return the bytes of a strip or tile with the highest bit first.
///
/// # Errors
/// -10001 when there is not enough memory for a copy.
pub(super) fn highest_bit_first<'a>(page: &TiffPage<'_>, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !page.is_lowest_bit_first {
        return Ok(bytes.into());
    }
    let mut reversed = Vec::new();
    reserve(&mut reversed, bytes.len())?;
    reversed.extend(bytes.iter().map(|byte| byte.reverse_bits()));
    Ok(reversed.into())
}

impl<'a> Rows<'a> {
    /// Begin a strip or tile that has `samples` samples of each pixel.
    pub(super) fn new(
        page: &TiffPage<'_>,
        bytes: &'a [u8],
        samples: usize,
        is_little: bool,
    ) -> Self {
        let source = match page.packing {
            Packing::Plain | Packing::Jpeg => Source::Plain(bytes),
            Packing::PackBits => Source::PackBits(PackBits { bytes, run: Run::Plain(0) }),
            Packing::Deflate => Source::Deflate(Box::new(ZlibDecoder::new(bytes))),
            Packing::Lzw => Source::Lzw(Box::new(Lzw::new(bytes))),
            Packing::Fax(kind) => Source::Fax(Box::new(FaxRows::new(kind, bytes, page.chunk.0))),
        };
        let predicted =
            page.is_predicted.then_some(Predicted { samples, bits: page.bits, is_little });
        Self { source, predicted }
    }

    /// Read a row; `None` when it is missing or damaged.
    pub(super) fn read(&mut self, row: &mut [u8]) -> Option<()> {
        match &mut self.source {
            Source::Plain(bytes) => {
                let (first, rest) = bytes.split_at_checked(row.len())?;
                row.copy_from_slice(first);
                *bytes = rest;
            }
            Source::PackBits(bits) => bits.read(row)?,
            Source::Deflate(decoder) => decoder.read_exact(row).ok()?,
            Source::Lzw(lzw) => lzw.read(row)?,
            Source::Fax(rows) => rows.read(row)?,
        }
        if let Some(predicted) = self.predicted {
            predicted.undo(row);
        }
        Some(())
    }
}

/// An LZW stream, unpacked in blocks because each start of the decoder takes a while.
struct Lzw<'a> {
    decoder: LzwDecoder,
    bytes: &'a [u8],
    block: Vec<u8>,
    /// The part of the block that was not read yet.
    ready: std::ops::Range<usize>,
}

const BLOCK_BYTES: usize = 1 << 16;

impl<'a> Lzw<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let decoder = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).build();
        Self { decoder, bytes, block: Vec::new(), ready: 0..0 }
    }

    fn read(&mut self, row: &mut [u8]) -> Option<()> {
        let mut done = 0;
        while done < row.len() {
            if self.ready.is_empty() {
                self.unpack()?;
            }
            let count = self.ready.len().min(row.len() - done);
            row[done..done + count].copy_from_slice(&self.block[self.ready.start..][..count]);
            self.ready.start += count;
            done += count;
        }
        Some(())
    }

    /// Unpack the next block; `None` when there is none.
    fn unpack(&mut self) -> Option<()> {
        self.block.resize(BLOCK_BYTES, 0);
        loop {
            let result = self.decoder.decode_bytes(self.bytes, &mut self.block);
            self.bytes = &self.bytes[result.consumed_in..];
            if result.consumed_out > 0 {
                self.ready = 0..result.consumed_out;
                return Some(());
            }
            if result.status.is_err() || result.consumed_in == 0 {
                return None;
            }
        }
    }
}

impl Predicted {
    fn undo(self, row: &mut [u8]) {
        if self.bits == 8 {
            for i in self.samples..row.len() {
                row[i] = row[i].wrapping_add(row[i - self.samples]);
            }
            return;
        }
        let word = |row: &[u8], at: usize| {
            let bytes = [row[at], row[at + 1]];
            if self.is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
        };
        for at in (2 * self.samples..row.len() / 2 * 2).step_by(2) {
            let sum = word(row, at).wrapping_add(word(row, at - 2 * self.samples));
            let bytes = if self.is_little { sum.to_le_bytes() } else { sum.to_be_bytes() };
            row[at..at + 2].copy_from_slice(&bytes);
        }
    }
}

/// Apple's PackBits: a byte n, then n + 1 literal bytes, or one byte repeated 257 − n times.
struct PackBits<'a> {
    bytes: &'a [u8],
    run: Run,
}

/// The rest of a run that has begun.
#[derive(Clone, Copy)]
enum Run {
    Plain(usize),
    Same(u8, usize),
}

impl PackBits<'_> {
    fn read(&mut self, row: &mut [u8]) -> Option<()> {
        let mut done = 0;
        while done < row.len() {
            let rest = &mut row[done..];
            done += match self.run {
                Run::Plain(0) | Run::Same(_, 0) => {
                    self.begin()?;
                    0
                }
                Run::Plain(left) => {
                    let count = left.min(rest.len());
                    let (bytes, behind) = self.bytes.split_at_checked(count)?;
                    rest[..count].copy_from_slice(bytes);
                    (self.bytes, self.run) = (behind, Run::Plain(left - count));
                    count
                }
                Run::Same(byte, left) => {
                    let count = left.min(rest.len());
                    rest[..count].fill(byte);
                    self.run = Run::Same(byte, left - count);
                    count
                }
            };
        }
        Some(())
    }

    fn begin(&mut self) -> Option<()> {
        let (head, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        match usize::from(*head) {
            // 128 has no meaning.
            128 => {}
            head @ ..128 => self.run = Run::Plain(head + 1),
            head => {
                let (byte, rest) = rest.split_first()?;
                self.bytes = rest;
                self.run = Run::Same(*byte, 257 - head);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bits_are_read_across_rows() {
        let mut bits = PackBits { bytes: &[1, 7, 8, 128, 253, 9, 0, 5], run: Run::Plain(0) };
        let mut row = [0; 3];
        let mut rows = std::iter::from_fn(|| bits.read(&mut row).map(|()| row));
        assert_eq!(rows.next(), Some([7, 8, 9]));
        assert_eq!(rows.next(), Some([9, 9, 9]));
        assert_eq!(rows.next(), None, "one byte is left");
    }

    #[test]
    fn what_was_predicted_is_summed_up_sample_by_sample() {
        let mut row = [10, 20, 1, 2, 255, 1];
        Predicted { samples: 2, bits: 8, is_little: true }.undo(&mut row);
        assert_eq!(row, [10, 20, 11, 22, 10, 23]);
        let mut row = [0x00, 0x01, 0xff, 0x00];
        Predicted { samples: 1, bits: 16, is_little: true }.undo(&mut row);
        assert_eq!(row, [0x00, 0x01, 0xff, 0x01]);
        let mut row = [0x01, 0x00, 0x00, 0xff];
        Predicted { samples: 1, bits: 16, is_little: false }.undo(&mut row);
        assert_eq!(row, [0x01, 0x00, 0x01, 0xff]);
    }
}
