//! The locks of this library: those of the standard library, without poison, and for a reader's
//! counting a spinlock of `spin` whose waiters sleep.
//!
//! Each lock is one word and nothing else. Other libraries, parking_lot among them, keep one table
//! of sleeping threads for the whole process. A forked child gets a copy of that table: it may be
//! locked, and it lists threads that the child does not have. The objects of the parent are made
//! anew in a child (`os/fork.rs`); such a table is not.
//!
//! A thread that dies of a fault while it holds a lock leaves the lock open, because the data
//! behind each lock is consistent at every step.
//!
//! The host is never called under a lock, and no callback of it is awaited there: the host may wait
//! for a thread that waits for that lock. A build with assertions knows the locks of each thread
//! ([`holds_none`]), and checks that they are taken in order (`lock_order.rs`).

use std::ops::{Deref, DerefMut};
use std::sync::{self, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

pub use super::lock_order::*;
use crate::os::Uncanceled;

/// A lock that one thread at a time can hold, with its rank in the order of locks.
#[derive(Debug, Default)]
pub struct Mutex<T, const RANK: Rank = LEAF>(sync::Mutex<T>);

/// A held lock. The value behind the lock is ours while the guard lives.
#[derive(Debug)]
pub struct MutexGuard<'a, T>(
    Option<sync::MutexGuard<'a, T>>,
    #[allow(dead_code, reason = "it notes that the lock is held")] Held,
);

const HELD: &str = "a guard is without its lock only while it waits";

impl<T> Mutex<T> {
    /// Make an unlocked mutex around `value`, under which no other lock is taken.
    pub const fn new(value: T) -> Self {
        Self::ranked(value)
    }
}

impl<T, const RANK: Rank> Mutex<T, RANK> {
    /// Make an unlocked mutex of this rank around `value`.
    pub const fn ranked(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Wait for the lock and take it.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::waited_for(RANK);
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)), held)
    }

    /// Take the lock if nobody else holds it.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poison)) => poison.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard(Some(guard), Held::tried(RANK)))
    }

    /// Return the value; the exclusive reference shows that nobody holds the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Return the value and end the lock.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(HELD)
    }
}

/// A condition variable: threads wait on it until something behind a lock has changed.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

/// The result of a wait: whether it ended because its time was over.
#[derive(Clone, Copy, Debug)]
pub struct WaitResult(bool);

impl WaitResult {
    /// Say whether the time was over.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Make a condition variable on which no thread waits.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Release the lock and wait until another thread notifies. The wait may also end for no
    /// reason.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect(HELD);
        guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Wait as [`Self::wait`] does, but at most until `end`.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, end: Instant) -> WaitResult {
        let held = guard.0.take().expect(HELD);
        let left = end.saturating_duration_since(Instant::now());
        let (held, result) =
            self.0.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner);
        guard.0 = Some(held);
        WaitResult(result.timed_out())
    }

    /// Wake one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wake all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock that many readers or one writer can hold, with its rank in the order of locks.
#[derive(Debug, Default)]
pub struct RwLock<T, const RANK: Rank = LEAF>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Make an unlocked lock around `value`, under which no other lock is taken.
    pub const fn new(value: T) -> Self {
        Self::ranked(value)
    }
}

impl<T, const RANK: Rank> RwLock<T, RANK> {
    /// Make an unlocked lock of this rank around `value`.
    pub const fn ranked(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    /// Wait for the lock and take it for reading. A thread that already reads must not call this,
    /// because others may wait to write.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> ReadGuard<'_, T> {
        let held = Held::waited_for(RANK);
        RwGuard(self.0.read().unwrap_or_else(PoisonError::into_inner), held)
    }

    /// Take the lock as [`Self::read`] does, where the host is called under the lock. The lock does
    /// not count for [`holds_none`], also in a child that the host makes there.
    pub fn read_around_host(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait for the lock and take it for writing.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> WriteGuard<'_, T> {
        let held = Held::waited_for(RANK);
        RwGuard(self.0.write().unwrap_or_else(PoisonError::into_inner), held)
    }

    /// Take the lock for writing if all readers leave within `bound`. A thread that reads again
    /// meanwhile does not wait for this.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write_for(&self, bound: Duration) -> Option<WriteGuard<'_, T>> {
        let (end, held) = (Instant::now() + bound, Held::waited_for(RANK));
        loop {
            match self.0.try_write() {
                Ok(guard) => return Some(RwGuard(guard, held)),
                Err(TryLockError::Poisoned(poison)) => {
                    return Some(RwGuard(poison.into_inner(), held));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOOK_EVERY),
                Err(TryLockError::WouldBlock) => return None,
            }
        }
    }
}

/// A held read-write lock. The value can be read, or written, while the guard lives.
#[derive(Debug)]
pub struct RwGuard<G>(G, #[allow(dead_code, reason = "it notes that the lock is held")] Held);

/// The guard of a reader: nobody writes while it lives.
pub type ReadGuard<'a, T> = RwGuard<sync::RwLockReadGuard<'a, T>>;

/// The guard of the writer: nobody else reads or writes while it lives.
pub type WriteGuard<'a, T> = RwGuard<sync::RwLockWriteGuard<'a, T>>;

impl<G: Deref> Deref for RwGuard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.0
    }
}

