//! The license status of this process, and the log of the library.

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::offset_of;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::MeterState;

use super::text::MessageBuffer;
use super::{bounded_wait, enter, enter_with, null_pointer};
use crate::error::{Error, Result};
use crate::license::Validity;
use crate::log::{Level, Sink, set_sink};
use crate::runtime::runtime;
use crate::status::{Origin, Status};

/// SM_Status.state: there is no license in use.
pub const SM_LICENSE_NONE: c_int = 0;
/// SM_Status.state: the license is valid.
pub const SM_LICENSE_GOOD: c_int = 1;
/// SM_Status.state: the license has expired, but works during the seven days of grace: warn the
/// user.
pub const SM_LICENSE_GRACE: c_int = 2;
/// SM_Status.state: the license was not renewed in time, and is refused until a server is reached.
pub const SM_LICENSE_STALE: c_int = 3;
/// SM_Status.state: the license and its grace have expired.
pub const SM_LICENSE_EXPIRED: c_int = 4;

/// SM_Status.state: the server permits no work under the license: it was revoked, is used up, or
/// has no capacity for this device.
pub const SM_LICENSE_REFUSED: c_int = 5;

/// SM_Status.usage: the server has not reported the use, or as a value that only later versions
/// know.
pub const SM_USAGE_UNKNOWN: c_int = 0;
/// SM_Status.usage: below what was bought.
pub const SM_USAGE_WITHIN: c_int = 1;
/// SM_Status.usage: everything that was bought is used, and the grace has begun: warn the user.
pub const SM_USAGE_IN_GRACE: c_int = 2;
/// SM_Status.usage: used up with its grace. The server refuses scans, pages and new devices.
pub const SM_USAGE_USED_UP: c_int = 3;
/// SM_Status.usage: the overuse budget of a concurrent license is exceeded: only N devices or
/// instances are authorized at the same time.
pub const SM_USAGE_OVERUSED: c_int = 4;

/// Bytes of each text in a status, with its NUL; longer texts are cut.
pub const SM_STATUS_TEXT_BYTES: usize = 512;

/// The license status of this process. Times are Unix seconds in UTC; 0 means no time.
///
/// Later versions add fields at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SM_Status {
    /// Set this to sizeof(SM_Status) before the call. After the call it is the number of bytes that
    /// the library has filled.
    pub size: usize,
    /// One of SM_LICENSE_NONE, _GOOD, _GRACE, _STALE, _EXPIRED, _REFUSED.
    pub state: c_int,
    /// The charge way of the license, as in DM_DLSConnectionParameters; 0 without a license.
    pub chargeWay: c_int,
    /// SM_ERR_LICENSE_CACHE_USED (-20012) while the license stored on this device is used and no
    /// server has been reached; else 0. This is not a failure: the software works.
    pub cacheCode: c_int,
    /// SM_ERR_TRIAL_LICENSE (-20010) when the license is a trial; else 0.
    pub trialCode: c_int,
    /// SM_ERR_EXPIRED (-20111) when the license has expired, also while the grace lasts; else 0.
    pub expiryCode: c_int,
    /// The error number of the server's reason to permit no work, when the state is
    /// SM_LICENSE_REFUSED; else 0.
    pub refusalCode: c_int,
    /// One of SM_USAGE_UNKNOWN, _WITHIN, _IN_GRACE, _USED_UP, _OVERUSED, of the quota in the worst
    /// state.
    pub usage: c_int,
    /// The module of pages to which used, quota and grace refer; 0 for anything else.
    pub usageModule: c_int,
    /// Seats that the server has granted to this device; 0 where the license has none.
    pub seatsGranted: c_int,
    /// Seats that all programs of this device together hold.
    pub seatsHeld: c_int,
    /// The value that GetIdleInstancesCount returns.
    pub seatsIdle: c_int,
    /// First second at which the license is no longer valid, unless a server is reached before.
    pub validUntil: u64,
    /// End of the license: first second of the grace.
    pub expiresAt: u64,
    /// First second after the grace.
    pub graceEndsAt: u64,
    /// Start of the time slot of the oldest work that no server has recorded yet; 0 when all is
    /// recorded.
    pub oldestUnsentAt: u64,
    /// The used part of the license (scans, pages, devices, or the overuse of this license year) in
    /// the server's last report; -1 without a report.
    pub used: i64,
    /// The quota that was bought, or the overuse budget, in the server's last report; -1 without a
    /// report.
    pub quota: i64,
    /// The amount above the quota that is still granted, in the server's last report; -1 without a
    /// report.
    pub grace: i64,
    /// Time of that report.
    pub toldAt: u64,
    /// Time of the last answer of a server to this process.
    pub contactAt: u64,
    /// Time of the failure in lastError.
    pub lastErrorAt: u64,
    /// Error number of the last failure; 0 when everything has succeeded since.
    pub lastErrorCode: c_int,
    /// Stage of the request that failed: 0 not a matter of the network, 1 set-up, 2 name lookup, 3
    /// connect, 4 proxy, 5 TLS, 6 HTTP status, 7 answer.
    pub lastErrorStage: c_int,
    /// Sentence about the last failure; or "".
    pub lastError: [c_char; SM_STATUS_TEXT_BYTES],
    /// URL of the last server that answered; or "".
    pub server: [c_char; SM_STATUS_TEXT_BYTES],
    /// Number of the vendor's root keys that are built into this library. 0: it believes the key of
    /// the first server that answers, from then on. -1: what was built in is no key, and no server
    /// is believed.
    pub rootKeysBuiltIn: c_int,
    /// 1 when rootKeyIds has the key of the first answer; else 0.
    pub rootKeyIsOfFirstAnswer: c_int,
    /// Ids of the root keys that are believed now, 16 hexadecimal digits each, separated by commas:
    /// those that are built in, or the key of the first answer. "" while this process knows none.
    pub rootKeyIds: [c_char; SM_STATUS_TEXT_BYTES],
}

