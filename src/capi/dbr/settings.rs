//! Settings, templates and arguments of modes.

use std::ffi::{c_char, c_int, c_void};

use seatmeter_protocol::error_code::ErrorCode;

use super::layout::PublicRuntimeSettings;
use super::{enter, give_string, needed_text, null_pointer, reader_from_c};
use crate::capi::text::{MessageBuffer, path_from_c, text_from_c};
use crate::capi::{enter_or, enter_with};
use crate::error::{Error, Result};
use crate::files::write_named_file;
use crate::reader::reading_error::GET_MODE_ARGUMENT_ERROR;
use crate::reader::{Conflict, Profiles, read_file, text_of_file};

/// Call `change` with the settings of a reader.
///
/// # Safety
/// `reader` is NULL or from `DBR_CreateInstance`.
unsafe fn with_profiles<T>(
    reader: *mut c_void,
    change: impl FnOnce(&mut Profiles) -> T,
) -> Result<T> {
    // SAFETY: the caller's promise.
    Ok(unsafe { reader_from_c(reader) }?.with_profiles(change))
}

/// # Safety
/// `buffer` is NULL or valid for writes of `length` bytes as long as this is in use.
unsafe fn message_buffer(buffer: *mut c_char, length: c_int) -> MessageBuffer {
    // SAFETY: the caller's promise.
    unsafe { MessageBuffer::new(buffer, usize::try_from(length).unwrap_or(0)) }
}

/// Get the settings in use.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `pSettings` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetRuntimeSettings(
    barcodeReader: *mut c_void,
    pSettings: *mut PublicRuntimeSettings,
) -> c_int {
    enter(|| {
        if pSettings.is_null() {
            return Err(null_pointer("the place for the settings"));
        }
        // SAFETY: the caller's promise.
        let words = unsafe { with_profiles(barcodeReader, |p| *p.current().settings().words()) }?;
        // SAFETY: not NULL, and valid for writes by the caller's promise.
        unsafe { pSettings.write_unaligned(PublicRuntimeSettings { words }) };
        Ok(())
    })
}

/// Change the settings in use.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `pSettings` is NULL or valid;
/// `errorMsgBuffer` is NULL or valid for writes of `errorMsgBufferLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_UpdateRuntimeSettings(
    barcodeReader: *mut c_void,
    pSettings: *const PublicRuntimeSettings,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { message_buffer(errorMsgBuffer, errorMsgBufferLen) };
    let body = || {
        if pSettings.is_null() {
            return Err(null_pointer("the settings"));
        }
        // SAFETY: not NULL, and valid by the caller's promise.
        let words = unsafe { pSettings.read_unaligned() }.words;
        // SAFETY: the caller's promise.
        unsafe { with_profiles(barcodeReader, |profiles| profiles.current_mut().update(words)) }?
    };
    enter_with(body, |message| buffer.write(message))
}

/// Restore the state of a new reader.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_ResetRuntimeSettings(barcodeReader: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    enter(|| unsafe { with_profiles(barcodeReader, Profiles::reset) })
}

/// The method that takes a text of templates: `Profiles::initialize` or `Profiles::append`.
type Take = fn(&mut Profiles, &str, Conflict) -> Result<()>;

/// # Safety
/// The rules of `DBR_UpdateRuntimeSettings` apply; `content` is NULL or NUL-terminated.
unsafe fn take_text(
    take: Take,
    reader: *mut c_void,
    content: *const c_char,
    conflict: c_int,
    buffer: &MessageBuffer,
) -> c_int {
    let body = || {
        // SAFETY: the caller's promise.
        let text = unsafe { needed_text("the text", content) }?;
        let conflict = Conflict::from_number(conflict)?;
        // SAFETY: the caller's promise.
        unsafe { with_profiles(reader, |profiles| take(profiles, &text, conflict)) }?
    };
    enter_with(body, |message| buffer.write(message))
}

/// # Safety
/// The rules of [`take_text`] apply.
unsafe fn take_file(
    take: Take,
    reader: *mut c_void,
    path: *const c_char,
    conflict: c_int,
    buffer: &MessageBuffer,
) -> c_int {
    let body = || {
        if path.is_null() {
            return Err(null_pointer("the path"));
        }
        // SAFETY: not NULL, and NUL-terminated by the caller's promise.
        let bytes = read_file(&unsafe { path_from_c(path) })?;
        let text = text_of_file(&bytes);
        let conflict = Conflict::from_number(conflict)?;
        // SAFETY: the caller's promise.
        unsafe { with_profiles(reader, |profiles| take(profiles, &text, conflict)) }?
    };
    enter_with(body, |message| buffer.write(message))
}

