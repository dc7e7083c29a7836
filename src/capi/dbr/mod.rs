//! The functions of `include/dbr/`: the C API of DBR 8.x over the same readers.
//!
//! The headers of that API are written by hand; a test compares names and layouts.

pub mod layout;
mod results;

use std::ffi::{c_char, c_int, c_void};

use super::license::{
    DM_DLSConnectionParameters, GetIdleInstancesCount, InitDLSConnectionParameters, InitLicenseFromDLS,
};
use super::reader::SM_Reader;
use super::spare;
use super::text::path_from_c;
use super::{enter, enter_or, null_pointer};
use crate::reader::{Hold, Reader};
use crate::runtime::runtime;
use layout::TextResultArray;

/// As `InitDLSConnectionParameters`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitDLSConnectionParameters(
    parameters: *mut DM_DLSConnectionParameters,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { InitDLSConnectionParameters(parameters) }
}

/// As `InitLicenseFromDLS`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitLicenseFromDLS(
    parameters: *mut DM_DLSConnectionParameters,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { InitLicenseFromDLS(parameters, errorMsgBuffer, errorMsgBufferLen) }
}

/// As `GetIdleInstancesCount`.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetIdleInstancesCount() -> c_int {
    GetIdleInstancesCount()
}

/// What an error number means.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetErrorString(errorCode: c_int) -> *const c_char {
    super::information::SM_GetErrorString(errorCode)
}

/// The version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetVersion() -> *const c_char {
    super::information::SM_GetVersion()
}

/// A reader in any case, as C++ `new` needs one: without a licence or seat its decode calls say why.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_CreateInstance() -> *mut c_void {
    enter_or(std::ptr::null_mut(), || {
        let mut reader = spare::vacant();
        if let Ok(hold) = Hold::take() {
            reader.0.occupy(hold);
        }
        Ok(Box::into_raw(reader).cast())
    })
}

/// Gives the seat back and frees the reader. NULL does nothing.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DestroyInstance(barcodeReader: *mut c_void) {
    enter_or((), || {
        if !barcodeReader.is_null() {
            // SAFETY: made by `Box::into_raw` in `DBR_CreateInstance`, and given up by the caller.
            spare::end(unsafe { Box::from_raw(barcodeReader.cast::<SM_Reader>()) });
        }
        Ok(())
    });
}

/// A reader from the instance pool, with its seat, to be given back with `DBR_RecycleInstance`. Waits as long as
/// `DBR_SetMaxConcurrentInstanceCount` said; NULL when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetInstance() -> *mut c_void {
    enter_or(std::ptr::null_mut(), || {
        Ok(Box::into_raw(Box::new(SM_Reader(Reader::of_instance_pool()?))).cast())
    })
}

/// Gives a reader back to the instance pool.
///
/// # Safety
/// As `DBR_DestroyInstance`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_RecycleInstance(barcodeReader: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { DBR_DestroyInstance(barcodeReader) }
}

/// Settings of the instance pool: seats of the device, asked for at the next initialisation; instances of this
/// process, 0 for no limit of its own; milliseconds to wait for one.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_SetMaxConcurrentInstanceCount(
    countForThisDevice: c_int,
    countForThisProcess: c_int,
    timeOut: c_int,
) -> c_int {
    enter(|| runtime().instances().set(countForThisDevice, countForThisProcess, timeOut))
}

/// Decodes an image file and counts its barcodes.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; the strings are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DecodeFile(
    barcodeReader: *mut c_void,
    pFileName: *const c_char,
    _pTemplateName: *const c_char,
) -> c_int {
    enter(|| {
        // SAFETY: the caller's promise.
        let reader = unsafe { reader_from_c(barcodeReader) }?;
        if pFileName.is_null() {
            return Err(null_pointer("the file name"));
        }
        // SAFETY: not NULL, and NUL-terminated by the caller's promise.
        reader.decode_file(&unsafe { path_from_c(pFileName) })
    })
}

/// Gives the results of the last decode call, to be freed with `DBR_FreeTextResults`: an array also when
/// there are none.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `pResults` is NULL or good for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetAllTextResults(
    barcodeReader: *mut c_void,
    pResults: *mut *mut TextResultArray,
) -> c_int {
    enter(|| {
        if pResults.is_null() {
            return Err(null_pointer("the place for the results"));
        }
        // SAFETY: the caller's promise.
        let reader = unsafe { reader_from_c(barcodeReader) };
        let outcome = reader.as_ref().map(|reader| reader.outcome()).unwrap_or_default();
        // SAFETY: not NULL, and good for writes by the caller's promise.
        unsafe { pResults.write(results::into_c(&outcome)) };
        reader.map(|_| ())
    })
}

/// Frees results and sets the caller's pointer to NULL. NULL, or a pointer to NULL, does nothing.
///
/// # Safety
/// `pResults` is NULL or points to NULL or to an array from `DBR_GetAllTextResults` that is not used
/// afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_FreeTextResults(pResults: *mut *mut TextResultArray) {
    enter_or((), || {
        if !pResults.is_null() {
            // SAFETY: the caller's promise.
            unsafe { results::free(pResults.replace(std::ptr::null_mut())) };
        }
        Ok(())
    });
}

/// # Safety
/// `reader` is NULL or from `DBR_CreateInstance`.
unsafe fn reader_from_c<'a>(reader: *mut c_void) -> crate::error::Result<&'a Reader> {
    // SAFETY: the caller's promise.
    let reader = unsafe { reader.cast::<SM_Reader>().as_ref() };
    reader.map(|reader| &reader.0).ok_or_else(|| null_pointer("the reader"))
}