/// The smallest size of a status of this library's first version. Later versions have larger ones.
const SIZE_MIN: usize = offset_of!(SM_Status, server) + SM_STATUS_TEXT_BYTES;

impl From<&Status> for SM_Status {
    fn from(status: &Status) -> Self {
        let expired = matches!(status.validity, Some(Validity::Grace | Validity::Expired));
        let when = |is: bool, code: ErrorCode| if is { code.0 } else { 0 };
        let has_license = status.validity.is_some();
        let trouble = status.trouble.as_ref();
        let meter = status.notice.worst();
        Self {
            size: size_of::<Self>(),
            state: if status.stopped.is_some() {
                SM_LICENSE_REFUSED
            } else {
                state_number(status.validity)
            },
            chargeWay: status.charge_way.map_or(0, |way| way.number()),
            cacheCode: when(
                has_license && status.origin == Origin::Cache,
                ErrorCode::LICENSE_CACHE_USED,
            ),
            trialCode: when(status.is_trial, ErrorCode::TRIAL_LICENSE),
            expiryCode: when(expired, ErrorCode::EXPIRED),
            refusalCode: status.stopped.map_or(0, |code| code.0),
            usage: meter.map_or(SM_USAGE_UNKNOWN, |meter| usage_number(meter.state)),
            usageModule: meter.map_or(0, |meter| number(meter.module)),
            seatsGranted: number(status.seats_granted),
            seatsHeld: number(status.seats_held),
            seatsIdle: status.seats_idle,
            validUntil: status.valid_until,
            expiresAt: status.expires_at,
            graceEndsAt: status.grace_ends_at,
            oldestUnsentAt: status.oldest_unsent_at.unwrap_or(0),
            used: amount(meter.map(|meter| meter.used)),
            quota: amount(meter.map(|meter| meter.quota)),
            grace: amount(meter.map(|meter| meter.grace)),
            toldAt: status.notice.at,
            contactAt: status.contact_at,
            lastErrorAt: trouble.map_or(0, |trouble| trouble.at),
            lastErrorCode: trouble.map_or(0, |trouble| trouble.error.code.0),
            lastErrorStage: trouble
                .and_then(|trouble| trouble.error.stage)
                .map_or(0, |stage| stage as c_int),
            lastError: text(trouble.map_or("", |trouble| &trouble.error.message)),
            server: text(&status.server),
            rootKeysBuiltIn: status.root_keys.built_in.map_or(-1, keys_number),
            rootKeyIsOfFirstAnswer: c_int::from(status.root_keys.is_of_first_answer()),
            rootKeyIds: text(&status.root_keys.ids.join(",")),
        }
    }
}

