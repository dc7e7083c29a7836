//! The C functions. Each checks its arguments, calls one method of the core, and answers; none
//! decides anything.
//!
//! Every body runs inside [`enter`], the one way across the border. A panic cannot cross it, an
//! error becomes its number, the state of the host's thread is preserved ([`Undisturbed`]), and the
//! host's log callback has received all lines. The functions that must cost nothing run inside
//! [`enter_hot`], which only stops panics. Code in them that may block or touch files disables
//! cancellation by itself, in a `#[cold]` function.
//!
//! The functions of `include/seatmeter.h` are in the files beside `dbr`; those of `include/dbr/`
//! are in `dbr`.

#![allow(non_camel_case_types, non_snake_case, reason = "names of the C API")]

pub mod count;
#[cfg(feature = "decode")]
pub mod dbr;
pub mod information;
pub mod license;
mod memories;
pub mod reader;
mod reader_cache;
pub mod status;
mod text;

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result};
use crate::log;
use crate::os::Undisturbed;

/// Run the body of a C function that returns a number.
fn enter(body: impl FnOnce() -> Result<()>) -> c_int {
    enter_with(body, |_| {})
}

/// Run a body as [`enter`] does; `tell` gets the error before its number is returned.
fn enter_with(body: impl FnOnce() -> Result<()>, tell: impl FnOnce(&str)) -> c_int {
    answer(undisturbed(body), tell)
}

/// Run the body of a C function that returns another type than a number; return `fallback` when it
/// fails.
#[cfg(feature = "decode")]
fn enter_or<T>(fallback: T, body: impl FnOnce() -> Result<T>) -> T {
    undisturbed(body).unwrap_or(fallback)
}

/// Run a body as [`enter`] does, for a function whose usual path neither blocks, nor touches files,
/// nor logs.
#[inline(always)]
fn enter_hot(body: impl FnOnce() -> Result<()>) -> c_int {
    answer(guarded(body), |_| {})
}

/// Run a body as [`enter_with`] does, for such a function.
#[inline(always)]
fn enter_hot_with(body: impl FnOnce() -> Result<()>, tell: impl FnOnce(&str)) -> c_int {
    answer(guarded(body), tell)
}

/// Run a body as [`enter_or`] does, for such a function.
#[inline(always)]
fn enter_hot_or<T>(fallback: T, body: impl FnOnce() -> Result<T>) -> T {
    guarded(body).unwrap_or(fallback)
}

#[inline(always)]
fn answer(outcome: Result<()>, tell: impl FnOnce(&str)) -> c_int {
    match outcome {
        Ok(()) => {
            tell("");
            ErrorCode::OK.0
        }
        Err(error) => {
            tell(&error.message);
            error.code.0
        }
    }
}

fn undisturbed<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let _undisturbed = Undisturbed::hold();
    log::heard(|| guarded(body))
}

#[inline(always)]
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // The data that the body was changing is in atomics and behind locks that do not poison, so it
    // is consistent at every step.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Error::new(
            ErrorCode::UNKNOWN,
            format!("a fault in the library, please report it: {what}"),
        ))
    })
}

/// Return the time that a caller wants to wait; a value out of range counts as the nearest.
fn bounded_wait(milliseconds: c_int) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0).min(WAIT_MS_MAX))
}

/// The longest time that a caller can wait, in milliseconds.
const WAIT_MS_MAX: u64 = 600_000;

fn null_pointer(name: &str) -> Error {
    Error::new(ErrorCode::NULL_POINTER, format!("{name} is NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_number_and_a_sentence() {
        let mut told = String::new();
        let code = enter_with(|| panic!("a seat of {}", "wood"), |text| text.clone_into(&mut told));
        assert_eq!(code, ErrorCode::UNKNOWN.0);
        assert!(told.contains("a seat of wood"));
    }

    #[test]
    fn success_clears_the_callers_message() {
        let mut told = "old".to_owned();
        assert_eq!(enter_with(|| Ok(()), |text| text.clone_into(&mut told)), 0);
        assert_eq!(told, "");
    }
}
