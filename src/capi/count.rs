//! Counting hooks, for vendors with a decoder of their own.

use std::ffi::{c_int, c_uchar};
use std::slice;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;

use super::reader::SM_Reader;
use super::{enter_hot, null_pointer};
use crate::error::Error;
use crate::runtime::runtime;
use crate::usage::Barcode;

/// Most barcodes of one image.
const BARCODES_MAX: usize = 1 << 20;

/// Most barcodes that are handled without an allocation.
const FEW: usize = 8;

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

/// Count the barcodes of one still image against the license: each different one (by symbology and
/// content) once.
///
/// The count is in shared memory when this returns: a killed process loses nothing. Contents are
/// compared, but neither kept nor sent. `counted`, if not NULL, gets the number of different
/// barcodes, 0 on failure. A failed call counts nothing. An image without barcodes (n = 0) counts
/// no scan, but marks the device as active.
///
/// Threads: any; one at a time for one reader. Blocks: never. Returns 0; -10000 when another thread
/// was using the reader while this process was forked; -10002 when `reader` is NULL, or `barcodes`
/// with n > 0, or a content with length > 0; -10038 when n is larger than 1048576; -20000 without a
/// license, or what the InitLicenseFromDLS that failed has returned; -20002 when the disk is full;
/// -20003 when the license was not renewed in time; -20008 when the reader holds no seat, and all
/// seats of this device are taken; -20111 when the license has expired; -20113 when it was revoked;
/// -20120 when it is used up; -20130 when it has no capacity for this device now.
///
/// # Safety
/// `barcodes` is NULL or points to `n` barcodes, and each `bytes` to its `length` bytes; `counted`
/// is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_CountImage(
    reader: Option<&SM_Reader>,
    barcodes: *const SM_Barcode,
    n: usize,
    counted: Option<&mut usize>,
) -> c_int {
    count_with(reader, counted, |reader| {
        // SAFETY: the caller's promise.
        unsafe { with_barcodes(barcodes, n, |barcodes| reader.0.count_image(barcodes)) }
    })
}

/// Count the barcodes of one frame of a sequence (video): each different one once, and not again
/// until the reader's forget time has passed since it was counted.
///
/// Otherwise as SM_CountImage. `counted`, if not NULL, gets the number of barcodes that counted
/// now. The reader keeps only hashes of counted barcodes, under a random key of its own, 1 MiB at
/// most. The time is exact to the kernel's tick, 1 to 10 ms.
///
/// Threads: any; one at a time for one reader. Blocks: never. Returns as SM_CountImage; -10000 also
/// when the system gives no random numbers.
///
/// # Safety
/// The rules of SM_CountImage apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_CountFrame(
    reader: Option<&SM_Reader>,
    barcodes: *const SM_Barcode,
    n: usize,
    counted: Option<&mut usize>,
) -> c_int {
    count_with(reader, counted, |reader| {
        // SAFETY: the caller's promise.
        unsafe { with_barcodes(barcodes, n, |barcodes| reader.0.count_frame(barcodes)) }
    })
}

/// Count `n` scans of one symbology that the caller has already made unique.
///
/// The count is in shared memory when this returns: a killed process loses nothing.
///
/// Threads: any; one at a time for one reader. Blocks: never. Returns 0; -10038 when `n` is above
/// 4294967295; else as SM_CountImage.
#[unsafe(no_mangle)]
pub extern "C" fn SM_CountScans(reader: Option<&SM_Reader>, format: c_int, n: u64) -> c_int {
    enter_hot(|| {
        reader.ok_or_else(|| null_pointer("reader"))?.0.count_scans(format.cast_unsigned(), n)
    })
}

/// Pages acquired from a scanner or imported.
pub const SM_PAGE_CORE: c_int = 1;
/// Frames captured from a camera.
pub const SM_PAGE_WEBCAM: c_int = 2;
/// Pages rasterized from PDF.
pub const SM_PAGE_PDFR: c_int = 3;
/// Pages recognized as text.
pub const SM_PAGE_OCR: c_int = 4;

