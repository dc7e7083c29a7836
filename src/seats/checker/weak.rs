//! Memory as processors with a weak order show it: a load may read a value that is no longer the
//! newest, as long as nothing that its process has seen forbids that.
//!
//! Each place has the sequence of its writes. Each process has seen each place up to some write: a
//! load reads this write or a later one. A write carries what its process had seen. A load that
//! acquires has then seen that, too. An exchange always reads the newest write, and is a barrier:
//! barriers are in one order, and each has seen what those before it had. These are the rules of
//! release, acquire and sequentially consistent fences of C and Rust. aarch64 guarantees more.
//!
//! | access in `mapping.rs` | here |
//! | --- | --- |
//! | `load`, acquire | `load` |
//! | `replace_pool`, `replace_entry`: `ldaxp`, `stlxp`, `dmb` | `exchange`; a failure teaches nothing |
//! | `clear_flag`, and the guardian's store | `store` |
//! | `raise_high_water_mark` | `exchange` |
//! | the kernel marks the flag of a dead process | `store` by the dead process |
//! | a lock is granted | `lock`: its new holder has seen what the former one had |
//! | a lock is found free | nothing is seen with it |
//!
//! The two halves of a 128-bit word are one place with one sequence of writes, because an exchange
//! writes both at once. A load of a half moves the process along this sequence.

use super::world::ENTRIES;

/// A place of the shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Pool,
    Entry(u16),
    Flag(u16),
    HighWaterMark,
}

const PLACES: usize = 2 + 2 * ENTRIES;

impl Place {
    fn all() -> impl Iterator<Item = Self> {
        let entries = 0..ENTRIES as u16;
        [Self::Pool, Self::HighWaterMark]
            .into_iter()
            .chain(entries.clone().map(Self::Entry))
            .chain(entries.map(Self::Flag))
    }

    fn number(self) -> usize {
        match self {
            Self::Pool => 0,
            Self::HighWaterMark => 1,
            Self::Entry(entry) => 2 + usize::from(entry),
            Self::Flag(entry) => 2 + ENTRIES + usize::from(entry),
        }
    }
}

/// For each place, the number of the newest write that was seen.
type Seen = [u8; PLACES];

#[derive(Clone, Debug)]
struct Write {
    value: [u64; 2],
    /// What is seen with this write.
    carries: Seen,
}

#[derive(Clone, Debug)]
pub(super) struct Weak {
    /// The writes to each place that a process may still read. The last one is the newest.
    writes: [Vec<Write>; PLACES],
    processes: Vec<Seen>,
    /// What the barriers so far have seen.
    barrier: Seen,
    /// What the former holder of each lock had seen.
    locks: [Seen; ENTRIES],
}

impl Weak {
    /// Begin with one write to each place, which all `processes` have seen.
    pub(super) fn new(processes: usize, value: impl Fn(Place) -> [u64; 2]) -> Self {
        let mut writes = [const { Vec::new() }; PLACES];
        for place in Place::all() {
            writes[place.number()].push(Write { value: value(place), carries: [0; PLACES] });
        }
        Self {
            writes,
            processes: vec![[0; PLACES]; processes],
            barrier: [0; PLACES],
            locks: [[0; PLACES]; ENTRIES],
        }
    }

    /// Read the write that is `behind` the newest one. Return its value, and the number of writes
    /// that could be read.
    pub(super) fn load(
        &mut self,
        process: usize,
        place: Place,
        behind: usize,
        acquires: bool,
    ) -> ([u64; 2], usize) {
        let (writes, seen) = (&self.writes[place.number()], &mut self.processes[process]);
        let readable = writes.len() - usize::from(seen[place.number()]);
        let at = writes.len() - 1 - behind;
        seen[place.number()] = at as u8;
        if acquires {
            join(seen, &writes[at].carries);
        }
        (writes[at].value, readable)
    }

    /// Exchange the newest value for this one.
    pub(super) fn exchange(
        &mut self,
        process: usize,
        place: Place,
        value: [u64; 2],
        releases: bool,
    ) {
        let (writes, seen) = (&mut self.writes[place.number()], &mut self.processes[process]);
        // An exchange passes on what the write carried that it replaces.
        let mut carries = writes.last().map_or([0; PLACES], |last| last.carries);
        join(seen, &carries);
        seen[place.number()] = writes.len() as u8;
        carries[place.number()] = writes.len() as u8;
        if releases {
            join(&mut carries, seen);
        }
        writes.push(Write { value, carries });
        join(seen, &self.barrier);
        self.barrier = *seen;
    }

    /// Store a value. Stores to one place do not meet: the holder of its entry's lock makes them.
    pub(super) fn store(&mut self, process: usize, place: Place, value: [u64; 2]) {
        let (writes, seen) = (&mut self.writes[place.number()], &mut self.processes[process]);
        seen[place.number()] = writes.len() as u8;
        writes.push(Write { value, carries: *seen });
    }

    /// The process gets the lock of an entry.
    pub(super) fn lock(&mut self, process: usize, entry: usize) {
        join(&mut self.processes[process], &self.locks[entry]);
    }

    /// The process gives the lock of an entry back.
    pub(super) fn unlock(&mut self, process: usize, entry: usize) {
        self.locks[entry] = self.processes[process];
    }

    /// Forget the writes that none of the processes that still read can read any more. Two states
    /// that differ only in these are the same state.
    pub(super) fn forget(&mut self, may_read: impl Fn(usize) -> bool) {
        for place in 0..PLACES {
            let newest = (self.writes[place].len() - 1) as u8;
            let readers = self.processes.iter().enumerate().filter(|(n, _)| may_read(*n));
            let oldest = readers.map(|(_, seen)| seen[place]).min().unwrap_or(newest);
            self.writes[place].drain(..usize::from(oldest));
            let views = self.processes.iter_mut().chain(&mut self.locks);
            views
                .chain(self.writes.iter_mut().flatten().map(|write| &mut write.carries))
                .chain([&mut self.barrier])
                .for_each(|seen| seen[place] = seen[place].saturating_sub(oldest));
        }
        // What a process that does not read has seen matters only for the locks that it holds and
        // the flag that its end marks. It is kept.
    }

    /// Return everything that distinguishes this state from others.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        let views = self.processes.iter().chain(&self.locks).chain([&self.barrier]);
        let writes = self.writes.iter().flat_map(|writes| {
            let each = writes.iter().flat_map(|write| {
                [write.value[0], write.value[1], u64::from_le_bytes(write.carries)]
            });
            [writes.len() as u64].into_iter().chain(each)
        });
        views.map(|seen| u64::from_le_bytes(*seen)).chain(writes)
    }
}

/// See also what `other` has seen.
fn join(seen: &mut Seen, other: &Seen) {
    for (mine, theirs) in seen.iter_mut().zip(other) {
        *mine = (*mine).max(*theirs);
    }
}
