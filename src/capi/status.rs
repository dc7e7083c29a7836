//! How this process stands with its license, and what the library says while it works.

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
/// SM_Status.state: the license is good.
pub const SM_LICENSE_GOOD: c_int = 1;
/// SM_Status.state: the license has expired, and works on for the seven days of grace: warn the
/// user.
pub const SM_LICENSE_GRACE: c_int = 2;
/// SM_Status.state: the license was not renewed in time, and is refused until a server is reached.
pub const SM_LICENSE_STALE: c_int = 3;
/// SM_Status.state: the license has expired, with its grace.
pub const SM_LICENSE_EXPIRED: c_int = 4;

/// SM_Status.state: the server lets no work be done under the license: it was revoked, is used up,
/// or has no room.
pub const SM_LICENSE_REFUSED: c_int = 5;

/// SM_Status.usage: the server has not told, or in a way that only later versions know.
pub const SM_USAGE_UNKNOWN: c_int = 0;
/// SM_Status.usage: below what was bought.
pub const SM_USAGE_WITHIN: c_int = 1;
/// SM_Status.usage: all that was bought is used, and the grace is running: warn the user.
pub const SM_USAGE_IN_GRACE: c_int = 2;
/// SM_Status.usage: used up with its grace. Scans and pages are refused, and devices that are new.
pub const SM_USAGE_USED_UP: c_int = 3;
/// SM_Status.usage: the overuse budget of a concurrent license is exceeded: N at a time are
/// authorized.
pub const SM_USAGE_OVERUSED: c_int = 4;

/// Bytes of each text in a status, with its NUL; longer ones are cut.
pub const SM_STATUS_TEXT_BYTES: usize = 512;

/// How this process stands with its license. Times are Unix seconds in UTC; 0 where there is none.
///
/// Later versions add fields at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SM_Status {
    /// Set it to sizeof(SM_Status) before the call. Afterwards: how many bytes of it the library
    /// has filled.
    pub size: usize,
    /// One of SM_LICENSE_NONE, _GOOD, _GRACE, _STALE, _EXPIRED, _REFUSED.
    pub state: c_int,
    /// By what the license is charged, as in DM_DLSConnectionParameters; 0 without a license.
    pub chargeWay: c_int,
    /// SM_ERR_LICENSE_CACHE_USED (-20012) while the license stored on this device is used and no
    /// server has been reached; else 0. Not a failure: the software works.
    pub cacheCode: c_int,
    /// SM_ERR_TRIAL_LICENSE (-20010) when the license is a trial; else 0.
    pub trialCode: c_int,
    /// SM_ERR_EXPIRED (-20111) when the license has expired, also while the grace lasts; else 0.
    pub expiryCode: c_int,
    /// Why the server lets no work be done, as an error number, when the state is
    /// SM_LICENSE_REFUSED; else 0.
    pub refusalCode: c_int,
    /// One of SM_USAGE_UNKNOWN, _WITHIN, _IN_GRACE, _USED_UP, _OVERUSED: of the quota that stands
    /// worst.
    pub usage: c_int,
    /// Module of pages of which used, quota and grace tell; 0 for anything else.
    pub usageModule: c_int,
    /// Seats that the server has granted to this device; 0 where the license has none.
    pub seatsGranted: c_int,
    /// Seats that are held, by all programs of this device together.
    pub seatsHeld: c_int,
    /// As GetIdleInstancesCount says.
    pub seatsIdle: c_int,
    /// First second at which the license stops to be good, unless a server is reached before.
    pub validUntil: u64,
    /// When the license expires: first second of the grace.
    pub expiresAt: u64,
    /// First second after the grace.
    pub graceEndsAt: u64,
    /// Start of the time slot of the oldest work that no server has recorded yet; 0 when all is
    /// recorded.
    pub oldestUnsentAt: u64,
    /// What is used of the license (scans, pages, devices, or the overuse of this license year), as
    /// the server has last told; -1: it has not.
    pub used: i64,
    /// What was bought, or the overuse budget, as the server has last told; -1: it has not.
    pub quota: i64,
    /// How much more is granted all the same, as the server has last told; -1: it has not.
    pub grace: i64,
    /// When the server has told that.
    pub toldAt: u64,
    /// When a server has last answered this process.
    pub contactAt: u64,
    /// When what lastError tells failed.
    pub lastErrorAt: u64,
    /// What failed last: its number; 0 when all went well since.
    pub lastErrorCode: c_int,
    /// How far the request came that failed: 0 not a matter of the network, 1 set-up, 2 name
    /// lookup, 3 connect, 4 proxy, 5 TLS, 6 HTTP status, 7 answer.
    pub lastErrorStage: c_int,
    /// What failed last, in a sentence; or "".
    pub lastError: [c_char; SM_STATUS_TEXT_BYTES],
    /// URL of the server that has answered last; or "".
    pub server: [c_char; SM_STATUS_TEXT_BYTES],
}

/// What has this size or more is a status of this library's first version, or a later one.
const SIZE_MIN: usize = offset_of!(SM_Status, server) + SM_STATUS_TEXT_BYTES;

