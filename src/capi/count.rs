//! Counting hooks, for vendors with a decoder of their own.

use std::ffi::{c_int, c_uchar};
use std::slice;

use super::reader::SM_Reader;
use super::{enter, null_pointer};
use crate::error::Error;
use crate::usage::Barcode;
use seatmeter_protocol::error_code::ErrorCode;

/// Most barcodes of one image.
const BARCODES_MAX: usize = 1 << 20;

/// A barcode that a decoder has read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SM_Barcode {
    /// Symbology: a BF_ number of the DBR API, or any number of your own.
    pub format: c_int,
    /// Content. May be NULL when length is 0.
    pub bytes: *const c_uchar,
    /// Bytes of content.
    pub length: usize,
}

/// Count the barcodes of one still image against the licence: each different one (by symbology and content)
/// once.
///
/// The count is in shared memory when this returns: a killed process loses nothing. Content is compared, and
/// neither kept nor sent. `counted`, if not NULL, gets the number of different barcodes, 0 on failure. On
/// failure nothing was counted. An image without barcodes (n = 0) counts no scan, but marks the device as
/// active.
///
/// Threads: any; one at a time for one reader. Blocks: never. Returns 0; -10002 when `reader` is NULL, or
/// `barcodes` with n > 0, or a content with length > 0; -10038 when n is larger than 1048576; -20002 when
/// the disk is full; -20111 when the licence has expired.
///
/// # Safety
/// `barcodes` is NULL or points to `n` barcodes, and each `bytes` to its `length` bytes; `counted` is NULL or
/// good for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_CountImage(
    reader: Option<&SM_Reader>,
    barcodes: *const SM_Barcode,
    n: usize,
    counted: Option<&mut usize>,
) -> c_int {
    let mut outcome = 0;
    let code = enter(|| {
        let reader = reader.ok_or_else(|| null_pointer("reader"))?;
        // SAFETY: the caller's promise.
        let barcodes = unsafe { barcodes_from_c(barcodes, n) }?;
        outcome = usize::try_from(reader.0.count_image(&barcodes)?).unwrap_or(usize::MAX);
        Ok(())
    });
    if let Some(counted) = counted {
        *counted = outcome;
    }
    code
}

/// Views of the caller's barcodes, good for the length of the call.
///
/// # Safety
/// As `SM_CountImage`.
unsafe fn barcodes_from_c<'a>(barcodes: *const SM_Barcode, n: usize) -> Result<Vec<Barcode<'a>>, Error> {
    if n == 0 {
        return Ok(Vec::new());
    }
    if barcodes.is_null() {
        return Err(null_pointer("barcodes"));
    }
    if n > BARCODES_MAX {
        let message = format!("{n} barcodes of one image; at most {BARCODES_MAX} are counted at once");
        return Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message));
    }
    // SAFETY: not NULL, and `n` barcodes by the caller's promise.
    unsafe { slice::from_raw_parts(barcodes, n) }
        .iter()
        .map(|barcode| {
            let bytes = match (barcode.bytes.is_null(), barcode.length) {
                (_, 0) => &[],
                (true, _) => return Err(null_pointer("the content of a barcode")),
                // SAFETY: not NULL, and `length` bytes by the caller's promise.
                (false, length) => unsafe { slice::from_raw_parts(barcode.bytes, length) },
            };
            Ok(Barcode { format: barcode.format.cast_unsigned(), bytes })
        })
        .collect()
}
