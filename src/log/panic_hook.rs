//! What becomes of a fault of ours, a panic: the log hears of it, and the host's standard error
//! does not.
//!
//! The call in which it happened ends with an error (`capi::enter`), the keeper goes on with its
//! next round.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::log::{Level, say};

/// Lets faults go to the log, and nowhere else. The hook is that of our copy of the standard
/// library: a host in Rust that has loaded the shared library keeps its own.
pub fn tell_the_log() {
    // Not a `Once`: a child forked inside it would wait for ever.
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    // A unit test's panics are its own.
    if !cfg!(test) && !IS_DONE.swap(true, Ordering::Relaxed) {
        set_hook(Box::new(tell));
    }
}

fn tell(fault: &PanicHookInfo<'_>) {
    say(Level::Error, format_args!("a fault in the library, please report it: {fault}"));
}
