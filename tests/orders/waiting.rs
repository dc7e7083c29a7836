//! A thread that waits for a seat and a process that gives one back: either the one sees the seat,
//! or the other sees the waiter (`src/seats/waiting.rs`).
//!
//! The exchange of the pool word is a full barrier on all processors: `lock cmpxchg16b`, or `ldaxp`
//! and `stlxp` with a `dmb` after them. Here it is an exchange and a fence. loom takes sequentially
//! consistent loads and stores for weaker than they are, and fences for what they are. So the
//! protocol is proved by its fences alone.

use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Pool {
    free: AtomicU32,
    waiters: AtomicU32,
    wake_word: AtomicU32,
    /// The kernel's queue of the futex: whether the waiter sleeps on the wake word.
    asleep: Mutex<bool>,
}

impl Pool {
    fn exchange_pool(&self, old: u32, new: u32) -> bool {
        let is_done =
            self.free.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok();
        fence(Ordering::SeqCst);
        is_done
    }

    fn give(&self) {
        assert!(self.exchange_pool(0, 1));
        self.wake_one();
    }

    fn wake_one(&self) {
        if self.waiters.load(Ordering::SeqCst) != 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        if self.waiters.swap(0, Ordering::SeqCst) == 0 {
            return;
        }
        self.wake_word.fetch_add(1, Ordering::SeqCst);
        *self.asleep.lock().unwrap() = false;
    }

    /// Read what a waiter reads before it tries, as `WaitSet::read` does.
    fn read_wait_set(&self, has_fence: bool) -> u32 {
        let wake_word = self.wake_word.load(Ordering::SeqCst);
        self.waiters.store(1, Ordering::SeqCst);
        if has_fence {
            fence(Ordering::SeqCst);
        }
        wake_word
    }

    fn take(&self) -> bool {
        self.free.load(Ordering::Acquire) == 1 && self.exchange_pool(1, 0)
    }

    fn sleep(&self, wake_word: u32) {
        let mut asleep = self.asleep.lock().unwrap();
        // The kernel compares the word while it holds the queue.
        *asleep = self.wake_word.load(Ordering::SeqCst) == wake_word;
    }
}

fn one_waits_and_one_gives(has_fence: bool) {
    loom::model(move || {
        let pool = Arc::new(Pool::default());
        let giver = pool.clone();
        let giver = thread::spawn(move || giver.give());
        let wake_word = pool.read_wait_set(has_fence);
        let has_seat = pool.take();
        if !has_seat {
            pool.sleep(wake_word);
        }
        giver.join().unwrap();
        assert!(!*pool.asleep.lock().unwrap(), "the waiter sleeps although a seat is free");
    });
}

#[test]
fn a_seat_that_comes_after_the_try_wakes_the_waiter() {
    one_waits_and_one_gives(true);
}

#[test]
#[should_panic = "the waiter sleeps although a seat is free"]
fn a_waiter_without_fence_is_found() {
    one_waits_and_one_gives(false);
}
