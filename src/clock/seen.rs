//! What is kept on disk of a device's time, for its other processes and for the next start of the
//! machine.
//!
//! Boot clocks stand in here as the machine's, not as a process reads its own. Words of servers are
//! ordered by when they were heard, never by what they say:
//!
//! | this file's word | a process's own word | the newer one |
//! | --- | --- | --- |
//! | of this start of the machine | of this start | the one that was asked for later |
//! | of this start | none | the file's |
//! | of another start, or none | any | the process's |

use serde::{Deserialize, Serialize};

use super::leaps::Leaps;

/// A server's word about the time, and when it was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// The machine's boot clock when the server was asked: its answer is from after that.
    pub(super) asked_at_ms: i64,
    /// Which of several that were asked for in the same millisecond.
    pub(super) nth: u32,
    /// What it said, Unix milliseconds.
    pub(super) said_ms: i64,
}

impl Word {
    /// Whether this word is newer than another one of the same start of the machine.
    pub(super) fn is_newer_than(self, other: Self) -> bool {
        (self.asked_at_ms, self.nth) > (other.asked_at_ms, other.nth)
    }
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// What it was taken to be when this was written. After a start that cannot be told from this
    /// one, time is not before it.
    pub(super) highest_ms: i64,
    /// The start of the machine; empty when it has no name, or when the writer's boot clock is not
    /// the machine's.
    pub(super) boot_id: String,
    /// Device time less the machine's boot clock.
    pub(super) offset_ms: i64,
    /// Whether a server was heard in this start.
    pub(super) is_set: bool,
    /// By how much the wall clock was ahead when a server was heard last.
    pub(super) error_ms: i64,
    /// What that server said; 0 when none was ever heard.
    pub(super) heard_ms: i64,
    /// When it was asked, by the machine's boot clock of the start in which that was.
    pub(super) heard_at_ms: i64,
    /// Which of several of the same millisecond.
    pub(super) heard_nth: u32,
    /// When the time was set back.
    pub(super) leaps: Leaps,
}

impl Seen {
    /// Return the word that was heard last.
    pub(super) fn word(&self) -> Word {
        Word { asked_at_ms: self.heard_at_ms, nth: self.heard_nth, said_ms: self.heard_ms }
    }
}
