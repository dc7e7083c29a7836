//! The forks of the host, as far as our locks depend on them.
//!
//! A fork between the opening and the closing of a lock's descriptor gives the child a copy of the
//! descriptor, and the lock would outlive us. We cannot stop the child from inheriting it. But we
//! can notice a fork, and then do not use the lock. Children made by a bare `clone` are not
//! noticed: the guardian's flag still shows our death.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::thread;

use super::system::{self, FileIdentity};

/// The numbers of forks that began and that ended in this process.
static BEGUN: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);
/// The mark that the handlers are registered. It is not a `Once`, because a child forked inside
/// that would wait for ever.
static HAS_HANDLERS: AtomicBool = AtomicBool::new(false);

/// A descriptor that children close, plus one, and the file that the descriptor must refer to.
struct Kept {
    descriptor: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

/// The kept descriptors: one for each pool on an overlayfs.
static KEPT: [Kept; KEPT_MAX] = [const {
    Kept { descriptor: AtomicI32::new(0), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
}; KEPT_MAX];
const KEPT_MAX: usize = 64;
/// An entry that is being filled in.
const CLAIMED: i32 = -1;
/// The most times that a waiting thread yields to others: a fork of a large process takes
/// milliseconds.
const YIELDS_MAX: u32 = 10_000;

/// A moment at which no fork was under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u32);

/// Wait for a moment without forks. If forks never pause, return a moment for which `none_since` is
/// false.
pub(crate) fn quiet_moment() -> Moment {
    if !HAS_HANDLERS.swap(true, Ordering::SeqCst) {
        // SAFETY: the handlers touch atomics and close descriptors: allowed in a child of a
        // threaded process. The library is never unloaded (`-z nodelete`), so they stay callable.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    }
    for _ in 0..YIELDS_MAX {
        let ended = ENDED.load(Ordering::SeqCst);
        if BEGUN.load(Ordering::SeqCst) == ended {
            return Moment(ended);
        }
        thread::yield_now();
    }
    Moment(BEGUN.load(Ordering::SeqCst).wrapping_sub(1))
}

/// Say whether no fork has begun since `moment`.
pub(crate) fn none_since(moment: Moment) -> bool {
    BEGUN.load(Ordering::SeqCst) == moment.0
}

/// Let forked children close this descriptor. Return false if there are too many of them.
pub(crate) fn close_in_children(descriptor: RawFd, of: FileIdentity) -> bool {
    KEPT.iter().any(|kept| {
        let free = kept
            .descriptor
            .compare_exchange(0, CLAIMED, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        if free {
            kept.device.store(of.device, Ordering::SeqCst);
            kept.inode.store(of.inode, Ordering::SeqCst);
            kept.descriptor.store(descriptor + 1, Ordering::SeqCst);
        }
        free
    })
}

/// Remove the descriptor from those that children close.
pub(crate) fn forget(descriptor: RawFd) {
    for kept in &KEPT {
        let _ = kept.descriptor.compare_exchange(
            descriptor + 1,
            0,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
    }
}

extern "C" fn before() {
    BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn in_parent() {
    ENDED.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn in_child() {
    // Forks of other threads that were under way do not exist here.
    ENDED.store(BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    for kept in &KEPT {
        let descriptor = kept.descriptor.swap(0, Ordering::SeqCst) - 1;
        let of = FileIdentity {
            device: kept.device.load(Ordering::SeqCst),
            inode: kept.inode.load(Ordering::SeqCst),
        };
        if descriptor >= 0 && of.is_of_descriptor(descriptor) {
            system::close(descriptor);
        }
    }
}
