//! The C functions: each checks, calls one method of the core, and answers. They decide nothing.
//!
//! Every body runs inside [`enter`], the one way across the border: a panic cannot cross it, and an error
//! becomes its number. The functions of `include/seatmeter.h` are in the files beside `dbr`; those of
//! `include/dbr/` are in `dbr`.

#![allow(non_camel_case_types, non_snake_case, reason = "names of the C API")]

pub mod count;
#[cfg(feature = "decode")]
pub mod dbr;
pub mod information;
pub mod license;
mod memories;
pub mod reader;
mod spare;
pub mod status;
mod text;

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result};

/// Runs the body of a C function that answers with a number.
#[inline(always)]
fn enter(body: impl FnOnce() -> Result<()>) -> c_int {
    enter_with(body, |_| {})
}

/// As [`enter`]; `tell` gets the error before its number is returned.
#[inline(always)]
fn enter_with(body: impl FnOnce() -> Result<()>, tell: impl FnOnce(&str)) -> c_int {
    match guarded(body) {
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

/// Runs the body of a C function that answers with something else than a number; `fallback` is the answer
/// when it fails.
#[inline(always)]
fn enter_or<T>(fallback: T, body: impl FnOnce() -> Result<T>) -> T {
    guarded(body).unwrap_or(fallback)
}

#[inline(always)]
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the body was changing is behind locks that do not poison, and atomics: whole at every step.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Error::new(ErrorCode::UNKNOWN, format!("a fault in the library, please report it: {what}")))
    })
}

/// A time that a caller is ready to wait; out of range counts as the nearest.
fn bounded_wait(milliseconds: c_int) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0).min(WAIT_MS_MAX))
}

/// The longest time that a caller can be ready to wait.
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
