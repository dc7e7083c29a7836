//! What happens to a machine: its files, its power, its copies.

use seatmeter::fault_injection::disk::Disk;

use super::World;
use crate::laws::{self, Check};
use crate::plan::Loss;

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
        let Some(free) = self.machines.iter().position(|machine| !machine.is_used()) else {
            return;
        };
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
}
