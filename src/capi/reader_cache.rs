//! The reader that a thread destroyed last, kept vacant for the next one that it creates.
//!
//! A program that makes a reader per image would spend more time in the allocator than on its seat.
//! One spare per thread is enough to avoid that. The spares are in a table by the thread's number,
//! and only that thread touches its own berth. A thread-local variable would cost a call each time,
//! because the library may be loaded late.
//!
//! | berth's thread | spare | |
//! |---|---|---|
//! | 0 | NULL | free: the first thread whose number maps to it has it from then on |
//! | a living thread | reader or NULL | its own |
//! | a thread that has ended | reader or NULL | waits for a thread that gets the same number, as the next one often does |
//!
//! A thread whose berth belongs to another thread uses `memories.rs`, where all memory of readers
//! comes from.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::memories;
use super::reader::SM_Reader;
use crate::os::thread_number;

/// Most threads that can have a spare. More threads than processors would gain nothing.
const BERTHS: usize = 128;

static SPARES: Spares = Spares::new();

/// Return a reader that holds nothing yet.
#[inline(always)]
pub(super) fn vacant() -> Box<SM_Reader> {
    SPARES.vacant(thread_number())
}

/// End a reader: give back what it holds, and keep its memory.
#[inline(always)]
pub(super) fn end(mut reader: Box<SM_Reader>) {
    let thread = thread_number();
    // Load the berth before the seat is given back: a load after that exchange has to wait for it.
    let berth = SPARES.free_berth(thread);
    reader.0.vacate();
    match berth {
        Some(berth) => berth.keep(reader),
        None => SPARES.claim_for(thread, reader),
    }
}

struct Spares([Berth; BERTHS]);

/// The spare of one thread. It has its own cache line, so that threads do not slow each other down.
#[repr(align(64))]
struct Berth {
    thread: AtomicUsize,
    spare: AtomicPtr<SM_Reader>,
}

impl Spares {
    const fn new() -> Self {
        Self(
            [const { Berth { thread: AtomicUsize::new(0), spare: AtomicPtr::new(ptr::null_mut()) } };
                BERTHS],
        )
    }

    #[inline(always)]
    fn berth(&self, thread: usize) -> &Berth {
        // The control blocks of threads lie far apart, at multiples of some stack size: the
        // multiplication spreads them.
        let spread = (thread as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.0[(spread >> (u64::BITS - BERTHS.ilog2())) as usize % BERTHS]
    }

    #[inline(always)]
    fn vacant(&self, thread: usize) -> Box<SM_Reader> {
        let berth = self.berth(thread);
        if berth.thread.load(Ordering::Relaxed) == thread {
            let spare = berth.spare.load(Ordering::Acquire);
            if !spare.is_null() {
                berth.spare.store(ptr::null_mut(), Ordering::Relaxed);
                // SAFETY: from `Box::into_raw` in `keep`. Only this thread reads and writes the
                // spare of its berth, and it has ended before another can have its number.
                return unsafe { Box::from_raw(spare) };
            }
        }
        new()
    }

    /// Return the thread's own berth, if it is empty.
    #[inline(always)]
    fn free_berth(&self, thread: usize) -> Option<&Berth> {
        let berth = self.berth(thread);
        let is_own = berth.thread.load(Ordering::Relaxed) == thread;
        (is_own && berth.spare.load(Ordering::Relaxed).is_null()).then_some(berth)
    }

    /// Keep a reader in the berth of the thread's number, if that is free; else give its memory
    /// back.
    #[cold]
    fn claim_for(&self, thread: usize, vacant: Box<SM_Reader>) {
        let berth = self.berth(thread);
        if berth.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            berth.keep(vacant);
        } else {
            memories::give(vacant);
        }
    }
}

impl Berth {
    #[inline(always)]
    fn keep(&self, vacant: Box<SM_Reader>) {
        self.spare.store(Box::into_raw(vacant), Ordering::Release);
    }
}

#[cold]
fn new() -> Box<SM_Reader> {
    memories::take(SM_Reader::vacant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(spares: &Spares, thread: usize, vacant: Box<SM_Reader>) {
        match spares.free_berth(thread) {
            Some(berth) => berth.keep(vacant),
            None => spares.claim_for(thread, vacant),
        }
    }

    #[test]
    fn the_next_reader_of_a_thread_gets_the_memory_of_the_last() {
        let spares = Spares::new();
        let address = |reader: &SM_Reader| ptr::from_ref(reader);
        let first = spares.vacant(1);
        let first_address = address(&first);
        keep(&spares, 1, first);
        // A thread takes nothing from another thread's berth, even if its number maps to it.
        for thread in 2..1000 {
            assert_ne!(address(&spares.vacant(thread)), first_address);
        }
        let second = spares.vacant(1);
        assert_eq!(address(&second), first_address);
        let third = spares.vacant(1);
        assert_ne!(address(&third), first_address);
        keep(&spares, 1, second);
        keep(&spares, 1, third);
        drop(spares.vacant(1));
    }

    #[test]
    fn a_thread_does_not_keep_a_spare_in_anothers_berth() {
        let spares = Spares::new();
        let of_one = spares.vacant(1);
        keep(&spares, 1, of_one);
        let other = (2..).find(|&other| ptr::eq(spares.berth(other), spares.berth(1))).unwrap();
        keep(&spares, other, spares.vacant(other));
        assert_eq!(spares.berth(1).thread.load(Ordering::Relaxed), 1);
        drop(spares.vacant(1));
    }
}
