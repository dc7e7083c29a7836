//! An allowance that several processes spend, and that is closed when its file has lost its name
//! (`src/usage/allowance`).

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

const CLOSED: u64 = 1 << 63;
const SERIAL: u64 = 2;

struct Allowance {
    magic: AtomicU64,
    boot: AtomicU64,
    allowed: AtomicU64,
    spent: AtomicU64,
    kept: AtomicU64,
    /// What the disk has.
    disk: AtomicU64,
}

impl Allowance {
    fn new(allowed: u64) -> Self {
        Self {
            magic: AtomicU64::new(0),
            boot: AtomicU64::new(0),
            allowed: AtomicU64::new(allowed),
            spent: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            disk: AtomicU64::new(0),
        }
    }

    fn spend(&self, n: u64) -> bool {
        let mut now = self.spent.load(Ordering::Acquire);
        loop {
            let next = now.saturating_add(n);
            if next > self.allowed.load(Ordering::Acquire) {
                return false;
            }
            if next > self.kept.load(Ordering::Acquire) {
                self.disk.fetch_max(next, Ordering::Relaxed);
                self.kept.fetch_max(next, Ordering::AcqRel);
                now = self.spent.load(Ordering::Acquire);
                continue;
            }
            match self.spent.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    assert!(next <= self.disk.load(Ordering::Relaxed), "the disk has less");
                    return true;
                }
                Err(other) => now = other,
            }
        }
    }

    fn carry(&self) -> u64 {
        self.spent.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED
    }

    fn begin(&self, magic_store: Ordering) {
        self.boot.store(SERIAL, Ordering::Release);
        self.magic.store(1, magic_store);
    }
}

#[test]
fn two_never_spend_one_allowance() {
    loom::model(|| {
        let allowance = Arc::new(Allowance::new(1));
        let other = allowance.clone();
        let other = thread::spawn(move || other.spend(1));
        let mine = allowance.spend(1);
        assert!(mine ^ other.join().unwrap());
    });
}

#[test]
fn nothing_is_spent_from_a_closed_file_that_its_successor_does_not_know() {
    loom::model(|| {
        let allowance = Arc::new(Allowance::new(2));
        let other = allowance.clone();
        let other = thread::spawn(move || u64::from(other.spend(1)) + u64::from(other.spend(1)));
        let carried = allowance.carry();
        assert_eq!(other.join().unwrap(), carried);
    });
}

fn a_second_process_opens_a_file_that_a_first_one_completes(magic_store: Ordering) {
    loom::model(move || {
        let file = Arc::new(Allowance::new(0));
        let first = file.clone();
        let first = thread::spawn(move || first.begin(magic_store));
        if file.magic.load(Ordering::Acquire) == 1 {
            assert_eq!(file.boot.load(Ordering::Acquire), SERIAL, "another start of the machine");
        }
        first.join().unwrap();
    });
}

#[test]
fn a_file_that_is_complete_names_its_start_of_the_machine() {
    a_second_process_opens_a_file_that_a_first_one_completes(Ordering::Release);
}

#[test]
#[should_panic = "another start of the machine"]
fn a_file_that_is_marked_complete_without_release_is_found() {
    a_second_process_opens_a_file_that_a_first_one_completes(Ordering::Relaxed);
}
