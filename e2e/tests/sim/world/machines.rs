//! What happens to a machine: its files, its power, its copies.

use std::collections::BTreeMap;

use seatmeter::fault_injection::disk::Disk;

use super::World;
use crate::books::Counter;
use crate::laws::{self, Check};
use crate::machine::bake_device;
use crate::plan::{Loss, Theft};

/// What a device has counted, by segment and counter.
type Counted = BTreeMap<(String, Counter), u64>;

impl World {
    pub(super) fn brownout(&mut self, m: usize, n: u32) -> Check {
        self.work(m, 1)?;
        self.machines[m].health = Disk::FailsOnce(n);
        if let Some(program) = self.choose(m) {
            self.keep(m, program)?;
        }
        self.lose_power(m);
        Ok(())
    }

    /// Lose files that are in use. Within a second each program notices that, and its counts in
    /// that second must not be lost, either.
    pub(super) fn lose(&mut self, m: usize, loss: Loss) -> Check {
        let is_fit = self.machines[m].health == Disk::Sound && self.machines[m].cut_off.is_none();
        if !is_fit || self.machines[m].programs.is_empty() {
            // A program that dies before it can copy its counts to a new file loses them.
            return Ok(());
        }
        self.work(m, 1)?;
        let before = self.machines[m].counted();
        let lost = self.machines[m].lose(loss);
        self.work(m, 2)?;
        self.watch(m)?;
        if loss == Loss::AwayAndBack {
            self.work(m, 1)?;
            lost.iter()
                .for_each(|(file, aside)| std::fs::rename(aside, file).expect("it was just moved"));
            self.work(m, 1)?;
            self.watch(m)?;
        }
        laws::nothing_is_missing(&self.machines[m], &before, m)
    }

    /// Make every program of a machine check its files, as a thread of it does once a second.
    fn watch(&mut self, m: usize) -> Check {
        for program in 0..self.machines[m].programs.len() {
            let outcome = self.act(m, program, |machine| {
                machine.programs[program].session.watch();
                machine.programs[program].session.end_watch();
                Ok(())
            })?;
            self.require_cause(&outcome)?;
        }
        Ok(())
    }

    /// Cut a machine's power: work that was not yet durable is lost, and does not count as
    /// performed.
    pub(super) fn lose_power(&mut self, m: usize) {
        self.acting = Some(m);
        let family = self.net.lock().families[m];
        self.machines[m].kill_all();
        let before = self.machines[m].counted();
        self.machines[m].lose_power();
        let after = self.machines[m].counted();
        for (counter, total) in before {
            let lost = total - after.get(&counter).copied().unwrap_or(0);
            if lost > 0
                && let Some(performed) = self.performed.get_mut(&(family, counter))
            {
                *performed -= lost;
            }
        }
    }

    pub(super) fn copy(&mut self, m: usize) {
        let is_free = |m: &usize| !self.machines[*m].is_used() && self.browsers[*m].is_none();
        let Some(free) = (0..self.machines.len()).find(is_free) else { return };
        if !self.machines[m].is_used() || free == m {
            return;
        }
        self.machines[m].kill_all();
        let (original, copy) = self.machines.split_at_mut(m.max(free));
        let (one, other) = (&mut original[m.min(free)], &mut copy[0]);
        if m < free {
            other.copy(one)
        } else {
            one.copy(other)
        }
        let mut net = self.net.lock();
        net.families[free] = net.families[m];
        net.refusals[free] = net.refusals[m].clone();
    }

    /// Put the `device` file of a machine, and nothing else of it, on every machine that is not
    /// used: all begin from one image.
    pub(super) fn bake(&mut self, m: usize) {
        // The file is made now if the machine has not begun.
        self.machines[m].uuid();
        for free in 0..self.machines.len() {
            if self.machines[free].is_used() || self.browsers[free].is_some() {
                continue;
            }
            let image = &self.machines[m];
            let (from, parameters) = (image.folder.clone(), image.parameters.clone());
            bake_device(&from, &self.machines[free].folder);
            // The image has the program, too, with what it asks for.
            self.machines[free].parameters = parameters;
            let mut net = self.net.lock();
            net.families[free] = net.families[m];
        }
    }

    /// Put a machine back to its snapshot. What was counted since is lost, unless it was reported.
    pub(super) fn put_back(&mut self, m: usize) {
        self.acting = Some(m);
        self.machines[m].kill_all();
        let before = self.machines[m].counted_by_segment();
        let (uuid, newest) = (self.machines[m].uuid(), self.machines[m].newest_serial());
        if !self.machines[m].put_back() {
            return;
        }
        let after = self.machines[m].counted_by_segment();
        let serials = (newest, self.machines[m].newest_serial());
        self.note_put_back(m, (&uuid, serials), (before, &after), |counter| counter);
    }

    /// Note that a device was put back, with the serials of its newest license before and after,
    /// and what it has lost: what was counted before, and is neither counted after nor billed.
    /// `pool` names the counter in which the work was noted as performed.
    pub(super) fn note_put_back(
        &mut self,
        m: usize,
        (uuid, (newest, newest_after)): (&str, (u32, u32)),
        (before, after): (Counted, &Counted),
        pool: impl Fn(Counter) -> Counter,
    ) {
        let mut net = self.net.lock();
        // A license that was never shown looks like one whose answer was lost: its allowance comes
        // again. If the state was kept under the same license, nothing shows that it was put back.
        let is_unseen = net.server.model.newest_shown(uuid) < newest || newest_after == newest;
        let family = net.families[m];
        net.installations.put_back(m);
        for (key, total) in before {
            let billed = self.books.segments.get(&key).copied().unwrap_or(0);
            let after = after.get(&key).copied().unwrap_or(0);
            let lost = total.saturating_sub(after.max(billed));
            let pool = (family, pool(key.1));
            *self.put_back.entry(pool).or_default() += total.saturating_sub(after) - lost;
            *self.lost.entry(pool).or_default() += lost;
            if is_unseen {
                *self.unheld.entry(pool).or_default() += lost;
            }
        }
    }

    /// Let a stranger use the UUID of a machine.
    pub(super) fn steal(&mut self, m: usize, theft: Theft) -> Check {
        // Who wants to be first must know the UUID of a machine that has not begun.
        if theft != Theft::AskFirst && !self.machines[m].is_used() {
            return Ok(());
        }
        let uuid = self.machines[m].uuid();
        self.net.lock().steal(m, theft, &uuid)
    }

    /// Return the work of each family in a module for which nothing holds it to its allowance; 0 is
    /// the module of scans. `was_restored` is true if the server was put back at any time.
    pub(crate) fn unheld(&self, module: u32, was_restored: bool) -> BTreeMap<usize, u64> {
        let mut unheld = BTreeMap::new();
        let put_back = self.put_back.iter().filter(|_| was_restored);
        for ((family, (_, kind, what)), n) in self.unheld.iter().chain(put_back) {
            if (module == 0 && *kind == 1) || (module > 0 && *kind == 2 && *what == module) {
                *unheld.entry(*family).or_default() += n;
            }
        }
        unheld
    }
}
