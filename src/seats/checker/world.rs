//! The state of a small device: the shared words, the kernel's locks, and a few processes.

use std::cell::{Cell as Shown, RefCell};

use seatmeter_protocol::seat_layout::{EntryWord, Grant, OWNER_DIED, PoolWord, is_attached};

use super::fingerprint::Fingerprint;
use super::weak::{Place, Weak};
use crate::seats::memory::{Cell, Locksmith, Memory, Witness};
use crate::seats::pool::{self, Me, Outcome};

/// The number of entries of the small device.
pub(super) const ENTRIES: usize = 3;

/// A fault that is seeded in the answers of the memory, so that the code that runs is always the
/// real code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    None,
    /// The pool word changes its owner, and the count of the previous owner is not kept.
    OwnerChangeWithoutFlush,
    /// A flush does not check whether its write still is the last one.
    FlushWithoutRecheck,
    /// The exchange of an entry word compares the count only.
    EntryWordWithoutSeq,
    /// A reclaim does not check whether the attachment is the one that was judged.
    ReclaimWithoutLife,
    /// The kernel reports that living processes hold no lock.
    LiveTakenForDead,
    /// An attaching process leaves the flag of its dead predecessor.
    StaleFlagAtAttach,
    /// A flush whose exchange failed is taken for done.
    FailedFlushTakenForDone,
    /// The kernel gives one lock to two processes.
    LockGivenTwice,
    /// Loads do not acquire: what was written before the value that is read need not be seen.
    LoadsWithoutAcquire,
    /// Exchanges do not release: what their process wrote before need not be seen with them.
    ExchangesWithoutRelease,
}

/// The acts of a process, which it performs in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Attach,
    /// The guardian sets the flag.
    Guard,
    Take,
    Give,
    Detach,
    /// Reclaim, asking the kernel about every entry.
    AskAll,
    /// Reclaim by the flags; the kernel is asked about unguarded entries only.
    AskFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breath {
    Alive,
    /// The kernel has marked the flag, and not yet dropped the lock.
    Marked,
    Dead,
}

/// A process.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) script: &'static [Act],
    pub(super) done: usize,
    /// The answers to the accesses of the current act. With them, the act can be run again up to
    /// here.
    log: Vec<u64>,
    pub(super) breath: Breath,
    pub(super) me: Option<Me>,
    pub(super) held: u32,
    /// The act was tried with one exchange, without success. The values read then are forgotten.
    is_tried: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) pool: [u64; 2],
    pub(super) entries: [[u64; 2]; ENTRIES],
    pub(super) flags: [u32; ENTRIES],
    high_water_mark: u64,
    grant: u64,
    /// The holders of the locks: the number of the process plus one.
    locks: [u8; ENTRIES],
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) words: Words,
    pub(super) actors: Vec<Actor>,
    pub(super) kills_left: u32,
    /// The older values of the words, if processors may still read them.
    weak: Option<Box<Weak>>,
}

/// The mark that the process is halted for now.
pub(super) struct Halted;

/// The memory as one process sees it during one step: the earlier answers, then one new access,
/// then no more.
struct Stage<'a> {
    words: RefCell<&'a mut Words>,
    log: RefCell<&'a mut Vec<u64>>,
    next: Shown<usize>,
    is_spent: Shown<bool>,
    actor: u8,
    fault: Fault,
    weak: RefCell<&'a mut Option<Box<Weak>>>,
    /// The number of writes by which a load is behind the newest one.
    behind: usize,
    /// The number of writes that the load could read.
    readable: Shown<usize>,
}

