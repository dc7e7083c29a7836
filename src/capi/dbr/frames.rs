//! The decoding of a sequence's frames, with callbacks.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::sync::Arc;

use seatmeter_protocol::error_code::ErrorCode;

use super::layout::{FrameDecodingParameters, TextResultArray};
use super::{bytes_from_c, enter, null_pointer, reader_from_c, results};
use crate::capi::enter_or;
use crate::capi::text::text_from_c;
use crate::error::Result;
use crate::reader::{FORGET_MS_MAX, FrameOptions, Listeners, OnResults, PixelLayout};

/// A callback that gets an error of a frame.
pub type CB_Error = Option<unsafe extern "C" fn(c_int, c_int, *mut c_void)>;

/// A callback that gets the barcodes of a frame.
pub type CB_TextResult = Option<unsafe extern "C" fn(c_int, *mut TextResultArray, *mut c_void)>;

/// The bytes at the end of default parameters. They show that the forget time was set, even if it
/// is 0. A program that fills the structure by itself may have any bytes there.
const SET_BY_DEFAULTS: [c_char; 4] = [0x53, 0x4d, 0x46, 0x54];

/// The pointer that a callback gets back. It belongs to the program, and any thread may pass it.
struct User(*mut c_void);

// SAFETY: the pointer is not followed here; the API promises the program to hand it to the callback
// on another thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    fn pointer(&self) -> *mut c_void {
        self.0
    }
}

/// Set every field to its default.
///
/// # Safety
/// `pParameters` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitFrameDecodingParameters(
    _barcodeReader: *mut c_void,
    pParameters: *mut FrameDecodingParameters,
) -> c_int {
    enter(|| {
        if pParameters.is_null() {
            return Err(null_pointer("the place for the parameters"));
        }
        // SAFETY: not NULL, and valid for writes by the caller's promise.
        unsafe { pParameters.write_unaligned(FrameDecodingParameters::default()) };
        Ok(())
    })
}

impl Default for FrameDecodingParameters {
    fn default() -> Self {
        let mut reserved = [0; 16];
        reserved[12..].copy_from_slice(&SET_BY_DEFAULTS);
        Self {
            maxQueueLength: 3,
            maxResultQueueLength: 10,
            width: 0,
            height: 0,
            stride: 0,
            imagePixelFormat: 2,
            region: [0, 0, 100, 100, 1],
            threshold: 0.01,
            fps: 0,
            autoFilter: 1,
            clarityCalculationMethod: 1,
            clarityFilterMode: 1,
            duplicateForgetTime: 3000,
            reserved,
        }
    }
}

impl FrameDecodingParameters {
    fn forget_ms(&self) -> Option<c_int> {
        let is_set = self.reserved[12..] == SET_BY_DEFAULTS;
        let may_be_set = u32::try_from(self.duplicateForgetTime)
            .is_ok_and(|ms| (1..=FORGET_MS_MAX).contains(&ms));
        (is_set || may_be_set).then_some(self.duplicateForgetTime)
    }
}

/// Start to decode frames.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`, and destroyed by the functions for that;
/// `pTemplateName` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_StartFrameDecoding(
    barcodeReader: *mut c_void,
    maxQueueLength: c_int,
    _maxResultQueueLength: c_int,
    width: c_int,
    height: c_int,
    stride: c_int,
    format: c_int,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        let layout = PixelLayout::new(width, height, stride, format)?;
        let options = FrameOptions { queue_length: maxQueueLength, layout, forget_ms: None };
        // SAFETY: the caller's promise; `DBR_DestroyInstance` stops the frames before it frees the
        // reader.
        unsafe { reader_from_c(barcodeReader)?.start_frames(&options, &text_from_c(pTemplateName)) }
    })
}

