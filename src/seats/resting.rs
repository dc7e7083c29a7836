//! The reuse of the memory of pools that their program does not use any more.
//!
//! A process may use one state directory after the other, as a test runner does. Each pool has a
//! mapped file and a page of its own. Other threads may be reading them without a lock, so they are
//! never unmapped. Instead, pools that are opened later use them again. Until then they wait in a
//! queue, oldest first. A thread that was between two instructions when its pool was closed has
//! long finished before the memory belongs to another pool.
//!
//! Meanwhile the pool itself has a view of nothing: of a file without seats, which is not the one
//! that the name means. So the next use of the pool finds that its file was replaced, and moves to
//! the one that has the name.

use std::collections::VecDeque;
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;

use seatmeter_protocol::seat_layout::FILE_BYTES;

use super::fork_local_page::{Local, PAGE_BYTES};
use crate::os::locks::{INNERMOST, Mutex};
use crate::os::{PerProcess, wiped_pages};

/// The number of later memories in the queue after which the oldest is used again.
const ROW: usize = 8;

/// The addresses of a pool's mapped file and of its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) file: NonNull<u8>,
    pub(super) page: NonNull<Local>,
}

// SAFETY: both are addresses of memory that stays mapped, which is used through atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// The queue of this process; a forked child begins with an empty one.
static LEFT: PerProcess<Mutex<VecDeque<Memory>, INNERMOST>> = PerProcess::new();

/// Add the memory of a view that no pool has any more to the queue.
pub(super) fn retire(memory: Memory) {
    LEFT.get(|_| Mutex::default()).lock().push_back(memory);
}

/// Return memory to be used again, if the queue is long enough.
pub(super) fn reuse() -> Option<Memory> {
    let mut left = LEFT.get(|_| Mutex::default()).lock();
    if left.len() > ROW { left.pop_front() } else { None }
}

/// Return the memory of the view of nothing: zeros, one for all pools that rest.
///
/// # Errors
/// There is no memory.
pub(super) fn nothing() -> io::Result<Memory> {
    static NOTHING: OnceLock<Memory> = OnceLock::new();
    if let Some(nothing) = NOTHING.get() {
        return Ok(*nothing);
    }
    let made = Memory { file: wiped_pages(FILE_BYTES)?, page: wiped_pages(PAGE_BYTES)?.cast() };
    // If two threads race here, the second one's memory stays mapped, once.
    Ok(*NOTHING.get_or_init(|| made))
}
