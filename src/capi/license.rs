//! Getting and ending a license.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::item_check::LIST_MAX;
use seatmeter_protocol::message::TEXT_BYTES_MAX;

use super::text::{MessageBuffer, path_from_c, text_from_c};
use super::{bounded_wait, enter, enter_hot_or, enter_with, null_pointer};
use crate::error::{Error, Result};
use crate::parameters::{RawParameters, Settings, ValidationField};
use crate::runtime::runtime;

/// deploymentType: a machine that serves others.
pub const SM_DEPLOYMENT_SERVER: c_int = 1;
/// deploymentType: a computer for its own user.
pub const SM_DEPLOYMENT_DESKTOP: c_int = 2;
/// deploymentType: ARM Linux.
pub const SM_DEPLOYMENT_EMBEDDED: c_int = 6;
/// deploymentType: built into somebody else's product.
pub const SM_DEPLOYMENT_OEM: c_int = 7;
/// deploymentType: iOS or Android.
pub const SM_DEPLOYMENT_MOBILE: c_int = 9;
/// deploymentType: a browser profile on one origin.
pub const SM_DEPLOYMENT_BROWSER: c_int = 20;

/// chargeWay: the server chooses.
pub const SM_CHARGE_AUTO: c_int = 0;
/// chargeWay: client devices within a window of 90 days, unless the license states another.
pub const SM_CHARGE_CLIENT_DEVICE: c_int = 1;
/// chargeWay: different barcodes.
pub const SM_CHARGE_BARCODE_SCAN: c_int = 2;
/// chargeWay: devices that work at the same time.
pub const SM_CHARGE_CONCURRENT_DEVICE: c_int = 3;
/// chargeWay: unlimited use under named domains.
pub const SM_CHARGE_DOMAIN: c_int = 6;
/// chargeWay: client devices within a window that the license states.
pub const SM_CHARGE_ACTIVE_DEVICE: c_int = 8;
/// chargeWay: servers.
pub const SM_CHARGE_SERVER: c_int = 9;
/// chargeWay: readers that exist at the same time.
pub const SM_CHARGE_CONCURRENT_INSTANCE: c_int = 10;
/// chargeWay: pages.
pub const SM_CHARGE_PAGE: c_int = 20;

/// UUIDGenerationMethod: at random.
pub const SM_UUID_RANDOM: c_int = 1;
/// UUIDGenerationMethod: derived from the machine id.
pub const SM_UUID_HARDWARE: c_int = 2;

/// Field of SM_SetValidationField: the website's domain.
pub const SM_VALIDATION_WEBSITE_DOMAIN: c_int = 0;
/// Field of SM_SetValidationField: the application's id.
pub const SM_VALIDATION_APPLICATION_ID: c_int = 1;

/// The parameters of a license: the server to reach, and what to request from it.
///
/// Strings may be NULL, which means the same as "". They are read during the call only, and never
/// written. Call InitDLSConnectionParameters first: it sets every field to its default.
#[cfg(not(dls_parameters_declared))]
#[repr(C, packed)]
#[derive(Clone, Copy, Debug)]
pub struct tagDM_DLSConnectionParameters {
    /// URL of the main license server, such as "http://license.example:48080". Default "": the
    /// environment variable SEATMETER_SERVER.
    pub mainServerURL: *const c_char,
    /// URL of the server to ask when the main server does not answer. Default "":
    /// SEATMETER_STANDBY_SERVER, or none.
    pub standbyServerURL: *const c_char,
    /// The handshake code, 512 bytes at most. Set either this or organizationID.
    pub handshakeCode: *const c_char,
    /// The password of the handshake code, if it has one.
    pub sessionPassword: *const c_char,
    /// The kind of place where the software runs, one of SM_DEPLOYMENT_… Default
    /// SM_DEPLOYMENT_DESKTOP, which licenses by server and by concurrent instance treat as
    /// SM_DEPLOYMENT_SERVER.
    pub deploymentType: c_int,
    /// The charge way to request, one of SM_CHARGE_… Default SM_CHARGE_AUTO: the server chooses.
    pub chargeWay: c_int,
    /// The method by which a new device gets its UUID: SM_UUID_RANDOM (default) or
    /// SM_UUID_HARDWARE.
    pub UUIDGenerationMethod: c_int,
    /// Days for which to work without contact to a server. 7 (default) or more; less counts as 7.
    pub maxBufferDays: c_int,
    /// Number of entries in limitedLicenseModules, 0 (default) to 1024. 0 asks for all modules.
    pub limitedLicenseModulesCount: c_int,
    /// Modules to request. NULL (default) only with a count of 0.
    pub limitedLicenseModules: *const c_int,
    /// Seats to request: the number of readers that may exist at the same time on this device, in
    /// all its processes together. 1 (default) to 65536.
    pub maxConcurrentInstanceCount: c_int,
    /// The organization; its default handshake code is used when handshakeCode is empty.
    pub organizationID: *const c_char,
    /// Products to request, as bits. Default 0xffff: all.
    pub products: c_int,
    /// Not used; 0.
    pub reserved: [c_char; 52],
}

