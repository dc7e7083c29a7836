//! Getting licensed, and the end of it.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::item_check::LIST_MAX;
use seatmeter_protocol::message::TEXT_BYTES_MAX;

use super::text::{MessageBuffer, path_from_c, text_from_c};
use super::{bounded_wait, enter, enter_or, enter_with, null_pointer};
use crate::error::{Error, Result};
use crate::parameters::{RawParameters, Settings, ValidationField};
use crate::runtime::runtime;

/// How to reach the license server, and what to ask it for.
///
/// Strings may be NULL, which means the same as "". They are read during the call only, and never written.
/// Call InitDLSConnectionParameters first: it sets every field to its default.
#[cfg(not(dls_parameters_declared))]
#[repr(C, packed)]
#[derive(Clone, Copy, Debug)]
pub struct tagDM_DLSConnectionParameters {
    /// URL of the main license server, such as "http://license.example:48080". Default "": the environment
    /// variable SEATMETER_SERVER.
    pub mainServerURL: *mut c_char,
    /// URL of the server to ask when the main one is silent. Default "": SEATMETER_STANDBY_SERVER, or none.
    pub standbyServerURL: *mut c_char,
    /// The handshake code, 512 bytes at most. Either this or organizationID must be set.
    pub handshakeCode: *mut c_char,
    /// The password of the handshake code, if it has one.
    pub sessionPassword: *mut c_char,
    /// 1 server, 2 desktop (default), 6 embedded, 7 OEM, 9 mobile.
    pub deploymentType: c_int,
    /// 0 the server chooses (default), 1 client device, 2 barcode scans, 3 concurrent devices, 6 domain,
    /// 8 active devices, 9 server, 10 concurrent instances, 20 pages.
    pub chargeWay: c_int,
    /// How a device that is new gets its UUID: 1 at random (default), 2 derived from the machine id.
    pub UUIDGenerationMethod: c_int,
    /// Days for which to work without contact to a server. 7 (default) or more; less counts as 7.
    pub maxBufferDays: c_int,
    /// Number of entries in limitedLicenseModules. Default 0.
    pub limitedLicenseModulesCount: c_int,
    /// Modules to ask for. Default NULL: all.
    pub limitedLicenseModules: *mut c_int,
    /// Seats to ask for: readers that may exist at one time on this device, in all its processes together.
    /// 1 (default) to 65536.
    pub maxConcurrentInstanceCount: c_int,
    /// The organization; its default handshake code is used when handshakeCode is empty.
    pub organizationID: *mut c_char,
    /// Products to be licensed for, as bits. Default 0xffff: all.
    pub products: c_int,
    /// Not used; 0.
    pub reserved: [c_char; 52],
}

/// How to reach the license server, and what to ask it for.
#[cfg(not(dls_parameters_declared))]
pub type DM_DLSConnectionParameters = tagDM_DLSConnectionParameters;

impl Default for tagDM_DLSConnectionParameters {
    fn default() -> Self {
        let empty = c"".as_ptr().cast_mut();
        Self {
            mainServerURL: empty,
            standbyServerURL: empty,
            handshakeCode: empty,
            sessionPassword: empty,
            deploymentType: 2,
            chargeWay: 0,
            UUIDGenerationMethod: 1,
            maxBufferDays: 7,
            limitedLicenseModulesCount: 0,
            limitedLicenseModules: std::ptr::null_mut(),
            maxConcurrentInstanceCount: 1,
            organizationID: empty,
            products: 0xffff,
            reserved: [0; 52],
        }
    }
}

impl tagDM_DLSConnectionParameters {
    /// Copies what the caller's pointers refer to.
    ///
    /// # Safety
    /// Every string is NULL or NUL-terminated; limitedLicenseModules is NULL or has as many entries as it
    /// says.
    pub(super) unsafe fn copy(&self) -> Result<RawParameters> {
        // SAFETY: the caller's promise; fields of a packed struct are copied out, not referred to.
        unsafe {
            Ok(RawParameters {
                main_server: text_from_c(self.mainServerURL),
                standby_server: text_from_c(self.standbyServerURL),
                handshake_code: text_from_c(self.handshakeCode),
                session_password: text_from_c(self.sessionPassword),
                organization_id: text_from_c(self.organizationID),
                deployment_type: self.deploymentType,
                charge_way: self.chargeWay,
                uuid_generation_method: self.UUIDGenerationMethod,
                max_buffer_days: self.maxBufferDays,
                max_concurrent_instance_count: self.maxConcurrentInstanceCount,
                products: self.products,
                modules: modules_from_c(self.limitedLicenseModules, self.limitedLicenseModulesCount)?,
                settings: Settings::default(),
            })
        }
    }
}

