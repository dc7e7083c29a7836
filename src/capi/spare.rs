//! The memory of the reader that this thread destroyed last, kept for the next one it creates.
//!
//! A program that makes a reader per image would spend more time in the allocator than on its seat. One spare a
//! thread is enough for that, and is freed when the thread ends.

use std::cell::Cell;
use std::mem::MaybeUninit;

use super::reader::SM_Reader;

type Memory = Box<MaybeUninit<SM_Reader>>;

thread_local! {
    static SPARE: Cell<Option<Memory>> = const { Cell::new(None) };
}

/// Makes a reader in memory of its own: in place, for moving it there would cost more than making it.
#[inline(always)]
pub(super) fn place(make: impl FnOnce() -> SM_Reader) -> Box<SM_Reader> {
    // In a thread that is ending there is no spare any more.
    let memory = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_else(Box::new_uninit);
    Box::write(memory, make())
}

/// Ends a reader and keeps its memory.
#[inline(always)]
pub(super) fn end(reader: Box<SM_Reader>) {
    let memory = Box::into_raw(reader);
    // SAFETY: a live reader, owned by nobody else; what is left of it is memory without a value.
    let memory = unsafe {
        memory.drop_in_place();
        Box::from_raw(memory.cast::<MaybeUninit<SM_Reader>>())
    };
    // If the thread is ending, or has a spare (dropped here), the memory is freed.
    let _ = SPARE.try_with(move |spare| spare.set(Some(memory)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    #[test]
    fn the_next_reader_of_a_thread_gets_the_memory_of_the_last() {
        let reader = || SM_Reader(Reader::new(None));
        let first = place(reader);
        let address = &raw const *first;
        end(first);
        let second = place(reader);
        assert_eq!(&raw const *second, address);
        let third = place(reader);
        assert_ne!(&raw const *third, address);
        end(second);
        end(third);
    }
}
