//! The memory of readers: known by its address, and never given back to the allocator.
//!
//! So the address of a reader, even of a destroyed one, can never be that of a text, and
//! `DBR_InitLicense` can distinguish the two without access to the memory there. A program has as
//! many of these memories as it ever had readers at the same time. Everything is atomic, so that a
//! forked child finds a consistent state.
//!
//! ```text
//! chunk 0: 64 places   chunk 1: 128 places   …            each place: a reader's address, and the
//! next free place free: a stack of places, its head with a number that counts the changes
//! ```

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::reader::SM_Reader;

/// Places of the first chunk; each further chunk has twice as many.
const FIRST_PLACES: usize = 64;

/// Most chunks. They have more places than there can be readers in memory.
const CHUNKS: usize = 24;

/// The place number of a reader that has no place.
pub(super) const NO_PLACE: u32 = u32::MAX;

static MEMORIES: Memories = Memories::new();

/// Return the memory of a destroyed reader, or make new memory with `make`, which gets its place
/// number.
pub(super) fn take(make: impl FnOnce(u32) -> SM_Reader) -> Box<SM_Reader> {
    MEMORIES.take(make)
}

/// Keep the memory of a vacant reader for the next one.
pub(super) fn give(vacant: Box<SM_Reader>) {
    MEMORIES.give(vacant);
}

/// Return whether a reader is, or was, at this address. The memory there is not accessed.
#[cfg_attr(
    not(feature = "decode"),
    allow(dead_code, reason = "only the DBR API has two prototypes")
)]
pub(super) fn is_known(address: *const SM_Reader) -> bool {
    MEMORIES.is_known(address)
}

struct Memories {
    chunks: [AtomicPtr<Place>; CHUNKS],
    count: AtomicUsize,
    /// Low half: number of the first free place plus 1, or 0. High half: count of changes.
    free: AtomicU64,
}

struct Place {
    reader: AtomicPtr<SM_Reader>,
    /// Number of the next free place plus 1, or 0.
    next: AtomicU32,
}

impl Memories {
    const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            count: AtomicUsize::new(0),
            free: AtomicU64::new(0),
        }
    }

    fn take(&self, make: impl FnOnce(u32) -> SM_Reader) -> Box<SM_Reader> {
        match self.pop() {
            // SAFETY: from `Box::into_raw` in `add`, and off the stack: nobody else has it.
            Some(place) => unsafe { Box::from_raw(place.reader.load(Ordering::Acquire)) },
            None => self.add(make),
        }
    }

    fn give(&self, vacant: Box<SM_Reader>) {
        let number = vacant.place();
        if let Some(place) = self.place(number as usize) {
            place.reader.store(Box::into_raw(vacant), Ordering::Release);
            self.push(number, place);
        }
    }

    #[cfg_attr(not(feature = "decode"), allow(dead_code, reason = "as above"))]
    fn is_known(&self, address: *const SM_Reader) -> bool {
        let count = self.count.load(Ordering::Acquire);
        let places = (0..count).filter_map(|number| self.place(number));
        places.into_iter().any(|place| ptr::eq(place.reader.load(Ordering::Relaxed), address))
    }

    fn add(&self, make: impl FnOnce(u32) -> SM_Reader) -> Box<SM_Reader> {
        let number = self.count.fetch_add(1, Ordering::AcqRel);
        let Some(place) = self.made_place(number) else { return Box::new(make(NO_PLACE)) };
        // This fits: it is below the number of places of all chunks.
        let reader = Box::into_raw(Box::new(make(number as u32)));
        place.reader.store(reader, Ordering::Release);
        // SAFETY: from `Box::into_raw`, and not on the stack.
        unsafe { Box::from_raw(reader) }
    }

    fn pop(&self) -> Option<&Place> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let number = (head as u32).checked_sub(1)?;
            let place = self.place(number as usize)?;
            let next = changed(head, place.next.load(Ordering::Acquire));
            match self.free.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(place),
                Err(other) => head = other,
            }
        }
    }

    fn push(&self, number: u32, place: &Place) {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            place.next.store(head as u32, Ordering::Release);
            let next = changed(head, number + 1);
            match self.free.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    fn place(&self, number: usize) -> Option<&Place> {
        let (chunk, at) = chunk_of(number);
        let places = self.chunks.get(chunk)?.load(Ordering::Acquire);
        if places.is_null() {
            return None;
        }
        // SAFETY: a chunk that is there has `FIRST_PLACES << chunk` places, more than `at`, and
        // is never freed. The pointer is that of the whole chunk, not of its first place.
        Some(unsafe { &*places.add(at) })
    }

    /// Return the same as [`Self::place`], but make the chunk if it does not exist.
    fn made_place(&self, number: usize) -> Option<&Place> {
        let chunk = chunk_of(number).0;
        let slot = self.chunks.get(chunk)?;
        if slot.load(Ordering::Acquire).is_null() {
            let places = (0..FIRST_PLACES << chunk).map(|_| Place {
                reader: AtomicPtr::new(ptr::null_mut()),
                next: AtomicU32::new(0),
            });
            let places = Box::into_raw(places.collect::<Box<[Place]>>());
            let none = ptr::null_mut();
            if slot
                .compare_exchange(none, places.cast(), Ordering::AcqRel, Ordering::Acquire)
                .is_err()
            {
                // SAFETY: from `Box::into_raw`; another thread's chunk is there, and no other
                // thread has seen this one.
                drop(unsafe { Box::from_raw(places) });
            }
        }
        self.place(number)
    }
}

