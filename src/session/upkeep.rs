//! Checks of a session's files on disk while its program runs: deleted files are created again.
//!
//! | what | how it is noticed | what is done |
//! |---|---|---|
//! | usage segments, spent allowances | once a second, and before each report | `licensed/upkeep.rs` |
//! | the lock that shows that this process works under the item | once a second | taken again |
//! | `device` | once a second, and when it is read | written again, with the identity that this process knows |
//! | the grant | once a second | the server is asked for it; this program continues under the grant in memory |
//! | the seat pool | once a second, by its guardian | `seats/attachment.rs` |
//! | the clock, folders, everything else | when it is written | created again |

use std::sync::atomic::Ordering;

use super::Session;
use crate::clock::Deadline;
use crate::device::Device;
use crate::license::Users;
use crate::licensed::Licensed;
use crate::log::{Level, say};
use crate::sync::SegmentNote;

/// The most different lines about segments that one session logs. It may run for years.
const SAID_MAX: usize = 1_000;

impl Session {
    /// Check everything, once a second. A count never waits for this.
    pub fn watch(&self) {
        let Some(licensed) = self.licensed().filter(|_| !self.is_closed.load(Ordering::Acquire))
        else {
            return;
        };
        licensed.watch();
        self.check_left();
        self.follow_device();
        if !Device::is_stored(&self.state) {
            self.reload_device();
        }
        let is_missing = self.store.is_missing();
        let was_missing = self.is_grant_missing.swap(is_missing, Ordering::Relaxed);
        // The keeper is woken once: if no server answers, it comes again by itself.
        if is_missing && !was_missing {
            (self.dependencies.wake)();
        }
    }

    /// Check the segments of the licenses that are not in use any more, until nothing counts into
    /// them.
    pub(super) fn check_left(&self) {
        let mut left = std::mem::take(&mut *self.left.lock());
        left.retain(|licensed| {
            licensed.check_files();
            !licensed.has_let_go()
        });
        self.left.lock().extend(left);
    }

    /// Give up all seats and segments, without a check: from now on the segments count as a dead
    /// process's.
    pub fn let_go(&self) {
        let left = std::mem::take(&mut *self.left.lock());
        left.into_iter().chain(self.licensed()).for_each(Licensed::close);
    }

    /// Take over what any program of the device has received since: the time, and the server
    /// notices about the item.
    ///
    /// The keeper does this, too, but its next round may be minutes away, and a count checks only
    /// the grant.
    pub fn follow_device(&self) {
        let Some(licensed) = self.licensed() else { return };
        self.dependencies.clock.catch_up();
        // The thread that holds this lock is putting a new grant into use. A notice about the old
        // one must not stop the new one.
        let Some(users) = self.users.try_lock() else {
            self.follow_clock(licensed);
            return;
        };
        self.hear();
        if let Some(Err(error)) = users.as_ref().map(Users::check_files) {
            say(Level::Warning, format_args!("{error}"));
        }
    }

    /// Return whether it is closed and everything was reported.
    pub(super) fn is_settled(&self) -> bool {
        self.is_closed.load(Ordering::Acquire) && self.is_settled.load(Ordering::Acquire)
    }

    /// Note that no thread checks once a second any more.
    pub fn end_watch(&self) {
        if let Some(licensed) = self.licensed() {
            licensed.end_watch();
        }
    }

    /// Return the client UUID of this device, which stays the same while the session is open.
    pub fn device_uuid(&self) -> String {
        self.reload_device().uuid().to_owned()
    }

    /// Make everything durable that was counted on this device and that no server has yet. The
    /// counts of this program are made durable in any case, the rest as far as time allows: sending
    /// may take all the time that remains.
    pub(super) fn make_all_durable(&self, deadline: Deadline) {
        self.durable.begin_round();
        if let Some(licensed) = self.licensed() {
            licensed.make_durable(&self.durable);
        }
        let clock = self.dependencies.clock;
        let half = deadline.remaining(clock) / 2;
        let is_late = || deadline.remaining(clock) <= half;
        for (folder, _) in self.usage_folders().unwrap_or_default() {
            self.durable.ensure_all(&folder, is_late);
        }
    }

    /// Log what happened to segments, once for each file and reason.
    pub(super) fn note_segments(&self, notes: &[SegmentNote]) {
        for SegmentNote { path, what } in notes {
            let line = format!("{} {what}", path.display());
            let mut said = self.said.lock();
            if said.len() < SAID_MAX && said.insert(line.clone()) {
                drop(said);
                say(Level::Warning, format_args!("{line}"));
            }
        }
    }
}
