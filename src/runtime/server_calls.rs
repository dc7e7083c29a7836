//! The calls of the host that are talking to a server, and a shutdown that ends them, so that
//! `SM_Shutdown` leaves nothing running.
//!
//! | | no shutdown | a shutdown by another thread |
//! |---|---|---|
//! | a call to a server begins | at once | after that shutdown, within its own bound |
//! | a call in progress | continues | is waited for, then canceled |
//! | a shutdown begins | at once | after that shutdown, within its own bound |

use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;

use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result};
use crate::os::locks::{Condvar, Mutex, MutexGuard};

/// The calls of one process.
#[derive(Debug, Default)]
pub struct ServerCalls {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: u32,
    is_ending: bool,
}

/// The guard of a call that talks to a server.
#[derive(Debug)]
pub struct Talk<'a>(&'a ServerCalls);

/// The guard of a shutdown.
#[derive(Debug)]
pub struct Ending<'a>(&'a ServerCalls);

impl ServerCalls {
    /// Begin a call to a server. Wait for a shutdown in progress to end.
    ///
    /// # Errors
    /// Returns -20009 if that takes longer than `bound`.
    pub fn begin(&self, bound: Duration) -> Result<Talk<'_>> {
        self.after_another_shutdown(bound)?.under_way += 1;
        Ok(Talk(self))
    }

    /// Begin a shutdown. Wait for another shutdown in progress to end.
    ///
    /// # Errors
    /// Returns the same error as [`Self::begin`].
    pub fn begin_ending(&self, bound: Duration) -> Result<Ending<'_>> {
        self.after_another_shutdown(bound)?.is_ending = true;
        Ok(Ending(self))
    }

    fn after_another_shutdown(&self, bound: Duration) -> Result<MutexGuard<'_, State>> {
        let end = std::time::Instant::now() + bound;
        let mut state = self.state.lock();
        while state.is_ending {
            if self.changed.wait_until(&mut state, end).timed_out() {
                let message = "SM_Shutdown is running in another thread: call this again when it \
                    has returned";
                return Err(Error::new(ErrorCode::LICENSE_INIT_SEQUENCE_FAILED, message));
            }
        }
        Ok(state)
    }
}

impl Talk<'_> {
    /// Return what the caller sees of `outcome`: a request that a shutdown has canceled shows
    /// nothing about the server.
    pub fn outcome<T>(&self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Err(_) if self.0.state.lock().is_ending => {
                let message = "canceled, because SM_Shutdown was called in another thread";
                Err(Error::new(ErrorCode::LICENSE_INIT_SEQUENCE_FAILED, message))
            }
            outcome => outcome,
        }
    }
}

impl Ending<'_> {
    /// Wait until no call talks to a server. Return whether this happened in time.
    pub fn wait_for_talks(&self, clock: &dyn Clock, deadline: Deadline) -> bool {
        let end = std::time::Instant::now() + deadline.remaining(clock);
        let mut state = self.0.state.lock();
        while state.under_way > 0 {
            if self.0.changed.wait_until(&mut state, end).timed_out() {
                return state.under_way == 0;
            }
        }
        true
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        self.0.state.lock().under_way -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_ending = false;
        self.0.changed.notify_all();
    }
}
