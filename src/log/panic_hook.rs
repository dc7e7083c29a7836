//! The handling of a panic, which is a bug of this library: it goes to the log and not to the
//! host's standard error.
//!
//! The call in which it happened ends with an error (`capi::enter`); the keeper continues with its
//! next round.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::log::{Level, say};

/// Send panics to the log only. The hook is that of our copy of the standard library: a Rust host
/// that has loaded the shared library keeps its own.
pub fn tell_the_log() {
    // A `Once` cannot be used here: a child that was forked inside it would wait forever.
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    // The panics of unit tests must reach the test runner.
    if !cfg!(test) && !IS_DONE.swap(true, Ordering::Relaxed) {
        set_hook(Box::new(tell));
    }
}

fn tell(fault: &PanicHookInfo<'_>) {
    say(Level::Error, format_args!("a fault in the library, please report it: {fault}"));
}