/// Replace everything with the templates of a file.
///
/// # Safety
/// The rules of `DBR_UpdateRuntimeSettings` apply; `pFilePath` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitRuntimeSettingsWithFile(
    barcodeReader: *mut c_void,
    pFilePath: *const c_char,
    conflictMode: c_int,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let buffer = message_buffer(errorMsgBuffer, errorMsgBufferLen);
        take_file(Profiles::initialize, barcodeReader, pFilePath, conflictMode, &buffer)
    }
}

/// Replace everything with the templates of a text.
///
/// # Safety
/// The rules of `DBR_InitRuntimeSettingsWithFile` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_InitRuntimeSettingsWithString(
    barcodeReader: *mut c_void,
    content: *const c_char,
    conflictMode: c_int,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let buffer = message_buffer(errorMsgBuffer, errorMsgBufferLen);
        take_text(Profiles::initialize, barcodeReader, content, conflictMode, &buffer)
    }
}

/// Add the templates of a file.
///
/// # Safety
/// The rules of `DBR_InitRuntimeSettingsWithFile` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_AppendTplFileToRuntimeSettings(
    barcodeReader: *mut c_void,
    pFilePath: *const c_char,
    conflictMode: c_int,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let buffer = message_buffer(errorMsgBuffer, errorMsgBufferLen);
        take_file(Profiles::append, barcodeReader, pFilePath, conflictMode, &buffer)
    }
}

/// Add the templates of a text.
///
/// # Safety
/// The rules of `DBR_InitRuntimeSettingsWithFile` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_AppendTplStringToRuntimeSettings(
    barcodeReader: *mut c_void,
    content: *const c_char,
    conflictMode: c_int,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let buffer = message_buffer(errorMsgBuffer, errorMsgBufferLen);
        take_text(Profiles::append, barcodeReader, content, conflictMode, &buffer)
    }
}

/// Return the number of templates; -1 for NULL.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetParameterTemplateCount(barcodeReader: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let count = || unsafe { with_profiles(barcodeReader, |profiles| profiles.count()) };
    enter_or(-1, || Ok(c_int::try_from(count()?).unwrap_or(c_int::MAX)))
}

/// Get the name of a template.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `nameBuffer` is NULL or valid for writes
/// of `nameBufferLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetParameterTemplateName(
    barcodeReader: *mut c_void,
    index: c_int,
    nameBuffer: *mut c_char,
    nameBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let name = || unsafe { with_profiles(barcodeReader, |p| p.name(index).map(str::to_owned)) }?;
    // SAFETY: the caller's promise.
    enter(|| unsafe {
        put_text(nameBuffer, nameBufferLen, name, ErrorCode::PARAMETER_VALUE_INVALID)
    })
}

/// Write a whole text into the caller's buffer, or "" on failure.
///
/// # Safety
/// `buffer` is NULL or valid for writes of `length` bytes.
unsafe fn put_text(
    buffer: *mut c_char,
    length: c_int,
    text: impl FnOnce() -> Result<String>,
    too_short: ErrorCode,
) -> Result<()> {
    if buffer.is_null() {
        return Err(null_pointer("the buffer"));
    }
    // SAFETY: the caller's promise.
    let place = unsafe { message_buffer(buffer, length) };
    place.write("");
    let text = text()?;
    if usize::try_from(length).is_ok_and(|length| length > text.len()) {
        place.write(&text);
        return Ok(());
    }
    let message = format!("the buffer has {length} bytes; {} are needed", text.len() + 1);
    Err(Error::new(too_short, message))
}

/// Return the settings in use as the text of a template.
///
/// # Safety
/// `reader` is NULL or from `DBR_CreateInstance`; `name` is NULL or NUL-terminated.
unsafe fn text_of(reader: *mut c_void, name: *const c_char) -> Result<String> {
    // SAFETY: the caller's promise.
    let name = unsafe { text_from_c(name) };
    let name = if name.is_empty() { "CurrentRuntimeSettings" } else { &name };
    // SAFETY: the caller's promise.
    unsafe { with_profiles(reader, |profiles| profiles.text(name)) }
}