/// Copies numbers of modules. NULL, or no number, means all.
///
/// # Safety
/// `modules` is NULL or good for reads of `count` numbers.
unsafe fn modules_from_c(modules: *const c_int, count: c_int) -> Result<Vec<c_int>> {
    let count = usize::try_from(count).ok().filter(|count| *count <= LIST_MAX).ok_or_else(|| {
        Error::new(
            ErrorCode::PARAMETER_VALUE_INVALID,
            format!("limitedLicenseModulesCount is {count}; 0 to {LIST_MAX} are possible"),
        )
    })?;
    if modules.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise; the field of a packed struct may point anywhere, so reads are unaligned.
    Ok((0..count).map(|i| unsafe { modules.add(i).read_unaligned() }).collect())
}

/// Set every field to its default.
///
/// The strings become "", in static memory: point them at your own, do not write into them.
///
/// Threads: any. Blocks: never. Returns 0, or -10002 when `parameters` is NULL.
///
/// # Safety
/// `parameters` is NULL or good for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitDLSConnectionParameters(parameters: *mut DM_DLSConnectionParameters) -> c_int {
    enter(|| {
        if parameters.is_null() {
            return Err(null_pointer("the pointer to the parameters"));
        }
        // SAFETY: not NULL, and good for writes by the caller's promise.
        unsafe { parameters.write_unaligned(DM_DLSConnectionParameters::default()) };
        Ok(())
    })
}

/// Get this process licensed: from the licence stored on this device if that is still good, else from the
/// main license server, else from the standby.
///
/// With a stored licence it answers at once and renews in the background. `errorMsg`, if not NULL, gets a
/// sentence of at most errorMsgLen - 1 bytes on failure and "" on success, always NUL-terminated. What was
/// in use before a failed call stays in use. If no server could be reached and nothing is in use, the background goes on
/// asking, and readers get their licence as soon as a server is there. The first success, or that, starts the library's
/// one background thread.
///
/// Threads: any. Blocks: never with a stored licence; else up to 10 s for the network. Returns 0; -10001
/// there are no 16 MiB of memory; -10002 parameters is NULL; -10038 a parameter is out of its range; -20002 the
/// state directory cannot be used; -20003 the server's answer cannot be trusted; -20008 more seats are asked for
/// than there are; -20123 neither handshakeCode nor organizationID is set; -20200 no server can be reached; or the
/// server's refusal, -20100 to -20151.
///
/// # Safety
/// `parameters` is NULL or points to parameters whose strings are NULL or NUL-terminated; `errorMsg` is NULL
/// or good for writes of `errorMsgLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitLicenseFromDLS(
    parameters: *const DM_DLSConnectionParameters,
    errorMsg: *mut c_char,
    errorMsgLen: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(errorMsg, usize::try_from(errorMsgLen).unwrap_or(0)) };
    let body = || {
        if parameters.is_null() {
            return Err(null_pointer("the pointer to the parameters"));
        }
        // SAFETY: not NULL, and good by the caller's promise.
        let raw = unsafe { parameters.read_unaligned().copy() }?;
        runtime().initialize(&raw)
    };
    enter_with(body, |message| buffer.write(message))
}

/// Count the seats of this device that are free: for all programs on it together.
///
/// Threads: any. Blocks: never. Returns the number of free seats; 0 when all are taken; -1 when there is no
/// licence, or it has to be refreshed: call InitLicenseFromDLS; INT_MAX when the licence is not one by
/// concurrent instances, and so has no seats.
#[unsafe(no_mangle)]
pub extern "C" fn GetIdleInstancesCount() -> c_int {
    enter_or(-1, || Ok(runtime().licensed()?.idle_seats()))
}

/// Choose where this device's state is kept: the licence, the seats, what is counted and not yet reported.
///
/// Programs share seats when they share this directory. It is made with mode 0700 where it does not exist,
/// when InitLicenseFromDLS is called. Default: the environment variable SEATMETER_STATE_DIR; else
/// /var/lib/seatmeter for root, and $XDG_STATE_HOME/seatmeter or ~/.local/state/seatmeter for others (XDG
/// base directory specification). Not on a network file system: those keep no locks for all processes.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty; -20009 after
/// InitLicenseFromDLS.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_SetStateDirectory(path: *const c_char) -> c_int {
    enter(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { path_setting_from_c("state directory", path) }?;
        runtime().set_state_directory(&path)
    })
}

