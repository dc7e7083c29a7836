//! What the network has seen of the installations: when their requests arrived, which of them were
//! put back to an earlier state, and which were told to be copies.

use std::collections::BTreeSet;

use crate::model::SLOT;
use crate::plan::MACHINES;

/// The time, in seconds, for which a device that was heard counts as alive. One that is put back
/// within it looks like a copy.
const ALIVE: u64 = 4 * SLOT;

#[derive(Default)]
pub(crate) struct Installations {
    /// The last time at which a request of each machine arrived.
    arrived_at: [u64; MACHINES],
    /// The end of the time for which a machine that was put back may look like a copy.
    alive_until: [Option<u64>; MACHINES],
    /// The UUIDs under which an installation was told to be a copy.
    copies: BTreeSet<String>,
    /// The UUIDs that a stranger has taken before their devices asked.
    pub(crate) taken: BTreeSet<String>,
}

impl Installations {
    /// Note that a request has arrived. A late one shows a machine alive that was put back.
    pub(super) fn arrives(&mut self, m: usize, now: u64, is_late: bool) {
        self.arrived_at[m] = now;
        if let (true, Some(until)) = (is_late, &mut self.alive_until[m]) {
            *until = now + ALIVE;
        }
    }

    /// Note that a machine is put back to an earlier state.
    pub(crate) fn put_back(&mut self, m: usize) {
        self.alive_until[m] = Some(self.arrived_at[m] + ALIVE);
    }

    /// Return whether a machine was ever put back to an earlier state.
    pub(super) fn was_put_back(&self, m: usize) -> bool {
        self.alive_until[m].is_some()
    }

    /// Note that an installation was told to be a copy.
    pub(super) fn is_told_to_be_a_copy(&mut self, uuid: String) {
        self.copies.insert(uuid);
    }

    /// Return whether a machine may look like a copy because it was put back: a moment after it was
    /// heard, or to a state of a copy.
    pub(super) fn may_look_copied(&self, m: usize, uuid: &str, now: u64) -> bool {
        let is_alive = |until: u64| now < until || self.copies.contains(uuid);
        self.alive_until[m].is_some_and(is_alive)
    }
}
