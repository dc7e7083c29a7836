//! The intermediate results, of which this library has none, and the transformation of points.

use std::ffi::{c_char, c_double, c_int, c_void};
use std::ptr;

use super::layout::{DBRPoint, IntermediateResult, IntermediateResultArray};
use super::{enter, give_pointer, null_pointer, reader_from_c};
use crate::capi::enter_or;
use crate::error::Error;
use crate::reader::reading_error::{INTERMEDIATE_RESULTS_MISSING, explained};

/// A callback that gets an intermediate result.
pub type CB_IntermediateResult =
    Option<unsafe extern "C" fn(c_int, *mut IntermediateResultArray, *mut c_void)>;

fn missing() -> Error {
    explained(INTERMEDIATE_RESULTS_MISSING)
}

/// Set the defaults of an intermediate result.
///
/// # Safety
/// `pIntermediateResult` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitIntermediateResult(
    intermediateResultType: c_int,
    pIntermediateResult: *mut IntermediateResult,
) -> c_int {
    enter(|| {
        if pIntermediateResult.is_null() {
            return Err(null_pointer("the place for the result"));
        }
        // SAFETY: not NULL, and valid for writes by the caller's promise.
        unsafe {
            pIntermediateResult.write_unaligned(IntermediateResult::of_type(intermediateResultType))
        };
        Ok(())
    })
}

impl IntermediateResult {
    fn of_type(result_type: c_int) -> Self {
        // Contours, line segments, places, regions and quadrilaterals have types of their own; the
        // other results are pictures.
        let data_type = match result_type {
            0x100 => 0x02,
            0x200 => 0x04,
            0x80 | 0x1000 => 0x08,
            0x10 => 0x10,
            0x2000 => 0x20,
            _ => 0x01,
        };
        Self {
            resultsCount: 0,
            results: ptr::null(),
            dataType: data_type,
            resultType: result_type,
            modes: [0, -1, 0, -1, 0, -1],
            rotationMatrix: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            further_modes: [0, -1, 0, -1, 0, -1, 0, -1],
            roiId: -1,
            last_modes: [0, -1, 0, -1, 0, -1, 0, -1],
            scaleDownRatio: 1,
            frameId: -1,
            rpmColorArgumentIndex: -1,
            reserved: [0; 60],
        }
    }
}

/// Refuse: there is nothing to decode from.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_DecodeIntermediateResults(
    _barcodeReader: *mut c_void,
    _pIntermediateResultArray: *const IntermediateResultArray,
    _pTemplateName: *const c_char,
) -> c_int {
    enter(|| Err(missing()))
}

/// Give an empty array, because there are no such results; give NULL if the settings ask for some.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `pResult` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetIntermediateResults(
    barcodeReader: *mut c_void,
    pResult: *mut *mut IntermediateResultArray,
) -> c_int {
    let make = || {
        // SAFETY: the caller's promise.
        let reader = unsafe { reader_from_c(barcodeReader) }?;
        if reader.with_profiles(|p| p.current().settings().wants_intermediate_results()) {
            return Err(missing());
        }
        Ok(Box::into_raw(Box::new(IntermediateResultArray {
            resultsCount: 0,
            results: ptr::null_mut(),
        })))
    };
    // SAFETY: the caller's promise.
    enter(|| unsafe { give_pointer("the place for the results", pResult, make) })
}

/// Free results and set the caller's pointer to NULL.
///
/// # Safety
/// `pResults` is NULL or points to NULL or to an array of this library that is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_FreeIntermediateResults(pResults: *mut *mut IntermediateResultArray) {
    enter_or((), || {
        if !pResults.is_null() {
            // SAFETY: the caller's promise.
            let array = unsafe { pResults.replace(ptr::null_mut()) };
            if !array.is_null() {
                // SAFETY: from `Box::into_raw` in `DBR_GetIntermediateResults`.
                drop(unsafe { Box::from_raw(array) });
            }
        }
        Ok(())
    });
}

/// Refuse: the callback would never be called.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_SetIntermediateResultCallback(
    _barcodeReader: *mut c_void,
    _cbFunction: CB_IntermediateResult,
    _pUser: *mut c_void,
) -> c_int {
    enter(|| Err(missing()))
}

/// Compute the place of a point under a matrix.
///
/// # Safety
/// `transformationMatrix` is NULL or valid for reads of nine numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_TransformCoordinates(
    originalPoint: DBRPoint,
    transformationMatrix: *const c_double,
) -> DBRPoint {
    enter_or(originalPoint, || {
        if transformationMatrix.is_null() {
            return Err(null_pointer("the matrix"));
        }
        // SAFETY: not NULL, and nine numbers by the caller's promise.
        let matrix = unsafe { transformationMatrix.cast::<[c_double; 9]>().read_unaligned() };
        Ok(originalPoint.transformed(&matrix))
    })
}

impl DBRPoint {
    /// Return the transformed point. A matrix without a finite result leaves the point where it is.
    fn transformed(self, matrix: &[c_double; 9]) -> Self {
        let (x, y) = (f64::from(self.x), f64::from(self.y));
        let row = |i: usize| matrix[i] * x + matrix[i + 1] * y + matrix[i + 2];
        let (x, y) = (row(0) / row(6), row(3) / row(6));
        if !x.is_finite() || !y.is_finite() {
            return self;
        }
        // A value out of range becomes the nearest number.
        Self { x: x.round() as c_int, y: y.round() as c_int }
    }
}