/// Write the settings in use as a text into the caller's buffer.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`; `content` is NULL or valid for writes of
/// `contentLen` bytes; `pSettingsName` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_OutputSettingsToString(
    barcodeReader: *mut c_void,
    content: *mut c_char,
    contentLen: c_int,
    pSettingsName: *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    let text = || unsafe { text_of(barcodeReader, pSettingsName) };
    // SAFETY: the caller's promise.
    enter(|| unsafe { put_text(content, contentLen, text, ErrorCode::PARAMETER_VALUE_INVALID) })
}

/// Get the settings in use as a text, to be freed with `DBR_FreeSettingsString`.
///
/// # Safety
/// The rules of `DBR_OutputSettingsToString` apply; `content` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_OutputSettingsToStringPtr(
    barcodeReader: *mut c_void,
    content: *mut *mut c_char,
    pSettingsName: *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    enter(|| unsafe { give_string(content, || text_of(barcodeReader, pSettingsName)) })
}

/// Free a string of this library.
///
/// # Safety
/// The rules of `DBR_FreeString` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_FreeSettingsString(content: *mut *mut c_char) {
    // SAFETY: the caller's promise.
    unsafe { super::DBR_FreeString(content) }
}

/// Write the settings in use as a text into a file.
///
/// # Safety
/// The rules of `DBR_OutputSettingsToString` apply; `pFilePath` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_OutputSettingsToFile(
    barcodeReader: *mut c_void,
    pFilePath: *const c_char,
    pSettingsName: *const c_char,
) -> c_int {
    enter(|| {
        if pFilePath.is_null() {
            return Err(null_pointer("the path"));
        }
        // SAFETY: the caller's promise.
        let (path, text) =
            unsafe { (path_from_c(pFilePath), text_of(barcodeReader, pSettingsName)?) };
        write_named_file(&path, text.as_bytes()).map_err(|e| {
            Error::new(
                ErrorCode::FILE_NOT_FOUND,
                format!("{} cannot be written: {e}", path.display()),
            )
        })
    })
}

/// Set an argument of a mode.
///
/// # Safety
/// The rules of `DBR_UpdateRuntimeSettings` apply; the strings are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_SetModeArgument(
    barcodeReader: *mut c_void,
    pModesName: *const c_char,
    index: c_int,
    pArgumentName: *const c_char,
    pArgumentValue: *const c_char,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { message_buffer(errorMsgBuffer, errorMsgBufferLen) };
    let body = || {
        // SAFETY: the caller's promise.
        let [modes, name, value] =
            unsafe { argument_texts([pModesName, pArgumentName, pArgumentValue]) }?;
        let set = |profiles: &mut Profiles| {
            profiles.current_mut().set_argument(&modes, index, &name, &value)
        };
        // SAFETY: the caller's promise.
        unsafe { with_profiles(barcodeReader, set) }?
    };
    enter_with(body, |message| buffer.write(message))
}

/// # Safety
/// The strings are NULL or NUL-terminated.
unsafe fn argument_texts<const COUNT: usize>(
    texts: [*const c_char; COUNT],
) -> Result<[String; COUNT]> {
    if texts.iter().any(|text| text.is_null()) {
        return Err(null_pointer("the name of the modes, or the argument"));
    }
    // SAFETY: the caller's promise.
    Ok(texts.map(|text| unsafe { text_from_c(text) }))
}

/// Get an argument of a mode.
///
/// # Safety
/// The rules of `DBR_SetModeArgument` apply; `valueBuffer` is NULL or valid for writes of
/// `valueBufferLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_GetModeArgument(
    barcodeReader: *mut c_void,
    pModesName: *const c_char,
    index: c_int,
    pArgumentName: *const c_char,
    valueBuffer: *mut c_char,
    valueBufferLen: c_int,
    errorMsgBuffer: *mut c_char,
    errorMsgBufferLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { message_buffer(errorMsgBuffer, errorMsgBufferLen) };
    let value = || {
        // SAFETY: the caller's promise.
        let [modes, name] = unsafe { argument_texts([pModesName, pArgumentName]) }?;
        let get = |profiles: &mut Profiles| {
            profiles.current().argument(&modes, index, &name).map(str::to_owned)
        };
        // SAFETY: the caller's promise.
        unsafe { with_profiles(barcodeReader, get) }?
    };
    // SAFETY: the caller's promise.
    let body = || unsafe { put_text(valueBuffer, valueBufferLen, value, GET_MODE_ARGUMENT_ERROR) };
    enter_with(body, |message| buffer.write(message))
}
