//! The results for C: one allocation owns the array and everything it points to.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use super::details::DetailsInC;
use super::layout::{
    ExtendedResult, LocalizationResult, SamplingImageData, TextResult, TextResultArray,
};
use crate::reader::{Decoded, Orientation, Outcome, RECOGNIZED};

/// The array with everything it points to. The array is first, so that its address is that of the
/// whole.
#[repr(C)]
struct Owned {
    array: TextResultArray,
    pointers: Vec<*mut TextResult>,
    results: Vec<TextResult>,
    places: Vec<LocalizationResult>,
    extended: Vec<ExtendedResult>,
    extended_pointers: Vec<*mut ExtendedResult>,
    details: Vec<DetailsInC>,
    strings: Vec<CString>,
    contents: Vec<Vec<u8>>,
}

/// The units `RCT_PIXEL` and `RCT_PERCENTAGE`.
const UNITS: [c_int; 2] = [1, 2];

/// Make the array; [`free`] frees it.
pub(super) fn into_c(outcome: &Outcome) -> *mut TextResultArray {
    let count = outcome.barcodes.len();
    let mut owned = Box::new(Owned {
        array: TextResultArray { resultsCount: 0, results: ptr::null_mut() },
        pointers: Vec::new(),
        results: Vec::with_capacity(count),
        places: Vec::with_capacity(count),
        extended: Vec::with_capacity(count),
        extended_pointers: Vec::new(),
        details: Vec::with_capacity(count),
        strings: Vec::new(),
        contents: Vec::with_capacity(count),
    });
    let exception = match &outcome.failure {
        Some(failure) if outcome.is_masked => owned.keep(&failure.message),
        _ => ptr::null(),
    };
    for barcode in &outcome.barcodes {
        owned.add(barcode, outcome.orientation, exception);
    }
    owned.connect();
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
    /// Return a C string that lives as long as the whole. The text ends at its first NUL, as in C.
    fn keep(&mut self, text: &str) -> *const c_char {
        let end = text.find('\0').unwrap_or(text.len());
        let string = CString::new(&text[..end]).unwrap_or_default();
        let pointer = string.as_ptr();
        self.strings.push(string);
        pointer
    }

    fn add(&mut self, barcode: &Decoded, orientation: Orientation, exception: *const c_char) {
        let text = self.keep(&barcode.text);
        let name = self.keep(&barcode.format_name);
        let region = self.keep(&barcode.region);
        let empty = self.keep("");
        // A NUL after the content costs nothing, and protects programs that take it for a string.
        let mut content = barcode.bytes.clone();
        content.push(0);
        let names = if barcode.format == 0 { (empty, name) } else { (name, empty) };
        let details = DetailsInC::new(barcode);
        let matrix = orientation.matrix(barcode.is_in_percent);
        self.places.push(place(barcode, names, region, empty, matrix));
        self.extended.push(extended(barcode, names, &content, details.pointer(), empty));
        self.results.push(TextResult {
            barcodeFormat: barcode.format.cast_signed(),
            barcodeFormatString: names.0,
            barcodeFormat_2: barcode.format_2.cast_signed(),
            barcodeFormatString_2: names.1,
            barcodeText: text,
            barcodeBytes: content.as_ptr(),
            barcodeBytesLength: length(&barcode.bytes),
            localizationResult: ptr::null_mut(),
            detailedResult: details.pointer(),
            resultsCount: 1,
            results: ptr::null_mut(),
            exception,
            isDPM: 0,
            isMirrored: c_int::from(barcode.is_mirrored),
            reserved: [0; 44],
        });
        self.details.push(details);
        self.contents.push(content);
    }

    /// Connect the parts by pointers. All parts are in place, and none of the vectors grows any
    /// more.
    fn connect(&mut self) {
        let count = self.results.len();
        let places = self.places.as_mut_ptr();
        let extended = self.extended.as_mut_ptr();
        self.extended_pointers = (0..count).map(|i| extended.wrapping_add(i)).collect();
        let extended_pointers = self.extended_pointers.as_mut_ptr();
        for (i, result) in self.results.iter_mut().enumerate() {
            result.localizationResult = places.wrapping_add(i);
            result.results = extended_pointers.wrapping_add(i);
        }
        let results = self.results.as_mut_ptr();
        self.pointers = (0..count).map(|i| results.wrapping_add(i)).collect();
        self.array.resultsCount = c_int::try_from(count).unwrap_or(c_int::MAX);
        self.array.results = self.pointers.as_mut_ptr();
    }
}

type Names = (*const c_char, *const c_char);

fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).unwrap_or(c_int::MAX)
}

fn place(
    barcode: &Decoded,
    names: Names,
    region: *const c_char,
    empty: *const c_char,
    transformationMatrix: [f64; 9],
) -> LocalizationResult {
    LocalizationResult {
        terminatePhase: RECOGNIZED,
        barcodeFormat: barcode.format.cast_signed(),
        barcodeFormatString: names.0,
        barcodeFormat_2: barcode.format_2.cast_signed(),
        barcodeFormatString_2: names.1,
        corners: barcode.corners.map(|(x, y)| [x, y]),
        angle: barcode.angle,
        moduleSize: barcode.module_pixels,
        pageNumber: barcode.page.cast_signed(),
        regionName: region,
        documentName: empty,
        resultCoordinateType: UNITS[usize::from(barcode.is_in_percent)],
        accompanyingTextBytes: empty,
        accompanyingTextBytesLength: 0,
        confidence: barcode.confidence,
        transformationMatrix,
        reserved: [0; 52],
    }
}

fn extended(
    barcode: &Decoded,
    names: Names,
    content: &[u8],
    details: *const c_void,
    empty: *const c_char,
) -> ExtendedResult {
    ExtendedResult {
        resultType: 0,
        barcodeFormat: barcode.format.cast_signed(),
        barcodeFormatString: names.0,
        barcodeFormat_2: barcode.format_2.cast_signed(),
        barcodeFormatString_2: names.1,
        confidence: barcode.confidence,
        bytes: content.as_ptr(),
        bytesLength: length(&barcode.bytes),
        accompanyingTextBytes: empty,
        accompanyingTextBytesLength: 0,
        deformation: 0,
        detailedResult: details,
        samplingImage: SamplingImageData { bytes: ptr::null(), width: 0, height: 0 },
        clarity: 0,
        reserved: [0; 40],
    }
}
