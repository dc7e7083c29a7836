//! Values that are published whole: a place of the process, a list that grows, a stack of memories
//! of readers (`src/os/fork.rs`, `src/os/published.rs`, `src/seats/append_list.rs`,
//! `src/capi/memories.rs`).

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

/// Two objects that are made outside, and the number of the published one; 0: none.
struct Place {
    objects: [UnsafeCell<u32>; 2],
    published: AtomicUsize,
}

// SAFETY: loom checks each access to an object for a race.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    fn get_slow(&self, mine: usize, release: Ordering) -> usize {
        self.objects[mine - 1].with_mut(|object| {
            // SAFETY: nobody else has seen the object yet.
            unsafe { *object = mine as u32 }
        });
        match self.published.compare_exchange(0, mine, release, Ordering::Acquire) {
            Ok(_) => mine,
            Err(winner) => winner,
        }
    }

    fn read(&self, object: usize) -> u32 {
        // SAFETY: a published object is not changed any more.
        self.objects[object - 1].with(|object| unsafe { *object })
    }
}

fn two_make_an_object_at_once(release: Ordering) {
    loom::model(move || {
        let place = Arc::new(Place {
            objects: [UnsafeCell::new(0), UnsafeCell::new(0)],
            published: AtomicUsize::new(0),
        });
        let other = place.clone();
        let other = thread::spawn(move || {
            let winner = other.get_slow(1, release);
            (winner, other.read(winner))
        });
        let winner = place.get_slow(2, release);
        let seen = (winner, place.read(winner));
        assert_eq!(seen, other.join().unwrap());
        assert_eq!(seen.1 as usize, seen.0);
    });
}

#[test]
fn two_who_make_an_object_at_once_use_one_and_see_it_whole() {
    two_make_an_object_at_once(Ordering::AcqRel);
}

#[test]
#[should_panic = "Causality violation"]
fn an_object_that_is_published_without_release_is_found() {
    two_make_an_object_at_once(Ordering::Relaxed);
}

/// A stack of two places, as `memories.rs` has it: its head counts its changes.
struct Stack {
    next: [AtomicU64; 2],
    readers: [UnsafeCell<u32>; 2],
    free: AtomicU64,
}

// SAFETY: loom checks each access to a reader for a race.
unsafe impl Send for Stack {}
// SAFETY: as above.
unsafe impl Sync for Stack {}

fn changed(head: u64, place_and_one: u64) -> u64 {
    (((head >> 32) + 1) << 32) | place_and_one
}

impl Stack {
    fn pop(&self) -> Option<u64> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let number = u64::from(head as u32).checked_sub(1)?;
            let next = changed(head, self.next[number as usize].load(Ordering::Acquire));
            match self.free.compare_exchange(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(other) => head = other,
            }
        }
    }

    fn push(&self, number: u64) {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            self.next[number as usize].store(u64::from(head as u32), Ordering::Release);
            let next = changed(head, number + 1);
            match self.free.compare_exchange(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    /// Take a memory, write to it as its only user, and give it back.
    fn use_one(&self) {
        let Some(number) = self.pop() else { return };
        // SAFETY: a place that is off the stack has one user.
        self.readers[number as usize].with_mut(|reader| unsafe { *reader += 1 });
        self.push(number);
    }
}

#[test]
fn a_memory_has_one_user_at_a_time_and_the_next_one_sees_what_the_last_has_left() {
    loom::model(|| {
        let stack = Arc::new(Stack {
            next: [AtomicU64::new(0), AtomicU64::new(0)],
            readers: [UnsafeCell::new(0), UnsafeCell::new(0)],
            free: AtomicU64::new(0),
        });
        stack.push(0);
        stack.push(1);
        let other = stack.clone();
        let other = thread::spawn(move || other.use_one());
        stack.use_one();
        other.join().unwrap();
    });
}