/// Start to decode frames.
///
/// # Safety
/// The rules of `DBR_StartFrameDecoding` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_StartFrameDecodingEx(
    barcodeReader: *mut c_void,
    parameters: FrameDecodingParameters,
    pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        let p = parameters;
        let layout = PixelLayout::new(p.width, p.height, p.stride, p.imagePixelFormat)?;
        let options =
            FrameOptions { queue_length: p.maxQueueLength, layout, forget_ms: p.forget_ms() };
        // SAFETY: the caller's promise; `DBR_DestroyInstance` stops the frames before it frees the
        // reader.
        unsafe { reader_from_c(barcodeReader)?.start_frames(&options, &text_from_c(pTemplateName)) }
    })
}

/// Append a frame; return its number, or an error.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `pBufferBytes` is NULL or valid for reads
/// of a frame.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_AppendFrame(
    barcodeReader: *mut c_void,
    pBufferBytes: *const c_uchar,
) -> c_int {
    let append = || {
        // SAFETY: the caller's promise.
        let reader = unsafe { reader_from_c(barcodeReader) }?;
        // SAFETY: the caller's promise.
        let bytes =
            unsafe { bytes_from_c("the frame", pBufferBytes, reader.frame_layout()?.bytes()) }?;
        reader.append_frame(bytes)
    };
    enter_or(ErrorCode::UNKNOWN.0, || Ok(append().unwrap_or_else(|e| e.code.0)))
}

/// Return the number of frames that wait.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetLengthOfFrameQueue(barcodeReader: *mut c_void) -> c_int {
    enter_or(0, || {
        // SAFETY: the caller's promise.
        let waiting = unsafe { reader_from_c(barcodeReader) }?.waiting_frames();
        Ok(c_int::try_from(waiting).unwrap_or(c_int::MAX))
    })
}

/// Stop decoding frames.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_StopFrameDecoding(barcodeReader: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    enter(|| unsafe { reader_from_c(barcodeReader) }?.stop_frames())
}

/// Set a listener of frames.
///
/// # Safety
/// `reader` is NULL or from `DBR_CreateInstance`.
unsafe fn listen(reader: *mut c_void, choose: impl FnOnce(&mut Listeners)) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { reader_from_c(reader) }?.listen(choose)
}

/// Set the callback for errors; NULL for none.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; the callback can be called from another
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_SetErrorCallback(
    barcodeReader: *mut c_void,
    cbFunction: CB_Error,
    pUser: *mut c_void,
) -> c_int {
    let user = User(pUser);
    enter(|| {
        let errors: Option<crate::reader::OnError> = cbFunction.map(|callback| {
            // SAFETY: the program's promise when it gave the callback.
            let call =
                move |frame, code: ErrorCode| unsafe { callback(frame, code.0, user.pointer()) };
            Arc::new(call) as _
        });
        // SAFETY: the caller's promise.
        unsafe { listen(barcodeReader, |listeners| listeners.errors = errors) }
    })
}

fn on_results(callback: CB_TextResult, user: User) -> Option<OnResults> {
    let callback = callback?;
    // The callback owns the results from here on.
    Some(Arc::new(move |frame, outcome| {
        // SAFETY: the program's promise when it gave the callback.
        unsafe { callback(frame, results::into_c(outcome), user.pointer()) }
    }))
}

/// Set the callback for the barcodes of each frame; NULL for none.
///
/// # Safety
/// The rules of `DBR_SetErrorCallback` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_SetTextResultCallback(
    barcodeReader: *mut c_void,
    cbFunction: CB_TextResult,
    pUser: *mut c_void,
) -> c_int {
    let callback = on_results(cbFunction, User(pUser));
    // SAFETY: the caller's promise.
    enter(|| unsafe { listen(barcodeReader, |listeners| listeners.results = callback) })
}

/// Set the callback for barcodes that are new; NULL for none.
///
/// # Safety
/// The rules of `DBR_SetErrorCallback` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_SetUniqueBarcodeCallback(
    barcodeReader: *mut c_void,
    cbFunction: CB_TextResult,
    pUser: *mut c_void,
) -> c_int {
    let callback = on_results(cbFunction, User(pUser));
    // SAFETY: the caller's promise.
    enter(|| unsafe { listen(barcodeReader, |listeners| listeners.unique = callback) })
}