fn state_number(validity: Option<Validity>) -> c_int {
    match validity {
        None => SM_LICENSE_NONE,
        Some(Validity::Good) => SM_LICENSE_GOOD,
        Some(Validity::Grace) => SM_LICENSE_GRACE,
        Some(Validity::Stale) => SM_LICENSE_STALE,
        Some(Validity::Expired) => SM_LICENSE_EXPIRED,
    }
}

fn usage_number(state: MeterState) -> c_int {
    match state {
        MeterState::Unknown => SM_USAGE_UNKNOWN,
        MeterState::Within => SM_USAGE_WITHIN,
        MeterState::InGrace => SM_USAGE_IN_GRACE,
        MeterState::UsedUp => SM_USAGE_USED_UP,
        MeterState::Overused => SM_USAGE_OVERUSED,
    }
}

fn number(count: u32) -> c_int {
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

fn keys_number(keys: usize) -> c_int {
    c_int::try_from(keys).unwrap_or(c_int::MAX)
}

fn amount(known: Option<u64>) -> i64 {
    known.map_or(-1, |amount| i64::try_from(amount).unwrap_or(i64::MAX))
}

fn text(text: &str) -> [c_char; SM_STATUS_TEXT_BYTES] {
    let mut end = text.len().min(SM_STATUS_TEXT_BYTES - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes: [c_char; SM_STATUS_TEXT_BYTES] = [0; SM_STATUS_TEXT_BYTES];
    for (place, byte) in bytes.iter_mut().zip(text[..end].bytes()) {
        *place = c_char::from_ne_bytes([byte]);
    }
    bytes
}

/// Get the license status of this process.
///
/// Set `status->size` to sizeof(SM_Status) first. Fields of a later version that this library does
/// not know are not touched, and `size` then says how many bytes were filled. `status` is untouched
/// on failure. While other programs take seats and count, the fields may come from slightly
/// different moments.
///
/// Threads: any. Blocks: never for the network; reads the counts that were not reported yet, about
/// 0.1 ms for each program that has counted since the last report. Returns 0, also without a
/// license; -10002 when `status` is NULL; -10038 when its size is below that of the first version.
///
/// # Safety
/// `status` is NULL, or its `size` is set, and as many bytes are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_GetStatus(status: *mut SM_Status) -> c_int {
    enter(|| {
        if status.is_null() {
            return Err(null_pointer("status"));
        }
        // SAFETY: not NULL; the first field is there by the caller's promise.
        let bytes = known_bytes(unsafe { status.cast::<usize>().read() })?;
        let known = SM_Status { size: bytes, ..SM_Status::from(&runtime().status()) };
        // SAFETY: `bytes` is at most what the caller has, and at most what `known` has.
        unsafe { status.cast::<u8>().copy_from((&raw const known).cast(), bytes) };
        Ok(())
    })
}

/// Return the number of bytes of a caller's status that this library can fill.
fn known_bytes(size: usize) -> Result<usize> {
    if size >= SIZE_MIN {
        return Ok(size.min(size_of::<SM_Status>()));
    }
    let message =
        format!("the status has size {size}; set it to sizeof(SM_Status), {SIZE_MIN} at least");
    Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message))
}

