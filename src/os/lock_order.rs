//! The order of this library's locks, and the check that each thread keeps it.
//!
//! Two threads that take the same two locks in different orders can wait for each other for ever.
//! So each lock has a rank, which is part of its type: `Mutex<Grant, LEAF>`. A thread that holds a
//! lock may wait only for locks of higher ranks. `docs/design.md` says where the locks are.
//!
//! A build with assertions knows which ranks each thread holds, and panics when a thread waits for
//! a lock out of order. A lock that is only tried cannot make its thread wait. So it is not
//! checked, but it counts as held. A build without assertions contains nothing of this.

/// The rank of a lock in the order.
pub type Rank = u8;

/// A reader's thread of frames.
pub const FRAMES: Rank = 10;
/// A reader's engine, settings and last outcome. Its barcodes are counted under this lock.
pub const DECODING: Rank = 11;
/// A reader's seat and counter.
pub const USE_OF: Rank = 12;
/// The continuation of a forked child under its parent's license.
pub const RESUMING: Rank = 20;
/// The sessions of the process.
pub const SESSIONS: Rank = 21;
/// The turn to request a grant of one name: the first of the file locks.
pub const GRANT_TURN: Rank = 30;
/// The turn to report to one server.
pub const REPORT_TURN: Rank = 31;
/// The turn to give the device another UUID.
pub const DEVICE_TURN: Rank = 32;
/// A session's place among the users of its item. A grant is put into use under this lock.
pub const USERS: Rank = 40;
/// What this process knows of its membership among the users of an item.
pub const MEMBERSHIP: Rank = 41;
/// The change of a license in use to another grant.
pub const RENEWING: Rank = 42;
/// The check of the files that a license in use has mapped.
pub const CHECKING: Rank = 43;
/// The turn to replace the file of the device's time: the last of the file locks.
pub const CLOCK_TURN: Rank = 45;
/// The grant on which a session decides.
pub const BASIS: Rank = 50;
/// A session's last contact with a server.
pub const CONTACT: Rank = 51;
/// A session's knowledge of the device's identity.
pub const DEVICE: Rank = 52;
/// The counters of work that no reader counts.
pub const ENTRIES: Rank = 60;
/// The file of a strict item's spent allowance.
pub const SPENT: Rank = 61;
/// The change of such a file.
pub const CHANGING: Rank = 62;
/// The segment into which some threads count.
pub const LANE: Rank = 63;
/// The log files that were ever named.
pub const LOG_FILES: Rank = 70;
/// A lock that is held for a few lines. Only innermost locks are taken inside.
pub const LEAF: Rank = 250;
/// A lock under which nothing is taken, and which is taken under all others: the queue of the log,
/// and what this folder and the seat pool remember for the process.
pub const INNERMOST: Rank = 251;

/// The note that this thread holds a lock, for as long as it lives.
#[derive(Debug)]
pub struct Held {
    #[cfg(debug_assertions)]
    _note: checked::Note,
}

impl Held {
    /// Note that this thread is about to wait for a lock of this rank.
    ///
    /// # Panics
    /// With assertions, if the thread holds a lock of this rank or of a higher one.
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline(always)]
    pub fn waited_for(rank: Rank) -> Self {
        #[cfg(debug_assertions)]
        return Self { _note: checked::Note::waited_for(rank) };
        #[cfg(not(debug_assertions))]
        {
            let _ = rank;
            Self {}
        }
    }

    /// Note that this thread has got a lock of this rank without waiting.
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline(always)]
    pub fn tried(rank: Rank) -> Self {
        #[cfg(debug_assertions)]
        return Self { _note: checked::Note::tried(rank) };
        #[cfg(not(debug_assertions))]
        {
            let _ = rank;
            Self {}
        }
    }
}

/// Say whether this thread holds no lock. A build without assertions cannot know, and returns true.
#[must_use]
pub fn holds_none() -> bool {
    #[cfg(debug_assertions)]
    return checked::holds_none();
    #[cfg(not(debug_assertions))]
    true
}

/// Act as a thread that holds no lock. A test plays another process of the device in the thread of
/// the first one.
pub fn as_another_thread<T>(act: impl FnOnce() -> T) -> T {
    #[cfg(debug_assertions)]
    let _own = checked::LaidAside::new();
    act()
}

#[cfg(debug_assertions)]
mod checked {
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::panic::Location;

    use super::Rank;

    /// The most locks that a thread holds at one time, with room to spare.
    const DEPTH_MAX: usize = 16;

    /// A held lock: its rank, and the line that took it.
    type Lock = (Rank, &'static Location<'static>);

    /// The locks that a thread holds, in the order in which it took them.
    #[derive(Clone, Copy)]
    struct Stack {
        count: usize,
        locks: [Option<Lock>; DEPTH_MAX],
    }

    const EMPTY: Stack = Stack { count: 0, locks: [None; DEPTH_MAX] };

    thread_local! {
        static STACK: Cell<Stack> = const { Cell::new(EMPTY) };
    }

    /// The entry of one lock among those that its thread holds.
    #[derive(Debug)]
    pub(super) struct Note {
        lock: Lock,
        /// The mark that the note stays on its thread.
        _thread: PhantomData<*const ()>,
    }

