//! The layouts of the DBR 8.x structures, byte for byte: that API packs them without gaps.
//!
//! `tests/c/layouts.cpp` checks the header against the recorded offsets; the test below checks that
//! these structures and that header are the same.

use std::ffi::{c_char, c_double, c_float, c_int, c_uchar, c_void};

use crate::reader::SETTINGS_WORDS;

/// The settings. Every field is a number of four bytes, so one array holds all of them.
#[repr(C, packed)]
pub struct PublicRuntimeSettings {
    pub(super) words: [c_int; SETTINGS_WORDS],
}

/// The results of one decode call.
#[repr(C, packed)]
pub struct TextResultArray {
    pub(super) resultsCount: c_int,
    pub(super) results: *mut *mut TextResult,
}

/// A barcode.
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
    pub(super) detailedResult: *const c_void,
    pub(super) resultsCount: c_int,
    pub(super) results: *mut *mut ExtendedResult,
    pub(super) exception: *const c_char,
    pub(super) isDPM: c_int,
    pub(super) isMirrored: c_int,
    pub(super) reserved: [c_char; 44],
}

/// More facts of a barcode.
#[repr(C, packed)]
pub struct ExtendedResult {
    pub(super) resultType: c_int,
    pub(super) barcodeFormat: c_int,
    pub(super) barcodeFormatString: *const c_char,
    pub(super) barcodeFormat_2: c_int,
    pub(super) barcodeFormatString_2: *const c_char,
    pub(super) confidence: c_int,
    pub(super) bytes: *const c_uchar,
    pub(super) bytesLength: c_int,
    pub(super) accompanyingTextBytes: *const c_char,
    pub(super) accompanyingTextBytesLength: c_int,
    pub(super) deformation: c_int,
    pub(super) detailedResult: *const c_void,
    pub(super) samplingImage: SamplingImageData,
    pub(super) clarity: c_int,
    pub(super) reserved: [c_char; 40],
}

/// A part of a picture.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct SamplingImageData {
    pub(super) bytes: *const c_uchar,
    pub(super) width: c_int,
    pub(super) height: c_int,
}

/// The place of a barcode, in the layout of DBR 9.6. The layout of 8.x begins in the same way, and
/// the rest of it is reserved.
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
    pub(super) transformationMatrix: [c_double; 9],
    pub(super) reserved: [c_char; 52],
}

/// Details of linear symbols.
#[repr(C, packed)]
pub struct OneDCodeDetails {
    pub(super) moduleSize: c_int,
    pub(super) startCharsBytes: *const c_uchar,
    pub(super) startCharsBytesLength: c_int,
    pub(super) stopCharsBytes: *const c_uchar,
    pub(super) stopCharsBytesLength: c_int,
    pub(super) checkDigitBytes: *const c_uchar,
    pub(super) checkDigitBytesLength: c_int,
    pub(super) startPatternRange: [c_float; 2],
    pub(super) middlePatternRange: [c_float; 2],
    pub(super) endPatternRange: [c_float; 2],
    pub(super) reserved: [c_char; 8],
}

/// Details of QR codes.
#[repr(C, packed)]
pub struct QRCodeDetails {
    pub(super) moduleSize: c_int,
    pub(super) rows: c_int,
    pub(super) columns: c_int,
    pub(super) errorCorrectionLevel: c_int,
    pub(super) version: c_int,
    pub(super) model: c_int,
    pub(super) mode: c_int,
    pub(super) page: c_int,
    pub(super) totalPage: c_int,
    pub(super) parityData: c_uchar,
    pub(super) reserved: [c_char; 16],
}

/// Details of PDF417, and under other names of Aztec: four numbers.
#[repr(C, packed)]
pub struct FourNumbers {
    pub(super) numbers: [c_int; 4],
    pub(super) reserved: [c_char; 32],
}

/// Details of Data Matrix.
#[repr(C, packed)]
pub struct DataMatrixDetails {
    pub(super) moduleSize: c_int,
    pub(super) rows: c_int,
    pub(super) columns: c_int,
    pub(super) dataRegionRows: c_int,
    pub(super) dataRegionColumns: c_int,
    pub(super) dataRegionNumber: c_int,
    pub(super) reserved: [c_char; 32],
}

/// The parameters of frame decoding.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct FrameDecodingParameters {
    pub(super) maxQueueLength: c_int,
    pub(super) maxResultQueueLength: c_int,
    pub(super) width: c_int,
    pub(super) height: c_int,
    pub(super) stride: c_int,
    pub(super) imagePixelFormat: c_int,
    /// Top, left, right, bottom, and whether they are in percent.
    pub(super) region: [c_int; 5],
    pub(super) threshold: c_float,
    pub(super) fps: c_int,
    pub(super) autoFilter: c_int,
    pub(super) clarityCalculationMethod: c_int,
    pub(super) clarityFilterMode: c_int,
    /// The forget time in DBR 9.6, in the first of the reserved bytes.
    pub(super) duplicateForgetTime: c_int,
    pub(super) reserved: [c_char; 16],
}