/// Report the counts that were not reported yet, and renew the license, now.
///
/// The background does this by itself. Call this when a program needs the result, or is about to
/// lose its network. `detail`, if not NULL, gets a sentence of at most detailLen - 1 bytes on
/// failure and "" on success. Counts that could not be reported are kept, and a license that could
/// not be renewed stays as it is.
///
/// Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; a value out of that range
/// counts as the nearest). Returns 0; -10001 when the process has less than 16 MiB of memory left;
/// -20000 before InitLicenseFromDLS, or what the InitLicenseFromDLS that failed has returned;
/// -20002 when the state directory cannot be used; -20003 when the server's answer cannot be
/// trusted, or another program of this device is in contact with it all the time; -20004 when the
/// answer is for another device; -20005 when the system gives no random numbers; -20008 when the
/// license has fewer seats than were requested; -20009 when SM_Shutdown was called in another
/// thread, which cancels this call; -20200 when no server can be reached, or the time was too short
/// for everything; or the server's refusal, -20100 to -20151.
///
/// # Safety
/// `detail` is NULL or valid for writes of `detailLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_Sync(timeoutMs: c_int, detail: *mut c_char, detailLen: usize) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(detail, detailLen) };
    enter_with(|| runtime().sync(bounded_wait(timeoutMs)), |message| buffer.write(message))
}

/// A function that gets the lines of the log: `user` as it was set, `level` 1 error, 2 warning, 3
/// info, and a NUL-terminated `line` that is valid during the call only.
pub type SM_LogCallback =
    Option<unsafe extern "C" fn(user: *mut c_void, level: c_int, line: *const c_char)>;

/// A callback with its `user` pointer.
struct Callback {
    function: unsafe extern "C" fn(*mut c_void, c_int, *const c_char),
    user: *mut c_void,
}

// SAFETY: the caller of SM_SetLogCallback promises that the function may be called by any thread
// with this pointer.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

/// Set the function that gets the log: licenses that the library gets, reports, failures with their
/// stage.
///
/// A thread of the library calls `callback` for one line after the other, in order, and holds no
/// lock meanwhile. The callback may call every function of this library. It must not throw, jump
/// out of itself, or end its thread. A call of the library that logs a line waits until the
/// callback has returned, 1 s at most. Lines that come while a callback is at work wait; the lines
/// above 1000 are dropped, and a line says so. NULL removes the callback. When this has returned,
/// the previous callback is not called any more, so that what its `user` points to can be freed.
/// After SM_Shutdown has returned no callback is called, unless one was still at work when its time
/// was up. Lines contain no barcode and no password. Without a callback, also after NULL, the lines
/// go to the file that the environment variable SEATMETER_LOG named at InitLicenseFromDLS.
///
/// Threads: any. Blocks: up to 1 s, while a callback is at work. Returns 0; -20009 when the
/// previous callback is still at work then, or itself made this call: nothing is changed.
///
/// # Safety
/// `callback` is NULL, or may be called with `user` by any thread until it is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_SetLogCallback(callback: SM_LogCallback, user: *mut c_void) -> c_int {
    enter(|| {
        set_sink(callback.map(|function| {
            let callback = Callback { function, user };
            Box::new(move |level: Level, line: &str| callback.call(level as c_int, line)) as Sink
        }))
    })
}

impl Callback {
    fn call(&self, level: c_int, line: &str) {
        // A NUL in a line, for example from a server's text, ends the line.
        let line =
            line.split('\0').next().and_then(|line| CString::new(line).ok()).unwrap_or_default();
        // SAFETY: the promise of SM_SetLogCallback's caller; the line lives during the call.
        unsafe { (self.function)(self.user, level, line.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_the_first_version_is_filled_and_a_smaller_one_is_refused() {
        assert_eq!(known_bytes(SIZE_MIN).unwrap(), SIZE_MIN);
        assert_eq!(known_bytes(SIZE_MIN + 800).unwrap(), size_of::<SM_Status>());
        assert_eq!(known_bytes(SIZE_MIN - 1).unwrap_err().code, ErrorCode::PARAMETER_VALUE_INVALID);
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let cut = text(&"ä".repeat(300));
        let bytes: Vec<u8> =
            cut.iter().take_while(|c| **c != 0).map(|c| c.to_ne_bytes()[0]).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), "ä".repeat(255));
    }
}