impl Stage<'_> {
    fn access(&self, access: impl FnOnce(&mut Words) -> u64) -> Result<u64, Halted> {
        let mut log = self.log.borrow_mut();
        let next = self.next.get();
        if next == log.len() {
            if self.is_spent.replace(true) {
                return Err(Halted);
            }
            log.push(access(&mut self.words.borrow_mut()));
        }
        self.next.set(next + 1);
        Ok(log[next])
    }

    /// Read a word: the newest value, or in a weak memory one that this process may still read.
    fn read(&self, place: Place, half: usize, newest: u64) -> u64 {
        let mut weak = self.weak.borrow_mut();
        let Some(weak) = weak.as_mut() else { return newest };
        let acquires = self.fault != Fault::LoadsWithoutAcquire;
        let (value, readable) = weak.load(self.actor.into(), place, self.behind, acquires);
        self.readable.set(readable);
        value[half]
    }

    /// Note in a weak memory that an exchange has written this.
    fn exchanged(&self, place: Place, value: [u64; 2]) {
        if let Some(weak) = self.weak.borrow_mut().as_mut() {
            let releases = self.fault != Fault::ExchangesWithoutRelease;
            weak.exchange(self.actor.into(), place, value, releases);
        }
    }

    /// Note in a weak memory that a store has written this.
    fn stored(&self, place: Place, value: u64) {
        if let Some(weak) = self.weak.borrow_mut().as_mut() {
            weak.store(self.actor.into(), place, [value, 0]);
        }
    }
}

impl Memory for Stage<'_> {
    type Halt = Halted;

    fn load(&self, cell: Cell) -> Result<u64, Halted> {
        self.access(|words| match cell {
            Cell::PoolLow => self.read(Place::Pool, 0, words.pool[0]),
            Cell::PoolHigh => self.read(Place::Pool, 1, words.pool[1]),
            Cell::EntryLow(entry) => {
                self.read(Place::Entry(entry), 0, words.entries[entry as usize][0])
            }
            Cell::EntryHigh(entry) => {
                self.read(Place::Entry(entry), 1, words.entries[entry as usize][1])
            }
            Cell::Flag(entry) => {
                self.read(Place::Flag(entry), 0, words.flags[entry as usize].into())
            }
            Cell::Grant => words.grant,
            Cell::HighWaterMark => self.read(Place::HighWaterMark, 0, words.high_water_mark),
        })
    }

    fn replace_pool(&self, old: [u64; 2], new: [u64; 2]) -> Result<bool, Halted> {
        let answer = self.access(|words| {
            let same = words.pool == old;
            if same {
                words.pool = new;
                self.exchanged(Place::Pool, new);
            }
            u64::from(same)
        })?;
        Ok(answer != 0)
    }

    fn replace_entry(&self, entry: u16, old: [u64; 2], new: [u64; 2]) -> Result<bool, Halted> {
        let answer = self.access(|words| {
            let word = &mut words.entries[entry as usize];
            if self.fault == Fault::OwnerChangeWithoutFlush {
                return 1;
            }
            let same =
                *word == old || self.fault == Fault::EntryWordWithoutSeq && word[0] == old[0];
            if same {
                *word = new;
                self.exchanged(Place::Entry(entry), new);
            }
            u64::from(same || self.fault == Fault::FailedFlushTakenForDone)
        })?;
        Ok(answer != 0)
    }

    fn clear_flag(&self, entry: u16) -> Result<(), Halted> {
        let is_left = self.fault == Fault::StaleFlagAtAttach;
        self.access(|words| {
            if !is_left {
                words.flags[entry as usize] = 0;
                self.stored(Place::Flag(entry), 0);
            }
            0
        })?;
        Ok(())
    }

    fn raise_high_water_mark(&self, entry: u16) -> Result<(), Halted> {
        self.access(|words| {
            words.high_water_mark = words.high_water_mark.max(u64::from(entry) + 1);
            self.exchanged(Place::HighWaterMark, [words.high_water_mark, 0]);
            0
        })?;
        Ok(())
    }

    fn entry_count(&self) -> u16 {
        ENTRIES as u16
    }

    fn is_still(&self, seen: PoolWord) -> Result<bool, Halted> {
        if self.fault == Fault::FlushWithoutRecheck {
            return Ok(true);
        }
        pool::is_unchanged(self, seen)
    }

    fn is_same_attachment(&self, found: u32, judged: u32) -> bool {
        found == judged || self.fault == Fault::ReclaimWithoutLife
    }

    fn begin(&self) -> usize {
        self.next.get()
    }

    fn again(&self, begin: usize) {
        self.log.borrow_mut().drain(begin..self.next.get());
        self.next.set(begin);
    }
}