/// The parameters of a license: the server to reach, and what to request from it.
#[cfg(not(dls_parameters_declared))]
pub type DM_DLSConnectionParameters = tagDM_DLSConnectionParameters;

impl Default for tagDM_DLSConnectionParameters {
    fn default() -> Self {
        let empty = c"".as_ptr();
        Self {
            mainServerURL: empty,
            standbyServerURL: empty,
            handshakeCode: empty,
            sessionPassword: empty,
            deploymentType: SM_DEPLOYMENT_DESKTOP,
            chargeWay: SM_CHARGE_AUTO,
            UUIDGenerationMethod: SM_UUID_RANDOM,
            maxBufferDays: 7,
            limitedLicenseModulesCount: 0,
            limitedLicenseModules: std::ptr::null(),
            maxConcurrentInstanceCount: 1,
            organizationID: empty,
            products: 0xffff,
            reserved: [0; 52],
        }
    }
}

impl tagDM_DLSConnectionParameters {
    /// Copy what the caller's pointers refer to.
    ///
    /// # Safety
    /// Every string is NULL or NUL-terminated; limitedLicenseModules is NULL or has as many entries
    /// as its count says.
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
                modules: modules_from_c(
                    self.limitedLicenseModules,
                    self.limitedLicenseModulesCount,
                )?,
                settings: Settings::default(),
            })
        }
    }
}

/// Copy numbers of modules. No number means all.
///
/// # Safety
/// `modules` is NULL or valid for reads of `count` numbers.
unsafe fn modules_from_c(modules: *const c_int, count: c_int) -> Result<Vec<c_int>> {
    let count =
        usize::try_from(count).ok().filter(|count| *count <= LIST_MAX).ok_or_else(|| {
            Error::new(
                ErrorCode::PARAMETER_VALUE_INVALID,
                format!("limitedLicenseModulesCount is {count}; 0 to {LIST_MAX} are possible"),
            )
        })?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if modules.is_null() {
        return Err(Error::new(
            ErrorCode::NULL_POINTER,
            format!(
                "limitedLicenseModules is NULL, and limitedLicenseModulesCount is {count}: point \
                 to so many modules, or set the count to 0 to ask for all"
            ),
        ));
    }
    // SAFETY: not NULL, and the caller's promise; the field of a packed struct may point anywhere,
    // so reads are unaligned.
    Ok((0..count).map(|i| unsafe { modules.add(i).read_unaligned() }).collect())
}

/// Set every field to its default.
///
/// The strings become "", in static memory: replace the pointers by your own, and do not write to
/// the strings.
///
/// Threads: any. Blocks: never. Returns 0, or -10002 when `parameters` is NULL.
///
/// # Safety
/// `parameters` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitDLSConnectionParameters(
    parameters: *mut DM_DLSConnectionParameters,
) -> c_int {
    enter(|| {
        if parameters.is_null() {
            return Err(null_pointer("the pointer to the parameters"));
        }
        // SAFETY: not NULL, and valid for writes by the caller's promise.
        unsafe { parameters.write_unaligned(DM_DLSConnectionParameters::default()) };
        Ok(())
    })
}