/// Return the chunk of a place, and the place's index in it.
fn chunk_of(number: usize) -> (usize, usize) {
    let chunk = (number / FIRST_PLACES + 1).ilog2() as usize;
    (chunk, number - FIRST_PLACES * ((1 << chunk) - 1))
}

/// Return the next head of the stack: this place plus 1, and one more change.
fn changed(head: u64, place_and_one: u32) -> u64 {
    (((head >> 32) + 1) << 32) | u64::from(place_and_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::locks::Mutex;
    use std::collections::BTreeSet;

    fn address(reader: &SM_Reader) -> usize {
        ptr::from_ref(reader).addr()
    }

    #[test]
    fn memory_of_a_reader_stays_known_and_is_used_again() {
        let memories = Memories::new();
        let readers: Vec<_> = (0..1000).map(|_| memories.take(SM_Reader::vacant)).collect();
        let addresses: BTreeSet<usize> = readers.iter().map(|reader| address(reader)).collect();
        assert_eq!(addresses.len(), 1000);
        readers.into_iter().for_each(|reader| memories.give(reader));
        for address in &addresses {
            assert!(memories.is_known(ptr::without_provenance(*address)));
        }
        let text = c"a text";
        assert!(!memories.is_known(text.as_ptr().cast()) && !memories.is_known(ptr::null()));
        let again: Vec<_> = (0..1000).map(|_| memories.take(SM_Reader::vacant)).collect();
        assert_eq!(again.iter().map(|reader| address(reader)).collect::<BTreeSet<_>>(), addresses);
        again.into_iter().for_each(|reader| memories.give(reader));
    }

    #[test]
    fn two_threads_never_have_the_same_memory() {
        let (memories, in_use) = (&Memories::new(), &Mutex::new(BTreeSet::new()));
        let rounds = || {
            for _ in 0..5000 {
                let readers: Vec<_> = (0..3).map(|_| memories.take(SM_Reader::vacant)).collect();
                for reader in &readers {
                    assert!(in_use.lock().insert(address(reader)));
                }
                for reader in readers {
                    assert!(in_use.lock().remove(&address(&reader)));
                    memories.give(reader);
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(rounds))));
        assert!(memories.count.load(Ordering::Relaxed) <= 12);
    }

    #[test]
    fn every_place_has_its_chunk() {
        for (number, expected) in
            [(0, (0, 0)), (63, (0, 63)), (64, (1, 0)), (191, (1, 127)), (192, (2, 0))]
        {
            assert_eq!(chunk_of(number), expected);
        }
    }
}