impl Witness for Stage<'_> {
    type Halt = Halted;

    fn is_locked(&self, entry: u16) -> Result<bool, Halted> {
        let lies = self.fault == Fault::LiveTakenForDead;
        Ok(self.access(|words| u64::from(words.locks[entry as usize] != 0 && !lies))? != 0)
    }
}

impl Locksmith for Stage<'_> {
    fn try_lock(&self, entry: u16) -> Result<bool, Halted> {
        let answer = self.access(|words| {
            let lock = &mut words.locks[entry as usize];
            let is_free = *lock == 0 || self.fault == Fault::LockGivenTwice;
            if is_free {
                *lock = self.actor + 1;
                if let Some(weak) = self.weak.borrow_mut().as_mut() {
                    weak.lock(self.actor.into(), entry.into());
                }
            }
            u64::from(is_free)
        })?;
        Ok(answer != 0)
    }
}

impl Stage<'_> {
    /// Try the one exchange first, then, if it fails, the whole function, as `SeatPool` does.
    fn twice(
        &self,
        is_tried: &mut bool,
        at_once: impl Fn() -> Result<bool, Halted>,
        whole: impl Fn() -> Result<Outcome, Halted>,
    ) -> Result<Outcome, Halted> {
        if !*is_tried {
            if at_once()? {
                return Ok(Outcome::Done);
            }
            *is_tried = true;
            self.log.borrow_mut().clear();
            return Err(Halted);
        }
        let outcome = whole()?;
        *is_tried = false;
        Ok(outcome)
    }

    fn take(&self, me: Me, is_tried: &mut bool) -> Result<Outcome, Halted> {
        self.twice(is_tried, || pool::take_at_once(self, me), || pool::take(self, me))
    }

    fn give(&self, me: Me, is_tried: &mut bool) -> Result<Outcome, Halted> {
        self.twice(is_tried, || pool::give_at_once(self, me), || pool::give(self, me))
    }

    /// Run one act from its beginning, until the stage halts it. Return what is wrong with its
    /// answer, or `None`.
    fn run(&self, act: Act, actor: &mut Actor) -> Result<Option<String>, Halted> {
        let me = actor.me;
        Ok(match (act, me) {
            (Act::Attach, _) => match pool::attach(self, self)? {
                Some(me) => {
                    actor.me = Some(me);
                    None
                }
                None => None,
            },
            (Act::AskAll | Act::AskFlags, _) => {
                pool::reclaim_dead(self, self, me.map(|me| me.entry), act == Act::AskAll)?;
                None
            }
            (_, None) => None,
            (Act::Guard, Some(me)) => {
                self.access(|words| {
                    words.flags[me.entry as usize] = u32::from(self.actor) + 1;
                    self.stored(Place::Flag(me.entry), u64::from(self.actor) + 1);
                    0
                })?;
                None
            }
            (Act::Take, Some(me)) => match self.take(me, &mut actor.is_tried)? {
                Outcome::Done => {
                    actor.held += 1;
                    None
                }
                Outcome::Full { .. } => None,
                other => Some(format!("take answered {other:?}")),
            },
            (Act::Give, Some(_)) if actor.held == 0 => None,
            (Act::Give, Some(me)) => match self.give(me, &mut actor.is_tried)? {
                Outcome::Done => {
                    actor.held -= 1;
                    None
                }
                other => Some(format!("give answered {other:?}")),
            },
            (Act::Detach, Some(me)) => {
                // From here on the process holds nothing on which another may rely.
                actor.held = 0;
                pool::reclaim(self, me)?;
                self.clear_flag(me.entry)?;
                self.access(|words| {
                    words.locks[me.entry as usize] = 0;
                    if let Some(weak) = self.weak.borrow_mut().as_mut() {
                        weak.unlock(self.actor.into(), me.entry.into());
                    }
                    0
                })?;
                actor.me = None;
                None
            }
        })
    }
}