/// Get this process licensed: from the license stored on this device if that is still valid, else
/// from the main license server, else from the standby.
///
/// With a stored license it answers at once and renews in the background. `errorMsg`, if not NULL,
/// gets a sentence of at most errorMsgLen - 1 bytes on failure and "" on success, always
/// NUL-terminated. After a failed call, the license that was in use stays in use. If no server
/// could be reached and no license is in use, the background keeps trying, and readers get their
/// license as soon as a server answers. The first success, or this case, starts the library's one
/// background thread.
///
/// Threads: any. Blocks: never with a stored license; else up to 10 s for the network. Returns 0;
/// -10001 when the process has less than 16 MiB of memory left; -10002 when `parameters` is NULL,
/// or limitedLicenseModulesCount is above 0 without its list; -10038 when a parameter is out of its
/// range; -20001 when handshakeCode has a space or a character beyond ASCII; -20002 when the state
/// directory cannot be used; -20003 when the server's answer cannot be trusted; -20004 when the
/// answer is for another device; -20005 when the system gives no random numbers for the UUID of
/// this device; -20008 when more seats are requested than the license has; -20009 when SM_Shutdown
/// was called in another thread, which cancels this call; -20123 when neither handshakeCode nor
/// organizationID is set; -20200 when no server can be reached; or the server's refusal, -20100 to
/// -20151.
///
/// # Safety
/// `parameters` is NULL or points to parameters whose strings are NULL or NUL-terminated;
/// `errorMsg` is NULL or valid for writes of `errorMsgLen` bytes.
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
        // SAFETY: not NULL, and valid by the caller's promise.
        let raw = unsafe { parameters.read_unaligned().copy() }?;
        runtime().initialize(&raw)
    };
    enter_with(body, |message| buffer.write(message))
}

/// Count the free seats of this device, for all programs on it together.
///
/// Threads: any. Blocks: never. Returns the number of free seats; 0 when all are taken; -1 when
/// there is no license, or it must be refreshed: call InitLicenseFromDLS; INT_MAX when the license
/// is not by concurrent instances, and so has no seats.
#[unsafe(no_mangle)]
pub extern "C" fn GetIdleInstancesCount() -> c_int {
    enter_hot_or(-1, || Ok(runtime().licensed()?.idle_seats()))
}

/// Set the directory for this device's state: the license, the seats, and the counts that were not
/// reported yet.
///
/// Programs share seats when they share this directory. InitLicenseFromDLS makes it with mode 0700
/// if it does not exist. Default: the environment variable SEATMETER_STATE_DIR; else
/// /var/lib/seatmeter for root, and $XDG_STATE_HOME/seatmeter or ~/.local/state/seatmeter for
/// others (XDG base directory specification). Do not use a network file system: it does not keep
/// locks for all processes.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty;
/// -20002 when it is relative and the working directory no longer exists; -20009 after
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

/// Set a fact about this application that the handshake code may require.
///
/// `field` is SM_VALIDATION_WEBSITE_DOMAIN or SM_VALIDATION_APPLICATION_ID. The name of the
/// executable file is taken from the operating system and cannot be set. `value` is copied; ""
/// removes the fact.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `value` is NULL; -10038 when `field` is
/// another number, or `value` has more than 512 bytes; -20009 after InitLicenseFromDLS.
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

/// Set the name by which people know this device on the server. `name` is copied.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `name` is NULL; -10038 when it has more than
/// 512 bytes; -20009 after InitLicenseFromDLS.
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