impl<G: DerefMut> DerefMut for RwGuard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.0
    }
}

/// A lock for one thread at a time, where two at once are a mistake. Taking it is one locked
/// operation and releasing it none, where [`Mutex`] needs one for each. A thread that finds it
/// taken sleeps briefly and tries again.
#[cfg(not(debug_assertions))]
pub type BriefMutex<T> = spin::mutex::SpinMutex<T, Nap>;
#[cfg(debug_assertions)]
pub use brief::BriefMutex;

/// The same lock for builds with assertions, which check the order of locks.
#[cfg(debug_assertions)]
mod brief {
    use std::ops::{Deref, DerefMut};

    use super::{Held, Nap, USE_OF};

    /// A lock for one thread at a time, where two at once are a mistake.
    #[derive(Debug)]
    pub struct BriefMutex<T>(spin::mutex::SpinMutex<T, Nap>);

    /// A held lock.
    #[derive(Debug)]
    pub struct BriefGuard<'a, T>(
        spin::mutex::SpinMutexGuard<'a, T, Nap>,
        #[allow(dead_code, reason = "it notes that the lock is held")] Held,
    );

    impl<T> BriefMutex<T> {
        /// Make an unlocked mutex around `value`.
        pub const fn new(value: T) -> Self {
            Self(spin::mutex::SpinMutex::new(value))
        }

        /// Wait for the lock and take it.
        #[track_caller]
        pub fn lock(&self) -> BriefGuard<'_, T> {
            let held = Held::waited_for(USE_OF);
            BriefGuard(self.0.lock(), held)
        }

        /// Take the lock if nobody else holds it.
        #[track_caller]
        pub fn try_lock(&self) -> Option<BriefGuard<'_, T>> {
            self.0.try_lock().map(|guard| BriefGuard(guard, Held::tried(USE_OF)))
        }

        /// Return the value; the exclusive reference shows that nobody holds the lock.
        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut()
        }

        /// Return the value and end the lock.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T> Deref for BriefGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> DerefMut for BriefGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }
}

/// The pause of a thread that finds a [`BriefMutex`] taken. The thread sleeps: if it only yielded,
/// and had a higher real-time priority, it could keep the holder from the processor for ever.
#[derive(Debug)]
pub struct Nap;

impl spin::RelaxStrategy for Nap {
    fn relax() {
        let _uncanceled = Uncanceled::hold();
        thread::sleep(NAP);
    }
}

/// The pause's length: many times longer than a count takes.
pub const NAP: Duration = Duration::from_micros(50);

/// The interval at which a writer that must not block readers checks whether they have left.
const LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Return two locks that may be taken one after the other.
    fn locks() -> (Mutex<i32, CONTACT>, RwLock<i32, SPENT>) {
        (Mutex::ranked(1), RwLock::ranked(1))
    }

    #[test]
    fn what_a_fault_has_left_locked_is_open() {
        let (mutex, lock) = locks();
        let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (_held, _written) = (mutex.lock(), lock.write());
            std::panic::resume_unwind(Box::new("a fault"))
        }));
        assert!(fault.is_err());
        *mutex.lock() += 1;
        assert_eq!(*lock.read(), 1);
        assert!(lock.try_write_for(Duration::ZERO).is_some());
        assert_eq!(mutex.into_inner(), 2);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_thread_that_holds_a_lock_is_known() {
        let (mutex, lock) = locks();
        assert!(holds_none());
        let held = (mutex.lock(), lock.read());
        assert!(mutex.try_lock().is_none() && !holds_none());
        drop(held);
        assert!(holds_none());
        let written = lock.try_write_for(Duration::ZERO);
        assert!(!holds_none());
        drop(written);
        assert!(holds_none());
    }

    #[test]
    fn two_at_a_brief_lock_come_one_after_the_other() {
        const TIMES: u32 = if cfg!(miri) { 100 } else { 10_000 };
        let counted = BriefMutex::new((0, 0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        let mut counted = counted.lock();
                        counted.0 += 1;
                        std::hint::black_box(&mut counted);
                        counted.1 += 1;
                    }
                });
            }
        });
        assert_eq!(counted.into_inner(), (2 * TIMES, 2 * TIMES));
    }

    #[test]
    fn one_who_waits_lets_others_in_and_goes_on_when_told_or_when_its_time_is_over() {
        let (mutex, changed) = (Mutex::new(false), Condvar::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *mutex.lock() = true;
                changed.notify_all();
            });
            let mut is_done = mutex.lock();
            while !*is_done {
                changed.wait(&mut is_done);
            }
        });
        let mut guard = mutex.lock();
        assert!(changed.wait_until(&mut guard, Instant::now()).timed_out());
        assert!(*guard);
    }

    #[test]
    fn one_who_wants_to_write_gives_up_while_another_reads_and_lets_him_read_again() {
        let lock = RwLock::new(());
        let _first = lock.read();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(lock.try_write_for(Duration::from_millis(20)).is_none()));
            scope.spawn(|| (0..100).for_each(|_| drop(lock.read())));
        });
    }
}