impl World {
    /// Make a device with `seats` seats, and one process for each script. A script that does not
    /// begin with `Attach` belongs to a process that is attached.
    pub(super) fn new(seats: u32, kills: u32, scripts: &[&'static [Act]]) -> Self {
        let grant = Grant { seats, number: 1 }.pack();
        let words = Words {
            pool: [0; 2],
            entries: [[0; 2]; ENTRIES],
            flags: [0; ENTRIES],
            high_water_mark: 0,
            grant,
            locks: [0; ENTRIES],
        };
        let actors = scripts.iter().map(|&script| Actor {
            script,
            done: 0,
            log: Vec::new(),
            breath: Breath::Alive,
            me: None,
            held: 0,
            is_tried: false,
        });
        let mut world = Self { words, actors: actors.collect(), kills_left: kills, weak: None };
        for (actor, &script) in scripts.iter().enumerate() {
            if script.first() != Some(&Act::Attach) {
                world.actors[actor].script = &[Act::Attach];
                while world.can_step(actor) {
                    world.step(actor, 0, Fault::None).expect("attaching to an empty pool works");
                }
                world.actors[actor].script = script;
                world.actors[actor].done = 0;
            }
        }
        world
    }

    /// From now on, let processes read values that are no longer the newest, as aarch64 does.
    pub(super) fn weakened(mut self) -> Self {
        let Words { pool, entries, flags, high_water_mark, .. } = self.words;
        self.weak = Some(Box::new(Weak::new(self.actors.len(), |place| match place {
            Place::Pool => pool,
            Place::Entry(entry) => entries[usize::from(entry)],
            Place::Flag(entry) => [flags[usize::from(entry)].into(), 0],
            Place::HighWaterMark => [high_water_mark, 0],
        })));
        self
    }

    pub(super) fn can_step(&self, actor: usize) -> bool {
        let actor = &self.actors[actor];
        actor.breath == Breath::Alive && actor.done < actor.script.len()
    }

    /// Let a process make its next access, and run up to the access after it. A load reads the
    /// value that is `behind` writes older than the newest. Return the number of values that it
    /// could read.
    pub(super) fn step(
        &mut self,
        number: usize,
        behind: usize,
        fault: Fault,
    ) -> Result<usize, String> {
        let actor = &mut self.actors[number];
        let mut log = std::mem::take(&mut actor.log);
        let act = actor.script[actor.done];
        let stage = Stage {
            words: RefCell::new(&mut self.words),
            log: RefCell::new(&mut log),
            next: Shown::new(0),
            is_spent: Shown::new(false),
            actor: number as u8,
            fault,
            weak: RefCell::new(&mut self.weak),
            behind,
            readable: Shown::new(1),
        };
        let result = stage.run(act, actor);
        let readable = stage.readable.get();
        match result {
            Ok(wrong) => {
                actor.done += 1;
                if let Some(wrong) = wrong {
                    return Err(wrong);
                }
            }
            Err(Halted) => actor.log = log,
        }
        self.forget();
        Ok(readable)
    }

    /// Forget the values that no process can read any more.
    fn forget(&mut self) {
        let Some(weak) = &mut self.weak else { return };
        let may_read =
            |actor: &Actor| actor.breath == Breath::Alive && actor.done < actor.script.len();
        let actors = &self.actors;
        weak.forget(|number| may_read(&actors[number]));
    }

    /// Let a process die in two steps: first its flag is marked, then its locks are dropped.
    pub(super) fn die(&mut self, number: usize) {
        let actor = &mut self.actors[number];
        let tag = number as u8 + 1;
        if actor.breath == Breath::Alive {
            actor.breath = Breath::Marked;
            actor.log = Vec::new();
            for (entry, flag) in self.words.flags.iter_mut().enumerate() {
                if *flag == u32::from(tag) {
                    *flag = OWNER_DIED;
                    if let Some(weak) = &mut self.weak {
                        weak.store(number, Place::Flag(entry as u16), [OWNER_DIED.into(), 0]);
                    }
                }
            }
        } else {
            actor.breath = Breath::Dead;
            for (entry, lock) in self.words.locks.iter_mut().enumerate() {
                if *lock == tag {
                    *lock = 0;
                    if let Some(weak) = &mut self.weak {
                        weak.unlock(number, entry);
                    }
                }
            }
        }
        self.forget();
    }

    fn truth(&self, entry: usize) -> EntryWord {
        let pool = PoolWord::unpack(self.words.pool);
        if usize::from(pool.entry) == entry {
            pool.as_entry()
        } else {
            EntryWord::unpack(self.words.entries[entry])
        }
    }

    /// Check what must hold in every state.
    pub(super) fn check(&self) -> Result<(), String> {
        let pool = PoolWord::unpack(self.words.pool);
        let sum: u32 = (0..ENTRIES).map(|entry| self.truth(entry).held).sum();
        if pool.used != sum {
            return Err(format!("used is {} and the entries hold {sum}", pool.used));
        }
        let mut living = 0;
        for (number, actor) in self.actors.iter().enumerate() {
            let Some(me) = actor.me else { continue };
            let is_detaching = actor.script.get(actor.done) == Some(&Act::Detach);
            if actor.breath != Breath::Alive || is_detaching {
                continue;
            }
            living += actor.held;
            let own = self.truth(me.entry.into());
            if (own.attachment, own.held) != (me.attachment, actor.held) {
                return Err(format!(
                    "process {number} is {me:?} with {} and the pool says {own:?}",
                    actor.held
                ));
            }
        }
        let seats = Grant::unpack(self.words.grant).seats;
        if living > seats { Err(format!("{living} of {seats} seats are held")) } else { Ok(()) }
    }

    /// Check what must hold when no process moves any more: after one look, only the living hold
    /// seats.
    pub(super) fn check_end(&mut self) -> Result<(), String> {
        // Everything that was written can be seen everywhere by then.
        self.weak = None;
        self.actors.push(Actor {
            script: &[Act::AskAll],
            done: 0,
            log: Vec::new(),
            breath: Breath::Alive,
            me: None,
            held: 0,
            is_tried: false,
        });
        let observer = self.actors.len() - 1;
        while self.can_step(observer) {
            self.step(observer, 0, Fault::None)?;
        }
        self.check()?;
        let living: u32 = self
            .actors
            .iter()
            .filter(|actor| actor.breath == Breath::Alive)
            .map(|actor| actor.held)
            .sum();
        let used = PoolWord::unpack(self.words.pool).used;
        if used != living {
            return Err(format!("in the end {used} seats are used, and the living hold {living}"));
        }
        for entry in (0..ENTRIES).filter(|&entry| is_attached(self.truth(entry).attachment)) {
            if self.words.locks[entry] == 0 && self.truth(entry).held > 0 {
                return Err(format!("entry {entry} is dead and holds seats"));
            }
        }
        Ok(())
    }

    /// Return a number for the state. Two states share it by accident once in 2^128 / (number of
    /// states)².
    pub(super) fn fingerprint(&self) -> u128 {
        let mut print = Fingerprint::new();
        let Words { pool, entries, flags, high_water_mark, grant: _, locks } = &self.words;
        pool.iter().chain(entries.iter().flatten()).for_each(|&word| print.add(word));
        flags.iter().for_each(|&flag| print.add(flag.into()));
        locks.iter().for_each(|&lock| print.add(lock.into()));
        print.add(high_water_mark | u64::from(self.kills_left) << 32);
        for actor in &self.actors {
            let me = actor
                .me
                .map_or(0, |me| u64::from(me.entry) | u64::from(me.attachment) << 16 | 1 << 40);
            print.add(me | (actor.breath as u64) << 48 | (actor.done as u64) << 56);
            print.add(
                u64::from(actor.held)
                    | u64::from(actor.is_tried) << 16
                    | (actor.log.len() as u64) << 32,
            );
            actor.log.iter().for_each(|&answer| print.add(answer));
        }
        if let Some(weak) = &self.weak {
            weak.words().for_each(|word| print.add(word));
        }
        print.value()
    }
}