/// Trust the certificates in this file (PEM), in addition to those of the system, for connections
/// to a license server.
///
/// Default: the environment variable SEATMETER_CA_FILE. The file is read when the first request is
/// sent. If it cannot be used then, InitLicenseFromDLS returns -20200 and says so.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty;
/// -20002 when it is relative and the working directory no longer exists; -20009 after the first
/// InitLicenseFromDLS of the process.
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
/// A device without a UUID gets a random one now. So call this after InitLicenseFromDLS if
/// UUIDGenerationMethod matters. `out` gets "" on failure.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -10038 when `len` is below
/// 33; -20002 when the state directory cannot be used; -20005 when the system gives no random
/// numbers.
///
/// # Safety
/// `out` is NULL or valid for writes of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_GetDeviceUUID(out: *mut c_char, len: usize) -> c_int {
    enter(|| {
        if out.is_null() {
            return Err(null_pointer("out"));
        }
        // SAFETY: the caller's promise.
        let buffer = unsafe { MessageBuffer::new(out, len) };
        buffer.write("");
        let uuid = runtime().device_uuid()?;
        if len <= uuid.len() {
            let message = format!("len is {len}; a UUID needs {} bytes", uuid.len() + 1);
            return Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message));
        }
        buffer.write(&uuid);
        Ok(())
    })
}

/// Copy a text that a program sets.
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

/// Copy a path that a program sets.
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

/// Report the counts that were not reported yet, give the seats of this process back, and end the
/// background thread.
///
/// Counts that cannot be reported in time are kept on this device, and the next program that
/// initializes here reports them. Readers that still exist hold no seat from then on, and may be
/// destroyed. After another InitLicenseFromDLS, such a reader takes a new seat when it is used.
///
/// Requests that are in progress, also in other threads, have half of the time, and are then
/// canceled. When this has returned, no thread, connection or log callback of the library is left.
/// The only exception is a name lookup that the system does not answer: its thread remains until
/// the system gives up, and touches nothing of the host's.
///
/// Threads: any; if several threads call this at the same time, one waits for the other. Blocks: up
/// to `timeoutMs` (milliseconds, 0 to 600000; a value out of that range counts as the nearest), and
/// 0.5 s at most for what is canceled. Returns 0; -20002 when a file of the state directory cannot
/// be used; -20003 when the server's answer cannot be trusted, or another program of this device is
/// reporting all the time; -20009 when another thread has been shutting down for all that time;
/// -20200 when no server can be reached in time; or the server's refusal, -20100 to -20151. In each
/// of these error cases some counts were not reported.
#[unsafe(no_mangle)]
pub extern "C" fn SM_Shutdown(timeoutMs: c_int) -> c_int {
    enter(|| runtime().shut_down(bounded_wait(timeoutMs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};

    #[test]
    fn every_deployment_type_and_charge_way_has_a_constant_with_its_number() {
        let deployment = [
            (DeploymentType::Server, SM_DEPLOYMENT_SERVER),
            (DeploymentType::Desktop, SM_DEPLOYMENT_DESKTOP),
            (DeploymentType::Embedded, SM_DEPLOYMENT_EMBEDDED),
            (DeploymentType::Oem, SM_DEPLOYMENT_OEM),
            (DeploymentType::Mobile, SM_DEPLOYMENT_MOBILE),
            (DeploymentType::Browser, SM_DEPLOYMENT_BROWSER),
        ];
        assert_eq!(deployment, DeploymentType::ALL);
        let charge = [
            (ChargeWay::ClientDevice, SM_CHARGE_CLIENT_DEVICE),
            (ChargeWay::BarcodeScan, SM_CHARGE_BARCODE_SCAN),
            (ChargeWay::ConcurrentDevice, SM_CHARGE_CONCURRENT_DEVICE),
            (ChargeWay::Domain, SM_CHARGE_DOMAIN),
            (ChargeWay::ActiveDevice, SM_CHARGE_ACTIVE_DEVICE),
            (ChargeWay::Server, SM_CHARGE_SERVER),
            (ChargeWay::ConcurrentInstance, SM_CHARGE_CONCURRENT_INSTANCE),
            (ChargeWay::Page, SM_CHARGE_PAGE),
        ];
        assert_eq!(charge, ChargeWay::ALL);
        assert_eq!(ChargeWay::from_number(SM_CHARGE_AUTO), Ok(None));
        assert!(
            ValidationField::from_number(SM_VALIDATION_WEBSITE_DOMAIN)
                == Ok(ValidationField::WebsiteDomain)
        );
        assert!(
            ValidationField::from_number(SM_VALIDATION_APPLICATION_ID)
                == Ok(ValidationField::ApplicationId)
        );
    }
}
