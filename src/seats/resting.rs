//! What becomes of the memory of a pool that its program does not use any more.
//!
//! A process may use one state directory after the other, as a test runner does. Each pool has a
//! file mapped and a page of its own, and other threads may be looking at them without a lock: so
//! they are never unmapped. But they are used again, by pools that are opened later. Until then
//! they keep their places in a row, oldest first: a thread that was between two instructions when
//! its pool was closed has gone on long before its memory belongs to another one.
//!
//! Meanwhile the pool itself has a view of nothing: of a file without seats, which is not the one
//! that the name means. So whoever uses the pool again finds that its file was replaced, and moves
//! to the one that has the name.

use std::collections::VecDeque;
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;

use seatmeter_protocol::seat_layout::FILE_BYTES;

use super::fork_local_page::{Local, PAGE_BYTES};
use crate::os::locks::Mutex;
use crate::os::{PerProcess, wiped_pages};

/// Places that are left are used again when so many others were left after them.
const ROW: usize = 8;

/// Where a pool's file is mapped, and its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) file: NonNull<u8>,
    pub(super) page: NonNull<Local>,
}

// SAFETY: both are addresses of memory that stays mapped, which is used through atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Of this process; a forked child begins with none.
static LEFT: PerProcess<Mutex<VecDeque<Memory>>> = PerProcess::new();

/// Leaves the memory of a view that no pool has any more.
pub(super) fn leave(memory: Memory) {
    LEFT.get(|_| Mutex::default()).lock().push_back(memory);
}

/// Memory to be used again, if there is enough in the row.
pub(super) fn take() -> Option<Memory> {
    let mut left = LEFT.get(|_| Mutex::default()).lock();
    if left.len() > ROW { left.pop_front() } else { None }
}

/// The memory of the view of nothing: zeros, one for all pools that rest.
///
/// # Errors
/// No memory.
pub(super) fn nothing() -> io::Result<Memory> {
    static NOTHING: OnceLock<Memory> = OnceLock::new();
    if let Some(nothing) = NOTHING.get() {
        return Ok(*nothing);
    }
    let made = Memory { file: wiped_pages(FILE_BYTES)?, page: wiped_pages(PAGE_BYTES)?.cast() };
    // Who comes second leaves his, once.
    Ok(*NOTHING.get_or_init(|| made))
}