/// Count `n` pages of `module` (SM_PAGE_CORE, SM_PAGE_WEBCAM, SM_PAGE_PDFR or SM_PAGE_OCR).
///
/// The count is in shared memory when this returns: a killed process loses nothing. Barcodes on
/// pages are scans, and this function does not count them.
///
/// Threads: any. Blocks: never. Returns 0; -10038 when there is no such module, or `n` is above
/// 4294967295; -20000 without a license, or what the InitLicenseFromDLS that failed has returned;
/// -20002 when the disk is full; -20003 when the license was not renewed in time; -20111 when the
/// license has expired; -20113 when it was revoked; -20120 when the module, or the license, is used
/// up; -20130 when it has no capacity for this device now.
#[unsafe(no_mangle)]
pub extern "C" fn SM_CountPages(module: c_int, n: u64) -> c_int {
    enter_hot(|| {
        let what =
            u32::try_from(module).ok().filter(|_| (SM_PAGE_CORE..=SM_PAGE_OCR).contains(&module));
        let what = what.ok_or_else(|| {
            Error::new(
                ErrorCode::PARAMETER_VALUE_INVALID,
                format!("{module} is not one of the SM_PAGE_ modules"),
            )
        })?;
        runtime().licensed()?.count_without_reader(&[(UsageKind::Page, what, n)])
    })
}

/// Set the forget time of a reader: after a barcode of a frame sequence was counted, it does not
/// count again for this time. The new time applies from the next frame on.
///
/// `ms` is in milliseconds, 0 to 600000; 0 turns the memory across frames off. A new reader has
/// 3000.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `reader` is NULL; -10038 when `ms` is out of
/// range.
#[unsafe(no_mangle)]
pub extern "C" fn SM_SetDuplicateForgetTime(reader: Option<&SM_Reader>, ms: c_int) -> c_int {
    enter_hot(|| reader.ok_or_else(|| null_pointer("reader"))?.0.forget_time().set(ms))
}

/// Run a counting function, and give its count to the caller.
fn count_with(
    reader: Option<&SM_Reader>,
    counted: Option<&mut usize>,
    count: impl FnOnce(&SM_Reader) -> Result<u64, Error>,
) -> c_int {
    let mut outcome = 0;
    let code = enter_hot(|| {
        outcome = usize::try_from(count(reader.ok_or_else(|| null_pointer("reader"))?)?)
            .unwrap_or(usize::MAX);
        Ok(())
    });
    if let Some(counted) = counted {
        *counted = outcome;
    }
    code
}

/// Call `body` with views of the caller's barcodes.
///
/// # Safety
/// The rules of `SM_CountImage` apply.
unsafe fn with_barcodes<T>(
    barcodes: *const SM_Barcode,
    n: usize,
    body: impl FnOnce(&[Barcode<'_>]) -> Result<T, Error>,
) -> Result<T, Error> {
    if n == 0 {
        return body(&[]);
    }
    if barcodes.is_null() {
        return Err(null_pointer("barcodes"));
    }
    if n > BARCODES_MAX {
        let message =
            format!("{n} barcodes of one image; at most {BARCODES_MAX} are counted at once");
        return Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message));
    }
    // SAFETY: not NULL, and `n` barcodes by the caller's promise.
    let barcodes = unsafe { slice::from_raw_parts(barcodes, n) };
    match barcodes {
        // SAFETY: each content is as long as it says, by the caller's promise.
        [one] => body(&[unsafe { barcode_from_c(one) }?]),
        few if n <= FEW => {
            let mut views = [Barcode { format: 0, bytes: &[] }; FEW];
            for (view, barcode) in views.iter_mut().zip(few) {
                // SAFETY: as above.
                *view = unsafe { barcode_from_c(barcode) }?;
            }
            body(&views[..n])
        }
        // SAFETY: as above.
        many => body(
            &many.iter().map(|b| unsafe { barcode_from_c(b) }).collect::<Result<Vec<_>, _>>()?,
        ),
    }
}

/// Return a view of a caller's barcode.
///
/// # Safety
/// `bytes` is NULL or points to `length` bytes, for as long as the view is used.
#[inline]
unsafe fn barcode_from_c<'a>(barcode: &SM_Barcode) -> Result<Barcode<'a>, Error> {
    let bytes: &[u8] = match (barcode.bytes.is_null(), barcode.length) {
        (_, 0) => &[],
        (true, _) => return Err(null_pointer("the content of a barcode")),
        // SAFETY: not NULL, and `length` bytes by the caller's promise.
        (false, length) => unsafe { slice::from_raw_parts(barcode.bytes, length) },
    };
    Ok(Barcode { format: barcode.format.cast_unsigned(), bytes })
}
