//! Results for C: one allocation owns the array and everything it points to.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use super::layout::{LocalizationResult, TextResult, TextResultArray};
use crate::reader::{Decoded, Outcome};

/// The array with all that it points to. The array is first, so that its address is that of the whole.
#[repr(C)]
struct Owned {
    array: TextResultArray,
    pointers: Vec<*mut TextResult>,
    results: Vec<TextResult>,
    places: Vec<LocalizationResult>,
    strings: Vec<CString>,
    contents: Vec<Vec<u8>>,
}

/// A result whose text was read with certainty, as far as the engine tells: it checks every symbol's own
/// check digits, and gives no degrees.
const CONFIDENCE: c_int = 100;

/// `TP_BARCODE_RECOGNIZED`: the last phase.
const RECOGNIZED: c_int = 0x20;

/// `RCT_PIXEL`.
const IN_PIXELS: c_int = 1;

/// `BF2_NONSTANDARD_BARCODE`, for symbologies that have no number of their own.
const NON_STANDARD: c_int = 1;

/// Makes the array; [`free`] ends it.
pub(super) fn into_c(outcome: &Outcome) -> *mut TextResultArray {
    let count = outcome.barcodes.len();
    let mut owned = Box::new(Owned {
        array: TextResultArray { resultsCount: 0, results: ptr::null_mut() },
        pointers: Vec::with_capacity(count),
        results: Vec::with_capacity(count),
        places: Vec::with_capacity(count),
        strings: Vec::new(),
        contents: Vec::with_capacity(count),
    });
    let exception = match &outcome.failure {
        Some(failure) => owned.keep(&failure.message),
        None => ptr::null(),
    };
    for barcode in &outcome.barcodes {
        owned.add(barcode, exception);
    }
    // All are in place and none of the vectors grows any more: now their addresses hold.
    let places = owned.places.as_mut_ptr();
    for (i, result) in owned.results.iter_mut().enumerate() {
        result.localizationResult = places.wrapping_add(i);
    }
    let results = owned.results.as_mut_ptr();
    owned.pointers = (0..count).map(|i| results.wrapping_add(i)).collect();
    owned.array.resultsCount = c_int::try_from(count).unwrap_or(c_int::MAX);
    owned.array.results = owned.pointers.as_mut_ptr();
    Box::into_raw(owned).cast()
}

/// # Safety
/// `array` is NULL or from [`into_c`], and not used afterwards.
pub(super) unsafe fn free(array: *mut TextResultArray) {
    if !array.is_null() {
        // SAFETY: `into_c` gave the address of an `Owned`, whose first field the array is.
        drop(unsafe { Box::from_raw(array.cast::<Owned>()) });
    }
}

impl Owned {
    /// A C string that lives as long as the whole. Text ends at its first NUL, as C would have it.
    fn keep(&mut self, text: &str) -> *const c_char {
        let end = text.find('\0').unwrap_or(text.len());
        let string = CString::new(&text[..end]).unwrap_or_default();
        let pointer = string.as_ptr();
        self.strings.push(string);
        pointer
    }

    fn add(&mut self, barcode: &Decoded, exception: *const c_char) {
        let text = self.keep(&barcode.text);
        let name = self.keep(&barcode.format_name);
        let empty = self.keep("");
        // A NUL behind the content costs nothing and saves those who take it for a string.
        let mut content = barcode.bytes.clone();
        content.push(0);
        let format = barcode.format.cast_signed();
        let format_2 = if format == 0 { NON_STANDARD } else { 0 };
        let (name_1, name_2) = if format == 0 { (empty, name) } else { (name, empty) };
        self.places.push(LocalizationResult {
            terminatePhase: RECOGNIZED,
            barcodeFormat: format,
            barcodeFormatString: name_1,
            barcodeFormat_2: format_2,
            barcodeFormatString_2: name_2,
            corners: barcode.corners.map(|(x, y)| [x, y]),
            angle: barcode.angle.rem_euclid(360),
            moduleSize: 0,
            pageNumber: 0,
            regionName: empty,
            documentName: empty,
            resultCoordinateType: IN_PIXELS,
            accompanyingTextBytes: empty,
            accompanyingTextBytesLength: 0,
            confidence: CONFIDENCE,
            reserved: [0; 52],
        });
        self.results.push(TextResult {
            barcodeFormat: format,
            barcodeFormatString: name_1,
            barcodeFormat_2: format_2,
            barcodeFormatString_2: name_2,
            barcodeText: text,
            barcodeBytes: content.as_ptr(),
            barcodeBytesLength: c_int::try_from(barcode.bytes.len()).unwrap_or(c_int::MAX),
            localizationResult: ptr::null_mut(),
            detailedResult: ptr::null_mut::<c_void>(),
            resultsCount: 0,
            results: ptr::null_mut(),
            exception,
            isDPM: 0,
            isMirrored: c_int::from(barcode.is_mirrored),
            reserved: [0; 44],
        });
        self.contents.push(content);
    }
}
