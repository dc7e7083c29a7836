//! Attaching to the pool, detaching, and moving when the pool file was replaced.
//!
//! | this process is | identity word | lock | guardian |
//! | --- | --- | --- | --- |
//! | not attached (also: a fresh child) | 0 | none | none |
//! | attached | entry, attachment, lineage | held | starting or on duty |
//!
//! One thread at a time makes these changes, inside the gate of the newest view. A move ends with a
//! newer view, so a thread that comes through a gate checks whether its view is still the newest.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use seatmeter_protocol::seat_layout::{Grant, Unfit};

use super::anchor;
use super::append_list::AppendList;
use super::atomic_128;
use super::error::{Repair, SeatError};
use super::file::Home;
use super::fork_local_page::{Identified, LINEAGE_MASK, Passage};
use super::guardian::{self, Guarded};
use super::holders;
use super::pool::{self, Me};
use super::view::{Candidate, View, sure};
use super::waiting;
use crate::fault_injection::kill_points::kill_point;
use crate::os::system::FileIdentity;
use crate::os::{Uncanceled, Undisturbed, monotonic_ms};

/// The most openings of a file with inconsistent counts. After these, another program must be
/// writing to the file.
const OPEN_TRIES_MAX: u32 = 4;
/// The grant number that closes a file which is no longer the pool.
pub(super) const CLOSED: u32 = u32::MAX;
/// The shortest time between two checks for a replaced file on slow paths.
const CHECK_EVERY_MS: u64 = 20;

/// The number of attachments of this process to any pool. A forked child continues the parent's
/// number.
static LINEAGES: AtomicU32 = AtomicU32::new(0);

/// The state that the public type, the guardian and the waiters share.
#[derive(Debug)]
pub(super) struct Shared {
    home: Home,
    views: AppendList<View>,
    pub(super) repairs: AppendList<Repair>,
}

/// The outcome of a look at the file: whether it is another one now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileCheck {
    Same,
    New,
}

impl Shared {
    pub(super) fn open(directory: &Path, name: &str) -> Result<Self, SeatError> {
        if !atomic_128::is_available() {
            return Err(SeatError::Processor);
        }
        let shared = Self {
            home: Home::new(directory, name)?,
            views: AppendList::new(),
            repairs: AppendList::new(),
        };
        let view = shared.open_view()?;
        view.wait_until_settled();
        shared.views.push(view);
        Ok(shared)
    }

    fn open_view(&self) -> Result<View, SeatError> {
        let path = &self.home.path;
        let mut repairs = Vec::new();
        for _ in 0..OPEN_TRIES_MAX {
            let file = self.home.open_or_create(&mut repairs);
            for repair in repairs.drain(..) {
                self.repairs.push(repair);
            }
            let file = file?;
            let copy = file.try_clone().map_err(|error| SeatError::io(path, "open", error))?;
            let view = View::new(file, path).map_err(|error| SeatError::io(path, "map", error))?;
            if view.is_consistent() {
                return Ok(view);
            }
            self.home.set_aside(&copy, Unfit::Inconsistent, &mut repairs)?;
        }
        Err(SeatError::Scribbled { path: path.clone() })
    }

    /// Return the view of the file that is the pool as far as we know.
    #[inline(always)]
    pub(super) fn view(&self) -> &View {
        // `open` has pushed a view.
        self.newest_view().expect("a pool has a view from its opening on")
    }

    /// Return the newest view where no panic is allowed, not even an impossible one.
    #[inline(always)]
    pub(super) fn newest_view(&self) -> Option<&View> {
        self.views.newest()
    }

    pub(super) fn path(&self) -> &Path {
        &self.home.path
    }

    /// Return the newest view, with its gate shut behind us.
    fn enter(&self) -> (&View, Passage<'_>) {
        loop {
            let view = self.view();
            let passage = view.local.gate.enter();
            // The loop ends, because each round needs another replaced file.
            if std::ptr::eq(view, self.view()) {
                return (view, passage);
            }
        }
    }

    /// Return the view of the file that has the name now, with its gate shut behind us.
    pub(super) fn enter_file(self: &Arc<Self>) -> Result<(&View, Passage<'_>), SeatError> {
        loop {
            self.check_file(true)?;
            let (view, passage) = self.enter();
            // Another thread may have let the pool rest since the check. The loop ends, because
            // each round needs another such thread.
            if !view.is_of_nothing() {
                return Ok((view, passage));
            }
        }
    }

