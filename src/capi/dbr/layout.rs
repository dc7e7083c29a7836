//! Layouts of the DBR 8.x structures, byte for byte: that API packs them without gaps.
//!
//! `tests/c/layouts.cpp` checks the header against the recorded offsets; the test below checks that these
//! structures and that header mean the same.

use std::ffi::{c_char, c_int, c_uchar, c_void};

/// Results of one decode call.
#[repr(C, packed)]
pub struct TextResultArray {
    pub(super) resultsCount: c_int,
    pub(super) results: *mut *mut TextResult,
}

/// One barcode.
#[repr(C, packed)]
pub struct TextResult {
    pub(super) barcodeFormat: c_int,
    pub(super) barcodeFormatString: *const c_char,
    pub(super) barcodeFormat_2: c_int,
    pub(super) barcodeFormatString_2: *const c_char,
    pub(super) barcodeText: *const c_char,
    pub(super) barcodeBytes: *const c_uchar,
    pub(super) barcodeBytesLength: c_int,
    pub(super) localizationResult: *mut LocalizationResult,
    pub(super) detailedResult: *mut c_void,
    pub(super) resultsCount: c_int,
    pub(super) results: *mut *mut c_void,
    pub(super) exception: *const c_char,
    pub(super) isDPM: c_int,
    pub(super) isMirrored: c_int,
    pub(super) reserved: [c_char; 44],
}

/// Where a barcode is.
#[repr(C, packed)]
pub struct LocalizationResult {
    pub(super) terminatePhase: c_int,
    pub(super) barcodeFormat: c_int,
    pub(super) barcodeFormatString: *const c_char,
    pub(super) barcodeFormat_2: c_int,
    pub(super) barcodeFormatString_2: *const c_char,
    pub(super) corners: [[c_int; 2]; 4],
    pub(super) angle: c_int,
    pub(super) moduleSize: c_int,
    pub(super) pageNumber: c_int,
    pub(super) regionName: *const c_char,
    pub(super) documentName: *const c_char,
    pub(super) resultCoordinateType: c_int,
    pub(super) accompanyingTextBytes: *const c_char,
    pub(super) accompanyingTextBytesLength: c_int,
    pub(super) confidence: c_int,
    pub(super) reserved: [c_char; 52],
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn structures_have_the_recorded_layout() {
        assert_eq!(size_of::<TextResultArray>(), 12);
        assert_eq!(size_of::<TextResult>(), 132);
        assert_eq!(offset_of!(TextResult, barcodeText), 24);
        assert_eq!(offset_of!(TextResult, localizationResult), 44);
        assert_eq!(offset_of!(TextResult, exception), 72);
        assert_eq!(offset_of!(TextResult, reserved), 88);
        assert_eq!(size_of::<LocalizationResult>(), 160);
        assert_eq!(offset_of!(LocalizationResult, corners), 28);
        assert_eq!(offset_of!(LocalizationResult, regionName), 72);
        assert_eq!(offset_of!(LocalizationResult, confidence), 104);
        assert_eq!(size_of::<crate::capi::license::DM_DLSConnectionParameters>(), 128);
    }
}