/// Tell the server a fact about this application that the handshake code may ask for.
///
/// `field` 0: the website's domain; 1: the application's id. The name of the executable file is taken from
/// the operating system and cannot be set. `value` is copied; "" takes the fact back.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `value` is NULL; -10038 when `field` is another
/// number, or
/// `value` has more than 512 bytes; -20009 after InitLicenseFromDLS.
///
/// # Safety
/// `value` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_SetValidationField(field: c_int, value: *const c_char) -> c_int {
    enter(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { setting_from_c("value", value) }?;
        let field = ValidationField::from_number(field)?;
        runtime().set("SM_SetValidationField", |settings| match field {
            ValidationField::WebsiteDomain => settings.website_domain = value,
            ValidationField::ApplicationId => settings.application_id = value,
        })
    })
}

/// Give this device a name by which people know it on the server. `name` is copied.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `name` is NULL; -10038 when it has more than 512
/// bytes; -20009 after InitLicenseFromDLS.
///
/// # Safety
/// `name` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_SetDeviceFriendlyName(name: *const c_char) -> c_int {
    enter(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { setting_from_c("name", name) }?;
        runtime().set("SM_SetDeviceFriendlyName", |settings| settings.friendly_name = name)
    })
}

/// Trust the certificates in this file (PEM), beside those that the system trusts, when connecting to a
/// license server.
///
/// Default: the environment variable SEATMETER_CA_FILE. The file is read when the first request is sent; if
/// it cannot be used then, InitLicenseFromDLS says so, with -20200.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty; -20009 after
/// the first InitLicenseFromDLS of the process.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_SetCaFile(path: *const c_char) -> c_int {
    enter(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { path_setting_from_c("CA file", path) }?;
        runtime().set_ca_file(&path)
    })
}

/// Get the client UUID by which the server knows this device: 32 hexadecimal digits.
///
/// A device that has none yet gets one now, at random: call it after InitLicenseFromDLS if
/// UUIDGenerationMethod is to matter. `out` is untouched on failure.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -10038 when `len` is below 33; -20002
/// when the state directory cannot be used.
///
/// # Safety
/// `out` is NULL or good for writes of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_GetDeviceUUID(out: *mut c_char, len: usize) -> c_int {
    enter(|| {
        if out.is_null() {
            return Err(null_pointer("out"));
        }
        let uuid = runtime().device_uuid()?;
        if len <= uuid.len() {
            let message = format!("len is {len}; a UUID needs {} bytes", uuid.len() + 1);
            return Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message));
        }
        // SAFETY: the caller's promise.
        unsafe { MessageBuffer::new(out, len) }.write(&uuid);
        Ok(())
    })
}

/// A text that a program sets.
///
/// # Safety
/// `text` is NULL or NUL-terminated.
unsafe fn setting_from_c(name: &str, text: *const c_char) -> Result<String> {
    if text.is_null() {
        return Err(null_pointer(name));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { text_from_c(text) };
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(text);
    }
    let message = format!("{name} has {} bytes, at most {TEXT_BYTES_MAX} are possible", text.len());
    Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message))
}

/// A path that a program sets.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
unsafe fn path_setting_from_c(name: &str, path: *const c_char) -> Result<PathBuf> {
    if path.is_null() {
        return Err(null_pointer("path"));
    }
    // SAFETY: not NULL, and NUL-terminated by the caller's promise.
    let path = unsafe { path_from_c(path) };
    if path.as_os_str().is_empty() {
        let message = format!("the path of the {name} is empty");
        return Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message));
    }
    Ok(path)
}

/// Report what is counted and not yet reported, give the seats of this process back, and end the background
/// thread.
///
/// What cannot be reported in time is kept on this device and reported by the next program that initialises
/// here. Readers that still exist hold no seat from then on, and may be destroyed; after InitLicenseFromDLS was called
/// again, one that is used takes a seat anew.
///
/// Threads: any; one at a time. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; out of that range
/// counts as the nearest). Returns 0; -20200 or -20003 when something is left to report.
#[unsafe(no_mangle)]
pub extern "C" fn SM_Shutdown(timeoutMs: c_int) -> c_int {
    enter(|| runtime().shut_down(bounded_wait(timeoutMs)))
}