    /// Return the newest view after running attachments, detachments and moves have finished.
    pub(super) fn settled_view(&self) -> &View {
        self.enter().0
    }

    /// Attach, unless another thread was faster.
    pub(super) fn attach(self: &Arc<Self>) -> Result<(), SeatError> {
        // This may run in a thread of the host, and no caller holds signals and cancellation off.
        let _undisturbed = Undisturbed::hold();
        let (view, _passage) = self.enter_file()?;
        if view.local.identified().is_some() {
            return Ok(());
        }
        let lineage = LINEAGES.fetch_add(1, Ordering::Relaxed) & LINEAGE_MASK;
        let me = take_entry(view)?;
        view.local.identify(Some(Identified { me, lineage }));
        self.post_guardian(view, me);
        Ok(())
    }

    fn post_guardian(self: &Arc<Self>, view: &View, me: Me) {
        let post = Post { shared: Arc::clone(self), view, entry: me.entry };
        guardian::start(Arc::new(post));
    }

    /// Give all seats and the entry back.
    pub(super) fn detach(&self) {
        let (view, _passage) = self.enter();
        let Some(who) = view.local.identified() else { return };
        view.local.identify(None);
        sure(pool::reclaim(&view.mapping, who.me));
        kill_point("detach: seats given back");
        release_entry(view);
        waiting::wake_one(view);
    }

    /// Leave the mapped memory and the descriptors to other pools, because nobody in this process
    /// uses the pool for now. Do nothing while the process is attached. The next use opens the file
    /// again.
    pub(super) fn rest(&self) {
        let (view, passage) = self.enter();
        let is_in_use = |view: &View| {
            view.local.identified().is_some()
                || view.local.guardian.load(Ordering::SeqCst) != guardian::NONE
        };
        // A view whose guardian has not left in time is not changed. Memory that was left before
        // may belong to another pool by now.
        if view.is_of_nothing()
            || self.views.iter().filter(|view| view.has_own_memory()).any(is_in_use)
        {
            return;
        }
        let Ok(nothing) = View::of_nothing(&self.home.path) else { return };
        self.views.push(nothing);
        drop(passage);
        debug_assert!(!std::ptr::eq(view, self.view()), "another view is in its place");
        self.views.iter().skip(1).for_each(View::leave);
    }

    /// Report that `who` is not attached any more in `seen`. If no other thread has detached or
    /// moved meanwhile, the entry is lost although the process lives.
    pub(super) fn lost(&self, seen: &View, who: Identified) {
        let _uncanceled = Uncanceled::hold();
        let (view, _passage) = self.enter();
        // In another file we may have the same entry and attachment.
        if !std::ptr::eq(view, seen) || view.local.identified() != Some(who) {
            return;
        }
        view.local.identify(None);
        release_entry(view);
        self.repairs.push(Repair::Lost { path: self.home.path.clone() });
    }

    /// Check whether the file is still the one with the name. If it is not, move to the one that
    /// is.
    pub(super) fn check_file(self: &Arc<Self>, now: bool) -> Result<FileCheck, SeatError> {
        let view = self.view();
        let ms = monotonic_ms();
        if !now
            && ms.wrapping_sub(view.local.checked_at_ms.load(Ordering::Relaxed)) < CHECK_EVERY_MS
        {
            return Ok(FileCheck::Same);
        }
        view.local.checked_at_ms.store(ms, Ordering::Relaxed);
        if !is_replaced(view) {
            return Ok(FileCheck::Same);
        }
        let _undisturbed = Undisturbed::hold();
        let (view, _passage) = self.enter();
        self.move_from(view, true)
    }

