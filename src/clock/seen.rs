//! The stored content of a device's time, for its other processes and for the next start of the
//! machine.
//!
//! Boot clocks in this file are the machine's, not a process's own. Server times are ordered by
//! when they were received, never by their value:
//!
//! | the file's server time | a process's own | the newer one |
//! | --- | --- | --- |
//! | of this start of the machine | of this start | the one that was requested later |
//! | of this start | none | the file's |
//! | of another start, or none | any | the process's |

use serde::{Deserialize, Serialize};

use super::leaps::Leaps;

/// A server's time, and when it was requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerTime {
    /// The machine's boot clock when the server was asked: its answer comes after that.
    pub(super) asked_at_ms: i64,
    /// The number of this server time among those that were requested in the same millisecond.
    pub(super) nth: u32,
    /// The server's time, in Unix milliseconds.
    pub(super) said_ms: i64,
}

impl ServerTime {
    /// Return whether this server time is newer than another one of the same start of the machine.
    pub(super) fn is_newer_than(self, other: Self) -> bool {
        (self.asked_at_ms, self.nth) > (other.asked_at_ms, other.nth)
    }
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// The device's time when this was written. After a start that cannot be distinguished from
    /// this one, time is never below it.
    pub(super) highest_ms: i64,
    /// The id of the start of the machine; empty when it has no name, or when the writer's boot
    /// clock differs from the machine's by an unknown amount.
    pub(super) boot_id: String,
    /// Device time minus the machine's boot clock.
    pub(super) offset_ms: i64,
    /// Whether a server's time was received in this start.
    pub(super) is_set: bool,
    /// The milliseconds by which the wall clock was ahead when a server's time was last received.
    pub(super) error_ms: i64,
    /// The last server time received, in Unix milliseconds; 0 when none was ever received.
    pub(super) heard_ms: i64,
    /// The time of that request, by the machine's boot clock of the start in which it was made.
    pub(super) heard_at_ms: i64,
    /// The number of that server time among those of the same millisecond.
    pub(super) heard_nth: u32,
    /// The steps by which the time was set back.
    pub(super) leaps: Leaps,
}

impl Seen {
    /// Return the server time that was received last.
    pub(super) fn server_time(&self) -> ServerTime {
        ServerTime { asked_at_ms: self.heard_at_ms, nth: self.heard_nth, said_ms: self.heard_ms }
    }
}
