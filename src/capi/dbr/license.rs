//! Licensing: the functions of `seatmeter.h` under the names of the DBR API.

use std::ffi::{c_char, c_int, c_void};

use seatmeter_protocol::error_code::ErrorCode;

use super::{enter, give_string, needed_text};
use crate::capi::enter_with;
use crate::capi::license::{
    DM_DLSConnectionParameters, GetIdleInstancesCount, InitDLSConnectionParameters,
    InitLicenseFromDLS, SM_SetDeviceFriendlyName, SM_SetStateDirectory,
};
use crate::capi::memories;
use crate::capi::text::MessageBuffer;
use crate::error::{Error, Result};
use crate::reader::license_with_key;
use crate::runtime::runtime;

/// Call `InitDLSConnectionParameters`.
///
/// # Safety
/// The rules of that function apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitDLSConnectionParameters(
    parameters: *mut DM_DLSConnectionParameters,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { InitDLSConnectionParameters(parameters) }
}

/// Call `InitDLSConnectionParameters`.
///
/// # Safety
/// The rules of that function apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitLTSConnectionParameters(
    parameters: *mut DM_DLSConnectionParameters,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { InitDLSConnectionParameters(parameters) }
}

/// Call `InitLicenseFromDLS`.
///
/// # Safety
/// The rules of that function apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitLicenseFromDLS(
    parameters: *mut DM_DLSConnectionParameters,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { InitLicenseFromDLS(parameters, errorMsgBuffer, errorMsgBufferLen) }
}

/// Call `InitLicenseFromDLS`.
///
/// # Safety
/// The rules of that function apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitLicenseFromLTS(
    parameters: *mut DM_DLSConnectionParameters,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { InitLicenseFromDLS(parameters, errorMsgBuffer, errorMsgBufferLen) }
}

/// Call `GetIdleInstancesCount`.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetIdleInstancesCount() -> c_int {
    GetIdleInstancesCount()
}

/// Get this process licensed with only a key. One function serves two prototypes.
///
/// | API | first | second | third |
/// |---|---|---|---|
/// | 8.x | a reader, also one that was destroyed, or NULL | the key | nothing: the register has any value |
/// | 9.x | the key | a buffer for a message, or NULL | its length |
///
/// Readers are recognized by their address, without access to the memory there. The second argument
/// is written to, and the third one is used, only if the first argument is no reader.
///
/// # Safety
/// The arguments fit one of the two prototypes: texts are NUL-terminated, and the buffer is valid
/// for writes of its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitLicense(
    first: *mut c_void,
    second: *mut c_char,
    third: c_int,
) -> c_int {
    if first.is_null() || memories::is_known(first.cast()) {
        // SAFETY: the caller's promise for the prototype of 8.x.
        return enter(|| unsafe { license(second, c"".as_ptr()) });
    }
    // SAFETY: the caller's promise for the prototype of 9.x.
    let buffer = unsafe { MessageBuffer::new(second, usize::try_from(third).unwrap_or(0)) };
    // SAFETY: as above.
    enter_with(|| unsafe { license(first.cast(), c"".as_ptr()) }, |message| buffer.write(message))
}

/// Get this process licensed with a key, from this server.
///
/// # Safety
/// The strings are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitLicenseFromServer(
    _barcodeReader: *mut c_void,
    pLicenseServer: *const c_char,
    pLicenseKey: *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    enter(|| unsafe { license(pLicenseKey, pLicenseServer) })
}

/// # Safety
/// The strings are NULL or NUL-terminated.
unsafe fn license(key: *const c_char, server: *const c_char) -> Result<()> {
    // SAFETY: the caller's promise.
    let (key, server) =
        unsafe { (needed_text("the key", key)?, needed_text("the server", server)?) };
    // SAFETY: the strings of the defaults are static.
    let defaults = unsafe { DM_DLSConnectionParameters::default().copy() }?;
    license_with_key(&key, &server, &defaults)
}

/// Refuse: a license cannot be set as a text.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_InitLicenseFromLicenseContent(
    _barcodeReader: *mut c_void,
    _pLicenseKey: *const c_char,
    _pLicenseContent: *const c_char,
) -> c_int {
    enter(|| Err(no_content()))
}

/// Refuse: a license cannot be written as a text.
///
/// # Safety
/// `content` is NULL or valid for writes of `contentLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_OutputLicenseToString(
    _barcodeReader: *mut c_void,
    content: *mut c_char,
    contentLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(content, usize::try_from(contentLen).unwrap_or(0)) };
    enter(|| {
        buffer.write("");
        Err(no_content())
    })
}

/// Refuse: a license cannot be written as a text.
///
/// # Safety
/// `content` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_OutputLicenseToStringPtr(
    _barcodeReader: *mut c_void,
    content: *mut *mut c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    enter(|| unsafe { give_string(content, || Err(no_content())) })
}

/// Free a string of this library.
///
/// # Safety
/// The rules of `DBR_FreeString` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_FreeLicenseString(content: *mut *mut c_char) {
    // SAFETY: the caller's promise.
    unsafe { super::DBR_FreeString(content) }
}

/// Call `SM_SetDeviceFriendlyName`.
///
/// # Safety
/// The rules of that function apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_SetDeviceFriendlyName(name: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { SM_SetDeviceFriendlyName(name) }
}

/// Call `SM_SetStateDirectory`.
///
/// # Safety
/// The rules of that function apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_SetLicenseCachePath(directoryPath: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { SM_SetStateDirectory(directoryPath) }
}

/// Get the client UUID of this device.
///
/// # Safety
/// `uuid` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetDeviceUUID(
    uuidGenerationMethod: c_int,
    uuid: *mut *mut c_char,
) -> c_int {
    let device_uuid = || {
        if !matches!(uuidGenerationMethod, 1 | 2) {
            let message = format!(
                "uuidGenerationMethod {uuidGenerationMethod} is not 1 (random) or 2 (hardware)"
            );
            return Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message));
        }
        Ok(runtime().device_uuid()?.to_string())
    };
    // SAFETY: the caller's promise.
    enter(|| unsafe { give_string(uuid, device_uuid) })
}

fn no_content() -> Error {
    let message = "a license is what the server signs for this device, and is kept there: use \
        InitLicenseFromDLS";
    Error::new(ErrorCode::LICENSE_INTERFACE_CONFLICT, message)
}