    /// Move to the file that has the name now, with the seats that we hold. The caller is inside
    /// the gate.
    ///
    /// The steps that can fail come first. Then the old attachment ends. That gives the
    /// number of seats to take along, and it stops threads that are taking or giving: they find the
    /// attachment gone, come to the gate and wait.
    fn move_from(
        self: &Arc<Self>,
        view: &View,
        send_guardian_away: bool,
    ) -> Result<FileCheck, SeatError> {
        if !is_replaced(view) {
            return Ok(FileCheck::New);
        }
        let new = self.open_view()?;
        let who = view.local.identified();
        let me = who.map(|_| take_entry(&new)).transpose()?;
        kill_point("move: attached to the new file");
        // The closing grant of the first process that moved says nothing about seats. That process
        // has brought the real grant along.
        let grant = Grant::unpack(view.mapping.grant().load(Ordering::SeqCst));
        if grant.number != CLOSED {
            new.grant(grant);
        }
        view.mapping.grant().store(Grant { seats: 0, number: CLOSED }.pack(), Ordering::SeqCst);
        let mut seats = 0;
        if let (Some(who), Some(me)) = (who, me) {
            seats = sure(pool::leave(&view.mapping, who.me));
            kill_point("move: left the old file");
            sure(pool::adopt(&new.mapping, me, seats));
            new.local.identify(Some(Identified { me, lineage: who.lineage }));
        }
        if !view.is_of_nothing() {
            self.repairs.push(Repair::Moved { path: self.home.path.clone(), seats });
        }
        let new = self.views.push(new);
        view.local.identify(None);
        if let Some(me) = me {
            self.post_guardian(new, me);
            if send_guardian_away {
                release_entry(view);
            } else {
                // The guardian itself is moving, and leaves by itself. If another process gets the
                // entry of the old file before that, its flag may be cleared; then the kernel is
                // asked for its lock.
                release_lock(view);
            }
        }
        view.probe.retire();
        waiting::wake_all(view);
        Ok(FileCheck::New)
    }
}

fn is_replaced(view: &View) -> bool {
    // A process that may no longer read the directory keeps the file that it has.
    FileIdentity::of_name(&view.path).is_ok_and(|named| named != Some(view.probe.identity()))
}

fn take_entry(view: &View) -> Result<Me, SeatError> {
    let (me, guard) = Candidate::new(view).attach()?;
    view.keep(Some(guard));
    view.local
        .anchor
        .store(anchor::drop_at(&view.path).map_or(0, |anchor| anchor + 1), Ordering::Release);
    holders::introduce(&view.mapping, me.entry);
    Ok(me)
}

/// Release the guardian and the lock after the attachment is over. If the guardian still ran when
/// the entry belongs to another process, the guardian's end would mark that process as dead. So if
/// the guardian does not confirm, the lock stays, and the entry with it.
fn release_entry(view: &View) {
    if !guardian::dismiss(&view.local.guardian) {
        return;
    }
    kill_point("detach: guardian gone");
    release_lock(view);
}

fn release_lock(view: &View) {
    if let Some(guard) = view.kept() {
        view.keep(None);
        view.probe.unlock(guard);
    }
    let anchor = view.local.anchor.swap(0, Ordering::AcqRel);
    if anchor != 0 {
        anchor::raise(&view.path, anchor - 1);
    }
}

/// The entry that a guardian guards.
struct Post {
    shared: Arc<Shared>,
    /// The view of the guarded entry: one of `shared.views`, which live as long as `shared`.
    view: *const View,
    entry: u16,
}

// SAFETY: the pointer is to a view that `shared` owns, and views are `Sync`.
unsafe impl Send for Post {}
// SAFETY: as above.
unsafe impl Sync for Post {}

impl Post {
    fn view(&self) -> &View {
        // SAFETY: views live as long as `shared`, of which this holds a share.
        unsafe { &*self.view }
    }
}

impl Guarded for Post {
    fn state(&self) -> &AtomicU32 {
        &self.view().local.guardian
    }

    fn flag_and_wake_word(&self) -> (&AtomicU32, &AtomicU32) {
        let mapping = &self.view().mapping;
        (mapping.flag(self.entry), mapping.wake_word())
    }

    fn check_file(&self) -> bool {
        let view = self.view();
        if !is_replaced(view) {
            return true;
        }
        // The thread inside may be waiting for this thread to leave.
        let Some(_passage) = view.local.gate.try_enter() else { return true };
        if !std::ptr::eq(view, self.shared.view()) {
            return false;
        }
        // If the move fails now, the next check may succeed.
        !matches!(self.shared.move_from(view, false), Ok(FileCheck::New))
    }
}
