//! Entries of a segment: an owner fills and counts, reporters read and acknowledge
//! (`src/usage/segment/mod.rs`).

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;

const SLOT: u32 = 7;
const KIND: u32 = 1;
const WHAT: u32 = 42;

/// The orders of the accesses on which a property depends.
#[derive(Clone, Copy)]
struct Orders {
    kind_store: Ordering,
    kind_load: Ordering,
    acknowledged_store: Ordering,
    acknowledged_load: Ordering,
}

/// Those of the library.
const REAL: Orders = Orders {
    kind_store: Ordering::Release,
    kind_load: Ordering::Acquire,
    acknowledged_store: Ordering::Release,
    acknowledged_load: Ordering::Acquire,
};

struct Entry {
    orders: Orders,
    slot: AtomicU32,
    kind: AtomicU32,
    what: AtomicU32,
    check: AtomicU32,
    total: AtomicU64,
    acknowledged: AtomicU64,
}

#[derive(Debug, PartialEq)]
enum State {
    Free,
    Counting(u32, u32, u32),
    Damaged,
}

fn entry_check(slot: u32, kind: u32, what: u32) -> u32 {
    slot * 10_000 + kind * 1_000 + what
}

impl Entry {
    fn new(orders: Orders) -> Arc<Self> {
        Arc::new(Self {
            orders,
            slot: AtomicU32::new(0),
            kind: AtomicU32::new(0),
            what: AtomicU32::new(0),
            check: AtomicU32::new(0),
            total: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        })
    }

    fn fill(&self) {
        self.slot.store(SLOT, Ordering::Relaxed);
        self.what.store(WHAT, Ordering::Relaxed);
        self.check.store(entry_check(SLOT, KIND, WHAT), Ordering::Relaxed);
        self.kind.store(KIND, self.orders.kind_store);
    }

    fn count(&self, n: u64) {
        self.total.fetch_add(n, Ordering::Relaxed);
    }

    fn state_of(&self) -> State {
        let kind = self.kind.load(self.orders.kind_load);
        let slot = self.slot.load(Ordering::Relaxed);
        let what = self.what.load(Ordering::Relaxed);
        let check = self.check.load(Ordering::Relaxed);
        let acknowledged = self.acknowledged.load(self.orders.acknowledged_load);
        let total = self.total.load(Ordering::Relaxed);
        if kind == 0 && total == 0 && acknowledged == 0 {
            return State::Free;
        }
        if kind != 0 && check == entry_check(slot, kind, what) && acknowledged <= total {
            State::Counting(slot, kind, what)
        } else {
            State::Damaged
        }
    }

    /// Return the total and what of it is acknowledged.
    fn read_entry(&self) -> Option<(u64, u64)> {
        let State::Counting(..) = self.state_of() else { return None };
        let acknowledged = self.acknowledged.load(self.orders.acknowledged_load);
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then_some((total, acknowledged))
    }

    fn acknowledge(&self, total: u64) {
        self.acknowledged.fetch_max(total, self.orders.acknowledged_store);
    }
}

/// An owner fills an entry and counts, while a reporter reads. Then the owner ends.
fn an_owner_counts_and_a_reporter_reads(orders: Orders) {
    loom::model(move || {
        let entry = Entry::new(orders);
        let owner = entry.clone();
        let owner = thread::spawn(move || {
            owner.fill();
            owner.count(1);
        });
        // An entry may look damaged if its kind was read before it was filled, and its total after
        // that. A reporter sets nothing aside as long as the owner has the lock.
        if let Some(read) = entry.read_entry() {
            assert_eq!(read, (1, 0));
        }
        // The kernel hands the lock of a dead owner on, and with it all that the owner has written.
        owner.join().unwrap();
        assert_eq!(entry.state_of(), State::Counting(SLOT, KIND, WHAT));
        assert_eq!(entry.read_entry(), Some((1, 0)));
    });
}

/// Two reporters read and acknowledge while the owner counts. The first one reads only the total
/// before it acknowledges: loom passes over outcomes of an exchange whose thread has read the same
/// word before.
fn two_reporters_acknowledge_while_the_owner_counts(orders: Orders) {
    loom::model(move || {
        let entry = Entry::new(orders);
        entry.fill();
        let (owner, first) = (entry.clone(), entry.clone());
        let owner = thread::spawn(move || owner.count(1));
        let first = thread::spawn(move || {
            let total = first.total.load(Ordering::Relaxed);
            if total > 0 {
                first.acknowledge(total);
            }
        });
        assert_ne!(entry.state_of(), State::Damaged, "more is acknowledged than counted");
        if let Some((total, acknowledged)) = entry.read_entry() {
            assert!(acknowledged <= total);
            entry.acknowledge(total);
        }
        first.join().unwrap();
        owner.join().unwrap();
        assert_eq!(entry.read_entry().map(|(total, _)| total), Some(1));
    });
}

/// A reporter that saw a filled entry never sees parts of it, whatever it reads.
fn a_filled_entry_is_seen_whole(orders: Orders) {
    loom::model(move || {
        let entry = Entry::new(orders);
        let owner = entry.clone();
        let owner = thread::spawn(move || owner.fill());
        assert_ne!(entry.state_of(), State::Damaged);
        owner.join().unwrap();
    });
}

#[test]
fn an_entry_is_seen_as_it_was_filled_and_a_dead_owners_totals_are_seen_in_full() {
    an_owner_counts_and_a_reporter_reads(REAL);
    a_filled_entry_is_seen_whole(REAL);
}

#[test]
fn nobody_sees_more_acknowledged_than_counted() {
    two_reporters_acknowledge_while_the_owner_counts(REAL);
}

#[test]
#[should_panic = "assertion"]
fn a_kind_that_is_written_without_release_is_found() {
    a_filled_entry_is_seen_whole(Orders { kind_store: Ordering::Relaxed, ..REAL });
}

#[test]
#[should_panic = "assertion"]
fn a_kind_that_is_read_without_acquire_is_found() {
    a_filled_entry_is_seen_whole(Orders { kind_load: Ordering::Relaxed, ..REAL });
}

#[test]
#[should_panic = "assertion"]
fn an_acknowledgement_without_release_is_found() {
    let orders = Orders { acknowledged_store: Ordering::Relaxed, ..REAL };
    two_reporters_acknowledge_while_the_owner_counts(orders);
}

#[test]
#[should_panic = "assertion"]
fn an_acknowledgement_that_is_read_without_acquire_is_found() {
    let orders = Orders { acknowledged_load: Ordering::Relaxed, ..REAL };
    two_reporters_acknowledge_while_the_owner_counts(orders);
}