impl From<&Status> for SM_Status {
    fn from(status: &Status) -> Self {
        let expired = matches!(status.validity, Some(Validity::Grace | Validity::Expired));
        let when = |is: bool, code: ErrorCode| if is { code.0 } else { 0 };
        let has_license = status.validity.is_some();
        let trouble = status.trouble.as_ref();
        let meter = status.told.worst();
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
            toldAt: status.told.at,
            contactAt: status.contact_at,
            lastErrorAt: trouble.map_or(0, |trouble| trouble.at),
            lastErrorCode: trouble.map_or(0, |trouble| trouble.error.code.0),
            lastErrorStage: trouble
                .and_then(|trouble| trouble.error.stage)
                .map_or(0, |stage| stage as c_int),
            lastError: text(trouble.map_or("", |trouble| &trouble.error.message)),
            server: text(&status.server),
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

fn amount(told: Option<u64>) -> i64 {
    told.map_or(-1, |amount| i64::try_from(amount).unwrap_or(i64::MAX))
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

/// Get how this process stands with its license.
///
/// Set `status->size` to sizeof(SM_Status) first. What a later program has behind the fields that
/// this library knows is not touched, and `size` then says how much was filled. `status` is
/// untouched on failure. The status is a picture of the moment: while other programs take seats and
/// count, its parts may be of two moments.
///
/// Threads: any. Blocks: never for the network; reads what is not reported yet, some 0.1 ms for
/// each program that has counted since the last report. Returns 0, also without a license; -10002
/// when `status` is NULL; -10038 when its size is below that of the first version.
///
/// # Safety
/// `status` is NULL, or its `size` is set, and as many bytes are good for writes.
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

/// How much of a caller's status this library can fill.
fn known_bytes(size: usize) -> Result<usize> {
    if size >= SIZE_MIN {
        return Ok(size.min(size_of::<SM_Status>()));
    }
    let message =
        format!("the status has size {size}; set it to sizeof(SM_Status), {SIZE_MIN} at least");
    Err(Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message))
}

/// Report what is counted and not yet reported, and renew the license, now.
///
/// The background does this by itself; call it where a program wants to know, or is about to lose
/// its network. `detail`, if not NULL, gets a sentence of at most detailLen - 1 bytes on failure
/// and "" on success. What could not be reported is kept, and a license that could not be renewed
/// goes on as it is.
///
/// Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; out of that range counts as
/// the nearest). Returns 0; -10001 when the process has less than 16 MiB of memory left; -20000
/// before InitLicenseFromDLS, or what the InitLicenseFromDLS that failed has returned; -20002 when
/// the state directory cannot be used; -20003 when the server's answer cannot be trusted, or
/// another program of this device is talking to it all the time; -20004 when the answer is for
/// another device; -20005 when the system gives no random numbers; -20008 when the license has
/// fewer seats than were asked for; -20009 when SM_Shutdown was called in another thread, which
/// calls this off; -20200 when no server can be reached, or the time was too short for everything;
/// or the server's refusal, -20100 to -20151.
///
/// # Safety
/// `detail` is NULL or good for writes of `detailLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_Sync(timeoutMs: c_int, detail: *mut c_char, detailLen: usize) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(detail, detailLen) };
    enter_with(|| runtime().sync(bounded_wait(timeoutMs)), |message| buffer.write(message))
}

/// A function that gets the lines of the log: `user` as it was given, `level` 1 error, 2 warning, 3
/// info, and a NUL-terminated `line` that is good during the call only.
pub type SM_LogCallback =
    Option<unsafe extern "C" fn(user: *mut c_void, level: c_int, line: *const c_char)>;

/// The callback with what it is to be given.
struct Callback {
    function: unsafe extern "C" fn(*mut c_void, c_int, *const c_char),
    user: *mut c_void,
}

// SAFETY: the caller of SM_SetLogCallback promises that the function may be called by any thread
// with this pointer.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

/// Hear what the library does: licenses that it gets, reports, failures with their stage.
///
/// `callback` is called by a thread of the library's own, for one line after the other, in order,
/// while that thread holds no lock. It may call every function of this library. It must not throw,
/// jump out of itself, or end its thread. A call that has something to say waits until that was
/// heard, 1 s at most. Lines that come while a callback is at work wait; of more than 1000 the rest
/// is dropped, which a line tells. NULL ends it. When this has returned, the callback that was set
/// before is not called any more, so that what its `user` points to can be freed; and none is
/// called after SM_Shutdown has returned, unless it was still at work when the time was up. Lines
/// hold no barcode and no password. Without a callback, also after NULL, the file that the
/// environment variable SEATMETER_LOG named at InitLicenseFromDLS gets the lines.
///
/// Threads: any. Blocks: up to 1 s, while a callback is at work. Returns 0; -20009 when the
/// callback of before is still at work then, or called this itself: nothing is changed.
///
/// # Safety
/// `callback` is NULL, or may be called with `user` by any thread until it is taken back.
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
        // A line with a NUL in it, such as from a server's text, is cut there.
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