/// A picture in memory, in the layout of DBR 9.6. The layout of 8.x ends before the orientation,
/// and its header adds a 0.
#[repr(C, packed)]
pub struct ImageData {
    pub(super) bytesLength: c_int,
    pub(super) bytes: *const c_uchar,
    pub(super) width: c_int,
    pub(super) height: c_int,
    pub(super) stride: c_int,
    pub(super) format: c_int,
    pub(super) orientation: c_int,
}

/// An intermediate result.
#[repr(C, packed)]
pub struct IntermediateResult {
    pub(super) resultsCount: c_int,
    pub(super) results: *const *const c_void,
    pub(super) dataType: c_int,
    pub(super) resultType: c_int,
    /// Modes with their indexes: complement, deformation, DPM.
    pub(super) modes: [c_int; 6],
    pub(super) rotationMatrix: [c_double; 9],
    /// Modes with their indexes: text filter, localization, binarization, preprocessing.
    pub(super) further_modes: [c_int; 8],
    pub(super) roiId: c_int,
    /// Modes with their indexes: predetection, transformation, conversion, clustering.
    pub(super) last_modes: [c_int; 8],
    pub(super) scaleDownRatio: c_int,
    pub(super) frameId: c_int,
    pub(super) rpmColorArgumentIndex: c_int,
    pub(super) reserved: [c_char; 60],
}

/// An array of intermediate results.
#[repr(C, packed)]
pub struct IntermediateResultArray {
    pub(super) resultsCount: c_int,
    pub(super) results: *mut *mut IntermediateResult,
}

/// The state of the instance pool.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct InstancePoolStatus {
    pub(super) authorizedInstancesCount: c_int,
    pub(super) remainingInstancesCount: c_int,
    pub(super) waitingCreationInstances: c_int,
    pub(super) totalWaitOccurrences: c_int,
}

/// A point in pixels.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug)]
pub struct DBRPoint {
    pub(super) x: c_int,
    pub(super) y: c_int,
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn structures_have_the_recorded_size() {
        assert_eq!(size_of::<PublicRuntimeSettings>(), 712);
        assert_eq!(size_of::<TextResultArray>(), 12);
        assert_eq!(size_of::<TextResult>(), 132);
        assert_eq!(size_of::<ExtendedResult>(), 128);
        assert_eq!(size_of::<LocalizationResult>(), 232);
        assert_eq!(size_of::<OneDCodeDetails>(), 72);
        assert_eq!(size_of::<QRCodeDetails>(), 53);
        assert_eq!(size_of::<FourNumbers>(), 48);
        assert_eq!(size_of::<DataMatrixDetails>(), 56);
        assert_eq!(size_of::<FrameDecodingParameters>(), 84);
        assert_eq!(size_of::<ImageData>(), 32);
        assert_eq!(size_of::<IntermediateResult>(), 256);
        assert_eq!(size_of::<IntermediateResultArray>(), 12);
        assert_eq!(size_of::<crate::capi::license::DM_DLSConnectionParameters>(), 128);
    }

    #[test]
    fn fields_are_at_the_recorded_places() {
        assert_eq!(offset_of!(TextResult, barcodeText), 24);
        assert_eq!(offset_of!(TextResult, localizationResult), 44);
        assert_eq!(offset_of!(TextResult, exception), 72);
        assert_eq!(offset_of!(TextResult, reserved), 88);
        assert_eq!(offset_of!(ExtendedResult, bytes), 32);
        assert_eq!(offset_of!(ExtendedResult, detailedResult), 60);
        assert_eq!(offset_of!(ExtendedResult, clarity), 84);
        assert_eq!(offset_of!(LocalizationResult, corners), 28);
        assert_eq!(offset_of!(LocalizationResult, regionName), 72);
        assert_eq!(offset_of!(LocalizationResult, confidence), 104);
        assert_eq!(offset_of!(LocalizationResult, transformationMatrix), 108);
        assert_eq!(offset_of!(ImageData, orientation), 28);
        assert_eq!(offset_of!(OneDCodeDetails, reserved), 64);
        assert_eq!(offset_of!(QRCodeDetails, parityData), 36);
        assert_eq!(offset_of!(FrameDecodingParameters, threshold), 44);
        assert_eq!(offset_of!(FrameDecodingParameters, duplicateForgetTime), 64);
        assert_eq!(offset_of!(IntermediateResult, reserved), 196);
    }
}