    impl Note {
        #[track_caller]
        pub(super) fn waited_for(rank: Rank) -> Self {
            let here = Location::caller();
            let stack = STACK.get();
            let held = stack.locks[..stack.count].iter().flatten().find(|(held, _)| *held >= rank);
            if let Some((held, at)) = held {
                panic!(
                    "{here} waits for a lock of rank {rank}, and this thread holds one of rank \
                     {held} since {at}: take them in the order of src/os/lock_order.rs"
                );
            }
            Self::new(rank, here)
        }

        #[track_caller]
        pub(super) fn tried(rank: Rank) -> Self {
            Self::new(rank, Location::caller())
        }

        fn new(rank: Rank, at: &'static Location<'static>) -> Self {
            let mut stack = STACK.get();
            stack.locks[stack.count] = Some((rank, at));
            stack.count += 1;
            STACK.set(stack);
            Self { lock: (rank, at), _thread: PhantomData }
        }
    }

    impl Drop for Note {
        fn drop(&mut self) {
            let mut stack = STACK.get();
            // Guards may be dropped in any order.
            let held = &stack.locks[..stack.count];
            if let Some(place) = held.iter().rposition(|lock| *lock == Some(self.lock)) {
                stack.locks.copy_within(place + 1..stack.count, place);
                stack.count -= 1;
                STACK.set(stack);
            }
        }
    }

    pub(super) fn holds_none() -> bool {
        STACK.get().count == 0
    }

    /// The locks of this thread, laid aside for as long as this lives.
    pub(super) struct LaidAside(Stack);

    impl LaidAside {
        pub(super) fn new() -> Self {
            Self(STACK.replace(EMPTY))
        }
    }

    impl Drop for LaidAside {
        fn drop(&mut self) {
            STACK.set(self.0);
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::os::locks::{Mutex, RwLock};

    /// Return what the check says about this act, or nothing if it lets the act pass.
    fn complaint(act: impl FnOnce()) -> String {
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(()) => String::new(),
            Err(panic) => *panic.downcast::<String>().expect("the check says what it found"),
        }
    }

    #[test]
    fn a_thread_that_takes_locks_out_of_order_is_stopped_and_both_places_are_named() {
        let (sessions, users) = (Mutex::<_, SESSIONS>::ranked(()), Mutex::<_, USERS>::ranked(()));
        assert_eq!(complaint(|| drop((sessions.lock(), users.lock()))), "");
        let said = complaint(|| drop((users.lock(), sessions.lock())));
        assert!(said.contains("rank 21") && said.contains("rank 40"), "{said}");
        assert_eq!(said.matches("src/os/lock_order.rs:").count(), 2, "{said}");
        assert!(holds_none(), "nothing is left behind");
    }

    #[test]
    fn two_locks_of_one_rank_are_never_held_together_and_nothing_is_taken_in_a_leaf() {
        let spent = [RwLock::<_, SPENT>::ranked(()), RwLock::<_, SPENT>::ranked(())];
        assert_ne!(complaint(|| drop((spent[0].read(), spent[1].read()))), "");
        assert_ne!(complaint(|| drop((spent[0].read(), spent[0].read()))), "");
        let (leaf, innermost) = (Mutex::new(()), Mutex::<_, INNERMOST>::ranked(()));
        assert_ne!(complaint(|| drop((leaf.lock(), spent[0].write()))), "");
        assert_ne!(complaint(|| drop((leaf.lock(), Mutex::new(()).lock()))), "");
        assert_eq!(complaint(|| drop((leaf.lock(), innermost.lock()))), "");
        assert_ne!(complaint(|| drop((innermost.lock(), leaf.lock()))), "");
    }

    #[test]
    fn a_lock_that_is_tried_may_come_at_any_time_and_counts_as_held() {
        let (sessions, users) = (Mutex::<_, SESSIONS>::ranked(()), Mutex::<_, USERS>::ranked(()));
        assert_eq!(complaint(|| drop((users.lock(), sessions.try_lock()))), "");
        let again = Mutex::<_, USERS>::ranked(());
        assert_ne!(complaint(|| drop((users.try_lock(), again.lock()))), "");
    }

    #[test]
    fn locks_may_be_released_in_any_order() {
        let (sessions, users) = (Mutex::<_, SESSIONS>::ranked(()), Mutex::<_, USERS>::ranked(()));
        let (first, second) = (sessions.lock(), users.lock());
        drop(first);
        assert!(!holds_none());
        assert_ne!(complaint(|| drop(sessions.lock())), "", "the second is still held");
        drop(second);
        assert_eq!(complaint(|| drop(sessions.lock())), "");
    }

    #[test]
    fn another_thread_does_not_hold_what_this_one_holds() {
        let (sessions, users) = (Mutex::<_, SESSIONS>::ranked(()), Mutex::<_, USERS>::ranked(()));
        let _held = users.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(complaint(|| drop(sessions.lock())), ""));
        });
        assert_eq!(as_another_thread(|| complaint(|| drop(sessions.lock()))), "");
        assert_ne!(complaint(|| drop(sessions.lock())), "");
    }
}
